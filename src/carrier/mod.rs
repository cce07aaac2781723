//! Carriers: bytes of a webhook → the texts in it, and back (`simulate`, `backfill`).
//!
//! Comes in: a request as it was sent, and the account it came to. Goes out: `Inbound` texts, or why
//! not, in words that carry nothing of the content.
//! Always true: what is signed is checked over the bytes received, before anything is parsed; a
//! carrier is one file or declaration in `adapters` and one line in its `CARRIERS`; no input makes a panic, and
//! none costs more than linear time (a form's signature sorts its parameters' names besides).
//! Not here: what becomes of a text, statuses for it, the network: what must be asked of a carrier's server
//! (a certificate, a subscription's confirmation) the door asks.
//!
//! ```text
//! request ─→ proof ──believed──→ adapters ─→ Delivery      draft ─→ adapters ─→ proof ─→ Signed
//!              │                    └─ reading                      (`simulate`, `backfill`)
//!              └─ not ─→ diagnosis: why a captured request is not believed (`verify`)
//! ```
//!
//! Here beside them stands what all carriers speak of: `account`, `request`, `draft`, `listing` (texts that a
//! carrier's API lists), `Contract` and `Carrier`.

mod account;
mod adapters;
mod diagnosis;
mod draft;
mod listing;
mod proof;
mod reading;
mod request;
#[cfg(test)]
mod tests;

pub use account::{Account, Auth, Parameters};
pub use adapters::{
    CARRIERS, Declaration, Escapes, FORM, Format, Reply, Words, by_name, check_time_form, standard_webhooks,
    string_to_sign,
};
pub use diagnosis::{Capture, Diagnosis, Finding, Names, NotARequest, Question, diagnose};
pub use draft::{Draft, Signed, SigningError};
pub use listing::{ApiAccess, Listed, Listing, Page, Query, Unreadable, relay};
pub use proof::authenticate::{Admission, AuthFailure, admit, authenticate, authenticate_head};
#[cfg(test)]
pub(crate) use proof::certificates;
pub use proof::certificates::{Certificate, Certificates, HELD_MAX};
pub use proof::{check_secret, jwt, prove};
pub use reading::charset::is_known as is_known_charset;
pub use reading::fields::Case;
pub use request::{Delivery, Malformed, Webhook};

use std::time::Duration;

use hyper::Method;

use crate::message::{Secret, Timestamp};

/// What a carrier's documents promise and demand; facts, not code.
#[derive(Debug)]
pub struct Contract {
    /// The word for it in the settings.
    pub name: &'static str,
    /// The methods it calls with; any other is refused before the body is read.
    pub methods: &'static [Method],
    /// How long the carrier waits for our answer.
    pub deadline: Duration,
    /// Largest body it sends, in bytes; an account may set another.
    pub body_max: usize,
    /// Whether it sends again after a 503. Where it does not, an outage without a journal loses texts.
    pub retries_503: bool,
    /// How it proves itself unless the account says otherwise.
    pub auth: Auth,
    /// Whether it has a signature of its own: without one an account cannot ask for `Auth::Signature`.
    pub signs: bool,
    /// Whether a certificate that its requests name proves them (`Account::certificates`), and no secret.
    pub certificates: bool,
    /// The headers its signature may be in, of which a proven request has one; none where it is elsewhere.
    pub signature_headers: &'static [&'static str],
    /// How far the time that its signature covers may be from ours, either way, unless the account says
    /// otherwise: as far as its own retries reach. `None` where no time is signed.
    pub window: Option<Duration>,
    /// Settings of its own, beyond those that every account has.
    pub keys: &'static [Key],
    /// Whether its requests always name each text, so that a retry is recognised.
    pub identifies: bool,
    /// Whether its requests name the number texted; where they do not, the account's `number` stands in.
    pub names_number: bool,
    /// What a 200 says: content type and body. Empty unless the carrier needs one, since a body
    /// can reach the phone as a text.
    pub reply: Option<(&'static str, &'static str)>,
}

impl Contract {
    /// What an adapter need not say again: POST, 64 KiB, 15 s, nothing signed, an id, an empty answer.
    pub const USUAL: Self = Self {
        name: "",
        methods: &[Method::POST],
        deadline: Duration::from_secs(15),
        body_max: 64 * 1024,
        retries_503: true,
        auth: Auth::Path,
        signs: false,
        certificates: false,
        signature_headers: &[],
        window: None,
        keys: &[],
        identifies: true,
        names_number: true,
        reply: None,
    };
}

/// A setting that accounts of one carrier have: a word, or `true` and `false`.
#[derive(Debug)]
pub struct Key {
    pub name: &'static str,
    /// What is wrong with a value, if anything.
    pub check: fn(&str) -> Result<(), &'static str>,
}

/// One carrier's way of pushing texts.
pub trait Carrier: Sync {
    fn contract(&self) -> &'static Contract;

    /// Reads the texts of an authenticated request.
    fn parse(&self, webhook: &Webhook<'_>, account: &Account) -> Result<Delivery, Malformed>;

    /// Builds the request this carrier would send for a text, without any proof.
    fn unsigned(&self, draft: &Draft, account: &Account) -> Result<Signed, SigningError>;

    /// Checks the carrier's own signature. Called only for accounts whose `auth` is `Signature`.
    fn verify(&self, _webhook: &Webhook<'_>, _account: &Account) -> Result<(), AuthFailure> {
        Err(AuthFailure::Missing)
    }

    /// Where the certificate is that a request names, if it may be asked for there. Called only where
    /// `verify` found that it is not here.
    fn certificate_url(&self, _webhook: &Webhook<'_>) -> Option<String> {
        None
    }

    /// Signs a request as this carrier would. Called only for accounts whose `auth` is `Signature`.
    fn sign(&self, _request: &mut Signed, _account: &Account, _now: Timestamp) -> Result<(), SigningError> {
        Err(SigningError::Unsupported(self.contract().name, "it has no signature"))
    }

    /// Whether a secret of the settings can be one of this carrier's signing secrets; if not, what is wrong.
    fn check_secret(&self, _secret: &Secret) -> Result<(), &'static str> {
        Ok(())
    }

    /// Whether the account's settings fit one another; if not, which key is wrong and what is wrong with it.
    fn check_account(&self, _account: &Account) -> Result<(), (&'static str, &'static str)> {
        Ok(())
    }

    /// The carrier's own API, where it lists the texts it received.
    fn listing(&self) -> Option<&'static dyn Listing> {
        None
    }

    /// Builds and proves the request this carrier would send for a text: `simulate` and the load tests.
    fn compose(&self, draft: &Draft, account: &Account) -> Result<Signed, SigningError> {
        let mut request = self.unsigned(draft, account)?;
        prove(&mut request, account, draft.now)?;
        Ok(request)
    }
}
