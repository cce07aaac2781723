//! Figures of rounds, as every report tells them: put in order, their median and spread; a table or one JSON object.
//!
//! Comes in: values of rounds; what a report has to say in both forms. Goes out: the words, on standard output.
//! Not here: what the figures are of, and what becomes of a run whose check found something (`check`).

use std::io::Write;

use serde_json::Value;

/// The least first.
pub fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

/// Of sorted values; of an even number of them the mean of the middle two.
pub fn median(sorted: &[f64]) -> f64 {
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

/// The median of sorted values, the least and the most.
pub fn spread(sorted: &[f64]) -> String {
    let (least, most) = (sorted.first().unwrap_or(&f64::NAN), sorted.last().unwrap_or(&f64::NAN));
    format!("median {:.2} ({least:.2} to {most:.2})", median(sorted))
}

/// Prints a report in the form that was asked for.
pub fn print(as_json: bool, object: impl FnOnce() -> Value, table: impl FnOnce() -> String) -> anyhow::Result<()> {
    let said = if as_json { format!("{}\n", object()) } else { table() };
    Ok(std::io::stdout().write_all(said.as_bytes())?)
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
}
