//! Sweeping: what is over is gone, also from the bytes; what is not over stays.

use std::time::Duration;

use aho_corasick::AhoCorasick;
use jiff::SignedDuration;
use rusqlite::Connection;

use super::*;
use crate::message::{AuditQuery, expires_at};
use crate::store::files::Files;
use crate::store::sweep::{self, Step, Table};
use crate::store::{Cursor, Swept, append, schema};

fn swept(audit_copies: u64, feed_rows: u64, dead_letters: u64) -> Result<Swept, StoreError> {
    Ok(Swept { audit_copies, feed_rows, dead_letters, settled: true })
}

async fn is_known(store: &Store, event: &Event) -> bool {
    store.append(vec![event.clone()]).await == Ok(vec![Appended::Known])
}

#[tokio::test]
async fn a_copy_is_there_a_day_before_its_year_is_over_and_gone_a_day_after() {
    let folder = folder();
    let open = open(folder.path());
    let words = "Snow on Main St, said nobody else";
    let event = text(1, "highways", "+447700900123", at(NOW), words);
    let query = AuditQuery::Id(event.id);
    stored(&open.store, vec![event.clone()]).await;

    open.clock.set(at("2027-11-20T10:00:00Z"));
    assert_eq!(open.store.sweep().await, swept(0, 1, 0));
    assert_eq!(open.store.find(&query).await.expect("an answer").len(), 1);
    assert!(contains(&raw(folder.path()), words));
    assert!(is_known(&open.store, &event).await, "a retry is recognised without its feed row");

    open.clock.set(at("2027-11-22T10:00:00Z"));
    assert_eq!(open.store.sweep().await, swept(1, 0, 0));
    assert_eq!(open.store.find(&query).await, Ok(Vec::new()));
    let bytes = raw(folder.path());
    assert!(!contains(&bytes, words));
    assert!(!contains(&bytes, "447700900123"));
    assert_eq!(open.store.sweep().await, swept(0, 0, 0), "a second sweep finds nothing");
}

#[tokio::test]
async fn the_feed_ends_after_its_retention_and_dead_letter_after_its_own() {
    let folder = folder();
    let day = Duration::from_secs(86_400);
    let settings =
        Settings { feed_retention: 30 * day, dead_letter_retention: 10 * day, ..Settings::of(folder.path()) };
    let open = open_with(settings);
    let events = vec![
        some_text(1),
        other(2, EventKind::Consent, at(NOW), "consent words"),
        other(3, EventKind::DeadLetter, at(NOW), "dead words"),
    ];
    stored(&open.store, events.clone()).await;
    for (time, expected, streams) in [
        ("2026-12-01T10:00:00Z", swept(0, 0, 0), [vec![1], vec![2], vec![3]]),
        ("2026-12-01T10:00:01Z", swept(0, 0, 1), [vec![1], vec![2], vec![]]),
        ("2026-12-21T10:00:00Z", swept(0, 0, 0), [vec![1], vec![2], vec![]]),
        ("2026-12-21T10:00:01Z", swept(0, 2, 0), [vec![], vec![], vec![]]),
    ] {
        open.clock.set(at(time));
        assert_eq!(open.store.sweep().await, expected, "{time}");
        let found = [
            ids_of(&open.store, "highways").await,
            ids_of(&open.store, "sms-router.consent").await,
            ids_of(&open.store, "sms-router.dead-letter").await,
        ];
        assert_eq!(found, streams, "{time}");
    }
    for event in &events {
        assert!(is_known(&open.store, event).await, "a retry of {:?} adds nothing", event.kind);
    }
    let bytes = raw(folder.path());
    assert!(!contains(&bytes, "consent words") && !contains(&bytes, "dead words"));
    let cursor = open.store.cursor_of("highways", events[0].id).await.expect("an answer").expect("still known");
    stored(&open.store, vec![some_text(4)]).await;
    let rest = open.store.read("highways", cursor, 10).await.expect("the feed");
    assert_eq!(rest[0].id.as_u128(), 4, "a reader that was away goes on");
}

#[tokio::test]
async fn the_feed_never_outlives_the_audit_copy() {
    let folder = folder();
    let years = Duration::from_secs(5 * 365 * 86_400);
    let open = open_with(Settings { feed_retention: years, ..Settings::of(folder.path()) });
    stored(&open.store, vec![some_text(1)]).await;
    open.clock.set(expires_at(at(NOW)));
    assert_eq!(open.store.sweep().await, swept(1, 0, 0));
    assert_eq!(ids_of(&open.store, "highways").await, []);
}

#[tokio::test]
async fn a_position_is_never_given_out_again() {
    let folder = folder();
    let Open { store, writer, clock } = open(folder.path());
    stored(&store, (1..=3).map(some_text).collect()).await;
    let last = store.read("highways", Cursor::START, 10).await.expect("the feed")[2].position;
    clock.set(at("2029-01-01T00:00:00Z"));
    assert_eq!(store.sweep().await, swept(3, 0, 0));
    writer.close().await;
    drop(store);

    let again = open(folder.path());
    assert_eq!(*again.store.appended().borrow(), 3);
    stored(&again.store, vec![some_text(4)]).await;
    assert!(again.store.read("highways", Cursor::START, 1).await.expect("the feed")[0].position > last);
}

/// What every piece of the text with this number says.
fn mark(id: u128) -> String {
    format!("~words-{id:06}")
}

/// Texts thirty hours apart, some longer than others, so that pages are shared unevenly. Every fifth is a
/// dead letter.
fn texts(count: u128) -> Vec<Event> {
    let lengths = [50, 300, 900];
    let start = at("2026-01-01T00:00:00Z");
    let text_of = |id: u128| {
        // Any fixed mixture will do; this one has no short period.
        let length = lengths[((id * 2_654_435_761) >> 7) as usize % lengths.len()];
        let words = mark(id).repeat(length / mark(id).len());
        let received = start.checked_add(EVERY * id as i32).expect("in range");
        match id % 5 {
            0 => other(id, EventKind::DeadLetter, received, &words),
            // Not a record, so that short ones are short.
            _ => Event { value: words.clone().into_bytes(), ..text(id, "highways", "x", received, "") },
        }
    };
    (0..count).map(text_of).collect()
}

const EVERY: SignedDuration = SignedDuration::from_hours(30);
const THIRTY_DAYS: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Which texts have left a piece in the bytes.
fn marks(bytes: &[u8], texts: usize) -> Vec<bool> {
    let mut marks = vec![false; texts];
    for found in AhoCorasick::new(["~words-"]).expect("a pattern").find_iter(bytes) {
        let number = bytes.get(found.end()..found.end() + 6).and_then(|digits| std::str::from_utf8(digits).ok());
        // Nothing is moved, so nothing can be torn by what came over it.
        let number: usize = number.and_then(|digits| digits.parse().ok()).expect("no torn pieces are left");
        marks[number] = true;
    }
    marks
}

/// What `Store::sweep` does, on this thread.
fn sweep_here(connection: &mut Connection, now: Timestamp) {
    let until = now.checked_sub(THIRTY_DAYS).expect("in range");
    let removable = |connection: &Connection, table| sweep::removable(connection, table).ok().expect("an answer");
    let mut steps = vec![
        Step::Expired { now },
        Step::Aged { kind: EventKind::Message, until },
        Step::Aged { kind: EventKind::DeadLetter, until },
    ];
    for step in steps.drain(..) {
        sweep::tidy(connection, &step, &mut Arc::default()).ok().expect("a step");
    }
    for table in [Table::Log, Table::Audit] {
        let position = removable(connection, table);
        steps.extend(position.map(|position| Step::Remove { table, position }));
    }
    for step in steps.into_iter().chain([Step::Shrink, Step::Settle]) {
        sweep::tidy(connection, &step, &mut Arc::default()).ok().expect("a step");
    }
}

/// Texts come for four years, and a sweep with each: the bytes have exactly those that may be read.
/// Small steps, because they are what makes SQLite move rows together: with plain deletion some of
/// the texts stay, and also with deletion right up to the living rows. Not through the store, so as
/// not to wait for the disk a thousand times.
#[test]
fn no_byte_of_what_is_over_is_left_at_any_time() {
    let folder = folder();
    let files = Files::of(folder.path());
    let _lock = files.take().expect("the folder");
    let mut connection = files.open_writing().expect("a connection");
    connection.execute_batch("PRAGMA synchronous = OFF").expect("a setting");
    schema::migrate(&mut connection, &files).expect("the tables");

    let mut taken = Vec::new();
    for event in texts(1_200) {
        let now = event.received_at;
        append::append(&connection, std::slice::from_ref(&event), "key").expect("stored");
        taken.push(event);
        sweep_here(&mut connection, now);
        if taken.len() % 6 != 0 {
            continue;
        }
        let found = marks(&raw(folder.path()), taken.len());
        for (event, found) in taken.iter().zip(found) {
            assert_eq!(found, is_over(event) > now, "{event:?}, received {}, at {now}", event.received_at);
        }
    }
    let rows: i64 = connection.query_row("SELECT count(*) FROM audit", [], |row| row.get(0)).expect("a count");
    assert!(rows < 850, "{rows} rows: none of the hollow ones was removed");
}

/// When the last place of an event's words must be empty.
fn is_over(event: &Event) -> Timestamp {
    match event.kind {
        EventKind::Message => expires_at(event.received_at),
        _ => event.received_at.checked_add(THIRTY_DAYS).expect("in range"),
    }
}

#[tokio::test]
async fn the_file_gives_its_room_back() {
    let folder = folder();
    let open = open(folder.path());
    stored(&open.store, texts(2_000)).await;
    open.store.sweep().await.expect("a sweep");
    let size = || raw(folder.path()).len();
    let full = size();
    open.clock.set(at("2040-01-01T00:00:00Z"));
    open.store.sweep().await.expect("a sweep");
    assert!(size() * 3 < full, "{} of {full} bytes are left", size());
}

#[tokio::test]
async fn a_reader_in_the_way_delays_only_the_settling() {
    let folder = folder();
    let open = open(folder.path());
    stored(&open.store, vec![some_text(1)]).await;
    let other = rusqlite::Connection::open(folder.path().join("sms-router.sqlite")).expect("a connection");
    other.execute_batch("BEGIN; SELECT count(*) FROM log;").expect("a long question");

    open.clock.set(at("2029-01-01T00:00:00Z"));
    let swept = open.store.sweep().await.expect("a sweep");
    assert_eq!((swept.audit_copies, swept.settled), (1, false));
    stored(&open.store, vec![some_text(2)]).await;

    other.execute_batch("COMMIT").expect("the end of it");
    assert!(open.store.sweep().await.expect("a sweep").settled);
    assert!(!contains(&raw(folder.path()), "Snow on Main St 1\""));
}
