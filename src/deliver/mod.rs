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
pub mod kafka;
mod lane;
mod letter;
mod settings;

pub use lane::{Done, Lane};
pub use letter::Letter;
pub use settings::{Delivery, Email, Push, Retry, Smtp, SmtpTls};

use std::collections::BTreeMap;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
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

/// The lanes of a process.
pub struct Lanes(BTreeMap<(DepartmentName, Channel), Lane>);

impl Lanes {
    /// Starts a lane for each department and channel of the settings.
    pub fn start(settings: &Settings, parts: &Parts) -> Result<Self, DeliverError> {
        let channels = |delivery: &Delivery| {
            [delivery.email.is_some().then_some(Channel::Email), delivery.push.is_some().then_some(Channel::Push)]
        };
        let lanes = settings.departments.iter().flat_map(|(department, delivery)| {
            let lane = |channel| ((department.clone(), channel), Lane::start(department.clone(), channel, parts));
            channels(delivery).into_iter().flatten().map(lane)
        });
        Ok(Self(lanes.collect()))
    }

    pub fn lane(&self, department: &DepartmentName, channel: Channel) -> Option<&Lane> {
        self.0.get(&(department.clone(), channel))
    }

    /// Those of one channel.
    pub fn of(&self, channel: Channel) -> impl Iterator<Item = (&DepartmentName, &Lane)> {
        self.0.iter().filter(move |((_, of), _)| *of == channel).map(|((department, _), lane)| (department, lane))
    }
}
