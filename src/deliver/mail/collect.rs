//! Which texts share a mail: those of a digest, and those beyond what one hour may have.
//!
//! Comes in: letters whose turn has come, the time. Goes out: for each whether it goes by itself; collected ones when
//! they are due.
//! Always true: while something is collected everything is, so a sender's order holds; a collection is bounded in
//! letters and bytes, and goes out early when it is full.
//! Not here: sending. A process that ends loses what is collected, undone: it is fed again.

use std::time::Duration;

use crate::deliver::Email;
use crate::deliver::parcel::{Collected, Held, Parcel};
use crate::message::Timestamp;

/// Most letters in one mail.
const LETTERS_MAX: usize = 200;
/// A collection of that many bytes of JSON is full.
const BYTES_MAX: usize = 1 << 20;
const HOUR: Duration = Duration::from_secs(3600);

pub(in crate::deliver) struct Collector {
    digest: Option<Duration>,
    hourly_max: usize,
    /// When the hour began in which mails are counted.
    hour: Option<Timestamp>,
    mails: usize,
    open: Option<Open>,
}

struct Open {
    letters: Vec<Held>,
    bytes: usize,
    due: Timestamp,
    why: Collected,
}

impl Collector {
    pub(in crate::deliver) fn new(email: &Email) -> Self {
        Self { digest: email.digest, hourly_max: email.hourly_max, hour: None, mails: 0, open: None }
    }

    /// Whether the next letter is collected; a mail by itself counts for its hour.
    pub(in crate::deliver) fn collects(&mut self, now: Timestamp) -> bool {
        if self.open.is_some() || self.digest.is_some() {
            return true;
        }
        // A clock that was put back begins an hour too.
        if !self.hour.is_some_and(|began| began <= now && now < later(began, HOUR)) {
            (self.hour, self.mails) = (Some(now), 0);
        }
        let is_beyond = self.mails >= self.hourly_max;
        self.mails += usize::from(!is_beyond);
        is_beyond
    }

    pub(in crate::deliver) fn add(&mut self, held: Held, now: Timestamp) {
        let (due, why) = match self.digest {
            Some(digest) => (later(now, digest), Collected::Digest),
            None => (later(self.hour.unwrap_or(now), HOUR), Collected::Beyond(self.hourly_max)),
        };
        let open = self.open.get_or_insert(Open { letters: Vec::new(), bytes: 0, due, why });
        open.bytes += held.letter.value.len();
        open.letters.push(held);
    }

    /// When what is collected goes out at the latest.
    pub(in crate::deliver) fn due(&self) -> Option<Timestamp> {
        self.open.as_ref().map(|open| open.due)
    }

    /// What is collected, once its time is over or it is full.
    pub(in crate::deliver) fn take(&mut self, now: Timestamp) -> Option<Parcel> {
        let period = self.digest.unwrap_or(HOUR);
        if let Some(open) = &mut self.open {
            // A clock that was put back would let them wait for as long.
            open.due = open.due.min(later(now, period));
        }
        let is_full = |open: &mut Open| open.letters.len() >= LETTERS_MAX || open.bytes >= BYTES_MAX;
        let open = self.open.take_if(|open| is_full(open) || now >= open.due)?;
        Some(Parcel::of(open.letters, Some(open.why)))
    }
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::tests::{email, letter};

    const MINUTE: Duration = Duration::from_secs(60);

    fn held(text: &str) -> Held {
        Held { letter: letter("+447700900123", text), done: Box::new(|| ()) }
    }

    fn start() -> Timestamp {
        "2026-11-21T10:00:00Z".parse().expect("a time")
    }

    /// Letters that went by themselves, of `many`.
    fn alone(collector: &mut Collector, many: usize, now: Timestamp) -> usize {
        let mut alone = 0;
        for _ in 0..many {
            if collector.collects(now) {
                collector.add(held("Snow"), now);
            } else {
                alone += 1;
            }
        }
        alone
    }

    #[test]
    fn a_digest_has_everything_of_its_minutes() {
        let mut collector = Collector::new(&crate::deliver::Email { digest: Some(15 * MINUTE), ..email() });
        assert_eq!(alone(&mut collector, 2, start()), 0);
        assert_eq!(alone(&mut collector, 1, later(start(), 14 * MINUTE)), 0);
        assert!(collector.take(later(start(), 14 * MINUTE)).is_none());
        assert_eq!(collector.due(), Some(later(start(), 15 * MINUTE)));
        let parcel = collector.take(later(start(), 15 * MINUTE)).expect("it is due");
        assert_eq!((parcel.letters.len(), parcel.collected), (3, Some(Collected::Digest)));
        assert_eq!(collector.due(), None);
    }

    #[test]
    fn a_clock_that_is_put_back_holds_nothing_longer_than_a_digests_minutes() {
        let mut collector = Collector::new(&crate::deliver::Email { digest: Some(15 * MINUTE), ..email() });
        let month = 30 * 24 * HOUR;
        assert_eq!(alone(&mut collector, 1, later(start(), month)), 0);
        assert!(collector.take(start()).is_none());
        assert_eq!(collector.due(), Some(later(start(), 15 * MINUTE)));
        assert!(collector.take(later(start(), 15 * MINUTE)).is_some());
    }

    #[test]
    fn what_is_beyond_an_hours_mails_waits_for_its_end_and_begins_no_new_hour() {
        let mut collector = Collector::new(&crate::deliver::Email { hourly_max: 3, ..email() });
        assert_eq!(alone(&mut collector, 2, start()), 2);
        assert_eq!(alone(&mut collector, 9, later(start(), 20 * MINUTE)), 1);
        assert!(collector.take(later(start(), 59 * MINUTE)).is_none());
        let end = later(start(), 60 * MINUTE);
        let parcel = collector.take(end).expect("the hour is over");
        assert_eq!((parcel.letters.len(), parcel.collected), (8, Some(Collected::Beyond(3))));
        assert_eq!(alone(&mut collector, 4, end), 3, "the next hour");
    }

    #[test]
    fn a_full_collection_goes_before_its_time() {
        let mut collector = Collector::new(&crate::deliver::Email { hourly_max: 1, ..email() });
        assert_eq!(alone(&mut collector, 200, start()), 1);
        assert!(collector.take(start()).is_none(), "199 are not 200");
        assert_eq!(alone(&mut collector, 1, start()), 0);
        assert_eq!(collector.take(start()).expect("full").letters.len(), 200);
        assert_eq!(alone(&mut collector, 1, start()), 0, "the hour is not over");
        collector.add(held(&"x".repeat(BYTES_MAX)), start());
        assert_eq!(collector.take(start()).expect("full of bytes").letters.len(), 2);
    }
}
