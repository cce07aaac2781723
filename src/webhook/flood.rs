//! Flood control: how many new texts a second an account may bring, where the operator says so.
//!
//! A bucket that fills evenly (GCRA). What is too much is refused after the request has proven itself,
//! for strangers must not empty anybody's bucket; while the bucket is empty the next requests are
//! refused by their heads.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use governor::clock::{Clock, MonotonicClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

/// What an account may bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    pub texts_per_second: NonZeroU32,
    /// Texts at once after a quiet time.
    pub burst: NonZeroU32,
}

pub struct Flood<C: Clock = MonotonicClock> {
    bucket: RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<C::Instant>>,
    burst: NonZeroU32,
    clock: C,
    shut_until: Mutex<Option<C::Instant>>,
}

impl Flood {
    pub fn new(rate: Rate) -> Self {
        Self::with_clock(rate, MonotonicClock)
    }
}

impl<C: Clock + Clone> Flood<C> {
    fn with_clock(rate: Rate, clock: C) -> Self {
        let quota = Quota::per_second(rate.texts_per_second).allow_burst(rate.burst);
        let bucket = RateLimiter::direct_with_clock(quota, clock.clone());
        Self { bucket, burst: rate.burst, clock, shut_until: Mutex::new(None) }
    }

    /// Takes that many texts out of the bucket, or none. A batch of more than a burst takes a whole
    /// burst: refused, it would be refused for ever.
    pub fn let_in(&self, texts: usize) -> bool {
        let texts = u32::try_from(texts).unwrap_or(u32::MAX).min(self.burst.get());
        let Some(texts) = NonZeroU32::new(texts) else { return true };
        let shut_until = match self.bucket.check_n(texts) {
            Ok(Ok(())) => return true,
            Ok(Err(not_until)) => not_until.earliest_possible(),
            // Never more than a burst, see above.
            Err(_) => return true,
        };
        // A batch may have to wait long where a single text need not.
        if texts.get() == 1 {
            *self.shut_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(shut_until);
        }
        false
    }

    /// Whether one text more would be too many, as far as is known without taking it.
    pub fn is_shut(&self) -> bool {
        let until = *self.shut_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| self.clock.now() < until)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use governor::clock::FakeRelativeClock;

    use super::*;

    fn flood(texts_per_second: u32, burst: u32) -> (Flood<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let number = |number| NonZeroU32::new(number).expect("not zero");
        let rate = Rate { texts_per_second: number(texts_per_second), burst: number(burst) };
        (Flood::with_clock(rate, clock.clone()), clock)
    }

    #[test]
    fn a_burst_and_then_the_rate() {
        let (flood, clock) = flood(10, 5);
        let let_in = |count: usize| (0..count).filter(|_| flood.let_in(1)).count();
        assert_eq!(let_in(20), 5);
        assert!(flood.is_shut());
        clock.advance(Duration::from_millis(100));
        assert!(!flood.is_shut());
        assert_eq!(let_in(20), 1);
        clock.advance(Duration::from_secs(60));
        assert_eq!(let_in(20), 5, "a long quiet time is worth one burst");
    }

    #[test]
    fn batches_are_let_in_whole_or_not_at_all() {
        let (flood, clock) = flood(10, 5);
        assert!(flood.let_in(4) && !flood.let_in(2));
        assert!(!flood.is_shut(), "a single text still fits");
        assert!(flood.let_in(1));
        clock.advance(Duration::from_millis(500));
        assert!(flood.let_in(1_000), "more than a burst takes a whole one");
        assert!(!flood.let_in(1));
        assert!(flood.let_in(0), "nothing new costs nothing");
    }
}
