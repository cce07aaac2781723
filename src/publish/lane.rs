//! One producer and the threads behind it, replaced when librdkafka declares it dead.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer};

use super::client::{Settings, producer_config};
use super::context::Calm;

/// Whether records share a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Batching {
    Shared,
    /// Each by itself, so that the broker's judgement is of that record alone.
    Alone,
}

pub(super) struct Lane {
    producer: ArcSwap<FutureProducer<Calm>>,
    context: Calm,
    settings: Settings,
    name: String,
    batching: Batching,
}

impl Lane {
    pub(super) fn start(settings: &Settings, name: &str, batching: Batching) -> Result<Self, KafkaError> {
        let (settings, name, context) = (settings.clone(), name.to_owned(), Calm::default());
        let producer = create(&settings, &name, batching, &context)?;
        Ok(Self { producer: ArcSwap::new(Arc::new(producer)), context, settings, name, batching })
    }

    /// Whether the brokers have given the producer its id.
    pub(super) fn has_id(&self) -> bool {
        self.context.has_id()
    }

    /// Hands a record over without waiting: a full queue is an error at once.
    pub(super) fn send(&self, record: FutureRecord<'_, [u8], Vec<u8>>) -> Result<DeliveryFuture, KafkaError> {
        self.producer.load().send_result(record).map_err(|(error, _)| error)
    }

    /// An idempotent producer whose sequence broke refuses every further record: make a new one.
    /// Records inside the old one get their reports while it is dropped.
    pub(super) fn renew_if_dead(&self) {
        let current = self.producer.load_full();
        if current.client().fatal_error().is_none() {
            return;
        }
        match create(&self.settings, &self.name, self.batching, &self.context) {
            Ok(producer) => {
                tracing::error!(producer = %self.name, "the Kafka producer had a fatal error and was replaced");
                self.producer.compare_and_swap(&current, Arc::new(producer));
            }
            Err(error) => tracing::error!(producer = %self.name, %error, "the Kafka producer could not be replaced"),
        }
    }

    pub(super) fn flush(&self, timeout: Duration) {
        if let Err(error) = self.producer.load().flush(timeout) {
            tracing::warn!(producer = %self.name, %error, "records were still waiting when the producer closed");
        }
    }
}

fn create(
    settings: &Settings,
    name: &str,
    batching: Batching,
    context: &Calm,
) -> Result<FutureProducer<Calm>, KafkaError> {
    let mut config = producer_config(settings, name);
    if batching == Batching::Alone {
        config.set("batch.num.messages", "1");
    }
    config.create_with_context(context.clone())
}
