//! Topics, read from a window's first record to their end.
//!
//! Comes in: the topics and the window. Goes out: every record on the way, one by one.
//! Always true: nothing is committed and no group is joined, so nobody's offsets move; the end is what it
//! was when reading began, so a busy topic is no reason to read for ever; what the archive's group had
//! committed was asked before that.
//! Not here: what a record means.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaErrorCode;
use tokio_util::sync::CancellationToken;

use super::{ReconcileError, Window};
use crate::message::Timestamp;
use crate::publish::Calm;

/// Time for one question to the brokers.
const STEP_MAX: Duration = Duration::from_secs(10);
/// Longest wait for a record before the reading looks after itself.
const WAIT: Duration = Duration::from_millis(200);
/// Without a record for this long the brokers are taken for away.
const STALL: Duration = Duration::from_secs(60);

/// One partition and what of it is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    next: i64,
    end: i64,
    /// What the archive's group goes on with; `None` where it never came.
    committed: Option<i64>,
    /// Older records were deleted, and perhaps some of the window.
    cut: bool,
}

type Place = (String, i32);

/// Topics ready to be read.
pub(super) struct Topics {
    consumer: BaseConsumer<Calm>,
    spans: HashMap<Place, Span>,
}

/// One record on the way, and whether the archive's group has come past it.
pub(super) struct Met<'a, 'b> {
    pub message: &'a BorrowedMessage<'b>,
    pub archived: bool,
}

impl Topics {
    /// Finds where the window begins in each topic. A topic that is `None` of the cluster is left out.
    /// `config` has the group of the archive. Blocks.
    pub(super) fn open(config: &ClientConfig, topics: &[&str], window: Window) -> Result<Self, ReconcileError> {
        let mut config = config.clone();
        config
            .set("client.id", "sms-router-reconcile")
            .set("auto.offset.reset", "error")
            .set("allow.auto.create.topics", "false")
            .set("queued.max.messages.kbytes", "16384");
        let consumer: BaseConsumer<Calm> = config.create_with_context(Calm::default())?;
        let places = places(&consumer, topics)?;
        let committed = offsets(&consumer.committed_offsets(list(&places)?, STEP_MAX)?);
        let mut spans = HashMap::new();
        for place in &places {
            let (low, high) = consumer.fetch_watermarks(&place.0, place.1, STEP_MAX)?;
            let committed = committed.get(place).copied();
            spans.insert(place.clone(), Span { next: low, end: high, committed, cut: low > 0 });
        }
        let mut times = TopicPartitionList::new();
        for (topic, partition) in &places {
            times.add_partition_offset(topic, *partition, Offset::Offset(window.since.as_millisecond()))?;
        }
        let starts =
            if places.is_empty() { HashMap::new() } else { offsets(&consumer.offsets_for_times(times, STEP_MAX)?) };
        for (place, span) in &mut spans {
            // No record so late: nothing of the window, unless all of it has been deleted.
            let start = starts.get(place).copied().unwrap_or(span.end);
            span.cut &= start <= span.next;
            span.next = start.max(span.next);
        }
        Ok(Self { consumer, spans })
    }

    pub(super) fn has(&self, topic: &str) -> bool {
        self.spans.keys().any(|(name, _)| name == topic)
    }

    /// Topics of which part of the window may have been deleted.
    pub(super) fn cut(&self) -> impl Iterator<Item = &str> {
        self.spans.iter().filter(|(_, span)| span.cut).map(|((topic, _), _)| topic.as_str())
    }

    /// Reads all of it. Blocks for as long as that takes.
    pub(super) fn read(
        mut self,
        stop: &CancellationToken,
        mut take: impl FnMut(&Met<'_, '_>) -> Result<(), ReconcileError>,
    ) -> Result<(), ReconcileError> {
        let mut assignment = TopicPartitionList::new();
        for ((topic, partition), span) in self.spans.iter().filter(|(_, span)| span.next < span.end) {
            assignment.add_partition_offset(topic, *partition, Offset::Offset(span.next))?;
        }
        if assignment.count() == 0 {
            return Ok(());
        }
        self.consumer.assign(&assignment)?;
        let (mut open, mut heard) = (assignment.count(), Instant::now());
        while open > 0 {
            if stop.is_cancelled() {
                return Err(ReconcileError::Stopped);
            }
            let message = match self.consumer.poll(WAIT) {
                Some(Ok(message)) => message,
                // librdkafka tries again by itself; what does not mend shows as silence. Nobody grants a right meanwhile.
                Some(Err(
                    error @ (KafkaError::MessageConsumptionFatal(_)
                    | KafkaError::MessageConsumption(RDKafkaErrorCode::TopicAuthorizationFailed)),
                )) => return Err(error.into()),
                Some(Err(_)) | None if heard.elapsed() < STALL => continue,
                Some(Err(error)) => return Err(error.into()),
                None => return Err(ReconcileError::Stalled),
            };
            heard = Instant::now();
            let place = (message.topic().to_owned(), message.partition());
            let Some(span) = self.spans.get_mut(&place) else { continue };
            if span.next >= span.end {
                continue;
            }
            if message.offset() < span.end {
                let archived = span.committed.is_some_and(|committed| message.offset() < committed);
                take(&Met { message: &message, archived })?;
            }
            span.next = message.offset() + 1;
            if span.next >= span.end {
                open -= 1;
                self.consumer.pause(&list(&[place])?)?;
            }
        }
        Ok(())
    }
}

/// The partitions of those topics that there are.
fn places(consumer: &BaseConsumer<Calm>, topics: &[&str]) -> Result<Vec<Place>, KafkaError> {
    let metadata = consumer.fetch_metadata(None, STEP_MAX)?;
    let wanted = metadata.topics().iter().filter(|topic| topics.contains(&topic.name()));
    let places = wanted.flat_map(|topic| topic.partitions().iter().map(|one| (topic.name().to_owned(), one.id())));
    Ok(places.collect())
}

fn list(places: &[Place]) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (topic, partition) in places {
        list.add_partition(topic, *partition);
    }
    Ok(list)
}

fn offsets(list: &TopicPartitionList) -> HashMap<Place, i64> {
    let mut offsets = HashMap::new();
    for element in list.elements() {
        if let Offset::Offset(offset) = element.offset() {
            offsets.insert((element.topic().to_owned(), element.partition()), offset);
        }
    }
    offsets
}

/// When the record was received, as its publisher stamped it.
pub(super) fn stamped(message: &BorrowedMessage<'_>) -> Option<Timestamp> {
    Timestamp::from_millisecond(message.timestamp().to_millis()?).ok()
}
