//! Throughput against departments, from what the closed loop said.
//!
//! Comes in: files of `loadtest --json`, of any numbers of topics. Goes out: an SVG with a line for each
//! server: medians of rounds, of each number of topics; and one for the best working floor of each number, whichever
//! that is. Always true: a server of one file alone has a point; without working floors there is no line of them.
//! Not here: how lines are drawn (`svg`); latency by percentile (`latency/curves`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use serde::Deserialize;

use crate::figures::{median, sorted};
use crate::svg::{Axis, Chart, Line};

/// What the line of the working floors is called.
const BEST_WORKING: &str = "best working floor";

#[derive(Args)]
pub struct Arguments {
    /// What --json said of the closed loop, a file for each number of topics
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Where the chart goes
    #[arg(long, value_name = "FILE.svg")]
    to: PathBuf,
}

/// What of a kept report is drawn.
#[derive(Deserialize)]
struct Kept {
    measured: Report,
}

#[derive(Deserialize)]
struct Report {
    topics: u16,
    service: Server,
    floors: Vec<Server>,
    /// Kept by later builds alone.
    #[serde(default)]
    working: Vec<Server>,
    peers: Vec<Server>,
}

#[derive(Deserialize)]
struct Server {
    name: String,
    rounds: Vec<Round>,
}

#[derive(Deserialize)]
struct Round {
    requests_per_second: f64,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let reports = arguments.files.iter().map(|file| read(file)).collect::<anyhow::Result<Vec<_>>>()?;
    write(&arguments.to, &chart(reports))
}

/// Puts a chart into a file.
pub fn write(file: &Path, chart: &Chart) -> anyhow::Result<()> {
    std::fs::write(file, chart.to_string()).with_context(|| format!("{} cannot be written", file.display()))
}

fn read(file: &Path) -> anyhow::Result<Report> {
    let kept = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let kept: Kept = serde_json::from_slice(&kept)
        .with_context(|| format!("{} is not what `loadtest --json` says", file.display()))?;
    Ok(kept.measured)
}

fn chart(mut reports: Vec<Report>) -> Chart {
    reports.sort_by_key(|report| report.topics);
    let topics: BTreeMap<u16, String> =
        reports.iter().map(|report| (report.topics, report.topics.to_string())).collect();
    // In decades: 1, 10, 100, 1,000 departments are equally far apart.
    let at = |topics: u16| f64::from(topics).log10();
    let mut lines: Vec<Line> = Vec::new();
    for report in reports {
        for (name, rate) in report.rates() {
            let point = (at(report.topics), rate);
            match lines.iter_mut().find(|line| line.name == name) {
                Some(line) => line.points.push(point),
                None => lines.push(Line { name: name.to_owned(), points: vec![point] }),
            }
        }
    }
    let most = lines.iter().flat_map(|line| &line.points).map(|(_, rate)| *rate).fold(0.0, f64::max);
    Chart {
        title: "Throughput against departments".to_owned(),
        x: Axis::with(
            "departments, each with a topic",
            topics.into_iter().map(|(count, said)| (at(count), said)).collect(),
        ),
        y: Axis::linear("texts a second", most),
        lines,
    }
}

impl Report {
    /// What each line has at this number of topics.
    fn rates(&self) -> Vec<(&str, f64)> {
        let working = self.working.iter().map(Server::rate).max_by(f64::total_cmp);
        let working = working.map(|rate| (BEST_WORKING, rate));
        let ours = [&self.service].into_iter().chain(&self.floors).map(Server::named_rate);
        ours.chain(working).chain(self.peers.iter().map(Server::named_rate)).collect()
    }
}

impl Server {
    fn named_rate(&self) -> (&str, f64) {
        (&self.name, self.rate())
    }

    /// The median of its rounds.
    fn rate(&self) -> f64 {
        median(&sorted(self.rounds.iter().map(|round| round.requests_per_second)))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// As `loadtest --json` keeps it, with more than is drawn.
    fn kept(topics: u16, service: &[f64], floor: &[f64], working: Option<Value>) -> Report {
        let mut report = json!({ "topics": topics, "requests": 9, "peers": [] });
        report["service"] = measured("ours", service);
        report["floors"] = json!([measured("floor", floor)]);
        if let Some(working) = working {
            report["working"] = working;
        }
        let said = json!({ "measured": report, "cpu_ratio": null }).to_string();
        serde_json::from_str::<Kept>(&said).expect("what was kept").measured
    }

    fn measured(name: &str, rates: &[f64]) -> Value {
        let round = |rate| json!({ "requests_per_second": rate, "cpu_microseconds_per_text": 1.0 });
        json!({ "name": name, "rounds": rates.iter().map(round).collect::<Vec<_>>(), "memory_peak_mib": 1 })
    }

    fn lines(chart: &Chart) -> Vec<(&str, &[(f64, f64)])> {
        chart.lines.iter().map(|line| (line.name.as_str(), line.points.as_slice())).collect()
    }

    #[test]
    fn there_is_a_line_for_each_server_through_its_medians() {
        // The one is of a build that had no working floors, the other measured none.
        let chart = chart(vec![kept(100, &[3.0, 1.0, 2.0], &[1.0], None), kept(1, &[5.0], &[9.0], Some(json!([])))]);
        let expected = [("ours", &[(0.0, 5.0), (2.0, 2.0)][..]), ("floor", &[(0.0, 9.0), (2.0, 1.0)][..])];
        assert_eq!(lines(&chart), expected);
        assert!(chart.to_string().contains("departments, each with a topic"));
    }

    #[test]
    fn the_working_floors_have_one_line_through_the_best_of_each_number() {
        let working = |one: &[f64], other: &[f64]| Some(json!([measured("1:1", one), measured("0:1", other)]));
        let chart = chart(vec![
            kept(1, &[5.0], &[9.0], working(&[6.0], &[7.0])),
            kept(10, &[5.0], &[9.0], None),
            // The best by the median, though another had the best round.
            kept(100, &[2.0], &[1.0], working(&[3.0, 4.0, 5.0], &[1.0, 2.0, 9.0])),
        ]);
        assert_eq!(lines(&chart)[2..], [("best working floor", &[(0.0, 7.0), (2.0, 4.0)][..])]);
    }
}
