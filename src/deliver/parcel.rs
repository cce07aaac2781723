//! What goes out at once: one letter, or several in one mail.

use std::collections::VecDeque;

use lettre::Address;
use tokio::time::Instant;

use super::{Done, Letter};
use crate::message::Number;

/// A letter, and whom to tell.
pub(super) struct Held {
    pub letter: Letter,
    pub done: Done,
}

/// Letters that have one fate, and what is known of it.
pub(super) struct Parcel {
    pub letters: Vec<Held>,
    /// Why several are together; `None` for a letter by itself.
    pub collected: Option<Collected>,
    /// The first try that failed.
    pub failing_since: Option<Instant>,
    /// In a row, of tries that failed.
    pub failures: u32,
    /// Mailboxes that need no more of it.
    pub settled: Settled,
    /// Letters of the same sender that follow by themselves, once this is done: they were in one mail that was refused.
    pub then: VecDeque<Held>,
    /// What dead-letter will say; once there is something, nothing but that remains to be done.
    pub undelivered: Option<String>,
}

/// Why letters share a mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Collected {
    Digest,
    /// More than this many mails were due in an hour.
    Beyond(usize),
}

/// Mailboxes that have a mail, or will never take it.
#[derive(Default)]
pub(super) struct Settled {
    pub taken: Vec<Address>,
    /// With the reply's code.
    pub refused: Vec<(Address, u16)>,
}

impl Settled {
    pub(super) fn contains(&self, mailbox: &Address) -> bool {
        self.taken.contains(mailbox) || self.refused.iter().any(|(refused, _)| refused == mailbox)
    }
}

impl Parcel {
    pub(super) fn of(letters: Vec<Held>, collected: Option<Collected>) -> Self {
        Self {
            letters,
            collected,
            failing_since: None,
            failures: 0,
            settled: Settled::default(),
            then: VecDeque::new(),
            undelivered: None,
        }
    }

    /// Each sender's letters in a parcel of their own, one after the other.
    pub(super) fn apart(self) -> Vec<Self> {
        let mut by_sender: Vec<(Number, VecDeque<Held>)> = Vec::new();
        for held in self.letters {
            let sender = &held.letter.record.from;
            match by_sender.iter_mut().find(|(known, _)| known == sender) {
                Some((_, letters)) => letters.push_back(held),
                None => by_sender.push((sender.clone(), VecDeque::from([held]))),
            }
        }
        by_sender.into_iter().filter_map(|(_, letters)| Self::one_by_one(letters)).collect()
    }

    /// The first of them, and the rest behind it; `None` of none.
    pub(super) fn one_by_one(mut letters: VecDeque<Held>) -> Option<Self> {
        let first = letters.pop_front()?;
        Some(Self { then: letters, ..Self::of(vec![first], None) })
    }

    /// Of every letter; a sender of several comes several times.
    pub(super) fn senders(&self) -> impl Iterator<Item = &Number> {
        self.letters.iter().map(|held| &held.letter.record.from)
    }
}

/// What became of a try.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tried {
    /// The destination has it.
    Taken,
    /// Nobody, or not everybody, will ever take it: what dead-letter shall say, and whether anybody has it.
    Refused { detail: String, has_been_taken: bool },
    /// It has to be tried again; with a pause of its own, of at least `after`, unless the whole server is at fault.
    Again { after: Option<std::time::Duration>, by_server: bool, why: Why },
    /// The destination wants no more, ever (410).
    Gone,
}

/// Why a try failed, in words without addresses, numbers or content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Why {
    /// Of the code, so that lines are counted by it.
    pub step: &'static str,
    /// The reply's or the answer's.
    pub code: Option<u16>,
    /// What the system or the TLS library says.
    pub words: String,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.step)?;
        if let Some(code) = self.code {
            write!(f, " {code}")?;
        }
        if self.words.is_empty() { Ok(()) } else { write!(f, ": {}", self.words) }
    }
}
