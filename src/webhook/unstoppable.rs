//! Work that is finished whether anybody waits for it or not.
//!
//! Polled in place while somebody waits, which costs no task and no second wake-up; handed to a task of
//! its own when it is dropped before its end: the client hung up, or the carrier's patience ran out.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio_util::task::TaskTracker;

use super::Deferral;

/// What is left to do for a request.
pub type Work<T = Result<(), Deferral>> = Pin<Box<dyn Future<Output = T> + Send>>;

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
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Taken out, so that work that panics is dropped with the panic and never polled again.
        let mut work = self.work.take().expect("a future is not polled after its end");
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
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
        assert_eq!(Unstoppable::new(&tracker, Box::pin(async { 7 })).await, 7);
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
    async fn a_panic_is_the_waiters_and_happens_once() {
        let tracker = TaskTracker::new();
        let waiting =
            std::panic::AssertUnwindSafe(Unstoppable::new(&tracker, Box::pin(async { panic!("of the test") })));
        let outcome: Result<(), _> = futures_util::FutureExt::catch_unwind(waiting).await;
        assert!(outcome.is_err() && tracker.is_empty());
    }
}
