//! JSON Web Tokens as carriers prove webhooks with: the HMAC family only.
//!
//! Comes in: a token as it stands in a header; in the other direction, claims. Goes out: whether a key
//! made it, and what it claims.
//! Always true: only HS256, HS384 and HS512 are algorithms, whatever the token says of itself (`none`
//! and public-key ones are no tokens here); a signature is compared in constant time; claims are
//! readable only behind the signature.
//! Not here: which claims a carrier must make (its own file); tokens of our own to an API (`notify`).
//!
//! Sources (2026-11-22): RFC 7515, RFC 7518 section 3.2, RFC 7519 sections 4.1 and 7.2.

use std::borrow::Cow;
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use subtle::ConstantTimeEq;

use crate::carrier::reading::udh::from_hex;
use crate::message::Timestamp;

/// The header of every token that is made here.
const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// How a token says that it was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    Hs256,
    Hs384,
    Hs512,
}

/// One secret as the key of each algorithm.
pub struct Keys {
    hs256: hmac::Key,
    hs384: hmac::Key,
    hs512: hmac::Key,
}

impl Keys {
    pub fn new(secret: &[u8]) -> Self {
        Self {
            hs256: hmac::Key::new(hmac::HMAC_SHA256, secret),
            hs384: hmac::Key::new(hmac::HMAC_SHA384, secret),
            hs512: hmac::Key::new(hmac::HMAC_SHA512, secret),
        }
    }

    pub fn of(&self, algorithm: Algorithm) -> &hmac::Key {
        match algorithm {
            Algorithm::Hs256 => &self.hs256,
            Algorithm::Hs384 => &self.hs384,
            Algorithm::Hs512 => &self.hs512,
        }
    }
}

/// A token whose parts are in their places; nothing is believed of it yet.
pub struct Token<'a> {
    pub algorithm: Algorithm,
    /// Header and claims as written: what is signed.
    signed: &'a str,
    claims: &'a str,
    signature: Vec<u8>,
}

impl<'a> Token<'a> {
    /// `None` for what is no token, or one that is not signed by HMAC.
    pub fn parse(written: &'a str) -> Option<Self> {
        let (signed, signature) = written.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.').filter(|(_, claims)| !claims.contains('.'))?;
        let header = URL_SAFE_NO_PAD.decode(header).ok()?;
        let header: Header<'_> = serde_json::from_slice(&header).ok()?;
        // Extensions that must be understood (RFC 7515, 4.1.11), and none is.
        if header.crit.is_some() {
            return None;
        }
        let algorithm = match header.alg.as_ref() {
            "HS256" => Algorithm::Hs256,
            "HS384" => Algorithm::Hs384,
            "HS512" => Algorithm::Hs512,
            _ => return None,
        };
        Some(Self { algorithm, signed, claims, signature: URL_SAFE_NO_PAD.decode(signature).ok()? })
    }

    /// Whether `key`, of the token's own algorithm, made the signature.
    pub fn is_signed_with(&self, key: &hmac::Key) -> bool {
        hmac::verify(key, self.signed.as_bytes(), &self.signature).is_ok()
    }

    /// What the token claims. Ask only after `is_signed_with`.
    pub fn claims(&self) -> Option<Claims> {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(self.claims).ok()?).ok()
    }
}

#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    alg: Cow<'a, str>,
    crit: Option<IgnoredAny>,
}

/// The claims that matter to any carrier; others are passed over. Times are Unix seconds and may have
/// a fraction.
#[derive(Default, Deserialize)]
pub struct Claims {
    pub iss: Option<String>,
    pub iat: Option<f64>,
    pub nbf: Option<f64>,
    pub exp: Option<f64>,
    /// Hexadecimal SHA-256 of the URL.
    pub url_hash: Option<String>,
    /// Hexadecimal SHA-256 of the body.
    pub payload_hash: Option<String>,
}

impl Claims {
    /// Whether `now` is neither before `nbf` nor at or after `exp`, where they are claimed, by clocks that
    /// differ by up to `leeway`.
    pub fn are_in_force(&self, now: Timestamp, leeway: Duration) -> bool {
        let now = now.as_duration().as_secs_f64();
        let leeway = leeway.as_secs_f64();
        self.nbf.is_none_or(|nbf| nbf <= now + leeway) && self.exp.is_none_or(|exp| now - leeway < exp)
    }
}

/// Whether a claim is the hexadecimal SHA-256 of these bytes, one piece behind the other.
pub fn is_hash_of(claim: &str, pieces: &[&[u8]]) -> bool {
    from_hex(claim).is_some_and(|claimed| sha256(pieces).as_ref().ct_eq(&claimed).into())
}

/// The claim that `is_hash_of` takes.
pub fn hash_of(pieces: &[&[u8]]) -> String {
    sha256(pieces).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A token of these claims, signed by HS256.
pub fn encode(key: &hmac::Key, claims: &serde_json::Value) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!("{}.{}", encode(HEADER.as_bytes()), encode(claims.to_string().as_bytes()));
    let tag = hmac::sign(key, signed.as_bytes());
    format!("{signed}.{}", encode(tag.as_ref()))
}

fn sha256(pieces: &[&[u8]]) -> digest::Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    pieces.iter().for_each(|piece| context.update(piece));
    context.finish()
}
