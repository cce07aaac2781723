//! A department's texts over HTTP, oldest first, with long poll (the HTTP Feeds convention).
//!
//! `GET /v1/departments/{name}/messages?lastEventId=ID&timeout=MS&limit=N` answers a JSON array of
//! CloudEvents 1.0 (`application/cloudevents-batch+json`); empty when nothing came within `timeout`. A
//! department's long polls are bounded, so that one token cannot take every place of the listener; what
//! there is to read is given to every caller.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, StatusCode};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::keyword::Live;
use crate::message::{DepartmentName, EventId, EventSource, Traceparent, iso};
use crate::server::{Answer, Caller};
use crate::store::{Cursor, Entry, Store, StoreError};
use crate::telemetry::Told;

use super::reply;
use super::tokens::Tokens;

/// Most events in one answer; also what one gets without `limit`.
const LIMIT_MAX: usize = 1_000;
/// Longest wait for something new.
const TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// Most polls of one department that may wait at once, where the listener has room for many more.
const POLLS_MAX: usize = 64;

/// Where the feed reads.
pub enum FeedSource {
    /// The embedded log.
    Embedded(Store),
    /// The texts are on Kafka: the answer names the topic.
    Kafka,
}

/// The departments' door.
pub struct Feed {
    pub source: FeedSource,
    pub tokens: Arc<Tokens>,
    pub polls: Polls,
    pub routes: Live,
    pub events: EventSource,
    /// Ends long polls when the process leaves.
    pub drain: CancellationToken,
}

/// How many polls of each department wait.
pub struct Polls(BTreeMap<DepartmentName, Arc<Semaphore>>);

impl Polls {
    /// A share for each: never more than a quarter of the listener's places.
    pub fn new<'a>(departments: impl Iterator<Item = &'a DepartmentName>, connections_max: usize) -> Self {
        let share = (connections_max / 4).clamp(1, POLLS_MAX);
        Self(departments.map(|department| (department.clone(), Arc::new(Semaphore::new(share)))).collect())
    }

    /// A place to wait in, while the department has one left.
    fn place(&self, department: &DepartmentName) -> Option<OwnedSemaphorePermit> {
        self.0.get(department)?.clone().try_acquire_owned().ok()
    }
}

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Query {
    after: Option<EventId>,
    timeout: Duration,
    limit: usize,
}

impl Feed {
    pub async fn messages(&self, name: &str, request: &Request<Incoming>, caller: &Caller) -> Answer {
        // Whether a department exists is told to no stranger.
        let Some(holder) = self.tokens.holder(request.headers()) else { return reply::unauthorized() };
        let Some(department) = holder.of(name) else {
            return reply::text(StatusCode::FORBIDDEN, "this token is for another department\n");
        };
        caller.has_proven_itself();
        let FeedSource::Embedded(store) = &self.source else { return self.on_kafka(department) };
        let query = match parse(request.uri().query().unwrap_or_default()) {
            Ok(query) => query,
            Err(reason) => return reply::text(StatusCode::BAD_REQUEST, format!("{reason}\n")),
        };
        let answer = match cursor(store, department, query.after).await {
            Ok(Some(after)) => self.poll(store, department, after, &query).await,
            Ok(None) => return reply::text(StatusCode::GONE, GONE),
            Err(error) => Err(error),
        };
        answer.unwrap_or_else(|error| {
            static TOLD: Told = Told::new();
            if let Some(untold) = TOLD.is_due("unreadable", Instant::now().into_std()) {
                tracing::error!(%error, untold, "the feed could not be read");
            }
            reply::try_again("the log cannot be read at the moment: try again\n")
        })
    }

    fn on_kafka(&self, department: &DepartmentName) -> Answer {
        let table = self.routes.load();
        let topic = table.topic(department).unwrap_or("none: the routes do not name this department");
        reply::text(StatusCode::NOT_FOUND, format!("texts of {department} are on the Kafka topic {topic}\n"))
    }

    async fn poll(
        &self,
        store: &Store,
        department: &DepartmentName,
        after: Cursor,
        query: &Query,
    ) -> Result<Answer, StoreError> {
        let deadline = Instant::now() + query.timeout;
        let mut appended = store.appended();
        let mut place = None;
        loop {
            // Marked before the read: what is committed while it runs wakes the wait below.
            appended.borrow_and_update();
            let entries = store.read(department.as_str(), after, query.limit).await?;
            let wait = tokio::time::sleep_until(deadline);
            if !entries.is_empty() || Instant::now() >= deadline || self.drain.is_cancelled() {
                return Ok(reply::of(StatusCode::OK, "application/cloudevents-batch+json", self.batch(&entries)));
            }
            place = place.or_else(|| self.polls.place(department));
            if place.is_none() {
                return Ok(reply::try_again(TOO_MANY_POLLS));
            }
            tokio::select! {
                changed = appended.changed() => if changed.is_err() {
                    return Err(StoreError::Closed);
                },
                () = wait => {}
                () = self.drain.cancelled() => {}
            }
        }
    }

    fn batch(&self, entries: &[Entry]) -> Vec<u8> {
        let events: Vec<_> = entries.iter().filter_map(|entry| self.event(entry)).collect();
        serde_json::to_vec(&events).expect("events have only string keys")
    }

    fn event<'a>(&self, entry: &'a Entry) -> Option<CloudEvent<'a>> {
        let data = std::str::from_utf8(&entry.value).ok().and_then(|value| serde_json::from_str(value).ok());
        if data.is_none() {
            // Written by us as JSON and checked by SQLite's page checks: only a damaged file gets here.
            tracing::error!(id = %entry.id, "a stored record is not JSON and was left out of the feed");
        }
        let own_trace = || Cow::Owned(Traceparent::of(entry.id).as_str().to_owned());
        Some(CloudEvent {
            specversion: "1.0",
            id: entry.id,
            source: self.events.of(&entry.account),
            event_type: self.events.event_type(entry.kind),
            subject: &entry.subject,
            time: iso::format(entry.received_at),
            dataschema: self.events.data_schema(entry.kind),
            datacontenttype: "application/json",
            traceparent: entry.traceparent.as_deref().map_or_else(own_trace, Cow::Borrowed),
            data: data?,
        })
    }
}

/// CloudEvents 1.0, JSON format.
#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: EventId,
    source: String,
    #[serde(rename = "type")]
    event_type: String,
    subject: &'a str,
    time: String,
    dataschema: String,
    datacontenttype: &'static str,
    traceparent: Cow<'a, str>,
    data: &'a RawValue,
}

const GONE: &str = "lastEventId is not in the feed any more (entries leave it after the time set): leave it out to start with the oldest entry\n";

const TOO_MANY_POLLS: &str = "nothing is new, and as many polls of this department wait already as may: let one reader poll, or ask again later\n";

/// `None` when the id is not in the feed.
async fn cursor(
    store: &Store,
    department: &DepartmentName,
    after: Option<EventId>,
) -> Result<Option<Cursor>, StoreError> {
    match after {
        None => Ok(Some(Cursor::START)),
        Some(id) => store.cursor_of(department.as_str(), id).await,
    }
}

fn parse(query: &str) -> Result<Query, &'static str> {
    let mut parsed = Query { after: None, timeout: Duration::ZERO, limit: LIMIT_MAX };
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "lastEventId" if value.is_empty() => {}
            "lastEventId" => parsed.after = Some(value.parse().map_err(|_| "lastEventId is an event's id")?),
            "timeout" => {
                let timeout = value.parse().map_err(|_| "timeout is a number of milliseconds")?;
                parsed.timeout = Duration::from_millis(timeout).min(TIMEOUT_MAX);
            }
            "limit" => {
                let limit: usize = value.parse().map_err(|_| "limit is a number of events")?;
                parsed.limit = limit.clamp(1, LIMIT_MAX);
            }
            // Parameters added by proxies and later releases are no reason to refuse.
            _ => {}
        }
    }
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_read_and_bounded() {
        let asked = parse("lastEventId=0192f0c0-0000-7000-8000-000000000001&timeout=5000&limit=7");
        let id = "0192f0c0-0000-7000-8000-000000000001".parse().expect("an id");
        assert_eq!(asked, Ok(Query { after: Some(id), timeout: Duration::from_secs(5), limit: 7 }));
        let standard = Query { after: None, timeout: Duration::ZERO, limit: LIMIT_MAX };
        assert_eq!(parse(""), Ok(standard));
        assert_eq!(parse("timeout=999999999&limit=999999").map(|query| query.timeout), Ok(TIMEOUT_MAX));
        for wrong in ["lastEventId=x", "timeout=-1", "limit=many"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
