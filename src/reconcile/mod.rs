//! Whether what was taken in is where it belongs: by id, for the receipts of a closed hour.
//!
//! Comes in: the log, the journal and the archive as they are. Goes out: a [`Verdict`]: what differs,
//! each by its id and in which way; or why the hour cannot be judged.
//! Always true: nothing is believed that a process counted, only what is stored; memory is bounded by a
//! number of ids, beyond which an hour is judged in pieces; a difference is never only a text on its way.
//! Not here: mending what differs, when to ask (`app`), showing it (`cli`).
//!
//! What the evidence is:
//!
//! ```text
//!              accepted                             published           archived
//! standalone   `ids`, positions of the log          rows of the log     rows of the audit copies
//! cluster      journal, dead-letter, and whatever   records of the      `by_department` and `by_id`,
//!              speaks of another event: consent     topics              for records before the offset
//!              of its text, a marker of the text                        the archive has committed
//!              it was joined into
//! both         the numbers of synthetic texts: one that is missing between two was answered 200 and lost
//! ```
//!
//! A text received in the hour may come to its topic much later (from the journal, joined, called back
//! from dead-letter), so topics are read from the hour's first record to their end. What looks wrong
//! then is looked for once more, for it may have arrived while this was being read.

mod cluster;
mod collection;
mod embedded;
mod findings;
mod glance;
mod journal;
mod ledger;
mod letters;
mod probes;
mod reading;
mod topics;
mod watch;
mod window;

pub use cluster::Cluster;
pub use embedded::Embedded;
pub use findings::{Difference, Kind, Sums};
pub use watch::Watch;
pub use window::{Window, WindowError};

use tokio_util::sync::CancellationToken;

use crate::archive::ArchiveError;
use crate::message::Timestamp;
use crate::store::StoreError;
use ledger::TooMany;

/// Why no verdict could be come to.
#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("the brokers cannot be asked: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// The brokers have stopped answering in the middle.
    #[error("the topics could not be read to their end")]
    Stalled,
    /// Brokers do not tell one from the other to who may not know.
    #[error("topic {0} does not exist, or is not for this user to read: run `sms-router setup`, or grant Read on it")]
    NoTopic(String),
    /// Ask for a shorter time, or allow for more ids.
    #[error("more than {0} ids: ask for a shorter time, or set reconcile.ids_max higher")]
    TooMany(usize),
    #[error("told to stop")]
    Stopped,
}

impl From<TooMany> for ReconcileError {
    fn from(TooMany(max): TooMany) -> Self {
        Self::TooMany(max)
    }
}

/// What can be said of a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Judged(Judgement),
    /// Ask again later, and why.
    NotYet(String),
    /// Never any more, and why.
    TooLate(String),
}

/// What was found of a time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Judgement {
    pub sums: Sums,
    /// How many differ in each way.
    pub counts: [u64; Kind::ALL.len()],
    /// Which, as far as they are named one by one.
    pub differences: Vec<Difference>,
    /// What could not be looked at.
    pub notes: Vec<String>,
}

impl Judgement {
    pub fn all_is_well(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }
}

/// Where the evidence is, in the profile in force.
pub enum Judge {
    Embedded(Embedded),
    Cluster(Box<Cluster>),
}

impl Judge {
    /// Judges the receipts of a window. One with more ids than may be held is cut into halves.
    pub async fn judge(
        &self,
        window: Window,
        now: Timestamp,
        stop: &CancellationToken,
    ) -> Result<Verdict, ReconcileError> {
        let (mut open, mut sum) = (vec![window], Judgement::default());
        while let Some(window) = open.pop() {
            match self.judge_once(window, now, stop).await {
                Ok(Verdict::Judged(judgement)) => sum.add(judgement),
                Ok(other) => return Ok(other),
                Err(ReconcileError::TooMany(max)) => match window.halves() {
                    Some(halves) => open.extend(halves),
                    None => return Err(ReconcileError::TooMany(max)),
                },
                Err(error) => return Err(error),
            }
        }
        Ok(Verdict::Judged(sum))
    }

    async fn judge_once(
        &self,
        window: Window,
        now: Timestamp,
        stop: &CancellationToken,
    ) -> Result<Verdict, ReconcileError> {
        if window.until > now {
            return Ok(Verdict::NotYet(format!("it is not over until {}", window.until)));
        }
        match self {
            Self::Embedded(embedded) => embedded.judge(window, now, stop).await,
            Self::Cluster(cluster) => cluster.judge(window, now, stop).await,
        }
    }
}
