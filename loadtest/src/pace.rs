//! Did the generator keep to its schedule?
//!
//! Comes in: how long the generator itself kept each text: from when it was due until the generator came to
//! it, and from when it had a connection for it until it was sent; and how long its thread was at work.
//! Goes out: whether the run counts; of several the first that does.
//! Always true: a wait for a connection is none of this, as the server keeps it; a generator is behind that
//! sent more than 1 % of the texts later than it may, or that had hardly a moment of rest: then it is its own
//! speed that is measured, and answers lie unread; no run that does not count is shown, and there is an end to
//! doing it anew. Not here: latencies (`tally`).

use std::cell::Cell;
use std::time::Duration;

use anyhow::bail;

use crate::tally::add;

/// Texts that may be sent late, as a part of all.
const LATE_MAX: f64 = 0.01;
/// Of the time that the generator's thread may be at work.
const BUSY_MAX: f64 = 0.95;
/// Runs of which one must count.
const ATTEMPTS_MAX: u8 = 3;
/// Late, unless told otherwise. A generator without a core of its own gets one back at the kernel's next tick,
/// after 4 ms with the usual 250 Hz: less cannot be asked of it, and more is not the scheduler's alone.
pub const LATE_MS: u16 = 5;

/// One run of a generator.
#[derive(Clone)]
pub struct Pace {
    /// A text that the generator keeps longer is sent late.
    may_keep: Duration,
    sent: Cell<usize>,
    late: Cell<usize>,
    busy: Cell<f64>,
}

impl Default for Pace {
    fn default() -> Self {
        Self::with(Duration::from_millis(LATE_MS.into()))
    }
}

impl Pace {
    pub fn with(may_keep: Duration) -> Self {
        Self { may_keep, sent: Cell::new(0), late: Cell::new(0), busy: Cell::new(0.0) }
    }

    /// A text is sent that the generator kept so long.
    pub fn sent(&self, kept: Duration) {
        add(&self.sent);
        if kept > self.may_keep {
            add(&self.late);
        }
    }

    /// How much of the time the thread was at work. Not told of a thread that stays awake on purpose.
    pub fn worked(&self, busy: Duration, whole: Duration) {
        self.busy.set(busy.as_secs_f64() / whole.as_secs_f64());
    }

    /// Why the run does not count.
    pub fn fault(&self) -> Option<String> {
        let late = self.late.get() as f64 / self.sent.get().max(1) as f64;
        let (may_keep, busy) = (self.may_keep, self.busy.get());
        if late > LATE_MAX {
            Some(format!("the generator sent {:.1} % of the texts more than {may_keep:?} late", late * 100.0))
        } else if busy > BUSY_MAX {
            Some(format!("the generator was at work {:.0} % of the time", busy * 100.0))
        } else {
            None
        }
    }
}

/// What a run gave, and why it does not count, if it does not.
pub type Ran<T> = (T, Option<String>);

/// The first run that counts, and how many did not before it. `remedy` is told when none does.
pub fn counted<T>(remedy: &str, mut run: impl FnMut() -> anyhow::Result<Ran<T>>) -> anyhow::Result<(T, u8)> {
    let mut fault = String::new();
    for discarded in 0..ATTEMPTS_MAX {
        match run()? {
            (ran, None) => return Ok((ran, discarded)),
            (_, Some(reason)) => fault = reason,
        }
    }
    bail!("{ATTEMPTS_MAX} runs do not count, at last because {fault}: {remedy}, or have fewer programs run beside it")
}

/// How many runs were done anew, as a line of a report; nothing if none was.
pub fn done_anew(discarded: impl IntoIterator<Item = u8>) -> String {
    match discarded.into_iter().map(u32::from).sum::<u32>() {
        0 => String::new(),
        runs => format!("({runs} runs did not count, as the generator was behind, and were done anew)\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(1);

    fn after(late: u32, in_time: u32, busy: f64) -> Option<String> {
        let pace = Pace::with(TICK);
        (0..late).for_each(|_| pace.sent(TICK * 2));
        (0..in_time).for_each(|_| pace.sent(TICK));
        pace.worked(Duration::from_secs(10).mul_f64(busy), Duration::from_secs(10));
        pace.fault()
    }

    #[test]
    fn a_generator_that_is_behind_says_why() {
        assert_eq!(after(10, 990, 0.5), None);
        assert_eq!(after(0, 0, 0.0), None);
        let late = after(11, 989, 0.5).expect("more than 1 % are late");
        assert!(late.contains("1.1 % of the texts more than 1ms late"), "{late}");
        let busy = after(0, 1_000, 0.97).expect("it hardly rests");
        assert!(busy.contains("97 % of the time"), "{busy}");
    }

    /// What is made of runs with these faults, one after the other.
    fn of_runs(faults: &[Option<&str>]) -> anyhow::Result<(usize, u8)> {
        let mut runs = 0;
        counted("lower --rate", || {
            runs += 1;
            Ok((runs, faults[runs - 1].map(str::to_owned)))
        })
    }

    #[test]
    fn the_first_run_that_counts_is_taken_and_three_that_do_not_are_the_end() {
        for (faults, expected) in [
            (&[None, Some("never asked")][..], (1, 0)),
            (&[Some("late"), None], (2, 1)),
            (&[Some("late"), Some("busy"), None], (3, 2)),
        ] {
            assert_eq!(of_runs(faults).expect("one counts"), expected);
        }
        let error = of_runs(&[Some("late"), Some("late"), Some("busy"), None]).expect_err("none counts").to_string();
        assert!(error.contains("3 runs do not count, at last because busy: lower --rate, or"), "{error}");
        let failed = counted::<()>("", || bail!("the server is gone")).expect_err("no run");
        assert_eq!(failed.to_string(), "the server is gone");
    }

    #[test]
    fn runs_done_anew_are_told_once_there_are_any() {
        assert_eq!(done_anew([0, 0]), "");
        assert!(done_anew([2, 0, 1]).starts_with("(3 runs did not count"));
    }
}
