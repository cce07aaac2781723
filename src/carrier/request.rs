//! A webhook as it came, and what was found in it.
//!
//! Comes in: the pieces of one HTTP request, borrowed. Goes out: its texts, or why there are none.
//! Always true: nothing here changes a byte of the request.
//! Not here: reading the request from the network, answering it.

use std::net::IpAddr;

use hyper::header::{AsHeaderName, CONTENT_TYPE};
use hyper::{HeaderMap, Method};

use crate::message::{Inbound, Timestamp};

/// One request to `/inbound/{account}`, unchanged: signatures cover its bytes.
#[derive(Clone, Copy)]
pub struct Webhook<'a> {
    pub method: &'a Method,
    /// After the `?`, as written; empty when there is none.
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    /// The second segment of the path, where there is one, as written.
    pub path_secret: Option<&'a str>,
    pub peer: IpAddr,
    /// Our clock at receipt.
    pub received_at: Timestamp,
}

impl<'a> Webhook<'a> {
    /// A header's value when it is there once and is text: of two nobody knows which one counts. A name that is a
    /// constant need not be parsed, which is most of the work.
    pub fn header(&self, name: impl AsHeaderName) -> Option<&'a str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?;
        if values.next().is_some() {
            return None;
        }
        value.to_str().ok()
    }

    /// `Content-Type` without its parameters; empty when there is none.
    pub fn media_type(&self) -> &'a str {
        let whole = self.header(CONTENT_TYPE).unwrap_or_default();
        whole.split(';').next().unwrap_or_default().trim()
    }

    /// The `charset` that `Content-Type` names, without quotes.
    pub fn charset(&self) -> Option<&'a str> {
        self.header(CONTENT_TYPE)?.split(';').skip(1).find_map(|parameter| {
            let (name, value) = parameter.split_once('=')?;
            name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
        })
    }

    /// Whether the body is JSON by its type, or, as senders name types without looking, by how it begins.
    pub fn looks_like_json(&self) -> bool {
        let is_named = self.media_type().to_ascii_lowercase().ends_with("json");
        is_named || self.body.trim_ascii_start().starts_with(b"{") || self.body.trim_ascii_start().starts_with(b"[")
    }

    /// Whether the body is a form, which is also what a body without a type is taken for.
    pub fn is_form(&self) -> bool {
        is_form(self.media_type())
    }
}

/// Whether a media type is that of an HTML form, or none at all.
pub(super) fn is_form(media_type: &str) -> bool {
    media_type.is_empty() || media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}

/// What a well-formed request holds.
#[derive(Debug)]
pub enum Delivery {
    /// One or more texts.
    Texts(Vec<Inbound>),
    /// Nothing to route: a probe, a receipt. Counted under the word and answered 200.
    Nothing(&'static str),
    /// Whoever sends here asks whether it may. Asking this URL says yes; none where the account does not
    /// want that.
    Subscription(Option<String>),
}

/// Why an authenticated request could not be read: a sentence that carries nothing of its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);
