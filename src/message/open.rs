//! Words that a later release may have more of.
//!
//! Comes in: JSON that another release may have written. Goes out: this build's own type, or what came.
//! Always true: what this build does not know is no error, and is written again as it came. What we decide
//! ourselves is never `Later`: deciding has the plain types.
//!
//! # What releases owe one another
//!
//! While instances are replaced one by one, and after a roll back, a build reads what a newer one wrote. So
//! within a major version (`schema_version`, the end of `ce_type`) fields and words may come, and:
//! - **a field** that is not known is passed over (serde's own way: nothing here may `deny_unknown_fields`,
//!   but for `Rule`, which becomes `Later` as a whole);
//! - **a word** of a list that may grow is `Open`;
//! - **what is kept or sent on is the bytes that came**, never a struct written anew: the archive's copy, the
//!   feed, `tail`, the journal, `archive get`; `Record::flagged` and `Record::rerouted` change some members and leave
//!   the others;
//! - **what is made anew** by this build, a text joined of pieces or called back from dead-letter, is a record of
//!   this build that carries the flags it was given, known or not;
//! - an event of a type that is not known is passed over, wherever events of several types lie;
//! - a marker that is not known (`parts::Marker`) is passed over: its text goes out once more under the same id, or
//!   incomplete, and is never lost;
//! - **the embedded store** counts its steps (`store`'s `MIGRATIONS`) and refuses newer data by name. A new kind of
//!   row or format of a copy is such a step too, even if no table changes: an older build could not read the rows;
//! - a newer **major** version stays an error (`RecordError::Newer`): an older build must not guess.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What this build knows, or what a later one wrote.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Open<T> {
    Known(T),
    Later(Value),
}

impl<T> Open<T> {
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(known) => Some(known),
            Self::Later(_) => None,
        }
    }

    pub fn is(&self, known: T) -> bool
    where
        T: PartialEq,
    {
        self.known() == Some(&known)
    }
}

impl<T> From<T> for Open<T> {
    fn from(known: T) -> Self {
        Self::Known(known)
    }
}

/// So that lists of either can be held against one another.
impl<T: PartialEq> PartialEq<T> for Open<T> {
    fn eq(&self, known: &T) -> bool {
        self.known() == Some(known)
    }
}

/// What a later release writes may be personal.
impl<T: fmt::Debug> fmt::Debug for Open<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(known) => known.fmt(f),
            Self::Later(_) => f.write_str("Later(…)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::message::{ConsentRecord, DeadLetterRecord, DepartmentName, EventId, Flag, Record, RecordError};

    const ID: &str = "0192f0c1-2345-7abc-8def-0123456789ab";

    /// A record as the next version may write it: fields and words that this build has never seen.
    fn next() -> Value {
        json!({
            "schema_version": 1, "id": ID, "account": "demo", "carrier": "pigeon", "from": "+447700900123",
            "from_raw": "07700 900123", "to": "86555", "to_raw": "86555", "text": "Snow \u{2744}\n",
            "department": "highways", "rule": {"kind": "phrase", "phrase": ["black", "ice"], "score": 0.25},
            "consent": "pause", "routes_version": "1", "received_at": "2026-11-21T10:00:00.000Z",
            "parts": {"received": 2, "total": 2, "lost": 0}, "media": [{"url": "https://m.example/1", "bytes": 7}],
            "flags": ["unverified", "translated"], "language": {"code": "cy", "sure": 1e-7}, "place": null,
        })
    }

    fn bytes(value: &Value) -> Vec<u8> {
        serde_json::to_vec(value).expect("JSON")
    }

    #[test]
    fn a_record_of_the_next_version_is_read_and_its_words_are_written_as_they_came() {
        let record = Record::from_json(&bytes(&next())).expect("a record");
        assert_eq!((record.text.as_str(), record.department.as_str()), ("Snow \u{2744}\n", "highways"));
        assert!(record.flags[0].is(Flag::Unverified) && record.flags[1].known().is_none());
        let written = serde_json::to_value(&record).expect("JSON");
        for member in ["rule", "consent", "flags"] {
            assert_eq!(written[member], next()[member]);
        }
        assert!(!format!("{record:?}").contains("translated"));
    }

    #[test]
    fn a_rule_of_a_known_kind_with_a_field_more_is_kept_whole() {
        let mut value = next();
        value["rule"] = json!({"kind": "word", "match": "snow", "fuzzy": true});
        let record = Record::from_json(&bytes(&value)).expect("a record");
        assert_eq!(serde_json::to_value(&record.rule).expect("JSON"), value["rule"]);
    }

    #[test]
    fn a_flag_more_changes_nothing_else() {
        let written = br#"{"big":123456789012345678901234567890,"exact":1.50, "flags":["translated"],"#;
        let value = [&written[..], &bytes(&next())[1..]].concat();
        let value = String::from_utf8(value).expect("JSON").replace(r#""flags":["unverified","translated"],"#, "");
        let flagged = Record::flagged(value.as_bytes(), Flag::Failover).expect("a record");
        let flagged_text = String::from_utf8(flagged.clone()).expect("JSON");
        assert!(flagged_text.contains(r#""big":123456789012345678901234567890"#), "{flagged_text}");
        assert!(flagged_text.contains(r#""exact":1.50"#), "{flagged_text}");
        let mut expected: Value = serde_json::from_str(&value).expect("JSON");
        expected["flags"] = json!(["translated", "failover"]);
        assert_eq!(serde_json::from_slice::<Value>(&flagged).expect("JSON"), expected);
        assert_eq!(Record::flagged(&flagged, Flag::Failover).expect("a record"), flagged, "once is enough");
        let mut plain = next();
        plain.as_object_mut().expect("an object").remove("flags");
        let flagged = Record::flagged(&bytes(&plain), Flag::Failover).expect("a record");
        plain["flags"] = json!(["failover"]);
        assert_eq!(serde_json::from_slice::<Value>(&flagged).expect("JSON"), plain);
    }

    #[test]
    fn a_moved_text_keeps_what_this_build_does_not_know() {
        let (id, to) = (EventId::from_u128(7), DepartmentName::parse("flood-team").expect("a name"));
        let mut value = next();
        value["flags"] = json!(["failover", "translated"]);
        let moved = Record::rerouted(&bytes(&value), id, &to).expect("a record");
        value["relates_to"] = json!(ID);
        value["id"] = json!(id);
        value["department"] = json!("flood-team");
        value["flags"] = json!(["translated", "rerouted"]);
        assert_eq!(serde_json::from_slice::<Value>(&moved).expect("JSON"), value);
        let on = Record::rerouted(&moved, EventId::from_u128(8), &to).expect("a record");
        let on = Record::from_json(&on).expect("a record");
        assert_eq!((on.relates_to, on.flags.len()), (Some(id), 2), "each move relates to the one before");
    }

    #[test]
    fn what_is_no_record_or_of_a_newer_major_version_is_still_refused() {
        let mut newer = next();
        newer["schema_version"] = json!(2);
        assert!(matches!(Record::from_json(&bytes(&newer)), Err(RecordError::Newer(2))));
        for member in ["id", "department", "rule", "received_at"] {
            let mut lacking = next();
            lacking.as_object_mut().expect("an object").remove(member);
            assert!(matches!(Record::from_json(&bytes(&lacking)), Err(RecordError::Malformed(_))), "{member}");
        }
    }

    #[test]
    fn wishes_and_letters_of_the_next_version_are_read_too() {
        let wish = json!({
            "schema_version": 1, "id": ID, "account": "demo", "from": "+447700900123", "to": "86555",
            "consent": "pause", "routes_version": "1", "received_at": "2026-11-21T10:00:00.000Z",
            "relates_to": ID, "flags": ["translated"],
        });
        let read: ConsentRecord = serde_json::from_value(wish.clone()).expect("a wish");
        assert_eq!(serde_json::to_value(&read).expect("JSON"), wish);
        let letter = json!({
            "schema_version": 1, "id": ID, "account": "demo", "reason": "unpronounceable", "detail": "no vowels",
            "body": "U25vdw==", "flags": ["translated"], "received_at": "2026-11-21T10:00:00.000Z", "language": "cy",
        });
        let read = DeadLetterRecord::from_json(&bytes(&letter)).expect("a letter");
        assert_eq!(serde_json::to_value(&read.flags).expect("JSON"), letter["flags"]);
    }
}
