//! Power cuts: whatever part of the last writes reached the disk, what opens is a prefix of the commits.
//!
//! A story is a series of commits of every kind, with what each leaves known beforehand. Its files are
//! then cut, holed and mixed as a disk may leave them that lost its power: everything up to the last
//! completed fsync is there, of what was written after it any part. No fsync is skipped by the store, so
//! what was answered is in the part that is there; that order itself is proven by an integration test.

mod checkpoints;
mod cuts;
mod damage;
mod story;

use proptest::test_runner::Config;

/// How often a test repeats what chance decides: more in the extended run, which raises proptest's cases.
fn rounds() -> u64 {
    u64::from(Config::default().cases / 256).max(1)
}
