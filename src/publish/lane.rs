//! A lane: one producer at a time and the threads behind it, replaced when it is dead or held up.
//!
//! Comes in: records, and the news that one of them stalls. Goes out: delivery reports.
//! Always true: a replaced producer keeps the records it was given until each has its report; no
//! record is handed to two producers.
//! Not here: when a lane is left (`Publisher`), who makes producers ready (`keeper`).

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::client::Settings;
use super::context::Traffic;
use super::engine::{Batching, Engine, Record, Report, Serial};
use super::keeper::Keeper;

pub(super) struct Lane {
    engine: ArcSwap<Engine>,
    name: String,
    batching: Batching,
    /// Whether records of a topic come together while brokers take their time (`gather`).
    pub(super) gathers: bool,
}

impl Lane {
    pub(super) fn start(
        settings: &Settings,
        name: &str,
        batching: Batching,
        traffic: &Traffic,
    ) -> Result<Self, KafkaError> {
        let engine = Engine::start(settings, name, batching, traffic)?;
        // What goes by itself gains nothing.
        let gathers = batching == Batching::Shared && settings.gathers();
        Ok(Self { engine: ArcSwap::from_pointee(engine), name: name.to_owned(), batching, gathers })
    }

    /// A producer like the one at the time, of settings as they are now.
    pub(super) fn another(&self, settings: &Settings, traffic: &Traffic) -> Result<Engine, KafkaError> {
        Engine::start(settings, &self.name, self.batching, traffic)
    }

    /// Goes on with that producer; the one it leaves may still hold records.
    pub(super) fn change(&self, engine: Arc<Engine>) -> Arc<Engine> {
        self.engine.swap(engine)
    }

    /// Whether the brokers have given the producer its id.
    pub(super) fn has_id(&self) -> bool {
        self.engine.load().has_id()
    }

    pub(super) fn engine(&self) -> Arc<Engine> {
        self.engine.load_full()
    }

    /// Hands a record over without waiting: a full queue is an error at once. The serial number says
    /// which producer has it.
    pub(super) fn send(&self, record: &Record<'_>) -> (Result<Report, RDKafkaErrorCode>, Serial) {
        let engine = self.engine.load();
        (engine.send(record), engine.serial)
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
        if current.serial != seen || !current.is_dead() {
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
        if !self.engine.load().flush(timeout) {
            tracing::warn!(producer = %self.name, "records were still waiting when the producer closed");
        }
    }
}
