//! The one thread that writes.
//!
//! Comes in: batches of events and steps of a sweep, through a bounded channel. Goes out: answers
//! after the commit.
//! Always true: whatever waits when a commit begins shares it and its one fsync (group commit); a
//! batch that cannot be stored fails alone; after a failure the thread goes on, so a disk that was
//! full is used again as soon as there is space.
//! Not here: statements, and who asks.

use std::fs::File;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use super::append::{Appended, append};
use super::error::StoreError;
use super::files::Files;
use super::sweep::{self, Progress, Step};
use crate::message::Event;

/// What one caller wants written, all or nothing.
pub(super) struct Batch {
    pub events: Vec<Event>,
    pub answer: oneshot::Sender<Result<Vec<Appended>, StoreError>>,
    /// Given back before the batch is answered: whoever has the answer finds the room free.
    pub room: OwnedSemaphorePermit,
}

impl Batch {
    fn answer(self, outcome: Result<Vec<Appended>, StoreError>) {
        drop(self.room);
        // An error means that the caller is gone, which changes nothing about the write.
        let _ = self.answer.send(outcome);
    }
}

pub(super) enum Work {
    Append(Batch),
    Tidy(Step, oneshot::Sender<Result<Progress, StoreError>>),
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
    /// Whether the last commit found the disk full.
    pub full: bool,
    /// The folder's lock; fields are dropped in this order, so the connection is closed before it.
    pub lock: File,
}

impl Desk {
    fn run(mut self) {
        let mut next = None;
        while let Some(work) = next.take().or_else(|| self.work.blocking_recv()) {
            match work {
                Work::Append(first) => {
                    let group;
                    (group, next) = self.gather(first);
                    self.write(group);
                }
                Work::Tidy(step, answer) => {
                    let done = sweep::tidy(&mut self.connection, &step).map_err(|fault| self.files.explain(fault));
                    let _ = answer.send(done);
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
        let mut events = first.events.len();
        let mut group = vec![first];
        while events < self.batch_max {
            match self.work.try_recv() {
                Ok(Work::Append(batch)) => {
                    events += batch.events.len();
                    group.push(batch);
                }
                Ok(other) => return (group, Some(other)),
                Err(_) => break,
            }
        }
        (group, None)
    }

    fn write(&mut self, group: Vec<Batch>) {
        let written = self.commit(&group);
        self.note_space(&written);
        match written {
            Ok((outcomes, newest)) => {
                // Before the answers: who reads after being answered finds what was written.
                if let Some(newest) = newest {
                    self.announce.send_replace(newest);
                }
                for (batch, outcome) in group.into_iter().zip(outcomes) {
                    batch.answer(Ok(outcome));
                }
            }
            // One event spoilt the transaction for its neighbours: each batch gets its own.
            Err(StoreError::Refused(_)) if group.len() > 1 => {
                for batch in group {
                    self.write(vec![batch]);
                }
            }
            Err(error) => {
                for batch in group {
                    batch.answer(Err(error.clone()));
                }
            }
        }
    }

    /// One transaction for the group. Dropped before its commit it is rolled back.
    fn commit(&mut self, group: &[Batch]) -> Result<(Vec<Vec<Appended>>, Option<u64>), StoreError> {
        let Self { connection, files, key_id, .. } = self;
        let mut write = || -> rusqlite::Result<_> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let mut newest = None;
            let outcomes = group.iter().map(|batch| append_all(&transaction, &batch.events, key_id, &mut newest));
            let outcomes = outcomes.collect::<Result<Vec<_>, _>>()?;
            transaction.commit()?;
            Ok((outcomes, newest))
        };
        write().map_err(|error| files.explain(error))
    }

    /// Says once that the disk is full, and once that it no longer is.
    fn note_space<T>(&mut self, written: &Result<T, StoreError>) {
        match written {
            Err(StoreError::Full { .. }) if !self.full => {
                self.full = true;
                tracing::error!("the disk of the data folder is full: nothing is taken in until there is space");
            }
            Ok(_) if self.full => {
                self.full = false;
                tracing::info!("the disk of the data folder has space again");
            }
            _ => {}
        }
    }
}

fn append_all(
    transaction: &Connection,
    events: &[Event],
    key_id: &str,
    newest: &mut Option<u64>,
) -> rusqlite::Result<Vec<Appended>> {
    let mut outcomes = Vec::with_capacity(events.len());
    for event in events {
        let (appended, position) = append(transaction, event, key_id)?;
        *newest = position.or(*newest);
        outcomes.push(appended);
    }
    Ok(outcomes)
}
