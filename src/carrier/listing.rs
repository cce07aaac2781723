//! What a carrier's own API tells of the texts it received: for those whose webhooks never reached us.
//!
//! Comes in: the account's access to the API, answers as bytes. Goes out: what to ask, in turn; the
//! texts of each answer; and the webhook each text would have been.
//! Always true: no input or output here; what is asked is a path of the API's own host, whatever an
//! answer says; a text relayed has the id, the numbers and the words its webhook would have had;
//! `Debug` shows none of them.
//! Not here: the network, which texts are known already, when to ask again.

use std::fmt;
use std::time::Duration;

use super::{Account, Signed, SigningError, prove};
use crate::message::{Media, Number, Secret, Timestamp};

/// How to ask a carrier's own API: `[accounts.NAME.api]`.
#[derive(Debug, Clone)]
pub struct ApiAccess {
    /// Scheme, host and port.
    pub url: String,
    /// The account's name at the carrier, where the API asks for it.
    pub account: Option<String>,
    /// Who asks, where that is not the account itself.
    pub user: Option<String>,
    pub key: Secret,
    /// Only texts to these; empty means to any.
    pub numbers: Vec<Number>,
    /// PEM of the authorities that vouch for the API; `None` for those browsers trust.
    pub authorities: Option<Vec<u8>>,
}

/// One text that the carrier says it received.
#[derive(Clone)]
pub struct Listed {
    /// The carrier's id of it, the same as in its webhook.
    pub id: String,
    pub from: String,
    pub to: String,
    /// UTF-8, or what could not be made so.
    pub text: Vec<u8>,
    /// The carrier's time; `None` when it cannot be read.
    pub sent_at: Option<Timestamp>,
    /// How many pieces the carrier joined.
    pub segments: u16,
    pub media: Vec<Media>,
    /// What to ask for the rest of it (pictures); `None` when it is whole.
    pub more: Option<String>,
}

/// One answer of the API, read.
#[derive(Debug, Default)]
pub struct Page {
    /// Newest first, as carriers list them; none from before the time asked for.
    pub texts: Vec<Listed>,
    /// Texts that the carrier itself has not wholly received.
    pub unfinished: usize,
    /// What to ask next.
    pub next: Option<String>,
}

/// Why an answer could not be used: a sentence that carries nothing of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the carrier's answer cannot be read: {0}")]
pub struct Unreadable(pub &'static str);

/// One carrier's way of listing the texts it received. What is asked is the path and query of a GET.
pub trait Listing: Sync {
    /// Where the API is unless the settings say otherwise.
    fn url(&self) -> &'static str;

    /// How far back it tells, where its documents say.
    fn reach(&self) -> Option<Duration>;

    /// Whether the settings suffice; if not, which key and what is wrong. `key` is looked at when given.
    fn check(&self, account: Option<&str>, key: Option<&Secret>) -> Result<(), (&'static str, &'static str)>;

    /// The `Authorization` of one request that is made now.
    fn authorization(&self, access: &ApiAccess, now: Timestamp) -> String;

    /// What to ask first: one line of pages each.
    fn first(&self, access: &ApiAccess, since: Timestamp) -> Vec<String>;

    /// Reads one page.
    fn read(&self, query: &Query<'_>, answer: &[u8]) -> Result<Page, Unreadable>;

    /// Adds what `Listed::more` asked for.
    fn complete(&self, access: &ApiAccess, text: &mut Listed, answer: &[u8]) -> Result<(), Unreadable>;

    /// The webhook of that text, as the carrier would have sent it, without any proof.
    fn webhook(&self, text: &Listed, access: &ApiAccess) -> Signed;
}

/// What is wanted of the API.
pub struct Query<'a> {
    pub account: &'a Account,
    pub access: &'a ApiAccess,
    pub since: Timestamp,
}

impl Query<'_> {
    /// Whether a text is among those wanted. One whose time cannot be read is: better asked twice than lost.
    pub(super) fn wants(&self, text: &Listed) -> bool {
        let is_new = text.sent_at.is_none_or(|sent_at| sent_at >= self.since);
        let to = Number::normalise(&text.to, self.account.country);
        is_new && (self.access.numbers.is_empty() || self.access.numbers.contains(&to))
    }
}

/// The webhook of a listed text, proven as the account asks.
pub fn relay(
    listing: &dyn Listing,
    text: &Listed,
    account: &Account,
    access: &ApiAccess,
    now: Timestamp,
) -> Result<Signed, SigningError> {
    let mut request = listing.webhook(text, access);
    prove(&mut request, account, now)?;
    Ok(request)
}

impl fmt::Debug for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listed").field("id", &self.id).field("sent_at", &self.sent_at).finish_non_exhaustive()
    }
}
