//! What does a text cost in instructions, by stage and in all, and is that within `benches/budget.toml`?
//!
//!     budget                           counts, and fails if a row is over its ceiling
//!     budget --fits                    says whether the ceilings are of this compiler and machine; counts nothing
//!     budget --write FILE              counts three times, and writes the medians as such a file; a later commit
//!                                      calls its parent so
//!     budget --against COUNTS BEFORE   counts; the ceilings are what another commit wrote here to the file COUNTS, and
//!                                      what this commit allows more than that commit's own file BEFORE
//!
//! `tests/run budget` builds it and calls it from the root; `tests/run budget --record` writes `budget.toml` anew,
//! which is how a ceiling is raised or lowered. The program runs itself under callgrind (`callgrind.rs`), where it
//! puts a router together (`world.rs`) and does each row's work 116 times (`rows.rs`), of which 100 count; so the
//! machine's load does not matter. What holds is counted once; what does not is counted twice more, and the medians
//! decide. A copy of a body or a lock is 0.3 % of a path, so atomic operations and allocations are counted beside the
//! instructions. Each run also counts a path with such a copy, with a lock and proven twice, and fails unless each is
//! refused (`slowed.rs`).
//!
//! The profile is `profile.toml` here: the one that the tests are built with, but with our crate and the crates that a
//! text passes through optimised, the most of them as in a release. A release build would compile everything a second
//! time, C libraries included. C code (the crypto's, where it is not assembler) stays as the tests have it.
//!
//! How far figures repeat, unchanged code, one run beside the medians of three, clippy running beside them: instructions
//! within 0.9 % (`parse/telnyx` 1.7 %, `publish` 1.8 %, `claim/first` 2.1 % from one build to the next), atomics within
//! 0.1, allocations exactly.
//!
//! Seeds of hash maps are random, as in production, for they move little: with clock and random numbers held still,
//! five runs count `match` and `claim/…` alike to the instruction, where five with random seeds differ by 1 to 4 of
//! them (0.14 % at most); what moves more does so with either (`path/…` by up to 0.7 and 0.8 %, `authenticate/twilio`
//! by 1.4).
//!
//! Why this and not gungraun (iai-callgrind), which can count the same events: it takes a process for each row, so a
//! router and a cluster for each, counts allocations in a second run under another tool, sums atomics with those of libc,
//! and its limits do not know of a compiler and a machine or of what the parent commit was allowed.

mod callgrind;
mod ceilings;
#[path = "../common/mod.rs"]
mod common;
mod counted;
mod judgement;
mod rows;
mod slowed;
mod world;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

use ceilings::Ceilings;
use judgement::{Costs, Judgement};

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
        [] => judge(&Ceilings::read(Path::new(CEILINGS))?, true),
        ["--against", counts, before] => {
            let [counts, before, now] = [counts, before, CEILINGS].map(|file| Ceilings::read(Path::new(file)));
            judge(&counts?.raised(&before?, &now?), false)
        }
        ["--write", file] => {
            let runs = [count()?, count()?, count()?];
            Ceilings::of(callgrind::median(&runs)?)?.write(Path::new(file))?;
            Ok(ExitCode::SUCCESS)
        }
        ["--fits"] => {
            match Ceilings::read(Path::new(CEILINGS))?.differ_from_here()? {
                None => println!("{CEILINGS} fits"),
                Some(difference) => println!("{CEILINGS} does not fit: {difference}"),
            }
            Ok(ExitCode::SUCCESS)
        }
        _ => bail!("budget [--fits | --write FILE | --against COUNTS BEFORE]"),
    }
}

fn count() -> Result<Costs> {
    let mut costs = callgrind::count(&Path::new(FOLDER).join("callgrind"))?;
    slowed::refused(&mut costs)?;
    Ok(costs)
}

fn judge(ceilings: &Ceilings, same_rows: bool) -> Result<ExitCode> {
    let mut counts = count()?;
    let mut judgement = Judgement::of(&counts, &ceilings.rows, same_rows);
    if !judgement.holds {
        counts = callgrind::median(&[counts, count()?, count()?])?;
        judgement = Judgement::of(&counts, &ceilings.rows, same_rows);
    }
    print!("{}", judgement.table);
    if judgement.holds {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!("over the budget; where that is right: tests/run budget --record writes {CEILINGS} anew");
    Ok(ExitCode::FAILURE)
}
