//! A map that forgets: at least the last `count_max` entries, none older than `age_max`, twice
//! `count_max` at most.
//!
//! Two generations: new entries go to the young one; when it is full or old enough it becomes the old
//! one and the former old one is dropped as a whole. No entry is ever visited to be forgotten.

use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use dashmap::DashMap;

use crate::clock::Clock;

/// 128 bits that name a text.
pub type Key = [u8; 16];

type Generation = DashMap<Key, (Key, i64)>;

pub struct Recent {
    generations: ArcSwap<(Arc<Generation>, Arc<Generation>)>,
    young_count: AtomicUsize,
    young_since_ms: AtomicI64,
    turning: Mutex<()>,
    count_max: usize,
    age_max_ms: i64,
    clock: Clock,
}

impl Recent {
    pub fn new(count_max: usize, age_max: Duration, clock: Clock) -> Self {
        Self {
            generations: ArcSwap::default(),
            young_count: AtomicUsize::new(0),
            young_since_ms: AtomicI64::new(clock.now().as_millisecond()),
            turning: Mutex::new(()),
            count_max,
            age_max_ms: i64::try_from(age_max.as_millis()).unwrap_or(i64::MAX),
            clock,
        }
    }

    /// The value kept under `key`, unless it is too old.
    pub fn value(&self, key: &Key) -> Option<Key> {
        let oldest = self.clock.now().as_millisecond().saturating_sub(self.age_max_ms);
        let generations = self.generations.load();
        let entry = generations.0.get(key).or_else(|| generations.1.get(key))?;
        let (value, at) = *entry;
        (at >= oldest).then_some(value)
    }

    /// Keeps `value` under `key`; the value before it, if it is not too old.
    pub fn insert(&self, key: Key, value: Key) -> Option<Key> {
        let before = self.value(&key);
        self.keep(key, value);
        before
    }

    /// Keeps `value` under `key`, whatever was there.
    pub fn keep(&self, key: Key, value: Key) {
        let now = self.clock.now().as_millisecond();
        self.turn_if_due(now);
        if self.generations.load().0.insert(key, (value, now)).is_none() {
            self.young_count.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn turn_if_due(&self, now: i64) {
        let full = self.young_count.load(Ordering::Relaxed) >= self.count_max;
        let old = now.saturating_sub(self.young_since_ms.load(Ordering::Relaxed)) > self.age_max_ms;
        if !full && !old {
            return;
        }
        // Whoever finds the lock taken goes on: one turn is enough.
        let Ok(_turning) = self.turning.try_lock() else { return };
        let young = self.generations.load().0.clone();
        self.generations.store(Arc::new((Arc::default(), young)));
        self.young_count.store(0, Ordering::Relaxed);
        self.young_since_ms.store(now, Ordering::Relaxed);
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let generations = self.generations.load();
        generations.0.len() + generations.1.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Timestamp;

    fn key(number: u128) -> Key {
        number.to_be_bytes()
    }

    #[test]
    fn bounded_by_count_and_the_last_are_kept() {
        let recent = Recent::new(100, Duration::from_secs(60), Clock::fixed(Timestamp::UNIX_EPOCH));
        for number in 0..10_000 {
            recent.insert(key(number), key(number));
            assert!(recent.len() <= 200);
        }
        for number in 9_900..10_000 {
            assert_eq!(recent.value(&key(number)), Some(key(number)));
        }
        assert_eq!(recent.value(&key(0)), None);
    }

    #[test]
    fn bounded_by_age() {
        let at = |seconds| Timestamp::from_second(seconds).expect("a time");
        let clock = Clock::fixed(at(1000));
        let recent = Recent::new(100, Duration::from_secs(60), clock.clone());
        assert_eq!(recent.insert(key(1), key(5)), None);
        clock.set(at(1060));
        assert_eq!(recent.value(&key(1)), Some(key(5)));
        assert_eq!(recent.insert(key(1), key(5)), Some(key(5)));
        clock.set(at(1121));
        assert_eq!(recent.value(&key(1)), None);
        assert_eq!(recent.insert(key(1), key(5)), None);
    }
}
