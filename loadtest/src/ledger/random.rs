//! Chance that can be repeated: everything random in a run comes from its seed.
//!
//! Comes in: a seed. Goes out: numbers, choices, pauses. Always true: the same seed gives the same
//! sequence on every machine. Not here: secrets; this is SplitMix64, which anybody can foresee.

use std::ops::Range;
use std::time::Duration;

/// One stream of chance.
#[derive(Clone)]
pub struct Random(u64);

impl Random {
    /// A stream of its own for every name, so that one part's draws do not shift another's.
    pub fn new(seed: u64, name: &str) -> Self {
        Self(name.bytes().fold(mix(seed), |state, byte| mix(state ^ u64::from(byte))))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A stream for one of many that run at the same time.
    pub fn fork(&mut self) -> Self {
        Self(self.next())
    }

    /// Less than `end`, which is at least 1.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True that many times out of a hundred.
    pub fn percent(&mut self, times: usize) -> bool {
        self.below(100) < times
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    pub fn millis(&mut self, range: Range<u64>) -> Duration {
        Duration::from_millis(range.start + self.next() % (range.end - range.start))
    }

    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for end in (2..=list.len()).rev() {
            list.swap(end - 1, self.below(end));
        }
    }
}

/// SplitMix64's finaliser (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
pub fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}
