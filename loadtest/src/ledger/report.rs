//! The end of a run, as people read it.
//!
//! Comes in: the verdict. Goes out: a table on standard output, the worst by name, all violations in a
//! file. Always true: the seed is on it. Not here: the exit code's reason (`main`).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use crate::judge::{Counts, Verdict};
use crate::violation::{Kind, Violation};

/// Violations of one kind that are printed; the file has all.
const SHOWN_MAX: usize = 10;
const COLUMNS: [&str; 9] =
    ["acknowl.", "stored", "copies", "lost", "corrupt", "misrouted", "disorder", "not sent", "no archive"];

pub fn table(verdict: &Verdict) -> String {
    let mut table = format!("{:<20}", "texts under way while");
    for column in COLUMNS {
        let _ = write!(table, "{column:>11}");
    }
    table.push('\n');
    for (label, counts) in &verdict.rows {
        let _ = write!(table, "{label:<21}");
        for count in columns(counts) {
            let _ = write!(table, "{count:>11}");
        }
        table.push('\n');
    }
    table
}

fn columns(counts: &Counts) -> [u64; COLUMNS.len()] {
    [
        counts.acknowledged,
        counts.stored,
        counts.copies,
        counts.lost,
        counts.corrupted,
        counts.misrouted,
        counts.out_of_order,
        counts.never_sent,
        counts.not_archived,
    ]
}

/// Writes all of them to the file; says how many of each kind there are and shows some.
pub fn violations(violations: &[Violation], file: &Path) -> anyhow::Result<String> {
    let mut by_kind = BTreeMap::<Kind, Vec<&Violation>>::new();
    violations.iter().for_each(|violation| by_kind.entry(violation.kind).or_default().push(violation));
    let (mut said, mut all) = (String::new(), String::new());
    for (kind, mut violations) in by_kind {
        violations.sort_by_key(|violation| violation.key);
        let _ = writeln!(said, "{kind:?}: {}", violations.len());
        for violation in violations.iter().take(SHOWN_MAX) {
            let _ = writeln!(said, "  {violation}");
        }
        violations.iter().for_each(|violation| all.push_str(&format!("{violation}\n")));
    }
    std::fs::write(file, all)?;
    Ok(said)
}
