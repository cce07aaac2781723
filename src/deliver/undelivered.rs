//! What no destination takes, as a dead letter.
//!
//! Comes in: a letter and why nobody takes it. Goes out: an event for dead-letter with the whole record in it, under an
//! id made of the text's, so that a repeat adds nothing.
//! Always true: the reason names channel, department and codes, no address and no words of a server.
//! Not here: calling it back.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Channel, Letter};
use crate::message::{
    DeadLetterRecord, DepartmentName, Destination, Event, EventId, EventKind, SCHEMA_VERSION, SenderKey, Text,
};

/// The word for it in records and metrics.
pub(super) const REASON: &str = "undelivered";

/// The event. Without the body where dead-letter has refused it with that, for it has become too large.
pub(super) fn of(
    letter: &Letter,
    (department, channel): (&DepartmentName, Channel),
    detail: &str,
    with_body: bool,
    key: &SenderKey,
) -> Event {
    let id = EventId::new_v5(&letter.id, format!("{REASON}/{}/{department}", channel.label()).as_bytes());
    let left_out = if with_body { "" } else { "; too large to be copied here" };
    let record = DeadLetterRecord {
        schema_version: SCHEMA_VERSION,
        id,
        account: letter.account.clone(),
        reason: REASON.into(),
        detail: format!("{} to {department}: {detail}{left_out}", channel.label()),
        content_type: Some(letter.content_type.clone()),
        body: Text::from(if with_body { STANDARD.encode(&letter.value) } else { String::new() }),
        method: None,
        query: None,
        flags: Vec::new(),
        relates_to: Some(letter.id),
        received_at: letter.record.received_at,
    };
    let account = letter.account.as_str();
    Event {
        id,
        copy_of: None,
        kind: EventKind::DeadLetter,
        destination: Destination::DeadLetter,
        account: letter.account.clone(),
        subject: account.to_owned(),
        received_at: record.received_at,
        key: key.digest(&[b"dead-letter", account.as_bytes()]),
        fingerprint: key.fingerprint(&[&letter.value]),
        traceparent: letter.traceparent.clone(),
        value: serde_json::to_vec(&record).expect("a record has only string keys and finite numbers"),
    }
}
