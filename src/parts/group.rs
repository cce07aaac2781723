//! One group: the pieces taken for one text, and what became of them. And which group a piece belongs to.
//!
//! Comes in: the groups of one join key and a piece. Goes out: a judgement; nothing is changed by it.

use std::collections::BTreeMap;

use super::joined::{Joined, Outcome};
use super::marker::{self, Marker, PieceRef};
use super::record::{JoinKey, PartRecord};
use crate::message::{AccountName, DepartmentName, EventId, Number, Several, Timestamp};

/// Twins a group remembers for each of its numbers; more of them leave no trace.
const TWINS_MAX: usize = 4;

/// One piece of a group that no marker has settled.
pub(super) struct Member<P> {
    pub at: P,
    pub piece: PieceRef,
    /// Until the text is given out.
    pub record: Option<Box<PartRecord>>,
    /// The same number and words were there before.
    pub is_twin: bool,
    /// It may belong to an earlier text that used the same reference.
    pub in_doubt: bool,
}

/// How far a group is.
pub(super) enum Phase {
    /// Takes pieces.
    Open,
    /// Waits to be given out; `evicted`: a marker has to be written first.
    Ready { outcome: Outcome, evicted: bool },
    /// Given out; its marker has not been read.
    Taken { outcome: Outcome },
    Sent {
        outcome: Outcome,
        /// The text's id.
        text: EventId,
        department: Option<DepartmentName>,
        departments: Several,
    },
}

/// A piece that came when its text was closed without it.
pub(super) struct Late<P> {
    pub at: P,
    pub piece: PieceRef,
    pub record: Option<Box<PartRecord>>,
    /// Its number and words were late before.
    pub is_twin: bool,
}

pub(super) struct Group<P> {
    pub id: EventId,
    pub key: JoinKey,
    /// Where on the stream it begins, and the entry there.
    pub first: P,
    pub first_id: EventId,
    /// The first piece's receipt.
    pub received_at: Timestamp,
    pub total: u16,
    /// When this process took the first and the last piece.
    pub seen_first: Timestamp,
    pub seen_last: Timestamp,
    pub close_asked: bool,
    pub phase: Phase,
    pub members: Vec<Member<P>>,
    pub late: Vec<Late<P>>,
    /// Pieces that a marker has settled.
    pub settled: Vec<PieceRef>,
    /// About what its records take in memory.
    pub bytes: usize,
}

/// What a piece is to the groups of its key; the number is the group's index.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// Its words are there already.
    Twin(usize),
    /// The open group lacks it.
    Joins { group: usize, in_doubt: bool },
    /// The open group has other words under its number.
    Conflicts { group: usize, in_doubt: bool },
    /// A text went out, or is going out, without it.
    Late(usize),
    /// It begins a text.
    Begins,
}

/// Which group a piece belongs to. `late_after_ms`: how long after its receipt a text may get addenda.
pub(super) fn judge<P>(groups: &[Group<P>], record: &PartRecord, late_after_ms: i64) -> Judgement {
    if let Some(group) = groups.iter().position(|group| group.knows(record.identity())) {
        return Judgement::Twin(group);
    }
    // Either way: after a clock was wrong for a while a text may seem to be of the far future, and must not
    // swallow the pieces of all that follow under its reference.
    let is_recent = |group: &Group<P>| {
        let apart = record.received_at.as_millisecond().abs_diff(group.received_at.as_millisecond());
        group.is_incomplete() && apart <= late_after_ms.unsigned_abs()
    };
    let lacks = |group: &Group<P>| is_recent(group) && !group.refs().any(|piece| piece.number == record.number);
    if let Some(open) = groups.iter().position(Group::is_open) {
        return match groups[open].members.iter().find(|member| member.piece.number == record.number) {
            Some(member) if member.piece.fingerprint == record.fingerprint => Judgement::Twin(open),
            Some(member) => Judgement::Conflicts { group: open, in_doubt: member.in_doubt },
            None => Judgement::Joins { group: open, in_doubt: groups.iter().any(lacks) },
        };
    }
    let has = |group: &Group<P>| {
        let same = |piece: &PieceRef| piece.number == record.number && piece.fingerprint == record.fingerprint;
        is_recent(group) && group.refs().any(same)
    };
    if let Some(group) = groups.iter().rposition(has) {
        return Judgement::Twin(group);
    }
    groups.iter().rposition(lacks).map_or(Judgement::Begins, Judgement::Late)
}

impl<P: Copy> Group<P> {
    /// A group begins with its first piece.
    pub(super) fn begin(at: P, record: &PartRecord, now: Timestamp) -> Self {
        Self {
            id: EventId::new_v5(&record.identity(), b"joined"),
            key: record.key,
            first: at,
            first_id: record.id,
            received_at: record.received_at,
            total: record.total,
            seen_first: now,
            seen_last: now,
            close_asked: false,
            phase: Phase::Open,
            members: Vec::new(),
            late: Vec::new(),
            settled: Vec::new(),
            bytes: 0,
        }
    }

    /// A text that is known by its marker only.
    pub(super) fn unread(at: P, key: JoinKey, id: EventId, received_at: Timestamp, total: u16) -> Self {
        Self {
            id,
            key,
            first: at,
            first_id: EventId::new_v5(&id, marker::SENT),
            received_at,
            total,
            seen_first: received_at,
            seen_last: received_at,
            close_asked: false,
            phase: Phase::Taken { outcome: Outcome::Complete },
            members: Vec::new(),
            late: Vec::new(),
            settled: Vec::new(),
            bytes: 0,
        }
    }

    /// Takes a piece in. False when there are too many twins of its kind already.
    pub(super) fn add(&mut self, at: P, record: Box<PartRecord>, is_twin: bool, in_doubt: bool) -> bool {
        if is_twin && !self.has_room_for_twins() {
            return false;
        }
        self.bytes += record.bytes();
        let piece = reference(&record);
        self.members.push(Member { at, piece, record: Some(record), is_twin, in_doubt });
        true
    }

    pub(super) fn has_room_for_twins(&self) -> bool {
        self.members.len() + self.late.len() < usize::from(self.total) * (1 + TWINS_MAX)
    }

    /// When it is to be closed whatever it lacks. A clock that is ahead does not delay it, and what
    /// comes late in a stream that was itself late is given a moment for what follows it.
    pub(super) fn due_ms(&self, wait_ms: i64, settle_ms: i64) -> i64 {
        let begun = self.received_at.as_millisecond().min(self.seen_first.as_millisecond());
        (begun + wait_ms).max(self.seen_last.as_millisecond() + settle_ms)
    }
}

impl<P> Group<P> {
    /// Whom its markers are about, while it holds a piece.
    pub(super) fn address(&self) -> Option<(&AccountName, &Number)> {
        let record = self.members.iter().find_map(|member| member.record.as_ref())?;
        Some((&record.account, &record.to))
    }

    /// The text of a group that is ready. Its words are gone from here afterwards.
    pub(super) fn give_out(&mut self) -> (Joined, Outcome) {
        let Phase::Ready { outcome, evicted } = self.phase else { unreachable!("only what is ready is given out") };
        let evict = evicted.then(|| self.members.iter().map(|member| member.piece.id).collect());
        let mut pieces = BTreeMap::new();
        for member in &mut self.members {
            let record = member.record.take().filter(|_| !member.is_twin);
            pieces.extend(record.map(|record| (record.number, *record)));
        }
        self.bytes = 0;
        let mut joined = Joined::of(self.id, self.received_at, outcome, pieces);
        joined.pieces = distinct(self.members.iter().map(|member| member.piece));
        joined.before = evict.map(|pieces| {
            let evict = Marker::Evict { pieces };
            marker::record(&joined.account, self.key, self.id, self.received_at, evict)
        });
        (joined, outcome)
    }

    /// The addendum of a late piece, and what its record took in memory.
    pub(super) fn give_out_late(&mut self, piece: EventId) -> (Joined, usize) {
        let late = self.late.iter_mut().find(|late| late.piece.id == piece && !late.is_twin);
        let late = late.expect("a listed late piece is with its group");
        let record = late.record.take().expect("a late piece is given out once");
        let bytes = record.bytes();
        let (number, received_at, refs) = (record.number, record.received_at, vec![late.piece]);
        let mut joined = Joined::of(self.id, received_at, Outcome::Addendum, BTreeMap::from([(number, *record)]));
        if let Phase::Sent { text, department, departments, .. } = &self.phase {
            joined.id = EventId::new_v5(text, piece.as_bytes());
            joined.relates_to = Some(*text);
            joined.department.clone_from(department);
            joined.departments.clone_from(departments);
        }
        joined.pieces = refs;
        (joined, bytes)
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    pub(super) fn is_sent(&self) -> bool {
        matches!(self.phase, Phase::Sent { .. })
    }

    /// Closed, and not all of it is there.
    fn is_incomplete(&self) -> bool {
        match &self.phase {
            Phase::Open => false,
            Phase::Ready { outcome, .. } | Phase::Taken { outcome } | Phase::Sent { outcome, .. } => {
                *outcome == Outcome::Incomplete
            }
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.members.iter().filter(|member| !member.is_twin).count() == usize::from(self.total)
    }

    pub(super) fn has_doubt(&self) -> bool {
        self.members.iter().any(|member| member.in_doubt)
    }

    fn knows(&self, id: EventId) -> bool {
        self.refs().any(|piece| piece.id == id)
    }

    fn refs(&self) -> impl Iterator<Item = &PieceRef> {
        let held = self.members.iter().map(|member| &member.piece);
        held.chain(self.late.iter().map(|late| &late.piece)).chain(&self.settled)
    }

    /// Takes the members out that `leave` chooses.
    pub(super) fn part_with(&mut self, leave: impl Fn(&Member<P>) -> bool) -> Vec<Member<P>> {
        let (leaving, staying) = std::mem::take(&mut self.members).into_iter().partition(|member| leave(member));
        self.hold(staying);
        leaving
    }

    /// Holds exactly these members.
    pub(super) fn hold(&mut self, members: Vec<Member<P>>) {
        self.bytes = members.iter().filter_map(|member| member.record.as_ref()).map(|record| record.bytes()).sum();
        self.members = members;
    }
}

pub(super) fn reference(record: &PartRecord) -> PieceRef {
    PieceRef { id: record.identity(), number: record.number, fingerprint: record.fingerprint }
}

/// Each piece once: the same delivery can be on the stream several times.
fn distinct(pieces: impl Iterator<Item = PieceRef>) -> Vec<PieceRef> {
    let mut seen: Vec<PieceRef> = Vec::new();
    for piece in pieces {
        if !seen.contains(&piece) {
            seen.push(piece);
        }
    }
    seen
}
