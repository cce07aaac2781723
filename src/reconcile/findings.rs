//! What differs, counted by kind and named one by one as far as that helps.

use serde::Serialize;

use crate::message::EventId;

/// Differences named one by one of each kind; the others are counted.
const NAMED_MAX: u64 = 1_000;

/// In which way something differs; the label of `sms_router_reconcile_differences`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Taken in, and in no log, journal or dead-letter.
    Lost,
    /// In the archive, and in no log.
    Unpublished,
    /// Published, and not in the archive.
    Unarchived,
    /// In one of the archive's tables and not in the other.
    HalfArchived,
    /// In the embedded log, its id not remembered: a retry would be taken for a new text.
    Unremembered,
    /// A piece of a long text that no text was made of.
    Unjoined,
    /// A synthetic text is missing somewhere: what happened to it can happen to others.
    Probe,
}

impl Kind {
    pub const ALL: [Self; 7] = [
        Self::Lost,
        Self::Unpublished,
        Self::Unarchived,
        Self::HalfArchived,
        Self::Unremembered,
        Self::Unjoined,
        Self::Probe,
    ];

    /// The word for it in metrics and output.
    pub fn label(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Unpublished => "unpublished",
            Self::Unarchived => "unarchived",
            Self::HalfArchived => "half_archived",
            Self::Unremembered => "unremembered",
            Self::Unjoined => "unjoined",
            Self::Probe => "probe",
        }
    }
}

/// One thing that differs. Nothing in it is personal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    pub kind: Kind,
    /// Absent where only a place or a number is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<EventId>,
    pub detail: String,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.id {
            Some(id) => write!(f, "{} {id}: {}", self.kind.label(), self.detail),
            None => write!(f, "{}: {}", self.kind.label(), self.detail),
        }
    }
}

/// How many ids there are of what. Synthetic texts and pieces count as neither texts nor dead letters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Sums {
    /// Texts that are in log, journal or dead-letter, each once, or lost; and requests nobody could read.
    pub accepted: u64,
    pub published: u64,
    pub waiting: u64,
    pub dead_letters: u64,
    pub archived: u64,
    pub pieces: u64,
    pub probes: u64,
}

#[derive(Default)]
pub(super) struct Findings {
    pub counts: [u64; Kind::ALL.len()],
    pub named: Vec<Difference>,
}

impl Findings {
    pub(super) fn add(&mut self, kind: Kind, id: Option<EventId>, detail: impl Into<String>) {
        let count = &mut self.counts[kind as usize];
        *count += 1;
        if *count <= NAMED_MAX {
            self.named.push(Difference { kind, id, detail: detail.into() });
        }
    }

    /// For what is counted without names.
    pub(super) fn add_unnamed(&mut self, kind: Kind, count: u64) {
        self.counts[kind as usize] += count;
    }
}

impl super::Judgement {
    /// Another piece of the same time.
    pub(super) fn add(&mut self, other: Self) {
        let (sums, more) = (&mut self.sums, other.sums);
        sums.accepted += more.accepted;
        sums.published += more.published;
        sums.waiting += more.waiting;
        sums.dead_letters += more.dead_letters;
        sums.archived += more.archived;
        sums.pieces += more.pieces;
        sums.probes += more.probes;
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count += more;
        }
        self.differences.extend(other.differences);
        for note in other.notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }
}
