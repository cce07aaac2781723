//! What a process has used: CPU time and the most memory, as Linux tells in /proc.
//!
//! Comes in: a process id. Goes out: user plus system time of all its threads, in steps of 10 ms; the
//! peak of its resident memory. Not here: what was done in that time.

use std::time::Duration;

use anyhow::Context;

/// `USER_HZ`: 100 on every Linux that Rust runs on, whatever the kernel's own clock.
const TICKS_PER_SECOND: u32 = 100;
/// Places of utime and stime among the fields after the command's name (proc(5): 14 and 15).
const USER_FIELD: usize = 11;

/// User and system time of the process so far.
pub fn used(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("{path}: has the server ended?"))?;
    ticks(&stat).map(|ticks| Duration::from_secs(ticks) / TICKS_PER_SECOND).with_context(|| format!("{path} is odd"))
}

fn ticks(stat: &str) -> Option<u64> {
    // The name stands in brackets and may hold anything, brackets too.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_ascii_whitespace().skip(USER_FIELD).map(str::parse::<u64>);
    Some(times.next()?.ok()? + times.next()?.ok()?)
}

/// The most memory the process ever had resident, in MiB.
pub fn memory_peak_mib(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("{path}: has the server ended?"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map(|kib| kib / 1024).with_context(|| format!("{path} has no VmHWM"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 500 0 0 0 31 11 5 6 20 0 3 0 99 1000 20";
        assert_eq!(ticks(stat), Some(42));
        assert_eq!(ticks("7 (a) S 1 7"), None);
    }

    #[test]
    fn this_process_has_used_memory() {
        assert!(memory_peak_mib(std::process::id()).expect("a line of /proc") > 0);
        assert!(used(std::process::id()).is_ok());
    }
}
