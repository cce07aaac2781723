//! The wire form: the JSON value of every record, in both profiles.
//!
//! A field without a value is absent, never null; times are RFC 3339 UTC with milliseconds.
//! Fields and words may be added; what is there keeps its name and meaning while `schema_version` is 1. What that
//! asks of every reader stands in `open.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::{
    AccountName, Consent, DepartmentName, Destination, Event, EventId, EventKind, Media, Number, Open, Rule, SenderKey,
    Several, Text, Timestamp, every,
};

/// The major version of the record's shape; `ce_type` carries it too.
pub const SCHEMA_VERSION: u32 = 1;

/// What else a reader should know about a text. A later release may have more words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flag {
    /// The bytes are in `raw`; no charset made them text.
    Undecodable,
    /// The carrier gives no id, and an equal request came within the last minutes.
    PossibleRepeat,
    /// One piece of a long text that cannot be joined; `parts` tells how many there are.
    Part,
    /// Not all pieces of a long text came in time; those that come later are addenda.
    Incomplete,
    /// The carrier used the id of another text; this one has an id of its own.
    CarrierIdReused,
    /// On the topic of the department's standby, because its own stayed away too long.
    Failover,
    /// Its request's signature failed, while the account only watched signatures (`signature = "monitor"`):
    /// anybody may have sent it.
    Unverified,
    /// Moved to this department by a person, or sent to it again; `relates_to` is the text as it came.
    Rerouted,
}

/// How much of a long text is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parts {
    pub received: u16,
    pub total: u16,
}

/// One text, routed: the value of a record on `sms.<department>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub schema_version: u32,
    pub id: EventId,
    pub account: AccountName,
    pub carrier: Arc<str>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub carrier_message_id: Option<String>,
    pub from: Number,
    pub from_raw: Text,
    pub to: Number,
    pub to_raw: Text,
    /// Exactly what was received; empty when `raw` has the bytes.
    pub text: Text,
    /// Base64 of a text that cannot be decoded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub raw: Option<Text>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub keyword: Option<Arc<str>>,
    /// The text after the keyword and its separators.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rest: Option<Text>,
    pub department: DepartmentName,
    /// Absent where one department got the text.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub departments: Several,
    pub rule: Open<Rule>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub consent: Option<Open<Consent>>,
    pub routes_version: Arc<str>,
    #[serde(with = "iso::option", skip_serializing_if = "Option::is_none", default)]
    pub sent_at: Option<Timestamp>,
    #[serde(with = "iso")]
    pub received_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parts: Option<Parts>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub media: Vec<Media>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub relates_to: Option<EventId>,
    /// The text's own id, in what each of several departments got of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub copy_of: Option<EventId>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub flags: Vec<Open<Flag>>,
}

/// A resident's wish about being contacted: the value of a record on `sms-router.consent`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsentRecord {
    pub schema_version: u32,
    pub id: EventId,
    pub account: AccountName,
    pub from: Number,
    pub to: Number,
    pub consent: Open<Consent>,
    pub routes_version: Arc<str>,
    #[serde(with = "iso")]
    pub received_at: Timestamp,
    /// The text that said so.
    pub relates_to: EventId,
    /// `unverified`, where that text is.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub flags: Vec<Open<Flag>>,
}

/// What was authenticated and could not be understood, or could not be delivered for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterRecord {
    pub schema_version: u32,
    pub id: EventId,
    pub account: AccountName,
    /// `malformed`, `unknown_number`, `too_large`, `unreadable_record`, `undelivered`, or a word of a later release.
    pub reason: Arc<str>,
    /// What exactly was wrong, without any of the content.
    pub detail: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub content_type: Option<String>,
    /// Base64 of the body, or of the query where the carrier sends it there, without secrets.
    pub body: Text,
    /// Of the request that could not be read.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub method: Option<String>,
    /// The query where `body` is not all there was, without secrets.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub query: Option<Text>,
    /// What its texts will be flagged with if a request that could not be read is called back.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub flags: Vec<Open<Flag>>,
    /// The id that the text would have had, and will have if it is called back.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub relates_to: Option<EventId>,
    #[serde(with = "iso")]
    pub received_at: Timestamp,
}

/// Says on `sms-router.dead-letter` that a letter was called back: its texts are published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayedRecord {
    pub schema_version: u32,
    pub id: EventId,
    pub account: AccountName,
    /// The letter.
    pub relates_to: EventId,
    /// The letter's.
    #[serde(with = "iso")]
    pub received_at: Timestamp,
}

/// A value that is not a record.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error("the value is not a record: {0}")]
    Malformed(String),
    #[error("the record's schema version {0} is newer than this build")]
    Newer(u32),
}

impl Record {
    /// Reads a value from a topic or a row. The error names the place, never the content.
    pub fn from_json(value: &[u8]) -> Result<Self, RecordError> {
        let record: Self = read(value)?;
        known(record.schema_version).map(|()| record)
    }

    /// The same value with one more flag. Every other member stays as it was written, known or not.
    pub fn flagged(value: &[u8], flag: Flag) -> Result<Vec<u8>, RecordError> {
        let flags = Self::from_json(value)?.flags;
        if flags.contains(&flag.into()) {
            return Ok(value.to_vec());
        }
        with_members(value, [("flags", Some(raw(&with_flag(flags, flag))))])
    }

    /// The same text as another department gets it: under an id of its own, related to this one. What was said of
    /// where the original went is left out; every other member stays as it was written, known or not.
    pub fn rerouted(value: &[u8], id: EventId, to: &DepartmentName) -> Result<Vec<u8>, RecordError> {
        let Self { id: original, mut flags, .. } = Self::from_json(value)?;
        flags.retain(|flag| !flag.is(Flag::Failover));
        let flags = if flags.contains(&Flag::Rerouted.into()) { flags } else { with_flag(flags, Flag::Rerouted) };
        let members = [
            ("id", Some(raw(&id))),
            ("relates_to", Some(raw(&original))),
            ("department", Some(raw(to))),
            ("departments", None),
            ("copy_of", None),
            ("flags", Some(raw(&flags))),
        ];
        with_members(value, members)
    }

    /// The id of what one of several departments gets of a text.
    pub fn copy_id(text: EventId, department: &DepartmentName) -> EventId {
        // The word before it keeps a department called `consent` apart from the text's consent record.
        EventId::new_v5(&text, format!("department/{department}").as_bytes())
    }

    /// The id of the text: its own, or that of which this is one department's.
    pub fn text_id(&self) -> EventId {
        self.copy_of.unwrap_or(self.id)
    }

    /// All that got the text.
    pub fn every_department(&self) -> &[DepartmentName] {
        every(&self.department, &self.departments)
    }

    /// What the archive keeps of a text that several departments got: one value under the text's own id, byte for byte
    /// the same from whichever of their records; `value` is what `self` was read from. `None` for a record that stands
    /// for itself, whose value is kept as it is.
    pub fn kept(&self, value: &[u8]) -> Result<Option<Vec<u8>>, RecordError> {
        let Some(text) = self.copy_of else { return Ok(None) };
        // That one of them went to a standby's topic is not said of the text.
        let flags: Vec<_> = self.flags.iter().filter(|flag| !flag.is(Flag::Failover)).collect();
        let members = [
            ("id", Some(raw(&text))),
            ("department", Some(raw(self.every_department().first().unwrap_or(&self.department)))),
            ("flags", (!flags.is_empty()).then(|| raw(&flags))),
            ("relates_to", self.relates_to.filter(|other| *other != text).map(|other| raw(&other))),
            ("copy_of", None),
        ];
        with_members(value, members).map(Some)
    }
}

impl DeadLetterRecord {
    /// A letter with its content, and nothing else known of it. `reason` is a word of the list, `detail` has nothing of
    /// the content.
    pub fn new(
        id: EventId,
        account: AccountName,
        reason: &str,
        detail: String,
        content: &[u8],
        received_at: Timestamp,
    ) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            id,
            account,
            reason: reason.into(),
            detail,
            content_type: None,
            body: Text::from(STANDARD.encode(content)),
            method: None,
            query: None,
            flags: Vec::new(),
            relates_to: None,
            received_at,
        }
    }

    /// The event of something that came to an account; `content` tells it from others.
    pub fn of_account(&self, content: &[u8], key: &SenderKey) -> Event {
        self.event(self.account.as_str(), Self::key_of(&self.account, key), key.fingerprint(&[content]))
    }

    /// The event of an entry of a topic; `hash` is of its place and content.
    pub fn of_topic(&self, topic: &str, hash: [u8; 16]) -> Event {
        self.event(topic, hash, hash)
    }

    /// The record's key of what is said of an account's letters.
    pub fn key_of(account: &AccountName, key: &SenderKey) -> [u8; 16] {
        key.digest(&[b"dead-letter", account.as_str().as_bytes()])
    }

    fn event(&self, subject: &str, key: [u8; 16], fingerprint: [u8; 16]) -> Event {
        Event {
            id: self.id,
            copy_of: None,
            kind: EventKind::DeadLetter,
            destination: Destination::DeadLetter,
            account: self.account.clone(),
            subject: subject.to_owned(),
            received_at: self.received_at,
            key,
            fingerprint,
            traceparent: None,
            value: serde_json::to_vec(self).expect("a record has only string keys and finite numbers"),
        }
    }

    /// Reads a value from the topic or a row. The error names the place, never the content.
    pub fn from_json(value: &[u8]) -> Result<Self, RecordError> {
        let record: Self = read(value)?;
        known(record.schema_version).map(|()| record)
    }
}

impl ReplayedRecord {
    /// Reads a value from the topic.
    pub fn from_json(value: &[u8]) -> Result<Self, RecordError> {
        let record: Self = read(value)?;
        known(record.schema_version).map(|()| record)
    }
}

fn with_flag(mut flags: Vec<Open<Flag>>, flag: Flag) -> Vec<Open<Flag>> {
    flags.push(flag.into());
    flags
}

fn raw(member: &impl Serialize) -> Box<RawValue> {
    to_raw_value(member).expect("words, ids and what was JSON")
}

/// The value with these members changed, or left out.
fn with_members<const N: usize>(
    value: &[u8],
    changed: [(&str, Option<Box<RawValue>>); N],
) -> Result<Vec<u8>, RecordError> {
    let mut members: BTreeMap<String, Box<RawValue>> = read(value)?;
    for (name, value) in changed {
        match value {
            Some(value) => drop(members.insert(name.to_owned(), value)),
            None => drop(members.remove(name)),
        }
    }
    Ok(serde_json::to_vec(&members).expect("what was JSON, under string keys"))
}

fn read<'v, R: Deserialize<'v>>(value: &'v [u8]) -> Result<R, RecordError> {
    serde_json::from_slice(value)
        .map_err(|error| RecordError::Malformed(format!("line {} column {}", error.line(), error.column())))
}

fn known(version: u32) -> Result<(), RecordError> {
    if version > SCHEMA_VERSION { Err(RecordError::Newer(version)) } else { Ok(()) }
}

/// RFC 3339 in UTC with exactly three decimals, as serde's `with`.
pub mod iso {
    use jiff::fmt::temporal::DateTimePrinter;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Timestamp;

    const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(3));

    pub fn format(time: Timestamp) -> String {
        PRINTER.timestamp_to_string(&time)
    }

    pub fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format(*time))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }

    pub mod option {
        use super::{Deserializer, Serializer, Timestamp};

        pub fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => super::serialize(time, serializer),
                None => serializer.serialize_none(),
            }
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
            super::deserialize(deserializer).map(Some)
        }
    }
}
