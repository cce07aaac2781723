//! What `parts` asks for, done: each thing tried until it is durable.
//!
//! Comes in: `Todo`s. Goes out: texts and markers in the log; the reader learns of them by reading.
//! Always true: a text's marker is written after the text; no more is under way than there are places;
//! a task that dies is noticed, for nobody would ask for its text again.
//! Not here: positions.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::task::TaskTracker;

use super::{JoinerError, Settings, Tools, letter};
use crate::intake::Reason;
use crate::log::{Addressed, LogError, UNHURRIED};
use crate::message::{Event, EventId};
use crate::parts::{Groups, Joined, Outcome, Todo};

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Crew(Arc<Inner>);

struct Inner {
    tools: Tools,
    retry: (Duration, Duration),
    runtime: Handle,
    places: Arc<Semaphore>,
    tasks: TaskTracker,
    /// A place has become free.
    freed: Notify,
    is_broken: AtomicBool,
    /// Whether trouble was logged and its end was not.
    in_trouble: AtomicBool,
}

impl Crew {
    pub(super) fn new(settings: &Settings, tools: Tools) -> Self {
        Self(Arc::new(Inner {
            tools,
            retry: settings.retry,
            runtime: Handle::current(),
            places: Arc::new(Semaphore::new(settings.in_flight_max)),
            tasks: TaskTracker::new(),
            freed: Notify::new(),
            is_broken: AtomicBool::new(false),
            in_trouble: AtomicBool::new(false),
        }))
    }

    /// Begins what the groups ask for, as far as there are places. Whether there was anything.
    pub(super) fn serve<P: Copy + Ord>(&self, groups: &mut Groups<P>) -> bool {
        let mut any = false;
        while let Ok(place) = self.0.places.clone().try_acquire_owned() {
            let Some(todo) = groups.next_todo() else { break };
            any = true;
            let (crew, needed) = (self.clone(), groups.needed().map(|(_, id)| id));
            self.begin(place, async move { crew.carry_out(todo, needed).await });
        }
        any
    }

    /// Keeps an entry that cannot be read in dead-letter, then calls `done`.
    pub(super) async fn bury(&self, value: Vec<u8>, reason: String, done: impl FnOnce() + Send + 'static) {
        let Ok(place) = self.0.places.clone().acquire_owned().await else { return };
        let crew = self.clone();
        self.begin(place, async move {
            let tools = &crew.0.tools;
            let event = letter::of(&value, &reason, &tools.sender_key, tools.clock.now());
            let keep = || tools.intake.keep(event.clone(), Reason::UnreadableRecord, UNHURRIED);
            if crew.insist(keep).await.is_some() {
                done();
            }
        });
    }

    /// An error once a task has died.
    pub(super) fn check(&self) -> Result<(), JoinerError> {
        if self.0.is_broken.load(Ordering::Acquire) { Err(JoinerError::Broken) } else { Ok(()) }
    }

    /// Resolves when a place has become free since the last time.
    pub(super) async fn freed(&self) {
        self.0.freed.notified().await;
    }

    /// Waits for what is under way.
    pub(super) async fn finish(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }

    fn begin(&self, place: OwnedSemaphorePermit, work: impl Future<Output = ()> + Send + 'static) {
        let mut watch = Watch { crew: self.clone(), place: Some(place), is_done: false };
        let task = async move {
            work.await;
            watch.done();
        };
        self.0.tasks.spawn_on(task, &self.0.runtime);
    }

    async fn carry_out(&self, todo: Todo, needed: Option<EventId>) {
        match todo {
            Todo::Write { marker, to } => {
                self.write(marker.event(&to)).await;
            }
            Todo::Publish(joined) => {
                if self.publish(&joined, needed).await.is_some() {
                    self.count(joined.outcome);
                }
            }
        }
    }

    async fn publish(&self, joined: &Joined, needed: Option<EventId>) -> Option<()> {
        if let Some(before) = &joined.before {
            self.write(before.event(&joined.to)).await?;
        }
        let went = self.insist(|| self.0.tools.intake.take_joined(joined)).await?;
        self.write(joined.sent(went, needed).event(&joined.to)).await
    }

    async fn write(&self, marker: Event) -> Option<()> {
        let append = || async {
            match self.0.tools.log.append(vec![Addressed::own(marker.clone())], UNHURRIED).await {
                Ok(_) => Ok(()),
                // No marker is larger than the pieces it names.
                Err(LogError::Department | LogError::Unavailable | LogError::Never) => Err(()),
            }
        };
        self.insist(append).await
    }

    /// Tries until it works, with growing pauses; `None` at shutdown.
    async fn insist<T, E, F: Future<Output = Result<T, E>>>(&self, attempt: impl Fn() -> F) -> Option<T> {
        let mut pause = self.0.retry.0;
        loop {
            if let Ok(done) = attempt().await {
                self.trouble_is_over();
                return Some(done);
            }
            if !self.0.in_trouble.swap(true, Ordering::Relaxed) {
                tracing::error!("long texts cannot be published: their pieces wait on the stream and are tried again");
            }
            self.0.tools.stop.run_until_cancelled(tokio::time::sleep(pause)).await?;
            pause = (pause * 2).min(self.0.retry.1);
        }
    }

    fn trouble_is_over(&self) {
        if self.0.in_trouble.load(Ordering::Relaxed) && self.0.in_trouble.swap(false, Ordering::Relaxed) {
            tracing::info!("long texts are published again");
        }
    }

    fn count(&self, outcome: Outcome) {
        let word = match outcome {
            Outcome::Complete => "complete",
            Outcome::Incomplete => "incomplete",
            Outcome::Addendum => "addendum",
        };
        self.0.tools.metrics.joined.with_label_values(&[word]).inc();
    }
}

/// Tells of the end of a task, also of one that panicked.
struct Watch {
    crew: Crew,
    place: Option<OwnedSemaphorePermit>,
    is_done: bool,
}

impl Watch {
    fn done(&mut self) {
        self.is_done = true;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.is_done {
            self.crew.0.is_broken.store(true, Ordering::Release);
        }
        drop(self.place.take());
        self.crew.0.freed.notify_one();
    }
}
