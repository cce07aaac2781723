//! An event that its topic will never take, as a dead letter.
//!
//! Comes in: the event. Goes out: an event for dead-letter with the whole record in it, under an id
//! made of the first, so that trying again adds nothing.
//! Not here: what could not be read or routed (`intake`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::message::{DeadLetterRecord, Destination, Event, EventId, EventKind, SCHEMA_VERSION, Text};

/// The word for it in records and metrics.
pub(super) const TOO_LARGE: &str = "too_large";

pub(super) fn of_event(event: &Event) -> Event {
    let id = EventId::new_v5(&event.id, b"dead-letter");
    let record = DeadLetterRecord {
        schema_version: SCHEMA_VERSION,
        id,
        account: event.account.clone(),
        reason: TOO_LARGE.into(),
        detail: "its topic refused the record for good".to_owned(),
        content_type: Some("application/json".to_owned()),
        body: Text::from(STANDARD.encode(&event.value)),
        method: None,
        query: None,
        flags: Vec::new(),
        relates_to: Some(event.id),
        received_at: event.received_at,
    };
    Event {
        id,
        copy_of: None,
        kind: EventKind::DeadLetter,
        destination: Destination::DeadLetter,
        value: serde_json::to_vec(&record).expect("a record has only string keys and finite numbers"),
        ..event.clone()
    }
}
