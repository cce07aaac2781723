//! An entry of the stream that this build cannot read, as a dead letter.
//!
//! Its id is a keyed hash of the content, so that reading it again adds nothing.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::message::{
    AccountName, DeadLetterRecord, Destination, Event, EventId, EventKind, SCHEMA_VERSION, SenderKey, Text, Timestamp,
    topics,
};

/// `reason` says what is wrong without any of the content.
pub(super) fn of(value: &[u8], reason: &str, key: &SenderKey, now: Timestamp) -> Event {
    let hash = key.digest(&[b"unreadable piece", value]);
    let id = EventId::new_v8(hash);
    let account = account(value);
    let record = DeadLetterRecord {
        schema_version: SCHEMA_VERSION,
        id,
        account: account.clone(),
        reason: "unreadable_record".into(),
        detail: format!("{}: {reason}; {} bytes", topics::PARTS, value.len()),
        content_type: Some("application/json".to_owned()),
        body: Text::from(STANDARD.encode(value)),
        method: None,
        query: None,
        flags: Vec::new(),
        relates_to: None,
        received_at: now,
    };
    Event {
        id,
        copy_of: None,
        kind: EventKind::DeadLetter,
        destination: Destination::DeadLetter,
        account,
        subject: topics::PARTS.to_owned(),
        received_at: now,
        key: hash,
        fingerprint: hash,
        traceparent: None,
        value: serde_json::to_vec(&record).expect("a record of strings and times becomes JSON"),
    }
}

/// The account that the entry names, else `unknown`.
fn account(value: &[u8]) -> AccountName {
    let entry: Option<serde_json::Value> = serde_json::from_slice(value).ok();
    let named = entry.as_ref().and_then(|entry| AccountName::parse(entry.get("account")?.as_str()?).ok());
    named.unwrap_or_else(|| AccountName::parse("unknown").expect("the word is a name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_entry_is_kept_under_one_id_with_its_account() {
        let key = SenderKey::new(b"a key of the tests").expect("long enough");
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().expect("a time");
        for (value, account) in [(r#"{"account":"demo","text":"Snow"}"#, "demo"), ("Snow", "unknown")] {
            let event = of(value.as_bytes(), "line 1 column 1", &key, now);
            assert_eq!((event.id, event.account.as_str()), (of(value.as_bytes(), "", &key, now).id, account));
            let record: DeadLetterRecord = serde_json::from_slice(&event.value).expect("a dead letter");
            assert!(record.detail.starts_with("sms-router.parts: line 1") && !record.detail.contains("Snow"));
        }
    }
}
