//! The generator: N connections, each sends its next request when it has the answer to the last.
//!
//! Comes in: requests as bytes, ready to be written. Goes out: how long all of them took.
//! Always true: connections are open before the clock starts, and take turns if there are more of them
//! than requests at once; every answer is a 200, or the run fails; a run ends within its time. One thread, raw
//! sockets: the generator shares the machine with what it measures and must be the cheaper of the two.
//! Not here: signing, CPU; where an answer ends (`answer`).

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::future::try_join_all;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::answer;

/// Longest run: signatures are good for five minutes.
const RUN_MAX: Duration = Duration::from_secs(4 * 60);

/// Over how many connections, and how many requests are under way at once.
#[derive(Clone, Copy)]
pub struct Crowd {
    pub connections: usize,
    pub at_once: usize,
    /// Whether the generator stays awake while it waits, at the price of a core.
    pub awake: bool,
}

impl Crowd {
    /// Every connection sends as soon as it may.
    pub fn all_at_once(connections: usize) -> Self {
        Self { connections, at_once: connections, awake: false }
    }
}

/// Sends every request once. `before` is called when the connections are open, right before the clock starts.
pub fn run(server: SocketAddr, crowd: Crowd, requests: &[Vec<u8>], before: impl FnOnce()) -> anyhow::Result<Duration> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let streams = try_join_all((0..crowd.connections).map(|_| connect(server))).await?;
        let line = Line { requests, next: Cell::new(0), at_once: Semaphore::new(crowd.at_once) };
        before();
        let began = Instant::now();
        let all = try_join_all(streams.into_iter().map(|stream| line.send_in_turn(stream)));
        let all = tokio::time::timeout(RUN_MAX, all);
        let all = if crowd.awake { awake(all).await } else { all.await };
        all.context("the run took too long: fewer --requests")??;
        Ok(began.elapsed())
    })
}

/// The work, while the thread never sleeps: whoever answers a sleeper on the same machine pays for waking it,
/// and a generator sleeps the more the slower it is answered.
pub async fn awake<T>(work: impl Future<Output = T>) -> T {
    let busy = async {
        loop {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! { biased; done = work => done, () = busy => unreachable!("it has no end") }
}

async fn connect(server: SocketAddr) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(server).await.with_context(|| format!("no connection to {server}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// What the connections of one run share.
struct Line<'a> {
    requests: &'a [Vec<u8>],
    next: Cell<usize>,
    at_once: Semaphore,
}

impl Line<'_> {
    /// Takes the next request that no connection has taken, until there is none.
    async fn send_in_turn(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        loop {
            let _turn = self.at_once.acquire().await?;
            let Some(request) = self.requests.get(self.next.replace(self.next.get() + 1)) else { return Ok(()) };
            stream.write_all(request).await.context("a connection broke")?;
            let status = answer::read(&mut stream).await?;
            ensure!(status == 200, "a request was answered {status}");
        }
    }
}
