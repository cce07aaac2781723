//! A producer of librdkafka: every setting that operators know, one partition in a request.
//!
//! Comes in: records. Goes out: its reports, as codes of the Kafka protocol.
//! Not here: its settings (`client`).

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};
use rdkafka::types::RDKafkaErrorCode;

use super::{Batching, HEADERS, Record};
use crate::publish::client::{Settings, producer_config};
use crate::publish::context::{Calm, Traffic};

pub(super) struct Producer {
    producer: FutureProducer<Calm>,
    context: Calm,
}

impl Producer {
    pub(super) fn start(
        settings: &Settings,
        name: &str,
        batching: Batching,
        traffic: &Traffic,
    ) -> Result<Self, KafkaError> {
        let mut config = producer_config(settings, name);
        if batching == Batching::Alone {
            config.set("batch.num.messages", "1");
        }
        let context = Calm::counting(traffic);
        let producer = config.create_with_context(context.clone())?;
        Ok(Self { producer, context })
    }

    pub(super) fn send(&self, record: &Record<'_>) -> Result<Report, RDKafkaErrorCode> {
        let none = OwnedHeaders::new_with_capacity(HEADERS);
        let add = |headers: OwnedHeaders, key: &str, value: &str| headers.insert(Header { key, value: Some(value) });
        let headers = record.envelope.add_headers(record.event, none, add);
        let record = FutureRecord::to(record.topic)
            .key(record.key.as_slice())
            .payload(&record.event.value)
            .timestamp(record.event.received_at.as_millisecond())
            .headers(headers);
        self.producer.send_result(record).map(Report).map_err(|(error, _)| code_of(&error))
    }

    pub(super) fn has_id(&self) -> bool {
        self.context.has_id()
    }

    pub(super) fn learn_topics(&self, timeout: Duration) -> bool {
        self.producer.client().fetch_metadata(None, timeout).is_ok()
    }

    pub(super) fn is_busy(&self) -> bool {
        self.producer.in_flight_count() > 0
    }

    /// An idempotent producer whose sequence broke.
    pub(super) fn is_dead(&self) -> bool {
        self.producer.client().fatal_error().is_some()
    }

    pub(super) fn flush(&self, timeout: Duration) -> bool {
        self.producer.flush(timeout).is_ok()
    }
}

/// A delivery report.
pub(in crate::publish) struct Report(DeliveryFuture);

impl Future for Report {
    type Output = Result<(), RDKafkaErrorCode>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(Pin::new(&mut self.0).poll(context)) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err((error, _))) => Err(code_of(&error)),
            // The producer was dropped with the record inside, as happens when the process ends.
            Err(_) => Err(RDKafkaErrorCode::PurgeInflight),
        })
    }
}

fn code_of(error: &KafkaError) -> RDKafkaErrorCode {
    error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)
}
