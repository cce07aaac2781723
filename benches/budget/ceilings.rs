//! `budget.toml`: what each row may cost, and with which compiler and machine that was counted.
//!
//! Comes in: such a file, or costs. Goes out: such a file, or ceilings to judge by.
//! Not here: judging (`judgement.rs`), counting (`callgrind.rs`), and which commit is the other (`tests/run`).

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::judgement::{Costs, line};

const HEADER: &str = "\
# What a text may cost: the ceilings of `tests/run budget`, written by `tests/run budget --record`. A row fails with over
# 3 % more instructions, as callgrind counts them, or one more atomic operation (a lock is two) or allocation for each
# text: a lock or a copy is far below 3 % of a path. Rows are described in benches/budget/rows.rs. With another compiler,
# libc or kind of processor the same code counts differently: then the parent commit is counted in the same run, and
# what it takes there is the ceiling.
";

#[derive(Deserialize)]
pub struct Ceilings {
    rustc: String,
    machine: String,
    pub rows: Costs,
}

impl Ceilings {
    /// Costs as ceilings.
    pub fn of(rows: Costs) -> Result<Self> {
        Ok(Self { rustc: rustc()?, machine: machine(), rows })
    }

    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        toml::from_str(&text).with_context(|| path.display().to_string())
    }

    pub fn write(&self, path: &Path) -> Result<()> {
        let mut text = format!("{HEADER}\nrustc = {:?}\nmachine = {:?}\n\n[rows]\n", self.rustc, self.machine);
        for (row, cost) in &self.rows {
            writeln!(text, "{}", line(row, cost))?;
        }
        fs::write(path, text).with_context(|| path.display().to_string())
    }

    /// Another commit's counts as ceilings here. Where a row may take more by the file `now` than by that commit's
    /// own file `before`, that is meant, and it may take so much more here too.
    pub fn raised(mut self, before: &Self, now: &Self) -> Self {
        let comparable = before.rustc == now.rustc && before.machine == now.machine;
        for (row, cost) in self.rows.iter_mut().filter(|_| comparable) {
            let (Some(before), Some(now)) = (before.rows.get(row), now.rows.get(row)) else { continue };
            cost.instructions *= (now.instructions / before.instructions).max(1.0);
            cost.atomics += (now.atomics - before.atomics).max(0.0);
            cost.allocations += (now.allocations - before.allocations).max(0.0);
        }
        self
    }

    /// Why costs of this compiler on this machine say nothing beside these, if they do not.
    pub fn differ_from_here(&self) -> Result<Option<String>> {
        let (rustc, machine) = (rustc()?, machine());
        let differ = rustc != self.rustc || machine != self.machine;
        Ok(differ.then(|| format!("counted with {} on {}; here is {rustc} on {machine}", self.rustc, self.machine)))
    }
}

fn rustc() -> Result<String> {
    let output = Command::new("rustc").arg("--version").output().context("rustc")?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// What decides which of several ways libc and the crypto take: callgrind shows a program no more of the processor
/// than AVX2.
fn machine() -> String {
    let libc = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let libc = libc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    format!("{}{}, {libc}", std::env::consts::ARCH, if has_avx2() { " with AVX2" } else { "" })
}

fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}
