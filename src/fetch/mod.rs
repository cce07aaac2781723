//! One HTTP request to somebody else's server: a carrier's API, a department's receiver.
//!
//! Comes in: a request whose URI is whole. Goes out: the answer with its body, or why there is none, in
//! words that carry nothing of the URL.
//! Always true: TLS 1.2 or 1.3 with a certificate that a trusted authority signed, except to a loopback
//! address; the time for all of an answer and the bytes of its body are bounded; a redirect is an error,
//! since whoever answers must not send credentials elsewhere.
//! Not here: what a status means, asking again, proxies (none is used, whatever the environment says).

mod authorities;
mod names;
mod private;

pub use authorities::roots;
pub use private::is_public;

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::http::response::Parts;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use names::Names;

/// How long a connection may take to be there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept for the next request.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Idle connections kept to one host.
const IDLE_MAX: usize = 4;

/// Bounds of every request.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From connecting to the last byte of the body.
    pub timeout: Duration,
    /// Largest body read, in bytes.
    pub body_max: usize,
}

/// A client that keeps its connections; cheap to clone.
#[derive(Clone)]
pub struct Fetcher {
    client: Client<HttpsConnector<HttpConnector<Names>>, Full<Bytes>>,
    limits: Limits,
    public_only: bool,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Nothing to try again: the address is wrong.
    #[error("the address must begin with https:// (http:// is for loopback addresses only)")]
    Address,
    /// Nothing to try again: the address is a network's own.
    #[error("the address is not a public one")]
    NotPublic,
    /// Nothing to try again: the settings are wrong.
    #[error("no certificate of an authority in the file: it needs PEM")]
    Authorities,
    /// Another time perhaps.
    #[error("no connection: {0}")]
    Unreachable(String),
    /// Another time perhaps.
    #[error("no whole answer within {} s", .0.as_secs())]
    Timeout(Duration),
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
    #[error("the answer is a redirect ({0}), which is not followed")]
    Redirected(StatusCode),
}

impl Fetcher {
    /// Trusts the authorities in the PEM text, or those browsers trust.
    pub fn new(authorities: Option<&[u8]>, limits: Limits) -> Result<Self, FetchError> {
        Self::with_names(Names::of_system(), authorities, limits)
    }

    /// The same to nobody but public addresses, judged anew for each connection: whoever answers for a name may answer
    /// otherwise each time.
    pub fn to_public(authorities: Option<&[u8]>, limits: Limits) -> Result<Self, FetchError> {
        let names = Names::PublicOnly(Box::new(Names::of_system()));
        Ok(Self { public_only: true, ..Self::with_names(names, authorities, limits)? })
    }

    /// Every name leads to this address; which name a server must prove to have does not change.
    #[cfg(test)]
    pub(crate) fn towards(
        address: std::net::SocketAddr,
        authorities: Option<&[u8]>,
        limits: Limits,
    ) -> Result<Self, FetchError> {
        Self::with_names(Names::Fixed(address), authorities, limits)
    }

    fn with_names(names: Names, authorities: Option<&[u8]>, limits: Limits) -> Result<Self, FetchError> {
        let mut http = HttpConnector::new_with_resolver(names);
        http.enforce_http(false);
        http.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let tls = authorities::client_config(authorities)?;
        let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(https.wrap_connector(http));
        Ok(Self { client, limits, public_only: false })
    }

    /// Sends a request and waits for the head of the answer, whatever its status; a redirect is an error. Of the body
    /// as much is read as fits the limits, and thrown away, so that the connection can be used again.
    pub async fn send_for_head(&self, request: Request<Full<Bytes>>) -> Result<Parts, FetchError> {
        self.may_be_asked(request.uri())?;
        let deadline = Instant::now() + self.limits.timeout;
        let answer = tokio::time::timeout_at(deadline, self.answer(request)).await;
        let (head, body) = answer.map_err(|_| FetchError::Timeout(self.limits.timeout))??.into_parts();
        let _rest = tokio::time::timeout_at(deadline, Limited::new(body, self.limits.body_max).collect()).await;
        Ok(head)
    }

    async fn answer(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, FetchError> {
        let answer = self.client.request(request).await.map_err(|error| FetchError::Unreachable(causes(&error)))?;
        if answer.status().is_redirection() { Err(FetchError::Redirected(answer.status())) } else { Ok(answer) }
    }

    fn may_be_asked(&self, uri: &Uri) -> Result<(), FetchError> {
        if !is_allowed(uri) {
            return Err(FetchError::Address);
        }
        // An address is not looked up, so no name would be judged.
        if self.public_only && literal(uri).is_some_and(|address| !is_public(address)) {
            return Err(FetchError::NotPublic);
        }
        Ok(())
    }

    /// Sends a request and reads the whole answer, whatever its status; a redirect is an error.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, FetchError> {
        self.may_be_asked(request.uri())?;
        let exchange = self.exchange(request);
        let answer = tokio::time::timeout(self.limits.timeout, exchange).await;
        answer.map_err(|_| FetchError::Timeout(self.limits.timeout))?
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, FetchError> {
        let (head, body) = self.answer(request).await?.into_parts();
        let body = Limited::new(body, self.limits.body_max).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                FetchError::TooLarge(self.limits.body_max)
            } else {
                FetchError::Unreachable(causes(error.as_ref()))
            }
        })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    }
}

/// Whether a URL's scheme and host may be spoken to: what goes there would otherwise be readable on the way.
pub fn check_url(url: &str) -> Result<(), FetchError> {
    let uri: Uri = url.parse().map_err(|_| FetchError::Address)?;
    if is_allowed(&uri) { Ok(()) } else { Err(FetchError::Address) }
}

fn is_allowed(uri: &Uri) -> bool {
    let host = uri.host().unwrap_or_default();
    match uri.scheme_str() {
        Some("https") => !host.is_empty(),
        // A name is not enough: whoever answers for it decides where it leads.
        Some("http") => literal(uri).is_some_and(|address| address.to_canonical().is_loopback()),
        _ => false,
    }
}

/// The address that a URL has instead of a name.
pub fn literal(uri: &Uri) -> Option<IpAddr> {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// What went wrong and why, down to the cause: the client's own words tell only the first.
fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[cfg(test)]
pub(crate) mod tests;
