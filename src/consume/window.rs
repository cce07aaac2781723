//! One partition's records between reading and committing.
//!
//! Comes in: offsets as they are read, and as they are done, in any order. Goes out: the offset to
//! commit.
//! Always true: the offset to commit never passes a record that is not done.
//! Not here: Kafka.

use std::collections::VecDeque;

struct Slot {
    offset: i64,
    /// When the record was published, in milliseconds since 1970.
    published_ms: i64,
    done: bool,
}

/// What was read of one partition since it was assigned.
#[derive(Default)]
pub(super) struct Window {
    slots: VecDeque<Slot>,
    /// One after the last record read.
    next: Option<i64>,
    /// One after the last record of the gapless beginning that is done.
    done_until: Option<i64>,
    /// What was last handed to a commit.
    committed: Option<i64>,
}

impl Window {
    /// Starts at a committed offset, or at the earliest record there is.
    pub(super) fn starting(at: Option<i64>) -> Self {
        Self { next: at, ..Self::default() }
    }

    /// A record was read. False if it had been read before.
    pub(super) fn read(&mut self, offset: i64, published_ms: i64) -> bool {
        if self.slots.back().is_some_and(|last| last.offset >= offset) {
            return false;
        }
        self.next = Some(offset + 1);
        self.slots.push_back(Slot { offset, published_ms, done: false });
        true
    }

    /// A record is done. One that is not here belongs to an earlier assignment: nothing happens.
    pub(super) fn done(&mut self, offset: i64) {
        if let Ok(index) = self.slots.binary_search_by_key(&offset, |slot| slot.offset) {
            self.slots[index].done = true;
        }
        while self.slots.front().is_some_and(|slot| slot.done) {
            self.done_until = self.slots.pop_front().map(|slot| slot.offset + 1);
        }
    }

    /// The offset to commit now, if it is another than the last time.
    pub(super) fn commit(&mut self) -> Option<i64> {
        if self.done_until == self.committed {
            return None;
        }
        self.committed = self.done_until;
        self.committed
    }

    /// A commit failed: the next one says it again.
    pub(super) fn commit_again(&mut self) {
        self.committed = None;
    }

    /// Where reading goes on, if that is known.
    pub(super) fn next(&self) -> Option<i64> {
        self.next
    }

    /// When the oldest record that is not done was published.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        self.slots.front().map(|slot| slot.published_ms)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_done_without_a_gap_is_committed() {
        let mut window = Window::starting(Some(5));
        // Offsets may have holes: transactions and compaction leave them.
        for offset in [5, 6, 9] {
            assert!(window.read(offset, 1000 + offset));
        }
        assert_eq!((window.next(), window.oldest_ms()), (Some(10), Some(1005)));
        window.done(9);
        assert_eq!(window.commit(), None);
        window.done(5);
        assert_eq!((window.commit(), window.oldest_ms()), (Some(6), Some(1006)));
        assert_eq!(window.commit(), None);
        window.done(6);
        assert_eq!((window.commit(), window.len()), (Some(10), 0));
    }

    #[test]
    fn a_failed_commit_is_said_again() {
        let mut window = Window::starting(None);
        assert_eq!(window.next(), None);
        window.read(0, 0);
        window.done(0);
        assert_eq!(window.commit(), Some(1));
        window.commit_again();
        assert_eq!(window.commit(), Some(1));
    }

    #[test]
    fn records_of_an_earlier_assignment_change_nothing() {
        let mut window = Window::starting(Some(7));
        window.done(3);
        assert!(window.read(7, 0));
        assert!(!window.read(7, 0));
        window.done(8);
        assert_eq!((window.commit(), window.len()), (None, 1));
    }
}
