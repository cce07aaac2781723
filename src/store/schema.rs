//! The tables, and how data of earlier releases becomes data of this one.
//!
//! Comes in: a connection. Goes out: tables as this build expects them, or the refusal of newer data
//! and of data that is damaged.
//! Always true: `user_version` counts the steps of `MIGRATIONS` that the file has seen; a step that
//! has been released is never changed, only followed by another. What an older build could not read needs a step of
//! its own even where no table changes, such as a new kind of event or format of a copy: it then refuses the file by
//! name, where it would call a row damaged. A table that every released build may overlook is no step but one of
//! `ADDITIONS`: who serves makes it at every opening where it is missing, and `user_version` stays, so the release
//! before opens the data again. A command beside a `serve` of an earlier release finds no such table, and must do
//! without.
//! Not here: statements that read or write rows.
//!
//! Seven tables:
//! - `log`: every event in the order of commits; the departments' feed, consent and dead-letter.
//!   AUTOINCREMENT, so a position that a reader holds as its cursor is never given out again.
//! - `ids`: which event ids are known, with a keyed fingerprint of the content. It outlives the feed's
//!   rows: a carrier's late retry is recognised for as long as the audit copy lives.
//! - `audit`: one copy of each text, at the position of its log row. `content`: first byte the format
//!   (0 = the record's JSON as it is), then whatever is personal. Of a text that several departments got, each has a
//!   row of the log and an id; the copy is at the first of their positions, under the text's own id, which stands
//!   in `ids` too.
//! - `audit_departments` (an addition): whose a copy is beside the department in its own row, for texts that several
//!   got. A build that overlooks it finds such a copy under the first of them only.
//! - `access_log`: who read audit copies, when and why.
//! - `journal`: events that wait for their topic, in the order they were taken in; `bytes` is what an
//!   entry counts against the bounds, `checksum` is over everything of the event. An id waits once.
//! - `progress` (an addition): up to which position of `log` a department's stream has been delivered by a channel. A
//!   build that overlooks it delivers nothing; the next one that does goes on from there.
//!
//! A row whose time is over is first made hollow (see `sweep`), so the indexes leave hollow rows out.

use rusqlite::{Connection, TransactionBehavior};

use super::error::{Fault, StoreError};
use super::files::Files;

pub(super) const MIGRATIONS: [&str; 2] = [LOG, JOURNAL];

const LOG: &str = "
CREATE TABLE log (
    position    INTEGER PRIMARY KEY AUTOINCREMENT,
    hollow      INTEGER NOT NULL DEFAULT 0,
    id          BLOB NOT NULL,
    stream      TEXT NOT NULL,
    kind        INTEGER NOT NULL,
    account     TEXT NOT NULL,
    subject     TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    traceparent TEXT,
    value       BLOB NOT NULL CHECK (length(value) > 0)
) STRICT;
CREATE INDEX log_by_stream ON log (stream) WHERE hollow = 0;
CREATE INDEX log_by_age ON log (kind, received_at) WHERE hollow = 0;

CREATE TABLE ids (
    id          BLOB NOT NULL PRIMARY KEY,
    position    INTEGER NOT NULL,
    fingerprint BLOB NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX ids_by_expiry ON ids (expires_at);

CREATE TABLE audit (
    position    INTEGER PRIMARY KEY,
    hollow      INTEGER NOT NULL DEFAULT 0,
    id          BLOB NOT NULL,
    department  TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    sender_hash BLOB NOT NULL,
    key_id      TEXT NOT NULL,
    content     BLOB NOT NULL
) STRICT;
CREATE INDEX audit_by_sender ON audit (sender_hash, received_at) WHERE hollow = 0;
CREATE INDEX audit_by_department ON audit (department, received_at) WHERE hollow = 0;

CREATE TABLE access_log (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,
    at          INTEGER NOT NULL,
    who         TEXT NOT NULL,
    why         TEXT NOT NULL,
    query       TEXT NOT NULL,
    ids         TEXT NOT NULL,
    text_shown  INTEGER NOT NULL
) STRICT;
";

/// The second index has all that is asked about many entries at once, so counting reads no values.
const JOURNAL: &str = "
CREATE TABLE journal (
    position      INTEGER PRIMARY KEY AUTOINCREMENT,
    hollow        INTEGER NOT NULL DEFAULT 0,
    id            BLOB NOT NULL,
    topic         TEXT NOT NULL,
    bytes         INTEGER NOT NULL,
    kind          INTEGER NOT NULL,
    stream        TEXT NOT NULL,
    account       TEXT NOT NULL,
    subject       TEXT NOT NULL,
    received_at   INTEGER NOT NULL,
    journalled_at INTEGER NOT NULL,
    key           BLOB NOT NULL,
    fingerprint   BLOB NOT NULL,
    traceparent   TEXT,
    checksum      INTEGER NOT NULL,
    value         BLOB NOT NULL CHECK (length(value) > 0)
) STRICT;
CREATE UNIQUE INDEX journal_by_id ON journal (id) WHERE hollow = 0;
CREATE INDEX journal_by_topic ON journal (topic, position, key, bytes, received_at, journalled_at)
    WHERE hollow = 0;
";

/// Tables made where they are missing, at every opening by who serves: the name, and what makes it.
pub(super) const ADDITIONS: [(&str, &str); 2] = [("progress", PROGRESS), ("audit_departments", AUDIT_DEPARTMENTS)];

const PROGRESS: &str = "
CREATE TABLE IF NOT EXISTS progress (
    stream   TEXT NOT NULL,
    channel  TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (stream, channel)
) STRICT, WITHOUT ROWID;
";

const AUDIT_DEPARTMENTS: &str = "
CREATE TABLE IF NOT EXISTS audit_departments (
    department  TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (department, received_at, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS audit_departments_by_expiry ON audit_departments (expires_at, position);
";

/// The data version this build writes.
pub(super) const KNOWN: u32 = MIGRATIONS.len() as u32;

/// Brings the file forward, all steps in one transaction, or refuses what a newer release wrote.
pub(super) fn migrate(connection: &mut Connection, files: &Files) -> Result<(), StoreError> {
    forward(connection, files).map_err(|fault| files.explain(fault))
}

fn forward(connection: &mut Connection, files: &Files) -> Result<(), Fault> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = version(&transaction)?;
    if found > KNOWN {
        return Err(StoreError::Newer { file: files.database(), found, known: KNOWN }.into());
    }
    let mut missing = Vec::new();
    for (table, addition) in ADDITIONS {
        if !transaction.table_exists(None, table)? {
            missing.push(addition);
        }
    }
    if found == KNOWN && missing.is_empty() {
        // Nothing to write: a start on a full disk must not fail here.
        return Ok(());
    }
    for step in MIGRATIONS[found as usize..].iter().chain(&missing) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", KNOWN)?;
    transaction.commit()?;
    Ok(())
}

/// Refuses data that this build cannot read as it is; for processes beside `serve`.
pub(super) fn require(connection: &Connection, files: &Files) -> Result<(), StoreError> {
    let found = version(connection).map_err(|error| files.explain(error))?;
    match found.cmp(&KNOWN) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => Err(StoreError::Older { file: files.database(), found, known: KNOWN }),
        std::cmp::Ordering::Greater => Err(StoreError::Newer { file: files.database(), found, known: KNOWN }),
    }
}

/// Largest database that is checked whole at start: about a second on a slow disk.
const CHECKED_BYTES_MAX: i64 = 256 * 1024 * 1024;

/// Refuses a file that does not hang together: the journal and its indexes always, the rest where the
/// file is small enough for that at each start. Damage elsewhere in a larger one shows when it is met.
pub(super) fn check(connection: &Connection, files: &Files) -> Result<(), StoreError> {
    let number =
        |name: &str| -> rusqlite::Result<i64> { connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)) };
    let sound = |check: &str| {
        let found: String = connection.query_row(&format!("PRAGMA {check}"), [], |row| row.get(0))?;
        if found == "ok" { Ok(()) } else { Err(Fault::Damaged) }
    };
    let ask = || {
        if number("page_count")? * number("page_size")? <= CHECKED_BYTES_MAX {
            sound("quick_check(1)")?;
        }
        // Unlike the quick one it finds an index that leaves an entry out.
        sound("integrity_check(journal)")
    };
    ask().map_err(|fault| files.explain(fault))
}

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}
