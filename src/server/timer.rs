//! The time of a connection's heads: one timer, moved on from head to head.
//!
//! hyper asks for a timer when it begins to wait for a head and drops it when the head is there. Made anew each time it
//! is put into the runtime's wheel and taken out again, both under the wheel's lock; moved to a later time it stays
//! where it is, and the wheel looks again when the earlier time has come.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt;
use tokio::time::Sleep;

/// A connection's. At most one of its sleeps is awaited at a time, as hyper's HTTP/1 server does.
pub(super) struct HeadTimer(Arc<Mutex<Pin<Box<Sleep>>>>);

/// A time that hyper waits for.
struct Until {
    deadline: tokio::time::Instant,
    timer: Arc<Mutex<Pin<Box<Sleep>>>>,
}

impl HeadTimer {
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Box::pin(tokio::time::sleep(Duration::ZERO)))))
    }
}

impl rt::Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn rt::Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn rt::Sleep>> {
        Box::pin(Until { deadline: deadline.into(), timer: self.0.clone() })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }
}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut timer = self.timer.lock().unwrap_or_else(PoisonError::into_inner);
        if timer.deadline() != self.deadline {
            timer.as_mut().reset(self.deadline);
        }
        timer.as_mut().poll(context)
    }
}

impl rt::Sleep for Until {}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use hyper::rt::Timer;

    use super::*;

    #[tokio::test]
    async fn each_head_has_its_own_time_also_after_one_that_was_there_sooner_or_came_too_late() {
        let (timer, hour, short) = (HeadTimer::new(), Duration::from_secs(3600), Duration::from_millis(5));
        for _ in 0..2 {
            let mut long = timer.sleep(hour);
            assert!(long.as_mut().now_or_never().is_none(), "a head that is there in time");
            drop(long);
            let began = timer.now();
            timer.sleep_until(began + short).await;
            assert!(timer.now() >= began + short);
            timer.sleep_until(began).await;
        }
    }
}
