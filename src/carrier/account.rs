//! An account with a carrier: how its requests prove themselves and how they are read.
//!
//! Comes in: typed values from the settings. Goes out: what `authenticate`, `parse` and `prove` ask.
//! Always true: `Debug` shows neither secrets nor the URL, whose path may hold one.
//! Not here: reading settings, defaults of the URL.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::{Carrier, Certificates, Declaration, Reply};
use crate::message::{AccountName, Country, Number, Secret, Timestamp};

/// Before a carrier's deadline, so that our answer still reaches it.
const DEADLINE_RESERVE: Duration = Duration::from_millis(500);

/// How an account's requests prove where they come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// The carrier's own signature.
    Signature,
    /// HTTP Basic; each secret is `user:password`.
    Basic,
    /// `Authorization: Bearer SECRET`.
    Bearer,
    /// `/inbound/{account}/{secret}`.
    Path,
    /// `?secret=SECRET`.
    Query,
    /// Nothing but the address it comes from (`allow`), or nothing at all (`unauthenticated = true`).
    None,
}

impl Auth {
    /// The word for it in the settings.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "signature" => Some(Self::Signature),
            "basic" => Some(Self::Basic),
            "bearer" => Some(Self::Bearer),
            "path" => Some(Self::Path),
            "query" => Some(Self::Query),
            "none" => Some(Self::None),
            _ => None,
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Self::Signature => "signature",
            Self::Basic => "basic",
            Self::Bearer => "bearer",
            Self::Path => "path",
            Self::Query => "query",
            Self::None => "none",
        }
    }
}

/// Names of query or form parameters, for carriers where the operator chooses them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    pub sender: String,
    pub to: String,
    pub message: String,
    pub ts: String,
    pub id: String,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            sender: "sender".to_owned(),
            to: "to".to_owned(),
            message: "message".to_owned(),
            ts: "ts".to_owned(),
            id: "id".to_owned(),
        }
    }
}

/// One configured account.
#[derive(Clone)]
pub struct Account {
    pub name: AccountName,
    pub carrier: &'static dyn Carrier,
    pub auth: Auth,
    /// Several at once, for rotation: any of them proves a request.
    pub secrets: Vec<Secret>,
    /// The whole public URL up to the query, exactly as the carrier calls it: signatures cover it.
    pub url: String,
    /// Addresses that may call; empty means any.
    pub allow: Vec<IpNet>,
    /// Whose national numbers the carrier sends.
    pub country: Country,
    /// The number texted, for carriers that do not name it.
    pub number: Option<Number>,
    /// Set when the operator names parameters in the carrier's own settings.
    pub parameters: Parameters,
    /// Largest body taken, in bytes.
    pub body_max: usize,
    /// How far a signed time may be from ours, either way; `None`: no time is signed, or it does not matter.
    pub window: Option<Duration>,
    /// Until then a request whose signature fails is let in and flagged; `None`: none is.
    pub monitor_until: Option<Timestamp>,
    /// The carrier's own settings (`Contract::keys`), as far as they are set.
    pub keys: BTreeMap<&'static str, String>,
    /// Where the operator declares the carrier.
    pub declaration: Option<Arc<Declaration>>,
    /// For carriers whose requests name a certificate: what is held of those.
    pub certificates: Certificates,
    /// The carrier's half of a pair of keys, to be it in `simulate`; `serve` never reads one.
    pub signing_key: Option<Secret>,
}

impl Account {
    /// An account of which nothing more is set than this: no addresses, British numbers, the contract's
    /// own limits.
    pub fn new(
        name: AccountName,
        carrier: &'static dyn Carrier,
        auth: Auth,
        secrets: Vec<Secret>,
        url: impl Into<String>,
    ) -> Self {
        Self {
            name,
            carrier,
            auth,
            secrets,
            url: url.into(),
            allow: Vec::new(),
            country: Country::GB,
            number: None,
            parameters: Parameters::default(),
            body_max: carrier.contract().body_max,
            window: carrier.contract().window,
            monitor_until: None,
            keys: BTreeMap::new(),
            declaration: None,
            certificates: Certificates::default(),
            signing_key: None,
        }
    }

    /// Whether signatures are only watched at that time: what fails is let in.
    pub fn is_monitored(&self, at: Timestamp) -> bool {
        self.auth == Auth::Signature && self.monitor_until.is_some_and(|until| at < until)
    }

    /// How long its carrier waits for an answer, our own way there and back taken off.
    pub fn patience(&self) -> Duration {
        self.carrier.contract().deadline.saturating_sub(DEADLINE_RESERVE)
    }

    /// What one of the carrier's own settings says.
    pub fn key(&self, name: &str) -> Option<&str> {
        self.keys.get(name).map(String::as_str)
    }

    /// What the operator has declared that a 200 says.
    pub fn declared_reply(&self) -> Option<&Reply> {
        self.declaration.as_ref()?.reply.as_ref()
    }
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .field("carrier", &self.carrier.contract().name)
            .field("auth", &self.auth)
            .finish_non_exhaustive()
    }
}
