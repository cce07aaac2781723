//! What the door itself asks of a carrier's servers: a certificate that a request names, a subscription's
//! confirmation.
//!
//! Always true: a URL comes from its carrier's file, which has checked whose it is; of one URL there is one
//! question at a time, of all few, and after a failure none for a while, since whoever is not proven yet
//! can name a certificate. A failure is our trouble, not the request's.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;

use crate::carrier::{Certificate, Certificates};
use crate::fetch::{self, FetchError, Fetcher};
use crate::message::Timestamp;

/// Bounds of one question: a certificate has 2 KiB, a confirmation's answer less.
pub const LIMITS: fetch::Limits = fetch::Limits { timeout: Duration::from_secs(5), body_max: 64 * 1024 };
/// Different certificates asked for at the same time.
const URLS_MAX: usize = 4;
/// Requests that wait for one certificate.
const WAITING_MAX: usize = 32;
/// How long a certificate that could not be had is not asked for again; SNS comes back after 20 s.
const PAUSE: Duration = Duration::from_secs(10);
/// Failures remembered.
const FAILURES_MAX: usize = 32;

/// Why something could not be had.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("the account's folder of certificates has none of this name: put it there and start again")]
    NotInFolder,
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the answer is {0}")]
    Status(hyper::StatusCode),
    #[error("{0}")]
    NoCertificate(&'static str),
    /// Said when it failed.
    #[error("it could not be had a moment ago")]
    Lately,
    #[error("too many wait for certificates")]
    Crowd,
}

/// One for the process, cheap to clone.
#[derive(Clone)]
pub struct Outward(Arc<Inner>);

struct Inner {
    fetcher: Fetcher,
    /// Whose turn it is to ask, by URL.
    turns: Mutex<Vec<(Box<str>, Turn)>>,
    failures: Mutex<Vec<(Box<str>, Instant)>>,
}

type Turn = Arc<tokio::sync::Mutex<()>>;

impl Outward {
    pub fn new(fetcher: Fetcher) -> Self {
        Self(Arc::new(Inner { fetcher, turns: Mutex::default(), failures: Mutex::default() }))
    }

    /// Sees to it that an account holds the certificate at `url`.
    pub async fn bring(&self, held: &Certificates, url: &str, now: Timestamp) -> Result<(), Failure> {
        let turn = self.turn(url).ok_or(Failure::Crowd)?;
        let _turn = turn.lock().await;
        // Whoever had the turn before may have brought it, or may not.
        if held.find(url, now).is_some() {
            return Ok(());
        }
        if self.failed_lately(url) {
            return Err(Failure::Lately);
        }
        let failure = match self.certificate(held, url).await {
            Ok(certificate) => {
                held.hold(url, certificate, now);
                return Ok(());
            }
            Err(failure) => failure,
        };
        let kept = held.keep_on(url, now);
        // Whoever makes up names fills the memory of failures, and not the log.
        if kept || self.failed(url) {
            tracing::warn!(certificate = url, error = %failure, kept, "a certificate could not be had");
        }
        if kept { Ok(()) } else { Err(failure) }
    }

    /// Says yes to a subscription.
    pub async fn confirm(&self, url: &str) -> Result<(), Failure> {
        self.ask(url).await.map(drop)
    }

    async fn certificate(&self, held: &Certificates, url: &str) -> Result<Certificate, Failure> {
        if held.is_closed() {
            return Err(Failure::NotInFolder);
        }
        Certificate::parse(&self.ask(url).await?).map_err(Failure::NoCertificate)
    }

    async fn ask(&self, url: &str) -> Result<Bytes, Failure> {
        let request = Request::get(url).body(Full::default()).map_err(|_| FetchError::Address)?;
        let answer = self.0.fetcher.send(request).await?;
        if answer.status().is_success() { Ok(answer.into_body()) } else { Err(Failure::Status(answer.status())) }
    }

    /// `None` where too many wait already.
    fn turn(&self, url: &str) -> Option<Turn> {
        let mut turns = self.0.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|(_, turn)| Arc::strong_count(turn) > 1);
        if let Some((_, turn)) = turns.iter().find(|(known, _)| **known == *url) {
            return (Arc::strong_count(turn) <= WAITING_MAX).then(|| turn.clone());
        }
        if turns.len() >= URLS_MAX {
            return None;
        }
        let turn = Turn::default();
        turns.push((url.into(), turn.clone()));
        Some(turn)
    }

    /// Notes it; whether there was room.
    fn failed(&self, url: &str) -> bool {
        let mut failures = self.failures();
        let is_full = failures.len() >= FAILURES_MAX;
        if is_full {
            failures.remove(0);
        }
        failures.push((url.into(), Instant::now()));
        !is_full
    }

    fn failed_lately(&self, url: &str) -> bool {
        self.failures().iter().any(|(failed, _)| **failed == *url)
    }

    /// Those that are not forgotten yet.
    fn failures(&self) -> std::sync::MutexGuard<'_, Vec<(Box<str>, Instant)>> {
        let mut failures = self.0.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.retain(|(_, at)| at.elapsed() < PAUSE);
        failures
    }
}

#[cfg(test)]
pub(super) mod tests;
