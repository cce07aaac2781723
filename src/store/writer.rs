//! The one thread that writes.
//!
//! Comes in: jobs and steps of a sweep, through a bounded channel. Goes out: answers after the commit.
//! Always true: whatever waits when a commit begins shares it and its one fsync (group commit); a
//! batch that cannot be stored fails alone; after a failure the thread goes on, so a disk that was
//! full is used again as soon as there is space; nothing is answered that went to files which were taken
//! away.
//! Not here: statements, what a job is (`job`), and who asks.

use std::fs::File;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use arc_swap::ArcSwap;
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};

use super::error::StoreError;
use super::files::{Files, Held};
use super::job::{Batch, Page};
use super::sweep::{self, Progress, Step};
use super::waiting::{Bounds, JournalState};
use crate::clock::Clock;

pub(super) enum Work {
    Write(Batch),
    Tidy(Step, oneshot::Sender<Result<Progress, StoreError>>),
    /// Writes next to nothing, to see whether that is possible.
    Try(oneshot::Sender<Result<(), StoreError>>),
    Close,
}

/// The writer's thread, to be closed at shutdown. Dropped instead, the thread goes on until the last
/// `Store` is gone.
#[must_use = "close it, so that what waits is written before the process ends"]
pub struct Writer {
    thread: JoinHandle<()>,
    queue: mpsc::Sender<Work>,
    room: Arc<Semaphore>,
}

impl Writer {
    pub(super) fn start(desk: Desk, queue: mpsc::Sender<Work>, room: Arc<Semaphore>) -> Result<Self, StoreError> {
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || desk.run())
            .map_err(|error| StoreError::Io(error.to_string()))?;
        Ok(Self { thread, queue, room })
    }

    /// Takes no more, writes what waits, and returns when the folder is free for another process.
    pub async fn close(self) {
        self.room.close();
        // An error means that the thread has ended already.
        let _ = self.queue.send(Work::Close).await;
        let thread = self.thread;
        let joined = tokio::task::spawn_blocking(move || thread.join()).await;
        if !matches!(joined, Ok(Ok(()))) {
            tracing::error!("the store's writer ended in a panic; what was answered is on the disk");
        }
    }
}

/// Everything the thread owns.
pub(super) struct Desk {
    pub connection: Connection,
    pub files: Files,
    pub key_id: Box<str>,
    pub batch_max: usize,
    pub work: mpsc::Receiver<Work>,
    pub announce: watch::Sender<u64>,
    pub bounds: Bounds,
    /// How much waits in the journal; changed by this thread only, after each commit.
    pub journal: Arc<ArcSwap<JournalState>>,
    pub clock: Clock,
    /// Which files `connection` and `lock` have open.
    pub held: Held,
    /// Why nothing is taken in; `None` while all is well.
    pub trouble: watch::Sender<Option<StoreError>>,
    /// The folder's lock; fields are dropped in this order, so the connection is closed before it.
    pub lock: File,
}

impl Desk {
    fn run(mut self) {
        let mut next = None;
        while let Some(work) = next.take().or_else(|| self.work.blocking_recv()) {
            match work {
                Work::Write(first) => {
                    let group;
                    (group, next) = self.gather(first);
                    self.write(group);
                }
                Work::Tidy(step, answer) => {
                    // An error means that the sweep was dropped; the next one goes on.
                    let _ = answer.send(self.tidy(&step));
                }
                Work::Try(answer) => {
                    let tried = self.try_writing();
                    self.note(&tried);
                    let _ = answer.send(tried);
                }
                // From here on only what already waits is received, then nothing.
                Work::Close => self.work.close(),
            }
        }
        drop(self.connection);
        drop(self.lock);
    }

    /// What shares the next commit: everything that waits, up to `batch_max` events; also the first
    /// piece of other work behind it.
    fn gather(&mut self, first: Batch) -> (Vec<Batch>, Option<Work>) {
        let mut events = first.job.size();
        let mut group = vec![first];
        while events < self.batch_max {
            match self.work.try_recv() {
                Ok(Work::Write(batch)) => {
                    events += batch.job.size();
                    group.push(batch);
                }
                Ok(other) => return (group, Some(other)),
                Err(_) => break,
            }
        }
        (group, None)
    }

    fn write(&mut self, mut group: Vec<Batch>) {
        let written = self.commit(&mut group);
        self.note(&written);
        match written {
            // One event spoilt the transaction for its neighbours: each batch gets its own.
            Err(StoreError::Refused(_)) if group.len() > 1 => {
                for batch in group {
                    self.write(vec![batch]);
                }
            }
            written => {
                for batch in group {
                    batch.answer(written.as_ref().err());
                }
            }
        }
    }

    /// One transaction for the group. Dropped before its commit it is rolled back.
    fn commit(&mut self, group: &mut [Batch]) -> Result<(), StoreError> {
        let Self { connection, files, key_id, bounds, journal, clock, announce, held, trouble, .. } = self;
        if matches!(*trouble.borrow(), Some(StoreError::Lost { .. })) {
            held.check()?;
        }
        let before = journal.load_full();
        let mut page = Page { key_id, bounds, now: clock.now(), newest: None, journal: Arc::clone(&before) };
        let mut write = || -> rusqlite::Result<_> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            group.iter_mut().try_for_each(|batch| batch.job.run(&transaction, &mut page))?;
            transaction.commit()
        };
        write().map_err(|error| files.explain(error))?;
        // Before the answers: who reads after being answered finds what was written.
        if !Arc::ptr_eq(&before, &page.journal) {
            journal.store(page.journal);
        }
        held.check()?;
        if let Some(newest) = page.newest {
            announce.send_replace(newest);
        }
        Ok(())
    }

    fn tidy(&mut self, step: &Step) -> Result<Progress, StoreError> {
        let mut state = self.journal.load_full();
        let done = sweep::tidy(&mut self.connection, step, &mut state).map_err(|fault| self.files.explain(fault))?;
        self.journal.store(state);
        Ok(done)
    }

    /// What a text needs, without one: space, files that are the ones open, and a commit.
    fn try_writing(&mut self) -> Result<(), StoreError> {
        let Self { connection, files, held, .. } = self;
        held.check()?;
        files.has_space()?;
        let write = || -> rusqlite::Result<()> {
            let version: i64 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
            // Setting what is set writes the first page all the same.
            connection.pragma_update(None, "user_version", version)
        };
        write().map_err(|error| files.explain(error))
    }

    /// Says once that nothing is taken in and why, and once that texts are taken in again.
    fn note(&mut self, written: &Result<(), StoreError>) {
        let now = match written {
            Ok(()) => None,
            Err(error) if error.is_of_the_store() => Some(error.clone()),
            Err(_) => return,
        };
        if *self.trouble.borrow() == now {
            return;
        }
        match &now {
            Some(error) => tracing::error!(%error, "the store takes nothing in"),
            None => tracing::info!("the store takes texts in again"),
        }
        self.trouble.send_replace(now);
    }
}
