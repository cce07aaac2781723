//! The whole store, as it was at one moment, in one file.
//!
//! Comes in: a connection, and the name of a file that is not there. Goes out: that file, which `serve` opens as its own
//! when it lies in a data folder under the store's name.
//! Always true: it is readable by its owner only; it is on the disk, and SQLite has looked through it, before it
//! counts; one that failed is removed.
//! Not here: secrets, which are files of their own; forgetting: a copy keeps what its store has since deleted, until
//! `serve` opens it.

use std::fmt::Display;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::error::StoreError;
use super::files::{Files, OWNER_ONLY_FILE};

/// All pages in one step: between two, another process could write, and SQLite would begin again each time.
const ALL_PAGES: i32 = -1;

pub(super) fn copy(from: &Connection, files: &Files, to: &Path) -> Result<(), StoreError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY_FILE).open(to);
    let file = file.map_err(|error| no_backup(to, remedy(to, &error)))?;
    let copied = fill(from, files, to).and_then(|()| settle(&file, to).map_err(|error| no_backup(to, error)));
    if copied.is_err() {
        // Half a backup would be taken for one. The error says already that there is none.
        let _ = fs::remove_file(to);
    }
    copied
}

/// Why no file could be made there, and what to name instead.
fn remedy(to: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AlreadyExists if to.is_dir() => "it is a folder: name a file in it".to_owned(),
        io::ErrorKind::AlreadyExists => "it is there already, and is not overwritten: name another file".to_owned(),
        io::ErrorKind::NotFound => "its folder is not there: make it first".to_owned(),
        _ => error.to_string(),
    }
}

fn no_backup(to: &Path, cause: impl Display) -> StoreError {
    StoreError::NoBackup { file: to.to_owned(), cause: cause.to_string() }
}

fn fill(from: &Connection, files: &Files, to: &Path) -> Result<(), StoreError> {
    let unusable = |error: rusqlite::Error| no_backup(to, error);
    let mut copy = Connection::open(to).map_err(unusable)?;
    match Backup::new(from, &mut copy).map_err(unusable)?.step(ALL_PAGES) {
        Ok(StepResult::Done) => {}
        Ok(_) => return Err(StoreError::Busy),
        Err(error) => return Err(files.explain(error)),
    }
    // One file, without a log beside it, until it is opened to serve.
    copy.pragma_update(None, "journal_mode", "DELETE").map_err(unusable)?;
    let found: String = copy.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(unusable)?;
    if found != "ok" {
        return Err(no_backup(to, format_args!("SQLite finds the copy unsound ({found})")));
    }
    copy.close().map_err(|(_, error)| unusable(error))
}

/// Content and name are to survive a power cut.
fn settle(file: &File, to: &Path) -> io::Result<()> {
    file.sync_all()?;
    match to.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}
