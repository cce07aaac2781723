//! The few fields of a record that tell what it is and what it speaks of; everything else is passed over.
//!
//! Always true: words and numbers of residents are never read into memory of their own.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::message::{DepartmentName, EventId, Timestamp, iso};

/// A value as far as it is needed here. Which fields there are depends on the kind of event.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Glance<'a> {
    /// Of a text its own; of a marker that of the text sent.
    pub id: Option<EventId>,
    #[serde(with = "iso::option")]
    pub received_at: Option<Timestamp>,
    #[serde(borrow)]
    pub account: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub department: Option<Cow<'a, str>>,
    pub consent: Option<IgnoredAny>,
    pub relates_to: Option<EventId>,
    /// Of what one of several departments got: the text, and all of them.
    pub copy_of: Option<EventId>,
    pub departments: Vec<DepartmentName>,
    #[serde(borrow)]
    pub carrier_message_id: Option<Cow<'a, str>>,
    /// Of a piece: what makes another copy of it the same.
    pub fingerprint: Option<EventId>,
    /// Of a marker: what became of pieces.
    #[serde(borrow)]
    pub marker: Option<Cow<'a, str>>,
    pub pieces: Vec<Piece>,
    /// Of a dead letter.
    #[serde(borrow)]
    pub reason: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub detail: Option<Cow<'a, str>>,
    #[serde(borrow)]
    pub body: Option<Cow<'a, str>>,
}

/// A piece that a marker names.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Piece {
    Whole { id: EventId, fingerprint: EventId },
    Id(EventId),
}

impl<'a> Glance<'a> {
    /// `None` for what is no record.
    pub(super) fn at(value: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_markers_and_dead_letters_are_told_by_a_few_fields() {
        let text = br#"{"id":"0192f0c1-2345-7abc-8def-0123456789ab","received_at":"2026-11-21T10:00:00.000Z",
            "department":"high\u0077ays","text":"\ud83d\ude00","consent":"stop","media":[{"url":"x"}]}"#;
        let text = Glance::at(text).expect("a record");
        assert_eq!((text.department.as_deref(), text.consent.is_some()), (Some("highways"), true));
        let marker = br#"{"marker":"sent","id":"0192f0c1-2345-7abc-8def-0123456789ab","pieces":
            [{"id":"0192f0c1-2345-7abc-8def-0123456789ac","number":1,"fingerprint":"000102030405060708090a0b0c0d0e0f"}]}"#;
        let marker = Glance::at(marker).expect("a marker");
        let expected = EventId::from_bytes(std::array::from_fn(|index| u8::try_from(index).expect("few")));
        assert!(matches!(marker.pieces[..], [Piece::Whole { fingerprint, .. }] if fingerprint == expected));
        let evicted = br#"{"marker":"evict","pieces":["0192f0c1-2345-7abc-8def-0123456789ac"]}"#;
        assert!(matches!(Glance::at(evicted).expect("a marker").pieces[..], [Piece::Id(_)]));
        assert!(Glance::at(b"Snow on Main St").is_none());
    }
}
