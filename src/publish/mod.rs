//! Kafka: one event → one record that every in-sync replica has, or the truth about why not.
//!
//! Comes in: encoded events. Goes out: `Ok` once the broker acknowledged (`acks=all`, idempotent), or
//! a `PublishError` that says whether trying again can help.
//! Always true: one department's trouble is held by its own bound and breaker, and texts for a
//! department in trouble leave the shared producers for the quarantine producer; a record that was
//! handed over is awaited to its delivery report by whoever polls `publish`, who therefore runs in a
//! task of its own and is not cancelled by a client that hangs up.
//! Not here: deadlines of carriers, what is answered, keyword decisions.
//!
//! ```text
//! event ─ bound of the department ─ breaker ─┬ closed ─→ producer 0..n (by topic) ─┐
//!                                            ├ open ───→ refused at once           ├─→ report
//!                                            └ probe ──→ quarantine producer ──────┘
//! ```
//!
//! Why several producers: a broker answers one produce request of a connection at a time, so a
//! partition that waits for a frozen replica blocks every topic of that connection. Measured with one
//! of three brokers frozen for 6 s: a healthy topic waited 6.6 s behind the shared producer, 1.45 s
//! with `request.timeout.ms=500`, 0.01 s through a second producer.
//! Why one request in flight: idempotence with several over several partitions makes librdkafka spin
//! (130 of 180 µs a record at 10 topics).

mod breaker;
mod client;
mod context;
mod gauges;
mod lane;
mod reader;
mod topics;

pub use breaker::BreakerState;
pub use client::{FORBIDDEN, Settings, check_properties, consumer_config, producer_config};
pub use context::Calm;
pub use reader::{ReadError, TopicReader};
pub use topics::{Change, TopicAdmin, TopicFault, TopicSettings};

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureRecord};
use rdkafka::types::RDKafkaErrorCode;

use crate::message::{Event, EventKind, EventSource, topics as own_topics};
use crate::telemetry::Metrics;
use breaker::{Breaker, Outcome, Pass, Turn};
use gauges::Gauges;
use lane::{Batching, Lane};

/// Why a text is not on its topic; variants are what the caller can do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Too many texts for this department wait for the brokers: try later.
    #[error("too many texts wait for topic {topic}")]
    DepartmentFull { topic: Arc<str> },
    /// Too many texts in all wait for the brokers: try later.
    #[error("too many texts wait for the brokers")]
    Full,
    /// The department's breaker is open: try later.
    #[error("topic {topic} is not taking texts")]
    Unavailable { topic: Arc<str> },
    /// The broker, the network or an operator can mend this: try later.
    #[error("topic {topic} did not take the text: {code:?}")]
    Curable { topic: Arc<str>, code: RDKafkaErrorCode },
    /// No later try will succeed: the text belongs in dead-letter.
    #[error("topic {topic} will never take the text: {code:?}")]
    Final { topic: Arc<str>, code: RDKafkaErrorCode },
    /// The producers could not be made.
    #[error("the Kafka client refused its settings: {0}")]
    Settings(KafkaError),
}

/// The way to Kafka, cheap to clone.
#[derive(Clone)]
pub struct Publisher(Arc<Inner>);

struct Inner {
    lanes: Vec<Lane>,
    quarantine: Lane,
    topics: DashMap<Arc<str>, Arc<Topic>>,
    source: EventSource,
    /// `ce_type` and `ce_dataschema` of each kind of event, written once.
    kinds: [(String, String); EventKind::ALL.len()],
    settings: Settings,
    waiting: AtomicUsize,
    metrics: Metrics,
}

/// What is known of one topic: its bound, its breaker, the producer it belongs to.
struct Topic {
    name: Arc<str>,
    lane: usize,
    waiting: AtomicUsize,
    breaker: Breaker,
    gauges: Gauges,
}

impl Topic {
    /// Resolves when the breaker lets a text through.
    async fn let_through(&self) {
        loop {
            let sooner = self.breaker.sooner();
            let Some(due) = self.breaker.opens_at(Instant::now()) else { return };
            tokio::select! {
                () = sooner => {}
                () = tokio::time::sleep_until(due.into()) => {}
            }
        }
    }

    /// Says that the breaker was opened or closed, once for each change.
    fn note(&self, open: bool, why: Outcome) {
        self.gauges.changed(open);
        if open {
            tracing::error!(topic = %self.name, ?why, "breaker opened: the topic is on the quarantine producer until a probe succeeds");
        } else {
            tracing::info!(topic = %self.name, "breaker closed: the topic takes texts again");
        }
    }
}

impl Publisher {
    /// Makes the producers. They look for the brokers and fetch their ids in the background, which
    /// takes half a second: do it before the first text.
    pub fn start(settings: Settings, source: EventSource, metrics: Metrics) -> Result<Self, PublishError> {
        let lanes = (0..settings.producers.max(1))
            .map(|index| Lane::start(&settings, &format!("sms-router-{index}"), Batching::Shared))
            .collect::<Result<Vec<_>, _>>()
            .map_err(PublishError::Settings)?;
        let quarantine =
            Lane::start(&settings, "sms-router-quarantine", Batching::Alone).map_err(PublishError::Settings)?;
        let (topics, waiting) = (DashMap::new(), AtomicUsize::new(0));
        let kinds = EventKind::ALL.map(|kind| (source.event_type(kind), source.data_schema(kind)));
        let publisher = Self(Arc::new(Inner { lanes, quarantine, topics, source, kinds, settings, waiting, metrics }));
        publisher.know([("consent", own_topics::CONSENT), ("dead-letter", own_topics::DEAD_LETTER)].into_iter());
        Ok(publisher)
    }

    /// Makes room for topics: department's label and topic's name. Known ones keep their state.
    pub fn know<'a>(&self, topics: impl Iterator<Item = (&'a str, &'a str)>) {
        for (label, name) in topics {
            let index = self.0.topics.len();
            self.0.topics.entry(name.into()).or_insert_with(|| {
                Arc::new(Topic {
                    name: name.into(),
                    lane: index % self.0.lanes.len(),
                    waiting: AtomicUsize::new(0),
                    breaker: Breaker::new(self.0.settings.stall, self.0.settings.probe_interval),
                    gauges: Gauges::new(&self.0.metrics, label),
                })
            });
        }
    }

    /// Publishes one event to the topic. Resolves with the delivery report, however late: callers
    /// with a deadline leave the future running in its task. While the breaker is open it is refused
    /// at once, unless a probe is due: then it is the probe.
    pub async fn publish(&self, topic: &str, event: &Event) -> Result<(), PublishError> {
        let topic = self.topic(topic);
        let _place = self.enter(&topic)?;
        match topic.breaker.admit(Instant::now()) {
            Pass::Refused => Err(PublishError::Unavailable { topic: topic.name.clone() }),
            pass => self.send(&topic, pass, event).await,
        }
    }

    /// Publishes one event as soon as the topic's breaker lets it through: at once while it is
    /// closed, otherwise as the probe when one is due. Waits for that without asking again and again,
    /// and without a place in the bounds; cancelled while it waits, nothing has happened. The other
    /// errors are those of `publish`.
    pub async fn publish_waiting(&self, topic: &str, event: &Event) -> Result<(), PublishError> {
        let topic = self.topic(topic);
        loop {
            topic.let_through().await;
            let _place = self.enter(&topic)?;
            match topic.breaker.admit(Instant::now()) {
                // Another waiter became the probe.
                Pass::Refused => {}
                pass => return self.send(&topic, pass, event).await,
            }
        }
    }

    /// Resolves when the topic's breaker lets a text through: at once while it is closed.
    pub async fn takes_texts(&self, topic: &str) {
        self.topic(topic).let_through().await;
    }

    /// Whether the topic's breaker is open, a probe on its way included: `publish` would refuse the
    /// text or make it the probe.
    pub fn is_open(&self, topic: &str) -> bool {
        self.0.topics.get(topic).is_some_and(|topic| topic.breaker.is_open())
    }

    /// For how long the topic's breaker has been open, failed probes included.
    pub fn away_for(&self, topic: &str) -> Option<Duration> {
        self.0.topics.get(topic)?.breaker.away_for(Instant::now())
    }

    async fn send(&self, topic: &Arc<Topic>, pass: Pass, event: &Event) -> Result<(), PublishError> {
        let (lane, turn) = match pass {
            Pass::Home(turn) => (&self.0.lanes[topic.lane], turn),
            Pass::Probe(turn) => {
                topic.gauges.show(topic.breaker.state());
                (&self.0.quarantine, turn)
            }
            Pass::Refused => return Err(PublishError::Unavailable { topic: topic.name.clone() }),
        };
        match self.deliver(lane, topic, turn, event).await {
            // The broker judges a whole batch: the text may only have had too large a neighbour. The
            // quarantine producer sends every record by itself.
            Err(PublishError::Final { .. }) => self.deliver(&self.0.quarantine, topic, turn, event).await,
            result => result,
        }
    }

    async fn deliver(&self, lane: &Lane, topic: &Topic, turn: Turn, event: &Event) -> Result<(), PublishError> {
        let headers = self.headers(event);
        let key = key_text(&event.key);
        let record = FutureRecord::to(&topic.name)
            .key(key.as_slice())
            .payload(&event.value)
            .timestamp(event.received_at.as_millisecond())
            .headers(headers);
        let result = match lane.send(record) {
            Ok(delivery) => self.await_report(topic, turn, delivery).await,
            Err(error) => Err(error),
        };
        self.conclude(lane, topic, turn, result)
    }

    /// Waits for the report; a wait beyond the stall time opens the breaker without giving up.
    async fn await_report(&self, topic: &Topic, turn: Turn, mut delivery: DeliveryFuture) -> Result<(), KafkaError> {
        let report = match tokio::time::timeout(self.0.settings.stall, &mut delivery).await {
            Ok(report) => report,
            Err(_) => {
                self.settle(topic, turn, Outcome::Stalled);
                delivery.await
            }
        };
        match report {
            Ok(Ok(_)) => Ok(()),
            Ok(Err((error, _))) => Err(error),
            // The producer was dropped with the record inside: only a renewed lane does that.
            Err(_) => Err(KafkaError::Canceled),
        }
    }

    fn conclude(
        &self,
        lane: &Lane,
        topic: &Topic,
        turn: Turn,
        result: Result<(), KafkaError>,
    ) -> Result<(), PublishError> {
        let Err(error) = result else {
            self.settle(topic, turn, Outcome::Delivered);
            return Ok(());
        };
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
        if is_final(code) {
            // The broker answered, so the topic works: only this text does not fit it.
            self.settle(topic, turn, Outcome::Delivered);
            return Err(PublishError::Final { topic: topic.name.clone(), code });
        }
        lane.renew_if_dead();
        self.settle(topic, turn, Outcome::Failed { topic_is_at_fault: blames_topic(code) });
        if code == RDKafkaErrorCode::QueueFull {
            return Err(PublishError::Full);
        }
        Err(PublishError::Curable { topic: topic.name.clone(), code })
    }

    fn settle(&self, topic: &Topic, turn: Turn, outcome: Outcome) {
        let changed = topic.breaker.settle(turn, outcome, Instant::now());
        if let Some(open) = changed {
            topic.note(open, outcome);
        }
        if changed == Some(false) {
            // What kept this topic away may have kept others away: they need not wait for their turn.
            self.0.topics.iter().for_each(|other| other.breaker.hurry(Instant::now()));
        }
        if outcome != Outcome::Delivered {
            topic.gauges.show(topic.breaker.state());
        }
    }

    /// Notes that the cluster says a topic is missing: its texts are refused at once, not after the
    /// client has looked for it in vain. A probe finds out when it is back.
    pub fn mark_missing(&self, topic: &str) {
        let topic = self.topic(topic);
        if topic.breaker.is_open() {
            return;
        }
        if let Some(open) = topic.breaker.open(Instant::now()) {
            topic.note(open, Outcome::Failed { topic_is_at_fault: true });
            topic.gauges.show(topic.breaker.state());
        }
    }

    /// Whether every producer has its id from the brokers: before that a first text waits for it.
    pub fn has_ids(&self) -> bool {
        self.0.lanes.iter().chain([&self.0.quarantine]).all(Lane::has_id)
    }

    /// Each topic and whether its breaker is closed, for `/readyz?verbose`.
    pub fn states(&self) -> Vec<(Arc<str>, bool)> {
        let mut states: Vec<_> =
            self.0.topics.iter().map(|topic| (topic.name.clone(), !topic.breaker.is_open())).collect();
        states.sort();
        states
    }

    /// Waits until the producers hold nothing, at most `timeout`. Blocks: run it off the runtime.
    pub fn flush(&self, timeout: Duration) {
        for lane in self.0.lanes.iter().chain([&self.0.quarantine]) {
            lane.flush(timeout);
        }
    }

    fn topic(&self, name: &str) -> Arc<Topic> {
        if let Some(topic) = self.0.topics.get(name) {
            return topic.clone();
        }
        self.know(std::iter::once((name.strip_prefix("sms.").unwrap_or(name), name)));
        let topic = self.0.topics.get(name).expect("a topic stays known once it is");
        topic.clone()
    }

    fn enter(&self, topic: &Arc<Topic>) -> Result<Place, PublishError> {
        let place = Place { publisher: self.0.clone(), topic: topic.clone() };
        // Counted first and judged after: two callers cannot both take the last place.
        let here = topic.waiting.fetch_add(1, Ordering::AcqRel);
        let all = self.0.waiting.fetch_add(1, Ordering::AcqRel);
        if all >= self.0.settings.in_flight_max {
            return Err(PublishError::Full);
        }
        if here >= self.0.settings.department_in_flight_max {
            return Err(PublishError::DepartmentFull { topic: topic.name.clone() });
        }
        Ok(place)
    }

    /// CloudEvents 1.0 Kafka binding, binary mode.
    fn headers(&self, event: &Event) -> OwnedHeaders {
        let (kind, data_schema) = &self.0.kinds[event.kind as usize];
        let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
        let time = crate::message::iso::format(event.received_at);
        let headers = OwnedHeaders::new_with_capacity(9)
            .insert(header("ce_specversion", "1.0"))
            .insert(header("ce_id", event.id.hyphenated().encode_lower(&mut id)))
            .insert(header("ce_source", &self.0.source.of(&event.account)))
            .insert(header("ce_type", kind))
            .insert(header("ce_subject", &event.subject))
            .insert(header("ce_time", &time))
            .insert(header("ce_dataschema", data_schema))
            .insert(header("content-type", "application/json"));
        match &event.traceparent {
            Some(traceparent) => headers.insert(header("traceparent", traceparent)),
            None => headers,
        }
    }
}

fn header<'a>(key: &'a str, value: &'a str) -> Header<'a, &'a str> {
    Header { key, value: Some(value) }
}

/// A text's place in the bounds, given back when it leaves.
struct Place {
    publisher: Arc<Inner>,
    topic: Arc<Topic>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.topic.waiting.fetch_sub(1, Ordering::AcqRel);
        self.publisher.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The key as text: every Kafka tool can show and compare 32 hexadecimal characters.
fn key_text(key: &[u8; 16]) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 32];
    for (index, byte) in key.iter().enumerate() {
        text[2 * index] = DIGITS[usize::from(byte >> 4)];
        text[2 * index + 1] = DIGITS[usize::from(byte & 15)];
    }
    text
}

/// What no later try mends: the record itself does not fit.
fn is_final(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::InvalidMessage
            | RDKafkaErrorCode::MessageBatchTooLarge
    )
}

/// Whether the failure is of this topic (missing, not allowed, too few replicas) rather than of one
/// text: then one is enough to open the breaker.
fn blames_topic(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownPartition
            | RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::InvalidTopic
            | RDKafkaErrorCode::NotEnoughReplicas
            | RDKafkaErrorCode::NotEnoughReplicasAfterAppend
    )
}
