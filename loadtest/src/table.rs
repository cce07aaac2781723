//! The report as people read it: medians of all rounds, the ratio pair by pair; or as one JSON object.

use std::io::Write;

use serde_json::json;

use crate::measure::{Pair, Report, Round};

/// The service may cost this many floors.
const GOAL: f64 = 2.0;

pub fn print(report: &Report, as_json: bool) -> anyhow::Result<()> {
    let ratios = ratios(report);
    let said = if as_json {
        let ratio = json!({ "median": median(&ratios), "least": ratios.first(), "most": ratios.last(), "goal": GOAL });
        format!("{}\n", json!({ "measured": report, "ratio": ratio }))
    } else {
        table(report, &ratios)
    };
    std::io::stdout().write_all(said.as_bytes())?;
    Ok(())
}

fn table(report: &Report, ratios: &[f64]) -> String {
    let Report { connections, requests, pairs, .. } = report;
    let line = |name: &str, memory_mib: u64, of: fn(&Pair) -> Round| {
        let rate = median_of(pairs, |pair| of(pair).requests_per_second);
        let cpu = median_of(pairs, |pair| of(pair).cpu_microseconds_per_text);
        format!("{name:<34} {rate:>8.0} {cpu:>12.1} {memory_mib:>16}\n")
    };
    let (median, goal) = (median(ratios), if median(ratios) <= GOAL { "met" } else { "missed" });
    let (least, most) = (ratios.first().unwrap_or(&median), ratios.last().unwrap_or(&median));
    [
        format!(
            "{} pairs of rounds, {requests} texts each, {connections} connections, 1 topic, acks=all\n\n",
            pairs.len()
        ),
        format!("{:<34} {:>8} {:>12} {:>16}\n", "median", "req/s", "CPU µs/text", "peak memory MiB"),
        line("hyper + FutureProducer (the floor)", report.floor_memory_peak_mib, |pair| pair.floor),
        line("sms-router serve", report.service_memory_peak_mib, |pair| pair.service),
        format!("\nCPU ratio, pair by pair: median {median:.2} ({least:.2} to {most:.2}); goal {GOAL:.1} {goal}\n"),
    ]
    .concat()
}

/// The ratio of each pair, the least first.
fn ratios(report: &Report) -> Vec<f64> {
    let mut ratios: Vec<f64> = report.pairs.iter().map(Pair::ratio).collect();
    ratios.sort_by(f64::total_cmp);
    ratios
}

fn median_of(pairs: &[Pair], value: impl Fn(&Pair) -> f64) -> f64 {
    let mut values: Vec<f64> = pairs.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    median(&values)
}

/// Of sorted values; of an even number of them the mean of the middle two.
fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        for (values, middle) in [(&[3.0][..], 3.0), (&[1.0, 2.0], 1.5), (&[1.0, 2.0, 9.0], 2.0)] {
            assert!((median(values) - middle).abs() < f64::EPSILON, "{values:?}");
        }
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn the_ratio_is_taken_within_each_pair() {
        let round = |cpu| Round { requests_per_second: 1.0, cpu_microseconds_per_text: cpu };
        let pair = |floor, service| Pair { floor: round(floor), service: round(service) };
        let pairs = vec![pair(10.0, 15.0), pair(20.0, 50.0), pair(5.0, 10.0)];
        let report =
            Report { connections: 1, requests: 1, pairs, floor_memory_peak_mib: 1, service_memory_peak_mib: 2 };
        assert_eq!(ratios(&report), [1.5, 2.0, 2.5]);
        assert!(table(&report, &ratios(&report)).contains("median 2.00 (1.50 to 2.50); goal 2.0 met"));
    }
}
