//! Listeners: the accept loop, its bounds, TLS and the drain, the same for all three doors.
//!
//! Comes in: an address and a function from request to answer. Goes out: HTTP/1.1 over TCP or TLS.
//! Always true: connections are bounded; a request head has five seconds; after the drain begins no
//! connection is accepted and open ones end with the answer they owe.
//! Not here: paths, bodies, statuses.

pub mod client;
mod tls;

pub use tls::{Certificates, TlsError};

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::telemetry::Metrics;

/// Time for a request's head; also how long a connection may idle between two requests.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest request head, in bytes. Carriers' longest URLs (Kannel with a 10-part text) fit four times.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Time for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Connections the kernel keeps for us while we accept others.
const BACKLOG: i32 = 4096;

/// Every answer of ours: a body that is there as a whole.
pub type Answer = Response<Full<Bytes>>;

/// What one listener needs.
#[derive(Clone)]
pub struct Settings {
    /// The word for it in metrics and logs.
    pub name: &'static str,
    pub listen: SocketAddr,
    /// Connections at once; one more is closed at once and counted.
    pub connections_max: usize,
    pub certificates: Option<Certificates>,
}

/// Why a listener could not be opened.
#[derive(Debug, thiserror::Error)]
#[error(
    "{name}: cannot listen on {listen}: {cause}; is another process using the port? Set [{name}] listen to a free one"
)]
pub struct ListenError {
    name: &'static str,
    listen: SocketAddr,
    cause: std::io::Error,
}

/// A listener that holds its port and does not answer yet.
pub struct Bound {
    listener: TcpListener,
    settings: Settings,
}

/// Takes the port. Answers begin with `Bound::serve`.
pub fn bind(settings: Settings) -> Result<Bound, ListenError> {
    let listener =
        open(settings.listen).map_err(|cause| ListenError { name: settings.name, listen: settings.listen, cause })?;
    Ok(Bound { listener, settings })
}

fn open(listen: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(listen), socket2::Type::STREAM, None)?;
    // A restart must not wait for the old connections' TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&listen.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

impl Bound {
    /// The address in use: tells the port when 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap_or(self.settings.listen)
    }

    /// Accepts until `drain`, then waits for open connections to finish what they owe.
    pub async fn serve<H, F>(self, handler: H, metrics: Metrics, drain: CancellationToken)
    where
        H: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        let name = self.settings.name;
        let open = metrics.connections.with_label_values(&[name]);
        let refused = metrics.connections_refused.with_label_values(&[name]);
        let places = Arc::new(Semaphore::new(self.settings.connections_max));
        let connections = TaskTracker::new();
        let accept = |stream, peer| {
            let Ok(place) = places.clone().try_acquire_owned() else { return refused.inc() };
            let (handler, drain, open) = (handler.clone(), drain.clone(), open.clone());
            let certificates = self.settings.certificates.clone();
            connections.spawn(async move {
                open.inc();
                connection(stream, peer, handler, certificates, drain).await;
                open.dec();
                drop(place);
            });
        };
        loop {
            let accepted = tokio::select! {
                biased;
                () = drain.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => accept(stream, peer),
                Err(error) => {
                    // Out of file descriptors: closing connections will free some; spinning will not.
                    tracing::warn!(listener = name, %error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        waiting(self.listener).into_iter().for_each(|(stream, peer)| accept(stream, peer));
        connections.close();
        connections.wait().await;
    }
}

/// Closes the port. Who had connected by then may have sent a request: asked of the kernel itself,
/// because the runtime may not have heard of them yet.
fn waiting(listener: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let streams: Vec<_> = std::iter::from_fn(|| listener.accept().ok()).collect();
    drop(listener);
    let to_runtime = |(stream, peer): (std::net::TcpStream, SocketAddr)| {
        stream.set_nonblocking(true).and_then(|()| TcpStream::from_std(stream)).ok().map(|stream| (stream, peer))
    };
    streams.into_iter().filter_map(to_runtime).collect()
}

async fn connection<H, F>(
    stream: TcpStream,
    peer: SocketAddr,
    handler: H,
    certificates: Option<Certificates>,
    drain: CancellationToken,
) where
    H: Fn(Request<Incoming>, SocketAddr) -> F + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    // Answers are one small segment: waiting to fill a larger one only adds delay.
    let _ = stream.set_nodelay(true);
    let Some(certificates) = certificates else {
        return speak_http(stream, peer, handler, drain).await;
    };
    let handshake = certificates.acceptor().accept(stream);
    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
        speak_http(stream, peer, handler, drain).await;
    }
}

async fn speak_http<S, H, F>(stream: S, peer: SocketAddr, handler: H, drain: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>, SocketAddr) -> F + Send + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let service = service_fn(|request| {
        let answer = handler(request, peer);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    // At most 100 header fields: hyper's own bound, which it keeps on the stack unless it is set.
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    // What a broken or rude connection ends with is the client's affair: counted by the handler where
    // a request was understood, else not worth a line.
    tokio::select! {
        _ = connection.as_mut() => {}
        () = drain.cancelled() => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}
