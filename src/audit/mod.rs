//! Audit copies of either profile, and the log of who looked at them.
//!
//! Comes in: a question, or an access to write down. Goes out: copies that are still to be kept, oldest first.
//! Always true: opened with the first question and kept; what could not be opened is tried again with the next.
//! Not here: how copies are stored (`store`, `archive`); who may ask, and that an access is written down before
//! anything comes of it (above).

use std::path::{Path, PathBuf};

use tokio::sync::OnceCell;

use crate::archive::{self, Archive, ArchiveError};
use crate::message::{Access, AuditCopy, AuditQuery, SenderKey, Timestamp};
use crate::store::{Beside, StoreError};

/// Why nothing could be asked or written down.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
}

/// Where copies are, and under which keys their senders are found.
pub struct Audit {
    copies: Copies,
    /// The key of now, then those of before.
    keys: Vec<SenderKey>,
}

enum Copies {
    Embedded { folder: PathBuf, store: OnceCell<Beside> },
    Cluster { settings: Box<archive::Settings>, archive: OnceCell<Archive> },
}

impl Audit {
    /// Those of the embedded store in a folder, beside the process that serves it or in it.
    pub fn of_store(folder: PathBuf, key: SenderKey, previous: &[SenderKey]) -> Self {
        Self::new(Copies::Embedded { folder, store: OnceCell::new() }, key, previous)
    }

    /// Those of the CQL cluster.
    pub fn of_archive(settings: archive::Settings, key: SenderKey, previous: &[SenderKey]) -> Self {
        Self::new(Copies::Cluster { settings: Box::new(settings), archive: OnceCell::new() }, key, previous)
    }

    fn new(copies: Copies, key: SenderKey, previous: &[SenderKey]) -> Self {
        Self { copies, keys: std::iter::once(key).chain(previous.iter().cloned()).collect() }
    }

    /// The copies that answer, oldest first, none past its expiry. Errors also when nothing can be opened.
    pub async fn find(&self, query: &AuditQuery, now: Timestamp) -> Result<Vec<AuditCopy>, AuditError> {
        match &self.copies {
            Copies::Embedded { folder, store } => {
                Ok(self.store(folder, store).await?.find(query.clone(), self.keys.clone(), now).await?)
            }
            Copies::Cluster { settings, archive } => {
                Ok(connected(settings, archive).await?.find(query, &self.keys, now).await?)
            }
        }
    }

    /// Writes an access down; it is durable when this returns.
    pub async fn record_access(&self, access: &Access) -> Result<(), AuditError> {
        match &self.copies {
            Copies::Embedded { folder, store } => {
                Ok(self.store(folder, store).await?.record_access(access.clone()).await?)
            }
            Copies::Cluster { settings, archive } => {
                Ok(connected(settings, archive).await?.record_access(access).await?)
            }
        }
    }

    async fn store<'s>(&self, folder: &Path, store: &'s OnceCell<Beside>) -> Result<&'s Beside, StoreError> {
        store.get_or_try_init(|| async { Beside::open(folder, &self.keys[0]) }).await
    }
}

async fn connected<'a>(
    settings: &archive::Settings,
    archive: &'a OnceCell<Archive>,
) -> Result<&'a Archive, ArchiveError> {
    archive.get_or_try_init(|| Archive::connect(settings)).await
}
