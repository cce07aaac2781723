//! Questions to the brokers that take too long for the thread that polls.
//!
//! Comes in: one question at a time. Goes out: its answer, later, or that there is none.
//! Always true: each step of a question ends within seconds, and at shutdown no further one begins.
//! Not here: what follows from an answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::member::Assigned;
use super::partitions::Place;
use crate::publish::{Aside, Group};

/// How long one step may take.
const STEP_MAX: Duration = Duration::from_secs(5);

pub(super) enum Question {
    /// Which topics, other than these, have records that the group began to read and did not end?
    LeftBehind { except: BTreeSet<String> },
    /// Which of these topics are read to their end, or gone?
    Finished { among: BTreeSet<String> },
    /// Where do these partitions, read up to here when this is asked, begin and end?
    Ranges { of: Vec<(Place, i64)> },
}

pub(super) enum Answer {
    LeftBehind(BTreeSet<String>),
    Finished(BTreeSet<String>),
    Ranges(Vec<Range>),
}

/// Where a partition was when the question was put, and where it began and ended after that. While it
/// reads on, its end can only be further than it was.
pub(super) struct Range {
    pub place: Place,
    pub position: i64,
    pub low: i64,
    pub high: i64,
}

/// At most one question, asked on a thread of the runtime's blocking pool.
pub(super) struct Questions {
    asker: Asker,
    open: Aside<Answer>,
}

impl Questions {
    pub(super) fn new(
        consumer: Arc<BaseConsumer<Group<Assigned>>>,
        runtime: Handle,
        shutdown: CancellationToken,
    ) -> Self {
        Self { asker: Asker { consumer, shutdown }, open: Aside::new(runtime) }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.is_open()
    }

    pub(super) fn ask(&mut self, question: Question) {
        let asker = self.asker.clone();
        self.open.ask(move || asker.answer(question));
    }

    /// The answer, once it is there; it closes the question.
    pub(super) fn answer(&mut self) -> Option<KafkaResult<Answer>> {
        self.open.answer()
    }
}

#[derive(Clone)]
struct Asker {
    consumer: Arc<BaseConsumer<Group<Assigned>>>,
    shutdown: CancellationToken,
}

impl Asker {
    fn answer(&self, question: Question) -> KafkaResult<Answer> {
        match question {
            Question::LeftBehind { except } => Ok(Answer::LeftBehind(self.left_behind(&except)?)),
            Question::Finished { among } => Ok(Answer::Finished(self.finished(among)?)),
            Question::Ranges { of } => {
                let ranges = of.into_iter().map(|(place, position)| {
                    let (low, high) = self.range(&place)?;
                    Ok(Range { place, position, low, high })
                });
                Ok(Answer::Ranges(ranges.collect::<KafkaResult<_>>()?))
            }
        }
    }

    fn left_behind(&self, except: &BTreeSet<String>) -> KafkaResult<BTreeSet<String>> {
        let topics = self.partitions(None)?;
        let others = topics.into_iter().filter(|(topic, _)| !except.contains(topic) && !topic.starts_with("__"));
        let offsets = self.committed(&others.collect())?;
        let mut found = BTreeSet::new();
        for (place, offset) in offsets {
            // Where nothing was ever committed, this group has no business.
            if let Some(offset) = offset
                && offset < self.range(&place)?.1
            {
                found.insert(place.0.to_string());
            }
        }
        Ok(found)
    }

    fn finished(&self, among: BTreeSet<String>) -> KafkaResult<BTreeSet<String>> {
        let mut finished = BTreeSet::new();
        for topic in among {
            // A topic that is gone has no partitions.
            let offsets = self.committed(&self.partitions(Some(&topic))?)?;
            let mut all = true;
            for (place, offset) in offsets {
                let (low, high) = self.range(&place)?;
                all &= offset.unwrap_or(low) >= high;
            }
            if all {
                finished.insert(topic);
            }
        }
        Ok(finished)
    }

    fn partitions(&self, topic: Option<&str>) -> KafkaResult<BTreeMap<String, Vec<i32>>> {
        self.go_on()?;
        let metadata = self.consumer.fetch_metadata(topic, STEP_MAX)?;
        let topics = metadata.topics().iter();
        let numbers =
            |topic: &rdkafka::metadata::MetadataTopic| topic.partitions().iter().map(|one| one.id()).collect();
        Ok(topics.map(|topic| (topic.name().to_owned(), numbers(topic))).collect())
    }

    fn committed(&self, topics: &BTreeMap<String, Vec<i32>>) -> KafkaResult<Vec<(Place, Option<i64>)>> {
        self.go_on()?;
        let mut list = TopicPartitionList::new();
        for (topic, partition) in topics.iter().flat_map(|(topic, all)| all.iter().map(move |one| (topic, *one))) {
            list.add_partition(topic, partition);
        }
        if list.count() == 0 {
            return Ok(Vec::new());
        }
        let committed = self.consumer.committed_offsets(list, STEP_MAX)?;
        let mut offsets = Vec::new();
        for element in committed.elements() {
            element.error()?;
            let offset = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            offsets.push(((element.topic().into(), element.partition()), offset));
        }
        Ok(offsets)
    }

    fn range(&self, place: &Place) -> KafkaResult<(i64, i64)> {
        self.go_on()?;
        self.consumer.fetch_watermarks(&place.0, place.1, STEP_MAX)
    }

    fn go_on(&self) -> KafkaResult<()> {
        if self.shutdown.is_cancelled() { Err(KafkaError::Canceled) } else { Ok(()) }
    }
}
