//! Answers of the two listeners: a status, a content type, a body that says what to do.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

use crate::server::Answer;

/// What a caller is told to wait, in seconds.
const RETRY_AFTER_SECONDS: u64 = 5;

pub fn of(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    of(status, "text/plain; charset=utf-8", body)
}

/// 503 for our own trouble, or for want of places.
pub fn try_again(why: &'static str) -> Answer {
    let mut answer = text(StatusCode::SERVICE_UNAVAILABLE, why);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    answer
}

pub fn not_found() -> Answer {
    text(StatusCode::NOT_FOUND, "nothing is here\n")
}

pub fn method_not_allowed(allowed: &'static str) -> Answer {
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, "not with this method\n");
    answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

pub fn unauthorized() -> Answer {
    let mut answer = text(StatusCode::UNAUTHORIZED, "send the department's token: Authorization: Bearer TOKEN\n");
    answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    answer
}
