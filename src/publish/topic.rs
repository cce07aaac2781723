//! What is known of one topic: its bound, its breaker, the producer it belongs to, what is under way.
//!
//! Comes in: what became of each of its records. Goes out: whether and when a text may go, and the
//! metrics and the log's line when that changes.
//! Not here: sending, and what a failure means (`fault`).

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;

use super::breaker::{Breaker, BreakerState, Outcome, Turn};
use super::client::Settings;
use super::fault::Fault;
use super::gather::Gather;
use super::gauges::Gauges;
use crate::telemetry::Metrics;

/// One topic as `/readyz?verbose` shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicState {
    pub name: Arc<str>,
    pub breaker: BreakerState,
    /// For how long its breaker has been open; it is on the quarantine producer since then.
    pub away: Option<Duration>,
}

pub(super) struct Topic {
    pub(super) name: Arc<str>,
    /// Which of the shared producers is its own.
    pub(super) lane: usize,
    /// Texts that wait for the brokers.
    pub(super) waiting: AtomicUsize,
    pub(super) breaker: Breaker,
    pub(super) gather: Gather,
    gauges: Gauges,
    /// Values of this size and beyond have been refused; they go by themselves. A refusal makes a
    /// producer begin its sequence anew, which takes half a second for every topic in it.
    refused_from: AtomicUsize,
}

impl Topic {
    pub(super) fn new(name: &str, label: &str, lane: usize, settings: &Settings, metrics: &Metrics) -> Self {
        Self {
            name: name.into(),
            lane,
            waiting: AtomicUsize::new(0),
            breaker: Breaker::new(settings.stall, settings.probe_interval),
            gather: Gather::new(),
            gauges: Gauges::new(metrics, label),
            refused_from: AtomicUsize::new(usize::MAX),
        }
    }

    /// Resolves when the breaker lets a text through.
    pub(super) async fn let_through(&self) {
        loop {
            let sooner = self.breaker.sooner();
            let Some(due) = self.breaker.opens_at(Instant::now()) else { return };
            tokio::select! {
                () = sooner => {}
                () = tokio::time::sleep_until(due.into()) => {}
            }
        }
    }

    /// Takes note of what became of a text; whether the breaker closed by it.
    pub(super) fn settle(&self, turn: Turn, outcome: Outcome) -> bool {
        let changed = self.breaker.settle(turn, outcome, Instant::now());
        self.note(changed, outcome);
        changed == Some(false)
    }

    /// Opens the breaker for what is known without a text: the cluster says that it is missing.
    pub(super) fn miss(&self) {
        let outcome = Outcome::Failed { topic_is_at_fault: true };
        if !self.breaker.is_open() {
            self.note(self.breaker.open(Instant::now()), outcome);
        }
    }

    fn note(&self, changed: Option<bool>, why: Outcome) {
        if let Some(open) = changed {
            self.gauges.changed(open);
        }
        match changed {
            Some(true) => {
                tracing::error!(topic = %self.name, ?why, "breaker opened: the topic is on the quarantine producer until a probe succeeds");
            }
            Some(false) => {
                tracing::info!(topic = %self.name, "breaker closed: the topic takes texts again");
            }
            None => {}
        }
        // Most texts are delivered to a topic that takes them, which is no news.
        if changed.is_some() || why != Outcome::Delivered {
            self.show();
        }
    }

    pub(super) fn show(&self) {
        self.gauges.show(|| self.breaker.state());
    }

    pub(super) fn state(&self) -> TopicState {
        let away = self.breaker.away_for(Instant::now());
        TopicState { name: self.name.clone(), breaker: self.breaker.state(), away }
    }

    /// Whether a value of this size belongs among others in one request.
    pub(super) fn fits_others(&self, bytes: usize) -> bool {
        bytes < self.refused_from.load(Ordering::Relaxed)
    }

    /// Learns from what became of a record; a limit may have been raised.
    pub(super) fn learn_size(&self, bytes: usize, result: Result<(), RDKafkaErrorCode>) {
        match result {
            Ok(()) if !self.fits_others(bytes) => self.refused_from.store(usize::MAX, Ordering::Relaxed),
            Err(code) if Fault::of(code) == Fault::Record => {
                self.refused_from.fetch_min(bytes, Ordering::Relaxed);
            }
            Ok(()) | Err(_) => {}
        }
    }
}
