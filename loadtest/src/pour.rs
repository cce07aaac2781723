//! The open loop: texts come when they are due, whether or not earlier ones were answered.
//!
//! Comes in: signed requests, a rate, connections to send them over, an end. Goes out: what became of
//! them. Always true: a text that no connection was free for is not sent and not counted as sent; what
//! is sent or answered before the lead-in is over or after the end counts for nothing; one thread, raw
//! sockets, as the generator shares the machine with what it measures.
//! Not here: the closed loop (`drive`), what is claimed.

use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures_util::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::drive::awake;

/// Largest answer.
const ANSWER_MAX: usize = 1_024;

/// How texts come.
pub struct Flow<'a> {
    pub server: SocketAddr,
    pub connections: u16,
    /// Texts a second.
    pub rate: f64,
    /// At most so long, the lead-in among it.
    pub time: Duration,
    /// What happens this soon after the beginning is not counted: the first answers are yet to come.
    pub lead_in: Duration,
    /// Whether the generator stays awake while it waits, at the price of a core.
    pub awake: bool,
    /// Or until this is set.
    pub over: &'a AtomicBool,
    /// An answer later than this is late.
    pub patience: Duration,
}

/// What became of the texts.
#[derive(Default)]
pub struct Tally {
    pub sent: Cell<usize>,
    pub in_time: Cell<usize>,
    pub late: Cell<usize>,
    pub refused: Cell<usize>,
    pub broken: Cell<usize>,
    pub slowest: Cell<Duration>,
}

/// Sends until the time or the requests are over.
pub fn run(flow: &Flow<'_>, requests: &[Vec<u8>]) -> anyhow::Result<Tally> {
    let tally = Tally::default();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let streams = try_join_all((0..flow.connections).map(|_| TcpStream::connect(flow.server))).await?;
        let stretch = Stretch { flow, requests, next: Cell::new(0), began: Instant::now(), tally: &tally };
        let all = try_join_all(streams.into_iter().map(|stream| stretch.pour(stream)));
        if flow.awake {
            awake(all).await?
        } else {
            all.await?
        };
        anyhow::Ok(())
    })?;
    Ok(tally)
}

/// What the connections of one run share.
struct Stretch<'a> {
    flow: &'a Flow<'a>,
    requests: &'a [Vec<u8>],
    next: Cell<usize>,
    began: Instant,
    tally: &'a Tally,
}

impl Stretch<'_> {
    /// One connection: takes the next text when it is due, until the end.
    async fn pour(&self, mut stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        while let Some(request) = self.requests.get(self.next.get()) {
            let due = self.began + Duration::from_secs_f64(self.next.get() as f64 / self.flow.rate);
            self.next.set(self.next.get() + 1);
            tokio::time::sleep_until(due.into()).await;
            if self.is_over() {
                break;
            }
            let sent = Instant::now();
            if self.counts() {
                add(&self.tally.sent);
            }
            let answer = exchange(&mut stream, request).await;
            if answer.is_err() {
                stream = TcpStream::connect(self.flow.server).await?;
            }
            self.count(answer.ok(), sent.elapsed());
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.began.elapsed() >= self.flow.time || self.flow.over.load(Ordering::Relaxed)
    }

    /// Neither too early nor too late.
    fn counts(&self) -> bool {
        self.began.elapsed() >= self.flow.lead_in && !self.is_over()
    }

    fn count(&self, status: Option<u16>, took: Duration) {
        let tally = self.tally;
        match status {
            None => return add(&tally.broken),
            Some(_) if !self.counts() => return,
            Some(200) if took <= self.flow.patience => add(&tally.in_time),
            Some(200) => add(&tally.late),
            Some(_) => add(&tally.refused),
        }
        tally.slowest.set(tally.slowest.get().max(took));
    }
}

fn add(count: &Cell<usize>) {
    count.set(count.get() + 1);
}

async fn exchange(stream: &mut TcpStream, request: &[u8]) -> anyhow::Result<u16> {
    stream.write_all(request).await?;
    let mut buffer = [0; ANSWER_MAX];
    let mut filled = 0;
    while !buffer[..filled].ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer[filled..]).await? {
            0 => bail!("the connection was closed"),
            count => filled += count,
        }
    }
    let status = buffer.get(9..12).and_then(|status| std::str::from_utf8(status).ok());
    status.and_then(|status| status.parse().ok()).context("no status")
}
