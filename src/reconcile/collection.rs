//! What log and journal say of a window, gathered from either profile.
//!
//! Comes in: events as they are found. Goes out: marks in the ledger, numbers, pieces.
//! Always true: an event counts to the window it was received in, wherever it is found; what it says of
//! another event makes that one expected.

use std::collections::{BTreeSet, HashMap};

use jiff::SignedDuration;

use super::Judgement;
use super::Window;
use super::findings::{Findings, Kind, Sums};
use super::glance::{Glance, Piece};
use super::ledger::{COPIED, DEAD, DUE, EXPECTED, LOGGED, Ledger, NAMED, PROBE, TEXT, TooMany, WAITING};
use super::letters::UNREADABLE;
use super::probes::Numbers;
use crate::message::{DepartmentName, EventId, EventKind, Record, Timestamp};

/// After this time a piece has long been given up waiting for the others.
const PIECES_PATIENCE: SignedDuration = SignedDuration::from_hours(1);
/// A copy so near its end may be gone any moment.
const END_RESERVE: SignedDuration = SignedDuration::from_mins(10);

/// One event as it was found.
pub(super) struct Seen<'a> {
    pub id: EventId,
    pub kind: EventKind,
    pub received_at: Timestamp,
    /// `None` when its words are overwritten.
    pub value: Option<Glance<'a>>,
}

pub(super) struct Collection {
    pub window: Window,
    pub now: Timestamp,
    pub ledger: Ledger,
    pub findings: Findings,
    pub notes: Vec<String>,
    /// Names under which the archive keeps what was found.
    pub departments: BTreeSet<String>,
    dead_letters: u64,
    /// Those that stand for no text with an id.
    nameless_letters: u64,
    numbers: Numbers,
    pieces: Pieces,
    /// Whether copies are kept apart from the log.
    archives: bool,
}

impl Collection {
    pub(super) fn new(window: Window, now: Timestamp, ids_max: usize, archives: bool) -> Self {
        Self {
            window,
            now,
            ledger: Ledger::new(ids_max),
            findings: Findings::default(),
            notes: Vec::new(),
            departments: BTreeSet::new(),
            dead_letters: 0,
            nameless_letters: 0,
            numbers: Numbers::new(ids_max),
            pieces: Pieces { taken: Vec::new(), keys: HashMap::new(), max: ids_max },
            archives,
        }
    }

    /// `place` is `LOGGED` or `WAITING`; `due`: whether the archive has come past it. True when it is of
    /// the window and belongs in the archive.
    pub(super) fn take(&mut self, seen: &Seen<'_>, place: u16, due: bool) -> Result<bool, TooMany> {
        let is_of_window = self.window.contains(seen.received_at);
        let due = if due { DUE } else { 0 };
        match seen.kind {
            EventKind::Message | EventKind::Addendum if is_of_window => {
                let text = self.take_copy(seen, place)?;
                self.ledger.mark(text, TEXT | place | due)?;
                self.expect_of_text(text, seen)?;
                return Ok(true);
            }
            EventKind::Consent if is_of_window => {
                self.ledger.mark(seen.id, place)?;
                if let Some(text) = seen.value.as_ref().and_then(|value| value.relates_to) {
                    self.ledger.mark(text, EXPECTED)?;
                }
            }
            EventKind::DeadLetter if is_of_window => self.take_letter(seen)?,
            EventKind::Part if is_of_window => self.pieces.take(seen)?,
            EventKind::Joined => self.take_marker(seen)?,
            EventKind::Probe => return self.take_probe(seen, place, due),
            // A copy of another hour still shows that the text is not lost.
            _ => {
                self.ledger.mark_known(seen.id, place);
                if let Some(text) = seen.value.as_ref().and_then(|value| value.copy_of) {
                    self.ledger.mark_known(text, place);
                }
            }
        }
        Ok(false)
    }

    /// The id of the text. Where several departments get it, each should have what one of them has.
    fn take_copy(&mut self, seen: &Seen<'_>, place: u16) -> Result<EventId, TooMany> {
        let copy = seen.value.as_ref().and_then(|value| Some((value.copy_of?, value)));
        let Some((text, value)) = copy else { return Ok(seen.id) };
        self.ledger.mark(seen.id, place)?;
        for department in &value.departments {
            self.ledger.expect_copy(Record::copy_id(text, department), text)?;
        }
        Ok(text)
    }

    fn expect_of_text(&mut self, text: EventId, seen: &Seen<'_>) -> Result<(), TooMany> {
        let Some(value) = &seen.value else { return Ok(()) };
        if value.consent.is_some() {
            self.ledger.mark(EventId::new_v5(&text, b"consent"), EXPECTED)?;
        }
        let several = value.departments.iter().map(DepartmentName::as_str);
        for department in value.department.as_deref().into_iter().chain(several) {
            if !self.departments.contains(department) {
                self.departments.insert(department.to_owned());
            }
        }
        Ok(())
    }

    /// A text that is in dead-letter, called back or not, or a request that nobody could read.
    fn take_letter(&mut self, seen: &Seen<'_>) -> Result<(), TooMany> {
        let value = seen.value.as_ref();
        if value.is_some_and(|letter| letter.reason.as_deref() == Some(UNREADABLE)) {
            return Ok(());
        }
        self.dead_letters += 1;
        match value.and_then(|letter| letter.relates_to) {
            Some(text) => self.ledger.mark(text, TEXT | DEAD),
            None => {
                self.nameless_letters += 1;
                Ok(())
            }
        }
    }

    fn take_marker(&mut self, seen: &Seen<'_>) -> Result<(), TooMany> {
        let Some(value) = &seen.value else { return Ok(()) };
        // Pieces that a marker only sends on their way are named again once their text is out.
        if !matches!(value.marker.as_deref(), Some("sent" | "repeated")) {
            return Ok(());
        }
        value.pieces.iter().for_each(|piece| self.pieces.name(piece));
        // Without a department its text is in dead-letter.
        let is_of_window = self.window.contains(value.received_at.unwrap_or(seen.received_at));
        match value.id {
            Some(text) if is_of_window && value.department.is_some() => self.ledger.mark(text, EXPECTED | TEXT),
            _ => Ok(()),
        }
    }

    fn take_probe(&mut self, seen: &Seen<'_>, place: u16, due: u16) -> Result<bool, TooMany> {
        if let Some(id) = seen.value.as_ref().and_then(|value| value.carrier_message_id.as_deref()) {
            self.numbers.add(id, seen.received_at)?;
        }
        if !self.window.contains(seen.received_at) {
            return Ok(false);
        }
        let due = if self.probes_live() { due } else { 0 };
        self.ledger.mark(seen.id, PROBE | place | due)?;
        Ok(self.probes_live())
    }

    /// Whether the archive still has all synthetic texts of the window.
    pub(super) fn probes_live(&self) -> bool {
        self.archives && EventKind::Probe.expires_at(self.window.since) > self.now + END_RESERVE
    }

    /// Whether there is an archive beside the log.
    pub(super) fn archives(&self) -> bool {
        self.archives
    }

    /// How many pieces wait to be joined and may still be.
    pub(super) fn pieces_waiting(&self) -> usize {
        self.pieces.unnamed().filter(|piece| !is_overdue(piece, self.now)).count()
    }

    /// Everything is gathered: what differs.
    pub(super) fn conclude(mut self) -> Judgement {
        for piece in self.pieces.unnamed().filter(|piece| is_overdue(piece, self.now)) {
            self.findings.add(Kind::Unjoined, Some(piece.id), "a piece that no text was made of");
        }
        self.numbers.gaps(self.window, &mut self.findings);
        self.ledger.settle_copies();
        self.ledger.compare(&mut self.findings);
        let text = |marks: u16, any: u16| marks & TEXT != 0 && marks & any != 0;
        let count = |any: u16| self.ledger.count(|marks| text(marks, any));
        let sums = Sums {
            accepted: count(LOGGED | WAITING | EXPECTED | DEAD) + self.nameless_letters,
            published: count(LOGGED),
            waiting: count(WAITING),
            dead_letters: self.dead_letters,
            archived: self.ledger.count(|marks| text(marks, COPIED | NAMED) && marks & DEAD == 0),
            pieces: self.pieces.taken.len() as u64,
            probes: self.ledger.count(|marks| marks & PROBE != 0),
        };
        Judgement { sums, counts: self.findings.counts, differences: self.findings.named, notes: self.notes }
    }
}

/// A piece of a long text.
struct Taken {
    id: EventId,
    fingerprint: Option<EventId>,
    received_at: Timestamp,
}

fn is_overdue(piece: &Taken, now: Timestamp) -> bool {
    now >= piece.received_at + PIECES_PATIENCE
}

struct Pieces {
    taken: Vec<Taken>,
    /// Ids and fingerprints of those taken, and whether a marker has named them.
    keys: HashMap<EventId, bool>,
    max: usize,
}

impl Pieces {
    fn take(&mut self, seen: &Seen<'_>) -> Result<(), TooMany> {
        if self.taken.len() >= self.max {
            return Err(TooMany(self.max));
        }
        let fingerprint = seen.value.as_ref().and_then(|value| value.fingerprint);
        self.keys.entry(seen.id).or_default();
        if let Some(fingerprint) = fingerprint {
            self.keys.entry(fingerprint).or_default();
        }
        self.taken.push(Taken { id: seen.id, fingerprint, received_at: seen.received_at });
        Ok(())
    }

    /// A marker stands behind its pieces wherever they are kept, so they have been taken.
    fn name(&mut self, piece: &Piece) {
        let keys = match piece {
            Piece::Whole { id, fingerprint } => [Some(id), Some(fingerprint)],
            Piece::Id(id) => [Some(id), None],
        };
        for key in keys.into_iter().flatten() {
            if let Some(named) = self.keys.get_mut(key) {
                *named = true;
            }
        }
    }

    fn unnamed(&self) -> impl Iterator<Item = &Taken> {
        let is_named = |key: &EventId| self.keys.get(key).copied().unwrap_or(false);
        // A twin of a piece that was named is in the same text.
        self.taken.iter().filter(move |piece| !is_named(&piece.id) && !piece.fingerprint.as_ref().is_some_and(is_named))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-22T12:30:00Z";

    fn id(number: u128) -> EventId {
        EventId::from_u128(number)
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time of the test")
    }

    /// The hour from ten to eleven, with events: id, kind, time of receipt, value.
    fn gathered(events: &[(u128, EventKind, &str, &str)]) -> Collection {
        let window = Window::hour_of(at("2026-11-22T10:00:00Z"));
        let mut collection = Collection::new(window, at(NOW), 1_000, true);
        for (number, kind, time, value) in events {
            let received_at = at(&format!("2026-11-22T{time}:00Z"));
            let seen = Seen { id: id(*number), kind: *kind, received_at, value: Glance::at(value.as_bytes()) };
            collection.take(&seen, LOGGED, false).expect("room");
        }
        collection
    }

    fn check(events: &[(u128, EventKind, &str, &str)], expected: &[(Kind, u128)]) {
        let judgement = gathered(events).conclude();
        let mut found: Vec<_> =
            judgement.differences.iter().map(|one| (one.kind.label(), one.id.expect("an id"))).collect();
        found.sort();
        let mut expected: Vec<_> = expected.iter().map(|(kind, number)| (kind.label(), id(*number))).collect();
        expected.sort();
        assert_eq!(found, expected, "{events:?}");
    }

    fn piece(fingerprint: u128) -> String {
        format!(r#"{{"fingerprint":"{}"}}"#, id(fingerprint).simple())
    }

    fn sent(text: u128, rest: &str, pieces: &[(u128, u128)]) -> String {
        let piece = |(one, fingerprint): &(u128, u128)| {
            format!(r#"{{"id":"{}","number":1,"fingerprint":"{}"}}"#, id(*one), id(*fingerprint).simple())
        };
        let pieces = pieces.iter().map(piece).collect::<Vec<_>>().join(",");
        format!(r#"{{"marker":"sent","id":"{}",{rest}"pieces":[{pieces}]}}"#, id(text))
    }

    #[test]
    fn a_wish_and_its_text_expect_one_another() {
        use EventKind::{Consent, Message};
        let wish = EventId::new_v5(&id(1), b"consent").as_u128();
        let of_text = format!(r#"{{"relates_to":"{}"}}"#, id(1));
        check(&[(1, Message, "10:00", r#"{"consent":"stop"}"#), (wish, Consent, "10:00", &of_text)], &[]);
        check(&[(1, Message, "10:00", r#"{"consent":"stop"}"#)], &[(Kind::Lost, wish)]);
        check(&[(wish, Consent, "10:00", &of_text)], &[(Kind::Lost, 1)]);
        // A copy of it in another hour is enough, and what is of another hour expects nothing here.
        check(&[(1, Message, "10:59", r#"{"consent":"stop"}"#), (wish, Consent, "11:00", &of_text)], &[]);
        check(&[(1, Message, "11:00", r#"{"consent":"stop"}"#)], &[]);
    }

    /// What one of two departments got of text 1, which is also a wish.
    fn copy() -> String {
        format!(
            r#"{{"copy_of":"{}","relates_to":"{}","departments":["highways","parking"],"consent":"stop"}}"#,
            id(1),
            id(1)
        )
    }

    fn copy_id(department: &str) -> u128 {
        let department = crate::message::DepartmentName::parse(department).expect("a name");
        Record::copy_id(id(1), &department).as_u128()
    }

    #[test]
    fn each_of_several_departments_must_have_what_one_of_them_has() {
        use EventKind::{Addendum, Consent, DeadLetter, Message};
        let wish = EventId::new_v5(&id(1), b"consent").as_u128();
        let (highways, parking, copy) = (copy_id("highways"), copy_id("parking"), copy());
        let of_text = format!(r#"{{"relates_to":"{}"}}"#, id(1));
        let rest = (wish, Consent, "10:00", of_text.as_str());
        check(&[(highways, Message, "10:00", &copy), (parking, Message, "10:00", &copy), rest], &[]);
        check(&[(parking, Addendum, "10:00", &copy), (highways, Addendum, "10:00", &copy), rest], &[]);
        check(&[(highways, Message, "10:00", &copy), rest], &[(Kind::Lost, parking)]);
        check(&[(parking, Message, "10:00", &copy), rest], &[(Kind::Lost, highways)]);
        check(&[(highways, Message, "10:00", &copy)], &[(Kind::Lost, parking), (Kind::Lost, wish)]);
        check(&[rest], &[(Kind::Lost, 1)]);
        // Of a text that one topic refused for good, all of it is in dead-letter; or only what that topic refused.
        check(&[(highways, Message, "10:00", &copy), rest, (8, DeadLetter, "10:00", &of_text)], &[]);
        let of_copy = format!(r#"{{"relates_to":"{}"}}"#, id(parking));
        check(&[(highways, Message, "10:00", &copy), rest, (8, DeadLetter, "10:00", &of_copy)], &[]);
        check(&[(highways, Message, "11:00", &copy)], &[]);
    }

    #[test]
    fn a_text_of_several_departments_is_one_text_wherever_its_records_are() {
        let copy = copy();
        let mut collection = gathered(&[(copy_id("highways"), EventKind::Message, "10:00", &copy)]);
        let value = Glance::at(copy.as_bytes());
        let seen = Seen {
            id: id(copy_id("parking")),
            kind: EventKind::Message,
            received_at: at("2026-11-22T10:00:00Z"),
            value,
        };
        collection.take(&seen, WAITING, false).expect("room");
        collection.ledger.mark(id(1), TEXT | COPIED | NAMED).expect("room");
        assert_eq!(collection.departments.iter().collect::<Vec<_>>(), ["highways", "parking"]);
        let sums = collection.conclude().sums;
        assert_eq!((sums.accepted, sums.published, sums.waiting, sums.archived), (1, 1, 1, 1));
    }

    #[test]
    fn a_piece_is_in_a_text_that_is_there() {
        use EventKind::{Joined, Message, Part};
        let (one, two) = (piece(101), piece(102));
        let department = r#""department":"highways","#;
        let marker = sent(9, department, &[(1, 101), (2, 102)]);
        check(
            &[
                (1, Part, "10:00", &one),
                (2, Part, "10:01", &two),
                (7, Joined, "10:00", &marker),
                (9, Message, "10:00", "{}"),
            ],
            &[],
        );
        check(&[(1, Part, "10:00", &one), (2, Part, "10:01", &two), (7, Joined, "10:00", &marker)], &[(Kind::Lost, 9)]);
        // The marker has the time of the first piece, which may be of the hour before.
        check(&[(2, Part, "10:01", &two), (7, Joined, "09:59", &marker)], &[]);
        // A twin has the same words under another id.
        check(&[(3, Part, "10:02", &two), (7, Joined, "09:59", &marker)], &[]);
        check(
            &[(1, Part, "10:00", &one), (4, Part, "10:03", &piece(104))],
            &[(Kind::Unjoined, 1), (Kind::Unjoined, 4)],
        );
        // Its text went to dead-letter; one that is only on its way has no marker that counts.
        check(&[(1, Part, "10:00", &one), (7, Joined, "10:00", &sent(9, "", &[(1, 101)]))], &[]);
        let evicted = format!(r#"{{"marker":"evict","pieces":["{}"]}}"#, id(1));
        check(&[(1, Part, "10:00", &one), (7, Joined, "10:00", &evicted)], &[(Kind::Unjoined, 1)]);
    }

    #[test]
    fn a_piece_that_may_still_be_joined_is_waited_for() {
        let mut collection = gathered(&[(1, EventKind::Part, "10:00", "{}")]);
        assert_eq!(collection.pieces_waiting(), 0, "after two hours and a half nobody waits");
        collection.now = at("2026-11-22T10:59:59Z");
        assert_eq!(collection.pieces_waiting(), 1);
        assert!(collection.conclude().all_is_well());
    }

    #[test]
    fn texts_are_summed_by_id_and_others_apart() {
        use EventKind::{Consent, DeadLetter, Message, Part, Probe};
        let mut collection = gathered(&[
            (1, Message, "10:00", "{}"),
            (1, Message, "10:05", "{}"),
            (2, EventKind::Addendum, "10:10", "{}"),
            (3, Consent, "10:10", "{}"),
            (4, DeadLetter, "10:20", "{}"),
            (9, DeadLetter, "10:20", r#"{"reason":"unreadable_record"}"#),
            // Kept first, and called back since.
            (10, DeadLetter, "10:00", r#"{"relates_to":"00000000-0000-0000-0000-000000000001"}"#),
            (5, Part, "10:30", "{}"),
            (6, Probe, "10:40", r#"{"carrier_message_id":"a.1"}"#),
            (7, Message, "11:00", "{}"),
        ]);
        let seen = Seen { id: id(8), kind: Message, received_at: at("2026-11-22T10:50:00Z"), value: None };
        collection.take(&seen, WAITING, false).expect("room");
        let sums = collection.conclude().sums;
        let expected =
            Sums { accepted: 4, published: 2, waiting: 1, dead_letters: 2, archived: 0, pieces: 1, probes: 1 };
        assert_eq!(sums, expected);
    }
}
