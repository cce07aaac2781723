//! What `tests/run budget` lets pass and what it refuses: the judge without the counting.

#[path = "../../benches/budget/judgement.rs"]
mod judgement;

use judgement::{Cost, Costs, Judgement};

const ROW: &str = "path/generic";
const CEILING: Cost = Cost { instructions: 100_000.0, atomics: 150.0, allocations: 40.0 };

fn costs(row: &str, cost: Cost) -> Costs {
    Costs::from([(row.to_owned(), cost)])
}

/// The line that refuses a row of that cost, if one does.
fn refusal(cost: Cost) -> Option<String> {
    let judgement = Judgement::of(&costs(ROW, cost), &costs(ROW, CEILING), true);
    let refusal = judgement.table.lines().find(|line| line.contains("FAILED")).map(str::to_owned);
    assert_eq!(judgement.holds, refusal.is_none(), "{}", judgement.table);
    refusal
}

/// Refused with a line that names the row, its figures and which of them is too much; `None` if it passes.
fn check(cost: Cost, expected: Option<(&str, &str)>) {
    match (refusal(cost), expected) {
        (None, None) => {}
        (Some(line), Some((figures, what))) => {
            assert!(line.starts_with(ROW) && line.contains(figures), "{figures} in: {line}");
            assert!(line.ends_with(&format!("FAILED: too many {what}")), "{what} in: {line}");
        }
        (refusal, _) => panic!("{cost:?}: expected {expected:?}, got {refusal:?}"),
    }
}

#[test]
fn three_percent_more_instructions_are_refused() {
    let row = |instructions| Cost { instructions, ..CEILING };
    check(row(90_000.0), None);
    check(row(100_000.0), None);
    check(row(102_900.0), None);
    check(row(103_100.0), Some(("103100 of   100000  +3.1 %", "instructions")));
}

#[test]
fn one_more_allocation_is_refused() {
    let row = |allocations| Cost { allocations, ..CEILING };
    check(row(39.0), None);
    check(row(40.1), None);
    check(row(41.0), Some(("41.0 of   40.0", "allocations")));
}

#[test]
fn one_more_atomic_operation_is_refused_and_so_is_a_lock() {
    let row = |atomics| Cost { atomics, ..CEILING };
    check(row(148.0), None);
    check(row(150.1), None);
    check(row(151.0), Some(("151.0 of  150.0", "atomics")));
    check(row(152.0), Some(("152.0 of  150.0", "atomics")));
}

#[test]
fn all_that_is_too_much_is_named() {
    let cost = Cost { instructions: 120_000.0, atomics: 152.0, allocations: 42.0 };
    check(cost, Some(("+20.0 %", "instructions, atomics, allocations")));
}

#[test]
fn one_row_over_its_ceiling_is_enough() {
    let ceilings = Costs::from(["encode", "match", "publish"].map(|row| (row.to_owned(), CEILING)));
    let mut counts = ceilings.clone();
    assert!(Judgement::of(&counts, &ceilings, true).holds);
    counts.insert("match".to_owned(), Cost { atomics: 152.0, ..CEILING });
    let judgement = Judgement::of(&counts, &ceilings, true);
    assert!(!judgement.holds);
    let failed: Vec<_> = judgement.table.lines().filter(|line| line.contains("FAILED")).collect();
    assert!(matches!(failed[..], [line] if line.starts_with("match ")), "{failed:?}");
}

#[test]
fn rows_and_ceilings_that_miss_each_other_are_refused_unless_from_another_commit() {
    let (ours, theirs) = (costs("encode", CEILING), costs("match", CEILING));
    let judgement = Judgement::of(&ours, &theirs, true);
    assert!(!judgement.holds);
    assert!(judgement.table.contains("FAILED: no ceiling"), "{}", judgement.table);
    assert!(judgement.table.contains("FAILED: it has a ceiling and was not counted"), "{}", judgement.table);
    assert!(Judgement::of(&ours, &theirs, false).holds);
}
