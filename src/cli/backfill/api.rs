//! A carrier's API, asked patiently: what it cannot answer now is asked again, a few times.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode};

use crate::carrier::{ApiAccess, Listing};
use crate::fetch::{FetchError, Fetcher, Limits};
use crate::message::Timestamp;

use super::super::Failure;

/// For one answer; a page holds up to 1,000 texts of up to 1,600 characters.
const LIMITS: Limits = Limits { timeout: Duration::from_secs(60), body_max: 32 << 20 };
const TRIES: u32 = 4;
/// Before the second try; twice as long before each further one.
const WAIT: Duration = Duration::from_secs(1);
/// Longest that a carrier may ask us to wait.
const WAIT_MAX: Duration = Duration::from_secs(60);

pub struct Api<'a> {
    listing: &'static dyn Listing,
    access: &'a ApiAccess,
    fetcher: Fetcher,
}

/// What one try came to.
enum Tried {
    Answered(Bytes),
    /// Worth another try, after that long if the carrier said so.
    Later(String, Option<Duration>),
    Never(String),
}

impl<'a> Api<'a> {
    pub fn new(listing: &'static dyn Listing, access: &'a ApiAccess) -> Result<Self, Failure> {
        let fetcher = Fetcher::new(access.authorities.as_deref(), LIMITS).map_err(Failure::of)?;
        Ok(Self { listing, access, fetcher })
    }

    /// The body of the answer to a GET of that path and query.
    pub async fn ask(&self, what: &str) -> Result<Bytes, Failure> {
        let mut wait = WAIT;
        for _ in 1..TRIES {
            match self.ask_once(what).await {
                Tried::Answered(body) => return Ok(body),
                Tried::Never(reason) => return Err(Failure::of(reason)),
                Tried::Later(_, asked) => tokio::time::sleep(asked.unwrap_or(wait).min(WAIT_MAX)).await,
            }
            wait *= 2;
        }
        match self.ask_once(what).await {
            Tried::Answered(body) => Ok(body),
            Tried::Later(reason, _) | Tried::Never(reason) => Err(Failure::of(reason)),
        }
    }

    async fn ask_once(&self, what: &str) -> Tried {
        let request = Request::get(format!("{}{what}", self.access.url.trim_end_matches('/')))
            .header(AUTHORIZATION, self.listing.authorization(self.access, Timestamp::now()))
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, "sms-router")
            .body(Full::default());
        let Ok(request) = request else {
            return Tried::Never("api.url or api.key has characters that no request can carry".to_owned());
        };
        match self.fetcher.send(request).await {
            Ok(answer) => judge(answer),
            Err(error @ (FetchError::Unreachable(_) | FetchError::Timeout(_))) => Tried::Later(said(&error), None),
            Err(error) => Tried::Never(said(&error)),
        }
    }
}

fn said(error: &FetchError) -> String {
    format!("the carrier's API: {error}")
}

fn judge(answer: Response<Bytes>) -> Tried {
    let status = answer.status();
    match status {
        StatusCode::OK => Tried::Answered(answer.into_body()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Tried::Never(format!("the carrier's API answered {status}: see api.key (and this machine's clock)"))
        }
        _ if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() => {
            let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            Tried::Later(format!("the carrier's API answered {status}"), asked.map(Duration::from_secs))
        }
        _ => Tried::Never(format!("the carrier's API answered {status}")),
    }
}
