//! Files of the settings, looked at again and again while their file system may hang.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::giving_way::giving_way;

/// How long a file may take to be looked at, or read, before that is said and tried anew.
const READ_MAX: Duration = Duration::from_secs(30);
/// Threads that may hang in the file system at once: past it nobody asks until one of them is back.
const HANGING_MAX: usize = 4;

/// A file system that may hang. A thread cannot be called back from there, but nobody has to wait for it.
pub struct Disk {
    threads: Arc<Semaphore>,
    patience: Duration,
}

/// What a thread is to find out.
type Question<T> = Box<dyn FnOnce() -> T + Send>;

/// The disk did not answer in time.
#[derive(Debug, PartialEq, Eq)]
pub struct Late;

impl Default for Disk {
    fn default() -> Self {
        Self { threads: Arc::new(Semaphore::new(HANGING_MAX)), patience: READ_MAX }
    }
}

impl Disk {
    /// How long is waited for an answer.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Blocks a thread and not whoever asks.
    pub async fn ask<T: Send + 'static>(&self, ask: impl FnOnce() -> T + Send + 'static) -> Result<T, Late> {
        self.answer(ask, spawn_blocking).await
    }

    /// The same of a file that may be large: to read it gives way to texts.
    pub async fn read<T: Send + 'static>(&self, read: impl FnOnce() -> T + Send + 'static) -> Result<T, Late> {
        self.answer(read, giving_way).await
    }

    /// By a thread that `start` puts to it.
    async fn answer<T, E, A: Future<Output = Result<T, E>>>(
        &self,
        ask: impl FnOnce() -> T + Send + 'static,
        start: impl FnOnce(Question<T>) -> A,
    ) -> Result<T, Late> {
        let thread = timeout(self.patience, self.threads.clone().acquire_owned()).await;
        let thread = thread.map_err(|_| Late)?.map_err(|_| Late)?;
        let asking = start(Box::new(move || {
            let _until_it_is_back = thread;
            ask()
        }));
        timeout(self.patience, asking).await.map_err(|_| Late)?.map_err(|_| Late)
    }
}

/// Files that are looked at again and again: what they were when they were settled, in force or refused for good, and at
/// the last look.
pub struct Looks<S> {
    in_force: S,
    last: Option<S>,
}

impl<S: Clone + PartialEq> Looks<S> {
    pub fn new(in_force: S) -> Self {
        Self { in_force, last: None }
    }

    pub fn in_force(&self) -> &S {
        &self.in_force
    }

    /// Whether they are others and rest: one that is still being written changes between two looks.
    pub fn are_new(&mut self, now: S) -> bool {
        let rests = self.last.as_ref() == Some(&now);
        let is_new = rests && now != self.in_force;
        self.last = Some(now);
        is_new
    }

    /// Those that are settled. Until then they stay new: what is wrong with them may lie elsewhere, and be mended there.
    pub fn were_taken(&mut self, read: S) {
        self.in_force = read;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A question that is answered when its sender is dropped.
    fn hanging() -> (mpsc::Sender<()>, impl FnOnce() + Send + 'static) {
        let (release, released) = mpsc::channel();
        (release, move || {
            let _ = released.recv();
        })
    }

    #[test]
    fn files_are_new_when_they_rest_and_until_they_are_taken() {
        let mut looks = Looks::new(1);
        assert!(![1, 1, 2].into_iter().any(|now| looks.are_new(now)), "the same, or not at rest");
        assert!(looks.are_new(2) && looks.are_new(2));
        looks.were_taken(2);
        assert!(!looks.are_new(2));
    }

    #[tokio::test]
    async fn a_disk_that_hangs_holds_up_nobody_and_no_more_threads_than_allowed() {
        let mut disk = Disk { patience: Duration::from_millis(1), ..Disk::default() };
        let mut hanging: Vec<_> = std::iter::repeat_with(hanging).take(HANGING_MAX).collect();
        let mut releases = Vec::new();
        for (release, question) in hanging.drain(..) {
            assert_eq!(disk.ask(question).await, Err(Late));
            releases.push(release);
        }
        assert_eq!(disk.threads.available_permits(), 0);
        assert_eq!(disk.ask(|| "never asked").await, Err(Late), "nor for a thread for ever");
        disk.patience = Duration::from_secs(60);
        let next = disk.ask(|| "answered");
        tokio::pin!(next);
        let waits = timeout(Duration::from_millis(1), &mut next).await;
        assert!(waits.is_err(), "no thread is left to ask");
        assert_eq!(timeout(Duration::from_millis(1), disk.read(|| "never read")).await.ok(), None, "nor to read");
        releases.clear();
        assert_eq!(next.await, Ok("answered"));
        assert_eq!(disk.read(|| "read").await, Ok("read"));
    }
}
