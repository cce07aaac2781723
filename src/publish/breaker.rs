//! A department's breaker: closed, open, or letting one text through to see.
//!
//! The clock is handed in, so the rules are tested without waiting. Delivery reports decide: any
//! success closes it, wherever the text went.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Failures in a row, none of them the topic's own fault, that open the breaker.
const FAILURES_MAX: u32 = 3;

/// How a text may go, and for which state of the breaker that was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    /// Through the department's own producer.
    Home(Turn),
    /// Through the quarantine producer, to see whether the topic takes texts again.
    Probe(Turn),
    Refused,
}

/// Counts the breaker's changes: a report on a text that left in an earlier state is old news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn(u64);

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
    state: Mutex<(State, Turn)>,
    /// A probe without a report for this long does not keep the next one waiting.
    stall: Duration,
    probe_interval: Duration,
}

impl Breaker {
    pub(super) fn new(stall: Duration, probe_interval: Duration) -> Self {
        let state = Mutex::new((State::Closed { failures: 0 }, Turn(0)));
        Self { state, stall, probe_interval }
    }

    pub(super) fn admit(&self, now: Instant) -> Pass {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, turn) = &mut *guard;
        let due = match *state {
            State::Closed { .. } => return Pass::Home(*turn),
            State::Open { probe_at } => probe_at,
            State::Probing { give_up_at } => give_up_at,
        };
        if now < due {
            return Pass::Refused;
        }
        *state = State::Probing { give_up_at: now + self.stall + self.probe_interval };
        turn.0 += 1;
        Pass::Probe(*turn)
    }

    /// Takes note of an outcome; `Some(open)` when the breaker changed by it. Success always counts:
    /// the topic works. Failure counts only in the state in which the text left: those that were on
    /// their way when the breaker opened neither put off the probe nor open it again afterwards.
    pub(super) fn settle(&self, left: Turn, outcome: Outcome, now: Instant) -> Option<bool> {
        let mut guard = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, turn) = &mut *guard;
        let was_open = !matches!(*state, State::Closed { .. });
        if outcome == Outcome::Delivered && !was_open {
            *state = State::Closed { failures: 0 };
            return None;
        }
        if outcome != Outcome::Delivered && left != *turn {
            return None;
        }
        let failures = match *state {
            State::Closed { failures } => failures + 1,
            State::Open { .. } | State::Probing { .. } => FAILURES_MAX,
        };
        *state = match outcome {
            Outcome::Delivered => State::Closed { failures: 0 },
            Outcome::Failed { topic_is_at_fault: false } if failures < FAILURES_MAX => {
                *state = State::Closed { failures };
                return None;
            }
            Outcome::Stalled | Outcome::Failed { .. } => State::Open { probe_at: now + self.probe_interval },
        };
        turn.0 += 1;
        let is_open = !matches!(*state, State::Closed { .. });
        (is_open != was_open).then_some(is_open)
    }

    /// Opens it for what is known without a text: the cluster says that the topic is missing.
    pub(super) fn open(&self, now: Instant) -> Option<bool> {
        let turn = self.state.lock().unwrap_or_else(PoisonError::into_inner).1;
        self.settle(turn, Outcome::Failed { topic_is_at_fault: true }, now)
    }

    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state.lock().unwrap_or_else(PoisonError::into_inner).0, State::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_millis(1500);
    const PROBE: Duration = Duration::from_secs(1);
    const FAILED: Outcome = Outcome::Failed { topic_is_at_fault: false };
    const AT_FAULT: Outcome = Outcome::Failed { topic_is_at_fault: true };

    fn breaker() -> (Breaker, Instant) {
        (Breaker::new(STALL, PROBE), Instant::now())
    }

    fn home(breaker: &Breaker, now: Instant) -> Turn {
        match breaker.admit(now) {
            Pass::Home(turn) => turn,
            pass => panic!("the breaker should be closed: {pass:?}"),
        }
    }

    fn probe(breaker: &Breaker, now: Instant) -> Turn {
        match breaker.admit(now) {
            Pass::Probe(turn) => turn,
            pass => panic!("a probe should be due: {pass:?}"),
        }
    }

    #[test]
    fn opens_at_the_third_failure_in_a_row() {
        let (breaker, now) = breaker();
        let outcomes = [FAILED, FAILED, Outcome::Delivered, FAILED, FAILED];
        for outcome in outcomes {
            assert_eq!(breaker.settle(home(&breaker, now), outcome, now), None, "{outcome:?}");
        }
        assert_eq!(breaker.settle(home(&breaker, now), FAILED, now), Some(true));
        assert_eq!(breaker.admit(now), Pass::Refused);
    }

    #[test]
    fn opens_at_once_when_the_topic_is_at_fault_or_stalls() {
        for outcome in [AT_FAULT, Outcome::Stalled] {
            let (breaker, now) = breaker();
            assert_eq!(breaker.settle(home(&breaker, now), outcome, now), Some(true), "{outcome:?}");
        }
    }

    #[test]
    fn one_probe_at_a_time_and_success_closes() {
        let (breaker, now) = breaker();
        breaker.settle(home(&breaker, now), Outcome::Stalled, now);
        let later = now + PROBE;
        let turn = probe(&breaker, later);
        assert_eq!(breaker.admit(later), Pass::Refused);
        assert_eq!(breaker.settle(turn, Outcome::Delivered, later), Some(false));
        home(&breaker, later);
    }

    #[test]
    fn a_failed_or_silent_probe_is_followed_by_another() {
        let (breaker, now) = breaker();
        breaker.settle(home(&breaker, now), Outcome::Stalled, now);
        let first = now + PROBE;
        assert_eq!(breaker.settle(probe(&breaker, first), FAILED, first), None);
        assert_eq!(breaker.admit(first), Pass::Refused);
        let second = first + PROBE;
        probe(&breaker, second);
        probe(&breaker, second + STALL + PROBE);
    }

    #[test]
    fn old_news_neither_puts_off_the_probe_nor_opens_again() {
        let (breaker, now) = breaker();
        let early = home(&breaker, now);
        breaker.settle(early, Outcome::Stalled, now);
        let later = now + PROBE;
        assert_eq!(breaker.settle(early, FAILED, later), None);
        let turn = probe(&breaker, later);
        assert_eq!(breaker.settle(early, AT_FAULT, later), None);
        assert_eq!(breaker.settle(turn, Outcome::Delivered, later), Some(false));
        for _ in 0..FAILURES_MAX {
            assert_eq!(breaker.settle(early, FAILED, later), None);
        }
        home(&breaker, later);
    }

    #[test]
    fn late_success_closes_it_whatever_the_probe_does() {
        let (breaker, now) = breaker();
        let early = home(&breaker, now);
        breaker.settle(early, Outcome::Stalled, now);
        assert_eq!(breaker.settle(early, Outcome::Delivered, now), Some(false));
    }
}
