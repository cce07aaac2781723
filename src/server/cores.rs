//! Runtimes for connections, one for each processor, and which of them a connection lives on.
//!
//! Comes in: connections. Goes out: the runtime that has the fewest of them at that moment.
//! Always true: a connection, and what its requests begin, stays where it was dealt to.
//! Not here: the kernel's own dealing (SO_REUSEPORT), which goes by a hash of ports: of the few connections that a
//! carrier keeps most may meet on one processor. An idle connection counts like a busy one, and none is moved.
//!
//! A runtime whose threads share their tasks pays for that with each text: whoever wakes a task may have to wake a
//! thread to look for it. CPU for a text in that of a bare hyper with a bare producer (librdkafka, linger 1, one request
//! in flight, two processors, medians of four rounds, three times in turns; the bare one on one shared runtime, as a
//! program has that asks for nothing else: over 512 connections two of its own take it from 21.0 to 18.5 µs):
//!
//! | connections | one shared runtime | these | throughput: shared | these |
//! |---|---|---|---|---|
//! | 64 | 1.54, 1.53, 1.54 | 1.46, 1.34, 1.45 | 0.90, 0.92, 0.94 | 1.00, 1.06, 1.13 |
//! | 512 | 1.52, 1.59, 1.52 | 1.44, 1.44, 1.42 | 0.79, 0.81, 0.83 | 0.89, 0.90, 0.89 |

use std::io::ErrorKind;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A timer that ends before the one its runtime sleeps for makes the runtime wake itself, by a call to the kernel,
/// also when it is awake. Beside this tick no time that a text has is the next one while brokers answer quickly: 0.7
/// such calls for each text were saved.
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
    /// the kernel gives no thread, or no file for its events; those that were started then go on until `end`.
    pub fn start(tasks: &TaskTracker, end: &CancellationToken) -> std::io::Result<Self> {
        let number = std::thread::available_parallelism().map_or(1, NonZero::get);
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
        let (under_way, end) = (tasks.token(), end.clone());
        // The thread comes first: a runtime that could not be handed to one must not end within this one.
        let (give, given) = sync_channel::<Runtime>(1);
        std::thread::Builder::new().name("connections".to_owned()).spawn(move || {
            let Ok(runtime) = given.recv() else { return };
            runtime.block_on(end.run_until_cancelled(tick()));
            // A thread that hangs, asking for a name, is not waited for.
            runtime.shutdown_background();
            drop(under_way);
        })?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let core = Self::of(runtime.handle().clone());
        give.send(runtime).map_err(|lost| {
            lost.0.shutdown_background();
            ErrorKind::BrokenPipe
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
    use std::net::{Ipv4Addr, SocketAddr};

    use http_body_util::Full;
    use hyper::header::HOST;
    use hyper::{Request, Response};

    use super::*;
    use crate::server::{Settings, bind, client};
    use crate::telemetry::Metrics;

    /// Of the thread that asks.
    async fn name() -> String {
        std::thread::current().name().unwrap_or_default().to_owned()
    }

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
        let seat = cores.seat();
        let ran_on = seat.runtime().spawn(async move { tokio::spawn(name()).await });
        assert_eq!(ran_on.await.expect("the task ran").expect("its task ran"), "connections");
        let endless = seat.runtime().spawn(std::future::pending::<()>());
        end.cancel();
        tasks.close();
        tasks.wait().await;
        assert!(endless.is_finished(), "its runtime has ended by then");
        assert!(endless.await.expect_err("it had no end").is_cancelled());
    }

    #[tokio::test]
    async fn a_listener_answers_on_its_cores() {
        let (tasks, end, drain) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        let timeout = Duration::from_secs(60);
        let settings = Settings {
            name: "inbound",
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            connections_max: 1,
            header_timeout: timeout,
            answers_half_closed: true,
            certificates: None,
        };
        let listener = bind(settings).expect("a port").on(Some(Cores::start(&tasks, &end).expect("threads")));
        let address = listener.address().to_string();
        let answer = |_, _| async { Response::new(Full::from(name().await)) };
        let serving = tokio::spawn(listener.serve(answer, Metrics::new(), drain.clone()));
        let request = Request::get("/").header(HOST, &address).body(Full::default()).expect("a request");
        let answered = client::send(&address, request, timeout).await.expect("an answer");
        assert_eq!(answered.into_body(), "connections");
        drain.cancel();
        serving.await.expect("drained");
        end.cancel();
        tasks.close();
        tasks.wait().await;
    }
}
