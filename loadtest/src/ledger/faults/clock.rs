//! A clock that jumps: a library of ours in front of one process's C library (`clock.c`).
//!
//! Comes in: seconds. Goes out: an environment for the process, and jumps while it runs. Always true: only the wall
//! clock jumps, and at once; a wait that has begun keeps its end. Not here: what depends on the clock.
//!
//! Why not libfaketime: it allocates before it can tell the time, so a program whose malloc is jemalloc, which asks for
//! the time before it can allocate, never starts behind it; and it notices a jump seconds later.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, ensure};

/// A request that came before the clock was set back is judged by then.
pub const JUDGED_AFTER_MS: u64 = 5_000;
const SOURCE: &str = include_str!("clock.c");

pub struct Clock {
    library: PathBuf,
    /// How far off the clock is, in seconds: an i64 as the machine writes it.
    file: PathBuf,
}

impl Clock {
    /// One that is right, for now. Fails without a C compiler, which whoever builds the project has.
    pub fn new(folder: &Path) -> anyhow::Result<Self> {
        let [source, library, file] = ["clock.c", "clock.so", "clock"].map(|name| folder.join(name));
        fs::write(&source, SOURCE)?;
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
        let status = compiler.status().context("cc, for a clock that jumps")?;
        ensure!(status.success(), "cc did not build {}", source.display());
        File::create(&file)?.write_all(&0_i64.to_ne_bytes())?;
        Ok(Self { library, file })
    }

    pub fn environment(&self) -> Vec<(String, String)> {
        [("LD_PRELOAD", &self.library), ("CLOCK_OFFSET", &self.file)]
            .map(|(name, path)| (name.to_owned(), path.display().to_string()))
            .into()
    }

    /// Lets the clock be off by that much.
    pub fn set(&self, seconds: i64) -> std::io::Result<()> {
        // In place, for the process has it mapped; eight bytes are written as one.
        OpenOptions::new().write(true).open(&self.file)?.write_all(&seconds.to_ne_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    const DAY: i64 = 86_400;

    #[test]
    fn a_process_sees_each_jump_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::new(folder.path()).expect("a compiler");
        // Tells the time for each line it is sent.
        let mut told = Command::new("perl");
        told.args(["-e", "$| = 1; while (<STDIN>) { print time, \"\\n\" }"]).envs(clock.environment());
        let mut told = told.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("perl");
        let mut ask = told.stdin.take().expect("a pipe");
        let mut answers = BufReader::new(told.stdout.take().expect("a pipe"));
        for off in [0, DAY, -DAY, 0] {
            clock.set(off).expect("a file");
            let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64;
            let before = now();
            writeln!(ask, "now").expect("it listens");
            let mut answer = String::new();
            answers.read_line(&mut answer).expect("it answers");
            let answer: i64 = answer.trim().parse().expect("seconds");
            assert!((before + off..=now() + off).contains(&answer), "{answer} where {off} was asked for");
        }
        drop(ask);
        assert!(told.wait().expect("it ends").success());
    }
}
