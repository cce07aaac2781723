//! The thread that polls.
//!
//! Comes in: records, the word to stop. Goes out: work for the crew, commits, pauses, metrics.
//! Always true: it polls several times a second, whatever the brokers do.
//! Not here: what callbacks do (`member`).

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::runtime::Handle;

use super::member::Pieces;
use super::partition::{Turn, understand};
use super::{Crew, JoinerError, Settings, Tools};
use crate::message::topics::PARTS;
use crate::publish::{ConsumerSettings, Group, Term, Watch, commit};

/// Longest wait for a record; the rest of the work is looked after that often.
const WAIT: Duration = Duration::from_millis(50);
/// Records taken before the rest of the work is looked after.
const BATCH_MAX: usize = 500;
/// Longest time between two looks at the clock, and between two commits.
const TICK_MAX: Duration = Duration::from_secs(1);

pub(super) struct Worker {
    consumer: Arc<BaseConsumer<Group<Pieces>>>,
    watch: Watch<Pieces>,
    /// Of what the client proves itself with.
    term: Term,
    tools: Tools,
    crew: Crew,
    runtime: Handle,
    tick: Duration,
    ticked_at: Instant,
    /// Of those in the groups we have, how many are counted.
    evicted: u64,
}

impl Worker {
    pub(super) fn start(
        settings: &Settings,
        made_of: &ConsumerSettings,
        tools: Tools,
        crew: Crew,
    ) -> Result<Self, JoinerError> {
        let term = made_of.renewals.term();
        let mut config = made_of.config();
        config
            .set("group.id", &settings.group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Old pieces leave the topic, and the oldest that was needed with them.
            .set("auto.offset.reset", "earliest")
            .set("enable.partition.eof", "true")
            .set("allow.auto.create.topics", "false")
            // An instance that died keeps its pieces waiting for that long.
            .set("session.timeout.ms", "10000")
            .set("heartbeat.interval.ms", "3000")
            // Fetched ahead and not yet polled, in memory.
            .set("queued.max.messages.kbytes", "16384");
        let member = Group::new(Pieces::new(settings.groups));
        let consumer: BaseConsumer<_> = config.create_with_context(member).map_err(JoinerError::Settings)?;
        consumer.subscribe(&[PARTS]).map_err(JoinerError::Settings)?;
        let (consumer, runtime) = (Arc::new(consumer), Handle::current());
        let watch = Watch::new(consumer.clone(), runtime.clone(), None);
        let tick = TICK_MAX.min(settings.groups.wait / 4);
        Ok(Self { consumer, watch, term, tools, crew, runtime, tick, ticked_at: Instant::now(), evicted: 0 })
    }

    pub(super) fn run(mut self) -> Result<(), JoinerError> {
        let result = self.read();
        // What is under way ends meanwhile; its markers are for the next reader.
        commit(&self.consumer, CommitMode::Sync);
        result
    }

    fn read(&mut self) -> Result<(), JoinerError> {
        while !self.tools.stop.is_cancelled() {
            self.crew.check()?;
            self.take_records()?;
            for partition in self.consumer.context().partitions().values_mut() {
                self.crew.serve(&mut partition.groups);
            }
            self.keep_flow();
            if self.ticked_at.elapsed() >= self.tick {
                self.ticked_at = Instant::now();
                self.look_after()?;
            }
        }
        Ok(())
    }

    /// Waits for a record, then takes those that are there.
    fn take_records(&mut self) -> Result<(), JoinerError> {
        let mut wait = WAIT;
        for _ in 0..BATCH_MAX {
            match self.consumer.poll(wait) {
                None => return Ok(()),
                Some(Ok(message)) => self.take(&message),
                Some(Err(KafkaError::PartitionEOF(number))) => self.ended(number),
                Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => return Err(JoinerError::Consumer(error)),
                // librdkafka tries these again by itself.
                Some(Err(error)) => tracing::warn!(%error, "the consumer of pieces met an error"),
            }
            wait = Duration::ZERO;
        }
        Ok(())
    }

    fn take(&self, message: &BorrowedMessage<'_>) {
        let (number, offset) = (message.partition(), message.offset());
        let (reason, unreadable) = {
            let mut partitions = self.consumer.context().partitions();
            // Not ours any more.
            let Some(partition) = partitions.get_mut(&number) else { return };
            let reason = partition.read(offset, understand(message), self.tools.clock.now());
            (reason, partition.unreadable.clone())
        };
        if let Some(reason) = reason {
            let value = message.payload().unwrap_or_default().to_vec();
            let done = move || {
                unreadable.lock().unwrap_or_else(PoisonError::into_inner).remove(&offset);
            };
            self.runtime.block_on(self.crew.bury(value, reason, done));
        }
    }

    fn ended(&self, number: i32) {
        if let Some(partition) = self.consumer.context().partitions().get_mut(&number) {
            partition.ended();
        }
    }

    /// Pauses partitions whose texts cannot be published as fast as they become ready.
    fn keep_flow(&self) {
        let (mut full, mut free) = (TopicPartitionList::new(), TopicPartitionList::new());
        for (number, partition) in self.consumer.context().partitions().iter_mut() {
            match partition.turn() {
                Some(Turn::Full) => {
                    full.add_partition(PARTS, *number);
                }
                Some(Turn::Free) => {
                    free.add_partition(PARTS, *number);
                }
                None => {}
            }
        }
        if full.count() > 0
            && let Err(error) = self.consumer.pause(&full)
        {
            tracing::warn!(%error, "partitions of pieces could not be paused");
        }
        if free.count() > 0
            && let Err(error) = self.consumer.resume(&free)
        {
            tracing::warn!(%error, "partitions of pieces could not be resumed");
        }
    }

    /// What is due now and then.
    fn look_after(&mut self) -> Result<(), JoinerError> {
        let now = self.tools.clock.now();
        self.consumer.context().partitions().values_mut().for_each(|partition| partition.groups.tick(now));
        self.show();
        commit(&self.consumer, CommitMode::Async);
        let pieces: &Pieces = self.consumer.context();
        let ends = self.watch.look(|| pieces.read_now());
        // What ends before what was read of it is another topic of the same name.
        let other = ends.iter().find(|at| at.end < at.next).map(|at| at.partition.1);
        if let Some(number) = other.or_else(|| self.watch.stands_still().map(|((_, number), _)| *number)) {
            return Err(JoinerError::StandsStill(number));
        }
        if self.term.is_over() {
            return Err(JoinerError::Outdated);
        }
        match self.consumer.client().fatal_error() {
            Some((code, _)) => Err(JoinerError::Consumer(KafkaError::MessageConsumptionFatal(code))),
            None => Ok(()),
        }
    }

    fn show(&mut self) {
        let (mut held, mut open, mut evicted) = (0, 0, 0);
        for partition in self.consumer.context().partitions().values() {
            held += partition.groups.held_pieces();
            open += partition.groups.open_groups();
            evicted += partition.groups.evicted();
        }
        let metrics = &self.tools.metrics;
        metrics.pieces_held.set(i64::try_from(held).unwrap_or(i64::MAX));
        metrics.texts_open.set(i64::try_from(open).unwrap_or(i64::MAX));
        // A partition given away takes its count with it.
        metrics.texts_evicted.inc_by(evicted.saturating_sub(self.evicted));
        self.evicted = evicted;
    }
}
