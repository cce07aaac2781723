//! A department's stream of the embedded log → one of its lanes.
//!
//! Comes in: entries after the channel's position. Goes out: letters; the position, once everything up to it is done;
//! the age of the oldest text.
//! Always true: without a position reading begins with the oldest entry in the feed; the position never passes an entry
//! that is not done; at most `WINDOW_MAX` entries are read beyond it; it is moved for many texts at once.
//! Not here: what becomes of a letter (`lane`).

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Channel, Done, Lane, Lanes, Letter};
use crate::clock::Clock;
use crate::message::{DepartmentName, EventSource, Record, Timestamp};
use crate::store::{Cursor, Entry, Store, StoreError};
use crate::telemetry::Metrics;

/// Entries read and not done without a gap.
const WINDOW_MAX: usize = 1_024;
/// Entries of one reading.
const BATCH_MAX: usize = 256;
/// After a commit, before reading: one look serves many texts.
const GATHER: Duration = Duration::from_millis(20);
/// Between two moves of the position, and two looks at the age of the oldest text.
const TICK: Duration = Duration::from_secs(1);
/// Between two looks for what another process appended (`dead-letter replay`), of which nobody tells.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// What the feeders of a process work with.
#[derive(Clone)]
pub struct Source {
    pub store: Store,
    pub source: EventSource,
    pub clock: Clock,
    pub metrics: Metrics,
    /// The lanes are to be stopped at the same time.
    pub stop: CancellationToken,
}

/// Feeds every lane from the stream of its department, whether or not the routes name it now; ends after `stop`, once
/// the lanes have let go of what they held.
pub async fn run(lanes: Arc<Lanes>, source: Source) {
    let mut feeders = tokio::task::JoinSet::new();
    for channel in Channel::ALL {
        for (department, lane) in lanes.of(channel) {
            let (department, lane, source) = (department.clone(), lane.clone(), source.clone());
            feeders.spawn(Feeder { department, channel, lane, source, in_trouble: false }.run());
        }
    }
    while feeders.join_next().await.is_some() {}
}

/// What became of an entry.
struct Report {
    position: Cursor,
    is_done: bool,
}

/// Reports when dropped, so that no letter ends without a word.
struct Guard {
    report: Option<Report>,
    reports: Sender<Report>,
}

impl Guard {
    fn done(mut self) {
        if let Some(report) = &mut self.report {
            report.is_done = true;
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(report) = self.report.take() {
            // There is room for every entry of the window; the feeder has gone only with the process.
            let _ = self.reports.try_send(report);
        }
    }
}

struct Feeder {
    department: DepartmentName,
    channel: Channel,
    lane: Lane,
    source: Source,
    /// Whether trouble with the store was told and its end was not.
    in_trouble: bool,
}

impl Feeder {
    async fn run(mut self) {
        let Some(mut stretch) = self.begin().await else { return };
        let (report_to, mut reports) = channel(WINDOW_MAX);
        self.follow(&mut stretch, &report_to, &mut reports).await;
        drop(report_to);
        // The lanes end: each letter they held is done or dropped.
        while let Some(report) = reports.recv().await {
            stretch.note(&report);
        }
        self.keep(&mut stretch).await;
    }

    /// Where reading begins; `None` when it is stopped before the store tells.
    async fn begin(&mut self) -> Option<Stretch> {
        self.show(&Stretch::after(Cursor::START));
        loop {
            let kept = self.source.store.progress(self.department.as_str(), self.channel.label()).await;
            if let Some(kept) = self.answered(kept) {
                return Some(Stretch::after(kept.unwrap_or(Cursor::START)));
            }
            self.source.stop.run_until_cancelled(tokio::time::sleep(TICK)).await?;
        }
    }

    /// Until it is told to stop, or the store ends.
    async fn follow(&mut self, stretch: &mut Stretch, report_to: &Sender<Report>, reports: &mut Receiver<Report>) {
        let (stop, mut appended) = (self.source.stop.clone(), self.source.store.appended());
        let (mut ticks, mut looked_at) = (tokio::time::interval(TICK), Instant::now());
        let mut is_more = true;
        while !stop.is_cancelled() {
            if is_more && stretch.has_room() && !self.lane.is_full() {
                appended.borrow_and_update();
                is_more = self.read(stretch, report_to).await;
                looked_at = Instant::now();
                continue;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                Some(report) = reports.recv() => self.take(stretch, &report),
                changed = appended.changed(), if !is_more => {
                    if changed.is_err() {
                        return;
                    }
                    tokio::time::sleep(GATHER).await;
                    is_more = true;
                }
                _ = ticks.tick() => {
                    self.show(stretch);
                    self.keep(stretch).await;
                    is_more |= self.in_trouble || looked_at.elapsed() >= LOOK_INTERVAL;
                }
            }
        }
    }

    /// What the store said; trouble is told once, and its end.
    fn answered<T>(&mut self, answer: Result<T, StoreError>) -> Option<T> {
        let (department, channel) = (&self.department, self.channel.label());
        match answer {
            Ok(answer) => {
                if std::mem::take(&mut self.in_trouble) {
                    tracing::info!(%department, channel, "the log is read for delivery again");
                }
                Some(answer)
            }
            Err(error) => {
                if !std::mem::replace(&mut self.in_trouble, true) {
                    tracing::error!(%error, %department, channel, "the log cannot be read for delivery; it is tried again");
                }
                None
            }
        }
    }

    /// Whether there may be more.
    async fn read(&mut self, stretch: &mut Stretch, report_to: &Sender<Report>) -> bool {
        let read = self.source.store.read(self.department.as_str(), stretch.next, BATCH_MAX).await;
        let Some(entries) = self.answered(read) else { return false };
        let is_more = !entries.is_empty();
        for entry in entries {
            stretch.add(&entry);
            let report = Some(Report { position: entry.position, is_done: false });
            let guard = Guard { report, reports: report_to.clone() };
            match self.letter(entry) {
                Some(letter) => self.lane.take(letter, Box::new(move || guard.done()) as Done),
                None => guard.done(),
            }
        }
        is_more
    }

    /// `None` for what is no text.
    fn letter(&self, entry: Entry) -> Option<Letter> {
        if !entry.kind.is_audited() {
            return None;
        }
        let Ok(record) = Record::from_json(&entry.value) else {
            let (department, channel) = (self.department.as_str(), self.channel.label());
            tracing::error!(id = %entry.id, department, channel, "an entry of the log is no record and cannot be delivered");
            self.source.metrics.deliveries.with_label_values(&[department, channel, "failed"]).inc();
            return None;
        };
        let source = &self.source.source;
        Some(Letter {
            id: entry.id,
            event_type: source.event_type(entry.kind),
            source: source.of(&entry.account),
            account: entry.account,
            subject: entry.subject,
            time: entry.received_at,
            dataschema: Some(source.data_schema(entry.kind)),
            content_type: "application/json".to_owned(),
            traceparent: entry.traceparent,
            record,
            value: Bytes::from(entry.value),
        })
    }

    fn take(&self, stretch: &mut Stretch, report: &Report) {
        stretch.note(report);
        if !report.is_done && !self.source.stop.is_cancelled() {
            let (department, channel) = (&self.department, self.channel.label());
            tracing::error!(%department, channel, "a text was dropped on its way, a defect; it is delivered after a restart");
        }
    }

    fn show(&self, stretch: &Stretch) {
        let age_ms = stretch.oldest().map_or(0, |oldest| {
            let now = self.source.clock.now();
            (now.as_millisecond() - oldest.as_millisecond()).max(0)
        });
        let age = Duration::from_millis(age_ms.unsigned_abs());
        let labels = [self.department.as_str(), self.channel.label()];
        self.source.metrics.delivery_oldest.with_label_values(&labels).set(age.as_secs_f64());
    }

    /// Keeps the position if it has moved.
    async fn keep(&mut self, stretch: &mut Stretch) {
        let to = stretch.done_until;
        if stretch.kept == to {
            return;
        }
        match self.source.store.advance(self.department.as_str(), self.channel.label(), to).await {
            // Texts have the room: the next time.
            Err(StoreError::Busy) => {}
            kept => {
                if self.answered(kept).is_some() {
                    stretch.kept = to;
                }
            }
        }
    }
}

/// The entries between the position that is done and the last one read.
struct Stretch {
    slots: VecDeque<Slot>,
    next: Cursor,
    /// Everything up to here is done.
    done_until: Cursor,
    /// What the store has of it.
    kept: Cursor,
}

struct Slot {
    position: Cursor,
    received_at: Timestamp,
    is_done: bool,
}

impl Stretch {
    fn after(position: Cursor) -> Self {
        Self { slots: VecDeque::new(), next: position, done_until: position, kept: position }
    }

    /// For a whole reading.
    fn has_room(&self) -> bool {
        self.slots.len() + BATCH_MAX <= WINDOW_MAX
    }

    fn add(&mut self, entry: &Entry) {
        self.next = entry.position;
        self.slots.push_back(Slot { position: entry.position, received_at: entry.received_at, is_done: false });
    }

    fn note(&mut self, report: &Report) {
        if let Ok(index) = self.slots.binary_search_by_key(&report.position, |slot| slot.position) {
            self.slots[index].is_done |= report.is_done;
        }
        while self.slots.front().is_some_and(|slot| slot.is_done) {
            self.done_until = self.slots.pop_front().map_or(self.done_until, |slot| slot.position);
        }
    }

    /// When the oldest text that is not done was received.
    fn oldest(&self) -> Option<Timestamp> {
        self.slots.front().map(|slot| slot.received_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{AccountName, EventId, EventKind};

    fn entry(position: Cursor, second: i64) -> Entry {
        Entry {
            position,
            id: EventId::now_v7(),
            kind: EventKind::Message,
            account: AccountName::parse("demo").expect("a name"),
            subject: "86555".to_owned(),
            received_at: Timestamp::from_second(second).expect("a time"),
            traceparent: None,
            value: Vec::new(),
        }
    }

    #[test]
    fn the_position_passes_no_entry_that_is_not_done() {
        let [first, second, third] = [3, 7, 8].map(Cursor::at);
        let mut stretch = Stretch::after(Cursor::START);
        [(first, 10), (second, 20), (third, 30)].iter().for_each(|(at, second)| stretch.add(&entry(*at, *second)));
        assert_eq!((stretch.next, stretch.done_until), (third, Cursor::START));
        let report = |position, is_done| Report { position, is_done };
        stretch.note(&report(third, true));
        stretch.note(&report(first, false));
        assert_eq!((stretch.done_until, stretch.oldest()), (Cursor::START, Some(entry(first, 10).received_at)));
        stretch.note(&report(first, true));
        assert_eq!((stretch.done_until, stretch.oldest()), (first, Some(entry(second, 20).received_at)));
        stretch.note(&report(second, true));
        assert_eq!((stretch.done_until, stretch.oldest()), (third, None));
    }

    #[test]
    fn there_is_room_for_whole_readings_until_the_window_is_full() {
        let mut stretch = Stretch::after(Cursor::START);
        let mut read = 0;
        while stretch.has_room() {
            (0..BATCH_MAX).for_each(|_| stretch.add(&entry(Cursor::START, 0)));
            read += BATCH_MAX;
        }
        assert_eq!(read, WINDOW_MAX);
    }
}
