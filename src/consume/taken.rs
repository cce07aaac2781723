//! A record that was read, and the word that it is done with.
//!
//! Comes in: librdkafka's message. Goes out: what is in it, owned; a report for each record, exactly one, however
//! its work ends.
//! Always true: a record of a partition that was given away is no longer wanted, and its report changes nothing.
//! Not here: what the record says.

use std::borrow::Cow;
use std::sync::Weak;
use std::sync::mpsc::Sender;

use rdkafka::message::{BorrowedMessage, Headers, Message, OwnedHeaders};

use super::partitions::Place;

/// A record, owned.
pub struct Taken {
    pub place: Place,
    pub offset: i64,
    /// Milliseconds since 1970.
    pub published_ms: Option<i64>,
    pub headers: Option<OwnedHeaders>,
    pub value: Vec<u8>,
}

impl Taken {
    pub(super) fn from(message: &BorrowedMessage<'_>) -> Self {
        Self {
            place: (message.topic().into(), message.partition()),
            offset: message.offset(),
            published_ms: message.timestamp().to_millis(),
            headers: message.headers().map(|headers| headers.detach()),
            value: message.payload().unwrap_or_default().to_vec(),
        }
    }

    /// The first header of that name, whatever its case; what is no UTF-8 in it is replaced.
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut headers = self.headers.as_ref()?.iter();
        let value = headers.find(|header| header.key.eq_ignore_ascii_case(name))?.value?;
        Some(String::from_utf8_lossy(value))
    }
}

/// How the work on one record ended.
pub(super) struct Report {
    pub place: Place,
    pub offset: i64,
    pub ending: Ending,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Done,
    /// Its partition is somebody else's by now, or another client reads it.
    Unwanted,
    /// Nobody said that it was done.
    GivenUp,
}

/// Tells that a record is done with. Dropped instead, the record is given up.
pub struct Done {
    place: Place,
    offset: i64,
    /// Lives as long as the record's partition is this member's.
    assignment: Weak<()>,
    reports: Sender<Report>,
    is_done: bool,
}

impl Done {
    pub(super) fn new(taken: &Taken, assignment: Weak<()>, reports: Sender<Report>) -> Self {
        Self { place: taken.place.clone(), offset: taken.offset, assignment, reports, is_done: false }
    }

    /// The record is done with: what comes of it is where it was to go.
    pub fn done(mut self) {
        self.is_done = true;
    }

    /// Whether it still matters here: not once the partition was given away, for who has it reads the record again.
    pub fn is_wanted(&self) -> bool {
        self.assignment.strong_count() > 0
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        let ending = match (self.is_done, self.is_wanted()) {
            (true, _) => Ending::Done,
            (false, false) => Ending::Unwanted,
            (false, true) => Ending::GivenUp,
        };
        // The worker has gone: nobody commits any more.
        let _ = self.reports.send(Report { place: self.place.clone(), offset: self.offset, ending });
    }
}
