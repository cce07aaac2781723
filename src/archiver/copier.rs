//! One record on its way: into the archive or into dead-letter, tried until it is there.
//!
//! Comes in: records that were read. Goes out: the word that each is done with.
//! Always true: a record ends as stored, known, expired or dead letter, or at shutdown as given up,
//! which commits nothing.
//! Not here: which records run at once (`copies`); offsets, bounds (`consume`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus::{Gauge, Histogram, IntCounter};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::reading;
use crate::archive::{self, Archive, ArchiveError, Written};
use crate::clock::Clock;
use crate::consume::{Done, Taken};
use crate::message::{EventId, Record, SenderKey, Timestamp, topics};
use crate::publish::{PublishError, Publisher};
use crate::telemetry::Metrics;

/// A record and what shall become of it.
pub(super) struct Job {
    pub taken: Taken,
    pub task: Task,
    pub done: Done,
}

pub(super) enum Task {
    Copy(Box<Record>),
    Probe(Box<Record>),
    Bury(String),
}

impl Job {
    /// Two jobs of one id must not run at once: the first shall be the one that is kept. Of a text that several
    /// departments got, that is the text's.
    pub(super) fn id(&self) -> Option<EventId> {
        match &self.task {
            Task::Copy(record) | Task::Probe(record) => Some(record.text_id()),
            Task::Bury(_) => None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error(transparent)]
    DeadLetter(#[from] PublishError),
}

/// What all jobs share.
pub(super) struct Copier {
    settings: archive::Settings,
    archive: OnceCell<Archive>,
    publisher: Publisher,
    sender_key: SenderKey,
    clock: Clock,
    retry: (Duration, Duration),
    shutdown: CancellationToken,
    /// Whether trouble was logged and its end was not.
    in_trouble: AtomicBool,
    stored: IntCounter,
    known: IntCounter,
    expired: IntCounter,
    dead_letter: IntCounter,
    probe: IntCounter,
    probe_duration: Histogram,
    probe_last_success: Gauge,
}

impl Copier {
    pub(super) fn new(parts: &super::Parts, retry: (Duration, Duration)) -> Self {
        let counter = |metrics: &Metrics, outcome| metrics.archive_records.with_label_values(&[outcome]);
        Self {
            settings: parts.store.clone(),
            archive: OnceCell::new(),
            publisher: parts.publisher.clone(),
            sender_key: parts.sender_key.clone(),
            clock: parts.clock.clone(),
            retry,
            shutdown: parts.shutdown.clone(),
            in_trouble: AtomicBool::new(false),
            stored: counter(&parts.metrics, "stored"),
            known: counter(&parts.metrics, "known"),
            expired: counter(&parts.metrics, "expired"),
            dead_letter: counter(&parts.metrics, "dead_letter"),
            probe: counter(&parts.metrics, "probe"),
            probe_duration: parts.metrics.probe_duration.with_label_values(&["archived"]),
            probe_last_success: parts.metrics.probe_last_success.with_label_values(&["archived"]),
        }
    }

    /// Brings one record home, however long that takes, and says so.
    pub(super) async fn settle(&self, job: Job) {
        let traceparent = reading::traceparent(&job.taken);
        let mut pause = self.retry.0;
        loop {
            let span = tracing::info_span!("archive", traceparent);
            match self.attempt(&job).instrument(span).await {
                Ok(counter) => {
                    counter.inc();
                    self.trouble_is_over();
                    return job.done.done();
                }
                Err(trouble) => self.trouble(&trouble),
            }
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(self.retry.1);
        }
    }

    /// Connects to the store before there is anything to write, so that an operator hears of a wrong
    /// address or a missing schema at the start.
    pub(super) async fn meet_store(&self) {
        let mut pause = self.retry.0;
        while let Err(error) = self.archive().await {
            self.trouble(&error.into());
            tokio::select! {
                () = self.shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(self.retry.1);
        }
        self.trouble_is_over();
    }

    async fn archive(&self) -> Result<&Archive, ArchiveError> {
        self.archive.get_or_try_init(|| Archive::connect(&self.settings)).await
    }

    async fn attempt(&self, job: &Job) -> Result<&IntCounter, Trouble> {
        match &job.task {
            Task::Copy(record) => self.copy(&job.taken, record).await,
            Task::Probe(record) => self.probe(&job.taken, record).await,
            Task::Bury(reason) => self.bury(&job.taken, reason).await,
        }
    }

    async fn copy(&self, taken: &Taken, record: &Record) -> Result<&IntCounter, Trouble> {
        let written = self.archive().await?.write(&taken.value, record, &self.sender_key, self.clock.now()).await;
        match written {
            Ok(Written::Stored) => Ok(&self.stored),
            Ok(Written::Known) => Ok(&self.known),
            Ok(Written::Expired) => Ok(&self.expired),
            Err(error @ (ArchiveError::FromTheFuture | ArchiveError::Unreadable { .. })) => {
                self.bury(taken, &error.to_string()).await
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The end of a synthetic text's way, and the time it took.
    async fn probe(&self, taken: &Taken, record: &Record) -> Result<&IntCounter, Trouble> {
        let written = self.archive().await?.write_probe(&taken.value, record, &self.sender_key, self.clock.now()).await;
        match written {
            Ok(Written::Stored) => {
                self.probe_archived(record.received_at);
                Ok(&self.probe)
            }
            Ok(Written::Known | Written::Expired) => Ok(&self.probe),
            Err(error @ ArchiveError::FromTheFuture) => self.bury(taken, &error.to_string()).await,
            Err(error) => Err(error.into()),
        }
    }

    fn probe_archived(&self, received_at: Timestamp) {
        let now = self.clock.now();
        let took_ms = (now.as_millisecond() - received_at.as_millisecond()).max(0).unsigned_abs();
        self.probe_duration.observe(Duration::from_millis(took_ms).as_secs_f64());
        let now_ms = Duration::from_millis(now.as_millisecond().unsigned_abs());
        self.probe_last_success.set(now_ms.as_secs_f64());
    }

    async fn bury(&self, taken: &Taken, reason: &str) -> Result<&IntCounter, Trouble> {
        self.send_letter(taken, reason).await?;
        Ok(&self.dead_letter)
    }

    async fn send_letter(&self, taken: &Taken, reason: &str) -> Result<(), PublishError> {
        let now = self.clock.now();
        let event = reading::dead_letter(taken, reason, true, &self.sender_key, now);
        match self.publisher.publish(topics::DEAD_LETTER, &event).await {
            // In base64 it has become too large; the letter still says where the record lies.
            Err(PublishError::Final { .. }) => {
                let event = reading::dead_letter(taken, reason, false, &self.sender_key, now);
                self.publisher.publish(topics::DEAD_LETTER, &event).await
            }
            other => other,
        }
    }

    fn trouble(&self, trouble: &Trouble) {
        if !self.in_trouble.swap(true, Ordering::Relaxed) {
            tracing::error!(error = %trouble, "copies cannot be archived: they wait in Kafka and are tried again");
        }
    }

    fn trouble_is_over(&self) {
        if self.in_trouble.load(Ordering::Relaxed) && self.in_trouble.swap(false, Ordering::Relaxed) {
            tracing::info!("copies are archived again");
        }
    }
}
