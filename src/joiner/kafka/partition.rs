//! One partition of the topic, while it is ours.
//!
//! Comes in: its records and its end. Goes out: what to commit, whether to pause it.
//! Not here: calls to Kafka.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::message::{BorrowedMessage, Headers, Message};

use crate::message::{EventKind, RecordError, Timestamp};
use crate::parts::{self, Entry, Groups};

/// Before the version in the types of the stream.
const PIECES_AND_MARKERS: [&str; 2] = [".part.", ".joined."];

/// Offsets of entries on their way to dead-letter; shared with the tasks that bring them there.
pub(super) type Unreadable = Arc<Mutex<BTreeSet<i64>>>;

/// What the group keeps of a partition: done with up to `offset`, and readers begin at `needed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kept {
    pub offset: i64,
    pub needed: i64,
}

/// A partition has no more room, or has room again.
pub(super) enum Turn {
    Full,
    Free,
}

pub(super) struct Partition {
    pub groups: Groups<i64>,
    /// The offset after the last record read.
    next: i64,
    /// Where the partition ended when it became ours.
    end: Option<i64>,
    pub unreadable: Unreadable,
    is_paused: bool,
    committed: Option<Kept>,
}

impl Partition {
    /// Reading begins at `start`; `end` is where the partition ends now, if the brokers said.
    pub(super) fn new(settings: parts::Settings, start: i64, end: Option<i64>) -> Self {
        let mut partition = Self {
            groups: Groups::new(settings),
            next: start,
            end,
            unreadable: Unreadable::default(),
            is_paused: false,
            committed: None,
        };
        partition.look_at_end();
        partition
    }

    /// Takes a record in. What cannot be read is given back, noted as on its way to dead-letter.
    pub(super) fn read(&mut self, offset: i64, entry: Result<Entry, RecordError>, now: Timestamp) -> Option<String> {
        if offset < self.next {
            return None;
        }
        self.next = offset + 1;
        let unreadable = match entry {
            Ok(entry) => {
                self.groups.read(offset, entry, now);
                None
            }
            Err(error) => {
                self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).insert(offset);
                Some(error.to_string())
            }
        };
        self.look_at_end();
        unreadable
    }

    /// Nothing more is there for now.
    pub(super) fn ended(&mut self) {
        self.groups.go_live();
    }

    /// Whether it is to be paused or resumed, said once.
    pub(super) fn turn(&mut self) -> Option<Turn> {
        let is_full = self.groups.is_full();
        let was_paused = std::mem::replace(&mut self.is_paused, is_full);
        match (was_paused, is_full) {
            (false, true) => Some(Turn::Full),
            (true, false) => Some(Turn::Free),
            _ => None,
        }
    }

    /// The offset that comes next.
    pub(super) fn next(&self) -> i64 {
        self.next
    }

    pub(super) fn is_paused(&self) -> bool {
        self.is_paused
    }

    fn look_at_end(&mut self) {
        if self.end.is_some_and(|end| self.next >= end) {
            self.groups.go_live();
        }
    }

    fn kept(&self) -> Kept {
        let unreadable = self.unreadable.lock().unwrap_or_else(PoisonError::into_inner).first().copied();
        let offset = [self.groups.oldest_held(), unreadable].into_iter().flatten().fold(self.next, i64::min);
        let needed = self.groups.needed().map_or(offset, |(at, _)| at.min(offset));
        Kept { offset, needed }
    }

    /// What to commit, if it is news. Before the end of the stream was seen, nothing is.
    pub(super) fn commit(&mut self) -> Option<Kept> {
        let kept = Some(self.kept()).filter(|_| self.groups.is_live());
        if kept == self.committed {
            return None;
        }
        self.committed = kept;
        kept
    }

    pub(super) fn commit_again(&mut self) {
        self.committed = None;
    }
}

impl Kept {
    /// What is committed beside the offset.
    pub(super) fn metadata(self) -> String {
        format!("needed={}", self.needed)
    }

    /// Where to begin, by what was committed.
    pub(super) fn start(offset: i64, metadata: &str) -> i64 {
        let needed = metadata.strip_prefix("needed=").and_then(|needed| needed.parse().ok());
        needed.map_or(offset, |needed: i64| needed.clamp(0, offset.max(0)))
    }
}

pub(super) fn understand(message: &BorrowedMessage<'_>) -> Result<Entry, RecordError> {
    let header = |name: &str| message.headers()?.iter().find(|header| header.key.eq_ignore_ascii_case(name))?.value;
    let kind = header("ce_type").map(String::from_utf8_lossy);
    entry(kind.as_deref(), message.payload().unwrap_or_default())
}

/// What a record says, by its type; one without a type was put there by hand. A piece of a newer major version is
/// an error and no stranger: its text must not be passed over.
fn entry(kind: Option<&str>, value: &[u8]) -> Result<Entry, RecordError> {
    match kind {
        Some(kind) if kind.ends_with(EventKind::Joined.suffix()) => Entry::marker(value),
        Some(kind) if !PIECES_AND_MARKERS.iter().any(|known| kind.contains(known)) => Ok(Entry::Later),
        _ => Entry::piece(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_begins_where_the_last_reader_said() {
        for (offset, metadata, start) in
            [(7, "needed=3", 3), (7, "needed=9", 7), (7, "needed=-1", 0), (7, "", 7), (7, "needed=x", 7)]
        {
            assert_eq!(Kept::start(offset, metadata), start, "{metadata}");
        }
        let kept = Kept { offset: 7, needed: 3 };
        assert_eq!(Kept::start(kept.offset, &kept.metadata()), 3);
    }

    #[test]
    fn types_of_a_later_release_are_passed_over_and_newer_versions_of_known_ones_are_not() {
        for (kind, is_passed_over) in [
            (Some("council.note.v1"), true),
            (Some("sms-router.part.v1"), false),
            (Some("sms-router.part.v2"), false),
            (Some("sms-router.joined.v1"), false),
            (Some("sms-router.joined.v2"), false),
            (None, false),
        ] {
            let entry = entry(kind, br#"{"schema_version":2}"#);
            assert_eq!(
                (matches!(entry, Ok(Entry::Later)), entry.is_err()),
                (is_passed_over, !is_passed_over),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn nothing_is_committed_past_what_is_not_in_dead_letter() {
        let now = Timestamp::UNIX_EPOCH;
        let mut partition = Partition::new(parts::Settings::default(), 5, Some(7));
        assert!(partition.read(5, Entry::piece(b"Snow"), now).is_some_and(|reason| !reason.contains("Snow")));
        assert_eq!(partition.commit(), None, "the end is not yet seen");
        assert!(partition.read(6, Entry::marker(b"{}"), now).is_some());
        assert!(partition.read(6, Entry::marker(b"{}"), now).is_none(), "read before");
        assert_eq!(partition.commit(), Some(Kept { offset: 5, needed: 5 }));
        partition.unreadable.lock().expect("a lock").remove(&5);
        assert_eq!(partition.commit(), Some(Kept { offset: 6, needed: 6 }));
        partition.unreadable.lock().expect("a lock").remove(&6);
        assert_eq!((partition.commit(), partition.commit()), (Some(Kept { offset: 7, needed: 7 }), None));
    }
}
