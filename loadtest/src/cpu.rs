//! What a server has used: CPU time and the most memory, as Linux tells in /proc.
//!
//! Comes in: a group of processes, by the id of its leader. Goes out: user plus system time of all their
//! threads, in steps of 10 ms; the peaks of their resident memory, added up. Not here: what was done in that
//! time; processes that have ended.

use std::time::Duration;

use anyhow::{Context, ensure};

/// `USER_HZ`: 100 on every Linux that Rust runs on, whatever the kernel's own clock.
const TICKS_PER_SECOND: u32 = 100;
/// Places of pgrp and utime among the fields after the command's name (proc(5): 5 and 14; 15 is stime).
const GROUP_FIELD: usize = 2;
const USER_FIELD: usize = 11;

/// One process of `/proc/PID/stat`.
struct Process {
    pid: u32,
    group: u32,
    ticks: u64,
}

/// User and system time of the group so far.
pub fn used(leader: u32) -> anyhow::Result<Duration> {
    let ticks: u64 = processes(leader)?.iter().map(|process| process.ticks).sum();
    Ok(Duration::from_secs(ticks) / TICKS_PER_SECOND)
}

/// Microseconds for each of so many, where `used` is what all took.
pub fn each_us(used: Duration, count: usize) -> f64 {
    used.as_secs_f64() * 1e6 / count as f64
}

/// The most memory each process of the group ever had resident, together, in MiB.
pub fn memory_peak_mib(leader: u32) -> anyhow::Result<u64> {
    processes(leader)?.iter().map(|process| peak_kib(process.pid)).sum::<anyhow::Result<u64>>().map(|kib| kib / 1024)
}

fn processes(leader: u32) -> anyhow::Result<Vec<Process>> {
    let entries = std::fs::read_dir("/proc").context("/proc cannot be read")?;
    // A process that ended meanwhile is no more.
    let stats = entries.flatten().filter_map(|entry| std::fs::read_to_string(entry.path().join("stat")).ok());
    let found: Vec<_> = stats.filter_map(|stat| process(&stat)).filter(|process| process.group == leader).collect();
    ensure!(!found.is_empty(), "group {leader}: has the server ended?");
    Ok(found)
}

fn process(stat: &str) -> Option<Process> {
    // The name stands in brackets and may hold anything, brackets too.
    let (before, fields) = stat.rsplit_once(')')?;
    let fields: Vec<_> = fields.split_ascii_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<u64>().ok();
    Some(Process {
        pid: before.split(' ').next()?.parse().ok()?,
        group: fields.get(GROUP_FIELD)?.parse().ok()?,
        ticks: ticks(USER_FIELD)? + ticks(USER_FIELD + 1)?,
    })
}

fn peak_kib(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("{path}: has the server ended?"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.with_context(|| format!("{path} has no VmHWM"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 5 7 0 -1 4194304 500 0 0 0 31 11 5 6 20 0 3 0 99 1000 20";
        let found = process(stat).expect("a process");
        assert_eq!((found.pid, found.group, found.ticks), (7, 5, 42));
        assert!(process("7 (a) S 1 7").is_none());
    }

    #[test]
    fn a_group_is_all_its_processes() {
        let mut leader = Command::new("sh").args(["-c", "sleep 60 & wait"]).process_group(0).spawn().expect("a shell");
        let two = || processes(leader.id()).is_ok_and(|found| found.len() == 2);
        while !two() {
            std::thread::yield_now();
        }
        assert!(memory_peak_mib(leader.id()).is_ok() && used(leader.id()).is_ok());
        let group = rustix::process::Pid::from_child(&leader);
        rustix::process::kill_process_group(group, rustix::process::Signal::KILL).expect("the group is there");
        leader.wait().expect("its end");
        // Whoever inherits the other buries it.
        while used(leader.id()).is_ok() {
            std::thread::yield_now();
        }
    }
}
