//! What monitoring sees of one topic's breaker: its state, since when, how often it opened.
//!
//! Comes in: each change. Goes out: the department's metrics, their handles resolved once.
//! Not here: what changes it, and the log's line about it.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{Gauge, IntCounter, IntGauge};

use super::breaker::BreakerState;
use crate::telemetry::Metrics;

pub(super) struct Gauges {
    up: IntGauge,
    states: [(BreakerState, IntGauge); BreakerState::ALL.len()],
    changed_at: Gauge,
    opened: IntCounter,
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
        };
        gauges.up.set(1);
        gauges.show(BreakerState::Closed);
        gauges
    }

    pub(super) fn show(&self, now: BreakerState) {
        for (state, gauge) in &self.states {
            gauge.set(i64::from(*state == now));
        }
    }

    pub(super) fn changed(&self, open: bool) {
        self.up.set(i64::from(!open));
        self.show(if open { BreakerState::Open } else { BreakerState::Closed });
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.changed_at.set(since_1970.as_secs_f64());
        if open {
            self.opened.inc();
        }
    }
}
