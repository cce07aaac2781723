//! A department's breaker: closed, open, or letting one text through to see.
//!
//! The clock is handed in, so the rules are tested without waiting. Delivery reports decide: any
//! success closes it, wherever the text went.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row, none of them the topic's own fault, that open the breaker.
const FAILURES_MAX: u32 = 3;

/// How a text may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// Through the department's own producer.
    Home,
    /// Through the quarantine producer, to see whether the topic takes texts again.
    Probe,
    Refused,
}

/// What became of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Delivered,
    /// No report within the stall time; one may still come.
    Stalled,
    Failed {
        topic_is_at_fault: bool,
    },
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { probe_at: Instant },
    Probing { give_up_at: Instant },
}

pub(super) struct Breaker {
    state: Mutex<State>,
    /// A probe without a report for this long does not keep the next one waiting.
    stall: Duration,
    probe_interval: Duration,
}

impl Breaker {
    pub(super) fn new(stall: Duration, probe_interval: Duration) -> Self {
        Self { state: Mutex::new(State::Closed { failures: 0 }), stall, probe_interval }
    }

    pub(super) fn admit(&self, now: Instant) -> Pass {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let due = match *state {
            State::Closed { .. } => return Pass::Home,
            State::Open { probe_at } => probe_at,
            State::Probing { give_up_at } => give_up_at,
        };
        if now < due {
            return Pass::Refused;
        }
        *state = State::Probing { give_up_at: now + self.stall + self.probe_interval };
        Pass::Probe
    }

    /// Takes note of an outcome; `Some(open)` when the breaker changed by it.
    pub(super) fn settle(&self, outcome: Outcome, now: Instant) -> Option<bool> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let was_open = !matches!(*state, State::Closed { .. });
        let failures = match *state {
            State::Closed { failures } => failures,
            State::Open { .. } | State::Probing { .. } => FAILURES_MAX,
        };
        *state = match outcome {
            Outcome::Delivered => State::Closed { failures: 0 },
            Outcome::Failed { topic_is_at_fault: false } if failures + 1 < FAILURES_MAX => {
                State::Closed { failures: failures + 1 }
            }
            Outcome::Stalled | Outcome::Failed { .. } => State::Open { probe_at: now + self.probe_interval },
        };
        let is_open = !matches!(*state, State::Closed { .. });
        (is_open != was_open).then_some(is_open)
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(*self.state.lock().unwrap_or_else(PoisonError::into_inner), State::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_millis(1500);
    const PROBE: Duration = Duration::from_secs(1);
    const FAILED: Outcome = Outcome::Failed { topic_is_at_fault: false };

    #[test]
    fn opens_at_the_third_failure_in_a_row() {
        let (breaker, now) = (Breaker::new(STALL, PROBE), Instant::now());
        assert_eq!(breaker.settle(FAILED, now), None);
        assert_eq!(breaker.settle(FAILED, now), None);
        assert_eq!(breaker.settle(Outcome::Delivered, now), None);
        assert_eq!(breaker.settle(FAILED, now), None);
        assert_eq!(breaker.settle(FAILED, now), None);
        assert_eq!(breaker.settle(FAILED, now), Some(true));
        assert_eq!(breaker.admit(now), Pass::Refused);
    }

    #[test]
    fn opens_at_once_when_the_topic_is_at_fault_or_stalls() {
        for outcome in [Outcome::Failed { topic_is_at_fault: true }, Outcome::Stalled] {
            let (breaker, now) = (Breaker::new(STALL, PROBE), Instant::now());
            assert_eq!(breaker.settle(outcome, now), Some(true), "{outcome:?}");
        }
    }

    #[test]
    fn one_probe_at_a_time_and_success_closes() {
        let (breaker, now) = (Breaker::new(STALL, PROBE), Instant::now());
        breaker.settle(Outcome::Stalled, now);
        let later = now + PROBE;
        assert_eq!(breaker.admit(later), Pass::Probe);
        assert_eq!(breaker.admit(later), Pass::Refused);
        assert_eq!(breaker.settle(Outcome::Delivered, later), Some(false));
        assert_eq!(breaker.admit(later), Pass::Home);
    }

    #[test]
    fn a_failed_or_silent_probe_is_followed_by_another() {
        let (breaker, now) = (Breaker::new(STALL, PROBE), Instant::now());
        breaker.settle(Outcome::Stalled, now);
        let first = now + PROBE;
        assert_eq!(breaker.admit(first), Pass::Probe);
        breaker.settle(FAILED, first);
        assert_eq!(breaker.admit(first), Pass::Refused);
        let second = first + PROBE;
        assert_eq!(breaker.admit(second), Pass::Probe);
        assert_eq!(breaker.admit(second + STALL + PROBE), Pass::Probe, "a probe that nobody reported on");
    }
}
