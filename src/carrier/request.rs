//! A webhook as it came, and what was found in it.

use std::net::IpAddr;

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
    /// A header's value when it is there once and is text.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What a well-formed request holds.
#[derive(Debug)]
pub enum Delivery {
    /// One or more texts.
    Texts(Vec<Inbound>),
    /// Nothing to route: a probe, a receipt. Counted under the word and answered 200.
    Nothing(&'static str),
}

/// Why an authenticated request could not be read: a sentence that carries nothing of its content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);
