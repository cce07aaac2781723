//! An event as a Kafka record: the CloudEvents 1.0 Kafka binding, binary mode.
//!
//! Comes in: an event whose value is encoded already. Goes out: its headers and its key.
//! Not here: which topic, and the value.

use crate::message::{Event, EventKind, EventSource, Traceparent, iso};

/// What the headers of all our records share.
pub(super) struct Envelope {
    source: EventSource,
    /// `ce_type` and `ce_dataschema` of each kind of event, written once.
    kinds: [(String, String); EventKind::ALL.len()],
}

impl Envelope {
    pub(super) fn new(source: EventSource) -> Self {
        let kinds = EventKind::ALL.map(|kind| (source.event_type(kind), source.data_schema(kind)));
        Self { source, kinds }
    }

    /// Adds name and value of each header, in order.
    pub(super) fn add_headers<H>(&self, event: &Event, headers: H, add: impl Fn(H, &str, &str) -> H) -> H {
        let (kind, data_schema) = &self.kinds[event.kind as usize];
        let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
        let headers = add(headers, "ce_specversion", "1.0");
        let headers = add(headers, "ce_id", event.id.hyphenated().encode_lower(&mut id));
        let headers = add(headers, "ce_source", &self.source.of(&event.account));
        let headers = add(headers, "ce_type", kind);
        let headers = add(headers, "ce_subject", &event.subject);
        let headers = add(headers, "ce_time", &iso::format(event.received_at));
        let headers = add(headers, "ce_dataschema", data_schema);
        let headers = add(headers, "content-type", "application/json");
        match &event.traceparent {
            Some(traceparent) => add(headers, "traceparent", traceparent),
            None => add(headers, "traceparent", Traceparent::of(event.id).as_str()),
        }
    }
}

/// The key as text: every Kafka tool can show and compare 32 hexadecimal characters.
pub(super) fn key_text(key: &[u8; 16]) -> [u8; 32] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 32];
    for (index, byte) in key.iter().enumerate() {
        text[2 * index] = DIGITS[usize::from(byte >> 4)];
        text[2 * index + 1] = DIGITS[usize::from(byte & 15)];
    }
    text
}
