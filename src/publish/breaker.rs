//! A department's breaker: closed, open, or letting one text through to see.
//!
//! The clock is handed in, so the rules are tested without waiting. Delivery reports decide: any
//! success closes it, wherever the text went. Who waits for it to let a text through is woken when
//! it closes or when a probe is due; nobody asks it again and again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::futures::Notified;

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
    /// It failed for a reason that says nothing of the topic: our own producer's.
    Unjudged,
}

/// What a breaker lets through; a topic whose breaker is not closed is on the quarantine producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum BreakerState {
    /// Texts pass.
    Closed,
    /// Texts are refused until a probe is due.
    Open,
    /// One text is on its way to see whether the topic takes texts again.
    Probing,
}

impl BreakerState {
    pub const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::Probing];

    /// The word for it in metrics and in `/readyz?verbose`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Probing => "probing",
        }
    }
}

#[derive(Debug)]
enum State {
    Closed { failures: u32 },
    Open { since: Instant, probe_at: Instant },
    Probing { since: Instant, give_up_at: Instant },
}

impl State {
    /// Since when no text passes freely; a failed probe does not begin that anew.
    fn away_since(&self) -> Option<Instant> {
        match *self {
            Self::Closed { .. } => None,
            Self::Open { since, .. } | Self::Probing { since, .. } => Some(since),
        }
    }

    fn next_probe_at(&self) -> Option<Instant> {
        match *self {
            Self::Closed { .. } => None,
            Self::Open { probe_at, .. } => Some(probe_at),
            Self::Probing { give_up_at, .. } => Some(give_up_at),
        }
    }
}

pub(super) struct Breaker {
    state: Mutex<(State, Turn)>,
    /// Wakes those who wait for a text to be let through sooner than they were told.
    sooner: tokio::sync::Notify,
    /// A probe without a report for this long does not keep the next one waiting.
    stall: Duration,
    probe_interval: Duration,
}

impl Breaker {
    pub(super) fn new(stall: Duration, probe_interval: Duration) -> Self {
        let state = Mutex::new((State::Closed { failures: 0 }, Turn(0)));
        Self { state, sooner: tokio::sync::Notify::new(), stall, probe_interval }
    }

    fn lock(&self) -> MutexGuard<'_, (State, Turn)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn admit(&self, now: Instant) -> Pass {
        let (state, turn) = &mut *self.lock();
        let (Some(since), Some(due)) = (state.away_since(), state.next_probe_at()) else { return Pass::Home(*turn) };
        if now < due {
            return Pass::Refused;
        }
        *state = State::Probing { since, give_up_at: now + self.stall + self.probe_interval };
        turn.0 += 1;
        Pass::Probe(*turn)
    }

    /// Takes note of an outcome; `Some(open)` when the breaker changed by it. Success always counts:
    /// the topic works. Failure counts only in the state in which the text left: those that were on
    /// their way when the breaker opened neither put off the probe nor open it again afterwards.
    pub(super) fn settle(&self, left: Turn, outcome: Outcome, now: Instant) -> Option<bool> {
        let (state, turn) = &mut *self.lock();
        let away_since = state.away_since();
        if outcome != Outcome::Delivered && left != *turn {
            return None;
        }
        match (outcome, &mut *state) {
            (Outcome::Delivered, State::Closed { failures }) => {
                *failures = 0;
                return None;
            }
            // A text says nothing; a probe has been used up and the next one is due.
            (Outcome::Unjudged, State::Closed { .. }) => return None,
            (Outcome::Failed { topic_is_at_fault: false }, State::Closed { failures })
                if *failures + 1 < FAILURES_MAX =>
            {
                *failures += 1;
                return None;
            }
            (Outcome::Delivered, _) => {
                *state = State::Closed { failures: 0 };
                self.sooner.notify_waiters();
            }
            (Outcome::Stalled | Outcome::Failed { .. } | Outcome::Unjudged, _) => {
                let since = away_since.unwrap_or(now);
                *state = State::Open { since, probe_at: now + self.probe_interval };
            }
        }
        turn.0 += 1;
        let is_open = state.away_since().is_some();
        (is_open != away_since.is_some()).then_some(is_open)
    }

    /// Opens it for what is known without a text: the cluster says that the topic is missing.
    pub(super) fn open(&self, now: Instant) -> Option<bool> {
        let turn = self.lock().1;
        self.settle(turn, Outcome::Failed { topic_is_at_fault: true }, now)
    }

    /// Lets the next text through as a probe at once: there is news that the brokers are back. A
    /// probe that is on its way is waited for all the same.
    pub(super) fn hurry(&self, now: Instant) {
        if let State::Open { probe_at, .. } = &mut self.lock().0
            && *probe_at > now
        {
            *probe_at = now;
            self.sooner.notify_waiters();
        }
    }

    /// When the next text will be let through, if that is not now.
    pub(super) fn opens_at(&self, now: Instant) -> Option<Instant> {
        self.lock().0.next_probe_at().filter(|due| *due > now)
    }

    /// Resolves when a text may be let through sooner than `opens_at` said. It hears of what happens
    /// from this call on: call it before `opens_at`.
    pub(super) fn sooner(&self) -> Notified<'_> {
        self.sooner.notified()
    }

    pub(super) fn state(&self) -> BreakerState {
        match self.lock().0 {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { .. } => BreakerState::Open,
            State::Probing { .. } => BreakerState::Probing,
        }
    }

    /// How long texts have not been passing freely.
    pub(super) fn away_for(&self, now: Instant) -> Option<Duration> {
        self.lock().0.away_since().map(|since| now.saturating_duration_since(since))
    }

    pub(super) fn is_open(&self) -> bool {
        self.state() != BreakerState::Closed
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
    fn a_producers_trouble_opens_no_breaker_and_uses_up_a_probe() {
        let (breaker, now) = breaker();
        for _ in 0..=FAILURES_MAX {
            assert_eq!(breaker.settle(home(&breaker, now), Outcome::Unjudged, now), None);
        }
        breaker.settle(home(&breaker, now), Outcome::Stalled, now);
        let later = now + PROBE;
        assert_eq!(breaker.settle(probe(&breaker, later), Outcome::Unjudged, later), None);
        assert_eq!((breaker.state(), breaker.admit(later)), (BreakerState::Open, Pass::Refused));
        probe(&breaker, later + PROBE);
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

    #[test]
    fn away_counts_from_the_first_failure_whatever_probes_do() {
        let (breaker, now) = breaker();
        assert_eq!(breaker.away_for(now), None);
        breaker.settle(home(&breaker, now), Outcome::Stalled, now);
        let later = now + PROBE;
        let turn = probe(&breaker, later);
        assert_eq!((breaker.state(), breaker.away_for(later)), (BreakerState::Probing, Some(PROBE)));
        breaker.settle(turn, FAILED, later + STALL);
        assert_eq!((breaker.state(), breaker.away_for(later + STALL)), (BreakerState::Open, Some(PROBE + STALL)));
        breaker.settle(turn, Outcome::Delivered, later + STALL);
        assert_eq!((breaker.state(), breaker.away_for(later + STALL)), (BreakerState::Closed, None));
    }

    #[test]
    fn news_that_brokers_are_back_makes_a_probe_due_but_not_a_second_one() {
        let (breaker, now) = breaker();
        breaker.hurry(now);
        home(&breaker, now);
        breaker.settle(home(&breaker, now), Outcome::Stalled, now);
        assert_eq!(breaker.opens_at(now), Some(now + PROBE));
        breaker.hurry(now);
        assert_eq!(breaker.opens_at(now), None);
        probe(&breaker, now);
        breaker.hurry(now);
        assert_eq!(breaker.opens_at(now), Some(now + STALL + PROBE));
    }

    #[tokio::test]
    async fn who_waits_hears_of_a_close_that_comes_between_the_question_and_the_wait() {
        let (breaker, now) = breaker();
        breaker.settle(home(&breaker, now), Outcome::Stalled, now);
        let sooner = breaker.sooner();
        assert!(breaker.opens_at(now).is_some());
        breaker.settle(Turn(0), Outcome::Delivered, now);
        sooner.await;
        assert_eq!(breaker.opens_at(now), None);
    }
}
