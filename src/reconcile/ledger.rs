//! What is known of each id, as marks: who has seen it.
//!
//! Always true: as many ids as were allowed and no more; comparing reads nothing but the marks.

use std::collections::HashMap;

use super::findings::{Findings, Kind};
use crate::message::EventId;

/// A text, or its addendum, of a resident.
pub(super) const TEXT: u16 = 1;
/// A synthetic text.
pub(super) const PROBE: u16 = 1 << 1;
/// The log has it.
pub(super) const LOGGED: u16 = 1 << 2;
/// It waits in the journal.
pub(super) const WAITING: u16 = 1 << 3;
/// Something says that it was taken in.
pub(super) const EXPECTED: u16 = 1 << 4;
/// It is in dead-letter instead.
pub(super) const DEAD: u16 = 1 << 5;
/// It belongs in the archive, and the archive has come past it.
pub(super) const DUE: u16 = 1 << 6;
/// The archive has it where departments and days are looked up.
pub(super) const COPIED: u16 = 1 << 7;
/// The archive has it where ids are looked up.
pub(super) const NAMED: u16 = 1 << 8;

/// More ids than may be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMany(pub usize);

pub(super) struct Ledger {
    marks: HashMap<EventId, u16>,
    /// Of what each of several departments should have got: the text. Each is among the marks too.
    copies: HashMap<EventId, EventId>,
    max: usize,
}

impl Ledger {
    pub(super) fn new(max: usize) -> Self {
        Self { marks: HashMap::new(), copies: HashMap::new(), max }
    }

    pub(super) fn mark(&mut self, id: EventId, marks: u16) -> Result<(), TooMany> {
        if self.marks.len() >= self.max && !self.marks.contains_key(&id) {
            return Err(TooMany(self.max));
        }
        *self.marks.entry(id).or_default() |= marks;
        Ok(())
    }

    /// What a department should have got of a text.
    pub(super) fn expect_copy(&mut self, copy: EventId, text: EventId) -> Result<(), TooMany> {
        self.mark(copy, EXPECTED)?;
        self.copies.insert(copy, text);
        Ok(())
    }

    /// A text in dead-letter is there for all its departments.
    pub(super) fn settle_copies(&mut self) {
        for (copy, text) in &self.copies {
            if self.marks.get(text).is_some_and(|marks| marks & DEAD != 0)
                && let Some(marks) = self.marks.get_mut(copy)
            {
                *marks |= DEAD;
            }
        }
    }

    /// Only what is on the page already.
    pub(super) fn mark_known(&mut self, id: EventId, marks: u16) {
        if let Some(known) = self.marks.get_mut(&id) {
            *known |= marks;
        }
    }

    /// Ids with any of these marks.
    pub(super) fn with(&self, marks: u16) -> impl Iterator<Item = (EventId, u16)> {
        self.marks.iter().map(|(id, has)| (*id, *has)).filter(move |(_, has)| has & marks != 0)
    }

    pub(super) fn count(&self, chosen: impl Fn(u16) -> bool) -> u64 {
        self.marks.values().filter(|marks| chosen(**marks)).count() as u64
    }

    /// Ids that the log would have to have and has not: each may be on its way.
    pub(super) fn unaccounted(&self) -> Vec<EventId> {
        let is_odd = |marks: u16| marks & (EXPECTED | COPIED | NAMED) != 0 && marks & (LOGGED | WAITING | DEAD) == 0;
        self.marks.iter().filter(|(_, marks)| is_odd(**marks)).map(|(id, _)| *id).collect()
    }

    pub(super) fn compare(&self, findings: &mut Findings) {
        for (id, marks) in &self.marks {
            let Some((kind, detail)) = difference(*marks) else { continue };
            findings.add(if marks & PROBE == 0 { kind } else { Kind::Probe }, Some(*id), detail);
        }
    }
}

/// In which way an id differs, if it does.
fn difference(marks: u16) -> Option<(Kind, &'static str)> {
    let has = |any: u16| marks & any != 0;
    if !has(LOGGED | WAITING | DEAD) {
        return match (has(COPIED | NAMED), has(EXPECTED)) {
            (true, _) => Some((Kind::Unpublished, "the archive has it, the log has not")),
            (false, true) => Some((Kind::Lost, "it was taken in, and is in no log, journal or dead-letter")),
            (false, false) => None,
        };
    }
    match (has(COPIED), has(NAMED)) {
        (true, false) => Some((Kind::HalfArchived, "the archive has it by department and not by id")),
        (false, true) => Some((Kind::HalfArchived, "the archive has it by id and not by department")),
        (false, false) if has(DUE) && !has(DEAD) => Some((Kind::Unarchived, "published, and not in the archive")),
        (true, true) | (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(marks: u16, expected: Option<Kind>) {
        assert_eq!(difference(marks).map(|(kind, _)| kind), expected, "{marks:b}");
    }

    #[test]
    fn what_differs_follows_from_who_has_seen_the_id() {
        let archived = COPIED | NAMED;
        check(TEXT | LOGGED | DUE | archived, None);
        check(TEXT | LOGGED | DUE, Some(Kind::Unarchived));
        check(TEXT | LOGGED | DUE | DEAD, None);
        check(TEXT | LOGGED, None);
        check(TEXT | LOGGED | DUE | COPIED, Some(Kind::HalfArchived));
        check(TEXT | LOGGED | DUE | NAMED, Some(Kind::HalfArchived));
        check(TEXT | WAITING, None);
        check(TEXT | EXPECTED, Some(Kind::Lost));
        check(TEXT | EXPECTED | WAITING, None);
        check(TEXT | EXPECTED | DEAD, None);
        check(TEXT | EXPECTED | archived, Some(Kind::Unpublished));
        check(archived, Some(Kind::Unpublished));
        // Published and copied, and waiting still: a crash before the journal was settled.
        check(TEXT | LOGGED | WAITING | DUE | archived, None);
        check(0, None);
    }

    #[test]
    fn no_more_ids_than_allowed_and_known_ones_always() {
        let mut ledger = Ledger::new(1);
        let (one, two) = (EventId::from_u128(1), EventId::from_u128(2));
        assert_eq!(ledger.mark(one, LOGGED), Ok(()));
        assert_eq!(ledger.mark(two, LOGGED), Err(TooMany(1)));
        assert_eq!(ledger.mark(one, DUE), Ok(()));
        ledger.mark_known(two, LOGGED);
        assert_eq!(ledger.with(DUE).collect::<Vec<_>>(), [(one, LOGGED | DUE)]);
    }
}
