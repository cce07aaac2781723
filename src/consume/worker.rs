//! The thread that polls: the life of the worker.
//!
//! Comes in: records, reports of what is done, new topics, the word to stop. Goes out: records to the work, commits,
//! pauses, how things stand.
//! Always true: it polls at least every second or so, whatever the work and the brokers do; only a
//! changed assignment asks the brokers before it goes on.
//! Not here: what is done with a record (`Work`), what callbacks do (`member`).

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::TopicPartitionList;
use tokio::runtime::Handle;

use super::member::Assigned;
use super::partitions::Bounds;
use super::questions::{Answer, Question, Questions, Range};
use super::taken::{Done, Ending, Report, Taken};
use super::topics::Topics;
use super::{ConsumeError, Parts, Settings, Work};
use crate::publish::{End, Group, Term, TopicPartition, Watch, commit};

/// Longest wait for a record or a report; the rest of the work is looked after that often.
const WAIT: Duration = Duration::from_millis(100);
/// Between two commits, and two looks at the lag.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// Between two questions whether a topic that leaves is read to the end.
const LEAVING_EVERY: Duration = Duration::from_secs(10);
/// Without room for this long everything is paused. Well below the shortest sensible
/// `max.poll.interval.ms`, and long enough that work which goes on never gets there: a pause throws away
/// what was fetched ahead.
const FULL_MAX: Duration = Duration::from_secs(1);

pub(super) struct Worker<W: Work> {
    consumer: Arc<BaseConsumer<Group<Assigned>>>,
    questions: Questions,
    watch: Watch<Assigned>,
    settings: Settings,
    parts: Parts,
    work: W,
    topics: Topics,
    subscribed: Vec<String>,
    reports: Receiver<Report>,
    report_to: Sender<Report>,
    /// Records begun and not reported.
    in_flight: usize,
    full_since: Option<Instant>,
    met_brokers: bool,
    /// A partition stopped, and it is not known which.
    seek_stopped: bool,
    /// Of what the client proves itself with.
    term: Term,
    committed_at: Instant,
    leaving_at: Instant,
}

impl<W: Work> Worker<W> {
    /// `stood`: where the client before it did not read on.
    pub(super) fn start(
        settings: Settings,
        parts: Parts,
        work: W,
        runtime: Handle,
        stood: Option<(TopicPartition, i64)>,
    ) -> Result<Self, ConsumeError> {
        let term = settings.consumer.renewals.term();
        let mut config = settings.consumer.config();
        config
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // Never a silent jump: an offset out of range is an error that stops its partition.
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "false")
            .set("allow.auto.create.topics", "false")
            // Fetched ahead and not yet polled, in memory.
            .set("queued.max.messages.kbytes", "16384")
            // Tells the ends of partitions, also of paused ones.
            .set("statistics.interval.ms", "1000");
        if let Some(session) = settings.session {
            config.set("session.timeout.ms", session.as_millis().to_string());
        }
        let window = Bounds { each: settings.window_max, all: settings.windows_max };
        let member = Group::new(Assigned::new(window, settings.holds, parts.clock.clone()));
        let consumer: BaseConsumer<_> = config.create_with_context(member).map_err(ConsumeError::Settings)?;
        let consumer = Arc::new(consumer);
        let questions = Questions::new(consumer.clone(), runtime.clone(), parts.shutdown.clone());
        let watch = Watch::new(consumer.clone(), runtime, stood);
        let (report_to, reports) = channel();
        let now = Instant::now();
        Ok(Self {
            consumer,
            questions,
            watch,
            settings,
            parts,
            work,
            topics: Topics::default(),
            subscribed: Vec::new(),
            reports,
            report_to,
            in_flight: 0,
            full_since: None,
            met_brokers: false,
            seek_stopped: false,
            term,
            committed_at: now,
            leaving_at: now,
        })
    }

    pub(super) fn run(mut self) -> Result<(), ConsumeError> {
        self.follow_routes();
        let ended = self.take_turns();
        if matches!(ended, Ok(()) | Err(ConsumeError::StandsStill { .. } | ConsumeError::Outdated)) {
            self.finish();
        }
        ended
    }

    fn take_turns(&mut self) -> Result<(), ConsumeError> {
        while !self.parts.shutdown.is_cancelled() {
            self.turn()?;
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<(), ConsumeError> {
        if self.parts.topics.has_changed().unwrap_or(false) {
            self.follow_routes();
        }
        while let Ok(report) = self.reports.try_recv() {
            self.conclude(report)?;
        }
        self.keep_flow();
        self.look_after()?;
        // Full, and not for long: a report will make room sooner than the brokers have news.
        if self.is_full() && !self.consumer.context().partitions().paused {
            return match self.reports.recv_timeout(WAIT) {
                Ok(report) => self.conclude(report),
                Err(_) => Ok(()),
            };
        }
        let taken = match self.consumer.poll(WAIT) {
            None => return Ok(()),
            Some(Ok(message)) => Taken::from(&message),
            Some(Err(error)) => return self.face(error),
        };
        self.take(taken);
        Ok(())
    }

    /// One record: begun, or passed by.
    fn take(&mut self, taken: Taken) {
        let now_ms = self.parts.clock.now().as_millisecond();
        let published_ms = taken.published_ms.unwrap_or(now_ms);
        let read = self.consumer.context().partitions().read(&taken.place, taken.offset, published_ms);
        let Some(assignment) = read else { return };
        self.in_flight += 1;
        let (place, done) = (taken.place.clone(), Done::new(&taken, assignment, self.report_to.clone()));
        self.work.begin(taken, done);
        if !self.work.has_room(&place.0) {
            self.consumer.context().partitions().crowd(&place);
        }
    }

    fn conclude(&mut self, report: Report) -> Result<(), ConsumeError> {
        self.in_flight -= 1;
        match report.ending {
            Ending::Done => self.consumer.context().partitions().done(&report.place, report.offset),
            Ending::Unwanted => {}
            // Although nobody said stop: its work has died.
            Ending::GivenUp if !self.parts.shutdown.is_cancelled() => {
                return Err(ConsumeError::Broken(self.settings.name));
            }
            Ending::GivenUp => {}
        }
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.in_flight >= self.settings.in_flight_max
    }

    /// Pauses what cannot go on and lets go on what can.
    fn keep_flow(&mut self) {
        let paused = self.consumer.context().partitions().paused;
        if paused && self.in_flight <= self.settings.in_flight_max / 2 {
            self.set_paused(false);
        } else if !paused && self.is_full() {
            if self.full_since.get_or_insert_with(Instant::now).elapsed() > FULL_MAX {
                self.set_paused(true);
            }
        } else if !self.is_full() {
            self.full_since = None;
        }
        let full = self.consumer.context().partitions().hold_full();
        self.tell(&full, true);
        let free = self.consumer.context().partitions().release(|topic| self.work.has_room(topic));
        // What a general pause holds stays paused.
        let paused = self.consumer.context().partitions().paused;
        self.tell(&free, paused);
    }

    fn set_paused(&mut self, paused: bool) {
        self.full_since = None;
        let all = {
            let mut partitions = self.consumer.context().partitions();
            partitions.paused = paused;
            partitions.not_held()
        };
        self.tell(&all, paused);
        tracing::info!(
            paused,
            in_flight = self.in_flight,
            of = self.settings.holds,
            "reading from Kafka was paused or goes on"
        );
    }

    fn tell(&self, partitions: &TopicPartitionList, paused: bool) {
        if partitions.count() == 0 {
            return;
        }
        let told = if paused { self.consumer.pause(partitions) } else { self.consumer.resume(partitions) };
        if let Err(error) = told {
            tracing::warn!(%error, paused, "partitions could not be paused or resumed");
        }
    }

    /// What is due now and then: commits, metrics, questions to the brokers.
    fn look_after(&mut self) -> Result<(), ConsumeError> {
        if self.committed_at.elapsed() < COMMIT_EVERY {
            return Ok(());
        }
        self.committed_at = Instant::now();
        commit(&self.consumer, CommitMode::Async);
        self.watch()?;
        self.show();
        self.hear();
        self.ask();
        if self.term.is_over() {
            return Err(ConsumeError::Outdated);
        }
        match self.consumer.client().fatal_error() {
            Some((code, _)) => Err(ConsumeError::Consumer(KafkaError::MessageConsumptionFatal(code))),
            None => Ok(()),
        }
    }

    /// What the brokers say of the ends of partitions: librdkafka's own figures may be of another time.
    fn watch(&mut self) -> Result<(), ConsumeError> {
        let assigned: &Assigned = self.consumer.context();
        let ends = self.watch.look(|| assigned.partitions().read_now());
        let now = self.parts.clock.now();
        ends.iter().for_each(|at| assigned.partitions().ends_at(&at.partition, at.end, now));
        // Another topic of the same name, and librdkafka has not noticed: it is looked into like an offset out of range.
        // What was stopped meanwhile is not looked for again.
        let stands_at = |at: &&End| assigned.partitions().stands_at(&at.partition, at.next);
        self.seek_stopped |= ends.iter().filter(stands_at).any(|at| at.end < at.next);
        match self.watch.stands_still() {
            Some(((topic, partition), next)) => {
                Err(ConsumeError::StandsStill { topic: topic.clone(), partition: *partition, next })
            }
            None => Ok(()),
        }
    }

    fn show(&self) {
        let standings = self.consumer.context().partitions().standings(self.parts.clock.now());
        self.work.look(&standings);
    }

    /// Asks what is to be known next, one question at a time.
    fn ask(&mut self) {
        if self.questions.is_open() {
            return;
        }
        if self.seek_stopped {
            let positions = self.consumer.context().partitions().positions().into_iter();
            let of = positions.filter_map(|(place, position)| Some((place, position?))).collect();
            self.questions.ask(Question::Ranges { of });
        } else if !self.met_brokers {
            self.questions.ask(Question::LeftBehind { except: self.topics.named().clone() });
        } else if !self.topics.leaving().is_empty() && self.leaving_at.elapsed() >= LEAVING_EVERY {
            self.leaving_at = Instant::now();
            self.questions.ask(Question::Finished { among: self.topics.leaving().clone() });
        }
    }

    fn hear(&mut self) {
        match self.questions.answer() {
            None => {}
            // The first answer of the brokers makes this process ready.
            Some(Ok(Answer::LeftBehind(mut topics))) => {
                self.met_brokers = true;
                self.parts.ready.set();
                topics.retain(|topic| self.work.reads_on(topic));
                self.topics.add_left_behind(topics);
                self.subscribe();
            }
            Some(Ok(Answer::Finished(topics))) => {
                self.topics.let_go(&topics);
                self.subscribe();
            }
            Some(Ok(Answer::Ranges(ranges))) => self.find_stopped(&ranges),
            Some(Err(error)) => tracing::warn!(%error, "the brokers did not answer and are asked again"),
        }
    }

    fn follow_routes(&mut self) {
        let named = self.parts.topics.borrow_and_update().clone();
        self.topics.name(&named);
        self.subscribe();
    }

    /// Tells the group what to read, if that is something new: it costs all members a rebalance.
    fn subscribe(&mut self) {
        let topics = self.topics.all();
        if topics == self.subscribed {
            return;
        }
        tracing::info!(topics = topics.len(), of = self.settings.holds, "subscribing");
        if topics.is_empty() {
            self.consumer.unsubscribe();
        } else if let Err(error) = self.consumer.subscribe(&topics) {
            tracing::error!(%error, "the topics could not be subscribed");
        }
        self.subscribed = topics.into_iter().map(str::to_owned).collect();
    }

    fn join_again(&mut self) {
        self.consumer.unsubscribe();
        self.subscribed.clear();
        self.subscribe();
    }

    /// An error in place of a record.
    fn face(&mut self, error: KafkaError) -> Result<(), ConsumeError> {
        match error {
            KafkaError::MessageConsumptionFatal(_) => return Err(ConsumeError::Consumer(error)),
            KafkaError::MessageConsumption(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::LogTruncation) => {
                self.seek_stopped = true;
            }
            // librdkafka tries these again by itself.
            other => tracing::warn!(error = %other, "the Kafka consumer met an error"),
        }
        Ok(())
    }

    /// librdkafka has stopped reading a partition and does not say which: those whose position the
    /// brokers no longer have, or never had, and that have not moved since they were asked.
    fn find_stopped(&mut self, ranges: &[Range]) {
        self.seek_stopped = false;
        let assigned: &Assigned = self.consumer.context();
        let stands = |range: &&Range| assigned.partitions().stands_at(&range.place, range.position);
        let outside = |range: &&Range| range.position < range.low || range.position > range.high;
        let stopped: Vec<_> = ranges.iter().filter(outside).filter(stands).collect();
        stopped.iter().for_each(|range| self.stop(range));
        self.show();
        if stopped.is_empty() {
            // Nothing was committed where librdkafka looked by itself, or the assignment has changed
            // since: a new one looks everything up again.
            tracing::warn!("reading stopped somewhere: joining the group again");
            self.join_again();
        }
    }

    fn stop(&self, range: &Range) {
        tracing::error!(
            topic = %range.place.0,
            partition = range.place.1,
            offset = range.position,
            earliest = range.low,
            end = range.high,
            missing = (range.low - range.position).max(0),
            of = self.settings.holds,
            "the group's offset is out of range: nothing more is read from this partition until somebody sets it \
             and starts this consumer again"
        );
        self.consumer.context().partitions().stop(&range.place, self.parts.clock.now());
    }

    /// Waits for the work under way, commits what is done, leaves the group.
    fn finish(mut self) {
        let deadline = Instant::now() + self.settings.drain;
        while self.in_flight > 0 {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.reports.recv_timeout(left) {
                // What is given up is no error any more.
                Ok(report) => {
                    let _ = self.conclude(report);
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
        }
        commit(&self.consumer, CommitMode::Sync);
        tracing::info!(given_up = self.in_flight, of = self.settings.holds, "the consumer stops");
    }
}
