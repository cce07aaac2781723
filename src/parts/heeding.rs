//! Markers read from the stream: decisions that are now in force, and facts.
//!
//! Comes in: markers. Goes out: nothing; groups are closed, settled, or taken apart.
//! Always true: a fact outweighs what this reader made of the pieces: it may have begun to read in the
//! middle of a text.

use super::group::{Group, Late, Member, Phase};
use super::groups::{Groups, Waiting, find};
use super::joined::Outcome;
use super::marker::{Marker, MarkerRecord, PieceRef};
use super::placing::Closing;
use super::record::JoinKey;
use crate::message::{EventId, Open, Timestamp};

impl<P: Copy + Ord> Groups<P> {
    pub(super) fn heed(&mut self, at: P, marker: MarkerRecord, now: Timestamp) {
        let MarkerRecord { key, group, received_at, .. } = marker;
        match marker.marker {
            Marker::Close => {
                if self.find(key, group).is_some_and(Group::is_open) {
                    self.close(key, group, Closing::Usual, now);
                }
            }
            Marker::Evict { pieces } => self.evict(key, group, &pieces, now),
            Marker::Repeated { pieces } => {
                let leaving = self.take_apart(key, group, &pieces);
                self.place_again(leaving, now);
            }
            Marker::Sent { outcome: Open::Known(Outcome::Addendum), pieces, .. } => {
                let leaving = self.take_apart(key, group, &pieces);
                if self.find(key, group).is_some() {
                    find(&mut self.keys, key, group).settled.extend(&pieces);
                }
                self.place_again(leaving, now);
            }
            Marker::Sent { id, outcome, total, department, departments, pieces } => {
                if self.find(key, group).is_none() {
                    self.remember_unread(at, key, group, received_at, total);
                }
                let mut leaving = self.take_apart(key, group, &pieces);
                // What a later release has made of it: pieces that come now are late ones.
                let outcome = outcome.known().copied().unwrap_or(Outcome::Incomplete);
                let sent = Phase::Sent { outcome, text: id, department, departments };
                leaving.extend(self.settle_text(key, group, sent, &pieces));
                self.place_again(leaving, now);
            }
            Marker::Later => {}
        }
    }

    fn find(&self, key: JoinKey, id: EventId) -> Option<&Group<P>> {
        self.keys.get(&key)?.iter().find(|group| group.id == id)
    }

    /// Exactly these pieces have gone out, or will; what else the group took is late. In force also when
    /// this reader had no room either and let the group go with more or fewer pieces.
    fn evict(&mut self, key: JoinKey, id: EventId, pieces: &[EventId], now: Timestamp) {
        if !self.find(key, id).is_some_and(|group| matches!(group.phase, Phase::Open | Phase::Ready { .. })) {
            return;
        }
        let members = self.take_members(key, id);
        let group = find(&mut self.keys, key, id);
        let (staying, leaving) = members.into_iter().partition(|member| pieces.contains(&member.piece.id));
        group.hold(staying);
        if group.members.is_empty() {
            self.remove(key, id);
            return self.place_again(leaving, now);
        }
        let outcome = if group.is_full() { Outcome::Complete } else { Outcome::Incomplete };
        group.phase = Phase::Ready { outcome, evicted: false };
        self.ready_bytes += group.bytes;
        self.ready.insert(group.first, Waiting::Text(key, id));
        self.make_late(leaving, key, id, now);
    }

    /// The pieces that a group was to go without are its late ones, as they were to whoever let it go: a
    /// text that has begun since under the same reference has no claim to them.
    fn make_late(&mut self, mut leaving: Vec<Member<P>>, key: JoinKey, id: EventId, now: Timestamp) {
        let group = find(&mut self.keys, key, id);
        let is_twin =
            |leaving: &mut Member<P>| group.members.iter().any(|member| member.piece.number == leaving.piece.number);
        let twins: Vec<_> = leaving.extract_if(.., is_twin).collect();
        leaving.sort_by_key(|member| member.at);
        for Member { at, piece, record, .. } in leaving {
            let is_twin = find(&mut self.keys, key, id).late.iter().any(|late| late.piece.number == piece.number);
            if let Some(record) = record {
                self.add_late(at, record, id, is_twin);
            }
        }
        self.place_again(twins, now);
    }

    /// These pieces are settled. Whatever this reader had begun with them, other than the group that is
    /// named, is taken apart; the rest of it has to look for a place.
    fn take_apart(&mut self, key: JoinKey, named: EventId, pieces: &[PieceRef]) -> Vec<Member<P>> {
        for piece in pieces {
            if let Some(repeat) = self.repeats.remove(&piece.id) {
                self.held.remove(&repeat.at);
            }
        }
        let mut twins = self.settle_late(key, pieces);
        let is_waiting = |group: &&Group<P>| matches!(group.phase, Phase::Open | Phase::Ready { .. });
        let holds = |group: &&Group<P>| group.members.iter().any(|member| is_among(pieces, member.piece.id));
        let groups = self.keys.get(&key).into_iter().flatten().filter(|group| group.id != named);
        let wrong: Vec<EventId> = groups.filter(is_waiting).filter(holds).map(|group| group.id).collect();
        let members: Vec<Member<P>> = wrong.into_iter().flat_map(|id| self.drop_unsent(key, id)).collect();
        let (settled, leaving): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|member| is_among(pieces, member.piece.id));
        for member in settled {
            self.held.remove(&member.at);
        }
        twins.extend(leaving);
        twins
    }

    /// Takes a group that was not given out from all lists.
    fn drop_unsent(&mut self, key: JoinKey, id: EventId) -> Vec<Member<P>> {
        let members = self.take_members(key, id);
        self.remove(key, id);
        members
    }

    /// Everything a group holds that was not given out, late pieces as well; it is in no list afterwards.
    fn take_members(&mut self, key: JoinKey, id: EventId) -> Vec<Member<P>> {
        self.unlist(key, id);
        let group = find(&mut self.keys, key, id);
        let mut members = std::mem::take(&mut group.members);
        let late = std::mem::take(&mut group.late);
        members.extend(late.into_iter().map(|late| self.not_late(late)));
        members
    }

    fn not_late(&mut self, late: Late<P>) -> Member<P> {
        let Late { at, piece, record, is_twin } = late;
        self.ready.remove(&at);
        self.ready_bytes -= record.as_ref().map_or(0, |record| record.bytes());
        Member { at, piece, record, is_twin, in_doubt: false }
    }

    /// A group waits no more, for pieces or to be given out.
    fn unlist(&mut self, key: JoinKey, id: EventId) {
        let group = find(&mut self.keys, key, id);
        let bytes = std::mem::take(&mut group.bytes);
        match group.phase {
            Phase::Open => {
                self.open.remove(&group.first);
                self.open_bytes -= bytes;
            }
            Phase::Ready { .. } => {
                self.ready.remove(&group.first);
                self.ready_bytes -= bytes;
            }
            Phase::Taken { .. } | Phase::Sent { .. } => {}
        }
    }

    /// A text of which this reader has seen nothing.
    fn remember_unread(&mut self, at: P, key: JoinKey, id: EventId, received_at: Timestamp, total: u16) {
        let groups = self.keys.entry(key).or_default();
        groups.push(Group::unread(at, key, id, received_at, total));
        groups.sort_by_key(|group| group.first);
    }

    /// The group is sent, made of these pieces. Gives back the members that are not among them.
    fn settle_text(&mut self, key: JoinKey, id: EventId, sent: Phase, pieces: &[PieceRef]) -> Vec<Member<P>> {
        self.unlist(key, id);
        let group = find(&mut self.keys, key, id);
        let members = std::mem::take(&mut group.members);
        let (named, others): (Vec<_>, Vec<_>) =
            members.into_iter().partition(|member| is_among(pieces, member.piece.id));
        for member in named {
            self.held.remove(&member.at);
        }
        // What was given out as part of this text waits for the marker that says so.
        let (leaving, staying) = others.into_iter().partition(|member| member.record.is_some());
        group.members = staying;
        if !group.is_sent() {
            group.settled.extend_from_slice(pieces);
            group.phase = sent;
            for late in group.late.iter().filter(|late| !late.is_twin) {
                self.ready.insert(late.at, Waiting::Addendum(key, id, late.piece.id));
            }
        }
        self.remembered.insert(group.first, (key, id));
        leaving
    }

    /// Late pieces that are settled, whichever text they were thought to belong to. Gives back their
    /// twins, which now need a marker of their own.
    fn settle_late(&mut self, key: JoinKey, pieces: &[PieceRef]) -> Vec<Member<P>> {
        let mut leaving = Vec::new();
        let groups = self.keys.get_mut(&key).into_iter().flatten();
        for group in groups.filter(|group| !group.late.is_empty()) {
            let late = std::mem::take(&mut group.late);
            let (settled, mut staying): (Vec<_>, Vec<_>) =
                late.into_iter().partition(|late| is_among(pieces, late.piece.id));
            let is_orphan =
                |late: &Late<P>| late.is_twin && settled.iter().any(|gone| gone.piece.number == late.piece.number);
            leaving.extend(staying.extract_if(.., |late| is_orphan(late)));
            group.late = staying;
            for Late { at, record, .. } in settled {
                self.held.remove(&at);
                self.ready.remove(&at);
                self.ready_bytes -= record.map_or(0, |record| record.bytes());
            }
        }
        leaving.into_iter().map(|late| self.not_late(late)).collect()
    }

    /// Forgets a group.
    pub(super) fn remove(&mut self, key: JoinKey, id: EventId) {
        let Some(groups) = self.keys.get_mut(&key) else { return };
        groups.retain(|group| group.id != id);
        if groups.is_empty() {
            self.keys.remove(&key);
        }
    }
}

fn is_among(pieces: &[PieceRef], id: EventId) -> bool {
    pieces.iter().any(|piece| piece.id == id)
}
