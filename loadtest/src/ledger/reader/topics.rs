//! Kafka: everything on a topic, from its beginning to the end it has now.
//!
//! Comes in: addresses, a topic. Goes out: its records in the order of each partition.
//! Always true: it ends at the high watermark it found, or says that it did not get there.
//! Not here: a group of the reader's own: it remembers nothing.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// How long brokers may take to answer, and a topic to say something more.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);

/// Where each partition of a topic begins to matter.
pub type Beginnings = HashMap<i32, i64>;

/// The ends of a topic that others write to as well.
pub fn ends(brokers: &str, topic: &str) -> anyhow::Result<Beginnings> {
    let consumer = consumer(brokers)?;
    let bounds = bounds(&consumer, topic)?;
    Ok(bounds.into_iter().map(|(partition, (_, end))| (partition, end)).collect())
}

/// Hands over every record from `beginnings` on, where they are given; how many there were.
pub fn drain(
    brokers: &str,
    topic: &str,
    beginnings: &Beginnings,
    mut take: impl FnMut(&BorrowedMessage<'_>),
) -> anyhow::Result<u64> {
    let consumer = consumer(brokers)?;
    let mut left = bounds(&consumer, topic)?;
    let mut list = TopicPartitionList::new();
    for (partition, (begin, _)) in &mut left {
        *begin = (*begin).max(beginnings.get(partition).copied().unwrap_or(0));
        list.add_partition_offset(topic, *partition, Offset::Offset(*begin))?;
    }
    left.retain(|_, (begin, end)| begin < end);
    consumer.assign(&list)?;
    let (mut count, mut heard) = (0, Instant::now());
    while !left.is_empty() {
        if heard.elapsed() > PATIENCE {
            bail!("{topic} says nothing more before its end: {left:?}");
        }
        // Errors of the moment are the client's own to mend.
        let Some(Ok(message)) = consumer.poll(POLL) else { continue };
        heard = Instant::now();
        let Some((next, end)) = left.get_mut(&message.partition()) else { continue };
        *next = message.offset() + 1;
        if *next >= *end {
            left.remove(&message.partition());
        }
        take(&message);
        count += 1;
    }
    Ok(count)
}

/// How many records of a topic a group has not yet committed.
pub fn behind(brokers: &str, group: &str, topic: &str) -> anyhow::Result<u64> {
    let consumer = consumer_of(brokers, group)?;
    let bounds = try_bounds(&consumer, topic)?;
    let mut list = TopicPartitionList::new();
    for partition in bounds.keys() {
        list.add_partition(topic, *partition);
    }
    let committed = consumer.committed_offsets(list, PATIENCE / 6)?;
    let behind = committed.elements().into_iter().map(|element| {
        let (begin, end) = bounds.get(&element.partition()).copied().unwrap_or_default();
        let next = if let Offset::Offset(offset) = element.offset() { offset } else { begin };
        u64::try_from(end.saturating_sub(next)).unwrap_or(0)
    });
    Ok(behind.sum())
}

/// What an operator does when a topic was made again: its group begins with it anew. Nobody may be in
/// the group.
pub fn begin_again(brokers: &str, group: &str, topic: &str) -> anyhow::Result<()> {
    let consumer = consumer_of(brokers, group)?;
    let mut list = TopicPartitionList::new();
    for partition in bounds(&consumer, topic)?.keys() {
        list.add_partition_offset(topic, *partition, Offset::Offset(0))?;
    }
    Ok(consumer.commit(&list, CommitMode::Sync)?)
}

fn consumer(brokers: &str) -> anyhow::Result<BaseConsumer> {
    consumer_of(brokers, "ledger")
}

fn consumer_of(brokers: &str, group: &str) -> anyhow::Result<BaseConsumer> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("reconnect.backoff.max.ms", "500");
    Ok(config.create()?)
}

/// First offset and end of each partition.
fn bounds(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<HashMap<i32, (i64, i64)>> {
    let until = Instant::now() + PATIENCE;
    loop {
        match try_bounds(consumer, topic) {
            Ok(bounds) => return Ok(bounds),
            Err(error) if Instant::now() > until => return Err(error),
            Err(_) => std::thread::sleep(POLL),
        }
    }
}

fn try_bounds(consumer: &BaseConsumer, topic: &str) -> anyhow::Result<HashMap<i32, (i64, i64)>> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE / 6)?;
    let topic_metadata = metadata.topics().first().context("no such topic")?;
    if let Some(error) = topic_metadata.error() {
        bail!("{topic}: {error:?}");
    }
    let partitions = topic_metadata.partitions().iter().map(|partition| partition.id());
    partitions.map(|partition| Ok((partition, consumer.fetch_watermarks(topic, partition, PATIENCE / 6)?))).collect()
}
