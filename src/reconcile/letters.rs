//! Dead letters: which texts they stand for.
//!
//! Comes in: values of dead letters. Goes out: the ids of the texts in them, places of unreadable records.
//! Always true: as many as fit; beyond that a text looks lost that is not, never the other way round.

use std::collections::HashSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::glance::Glance;
use crate::message::EventId;

/// Texts and places held.
const HELD_MAX: usize = 100_000;
/// The reason of a record on its topic that the archive could not read.
pub(super) const UNREADABLE: &str = "unreadable_record";

#[derive(Default)]
pub(super) struct Letters {
    ids: HashSet<EventId>,
    places: HashSet<String>,
}

impl Letters {
    pub(super) fn read_value(&mut self, value: &[u8]) {
        if let Some(letter) = Glance::at(value) {
            self.read(&letter);
        }
    }

    pub(super) fn read(&mut self, letter: &Glance<'_>) {
        if self.ids.len() >= HELD_MAX || self.places.len() >= HELD_MAX {
            return;
        }
        self.ids.extend(letter.relates_to);
        if letter.reason.as_deref() != Some(UNREADABLE) {
            return;
        }
        if let Some((place, _)) = letter.detail.as_deref().and_then(|detail| detail.split_once(": ")) {
            self.places.insert(place.to_owned());
        }
        // A record may lack what the archive needs and still say which it is.
        let body = letter.body.as_deref().and_then(|body| STANDARD.decode(body).ok()).unwrap_or_default();
        self.ids.extend(Glance::at(&body).and_then(|record| record.id));
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = EventId> {
        self.ids.iter().copied()
    }

    pub(super) fn has(&self, place: &str) -> bool {
        self.places.contains(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(letters: &mut Letters, letter: &serde_json::Value) {
        letters.read(&Glance::at(letter.to_string().as_bytes()).expect("a letter"));
    }

    #[test]
    fn a_letter_stands_for_a_text_a_record_or_a_place() {
        let mut letters = Letters::default();
        let (text, record) = (EventId::from_u128(7), EventId::from_u128(8));
        let body = STANDARD.encode(format!("{{\"id\":\"{record}\"}}"));
        read(&mut letters, &serde_json::json!({"reason": "too_large", "relates_to": text}));
        let detail = "topic sms.a partition 0 offset 3: no record; 4 bytes";
        read(&mut letters, &serde_json::json!({"reason": UNREADABLE, "detail": detail, "body": "U25vdw=="}));
        read(&mut letters, &serde_json::json!({"reason": UNREADABLE, "detail": "", "body": body}));
        read(&mut letters, &serde_json::json!({"reason": "malformed", "detail": "type missing: 1", "body": body}));
        assert_eq!(letters.ids().collect::<HashSet<_>>(), [text, record].into());
        assert!(letters.has("topic sms.a partition 0 offset 3") && !letters.has("type missing"));
    }
}
