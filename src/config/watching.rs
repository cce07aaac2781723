//! `[probe]` and `[reconcile]`: how the router watches itself.

use std::time::Duration;

use super::read::Section;

/// Shortest and longest time between two synthetic texts, in milliseconds.
const PROBE_EVERY_MS: std::ops::RangeInclusive<i64> = 100..=3_600_000;

/// How closed hours are reconciled while the process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reconcile {
    /// Between two looks whether an hour can be judged; `None` when no hour is judged while running.
    pub every: Option<Duration>,
    /// Ids held at once; an hour with more is judged in pieces.
    pub ids_max: usize,
}

/// How often a synthetic text is sent; `None` for never, which is the default.
pub(super) fn probe(section: Section<'_>) -> Option<Duration> {
    let every = section.node("every_ms").is_some();
    let every = every.then(|| section.milliseconds("every_ms", Duration::from_secs(5), PROBE_EVERY_MS));
    section.finish();
    every
}

/// `every_ms = 0` switches it off.
pub(super) fn reconcile(section: Section<'_>) -> Reconcile {
    let every = section.milliseconds("every_ms", Duration::from_secs(600), 0..=3_600_000);
    let ids_max = section.count("ids_max", 500_000, 1_000..=100_000_000);
    section.finish();
    Reconcile { every: (!every.is_zero()).then_some(every), ids_max }
}
