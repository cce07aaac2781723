//! Every record on the topics of a measurement, from their beginnings.
//!
//! Comes in: brokers, topics. Goes out: each record once, however often the reading goes on.
//! Always true: a reading ends where the topics ended when it began, or says that it did not get there; what
//! the client keeps in memory is bounded. Not here: what the records say.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// How long brokers may take to answer, and a topic to say something more.
const PATIENCE: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(200);
/// What the client reads ahead.
const READ_AHEAD_KIB: &str = "16384";

/// One partition of one topic.
struct Place {
    topic: String,
    partition: i32,
    next: i64,
    end: i64,
}

pub struct Records {
    consumer: BaseConsumer,
    /// The topics' places in the order they were given.
    topics: HashMap<String, usize>,
    places: Vec<Place>,
}

impl Records {
    pub fn open(brokers: &str, topics: &[String]) -> anyhow::Result<Self> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers).set("group.id", "loadtest-check").set("enable.auto.commit", "false");
        let consumer: BaseConsumer = config.set("queued.max.messages.kbytes", READ_AHEAD_KIB).create()?;
        let metadata = consumer.fetch_metadata(None, PATIENCE)?;
        let (mut list, mut places) = (TopicPartitionList::new(), Vec::new());
        for name in topics {
            let found = metadata.topics().iter().find(|topic| topic.name() == name);
            for partition in found.with_context(|| format!("topic {name} is gone"))?.partitions() {
                list.add_partition_offset(name, partition.id(), Offset::Offset(0))?;
                places.push(Place { topic: name.clone(), partition: partition.id(), next: 0, end: 0 });
            }
        }
        consumer.assign(&list)?;
        let topics = topics.iter().cloned().zip(0..).collect();
        Ok(Self { consumer, topics, places })
    }

    /// Hands over what came since the last reading: the place of its topic, whether it has headers, its value.
    pub fn read_on(&mut self, mut take: impl FnMut(usize, bool, &[u8])) -> anyhow::Result<()> {
        for place in &mut self.places {
            place.end = self.consumer.fetch_watermarks(&place.topic, place.partition, PATIENCE)?.1;
        }
        let mut heard = Instant::now();
        let mut left = self.places.iter().filter(|place| place.next < place.end).count();
        // By topic and partition, so that a record finds its place at once.
        let mut places: HashMap<(usize, i32), &mut Place> =
            self.places.iter_mut().map(|place| ((self.topics[&place.topic], place.partition), place)).collect();
        while left > 0 {
            if heard.elapsed() > PATIENCE {
                bail!("{left} partitions say nothing more before their ends");
            }
            // Errors of the moment are the client's own to mend.
            let Some(Ok(record)) = self.consumer.poll(POLL) else { continue };
            heard = Instant::now();
            let topic = *self.topics.get(record.topic()).context("a record of another topic")?;
            let place = places.get_mut(&(topic, record.partition())).context("a record of another partition")?;
            let was_behind = place.next < place.end;
            place.next = record.offset() + 1;
            left -= usize::from(was_behind && place.next >= place.end);
            take(topic, record.headers().is_some(), record.payload().unwrap_or_default());
        }
        Ok(())
    }
}
