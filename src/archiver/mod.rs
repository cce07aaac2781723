//! The worker that copies what was published into the archive.
//!
//! Comes in: the departments' topics. Goes out: audit copies; to dead-letter what is no record; the
//! offsets of what is done.
//! Always true: an offset is committed only after its record and all before it are stored, known,
//! past their time or in dead-letter; no partition ever jumps: without a committed offset it starts at
//! its earliest record, and with one out of range it stands still until a person decides; while the
//! store is away partitions are paused and polling goes on, so the group keeps this member.
//! Not here: the archive's tables (`archive`), what routes name (the topics come in by a channel).
//!
//! ```text
//! poll ─ read ─┬ a text ────→ task: archive.write ─┐ retried for ever,
//!              ├ no record ─→ task: dead-letter ───┤ with growing pauses
//!              └ other kind                        │
//!                   └──────────────────────────────┴─→ window of the partition ─→ commit of what
//!                                                      is done without a gap
//! ```
//!
//! One thread of its own polls, because librdkafka's callbacks for a changed assignment look offsets
//! up at the brokers and block; writes run as tasks beside it, and so do all other questions to the
//! brokers. Everything the thread holds is
//! bounded: tasks by `in_flight_max`, a partition's window by `WINDOW_MAX`.

mod copier;
mod member;
mod partitions;
mod questions;
mod reading;
mod topics;
mod window;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::KafkaError;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::archive;
use crate::clock::Clock;
use crate::message::SenderKey;
use crate::publish::{ConsumerSettings, Publisher};
use crate::telemetry::{Latch, Metrics};

/// How the worker reads and how much it holds.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Brokers, security and `group.id`. What this room promises (commits, resets) it sets itself.
    pub consumer: ConsumerSettings,
    /// Records on their way into the store at the same time.
    pub in_flight_max: usize,
    /// First and longest pause between two tries of one record.
    pub retry: (Duration, Duration),
    /// How long writes may take to end at shutdown.
    pub drain: Duration,
}

impl Settings {
    /// 256 records in flight, pauses of 0.1 to 2 s, 10 s to end.
    pub fn new(consumer: ConsumerSettings) -> Self {
        let retry = (Duration::from_millis(100), Duration::from_secs(2));
        Self { consumer, in_flight_max: 256, retry, drain: Duration::from_secs(10) }
    }
}

/// Why the worker ended without being told to. Starting it again is the remedy, or other settings.
#[derive(Debug, thiserror::Error)]
pub enum ArchiverError {
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
    /// A defect: the thread or a task ended without a word.
    #[error("the archive worker ended unexpectedly")]
    Broken,
}

/// What the worker works with.
#[derive(Clone)]
pub struct Parts {
    /// Connected in the background and tried again for ever: the worker starts without it.
    pub store: archive::Settings,
    /// For records that cannot be understood.
    pub publisher: Publisher,
    /// The topics of the departments that the routes name, again after every reload.
    pub topics: watch::Receiver<Vec<String>>,
    pub sender_key: SenderKey,
    pub clock: Clock,
    pub metrics: Metrics,
    /// Set after the first contact with the brokers.
    pub ready: Latch,
    pub shutdown: CancellationToken,
}

/// Runs until `shutdown`: stops reading, ends the writes under way, commits, leaves the group. A client
/// that stands still or has a password of before is replaced.
pub async fn run(settings: Settings, parts: Parts) -> Result<(), ArchiverError> {
    let runtime = Handle::current();
    let (report, outcome) = oneshot::channel();
    let thread = std::thread::Builder::new().name("archiver".to_owned());
    let work = move || {
        let mut stood = None;
        let result = loop {
            // What the worker leaves undone ends with it.
            let of_worker = Parts { shutdown: parts.shutdown.child_token(), ..parts.clone() };
            let _ended = of_worker.shutdown.clone().drop_guard();
            let worker = worker::Worker::start(settings.clone(), of_worker, runtime.clone(), stood.take());
            let ended = worker.and_then(worker::Worker::run);
            match ended {
                Err(ArchiverError::StandsStill { topic, partition, next }) => {
                    tracing::error!(%topic, partition, next, "Kafka's client does not read on although more is there: the archive takes a new one");
                    stood = Some(((topic, partition), next));
                }
                Err(ArchiverError::Outdated) => {
                    tracing::info!("the archive takes a new Kafka client, with the new password or certificates");
                }
                ended => break ended,
            }
        };
        // The receiver is gone only when nobody waits for the worker any more.
        let _ = report.send(result);
    };
    thread.spawn(work).map_err(|_| ArchiverError::Broken)?;
    outcome.await.unwrap_or(Err(ArchiverError::Broken))
}
