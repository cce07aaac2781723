//! A text as someone wants to send it, and the request its carrier would make of it.

use crate::message::{Part, Timestamp};

/// What `simulate` and the load tests want to push.
#[derive(Clone)]
pub struct Draft {
    pub id: String,
    pub from: String,
    pub to: String,
    pub text: String,
    pub part: Option<Part>,
    pub now: Timestamp,
}

/// A request ready to be sent to the account's URL.
#[derive(Clone)]
pub struct Signed {
    pub method: hyper::Method,
    /// Appended to the path where the account's proof is a path secret, as written there.
    pub path_secret: Option<String>,
    /// Without the `?`; empty for none.
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Why no request could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    #[error("account {0} has no secret to sign with")]
    NoSecret(crate::message::AccountName),
    #[error("a secret of account {0} is not of this carrier's form: {1}")]
    BadSecret(crate::message::AccountName, &'static str),
    #[error("{0} cannot carry this text: {1}")]
    Unsupported(&'static str, &'static str),
}
