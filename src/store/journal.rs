//! The journal: events that wait for their topic, in the order they were taken in.
//!
//! Comes in: events with the topic each is for; positions of those that were published since. Goes
//! out: the events as they were, oldest first.
//! Always true: an entry leaves only when it is settled, never by age; an id waits once; an event comes
//! back exactly as it went in, down to the byte, its time to the millisecond as the clock gives it, or
//! the file is refused: a checksum tells.
//! What is settled is made hollow at once and removed later, for the reason that `sweep` gives.
//! Not here: when a text goes to the journal, and replaying it; how much waits (`waiting`).

use std::collections::BTreeSet;
use std::hash::Hasher;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, Row, params};
use siphasher::sip::SipHasher13;

use super::Store;
use super::append::{Appended, code_of, destination_of, kind_of, stream_of};
use super::error::{Fault, StoreError};
use super::feed::{Cursor, ENTRIES_MAX, READ_BYTES_MAX};
use super::job::Job;
use super::sweep::HOLLOW_KEPT;
use super::waiting::{self, JournalState, Oldest, TopicSender};
use crate::message::{AccountName, Event, EventId, Timestamp};

/// What an entry takes beside its content: the row's other columns and its places in the indexes.
const ENTRY_BYTES: usize = 256;
/// Hollow entries that one `settle` removes beyond twice what it settles.
const REMOVED_MAX: usize = 500;

/// An event, and the topic it is for.
pub(super) type Addressed = (Arc<str>, Event);
/// What became of an event, and the position where it waits.
pub(super) type Placed = (Appended, Cursor);

/// One event that waits for its topic.
#[derive(Debug, Clone)]
pub struct Waiting {
    pub position: Cursor,
    pub topic: Arc<str>,
    pub event: Event,
}

impl Store {
    /// Writes events down with the topics they are for, in one transaction with whatever else waits,
    /// and answers when that is on the disk: one outcome for each, in their order, with the position
    /// where it waits. On an error none of them is in the journal.
    ///
    /// `Known` and `Conflicting` speak of an id that waits already; one that was settled is new again.
    /// Errors: `JournalFull`, and those of `append`. Once polled, the write goes on when this future is
    /// dropped.
    pub async fn journal(&self, events: Vec<(Arc<str>, Event)>) -> Result<Vec<(Appended, Cursor)>, StoreError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let room = self.room_for(events.len())?;
        self.write(room, |answer| Job::journal(events, answer)).await
    }

    /// The events that wait for a topic after a position, oldest first: at most `limit`, at most
    /// `ENTRIES_MAX`, and fewer where their values are large.
    pub async fn waiting(&self, topic: &str, after: Cursor, limit: usize) -> Result<Vec<Waiting>, StoreError> {
        let topic = topic.to_owned();
        self.0.pool.ask(move |connection| read(connection, &topic, after, limit)).await
    }

    /// Forgets entries that are safe elsewhere; on the disk when it answers. Their words are
    /// overwritten at once. Gives the positions that were still waiting: one that is settled already
    /// changes nothing.
    pub async fn settle(&self, positions: Vec<Cursor>) -> Result<Vec<Cursor>, StoreError> {
        if positions.is_empty() {
            return Ok(Vec::new());
        }
        // It waits for its one place where `append` would give up: the work behind it is done.
        let room = Arc::clone(&self.0.room).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        self.write(room, |answer| Job::settle(positions, answer)).await
    }

    /// How much waits, as of the last commit. Costs a reference count.
    pub fn journal_state(&self) -> Arc<JournalState> {
        self.0.journal.load_full()
    }

    /// Whose texts wait for which topic, and how many: what replay must know at start.
    pub async fn journalled_senders(&self) -> Result<Vec<TopicSender>, StoreError> {
        self.0.pool.ask(|connection| Ok(waiting::senders(connection)?)).await
    }
}

/// What an entry counts against the bounds, in bytes.
fn size_of(topic: &str, event: &Event) -> u64 {
    let words = topic.len() + event.subject.len() + event.traceparent.as_ref().map_or(0, String::len);
    (ENTRY_BYTES + words + event.value.len()) as u64
}

/// Writes a caller's events, or none of them when they would go over a bound.
pub(super) fn write(
    connection: &Connection,
    state: &mut Arc<JournalState>,
    bounds: &waiting::Bounds,
    entries: &[Addressed],
    now: Timestamp,
) -> rusqlite::Result<Result<Vec<Placed>, StoreError>> {
    let known = entries.iter().map(|(_, event)| find(connection, event)).collect::<Result<Vec<_>, _>>()?;
    let new = entries.iter().zip(&known).filter(|(_, known)| known.is_none());
    let sizes = new.map(|((topic, event), _)| (topic, size_of(topic, event)));
    if let Err(bound) = state.admit(sizes, bounds, now) {
        return Ok(Err(StoreError::JournalFull(bound)));
    }
    let mut outcomes = Vec::with_capacity(entries.len());
    for ((topic, event), known) in entries.iter().zip(known) {
        outcomes.push(match known {
            Some(known) => known,
            None => write_one(connection, state, topic, event, now)?,
        });
    }
    Ok(Ok(outcomes))
}

/// An entry with this id that waits already.
fn find(connection: &Connection, event: &Event) -> rusqlite::Result<Option<Placed>> {
    connection
        .prepare_cached("SELECT position, fingerprint FROM journal WHERE id = ?1 AND hollow = 0")?
        .query_row([event.id.as_bytes().as_slice()], |row| {
            let same = row.get_ref(1)?.as_blob()? == event.fingerprint;
            Ok((if same { Appended::Known } else { Appended::Conflicting }, Cursor(row.get(0)?)))
        })
        .optional()
}

fn write_one(
    connection: &Connection,
    state: &mut Arc<JournalState>,
    topic: &Arc<str>,
    event: &Event,
    now: Timestamp,
) -> rusqlite::Result<Placed> {
    let size = size_of(topic, event);
    let mut statement = connection.prepare_cached(
        "INSERT INTO journal (id, topic, bytes, kind, stream, account, subject, received_at, journalled_at,
                              key, fingerprint, traceparent, checksum, value)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT (id) WHERE hollow = 0 DO NOTHING",
    )?;
    let written = statement.execute(params![
        event.id.as_bytes().as_slice(),
        topic,
        size.cast_signed(),
        code_of(event.kind),
        stream_of(&event.destination),
        event.account.as_str(),
        event.subject,
        event.received_at.as_millisecond(),
        now.as_millisecond(),
        event.key.as_slice(),
        event.fingerprint.as_slice(),
        event.traceparent,
        checksum(topic, event).cast_signed(),
        event.value,
    ])?;
    if written == 0 {
        // The id stands twice in one call.
        return find(connection, event)?.ok_or(rusqlite::Error::QueryReturnedNoRows);
    }
    let position = Cursor(connection.last_insert_rowid());
    let oldest = Oldest { position, received_at: event.received_at, journalled_at: now };
    Arc::make_mut(state).add(topic, size, oldest);
    Ok((Appended::Stored, position))
}

/// Makes entries hollow, and removes some of those that are.
pub(super) fn settle(
    connection: &Connection,
    state: &mut Arc<JournalState>,
    positions: &[Cursor],
) -> rusqlite::Result<Vec<Cursor>> {
    let mut statement = connection.prepare_cached(
        "UPDATE journal SET hollow = 1, key = zeroblob(length(key)), fingerprint = zeroblob(length(fingerprint)),
                            value = zeroblob(length(value))
         WHERE position = ?1 AND hollow = 0 RETURNING topic, bytes",
    )?;
    let (mut topics, mut taken) = (BTreeSet::new(), Vec::with_capacity(positions.len()));
    for position in positions {
        let settled = statement.query_row([position.0], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?))).optional()?;
        let Some((topic, bytes)) = settled else { continue };
        let topic: Arc<str> = topic;
        Arc::make_mut(state).take(&topic, bytes.cast_unsigned());
        topics.insert(topic);
        taken.push(*position);
    }
    for topic in topics {
        let oldest = waiting::oldest(connection, &topic)?;
        Arc::make_mut(state).begin_with(&topic, oldest);
    }
    remove(connection, state, REMOVED_MAX.saturating_add(2 * positions.len()))?;
    Ok(taken)
}

/// Removes hollow entries that have no living one near or before them; whether it removed as many as it might.
pub(super) fn remove(
    connection: &Connection,
    state: &mut Arc<JournalState>,
    rows_max: usize,
) -> rusqlite::Result<bool> {
    if state.spent.messages <= HOLLOW_KEPT as u64 {
        return Ok(false);
    }
    let living = state.all.oldest.map_or(i64::MAX, |oldest| oldest.position.0);
    let until: Option<i64> = connection
        .prepare_cached("SELECT position FROM journal WHERE position < ?1 ORDER BY position DESC LIMIT 1 OFFSET ?2")?
        .query_row(params![living, HOLLOW_KEPT as i64], |row| row.get(0))
        .optional()?;
    let Some(until) = until else { return Ok(false) };
    let mut statement = connection.prepare_cached(
        "DELETE FROM journal WHERE position IN
            (SELECT position FROM journal WHERE position <= ?1 ORDER BY position LIMIT ?2) RETURNING bytes",
    )?;
    let mut rows = statement.query(params![until, i64::try_from(rows_max).unwrap_or(i64::MAX)])?;
    let mut removed = 0;
    while let Some(row) = rows.next()? {
        Arc::make_mut(state).spent.subtract(row.get::<_, i64>(0)?.cast_unsigned());
        removed += 1;
    }
    Ok(removed == rows_max)
}

pub(super) fn read(connection: &Connection, topic: &str, after: Cursor, limit: usize) -> Result<Vec<Waiting>, Fault> {
    let limit = limit.min(ENTRIES_MAX);
    let mut statement = connection.prepare_cached(
        "SELECT position, topic, id, kind, stream, account, subject, received_at, key, fingerprint, traceparent,
                checksum, value
         FROM journal WHERE topic = ?1 AND hollow = 0 AND position > ?2 ORDER BY position LIMIT ?3",
    )?;
    let mut rows = statement.query(params![topic, after.0, limit as i64])?;
    let mut entries = Vec::new();
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let entry = entry_of(row)?;
        bytes += entry.event.value.len();
        entries.push(entry);
        if bytes >= READ_BYTES_MAX {
            break;
        }
    }
    Ok(entries)
}

/// Reads every entry, so that one that is damaged is known before anything is answered or replayed.
pub(super) fn check(connection: &Connection) -> Result<(), Fault> {
    let mut statement = connection.prepare(
        "SELECT position, topic, id, kind, stream, account, subject, received_at, key, fingerprint, traceparent,
                checksum, value
         FROM journal WHERE +hollow = 0",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        entry_of(row)?;
    }
    Ok(())
}

/// A hash of all that must come back as it went in. It guards against disks, not against people.
fn checksum(topic: &str, event: &Event) -> u64 {
    let mut hasher = SipHasher13::new();
    for piece in [topic, stream_of(&event.destination), event.account.as_str(), &event.subject] {
        hasher.write(piece.as_bytes());
        hasher.write_u8(0);
    }
    hasher.write_i64(code_of(event.kind));
    hasher.write_i64(event.received_at.as_millisecond());
    hasher.write(event.id.as_bytes());
    hasher.write(&event.key);
    hasher.write(&event.fingerprint);
    hasher.write(&event.value);
    hasher.write(event.traceparent.as_deref().unwrap_or("-").as_bytes());
    hasher.finish()
}

fn entry_of(row: &Row<'_>) -> Result<Waiting, Fault> {
    let stream: String = row.get(4)?;
    let account: String = row.get(5)?;
    let event = Event {
        id: EventId::from_bytes(row.get(2)?),
        // Its value says it too; only the tables of the embedded log ask for it.
        copy_of: None,
        kind: kind_of(row.get(3)?).ok_or(Fault::Damaged)?,
        destination: destination_of(&stream).ok_or(Fault::Damaged)?,
        account: AccountName::parse(&account).map_err(|_| Fault::Damaged)?,
        subject: row.get(6)?,
        received_at: Timestamp::from_millisecond(row.get(7)?).map_err(|_| Fault::Damaged)?,
        key: row.get(8)?,
        fingerprint: row.get(9)?,
        traceparent: row.get(10)?,
        value: row.get(12)?,
    };
    let entry = Waiting { position: Cursor(row.get(0)?), topic: row.get(1)?, event };
    let written = row.get::<_, i64>(11)?.cast_unsigned();
    if checksum(&entry.topic, &entry.event) == written { Ok(entry) } else { Err(Fault::Damaged) }
}
