//! Markers: what was decided and done about the pieces before them on the stream. No personal data.

use serde::{Deserialize, Serialize};

use super::joined::Outcome;
use super::record::{JoinKey, hex};
use crate::message::{
    AccountName, DepartmentName, Destination, Event, EventId, EventKind, Number, Open, RecordError, SCHEMA_VERSION,
    Several, Timestamp, iso,
};

/// What makes the id of a `Sent` marker of the id of its text.
pub(super) const SENT: &[u8] = b"sent";

/// One piece, without its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PieceRef {
    /// `PartRecord::identity`.
    pub id: EventId,
    pub number: u16,
    #[serde(with = "hex")]
    pub fingerprint: [u8; 16],
}

/// What a marker says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "marker", rename_all = "snake_case")]
pub enum Marker {
    /// The group's time is over: what lies before this marker goes out.
    Close,
    /// There was no room for the group: exactly these pieces go out.
    Evict { pieces: Vec<EventId> },
    /// A text or addendum is where it belongs; it is made of these pieces and their twins.
    Sent {
        /// Its id.
        #[serde(rename = "text")]
        id: EventId,
        outcome: Open<Outcome>,
        total: u16,
        /// Where it went; absent when it has no department (dead-letter).
        #[serde(skip_serializing_if = "Option::is_none", default)]
        department: Option<DepartmentName>,
        /// All that it went to where they are several; what an earlier release wrote names the first.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        departments: Several,
        pieces: Vec<PieceRef>,
    },
    /// These pieces were there already in a text that is sent: they add nothing.
    Repeated { pieces: Vec<PieceRef> },
    /// What a later release says: nothing to this one, which never writes it.
    #[serde(other)]
    Later,
}

/// The value of an event of kind `Joined`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkerRecord {
    pub schema_version: u32,
    pub account: AccountName,
    pub key: JoinKey,
    /// UUIDv5 of the group's first piece on the stream.
    pub group: EventId,
    /// When the group's first piece was received.
    #[serde(with = "iso")]
    pub received_at: Timestamp,
    /// The oldest piece that a reader after this marker has to know; its own position says where to start.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub needed: Option<EventId>,
    #[serde(flatten)]
    pub marker: Marker,
}

impl MarkerRecord {
    /// Reads a value of the stream. The error names the place, never the content.
    pub fn from_json(value: &[u8]) -> Result<Self, RecordError> {
        let record: Self = serde_json::from_slice(value)
            .map_err(|error| RecordError::Malformed(format!("line {} column {}", error.line(), error.column())))?;
        if record.schema_version > SCHEMA_VERSION {
            return Err(RecordError::Newer(record.schema_version));
        }
        Ok(record)
    }

    /// The event for the stream, about a text to `to`. Its id is the same each time the same is said.
    pub fn event(&self, to: &Number) -> Event {
        Event {
            id: self.event_id(),
            copy_of: None,
            kind: EventKind::Joined,
            destination: Destination::Parts,
            account: self.account.clone(),
            subject: to.as_str().to_owned(),
            received_at: self.received_at,
            key: self.key.bytes(),
            fingerprint: self.key.bytes(),
            traceparent: None,
            value: serde_json::to_vec(self).expect("a record has only string keys and finite numbers"),
        }
    }

    fn event_id(&self) -> EventId {
        match &self.marker {
            Marker::Close => EventId::new_v5(&self.group, b"close"),
            Marker::Evict { .. } => EventId::new_v5(&self.group, b"evict"),
            Marker::Sent { id, .. } => EventId::new_v5(id, SENT),
            Marker::Repeated { pieces } => {
                let ids: Vec<u8> = pieces.iter().flat_map(|piece| *piece.id.as_bytes()).collect();
                EventId::new_v5(&self.group, &[b"repeated", ids.as_slice()].concat())
            }
            Marker::Later => EventId::new_v5(&self.group, b"later"),
        }
    }
}

/// A marker as this build writes it.
pub(super) fn record(
    account: &AccountName,
    key: JoinKey,
    group: EventId,
    received_at: Timestamp,
    marker: Marker,
) -> MarkerRecord {
    MarkerRecord {
        schema_version: SCHEMA_VERSION,
        account: account.clone(),
        key,
        group,
        received_at,
        needed: None,
        marker,
    }
}
