//! A member of a consumer group: partitions come, and are given away.
//!
//! Comes in: what the group's coordinator decides, inside `poll`, on the thread that polls. Goes out: to a
//! `Member` what it has now and what no more, and librdkafka's log lines.
//! Always true: what is done is committed before a partition is given away; of an assignment that was lost
//! nothing is, for somebody else has it already and reads it again.
//! Not here: where a partition begins and what is done of it (`Member`), polling.

use std::ops::Deref;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::RDKafkaRespErr;

/// What a consumer of ours knows of its partitions.
pub trait Member: Send + Sync + Sized + 'static {
    /// What the partitions hold, for the log.
    fn holds(&self) -> &'static str;

    /// Takes new partitions over: sets in the list where each begins. Whether they are to be paused.
    fn take(&self, consumer: &BaseConsumer<Group<Self>>, assignment: &mut TopicPartitionList) -> KafkaResult<bool>;

    /// What there is to commit of these partitions, or of all.
    fn commit(&self, only: Option<&TopicPartitionList>) -> Option<TopicPartitionList>;

    /// The last commit was not made: what was in it is in the next one.
    fn commit_again(&self);

    /// Somebody else has these partitions from now on.
    fn give(&self, revoked: &TopicPartitionList);

    /// librdkafka's figures, where the client's settings ask for them.
    fn learn(&self, _statistics: Statistics) {}
}

/// A consumer's context around its member.
pub struct Group<M>(M);

impl<M> Group<M> {
    pub fn new(member: M) -> Self {
        Self(member)
    }
}

impl<M> Deref for Group<M> {
    type Target = M;

    fn deref(&self) -> &M {
        &self.0
    }
}

/// Commits what there is to commit; what could not be is with the next one.
pub fn commit<M: Member>(consumer: &BaseConsumer<Group<M>>, mode: CommitMode) {
    let Some(offsets) = consumer.context().commit(None) else { return };
    if let Err(error) = consumer.commit(&offsets, mode) {
        tracing::warn!(%error, of = consumer.context().holds(), "offsets were not committed: they are with the next commit");
        consumer.context().commit_again();
    }
}

impl<M: Member> Group<M> {
    fn assigned(&self, consumer: &BaseConsumer<Self>, assignment: &mut TopicPartitionList) -> KafkaResult<()> {
        let paused = self.take(consumer, assignment)?;
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(assignment)?,
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.assign(assignment)?,
        }
        if paused {
            consumer.pause(assignment)?;
        }
        tracing::info!(partitions = assignment.count(), of = self.holds(), "partitions assigned");
        Ok(())
    }

    fn revoked(&self, consumer: &BaseConsumer<Self>, revoked: &TopicPartitionList) -> KafkaResult<()> {
        let offsets = if consumer.assignment_lost() { None } else { self.commit(Some(revoked)) };
        if let Some(offsets) = offsets
            && let Err(error) = consumer.commit(&offsets, CommitMode::Sync)
        {
            tracing::warn!(%error, of = self.holds(), "offsets of partitions given away were not committed: more is read again");
        }
        self.give(revoked);
        tracing::info!(partitions = revoked.count(), of = self.holds(), "partitions given away");
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(revoked),
            RebalanceProtocol::Eager | RebalanceProtocol::None => consumer.unassign(),
        }
    }
}

impl<M: Member> ConsumerContext for Group<M> {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let result = match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assigned(consumer, list),
            _ => self.revoked(consumer, list),
        };
        if let Err(error) = result {
            tracing::error!(%error, of = self.holds(), "a changed assignment was not taken over");
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::warn!(%error, of = self.holds(), "offsets were not committed: they are with the next commit");
            self.commit_again();
        }
    }
}

impl<M: Member> ClientContext for Group<M> {
    fn stats(&self, statistics: Statistics) {
        self.learn(statistics);
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::warn!(facility, message, of = self.holds(), "Kafka client");
            }
            _ => tracing::debug!(facility, message, of = self.holds(), "Kafka client"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, of = self.holds(), "Kafka client");
    }
}
