//! The partitions that this process reads.
//!
//! Comes in: which they are (`publish::Group`), and where they end. Goes out: the partitions, each starting
//! where it must.
//! Always true: a partition without a committed offset starts at its earliest record; only the worker's
//! thread is here, inside `poll` or beside it.
//! Not here: polling, the group.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::partitions::{Bounds, Partitions};
use crate::clock::Clock;
use crate::publish::{Group, Member};

/// How long the committed offsets of a new assignment may take: nothing is polled meanwhile.
const LOOKUP_MAX: Duration = Duration::from_secs(3);

/// What callbacks and worker share.
pub(super) struct Assigned {
    partitions: Mutex<Partitions>,
    clock: Clock,
    /// What the partitions hold.
    holds: &'static str,
}

impl Assigned {
    pub(super) fn new(window: Bounds, holds: &'static str, clock: Clock) -> Self {
        Self { partitions: Mutex::new(Partitions::new(window)), clock, holds }
    }

    /// Only the worker's thread takes this lock, so nobody waits; nobody may hold it across a call into
    /// librdkafka, which may call back.
    pub(super) fn partitions(&self) -> MutexGuard<'_, Partitions> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn find_starts(&self, consumer: &BaseConsumer<Group<Self>>, assignment: &mut TopicPartitionList) {
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
}

impl Member for Assigned {
    fn holds(&self) -> &'static str {
        self.holds
    }

    fn take(&self, consumer: &BaseConsumer<Group<Self>>, assignment: &mut TopicPartitionList) -> KafkaResult<bool> {
        if assignment.count() > 0 {
            self.find_starts(consumer, assignment);
        }
        Ok(self.begin(assignment))
    }

    fn commit(&self, only: Option<&TopicPartitionList>) -> Option<TopicPartitionList> {
        self.partitions().commit(only)
    }

    fn commit_again(&self) {
        self.partitions().commit_again();
    }

    fn give(&self, revoked: &TopicPartitionList) {
        let mut partitions = self.partitions();
        revoked.elements().iter().for_each(|at| partitions.remove(&(at.topic().into(), at.partition())));
    }

    fn learn(&self, statistics: Statistics) {
        let now = self.clock.now();
        let mut partitions = self.partitions();
        for (name, topic) in statistics.topics {
            for (number, partition) in topic.partitions {
                partitions.reaches(&(name.as_str().into(), number), partition.hi_offset, now);
            }
        }
    }
}
