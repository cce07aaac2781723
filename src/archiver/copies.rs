//! Records as they are read → a task for each, and never two of one id.
//!
//! Comes in: records, on the thread that polls; the end of each task. Goes out: tasks; the archive's lag.
//! Always true: of records with one id the first is the one that is kept, so a later one waits for it.
//! Not here: what a task does (`copier`), how many there are (`consume`).

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::{Gauge, IntGauge};
use tokio::runtime::Handle;

use super::Parts;
use super::copier::{Copier, Job, Task};
use super::reading::{self, Reading};
use crate::consume::{Done, Standing, Taken, Work};
use crate::message::EventId;

/// The work of `archive run`.
pub(super) struct Copies {
    desk: Arc<Desk>,
    runtime: Handle,
    lag: Gauge,
    stopped: IntGauge,
}

/// What the tasks share.
struct Desk {
    copier: Copier,
    ids: Mutex<Ids>,
}

/// Ids of jobs that run, and later jobs of the same ids, in order.
#[derive(Default)]
struct Ids {
    busy: HashSet<EventId>,
    waiting: VecDeque<Job>,
}

impl Copies {
    /// Connects to the store before there is anything to write.
    pub(super) fn start(parts: Parts, retry: (Duration, Duration), runtime: Handle) -> Self {
        let (lag, stopped) = (parts.metrics.archive_lag.clone(), parts.metrics.archive_stopped_partitions.clone());
        let desk = Arc::new(Desk { copier: Copier::new(&parts, retry), ids: Mutex::default() });
        let of_task = desk.clone();
        runtime.spawn(async move { of_task.copier.meet_store().await });
        Self { desk, runtime, lag, stopped }
    }
}

impl Work for Copies {
    fn begin(&self, taken: Taken, done: Done) {
        let task = match reading::read(&taken) {
            Reading::Copy(record) => Task::Copy(record),
            Reading::Probe(record) => Task::Probe(record),
            Reading::Unreadable(reason) => Task::Bury(reason),
            Reading::Other => return done.done(),
        };
        let Some(job) = self.desk.admit(Job { taken, task, done }) else { return };
        let desk = self.desk.clone();
        self.runtime.spawn(async move { desk.work_off(job).await });
    }

    /// As many as `consume` lets in.
    fn has_room(&self, _: &str) -> bool {
        true
    }

    /// What is on it has no other copy.
    fn reads_on(&self, _: &str) -> bool {
        true
    }

    fn look(&self, standings: &BTreeMap<Arc<str>, Standing>) {
        self.lag.set(standings.values().map(|standing| standing.oldest_seconds).fold(0.0, f64::max));
        let stopped = standings.values().map(|standing| standing.stopped).sum::<usize>();
        self.stopped.set(i64::try_from(stopped).unwrap_or(i64::MAX));
    }
}

impl Desk {
    fn ids(&self) -> MutexGuard<'_, Ids> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The job, unless one of its id runs: then it waits for that.
    fn admit(&self, job: Job) -> Option<Job> {
        let mut ids = self.ids();
        if job.id().is_some_and(|id| !ids.busy.insert(id)) {
            ids.waiting.push_back(job);
            return None;
        }
        Some(job)
    }

    /// One job, and after it those of its id that wait.
    async fn work_off(&self, job: Job) {
        let mut next = Some(job);
        while let Some(job) = next {
            let id = job.id();
            self.copier.settle(job).await;
            next = id.and_then(|id| self.after(id));
        }
    }

    /// The next job of the id; without one the id is free again.
    fn after(&self, id: EventId) -> Option<Job> {
        let mut ids = self.ids();
        let next = ids.waiting.iter().position(|job| job.id() == Some(id));
        let next = next.and_then(|index| ids.waiting.remove(index));
        if next.is_none() {
            ids.busy.remove(&id);
        }
        next
    }
}
