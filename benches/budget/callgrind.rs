//! Runs this program under callgrind and reads what it has counted.
//!
//! Comes in: a folder to write to. Goes out: the cost of a text, by row.
//! Always true: only what `counted` does is counted, without librdkafka's taking of a record, which is not ours.
//! Not here: how many runs a judgement takes (`main.rs`).

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::counted::TEXTS;
use crate::judgement::{Cost, Costs};

/// What the program is told to be the one that is counted.
pub const COUNTED: &str = "--counted";

const OPTIONS: [&str; 8] = [
    "--tool=callgrind",
    "-q",
    "--combine-dumps=no",
    "--collect-bus=yes",
    "--toggle-collect=*::counted::in_the_counter*",
    "--toggle-collect=rd_kafka_producev",
    "--zero-before=*::counted::row_begins*",
    "--dump-after=*::counted::row_ends*",
];

/// Of each figure the one in the middle; runs have the same rows.
pub fn median(runs: &[Costs]) -> Result<Costs> {
    let median = |row: &str, figure: fn(&Cost) -> f64| {
        let mut figures: Vec<_> = runs.iter().filter_map(|costs| costs.get(row)).map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().context("a row of no run")
    };
    let cost = |row: &String| {
        let instructions = median(row, |cost| cost.instructions)?;
        let atomics = median(row, |cost| cost.atomics)?;
        Ok((row.clone(), Cost { instructions, atomics, allocations: median(row, |cost| cost.allocations)? }))
    };
    runs.iter().flat_map(Costs::keys).map(cost).collect()
}

/// One run.
pub fn count(folder: &Path) -> Result<Costs> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let file = folder.join("row");
    // On one processor: maps that are split have as many pieces as there are processors.
    let output = Command::new("taskset")
        .args(["-c", &processor()?, "valgrind"])
        .args(OPTIONS)
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(std::env::current_exe()?)
        .arg(COUNTED)
        // How long the environment is moves the stack, and with it what copying costs.
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stderr(Stdio::inherit())
        .output()
        .context("taskset (Debian: util-linux)")?;
    ensure!(output.status.success(), "callgrind ended with {} (Debian: apt-get install valgrind)", output.status);
    let rows = String::from_utf8(output.stdout)?;
    let cost = |(index, row): (usize, &str)| {
        let (name, allocations) = row.split_once(' ').context("a row is a name and a number")?;
        let (instructions, atomics) = totals(&file.with_extension((index + 1).to_string()))?;
        let allocations = allocations.parse()?;
        let [instructions, atomics, allocations] = [instructions, atomics, allocations].map(of_one);
        Ok((name.to_owned(), Cost { instructions, atomics, allocations }))
    };
    rows.lines().enumerate().map(cost).collect()
}

fn of_one(total: u64) -> f64 {
    total as f64 / TEXTS as f64
}

/// Instructions, and operations on the bus outside libc, in one of callgrind's files.
fn totals(path: &Path) -> Result<(u64, u64)> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    ensure!(text.contains("\nevents: Ir Ge\n"), "{}: other events", path.display());
    let (mut instructions, mut atomics) = (0, 0);
    let (mut libc, mut object, mut of_callee) = (None, None, false);
    for line in text.lines() {
        if let Some((number, name)) = line.strip_prefix("ob=").or(line.strip_prefix("cob=")).map(numbered) {
            libc = if name.contains("/libc.so") { Some(number) } else { libc };
            object = if line.starts_with('o') { Some(number) } else { object };
        } else if line.starts_with("calls=") {
            of_callee = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            // A line, its instructions and, unless there are none, its operations on the bus.
            let mut figures = line.split(' ').skip(1).map(|figure| figure.parse::<u64>().unwrap_or_default());
            let figures = [figures.next(), figures.next()].map(Option::unwrap_or_default);
            if !std::mem::take(&mut of_callee) {
                instructions += figures[0];
                atomics += if object == libc { 0 } else { figures[1] };
            }
        }
    }
    ensure!(instructions > 0, "{} has counted nothing", path.display());
    Ok((instructions, atomics))
}

/// `(7) NAME`, the name where the number is new.
fn numbered(text: &str) -> (&str, &str) {
    text.split_once(' ').unwrap_or((text, ""))
}

/// The first that this process may run on.
fn processor() -> Result<String> {
    let status = fs::read_to_string("/proc/self/status")?;
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).context("no processors")?;
    let first = allowed.trim().split([',', '-']).next().unwrap_or("0");
    Ok(first.to_owned())
}
