//! What callers want written: each job all or nothing, several in one transaction.
//!
//! Comes in: events and positions, each with somebody who waits. Goes out: statements run inside the
//! writer's transaction, and the answer once it is on the disk.
//! Always true: whoever waits is answered after the commit, never before; their room in the queue is
//! free again by then.
//! Not here: the transaction.

use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::append::{Appended, append};
use super::error::StoreError;
use super::feed::Cursor;
use super::journal::{self, Addressed, Placed};
use super::progress::{self, Move};
use super::waiting::{Bounds, JournalState};
use crate::message::{Event, Timestamp};

/// Where an outcome is awaited.
pub(super) type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// A job in the queue.
pub(super) struct Batch {
    pub job: Job,
    /// Given back before the batch is answered: whoever has the answer finds the room free.
    pub room: OwnedSemaphorePermit,
}

impl Batch {
    /// Answers with what the job did, or why the commit did not come about.
    pub(super) fn answer(self, failure: Option<&StoreError>) {
        drop(self.room);
        match self.job {
            Job::Append(wish) => wish.answer(failure),
            Job::Journal(wish) => wish.answer(failure),
            Job::Settle(wish) => wish.answer(failure),
            Job::Advance(wish) => wish.answer(failure),
        }
    }
}

pub(super) enum Job {
    Append(Wish<Vec<Event>, Vec<Appended>>),
    Journal(Wish<Vec<Addressed>, Vec<Placed>>),
    Settle(Wish<Vec<Cursor>, Vec<Cursor>>),
    Advance(Wish<Move, ()>),
}

/// What is wished, and what came of it in the transaction under way.
pub(super) struct Wish<I, O> {
    what: I,
    outcome: Option<Result<O, StoreError>>,
    answer: Answer<O>,
}

impl<I, O> Wish<I, O> {
    fn new(what: I, answer: Answer<O>) -> Self {
        Self { what, outcome: None, answer }
    }

    fn answer(self, failure: Option<&StoreError>) {
        let outcome = match failure {
            Some(error) => Err(error.clone()),
            None => self.outcome.unwrap_or(Err(StoreError::Closed)),
        };
        // An error means that the caller is gone, which changes nothing about the write.
        let _ = self.answer.send(outcome);
    }
}

/// What the jobs of one transaction share, and what becomes true with its commit.
pub(super) struct Page<'a> {
    pub key_id: &'a str,
    pub bounds: &'a Bounds,
    pub now: Timestamp,
    /// The position of the last event in the log, if any was added.
    pub newest: Option<u64>,
    pub journal: Arc<JournalState>,
}

impl Job {
    pub(super) fn append(events: Vec<Event>, answer: Answer<Vec<Appended>>) -> Self {
        Self::Append(Wish::new(events, answer))
    }

    pub(super) fn journal(events: Vec<Addressed>, answer: Answer<Vec<Placed>>) -> Self {
        Self::Journal(Wish::new(events, answer))
    }

    pub(super) fn settle(positions: Vec<Cursor>, answer: Answer<Vec<Cursor>>) -> Self {
        Self::Settle(Wish::new(positions, answer))
    }

    pub(super) fn advance(moved: Move, answer: Answer<()>) -> Self {
        Self::Advance(Wish::new(moved, answer))
    }

    /// How much of a transaction it takes.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Append(wish) => wish.what.len(),
            Self::Journal(wish) => wish.what.len(),
            Self::Settle(wish) => wish.what.len(),
            Self::Advance(_) => 1,
        }
    }

    /// Runs it inside the transaction and keeps what came of it. May run again in another one.
    pub(super) fn run(&mut self, transaction: &Connection, page: &mut Page<'_>) -> rusqlite::Result<()> {
        match self {
            Self::Append(wish) => wish.outcome = Some(Ok(append_all(transaction, &wish.what, page)?)),
            Self::Journal(wish) => {
                let written = journal::write(transaction, &mut page.journal, page.bounds, &wish.what, page.now)?;
                wish.outcome = Some(written);
            }
            Self::Settle(wish) => {
                wish.outcome = Some(Ok(journal::settle(transaction, &mut page.journal, &wish.what)?));
            }
            Self::Advance(wish) => wish.outcome = Some(Ok(progress::write(transaction, &wish.what)?)),
        }
        Ok(())
    }
}

fn append_all(transaction: &Connection, events: &[Event], page: &mut Page<'_>) -> rusqlite::Result<Vec<Appended>> {
    let (outcomes, position) = append(transaction, events, page.key_id)?;
    page.newest = position.or(page.newest);
    Ok(outcomes)
}
