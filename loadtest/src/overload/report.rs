//! Floods as people read them: a line for each round, the median of the ratios; or as one JSON object.
//!
//! Comes in: what every round gave. Always true: a ratio is taken within one round. Not here: measuring.

use serde::Serialize;
use serde_json::{Value, json};

use super::Arguments;
use crate::check::{self, Verdict};
use crate::figures::{self, median, sorted};
use crate::pace;

/// Everything that was measured.
#[derive(Serialize)]
pub struct Report {
    /// Whether texts went to the embedded store, and not to Kafka.
    pub embedded: bool,
    pub at_once: u16,
    pub crowd: u16,
    pub in_flight_max: u32,
    pub times: f64,
    pub seconds: u8,
    pub rounds: Vec<Round>,
    pub memory_peak_mib: u64,
    /// What the topics said; nothing of the embedded store.
    pub check: Option<Verdict>,
}

/// One flood, between two looks at the capacity. Rates are a second.
#[derive(Serialize)]
pub struct Round {
    pub capacity: f64,
    pub offered: f64,
    pub goodput: f64,
    pub refused: f64,
    /// Texts.
    pub late: usize,
    pub held_back: usize,
    pub first_after_ms: f64,
    /// Of the service, while the capacity was measured.
    pub cpu_microseconds_per_text: f64,
    /// Of the service in the flood, for each request, refused or not.
    pub cpu_microseconds_per_request_in_flood: f64,
    /// Floods before it that did not count.
    pub discarded: u8,
}

pub fn print(report: &Report, as_json: bool) -> anyhow::Result<()> {
    figures::print(as_json, || report.object(), || report.table())
}

impl Report {
    pub fn new(arguments: &Arguments, rounds: Vec<Round>, memory_peak_mib: u64, check: Option<Verdict>) -> Self {
        let &Arguments { at_once, crowd, in_flight_max, times, seconds, .. } = arguments;
        let embedded = arguments.brokers.is_none();
        Self { embedded, at_once, crowd, in_flight_max, times, seconds, rounds, memory_peak_mib, check }
    }

    /// What was measured, and the ratios of the table.
    fn object(&self) -> Value {
        let rounds = self.ratios();
        json!({ "measured": self, "goodput_ratio": { "median": median(&rounds), "rounds": rounds } })
    }

    fn table(&self) -> String {
        let mut said = format!(
            "{:>10} {:>10} {:>10} {:>10} {:>6} {:>10} {:>13} {:>12} {:>9} {:>17}\n",
            "capacity/s",
            "offered/s",
            "goodput/s",
            "refused/s",
            "late",
            "held back",
            "next text ms",
            "CPU µs each",
            "in flood",
            "goodput/capacity"
        );
        said += &self.rounds.iter().map(Round::row).collect::<String>();
        said += &pace::done_anew(self.rounds.iter().map(|round| round.discarded));
        said += &format!(
            "median goodput/capacity {:.3}; peak memory {} MiB\n",
            median(&self.ratios()),
            self.memory_peak_mib
        );
        said + &format!("{}\n", check::told(self.check.as_ref(), check::EMBEDDED))
    }

    /// The goodput of each round in its capacity, the least first.
    fn ratios(&self) -> Vec<f64> {
        sorted(self.rounds.iter().map(Round::ratio))
    }
}

impl Round {
    fn ratio(&self) -> f64 {
        self.goodput / self.capacity
    }

    fn row(&self) -> String {
        let Self { capacity, offered, goodput, refused, late, held_back, first_after_ms, .. } = self;
        let (cpu, in_flood) = (self.cpu_microseconds_per_text, self.cpu_microseconds_per_request_in_flood);
        let ratio = self.ratio();
        format!(
            "{capacity:>10.0} {offered:>10.0} {goodput:>10.0} {refused:>10.0} {late:>6} {held_back:>10} \
             {first_after_ms:>13.1} {cpu:>12.1} {in_flood:>9.1} {ratio:>17.3}\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(goodputs: &[f64], check: Option<Verdict>) -> Report {
        let round = |goodput: &f64| Round {
            capacity: 1_000.0,
            offered: 2_000.0,
            goodput: *goodput,
            refused: 900.0,
            late: 3,
            held_back: 4,
            first_after_ms: 5.5,
            cpu_microseconds_per_text: 20.0,
            cpu_microseconds_per_request_in_flood: 10.0,
            discarded: 1,
        };
        Report {
            embedded: check.is_none(),
            at_once: 1,
            crowd: 2,
            in_flight_max: 3,
            times: 2.0,
            seconds: 4,
            rounds: goodputs.iter().map(round).collect(),
            memory_peak_mib: 40,
            check,
        }
    }

    #[test]
    fn the_table_has_a_line_for_each_round_their_median_and_the_verdict() {
        let said = report(&[1_100.0, 500.0, 900.0], Some(Verdict { texts: 7, ..Verdict::default() })).table();
        let row = "      1000       2000       1100        900      3          4           5.5         20.0      10.0";
        assert!(said.contains(&format!("{row}             1.100\n")), "{said}");
        assert!(said.contains("\n(3 runs did not count"), "{said}");
        assert!(said.contains("\nmedian goodput/capacity 0.900; peak memory 40 MiB\n"), "{said}");
        assert!(said.ends_with("each of 7 acknowledged texts lies once on its topic, unchanged\n"), "{said}");
        assert!(report(&[1.0], None).table().ends_with("not checked: the embedded store has no topics to read\n"));
    }

    #[test]
    fn json_has_the_rounds_the_ratio_of_the_table_and_the_verdict() {
        let said = report(&[1_100.0, 500.0], Some(Verdict { lost: 2, ..Verdict::default() })).object();
        for (path, expected) in [
            ("/measured/embedded", json!(false)),
            ("/measured/rounds/0/goodput", json!(1_100.0)),
            ("/measured/rounds/1/discarded", json!(1)),
            ("/measured/check/lost", json!(2)),
            ("/goodput_ratio/rounds", json!([0.5, 1.1])),
            ("/goodput_ratio/median", json!(0.8)),
        ] {
            assert_eq!(said.pointer(path), Some(&expected), "{path} of {said}");
        }
    }
}
