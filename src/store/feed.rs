//! The feed: what was appended to a stream, in order.
//!
//! Comes in: a stream's name and a position. Goes out: the events after it, oldest first.
//! Always true: positions are given by one writer inside its transaction, so nothing appears later
//! at a position that a reader has passed.
//! Not here: tokens, waiting, the form in which events leave.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::append::kind_of;
use super::error::{Fault, StoreError};
use crate::message::{AccountName, EventId, EventKind, Timestamp};

/// Most events of one `read`.
pub const ENTRIES_MAX: usize = 1_000;
/// A `read` ends after the event with which its values reach this size.
pub(super) const READ_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A place in the log, or in the journal. What lies after it can be read; it is never given to another event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cursor(pub(super) i64);

impl Cursor {
    /// Before the first event.
    pub const START: Self = Self(0);

    /// The place of that number, for tests of what reads the log.
    #[cfg(test)]
    pub fn at(position: i64) -> Self {
        Self(position)
    }

    /// The place from which an event here is read again, first of all.
    pub fn before(self) -> Self {
        Self(self.0.saturating_sub(1).max(0))
    }
}

/// One event as the feed gives it.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    pub position: Cursor,
    pub id: EventId,
    pub kind: EventKind,
    pub account: AccountName,
    /// The number texted.
    pub subject: String,
    pub received_at: Timestamp,
    pub traceparent: Option<String>,
    /// The JSON value, byte for byte as it was appended.
    pub value: Vec<u8>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("position", &self.position)
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("value_bytes", &self.value.len())
            .finish_non_exhaustive()
    }
}

pub(super) fn read(connection: &Connection, stream: &str, after: Cursor, limit: usize) -> Result<Vec<Entry>, Fault> {
    let limit = limit.min(ENTRIES_MAX);
    let mut statement = connection.prepare_cached(
        "SELECT position, id, kind, account, subject, received_at, traceparent, value
         FROM log WHERE stream = ?1 AND hollow = 0 AND position > ?2 ORDER BY position LIMIT ?3",
    )?;
    let mut rows = statement.query(params![stream, after.0, limit as i64])?;
    let mut entries = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let entry = entry_of(row)?;
        bytes += entry.value.len();
        entries.push(entry);
        if bytes >= READ_BYTES_MAX {
            break;
        }
    }
    Ok(entries)
}

pub(super) fn cursor_of(connection: &Connection, stream: &str, id: EventId) -> Result<Option<Cursor>, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT ids.position FROM ids LEFT JOIN log ON log.position = ids.position
         WHERE ids.id = ?1 AND (log.stream = ?2 OR log.stream IS NULL)",
    )?;
    let found = statement.query_row(params![id.as_bytes().as_slice(), stream], |row| row.get(0)).optional()?;
    Ok(found.map(Cursor))
}

pub(super) fn before_last(connection: &Connection, stream: &str, count: usize) -> Result<Cursor, Fault> {
    let mut statement = connection.prepare_cached(
        "SELECT position FROM log WHERE stream = ?1 AND hollow = 0 ORDER BY position DESC LIMIT 1 OFFSET ?2",
    )?;
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let found = statement.query_row(params![stream, count], |row| row.get(0)).optional()?;
    Ok(found.map_or(Cursor::START, Cursor))
}

/// The last position given out, also when its event is gone.
pub(super) fn newest(connection: &Connection) -> rusqlite::Result<u64> {
    let newest: Option<i64> =
        connection.query_row("SELECT seq FROM sqlite_sequence WHERE name = 'log'", [], |row| row.get(0)).optional()?;
    Ok(newest.and_then(|newest| u64::try_from(newest).ok()).unwrap_or(0))
}

fn entry_of(row: &Row<'_>) -> Result<Entry, Fault> {
    let damaged = |column: &str| StoreError::Io(format!("a row of the log has a {column} that no release writes"));
    let account: String = row.get(3)?;
    Ok(Entry {
        position: Cursor(row.get(0)?),
        id: EventId::from_bytes(row.get(1)?),
        kind: kind_of(row.get(2)?).ok_or_else(|| damaged("kind"))?,
        account: AccountName::parse(&account).map_err(|_| damaged("account"))?,
        subject: row.get(4)?,
        received_at: Timestamp::from_millisecond(row.get(5)?).map_err(|_| damaged("time"))?,
        traceparent: row.get(6)?,
        value: row.get(7)?,
    })
}
