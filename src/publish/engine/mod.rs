//! One Kafka producer, by either of two clients.
//!
//! Comes in: records. Goes out: a report for each.
//! Always true: `acks=all`, idempotent; handing over never waits, a full queue is an error at once.
//! Not here: which producer has a record (`lane`), what an error means (`fault`).
//!
//! Why two clients: librdkafka sends one partition in a request, so with many topics the brokers' work for each
//! request is the limit, and its thread looks at every partition whenever it wakes. krafka sends all of a broker's
//! partitions in one. CPU of a bare hyper handler for each text and texts a second, three brokers, 3 copies, 512
//! connections, same run (librdkafka with linger 1 and one request in flight, its best):
//!
//! | topics | librdkafka | krafka |
//! |---|---|---|
//! | 1 | 17.0 µs, 46,700/s | 16.0 µs, 38,500/s |
//! | 10 | 19.7 µs, 22,000/s | 19.3 µs, 22,000/s |
//! | 100 | 45.3 µs, 5,600/s | 31.7 µs, 8,600/s |
//! | 1,000 | 280 µs, 330/s | 56 µs, 3,900/s |

mod krafka;
mod librdkafka;
mod properties;

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::client::{Client, Settings, producer_config};
use super::context::Traffic;
use super::record::Envelope;
use crate::message::Event;

/// Whether records share a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Batching {
    Shared,
    /// Each by itself, so that the broker's judgement is of that record alone.
    Alone,
}

/// Headers of one record, at most.
const HEADERS: usize = 9;

/// Tells one producer of this process from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Serial(u64);

static NEXT_SERIAL: AtomicU64 = AtomicU64::new(0);

/// One producer.
pub(super) struct Engine {
    producer: Producer,
    pub(super) serial: Serial,
    /// Whether it has learnt where topics are.
    knows_topics: AtomicBool,
}

enum Producer {
    Librdkafka(librdkafka::Producer),
    Krafka(krafka::Producer),
}

/// A record, as either client takes it.
pub(super) struct Record<'a> {
    pub(super) topic: &'a str,
    pub(super) key: [u8; 32],
    pub(super) event: &'a Event,
    pub(super) envelope: &'a Envelope,
}

/// Resolves with what became of a record, however late.
pub(super) enum Report {
    Librdkafka(librdkafka::Report),
    Krafka(krafka::Report),
}

/// Whether the clients know the properties and take their values; connects to nobody.
pub fn check_properties(settings: &Settings) -> Result<(), String> {
    producer_config(settings, "check").create_native_config().map(drop).map_err(|error| error.to_string())?;
    match settings.client {
        Client::Librdkafka => Ok(()),
        Client::Krafka => krafka::check(settings),
    }
}

impl Engine {
    /// Makes the producer; it looks for the brokers in the background. Within the runtime.
    /// krafka's traffic is not counted: it tells no such totals.
    pub(super) fn start(
        settings: &Settings,
        name: &str,
        batching: Batching,
        traffic: &Traffic,
    ) -> Result<Self, KafkaError> {
        let producer = match (settings.client, batching) {
            // What goes by itself gains nothing of shared requests.
            (Client::Librdkafka, _) | (Client::Krafka, Batching::Alone) => {
                Producer::Librdkafka(librdkafka::Producer::start(settings, name, batching, traffic)?)
            }
            (Client::Krafka, Batching::Shared) => Producer::Krafka(krafka::Producer::start(settings, name)?),
        };
        let serial = Serial(NEXT_SERIAL.fetch_add(1, Ordering::Relaxed));
        Ok(Self { producer, serial, knows_topics: AtomicBool::new(false) })
    }

    /// Hands a record over without waiting.
    pub(super) fn send(&self, record: &Record<'_>) -> Result<Report, RDKafkaErrorCode> {
        match &self.producer {
            Producer::Librdkafka(producer) => producer.send(record).map(Report::Librdkafka),
            Producer::Krafka(producer) => producer.send(record).map(Report::Krafka),
        }
    }

    /// Whether the brokers have given the producer its id.
    pub(super) fn has_id(&self) -> bool {
        match &self.producer {
            Producer::Librdkafka(producer) => producer.has_id(),
            Producer::Krafka(producer) => producer.has_id(),
        }
    }

    /// Whether a record handed over now would need no question to the brokers before it.
    pub(super) fn is_warm(&self) -> bool {
        self.has_id() && self.knows_topics()
    }

    pub(super) fn knows_topics(&self) -> bool {
        self.knows_topics.load(Ordering::Acquire)
    }

    /// Asks where all topics are, so that a topic's first record does not have to: the broker it
    /// would ask may be the one that does not answer. Blocks up to `timeout`.
    pub(super) fn learn_topics(&self, timeout: Duration) {
        let learnt = match &self.producer {
            Producer::Librdkafka(producer) => producer.learn_topics(timeout),
            Producer::Krafka(producer) => producer.learn_topics(timeout),
        };
        self.knows_topics.fetch_or(learnt, Ordering::AcqRel);
    }

    /// Whether records wait for their reports.
    pub(super) fn is_busy(&self) -> bool {
        match &self.producer {
            Producer::Librdkafka(producer) => producer.is_busy(),
            Producer::Krafka(producer) => producer.is_busy(),
        }
    }

    /// Whether it refuses every further record.
    pub(super) fn is_dead(&self) -> bool {
        match &self.producer {
            Producer::Librdkafka(producer) => producer.is_dead(),
            Producer::Krafka(producer) => producer.is_dead(),
        }
    }

    /// Waits until it holds nothing, at most `timeout`; whether it got there. Blocks.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        match &self.producer {
            Producer::Librdkafka(producer) => producer.flush(timeout),
            Producer::Krafka(producer) => producer.flush(timeout),
        }
    }
}

impl Future for Report {
    type Output = Result<(), RDKafkaErrorCode>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Librdkafka(report) => Pin::new(report).poll(context),
            Self::Krafka(report) => Pin::new(report).poll(context),
        }
    }
}
