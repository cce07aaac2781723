//! What no destination takes, as a dead letter.
//!
//! Comes in: a letter and why nobody takes it. Goes out: an event for dead-letter with the whole record in it, under an
//! id made of the text's, so that a repeat adds nothing.
//! Always true: the reason names channel, department and codes, no address and no words of a server.
//! Not here: calling it back.

use super::{Channel, Letter};
use crate::intake::Reason;
use crate::message::{DeadLetterRecord, DepartmentName, Event, EventId, SenderKey};

/// The word for it in records and metrics.
pub(super) fn reason() -> &'static str {
    Reason::Undelivered.label()
}

/// The event. Without the body where dead-letter has refused it with that, for it has become too large.
pub(super) fn of(
    letter: &Letter,
    (department, channel): (&DepartmentName, Channel),
    detail: &str,
    with_body: bool,
    key: &SenderKey,
) -> Event {
    let reason = reason();
    let id = EventId::new_v5(&letter.id, format!("{reason}/{}/{department}", channel.label()).as_bytes());
    let (content, left_out) =
        if with_body { (&letter.value[..], "") } else { (&[][..], "; too large to be copied here") };
    let detail = format!("{} to {department}: {detail}{left_out}", channel.label());
    let record = DeadLetterRecord {
        content_type: Some(letter.content_type.clone()),
        relates_to: Some(letter.id),
        ..DeadLetterRecord::new(id, letter.account.clone(), reason, detail, content, letter.record.received_at)
    };
    Event { traceparent: letter.traceparent.clone(), ..record.of_account(&letter.value, key) }
}
