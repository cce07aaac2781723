//! The partitions of pieces that this process reads.
//!
//! Comes in: which they are (`publish::Group`). Goes out: each partition, beginning where its last reader
//! said; what is settled of it.
//! Always true: only the worker's thread is here, inside `poll` or beside it.
//! Not here: polling, the group.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};

use super::partition::{Kept, Partition};
use crate::message::topics::PARTS;
use crate::parts;
use crate::publish::{Group, Member, TopicPartition};

/// How long questions about a new assignment may take: nothing is polled meanwhile.
const LOOKUP_MAX: Duration = Duration::from_secs(3);

/// What callbacks and worker share.
pub(super) struct Pieces {
    settings: parts::Settings,
    partitions: Mutex<HashMap<i32, Partition>>,
}

impl Pieces {
    pub(super) fn new(settings: parts::Settings) -> Self {
        Self { settings, partitions: Mutex::new(HashMap::new()) }
    }

    /// Only the worker's thread takes this lock, so nobody waits; nobody may hold it across a call into
    /// librdkafka, which may call back.
    pub(super) fn partitions(&self) -> MutexGuard<'_, HashMap<i32, Partition>> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The partitions that are read now, and what comes next.
    pub(super) fn read_now(&self) -> Vec<(TopicPartition, Option<i64>)> {
        let topic: Arc<str> = PARTS.into();
        let partitions = self.partitions();
        let going = partitions.iter().filter(|(_, partition)| !partition.is_paused());
        going.map(|(number, partition)| ((topic.clone(), *number), Some(partition.next()))).collect()
    }

    fn begin(
        &self,
        consumer: &BaseConsumer<Group<Self>>,
        assignment: &mut TopicPartitionList,
        number: i32,
        start: i64,
    ) -> KafkaResult<()> {
        let ends = consumer.fetch_watermarks(PARTS, number, LOOKUP_MAX).ok();
        // What was needed may have left the topic; what was not settled has not, for it is looked at in time. An
        // offset beyond the end is that of an earlier topic of this name.
        let start = ends.map_or(start, |(low, high)| if start > high { low } else { start.max(low) });
        assignment.set_partition_offset(PARTS, number, Offset::Offset(start))?;
        let settings = share(self.settings, assignment.count());
        self.partitions().insert(number, Partition::new(settings, start, ends.map(|(_, high)| high)));
        Ok(())
    }
}

impl Member for Pieces {
    fn holds(&self) -> &'static str {
        "pieces"
    }

    fn take(&self, consumer: &BaseConsumer<Group<Self>>, assignment: &mut TopicPartitionList) -> KafkaResult<bool> {
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
        Ok(false)
    }

    fn commit(&self, only: Option<&TopicPartitionList>) -> Option<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (number, partition) in self.partitions().iter_mut() {
            if only.is_some_and(|only| only.find_partition(PARTS, *number).is_none()) {
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

    fn commit_again(&self) {
        self.partitions().values_mut().for_each(Partition::commit_again);
    }

    fn give(&self, revoked: &TopicPartitionList) {
        numbers(revoked).iter().for_each(|number| drop(self.partitions().remove(number)));
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
