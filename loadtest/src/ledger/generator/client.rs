//! HTTP/1.1 as a carrier speaks it: one connection, one request at a time, and every way to break off.
//!
//! Comes in: whole requests as bytes. Goes out: a status, or what is known instead of one.
//! Always true: bytes of a request are written once; whoever wants them sent again says so. A wait is
//! bounded by the carrier's patience. Not here: what an answer means, retries.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Largest answer.
const ANSWER_MAX: usize = 4_096;
/// How long a connection may take to come about on one machine.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// What became of a request, as its sender knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Status(u16),
    /// Nobody listened: nothing was sent.
    NoConnection,
    /// It was sent, in part at least, and no answer came: its outcome is unknown.
    Unknown,
}

/// One connection to one replica, made when it is needed.
pub struct Client {
    server: SocketAddr,
    stream: Option<TcpStream>,
}

impl Client {
    pub fn new(server: SocketAddr) -> Self {
        Self { server, stream: None }
    }

    pub async fn send(&mut self, request: &[u8], patience: Duration) -> Answer {
        let Some(mut stream) = self.connection().await else { return Answer::NoConnection };
        match timeout(patience, exchange(&mut stream, request)).await {
            Ok(Some((status, keep))) => {
                self.stream = keep.then_some(stream);
                Answer::Status(status)
            }
            // Dropping the stream is how a client that loses patience shows it.
            Ok(None) | Err(_) => Answer::Unknown,
        }
    }

    /// Writes the whole request and hangs up after `wait`, whatever has come by then.
    pub async fn send_and_hang_up(&mut self, request: &[u8], wait: Duration) {
        if let Some(mut stream) = self.connection().await {
            let written = stream.write_all(request).await;
            if written.is_ok() {
                tokio::time::sleep(wait).await;
            }
        }
    }

    async fn connection(&mut self) -> Option<TcpStream> {
        if let Some(stream) = self.stream.take()
            && is_idle(&stream)
        {
            return Some(stream);
        }
        let stream = timeout(CONNECT_MAX, TcpStream::connect(self.server)).await.ok()?.ok()?;
        stream.set_nodelay(true).ok()?;
        Some(stream)
    }
}

/// Neither closed by the server meanwhile nor holding bytes that nobody asked for.
fn is_idle(stream: &TcpStream) -> bool {
    matches!(stream.try_read(&mut [0; 1]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// Status, and whether the connection can be used again.
async fn exchange(stream: &mut TcpStream, request: &[u8]) -> Option<(u16, bool)> {
    stream.write_all(request).await.ok()?;
    let mut answer = Vec::with_capacity(512);
    loop {
        if let Some(done) = complete(&answer)? {
            return Some(done);
        }
        if stream.read_buf(&mut answer).await.ok()? == 0 {
            return None;
        }
    }
}

/// The outer `None`: no answer that a carrier would understand. The inner: not yet whole.
fn complete(answer: &[u8]) -> Option<Option<(u16, bool)>> {
    let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
        return (answer.len() < ANSWER_MAX).then_some(None);
    };
    let head = std::str::from_utf8(&answer[..end]).ok()?.to_ascii_lowercase();
    let status = head.strip_prefix("http/1.1 ")?.split(' ').next()?.parse().ok()?;
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(Some(0), |length| length.trim().parse().ok())?;
    let whole = answer.len() >= end + 4 + length;
    Some(whole.then(|| (status, !head.contains("\r\nconnection: close"))))
}

#[cfg(test)]
mod tests {
    use super::complete;

    #[test]
    fn answers_are_read_to_their_end() {
        for (answer, read) in [
            (&b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"[..], Some(Some((200, true)))),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n<Response/>", Some(Some((200, true)))),
            (b"HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\n<Respon", Some(None)),
            (b"HTTP/1.1 503 No\r\nRetry-After: 3\r\nConnection: close\r\n\r\n", Some(Some((503, false)))),
            (b"HTTP/1.1 200 OK\r\n", Some(None)),
            (b"nonsense\r\n\r\n", None),
        ] {
            assert_eq!(complete(answer), read, "{}", answer.escape_ascii());
        }
    }
}
