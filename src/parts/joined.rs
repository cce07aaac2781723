//! A text made of its pieces, ready to be routed and published.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::marker::{self, Marker, MarkerRecord, PieceRef};
use super::record::{JoinKey, PartRecord};
use crate::message::{
    AccountName, Body, DepartmentName, EventId, Flag, Inbound, Number, Open, Parts, Several, Text, Timestamp,
};

/// What became of a text's pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All of them are in it.
    Complete,
    /// Some did not come in time.
    Incomplete,
    /// A single piece that came after its text had gone out without it.
    Addendum,
}

/// One text to publish under a given id. `Debug` shows nothing personal.
#[derive(Debug)]
pub struct Joined {
    /// UUIDv5 of the group's id and what the pieces are known by: one id never stands for two contents.
    pub id: EventId,
    pub outcome: Outcome,
    pub account: AccountName,
    pub carrier: Arc<str>,
    /// The words joined; of everything else, what the piece with the lowest number says.
    pub inbound: Inbound,
    pub from: Number,
    pub to: Number,
    /// When the first piece on the stream was received: expiry hangs on it, and a replay never changes it.
    pub received_at: Timestamp,
    pub parts: Parts,
    pub flags: Vec<Open<Flag>>,
    pub traceparent: Option<String>,
    /// Whether the words begin with piece 1, where a keyword would be.
    pub has_beginning: bool,
    /// The incomplete text that an addendum belongs to, and where that went.
    pub relates_to: Option<EventId>,
    pub department: Option<DepartmentName>,
    /// All of them, where that went to several.
    pub departments: Several,
    /// To be written before the text is published.
    pub before: Option<MarkerRecord>,
    pub(super) key: JoinKey,
    pub(super) group: EventId,
    pub(super) pieces: Vec<PieceRef>,
}

impl Joined {
    /// What to write once the text is durable. `went`: to which department and, where they are several, to which
    /// ones, if it went to any; `needed`: `Groups::needed`, for readers whose stream keeps no position for them.
    pub fn sent(&self, went: Option<(DepartmentName, Several)>, needed: Option<EventId>) -> MarkerRecord {
        let (department, departments) = went.map_or((None, None), |(first, several)| (Some(first), several));
        let sent = Marker::Sent {
            id: self.id,
            outcome: self.outcome.into(),
            total: self.parts.total,
            department,
            departments,
            pieces: self.pieces.clone(),
        };
        MarkerRecord { needed, ..marker::record(&self.account, self.key, self.group, self.received_at, sent) }
    }

    /// About what the text takes in memory.
    pub fn bytes(&self) -> usize {
        let body = match &self.inbound.body {
            Body::Text(words) => words.as_str().len(),
            Body::Undecodable(bytes) => bytes.len(),
        };
        size_of::<Self>() + body
    }

    pub(super) fn of(
        group: EventId,
        received_at: Timestamp,
        outcome: Outcome,
        pieces: BTreeMap<u16, PartRecord>,
    ) -> Self {
        let received = u16::try_from(pieces.len()).expect("as many as there are numbers");
        let has_beginning = pieces.contains_key(&1);
        let ids: Vec<u8> = pieces.values().flat_map(|piece| piece.identity().into_bytes()).collect();
        let body = join(pieces.values());
        let mut flags = Vec::new();
        for flag in pieces.values().flat_map(|piece| &piece.flags) {
            if !flags.contains(flag) {
                flags.push(flag.clone());
            }
        }
        let media = pieces.values().flat_map(|piece| piece.media.iter().cloned()).collect();
        let (_, lowest) = pieces.into_iter().next().expect("a text has a piece");
        let inbound = Inbound {
            carrier_message_id: lowest.carrier_message_id,
            from: lowest.from_raw,
            to: lowest.to_raw,
            body,
            sent_at: lowest.sent_at,
            part: None,
            segments: received,
            media,
        };
        Self {
            id: EventId::new_v5(&group, &ids),
            outcome,
            account: lowest.account,
            carrier: lowest.carrier,
            inbound,
            from: lowest.from,
            to: lowest.to,
            received_at,
            parts: Parts { received, total: lowest.total },
            flags,
            traceparent: lowest.traceparent,
            has_beginning,
            relates_to: None,
            department: None,
            departments: None,
            before: None,
            key: lowest.key,
            group,
            pieces: Vec::new(),
        }
    }
}

/// The words in the order of their numbers; bytes as soon as one piece cannot be decoded.
fn join<'a>(pieces: impl Iterator<Item = &'a PartRecord>) -> Body {
    let bodies: Vec<Body> = pieces.map(PartRecord::body).collect();
    let is_text = bodies.iter().all(|body| matches!(body, Body::Text(_)));
    let mut bytes = Vec::new();
    for body in &bodies {
        match body {
            Body::Text(words) => bytes.extend_from_slice(words.as_str().as_bytes()),
            Body::Undecodable(raw) => bytes.extend_from_slice(raw),
        }
    }
    match String::from_utf8(bytes) {
        Ok(words) if is_text => Body::Text(Text::from(words)),
        Ok(words) => Body::Undecodable(words.into_bytes()),
        Err(error) => Body::Undecodable(error.into_bytes()),
    }
}
