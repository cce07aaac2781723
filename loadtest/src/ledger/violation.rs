//! What can be wrong, and with which text.
//!
//! Comes in: nothing. Goes out: words for whoever reads, judges and reports. Always true: what is said of
//! a text names it by its key. Not here: what makes it wrong (`reader`, `judge`).

use std::fmt;

use crate::script::Key;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Lost,
    Corrupted,
    Misrouted,
    OutOfOrder,
    NeverSent,
    NotArchived,
    Expiry,
    /// Copies of one text differ in id, or two texts share one.
    TwoIds,
    Consent,
    DeadLettered,
    /// A sound request was refused for good.
    Refused,
    /// A process ended by itself, would not end, or panicked.
    Process,
}

#[derive(Debug, Clone)]
pub struct Violation {
    pub kind: Kind,
    pub key: Option<Key>,
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key {
            Some(key) => write!(f, "{:?}: {key}: {}", self.kind, self.detail),
            None => write!(f, "{:?}: {}", self.kind, self.detail),
        }
    }
}
