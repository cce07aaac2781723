//! One event into the tables, inside the writer's transaction.
//!
//! Comes in: an event. Goes out: whether it is new. Always true: an id that is known adds nothing,
//! whatever its content; feed row, id and audit copy get the same position; a text that several departments get is
//! known as soon as one of them has it, and has one audit copy.
//! Not here: transactions and who waits for them.

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params};

use crate::message::{DepartmentName, Destination, Event, EventId, EventKind, Record, topics};

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

/// Writes the events of one text, or others that belong together; also gives the last position that is new.
pub(super) fn append(
    connection: &Connection,
    events: &[Event],
    key_id: &str,
) -> rusqlite::Result<(Vec<Appended>, Option<u64>)> {
    let (mut outcomes, mut newest) = (Vec::with_capacity(events.len()), None);
    // The text that the events before are copies of, and what became of it.
    let mut text: Option<(EventId, Appended)> = None;
    for event in events {
        let outcome = match (event.copy_of, text) {
            (None, _) => known(connection, event, event.id)?,
            (Some(of), Some((id, outcome))) if id == of => outcome,
            (Some(of), _) => known(connection, event, of)?,
        };
        if outcome == Appended::Stored {
            let is_first = event.copy_of.is_none_or(|of| text.is_none_or(|(id, _)| id != of));
            let position = write(connection, event, is_first, key_id)?;
            newest = u64::try_from(position).ok().or(newest);
        }
        text = event.copy_of.map(|of| (of, outcome));
        outcomes.push(outcome);
    }
    Ok((outcomes, newest))
}

/// What is to become of an event: an id that is there stands for what it stands for.
fn known(connection: &Connection, event: &Event, id: EventId) -> rusqlite::Result<Appended> {
    Ok(match fingerprint_of(connection, id)? {
        None => Appended::Stored,
        Some(fingerprint) if fingerprint == event.fingerprint => Appended::Known,
        Some(_) => Appended::Conflicting,
    })
}

/// `is_first`: nothing of its text has been written.
fn write(connection: &Connection, event: &Event, is_first: bool, key_id: &str) -> rusqlite::Result<i64> {
    let position = write_log(connection, event)?;
    write_id(connection, event, event.id, position)?;
    match event.copy_of {
        None if event.kind.is_audited() => {
            write_audit(connection, event, (event.id, stream_of(&event.destination)), &event.value, position, key_id)?;
        }
        Some(text) if is_first => {
            write_id(connection, event, text, position)?;
            write_audit_of_several(connection, event, position, key_id)?;
        }
        _ => {}
    }
    Ok(position)
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

fn fingerprint_of(connection: &Connection, id: EventId) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT fingerprint FROM ids WHERE id = ?1")?
        .query_row([id.as_bytes().as_slice()], |row| row.get(0))
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

fn write_id(connection: &Connection, event: &Event, id: EventId, position: i64) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached("INSERT INTO ids (id, position, fingerprint, expires_at) VALUES (?1, ?2, ?3, ?4)")?;
    statement.execute(params![
        id.as_bytes().as_slice(),
        position,
        event.fingerprint.as_slice(),
        event.kind.expires_at(event.received_at).as_millisecond(),
    ])?;
    Ok(())
}

/// The copy of an event: `id` and `department` it is found by, `value` it holds.
fn write_audit(
    connection: &Connection,
    event: &Event,
    (id, department): (EventId, &str),
    value: &[u8],
    position: i64,
    key_id: &str,
) -> rusqlite::Result<()> {
    let mut content = Vec::with_capacity(1 + value.len());
    content.push(PLAIN);
    content.extend_from_slice(value);
    let mut statement = connection.prepare_cached(
        "INSERT INTO audit (position, id, department, received_at, expires_at, sender_hash, key_id, content)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    statement.execute(params![
        position,
        id.as_bytes().as_slice(),
        department,
        event.received_at.as_millisecond(),
        event.kind.expires_at(event.received_at).as_millisecond(),
        event.key.as_slice(),
        key_id,
        Value::Blob(content),
    ])?;
    Ok(())
}

/// One copy of what several departments got, found under each of them.
fn write_audit_of_several(connection: &Connection, event: &Event, position: i64, key_id: &str) -> rusqlite::Result<()> {
    let unreadable = |error| rusqlite::Error::ToSqlConversionFailure(Box::new(error));
    let record = Record::from_json(&event.value).map_err(unreadable)?;
    let kept = record.kept(&event.value).map_err(unreadable)?;
    let value = kept.as_deref().unwrap_or(&event.value);
    let departments = record.every_department();
    let found_by = (record.text_id(), departments.first().unwrap_or(&record.department).as_str());
    write_audit(connection, event, found_by, value, position, key_id)?;
    let mut statement = connection.prepare_cached(
        "INSERT INTO audit_departments (department, received_at, position, expires_at) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for department in departments.iter().skip(1) {
        let (received_at, expires_at) = (event.received_at, event.kind.expires_at(event.received_at));
        let times = (received_at.as_millisecond(), expires_at.as_millisecond());
        statement.execute(params![department.as_str(), times.0, position, times.1])?;
    }
    Ok(())
}
