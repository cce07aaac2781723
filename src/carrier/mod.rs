//! Carriers: bytes of a webhook → the texts in it, and back (`simulate`).
//!
//! Comes in: a request as it was sent, and the account it came to. Goes out: `Inbound` texts, or why
//! not, in words that carry nothing of the content.
//! Always true: what is signed is checked over the bytes received, before anything is parsed; a
//! carrier is one file here and one line in `CARRIERS`.
//! Not here: what becomes of a text, statuses for it, the network.

mod account;
mod authenticate;
mod draft;
mod generic;
mod kannel;
mod request;
mod twilio;

pub use account::{Account, Auth, Parameters};
pub use authenticate::{AuthFailure, authenticate};
pub use draft::{Draft, Signed, SigningError};
pub use request::{Delivery, Malformed, Webhook};

use std::time::Duration;

/// Every carrier this build speaks to. The next one is a file beside these and a line here.
pub static CARRIERS: &[&dyn Carrier] = &[&generic::Generic, &kannel::Kannel, &twilio::Twilio];

/// What a carrier's documents promise and demand; facts, not code.
#[derive(Debug)]
pub struct Contract {
    /// The word for it in the settings.
    pub name: &'static str,
    /// How long the carrier waits for our answer.
    pub deadline: Duration,
    /// Largest body it sends, in bytes; an account may set another.
    pub body_max: usize,
    /// Whether it sends again after a 503. Where it does not, an outage without a journal loses texts.
    pub retries_503: bool,
    /// How it proves itself unless the account says otherwise.
    pub auth: Auth,
    /// Whether its requests name each text, so that a retry is recognised.
    pub identifies: bool,
    /// What a 200 says: content type and body. Empty unless the carrier needs one, since a body
    /// can reach the phone as a text.
    pub reply: Option<(&'static str, &'static str)>,
}

/// One carrier's way of pushing texts.
pub trait Carrier: Sync {
    fn contract(&self) -> &'static Contract;

    /// Checks the carrier's own signature. Called only for accounts whose `auth` is `Signature`.
    fn verify(&self, webhook: &Webhook<'_>, account: &Account) -> Result<(), AuthFailure>;

    /// Reads the texts of an authenticated request.
    fn parse(&self, webhook: &Webhook<'_>, account: &Account) -> Result<Delivery, Malformed>;

    /// Builds the request this carrier would send for a text: `simulate` and the load tests.
    fn compose(&self, draft: &Draft, account: &Account) -> Result<Signed, SigningError>;

    /// Signs a request that was built elsewhere as this carrier would: what `compose` ends with.
    /// For accounts whose proof is not a signature the shared steps add it.
    fn sign(&self, request: &mut Signed, account: &Account, now: crate::message::Timestamp) -> Result<(), SigningError>;
}

/// The carrier of that name in the settings.
pub fn by_name(name: &str) -> Option<&'static dyn Carrier> {
    CARRIERS.iter().copied().find(|carrier| carrier.contract().name == name)
}
