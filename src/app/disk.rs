//! Files of the settings, looked at again and again while their file system may hang.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// How long a file may take to be looked at, or read, before that is said and tried anew.
const READ_MAX: Duration = Duration::from_secs(30);
/// Threads that may hang in the file system at once: past it nobody asks until one of them is back.
const HANGING_MAX: usize = 4;

/// A file system that may hang. A thread cannot be called back from there, but nobody has to wait for it.
pub struct Disk {
    threads: Arc<Semaphore>,
    patience: Duration,
}

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
        let thread = self.threads.clone().acquire_owned().await.map_err(|_| Late)?;
        let asking = spawn_blocking(move || {
            let _until_it_is_back = thread;
            ask()
        });
        timeout(self.patience, asking).await.map_err(|_| Late)?.map_err(|_| Late)
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
        disk.patience = Duration::from_secs(60);
        let next = disk.ask(|| "answered");
        tokio::pin!(next);
        let waits = timeout(Duration::from_millis(1), &mut next).await;
        assert!(waits.is_err(), "no thread is left to ask");
        releases.clear();
        assert_eq!(next.await, Ok("answered"));
    }
}
