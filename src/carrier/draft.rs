//! A text as someone wants to send it, and the request its carrier would make of it.
//!
//! Comes in: what to say to whom. Goes out: method, query, headers and body, ready to be posted.
//! Always true: `Debug` of neither shows a number, a text or a proof.
//! Not here: how each carrier writes it (its own file), proofs (`proof`), the network.

use std::fmt;

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

impl Signed {
    /// A POST without a query.
    pub(super) fn post(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![("content-type".to_owned(), content_type.to_owned())];
        Self { method: hyper::Method::POST, path_secret: None, query: String::new(), headers, body: body.into() }
    }

    /// A GET without headers; its query is encoded already.
    pub(super) fn get(query: String) -> Self {
        Self { method: hyper::Method::GET, path_secret: None, query, headers: Vec::new(), body: Vec::new() }
    }

    /// A header's value, its name in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut named = self.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
        named.next().map(|(_, value)| value.as_str())
    }

    /// Adds one parameter, already encoded, at the end of the query.
    pub(super) fn append_query(&mut self, parameter: &str) {
        if !self.query.is_empty() {
            self.query.push('&');
        }
        self.query.push_str(parameter);
    }
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft").field("part", &self.part).field("now", &self.now).finish_non_exhaustive()
    }
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed")
            .field("method", &self.method)
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// Why no request could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SigningError {
    #[error("account {0} has no secret to sign with")]
    NoSecret(crate::message::AccountName),
    #[error("a secret of account {0} is not of this carrier's form: {1}")]
    BadSecret(crate::message::AccountName, &'static str),
    #[error("{0} signs with a private key of its own: to be it, name a file that holds one (--signing-key FILE)")]
    NoSigningKey(&'static str),
    #[error("the signing key cannot be used: {0}")]
    BadSigningKey(&'static str),
    #[error("{0} cannot carry this text: {1}")]
    Unsupported(&'static str, &'static str),
}

impl SigningError {
    /// More parameters than are read of a request: nobody would believe a signature over them.
    pub(super) fn too_many_parameters(carrier: &'static str) -> Self {
        Self::Unsupported(carrier, "its request would have more than 500 parameters")
    }
}
