//! Pieces into groups, and the closing of groups.
//!
//! Comes in: a piece that no marker has settled. Goes out: nothing; what follows waits to be given out.

use super::group::{Group, Judgement, Late, Member, Phase, judge, reference};
use super::groups::{Ask, Groups, Repeat, Waiting, find};
use super::joined::Outcome;
use super::marker::{Marker, PieceRef, record};
use super::record::{JoinKey, PartRecord};
use crate::message::{EventId, Timestamp};

/// Why a group takes no more pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Closing {
    /// All of it is there, or its time is over, or its reference is used again.
    Usual,
    /// Two pieces came for a number that an earlier text lacks too: nobody knows which is whose.
    InDoubt,
    /// No room.
    Evicted,
}

impl<P: Copy + Ord> Groups<P> {
    /// A piece to the group it belongs to.
    pub(super) fn place(&mut self, at: P, piece: Box<PartRecord>, now: Timestamp) {
        let key = piece.key;
        let late_after_ms = self.late_after_ms();
        let groups = self.keys.entry(key).or_default();
        let of = |index: usize| groups[index].id;
        match judge(groups, &piece, late_after_ms) {
            Judgement::Twin(index) => {
                let id = of(index);
                self.add_twin(at, piece, id);
            }
            Judgement::Joins { group, in_doubt } => {
                let id = of(group);
                self.join(at, piece, id, in_doubt, now);
            }
            Judgement::Conflicts { group, in_doubt } => {
                let id = of(group);
                self.close(key, id, if in_doubt { Closing::InDoubt } else { Closing::Usual }, now);
                if in_doubt { self.place(at, piece, now) } else { self.begin(at, piece, now) }
            }
            Judgement::Late(index) => {
                let id = of(index);
                self.add_late(at, piece, id, false);
            }
            Judgement::Begins => self.begin(at, piece, now),
        }
    }

    /// Closes a group and makes it ready; pieces that nobody can be sure of look for another place.
    pub(super) fn close(&mut self, key: JoinKey, id: EventId, closing: Closing, now: Timestamp) {
        let group = find(&mut self.keys, key, id);
        self.open.remove(&group.first);
        self.open_bytes -= group.bytes;
        let is_whole = group.is_full() && closing != Closing::InDoubt;
        let outcome = if is_whole { Outcome::Complete } else { Outcome::Incomplete };
        let leaving = if is_whole { Vec::new() } else { group.part_with(|member| member.in_doubt) };
        group.phase = Phase::Ready { outcome, evicted: closing == Closing::Evicted };
        self.ready_bytes += group.bytes;
        self.ready.insert(group.first, Waiting::Text(key, id));
        self.place_again(leaving, now);
    }

    /// Pieces that lost their group, in the order of the stream.
    pub(super) fn place_again(&mut self, mut members: Vec<Member<P>>, now: Timestamp) {
        members.sort_by_key(|member| member.at);
        for member in members {
            if let Some(piece) = member.record {
                self.place(member.at, piece, now);
            }
        }
    }

    /// Beyond the bounds the oldest groups go out as they are.
    pub(super) fn make_room(&mut self, now: Timestamp) {
        while self.open.len() > self.settings.groups_max || self.open_bytes > self.settings.bytes_max {
            let Some((_, (key, id))) = self.open.first_key_value().map(|(at, of)| (*at, *of)) else { return };
            self.close(key, id, Closing::Evicted, now);
            self.evicted += 1;
        }
    }

    /// A piece that adds nothing to a text which is sent needs a marker of its own.
    pub(super) fn repeat(&mut self, at: P, piece: &PartRecord, group: EventId, received_at: Timestamp) {
        let marker = Marker::Repeated { pieces: vec![reference(piece)] };
        let marker = Box::new(record(&piece.account, piece.key, group, received_at, marker));
        // The same delivery twice, and neither settled: one marker names both.
        if let Some(before) = self.repeats.insert(piece.identity(), Repeat { at, marker, to: piece.to.clone() }) {
            self.held.remove(&before.at);
        } else {
            self.asks.push_back(Ask::Repeated(piece.identity()));
        }
    }

    fn begin(&mut self, at: P, piece: Box<PartRecord>, now: Timestamp) {
        let group = Group::begin(at, &piece, now);
        let (key, id) = (group.key, group.id);
        let groups = self.keys.entry(key).or_default();
        groups.push(group);
        groups.sort_by_key(|group| group.first);
        self.open.insert(at, (key, id));
        self.join(at, piece, id, false, now);
    }

    fn join(&mut self, at: P, piece: Box<PartRecord>, id: EventId, in_doubt: bool, now: Timestamp) {
        let key = piece.key;
        let group = find(&mut self.keys, key, id);
        let before = group.bytes;
        group.add(at, piece, false, in_doubt);
        group.seen_last = now;
        self.open_bytes += group.bytes - before;
        if group.is_full() && !group.has_doubt() {
            self.close(key, id, Closing::Usual, now);
        }
    }

    fn add_twin(&mut self, at: P, piece: Box<PartRecord>, id: EventId) {
        let key = piece.key;
        let group = find(&mut self.keys, key, id);
        let received_at = group.received_at;
        if group.late.iter().any(|late| late.piece.number == piece.number) {
            return self.add_late(at, piece, id, true);
        }
        if group.is_sent() {
            return self.repeat(at, &piece, id, received_at);
        }
        let before = group.bytes;
        // A twin goes where its piece goes.
        let in_doubt = group.members.iter().any(|member| member.in_doubt && member.piece.number == piece.number);
        if !group.add(at, piece, true, in_doubt) {
            self.held.remove(&at);
            return;
        }
        let added = group.bytes - before;
        match &group.phase {
            Phase::Open => self.open_bytes += added,
            Phase::Ready { .. } => self.ready_bytes += added,
            Phase::Taken { .. } | Phase::Sent { .. } => {}
        }
    }

    pub(super) fn add_late(&mut self, at: P, piece: Box<PartRecord>, id: EventId, is_twin: bool) {
        let key = piece.key;
        let refs: PieceRef = reference(&piece);
        let group = find(&mut self.keys, key, id);
        if is_twin && !group.has_room_for_twins() {
            self.held.remove(&at);
            return;
        }
        self.ready_bytes += piece.bytes();
        group.late.push(Late { at, piece: refs, record: Some(piece), is_twin });
        // Before that nobody knows where the text went.
        if group.is_sent() && !is_twin {
            self.ready.insert(at, Waiting::Addendum(key, id, refs.id));
        }
    }
}
