//! The way out of the journal: what waits goes to its topic as soon as that takes texts again.
//!
//! Comes in: topics with texts waiting. Goes out: published texts, and gauges of what is left.
//! Always true: a sender's texts go one after the other, oldest first, the next only once the one
//! before is acknowledged; senders do not wait for one another, topics neither; a text leaves the
//! journal after its acknowledgement, so a crash between the two publishes it again under its id.
//! Not here: what goes into the journal.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::journal::Journal;
use super::{Kafka, dead_letter};
use crate::publish::PublishError;
use crate::store::{Cursor, StoreError, Waiting};
use crate::telemetry::Metrics;

/// Texts on their way from the journal to one topic at once.
const BATCH_MAX: usize = 500;
/// Between two looks at the journal when nothing wakes the replay, and at its gauges.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Before a topic that took nothing is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Empties the journal for as long as the process runs.
pub struct Replay {
    pub kafka: Kafka,
    pub journal: Journal,
    pub metrics: Metrics,
}

impl Replay {
    /// Runs until `stop`. A text whose report is out then stays in the journal for the next start.
    pub async fn run(self, stop: CancellationToken) {
        let (mut tasks, mut at_work) = (JoinSet::new(), HashMap::new());
        while !stop.is_cancelled() {
            self.show();
            for topic in self.journal.waiting_topics() {
                if !at_work.values().any(|busy| *busy == topic) {
                    let emptying =
                        Emptying { kafka: self.kafka.clone(), journal: self.journal.clone(), topic: topic.clone() };
                    at_work.insert(tasks.spawn(emptying.run(stop.clone())).id(), topic);
                }
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.journal.woken() => {}
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                // A topic whose task panicked is taken up again like any other.
                Some(ended) = tasks.join_next_with_id() => {
                    at_work.remove(&ended.map_or_else(|error| error.id(), |(id, ())| id));
                }
            }
        }
        while tasks.join_next().await.is_some() {}
        self.show();
    }

    fn show(&self) {
        let fill = self.journal.fill();
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.journal_messages.set(count(fill.messages));
        self.metrics.journal_bytes.set(count(fill.bytes));
        self.metrics.journal_oldest.set(fill.age.as_secs_f64());
        self.metrics.journal_filled.set(fill.share);
    }
}

/// One topic's texts, until none waits or the process ends.
struct Emptying {
    kafka: Kafka,
    journal: Journal,
    topic: Arc<str>,
}

type Chain = Vec<Waiting>;

impl Emptying {
    async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() && self.journal.is_waiting(&self.topic) {
            let progress = self.round(&stop).await.unwrap_or_else(|error| {
                tracing::error!(topic = %self.topic, %error, "the journal could not be read or written; it is tried again");
                false
            });
            if !progress {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(RETRY_PAUSE) => {}
                }
            }
        }
    }

    /// The oldest texts, each sender's in their order. Whether any was published.
    async fn round(&self, stop: &CancellationToken) -> Result<bool, StoreError> {
        let waiting = self.journal.oldest(&self.topic, BATCH_MAX).await?;
        let mut senders: HashMap<[u8; 16], Chain> = HashMap::new();
        for text in waiting {
            senders.entry(text.event.key).or_default().push(text);
        }
        let published = join_all(senders.into_values().map(|chain| self.publish(chain, stop))).await;
        let published: Vec<_> = published.into_iter().flatten().collect();
        let progress = !published.is_empty();
        self.journal.settle(&self.topic, published).await?;
        Ok(progress)
    }

    /// One sender's texts up to the first that its topic does not take now.
    async fn publish(&self, chain: Chain, stop: &CancellationToken) -> Vec<(Cursor, [u8; 16])> {
        let mut published = Vec::with_capacity(chain.len());
        for text in chain {
            let publishing = self.kafka.publisher().publish_waiting(&self.topic, &text.event);
            let done = match stop.run_until_cancelled(publishing).await {
                Some(Ok(())) => true,
                Some(Err(PublishError::Final { .. })) => self.give_up(&text).await,
                Some(Err(_)) | None => false,
            };
            if !done {
                break;
            }
            published.push((text.position, text.event.key));
        }
        published
    }

    /// What its topic will never take is kept in dead-letter. Whether it is there.
    async fn give_up(&self, text: &Waiting) -> bool {
        let letter = dead_letter::of_event(&text.event);
        self.kafka.publisher().publish(crate::message::topics::DEAD_LETTER, &letter).await.is_ok()
    }
}
