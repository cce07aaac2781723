//! Listeners: the accept loop, its bounds, TLS and the drain, the same for all three doors.
//!
//! Comes in: an address and a function from request to answer. Goes out: HTTP/1.1 over TCP or TLS.
//! Always true: connections are bounded, and so is what each can make us hold; a request head has its
//! time, an unread answer too; strangers give way when all places are taken; after the drain begins no
//! connection is accepted and open ones end with the answer they owe.
//! Not here: paths, bodies, who has proven itself.

pub mod client;
mod cores;
mod crowd;
mod files;
mod guarded;
mod shape;
mod timer;
mod tls;

pub use cores::Cores;
pub use files::allow_open_files;
pub use tls::{Certificates, Pem, TlsError};

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{Either, ready};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use prometheus::{IntCounter, IntGauge};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::telemetry::Metrics;

use crowd::{Admitted, Crowd, Standing};
use guarded::Guarded;
use timer::HeadTimer;

/// Largest request head, in bytes. Carriers' longest URLs (Kannel with a 10-part text) fit four times.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Connections of a listener that may have such a head at once, 16 MiB in all: ten thousand would take 640.
const LARGE_HEADS_MAX: usize = 256;
/// How long a connection that has said nothing yet is listened to when the drain begins.
const LAST_WORD: Duration = Duration::from_millis(100);
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
    /// Connections at once; one more takes the place of a stranger, or is closed at once and counted.
    pub connections_max: usize,
    /// Time for a request's head; also how long a connection may idle between two requests.
    pub header_timeout: Duration,
    /// Whether what was asked is answered though the client says no more, or is gone: for requests whose work is
    /// finished in any case. A client that is gone so keeps its connection, and what its request takes of bounds, until
    /// there is an answer: as long as its carrier waits, and is held back. Else the connection is watched for that
    /// meanwhile, which takes a new buffer for each request, and the work is dropped.
    pub answers_half_closed: bool,
    pub certificates: Option<Certificates>,
}

/// Who sent a request.
#[derive(Clone)]
pub struct Caller {
    pub address: SocketAddr,
    standing: Arc<Standing>,
}

impl Caller {
    /// It is one of those we are here for: from now on its connection gives way to nobody.
    pub fn has_proven_itself(&self) {
        self.standing.prove();
    }
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
    /// Of its own; else connections live on the runtime that serves them.
    cores: Option<Cores>,
}

/// Takes the port. Answers begin with `Bound::serve`.
pub fn bind(settings: Settings) -> Result<Bound, ListenError> {
    let listener =
        open(settings.listen).map_err(|cause| ListenError { name: settings.name, listen: settings.listen, cause })?;
    Ok(Bound { listener, settings, cores: None })
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

    /// The word for it in metrics and logs.
    pub fn name(&self) -> &'static str {
        self.settings.name
    }

    /// Those in use; a clone sees them replaced.
    pub fn certificates(&self) -> Option<Certificates> {
        self.settings.certificates.clone()
    }

    /// Connections are to live on these, if there are any.
    pub fn on(self, cores: Option<Cores>) -> Self {
        Self { cores, ..self }
    }

    /// Accepts until `drain`, then waits for open connections to finish what they owe.
    pub async fn serve<H, F>(self, handler: H, metrics: Metrics, drain: CancellationToken)
    where
        H: Fn(Request<Incoming>, Caller) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        let counts = Counts::new(self.settings.name, &metrics);
        let mut crowd = Crowd::new(self.settings.connections_max);
        let large_heads = Arc::new(Semaphore::new(LARGE_HEADS_MAX));
        let connections = TaskTracker::new();
        let cores = self.cores.unwrap_or_else(Cores::of_caller);
        let mut welcome = async |stream: std::net::TcpStream, address: SocketAddr| {
            let Some(Admitted { place, standing, another_left }) = crowd.admit().await else {
                return counts.refused.inc();
            };
            counts.gave_way.inc_by(u64::from(another_left));
            let connection = Connection {
                caller: Caller { address, standing: standing.clone() },
                large_heads: large_heads.clone(),
                header_timeout: self.settings.header_timeout,
                answers_half_closed: self.settings.answers_half_closed,
                certificates: self.settings.certificates.clone(),
                // One of its own: a connection looks at it whenever it is polled, under the token's lock.
                drain: drain.child_token(),
            };
            let (handler, open, seat) = (handler.clone(), counts.open.clone(), cores.seat());
            let runtime = seat.runtime().clone();
            let life = async move {
                open.inc();
                tokio::select! {
                    () = connection.live(stream, handler) => {}
                    () = standing.has_to_leave() => {}
                }
                standing.end();
                open.dec();
                // In this order: whoever waits for the place is dealt by a count without this one.
                drop((seat, place));
            };
            connections.spawn_on(life, &runtime);
        };
        loop {
            let accepted = tokio::select! {
                biased;
                () = drain.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted.and_then(|(stream, address)| Ok((stream.into_std()?, address))) {
                Ok((stream, address)) => welcome(stream, address).await,
                Err(error) => {
                    // Out of file descriptors: closing connections will free some; spinning will not.
                    tracing::warn!(listener = self.settings.name, %error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
        for (stream, address) in waiting(self.listener) {
            welcome(stream, address).await;
        }
        connections.close();
        connections.wait().await;
    }
}

/// Closes the port. Who had connected by then may have sent a request: asked of the kernel itself,
/// because the runtime may not have heard of them yet.
fn waiting(listener: TcpListener) -> Vec<(std::net::TcpStream, SocketAddr)> {
    let Ok(listener) = listener.into_std() else { return Vec::new() };
    let streams = std::iter::from_fn(|| listener.accept().ok());
    streams.filter(|(stream, _)| stream.set_nonblocking(true).is_ok()).collect()
}

struct Counts {
    open: IntGauge,
    refused: IntCounter,
    gave_way: IntCounter,
}

impl Counts {
    fn new(name: &str, metrics: &Metrics) -> Self {
        Self {
            open: metrics.connections.with_label_values(&[name]),
            refused: metrics.connections_refused.with_label_values(&[name]),
            gave_way: metrics.connections_gave_way.with_label_values(&[name]),
        }
    }
}

/// What one connection needs.
struct Connection {
    caller: Caller,
    large_heads: Arc<Semaphore>,
    header_timeout: Duration,
    answers_half_closed: bool,
    certificates: Option<Certificates>,
    drain: CancellationToken,
}

impl Connection {
    /// On the runtime that it is to stay on.
    async fn live<H, F>(self, stream: std::net::TcpStream, handler: H)
    where
        H: Fn(Request<Incoming>, Caller) -> F + Send + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        let Ok(stream) = TcpStream::from_std(stream) else { return };
        // Answers are one small segment: waiting to fill a larger one only adds delay.
        let _ = stream.set_nodelay(true);
        // Most of what a connection costs is made after this, for those that say something.
        if !matches!(tokio::time::timeout(self.header_timeout, self.first_byte(&stream)).await, Ok(true)) {
            return;
        }
        let Some(certificates) = &self.certificates else {
            return self.speak_http(stream, handler).await;
        };
        // In boxes, for a connection without TLS would be as large as one with it.
        let handshake = Box::pin(certificates.acceptor().accept(stream));
        if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
            self.speak_http(Box::new(stream), handler).await;
        }
    }

    /// Waits for the client to begin; false when it is not worth waiting any more.
    async fn first_byte(&self, stream: &TcpStream) -> bool {
        let mut first = [0];
        // What was sent before we were told to stop may be on its way from the kernel.
        let stopped = async {
            self.drain.cancelled().await;
            tokio::time::sleep(LAST_WORD).await;
        };
        tokio::select! {
            biased;
            seen = stream.peek(&mut first) => seen.is_ok_and(|bytes| bytes > 0),
            () = stopped => false,
        }
    }

    async fn speak_http<S, H, F>(self, stream: S, handler: H)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        H: Fn(Request<Incoming>, Caller) -> F + Send + 'static,
        F: Future<Output = Answer> + Send + 'static,
    {
        let Self { caller, large_heads, header_timeout, answers_half_closed, drain, .. } = self;
        let stream = Guarded::new(stream, caller.standing.clone(), large_heads);
        let service = service_fn(|request| answer(request, &caller, &handler));
        // At most 100 header fields: hyper's own bound, which it keeps on the stack unless it is set.
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(HeadTimer::new())
            .header_read_timeout(header_timeout)
            .half_close(answers_half_closed)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        // What a broken or rude connection ends with is the client's affair: counted by the handler
        // where a request was understood, else not worth a line.
        tokio::select! {
            biased;
            _ = connection.as_mut() => {}
            () = drain.cancelled() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    }
}

/// Hands a request on, unless it is of a shape that nobody should answer.
fn answer<H, F>(
    request: Request<Incoming>,
    caller: &Caller,
    handler: &H,
) -> impl Future<Output = Result<Answer, Infallible>> + use<H, F>
where
    H: Fn(Request<Incoming>, Caller) -> F,
    F: Future<Output = Answer>,
{
    caller.standing.head_ended();
    let (is_sound, is_last) = (shape::is_sound(&request), shape::is_last(&request));
    let standing = caller.standing.clone();
    let handled = if is_sound {
        Either::Left(handler(request, caller.clone()))
    } else {
        let mut answer = Response::new(Full::default());
        *answer.status_mut() = StatusCode::BAD_REQUEST;
        Either::Right(ready(answer))
    };
    // An async block would hold the handler's future twice: as it was captured and as it is awaited.
    handled.map(move |mut answer| {
        if is_last || !is_sound {
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        // What the body took is not the next head's.
        standing.head_ended();
        Ok(answer)
    })
}
