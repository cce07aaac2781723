//! What a record of a topic is: a text to archive, something else, or nothing we understand.
//!
//! Comes in: headers and value of a Kafka record. Goes out: `Reading`.
//! Always true: no reason carries any of the content.
//! Not here: what is done with it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rdkafka::message::{BorrowedMessage, Headers, Message};

use super::partitions::Place;
use crate::message::{
    AccountName, DeadLetterRecord, Event, EventId, EventKind, Record, SCHEMA_VERSION, SenderKey, Text, Timestamp,
    is_traceparent,
};

/// Before the version in the types of what holds a resident's words.
const TEXT_TYPES: [&str; 2] = [".message.received.", ".message.addendum."];

/// What the worker shall do with a record.
#[derive(Debug)]
pub(super) enum Reading {
    Copy(Box<Record>),
    /// A synthetic text: kept for a day.
    Probe(Box<Record>),
    /// An event of another kind: nothing to archive.
    Other,
    /// For dead-letter, with what was wrong.
    Unreadable(String),
}

/// A record, owned.
pub(super) struct Taken {
    pub place: Place,
    pub offset: i64,
    pub published_ms: Option<i64>,
    event_type: Option<String>,
    source: Option<String>,
    content_type: Option<String>,
    pub traceparent: Option<String>,
    pub value: Vec<u8>,
}

impl Taken {
    pub(super) fn from(message: &BorrowedMessage<'_>) -> Self {
        let header = |name: &str| -> Option<String> {
            let mut headers = message.headers()?.iter();
            let value = headers.find(|header| header.key.eq_ignore_ascii_case(name))?.value?;
            Some(String::from_utf8_lossy(value).into_owned())
        };
        Self {
            place: (message.topic().into(), message.partition()),
            offset: message.offset(),
            published_ms: message.timestamp().to_millis(),
            event_type: header("ce_type"),
            source: header("ce_source"),
            content_type: header("content-type"),
            traceparent: header("traceparent").filter(|value| is_traceparent(value)),
            value: message.payload().unwrap_or_default().to_vec(),
        }
    }

    pub(super) fn read(&self) -> Reading {
        let version = self.event_type.as_deref().and_then(text_version);
        match (&self.event_type, version) {
            (Some(kind), None) if kind.ends_with(EventKind::Probe.suffix()) => match Record::from_json(&self.value) {
                Ok(record) => Reading::Probe(Box::new(record)),
                Err(error) => Reading::Unreadable(error.to_string()),
            },
            // A record without a type was put here by hand: what it is shows in its value.
            (None, _) | (Some(_), Some("v1")) => match Record::from_json(&self.value) {
                Ok(record) => Reading::Copy(Box::new(record)),
                Err(error) => Reading::Unreadable(error.to_string()),
            },
            // A newer text must not pass unarchived by an older build.
            (Some(_), Some(_)) => Reading::Unreadable("the text's version is newer than this build".to_owned()),
            (Some(_), None) => Reading::Other,
        }
    }

    /// The event for dead-letter. Its id is a keyed hash of place and content: the same each time.
    pub(super) fn dead_letter(&self, reason: &str, with_body: bool, key: &SenderKey, now: Timestamp) -> Event {
        let (topic, partition) = &self.place;
        let place = format!("topic {topic} partition {partition} offset {}", self.offset);
        let hash = key.digest(&[b"unreadable record", place.as_bytes(), &self.value]);
        let id = EventId::new_v8(hash);
        let account = self.account();
        let body = if with_body { STANDARD.encode(&self.value) } else { String::new() };
        let left_out = if with_body { "" } else { "; too large to be copied here" };
        let record = DeadLetterRecord {
            schema_version: SCHEMA_VERSION,
            id,
            account: account.clone(),
            reason: "unreadable_record".into(),
            detail: format!("{place}: {reason}; {} bytes{left_out}", self.value.len()),
            content_type: self.content_type.clone(),
            body: Text::from(body),
            method: None,
            query: None,
            flags: Vec::new(),
            relates_to: None,
            received_at: now,
        };
        Event {
            id,
            kind: EventKind::DeadLetter,
            destination: crate::message::Destination::DeadLetter,
            account,
            subject: topic.to_string(),
            received_at: now,
            key: hash,
            fingerprint: hash,
            traceparent: self.traceparent.clone(),
            value: serde_json::to_vec(&record).expect("a record of strings and times becomes JSON"),
        }
    }

    /// The account that the source names, else `unknown`.
    fn account(&self) -> AccountName {
        let named = self.source.as_deref().and_then(|source| source.rsplit_once("/accounts/"));
        let account = named.and_then(|(_, name)| AccountName::parse(name).ok());
        account.unwrap_or_else(|| AccountName::parse("unknown").expect("the word is a name"))
    }
}

/// The version of a type that holds a resident's words; `None` for another type.
fn text_version(event_type: &str) -> Option<&str> {
    let (_, version) = TEXT_TYPES.iter().find_map(|text| event_type.split_once(text))?;
    Some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &str = r#"{"schema_version":1,"id":"0192f0c1-2345-7abc-8def-0123456789ab","account":"demo",
        "carrier":"generic","from":"+447700900123","from_raw":"+447700900123","to":"86555","to_raw":"86555",
        "text":"Snow on Main St","department":"highways","rule":{"kind":"default"},"routes_version":"1",
        "received_at":"2026-11-21T10:00:00.000Z"}"#;

    fn taken(event_type: Option<&str>, value: &str) -> Taken {
        Taken {
            place: ("sms.highways".into(), 2),
            offset: 7,
            published_ms: None,
            event_type: event_type.map(str::to_owned),
            source: Some("https://sms.example.gov.uk/accounts/demo".to_owned()),
            content_type: Some("application/json".to_owned()),
            traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned()),
            value: value.as_bytes().to_vec(),
        }
    }

    fn check(event_type: Option<&str>, value: &str, expected: &str) {
        let reading = match taken(event_type, value).read() {
            Reading::Copy(record) => format!("copy for {}", record.department),
            Reading::Probe(record) => format!("probe of {}", record.account),
            Reading::Other => "other".to_owned(),
            Reading::Unreadable(reason) => reason,
        };
        assert_eq!(reading, expected, "{event_type:?}");
    }

    #[test]
    fn only_routed_texts_are_archived_and_nothing_unknown_is_passed_by() {
        check(Some("sms-router.message.received.v1"), RECORD, "copy for highways");
        check(Some("council.message.received.v1"), RECORD, "copy for highways");
        check(Some("sms-router.message.addendum.v1"), RECORD, "copy for highways");
        check(None, RECORD, "copy for highways");
        let next = RECORD
            .replace(r#"{"kind":"default"}"#, r#"{"kind":"phrase","phrase":["ice"]},"consent":"pause","language":"cy""#)
            .replace("\"routes_version\"", "\"flags\":[\"translated\"],\"routes_version\"");
        assert!(next.contains("pause") && next.contains("translated"));
        check(Some("sms-router.message.received.v1"), &next, "copy for highways");
        check(Some("council.probe.v1"), RECORD, "probe of demo");
        check(Some("sms-router.probe.v1"), "{}", "the value is not a record: line 1 column 2");
        check(Some("sms-router.consent.v1"), "{}", "other");
        check(Some("sms-router.message.received.v2"), RECORD, "the text's version is newer than this build");
        let newer = RECORD.replace("\"schema_version\":1", "\"schema_version\":2");
        check(None, &newer, "the record's schema version 2 is newer than this build");
        check(None, "", "the value is not a record: line 1 column 0");
        check(Some("sms-router.message.received.v1"), "Snow", "the value is not a record: line 1 column 1");
    }

    #[test]
    fn dead_letters_say_where_and_why_and_have_the_same_id_each_time() {
        let key = SenderKey::new(b"a key of the tests").expect("long enough");
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().expect("a time");
        let first = taken(None, "Snow").dead_letter("no record", true, &key, now);
        let again = taken(None, "Snow").dead_letter("no record", false, &key, now);
        assert_eq!(first.id, again.id);
        assert_eq!(first.traceparent, taken(None, "Snow").traceparent, "the trace goes on");
        assert_ne!(first.id, taken(None, "Ice").dead_letter("no record", true, &key, now).id);
        let record: DeadLetterRecord = serde_json::from_slice(&first.value).expect("a dead letter");
        assert_eq!(record.detail, "topic sms.highways partition 2 offset 7: no record; 4 bytes");
        assert_eq!((record.body.as_str(), record.account.as_str()), ("U25vdw==", "demo"));
        let record: DeadLetterRecord = serde_json::from_slice(&again.value).expect("a dead letter");
        assert_eq!(record.body.as_str(), "");
    }
}
