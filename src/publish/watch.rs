//! Whether a consumer stands still: a partition is not read on although more is there.
//!
//! Comes in: where reading goes on. Goes out: where the partitions end, every few seconds, and one that has not
//! moved for long.
//! Always true: the brokers are asked beside the thread that polls, one question at a time, which ends within
//! seconds; a partition is judged only by an end that they have just said, and none where one of them has an error.
//! Not here: what follows from it: whoever reads takes a new client.
//!
//! Why: librdkafka 2.12 takes no news of a partition's leader whose epoch is lower than the one it knows,
//! and a topic that was deleted and made again begins at 0. When its leader changes, the client asks the
//! former one for ever, without an error, and by its own figures nothing is left to read. Nor does it always find
//! out that the new topic is shorter than what it had read of the old one. The brokers' answer shows both, and a new
//! client, which knows of no earlier topic, reads on.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::runtime::Handle;

use super::aside::Aside;
use super::group::{Group, Member};

/// Between two looks.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// Looks in a row that find a partition where it was. What was fetched ahead of other partitions is read first, so
/// behind a slow store this may be no fault of the client's; another client then costs a rebalance and nothing else.
const LOOKS_MAX: u32 = 12;
/// How long the brokers may take for one step of an answer.
const STEP_MAX: Duration = Duration::from_secs(5);

/// Topic and number of a partition.
pub type TopicPartition = (Arc<str>, i32);

/// Where a partition ended a moment ago, and where reading was to go on just before that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    pub partition: TopicPartition,
    pub next: i64,
    pub end: i64,
}

/// Watches one consumer.
pub struct Watch<M: Member> {
    consumer: Arc<BaseConsumer<Group<M>>>,
    asked_at: Instant,
    question: Aside<Vec<End>>,
    standing: Standing,
}

impl<M: Member> Watch<M> {
    /// `runtime` lends the threads that wait for the brokers. Where an earlier client stood still is no reason for a
    /// third one: what follows there may never be delivered, as the end of a transaction is not.
    pub fn new(consumer: Arc<BaseConsumer<Group<M>>>, runtime: Handle, stood: Option<(TopicPartition, i64)>) -> Self {
        let standing = Standing { stood, ..Standing::default() };
        Self { consumer, asked_at: Instant::now(), question: Aside::new(runtime), standing }
    }

    /// Looks if it is time to: `positions` are the partitions that are read, with the offset that comes
    /// next where that is known. The answer comes with a later call, once.
    pub fn look(&mut self, positions: impl FnOnce() -> Vec<(TopicPartition, Option<i64>)>) -> Vec<End> {
        if let Some(answer) = self.question.answer() {
            return match answer {
                Ok(ends) => {
                    self.standing.judge(&ends);
                    ends
                }
                Err(error) => {
                    tracing::debug!(%error, of = self.consumer.context().holds(), "the ends of partitions are not known now");
                    Vec::new()
                }
            };
        }
        if !self.question.is_open() && self.asked_at.elapsed() >= LOOK_INTERVAL {
            self.asked_at = Instant::now();
            let (consumer, positions) = (self.consumer.clone(), positions());
            self.question.ask(move || ends(&consumer, positions));
        }
        Vec::new()
    }

    /// A partition that stands still, and where.
    pub fn stands_still(&self) -> Option<(&TopicPartition, i64)> {
        self.standing.found()
    }
}

fn ends<M: Member>(
    consumer: &BaseConsumer<Group<M>>,
    positions: Vec<(TopicPartition, Option<i64>)>,
) -> KafkaResult<Vec<End>> {
    let ends = offsets(consumer, positions.iter().map(|(partition, _)| partition), Offset::End)?;
    // Nothing read and nothing committed: reading begins where the partition does.
    let fresh = positions.iter().filter(|(_, next)| next.is_none()).map(|(partition, _)| partition);
    let beginnings = offsets(consumer, fresh, Offset::Beginning)?;
    let found = positions.into_iter().filter_map(|(partition, next)| {
        let next = next.or_else(|| beginnings.get(&partition).copied())?;
        let end = *ends.get(&partition)?;
        Some(End { partition, next, end })
    });
    Ok(found.collect())
}

/// One request for each broker that leads some of them; an error of one partition is the answer for all.
fn offsets<'a, M: Member>(
    consumer: &BaseConsumer<Group<M>>,
    partitions: impl Iterator<Item = &'a TopicPartition>,
    which: Offset,
) -> KafkaResult<HashMap<TopicPartition, i64>> {
    let mut list = TopicPartitionList::new();
    for (topic, number) in partitions {
        list.add_partition_offset(topic, *number, which)?;
    }
    if list.count() == 0 {
        return Ok(HashMap::new());
    }
    let answered = consumer.offsets_for_times(list, STEP_MAX)?;
    let said = answered.elements().into_iter().filter_map(|element| match (element.error(), element.offset()) {
        (Ok(()), Offset::Offset(offset)) => Some(((element.topic().into(), element.partition()), offset)),
        _ => None,
    });
    Ok(said.collect())
}

/// Partitions that were not at their end, where they were, and for how many looks.
#[derive(Default)]
struct Standing {
    seen: HashMap<TopicPartition, (i64, u32)>,
    stood: Option<(TopicPartition, i64)>,
}

impl Standing {
    fn judge(&mut self, ends: &[End]) {
        let is_new =
            |at: &&End| self.stood.as_ref().is_none_or(|(place, next)| (place, *next) != (&at.partition, at.next));
        let unfinished = ends.iter().filter(|at| at.end > at.next).filter(is_new);
        let judged = unfinished.map(|at| {
            let looks = match self.seen.get(&at.partition) {
                Some((next, looks)) if *next == at.next => looks + 1,
                _ => 1,
            };
            (at.partition.clone(), (at.next, looks))
        });
        self.seen = judged.collect();
    }

    fn found(&self) -> Option<(&TopicPartition, i64)> {
        let found = self.seen.iter().find(|(_, (_, looks))| *looks >= LOOKS_MAX);
        found.map(|(partition, (next, _))| (partition, *next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: i32, next: i64, end: i64) -> End {
        End { partition: ("sms.highways".into(), number), next, end }
    }

    fn found(looks: &[&[End]]) -> Option<i32> {
        let mut standing = Standing::default();
        looks.iter().for_each(|ends| standing.judge(ends));
        standing.found().map(|((_, number), _)| *number)
    }

    #[test]
    fn a_partition_that_never_moves_although_more_is_there_is_found() {
        let (stands, others) = ([at(0, 5, 9)], [at(0, 5, 12), at(1, 3, 4)]);
        let mut looks = vec![&stands[..]; LOOKS_MAX as usize - 1];
        assert_eq!(found(&looks), None);
        looks.push(&others);
        assert_eq!(found(&looks), Some(0));
    }

    #[test]
    fn where_an_earlier_client_stood_is_judged_only_after_it_has_moved() {
        let mut standing = Standing { stood: Some((at(0, 5, 9).partition, 5)), ..Standing::default() };
        (0..20).for_each(|_| standing.judge(&[at(0, 5, 9)]));
        assert_eq!(standing.found(), None);
        (0..LOOKS_MAX).for_each(|_| standing.judge(&[at(0, 6, 9)]));
        assert_eq!(standing.found(), Some((&at(0, 6, 9).partition, 6)));
    }

    #[test]
    fn what_moves_or_is_at_its_end_or_was_not_read_for_a_while_is_not() {
        let moves: Vec<_> = (0..20).map(|next| [at(0, next, 30)]).collect();
        assert_eq!(found(&moves.iter().map(|ends| &ends[..]).collect::<Vec<_>>()), None);
        assert_eq!(found(&vec![&[at(0, 9, 9), at(1, 5, 1)][..]; 20]), None);
        let stands = [at(0, 5, 9)];
        let mut looks = vec![&stands[..]; LOOKS_MAX as usize - 1];
        looks.extend([&[][..], &stands]);
        assert_eq!(found(&looks), None);
    }
}
