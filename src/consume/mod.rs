//! A consumer group's topics → work, and an offset after each record that is done.
//!
//! Comes in: the topics to read, from what is in force. Goes out: to a `Work` each record, in the order of its
//! partition; the offsets of what is done; how far behind each topic is.
//! Always true: an offset is committed only after its record and all before it are done; no partition ever
//! jumps: without a committed offset it starts at its earliest record, and with one out of range it stands still
//! until a person decides; what cannot go on is paused and polling goes on, so the group keeps this member; a
//! partition whose records are held up holds up no other.
//! Not here: what a record is and what is done with it (`Work`), what routes name (the topics come in by a channel).
//!
//! ```text
//! poll ─→ Work::begin ─→ whatever it takes ─→ Done ─→ window of the partition ─→ commit of what is done
//!                                                                                without a gap
//! ```
//!
//! One thread of its own polls, because librdkafka's callbacks for a changed assignment look offsets
//! up at the brokers and block; the work runs beside it, and so do all other questions to the
//! brokers. Everything the thread holds is bounded: records by `in_flight_max`, a partition's by `window_max`.

mod member;
mod partitions;
mod questions;
mod taken;
mod topics;
mod window;
mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaError;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use self::taken::{Done, Taken};
use self::worker::Worker;
use crate::clock::Clock;
use crate::publish::ConsumerSettings;
use crate::telemetry::Latch;

/// What is done with the records of the topics.
pub trait Work: Send + Sync + 'static {
    /// A record, in the order of its partition, on the thread that polls: it must not block. Nothing is committed
    /// past the record before `done` is told so. Dropped untold while it is wanted, it ends the consumer: at
    /// shutdown in good order, else as `Broken`.
    fn begin(&self, taken: Taken, done: Done);

    /// Whether a topic that is no longer to be read, and that was not read to its end, is read on until it is.
    fn reads_on(&self, topic: &str) -> bool;

    /// Whether more records of a topic are wanted now. Asked after each record of it; its partition is paused until there
    /// is room again.
    fn has_room(&self, topic: &str) -> bool;

    /// How things stand, about once a second: every topic of which this member has a partition.
    fn look(&self, standings: &BTreeMap<Arc<str>, Standing>);
}

/// How far one topic is, over this member's partitions.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Standing {
    /// Age of the oldest record known not to be done, in seconds; 0 when there is none. A record that has not been
    /// read counts from when it was noticed.
    pub oldest_seconds: f64,
    /// Partitions out of range.
    pub stopped: usize,
}

/// How a consumer reads and how much it holds.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who reads, for the name of the thread.
    pub name: &'static str,
    /// What the partitions hold, for the log.
    pub holds: &'static str,
    /// Brokers, security and `group.id`. What this room promises (commits, resets) it sets itself.
    pub consumer: ConsumerSettings,
    /// Records begun and not done; beyond it all partitions are paused.
    pub in_flight_max: usize,
    /// Records of one partition behind one that is not done; beyond it that partition is paused.
    pub window_max: usize,
    /// The same of all partitions together, an equal share for each: where it is less than `in_flight_max`, partitions
    /// that are held up never pause the others. `None` for no such bound.
    pub windows_max: Option<usize>,
    /// How long the group waits for a member that is gone without a word before others have its partitions; `None`: as
    /// long as the consumer's own settings say.
    pub session: Option<Duration>,
    /// How long the work may take to end at shutdown.
    pub drain: Duration,
}

/// What a consumer works with.
#[derive(Clone)]
pub struct Parts {
    /// The topics to read, again after every change.
    pub topics: watch::Receiver<Vec<String>>,
    pub clock: Clock,
    /// Set after the first contact with the brokers.
    pub ready: Latch,
    pub shutdown: CancellationToken,
}

/// Why a consumer ended without being told to. Starting it again is the remedy, or other settings.
#[derive(Debug, thiserror::Error)]
pub enum ConsumeError {
    /// librdkafka refuses the settings.
    #[error("the Kafka client refused its settings: {0}")]
    Settings(KafkaError),
    /// librdkafka gave up for good; a new process starts from the committed offsets.
    #[error("the Kafka consumer cannot go on: {0}")]
    Consumer(KafkaError),
    /// The client reads a partition no further although more is there; another client does.
    #[error("the Kafka consumer does not read {topic}[{partition}] on at {next} although more is there")]
    StandsStill { topic: Arc<str>, partition: i32, next: i64 },
    /// What it proves itself with has been replaced; another client has the new.
    #[error("the Kafka consumer has the password or certificates of before")]
    Outdated,
    /// A defect: the thread or the work of a record ended without a word.
    #[error("the consumer of {0} ended unexpectedly")]
    Broken(&'static str),
}

/// Runs until `shutdown`: stops reading, lets the work under way end, commits, leaves the group. A client
/// that stands still or has a password of before is replaced. `work` is made anew for each client, with a token that
/// is cancelled when its client's time is over: nobody commits any more what it then still does.
pub async fn run<W: Work>(
    settings: Settings,
    parts: Parts,
    work: impl Fn(CancellationToken) -> W + Send + 'static,
) -> Result<(), ConsumeError> {
    let (runtime, name) = (Handle::current(), settings.name);
    let (report, outcome) = oneshot::channel();
    let thread = std::thread::Builder::new().name(name.to_owned());
    let life = move || {
        let mut stood = None;
        let result = loop {
            // What the worker leaves undone ends with it.
            let of_worker = Parts { shutdown: parts.shutdown.child_token(), ..parts.clone() };
            let _ended = of_worker.shutdown.clone().drop_guard();
            let made = work(of_worker.shutdown.clone());
            let worker = Worker::start(settings.clone(), of_worker, made, runtime.clone(), stood.take());
            match worker.and_then(Worker::run) {
                Err(ConsumeError::StandsStill { topic, partition, next }) => {
                    let of = settings.holds;
                    tracing::error!(%topic, partition, next, of, "Kafka's client does not read on although more is there: a new one takes over");
                    stood = Some(((topic, partition), next));
                }
                Err(ConsumeError::Outdated) => {
                    let of = settings.holds;
                    tracing::info!(of, "a new Kafka client takes over, with the new password or certificates");
                }
                ended => break ended,
            }
        };
        // The receiver is gone only when nobody waits for the worker any more.
        let _ = report.send(result);
    };
    thread.spawn(life).map_err(|_| ConsumeError::Broken(name))?;
    outcome.await.unwrap_or(Err(ConsumeError::Broken(name)))
}
