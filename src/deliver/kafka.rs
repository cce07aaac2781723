//! Departments' topics → the lanes of one channel: a consumer group for each channel.
//!
//! Comes in: records, in the order of their partitions. Goes out: letters for lanes; the offset of a record moves after
//! every lane that it was for is done with it; the age of each department's oldest text.
//! Always true: a channel's consumer is its own, so a mail server that is away holds up no push; a partition holds only
//! its share of what all may, so a department that is held up holds up no other; a record that is read again, because
//! partitions or clients changed, while its letter is still in a lane is not handed over twice.
//! Not here: polling and offsets (`consume`), what becomes of a letter (`lane`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::{Channel, Lane, Lanes, Letter};
use crate::consume::{self, ConsumeError, Done, Standing, Taken, Work};
use crate::keyword::{Live, Table};
use crate::message::{DepartmentName, EventId, EventKind, EventSource, Record, is_traceparent};
use crate::publish::{ConsumerSettings, TopicPartition};
use crate::telemetry::{Metrics, Told};

/// Letters of one partition in its lane, or behind one that is.
const WINDOW_MAX: usize = 1_024;
/// The same of all partitions of a channel: with the texts that people send, about 100 MB.
const WINDOWS_MAX: usize = 32_768;
/// Above what the windows let in, but for a moment after partitions came.
const IN_FLIGHT_MAX: usize = 2 * WINDOWS_MAX;
/// After a crash texts wait that long for another process: less than with the client's own 45 s.
const SESSION: Duration = Duration::from_secs(10);
/// How long lanes may take to end what is on its way at shutdown: a little more than they take.
const DRAIN: Duration = Duration::from_secs(12);

/// What a channel's consumer works with.
pub struct Feed {
    pub channel: Channel,
    pub lanes: Arc<Lanes>,
    pub routes: Live,
    pub source: EventSource,
    pub metrics: Metrics,
}

/// The topics of the departments that have the channel.
pub fn topics(table: &Table, lanes: &Lanes, channel: Channel) -> Vec<String> {
    let named: BTreeSet<String> =
        lanes.of(channel).filter_map(|(department, _)| table.topic(department)).map(str::to_owned).collect();
    named.into_iter().collect()
}

/// Runs until `parts.shutdown`: feeds the channel's lanes, commits after them. `parts.topics` are the channel's
/// (`topics`), again after every change of the routes. The lanes are to be stopped at the same time, not before.
pub async fn run(consumer: ConsumerSettings, feed: Feed, parts: consume::Parts) -> Result<(), ConsumeError> {
    let (name, holds) = match feed.channel {
        Channel::Email => ("deliver-email", "mails"),
        Channel::Push => ("deliver-push", "pushes"),
    };
    let settings = consume::Settings {
        name,
        holds,
        consumer,
        in_flight_max: IN_FLIGHT_MAX,
        window_max: WINDOW_MAX,
        windows_max: Some(WINDOWS_MAX),
        session: Some(SESSION),
        drain: DRAIN,
    };
    // Lanes live longer than a client of Kafka, so what is in hand does too.
    let desk = Arc::new(Desk { feed, hands: Mutex::default(), stopped: Mutex::default(), told: Told::new() });
    consume::run(settings, parts, move |_| Feeding(desk.clone())).await
}

struct Feeding(Arc<Desk>);

impl Work for Feeding {
    fn begin(&self, taken: Taken, done: Done) {
        self.0.begin(&taken, done);
    }

    fn has_room(&self, topic: &str) -> bool {
        self.0.has_room(topic)
    }

    fn reads_on(&self, topic: &str) -> bool {
        self.0.reads_on(topic)
    }

    fn look(&self, standings: &BTreeMap<Arc<str>, Standing>) {
        self.0.show(standings);
    }
}

/// A record, wherever and by whichever client it is read.
type Mark = (EventId, TopicPartition, i64);

/// What one channel's records are brought to.
struct Desk {
    feed: Feed,
    /// Letters in lanes, with whoever read them last. As many as `consume` lets in.
    hands: Mutex<HashMap<Mark, Done>>,
    /// Departments with a partition out of range.
    stopped: Mutex<BTreeSet<DepartmentName>>,
    told: Told,
}

impl Desk {
    fn begin(self: &Arc<Self>, taken: &Taken, done: Done) {
        let event_type = taken.header("ce_type");
        match event_type.as_deref().map(EventKind::text_version) {
            // A record without a type was put here by hand: what it is shows in its value.
            None | Some(Some("v1")) => {}
            // Neither a text nor for a department.
            Some(None) => return done.done(),
            Some(Some(_)) => return self.pass_by(taken, done, "its version is newer than this build"),
        }
        match Record::from_json(&taken.value) {
            Ok(record) => self.hand_over(taken, record, done),
            Err(_) => self.pass_by(taken, done, "it is no record of a text"),
        }
    }

    /// What cannot be read can be delivered to nobody; who archives keeps it in dead-letter.
    fn pass_by(&self, taken: &Taken, done: Done, reason: &'static str) {
        let (topic, partition) = &taken.place;
        if let Some(untold) = self.told.is_due(reason, Instant::now()) {
            let channel = self.feed.channel.label();
            tracing::error!(%topic, partition, offset = taken.offset, channel, reason, untold, "a record cannot be delivered");
        }
        for department in self.owners(topic) {
            self.feed.metrics.deliveries.with_label_values(&[department.as_str(), self.channel(), "failed"]).inc();
        }
        done.done();
    }

    fn hand_over(self: &Arc<Self>, taken: &Taken, record: Record, done: Done) {
        let lanes = self.lanes_for(&taken.place.0, &record.department);
        if lanes.is_empty() {
            let reason = "its department has this channel no more, and the routes do not name its topic";
            if let Some(untold) = self.told.is_due(reason, Instant::now()) {
                let (topic, channel) = (&taken.place.0, self.channel());
                tracing::error!(%topic, channel, reason, untold, "a text cannot be delivered: dead-letter keeps it");
            }
            let letter = self.letter(taken, record);
            return self.feed.lanes.refuse(letter, self.feed.channel, reason, Box::new(move || done.done()));
        }
        let mark = (record.id, taken.place.clone(), taken.offset);
        if self.hands().insert(mark.clone(), done).is_some() {
            // Read again while its letter is in a lane, which then tells who read it last.
            return;
        }
        let letter = self.letter(taken, record);
        let hand = Arc::new(Hand { desk: self.clone(), mark, left: AtomicUsize::new(lanes.len()) });
        for lane in lanes {
            let hand = hand.clone();
            lane.take(letter.clone(), Box::new(move || hand.one_is_done()));
        }
    }

    fn lanes_for(&self, topic: &str, named: &DepartmentName) -> Vec<Lane> {
        let (lanes, channel) = (&self.feed.lanes, self.feed.channel);
        let with_channel = lanes.of(channel).map(|(department, _)| department);
        let receivers = receivers(&self.feed.routes.load(), with_channel, topic, named);
        receivers.into_iter().filter_map(|department| lanes.lane(department, channel).cloned()).collect()
    }

    fn letter(&self, taken: &Taken, record: Record) -> Letter {
        let source = &self.feed.source;
        let header = |name: &str| taken.header(name).map(std::borrow::Cow::into_owned);
        Letter {
            id: record.id,
            account: record.account.clone(),
            event_type: header("ce_type").unwrap_or_else(|| source.event_type(EventKind::Message)),
            source: header("ce_source").unwrap_or_else(|| source.of(&record.account)),
            subject: header("ce_subject").unwrap_or_else(|| record.to.as_str().to_owned()),
            time: record.received_at,
            dataschema: header("ce_dataschema"),
            content_type: header("content-type").unwrap_or_else(|| "application/json".to_owned()),
            traceparent: header("traceparent").filter(|value| is_traceparent(value)),
            record,
            value: Bytes::copy_from_slice(&taken.value),
        }
    }

    /// Departments with the channel whose topic it is.
    fn owners(&self, topic: &str) -> Vec<DepartmentName> {
        let table = self.feed.routes.load();
        let all = self.feed.lanes.of(self.feed.channel).map(|(department, _)| department);
        all.filter(|department| table.topic(department) == Some(topic)).cloned().collect()
    }

    /// A full lane holds up the topic of its department.
    fn has_room(&self, topic: &str) -> bool {
        let mut lanes = self.feed.lanes.of(self.feed.channel);
        let table = self.feed.routes.load();
        lanes.all(|(department, lane)| !lane.is_full() || table.topic(department) != Some(topic))
    }

    /// A topic that departments without this channel have is not ours to read: what is left on it from when the channel
    /// was set is there when it is set again.
    fn reads_on(&self, topic: &str) -> bool {
        self.feed.routes.load().departments().iter().all(|department| department.topic() != topic)
    }

    fn show(&self, standings: &BTreeMap<Arc<str>, Standing>) {
        let table = self.feed.routes.load();
        let mut stopped = self.stopped.lock().unwrap_or_else(PoisonError::into_inner);
        for (department, _) in self.feed.lanes.of(self.feed.channel) {
            let standing = table.topic(department).and_then(|topic| standings.get(topic));
            let standing = standing.copied().unwrap_or_default();
            let labels = [department.as_str(), self.channel()];
            self.feed.metrics.delivery_oldest.with_label_values(&labels).set(standing.oldest_seconds);
            // Only what changes: a lane says by the same gauge that its receiver is gone.
            let (is, was) = (standing.stopped > 0, stopped.contains(department));
            if is && !was {
                stopped.insert(department.clone());
                self.feed.metrics.delivery_stopped.with_label_values(&labels).set(1);
            } else if was && !is {
                stopped.remove(department);
                self.feed.metrics.delivery_stopped.with_label_values(&labels).set(0);
            }
        }
    }

    fn channel(&self) -> &'static str {
        self.feed.channel.label()
    }

    /// Nobody waits for this lock, nor holds it across anything that does.
    fn hands(&self) -> MutexGuard<'_, HashMap<Mark, Done>> {
        self.hands.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whose text it is, of the departments with the channel: the one it names if the topic is that one's, else those whose
/// topic it is, for which it came as a standby's; if none of them has the channel, as on a topic that was its own once,
/// the one it names.
fn receivers<'a>(
    table: &Table,
    with_channel: impl Iterator<Item = &'a DepartmentName>,
    topic: &str,
    named: &DepartmentName,
) -> Vec<&'a DepartmentName> {
    let is_own = table.topic(named) == Some(topic);
    let (mut own, mut owners) = (None, Vec::new());
    for department in with_channel {
        if department == named {
            own = Some(department);
        } else if table.topic(department) == Some(topic) {
            owners.push(department);
        }
    }
    if is_own || owners.is_empty() { own.into_iter().collect() } else { owners }
}

/// A letter in the hands of its lanes.
struct Hand {
    desk: Arc<Desk>,
    mark: Mark,
    left: AtomicUsize,
}

impl Hand {
    fn one_is_done(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            let done = self.desk.hands().remove(&self.mark);
            if let Some(done) = done {
                done.done();
            }
        }
    }
}

impl Drop for Hand {
    fn drop(&mut self) {
        if self.left.load(Ordering::Acquire) > 0 {
            // A lane has dropped it undone: so is the record.
            let _undone = self.desk.hands().remove(&self.mark);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyword::{DepartmentSpec, NumberSpec, Spec};
    use crate::message::Country;

    fn name(name: &str) -> DepartmentName {
        DepartmentName::parse(name).expect("a name of the test")
    }

    fn table() -> Table {
        let department = |name: &str, topic: &str, shares_topic| DepartmentSpec {
            name: self::name(name),
            topic: Some(topic.to_owned()),
            shares_topic,
            hold: false,
            failover: None,
            line: 1,
        };
        let spec = Spec {
            departments: vec![
                department("highways", "sms.roads", true),
                department("parking", "sms.roads", true),
                department("parks", "sms.parks", false),
                department("silent", "sms.silent", false),
            ],
            numbers: vec![NumberSpec { number: "*".to_owned(), default: name("parks"), line: 1 }],
            keywords: Vec::new(),
            consent: Vec::new(),
            tests: Vec::new(),
            fold_accents: true,
            version: "1".into(),
            country: Country::GB,
        };
        Table::build(spec).unwrap_or_else(|refusals| panic!("{} refusals", refusals.len()))
    }

    #[test]
    fn a_text_goes_to_whom_it_names_or_to_whose_topic_it_is_on() {
        let (table, with_channel) = (table(), ["highways", "parking", "parks"].map(name));
        let check = |topic: &str, named: &str, expected: &[&str]| {
            let found = receivers(&table, with_channel.iter(), topic, &name(named));
            assert_eq!(
                found,
                expected.iter().copied().map(name).collect::<Vec<_>>().iter().collect::<Vec<_>>(),
                "{topic} {named}"
            );
        };
        check("sms.parks", "parks", &["parks"]);
        // Shared: each its own.
        check("sms.roads", "parking", &["parking"]);
        // Came as a standby's: whoever reads the topic has it.
        check("sms.roads", "parks", &["highways", "parking"]);
        check("sms.parks", "silent", &["parks"]);
        // Of a topic that the routes no longer name.
        check("sms.old", "parks", &["parks"]);
        check("sms.old", "gone", &[]);
        // Without the channel, whosesoever the topic is.
        check("sms.silent", "silent", &[]);
        check("sms.silent", "parks", &["parks"]);
    }
}
