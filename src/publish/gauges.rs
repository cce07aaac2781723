//! What monitoring sees of one topic's breaker: its state, since when, how often it opened.
//!
//! Comes in: each change. Goes out: the department's metrics, their handles resolved once.
//! Not here: what changes it, and the log's line about it.

use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{Gauge, IntCounter, IntGauge};

use super::breaker::BreakerState;
use crate::telemetry::Metrics;

pub(super) struct Gauges {
    up: IntGauge,
    states: [(BreakerState, IntGauge); BreakerState::ALL.len()],
    changed_at: Gauge,
    opened: IntCounter,
    turn: Mutex<()>,
}

impl Gauges {
    /// A topic that nothing is known of counts as taking texts.
    pub(super) fn new(metrics: &Metrics, department: &str) -> Self {
        let gauges = Self {
            up: metrics.department_up.with_label_values(&[department]),
            states: BreakerState::ALL
                .map(|state| (state, metrics.breaker_state.with_label_values(&[department, state.label()]))),
            changed_at: metrics.breaker_changed.with_label_values(&[department]),
            opened: metrics.breaker_opened.with_label_values(&[department]),
            turn: Mutex::new(()),
        };
        gauges.show(|| BreakerState::Closed);
        gauges
    }

    /// Shows the state that `now` tells. It is asked for in turn, so that the last one shown is the
    /// latest there was, whoever comes second.
    pub(super) fn show(&self, now: impl FnOnce() -> BreakerState) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let now = now();
        self.up.set(i64::from(now == BreakerState::Closed));
        for (state, gauge) in &self.states {
            gauge.set(i64::from(*state == now));
        }
    }

    /// Notes when the breaker was opened or closed.
    pub(super) fn changed(&self, open: bool) {
        self.opened.inc_by(u64::from(open));
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.changed_at.set(since_1970.as_secs_f64());
    }
}
