//! librdkafka's callbacks: a changed assignment, the result of a commit, log lines.
//!
//! Comes in: what the group coordinator decides. Goes out: the partitions, each beginning where its last
//! reader said.
//! Always true: what is settled is committed before a partition is given away.
//! Not here: polling. All of this runs inside `poll`, on the worker's thread.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use rdkafka::types::RDKafkaRespErr;

use super::partition::{Kept, Partition};
use crate::message::topics::PARTS;
use crate::parts;

/// How long questions about a new assignment may take: nothing is polled meanwhile.
const LOOKUP_MAX: Duration = Duration::from_secs(3);

/// What callbacks and worker share.
pub(super) struct Context {
    settings: parts::Settings,
    partitions: Mutex<HashMap<i32, Partition>>,
}

impl Context {
    pub(super) fn new(settings: parts::Settings) -> Self {
        Self { settings, partitions: Mutex::new(HashMap::new()) }
    }

    /// Only the worker's thread takes this lock, so nobody waits; nobody may hold it across a call into
    /// librdkafka, which may call back.
    pub(super) fn partitions(&self) -> MutexGuard<'_, HashMap<i32, Partition>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What there is to commit of these partitions, or of all.
    pub(super) fn commit(&self, only: Option<&[i32]>) -> Option<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (number, partition) in self.partitions().iter_mut() {
            if only.is_some_and(|only| !only.contains(number)) {
                continue;
            }
            if let Some(kept) = partition.commit() {
                list.add_partition_offset(PARTS, *number, Offset::Offset(kept.offset))
                    .expect("offsets are not negative");
                let mut element = list.find_partition(PARTS, *number).expect("it was just put there");
                element.set_metadata(kept.metadata());
            }
        }
        (list.count() > 0).then_some(list)
    }

    pub(super) fn commit_again(&self) {
        self.partitions().values_mut().for_each(Partition::commit_again);
    }

    fn assigned(&self, consumer: &BaseConsumer<Self>, assignment: &mut TopicPartitionList) -> KafkaResult<()> {
        if assignment.count() > 0 {
            let committed = consumer.committed_offsets(assignment.clone(), LOOKUP_MAX);
            for number in numbers(assignment) {
                let start = match &committed {
                    Ok(committed) => committed.find_partition(PARTS, number).as_ref().map_or(0, start),
                    // Whoever reads from the beginning learns by the markers what is done.
                    Err(_) => 0,
                };
                self.begin(consumer, assignment, number, start)?;
            }
        }
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(assignment)?,
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(assignment)?,
        }
        tracing::info!(partitions = assignment.count(), "partitions of pieces assigned");
        Ok(())
    }

    fn begin(
        &self,
        consumer: &BaseConsumer<Self>,
        assignment: &mut TopicPartitionList,
        number: i32,
        start: i64,
    ) -> KafkaResult<()> {
        let ends = consumer.fetch_watermarks(PARTS, number, LOOKUP_MAX).ok();
        // What was needed may have left the topic; what was not settled has not, for it is looked at in time.
        let start = ends.map_or(start, |(low, high)| start.clamp(low, high.max(low)));
        assignment.set_partition_offset(PARTS, number, Offset::Offset(start))?;
        let settings = share(self.settings, assignment.count());
        self.partitions().insert(number, Partition::new(settings, start, ends.map(|(_, high)| high)));
        Ok(())
    }

    fn revoked(&self, consumer: &BaseConsumer<Self>, revoked: &TopicPartitionList) -> KafkaResult<()> {
        let numbers: Vec<i32> = numbers(revoked);
        // A lost assignment is somebody else's already, who reads it all again.
        let commit = if consumer.assignment_lost() { None } else { self.commit(Some(&numbers)) };
        if let Some(offsets) = commit
            && let Err(error) = consumer.commit(&offsets, CommitMode::Sync)
        {
            tracing::warn!(%error, "offsets of partitions given away were not committed: more is read again");
        }
        numbers.iter().for_each(|number| drop(self.partitions().remove(number)));
        tracing::info!(partitions = numbers.len(), "partitions of pieces given away");
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(revoked),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
        }
    }
}

/// The bounds are the process's: each of its partitions has its part of them.
fn share(settings: parts::Settings, partitions: usize) -> parts::Settings {
    parts::Settings {
        groups_max: settings.groups_max.div_ceil(partitions),
        bytes_max: settings.bytes_max.div_ceil(partitions),
        remembered_max: settings.remembered_max.div_ceil(partitions),
        ..settings
    }
}

fn numbers(list: &TopicPartitionList) -> Vec<i32> {
    list.elements_for_topic(PARTS).iter().map(TopicPartitionListElem::partition).collect()
}

fn start(committed: &TopicPartitionListElem<'_>) -> i64 {
    match committed.offset() {
        Offset::Offset(offset) => Kept::start(offset, committed.metadata()),
        _ => 0,
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
            self.commit_again();
        }
    }
}

impl ClientContext for Context {
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
