//! A producer of librdkafka: every setting that operators know, one partition in a request.
//!
//! Comes in: records. Goes out: its reports, as codes of the Kafka protocol.
//! Always true: reports are polled for until the producer is dropped; what has none by then is told so.
//! Not here: its settings (`client`).
//!
//! Why a thread of ours polls, and not the crate's `FutureProducer`: that one asks ten times a second, and each
//! time turns for up to a millisecond before it asks again: 1 % of a processor for each producer, three of which
//! a router has, whether texts come or not.
//!
//! Why topics are named, and not held by their handles: the library looks a name up in a list under a lock, 0.6 µs a
//! record by handle against 4 by name at 1,000 topics, nothing to speak of at ten; but rdkafka publishes by handle
//! only in code that the compiler does not check, which this project has none of. krafka is what helps at 1,000.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::oneshot;

use super::{Batching, HEADERS, Record};
use crate::publish::client::{Settings, producer_config};
use crate::publish::context::{Calm, Traffic};

/// How long the thread waits for a report before it looks whether the producer is still wanted.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct Producer {
    /// Shared with the thread alone: it ends, and closes the client, once this one is gone.
    producer: Arc<BaseProducer<Calm>>,
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
        let producer: Arc<BaseProducer<_>> = Arc::new(config.create_with_context(context.clone())?);
        let polled = producer.clone();
        let poll = move || {
            while Arc::strong_count(&polled) > 1 {
                polled.poll(LOOK_INTERVAL);
            }
        };
        let thread = std::thread::Builder::new().name("kafka-reports".to_owned()).spawn(poll);
        thread.map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { producer, context })
    }

    pub(super) fn send(&self, record: &Record<'_>) -> Result<Report, RDKafkaErrorCode> {
        let none = OwnedHeaders::new_with_capacity(HEADERS);
        let add = |headers: OwnedHeaders, key: &str, value: &str| headers.insert(Header { key, value: Some(value) });
        let headers = record.envelope.add_headers(record.event, none, add);
        let (tell, told) = oneshot::channel();
        let record = BaseRecord::with_opaque_to(record.topic, Box::new(tell))
            .key(record.key.as_slice())
            .payload(&record.event.value)
            .timestamp(record.event.received_at.as_millisecond())
            .headers(headers);
        self.producer.send(record).map(|()| Report(told)).map_err(|(error, _)| code_of(&error))
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

type Outcome = Result<(), RDKafkaErrorCode>;

impl ProducerContext for Calm {
    type DeliveryOpaque = Box<oneshot::Sender<Outcome>>;

    fn delivery(&self, result: &DeliveryResult<'_>, tell: Self::DeliveryOpaque) {
        // Nobody may wait for it any more.
        let _ = tell.send(result.as_ref().map(drop).map_err(|(error, _)| code_of(error)));
    }
}

/// A delivery report.
pub(in crate::publish) struct Report(oneshot::Receiver<Outcome>);

impl Future for Report {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Without one the producer was dropped with the record inside, as happens when the process ends.
        Pin::new(&mut self.0).poll(context).map(|told| told.unwrap_or(Err(RDKafkaErrorCode::PurgeInflight)))
    }
}

fn code_of(error: &KafkaError) -> RDKafkaErrorCode {
    error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail)
}
