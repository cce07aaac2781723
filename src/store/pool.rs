//! A few read-only connections for everybody who asks.
//!
//! Comes in: questions from async code. Goes out: answers from a blocking thread.
//! Always true: at most `READERS_MAX` questions run at once and the others wait; readers of a WAL
//! database neither hold up the writer nor see half of a transaction.
//! Not here: the questions.

use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::error::{Fault, StoreError};
use super::files::Files;

/// Questions at once; more would only wait for the same disk.
const READERS_MAX: usize = 4;

pub(super) struct Pool {
    files: Files,
    room: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    pub(super) fn of(files: Files) -> Self {
        Self { files, room: Arc::new(Semaphore::new(READERS_MAX)), idle: Mutex::new(Vec::new()) }
    }

    /// Runs a question on a connection of the pool.
    pub(super) async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let pool = Arc::clone(self);
        let asked = tokio::task::spawn_blocking(move || {
            let _room = room;
            let connection = pool.take()?;
            let answer = question(&connection).map_err(|fault| pool.files.explain(fault));
            pool.idle().push(connection);
            answer
        });
        // It fails only when the runtime is shutting down.
        asked.await.map_err(|_| StoreError::Closed)?
    }

    fn take(&self) -> Result<Connection, StoreError> {
        let idle = self.idle().pop();
        idle.map_or_else(|| self.files.open_reading(), Ok)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
