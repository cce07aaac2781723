//! Departments without Kafka: texts on the log → e-mails and pushes.
//!
//! Comes in: letters, each department's in the order of its log. Goes out: mails to an SMTP server, signed requests
//! to a department's URL; to dead-letter what nobody takes; word of each letter that is done.
//! Always true: a letter is done only after its destination, or dead-letter, has it; texts of one sender arrive in
//! their order; one department's destination holds up no other's; what a lane holds is bounded by its feeder.
//! Not here: what texts are (`message`), which topic is whose (`keyword`).
//!
//! ```text
//! feeder ─→ lane of (department, channel) ─┬─ e-mail ─→ the SMTP server, one for all
//!   ↑                                      ├─ push ───→ the department's URL
//!   └──────────── done ────────────────────┴─ nobody takes it ─→ dead-letter
//! ```

pub mod embedded;
mod health;
pub mod kafka;
mod lane;
mod letter;
mod mail;
mod parcel;
mod push;
mod retry;
mod senders;
mod settings;
#[cfg(test)]
mod tests;
mod undelivered;

pub use lane::{Done, Lane};
pub use letter::Letter;
pub use settings::{Delivery, Email, Push, Retry, Smtp, SmtpTls};

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use health::Health;
use lane::{Destination, Plan};

use crate::clock::Clock;
use crate::fetch::FetchError;
use crate::log::Log;
use crate::message::{DepartmentName, EventSource, SenderKey};
use crate::telemetry::Metrics;

/// How a department gets its texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Channel {
    Email,
    Push,
}

impl Channel {
    pub const ALL: [Self; 2] = [Self::Email, Self::Push];

    pub fn label(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Push => "push",
        }
    }
}

/// Where to, and how patiently.
#[derive(Debug, Clone)]
pub struct Settings {
    pub departments: BTreeMap<DepartmentName, Delivery>,
    /// There wherever a department has e-mail.
    pub smtp: Option<Smtp>,
    pub retry: Retry,
}

/// What lanes work with.
#[derive(Clone)]
pub struct Parts {
    /// For what nobody takes.
    pub log: Log,
    /// The host of our messages' ids is that of the public URL.
    pub source: EventSource,
    pub sender_key: SenderKey,
    pub clock: Clock,
    pub metrics: Metrics,
    pub tasks: TaskTracker,
    /// Ends the lanes: what is on its way may finish within a bound, the rest is dropped undone.
    pub stop: CancellationToken,
}

/// Why lanes cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DeliverError {
    /// The settings are wrong: authorities that are none, a host that is no name.
    #[error("departments.{department}: {reason}")]
    Destination { department: DepartmentName, reason: String },
    #[error("smtp: {0}")]
    Smtp(String),
}

/// Mails of one department on their way at once; all departments share the server's connections.
const MAILS_MAX: usize = 4;
/// Pushes that fail in a row until there is one try at a time.
const PUSH_FAILURES_MAX: u32 = 5;

/// The lanes of a process.
pub struct Lanes {
    all: BTreeMap<(DepartmentName, Channel), Lane>,
    retry: Retry,
    parts: Parts,
}

impl Lanes {
    /// Starts a lane for each department and channel of the settings.
    pub fn start(settings: &Settings, parts: &Parts) -> Result<Self, DeliverError> {
        let host = host_of(&parts.source.origin);
        let office = settings.smtp.as_ref().map(|smtp| Office::new(smtp, host, settings.retry)).transpose()?;
        let mut plans = Vec::new();
        for (department, delivery) in &settings.departments {
            if let Some(email) = &delivery.email {
                let missing = || DeliverError::Smtp("is missing: a department has e-mail".to_owned());
                plans.push(office.as_ref().ok_or_else(missing)?.plan(department, email));
            }
            if let Some(push) = &delivery.push {
                plans.push(plan_of_push(department, push, settings.retry, parts)?);
            }
        }
        let start = |plan: Plan| ((plan.department.clone(), plan.channel), Lane::start(plan, parts));
        Ok(Self { all: plans.into_iter().map(start).collect(), retry: settings.retry, parts: parts.clone() })
    }

    pub fn lane(&self, department: &DepartmentName, channel: Channel) -> Option<&Lane> {
        self.all.get(&(department.clone(), channel))
    }

    /// Those of one channel.
    pub fn of(&self, channel: Channel) -> impl Iterator<Item = (&DepartmentName, &Lane)> {
        self.all.iter().filter(move |((_, of), _)| *of == channel).map(|((department, _), lane)| (department, lane))
    }
}

impl Lanes {
    /// A letter that no lane is for: dead-letter keeps it, however long that takes to succeed, and then it is done.
    fn refuse(&self, letter: Letter, channel: Channel, detail: &'static str, done: Done) {
        let (parts, retry) = (self.parts.clone(), self.retry);
        let labels = [letter.record.department.as_str(), channel.label(), "failed"];
        parts.metrics.deliveries.with_label_values(&labels).inc();
        let stop = parts.stop.clone();
        let buried = async move {
            keep_burying(&letter, channel, detail, &parts, retry).await;
            done();
        };
        self.parts.tasks.spawn(async move { stop.run_until_cancelled(buried).await });
    }
}

async fn keep_burying(letter: &Letter, channel: Channel, detail: &str, parts: &Parts, retry: Retry) {
    let place = (letter.record.department.clone(), channel);
    let bury = || lane::bury(vec![letter.clone()], detail.to_owned(), parts.clone(), place.clone());
    let mut failures = 0;
    while bury().await.is_err() {
        failures += 1;
        tokio::time::sleep(retry.pause(failures)).await;
    }
}

/// What the mails of all departments have in common.
struct Office {
    server: Arc<mail::Server>,
    health: Arc<Health>,
    from: lettre::Address,
    host: String,
    retry: Retry,
}

impl Office {
    fn new(smtp: &Smtp, host: &str, retry: Retry) -> Result<Self, DeliverError> {
        let is_of_a_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_of_a_host) {
            return Err(DeliverError::Smtp("inbound.url has no host that the ids of mails could end with".to_owned()));
        }
        let server = Arc::new(mail::Server::new(smtp, host)?);
        // One failure is enough: every mail goes through that server.
        Ok(Self { server, health: Health::new(1, retry), from: smtp.from.clone(), host: host.to_owned(), retry })
    }

    fn plan(&self, department: &DepartmentName, email: &Email) -> Plan {
        let composer = mail::Composer {
            department: department.clone(),
            from: self.from.clone(),
            email: email.clone(),
            host: self.host.clone(),
        };
        Plan {
            department: department.clone(),
            channel: Channel::Email,
            destination: Arc::new(Destination::Mail(mail::Mailer { composer, server: self.server.clone() })),
            collector: Some(mail::Collector::new(email)),
            health: self.health.clone(),
            retry: self.retry,
            in_flight_max: MAILS_MAX,
        }
    }
}

fn plan_of_push(department: &DepartmentName, push: &Push, retry: Retry, parts: &Parts) -> Result<Plan, DeliverError> {
    let health = Health::new(PUSH_FAILURES_MAX, retry);
    let pusher = push::Pusher::new(push, parts.clock.clone(), health.clone());
    let refuse =
        |error: FetchError| DeliverError::Destination { department: department.clone(), reason: error.to_string() };
    Ok(Plan {
        department: department.clone(),
        channel: Channel::Push,
        destination: Arc::new(Destination::Push(Box::new(pusher.map_err(refuse)?))),
        collector: None,
        health,
        retry,
        in_flight_max: push.in_flight_max,
    })
}

/// The host of a URL without a path: what our messages' ids end with, and what we call ourselves.
fn host_of(origin: &str) -> &str {
    let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.split(':').next().unwrap_or(authority),
    }
}
