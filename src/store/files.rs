//! The store's files: the folder, its lock, and connections with their settings.
//!
//! Comes in: the folder of the settings. Goes out: connections that are safe to use.
//! Always true: files are readable by their owner only; a folder has one serving process; what is
//! committed is on the disk (`synchronous=FULL`), and what is deleted is overwritten (`secure_delete`);
//! whether the names still lead to what is open can be asked at any time.
//! Not here: tables and what is in them.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::error::StoreError;

const DATABASE: &str = "sms-router.sqlite";
const LOCK: &str = "lock";
pub(super) const OWNER_ONLY_FILE: u32 = 0o600;
const OWNER_ONLY_FOLDER: u32 = 0o700;

/// How long a connection waits for another process that holds the file (a one-shot command).
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Before anything writes the first page, or it has no effect; SQLite remembers it in the file. Saying it again is a
/// commit, for which a full disk may have no room.
const RECLAIMING: &str = "PRAGMA auto_vacuum = INCREMENTAL";
/// What `PRAGMA auto_vacuum` then answers.
const RECLAIMS: i64 = 2;

/// What every connection that writes must say; SQLite remembers only the first in the file. Nothing may
/// reach a temporary file outside the folder, so `temp_store` is memory. The WAL is copied into the file every
/// 8,192 pages (32 MiB), not 1,000: at 16,000 texts a second that was 50 times a second, each with two fsyncs, and
/// most pages were written again at once. Over 256 connections, in the same run: 16,300 → 23,200 texts a second; one
/// text in a hundred waits 40 ms for the copying, not 17. A commit after which SQLite has sorted pages of a split B-tree
/// walks over its whole cache, 10 % of this thread's time with 64 MiB: so it has 16, and the kernel the rest.
const WRITING: &str = "PRAGMA journal_mode = WAL;
     PRAGMA synchronous = FULL;
     PRAGMA secure_delete = ON;
     PRAGMA temp_store = MEMORY;
     PRAGMA journal_size_limit = 67108864;
     PRAGMA wal_autocheckpoint = 8192;
     PRAGMA cache_size = -16384;";

const READING: &str = "PRAGMA query_only = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -8192;";

/// Below it the disk counts as full when it is tried: less would be gone with the next few texts.
const SPACE_MIN: u64 = 256 * 1024;

/// Statements a connection keeps prepared.
const STATEMENTS_MAX: usize = 32;

/// The folder and the names in it. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Files {
    folder: Arc<Path>,
}

impl Files {
    pub(super) fn of(folder: &Path) -> Self {
        Self { folder: folder.into() }
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.folder.to_path_buf()
    }

    pub(super) fn database(&self) -> PathBuf {
        self.folder.join(DATABASE)
    }

    /// Makes the folder and the database's empty file where missing, and takes the lock. The lock
    /// lasts as long as the file returned, and ends with the process however it ends.
    pub(super) fn take(&self) -> Result<File, StoreError> {
        self.make_folder().map_err(|error| self.explain_io(&error))?;
        let lock = owners_file(&self.folder.join(LOCK)).map_err(|error| self.explain_io(&error))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::LockedByAnother { folder: self.folder() }),
            Err(TryLockError::Error(error)) => return Err(self.explain_io(&error)),
        }
        // SQLite gives the files beside it the mode of this one.
        owners_file(&self.database()).map_err(|error| self.explain_io(&error))?;
        self.settle_names().map_err(|error| self.explain_io(&error))?;
        Ok(lock)
    }

    /// The one connection that writes; the caller holds the lock.
    pub(super) fn open_writing(&self) -> Result<Connection, StoreError> {
        let connection = self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE, WRITING)?;
        let mode: String =
            connection.query_row("PRAGMA journal_mode", [], |row| row.get(0)).map_err(|error| self.explain(error))?;
        if mode != "wal" {
            let cause = "its file system has no shared memory for a write-ahead log; use a local disk".to_owned();
            return Err(StoreError::NotWritable { folder: self.folder(), cause });
        }
        Ok(connection)
    }

    /// A connection that only reads, beside the writing one.
    pub(super) fn open_reading(&self) -> Result<Connection, StoreError> {
        self.connect(OpenFlags::SQLITE_OPEN_READ_ONLY, READING)
    }

    /// A connection of another process, beside one that serves or none.
    pub(super) fn open_beside(&self) -> Result<Connection, StoreError> {
        if !self.database().exists() {
            return Err(StoreError::Missing { file: self.database() });
        }
        self.connect(OpenFlags::SQLITE_OPEN_READ_WRITE, WRITING)
    }

    fn connect(&self, access: OpenFlags, settings: &str) -> Result<Connection, StoreError> {
        let opened = Connection::open_with_flags(self.database(), access | OpenFlags::SQLITE_OPEN_NO_MUTEX).and_then(
            |connection| {
                connection.busy_timeout(BUSY_TIMEOUT)?;
                connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
                if access.contains(OpenFlags::SQLITE_OPEN_READ_WRITE) {
                    reclaim(&connection)?;
                }
                connection.execute_batch(settings)?;
                Ok(connection)
            },
        );
        opened.map_err(|error| self.explain(error))
    }

    /// Which files are open under their names: for a caller who has the lock and a connection that has read.
    pub(super) fn held(&self, lock: &File) -> Result<Held, StoreError> {
        let beside = |suffix: &str| self.folder.join(format!("{DATABASE}{suffix}"));
        let lock = lock.metadata().map(|metadata| (self.folder.join(LOCK), Identity::of(&metadata)));
        let open = [self.database(), beside("-wal"), beside("-shm")].map(|path| {
            let identity = Identity::of(&fs::metadata(&path)?);
            Ok((path, identity))
        });
        let files: io::Result<Vec<_>> = std::iter::once(lock).chain(open).collect();
        Ok(Held { files: files.map_err(|error| self.explain_io(&error))? })
    }

    /// Refuses a disk with next to no space; one that does not tell how much it has is trusted.
    pub(super) fn has_space(&self) -> Result<(), StoreError> {
        match rustix::fs::statvfs(&*self.folder) {
            Ok(disk) if disk.f_bavail.saturating_mul(disk.f_frsize) < SPACE_MIN => {
                Err(StoreError::Full { folder: self.folder() })
            }
            _ => Ok(()),
        }
    }

    fn make_folder(&self) -> io::Result<()> {
        if self.folder.is_dir() {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(OWNER_ONLY_FOLDER).create(&self.folder)?;
        match self.folder.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => File::open(parent)?.sync_all(),
            _ => Ok(()),
        }
    }

    /// A power cut must not take away the names of files whose content is safe.
    fn settle_names(&self) -> io::Result<()> {
        File::open(&self.folder)?.sync_all()
    }
}

fn reclaim(connection: &Connection) -> rusqlite::Result<()> {
    let reclaims: i64 = connection.query_row("PRAGMA auto_vacuum", [], |row| row.get(0))?;
    if reclaims == RECLAIMS { Ok(()) } else { connection.execute_batch(RECLAIMING) }
}

/// Which file a name leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

/// The files a serving process has open. Removed or replaced, a file goes on taking what is written to
/// it, and is gone with the process.
pub(super) struct Held {
    files: Vec<(PathBuf, Identity)>,
}

impl Held {
    /// `Lost` when a name no longer leads to what is open.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let is_there = |path: &Path, identity| fs::metadata(path).is_ok_and(|found| Identity::of(&found) == identity);
        match self.files.iter().find(|(path, identity)| !is_there(path, *identity)) {
            Some((file, _)) => Err(StoreError::Lost { file: file.clone() }),
            None => Ok(()),
        }
    }
}

fn owners_file(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).mode(OWNER_ONLY_FILE).open(path)?;
    if file.metadata()?.permissions().mode() & 0o777 != OWNER_ONLY_FILE {
        fs::set_permissions(path, Permissions::from_mode(OWNER_ONLY_FILE))?;
    }
    Ok(file)
}
