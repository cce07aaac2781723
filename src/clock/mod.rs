//! The clock: the only place that asks what time it is.
//!
//! Comes in: nothing. Goes out: the time, in whole milliseconds; by how much one wait differs from another.
//! Always true: every room that judges age takes a `Clock`, so a test can set it.
//! Not here: waiting; timers are tokio's.

use std::hash::{BuildHasher, RandomState};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use crate::message::Timestamp;

/// A number in the range, another one each time: for waits that should not all end together.
pub fn jittered(range: RangeInclusive<u64>) -> u64 {
    range.start() + RandomState::new().hash_one(Instant::now()) % (range.end() - range.start() + 1)
}

/// A clock, cheap to clone: the system's, or one that a test sets.
#[derive(Debug, Clone, Default)]
pub struct Clock(Option<Arc<AtomicI64>>);

impl Clock {
    /// The system's clock.
    pub fn system() -> Self {
        Self(None)
    }

    /// A clock that stands still at `time` until `set`.
    pub fn fixed(time: Timestamp) -> Self {
        Self(Some(Arc::new(AtomicI64::new(time.as_millisecond()))))
    }

    /// Moves a fixed clock, for every clone of it. The system's clock cannot be moved.
    pub fn set(&self, time: Timestamp) {
        if let Some(fixed) = &self.0 {
            fixed.store(time.as_millisecond(), Ordering::SeqCst);
        }
    }

    /// Now, cut to milliseconds: what is stored and what is published agree.
    pub fn now(&self) -> Timestamp {
        let milliseconds = match &self.0 {
            Some(fixed) => fixed.load(Ordering::SeqCst),
            None => Timestamp::now().as_millisecond(),
        };
        Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX)
    }
}
