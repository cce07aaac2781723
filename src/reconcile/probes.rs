//! The numbers of synthetic texts: each run of a `serve` counts from 1, and gives a number out again
//! until it was answered 200. So between two numbers of a run none may be missing.
//!
//! Always true: a missing number belongs to the window of the number before it, so every gap is told once.

use std::collections::HashMap;
use std::ops::Range;

use super::Window;
use super::findings::{Findings, Kind};
use super::ledger::TooMany;
use crate::message::Timestamp;

/// Missing numbers told one by one of each gap.
const TOLD_MAX: u64 = 100;

pub(super) struct Numbers {
    runs: HashMap<String, Vec<(u64, Timestamp)>>,
    left: usize,
    max: usize,
}

impl Numbers {
    pub(super) fn new(max: usize) -> Self {
        Self { runs: HashMap::new(), left: max, max }
    }

    /// `id` as the carrier's id of the record has it: `RUN.NUMBER`.
    pub(super) fn add(&mut self, id: &str, received_at: Timestamp) -> Result<(), TooMany> {
        let Some((run, number)) = id.rsplit_once('.') else { return Ok(()) };
        let Ok(number) = number.parse() else { return Ok(()) };
        self.left = self.left.checked_sub(1).ok_or(TooMany(self.max))?;
        match self.runs.get_mut(run) {
            Some(numbers) => numbers.push((number, received_at)),
            None => drop(self.runs.insert(run.to_owned(), vec![(number, received_at)])),
        }
        Ok(())
    }

    /// Numbers that are missing after one of the window.
    pub(super) fn gaps(&mut self, window: Window, findings: &mut Findings) {
        for (run, numbers) in &mut self.runs {
            numbers.sort_unstable();
            let pairs = numbers.windows(2).map(|pair| (pair[0], pair[1]));
            for ((before, _), (after, _)) in pairs.filter(|((_, received_at), _)| window.contains(*received_at)) {
                tell(run, before + 1..after, findings);
            }
        }
    }
}

fn tell(run: &str, missing: Range<u64>, findings: &mut Findings) {
    if missing.is_empty() {
        return;
    }
    let count = missing.end - missing.start;
    for number in missing.start..missing.start + count.min(TOLD_MAX) {
        findings.add(Kind::Probe, None, format!("synthetic text {number} of run {run} is in no log"));
    }
    findings.add_unnamed(Kind::Probe, count.saturating_sub(TOLD_MAX));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(numbers: &[(&str, i64)], expected: &[&str]) {
        let window = Window::hour_of(Timestamp::UNIX_EPOCH);
        let (mut all, mut findings) = (Numbers::new(100), Findings::default());
        for (id, second) in numbers {
            all.add(id, Timestamp::from_second(*second).expect("a time")).expect("room");
        }
        all.gaps(window, &mut findings);
        let mut said: Vec<_> = findings.named.into_iter().map(|difference| difference.detail).collect();
        said.sort();
        assert_eq!(said, expected, "{numbers:?}");
        assert_eq!(findings.counts[Kind::Probe as usize], expected.len() as u64);
    }

    #[test]
    fn a_number_missing_between_two_of_a_run_is_told_once() {
        check(&[("a.1", 0), ("a.2", 5), ("a.3", 10)], &[]);
        check(&[("a.3", 10), ("a.1", 0)], &["synthetic text 2 of run a is in no log"]);
        // A retry is there twice, another run counts for itself.
        check(&[("a.1", 0), ("a.1", 1), ("a.2", 5), ("b.7", 1)], &[]);
        // The next number is of the next hour: the gap is of this one. One after that is not.
        check(&[("a.1", 3_599), ("a.3", 3_610), ("a.5", 3_620)], &["synthetic text 2 of run a is in no log"]);
        check(&[("a", 1), ("a.x", 2), ("", 3)], &[]);
    }

    #[test]
    fn a_long_gap_is_counted_in_full_and_told_in_part() {
        let (mut all, mut findings) = (Numbers::new(2), Findings::default());
        all.add("a.1", Timestamp::UNIX_EPOCH).expect("room");
        all.add("a.1000", Timestamp::UNIX_EPOCH).expect("room");
        assert_eq!(all.add("a.1001", Timestamp::UNIX_EPOCH), Err(TooMany(2)));
        all.gaps(Window::hour_of(Timestamp::UNIX_EPOCH), &mut findings);
        assert_eq!((findings.counts[Kind::Probe as usize], findings.named.len()), (998, 100));
    }
}
