//! A timer that keeps to the microsecond: tokio's own rounds up to whole milliseconds, in which dozens of
//! texts would come at once.
//!
//! Comes in: how long to wait. Goes out: an end of the wait on the runtime's own loop, without a thread.
//! Not here: what is done then.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

const NEVER_AGAIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
/// A timer set to no time at all is switched off.
const LEAST: Duration = Duration::from_nanos(1);

pub struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    /// Within a runtime.
    #[expect(deprecated, reason = "its successor is unsafe lest the descriptor be exchanged: this one never is")]
    pub fn new() -> io::Result<Self> {
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self(AsyncFd::with_interest(timer, Interest::READABLE)?))
    }

    pub async fn wait(&self, time: Duration) -> io::Result<()> {
        let time = Timespec::try_from(time.max(LEAST)).map_err(io::Error::other)?;
        let once = Itimerspec { it_interval: NEVER_AGAIN, it_value: time };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        let mut expirations = [0; 8];
        self.0.async_io(Interest::READABLE, |timer| Ok(rustix::io::read(timer, &mut expirations)?)).await.map(drop)
    }
}
