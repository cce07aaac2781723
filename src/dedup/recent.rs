//! A map that forgets: at least the last `count_max` entries, none older than `age_max`, twice
//! `count_max` at most and one more for each thread that writes just then.
//!
//! Two generations: new entries go to the young one; when it is full or old enough it becomes the old
//! one and the former old one is dropped as a whole. No entry is ever visited to be forgotten.
//! One lock guards which generations there are: whoever reads or adds an entry shares it, whoever
//! turns them has it alone. So no entry can fall between two generations, and none turns them twice.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use dashmap::DashMap;
use foldhash::fast::RandomState;

use crate::clock::Clock;

/// 128 bits that name a text.
pub type Key = [u8; 16];

/// A value, and when it was kept.
type Kept = (Key, i64);
/// Keys are hashes already, so a quick one finds their place.
type Generation = DashMap<Key, Kept, RandomState>;

#[derive(Default)]
struct Generations {
    young: Generation,
    old: Generation,
    /// Keys in `young`: its own count would visit every shard.
    young_count: AtomicUsize,
    young_since_ms: i64,
}

pub struct Recent {
    generations: RwLock<Generations>,
    count_max: usize,
    age_max_ms: i64,
    clock: Clock,
}

impl Recent {
    pub fn new(count_max: usize, age_max: Duration, clock: Clock) -> Self {
        let generations = Generations { young_since_ms: clock.now().as_millisecond(), ..Generations::default() };
        Self {
            generations: RwLock::new(generations),
            count_max,
            age_max_ms: i64::try_from(age_max.as_millis()).unwrap_or(i64::MAX),
            clock,
        }
    }

    /// The value kept under `key`, unless it is too old.
    pub fn value(&self, key: &Key) -> Option<Key> {
        let generations = self.generations.read().unwrap_or_else(PoisonError::into_inner);
        let kept = generations.young.get(key).or_else(|| generations.old.get(key)).map(|kept| *kept)?;
        self.unless_too_old(kept, self.clock.now().as_millisecond())
    }

    /// Keeps `value` under `key`; the value before it, if it is not too old. Of two that keep the same
    /// key at once, one sees the other's value.
    pub fn insert(&self, key: Key, value: Key) -> Option<Key> {
        let now = self.clock.now().as_millisecond();
        let generations = self.with_room(now);
        let before = generations.young.insert(key, (value, now)).or_else(|| {
            generations.young_count.fetch_add(1, Ordering::Relaxed);
            generations.old.get(&key).map(|kept| *kept)
        });
        self.unless_too_old(before?, now)
    }

    fn unless_too_old(&self, (value, at): Kept, now: i64) -> Option<Key> {
        (at >= now.saturating_sub(self.age_max_ms)).then_some(value)
    }

    /// The generations, turned if the young one is full or old enough.
    fn with_room(&self, now: i64) -> RwLockReadGuard<'_, Generations> {
        let generations = self.generations.read().unwrap_or_else(PoisonError::into_inner);
        if !self.is_due(&generations, now) {
            return generations;
        }
        drop(generations);
        let mut generations = self.generations.write().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have turned them while nobody held the lock.
        let forgotten = self.is_due(&generations, now).then(|| generations.turn(now));
        let generations = RwLockWriteGuard::downgrade(generations);
        // Giving back a million entries takes a while, during which others may read and write.
        drop(forgotten);
        generations
    }

    fn is_due(&self, generations: &Generations, now: i64) -> bool {
        let full = generations.young_count.load(Ordering::Relaxed) >= self.count_max;
        full || now.saturating_sub(generations.young_since_ms) > self.age_max_ms
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let generations = self.generations.read().expect("no panic in a test");
        generations.young.len() + generations.old.len()
    }
}

impl Generations {
    /// Makes the young generation the old one; gives what is forgotten.
    fn turn(&mut self, now: i64) -> Generation {
        *self.young_count.get_mut() = 0;
        self.young_since_ms = now;
        std::mem::replace(&mut self.old, std::mem::take(&mut self.young))
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
