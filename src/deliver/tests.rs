//! What the tests of this room share: letters, and settings.

use bytes::Bytes;

use super::{Email, Letter};
use crate::message::{EventId, Record};

/// A text of that sender as a record says it; the id is made of both.
pub(super) fn letter(from: &str, text: &str) -> Letter {
    letter_of(serde_json::json!({
        "schema_version": 1, "id": EventId::new_v5(&EventId::nil(), format!("{from}/{text}").as_bytes()),
        "account": "demo", "carrier": "generic", "from": from, "from_raw": from, "to": "86555", "to_raw": "86555",
        "text": text, "department": "highways", "rule": {"kind": "default"}, "routes_version": "1",
        "received_at": "2026-11-21T10:00:00.250Z",
    }))
}

pub(super) fn letter_of(record: serde_json::Value) -> Letter {
    let value = serde_json::to_vec(&record).expect("JSON");
    let record = Record::from_json(&value).expect("a record");
    Letter {
        id: record.id,
        account: record.account.clone(),
        event_type: "sms-router.message.received.v1".to_owned(),
        source: "https://sms.example.gov.uk/accounts/demo".to_owned(),
        subject: "86555".to_owned(),
        time: record.received_at,
        dataschema: Some("https://sms.example.gov.uk/schemas/message.received.v1.json".to_owned()),
        content_type: "application/json".to_owned(),
        traceparent: None,
        record,
        value: Bytes::from(value),
    }
}

pub(super) fn email() -> Email {
    let to = vec!["highways@example.gov.uk".parse().expect("an address")];
    Email { to, reply_to: None, digest: None, hourly_max: 600 }
}

#[test]
fn hosts_are_taken_out_of_public_urls() {
    for (origin, host) in [
        ("https://sms.example.gov.uk", "sms.example.gov.uk"),
        ("http://127.0.0.1:8080", "127.0.0.1"),
        ("https://[2001:db8::1]:8443", "2001:db8::1"),
        ("https://localhost:8080", "localhost"),
    ] {
        assert_eq!(super::host_of(origin), host, "{origin}");
    }
}
