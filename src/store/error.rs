//! What can go wrong with the store, each variant by what the caller can do about it.
//!
//! Comes in: errors of SQLite and of the file system. Goes out: `StoreError`, cheap to clone, because
//! one failed commit answers everybody who waited for it.
//! Always true: no message carries a value that was to be stored; file names and codes only.
//! Not here: statuses and log lines.

use std::io;
use std::path::PathBuf;

use rusqlite::ErrorCode;
use rusqlite::ffi;

use super::files::Files;
use super::waiting::Bound;
use crate::message::EventId;

/// Why the store did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// As many events wait for the disk as may, or another process holds the file: 503, try again.
    #[error("too many events wait for the disk")]
    Busy,
    /// The disk is full: 503 until somebody makes space; nothing answered before is lost.
    #[error(
        "the disk of {} is full: free space there or enlarge the volume; until then nothing is taken in and \
         carriers are asked to send again", folder.display()
    )]
    Full { folder: PathBuf },
    /// The journal takes no more for now: 503. What waits in it is safe and goes out first.
    #[error("the journal takes no more: {0}; what it holds is safe")]
    JournalFull(Bound),
    /// Another process serves this folder.
    #[error(
        "{} is in use by another process: stop that one, or give this one a folder of its own (`data` in the settings)",
        folder.display()
    )]
    LockedByAnother { folder: PathBuf },
    /// The folder or a file in it cannot be made, opened or written.
    #[error("the data folder {} cannot be used: {cause}; choose one that this user can write (`data` in the settings)", folder.display())]
    NotWritable { folder: PathBuf, cause: String },
    /// A file was taken away or replaced while it was open: 503, for what is written to it ends with
    /// this process. What was in it can still be copied from there.
    #[error(
        "{} was removed or replaced while this process has it open: put it back, or copy it from \
         /proc/{}/fd and restart; until then nothing is taken in and carriers are asked to send again",
        file.display(), std::process::id()
    )]
    Lost { file: PathBuf },
    /// There is no store in the folder.
    #[error("{} does not exist: is `data` the folder that `sms-router serve` uses?", file.display())]
    Missing { file: PathBuf },
    /// A newer release wrote the data.
    #[error(
        "{} was written by a newer release (data version {found}, this build knows {known}): run that release",
        file.display()
    )]
    Newer { file: PathBuf, found: u32, known: u32 },
    /// An older release wrote the data, and only `serve` may bring it forward.
    #[error(
        "{} was written by an older release (data version {found}, this build has {known}): start `sms-router serve` once",
        file.display()
    )]
    Older { file: PathBuf, found: u32, known: u32 },
    /// The file is not a database, or no longer a sound one.
    #[error("{} is damaged or not a database of sms-router: move it away and restore a backup", file.display())]
    Corrupt { file: PathBuf },
    /// The event itself cannot be stored (an empty value); its neighbours are.
    #[error("the store cannot take this event: {0}")]
    Refused(String),
    /// More audit copies answer the question than are read at once.
    #[error("more than {max} audit copies answer: ask for a shorter time")]
    TooMany { max: usize },
    /// An audit copy whose content this build does not understand.
    #[error("the audit copy {id} cannot be read: {cause}")]
    Unreadable { id: EventId, cause: String },
    /// The backup's file cannot be made, written, or read again. What was copied is still where it was.
    #[error("{} cannot take the backup: {cause}", file.display())]
    NoBackup { file: PathBuf, cause: String },
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
    /// The system failed in another way; the text names it.
    #[error("the store failed: {0}")]
    Io(String),
}

/// Inside the room: an error of SQLite that has not met its file yet, or one that is explained.
pub(super) enum Fault {
    Sqlite(rusqlite::Error),
    Explained(StoreError),
    /// The file says what no release writes.
    Damaged,
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Explained(error)
    }
}

impl StoreError {
    /// Whether the store itself is in trouble, so that it takes nothing from anybody until that is over.
    pub(super) fn is_of_the_store(&self) -> bool {
        match self {
            Self::Full { .. } | Self::Lost { .. } | Self::NotWritable { .. } | Self::Corrupt { .. } | Self::Io(_) => {
                true
            }
            Self::Busy | Self::JournalFull(_) | Self::Refused(_) | Self::Closed => false,
            // Told to who opens a store, or asks for audit copies.
            Self::LockedByAnother { .. }
            | Self::Missing { .. }
            | Self::NoBackup { .. }
            | Self::Newer { .. }
            | Self::Older { .. }
            | Self::TooMany { .. }
            | Self::Unreadable { .. } => false,
        }
    }
}

impl Files {
    /// Gives an error of SQLite its meaning for this folder.
    pub(super) fn explain(&self, fault: impl Into<Fault>) -> StoreError {
        let error = match fault.into() {
            Fault::Explained(error) => return error,
            Fault::Damaged => return StoreError::Corrupt { file: self.database() },
            Fault::Sqlite(error) => error,
        };
        if is_of_another_type(&error) {
            return StoreError::Corrupt { file: self.database() };
        }
        if let rusqlite::Error::ToSqlConversionFailure(cause) = &error {
            return StoreError::Refused(cause.to_string());
        }
        let Some(code) = error.sqlite_error_code() else {
            return StoreError::Io(error.to_string());
        };
        match code {
            ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Busy,
            ErrorCode::DiskFull => StoreError::Full { folder: self.folder() },
            // The shared-memory file could not grow: SQLite has no other word for a full disk there.
            ErrorCode::SystemIoFailure if extended(&error) == Some(ffi::SQLITE_IOERR_SHMSIZE) => {
                StoreError::Full { folder: self.folder() }
            }
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => StoreError::Corrupt { file: self.database() },
            ErrorCode::ReadOnly | ErrorCode::CannotOpen | ErrorCode::PermissionDenied => {
                StoreError::NotWritable { folder: self.folder(), cause: error.to_string() }
            }
            ErrorCode::ConstraintViolation | ErrorCode::TooBig => StoreError::Refused(error.to_string()),
            _ => StoreError::Io(error.to_string()),
        }
    }

    /// Gives an error of the file system its meaning for this folder.
    pub(super) fn explain_io(&self, error: &io::Error) -> StoreError {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { folder: self.folder() },
            _ => StoreError::NotWritable { folder: self.folder(), cause: error.to_string() },
        }
    }
}

/// Whether a column holds what no release writes there.
fn is_of_another_type(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    matches!(error, FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..))
}

fn extended(error: &rusqlite::Error) -> Option<i32> {
    error.sqlite_error().map(|error| error.extended_code)
}
