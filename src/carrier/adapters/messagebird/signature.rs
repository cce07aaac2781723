//! MessageBird's two ways to sign a request.
//!
//! Comes in: a request, the account's URL. Goes out: whether the signing key (which is not the API key)
//! signed it, and recently; in the other direction, a request with a token.
//! Always true: a token covers the *configured* URL with the query as received, and the body if and only
//! if there is one; the older signature covers no path.
//! Not here: what the parameters mean.

use std::borrow::Cow;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use crate::carrier::proof::authenticate::{one_of_them, within_window};
use crate::carrier::proof::jwt::{self, Algorithm, Claims, Keys, Token};
use crate::carrier::reading::form;
use crate::carrier::{Account, AuthFailure, Signed, Webhook};
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
    let request = Legacy {
        time,
        parameters: sorted(webhook.query).ok_or(AuthFailure::Mismatch)?,
        body: digest::digest(&digest::SHA256, webhook.body),
    };
    one_of_them(account, |secret| {
        let fits = |key: &hmac::Key, spelling| bool::from(request.tag(key, spelling).as_ref().ct_eq(&signature));
        let either = |keys: &Keys| {
            let key = keys.of(Algorithm::Hs256);
            fits(key, Spelling::AsItCame) | fits(key, Spelling::Anew)
        };
        secret.with_key(Keys::new, either)
    })?;
    let signed_at = time.parse().map_err(|_| AuthFailure::Mismatch)?;
    within_window(account, signed_at, webhook.received_at)
}

/// What the scheme before tokens signs.
struct Legacy<'a> {
    time: &'a str,
    /// By name in byte order.
    parameters: Vec<Parameter<'a>>,
    body: digest::Digest,
}

struct Parameter<'a> {
    decoded: Cow<'a, [u8]>,
    name: &'a [u8],
    value: &'a [u8],
}

/// How the query's escapes are signed.
#[derive(Clone, Copy)]
enum Spelling {
    AsItCame,
    /// As the SDKs write them.
    Anew,
}

impl Legacy<'_> {
    /// Piece by piece: nothing is proven yet, and a query written anew may be three times as long.
    fn tag(&self, key: &hmac::Key, spelling: Spelling) -> hmac::Tag {
        let mut context = hmac::Context::with_key(key);
        context.update(self.time.as_bytes());
        for (index, Parameter { decoded, name, value }) in self.parameters.iter().enumerate() {
            context.update(if index > 0 { b"&" } else { b"\n" });
            match spelling {
                Spelling::AsItCame => [name, &b"="[..], value].into_iter().for_each(|piece| context.update(piece)),
                Spelling::Anew => {
                    update_escaped(&mut context, String::from_utf8_lossy(decoded).as_bytes());
                    context.update(b"=");
                    update_escaped(&mut context, &form::decode(value));
                }
            }
        }
        context.update(if self.parameters.is_empty() { b"\n\n" } else { b"\n" });
        context.update(self.body.as_ref());
        context.sign()
    }
}

fn update_escaped(context: &mut hmac::Context, bytes: &[u8]) {
    form_urlencoded::byte_serialize(bytes).for_each(|piece| context.update(piece.as_bytes()));
}

/// `None` when there are more parameters than anybody sends.
fn sorted(query: &str) -> Option<Vec<Parameter<'_>>> {
    let keep = |(name, value)| Parameter { decoded: form::decode(name), name, value };
    let mut parameters = form::all_pairs(query.as_bytes(), keep)?;
    parameters.sort_by(|left, right| left.decoded.cmp(&right.decoded));
    Some(parameters)
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
