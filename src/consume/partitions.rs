//! The partitions this member reads, and what is known of each.
//!
//! Comes in: assignments, records read and done, the brokers' ends of logs. Goes out: offsets to
//! commit, the age of each topic's oldest record that is not done, who stands still.
//! Always true: a partition out of range stays marked until it is taken away.
//! Not here: calls to Kafka.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::Standing;
use super::window::Window;
use crate::message::Timestamp;
use crate::publish::TopicPartition;

pub(super) type Place = TopicPartition;

struct Partition {
    window: Window,
    /// Gone when the partition is.
    assignment: Arc<()>,
    /// Paused because its window is full, or its work has no room.
    held: bool,
    /// Its work had no room after the last record.
    crowded: bool,
    /// Out of range since then.
    stopped: Option<Timestamp>,
    /// What was last heard of its end.
    end: i64,
    /// More records are there than were read, since then.
    behind: Option<Timestamp>,
}

/// Records behind one that is not done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Of one partition.
    pub each: usize,
    /// Of all together, an equal share for each.
    pub all: Option<usize>,
}

/// All partitions of this member.
pub(super) struct Partitions {
    places: HashMap<Place, Partition>,
    window: Bounds,
    /// Everything is paused: no room for another record.
    pub paused: bool,
}

impl Partitions {
    pub(super) fn new(window: Bounds) -> Self {
        Self { places: HashMap::new(), window, paused: false }
    }

    /// What one partition may hold now.
    fn window_max(&self) -> usize {
        let share = self.window.all.map_or(usize::MAX, |all| all / self.places.len().max(1));
        self.window.each.min(share).max(1)
    }

    /// A partition comes, with the offset it starts at if one is committed.
    pub(super) fn add(&mut self, place: Place, at: Option<i64>) {
        let (window, assignment) = (Window::starting(at), Arc::new(()));
        let partition =
            Partition { window, assignment, held: false, crowded: false, stopped: None, end: 0, behind: None };
        self.places.insert(place, partition);
    }

    pub(super) fn remove(&mut self, place: &Place) {
        self.places.remove(place);
    }

    /// A record was read; what lives as long as the partition is this member's. `None` when it is to be ignored: read
    /// before, or not ours any more.
    pub(super) fn read(&mut self, place: &Place, offset: i64, published_ms: i64) -> Option<Weak<()>> {
        let partition = self.places.get_mut(place)?;
        partition.window.read(offset, published_ms).then(|| Arc::downgrade(&partition.assignment))
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

    /// The work has no room for more of a partition.
    pub(super) fn crowd(&mut self, place: &Place) {
        if let Some(partition) = self.places.get_mut(place) {
            partition.crowded = true;
        }
    }

    /// Partitions that can hold no more, marked held.
    pub(super) fn hold_full(&mut self) -> TopicPartitionList {
        let window_max = self.window_max();
        let is_full = |partition: &Partition| partition.crowded || partition.window.len() >= window_max;
        self.mark(|_, partition| !partition.held && is_full(partition), true)
    }

    /// Partitions whose window and work have room again, no longer held.
    pub(super) fn release(&mut self, has_room: impl Fn(&str) -> bool) -> TopicPartitionList {
        let room_from = self.window_max() / 2;
        let may_go_on = |topic: &str, partition: &Partition| {
            partition.window.len() <= room_from && (!partition.crowded || has_room(topic))
        };
        self.mark(|topic, partition| partition.held && may_go_on(topic, partition), false)
    }

    fn mark(&mut self, chosen: impl Fn(&str, &Partition) -> bool, held: bool) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for (place, partition) in self.places.iter_mut().filter(|(place, partition)| chosen(&place.0, partition)) {
            partition.held = held;
            partition.crowded &= held;
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

    /// How far each topic is.
    pub(super) fn standings(&self, now: Timestamp) -> BTreeMap<Arc<str>, Standing> {
        let mut standings = BTreeMap::<Arc<str>, Standing>::new();
        for ((topic, _), partition) in &self.places {
            let standing = standings.entry(topic.clone()).or_default();
            standing.stopped += usize::from(partition.stopped.is_some());
            standing.oldest_seconds = standing.oldest_seconds.max(partition.oldest_seconds(now));
        }
        standings
    }
}

impl Partition {
    fn oldest_seconds(&self, now: Timestamp) -> f64 {
        let noticed = [self.stopped, self.behind].into_iter().flatten().map(Timestamp::as_millisecond);
        let oldest = noticed.chain(self.window.oldest_ms()).min();
        let age_ms = oldest.map_or(0, |oldest| (now.as_millisecond() - oldest).max(0));
        Duration::from_millis(age_ms.unsigned_abs()).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time of the test")
    }

    #[test]
    fn a_topics_oldest_is_the_age_of_its_oldest_record_not_done() {
        let (one, two): (Place, Place) = (("sms.one".into(), 0), ("sms.two".into(), 3));
        let beside: Place = ("sms.two".into(), 4);
        let mut partitions = Partitions::new(Bounds { each: 10, all: None });
        for (place, at) in [(&one, Some(4)), (&two, None), (&beside, None)] {
            partitions.add(place.clone(), at);
        }
        let of = |partitions: &Partitions| {
            let standings = partitions.standings(at(100));
            let of = |topic: &str| standings.get(topic).map(|it| (it.oldest_seconds as i64, it.stopped));
            (of("sms.one"), of("sms.two"))
        };
        assert_eq!(of(&partitions), (Some((0, 0)), Some((0, 0))));
        assert!(partitions.read(&one, 4, 70_000).is_some() && partitions.read(&two, 0, 90_000).is_some());
        assert_eq!(of(&partitions), (Some((30, 0)), Some((10, 0))));
        partitions.done(&one, 4);
        assert_eq!(of(&partitions), (Some((0, 0)), Some((10, 0))));
        partitions.done(&two, 0);
        assert_eq!(of(&partitions), (Some((0, 0)), Some((0, 0))));
        partitions.ends_at(&one, 9, at(95));
        partitions.ends_at(&one, 10, at(96));
        partitions.reaches(&one, 5, at(97));
        assert_eq!(of(&partitions), (Some((5, 0)), Some((0, 0))));
        partitions.stop(&two, at(60));
        partitions.stop(&beside, at(80));
        assert_eq!(of(&partitions), (Some((5, 0)), Some((40, 2))));
        partitions.ends_at(&one, 5, at(99));
        partitions.remove(&two);
        assert_eq!(of(&partitions), (Some((0, 0)), Some((20, 1))));
        partitions.remove(&beside);
        assert_eq!(of(&partitions), (Some((0, 0)), None));
    }

    #[test]
    fn a_record_is_wanted_until_its_partition_is_given_away() {
        let place: Place = ("sms.one".into(), 0);
        let mut partitions = Partitions::new(Bounds { each: 10, all: None });
        partitions.add(place.clone(), Some(0));
        let wanted = partitions.read(&place, 0, 0).expect("new");
        assert!(partitions.read(&place, 0, 0).is_none() && wanted.strong_count() == 1);
        partitions.remove(&place);
        partitions.add(place.clone(), Some(0));
        assert_eq!(wanted.strong_count(), 0, "who has it now reads it again");
    }

    #[test]
    fn a_partition_stuck_behind_one_record_is_held_and_let_go() {
        let place: Place = ("sms.one".into(), 0);
        let window_max = 16;
        let mut partitions = Partitions::new(Bounds { each: 16, all: None });
        partitions.add(place.clone(), Some(0));
        for offset in 0..window_max {
            assert_eq!(partitions.hold_full().count(), 0);
            assert!(partitions.read(&place, offset, 0).is_some());
        }
        assert_eq!((partitions.hold_full().count(), partitions.hold_full().count()), (1, 0));
        assert_eq!(partitions.not_held().count(), 0);
        (1..window_max).for_each(|offset| partitions.done(&place, offset));
        assert_eq!((partitions.release(|_| true).count(), partitions.commit(None).is_some()), (0, false));
        partitions.done(&place, 0);
        assert_eq!((partitions.release(|_| true).count(), partitions.not_held().count()), (1, 1));
        assert!(partitions.commit(None).is_some() && partitions.commit(None).is_none());
    }

    #[test]
    fn a_partition_whose_work_has_no_room_is_held_until_it_has() {
        let mut partitions = Partitions::new(Bounds { each: 16, all: None });
        let places: [Place; 2] = [("sms.one".into(), 0), ("sms.two".into(), 0)];
        places.iter().for_each(|place| partitions.add(place.clone(), Some(0)));
        partitions.crowd(&places[0]);
        assert_eq!((partitions.hold_full().count(), partitions.not_held().count()), (1, 1));
        assert_eq!(partitions.release(|topic| topic != "sms.one").count(), 0);
        assert_eq!(partitions.release(|topic| topic == "sms.one").count(), 1);
        assert_eq!(partitions.hold_full().count(), 0);
    }

    #[test]
    fn what_all_may_hold_is_shared_by_the_partitions() {
        let mut partitions = Partitions::new(Bounds { each: 8, all: Some(12) });
        let places: Vec<Place> = (0..4).map(|number| ("sms.one".into(), number)).collect();
        partitions.add(places[0].clone(), Some(0));
        (0..7).for_each(|offset| assert!(partitions.read(&places[0], offset, 0).is_some()));
        assert_eq!(partitions.hold_full().count(), 0);
        places[1..].iter().for_each(|place| partitions.add(place.clone(), Some(0)));
        assert_eq!(partitions.hold_full().count(), 1, "a quarter of twelve is left to it");
        places[1..].iter().for_each(|place| partitions.remove(place));
        (0..3).for_each(|offset| partitions.done(&places[0], offset));
        assert_eq!(partitions.release(|_| true).count(), 1);
    }
}
