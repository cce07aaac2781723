//! A producer of krafka: all partitions of a broker in one request, no thread of its own.
//!
//! Comes in: records. Goes out: its reports, as codes of the Kafka protocol.
//! Always true: it looks for the brokers until it has an id; a record handed over before that waits for it, at
//! most as long as a record may take; no more records wait than the settings allow.
//! Not here: what its settings are made of (`properties`).
//!
//! One batch of a partition is on its way at a time, and what comes meanwhile is the next one.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use krafka::admin::ListTopicsOptions;
use krafka::error::ErrorCode;
use krafka::producer::Producer as Client;
use krafka::{CloseOptions, Kafka, KrafkaError};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::properties::Wanted;
use super::{HEADERS, Record};
use crate::publish::client::Settings;

/// Between two tries to reach the brokers.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// A producer that is not needed any more holds nothing; longer than this its close is not awaited.
const CLOSE_MAX: Duration = Duration::from_secs(1);

pub(super) struct Producer {
    shared: Arc<Shared>,
    runtime: Handle,
    places: usize,
    /// How long a record may take.
    patience: Duration,
    _connecting: AbortOnDropHandle<()>,
}

struct Shared {
    open: OnceLock<(Kafka, Client)>,
    is_open: watch::Sender<bool>,
    waiting: AtomicUsize,
    dead: AtomicBool,
}

/// Whether the settings suit this client; connects to nobody.
pub(super) fn check(settings: &Settings) -> Result<(), String> {
    Wanted::read(settings).map(drop)
}

impl Producer {
    pub(super) fn start(settings: &Settings, name: &str) -> Result<Self, KafkaError> {
        let wanted = Wanted::read(settings).map_err(KafkaError::ClientCreation)?;
        let shared = Arc::new(Shared {
            open: OnceLock::new(),
            is_open: watch::Sender::new(false),
            waiting: AtomicUsize::new(0),
            dead: AtomicBool::new(false),
        });
        let runtime = Handle::current();
        let connecting = runtime.spawn(connect(shared.clone(), wanted, name.to_owned()));
        Ok(Self {
            shared,
            runtime,
            places: settings.in_flight_max * 2,
            patience: settings.message_timeout,
            _connecting: AbortOnDropHandle::new(connecting),
        })
    }

    pub(super) fn send(&self, record: &Record<'_>) -> Result<Report, Code> {
        let place = Place::of(&self.shared);
        if self.shared.waiting.load(Ordering::Acquire) > self.places {
            return Err(Code::QueueFull);
        }
        let add = |mut headers: krafka::Headers, key: &str, value: &str| {
            headers.push((key.to_owned(), Some(Bytes::copy_from_slice(value.as_bytes()))));
            headers
        };
        let mut handed = krafka::Record::new(record.topic, Bytes::copy_from_slice(&record.event.value))
            .key(Bytes::copy_from_slice(&record.key))
            .timestamp(record.event.received_at.as_millisecond());
        handed.headers = record.envelope.add_headers(record.event, Vec::with_capacity(HEADERS), add);
        Ok(Report(Box::pin(deliver(place, handed, self.patience))))
    }

    pub(super) fn has_id(&self) -> bool {
        self.shared.open.get().is_some()
    }

    pub(super) fn learn_topics(&self, timeout: Duration) -> bool {
        let Some((kafka, _)) = self.shared.open.get() else { return false };
        let admin = kafka.admin();
        let listed = async { tokio::time::timeout(timeout, admin.list_topics(ListTopicsOptions::default())).await };
        self.runtime.block_on(listed).is_ok_and(|listed| listed.is_ok())
    }

    pub(super) fn is_busy(&self) -> bool {
        self.shared.waiting.load(Ordering::Acquire) > 0
    }

    /// The brokers refuse its id, or everything it says.
    pub(super) fn is_dead(&self) -> bool {
        self.shared.dead.load(Ordering::Acquire)
    }

    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let Some((_, client)) = self.shared.open.get() else { return !self.is_busy() };
        let flushed = async { tokio::time::timeout(timeout, client.flush()).await };
        self.runtime.block_on(flushed).is_ok_and(|flushed| flushed.is_ok())
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let shared = self.shared.clone();
        self.runtime.spawn(async move {
            if let Some((_, client)) = shared.open.get() {
                let _ = client.close_with(CloseOptions::new().timeout(CLOSE_MAX)).await;
            }
        });
    }
}

/// Tries until the brokers have given an id.
async fn connect(shared: Arc<Shared>, wanted: Wanted, name: String) {
    let mut said = false;
    loop {
        match wanted.connect(&name).await {
            Ok(open) => {
                let _ = shared.open.set(open);
                shared.is_open.send_replace(true);
                return;
            }
            Err(error) if !said => {
                tracing::warn!(producer = name, %error, "the Kafka client has trouble");
                said = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

async fn deliver(place: Place, record: krafka::Record, patience: Duration) -> Result<(), Code> {
    let shared = &place.0;
    if shared.open.get().is_none() {
        let mut opened = shared.is_open.subscribe();
        let opened = tokio::time::timeout(patience, opened.wait_for(|is_open| *is_open)).await;
        opened.map_err(|_| Code::MessageTimedOut)?.map_err(|_| Code::PurgeQueue)?;
    }
    let (_, client) = shared.open.get().ok_or(Code::PurgeQueue)?;
    let delivered = match client.enqueue(record).await {
        Ok(handle) => handle.await,
        Err(error) => Err(error),
    };
    delivered.map(drop).map_err(|error| {
        shared.dead.fetch_or(error.is_fatal(), Ordering::AcqRel);
        code_of(&error)
    })
}

/// A delivery report.
pub(in crate::publish) struct Report(Pin<Box<dyn Future<Output = Result<(), Code>> + Send>>);

impl Future for Report {
    type Output = Result<(), Code>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

/// A record that waits.
struct Place(Arc<Shared>);

impl Place {
    fn of(shared: &Arc<Shared>) -> Self {
        shared.waiting.fetch_add(1, Ordering::AcqRel);
        Self(shared.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The protocol's code, as far as it makes a difference (`fault`).
fn code_of(error: &KrafkaError) -> Code {
    match error {
        KrafkaError::Broker { code, .. } => broker_code(*code),
        KrafkaError::Timeout { .. } | KrafkaError::DeliveryTimeout { .. } => Code::MessageTimedOut,
        KrafkaError::UnknownTopic { .. } => Code::UnknownTopic,
        KrafkaError::Auth { .. } => Code::Authentication,
        KrafkaError::OutOfOrderSequence { .. } => Code::OutOfOrderSequenceNumber,
        KrafkaError::Fenced { .. } => Code::ProducerFenced,
        KrafkaError::Closed { .. } => Code::PurgeQueue,
        // A record that is larger than any request is the only one that this client refuses for itself.
        KrafkaError::Config { .. } => Code::MessageSizeTooLarge,
        KrafkaError::Compression { .. } => Code::UnsupportedCompressionType,
        KrafkaError::IllegalState { .. } => Code::State,
        KrafkaError::Network(_) => Code::BrokerTransportFailure,
        _ => Code::Fail,
    }
}

fn broker_code(code: ErrorCode) -> Code {
    match code {
        ErrorCode::MessageTooLarge => Code::MessageSizeTooLarge,
        ErrorCode::RecordListTooLarge => Code::MessageBatchTooLarge,
        ErrorCode::InvalidRecord => Code::InvalidRecord,
        ErrorCode::UnknownTopicOrPartition => Code::UnknownTopicOrPartition,
        ErrorCode::UnknownTopicId => Code::UnknownTopicId,
        ErrorCode::InvalidTopic => Code::InvalidTopic,
        ErrorCode::TopicAuthorizationFailed => Code::TopicAuthorizationFailed,
        ErrorCode::ClusterAuthorizationFailed => Code::ClusterAuthorizationFailed,
        ErrorCode::TransactionalIdAuthorizationFailed => Code::TransactionalIdAuthorizationFailed,
        ErrorCode::PolicyViolation => Code::PolicyViolation,
        ErrorCode::NotEnoughReplicas => Code::NotEnoughReplicas,
        ErrorCode::NotEnoughReplicasAfterAppend => Code::NotEnoughReplicasAfterAppend,
        ErrorCode::KafkaStorageException => Code::KafkaStorageError,
        ErrorCode::UnsupportedForMessageFormat => Code::UnsupportedForMessageFormat,
        ErrorCode::UnsupportedVersion => Code::UnsupportedVersion,
        ErrorCode::UnsupportedCompressionType => Code::UnsupportedCompressionType,
        ErrorCode::InvalidRequiredAcks => Code::InvalidRequiredAcks,
        ErrorCode::InvalidConfig => Code::InvalidConfig,
        ErrorCode::OutOfOrderSequenceNumber => Code::OutOfOrderSequenceNumber,
        ErrorCode::DuplicateSequenceNumber => Code::DuplicateSequenceNumber,
        ErrorCode::InvalidProducerEpoch => Code::InvalidProducerEpoch,
        ErrorCode::InvalidProducerIdMapping => Code::InvalidProducerIdMapping,
        ErrorCode::UnknownProducerId => Code::UnknownProducerId,
        ErrorCode::ProducerFenced => Code::ProducerFenced,
        _ => Code::Fail,
    }
}
