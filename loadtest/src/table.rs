//! The report as people read it: medians of all rounds, the ratio round by round; or as one JSON object.
//!
//! Comes in: a report. Goes out: the table, and failure if the check found anything: its figures are void.

use serde_json::{Value, json};

use crate::candidate::Round;
use crate::check;
use crate::figures::{self, median, sorted, spread};
use crate::measure::{Measured, Report};
use crate::peers;
use crate::statistics;
use crate::texts::Mix;

/// A figure of one round.
type Figure = fn(&Round) -> f64;

const CPU: Figure = |round| round.cpu_microseconds_per_text;
const RATE: Figure = |round| round.requests_per_second;

/// One server beside another, in one figure.
struct Ratio<'a> {
    floor: &'a Measured,
    /// The one's figure in the other's, of each round, the least first.
    rounds: Vec<f64>,
}

impl Ratio<'_> {
    fn shown(&self) -> Value {
        json!({ "floor": self.floor.name, "median": median(&self.rounds), "rounds": self.rounds })
    }
}

pub fn print(report: &Report, as_json: bool) -> anyhow::Result<()> {
    figures::print(as_json, || object(report), || table(report))?;
    check::must_be_clean(report.check.as_ref())
}

/// What was measured, and the ratios of the table.
fn object(report: &Report) -> Value {
    let of_peer = |peer: &Measured| {
        let rounds = ratio(peer, &report.service, CPU).rounds;
        json!({ "peer": peer.name, "median": median(&rounds), "rounds": rounds, "goal": peers::goal(&peer.name) })
    };
    json!({
        "measured": report,
        "cpu_ratio": cpu(report).map(|ratio| ratio.shown()),
        "rate_ratio": rate(report).map(|ratio| ratio.shown()),
        "cpu_ratios_working": ratios_working(report, cpu(report), CPU),
        "rate_ratios_working": ratios_working(report, rate(report), RATE),
        "cpu_ratio_peers": report.peers.iter().map(of_peer).collect::<Vec<_>>(),
    })
}

/// Of each floor that works: its figure in the best floor's, and ours in its.
fn ratios_working(report: &Report, best: Option<Ratio<'_>>, figure: Figure) -> Vec<Value> {
    let best = best.map(|ratio| ratio.floor);
    let of = |one: &Measured| {
        let to_best = best.map(|best| ratio(one, best, figure).shown());
        json!({ "working": one.name, "to_best": to_best, "ours_to_it": ratio(&report.service, one, figure).shown() })
    };
    report.working.iter().map(of).collect()
}

fn table(report: &Report) -> String {
    let Report {
        connections, topics, replication, requests, service, floors, working, bare, peers, absent, check, ..
    } = report;
    let mut said = format!(
        "{} rounds of {requests} requests each{}, {connections} connections, {topics} topics, {replication} copies, acks=all\n\n\
         {:<34} {:>8} {:>12} {:>16}\n",
        service.rounds.len(),
        mix(report),
        "median",
        "req/s",
        "CPU µs/text",
        "peak memory MiB"
    );
    for Measured { name, rounds, memory_peak_mib, note, .. } in
        bare.iter().chain(floors).chain(working).chain([service]).chain(peers)
    {
        let (rate, cpu) = (middle(rounds, RATE), middle(rounds, CPU));
        let note = note.map(|note| format!("  {note}")).unwrap_or_default();
        said += &format!("{name:<34} {rate:>8.0} {cpu:>12.1} {memory_peak_mib:>16}{note}\n");
    }
    for (name, reason) in absent {
        said += &format!("{name}: cannot be had here: {reason}\n");
    }
    said += &sent(report);
    for (what, ours, figure) in [("CPU a text", cpu(report), CPU), ("throughput", rate(report), RATE)] {
        let Some(Ratio { floor, rounds }) = ours else { continue };
        said += &format!("\n{what}, ours ÷ the best ({}): {}", floor.name, spread(&rounds));
        for one in working {
            let (theirs, ours) = (ratio(one, floor, figure).rounds, ratio(service, one, figure).rounds);
            said += &format!("\n{what}, {} ÷ that: {}; ours ÷ its: {}", one.name, spread(&theirs), spread(&ours));
        }
    }
    for peer in peers {
        let rounds = ratio(peer, service, CPU).rounds;
        said += &format!("\nCPU a text, {} ÷ ours: {}{}", peer.name, spread(&rounds), goal(&peer.name, &rounds));
    }
    said + &format!("\n\n{}\n", check::told(check.as_ref(), "--no-check"))
}

/// What is known of the requests to the brokers.
fn sent(report: &Report) -> String {
    if !report.statistics {
        return String::new();
    }
    let all = report.floors.iter().chain(&report.working).chain([&report.service]);
    let rows = all.filter_map(|one| Some(statistics::row(&one.name, one.sent.as_ref()?)));
    let mut said = format!("\n{}{}", statistics::head(), rows.collect::<String>());
    if report.service.sent.is_none() {
        // An earlier build is compared all the same.
        said += &format!("{}: this build does not count its requests to the brokers\n", report.service.name);
    }
    said
}

fn mix(report: &Report) -> String {
    let carriers = |mix: &Mix| format!(", a mix of {} carriers by seed {}", mix.carriers.len(), report.seed);
    report.mix.as_ref().map(carriers).unwrap_or_default()
}

/// Whether a peer takes as many times our CPU as is wanted.
fn goal(peer: &str, rounds: &[f64]) -> String {
    let said = |goal: f64| format!("; goal ≥ {goal}: {}", if median(rounds) >= goal { "met" } else { "missed" });
    peers::goal(peer).map(said).unwrap_or_default()
}

/// Beside the floor that costs least.
fn cpu(report: &Report) -> Option<Ratio<'_>> {
    let floor = report.floors.iter().min_by(|left, right| of(left, CPU).total_cmp(&of(right, CPU)))?;
    Some(ratio(&report.service, floor, CPU))
}

/// Beside the floor that answers most.
fn rate(report: &Report) -> Option<Ratio<'_>> {
    let floor = report.floors.iter().max_by(|left, right| of(left, RATE).total_cmp(&of(right, RATE)))?;
    Some(ratio(&report.service, floor, RATE))
}

fn ratio<'a>(one: &Measured, floor: &'a Measured, figure: Figure) -> Ratio<'a> {
    let pairs = one.rounds.iter().zip(&floor.rounds);
    Ratio { floor, rounds: sorted(pairs.map(|(one, floor)| figure(one) / figure(floor))) }
}

fn of(measured: &Measured, figure: Figure) -> f64 {
    middle(&measured.rounds, figure)
}

fn middle(rounds: &[Round], figure: Figure) -> f64 {
    median(&sorted(rounds.iter().map(figure)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Verdict;

    fn measured(name: &str, rounds: &[(f64, f64)]) -> Measured {
        let round = |(rate, cpu): &(f64, f64)| Round { requests_per_second: *rate, cpu_microseconds_per_text: *cpu };
        Measured {
            name: name.to_owned(),
            rounds: rounds.iter().map(round).collect(),
            memory_peak_mib: 1,
            note: None,
            sent: None,
        }
    }

    fn report() -> Report {
        Report {
            connections: 1,
            topics: 1,
            replication: 1,
            requests: 1,
            mix: None,
            seed: 1,
            statistics: true,
            service: measured("ours", &[(10.0, 15.0), (10.0, 50.0), (10.0, 10.0)]),
            floors: vec![
                measured("cheap", &[(5.0, 10.0), (5.0, 20.0), (5.0, 5.0)]),
                measured("fast", &[(20.0, 30.0), (40.0, 30.0), (10.0, 30.0)]),
            ],
            // It costs least and answers most, and is not the best.
            bare: vec![measured("hyper", &[(90.0, 1.0), (90.0, 1.0), (90.0, 1.0)])],
            working: vec![measured("busy", &[(8.0, 12.0), (8.0, 25.0), (8.0, 8.0)])],
            peers: vec![measured("go", &[(1.0, 30.0), (1.0, 200.0), (1.0, 50.0)])],
            absent: vec![("other".to_owned(), "refused".to_owned())],
            check: Some(Verdict { texts: 3, lost: 1, ..Verdict::default() }),
        }
    }

    #[test]
    fn the_best_floor_is_another_for_each_figure_and_ratios_are_taken_within_each_round() {
        let report = report();
        let (cpu, rate) = (cpu(&report).expect("floors"), rate(&report).expect("floors"));
        assert_eq!((cpu.floor.name.as_str(), cpu.rounds.as_slice()), ("cheap", &[1.5, 2.0, 2.5][..]));
        assert_eq!((rate.floor.name.as_str(), rate.rounds.as_slice()), ("fast", &[0.25, 0.5, 1.0][..]));
        let said = table(&report);
        assert!(said.contains("CPU a text, go ÷ ours: median 4.00 (2.00 to 5.00); goal ≥ 2.5: met"), "{said}");
        assert!(said.contains("CPU a text, ours ÷ the best (cheap): median 2.00 (1.50 to 2.50)"), "{said}");
        assert!(
            said.contains("CPU a text, busy ÷ that: median 1.25 (1.20 to 1.60); ours ÷ its: median 1.25"),
            "{said}"
        );
        assert!(said.contains("hyper                                    90          1.0"), "{said}");
        assert!(said.contains("other: cannot be had here: refused"), "{said}");
        assert!(said.contains("of 3 acknowledged texts 1 are lost, 0 doubled"), "{said}");
        assert!(said.contains("ours: this build does not count its requests"), "{said}");
        assert!(check::must_be_clean(report.check.as_ref()).is_err(), "what is lost makes the run fail");
        assert!(check::must_be_clean(None).is_ok());
    }

    #[test]
    fn json_has_the_ratios_of_the_table() {
        let said = object(&report());
        for (path, expected) in [
            ("/cpu_ratio/floor", json!("cheap")),
            ("/cpu_ratio/rounds", json!([1.5, 2.0, 2.5])),
            ("/rate_ratio/median", json!(0.5)),
            ("/cpu_ratios_working/0/working", json!("busy")),
            ("/cpu_ratios_working/0/to_best/floor", json!("cheap")),
            ("/cpu_ratios_working/0/to_best/rounds", json!([1.2, 1.25, 1.6])),
            ("/cpu_ratios_working/0/ours_to_it/rounds", json!([1.25, 1.25, 2.0])),
            ("/rate_ratios_working/0/to_best/floor", json!("fast")),
            ("/rate_ratios_working/0/ours_to_it/median", json!(1.25)),
            ("/cpu_ratio_peers/0/goal", json!(2.5)),
        ] {
            assert_eq!(said.pointer(path), Some(&expected), "{path} of {said}");
        }
        let without_best = object(&Report { floors: Vec::new(), ..report() });
        assert_eq!(without_best.pointer("/cpu_ratios_working/0/to_best"), Some(&Value::Null));
        assert_eq!(without_best.pointer("/cpu_ratios_working/0/ours_to_it/median"), Some(&json!(1.25)));
    }
}
