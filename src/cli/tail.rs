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
use crate::message::{DepartmentName, topics};
use crate::publish::{self, TopicReader};
use crate::server::client;

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
            from_kafka(&publish::consumer_config(settings, "sms-router-tail"), &topic, window, arguments.follow)
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
    topic.ok_or_else(|| Failure::of(format!("the routes name no department {department}")))
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
    let token = token.ok_or_else(|| {
        Failure::of(format!("the settings have no token for {department}: add [departments.{department}] tokens"))
    })?;
    if config.api.listener.tls.is_some() {
        return Err(Failure::of(
            "the api listener speaks TLS and tail does not: read the feed with curl --cacert instead",
        ));
    }
    let bearer = format!("Bearer {}", String::from_utf8_lossy(&token.bytes()));
    let authority = client::reachable(config.api.listener.listen).to_string();
    let (mut last, mut caught_up) = (String::new(), false);
    loop {
        let wait = if caught_up { POLL } else { Duration::ZERO };
        let path = format!("/v1/departments/{department}/messages?lastEventId={last}&timeout={}", wait.as_millis());
        let events = ask(&authority, &path, &bearer).await?;
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

async fn ask(authority: &str, path: &str, bearer: &str) -> Result<Vec<FeedEvent>, Failure> {
    let request = Request::get(path).header(HOST, authority).header(AUTHORIZATION, bearer);
    let request = request.body(Full::<Bytes>::default()).map_err(Failure::of)?;
    let answer = client::send(authority, request, TIMEOUT).await.map_err(Failure::of)?;
    if answer.status() != StatusCode::OK {
        let said = String::from_utf8_lossy(answer.body()).trim().to_owned();
        return Err(Failure::of(format!("the feed answered {}: {said}", answer.status())));
    }
    serde_json::from_slice(answer.body())
        .map_err(|error| Failure::of(format!("the feed's answer is not a feed: {error}")))
}

/// Reads without a group, so nobody's offsets move.
fn from_kafka(config: &ClientConfig, topic: &str, mut window: Window, follow: bool) -> Outcome {
    let mut reader = TopicReader::open(config, topic).map_err(Failure::of)?;
    let mut opened = false;
    loop {
        if !opened && reader.is_at_end() {
            window.open()?;
            opened = true;
        }
        if opened && !follow {
            return Ok(());
        }
        if let Some(message) = reader.poll(Duration::from_millis(200)).map_err(Failure::of)? {
            window.take(String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned())?;
        }
    }
}
