//! Events made durable, whichever profile is in force.
//!
//! Comes in: encoded events with their topics. Goes out: `Ok` once they are durable, or whether a
//! later try can help.
//! Always true: all events of one text are durable when `append` says so; a sender's texts for one
//! topic reach it in the order in which they were answered, journal or not.
//! Not here: decisions, claims, deadlines of carriers, how SQLite and Kafka do it.
//!
//! ```text
//! standalone  event ─→ store
//! cluster     event ─┬ nothing of its sender waits ─→ publisher ─┬─ acknowledged in time
//!                    │                                           └─ not: to the journal
//!                    └ something does ─→ journal ─→ replay, oldest first ─→ publisher
//! ```

mod dead_letter;
mod journal;
mod kafka;
mod replay;

pub use journal::{Journal, Settings as JournalSettings};
pub use kafka::Kafka;
pub use replay::Replay;

pub use crate::keyword::Standby;

use std::time::{Duration, Instant};

use crate::keyword::{Delivery, Table};
use crate::message::{Destination, Event};
use crate::store::{Appended, Beside, Store, StoreError};
use crate::telemetry::Told;

/// The patience of our own work, for which no carrier waits.
pub const UNHURRIED: Duration = Duration::MAX;

/// Where texts become durable.
#[derive(Clone)]
pub enum Log {
    /// The embedded store: answered after its commit.
    Embedded(Store),
    /// The same store for a command beside the process that serves it.
    Beside(Beside),
    /// Kafka: answered after all in-sync replicas have it, or the journal.
    Kafka(Kafka),
}

/// One event and the topic it belongs on.
pub struct Addressed {
    pub topic: String,
    /// Taken to the journal and not published until the routes no longer say so.
    pub hold: bool,
    /// Whose topic takes it when its own stays away.
    pub standby: Option<Standby>,
    pub event: Event,
}

/// What the log did with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Logged {
    Stored,
    /// It was there already.
    Known,
    /// Its id is taken by other content: it needs one of its own.
    Reused,
}

/// Why a text is not in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogError {
    /// This department's topic does not take it now.
    Department,
    /// The log takes nothing now.
    Unavailable,
    /// No try will succeed.
    Never,
}

impl Log {
    /// Makes all events of one text durable, the text's own first. Resolves when they are, or when
    /// it is known that they are not. `patience` is how long whoever brought the text waits: what stands
    /// behind a log gets its turn well before that.
    pub async fn append(&self, events: Vec<Addressed>, patience: Duration) -> Result<Logged, LogError> {
        match self {
            Self::Embedded(store) => stored(store.append(events_of(events)).await),
            Self::Beside(store) => stored(store.append(events_of(events)).await),
            Self::Kafka(kafka) => kafka.append(events, patience).await,
        }
    }
}

impl Addressed {
    /// A department's event to its topic by the table that decided, the router's own to its own.
    pub fn to(table: &Table, event: Event) -> Self {
        let delivery = match &event.destination {
            Destination::Department(department) => table.delivery(department),
            _ => None,
        };
        match delivery {
            Some(Delivery { topic, hold, standby }) => {
                Self { topic: topic.clone(), hold: *hold, standby: standby.clone(), event }
            }
            None => Self::own(event),
        }
    }

    /// To dead-letter, which no table decides.
    pub fn dead_letter(event: Event) -> Self {
        Self::own(event)
    }

    /// To the router's own topic that the event is for; those are neither held nor stood in for.
    pub fn own(event: Event) -> Self {
        let topic = event.destination.own_topic().unwrap_or_default().to_owned();
        Self { topic, hold: false, standby: None, event }
    }
}

impl From<Appended> for Logged {
    fn from(appended: Appended) -> Self {
        match appended {
            Appended::Stored => Self::Stored,
            Appended::Known => Self::Known,
            Appended::Conflicting => Self::Reused,
        }
    }
}

fn events_of(addressed: Vec<Addressed>) -> Vec<Event> {
    addressed.into_iter().map(|addressed| addressed.event).collect()
}

/// What became of a text is what became of its own event, the first.
fn stored(appended: Result<Vec<Appended>, StoreError>) -> Result<Logged, LogError> {
    let appended = appended.map_err(|error| refused_by_store(&error))?;
    Ok(appended.first().map_or(Logged::Stored, |appended| Logged::from(*appended)))
}

fn refused_by_store(error: &StoreError) -> LogError {
    match error {
        StoreError::Refused(_) => LogError::Never,
        // Said once by the store itself, not for every text.
        StoreError::Full { .. } | StoreError::Lost { .. } | StoreError::JournalFull(_) | StoreError::Busy => {
            LogError::Unavailable
        }
        _ => {
            static TOLD: Told = Told::new();
            if let Some(untold) = TOLD.is_due("refused", Instant::now()) {
                tracing::warn!(%error, untold, "the embedded store did not take a text");
            }
            LogError::Unavailable
        }
    }
}
