//! What does a text cost in instructions, by stage and in all, and is that within `benches/budget.toml`?
//!
//!     budget [--against FILE]    counts, and fails if a row is more than 3 % over its ceiling; FILE: another
//!                                commit's counts, in place of the ceilings
//!     budget --write FILE        counts, and writes such a file
//!     budget --fits              whether the ceilings are of this compiler and machine; counts nothing
//!
//! `tests/run budget` builds it and calls it from the root. The program runs itself under callgrind (`callgrind.rs`),
//! where it puts a router together (`world.rs`) and does each row's work 216 times (`rows.rs`), of which 200 count; so
//! the machine's load does not matter. A copy of a body or a lock is 0.3 % of a path, so atomic operations and
//! allocations are counted beside the instructions, and one more of them is too many.
//!
//! The profile is `profile.toml` here: the one that the tests are built with, but with our crate and the crates that a
//! text passes through optimised as in a release. A release build would compile everything a second time, C libraries
//! included; this compiles some forty crates and ours: 4 minutes of one processor's time after the tests' build, most of
//! it for our crate. C code (the crypto's, where it is not assembler) stays as the tests have it.
//!
//! How far figures repeat, unchanged code, three pairs of calls: stages within 0.1 % (HMAC-SHA1 0.5 %), `path` 0.3 %,
//! `publish` 1.3 %, `served` 0.6 %; atomics within 0.6 of one. What moves them is libc's `malloc` and the seeds of hash
//! maps. One clone of the body in `Door::accept` is +0.3 to +0.7 % and exactly one allocation: that trips it.

mod callgrind;
mod ceilings;
mod counted;
mod rows;
mod world;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, bail};

use ceilings::Ceilings;

const CEILINGS: &str = "benches/budget.toml";
/// Beside what else `tests/run` leaves.
const FOLDER: &str = "target/tests/run/budget";

fn main() -> Result<ExitCode> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [callgrind::COUNTED] => {
            rows::all();
            // Threads of the client's cluster are not waited for.
            std::process::exit(0);
        }
        [] => judge(Path::new(CEILINGS), true),
        ["--against", file] => judge(Path::new(file), false),
        ["--write", file] => {
            Ceilings::of(callgrind::count(&folder())?)?.write(Path::new(file))?;
            Ok(ExitCode::SUCCESS)
        }
        ["--fits"] => Ok(match Ceilings::read(Path::new(CEILINGS))?.differ_from_here()? {
            None => ExitCode::SUCCESS,
            Some(difference) => {
                println!("{CEILINGS}: {difference}");
                ExitCode::FAILURE
            }
        }),
        _ => bail!("budget [--against FILE | --write FILE | --fits]"),
    }
}

fn folder() -> PathBuf {
    Path::new(FOLDER).join("callgrind")
}

fn judge(file: &Path, same_rows: bool) -> Result<ExitCode> {
    let ceilings = Ceilings::read(file)?;
    let counts = callgrind::count(&folder())?;
    let judgement = ceilings.judge(&counts, same_rows);
    print!("{}", judgement.table);
    let edition = Path::new(FOLDER).join("budget.toml");
    Ceilings::of(counts)?.write(&edition)?;
    if judgement.holds {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("over the budget of {}; where that is right: cp {} {CEILINGS}", file.display(), edition.display());
    Ok(ExitCode::FAILURE)
}
