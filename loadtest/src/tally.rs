//! What became of texts, and how long they took.
//!
//! Comes in: each text as it falls due, is sent, is answered. Goes out: counts, and a histogram of the time
//! from the instant a text was *due* to its answer: what it waited for a connection is in it, since that is
//! the server's slowness too.
//! Always true: the histogram has answers of 200 alone, early or late (a refusal is quick, and no answer);
//! values are kept to three digits. Not here: which stretch a text belongs to.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use hdrhistogram::Histogram;

/// Longest time told apart, in microseconds: ten minutes.
const LATENCY_MAX: u64 = 600_000_000;
const DIGITS: u8 = 3;

/// The texts of one stretch.
pub struct Tally {
    pub due: Cell<usize>,
    pub sent: Cell<usize>,
    pub in_time: Cell<usize>,
    pub late: Cell<usize>,
    pub refused: Cell<usize>,
    pub broken: Cell<usize>,
    /// In microseconds, from the instant a text was due.
    pub latencies: RefCell<Histogram<u64>>,
}

impl Default for Tally {
    fn default() -> Self {
        let [due, sent, in_time, late, refused, broken] = Default::default();
        Self { due, sent, in_time, late, refused, broken, latencies: RefCell::new(latencies()) }
    }
}

impl Tally {
    pub fn record(&self, latency: Duration) {
        let microseconds = u64::try_from(latency.as_micros()).unwrap_or(LATENCY_MAX);
        self.latencies.borrow_mut().saturating_record(microseconds);
    }

    /// The longest of the answers.
    pub fn slowest(&self) -> Duration {
        Duration::from_micros(self.latencies.borrow().max())
    }

    /// Due, and nothing came back by the end.
    pub fn unanswered(&self) -> usize {
        let known = [&self.in_time, &self.late, &self.refused, &self.broken].map(Cell::get);
        self.due.get().saturating_sub(known.iter().sum())
    }
}

/// One more.
pub fn add(count: &Cell<usize>) {
    count.set(count.get() + 1);
}

/// An empty histogram, such that any two can be added.
pub fn latencies() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LATENCY_MAX, DIGITS).expect("the bounds are in order")
}

/// All of them in one.
pub fn merged<'a>(histograms: impl IntoIterator<Item = &'a Histogram<u64>>) -> Histogram<u64> {
    let mut all = latencies();
    for histogram in histograms {
        all.add(histogram).expect("all have the same bounds");
    }
    all
}

/// Below which that part of the texts took, in milliseconds; no number without texts.
pub fn quantile_ms(histogram: &Histogram<u64>, part: f64) -> f64 {
    if histogram.is_empty() { f64::NAN } else { histogram.value_at_quantile(part) as f64 / 1e3 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_keeps_every_latency() {
        let tallies: Vec<Tally> = (0..3).map(|_| Tally::default()).collect();
        for (number, millisecond) in (1..=1_000).enumerate() {
            tallies[number % 3].record(Duration::from_millis(millisecond));
        }
        tallies[0].record(Duration::from_secs(100_000));
        let histograms: Vec<_> = tallies.iter().map(|tally| tally.latencies.borrow().clone()).collect();
        let all = merged(&histograms);
        assert_eq!(all.len(), 1_001);
        for (part, expected) in [(0.5, 501.0), (0.99, 991.0)] {
            let found = quantile_ms(&all, part);
            assert!((found / expected - 1.0).abs() < 0.002, "{found} for {expected}");
        }
        assert!(all.max() >= LATENCY_MAX, "what is longer than any is kept as the longest");
        assert!(quantile_ms(&latencies(), 0.5).is_nan());
    }
}
