//! Everything the tables say about the receipts of one hour, for `reconcile`.
//!
//! Comes in: a time, from and until. Goes out: rows of the log, ids, audit copies and journal entries, and
//! positions of the log that hold nothing.
//! Always true: all of it is of one moment (one read transaction), read by indexes and given on row by
//! row, so memory does not grow with the hour.
//! Not here: what must agree with what.
//!
//! Positions are given out one after the other, inside the transaction that writes the row, and what is
//! removed is removed from the oldest end. So a position between two rows that holds none is a row that
//! was lost.

use std::ops::{ControlFlow, Range};

use jiff::SignedDuration;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::append::{code_of, kind_of};
use super::error::{Fault, StoreError};
use super::reader::Reader;
use crate::message::{EventId, EventKind, Timestamp, expires_at};

/// How long after its end synthetic texts are told as well: the next number shows whether one is missing.
const NEXT_PROBE: SignedDuration = SignedDuration::from_hours(1);
/// How long before a piece the first of its text may have come.
const FIRST_PIECE: SignedDuration = SignedDuration::from_hours(3);
/// Positions looked at for gaps, at most: 4 MB of bits.
const POSITIONS_MAX: i64 = 1 << 25;
/// Missing positions told one by one.
const MISSING_MAX: usize = 10_000;

/// One thing the tables say.
#[derive(Debug)]
pub enum Found<'a> {
    /// An event of the log. `value` is `None` once its words were overwritten; `remembered`: its id is
    /// known, so that a retry adds nothing.
    Logged { id: EventId, kind: EventKind, received_at: Timestamp, value: Option<&'a [u8]>, remembered: bool },
    /// An audit copy, and whether the log has its event; of a text that several departments got, the events of its
    /// copies say so themselves.
    Copied { id: EventId, logged: bool },
    /// An id that was taken in, and that neither the log nor the copies have. `below`: the log begins
    /// after its position, so a sweep may have removed it.
    Gone { id: EventId, below: bool },
    /// A position of the log between others that nobody has.
    Missing { position: u64 },
    /// An event that waits in the journal.
    Waiting { id: EventId, kind: EventKind, received_at: Timestamp, value: &'a [u8] },
}

/// Takes what is found; `Break` ends the reading.
pub type Take<'a> = &'a mut dyn FnMut(Found<'_>) -> ControlFlow<()>;

impl Reader {
    /// Everything about receipts in `since..until`, which lie on one day in UTC; and of synthetic texts and
    /// markers of joined ones what lies around it. Blocks.
    pub fn hour(&self, since: Timestamp, until: Timestamp, take: Take<'_>) -> Result<(), StoreError> {
        let hour = Hour { since, until, positions: Positions::default() };
        self.in_one_moment(|connection| {
            // It reads once from end to end, beside a process that has better use for memory.
            connection.execute_batch("PRAGMA cache_size = -8192")?;
            hour.read(connection, take)
        })
    }

    /// What waits in the journal of receipts in `since..until`. Blocks.
    pub fn journalled(&self, since: Timestamp, until: Timestamp, take: Take<'_>) -> Result<(), StoreError> {
        let hour = Hour { since, until, positions: Positions::default() };
        self.in_one_moment(|connection| hour.waiting(connection, take).map(drop))
    }

    /// Whether an id waits in the journal. Blocks.
    pub fn is_waiting(&self, id: EventId) -> Result<bool, StoreError> {
        self.in_one_moment(|connection| {
            let mut statement = connection.prepare_cached("SELECT 1 FROM journal WHERE id = ?1 AND hollow = 0")?;
            Ok(statement.exists([id.as_bytes().as_slice()])?)
        })
    }
}

struct Hour {
    since: Timestamp,
    until: Timestamp,
    positions: Positions,
}

/// Whether to go on.
type Flow = Result<ControlFlow<()>, Fault>;

impl Hour {
    fn read(mut self, connection: &Connection, take: Take<'_>) -> Result<(), Fault> {
        for kind in EventKind::ALL {
            if self.logged(connection, kind, take)?.is_break() {
                return Ok(());
            }
        }
        if self.remembered(connection, take)?.is_break()
            || self.copied(connection, take)?.is_break()
            || self.missing(connection, take)?.is_break()
        {
            return Ok(());
        }
        self.waiting(connection, take).map(drop)
    }

    /// Rows of the log whose words are there.
    fn logged(&mut self, connection: &Connection, kind: EventKind, take: Take<'_>) -> Flow {
        let (since, until) = match kind {
            EventKind::Probe => (self.since, self.until + NEXT_PROBE),
            // A marker has the time of its text's first piece, whose others may be of the next hour.
            EventKind::Joined => (self.since - FIRST_PIECE, self.until),
            _ => (self.since, self.until),
        };
        let mut statement = connection.prepare_cached(
            "SELECT position, id, received_at, value, EXISTS (SELECT 1 FROM ids WHERE ids.id = log.id)
             FROM log WHERE kind = ?1 AND hollow = 0 AND received_at >= ?2 AND received_at < ?3",
        )?;
        let mut rows = statement.query(params![code_of(kind), since.as_millisecond(), until.as_millisecond()])?;
        while let Some(row) = rows.next()? {
            let received_at = time(row, 2)?;
            if !self.is_outside(received_at) {
                self.positions.note(row.get(0)?);
            }
            let value = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
            let (id, remembered) = (EventId::from_bytes(row.get(1)?), row.get(4)?);
            if take(Found::Logged { id, kind, received_at, value: Some(value), remembered }).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Ids whose events the log has no more, or only their shells.
    fn remembered(&mut self, connection: &Connection, take: Take<'_>) -> Flow {
        let begins: Option<i64> = connection.query_row("SELECT min(position) FROM log", [], |row| row.get(0))?;
        // Within one day of receipts expiry follows receipt at a fixed distance.
        let last = self.until - SignedDuration::from_millis(1);
        let span = params![expires_at(self.since).as_millisecond(), expires_at(last).as_millisecond()];
        let mut statement = connection.prepare_cached(
            "SELECT ids.id, ids.position, log.kind, log.hollow, log.received_at, audit.position
             FROM ids LEFT JOIN log ON log.position = ids.position AND log.id = ids.id
                      LEFT JOIN audit ON audit.position = ids.position AND audit.id = ids.id
             WHERE ids.expires_at BETWEEN ?1 AND ?2",
        )?;
        let mut rows = statement.query(span)?;
        while let Some(row) = rows.next()? {
            let (id, position) = (EventId::from_bytes(row.get(0)?), row.get::<_, i64>(1)?);
            let logged: Option<i64> = row.get(2)?;
            let copied: Option<i64> = row.get(5)?;
            let found = match logged {
                Some(code) if row.get::<_, bool>(3)? && !self.is_outside(time(row, 4)?) => {
                    self.positions.note(position);
                    let kind = kind_of(code).ok_or_else(|| damaged("kind"))?;
                    Found::Logged { id, kind, received_at: time(row, 4)?, value: None, remembered: true }
                }
                // Told above or below, or of another hour: a synthetic text's id lives a day.
                Some(_) => continue,
                None if copied.is_some() => continue,
                None => {
                    self.positions.note(position);
                    Found::Gone { id, below: begins.is_none_or(|begins| position < begins) }
                }
            };
            if take(found).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn is_outside(&self, received_at: Timestamp) -> bool {
        received_at < self.since || received_at >= self.until
    }

    /// Audit copies, department by department, as their index lies.
    fn copied(&self, connection: &Connection, take: Take<'_>) -> Flow {
        let mut next = connection.prepare_cached(
            "SELECT department FROM audit WHERE hollow = 0 AND department > ?1 ORDER BY department LIMIT 1",
        )?;
        let mut department = String::new();
        while let Some(name) = next.query_row([&department], |row| row.get(0)).optional()? {
            department = name;
            if self.copied_of(connection, &department, take)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn copied_of(&self, connection: &Connection, department: &str, take: Take<'_>) -> Flow {
        let mut statement = connection.prepare_cached(
            "SELECT id, EXISTS (SELECT 1 FROM log WHERE log.position = audit.position AND log.id = audit.id)
             FROM audit WHERE department = ?1 AND hollow = 0 AND received_at >= ?2 AND received_at < ?3",
        )?;
        let span = params![department, self.since.as_millisecond(), self.until.as_millisecond()];
        let mut rows = statement.query(span)?;
        while let Some(row) = rows.next()? {
            if take(Found::Copied { id: EventId::from_bytes(row.get(0)?), logged: row.get(1)? }).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Positions from the first row of the hour to the first after it that hold nothing, and that no
    /// copy or id accounts for: those have been told by their ids.
    fn missing(&self, connection: &Connection, take: Take<'_>) -> Flow {
        let Some(first) = self.positions.first() else { return Ok(ControlFlow::Continue(())) };
        let end = self.next_hour(connection)?.min(first.saturating_add(POSITIONS_MAX));
        let mut anybody = connection.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM log WHERE position = ?1) OR EXISTS (SELECT 1 FROM audit WHERE position = ?1)",
        )?;
        let mut told = 0;
        for position in self.positions.absent(first, end).into_iter().flatten() {
            if told == MISSING_MAX {
                break;
            }
            if anybody.query_row([position], |row| row.get::<_, bool>(0))? {
                continue;
            }
            told += 1;
            if take(Found::Missing { position: position.unsigned_abs() }).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The first position after the hour: that of the earliest later receipt, or the next to be given out.
    fn next_hour(&self, connection: &Connection) -> Result<i64, Fault> {
        let mut earliest = connection.prepare_cached(
            "SELECT position FROM log WHERE kind = ?1 AND hollow = 0 AND received_at >= ?2 ORDER BY received_at LIMIT 1",
        )?;
        let mut next: i64 = connection
            .query_row("SELECT seq + 1 FROM sqlite_sequence WHERE name = 'log'", [], |row| row.get(0))
            .optional()?
            .unwrap_or(0);
        for kind in EventKind::ALL {
            let of_kind = params![code_of(kind), self.until.as_millisecond()];
            let position: Option<i64> = earliest.query_row(of_kind, |row| row.get(0)).optional()?;
            next = next.min(position.unwrap_or(i64::MAX));
        }
        Ok(next)
    }

    fn waiting(&self, connection: &Connection, take: Take<'_>) -> Flow {
        let mut statement = connection.prepare_cached(
            "SELECT id, kind, received_at, value FROM journal
             WHERE hollow = 0 AND received_at >= ?1 AND received_at < ?2",
        )?;
        let mut rows = statement.query(params![self.since.as_millisecond(), self.until.as_millisecond()])?;
        while let Some(row) = rows.next()? {
            let (id, received_at) = (EventId::from_bytes(row.get(0)?), time(row, 2)?);
            let kind = kind_of(row.get(1)?).ok_or_else(|| damaged("kind"))?;
            let value = row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
            if take(Found::Waiting { id, kind, received_at, value }).is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn time(row: &Row<'_>, column: usize) -> Result<Timestamp, Fault> {
    Ok(Timestamp::from_millisecond(row.get(column)?).map_err(|_| damaged("time"))?)
}

fn damaged(column: &str) -> StoreError {
    StoreError::Io(format!("a row has a {column} that no release writes"))
}

/// Positions that were seen, as sorted runs: rows come nearly in order, so there are few.
#[derive(Default)]
struct Positions {
    seen: std::collections::BTreeMap<i64, i64>,
}

impl Positions {
    fn note(&mut self, position: i64) {
        let mut first = position;
        let mut last = position;
        if let Some((&start, &end)) = self.seen.range(..=position).next_back() {
            if end >= position {
                return;
            }
            if end + 1 == position {
                first = start;
            }
        }
        if let Some(end) = self.seen.remove(&(position + 1)) {
            last = end;
        }
        self.seen.insert(first, last);
    }

    fn first(&self) -> Option<i64> {
        self.seen.first_key_value().map(|(first, _)| *first)
    }

    /// Positions of `first..end` that were not seen, as ranges.
    fn absent(&self, first: i64, end: i64) -> Vec<Range<i64>> {
        let (mut absent, mut next) = (Vec::new(), first);
        if end <= first {
            return absent;
        }
        for (&start, &last) in self.seen.range(first..end) {
            absent.push(next..start);
            next = last + 1;
        }
        absent.push(next..end);
        absent.retain(|range| !range.is_empty());
        absent
    }
}

#[cfg(test)]
mod tests {
    use super::Positions;

    #[test]
    fn runs_join_and_what_lies_between_is_absent() {
        let mut positions = Positions::default();
        for position in [5, 7, 6, 10, 12, 11, 5, 20] {
            positions.note(position);
        }
        assert_eq!(positions.seen.iter().map(|(a, b)| (*a, *b)).collect::<Vec<_>>(), [(5, 7), (10, 12), (20, 20)]);
        assert_eq!(positions.first(), Some(5));
        assert_eq!(positions.absent(5, 16), [8..10, 13..16]);
        assert_eq!(positions.absent(5, 21), [8..10, 13..20]);
        assert!(positions.absent(5, 8).is_empty() && positions.absent(20, 3).is_empty());
    }
}
