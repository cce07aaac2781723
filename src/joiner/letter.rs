//! An entry of the stream that this build cannot read, as a dead letter.
//!
//! Its id is a keyed hash of the content, so that reading it again adds nothing.

use crate::intake::Reason;
use crate::message::{AccountName, DeadLetterRecord, Event, EventId, SenderKey, Timestamp, topics};

/// `reason` says what is wrong without any of the content.
pub(super) fn of(value: &[u8], reason: &str, key: &SenderKey, now: Timestamp) -> Event {
    let hash = key.digest(&[b"unreadable piece", value]);
    let (id, reason_word) = (EventId::new_v8(hash), Reason::UnreadableRecord.label());
    let detail = format!("{}: {reason}; {} bytes", topics::PARTS, value.len());
    let record = DeadLetterRecord {
        content_type: Some("application/json".to_owned()),
        ..DeadLetterRecord::new(id, account(value), reason_word, detail, value, now)
    };
    record.of_topic(topics::PARTS, hash)
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
