//! The store beside the process that serves it, or beside its writer, for who adds a little to it and asks little.
//!
//! Comes in: events, dead letters that have been called back, questions about audit copies. Goes out: answers, after
//! the commit where something was written.
//! Always true: each call is one transaction of its own, ordered with those of a serving process by
//! SQLite's locks, so positions and ids stay as that one would give them; nothing is remembered here.
//! Not here: group commit and bounds, which a process that serves needs. Who waits on the feed sees
//! what was added here with the next question.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::Reader;
use super::append::Appended;
use super::error::StoreError;
use super::feed::{Cursor, Entry};
use crate::message::{Access, AuditCopy, AuditQuery, Event, SenderKey, Timestamp};

/// A handle on a store beside its serving process, cheap to clone.
#[derive(Clone)]
pub struct Beside {
    reader: Arc<Mutex<Reader>>,
    key_id: Arc<str>,
}

impl Beside {
    /// Errors: those of `Reader::open`.
    pub fn open(folder: &Path, sender_key: &SenderKey) -> Result<Self, StoreError> {
        let reader = Arc::new(Mutex::new(Reader::open(folder)?));
        Ok(Self { reader, key_id: sender_key.id().into() })
    }

    /// As `Store::append`; `Busy` when the serving process holds the file for seconds.
    pub async fn append(&self, events: Vec<Event>) -> Result<Vec<Appended>, StoreError> {
        let key_id = Arc::clone(&self.key_id);
        self.ask(move |reader| reader.append(&events, &key_id)).await
    }

    /// As `Store::read`.
    pub async fn read(&self, stream: &'static str, after: Cursor, limit: usize) -> Result<Vec<Entry>, StoreError> {
        self.ask(move |reader| reader.read(stream, after, limit)).await
    }

    /// As `Reader::find`.
    pub async fn find(
        &self,
        query: AuditQuery,
        sender_keys: Vec<SenderKey>,
        now: Timestamp,
    ) -> Result<Vec<AuditCopy>, StoreError> {
        self.ask(move |reader| reader.find(&query, &sender_keys, now)).await
    }

    /// As `Reader::record_access`.
    pub async fn record_access(&self, access: Access) -> Result<(), StoreError> {
        self.ask(move |reader| reader.record_access(&access)).await
    }

    /// Takes a dead letter's content away; see `Reader::forget`.
    pub async fn forget(&self, position: Cursor) -> Result<(), StoreError> {
        self.ask(move |reader| reader.forget(position)).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let reader = Arc::clone(&self.reader);
        let asked =
            tokio::task::spawn_blocking(move || question(&reader.lock().unwrap_or_else(PoisonError::into_inner)));
        asked.await.map_err(|error| StoreError::Io(error.to_string()))?
    }
}
