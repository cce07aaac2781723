//! Who may speak for an account: address, then proof.
//!
//! Comes in: a request as it was sent and the account it came to. Goes out: yes, or a reason that
//! tells an alert a wrong URL from an attack.
//! Always true: any of several secrets will do, and the time taken tells nothing of them; a request
//! with a secret in its path is never taken for an account that has none there; an empty secret
//! proves nothing; what is let in unproven is said to be.
//! Not here: unknown accounts and statuses (the door's), each carrier's signature (its own file), the
//! other direction (`prove`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::AUTHORIZATION;
use percent_encoding::percent_decode_str;

use crate::carrier::reading::form;
use crate::carrier::{Account, Auth, Webhook};
use crate::message::{Secret, SecretBytes, Timestamp};

/// Why a request was not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum AuthFailure {
    #[error("the request has no proof of the kind the account asks for")]
    Missing,
    /// As its carrier's requests now and then do, which then come again with one.
    #[error("the request came without its proof; sent again it may have one")]
    Forgotten,
    #[error("the proof fits none of the account's secrets; a wrong `url` in the settings looks the same")]
    Mismatch,
    #[error("the proof's time is outside the window")]
    Expired,
    #[error("the address is not one the account allows")]
    Address,
    /// Nobody's fault but ours: whoever can should bring it and ask again.
    #[error("the certificate it names is not here")]
    Certificate,
}

impl AuthFailure {
    /// The metric's label.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Missing | Self::Forgotten => "missing",
            Self::Mismatch => "mismatch",
            Self::Expired => "expired",
            Self::Address => "address",
            Self::Certificate => "certificate",
        }
    }
}

/// How far a request that is let in has proven itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    Proven,
    /// Its signature fails, and for now the account only watches signatures.
    Unverified(AuthFailure),
}

/// Whether a request may come in: it is proven, or its account lets failed signatures pass for a time.
/// Neither a wrong address nor a secret in the path is ever let pass: no signature would mend them. A
/// certificate that is not here is to be brought first.
pub fn admit(account: &Account, webhook: &Webhook<'_>) -> Result<Admission, AuthFailure> {
    let failure = match authenticate(account, webhook) {
        Ok(()) => return Ok(Admission::Proven),
        Err(failure) => failure,
    };
    let only_signature =
        !matches!(failure, AuthFailure::Address | AuthFailure::Certificate) && webhook.path_secret.is_none();
    if only_signature && account.is_monitored(webhook.received_at) {
        return Ok(Admission::Unverified(failure));
    }
    Err(failure)
}

/// What the head of a request tells already: everything but a signature's value, for which its
/// header must at least be there. The body of `webhook` is not looked at.
pub fn authenticate_head(account: &Account, webhook: &Webhook<'_>) -> Result<(), AuthFailure> {
    if account.auth != Auth::Signature {
        return authenticate(account, webhook);
    }
    check_address(account, webhook)?;
    let headers = account.carrier.contract().signature_headers;
    let is_there = headers.is_empty() || headers.iter().any(|header| webhook.headers.contains_key(*header));
    if is_there || account.is_monitored(webhook.received_at) { Ok(()) } else { Err(AuthFailure::Missing) }
}

/// Whether the request comes from whom the account trusts.
pub fn authenticate(account: &Account, webhook: &Webhook<'_>) -> Result<(), AuthFailure> {
    check_address(account, webhook)?;
    if webhook.path_secret.is_some() && account.auth != Auth::Path {
        return Err(AuthFailure::Mismatch);
    }
    match account.auth {
        Auth::Signature => account.carrier.verify(webhook, account),
        Auth::Basic => {
            let encoded = credentials(webhook, "Basic")?;
            let pair = STANDARD.decode(encoded).map_err(|_| AuthFailure::Mismatch)?;
            one_of_them(account, |secret| secret.matches(&pair))
        }
        Auth::Bearer => {
            let token = credentials(webhook, "Bearer")?;
            one_of_them(account, |secret| secret.matches(token.as_bytes()))
        }
        Auth::Path => {
            let written = webhook.path_secret.ok_or(AuthFailure::Missing)?;
            let decoded: Vec<u8> = percent_decode_str(written).collect();
            one_of_them(account, |secret| secret.matches(&decoded) | secret.matches(written.as_bytes()))
        }
        Auth::Query => {
            let value = form::value(webhook.query.as_bytes(), b"secret").ok_or(AuthFailure::Missing)?;
            one_of_them(account, |secret| secret.matches(&value))
        }
        Auth::None => Ok(()),
    }
}

/// Tries every secret, also after one has fitted, so that the time does not tell which.
pub fn one_of_them(account: &Account, fits: impl Fn(&SecretBytes) -> bool) -> Result<(), AuthFailure> {
    let usable = account.secrets.iter().map(Secret::bytes).filter(|secret| !secret.is_empty());
    let found = usable.fold(false, |found, secret| fits(&secret) | found);
    if found { Ok(()) } else { Err(AuthFailure::Mismatch) }
}

/// Whether the time that was signed, in Unix seconds, is near enough to ours.
pub fn within_window(account: &Account, signed_at: i64, now: Timestamp) -> Result<(), AuthFailure> {
    let Some(window) = account.window else { return Ok(()) };
    let off = now.as_second().saturating_sub(signed_at).unsigned_abs();
    if off <= window.as_secs() { Ok(()) } else { Err(AuthFailure::Expired) }
}

fn check_address(account: &Account, webhook: &Webhook<'_>) -> Result<(), AuthFailure> {
    // A listener on [::] sees IPv4 callers as ::ffff:a.b.c.d; the settings write them as a.b.c.d.
    let peer = webhook.peer.to_canonical();
    if account.allow.is_empty() || account.allow.iter().any(|network| network.contains(&peer)) {
        Ok(())
    } else {
        Err(AuthFailure::Address)
    }
}

/// What follows the scheme in `Authorization`; the scheme's case does not matter (RFC 9110, 11.1).
pub fn credentials<'a>(webhook: &Webhook<'a>, scheme: &str) -> Result<&'a str, AuthFailure> {
    let header = webhook.header(AUTHORIZATION).ok_or(AuthFailure::Missing)?;
    let (given, rest) = header.split_once(' ').ok_or(AuthFailure::Missing)?;
    if given.eq_ignore_ascii_case(scheme) { Ok(rest.trim()) } else { Err(AuthFailure::Missing) }
}
