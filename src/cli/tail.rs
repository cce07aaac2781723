//! `tail`: a department's records, one JSON object a line, from the feed or from Kafka.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, HOST};
use hyper::{Request, StatusCode};
use rdkafka::ClientConfig;
use rdkafka::message::Message;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::app::build_table;
use crate::config::{Config, Environment, Publish, SecretsNeeded};
use crate::keyword::Table;
use crate::message::{DepartmentName, topics};
use crate::publish::{self, ReadError, TopicReader};

use super::listener::Own;
use super::{Failure, Outcome, Settings, block_on, print};

/// Records shown without `-n` or `--from-start`, as the Unix tool does.
const COUNT: usize = 10;
/// How long one question to the feed may stay open while following.
const POLL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(45);

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Go on with what arrives
    #[arg(short)]
    follow: bool,
    /// How many of the last records; 10 if left out
    #[arg(short = 'n', value_name = "COUNT")]
    count: Option<usize>,
    /// All records there are
    #[arg(long)]
    from_start: bool,
    department: String,
}

/// The last records asked for, as they come by.
struct Window {
    last: VecDeque<String>,
    /// `None` shows all at once.
    count: Option<usize>,
}

pub fn tail(arguments: &Arguments, environment: &Environment) -> Outcome {
    let config = arguments.settings.load(environment, SecretsNeeded::Must)?;
    let count = match (arguments.count, arguments.from_start) {
        (None, true) => None,
        (count, _) => Some(count.unwrap_or(COUNT)),
    };
    let window = Window { last: VecDeque::new(), count };
    match &config.publish {
        Publish::Local { .. } => block_on(from_feed(arguments, &config, window))?,
        Publish::Kafka { settings, .. } => {
            let topic = topic(arguments, &config)?;
            let read =
                from_kafka(&publish::consumer_config(settings, "sms-router-tail"), &topic, window, arguments.follow);
            read.map_err(|error| match error {
                Unread::Said(failure) => failure,
                Unread::Kafka(error @ ReadError::Missing(_)) => Failure::of(error),
                Unread::Kafka(error) => unanswered(&error, &settings.brokers),
            })
        }
    }
}

impl Window {
    fn take(&mut self, record: String) -> Outcome {
        let Some(count) = self.count else { return print(record) };
        self.last.push_back(record);
        if self.last.len() > count {
            self.last.pop_front();
        }
        Ok(())
    }

    /// What there was is shown; from now on everything is shown as it comes.
    fn open(&mut self) -> Outcome {
        self.count = None;
        self.last.drain(..).try_for_each(print)
    }
}

fn topic(arguments: &Arguments, config: &Config) -> Result<String, Failure> {
    if topics::OWN.contains(&arguments.department.as_str()) {
        return Ok(arguments.department.clone());
    }
    let table = build_table(config).map_err(|problems| Failure::configuration(&problems))?;
    let department = department(&arguments.department)?;
    let topic = table.topic(&department).map(str::to_owned);
    topic.ok_or_else(|| no_such_department(&table, &department))
}

fn no_such_department(table: &Table, department: &DepartmentName) -> Failure {
    let names: Vec<&str> = table.departments().iter().map(|department| department.name.as_str()).collect();
    Failure::of(format!("the routes name no department {department}; there are: {}", names.join(", ")))
}

/// A department without a token may be none at all.
fn without_token(config: &Config, department: &DepartmentName) -> Failure {
    match build_table(config) {
        Ok(table) if table.topic(department).is_none() => no_such_department(&table, department),
        _ => Failure::of(format!("the settings have no token for {department}: add [departments.{department}] tokens")),
    }
}

fn department(name: &str) -> Result<DepartmentName, Failure> {
    DepartmentName::parse(name).map_err(|error| Failure::usage(error.to_string()))
}

/// One event of the feed, as far as it is needed here.
#[derive(Deserialize)]
struct FeedEvent {
    id: String,
    data: Box<RawValue>,
}

async fn from_feed(arguments: &Arguments, config: &Config, mut window: Window) -> Outcome {
    let department = department(&arguments.department)?;
    let token = config.departments.get(&department).and_then(|tokens| tokens.first());
    let token = token.ok_or_else(|| without_token(config, &department))?;
    if config.api.listener.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()) {
        return Err(Failure::of(
            "the api listener wants a certificate of every client (api.tls.client_ca), and tail has none: read the feed with curl --cert instead",
        ));
    }
    let api = Own::of(config, &config.api.listener, "api")?;
    let bearer = format!("Bearer {}", String::from_utf8_lossy(&token.bytes()));
    let (mut last, mut caught_up) = (String::new(), false);
    loop {
        let wait = if caught_up { POLL } else { Duration::ZERO };
        let path = format!("/v1/departments/{department}/messages?lastEventId={last}&timeout={}", wait.as_millis());
        let events = ask(&api, &path, &bearer).await?;
        for event in &events {
            window.take(event.data.get().to_owned())?;
        }
        match events.into_iter().next_back() {
            Some(event) => last = event.id,
            None if !caught_up => {
                window.open()?;
                caught_up = true;
            }
            None => {}
        }
        if caught_up && !arguments.follow {
            return Ok(());
        }
    }
}

async fn ask(api: &Own, path: &str, bearer: &str) -> Result<Vec<FeedEvent>, Failure> {
    let request = Request::get(path).header(HOST, api.authority()).header(AUTHORIZATION, bearer);
    let request = request.body(Full::<Bytes>::default()).map_err(Failure::of)?;
    let answer = api.send(request, TIMEOUT).await?;
    if answer.status() != StatusCode::OK {
        let said = String::from_utf8_lossy(answer.body()).trim().to_owned();
        return Err(Failure::of(format!("the feed answered {}: {said}", answer.status())));
    }
    serde_json::from_slice(answer.body())
        .map_err(|error| Failure::of(format!("the feed's answer is not a feed: {error}")))
}

/// Why records of a topic were not shown.
enum Unread {
    Kafka(ReadError),
    Said(Failure),
}

impl From<ReadError> for Unread {
    fn from(error: ReadError) -> Self {
        Self::Kafka(error)
    }
}

impl From<Failure> for Unread {
    fn from(failure: Failure) -> Self {
        Self::Said(failure)
    }
}

fn unanswered(error: &ReadError, brokers: &str) -> Failure {
    Failure::of(format!(
        "{error}; asked were {brokers} (publish.brokers): do they run, can this machine reach them, and do publish.user, its password and publish.properties fit?"
    ))
}

/// Reads without a group, so nobody's offsets move.
fn from_kafka(config: &ClientConfig, topic: &str, mut window: Window, follow: bool) -> Result<(), Unread> {
    let mut reader = TopicReader::open(config, topic)?;
    let mut opened = false;
    loop {
        if !opened && reader.is_at_end() {
            window.open()?;
            opened = true;
        }
        if opened && !follow {
            return Ok(());
        }
        if let Some(message) = reader.poll(Duration::from_millis(200)).map_err(ReadError::from)? {
            window.take(String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned())?;
        }
    }
}
