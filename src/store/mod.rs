//! The embedded store: one SQLite file that is the durable log, the departments' feed, the audit
//! copies, dead-letter, how far each channel has delivered, and the log of who read audit copies; in the cluster profile, the journal.
//!
//! Comes in: encoded events, questions, the passing of time. Goes out: answers after the commit.
//! Always true: an event's feed row, its audit copy and the memory of its id are one transaction;
//! `append` answers only when that transaction is on the disk (WAL, `synchronous=FULL`); one thread
//! writes, readers never hold it up; a dropped future does not cancel a write; what is over (12
//! calendar months, 30 days) cannot be read any more and its bytes leave the files; what waits in the
//! journal waits until it is settled, whatever its age; a commit to files that have been taken away or
//! replaced is answered with an error.
//! Not here: matching, statuses, HTTP, tokens, who may read what.
//!
//! ```text
//! append, journal ──room for n?──► queue ──► writer thread: BEGIN; everything that waits; COMMIT ──► answers
//! settle, advance ──room for 1─────┤                                                        └─► `appended`
//! sweep  ──one small step at a time┘
//! read, waiting, find ──► a few read-only connections, each on a blocking thread
//! ```

mod append;
mod audit;
mod backup;
mod beside;
mod error;
mod feed;
mod files;
mod hour;
mod job;
mod journal;
mod pool;
mod progress;
mod reader;
mod schema;
mod sweep;
#[cfg(test)]
mod tests;
mod waiting;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc, oneshot, watch};

use self::files::Files;
use self::job::{Answer, Batch, Job};
use self::pool::Pool;
use self::waiting::Bounds;
use self::writer::Work;
use crate::clock::Clock;
use crate::message::{AuditCopy, AuditQuery, Event, EventId, SenderKey};

pub use self::append::Appended;
pub use self::audit::COPIES_MAX;
pub use self::beside::Beside;
pub use self::error::StoreError;
pub use self::feed::{Cursor, ENTRIES_MAX, Entry};
pub use self::hour::Found;
pub use self::journal::Waiting;
pub use self::reader::Reader;
pub use self::sweep::Swept;
pub use self::waiting::{Bound, JournalState, Line, Oldest, Sum, TopicSender};
pub use self::writer::Writer;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Most events that may wait for the writer, whatever the settings say.
const QUEUE_LIMIT: usize = 1_000_000;
/// Places in the channel beyond those of events: steps of a sweep, tries and the word to close.
const OTHER_WORK_MAX: usize = 16;

/// What the store needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Holds `sms-router.sqlite`, the two files SQLite keeps beside it, and `lock`.
    pub folder: PathBuf,
    /// Events waiting for the writer; beyond it `append` answers `Busy`.
    pub queue_max: usize,
    /// Events in one transaction. A single `append` of more goes alone.
    pub batch_max: usize,
    /// How long departments can read an event in the feed. Never longer than its audit copy lives.
    pub feed_retention: Duration,
    /// How long dead-letter keeps what could not be read. Where it is longer than the feed's, the
    /// room of feed rows between the two is given back only with the dead letters.
    pub dead_letter_retention: Duration,
    /// Bytes that may wait in the journal, over all topics. The file may grow to twice that while an
    /// old entry holds up the removal of newer, settled ones.
    pub journal_bytes_max: u64,
    /// A topic whose oldest entry has waited longer takes no more. Nothing is ever dropped by age.
    pub journal_age_max: Duration,
    /// How much of `journal_bytes_max` one topic may take, from 0 to 1.
    pub journal_topic_share: f64,
}

impl Settings {
    /// The defaults: 10,000 events waiting, 1,000 in a transaction, 30 days in the feed and in
    /// dead-letter; in the journal 1 GiB, 7 days, one half for one topic.
    pub fn of(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            queue_max: 10_000,
            batch_max: 1_000,
            feed_retention: 30 * DAY,
            dead_letter_retention: 30 * DAY,
            journal_bytes_max: 1024 * 1024 * 1024,
            journal_age_max: 7 * DAY,
            journal_topic_share: 0.5,
        }
    }
}

/// A handle on the open store, cheap to clone.
#[derive(Clone)]
pub struct Store(Arc<Shared>);

struct Shared {
    settings: Settings,
    sender_key: SenderKey,
    clock: Clock,
    queue: mpsc::Sender<Work>,
    /// One permit for each event that may wait; the channel is never fuller than this allows.
    room: Arc<Semaphore>,
    appended: watch::Receiver<u64>,
    trouble: watch::Receiver<Option<StoreError>>,
    journal: Arc<ArcSwap<JournalState>>,
    pool: Arc<Pool>,
    /// One sweep at a time.
    sweeping: Mutex<()>,
}

impl Store {
    /// Opens the folder's store, makes it where there is none, and starts its writer. Blocks shortly.
    ///
    /// The folder is made with mode 0700, files with 0600. Errors: `LockedByAnother`, `NotWritable`,
    /// `Newer`, `Corrupt`, `Full`.
    pub fn open(settings: Settings, sender_key: SenderKey, clock: Clock) -> Result<(Self, Writer), StoreError> {
        let files = Files::of(&settings.folder);
        let lock = files.take()?;
        let mut connection = files.open_writing()?;
        schema::migrate(&mut connection, &files)?;
        schema::check(&connection, &files)?;
        journal::check(&connection).map_err(|fault| files.explain(fault))?;
        let position = feed::newest(&connection).map_err(|error| files.explain(error))?;
        let journal = JournalState::read(&connection).map_err(|error| files.explain(error))?;
        let journal = Arc::new(ArcSwap::from_pointee(journal));
        let held = files.held(&lock)?;

        let room_max = settings.queue_max.clamp(1, QUEUE_LIMIT);
        let room = Arc::new(Semaphore::new(room_max));
        let (queue, work) = mpsc::channel(room_max + OTHER_WORK_MAX);
        let (announce, appended) = watch::channel(position);
        let (tell, trouble) = watch::channel(None);
        let desk = writer::Desk {
            connection,
            files: files.clone(),
            key_id: sender_key.id().into(),
            batch_max: settings.batch_max,
            work,
            announce,
            bounds: Bounds::of(&settings),
            journal: Arc::clone(&journal),
            clock: clock.clone(),
            held,
            trouble: tell,
            lock,
        };
        let writer = Writer::start(desk, queue.clone(), Arc::clone(&room))?;
        let pool = Arc::new(Pool::of(files));
        let sweeping = Mutex::new(());
        let shared = Shared { settings, sender_key, clock, queue, room, appended, trouble, journal, pool, sweeping };
        Ok((Self(Arc::new(shared)), writer))
    }

    /// Writes the events in one transaction, with whatever else waits, and answers when it is on the
    /// disk: one outcome for each event, in their order. On an error none of them is stored.
    ///
    /// Once polled, the write goes on even when this future is dropped. Errors: `Busy` at once when
    /// too many wait; `Full`; `Refused` for an event that can never be stored; `Closed`; `Io`.
    pub async fn append(&self, events: Vec<Event>) -> Result<Vec<Appended>, StoreError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let room = self.room_for(events.len())?;
        self.write(room, |answer| Job::append(events, answer)).await
    }

    /// Room for as many events, at once or not at all.
    fn room_for(&self, events: usize) -> Result<OwnedSemaphorePermit, StoreError> {
        // A batch larger than the whole queue takes all of it rather than never getting in.
        let places = events.min(self.0.settings.queue_max.clamp(1, QUEUE_LIMIT));
        let places = u32::try_from(places).expect("the limit of the queue fits");
        Arc::clone(&self.0.room).try_acquire_many_owned(places).map_err(|error| match error {
            TryAcquireError::NoPermits => StoreError::Busy,
            TryAcquireError::Closed => StoreError::Closed,
        })
    }

    /// Hands a job to the writer, and waits for what came of it.
    async fn write<T>(&self, room: OwnedSemaphorePermit, job: impl FnOnce(Answer<T>) -> Job) -> Result<T, StoreError> {
        let (answer, outcome) = oneshot::channel();
        self.0.queue.try_send(Work::Write(Batch { job: job(answer), room })).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Busy,
            mpsc::error::TrySendError::Closed(_) => StoreError::Closed,
        })?;
        outcome.await.map_err(|_| StoreError::Closed)?
    }

    /// The events of a stream after a position, oldest first: at most `limit`, at most `ENTRIES_MAX`,
    /// and fewer where their values are large. A stream is a department's name or one of
    /// `message::topics::{CONSENT, DEAD_LETTER}`.
    pub async fn read(&self, stream: &str, after: Cursor, limit: usize) -> Result<Vec<Entry>, StoreError> {
        let stream = stream.to_owned();
        self.0.pool.ask(move |connection| feed::read(connection, &stream, after, limit)).await
    }

    /// Where in the log an event of the stream is. Known as long as the id is, also when the event
    /// itself has left the feed: a reader that was away for long goes on with what is left.
    pub async fn cursor_of(&self, stream: &str, id: EventId) -> Result<Option<Cursor>, StoreError> {
        let stream = stream.to_owned();
        self.0.pool.ask(move |connection| feed::cursor_of(connection, &stream, id)).await
    }

    /// The position after which the stream's last `count` events are.
    pub async fn before_last(&self, stream: &str, count: usize) -> Result<Cursor, StoreError> {
        let stream = stream.to_owned();
        self.0.pool.ask(move |connection| feed::before_last(connection, &stream, count)).await
    }

    /// Changes after each commit that added something, to the newest position of all streams: what a
    /// long poll waits on. Ends when the writer does.
    pub fn appended(&self) -> watch::Receiver<u64> {
        self.0.appended.clone()
    }

    /// Why the store takes nothing in, as it last turned out; `None` while all is well.
    pub fn trouble(&self) -> watch::Receiver<Option<StoreError>> {
        self.0.trouble.clone()
    }

    /// Tries whether texts could be taken in; `trouble` tells from then on what came of it.
    pub async fn try_writing(&self) -> Result<(), StoreError> {
        let (answer, tried) = oneshot::channel();
        self.0.queue.send(Work::Try(answer)).await.map_err(|_| StoreError::Closed)?;
        tried.await.map_err(|_| StoreError::Closed)?
    }

    /// The audit copies that answer, oldest first, none past its expiry. Errors: `TooMany`, `Unreadable`.
    ///
    /// The caller writes down who asks and why before it shows anything (`Reader::record_access`).
    pub async fn find(&self, query: &AuditQuery) -> Result<Vec<AuditCopy>, StoreError> {
        let (query, key, now) = (query.clone(), self.0.sender_key.clone(), self.0.clock.now());
        self.0.pool.ask(move |connection| audit::find(connection, &query, &[key], now)).await
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("folder", &self.0.settings.folder).finish_non_exhaustive()
    }
}
