//! The two doors for our own people: departments read their feed and move texts, SREs look at health and metrics.
//!
//! Comes in: HTTP requests on the api and monitoring listeners. Goes out: CloudEvents batches to who
//! holds the department's token; texts for another department, by the intake; the state of the process, free of personal data, to anybody who
//! reaches the monitoring port.
//! Always true: every route is in one of the two tables below; a token opens its own department only,
//! and takes no more than its department's share of places to wait in.
//! Not here: webhooks, where the log is.

mod feed;
mod health;
mod reply;
mod reroute;
mod tokens;

/// Every route, in the words of OpenAPI 3.1; printed by `sms-router schema openapi`.
pub const OPENAPI: &str = include_str!("openapi.yaml");

pub use feed::{Feed, FeedSource, Polls};
pub use health::{Health, Service};
pub use reroute::{Desk, Move, MoveError, Rerouter};
pub use tokens::Tokens;

use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request};

use crate::server::{Answer, Caller};

/// Every route of the api listener.
pub async fn api(doors: Arc<(Feed, Desk)>, request: Request<Incoming>, caller: Caller) -> Answer {
    let (feed, desk) = doors.as_ref();
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match (request.method(), segments.as_slice()) {
        (&Method::GET, ["v1", "departments", name, "messages"]) => feed.messages(name, &request, &caller).await,
        (_, ["v1", "departments", _, "messages"]) => reply::method_not_allowed("GET"),
        (&Method::POST, ["v1", "messages", id, "reroute"]) => desk.reroute(id, request, &caller).await,
        (_, ["v1", "messages", _, "reroute"]) => reply::method_not_allowed("POST"),
        _ => reply::not_found(),
    }
}

/// Every route of the monitoring listener.
pub async fn monitoring(health: Arc<Health>, request: Request<Incoming>) -> Answer {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return reply::method_not_allowed("GET, HEAD");
    }
    match request.uri().path() {
        "/metrics" => health.metrics(),
        "/livez" => health.alive(),
        "/readyz" => health.ready(request.uri().query().is_some_and(|query| query.starts_with("verbose"))),
        "/startupz" => health.started(),
        "/version" => health.version(),
        _ => reply::not_found(),
    }
}
