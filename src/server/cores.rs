//! Runtimes for connections, one for each processor, and which of them a connection lives on.
//!
//! Comes in: connections. Goes out: the runtime that has the fewest of them at that moment.
//! Always true: a connection, and what its requests begin, stays where it was dealt to.
//! Not here: the kernel's own dealing (SO_REUSEPORT), which goes by a hash of ports: of the few connections that a
//! carrier keeps most may meet on one processor.
//!
//! A runtime whose threads share their tasks pays for that with each text: whoever wakes a task may have to wake a
//! thread to look for it. With librdkafka, over a bare hyper with a bare producer (medians of four rounds each, three times in turns,
//! two processors) the service took 1.54, 1.53 and 1.54 times the CPU over 64 connections with one shared runtime, 1.46,
//! 1.34 and 1.45 with these; over 512 connections 1.52, 1.59, 1.52 and 1.44, 1.44, 1.42. Its throughput was 0.90 to 0.94
//! and 1.00 to 1.13 times that of the bare one over 64, 0.79 to 0.83 and 0.89 to 0.90 over 512.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A timer that ends before the one its runtime sleeps for makes the runtime wake itself, by a call to the kernel,
/// also when it is awake. Beside this tick no time that a text has is the next one: 0.7 such calls for each text were
/// saved.
const TICK: Duration = Duration::from_millis(100);

/// Where connections live.
#[derive(Clone)]
pub struct Cores(Arc<[Core]>);

struct Core {
    runtime: Handle,
    open: AtomicUsize,
}

impl Cores {
    /// Starts one for each processor that this process may use; they end at `end`, as tasks of `tasks` do. Fails where
    /// the kernel gives no thread.
    pub fn start(tasks: &TaskTracker, end: &CancellationToken) -> std::io::Result<Self> {
        let number = std::thread::available_parallelism()?.get();
        (0..number).map(|_| Core::start(tasks, end)).collect::<std::io::Result<_>>().map(Self)
    }

    /// The caller's own runtime alone: for listeners with little to do.
    pub(super) fn of_caller() -> Self {
        Self([Core::of(Handle::current())].into())
    }

    /// A place on the one that has the fewest connections; kept for as long as the connection is open.
    pub(super) fn seat(&self) -> Seat {
        let cores = &self.0;
        let fewest = (0..cores.len()).min_by_key(|core| cores[*core].open.load(Ordering::Relaxed)).unwrap_or(0);
        cores[fewest].open.fetch_add(1, Ordering::Relaxed);
        Seat { cores: self.clone(), core: fewest }
    }
}

impl Core {
    fn of(runtime: Handle) -> Self {
        Self { runtime, open: AtomicUsize::new(0) }
    }

    fn start(tasks: &TaskTracker, end: &CancellationToken) -> std::io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let core = Self::of(runtime.handle().clone());
        let (under_way, end) = (tasks.token(), end.clone());
        std::thread::Builder::new().name("connections".to_owned()).spawn(move || {
            runtime.block_on(end.run_until_cancelled(tick()));
            drop((runtime, under_way));
        })?;
        Ok(core)
    }
}

async fn tick() {
    loop {
        tokio::time::sleep(TICK).await;
    }
}

/// A connection's place.
pub(super) struct Seat {
    cores: Cores,
    core: usize,
}

impl Seat {
    pub fn runtime(&self) -> &Handle {
        &self.cores.0[self.core].runtime
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.cores.0[self.core].open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Cores {
        Cores([Core::of(Handle::current()), Core::of(Handle::current())].into())
    }

    #[tokio::test]
    async fn a_connection_goes_where_the_fewest_are() {
        let cores = two();
        let first: Vec<Seat> = (0..6).map(|_| cores.seat()).collect();
        assert_eq!(first.iter().filter(|seat| seat.core == 0).count(), 3);
        let (left, stayed): (Vec<Seat>, Vec<Seat>) = first.into_iter().partition(|seat| seat.core == 1);
        drop(left);
        let next: Vec<usize> = (0..3).map(|_| cores.seat()).map(|seat| seat.core).collect();
        assert_eq!(next, [1, 1, 1], "each left before the next came, and the other has three");
        drop(stayed);
    }

    #[tokio::test]
    async fn what_begins_there_runs_there_until_the_end() {
        let (tasks, end) = (TaskTracker::new(), CancellationToken::new());
        let cores = Cores::start(&tasks, &end).expect("threads");
        let name = async || std::thread::current().name().map(ToOwned::to_owned);
        let seat = cores.seat();
        let ran_on = seat.runtime().spawn(async move { tokio::spawn(name()).await });
        assert_eq!(ran_on.await.expect("the task ran").expect("its task ran").as_deref(), Some("connections"));
        let endless = seat.runtime().spawn(std::future::pending::<()>());
        end.cancel();
        tasks.close();
        tasks.wait().await;
        assert!(endless.await.expect_err("it had no end").is_cancelled());
    }
}
