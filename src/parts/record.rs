//! One piece on the stream: everything the text it belongs to is made of, so that nothing else is asked.
//!
//! The key is the join key: all pieces of one text are in one partition, in one order for every reader.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::message::{
    AccountName, Body, Destination, Event, EventId, EventKind, Flag, Inbound, Media, Number, Open, Part, RecordError,
    SCHEMA_VERSION, SenderKey, Text, Timestamp, iso,
};

/// Most pieces of one text.
const TOTAL_MAX: u16 = 255;

/// What holders of the sender key call all pieces with one account, sender, recipient, reference and total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JoinKey([u8; 16]);

impl JoinKey {
    pub fn of(key: &SenderKey, account: &AccountName, from: &Number, to: &Number, part: &Part) -> Self {
        Self(key.digest(&[
            b"parts",
            account.as_str().as_bytes(),
            from.as_str().as_bytes(),
            to.as_str().as_bytes(),
            part.reference.as_bytes(),
            &part.total.to_be_bytes(),
        ]))
    }

    /// The key of the stream's events.
    pub fn bytes(self) -> [u8; 16] {
        self.0
    }
}

/// 16 bytes as 32 hexadecimal characters, the form hashes have in JSON.
pub(super) mod hex {
    use super::{Deserialize, Deserializer, EventId, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8; 16], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&EventId::from_bytes(*bytes).simple())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 16], D::Error> {
        let text = String::deserialize(deserializer)?;
        EventId::try_parse(&text).map(EventId::into_bytes).map_err(serde::de::Error::custom)
    }
}

impl Serialize for JoinKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        hex::serialize(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for JoinKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        hex::deserialize(deserializer).map(Self)
    }
}

/// One piece: the value of an event of kind `Part`. `Debug` shows its id and place only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartRecord {
    pub schema_version: u32,
    pub id: EventId,
    pub key: JoinKey,
    pub account: AccountName,
    pub carrier: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub carrier_message_id: Option<String>,
    pub from: Number,
    pub from_raw: Text,
    pub to: Number,
    /// Absent where the carrier names no recipient.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub to_raw: Option<Text>,
    /// Empty when `raw` has the bytes.
    pub text: Text,
    /// Base64 of a piece that cannot be decoded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub raw: Option<Text>,
    #[serde(with = "iso::option", skip_serializing_if = "Option::is_none", default)]
    pub sent_at: Option<Timestamp>,
    #[serde(with = "iso")]
    pub received_at: Timestamp,
    pub reference: String,
    pub total: u16,
    /// From 1.
    pub number: u16,
    /// Keyed hash of sender, recipient, words, reference and number: tells twins from other texts.
    #[serde(with = "hex")]
    pub fingerprint: [u8; 16],
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub media: Vec<Media>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub flags: Vec<Open<Flag>>,
    /// W3C trace context of the carrier's request.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub traceparent: Option<String>,
}

/// What is known of a piece beside what its carrier said.
pub struct Received<'a> {
    pub id: EventId,
    pub account: &'a AccountName,
    pub carrier: &'a Arc<str>,
    pub from: &'a Number,
    pub to: &'a Number,
    pub received_at: Timestamp,
    pub fingerprint: [u8; 16],
    pub traceparent: Option<&'a str>,
    pub flags: Vec<Open<Flag>>,
}

impl PartRecord {
    /// `None` for a text that is no piece, or whose pieces could never be joined: fewer than two, or a
    /// number outside the total. Such a text is published as it is.
    pub fn of(inbound: &Inbound, received: Received<'_>, key: &SenderKey) -> Option<Self> {
        let part = inbound.part.as_ref().filter(|part| is_joinable(part))?;
        let (text, raw) = match &inbound.body {
            Body::Text(words) => (words.clone(), None),
            Body::Undecodable(bytes) => (Text::default(), Some(Text::from(STANDARD.encode(bytes)))),
        };
        Some(Self {
            schema_version: SCHEMA_VERSION,
            id: received.id,
            key: JoinKey::of(key, received.account, received.from, received.to, part),
            account: received.account.clone(),
            carrier: received.carrier.clone(),
            carrier_message_id: inbound.carrier_message_id.clone(),
            from: received.from.clone(),
            from_raw: inbound.from.clone(),
            to: received.to.clone(),
            to_raw: inbound.to.clone(),
            text,
            raw,
            sent_at: inbound.sent_at,
            received_at: received.received_at,
            reference: part.reference.clone(),
            total: part.total,
            number: part.number,
            fingerprint: received.fingerprint,
            media: inbound.media.clone(),
            flags: received.flags,
            traceparent: received.traceparent.map(str::to_owned),
        })
    }

    /// The event for the stream.
    pub fn event(&self) -> Event {
        Event {
            id: self.id,
            copy_of: None,
            kind: EventKind::Part,
            destination: Destination::Parts,
            account: self.account.clone(),
            subject: self.to.as_str().to_owned(),
            received_at: self.received_at,
            key: self.key.bytes(),
            fingerprint: self.fingerprint,
            traceparent: self.traceparent.clone(),
            value: serde_json::to_vec(self).expect("a record has only string keys and finite numbers"),
        }
    }

    /// Reads a value of the stream. The error names the place, never the content.
    pub fn from_json(value: &[u8]) -> Result<Self, RecordError> {
        let record: Self = serde_json::from_slice(value)
            .map_err(|error| RecordError::Malformed(format!("line {} column {}", error.line(), error.column())))?;
        if record.schema_version > SCHEMA_VERSION {
            return Err(RecordError::Newer(record.schema_version));
        }
        if !is_place(record.number, record.total) {
            return Err(RecordError::Malformed("a number outside its total".to_owned()));
        }
        if record.raw.as_ref().is_some_and(|raw| STANDARD.decode(raw.as_str()).is_err()) {
            return Err(RecordError::Malformed("raw is not base64".to_owned()));
        }
        Ok(record)
    }

    /// What the piece is known by: UUIDv5 of its event's id and its fingerprint. Two instances may have
    /// given one event id to two texts, if a carrier used its own id twice.
    pub(super) fn identity(&self) -> EventId {
        EventId::new_v5(&self.id, &self.fingerprint)
    }

    /// The words, or the bytes of them.
    pub(super) fn body(&self) -> Body {
        match &self.raw {
            None => Body::Text(self.text.clone()),
            // `from_json` and `of` make sure of it.
            Some(raw) => Body::Undecodable(STANDARD.decode(raw.as_str()).expect("raw is base64")),
        }
    }

    /// About what the record takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let raw = self.raw.as_ref().map_or(0, |raw| raw.as_str().len());
        let id = self.carrier_message_id.as_ref().map_or(0, String::len);
        let media: usize = self.media.iter().map(|media| media.url.len()).sum();
        size_of::<Self>() + self.text.as_str().len() + raw + id + media + self.reference.len()
    }
}

impl fmt::Debug for PartRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartRecord")
            .field("id", &self.id)
            .field("number", &self.number)
            .field("total", &self.total)
            .finish_non_exhaustive()
    }
}

/// Whether the piece can be joined with others: there are others, and it has a place among them. The
/// user data header has 8 bits for their number (3GPP TS 23.040, 9.2.3.24.1).
pub fn is_joinable(part: &Part) -> bool {
    (2..=TOTAL_MAX).contains(&part.total) && is_place(part.number, part.total)
}

fn is_place(number: u16, total: u16) -> bool {
    (1..=total).contains(&number)
}
