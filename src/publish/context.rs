//! What librdkafka has to say: each thing once in a while, and whether a producer has its id.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;

/// The same kind of thing is said again after this long: a broker away would fill the log else.
const SAID_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// Kinds remembered.
const KINDS_MAX: usize = 64;
/// In the statistics, before the state of the producer's idempotence; "Assigned" once it has its id.
const STATE_KEY: &[u8] = b"\"idemp_state\"";
const HAS_ID: &[u8] = b"\"Assigned\"";

/// A client's context that neither floods the log nor parses statistics; clones share what was said.
#[derive(Clone, Default)]
pub struct Calm(Arc<Inner>);

#[derive(Default)]
struct Inner {
    said: Mutex<HashMap<String, Instant>>,
    has_id: AtomicBool,
}

impl Calm {
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

    fn stats_raw(&self, statistics: &[u8]) {
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
}
