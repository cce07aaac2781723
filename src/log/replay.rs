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
use super::{Kafka, Standby, dead_letter};
use crate::keyword::Live;
use crate::message::{Destination, topics};
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
    /// Which departments are held, and who stands in for whom, by the table in force.
    pub routes: Live,
    pub metrics: Metrics,
}

impl Replay {
    /// Runs until `stop`. A text whose report is out then stays in the journal for the next start.
    pub async fn run(self, stop: CancellationToken) {
        let (mut tasks, mut at_work) = (JoinSet::new(), HashMap::new());
        while !stop.is_cancelled() {
            self.show();
            let mut idle = self.journal.waiting_topics();
            idle.retain(|topic| !at_work.values().any(|busy| busy == topic));
            for topic in idle {
                at_work.insert(tasks.spawn(self.emptying(&topic).run(stop.clone())).id(), topic);
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

    fn emptying(&self, topic: &Arc<str>) -> Emptying {
        let (kafka, journal, routes) = (self.kafka.clone(), self.journal.clone(), self.routes.clone());
        Emptying { kafka, journal, routes, topic: topic.clone(), from: Cursor::START, version: "".into() }
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
    routes: Live,
    topic: Arc<str>,
    /// Beyond the start while all before it are held by the table of this version.
    from: Cursor,
    version: Arc<str>,
}

impl Emptying {
    async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() && self.journal.is_waiting(&self.topic) {
            let round = stop.run_until_cancelled(self.round()).await;
            let progress = round.unwrap_or(Ok(true)).unwrap_or_else(|error| {
                tracing::error!(topic = %self.topic, %error, "the journal could not be read or written; it is tried again");
                false
            });
            if !progress {
                stop.run_until_cancelled(tokio::time::sleep(RETRY_PAUSE)).await;
            }
        }
    }

    /// The oldest texts, each sender's in their order. Whether there is more to do at once.
    async fn round(&mut self) -> Result<bool, StoreError> {
        let table = self.routes.snapshot();
        if self.version != *table.version() {
            (self.from, self.version) = (Cursor::START, table.version().clone());
        }
        let waiting = self.journal.after(&self.topic, self.from, BATCH_MAX).await?;
        let Some(last) = waiting.last().map(|text| text.position) else {
            // Those before are held, or the first is about to be written.
            self.from = Cursor::START;
            return Ok(false);
        };
        let mut chains: HashMap<[u8; 16], Vec<(Waiting, Option<Standby>)>> = HashMap::new();
        for text in waiting {
            let delivery = match &text.event.destination {
                Destination::Department(department) => table.delivery(department),
                _ => None,
            };
            if !delivery.is_some_and(|delivery| delivery.hold) {
                let standby = delivery.and_then(|delivery| delivery.standby.clone());
                chains.entry(text.event.key).or_default().push((text, standby));
            }
        }
        if chains.is_empty() {
            self.from = last;
            return Ok(true);
        }
        // While the topic is away one text goes ahead when a probe is due; the routes are looked at again meanwhile.
        let _ = tokio::time::timeout(LOOK_INTERVAL, self.kafka.publisher().takes_texts(&self.topic)).await;
        let published = join_all(chains.into_values().map(|chain| self.publish(chain))).await;
        let published: Vec<_> = published.into_iter().flatten().collect();
        let progress = !published.is_empty();
        self.journal.settle(&self.topic, published).await?;
        Ok(progress)
    }

    /// One sender's texts up to the first that is not taken now.
    async fn publish(&self, chain: Vec<(Waiting, Option<Standby>)>) -> Vec<(Cursor, [u8; 16])> {
        let mut published = Vec::with_capacity(chain.len());
        for (text, standby) in chain {
            let done = match self.kafka.publish(&self.topic, standby.as_ref(), &text.event).await {
                Ok(()) => true,
                Err(PublishError::Final { .. }) => self.give_up(&text).await,
                Err(_) => false,
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
        self.kafka.publisher().publish(topics::DEAD_LETTER, &letter).await.is_ok()
    }
}
