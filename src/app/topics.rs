//! Topics held against their promises, at start and while running.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::joiner;
use crate::keyword::{Live, Table};
use crate::message::PROBE_LIFE;
use crate::message::topics::{CONSENT, DEAD_LETTER, PARTS, PROBE};
use crate::publish::{Publisher, TopicAdmin, TopicFault, TopicSettings};
use crate::telemetry::{Latch, Metrics};

/// Between two looks at the topics.
const LOOK_INTERVAL: Duration = Duration::from_secs(30);
/// Between two tries while the brokers cannot be reached.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// Time for one question to the brokers.
const QUESTION_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks after all topics that texts go to.
pub struct TopicWatch {
    pub admin: Arc<TopicAdmin>,
    pub publisher: Publisher,
    pub routes: Live,
    pub wanted: TopicSettings,
    pub dead_letter_retention: Duration,
    /// Whether synthetic texts are sent, which need a topic of their own.
    pub probes: bool,
    pub metrics: Metrics,
    /// Set at the first contact with the brokers.
    pub contact: Latch,
}

impl TopicWatch {
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let pause = match existing(&self.admin).await {
                Ok(existing) => {
                    self.judge(&existing).await;
                    self.next_look()
                }
                Err(error) => {
                    tracing::warn!(%error, "the brokers cannot be asked about the topics");
                    RETRY_INTERVAL
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// The first contact is made when every producer has its id too: a text before that waits for it.
    fn next_look(&self) -> Duration {
        if !self.publisher.has_ids() {
            return RETRY_INTERVAL;
        }
        self.contact.set();
        LOOK_INTERVAL
    }

    async fn judge(&self, existing: &Existing) {
        let table = self.routes.load();
        let departments = table.departments().iter().map(|department| (department.name.as_str(), department.topic()));
        let own = [("dead-letter", DEAD_LETTER), ("consent", CONSENT), ("parts", PARTS)];
        let probe = self.probes.then_some(("probe", PROBE));
        let own = own.into_iter().chain(probe).map(|(name, topic)| (name, topic.to_owned()));
        for (department, topic) in departments.chain(own) {
            let retention = match topic.as_str() {
                DEAD_LETTER => self.dead_letter_retention,
                PARTS => joiner::RETENTION,
                PROBE => PROBE_LIFE,
                _ => self.wanted.retention,
            };
            let wanted = TopicSettings { retention, ..self.wanted };
            match self.admin.faults(&topic, &wanted, existing).await {
                Ok(faults) => self.report(department, &topic, &faults),
                Err(error) => {
                    tracing::warn!(%topic, %error, "the topic's settings cannot be looked at (DescribeConfigs)");
                }
            }
        }
    }

    fn report(&self, department: &str, topic: &str, faults: &[TopicFault]) {
        for fault in TopicFault::ALL {
            let gauge = self.metrics.topic_faults.with_label_values(&[department, fault.label()]);
            let broken = faults.contains(&fault);
            if broken && gauge.get() == 0 {
                tracing::error!(topic, fault = fault.label(), "a topic breaks a promise; `sms-router setup` mends it");
            }
            gauge.set(i64::from(broken));
        }
        if faults.contains(&TopicFault::Missing) {
            self.publisher.mark_missing(topic);
        }
    }
}

/// Topics with partitions and replication.
pub type Existing = HashMap<String, (usize, usize)>;

/// What topics the cluster has.
pub async fn existing(admin: &Arc<TopicAdmin>) -> Result<Existing, String> {
    let admin = admin.clone();
    let asked = tokio::task::spawn_blocking(move || admin.existing(QUESTION_TIMEOUT)).await;
    asked.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}

/// Topics that a table names and the cluster lacks, with the line of the department.
pub fn missing(table: &Table, existing: &Existing) -> Vec<(usize, String)> {
    let topics = table.departments().iter().map(|department| (department.line, department.topic()));
    topics.filter(|(_, topic)| !existing.contains_key(topic)).collect()
}
