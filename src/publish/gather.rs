//! When a topic's records go to librdkafka: at once while brokers answer quickly, else together.
//!
//! Comes in: that a record would go, that it went, that it has its report. Goes out: when there is room for it.
//! Always true: while answers are quick nobody waits, and no lock is taken; else a record waits only while several
//! others of its topic are under way, and no longer than a limit; what does not return within that limit is waited for
//! no more.
//! Not here: bounds (`Publisher`), what a report says (`fault`), a topic in trouble (`breaker`).
//!
//! Why: an idempotent librdkafka sends nothing of a partition while five of its records are under way, and polls
//! without a pause while one waits whose linger is over: a whole processor, at any load, once brokers take longer than
//! the linger. Measured with a broker that stood still for 5 of every 6 ms, at 2,000 texts a second: 280 µs of CPU a
//! text without this, 70 with it; p50 7 ms and 10, p99 32 and 22.
//!
//! Why not always, and not with many texts: who waits for a report to be let go is woken, hands over, and lingers once
//! more, while librdkafka would have sent what it has in the same moment. In a closed loop of 512 connections that took
//! 0.66 to 0.7 of the floor's throughput instead of 0.76 to 0.81. With so many the thread is busy anyway.
//!
//! Why by topic, while the limit is the partition's: which one a record goes to is the library's to choose, and nearly
//! all topics have one.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

/// Under way of one partition before librdkafka holds others back (`RD_KAFKA_IDEMP_MAX_INFLIGHT`).
const FEW: usize = 5;
/// So many under way keep its thread busy anyway.
const MANY: usize = 256;
/// How long they count after they were there.
const CALM: Duration = Duration::from_secs(1);
/// A report that takes longer is slow: the linger of 1 ms and a few of the brokers.
const QUICK: Duration = Duration::from_millis(5);
/// So long after the first few records others still join them: well within the linger.
const JOIN: Duration = Duration::from_micros(600);
/// Longest wait for others to return. Past it something is wrong, and that is for the breaker to see.
const PATIENCE: Duration = Duration::from_millis(40);

/// What is under way of one topic.
pub(super) struct Gather {
    under_way: AtomicUsize,
    /// Whether the last report took long, within bounds, and not because there were many.
    is_slow: AtomicBool,
    /// When the last of the first few under way went, in microseconds since `epoch`, as is the next.
    first: AtomicU64,
    /// When many were under way; 0: never.
    many: AtomicU64,
    epoch: Instant,
    /// There is room again.
    changed: Notify,
    patience: Duration,
}

/// A record from when it went to its report.
pub(super) struct UnderWay<'a> {
    gather: &'a Gather,
    since: Instant,
}

impl Gather {
    pub(super) fn new() -> Self {
        Self {
            under_way: AtomicUsize::new(0),
            is_slow: AtomicBool::new(false),
            first: AtomicU64::new(0),
            many: AtomicU64::new(0),
            epoch: Instant::now(),
            changed: Notify::new(),
            patience: PATIENCE,
        }
    }

    /// Resolves when a record may go; late or not, it goes.
    pub(super) async fn room(&self) {
        if !self.has_room() {
            let _ = timeout(self.patience, self.made_room()).await;
        }
    }

    /// A record went.
    pub(super) fn gone(&self) -> UnderWay<'_> {
        let since = Instant::now();
        let count = self.under_way.fetch_add(1, Ordering::AcqRel) + 1;
        if count <= FEW {
            self.first.store(self.micros(since), Ordering::Release);
        } else if count >= MANY {
            self.many.store(self.micros(since), Ordering::Release);
        }
        UnderWay { gather: self, since }
    }

    async fn made_room(&self) {
        loop {
            // Made before the question: what changes in between is not missed.
            let changed = self.changed.notified();
            if self.has_room() {
                return;
            }
            changed.await;
        }
    }

    /// Answers are quick, or few records are under way, or several only since so little time that one more goes with
    /// them, or since so long that nobody waits for them.
    fn has_room(&self) -> bool {
        if !self.is_slow.load(Ordering::Acquire) || self.under_way.load(Ordering::Acquire) < FEW {
            return true;
        }
        let age = self.age(&self.first, Instant::now());
        age < JOIN || age >= self.patience
    }

    fn age(&self, of: &AtomicU64, now: Instant) -> Duration {
        now.duration_since(self.epoch).saturating_sub(Duration::from_micros(of.load(Ordering::Acquire)))
    }

    /// Microseconds since `epoch`, of which 64 bits hold half a million years.
    fn micros(&self, at: Instant) -> u64 {
        let since = at.duration_since(self.epoch);
        since.as_secs() * 1_000_000 + u64::from(since.subsec_micros())
    }

    fn were_many(&self, now: Instant) -> bool {
        self.many.load(Ordering::Acquire) > 0 && self.age(&self.many, now) < CALM
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let Self { gather, since } = self;
        let now = Instant::now();
        let took = now.saturating_duration_since(*since);
        let is_slow = took > QUICK && took < gather.patience && !gather.were_many(now);
        // Written only when it changes: every text reads it.
        let is_news = gather.is_slow.load(Ordering::Relaxed) != is_slow;
        if is_news {
            gather.is_slow.store(is_slow, Ordering::Release);
        }
        let are_few = gather.under_way.fetch_sub(1, Ordering::AcqRel) == FEW;
        // While answers are quick nobody waits; another may just have found that they are not.
        if is_news || are_few && gather.is_slow.load(Ordering::Acquire) {
            gather.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    /// Longer than any test takes, and shorter than any machine has been up.
    const LONG: Duration = Duration::from_secs(10);

    /// One that was made some time ago, and whose patience no test outlasts.
    fn quick() -> Gather {
        Gather { epoch: Instant::now() - 2 * LONG, patience: LONG, ..Gather::new() }
    }

    /// One whose last report took long.
    fn slow() -> Gather {
        let gather = quick();
        late(gather.gone());
        assert!(gather.is_slow.load(Ordering::Acquire));
        gather
    }

    /// So many under way, for longer than others may join them, and shorter than they are waited for.
    fn burst(gather: &Gather, count: usize) -> Vec<UnderWay<'_>> {
        let burst = (0..count).map(|_| gather.gone()).collect();
        first_since(gather, LONG / 2);
        burst
    }

    fn first_since(gather: &Gather, age: Duration) {
        gather.first.store(gather.micros(Instant::now() - age), Ordering::Release);
    }

    /// It returns after a long time.
    fn late(mut record: UnderWay<'_>) {
        record.since -= LONG / 2;
    }

    /// It returns at once.
    fn soon(mut record: UnderWay<'_>) {
        record.since += LONG;
    }

    #[tokio::test]
    async fn nobody_waits_while_answers_are_quick_or_few_are_under_way() {
        let gather = quick();
        let many = burst(&gather, 100);
        assert!(gather.room().now_or_never().is_some());
        many.into_iter().for_each(soon);
        assert!(!gather.is_slow.load(Ordering::Acquire));
        let gather = slow();
        let _few = burst(&gather, FEW - 1);
        assert!(gather.room().now_or_never().is_some());
    }

    #[tokio::test]
    async fn once_an_answer_was_slow_a_record_goes_with_the_first_or_when_few_are_left() {
        let gather = slow();
        let mut several = burst(&gather, FEW + 1);
        gather.first.store(u64::MAX, Ordering::Release);
        assert!(gather.room().now_or_never().is_some(), "the first has only just gone");
        first_since(&gather, LONG / 2);
        let room = gather.room();
        tokio::pin!(room);
        assert!((&mut room).now_or_never().is_none());
        several.pop().map(late);
        assert!((&mut room).now_or_never().is_none(), "as many as librdkafka sends are under way");
        several.pop().map(late);
        assert!(room.now_or_never().is_some(), "fewer are");
    }

    #[tokio::test]
    async fn who_waits_goes_once_answers_are_quick_again() {
        let gather = slow();
        let mut several = burst(&gather, FEW + 5);
        let room = gather.room();
        tokio::pin!(room);
        assert!((&mut room).now_or_never().is_none());
        several.pop().map(soon);
        assert!(room.now_or_never().is_some(), "though several are under way");
    }

    #[tokio::test]
    async fn after_many_nobody_waits_for_a_while() {
        for (count, waits) in [(MANY - 1, true), (MANY, false)] {
            let gather = quick();
            let mut many = burst(&gather, count);
            many.pop().map(late);
            assert_eq!(gather.room().now_or_never().is_none(), waits, "{count}");
        }
        let gather = quick();
        let mut many = burst(&gather, MANY);
        gather.many.store(gather.micros(Instant::now() - CALM), Ordering::Release);
        many.pop().map(late);
        assert!(gather.room().now_or_never().is_none(), "it was long ago");
    }

    #[tokio::test]
    async fn what_does_not_return_holds_nobody_up_for_long_nor_twice() {
        let gather = Gather { patience: Duration::from_millis(20), ..slow() };
        let _stuck = burst(&gather, FEW);
        first_since(&gather, Duration::from_millis(10));
        timeout(LONG, gather.room()).await.expect("late or not, it goes");
        first_since(&gather, Duration::from_millis(20));
        assert!(gather.room().now_or_never().is_some());
    }

    #[tokio::test]
    async fn an_answer_past_all_patience_is_trouble_and_not_slowness() {
        let gather = slow();
        let mut several = burst(&gather, FEW + 5);
        let mut stalled = several.pop().expect("there are some");
        stalled.since -= LONG;
        drop(stalled);
        assert!(gather.room().now_or_never().is_some());
    }
}
