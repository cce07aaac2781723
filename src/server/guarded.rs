//! A connection's stream with bounds on what a slow or rude client can make us hold.
//!
//! hyper bounds the time of a head and the size of its buffer. Three things are left: a buffer of the
//! largest head on every connection at once, buffers that grow with a fast body and never shrink, and a
//! client that never reads its answers.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

use super::crowd::Standing;

/// Bytes taken from the socket at once. One less than the buffer hyper begins with, which it doubles
/// when a read fills it.
const READ_MAX: u64 = 8 * 1024 - 1;
/// Heads up to this size need no leave: the buffer is there in any case.
const SMALL_HEAD_BYTES: usize = 8 * 1024;
/// How long a client may leave an answer unread.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) struct Guarded<S> {
    stream: Take<S>,
    standing: Arc<Standing>,
    /// Leaves for large heads, shared by all connections of the listener.
    large_heads: Arc<Semaphore>,
    /// Kept to the end of the connection, for the buffer stays as large.
    large_head: Option<OwnedSemaphorePermit>,
    write_timeout: Duration,
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Guarded<S> {
    pub fn new(stream: S, standing: Arc<Standing>, large_heads: Arc<Semaphore>) -> Self {
        Self {
            stream: stream.take(READ_MAX),
            standing,
            large_heads,
            large_head: None,
            write_timeout: WRITE_TIMEOUT,
            stalled: None,
        }
    }

    fn count(&mut self, bytes: usize) -> io::Result<()> {
        if self.standing.head_grew(bytes) > SMALL_HEAD_BYTES && self.large_head.is_none() {
            let leave = self.large_heads.clone().try_acquire_owned();
            self.large_head = Some(leave.map_err(|_| io::Error::other("too many large heads at once"))?);
        }
        Ok(())
    }

    /// Begins to count the time when a write has to wait, and ends when one goes through.
    fn watch<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let timeout = self.write_timeout;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(timeout)));
        stalled.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn inner(&mut self) -> Pin<&mut S> {
        Pin::new(self.stream.get_mut())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        self.stream.set_limit(READ_MAX);
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        match read {
            Poll::Ready(Ok(())) => Poll::Ready(self.count(buffer.filled().len() - before)),
            other => other,
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.inner().poll_write(context, bytes);
        self.watch(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.inner().poll_write_vectored(context, slices);
        self.watch(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.get_ref().is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.inner().poll_flush(context);
        self.watch(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = self.inner().poll_shutdown(context);
        self.watch(context, shut)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    fn guarded(leaves: usize) -> (Guarded<tokio::io::DuplexStream>, tokio::io::DuplexStream, Arc<Standing>) {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let standing = Arc::new(Standing::default());
        (Guarded::new(ours, standing.clone(), Arc::new(Semaphore::new(leaves))), theirs, standing)
    }

    /// Whether a second read goes through, the first having filled what a small head may have.
    async fn reads_on(leaves: usize, head_ends: bool) -> bool {
        let (mut guarded, mut theirs, standing) = guarded(leaves);
        theirs.write_all(&[b'x'; 20_000]).await.expect("room in the pipe");
        let mut buffer = [0; 20_000];
        assert_eq!(guarded.read(&mut buffer).await.expect("a small head"), READ_MAX as usize);
        if head_ends {
            standing.head_ended();
        }
        guarded.read(&mut buffer).await.is_ok()
    }

    #[tokio::test]
    async fn a_large_head_needs_leave_and_a_large_body_does_not() {
        for (leaves, head_ends, goes_on) in [(0, false, false), (1, false, true), (0, true, true)] {
            assert_eq!(reads_on(leaves, head_ends).await, goes_on, "{leaves} leaves, head ended: {head_ends}");
        }
    }

    #[tokio::test]
    async fn who_reads_nothing_is_not_waited_for() {
        let (mut guarded, mut theirs, _) = guarded(0);
        guarded.write_timeout = Duration::from_millis(10);
        let large = [b'x'; 100_000];
        let error = guarded.write_all(&large).await.expect_err("the pipe is full");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let mut buffer = [0; 64 * 1024];
        theirs.read_exact(&mut buffer).await.expect("what was written");
    }
}
