//! A text to a department's own receiver: the CloudEvent over HTTP, signed.
//!
//! Comes in: a letter. Goes out: one POST (CloudEvents HTTP binding 1.0.2, binary mode; Standard Webhooks), and what the
//! answer means.
//! Always true: the body is the event's value, byte for byte; every secret of the settings signs, the first first;
//! nothing but a 2xx is delivery.
//! Not here: when it is tried again.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::http::response::Parts;
use hyper::{Request, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use tokio::time::Instant;

use super::health::{Health, Ticket};
use super::parcel::{Parcel, Tried, Why};
use super::retry::retry_after;
use super::{Letter, Push};
use crate::carrier::standard_webhooks;
use crate::clock::Clock;
use crate::fetch::{FetchError, Fetcher, Limits};
use crate::message::{Traceparent, iso};

/// Of a receiver's answer as much is read, and thrown away.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// What CloudEvents' HTTP binding (section 3.1.3.2) writes as %XX in a header.
const ENCODED: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'%');
/// The binding's own version of CloudEvents.
const SPECVERSION: HeaderValue = HeaderValue::from_static("1.0");

/// One department's receiver.
pub(super) struct Pusher {
    push: Push,
    fetcher: Fetcher,
    clock: Clock,
    health: std::sync::Arc<Health>,
}

impl Pusher {
    pub(super) fn new(push: &Push, clock: Clock, health: std::sync::Arc<Health>) -> Result<Self, FetchError> {
        let limits = Limits { timeout: push.timeout, body_max: ANSWER_BYTES_MAX };
        let authorities = push.authorities.as_deref();
        let fetcher = if push.private_network {
            Fetcher::new(authorities, limits)?
        } else {
            Fetcher::to_public(authorities, limits)?
        };
        Ok(Self { push: push.clone(), fetcher, clock, health })
    }

    /// One try.
    pub(super) async fn deliver(&self, parcel: &mut Parcel, ticket: Ticket) -> Tried {
        let Some(request) = parcel.letters.first().map(|held| self.request(&held.letter)) else { return Tried::Taken };
        let request = match request {
            Ok(request) => request,
            Err(words) => return Tried::again(None, Why { step: "signing", code: None, words: words.to_owned() }),
        };
        let tried = match self.fetcher.send_for_head(request).await {
            Ok(answer) => self.judge(&answer),
            Err(FetchError::Redirected(status)) => Tried::again(None, Why::code("redirect", status.as_u16())),
            Err(error) => Tried::again(None, Why { step: "no answer", code: None, words: error.to_string() }),
        };
        match &tried {
            Tried::Taken | Tried::Gone | Tried::Refused { .. } => ticket.worked(),
            Tried::Again { .. } => ticket.failed(Instant::now()),
        }
        tried
    }

    /// Whoever says 2xx has it, whatever becomes of the rest of the answer.
    fn judge(&self, answer: &Parts) -> Tried {
        let status = answer.status;
        if status.is_success() {
            return Tried::Taken;
        }
        if status == StatusCode::GONE {
            return Tried::Gone;
        }
        let asked = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let after = asked.and_then(|value| retry_after(value, self.clock.now()));
        // Both speak for the receiver, not for the text.
        if let (Some(pause), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) = (after, status) {
            self.health.hold(Instant::now(), pause);
        }
        Tried::again(after, Why::code("answer", status.as_u16()))
    }

    /// The error says what is wrong with a secret.
    fn request(&self, letter: &Letter) -> Result<Request<Full<Bytes>>, &'static str> {
        let id = letter.id.to_string();
        let time = self.clock.now().as_second().to_string();
        let sign = |secret| standard_webhooks::signature(secret, &id, &time, &letter.value);
        let signatures = self.push.secrets.iter().map(sign).collect::<Result<Vec<_>, _>>()?.join(" ");
        let own_trace = Traceparent::of(letter.id);
        let trace = letter.traceparent.as_deref().unwrap_or(own_trace.as_str());
        let content_type = HeaderValue::try_from(&letter.content_type).map_err(|_| "the event's type is no ASCII")?;
        let mut request = Request::post(self.push.url.clone())
            .header(CONTENT_TYPE, content_type)
            .header("ce-specversion", SPECVERSION)
            .header("ce-id", header(&id))
            .header("ce-type", header(&letter.event_type))
            .header("ce-source", header(&letter.source))
            .header("ce-subject", header(&letter.subject))
            .header("ce-time", header(&iso::format(letter.time)))
            .header("traceparent", header(trace))
            .header("webhook-id", header(&id))
            .header("webhook-timestamp", header(&time))
            .header("webhook-signature", HeaderValue::try_from(signatures).map_err(|_| "it is no ASCII")?);
        if let Some(schema) = &letter.dataschema {
            request = request.header("ce-dataschema", header(schema));
        }
        Ok(request.body(Full::new(letter.value.clone())).expect("a URL and headers that have been read"))
    }
}

fn header(value: &str) -> HeaderValue {
    HeaderValue::try_from(utf8_percent_encode(value, ENCODED).to_string()).expect("printable ASCII")
}

impl Tried {
    fn again(after: Option<Duration>, why: Why) -> Self {
        Self::Again { after, by_server: false, why }
    }
}

impl Why {
    fn code(step: &'static str, code: u16) -> Self {
        Self { step, code: Some(code), words: String::new() }
    }
}
