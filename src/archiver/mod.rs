//! The worker that copies what was published into the archive.
//!
//! Comes in: the records of departments' topics (`consume`). Goes out: audit copies; to dead-letter what is no
//! record.
//! Always true: a record is done only when it is stored, known, past its time or in dead-letter, so no offset is
//! committed before that; two records of one id never run at once: the first is the one that is kept; while the
//! store is away records wait in Kafka.
//! Not here: polling, offsets, bounds (`consume`); the archive's tables (`archive`); what routes name (the topics come
//! in by a channel).
//!
//! ```text
//! consume ─ read ─┬ a text ────→ task: archive.write ─┐ retried for ever,
//!                 ├ no record ─→ task: dead-letter ───┤ with growing pauses
//!                 └ other kind ───────────────────────┴─→ done
//! ```

mod copier;
mod copies;
mod reading;

use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::archive;
use crate::clock::Clock;
use crate::consume::{self, ConsumeError};
use crate::message::SenderKey;
use crate::publish::{ConsumerSettings, Publisher};
use crate::telemetry::{Latch, Metrics};

use self::copies::Copies;

/// How the worker reads and how much it holds.
#[derive(Debug, Clone)]
pub struct Settings {
    pub consume: consume::Settings,
    /// First and longest pause between two tries of one record.
    pub retry: (Duration, Duration),
}

impl Settings {
    /// 256 records in flight, 4,096 of a partition behind one that is not done, pauses of 0.1 to 2 s, 10 s to end.
    pub fn new(consumer: ConsumerSettings) -> Self {
        let consume = consume::Settings {
            name: "archiver",
            holds: "copies",
            consumer,
            in_flight_max: 256,
            window_max: 4096,
            windows_max: None,
            session: None,
            drain: Duration::from_secs(10),
        };
        Self { consume, retry: (Duration::from_millis(100), Duration::from_secs(2)) }
    }
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

/// Runs until `shutdown`: stops reading, ends the writes under way, commits, leaves the group.
pub async fn run(settings: Settings, parts: Parts) -> Result<(), ConsumeError> {
    let Parts { topics, clock, ready, shutdown, .. } = parts.clone();
    let (runtime, retry) = (Handle::current(), settings.retry);
    let work = move |shutdown| Copies::start(Parts { shutdown, ..parts.clone() }, retry, runtime.clone());
    consume::run(settings.consume, consume::Parts { topics, clock, ready, shutdown }, work).await
}
