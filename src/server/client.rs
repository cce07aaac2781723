//! One HTTP request to a listener of ours, as a carrier or a department would send it.
//!
//! Always true: a connection of its own, plain or, to this process itself, TLS that believes its certificate and no
//! other; time and the answer's bytes are bounded; no error carries a URL.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::tls::Certificates;

/// Largest answer read, in bytes.
const ANSWER_MAX: usize = 256 << 20;

/// Why there is no answer; another try may get one.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("cannot connect to {authority}: {cause}")]
    Unreachable { authority: String, cause: std::io::Error },
    #[error("the connection broke: {0}")]
    Broken(#[from] hyper::Error),
    #[error("the answer could not be read: {0}")]
    Unreadable(Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer from {authority} within {} s", .timeout.as_secs())]
    Timeout { authority: String, timeout: Duration },
}

/// Sends a request over a connection of its own and reads the whole answer.
pub async fn send(
    authority: &str,
    request: Request<Full<Bytes>>,
    timeout: Duration,
) -> Result<Response<Bytes>, ClientError> {
    send_to_own(authority, None, request, timeout).await
}

/// The same to a listener of this process; by TLS, where it has certificates.
pub async fn send_to_own(
    authority: &str,
    certificates: Option<&Certificates>,
    request: Request<Full<Bytes>>,
    timeout: Duration,
) -> Result<Response<Bytes>, ClientError> {
    let unreachable = |cause| ClientError::Unreachable { authority: authority.to_owned(), cause };
    let exchange = async {
        let stream = TcpStream::connect(authority).await.map_err(unreachable)?;
        match certificates {
            None => exchange(stream, request).await,
            Some(certificates) => {
                let peer = stream.peer_addr().map_err(unreachable)?.ip();
                let stream = certificates.connector().connect(peer.into(), stream).await.map_err(unreachable)?;
                exchange(stream, request).await
            }
        }
    };
    let late = |_| ClientError::Timeout { authority: authority.to_owned(), timeout };
    tokio::time::timeout(timeout, exchange).await.map_err(late)?
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, ClientError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(ClientError::Unreadable)?.to_bytes();
    drop(sender);
    driver.abort();
    Ok(Response::from_parts(head, body))
}

/// A listener's address as a client on the same machine reaches it.
pub fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
