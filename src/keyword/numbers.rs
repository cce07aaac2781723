//! Numbers as keys of a table that is only read: one multiplication for each eight characters.
//!
//! Comes in: a number. Goes out: its hash. Always true: the keys are those the operator wrote, so a
//! number chosen by a sender can meet a chain of them but never make one longer; that is why this
//! hash needs no secret, which would cost as much as finding the keyword.
//! Not here: maps whose keys come from outside; they have a hash with a seed.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Values by normalised number.
pub(super) type ByNumber<V> = HashMap<String, V, BuildHasherDefault<NumberHasher>>;

/// Odd, and its bits look drawn: the fraction of the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[derive(Default)]
pub(super) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let word = chunk.iter().fold(0, |word, &byte| (word << 8) | u64::from(byte));
            self.0 = (self.0.rotate_left(29) ^ word).wrapping_mul(SPREAD);
        }
    }

    /// What follows a string so that no two strings make one; a key here is a single one.
    fn write_u8(&mut self, _: u8) {}

    fn finish(&self) -> u64 {
        // The map takes its place from the low bits, and a product is mixed best in the high ones.
        self.0 ^ (self.0 >> 32)
    }
}
