//! Whether a server takes anything now: shared by all who use it, so that one that is away is not hammered.
//!
//! Comes in: what became of tries. Goes out: leave for a try, or when to ask again.
//! Always true: after `failures_max` failures in a row there is one try at a time, after a pause that grows, until one
//! succeeds; a ticket that is dropped without a word takes nothing from the next.
//! Not here: pauses of a single text.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::Retry;

/// A server's health.
pub(super) struct Health {
    failures_max: u32,
    retry: Retry,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    /// In a row.
    failures: u32,
    /// Before that nobody tries: after a failure.
    until: Option<Instant>,
    /// The same because the server asked for it.
    held: Option<Instant>,
    probing: bool,
}

/// Leave for a try, or not.
pub(super) enum Leave {
    Go(Ticket),
    NotBefore(Instant),
    /// Somebody is trying; what becomes of that shows in `changes`.
    Later,
}

impl Health {
    /// Of a server that is thought well of, until `failures_max` (from 1) tries in a row fail.
    pub(super) fn new(failures_max: u32, retry: Retry) -> Arc<Self> {
        let changed = watch::Sender::new(());
        Arc::new(Self { failures_max, retry, state: Mutex::default(), changed })
    }

    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    pub(super) fn ask(self: &Arc<Self>, now: Instant) -> Leave {
        let mut state = self.state();
        let is_open = state.failures >= self.failures_max;
        if is_open && state.probing {
            return Leave::Later;
        }
        let not_before = if is_open { state.until.max(state.held) } else { state.held };
        if let Some(until) = not_before.filter(|until| *until > now) {
            return Leave::NotBefore(until);
        }
        state.probing = is_open;
        Leave::Go(Ticket { health: self.clone(), is_probe: is_open })
    }

    /// The server asked for a pause.
    pub(super) fn hold(&self, now: Instant, pause: Duration) {
        let mut state = self.state();
        state.held = state.held.max(Some(now + pause));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave for one try.
pub(super) struct Ticket {
    health: Arc<Health>,
    is_probe: bool,
}

impl Ticket {
    /// The server works.
    pub(super) fn worked(self) {
        let mut state = self.health.state();
        (state.failures, state.until) = (0, None);
    }

    /// The server does not.
    pub(super) fn failed(self, now: Instant) {
        let mut state = self.health.state();
        let was_open = state.failures >= self.health.failures_max;
        if was_open && !self.is_probe {
            // One of several that were on their way when it went away: told already.
            return;
        }
        state.failures = state.failures.saturating_add(1);
        if state.failures >= self.health.failures_max {
            let pause = self.health.retry.pause(state.failures - self.health.failures_max + 1);
            state.until = Some(now + pause);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.is_probe {
            self.health.state().probing = false;
        }
        self.health.changed.send_replace(());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(failures_max: u32) -> Arc<Health> {
        let second = Duration::from_secs(1);
        Health::new(failures_max, Retry { first: second, longest: 8 * second, give_up: second })
    }

    fn go(health: &Arc<Health>, now: Instant) -> Option<Ticket> {
        match health.ask(now) {
            Leave::Go(ticket) => Some(ticket),
            Leave::NotBefore(_) | Leave::Later => None,
        }
    }

    fn later(now: Instant, seconds: u64) -> Instant {
        now + Duration::from_secs(seconds)
    }

    #[test]
    fn a_server_that_is_away_gets_one_try_at_a_time_until_one_succeeds() {
        let (health, now) = (health(2), Instant::now());
        let (first, second, third) =
            (go(&health, now).expect("leave"), go(&health, now).expect("leave"), go(&health, now));
        first.failed(now);
        assert!(go(&health, now).is_some(), "one failure is none");
        second.failed(now);
        third.expect("leave").failed(now);
        assert!(go(&health, now).is_none(), "a pause");
        let now = later(now, 1);
        let probe = go(&health, now).expect("one try");
        assert!(matches!(health.ask(now), Leave::Later));
        drop(probe);
        let probe = go(&health, now).expect("a ticket that was not used is nobody's failure");
        probe.failed(now);
        assert!(matches!(health.ask(now), Leave::NotBefore(_)));
        let now = later(now, 2);
        go(&health, now).expect("one try").worked();
        assert!(go(&health, now).is_some() && go(&health, now).is_some(), "well again");
    }

    #[test]
    fn a_pause_that_the_server_asks_for_is_kept_whatever_else_succeeds() {
        let (health, now) = (health(5), Instant::now());
        let other = go(&health, now).expect("leave");
        health.hold(now, Duration::from_secs(60));
        other.worked();
        assert!(go(&health, later(now, 59)).is_none());
        assert!(go(&health, later(now, 60)).is_some());
    }

    #[test]
    fn whoever_waits_hears_of_every_end_of_a_try() {
        let (health, now) = (health(1), Instant::now());
        let mut changes = health.changes();
        go(&health, now).expect("leave").failed(now);
        assert!(changes.has_changed().expect("there"));
        changes.mark_unchanged();
        let probe = go(&health, later(now, 1)).expect("one try");
        assert!(!changes.has_changed().expect("there"));
        changes.mark_unchanged();
        probe.worked();
        assert!(changes.has_changed().expect("there"));
    }
}
