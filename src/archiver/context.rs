//! librdkafka's callbacks: a changed assignment, the result of a commit, statistics, log lines.
//!
//! Comes in: what the group coordinator decides. Goes out: the partitions, each starting where it must.
//! Always true: a partition without a committed offset starts at its earliest record; what is done is
//! committed before a partition is given away.
//! Not here: polling. All of this runs inside `poll`, on the worker's thread.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;

use super::partitions::{Partitions, Place};
use crate::clock::Clock;

/// How long the committed offsets of a new assignment may take: nothing is polled meanwhile.
const LOOKUP_MAX: Duration = Duration::from_secs(3);

/// What callbacks and worker share.
pub(super) struct Context {
    partitions: Mutex<Partitions>,
    clock: Clock,
}

impl Context {
    pub(super) fn new(clock: Clock) -> Self {
        Self { partitions: Mutex::new(Partitions::default()), clock }
    }

    /// Only the worker's thread takes this lock, so nobody waits; nobody may hold it across a call into
    /// librdkafka, which may call back.
    pub(super) fn partitions(&self) -> MutexGuard<'_, Partitions> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn assigned(&self, consumer: &BaseConsumer<Self>, assignment: &mut TopicPartitionList) -> KafkaResult<()> {
        if assignment.count() > 0 {
            self.find_starts(consumer, assignment);
        }
        let paused = self.begin(assignment);
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(assignment)?,
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(assignment)?,
        }
        if paused {
            consumer.pause(assignment)?;
        }
        tracing::info!(partitions = assignment.count(), "partitions assigned");
        Ok(())
    }

    /// Notes the new partitions, and says whether they are to be paused.
    fn begin(&self, assignment: &TopicPartitionList) -> bool {
        let mut partitions = self.partitions();
        for element in assignment.elements() {
            let start = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            partitions.add((element.topic().into(), element.partition()), start);
        }
        partitions.paused
    }

    /// Sets where each partition starts. If the brokers do not say now, librdkafka asks them itself
    /// and reports an error where nothing is committed; the worker then joins again.
    fn find_starts(&self, consumer: &BaseConsumer<Self>, assignment: &mut TopicPartitionList) {
        let committed = match consumer.committed_offsets(assignment.clone(), LOOKUP_MAX) {
            Ok(committed) => committed,
            Err(error) => {
                tracing::warn!(%error, "committed offsets are not known yet");
                return;
            }
        };
        for found in committed.elements() {
            let start = match (found.error(), found.offset()) {
                (Ok(()), Offset::Offset(offset)) => Offset::Offset(offset),
                (Ok(()), _) => Offset::Beginning,
                (Err(_), _) => Offset::Invalid,
            };
            assignment
                .set_partition_offset(found.topic(), found.partition(), start)
                .expect("the partition is in the list it came from");
        }
    }

    fn revoked(&self, consumer: &BaseConsumer<Self>, revoked: &TopicPartitionList) -> KafkaResult<()> {
        let places: Vec<Place> = revoked.elements().iter().map(|at| (at.topic().into(), at.partition())).collect();
        // A lost assignment is somebody else's already; its records come again there.
        let commit = if consumer.assignment_lost() { None } else { self.partitions().commit(Some(&places)) };
        if let Some(offsets) = commit
            && let Err(error) = consumer.commit(&offsets, CommitMode::Sync)
        {
            tracing::warn!(%error, "offsets of partitions given away were not committed: their copies are tried again");
        }
        places.iter().for_each(|place| self.partitions().remove(place));
        tracing::info!(partitions = places.len(), "partitions given away");
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(revoked),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let result = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assigned(consumer, list),
            _ => self.revoked(consumer, list),
        };
        if let Err(error) = result {
            tracing::error!(%error, "a changed assignment was not taken over");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::warn!(%error, "offsets were not committed: they are with the next commit");
            self.partitions().commit_again();
        }
    }
}

impl ClientContext for Context {
    fn stats(&self, statistics: Statistics) {
        let now = self.clock.now();
        let mut partitions = self.partitions();
        for (name, topic) in statistics.topics {
            for (number, partition) in topic.partitions {
                partitions.ends_at(&(name.as_str().into(), number), partition.hi_offset, now);
            }
        }
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::warn!(facility, message, "Kafka client");
            }
            _ => tracing::debug!(facility, message, "Kafka client"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka client");
    }
}
