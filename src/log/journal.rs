//! The journal as the log sees it: who has texts waiting in it, and for which topic.
//!
//! Comes in: events that Kafka did not take. Goes out: their places once they are on the disk.
//! Always true: a sender counts as waiting from before his first text is written until after his last
//! one was published, so nothing of his can overtake it; memory holds one count for each sender with
//! texts in the journal, which the journal's own bound limits.
//! Not here: when to journal (`kafka`) and when to publish (`replay`).

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::{LogError, Logged, refused_by_store};
use crate::clock::Clock;
use crate::message::Event;
use crate::store::{Cursor, Oldest, Store, StoreError, Waiting};

/// How the journal is used.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// A text that its topic has not acknowledged after this long goes to the journal.
    pub patience: Duration,
    /// The bounds, as the store has them, for the gauges.
    pub bytes_max: u64,
    pub age_max: Duration,
}

/// What the gauges show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Fill {
    pub messages: u64,
    pub bytes: u64,
    /// Since the oldest text was written.
    pub age: Duration,
    /// 0 to 1, by the bound that is nearest.
    pub share: f64,
}

/// A handle on the journal, cheap to clone.
#[derive(Clone)]
pub struct Journal(Arc<Inner>);

struct Inner {
    store: Store,
    settings: Settings,
    clock: Clock,
    /// Texts in the journal or on their way into it: nothing needs looking up while this is 0.
    total: AtomicUsize,
    topics: Mutex<HashMap<Arc<str>, Senders>>,
    /// A topic has its first text waiting.
    woken: Notify,
}

#[derive(Default)]
struct Senders {
    total: usize,
    by_key: HashMap<[u8; 16], usize>,
}

/// Events of one text on their way into the journal: counted, not yet written.
pub(super) struct Entry {
    pub topic: Arc<str>,
    pub event: Event,
}

impl Journal {
    /// Takes up what an earlier process left behind.
    pub async fn open(store: Store, settings: Settings, clock: Clock) -> Result<Self, StoreError> {
        let mut topics: HashMap<Arc<str>, Senders> = HashMap::new();
        let mut total = 0;
        for (topic, key, count) in store.journalled_senders().await? {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            let senders = topics.entry(topic).or_default();
            senders.total += count;
            senders.by_key.insert(key, count);
            total += count;
        }
        let (total, topics) = (AtomicUsize::new(total), Mutex::new(topics));
        Ok(Self(Arc::new(Inner { store, settings, clock, total, topics, woken: Notify::new() })))
    }

    /// How long a text is waited for that its topic does not acknowledge: no longer than half of what its
    /// carrier waits, for the journal needs its time too, and so did the request.
    pub(super) fn patience(&self, carriers: Duration) -> Duration {
        wait(self.0.settings.patience, carriers)
    }

    /// How many texts wait.
    pub fn messages(&self) -> u64 {
        self.0.store.journal_state().all.messages
    }

    pub(super) fn fill(&self) -> Fill {
        let (state, settings) = (self.0.store.journal_state(), &self.0.settings);
        let waits = |oldest: Oldest| self.0.clock.now().duration_since(oldest.journalled_at);
        let age = state.all.oldest.map(waits).and_then(|age| age.try_into().ok()).unwrap_or_default();
        let share = (state.all.bytes as f64 / settings.bytes_max as f64)
            .max(Duration::as_secs_f64(&age) / settings.age_max.as_secs_f64());
        Fill { messages: state.all.messages, bytes: state.all.bytes, age, share: share.min(1.0) }
    }

    /// Counts the event among those that wait if its sender has texts waiting for the topic already.
    pub(super) fn follow(&self, topic: &str, event: &Event) -> bool {
        if self.0.total.load(Ordering::Acquire) == 0 {
            return false;
        }
        let mut topics = self.topics();
        let Some(senders) = topics.get_mut(topic) else { return false };
        let Some(count) = senders.by_key.get_mut(&event.key) else { return false };
        *count += 1;
        senders.total += 1;
        self.0.total.fetch_add(1, Ordering::AcqRel);
        true
    }

    /// Counts the event among those that wait.
    pub(super) fn enter(&self, topic: &str, event: &Event) {
        let mut topics = self.topics();
        if !topics.contains_key(topic) {
            topics.insert(topic.into(), Senders::default());
            self.0.woken.notify_one();
        }
        let senders = topics.get_mut(topic).expect("it was put there");
        *senders.by_key.entry(event.key).or_default() += 1;
        senders.total += 1;
        self.0.total.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes an event out of the count.
    pub(super) fn leave(&self, topic: &str, key: &[u8; 16]) {
        let mut topics = self.topics();
        let Some(senders) = topics.get_mut(topic) else { return };
        let Some(count) = senders.by_key.get_mut(key) else { return };
        *count -= 1;
        if *count == 0 {
            senders.by_key.remove(key);
        }
        senders.total -= 1;
        if senders.total == 0 {
            topics.remove(topic);
        }
        self.0.total.fetch_sub(1, Ordering::AcqRel);
    }

    /// Writes events that were counted before, all or none; on an error they are counted out again.
    /// What is known already, waiting or not, is counted out too.
    pub(super) async fn write(&self, entries: Vec<Entry>) -> Result<Vec<(Logged, Cursor)>, LogError> {
        let counted: Vec<_> = entries.iter().map(|entry| (entry.topic.clone(), entry.event.key)).collect();
        let events = entries.into_iter().map(|entry| (entry.topic, entry.event)).collect();
        let written = self.0.store.journal(events).await.map_err(|error| refused_by_store(&error));
        let outcomes = match written {
            Ok(written) => written.into_iter().map(|(appended, place)| (Logged::from(appended), place)).collect(),
            Err(error) => {
                counted.iter().for_each(|(topic, key)| self.leave(topic, key));
                return Err(error);
            }
        };
        let outcomes: Vec<(Logged, Cursor)> = outcomes;
        for ((topic, key), (logged, _)) in counted.iter().zip(&outcomes) {
            if *logged != Logged::Stored {
                self.leave(topic, key);
            }
        }
        Ok(outcomes)
    }

    /// The oldest texts that wait for a topic after a place.
    pub(super) async fn after(&self, topic: &str, from: Cursor, count: usize) -> Result<Vec<Waiting>, StoreError> {
        self.0.store.waiting(topic, from, count).await
    }

    /// These are published: out of the journal, then out of the count.
    pub(super) async fn settle(&self, topic: &str, published: Vec<(Cursor, [u8; 16])>) -> Result<(), StoreError> {
        let places = published.iter().map(|(place, _)| *place).collect();
        let settled = self.0.store.settle(places).await?;
        // One that was settled before (a late report and the replay both saw it) is counted out once.
        for (_, key) in published.iter().filter(|(place, _)| settled.contains(place)) {
            self.leave(topic, key);
        }
        Ok(())
    }

    /// Topics with texts waiting.
    pub(super) fn waiting_topics(&self) -> Vec<Arc<str>> {
        self.topics().keys().cloned().collect()
    }

    pub(super) fn is_waiting(&self, topic: &str) -> bool {
        self.topics().contains_key(topic)
    }

    /// Resolves when a topic has got its first waiting text since the last time.
    pub(super) async fn woken(&self) {
        self.0.woken.notified().await;
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<Arc<str>, Senders>> {
        self.0.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wait(at_most: Duration, carriers: Duration) -> Duration {
    at_most.min(carriers / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::UNHURRIED;

    #[test]
    fn a_text_reaches_the_journal_in_half_its_carriers_patience() {
        let at_most = Duration::from_millis(1_500);
        for (carriers, expected_ms) in
            [(Duration::from_millis(1_500), 750), (Duration::from_millis(14_500), 1_500), (UNHURRIED, 1_500)]
        {
            assert_eq!(wait(at_most, carriers), Duration::from_millis(expected_ms), "{carriers:?}");
        }
    }
}
