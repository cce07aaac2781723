//! A time limit for what is mostly there at once.
//!
//! Comes in: work. Goes out: its outcome, or that the time was over. Always true: work that is not done when it is
//! polled a second time has a timer. Not here: what follows from being late.
//!
//! Why not a timer from the start: hyper hands a body over after the first poll has asked for it, nearly always in
//! one piece, and setting a timer and taking it back costs about 0.2 µs, 1 % of a text.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// The work was not done in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLate;

/// Drives the work for `limit`, and a first poll.
pub async fn within<F: Future>(limit: Duration, work: F) -> Result<F::Output, TooLate> {
    let patience = async {
        once_more().await;
        tokio::time::sleep(limit).await;
    };
    let (mut work, mut patience) = (pin!(work), pin!(patience));
    poll_fn(|context| {
        if let Poll::Ready(outcome) = work.as_mut().poll(context) {
            return Poll::Ready(Ok(outcome));
        }
        patience.as_mut().poll(context).map(|()| Err(TooLate))
    })
    .await
}

/// Is done when it is polled again, and sees to it that it is.
async fn once_more() {
    let mut asked = false;
    poll_fn(|context| {
        if std::mem::replace(&mut asked, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test]
    async fn what_is_done_by_the_second_poll_is_in_time_whatever_the_limit() {
        let polls = Cell::new(0);
        let second = poll_fn(|_| {
            polls.set(polls.get() + 1);
            Some(7).filter(|_| polls.get() == 2).map_or(Poll::Pending, Poll::Ready)
        });
        assert_eq!(within(Duration::ZERO, second).await, Ok(7));
    }

    #[tokio::test]
    async fn what_is_never_done_is_left_when_the_time_is_over() {
        assert_eq!(within(Duration::from_millis(1), std::future::pending::<()>()).await, Err(TooLate));
    }

    #[tokio::test]
    async fn what_takes_longer_but_not_too_long_is_waited_for() {
        let (tell, told) = tokio::sync::oneshot::channel();
        let other = async {
            tokio::task::yield_now().await;
            tokio::task::yield_now().await;
            tell.send(7)
        };
        let (told, sent) = tokio::join!(within(Duration::from_secs(3600), told), other);
        assert_eq!((told, sent), (Ok(Ok(7)), Ok(())));
    }
}
