//! What a record of a topic is: a text to archive, something else, or nothing we understand.
//!
//! Comes in: headers and value of a Kafka record. Goes out: `Reading`.
//! Always true: no reason carries any of the content.
//! Not here: what is done with it.

use std::borrow::Cow;

use crate::consume::Taken;
use crate::intake::Reason;
use crate::message::{
    AccountName, DeadLetterRecord, Event, EventId, EventKind, Record, SenderKey, Timestamp, is_traceparent,
};

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

pub(super) fn read(taken: &Taken) -> Reading {
    let event_type = taken.header("ce_type");
    let version = event_type.as_deref().and_then(EventKind::text_version);
    match (&event_type, version) {
        (Some(kind), None) if kind.ends_with(EventKind::Probe.suffix()) => match Record::from_json(&taken.value) {
            Ok(record) => Reading::Probe(Box::new(record)),
            Err(error) => Reading::Unreadable(error.to_string()),
        },
        // A record without a type was put here by hand: what it is shows in its value.
        (None, _) | (Some(_), Some("v1")) => match Record::from_json(&taken.value) {
            Ok(record) => Reading::Copy(Box::new(record)),
            Err(error) => Reading::Unreadable(error.to_string()),
        },
        // A newer text must not pass unarchived by an older build.
        (Some(_), Some(_)) => Reading::Unreadable("the text's version is newer than this build".to_owned()),
        (Some(_), None) => Reading::Other,
    }
}

/// The event for dead-letter. Its id is a keyed hash of place and content: the same each time.
pub(super) fn dead_letter(taken: &Taken, reason: &str, with_body: bool, key: &SenderKey, now: Timestamp) -> Event {
    let (topic, partition) = &taken.place;
    let place = format!("topic {topic} partition {partition} offset {}", taken.offset);
    let hash = key.digest(&[b"unreadable record", place.as_bytes(), &taken.value]);
    let (id, reason_word) = (EventId::new_v8(hash), Reason::UnreadableRecord.label());
    let (content, left_out) =
        if with_body { (&taken.value[..], "") } else { (&[][..], "; too large to be copied here") };
    let detail = format!("{place}: {reason}; {} bytes{left_out}", taken.value.len());
    let record = DeadLetterRecord {
        content_type: taken.header("content-type").map(Cow::into_owned),
        ..DeadLetterRecord::new(id, account(taken), reason_word, detail, content, now)
    };
    Event { traceparent: traceparent(taken), ..record.of_topic(topic, hash) }
}

/// The trace it belongs to, if its header names one.
pub(super) fn traceparent(taken: &Taken) -> Option<String> {
    taken.header("traceparent").filter(|value| is_traceparent(value)).map(Cow::into_owned)
}

/// The account that the source names, else `unknown`.
fn account(taken: &Taken) -> AccountName {
    let source = taken.header("ce_source");
    let named = source.as_deref().and_then(|source| source.rsplit_once("/accounts/"));
    let account = named.and_then(|(_, name)| AccountName::parse(name).ok());
    account.unwrap_or_else(|| AccountName::parse("unknown").expect("the word is a name"))
}

#[cfg(test)]
mod tests {
    use rdkafka::message::{Header, OwnedHeaders};

    use super::*;

    const RECORD: &str = r#"{"schema_version":1,"id":"0192f0c1-2345-7abc-8def-0123456789ab","account":"demo",
        "carrier":"generic","from":"+447700900123","from_raw":"+447700900123","to":"86555","to_raw":"86555",
        "text":"Snow on Main St","department":"highways","rule":{"kind":"default"},"routes_version":"1",
        "received_at":"2026-11-21T10:00:00.000Z"}"#;

    fn taken(event_type: Option<&str>, value: &str) -> Taken {
        let headers = [
            ("ce_type", event_type),
            ("ce_source", Some("https://sms.example.gov.uk/accounts/demo")),
            ("content-type", Some("application/json")),
            ("traceparent", Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
        ];
        let headers = headers.into_iter().filter_map(|(key, value)| Some(Header { key, value: Some(value?) }));
        Taken {
            place: ("sms.highways".into(), 2),
            offset: 7,
            published_ms: None,
            headers: Some(headers.fold(OwnedHeaders::new(), OwnedHeaders::insert)),
            value: value.as_bytes().to_vec(),
        }
    }

    fn check(event_type: Option<&str>, value: &str, expected: &str) {
        let reading = match read(&taken(event_type, value)) {
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
        let first = dead_letter(&taken(None, "Snow"), "no record", true, &key, now);
        let again = dead_letter(&taken(None, "Snow"), "no record", false, &key, now);
        assert_eq!(first.id, again.id);
        assert_eq!(first.traceparent, traceparent(&taken(None, "Snow")), "the trace goes on");
        assert!(first.traceparent.is_some());
        assert_ne!(first.id, dead_letter(&taken(None, "Ice"), "no record", true, &key, now).id);
        let record: DeadLetterRecord = serde_json::from_slice(&first.value).expect("a dead letter");
        assert_eq!(record.detail, "topic sms.highways partition 2 offset 7: no record; 4 bytes");
        assert_eq!((record.body.as_str(), record.account.as_str()), ("U25vdw==", "demo"));
        let record: DeadLetterRecord = serde_json::from_slice(&again.value).expect("a dead letter");
        assert_eq!(record.body.as_str(), "");
    }
}
