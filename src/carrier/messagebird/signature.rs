//! MessageBird's two ways to sign a request.
//!
//! Comes in: a request, the account's URL. Goes out: whether the signing key (which is not the API key)
//! signed it, and recently; in the other direction, a request with a token.
//! Always true: a token covers the *configured* URL with the query as received, and the body if and only
//! if there is one; the older signature covers no path.
//! Not here: what the parameters mean.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::carrier::authenticate::{one_of_them, within_window};
use crate::carrier::jwt::{self, Algorithm, Claims, Keys, Token};
use crate::carrier::{Account, AuthFailure, Signed, Webhook, form};
use crate::message::{Secret, Timestamp};

/// The header of a token.
pub const TOKEN: &str = "messagebird-signature-jwt";
/// The header of the older signature.
pub const LEGACY: &str = "messagebird-signature";
/// The older signature's time, in Unix seconds.
const TIME: &str = "messagebird-request-timestamp";
const ISSUER: &str = "MessageBird";
/// How long a token is good for, in seconds.
const TOKEN_LIFE_S: i64 = 60;

/// Whether one of the account's keys signed the request.
pub fn verify(webhook: &Webhook<'_>, account: &Account) -> Result<(), AuthFailure> {
    if webhook.headers.contains_key(TOKEN) {
        verify_token(webhook.header(TOKEN).ok_or(AuthFailure::Missing)?, webhook, account)
    } else {
        verify_legacy(webhook, account)
    }
}

fn verify_token(token: &str, webhook: &Webhook<'_>, account: &Account) -> Result<(), AuthFailure> {
    let token = Token::parse(token).ok_or(AuthFailure::Mismatch)?;
    one_of_them(account, |secret| secret.with_key(Keys::new, |keys| token.is_signed_with(keys.of(token.algorithm))))?;
    let claims = token.claims().ok_or(AuthFailure::Mismatch)?;
    if !covers(&claims, &account.url, webhook) {
        return Err(AuthFailure::Mismatch);
    }
    let is_in_force = account.window.is_none_or(|window| claims.are_in_force(webhook.received_at, window));
    if is_in_force { Ok(()) } else { Err(AuthFailure::Expired) }
}

/// Whether the claims are about this request.
fn covers(claims: &Claims, url: &str, webhook: &Webhook<'_>) -> bool {
    let covers_url = claims.url_hash.as_deref().is_some_and(|hash| jwt::is_hash_of(hash, &address(url, webhook.query)));
    let covers_body = match claims.payload_hash.as_deref().filter(|hash| !hash.is_empty()) {
        Some(hash) => !webhook.body.is_empty() && jwt::is_hash_of(hash, &[webhook.body]),
        None => webhook.body.is_empty(),
    };
    claims.iss.as_deref() == Some(ISSUER) && covers_url && covers_body
}

/// The whole URL that was called, in pieces.
fn address<'a>(url: &'a str, query: &'a str) -> [&'a [u8]; 3] {
    [url.as_bytes(), if query.is_empty() { b"" } else { b"?" }, query.as_bytes()]
}

/// The scheme before tokens.
fn verify_legacy(webhook: &Webhook<'_>, account: &Account) -> Result<(), AuthFailure> {
    let header = webhook.header(LEGACY).ok_or(AuthFailure::Missing)?;
    let time = webhook.header(TIME).ok_or(AuthFailure::Missing)?;
    let signature = STANDARD.decode(header).map_err(|_| AuthFailure::Mismatch)?;
    let body = digest::digest(&digest::SHA256, webhook.body);
    let queries = queries(webhook.query);
    let fits = |key: &hmac::Key, query: &str| {
        let message = [time.as_bytes(), b"\n", query.as_bytes(), b"\n", body.as_ref()].concat();
        hmac::verify(key, &message, &signature).is_ok()
    };
    one_of_them(account, |secret| {
        let either =
            |keys: &Keys| queries.iter().fold(false, |found, query| fits(keys.of(Algorithm::Hs256), query) | found);
        secret.with_key(Keys::new, either)
    })?;
    let signed_at = time.parse().map_err(|_| AuthFailure::Mismatch)?;
    within_window(account, signed_at, webhook.received_at)
}

/// The query, its parameters by name in byte order: as they came, and as the SDKs write them anew.
fn queries(query: &str) -> [String; 2] {
    let mut pairs: Vec<_> =
        form::raw_pairs(query.as_bytes()).map(|(name, value)| (form::decode(name), name, value)).collect();
    pairs.sort_by(|(left, ..), (right, ..)| left.cmp(right));
    let raw = |piece: &[u8]| String::from_utf8_lossy(piece).into_owned();
    let as_they_came: Vec<_> = pairs.iter().map(|(_, name, value)| format!("{}={}", raw(name), raw(value))).collect();
    let anew = pairs.iter().map(|(name, _, value)| (String::from_utf8_lossy(name), form::decode(value)));
    [as_they_came.join("&"), form::encode(anew)]
}

/// Adds the token that MessageBird would.
pub fn sign(request: &mut Signed, account: &Account, secret: &Secret, now: Timestamp) {
    let url_hash = jwt::hash_of(&address(&account.url, &request.query));
    let payload_hash = jwt::hash_of(&[&request.body]);
    let mut claims = serde_json::json!({
        "iss": ISSUER,
        "nbf": now.as_second(),
        "exp": now.as_second() + TOKEN_LIFE_S,
        "jti": &payload_hash[..32],
        "url_hash": url_hash,
    });
    if !request.body.is_empty() {
        claims["payload_hash"] = payload_hash.into();
    }
    let token = secret.with_key(Keys::new, |keys| jwt::encode(keys.of(Algorithm::Hs256), &claims));
    request.headers.push((TOKEN.to_owned(), token));
}
