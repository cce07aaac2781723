//! What the store promises, on real files.
//!
//! Always true: every store of a test is in a folder of its own; a crash is a copy of the files as
//! they are while the store is open. Not here: killing a process; that is an integration test.

mod appending;
mod beside;
mod disk;
mod journalling;
mod keeping;
mod lost;
mod opening;
mod power;
mod progress;
mod several;
mod sweeping;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::{Appended, Settings, Store, StoreError, Writer};
use crate::clock::Clock;
use crate::message::{
    AccountName, Country, DepartmentName, Destination, Event, EventId, EventKind, Number, Record, Rule, RuleKind,
    SCHEMA_VERSION, SenderKey, Timestamp,
};

pub(super) const NOW: &str = "2026-11-21T10:00:00.123Z";

pub(super) fn at(time: &str) -> Timestamp {
    time.parse().expect("a time of the test")
}

pub(super) fn key() -> SenderKey {
    SenderKey::new(b"a key of the store's tests").expect("long enough")
}

pub(super) fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

/// A store, and the clock it looks at.
pub(super) struct Open {
    pub store: Store,
    pub writer: Writer,
    pub clock: Clock,
}

pub(super) fn open(folder: &Path) -> Open {
    open_with(Settings::of(folder))
}

pub(super) fn open_with(settings: Settings) -> Open {
    let clock = Clock::fixed(at(NOW));
    let (store, writer) = Store::open(settings, key(), clock.clone()).expect("a store");
    Open { store, writer, clock }
}

pub(super) fn department(name: &str) -> DepartmentName {
    DepartmentName::parse(name).expect("a department of the test")
}

pub(super) fn account() -> AccountName {
    AccountName::parse("demo").expect("an account of the test")
}

/// A text as the door would hand it over.
pub(super) fn text(id: u128, to: &str, from: &str, received_at: Timestamp, words: &str) -> Event {
    let id = EventId::from_u128(id);
    let from = Number::normalise(from, Country::GB);
    let record = Record {
        schema_version: SCHEMA_VERSION,
        id,
        account: account(),
        carrier: Arc::from("generic"),
        carrier_message_id: None,
        from: from.clone(),
        from_raw: from.as_str().into(),
        to: Number::normalise("86555", Country::GB),
        to_raw: "86555".into(),
        text: words.into(),
        raw: None,
        keyword: None,
        rest: None,
        department: department(to),
        departments: None,
        rule: Rule { kind: RuleKind::Default, matched: None }.into(),
        consent: None,
        routes_version: Arc::from("test"),
        sent_at: None,
        received_at,
        parts: None,
        media: Vec::new(),
        relates_to: None,
        copy_of: None,
        flags: Vec::new(),
    };
    Event {
        id,
        copy_of: None,
        kind: EventKind::Message,
        destination: Destination::Department(department(to)),
        account: account(),
        subject: "86555".to_owned(),
        received_at,
        key: key().hash(&from),
        fingerprint: key().fingerprint(&[from.as_str().as_bytes(), words.as_bytes()]),
        traceparent: None,
        value: serde_json::to_vec(&record).expect("a record is JSON"),
    }
}

/// A text whose sender and words nobody looks at.
pub(super) fn some_text(id: u128) -> Event {
    text(id, "highways", "+447700900123", at(NOW), &format!("Snow on Main St {id}"))
}

/// An event of the router's own streams.
pub(super) fn other(id: u128, kind: EventKind, received_at: Timestamp, words: &str) -> Event {
    let destination = match kind {
        EventKind::Consent => Destination::Consent,
        EventKind::Part | EventKind::Joined => Destination::Parts,
        EventKind::Probe => Destination::Probe,
        EventKind::DeadLetter | EventKind::Replayed | EventKind::Message | EventKind::Addendum => {
            Destination::DeadLetter
        }
    };
    Event { kind, destination, value: words.as_bytes().to_vec(), ..text(id, "highways", "x", received_at, words) }
}

pub(super) async fn stored(store: &Store, events: Vec<Event>) {
    let expected = vec![Appended::Stored; events.len()];
    assert_eq!(store.append(events).await, Ok(expected));
}

/// Every id of a stream, in order, read page by page.
pub(super) async fn ids_of(store: &Store, stream: &str) -> Vec<u128> {
    let mut ids = Vec::new();
    let mut after = super::Cursor::START;
    loop {
        let entries = store.read(stream, after, 100).await.expect("a page of the feed");
        let Some(last) = entries.last() else { return ids };
        after = last.position;
        ids.extend(entries.iter().map(|entry| entry.id.as_u128()));
    }
}

/// What a crash would leave: the files as they are now, in another folder.
pub(super) fn crashed(from: &Path) -> TempDir {
    let to = folder();
    for entry in fs::read_dir(from).expect("the store's folder") {
        let entry = entry.expect("a file of the store");
        fs::copy(entry.path(), to.path().join(entry.file_name())).expect("a copy");
    }
    to
}

/// Every byte of every file of the store.
pub(super) fn raw(folder: &Path) -> Vec<u8> {
    let files = fs::read_dir(folder).expect("the store's folder");
    files.flat_map(|file| fs::read(file.expect("a file of the store").path()).expect("its bytes")).collect()
}

pub(super) fn contains(bytes: &[u8], words: &str) -> bool {
    // Jumping to the first letter keeps the search of megabytes short without optimisation.
    let first = words.as_bytes()[0];
    let mut rest = bytes;
    while let Some(found) = rest.iter().position(|byte| *byte == first) {
        rest = &rest[found..];
        if rest.starts_with(words.as_bytes()) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

pub(super) fn refused(opened: Result<(Store, Writer), StoreError>) -> StoreError {
    opened.err().expect("the store must not open")
}
