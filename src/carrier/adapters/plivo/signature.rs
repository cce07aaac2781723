//! Plivo's three ways to sign a request.
//!
//! Comes in: a request, the account's URL. Goes out: whether the auth token signed it; in the other
//! direction, a request signed.
//! Always true: what is compared are bytes, in constant time; of several signatures in one header,
//! separated by commas, one must fit; at most `SIGNATURES_MAX` are tried and `form::PAIRS_MAX` parameters read.
//! Not here: what the parameters mean. No version signs a time, so there is no window.

use std::borrow::Cow;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use subtle::ConstantTimeEq;

use crate::carrier::proof::authenticate::one_of_them;
use crate::carrier::proof::jwt;
use crate::carrier::reading::form;
use crate::carrier::request::is_form;
use crate::carrier::{Account, AuthFailure, Signed, Webhook};
use crate::message::Secret;

/// Signatures tried of one header: the token of an account and that of a subaccount, in rotation.
const SIGNATURES_MAX: usize = 16;

/// How a request is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HMAC-SHA1 over the URL and the form's parameters.
    V1,
    /// HMAC-SHA256 over the URL without its query, and the nonce.
    V2,
    /// HMAC-SHA256 over the URL, all parameters and the nonce.
    V3,
}

impl Version {
    /// The newest first.
    const ALL: [Self; 3] = [Self::V3, Self::V2, Self::V1];

    fn parse(word: &str) -> Option<Self> {
        match word {
            "v1" => Some(Self::V1),
            "v2" => Some(Self::V2),
            "v3" => Some(Self::V3),
            _ => None,
        }
    }

    /// The only one that the account takes, where it says so.
    pub fn of(account: &Account) -> Option<Self> {
        account.key("signature_version").and_then(Self::parse)
    }

    fn header(self) -> &'static str {
        match self {
            Self::V1 => "x-plivo-signature",
            Self::V2 => "x-plivo-signature-v2",
            Self::V3 => "x-plivo-signature-v3",
        }
    }

    fn nonce_header(self) -> Option<&'static str> {
        match self {
            Self::V1 => None,
            Self::V2 => Some("x-plivo-signature-v2-nonce"),
            Self::V3 => Some("x-plivo-signature-v3-nonce"),
        }
    }
}

/// What is wrong with a `signature_version`, if anything.
pub fn check_version(word: &str) -> Result<(), &'static str> {
    Version::parse(word).map(drop).ok_or("is none of v1, v2, v3")
}

/// An auth token as the key of every version.
struct Keys {
    sha1: hmac::Key,
    sha256: hmac::Key,
}

impl Keys {
    fn new(secret: &[u8]) -> Self {
        Self {
            sha1: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret),
            sha256: hmac::Key::new(hmac::HMAC_SHA256, secret),
        }
    }

    fn sign(&self, version: Version, message: &[u8]) -> hmac::Tag {
        let key = if version == Version::V1 { &self.sha1 } else { &self.sha256 };
        hmac::sign(key, message)
    }
}

/// Whether one of the account's tokens signed the request.
pub fn verify(webhook: &Webhook<'_>, account: &Account) -> Result<(), AuthFailure> {
    let mut versions = Version::ALL.into_iter().filter(|version| match Version::of(account) {
        Some(only) => *version == only,
        None => webhook.headers.contains_key(version.header()),
    });
    let version = versions.next().ok_or(AuthFailure::Missing)?;
    let header = webhook.header(version.header()).ok_or(AuthFailure::Missing)?;
    let nonce = match version.nonce_header() {
        Some(name) => webhook.header(name).ok_or(AuthFailure::Missing)?,
        None => "",
    };
    let given: Vec<Vec<u8>> =
        header.split(',').take(SIGNATURES_MAX).filter_map(|one| STANDARD.decode(one.trim()).ok()).collect();
    let form = if webhook.is_form() { webhook.body } else { b"" };
    // What is no form is covered by no version, and never sent; V2 covers no body at all.
    if form.len() != webhook.body.len() && version != Version::V2 {
        return Err(AuthFailure::Mismatch);
    }
    let request = Request { url: &account.url, is_get: webhook.method == Method::GET, query: webhook.query, form };
    let message = request.message(version, nonce).ok_or(AuthFailure::Mismatch)?;
    one_of_them(account, |secret| {
        let tag = secret.with_key(Keys::new, |keys| keys.sign(version, &message));
        given.iter().fold(false, |found, given| bool::from(tag.as_ref().ct_eq(given)) | found)
    })
}

/// Adds the headers that Plivo would. `None` when there are more parameters than anybody sends.
pub fn sign(signed: &mut Signed, account: &Account, secret: &Secret, version: Version) -> Option<()> {
    let content_type = signed.header("content-type").unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    let form = if is_form(media_type) { &signed.body[..] } else { b"" };
    // The same request is the same delivery, as a retry is.
    let nonce = &jwt::hash_of(&[signed.query.as_bytes(), b"\n", &signed.body])[..20];
    let request = Request { url: &account.url, is_get: signed.method == Method::GET, query: &signed.query, form };
    let message = request.message(version, nonce)?;
    let tag = secret.with_key(Keys::new, |keys| keys.sign(version, &message));
    let nonce_header = version.nonce_header().map(|name| (name.to_owned(), nonce.to_owned()));
    signed.headers.extend(nonce_header);
    signed.headers.push((version.header().to_owned(), STANDARD.encode(tag)));
    Some(())
}

/// What can be signed of a request.
struct Request<'a> {
    /// As configured; a query or fragment of it is no part of what is signed.
    url: &'a str,
    is_get: bool,
    query: &'a str,
    /// The body where it is a form, else empty.
    form: &'a [u8],
}

impl Request<'_> {
    /// `None` when there are more parameters than anybody sends.
    fn message(&self, version: Version, nonce: &str) -> Option<Vec<u8>> {
        let mut message = self.url.split(['?', '#']).next().unwrap_or_default().as_bytes().to_vec();
        match version {
            Version::V1 => {
                if !self.query.is_empty() {
                    message.push(b'?');
                    message.extend_from_slice(self.query.as_bytes());
                }
                if !self.is_get {
                    append(&mut message, &sorted(self.form)?, b"", b"");
                }
            }
            Version::V2 => message.extend_from_slice(nonce.as_bytes()),
            Version::V3 => {
                self.append_parameters(&mut message)?;
                message.push(b'.');
                message.extend_from_slice(nonce.as_bytes());
            }
        }
        Some(message)
    }

    fn append_parameters(&self, message: &mut Vec<u8>) -> Option<()> {
        let query = sorted(self.query.as_bytes())?;
        let form = if self.is_get { Vec::new() } else { sorted(self.form)? };
        if !query.is_empty() || !form.is_empty() {
            message.push(b'?');
        }
        append(message, &query, b"=", b"&");
        if !query.is_empty() && !form.is_empty() {
            message.push(b'.');
        }
        append(message, &form, b"", b"");
        Some(())
    }
}

type Pair<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// Names and values, decoded, by name and then value in byte order.
fn sorted(input: &[u8]) -> Option<Vec<Pair<'_>>> {
    let mut pairs = form::all_pairs(input, |(name, value)| (form::decode(name), form::decode(value)))?;
    pairs.sort_unstable();
    Some(pairs)
}

fn append(message: &mut Vec<u8>, pairs: &[Pair<'_>], between: &[u8], behind: &[u8]) {
    for (index, (name, value)) in pairs.iter().enumerate() {
        if index > 0 {
            message.extend_from_slice(behind);
        }
        for piece in [name, between, value] {
            message.extend_from_slice(piece);
        }
    }
}
