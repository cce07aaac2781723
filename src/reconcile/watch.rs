//! The hours of a running process, each judged once it is over.
//!
//! Comes in: the time. Goes out: a metric that is zero when all is well, and a line in the log when not.
//! Always true: one hour at a time, off everybody's way; an hour with differences is judged again from time
//! to time until they are gone, for they can be mended; at most `OPEN_MAX` of those are remembered.
//! Not here: the judging.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::SignedDuration;
use tokio_util::sync::CancellationToken;

use super::findings::Kind;
use super::{Judge, Judgement, ReconcileError, Verdict, Window};
use crate::clock::Clock;
use crate::message::Timestamp;
use crate::telemetry::Metrics;

/// After its end an hour rests: what carriers still wait for is answered, and stored, by then.
const REST: SignedDuration = SignedDuration::from_mins(2);
/// Hours before the last closed one that a starting process makes good.
const CATCH_UP_HOURS: usize = 6;
/// Hours with differences that are judged again.
const OPEN_MAX: usize = 48;
/// Between two judgements of an hour with differences.
const AGAIN_EVERY: SignedDuration = SignedDuration::from_hours(1);
/// Differences named in one line of the log.
const LOGGED_MAX: usize = 10;

type Counts = [u64; Kind::ALL.len()];

/// An hour with differences.
struct Open {
    window: Window,
    counts: Counts,
    judged_at: Timestamp,
}

/// Judges closed hours for as long as the process runs.
pub struct Watch {
    judge: Judge,
    metrics: Metrics,
    clock: Clock,
    every: Duration,
    next: Window,
    open: VecDeque<Open>,
    /// Of hours that are judged no more.
    for_good: Counts,
    /// Whether trouble was logged and its end was not.
    in_trouble: bool,
}

impl Watch {
    pub fn new(judge: Judge, metrics: Metrics, clock: Clock, every: Duration) -> Self {
        for kind in Kind::ALL {
            metrics.reconcile_differences.with_label_values(&[kind.label()]).set(0);
        }
        let mut next = Window::last_closed(clock.now());
        for _ in 0..CATCH_UP_HOURS {
            next = next.before();
        }
        let for_good = [0; Kind::ALL.len()];
        Self { judge, metrics, clock, every, next, open: VecDeque::new(), for_good, in_trouble: false }
    }

    pub async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let goes_on = self.round(&stop).await;
            let pause = if goes_on { Duration::ZERO } else { self.every };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One hour that is over, or one that differed; whether there may be another at once.
    async fn round(&mut self, stop: &CancellationToken) -> bool {
        let now = self.clock.now();
        if self.next.until + REST <= now {
            let window = self.next;
            let is_settled = self.judge(window, stop).await;
            if is_settled {
                self.next = window.after();
                let end = window.until.as_second();
                self.metrics.reconcile_last_hour.set(end);
            }
            return is_settled;
        }
        let again = self.open.front().filter(|open| open.judged_at + AGAIN_EVERY <= now).map(|open| open.window);
        match again {
            Some(window) => self.judge(window, stop).await,
            None => false,
        }
    }

    /// Whether the hour has its verdict.
    async fn judge(&mut self, window: Window, stop: &CancellationToken) -> bool {
        let judged = self.judge.judge(window, self.clock.now(), stop).await;
        if judged.is_ok() && std::mem::take(&mut self.in_trouble) {
            tracing::info!("hours are reconciled again");
        }
        match judged {
            Ok(Verdict::Judged(judgement)) => self.conclude(window, &judgement),
            Ok(Verdict::TooLate(reason)) => {
                tracing::warn!(%window, reason, "an hour cannot be reconciled any more");
                self.close(window);
            }
            Ok(Verdict::NotYet(reason)) => {
                tracing::info!(%window, reason, "an hour cannot be reconciled yet");
                return false;
            }
            Err(ReconcileError::Stopped) => return false,
            Err(error @ ReconcileError::TooMany(_)) => {
                tracing::error!(%window, %error, "an hour cannot be reconciled");
                self.close(window);
            }
            Err(error) => {
                if !std::mem::replace(&mut self.in_trouble, true) {
                    tracing::error!(%window, %error, "an hour could not be reconciled; it is tried again");
                }
                return false;
            }
        }
        self.show();
        true
    }

    fn conclude(&mut self, window: Window, judgement: &Judgement) {
        self.open.retain(|open| open.window != window);
        if judgement.all_is_well() {
            tracing::info!(%window, accepted = judgement.sums.accepted, archived = judgement.sums.archived, "an hour is reconciled");
            return;
        }
        let named = judgement.differences.iter().take(LOGGED_MAX);
        let named: Vec<String> = named.map(|one| one.to_string()).collect();
        let differing: u64 = judgement.counts.iter().sum();
        tracing::error!(%window, differing, first = named.join("; "), "an hour does not agree: `sms-router reconcile` names all of it");
        self.open.push_back(Open { window, counts: judgement.counts, judged_at: self.clock.now() });
        if self.open.len() > OPEN_MAX
            && let Some(oldest) = self.open.pop_front()
        {
            self.keep(oldest.counts);
        }
    }

    /// No further judgement of the hour can be had: what differed stays said.
    fn close(&mut self, window: Window) {
        if let Some(index) = self.open.iter().position(|open| open.window == window)
            && let Some(open) = self.open.remove(index)
        {
            self.keep(open.counts);
        }
    }

    fn keep(&mut self, counts: Counts) {
        self.for_good.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }

    fn show(&self) {
        for kind in Kind::ALL {
            let open: u64 = self.open.iter().map(|open| open.counts[kind as usize]).sum();
            let all = i64::try_from(open + self.for_good[kind as usize]).unwrap_or(i64::MAX);
            self.metrics.reconcile_differences.with_label_values(&[kind.label()]).set(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::super::Embedded;
    use super::*;
    use crate::message::{AccountName, DepartmentName, Destination, Event, EventId, EventKind, SenderKey};
    use crate::store::{Settings, Store};

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time of the test")
    }

    fn event(number: u128, received_at: Timestamp) -> Event {
        Event {
            id: EventId::from_u128(number),
            copy_of: None,
            kind: EventKind::Message,
            destination: Destination::Department(DepartmentName::parse("highways").expect("a name")),
            account: AccountName::parse("demo").expect("a name"),
            subject: "86555".to_owned(),
            received_at,
            key: [0; 16],
            fingerprint: [0; 16],
            traceparent: None,
            value: b"{}".to_vec(),
        }
    }

    #[tokio::test]
    async fn an_hour_is_judged_once_it_rests_and_again_until_what_differs_is_mended() {
        let folder = tempfile::tempdir().expect("a folder");
        let clock = Clock::fixed(at("2026-11-22T10:20:00Z"));
        let key = SenderKey::new(b"a key of the tests").expect("long enough");
        let (store, writer) = Store::open(Settings::of(folder.path()), key, clock.clone()).expect("a store");
        store.append(vec![event(1, clock.now()), event(2, clock.now())]).await.expect("stored");
        let file = Connection::open(folder.path().join("sms-router.sqlite")).expect("the store");
        let metrics = Metrics::new();
        let judge = Judge::Embedded(Embedded {
            folder: folder.path().to_owned(),
            feed_retention: Duration::from_secs(30 * 86_400),
            ids_max: 1_000,
        });
        let mut watch = Watch::new(judge, metrics.clone(), clock.clone(), Duration::from_secs(1));
        let stop = CancellationToken::new();
        let differing = || metrics.reconcile_differences.with_label_values(&["unarchived"]).get();
        // The hours before the first text, one after the other.
        for _ in 0..=CATCH_UP_HOURS {
            assert!(watch.round(&stop).await);
        }
        assert!(!watch.round(&stop).await, "the hour is not over");
        assert_eq!(metrics.reconcile_last_hour.get(), at("2026-11-22T10:00:00Z").as_second());
        file.execute("CREATE TEMP TABLE kept AS SELECT * FROM audit WHERE position = 2", []).expect("kept");
        file.execute("DELETE FROM audit WHERE position = 2", []).expect("removed");
        clock.set(at("2026-11-22T11:01:59Z"));
        assert!(!watch.round(&stop).await, "it rests");
        clock.set(at("2026-11-22T11:02:00Z"));
        assert!(watch.round(&stop).await);
        assert_eq!((differing(), metrics.reconcile_last_hour.get()), (1, at("2026-11-22T11:00:00Z").as_second()));
        file.execute("INSERT INTO audit SELECT * FROM kept", []).expect("mended");
        assert!(!watch.round(&stop).await);
        assert_eq!(differing(), 1, "it is not looked at all the time");
        clock.set(at("2026-11-22T12:02:00Z"));
        assert!(watch.round(&stop).await && watch.round(&stop).await);
        assert_eq!(differing(), 0);
        assert_eq!(metrics.reconcile_last_hour.get(), at("2026-11-22T12:00:00Z").as_second());
        drop(store);
        writer.close().await;
    }
}
