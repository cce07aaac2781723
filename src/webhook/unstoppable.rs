//! Work that is finished whether anybody waits for it or not.
//!
//! Polled in place while somebody waits, which costs no task and no second wake-up; handed to a task of
//! its own when it is dropped before its end: the carrier's patience ran out, or its connection was ended.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio_util::task::TaskTracker;

use super::Deferral;

/// What is left to do for a request.
pub type Work<T = Result<(), Deferral>> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The work panicked and is gone, with all it held. What was said is the panic hook's to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked;

pub struct Unstoppable<'a, T: Send + 'static> {
    work: Option<Work<T>>,
    tracker: &'a TaskTracker,
}

impl<'a, T: Send + 'static> Unstoppable<'a, T> {
    pub fn new(tracker: &'a TaskTracker, work: Work<T>) -> Self {
        Self { work: Some(work), tracker }
    }
}

impl<T: Send + 'static> Future for Unstoppable<'_, T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        // Taken out, so that work that panics is dropped here and never polled again.
        let Some(mut work) = self.work.take() else { return Poll::Ready(Err(Panicked)) };
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Ready(outcome)) => Poll::Ready(Ok(outcome)),
            Ok(Poll::Pending) => {
                self.work = Some(work);
                Poll::Pending
            }
            Err(_) => Poll::Ready(Err(Panicked)),
        }
    }
}

impl<T: Send + 'static> Drop for Unstoppable<'_, T> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take() {
            self.tracker.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn awaited_work_needs_no_task() {
        let tracker = TaskTracker::new();
        assert_eq!(Unstoppable::new(&tracker, Box::pin(async { 7 })).await, Ok(7));
        assert!(tracker.is_empty());
    }

    #[tokio::test]
    async fn abandoned_work_goes_on() {
        let tracker = TaskTracker::new();
        let (allow, allowed) = oneshot::channel::<()>();
        let (tell, told) = oneshot::channel();
        let work = async move {
            let _ = allowed.await;
            let _ = tell.send(7);
        };
        let waiting = tokio::time::timeout(Duration::ZERO, Unstoppable::new(&tracker, Box::pin(work)));
        assert!(waiting.await.is_err());
        assert_eq!(tracker.len(), 1);
        allow.send(()).expect("the work waits for it");
        assert_eq!(told.await, Ok(7));
        tracker.close();
        tracker.wait().await;
    }

    #[tokio::test]
    async fn work_that_panics_lets_go_of_what_it_held_and_is_told_of() {
        let tracker = TaskTracker::new();
        let (held, mut released) = oneshot::channel::<()>();
        let work = async move {
            let _held = held;
            tokio::task::yield_now().await;
            panic!("of the test")
        };
        let outcome: Result<(), _> = Unstoppable::new(&tracker, Box::pin(work)).await;
        assert_eq!(outcome, Err(Panicked));
        assert!(tracker.is_empty());
        assert_eq!(released.try_recv(), Err(oneshot::error::TryRecvError::Closed));
    }
}
