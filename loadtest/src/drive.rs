//! The generator: N connections, each sends its next request when it has the answer to the last.
//!
//! Comes in: requests as bytes, ready to be written. Goes out: how long all of them took.
//! Always true: connections are open before the clock starts, and take turns if there are more of them
//! than requests at once; every answer is a 200, or the run fails; a run ends within its time. One thread, raw sockets: the generator shares the machine with what it measures and must be the
//! cheaper of the two.
//! Not here: signing, CPU.

use std::cell::Cell;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use futures_util::future::try_join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Longest run: signatures are good for five minutes.
const RUN_MAX: Duration = Duration::from_secs(4 * 60);
/// Largest answer.
const ANSWER_MAX: usize = 1_024;

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
        let mut buffer = [0; ANSWER_MAX];
        loop {
            let _turn = self.at_once.acquire().await?;
            let Some(request) = self.requests.get(self.next.replace(self.next.get() + 1)) else { return Ok(()) };
            stream.write_all(request).await.context("a connection broke")?;
            expect_ok(&mut stream, &mut buffer).await?;
        }
    }
}

async fn expect_ok(stream: &mut TcpStream, buffer: &mut [u8; ANSWER_MAX]) -> anyhow::Result<()> {
    let mut filled = 0;
    while !complete(&buffer[..filled])? {
        let count = stream.read(&mut buffer[filled..]).await.context("a connection broke")?;
        ensure!(count > 0, "the server closed a connection that was owed an answer");
        filled += count;
    }
    Ok(())
}

/// Whether the whole answer is there. Anything but a 200 is an error; some carriers must be told something.
fn complete(answer: &[u8]) -> anyhow::Result<bool> {
    let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        ensure!(answer.len() < ANSWER_MAX, "an answer has no end");
        return Ok(false);
    };
    let (head, body) = answer.split_at(end + 4);
    if !head.starts_with(b"HTTP/1.1 200 ") {
        let status = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
        bail!("a request was answered {}", String::from_utf8_lossy(status));
    }
    let length = content_length(head).unwrap_or_default();
    ensure!(head.len() + length <= ANSWER_MAX && body.len() <= length, "an answer has another body than it says");
    Ok(body.len() == length)
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let mut lines = head.split(|byte| *byte == b'\n');
    let line = lines.find(|line| line.len() > NAME.len() && line[..NAME.len()].eq_ignore_ascii_case(NAME))?;
    std::str::from_utf8(&line[NAME.len()..]).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::complete;

    #[test]
    fn only_a_whole_200_counts() {
        for whole in [
            &b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK",
        ] {
            assert!(complete(whole).expect("a 200"));
            assert!(!complete(&whole[..whole.len() - 1]).expect("a part of it"));
        }
        assert!(!complete(b"").expect("nothing yet"));
        for refused in [
            &b"HTTP/1.1 503 Service Unavailable\r\n\r\n"[..],
            b"HTTP/1.1 200 OK\r\n\r\nhello",
            b"HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n",
            &[b'x'; 1_024],
        ] {
            assert!(complete(refused).is_err(), "{}", refused.escape_ascii());
        }
    }
}
