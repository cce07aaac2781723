//! The partitions this member reads, and what is known of each.
//!
//! Comes in: assignments, records read and done, the brokers' ends of logs. Goes out: offsets to
//! commit, the age of the oldest record that is not archived, who stands still.
//! Always true: a partition out of range stays marked until it is taken away.
//! Not here: calls to Kafka.

use std::collections::HashMap;

use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::window::{WINDOW_MAX, Window};
use crate::message::Timestamp;
use crate::publish::TopicPartition;

pub(super) type Place = TopicPartition;

struct Partition {
    window: Window,
    /// Paused because its window is full.
    held: bool,
    /// Out of range since then.
    stopped: Option<Timestamp>,
    /// What was last heard of its end.
    end: i64,
    /// More records are there than were read, since then.
    behind: Option<Timestamp>,
}

/// All partitions of this member.
#[derive(Default)]
pub(super) struct Partitions {
    places: HashMap<Place, Partition>,
    /// Everything is paused: no room for another record.
    pub paused: bool,
}

impl Partitions {
    /// A partition comes, with the offset it starts at if one is committed.
    pub(super) fn add(&mut self, place: Place, at: Option<i64>) {
        let partition = Partition { window: Window::starting(at), held: false, stopped: None, end: 0, behind: None };
        self.places.insert(place, partition);
    }

    pub(super) fn remove(&mut self, place: &Place) {
        self.places.remove(place);
    }

    /// A record was read. False when it is to be ignored: read before, or not ours any more.
    pub(super) fn read(&mut self, place: &Place, offset: i64, published_ms: i64) -> bool {
        self.places.get_mut(place).is_some_and(|partition| partition.window.read(offset, published_ms))
    }

    pub(super) fn done(&mut self, place: &Place, offset: i64) {
        if let Some(partition) = self.places.get_mut(place) {
            partition.window.done(offset);
        }
    }

    /// What to commit of `only`, or of all; `None` when nothing has changed.
    pub(super) fn commit(&mut self, only: Option<&TopicPartitionList>) -> Option<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for (place, partition) in &mut self.places {
            if only.is_some_and(|only| only.find_partition(&place.0, place.1).is_none()) {
                continue;
            }
            if let Some(offset) = partition.window.commit() {
                list.add_partition_offset(&place.0, place.1, Offset::Offset(offset)).expect("offsets are not negative");
            }
        }
        (list.count() > 0).then_some(list)
    }

    pub(super) fn commit_again(&mut self) {
        self.places.values_mut().for_each(|partition| partition.window.commit_again());
    }

    /// Partitions whose window has become full, marked held.
    pub(super) fn hold_full(&mut self) -> TopicPartitionList {
        self.mark(|partition| !partition.held && partition.window.len() >= WINDOW_MAX, true)
    }

    /// Partitions whose window has room again, no longer held.
    pub(super) fn release(&mut self) -> TopicPartitionList {
        self.mark(|partition| partition.held && partition.window.len() <= WINDOW_MAX / 2, false)
    }

    fn mark(&mut self, chosen: impl Fn(&Partition) -> bool, held: bool) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (place, partition) in self.places.iter_mut().filter(|(_, partition)| chosen(partition)) {
            partition.held = held;
            list.add_partition(&place.0, place.1);
        }
        list
    }

    /// The partitions that follow a general pause or its end: those not held by themselves.
    pub(super) fn not_held(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (place, _) in self.places.iter().filter(|(_, partition)| !partition.held) {
            list.add_partition(&place.0, place.1);
        }
        list
    }

    /// Those of the positions that are being read now.
    pub(super) fn read_now(&self) -> Vec<(Place, Option<i64>)> {
        if self.paused {
            return Vec::new();
        }
        self.positions().into_iter().filter(|(place, _)| !self.places[place].held).collect()
    }

    /// Where each partition that is not stopped goes on; `None` where that is not known yet.
    pub(super) fn positions(&self) -> Vec<(Place, Option<i64>)> {
        let going = self.places.iter().filter(|(_, partition)| partition.stopped.is_none());
        going.map(|(place, partition)| (place.clone(), partition.window.next())).collect()
    }

    /// Whether a partition is not stopped and goes on here.
    pub(super) fn stands_at(&self, place: &Place, next: i64) -> bool {
        self.places.get(place).is_some_and(|it| it.stopped.is_none() && it.window.next() == Some(next))
    }

    pub(super) fn stop(&mut self, place: &Place, now: Timestamp) {
        if let Some(partition) = self.places.get_mut(place) {
            partition.stopped = Some(now);
        }
    }

    pub(super) fn stopped(&self) -> usize {
        self.places.values().filter(|partition| partition.stopped.is_some()).count()
    }

    /// The client says how far a partition reaches; what the brokers said may be newer, and is further.
    pub(super) fn reaches(&mut self, place: &Place, end: i64, now: Timestamp) {
        let heard_of = self.places.get(place).map_or(end, |partition| partition.end);
        self.ends_at(place, end.max(heard_of), now);
    }

    /// The brokers say where a partition ends.
    pub(super) fn ends_at(&mut self, place: &Place, end: i64, now: Timestamp) {
        if let Some(partition) = self.places.get_mut(place) {
            partition.end = end;
            let more = partition.window.next().is_some_and(|next| end > next);
            partition.behind = more.then(|| partition.behind.unwrap_or(now));
        }
    }

    /// Age of the oldest record known not to be archived, in seconds; 0 when there is none. A record
    /// that has not been read counts from when it was noticed.
    pub(super) fn lag_seconds(&self, now: Timestamp) -> f64 {
        let oldest = self.places.values().filter_map(|partition| {
            let since = [partition.stopped, partition.behind].into_iter().flatten().map(Timestamp::as_millisecond);
            since.chain(partition.window.oldest_ms()).min()
        });
        let age_ms = oldest.min().map_or(0, |oldest| (now.as_millisecond() - oldest).max(0));
        std::time::Duration::from_millis(age_ms.unsigned_abs()).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time of the test")
    }

    #[test]
    fn lag_is_the_age_of_the_oldest_record_not_done() {
        let (one, two): (Place, Place) = (("sms.one".into(), 0), ("sms.two".into(), 3));
        let mut partitions = Partitions::default();
        partitions.add(one.clone(), Some(4));
        partitions.add(two.clone(), None);
        let lag = |partitions: &Partitions| partitions.lag_seconds(at(100)) as i64;
        assert_eq!(lag(&partitions), 0);
        assert!(partitions.read(&one, 4, 70_000) && partitions.read(&two, 0, 90_000));
        assert_eq!(lag(&partitions), 30);
        partitions.done(&one, 4);
        assert_eq!(lag(&partitions), 10);
        partitions.done(&two, 0);
        assert_eq!(lag(&partitions), 0);
        partitions.ends_at(&one, 9, at(95));
        partitions.ends_at(&one, 10, at(96));
        assert_eq!(lag(&partitions), 5);
        partitions.reaches(&one, 5, at(97));
        assert_eq!(lag(&partitions), 5);
        partitions.stop(&two, at(60));
        assert_eq!((lag(&partitions), partitions.stopped()), (40, 1));
        partitions.ends_at(&one, 5, at(99));
        partitions.remove(&two);
        assert_eq!((lag(&partitions), partitions.stopped()), (0, 0));
    }

    #[test]
    fn a_partition_stuck_behind_one_record_is_held_and_let_go() {
        let place: Place = ("sms.one".into(), 0);
        let mut partitions = Partitions::default();
        partitions.add(place.clone(), Some(0));
        let window_max = i64::try_from(WINDOW_MAX).expect("small");
        for offset in 0..window_max {
            assert!(partitions.read(&place, offset, 0));
        }
        assert_eq!((partitions.hold_full().count(), partitions.hold_full().count()), (1, 0));
        assert_eq!(partitions.not_held().count(), 0);
        (1..window_max).for_each(|offset| partitions.done(&place, offset));
        assert_eq!((partitions.release().count(), partitions.commit(None).is_some()), (0, false));
        partitions.done(&place, 0);
        assert_eq!((partitions.release().count(), partitions.not_held().count()), (1, 1));
        assert!(partitions.commit(None).is_some() && partitions.commit(None).is_none());
    }
}
