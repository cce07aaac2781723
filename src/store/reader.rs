//! The store for a one-shot command, beside a running `serve` or without one: audit copies, what waits in
//! the journal, dead letters and the way back from there.
//!
//! Comes in: the data folder. Goes out: audit copies, entries, and a line in the access log before they are shown.
//! Always true: takes no lock on the folder (SQLite's own locks order the small writes), never
//! changes the tables' form, and makes no file where there is no store.
//! Not here: texts coming in; they have one writer, which shares a commit among many.

use std::path::Path;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::append::{self, Appended};
use super::error::{Fault, StoreError};
use super::feed::{self, Cursor, Entry};
use super::files::Files;
use super::journal::Waiting;
use super::waiting::JournalState;
use super::{audit, backup, journal, schema, sweep};
use crate::message::{Access, AuditCopy, AuditQuery, Event, SenderKey, Timestamp};

/// A connection of its own to the store in a folder. Blocks; not for async code.
pub struct Reader {
    connection: Connection,
    files: Files,
}

impl Reader {
    /// Errors: `Missing`, `Older`, `Newer`, `NotWritable`, `Corrupt`.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let files = Files::of(folder);
        let connection = files.open_beside()?;
        schema::require(&connection, &files)?;
        Ok(Self { connection, files })
    }

    /// Asks several things of one moment.
    pub(super) fn in_one_moment<T>(&self, ask: impl FnOnce(&Connection) -> Result<T, Fault>) -> Result<T, StoreError> {
        let asked = || {
            let transaction = self.connection.unchecked_transaction()?;
            ask(&transaction)
        };
        asked().map_err(|fault: Fault| self.files.explain(fault))
    }

    /// The audit copies that answer, oldest first, none past its expiry. A sender is looked for under
    /// every key given: those before a rotation as well.
    pub fn find(
        &self,
        query: &AuditQuery,
        sender_keys: &[SenderKey],
        now: Timestamp,
    ) -> Result<Vec<AuditCopy>, StoreError> {
        audit::find(&self.connection, query, sender_keys, now).map_err(|fault| self.files.explain(fault))
    }

    /// Copies the whole store, as it is at one moment, into a file that is not there yet; on the disk and found sound
    /// when this returns. Who serves goes on meanwhile; what is written then is copied into the database file later,
    /// so the WAL grows. Errors: `NoBackup`, those of the store.
    pub fn back_up(&self, to: &Path) -> Result<(), StoreError> {
        backup::copy(&self.connection, &self.files, to)
    }

    /// Writes an access down; on the disk when this returns.
    pub fn record_access(&self, access: &Access) -> Result<(), StoreError> {
        audit::record_access(&self.connection, access).map_err(|error| self.files.explain(error))
    }

    /// The events of a stream after a position, as `Store::read` gives them.
    pub fn read(&self, stream: &str, after: Cursor, limit: usize) -> Result<Vec<Entry>, StoreError> {
        feed::read(&self.connection, stream, after, limit).map_err(|fault| self.files.explain(fault))
    }

    /// Writes events in one transaction, as `Store::append` does; on the disk when this returns.
    pub fn append(&self, events: &[Event], key_id: &str) -> Result<Vec<Appended>, StoreError> {
        let write = || -> rusqlite::Result<_> {
            let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Immediate)?;
            let (outcomes, _) = append::append(&transaction, events, key_id)?;
            transaction.commit().map(|()| outcomes)
        };
        write().map_err(|error| self.files.explain(error))
    }

    /// Makes a dead letter hollow: its content is overwritten at once, its id stays known.
    pub fn forget(&self, position: Cursor) -> Result<(), StoreError> {
        sweep::forget_letter(&self.connection, position).map_err(|error| self.files.explain(error))
    }

    /// How much waits in the journal, as the file says now.
    pub fn journal_state(&self) -> Result<JournalState, StoreError> {
        JournalState::read(&self.connection).map_err(|error| self.files.explain(error))
    }

    /// What waits in the journal for a topic after a position, oldest first; bounded as `Store::waiting`.
    pub fn waiting(&self, topic: &str, after: Cursor, limit: usize) -> Result<Vec<Waiting>, StoreError> {
        journal::read(&self.connection, topic, after, limit).map_err(|fault| self.files.explain(fault))
    }

    /// The last accesses, newest first.
    pub fn accesses(&self, limit: usize) -> Result<Vec<Access>, StoreError> {
        audit::accesses(&self.connection, limit).map_err(|fault| self.files.explain(fault))
    }
}
