//! One producer and the threads behind it, replaced when librdkafka declares it dead.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer};

use super::client::{Settings, producer_config};

pub(super) struct Lane {
    producer: ArcSwap<FutureProducer>,
    settings: Settings,
    name: String,
}

impl Lane {
    pub(super) fn start(settings: &Settings, name: &str) -> Result<Self, KafkaError> {
        let producer = producer_config(settings, name).create()?;
        Ok(Self { producer: ArcSwap::new(Arc::new(producer)), settings: settings.clone(), name: name.to_owned() })
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
        match producer_config(&self.settings, &self.name).create::<FutureProducer>() {
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
