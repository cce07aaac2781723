//! What librdkafka has to say: each thing once in a while, whether a producer has its id, how much it sent and how long
//! that took.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

use super::latency::Latency;
use crate::telemetry::Metrics;

/// The same kind of thing is said again after this long: a broker away would fill the log else.
const SAID_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// Kinds remembered.
const KINDS_MAX: usize = 64;
/// In the statistics, before the state of the producer's idempotence; "Assigned" once it has its id.
const STATE_KEY: &[u8] = b"\"idemp_state\"";
const HAS_ID: &[u8] = b"\"Assigned\"";
/// The totals stand at the end of the statistics, behind whatever there is to say of brokers and topics: of a
/// thousand topics that is a megabyte, and only this much of it is looked at.
const TOTALS_BYTES: usize = 400;

/// A client's context that neither floods the log nor parses all of the statistics; clones share what was said.
#[derive(Clone, Default)]
pub struct Calm(Arc<Inner>);

#[derive(Default)]
struct Inner {
    said: Mutex<HashMap<String, Instant>>,
    has_id: AtomicBool,
    traffic: Option<Traffic>,
}

/// What all producers have sent to the brokers; messages ÷ requests says how well they are batched.
#[derive(Clone)]
pub(super) struct Traffic {
    requests: Sent,
    messages: Sent,
    latency: Latency,
}

/// One total of one producer, and the sum over all of them.
struct Sent {
    all: IntCounter,
    /// What this producer's statistics said last.
    last: AtomicU64,
}

impl Traffic {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let sent = |all: &IntCounter| Sent { all: all.clone(), last: AtomicU64::new(0) };
        Self {
            requests: sent(&metrics.kafka_requests),
            messages: sent(&metrics.kafka_messages),
            latency: Latency::new(&metrics.kafka_latency),
        }
    }

    fn read(&self, statistics: &[u8]) {
        let end = &statistics[statistics.len().saturating_sub(TOTALS_BYTES)..];
        self.requests.rise_to(total(end, b"\"tx\""));
        self.messages.rise_to(total(end, b"\"txmsgs\""));
        self.latency.read(statistics);
    }
}

impl Clone for Sent {
    /// For another producer, which has sent nothing yet.
    fn clone(&self) -> Self {
        Self { all: self.all.clone(), last: AtomicU64::new(0) }
    }
}

impl Sent {
    fn rise_to(&self, total: Option<u64>) {
        let Some(total) = total else { return };
        let last = self.last.swap(total, Ordering::Relaxed);
        self.all.inc_by(total.saturating_sub(last));
    }
}

/// The whole number after the last such key.
fn total(statistics: &[u8], key: &[u8]) -> Option<u64> {
    let place = statistics.windows(key.len()).rposition(|window| window == key)?;
    whole_number(&statistics[place + key.len()..])
}

/// What follows a key, if that is a whole number.
pub(super) fn whole_number(after_key: &[u8]) -> Option<u64> {
    let value = after_key.trim_ascii_start().strip_prefix(b":")?.trim_ascii_start();
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    std::str::from_utf8(&value[..digits]).ok()?.parse().ok()
}

impl Calm {
    /// For a producer whose traffic is counted.
    pub(super) fn counting(traffic: &Traffic) -> Self {
        Self(Arc::new(Inner { traffic: Some(traffic.clone()), ..Inner::default() }))
    }

    /// Whether the producer has its id from the brokers.
    pub fn has_id(&self) -> bool {
        self.0.has_id.load(Ordering::Acquire)
    }

    fn is_news(&self, kind: String) -> bool {
        let mut said = self.0.said.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if said.get(&kind).is_some_and(|at| now.duration_since(*at) < SAID_AGAIN_AFTER) {
            return false;
        }
        if said.len() >= KINDS_MAX {
            said.clear();
        }
        said.insert(kind, now);
        true
    }
}

impl ClientContext for Calm {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        if !self.is_news(format!("log {facility}")) {
            return;
        }
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::error!(facility, message, "the Kafka client says");
            }
            RDKafkaLogLevel::Warning => tracing::warn!(facility, message, "the Kafka client says"),
            RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
                tracing::info!(facility, message, "the Kafka client says")
            }
            RDKafkaLogLevel::Debug => tracing::debug!(facility, message, "the Kafka client says"),
        }
    }

    /// Once a second, in the thread that polls for reports.
    fn stats_raw(&self, statistics: &[u8]) {
        if let Some(traffic) = &self.0.traffic {
            traffic.read(statistics);
        }
        if self.has_id() {
            return;
        }
        let Some(key) = statistics.windows(STATE_KEY.len()).position(|window| window == STATE_KEY) else { return };
        let value = statistics[key + STATE_KEY.len()..].trim_ascii_start();
        let value = value.strip_prefix(b":").unwrap_or_default().trim_ascii_start();
        self.0.has_id.store(value.starts_with(HAS_ID), Ordering::Release);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if self.is_news(format!("error {:?}", error.rdkafka_error_code())) {
            tracing::warn!(%error, reason, "the Kafka client has trouble");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_kind_is_said_once_and_kinds_are_bounded() {
        let context = Calm::default();
        assert!(context.is_news("a".to_owned()) && !context.is_news("a".to_owned()));
        assert!((0..1_000).all(|kind| context.is_news(kind.to_string())));
        assert!(context.0.said.lock().expect("a lock").len() <= KINDS_MAX);
    }

    #[test]
    fn the_id_shows_in_the_statistics() {
        let context = Calm::default();
        context.stats_raw(b"{\"eos\":{\"idemp_state\":\"WaitPID\"}}");
        assert!(!context.has_id());
        context.stats_raw(b"{ \"eos\": { \"idemp_state\": \"Assigned\" } }");
        assert!(context.has_id());
    }

    #[test]
    fn totals_are_those_at_the_end_and_each_producer_adds_its_own() {
        let metrics = Metrics::new();
        let traffic = Traffic::new(&metrics);
        let (one, two) = (Calm::counting(&traffic), Calm::counting(&traffic));
        let padding = " ".repeat(TOTALS_BYTES);
        let statistics = |tx: u64, txmsgs: u64| {
            format!(
                "{{ \"brokers\": {{ \"b\": {{ \"tx\":999 }} }}{padding}, \"tx\":{tx}, \"tx_bytes\":7, \"rx\":1, \"txmsgs\":{txmsgs}, \"txmsg_bytes\":9 }}"
            )
        };
        one.stats_raw(statistics(2, 10).as_bytes());
        one.stats_raw(statistics(5, 50).as_bytes());
        two.stats_raw(statistics(3, 30).as_bytes());
        two.stats_raw(b"{}");
        assert_eq!((metrics.kafka_requests.get(), metrics.kafka_messages.get()), (8, 80));
    }
}
