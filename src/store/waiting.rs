//! How much waits in the journal, for whom, and how much more may.
//!
//! Comes in: what each commit adds and takes. Goes out: sums for gauges, and whether there is room.
//! Always true: the sums are those of the last commit; they are counted anew from the file at open, so
//! nothing is believed that the disk does not say. Only lines that have entries are there.
//! Not here: the entries.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};

use super::Settings;
use super::feed::Cursor;
use crate::message::Timestamp;

/// Hollow entries may take as much of the disk again: they are in the way only while an old entry
/// before them waits.
const SPENT_SHARE: u64 = 1;

/// What waits, in all and for each topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JournalState {
    pub all: Line,
    /// Only topics for which something waits.
    pub topics: BTreeMap<Arc<str>, Line>,
    /// Entries that are settled and not yet removed; their words are overwritten.
    pub spent: Sum,
}

/// Entries, and what they take of the bounds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    pub messages: u64,
    pub bytes: u64,
}

/// What waits for one topic, or for all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Line {
    pub messages: u64,
    /// Values and what is kept beside them.
    pub bytes: u64,
    /// The one that has waited longest; `None` when nothing waits.
    pub oldest: Option<Oldest>,
}

/// The head of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Oldest {
    pub position: Cursor,
    pub received_at: Timestamp,
    /// When it was written down here: what the bound of age goes by.
    pub journalled_at: Timestamp,
}

/// A topic, the key of a sender whose events wait for it, and how many do.
pub type TopicSender = (Arc<str>, [u8; 16], u64);

/// Which bound keeps the journal from taking more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// `journal_bytes_max`, over all topics.
    Bytes,
    /// `journal_topic_share` of it, for the one topic.
    TopicShare,
    /// The topic's oldest entry has waited longer than `journal_age_max`.
    Age,
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bytes => "as many bytes wait as may",
            Self::TopicShare => "one topic's texts take their whole share",
            Self::Age => "the topic's oldest text waits longer than any should",
        })
    }
}

/// The settings that bound the journal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    bytes_max: u64,
    topic_bytes_max: u64,
    age_max: jiff::SignedDuration,
}

impl Bounds {
    pub(super) fn of(settings: &Settings) -> Self {
        let share = settings.journal_topic_share.clamp(0.0, 1.0);
        Self {
            bytes_max: settings.journal_bytes_max,
            topic_bytes_max: (settings.journal_bytes_max as f64 * share) as u64,
            age_max: settings.journal_age_max.try_into().unwrap_or(jiff::SignedDuration::MAX),
        }
    }
}

impl Sum {
    fn add(&mut self, bytes: u64) {
        self.messages += 1;
        self.bytes += bytes;
    }

    pub(super) fn subtract(&mut self, bytes: u64) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl Line {
    fn add(&mut self, bytes: u64, entry: Oldest) {
        self.messages += 1;
        self.bytes += bytes;
        self.oldest.get_or_insert(entry);
    }

    fn subtract(&mut self, bytes: u64) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

impl JournalState {
    /// Counts what the file holds.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let mut state = Self::default();
        let mut statement =
            connection.prepare("SELECT topic, count(*), sum(bytes) FROM journal WHERE hollow = 0 GROUP BY topic")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let topic: Arc<str> = row.get(0)?;
            let line = Line {
                messages: row.get::<_, i64>(1)?.cast_unsigned(),
                bytes: row.get::<_, i64>(2)?.cast_unsigned(),
                oldest: oldest(connection, &topic)?,
            };
            state.all.messages += line.messages;
            state.all.bytes += line.bytes;
            state.topics.insert(topic, line);
        }
        state.all.oldest = state.first();
        let mut spent =
            connection.prepare("SELECT count(*), coalesce(sum(bytes), 0) FROM journal WHERE +hollow = 1")?;
        state.spent = spent.query_row([], |row| {
            Ok(Sum { messages: row.get::<_, i64>(0)?.cast_unsigned(), bytes: row.get::<_, i64>(1)?.cast_unsigned() })
        })?;
        Ok(state)
    }

    /// Whether entries of these sizes may come in, all of them.
    pub(super) fn admit<'a>(
        &self,
        sizes: impl Iterator<Item = (&'a Arc<str>, u64)>,
        bounds: &Bounds,
        now: Timestamp,
    ) -> Result<(), Bound> {
        let mut more: HashMap<&str, u64> = HashMap::new();
        for (topic, bytes) in sizes {
            *more.entry(topic).or_default() += bytes;
        }
        if more.is_empty() {
            return Ok(());
        }
        let bytes = self.all.bytes + more.values().sum::<u64>();
        let on_disk_max = bounds.bytes_max.saturating_mul(1 + SPENT_SHARE);
        if bytes > bounds.bytes_max || bytes + self.spent.bytes > on_disk_max {
            return Err(Bound::Bytes);
        }
        more.into_iter().try_for_each(|(topic, bytes)| self.admit_to(topic, bytes, bounds, now))
    }

    fn admit_to(&self, topic: &str, bytes: u64, bounds: &Bounds, now: Timestamp) -> Result<(), Bound> {
        let line = self.topics.get(topic).copied().unwrap_or_default();
        if line.bytes + bytes > bounds.topic_bytes_max {
            return Err(Bound::TopicShare);
        }
        let waits = line.oldest.map(|oldest| now.duration_since(oldest.journalled_at));
        if waits.is_some_and(|waits| waits > bounds.age_max) { Err(Bound::Age) } else { Ok(()) }
    }

    pub(super) fn add(&mut self, topic: &Arc<str>, bytes: u64, entry: Oldest) {
        self.all.add(bytes, entry);
        self.topics.entry(Arc::clone(topic)).or_default().add(bytes, entry);
    }

    /// One entry became hollow; `begin_with` must follow for its topic.
    pub(super) fn take(&mut self, topic: &str, bytes: u64) {
        self.all.subtract(bytes);
        self.spent.add(bytes);
        if let Some(line) = self.topics.get_mut(topic) {
            line.subtract(bytes);
        }
    }

    /// What the topic's line begins with now.
    pub(super) fn begin_with(&mut self, topic: &str, oldest: Option<Oldest>) {
        match self.topics.get_mut(topic) {
            Some(line) if oldest.is_some() => line.oldest = oldest,
            _ => drop(self.topics.remove(topic)),
        }
        self.all.oldest = self.first();
    }

    fn first(&self) -> Option<Oldest> {
        self.topics.values().filter_map(|line| line.oldest).min_by_key(|oldest| oldest.position)
    }
}

/// The entry of a topic that has waited longest.
pub(super) fn oldest(connection: &Connection, topic: &str) -> rusqlite::Result<Option<Oldest>> {
    let mut statement = connection.prepare_cached(
        "SELECT position, received_at, journalled_at FROM journal
         WHERE topic = ?1 AND hollow = 0 ORDER BY position LIMIT 1",
    )?;
    let time = |ms| Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    let oldest = statement.query_row([topic], |row| {
        Ok(Oldest { position: Cursor(row.get(0)?), received_at: time(row.get(1)?), journalled_at: time(row.get(2)?) })
    });
    oldest.optional()
}

/// Every sender with entries, by topic; in no order.
pub(super) fn senders(connection: &Connection) -> rusqlite::Result<Vec<TopicSender>> {
    let mut statement = connection.prepare("SELECT topic, key FROM journal WHERE hollow = 0 ORDER BY topic")?;
    let mut rows = statement.query([])?;
    let mut counts: HashMap<(Arc<str>, [u8; 16]), u64> = HashMap::new();
    let mut topic: Arc<str> = "".into();
    while let Some(row) = rows.next()? {
        let named = row.get_ref(0)?.as_str()?;
        if named != &*topic {
            topic = named.into();
        }
        *counts.entry((Arc::clone(&topic), row.get(1)?)).or_default() += 1;
    }
    Ok(counts.into_iter().map(|((topic, key), count)| (topic, key, count)).collect())
}
