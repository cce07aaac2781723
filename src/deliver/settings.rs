//! Where a department's texts go, and how long that is tried.

use std::time::Duration;

use lettre::Address;

use crate::message::Secret;

/// The channels of one department; each has its own progress.
#[derive(Debug, Clone, Default)]
pub struct Delivery {
    pub email: Option<Email>,
    pub push: Option<Push>,
}

/// A department's mailboxes.
#[derive(Debug, Clone)]
pub struct Email {
    /// At least one.
    pub to: Vec<Address>,
    pub reply_to: Option<Address>,
    /// Texts are collected for so long and sent together; `None`: each at once.
    pub digest: Option<Duration>,
    /// Mails in an hour; what comes beyond is collected until the hour is over.
    pub hourly_max: usize,
}

/// A department's own receiver.
#[derive(Debug, Clone)]
pub struct Push {
    /// https, or http to a loopback address.
    pub url: hyper::Uri,
    /// Standard Webhooks (`whsec_…`): all sign, the first first.
    pub secrets: Vec<Secret>,
    pub in_flight_max: usize,
    pub timeout: Duration,
    /// Whether the URL may lead to an address that is not public.
    pub private_network: bool,
    /// PEM; else the authorities that browsers trust.
    pub authorities: Option<Vec<u8>>,
}

/// The server that takes our mails.
#[derive(Debug, Clone)]
pub struct Smtp {
    pub host: String,
    pub port: u16,
    pub tls: SmtpTls,
    pub credentials: Option<(String, Secret)>,
    /// Of every mail, and where bounces go.
    pub from: Address,
    /// PEM; else the authorities that browsers trust.
    pub authorities: Option<Vec<u8>>,
    /// For a connection, and for each answer.
    pub timeout: Duration,
}

/// How the way to the server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// Required, never given up.
    StartTls,
    /// From the first byte.
    Implicit,
    /// Only where the settings say so.
    None,
}

/// How long a text is tried.
#[derive(Debug, Clone, Copy)]
pub struct Retry {
    /// First pause between two tries; doubles, with jitter.
    pub first: Duration,
    pub longest: Duration,
    /// From the first try that failed; then dead-letter.
    pub give_up: Duration,
}
