//! Kafka: one event → one record that every in-sync replica has, or the truth about why not.
//!
//! Comes in: encoded events. Goes out: `Ok` once the broker acknowledged (`acks=all`, idempotent), or
//! a `PublishError` that says whether trying again can help.
//! Always true: one department's trouble is held by its own bound and breaker, and texts for a
//! department in trouble leave the shared producers for the quarantine producer; a record that was
//! handed over is awaited to its delivery report by whoever polls `publish`, who therefore goes on in a
//! task of its own when nobody waits for it any more.
//! Beside it, what our readers share with it: settings of a client (`client`), a topic read once (`reader`), a
//! member of a consumer group (`group`), whether one stands still (`watch`), questions
//! that its thread cannot wait for (`aside`).
//! Not here: deadlines of carriers, what is answered, keyword decisions.
//!
//! ```text
//! event ─ bound of the department ─ breaker ─┬ closed ─→ lane 0..n (by topic) ─┐
//!                                            ├ open ───→ refused, or waits     ├─→ report
//!                                            └ probe ──→ quarantine producer ──┘
//! ```
//!
//! Why several producers: a broker answers one produce request of a connection at a time, so a
//! partition that waits for a frozen replica blocks every topic of that connection, and again with
//! every retry. So a topic that stalls goes on in the quarantine producer, and the lane it stalled in
//! takes a spare producer for its other topics while the old one waits for its reports. Measured with
//! one of three brokers frozen for 7 s, through one lane: a healthy topic waited 1.0 s in the first
//! stall and again with each retry; now 0.5 s in the first stall, and its usual p99 afterwards.
//! Why one request in flight: idempotence with several over several partitions makes librdkafka spin
//! (130 of 180 µs a record at 10 topics). With one it still does while brokers take their time: `gather` ends that.

mod aside;
mod breaker;
mod client;
mod context;
mod engine;
mod fault;
mod gather;
mod gauges;
mod group;
mod keeper;
mod lane;
mod latency;
mod reader;
mod record;
mod topic;
mod topics;
mod watch;

pub use aside::Aside;
pub use breaker::BreakerState;
pub use client::{
    Client, ConsumerSettings, FILES, FORBIDDEN, Renewals, Settings, Term, consumer_config, producer_config,
};
pub use context::Calm;
pub use engine::check_properties;
pub use group::{Group, Member, commit};
pub use reader::{ReadError, TopicReader};
pub use topic::TopicState;
pub use topics::{Change, TopicAdmin, TopicFault, TopicSettings};
pub use watch::{End, TopicPartition, Watch};

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use crate::message::{Event, EventSource, topics as own_topics};
use crate::telemetry::Metrics;
use breaker::{Outcome, Pass, Turn};
use context::Traffic;
use engine::{Batching, Record, Report, Serial};
use fault::Fault;
use keeper::Keeper;
use lane::Lane;
use record::{Envelope, key_text};
use topic::Topic;

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
    /// The shared ones, and last the quarantine.
    lanes: Arc<[Lane]>,
    keeper: Keeper,
    topics: DashMap<Arc<str>, Arc<Topic>, RandomState>,
    envelope: Envelope,
    settings: Settings,
    waiting: AtomicUsize,
    metrics: Metrics,
}

impl Publisher {
    /// Makes the producers. They look for the brokers and fetch their ids in the background, which
    /// takes half a second: do it before the first text.
    pub fn start(settings: Settings, source: EventSource, metrics: Metrics) -> Result<Self, PublishError> {
        let traffic = Traffic::new(&metrics);
        let shared = (0..settings.producers.max(1))
            .map(|index| Lane::start(&settings, &format!("sms-router-{index}"), Batching::Shared, &traffic));
        let quarantine = Lane::start(&settings, "sms-router-quarantine", Batching::Alone, &traffic);
        let lanes = shared.chain([quarantine]).collect::<Result<Arc<[_]>, _>>().map_err(PublishError::Settings)?;
        let keeper = Keeper::start(settings.clone(), lanes.clone(), traffic).map_err(PublishError::Settings)?;
        let (topics, waiting) = (DashMap::default(), AtomicUsize::new(0));
        let envelope = Envelope::new(source);
        let publisher = Self(Arc::new(Inner { lanes, keeper, topics, envelope, settings, waiting, metrics }));
        let own =
            [("consent", own_topics::CONSENT), ("dead-letter", own_topics::DEAD_LETTER), ("parts", own_topics::PARTS)];
        publisher.know(own.into_iter());
        Ok(publisher)
    }

    /// Makes room for topics: department's label and topic's name. Known ones keep their state.
    pub fn know<'a>(&self, topics: impl Iterator<Item = (&'a str, &'a str)>) {
        for (label, name) in topics {
            let index = self.0.topics.len();
            self.0.topics.entry(name.into()).or_insert_with(|| {
                let lane = index % self.shared().len();
                Arc::new(Topic::new(name, label, lane, &self.0.settings, &self.0.metrics))
            });
        }
    }

    /// Publishes one event to the topic. Resolves with the delivery report, however late: callers
    /// with a deadline leave the future running in its task. While the breaker is open it is refused,
    /// unless a probe is due: then it is the probe.
    pub async fn publish(&self, topic: &str, event: &Event) -> Result<(), PublishError> {
        let topic = self.topic(topic);
        let _place = self.enter(&topic)?;
        if self.0.lanes[topic.lane].gathers {
            // Before the breaker is asked: what it says holds for the record that goes.
            topic.gather.room().await;
        }
        match topic.breaker.admit(Instant::now()) {
            Pass::Refused => Err(PublishError::Unavailable { topic: topic.name.clone() }),
            pass => self.send(&topic, pass, event).await,
        }
    }

    /// Resolves when the topic's breaker lets a text through: at once while it is closed.
    pub async fn takes_texts(&self, topic: &str) {
        self.topic(topic).let_through().await;
    }

    /// For how long the topic's breaker has been open, failed probes included.
    pub fn away_for(&self, topic: &str) -> Option<Duration> {
        self.0.topics.get(topic)?.breaker.away_for(Instant::now())
    }

    async fn send(&self, topic: &Arc<Topic>, pass: Pass, event: &Event) -> Result<(), PublishError> {
        let (lane, turn) = match pass {
            Pass::Home(turn) => (&self.0.lanes[topic.lane], turn),
            Pass::Probe(turn) => {
                topic.show();
                (self.quarantine(), turn)
            }
            Pass::Refused => return Err(PublishError::Unavailable { topic: topic.name.clone() }),
        };
        let lane = if topic.fits_others(event.value.len()) { lane } else { self.quarantine() };
        let mut result = self.deliver(lane, topic, turn, event).await;
        // The broker judges a whole batch: the text may only have had too large a neighbour. The
        // quarantine producer sends every record by itself.
        if self.is_shared(lane) && matches!(result.map_err(Fault::of), Err(Fault::Record | Fault::Neighbour)) {
            result = self.deliver(self.quarantine(), topic, turn, event).await;
        }
        topic.learn_size(event.value.len(), result);
        self.conclude(topic, turn, result)
    }

    async fn deliver(&self, lane: &Lane, topic: &Topic, turn: Turn, event: &Event) -> Result<(), RDKafkaErrorCode> {
        let key = key_text(&event.key);
        let (sent, serial) = lane.send(&Record { topic: &topic.name, key, event, envelope: &self.0.envelope });
        let result = match sent {
            Ok(report) => {
                let _under_way = lane.gathers.then(|| topic.gather.gone());
                self.await_report(lane, serial, topic, turn, report).await
            }
            Err(code) => Err(code),
        };
        if result.is_err() {
            lane.leave_if_dead(serial, &self.0.keeper);
        }
        result
    }

    /// Waits for the report. A wait beyond the stall time opens the breaker without giving up, and
    /// the other topics of the lane get another producer.
    async fn await_report(
        &self,
        lane: &Lane,
        serial: Serial,
        topic: &Topic,
        turn: Turn,
        mut report: Report,
    ) -> Result<(), RDKafkaErrorCode> {
        loop {
            if let Ok(result) = tokio::time::timeout(self.0.settings.stall, &mut report).await {
                return result;
            }
            self.settle(topic, turn, Outcome::Stalled);
            // Asked again as long as it stalls: another producer may not be ready yet.
            if self.is_shared(lane) {
                lane.leave(serial, &self.0.keeper);
            }
        }
    }

    fn conclude(&self, topic: &Topic, turn: Turn, result: Result<(), RDKafkaErrorCode>) -> Result<(), PublishError> {
        let Err(code) = result else {
            self.settle(topic, turn, Outcome::Delivered);
            return Ok(());
        };
        let fault = Fault::of(code);
        self.settle(
            topic,
            turn,
            match fault {
                // The broker answered, so the topic works: only this text does not fit it.
                Fault::Record => Outcome::Delivered,
                Fault::Topic => Outcome::Failed { topic_is_at_fault: true },
                Fault::Neighbour | Fault::Passing => Outcome::Failed { topic_is_at_fault: false },
                Fault::Producer => Outcome::Unjudged,
            },
        );
        Err(match fault {
            Fault::Record => PublishError::Final { topic: topic.name.clone(), code },
            Fault::Producer if code == RDKafkaErrorCode::QueueFull => PublishError::Full,
            Fault::Neighbour | Fault::Topic | Fault::Producer | Fault::Passing => {
                PublishError::Curable { topic: topic.name.clone(), code }
            }
        })
    }

    fn settle(&self, topic: &Topic, turn: Turn, outcome: Outcome) {
        if topic.settle(turn, outcome) {
            // What kept this topic away may have kept others away: they need not wait for their turn.
            self.0.topics.iter().for_each(|other| other.breaker.hurry(Instant::now()));
        }
    }

    /// Notes that the cluster says a topic is missing: its texts are refused at once, not after the
    /// client has looked for it in vain. A probe finds out when it is back.
    pub fn mark_missing(&self, topic: &str) {
        self.topic(topic).miss();
    }

    /// Whether every producer has its id from the brokers: before that a first text waits for it.
    pub fn has_ids(&self) -> bool {
        self.0.lanes.iter().all(Lane::has_id)
    }

    /// Each topic and the state of its breaker, by name, for `/readyz?verbose`.
    pub fn states(&self) -> Vec<TopicState> {
        let mut states: Vec<_> = self.0.topics.iter().map(|topic| topic.state()).collect();
        states.sort();
        states
    }

    /// Waits until the producers hold nothing, at most `timeout`. Blocks: run it off the runtime.
    pub fn flush(&self, timeout: Duration) {
        self.0.lanes.iter().for_each(|lane| lane.flush(timeout));
        self.0.keeper.close();
    }

    fn shared(&self) -> &[Lane] {
        &self.0.lanes[..self.0.lanes.len() - 1]
    }

    fn quarantine(&self) -> &Lane {
        self.0.lanes.last().expect("the quarantine is always there")
    }

    fn is_shared(&self, lane: &Lane) -> bool {
        !std::ptr::eq(lane, self.quarantine())
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
