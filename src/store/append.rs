//! One event into the tables, inside the writer's transaction.
//!
//! Comes in: an event. Goes out: whether it is new. Always true: an id that is known adds nothing,
//! whatever its content; feed row, id and audit copy get the same position.
//! Not here: transactions and who waits for them.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params};

use crate::message::{DepartmentName, Destination, Event, EventKind, topics};

/// First byte of an audit copy's content: the record's JSON follows as it is.
pub(super) const PLAIN: u8 = 0;

/// What became of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is new, and on the disk.
    Stored,
    /// The same id with the same fingerprint is there: nothing was written.
    Known,
    /// The same id is there for other content: nothing was written for this one.
    Conflicting,
}

/// Writes one event; also gives its position when it is new.
pub(super) fn append(
    connection: &Connection,
    event: &Event,
    key_id: &str,
) -> rusqlite::Result<(Appended, Option<u64>)> {
    if let Some(fingerprint) = fingerprint_of(connection, event)? {
        let same = fingerprint == event.fingerprint;
        return Ok((if same { Appended::Known } else { Appended::Conflicting }, None));
    }
    let position = write_log(connection, event)?;
    write_id(connection, event, position)?;
    if event.kind.is_audited() {
        write_audit(connection, event, position, key_id)?;
    }
    Ok((Appended::Stored, u64::try_from(position).ok()))
}

/// The name of the stream that departments and tools read.
pub(super) fn stream_of(destination: &Destination) -> &str {
    match destination {
        Destination::Department(name) => name.as_str(),
        Destination::Consent => topics::CONSENT,
        Destination::DeadLetter => topics::DEAD_LETTER,
        Destination::Parts => topics::PARTS,
        Destination::Probe => topics::PROBE,
    }
}

/// What a stream's name stands for; `None` for a name that no release writes.
pub(super) fn destination_of(stream: &str) -> Option<Destination> {
    let own = [Destination::Consent, Destination::DeadLetter, Destination::Parts, Destination::Probe];
    let department = || DepartmentName::parse(stream).ok().map(Destination::Department);
    own.into_iter().find(|own| stream_of(own) == stream).or_else(department)
}

/// The number a kind has in the tables.
pub(super) fn code_of(kind: EventKind) -> i64 {
    match kind {
        EventKind::Message => 1,
        EventKind::Consent => 2,
        EventKind::DeadLetter => 3,
        EventKind::Part => 4,
        EventKind::Joined => 5,
        EventKind::Addendum => 6,
        EventKind::Probe => 7,
        EventKind::Replayed => 8,
    }
}

/// The kind behind a number; `None` for a number that no release has written.
pub(super) fn kind_of(code: i64) -> Option<EventKind> {
    match code {
        1 => Some(EventKind::Message),
        2 => Some(EventKind::Consent),
        3 => Some(EventKind::DeadLetter),
        4 => Some(EventKind::Part),
        5 => Some(EventKind::Joined),
        6 => Some(EventKind::Addendum),
        7 => Some(EventKind::Probe),
        8 => Some(EventKind::Replayed),
        _ => None,
    }
}

fn fingerprint_of(connection: &Connection, event: &Event) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT fingerprint FROM ids WHERE id = ?1")?
        .query_row([event.id.as_bytes().as_slice()], |row| row.get(0))
        .optional()
}

fn write_log(connection: &Connection, event: &Event) -> rusqlite::Result<i64> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO log (id, stream, kind, account, subject, received_at, traceparent, value)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    statement.insert(params![
        event.id.as_bytes().as_slice(),
        stream_of(&event.destination),
        code_of(event.kind),
        event.account.as_str(),
        event.subject,
        event.received_at.as_millisecond(),
        event.traceparent,
        event.value,
    ])
}

fn write_id(connection: &Connection, event: &Event, position: i64) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached("INSERT INTO ids (id, position, fingerprint, expires_at) VALUES (?1, ?2, ?3, ?4)")?;
    statement.execute(params![
        event.id.as_bytes().as_slice(),
        position,
        event.fingerprint.as_slice(),
        event.kind.expires_at(event.received_at).as_millisecond(),
    ])?;
    Ok(())
}

fn write_audit(connection: &Connection, event: &Event, position: i64, key_id: &str) -> rusqlite::Result<()> {
    let mut content = Vec::with_capacity(1 + event.value.len());
    content.push(PLAIN);
    content.extend_from_slice(&event.value);
    let mut statement = connection.prepare_cached(
        "INSERT INTO audit (position, id, department, received_at, expires_at, sender_hash, key_id, content)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    statement.execute(params![
        position,
        event.id.as_bytes().as_slice(),
        stream_of(&event.destination),
        event.received_at.as_millisecond(),
        event.kind.expires_at(event.received_at).as_millisecond(),
        event.key.as_slice(),
        key_id,
        Value::Blob(content),
    ])?;
    Ok(())
}
