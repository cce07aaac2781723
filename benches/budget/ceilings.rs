//! `budget.toml`: what each row may cost, and with which compiler and machine that was counted.
//!
//! Comes in: such a file, or costs. Goes out: what is over its ceiling and what is far under it, as lines to read.
//! Always true: a row without a ceiling is a failure, and so is a ceiling without a row; unless they come from
//! another commit, which may have had other rows.
//! Not here: counting (`callgrind.rs`), and which commit is the other (`tests/run`).

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::callgrind::{Cost, Costs};

/// Percent of the instructions allowed that a row may cost more.
const OVER: f64 = 3.0;
/// Percent of the instructions allowed that a row costs less, from where on the ceiling is worth lowering.
const UNDER: f64 = 5.0;
/// A whole atomic operation or allocation for each text is too much; less is chance.
const WHOLE: f64 = 0.7;

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
    rows: Costs,
}

/// What all rows together came to.
pub struct Judgement {
    pub table: String,
    pub holds: bool,
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

    /// Each row beside its ceiling; `same_rows` unless the ceilings are another commit's.
    pub fn judge(&self, costs: &Costs, same_rows: bool) -> Judgement {
        let mut table =
            format!("{:<22} {:>22} {:>24} {:>17}\n", "counted of allowed", "instructions", "atomics", "allocations");
        let mut holds = true;
        for (row, cost) in costs {
            let (words, fits) = match self.rows.get(row) {
                Some(ceiling) => beside(cost, ceiling),
                None if same_rows => (format!("{:>22} FAILED: no ceiling", cost.instructions), false),
                None => (format!("{:>22} new", cost.instructions), true),
            };
            holds &= fits;
            table.push_str(&format!("{row:<22} {words}\n"));
            let is_low = self.rows.get(row).is_some_and(|ceiling| percent(cost, ceiling) < -UNDER);
            if !fits || is_low {
                table.push_str(&format!("    as counted: {}\n", line(row, cost)));
            }
        }
        for row in self.rows.keys().filter(|row| same_rows && !costs.contains_key(*row)) {
            holds = false;
            table.push_str(&format!("{row:<22} FAILED: it has a ceiling and was not counted\n"));
        }
        Judgement { table, holds }
    }
}

/// How much more than its ceiling a row takes of instructions.
fn percent(cost: &Cost, ceiling: &Cost) -> f64 {
    (cost.instructions / ceiling.instructions - 1.0) * 100.0
}

/// The columns of a row, and whether it fits.
fn beside(cost: &Cost, ceiling: &Cost) -> (String, bool) {
    let percent = percent(cost, ceiling);
    let (atomics, allocations) = (cost.atomics - ceiling.atomics, cost.allocations - ceiling.allocations);
    let too_much =
        [("instructions", percent > OVER), ("atomics", atomics > WHOLE), ("allocations", allocations > WHOLE)];
    let too_much: Vec<_> = too_much.iter().filter(|(_, is_over)| *is_over).map(|(what, _)| *what).collect();
    let mut words = format!(
        "{:>10.0} of {:>8.0} {percent:>+5.1} % {:>6.1} of {:>6.1} {:>8.1} of {:>6.1}",
        cost.instructions, ceiling.instructions, cost.atomics, ceiling.atomics, cost.allocations, ceiling.allocations
    );
    if !too_much.is_empty() {
        words.push_str(&format!("  FAILED: too many {}", too_much.join(", ")));
    } else if percent < -UNDER {
        words.push_str("  far under");
    }
    (words, too_much.is_empty())
}

/// A row of the file.
fn line(row: &str, cost: &Cost) -> String {
    let Cost { instructions, atomics, allocations } = cost;
    format!(
        "{row:?} = {{ instructions = {instructions:.0}.0, atomics = {atomics:.1}, allocations = {allocations:.1} }}"
    )
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
