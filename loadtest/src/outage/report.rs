//! Outages as people read them: a line for each round, the median of the drains; or as one JSON object.
//!
//! Comes in: what every round gave. Always true: a ratio is taken within one round. Not here: measuring.

use serde::Serialize;
use serde_json::{Value, json};

use super::Arguments;
use crate::check::Verdict;
use crate::figures::{self, median, sorted};
use crate::pace;
use crate::tally::Tally;

/// Everything that was measured.
#[derive(Serialize)]
pub struct Report {
    pub connections: u16,
    pub crowd: u16,
    pub share: f64,
    pub seconds: u8,
    pub rounds: Vec<Counted>,
    /// What the topic said.
    pub check: Verdict,
}

/// A round that counted.
#[derive(Serialize)]
pub struct Counted {
    #[serde(flatten)]
    pub round: Round,
    /// Rounds before it that did not.
    pub discarded: u8,
}

/// One outage and what came after it.
#[derive(Serialize)]
pub struct Round {
    /// Texts a second.
    pub capacity: f64,
    /// Texts in the journal when the brokers came back.
    pub waiting: f64,
    /// From the brokers' return until the topic grew, and until the journal was empty.
    pub flowing_seconds: f64,
    pub empty_seconds: f64,
    pub during: Answers,
    pub after: Answers,
}

/// What became of the new texts.
#[derive(Serialize)]
pub struct Answers {
    pub sent: usize,
    pub in_time: usize,
    pub late: usize,
    pub refused: usize,
    pub broken: usize,
    pub unanswered: usize,
    /// From when the text was due.
    pub slowest_seconds: f64,
}

pub fn print(report: &Report, as_json: bool) -> anyhow::Result<()> {
    figures::print(as_json, || report.object(), || report.table())
}

impl Report {
    pub fn new(arguments: &Arguments, rounds: Vec<(Round, u8)>, check: Verdict) -> Self {
        let &Arguments { connections, crowd, share, seconds, .. } = arguments;
        let rounds = rounds.into_iter().map(|(round, discarded)| Counted { round, discarded }).collect();
        Self { connections, crowd, share, seconds, rounds, check }
    }

    /// What was measured, and the ratios of the table.
    fn object(&self) -> Value {
        let rounds = self.drains();
        json!({ "measured": self, "drain_ratio": { "median": median(&rounds), "rounds": rounds } })
    }

    fn table(&self) -> String {
        let mut said = format!(
            "new texts all the while: {} of the capacity; deadline of an answer 2 s\n\
             {:>10} {:>7} {:>16} {:>14} {:>15}",
            self.share, "capacity/s", "waited", "flowing after s", "empty after s", "drain/capacity"
        );
        for when in ["outage", "after"] {
            said += &format!(" | {when}: sent in time late refused broken unanswered slowest s");
        }
        said.push('\n');
        said += &self.rounds.iter().map(|counted| counted.round.row()).collect::<String>();
        said += &pace::done_anew(self.rounds.iter().map(|counted| counted.discarded));
        said + &format!("median drain/capacity {:.2}\n{}\n", median(&self.drains()), self.check)
    }

    /// What left the journal a second, in each round's capacity, the least first.
    fn drains(&self) -> Vec<f64> {
        sorted(self.rounds.iter().map(|counted| counted.round.drain()))
    }
}

impl Round {
    fn drain(&self) -> f64 {
        self.waiting / self.empty_seconds / self.capacity
    }

    fn row(&self) -> String {
        let Self { capacity, waiting, flowing_seconds, empty_seconds, during, after } = self;
        let drain = self.drain();
        format!(
            "{capacity:>10.0} {waiting:>7.0} {flowing_seconds:>16.2} {empty_seconds:>14.1} {drain:>15.2}{}{}\n",
            during.row(),
            after.row()
        )
    }
}

impl Answers {
    pub fn of(tally: &Tally) -> Self {
        let Tally { sent, in_time, late, refused, broken, .. } = tally;
        let [sent, in_time, late, refused, broken] = [sent, in_time, late, refused, broken].map(std::cell::Cell::get);
        let (unanswered, slowest_seconds) = (tally.unanswered(), tally.slowest().as_secs_f64());
        Self { sent, in_time, late, refused, broken, unanswered, slowest_seconds }
    }

    fn row(&self) -> String {
        let Self { sent, in_time, late, refused, broken, unanswered, slowest_seconds } = self;
        format!(" | {sent:>6} {in_time:>6} {late:>4} {refused:>4} {broken:>4} {unanswered:>4} {slowest_seconds:>5.2}")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tally::add;

    /// Rounds that had so many texts waiting, each with a capacity of 1,000 and two seconds until none was left.
    fn report(waiting: &[f64]) -> Report {
        let answers = || {
            let tally = Tally::default();
            for count in [&tally.due, &tally.due, &tally.sent, &tally.in_time] {
                add(count);
            }
            tally.record(Duration::from_millis(1_500));
            Answers::of(&tally)
        };
        let round = |waiting: &f64| Round {
            capacity: 1_000.0,
            waiting: *waiting,
            flowing_seconds: 0.25,
            empty_seconds: 2.0,
            during: answers(),
            after: answers(),
        };
        let rounds = waiting.iter().map(|waiting| Counted { round: round(waiting), discarded: 1 }).collect();
        let check = Verdict { texts: 7, ..Verdict::default() };
        Report { connections: 1, crowd: 2, share: 0.5, seconds: 3, rounds, check }
    }

    #[test]
    fn the_table_has_a_line_for_each_round_their_median_and_the_verdict() {
        let said = report(&[1_000.0, 4_000.0, 200.0]).table();
        let answers = " |      1      1    0    0    0    1  1.50";
        let row = format!("      1000    1000             0.25            2.0            0.50{answers}{answers}\n");
        assert!(said.contains(&row), "{said}");
        assert!(said.contains("\n(3 runs did not count"), "{said}");
        assert!(said.contains("\nmedian drain/capacity 0.50\neach of 7 acknowledged texts lies once"), "{said}");
    }

    #[test]
    fn json_has_the_rounds_the_ratio_of_the_table_and_the_verdict() {
        let said = report(&[1_000.0, 2_000.0]).object();
        for (path, expected) in [
            ("/measured/rounds/1/waiting", json!(2_000.0)),
            ("/measured/rounds/1/discarded", json!(1)),
            ("/measured/rounds/0/after/in_time", json!(1)),
            ("/measured/rounds/0/after/unanswered", json!(1)),
            ("/measured/check/texts", json!(7)),
            ("/drain_ratio/rounds", json!([0.5, 1.0])),
            ("/drain_ratio/median", json!(0.75)),
        ] {
            assert_eq!(said.pointer(path), Some(&expected), "{path} of {said}");
        }
    }
}
