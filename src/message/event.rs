//! One event ready for a log: CloudEvents 1.0 attributes and the JSON value, whichever log takes it.

use std::sync::Arc;

use super::{AccountName, DepartmentName, EventId, Timestamp};

/// The router's own topics; a department may not use their names.
pub mod topics {
    /// Texts that nobody could read or take.
    pub const DEAD_LETTER: &str = "sms-router.dead-letter";
    /// Wishes about being contacted.
    pub const CONSENT: &str = "sms-router.consent";
    /// Pieces of long texts on their way to be joined.
    pub const PARTS: &str = "sms-router.parts";
    /// Synthetic texts that watch the path.
    pub const PROBE: &str = "sms-router.probe";
    /// All of them.
    pub const OWN: [&str; 4] = [DEAD_LETTER, CONSENT, PARTS, PROBE];
}

/// The account of synthetic texts: no carrier's account may have its name.
pub const PROBE_ACCOUNT: &str = "probe";

/// Where an event goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Destination {
    Department(DepartmentName),
    Consent,
    DeadLetter,
    /// Pieces of long texts, and what became of them.
    Parts,
    /// Synthetic texts that watch the path.
    Probe,
}

impl Destination {
    /// The router's own topic; `None` for a department, whose topic the routes name.
    pub fn own_topic(&self) -> Option<&'static str> {
        match self {
            Self::Department(_) => None,
            Self::Consent => Some(topics::CONSENT),
            Self::DeadLetter => Some(topics::DEAD_LETTER),
            Self::Parts => Some(topics::PARTS),
            Self::Probe => Some(topics::PROBE),
        }
    }
}

/// What an event tells; the end of its `ce_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A text, whole or as far as its pieces came.
    Message,
    Consent,
    DeadLetter,
    /// A dead letter was called back.
    Replayed,
    /// A piece of a long text, on its way to be joined.
    Part,
    /// What became of the pieces of one long text.
    Joined,
    /// A piece that came after its text had gone out without it.
    Addendum,
    /// A synthetic text that watches the path.
    Probe,
}

impl EventKind {
    pub const ALL: [Self; 8] = [
        Self::Message,
        Self::Consent,
        Self::DeadLetter,
        Self::Replayed,
        Self::Part,
        Self::Joined,
        Self::Addendum,
        Self::Probe,
    ];

    /// The type after the configurable prefix.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Message => "message.received.v1",
            Self::Consent => "consent.v1",
            Self::DeadLetter => "dead-letter.v1",
            Self::Replayed => "dead-letter.replayed.v1",
            Self::Part => "part.v1",
            Self::Joined => "joined.v1",
            Self::Addendum => "message.addendum.v1",
            Self::Probe => "probe.v1",
        }
    }

    /// The version of a `ce_type` that holds a resident's words, whatever its prefix; `None` for another type.
    pub fn text_version(event_type: &str) -> Option<&str> {
        let (_, version) = TEXT_TYPES.iter().find_map(|text| event_type.split_once(text))?;
        Some(version)
    }

    /// Whether a resident's words are in it, so that an audit copy is kept.
    pub fn is_audited(self) -> bool {
        match self {
            Self::Message | Self::Addendum => true,
            Self::Consent | Self::DeadLetter | Self::Replayed | Self::Part | Self::Joined | Self::Probe => false,
        }
    }
}

/// Before the version in the types of what holds a resident's words.
const TEXT_TYPES: [&str; 2] = [".message.received.", ".message.addendum."];

/// What events of one process have in common: where they say they come from.
#[derive(Debug, Clone)]
pub struct EventSource {
    /// `https://<public host>`, so that councils differ.
    pub origin: Arc<str>,
    /// Before every type, `sms-router` unless set.
    pub type_prefix: Arc<str>,
}

impl EventSource {
    /// `ce_source`: which account of which installation took the text.
    pub fn of(&self, account: &AccountName) -> String {
        format!("{}/accounts/{account}", self.origin)
    }

    /// `ce_type`.
    pub fn event_type(&self, kind: EventKind) -> String {
        format!("{}.{}", self.type_prefix, kind.suffix())
    }

    /// `ce_dataschema`.
    pub fn data_schema(&self, kind: EventKind) -> String {
        format!("{}/schemas/{}.json", self.origin, kind.suffix())
    }
}

/// One event, encoded. `Debug` shows neither key nor value.
#[derive(Clone)]
pub struct Event {
    pub id: EventId,
    /// The id of the text, where several departments get it and this is what one of them gets.
    pub copy_of: Option<EventId>,
    pub kind: EventKind,
    pub destination: Destination,
    pub account: AccountName,
    /// `ce_subject`: the number texted, never a person's.
    pub subject: String,
    pub received_at: Timestamp,
    /// Keyed hash of the sender: the record's key, so one sender's texts keep their order.
    pub key: [u8; 16],
    /// Keyed hash of sender, recipient and text: tells a retry from another text with the same id.
    pub fingerprint: [u8; 16],
    /// W3C trace context of the carrier's request, where it sent one.
    pub traceparent: Option<String>,
    /// The JSON value.
    pub value: Vec<u8>,
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("destination", &self.destination)
            .field("value_bytes", &self.value.len())
            .finish_non_exhaustive()
    }
}
