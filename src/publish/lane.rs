//! A lane: one producer at a time and the threads behind it, replaced when it is dead or held up.
//!
//! Comes in: records, and the news that one of them stalls. Goes out: delivery reports.
//! Always true: a replaced producer keeps the records it was given until each has its report; no
//! record is handed to two producers.
//! Not here: when a lane is left (`Publisher`), who makes producers ready (`keeper`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer};

use super::client::{Settings, producer_config};
use super::context::Calm;
use super::keeper::Keeper;

/// Whether records share a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Batching {
    Shared,
    /// Each by itself, so that the broker's judgement is of that record alone.
    Alone,
}

/// Tells one producer of this process from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Serial(u64);

static NEXT_SERIAL: AtomicU64 = AtomicU64::new(0);

/// One producer.
pub(super) struct Engine {
    producer: FutureProducer<Calm>,
    context: Calm,
    serial: Serial,
    /// Whether it has learnt where topics are.
    knows_topics: AtomicBool,
}

impl Engine {
    pub(super) fn start(settings: &Settings, name: &str, batching: Batching) -> Result<Self, KafkaError> {
        let mut config = producer_config(settings, name);
        if batching == Batching::Alone {
            config.set("batch.num.messages", "1");
        }
        let context = Calm::default();
        let producer = config.create_with_context(context.clone())?;
        let serial = Serial(NEXT_SERIAL.fetch_add(1, Ordering::Relaxed));
        Ok(Self { producer, context, serial, knows_topics: AtomicBool::new(false) })
    }

    /// Whether a record handed over now would need no question to the brokers before it.
    pub(super) fn is_warm(&self) -> bool {
        self.context.has_id() && self.knows_topics()
    }

    pub(super) fn knows_topics(&self) -> bool {
        self.knows_topics.load(Ordering::Acquire)
    }

    /// Asks where all topics are, so that a topic's first record does not have to: the broker it
    /// would ask may be the one that does not answer. Blocks up to `timeout`.
    pub(super) fn learn_topics(&self, timeout: Duration) {
        let learnt = self.producer.client().fetch_metadata(None, timeout).is_ok();
        self.knows_topics.fetch_or(learnt, Ordering::AcqRel);
    }

    /// Whether records wait for their reports.
    pub(super) fn is_busy(&self) -> bool {
        self.producer.in_flight_count() > 0
    }
}

pub(super) struct Lane {
    engine: ArcSwap<Engine>,
    name: String,
}

impl Lane {
    pub(super) fn start(settings: &Settings, name: &str, batching: Batching) -> Result<Self, KafkaError> {
        let engine = Engine::start(settings, name, batching)?;
        Ok(Self { engine: ArcSwap::from_pointee(engine), name: name.to_owned() })
    }

    /// Whether the brokers have given the producer its id.
    pub(super) fn has_id(&self) -> bool {
        self.engine.load().context.has_id()
    }

    pub(super) fn engine(&self) -> Arc<Engine> {
        self.engine.load_full()
    }

    /// Hands a record over without waiting: a full queue is an error at once. The serial number says
    /// which producer has it.
    pub(super) fn send(
        &self,
        record: FutureRecord<'_, [u8], Vec<u8>>,
    ) -> Result<(DeliveryFuture, Serial), (KafkaError, Serial)> {
        let engine = self.engine.load();
        let sent = engine.producer.send_result(record);
        sent.map(|delivery| (delivery, engine.serial)).map_err(|(error, _)| (error, engine.serial))
    }

    /// Leaves the producer that holds a stalled record, if the lane has not left it yet and another
    /// is ready: the stalled record is sent again and again through its connection, and every text
    /// of the lane behind it would wait for each of these tries.
    pub(super) fn leave(&self, held_up: Serial, keeper: &Keeper) -> bool {
        let current = self.engine.load_full();
        if current.serial != held_up {
            return false;
        }
        let Some(spare) = keeper.take_spare() else { return false };
        let replaced = self.replace(&current, spare, keeper);
        if replaced {
            tracing::warn!(producer = %self.name, "a record stalls in this producer: texts of other topics take another one");
        }
        replaced
    }

    /// An idempotent producer whose sequence broke refuses every further record: take a new one.
    pub(super) fn leave_if_dead(&self, seen: Serial, keeper: &Keeper) {
        let current = self.engine.load_full();
        if current.serial != seen || current.producer.client().fatal_error().is_none() {
            return;
        }
        let spare = match keeper.spare_or_new() {
            Ok(spare) => spare,
            Err(error) => {
                tracing::error!(producer = %self.name, %error, "the Kafka producer could not be replaced");
                return;
            }
        };
        if self.replace(&current, spare, keeper) {
            tracing::error!(producer = %self.name, "the Kafka producer had a fatal error and was replaced");
        }
    }

    /// Of several that see the same trouble one replaces the producer; the others' spares go back.
    fn replace(&self, current: &Arc<Engine>, spare: Arc<Engine>, keeper: &Keeper) -> bool {
        let found = self.engine.compare_and_swap(current, spare.clone());
        let replaced = Arc::ptr_eq(&found, current);
        keeper.finish(if replaced { current.clone() } else { spare });
        replaced
    }

    pub(super) fn flush(&self, timeout: Duration) {
        if let Err(error) = self.engine.load().producer.flush(timeout) {
            tracing::warn!(producer = %self.name, %error, "records were still waiting when the producer closed");
        }
    }
}
