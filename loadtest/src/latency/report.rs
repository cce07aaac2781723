//! Latencies as people read them: medians of all rounds, the ratio of p99 round by round; or as one JSON
//! object.
//!
//! Comes in: what every run gave. Always true: a ratio is taken within one round. Not here: measuring; the
//! chart (`curves`).

use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::json;

use super::Arguments;
use crate::check::{self, Verdict};
use crate::figures::{self, median, sorted, spread};
use crate::pace;
use crate::schedule::Profile;
use crate::tally::{Tally, quantile_ms};

/// Everything that was measured.
#[derive(Serialize)]
pub struct Report {
    pub connections: u16,
    pub topics: u16,
    pub replication: u8,
    pub keywords: u32,
    pub profile: Profile,
    pub seconds: u8,
    /// Texts a second of our closed loop.
    pub capacity: f64,
    pub stretches: Vec<String>,
    pub loads: Vec<Load>,
    /// Of each server, over all loads.
    pub memory_peak_mib: Vec<u64>,
    /// What the topics said; nothing of the embedded store.
    pub check: Option<Verdict>,
    #[serde(skip)]
    is_reload: bool,
}

/// All servers at one rate.
#[derive(Serialize)]
pub struct Load {
    /// Of our capacity.
    pub share: f64,
    /// Texts a second, in full.
    pub rate: f64,
    /// Ours first.
    pub servers: Vec<Measured>,
}

#[derive(Serialize)]
pub struct Measured {
    pub name: String,
    pub rounds: Vec<Round>,
}

/// One run that counted.
#[derive(Serialize)]
pub struct Round {
    /// Runs before it that did not.
    pub discarded: u8,
    /// Of the server over the whole run, with what no stretch counts: the lead-in, connections, reloads.
    pub cpu_microseconds_per_text: f64,
    pub stretches: Vec<Latencies>,
}

/// The texts of one stretch of one run.
#[derive(Serialize)]
pub struct Latencies {
    pub due: usize,
    pub refused: usize,
    pub broken: usize,
    pub unanswered: usize,
    pub p50_ms: f64,
    pub p90_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub max_ms: f64,
    #[serde(skip)]
    pub histogram: Histogram<u64>,
}

impl Latencies {
    pub fn of(tally: &Tally) -> Self {
        let histogram = tally.latencies.borrow().clone();
        let [p50_ms, p90_ms, p99_ms, p999_ms, max_ms] =
            [0.5, 0.9, 0.99, 0.999, 1.0].map(|part| quantile_ms(&histogram, part));
        let (due, refused, broken) = (tally.due.get(), tally.refused.get(), tally.broken.get());
        let unanswered = tally.unanswered();
        Self { due, refused, broken, unanswered, p50_ms, p90_ms, p99_ms, p999_ms, max_ms, histogram }
    }
}

/// The p99 of ours in another's, of each round, the least first.
#[derive(Serialize)]
struct Ratio<'a> {
    share: f64,
    stretch: &'a str,
    other: &'a str,
    median: f64,
    rounds: Vec<f64>,
}

pub fn print(report: &Report, as_json: bool) -> anyhow::Result<()> {
    let object = || json!({ "measured": report, "p99_ratios": report.ratios() });
    figures::print(as_json, object, || report.table())
}

impl Report {
    pub fn new(
        arguments: &Arguments,
        capacity: f64,
        loads: Vec<Load>,
        memory_peak_mib: Vec<u64>,
        check: Option<Verdict>,
    ) -> Self {
        let &Arguments { connections, topics, replication, profile, seconds, .. } = arguments;
        Self {
            connections,
            topics,
            replication,
            keywords: arguments.keywords.max(topics.into()),
            profile,
            seconds,
            capacity,
            stretches: arguments.stretches(),
            loads,
            memory_peak_mib,
            check,
            is_reload: arguments.reload,
        }
    }

    fn table(&self) -> String {
        let Self { connections, topics, replication, keywords, profile, seconds, capacity, loads, .. } = self;
        let rounds = loads.first().and_then(|load| load.servers.first()).map_or(0, |server| server.rounds.len());
        let what = if self.is_reload { "reloads".to_owned() } else { format!("{profile:?}").to_lowercase() };
        let mut said = format!(
            "{rounds} rounds of {seconds} s, {what}, {connections} connections, {topics} topics, {replication} copies, \
             {keywords} keywords; our capacity: {capacity:.0} texts a second\nms from the instant a text was due, \
             medians of rounds\n"
        );
        for load in loads {
            said += &format!(
                "\n{:<34} {:<9} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>8} {:>6} {:>10}\n",
                format!("{:.2} of the capacity: {:.0}/s", load.share, load.rate),
                "texts",
                "due",
                "p50",
                "p90",
                "p99",
                "p99.9",
                "max",
                "refused",
                "broken",
                "unanswered"
            );
            for server in &load.servers {
                said += &self.stretches.iter().enumerate().map(|(at, name)| server.row(at, name)).collect::<String>();
            }
            let rounds = load.servers.iter().flat_map(|server| &server.rounds);
            said += &pace::done_anew(rounds.map(|round| round.discarded));
        }
        let servers = loads.first().map(|load| load.servers.iter()).into_iter().flatten();
        for (server, memory) in servers.zip(&self.memory_peak_mib) {
            said += &format!("\n{}: peak memory {memory} MiB", server.name);
        }
        for Ratio { share, stretch, other, rounds, .. } in self.ratios() {
            said += &format!("\np99 at {share:.2}, {stretch}, ours ÷ {other}: {}", spread(&rounds));
        }
        said + &format!("\n\n{}\n", check::told(self.check.as_ref(), check::EMBEDDED))
    }

    /// Beside each floor, stretch by stretch; or ours in reloads beside ours before.
    fn ratios(&self) -> Vec<Ratio<'_>> {
        let of = |load| {
            let beside = move |(at, other, its)| self.ratio(load, at, other, its);
            self.pairs(load).into_iter().map(beside)
        };
        self.loads.iter().flat_map(of).collect()
    }

    /// Which of our stretches is beside which server's which.
    fn pairs(&self, load: &Load) -> Vec<(usize, usize, usize)> {
        if self.is_reload {
            return vec![(1, 0, 0)];
        }
        let others = 1..load.servers.len();
        (0..self.stretches.len()).flat_map(|at| others.clone().map(move |other| (at, other, at))).collect()
    }

    fn ratio<'a>(&'a self, load: &'a Load, at: usize, other: usize, its: usize) -> Ratio<'a> {
        let (ours, other) = (load.servers[0].p99s(at), &load.servers[other]);
        let rounds = sorted(ours.iter().zip(other.p99s(its)).map(|(ours, its)| ours / its));
        let other = if self.is_reload { &self.stretches[its] } else { &other.name };
        Ratio { share: load.share, stretch: &self.stretches[at], other, median: median(&rounds), rounds }
    }
}

impl Measured {
    fn row(&self, at: usize, stretch: &str) -> String {
        let of = |figure: fn(&Latencies) -> f64| {
            median(&sorted(self.rounds.iter().map(|round| figure(&round.stretches[at]))))
        };
        let sum = |figure: fn(&Latencies) -> usize| -> usize {
            self.rounds.iter().map(|round| figure(&round.stretches[at])).sum()
        };
        format!(
            "{:<34} {stretch:<9} {:>8} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8.2} {:>8} {:>6} {:>10}\n",
            self.name,
            sum(|texts| texts.due),
            of(|texts| texts.p50_ms),
            of(|texts| texts.p90_ms),
            of(|texts| texts.p99_ms),
            of(|texts| texts.p999_ms),
            of(|texts| texts.max_ms),
            sum(|texts| texts.refused),
            sum(|texts| texts.broken),
            sum(|texts| texts.unanswered)
        )
    }

    fn p99s(&self, at: usize) -> Vec<f64> {
        self.rounds.iter().map(|round| round.stretches[at].p99_ms).collect()
    }
}

#[cfg(test)]
pub mod tests {
    use std::time::Duration;

    use super::*;

    fn round(stretches: &[u64]) -> Round {
        let of = |ms: &u64| {
            let tally = Tally::default();
            (0..1_000).for_each(|_| tally.record(Duration::from_millis(*ms)));
            Latencies::of(&tally)
        };
        Round { discarded: 0, cpu_microseconds_per_text: 20.0, stretches: stretches.iter().map(of).collect() }
    }

    pub fn report(is_reload: bool, stretches: &[&str], servers: Vec<Measured>) -> Report {
        Report {
            connections: 1,
            topics: 1,
            replication: 1,
            keywords: 0,
            profile: Profile::Constant,
            seconds: 1,
            capacity: 2_000.0,
            stretches: stretches.iter().map(|name| (*name).to_owned()).collect(),
            loads: vec![Load { share: 0.5, rate: 1_000.0, servers }],
            memory_peak_mib: vec![40],
            check: None,
            is_reload,
        }
    }

    pub fn measured(name: &str, rounds: &[&[u64]]) -> Measured {
        Measured { name: name.to_owned(), rounds: rounds.iter().map(|stretches| round(stretches)).collect() }
    }

    #[test]
    fn ratios_are_taken_within_each_round() {
        let servers = vec![measured("ours", &[&[10], &[30], &[100]]), measured("floor", &[&[10], &[10], &[50]])];
        let said = report(false, &["all"], servers).table();
        assert!(said.contains("p99 at 0.50, all, ours ÷ floor: median 2.00 (1.00 to 3.00)"), "{said}");
        assert!(said.contains("ours: peak memory 40 MiB"), "{said}");
        assert!(said.ends_with("\n\nnot checked: the embedded store has no topics to read\n"), "{said}");
    }

    #[test]
    fn a_reload_is_beside_what_was_before_it() {
        let servers = vec![measured("ours", &[&[10, 30], &[20, 20], &[10, 20]])];
        let said = report(true, &["before", "reload"], servers).table();
        assert!(said.contains("p99 at 0.50, reload, ours ÷ before: median 2.00 (1.00 to 3.00)"), "{said}");
    }
}
