//! Whether rows cost more than they may.
//!
//! Comes in: what each row costs, and what it may. Goes out: what is over its ceiling and what is far under it, as
//! lines to read.
//! Always true: a row without a ceiling is a failure, and so is a ceiling without a row; unless they come from
//! another commit, which may have had other rows.
//! Not here: what is counted, and where ceilings come from. `tests/it/budget.rs` holds this file to its limits.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Percent of the instructions allowed that a row may cost more.
const OVER: f64 = 3.0;
/// Percent of the instructions allowed that a row costs less, from where on the ceiling is worth lowering.
const UNDER: f64 = 5.0;
/// A whole atomic operation or allocation for each text is too much; less is chance.
const WHOLE: f64 = 0.7;

/// What a text costs.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Cost {
    pub instructions: f64,
    /// Operations that lock the memory's bus: a lock is two of them. Without those of libc, where an allocation takes
    /// one or not as chance has it.
    pub atomics: f64,
    pub allocations: f64,
}

/// The cost of a text, by row.
pub type Costs = BTreeMap<String, Cost>;

/// What all rows together came to.
pub struct Judgement {
    pub table: String,
    pub holds: bool,
}

impl Judgement {
    /// Each row beside its ceiling; `same_rows` unless the ceilings are another commit's.
    pub fn of(costs: &Costs, ceilings: &Costs, same_rows: bool) -> Self {
        let mut table =
            format!("{:<22} {:>22} {:>24} {:>17}\n", "counted of allowed", "instructions", "atomics", "allocations");
        let mut holds = true;
        for (row, cost) in costs {
            let (words, fits) = match ceilings.get(row) {
                Some(ceiling) => beside(cost, ceiling),
                None if same_rows => (format!("{:>22} FAILED: no ceiling", cost.instructions), false),
                None => (format!("{:>22} new", cost.instructions), true),
            };
            holds &= fits;
            table.push_str(&format!("{row:<22} {words}\n"));
            let is_low = ceilings.get(row).is_some_and(|ceiling| percent(cost, ceiling) < -UNDER);
            if !fits || is_low {
                table.push_str(&format!("    as counted: {}\n", line(row, cost)));
            }
        }
        for row in ceilings.keys().filter(|row| same_rows && !costs.contains_key(*row)) {
            holds = false;
            table.push_str(&format!("{row:<22} FAILED: it has a ceiling and was not counted\n"));
        }
        Self { table, holds }
    }
}

/// How much more than its ceiling a row takes of instructions.
fn percent(cost: &Cost, ceiling: &Cost) -> f64 {
    (cost.instructions / ceiling.instructions - 1.0) * 100.0
}

/// Which figures of a row are over its ceiling.
pub fn too_much(cost: &Cost, ceiling: &Cost) -> Vec<&'static str> {
    let (atomics, allocations) = (cost.atomics - ceiling.atomics, cost.allocations - ceiling.allocations);
    let over = [
        ("instructions", percent(cost, ceiling) > OVER),
        ("atomics", atomics > WHOLE),
        ("allocations", allocations > WHOLE),
    ];
    over.into_iter().filter(|(_, is_over)| *is_over).map(|(what, _)| what).collect()
}

/// The columns of a row, and whether it fits.
fn beside(cost: &Cost, ceiling: &Cost) -> (String, bool) {
    let percent = percent(cost, ceiling);
    let too_much = too_much(cost, ceiling);
    let mut words = format!(
        "{:>10.0} of {:>8.0} {percent:>+5.1} % {:>6.1} of {:>6.1} {:>8.1} of {:>6.1}",
        cost.instructions, ceiling.instructions, cost.atomics, ceiling.atomics, cost.allocations, ceiling.allocations
    );
    if !too_much.is_empty() {
        words.push_str(&format!("  FAILED: too many {}", too_much.join(", ")));
    } else if percent < -UNDER {
        words.push_str("  far under");
    }
    (words, too_much.is_empty())
}

/// A row of the file.
pub fn line(row: &str, cost: &Cost) -> String {
    let Cost { instructions, atomics, allocations } = cost;
    format!(
        "{row:?} = {{ instructions = {instructions:.0}.0, atomics = {atomics:.1}, allocations = {allocations:.1} }}"
    )
}
