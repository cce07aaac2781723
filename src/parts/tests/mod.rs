//! Tests of the joining of pieces: tables of streams, and a model of the whole under crashes.

mod streams;
mod world;

use super::*;
use crate::message::{
    AccountName, Body, Country, EventId, Flag, Inbound, Media, Number, Open, Part, SenderKey, Text, Timestamp,
};

pub(super) const START: &str = "2026-11-21T10:00:00.000Z";

pub(super) fn at(seconds: i64) -> Timestamp {
    let start: Timestamp = START.parse().expect("a time");
    Timestamp::from_second(start.as_second() + seconds).expect("a time")
}

/// What a test says of a piece.
#[derive(Debug, Clone)]
pub(super) struct Sketch<'a> {
    pub id: &'a str,
    pub reference: &'a str,
    pub number: u16,
    pub total: u16,
    pub words: Body,
    pub received_at: Timestamp,
}

pub(super) fn piece(sketch: &Sketch<'_>) -> PartRecord {
    let key = SenderKey::new(b"a key of 32 characters for tests").expect("long enough");
    let (from, to) = (Number::normalise("+447700900123", Country::GB), Number::normalise("86555", Country::GB));
    let part = Part { reference: sketch.reference.to_owned(), total: sketch.total, number: sketch.number };
    let bytes = match &sketch.words {
        Body::Text(words) => words.as_str().as_bytes(),
        Body::Undecodable(bytes) => bytes,
    };
    let fingerprint = key.fingerprint(&[bytes, sketch.reference.as_bytes(), &sketch.number.to_be_bytes()]);
    let inbound = Inbound {
        carrier_message_id: Some(sketch.id.to_owned()),
        from: Text::from("07700 900123"),
        to: Some(Text::from("86555")),
        body: sketch.words.clone(),
        sent_at: None,
        part: Some(part),
        segments: 1,
        media: Vec::<Media>::new(),
    };
    let received = Received {
        id: EventId::new_v5(&EventId::NAMESPACE_OID, sketch.id.as_bytes()),
        account: &AccountName::parse("demo").expect("a name"),
        carrier: &"generic".into(),
        from: &from,
        to: &to,
        received_at: sketch.received_at,
        fingerprint,
        traceparent: None,
        flags: Vec::new(),
    };
    PartRecord::of(&inbound, received, &key).expect("a piece that can be joined")
}
