//! One topic from its beginning, for a command that reads it and ends.
//!
//! Comes in: a topic's name. Goes out: its records as they lie there, each partition's in order.
//! Always true: reads without a group, so nobody's offsets move; the end is where the topic ended when
//! the reading began, so it comes although others go on writing; every wait is bounded.
//! Not here: what the records say; consuming for ever (`consume`).

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::metadata::MetadataPartition;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// How long the brokers are waited for, and how long a partition may give nothing before its end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a topic was not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    #[error("topic {0} does not exist; `sms-router setup` creates it")]
    Missing(String),
    #[error("the brokers did not give the rest of the topic within {} s", PATIENCE.as_secs())]
    Silent,
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

/// A reading under way.
pub struct TopicReader {
    consumer: BaseConsumer,
    /// Of each partition: its number, the next offset to come, where it ended.
    partitions: Vec<(i32, i64, i64)>,
}

impl TopicReader {
    /// At the beginning of every partition. Blocks shortly.
    pub fn open(config: &ClientConfig, topic: &str) -> Result<Self, ReadError> {
        let consumer: BaseConsumer = config.create()?;
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE)?;
        let known: Vec<i32> =
            metadata.topics().iter().flat_map(|topic| topic.partitions().iter().map(MetadataPartition::id)).collect();
        if known.is_empty() {
            return Err(ReadError::Missing(topic.to_owned()));
        }
        let (mut assignment, mut partitions) = (TopicPartitionList::new(), Vec::with_capacity(known.len()));
        for partition in known {
            let (low, high) = consumer.fetch_watermarks(topic, partition, PATIENCE)?;
            assignment.add_partition_offset(topic, partition, Offset::Offset(low))?;
            partitions.push((partition, low, high));
        }
        consumer.assign(&assignment)?;
        Ok(Self { consumer, partitions })
    }

    /// Whether everything that was there at the beginning has been read.
    pub fn is_at_end(&self) -> bool {
        self.partitions.iter().all(|(_, next, high)| next >= high)
    }

    /// The next record, if one comes within `wait`; also what was written since the beginning.
    pub fn poll(&mut self, wait: Duration) -> KafkaResult<Option<OwnedMessage>> {
        let Some(message) = self.consumer.poll(wait) else { return Ok(None) };
        let message = message?.detach();
        if let Some(partition) = self.partitions.iter_mut().find(|(partition, ..)| *partition == message.partition()) {
            partition.1 = message.offset() + 1;
        }
        Ok(Some(message))
    }

    /// The next record of those that were there at the beginning; `None` after the last.
    pub fn read_next(&mut self) -> Result<Option<OwnedMessage>, ReadError> {
        let deadline = Instant::now() + PATIENCE;
        while !self.is_at_end() {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.poll(left)? {
                Some(message) if self.was_there(&message) => return Ok(Some(message)),
                Some(_) => {}
                None => return Err(ReadError::Silent),
            }
        }
        Ok(None)
    }

    fn was_there(&self, message: &OwnedMessage) -> bool {
        let of = |(partition, _, high): &(i32, i64, i64)| *partition == message.partition() && message.offset() < *high;
        self.partitions.iter().any(of)
    }
}
