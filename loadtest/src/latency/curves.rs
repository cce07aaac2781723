//! Latency by percentile: a curve for each rate, server and stretch.
//!
//! Comes in: a report. Goes out: a chart whose percentiles are as HDR histograms show them: each decade of
//! texts beyond takes as much room as the one before. Always true: a curve is of all rounds' texts together
//! and ends where fewer than one text lies beyond. Not here: how lines are drawn (`svg`).

use super::report::{Load, Measured, Report};
use crate::svg::{Axis, Chart, Line};
use crate::tally::{merged, quantile_ms};

/// What the percentile's axis shows, each a decade after the other.
const PERCENTILES: [&str; 6] = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"];
/// Points of a curve within one decade.
const POINTS: f64 = 20.0;

pub fn chart(report: &Report) -> Chart {
    let lines: Vec<Line> = report.loads.iter().flat_map(|load| lines(report, load)).collect();
    let ticks = PERCENTILES.iter().zip(0..).map(|(said, decades)| (f64::from(decades), (*said).to_owned())).collect();
    let most = lines.iter().flat_map(|line| &line.points).map(|(_, latency)| *latency).fold(0.0, f64::max);
    Chart {
        title: "Latency from the instant a text was due".to_owned(),
        x: Axis::with("percentile of texts", ticks),
        y: Axis::linear("latency, ms", most),
        lines,
    }
}

fn lines<'a>(report: &'a Report, load: &'a Load) -> impl Iterator<Item = Line> {
    let stretches = report.stretches.iter().enumerate();
    let all = load.servers.iter().flat_map(move |server| stretches.clone().map(move |stretch| (server, stretch)));
    all.map(|(server, (at, stretch))| {
        let of = if report.stretches.len() > 1 { format!(", {stretch}") } else { String::new() };
        Line { name: format!("{}, {:.0}/s{of}", server.name, load.rate), points: curve(server, at) }
    })
}

/// Decades of texts beyond (1 for 90 %, 2 for 99 %), and the latency there.
fn curve(server: &Measured, at: usize) -> Vec<(f64, f64)> {
    let all = merged(server.rounds.iter().map(|round| &round.stretches[at].histogram));
    if all.is_empty() {
        return Vec::new();
    }
    let end = (all.len() as f64).log10().min((PERCENTILES.len() - 1) as f64);
    let steps = (0..).map(|step| f64::from(step) / POINTS).take_while(|decades| *decades <= end);
    steps.map(|decades| (decades, quantile_ms(&all, 1.0 - 10_f64.powf(-decades)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::latency::report::tests::{measured, report};

    #[test]
    fn the_chart_has_a_line_for_each_server_as_far_as_its_texts_go() {
        let servers = vec![measured("ours", &[&[10]]), measured("floor", &[&[20]])];
        let chart = chart(&report(false, &["all"], servers));
        let names: Vec<_> = chart.lines.iter().map(|line| line.name.as_str()).collect();
        assert_eq!(names, ["ours, 1000/s", "floor, 1000/s"]);
        let (last, _) = chart.lines[0].points.last().expect("points");
        assert!((last - 3.0).abs() < 1e-9, "of 1,000 texts one lies beyond 99.9 %: {last}");
    }
}
