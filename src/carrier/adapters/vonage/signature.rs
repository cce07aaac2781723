//! `sig`: how the SMS API signs the parameters of a request.
//!
//! Comes in: the parameters of a query, a form or a JSON object. Goes out: whether the account's secret
//! signed them, and when; in the other direction, the same parameters signed.
//! Always true: what is signed are all parameters but `sig`, by name in byte order, each as `&name=value`
//! with `&` and `=` inside names and values written `_`, so that no two lists of parameters with
//! different names look alike; hexadecimal digits count in either case; at most `form::PAIRS_MAX` are read.
//! Not here: what the parameters mean.

use std::borrow::Cow;
use std::fmt;

use aws_lc_rs::hmac;
use md5::{Digest, Md5};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use subtle::ConstantTimeEq;

use super::hexadecimal;
use crate::carrier::proof::authenticate::{one_of_them, within_window};
use crate::carrier::reading::form;
use crate::carrier::reading::json::{self, Raw};
use crate::carrier::{Account, AuthFailure};
use crate::message::{Secret, SecretBytes, Timestamp};

/// Bytes of an MD5 block, to which HMAC pads its key.
const MD5_BLOCK: usize = 64;

/// One parameter, decoded.
pub struct Parameter<'a> {
    pub name: Cow<'a, [u8]>,
    pub value: Cow<'a, [u8]>,
}

/// How an account's requests are signed, as Vonage's dashboard names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    /// MD5 of the parameters and the secret behind them.
    Md5Hash,
    /// HMAC, keyed with the secret.
    Md5,
    Sha1,
    Sha256,
    Sha512,
}

impl Method {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "md5hash" => Some(Self::Md5Hash),
            "md5" => Some(Self::Md5),
            "sha1" => Some(Self::Sha1),
            "sha256" => Some(Self::Sha256),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    /// Vonage's own default is `md5hash`.
    fn of(account: &Account) -> Self {
        account.key("signature_method").and_then(Self::parse).unwrap_or(Self::Md5Hash)
    }
}

/// What is wrong with a `signature_method`, if anything.
pub fn check_method(word: &str) -> Result<(), &'static str> {
    Method::parse(word).map(drop).ok_or("is none of md5hash, md5, sha1, sha256, sha512")
}

/// A secret as the key of every method and, `sha256`, of the Messages API's tokens.
pub struct Keys {
    md5: HmacMd5,
    sha1: hmac::Key,
    pub sha256: hmac::Key,
    sha512: hmac::Key,
}

impl Keys {
    pub fn new(secret: &[u8]) -> Self {
        Self {
            md5: HmacMd5::new(secret),
            sha1: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret),
            sha256: hmac::Key::new(hmac::HMAC_SHA256, secret),
            sha512: hmac::Key::new(hmac::HMAC_SHA512, secret),
        }
    }
}

/// HMAC (RFC 2104) over MD5, its two halves begun.
struct HmacMd5 {
    inner: Md5,
    outer: Md5,
}

impl HmacMd5 {
    fn new(secret: &[u8]) -> Self {
        let mut key = [0; MD5_BLOCK];
        if secret.len() > MD5_BLOCK {
            key[..16].copy_from_slice(&Md5::digest(secret));
        } else {
            key[..secret.len()].copy_from_slice(secret);
        }
        let begun = |pad: u8| Md5::new().chain_update(key.map(|byte| byte ^ pad));
        Self { inner: begun(0x36), outer: begun(0x5c) }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let inner = self.inner.clone().chain_update(message).finalize();
        self.outer.clone().chain_update(inner).finalize().to_vec()
    }
}

fn sign(method: Method, secret: &SecretBytes, message: &[u8]) -> Vec<u8> {
    let by = |key: fn(&Keys) -> &hmac::Key| {
        secret.with_key(Keys::new, |keys| hmac::sign(key(keys), message).as_ref().to_vec())
    };
    match method {
        Method::Md5Hash => Md5::new().chain_update(message).chain_update(&**secret).finalize().to_vec(),
        Method::Md5 => secret.with_key(Keys::new, |keys| keys.md5.sign(message)),
        Method::Sha1 => by(|keys| &keys.sha1),
        Method::Sha256 => by(|keys| &keys.sha256),
        Method::Sha512 => by(|keys| &keys.sha512),
    }
}

/// Whether one of the account's secrets signed the parameters, within the window.
pub fn verify(mut parameters: Vec<Parameter<'_>>, account: &Account, now: Timestamp) -> Result<(), AuthFailure> {
    let given = parameters.iter().find(|parameter| *parameter.name == *b"sig").ok_or(AuthFailure::Missing)?;
    let given = hexadecimal(&given.value).ok_or(AuthFailure::Mismatch)?;
    let method = Method::of(account);
    parameters.sort_by(|left, right| left.name.cmp(&right.name));
    let whole = message(&parameters, true);
    let filled = parameters.iter().any(|parameter| parameter.value.is_empty()).then(|| message(&parameters, false));
    let fits = |secret: &SecretBytes, message: &[u8]| bool::from(sign(method, secret, message).ct_eq(&given));
    one_of_them(account, |secret| fits(secret, &whole) | filled.as_ref().is_some_and(|filled| fits(secret, filled)))?;
    // After the signature, so that `expired` in the metrics means a replay or a wrong clock. Nobody but
    // who has the secret can have left the time out, and most of Vonage's SDKs do not ask for it.
    let mut times = parameters.iter().filter(|parameter| *parameter.name == *b"timestamp");
    times.try_for_each(|time| {
        let seconds = std::str::from_utf8(&time.value).ok().and_then(|time| time.parse().ok());
        within_window(account, seconds.ok_or(AuthFailure::Expired)?, now)
    })
}

/// What is signed of sorted parameters; without the blank ones where the signer leaves them out.
fn message(sorted: &[Parameter<'_>], with_blank: bool) -> Vec<u8> {
    let mut message = Vec::with_capacity(sorted.iter().map(|one| one.name.len() + one.value.len() + 2).sum());
    let signed = sorted.iter().filter(|one| *one.name != *b"sig" && (with_blank || !one.value.is_empty()));
    for parameter in signed {
        message.push(b'&');
        extend_cleaned(&mut message, &parameter.name);
        message.push(b'=');
        extend_cleaned(&mut message, &parameter.value);
    }
    message
}

fn extend_cleaned(message: &mut Vec<u8>, piece: &[u8]) {
    message.extend(piece.iter().map(|byte| if matches!(byte, b'&' | b'=') { b'_' } else { *byte }));
}

/// The parameters of a query or form.
pub fn of_form(input: &[u8]) -> Option<Vec<Parameter<'_>>> {
    form::all_pairs(input, |(name, value)| Parameter { name: form::decode(name), value: form::decode(value) })
}

/// The members of a JSON object: strings without their escapes, anything else as it is written.
pub fn of_json(input: &[u8]) -> Option<Vec<Parameter<'_>>> {
    // Only strings is what Vonage sends, and what may hold half a character.
    if let Ok(Members(members)) = serde_json::from_slice::<Members<'_, Raw<'_>>>(input) {
        let parameters = members.into_iter().map(|(name, value)| Parameter { name: name.0, value: value.0 });
        return Some(parameters.collect());
    }
    let Members(members) = serde_json::from_slice::<Members<'_, &RawValue>>(input).ok()?;
    members
        .into_iter()
        .map(|(name, value)| {
            let written = value.get();
            let value = match written.as_bytes().first() {
                Some(b'"') => serde_json::from_str::<Raw<'_>>(written).ok()?.0,
                Some(b'n') => Cow::default(),
                _ => Cow::Borrowed(written.as_bytes()),
            };
            Some(Parameter { name: name.0, value })
        })
        .collect()
}

/// A JSON object's members in order, equal names included.
struct Members<'a, V>(Vec<(Raw<'a>, V)>);

struct MembersVisitor<V>(std::marker::PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for MembersVisitor<V> {
    type Value = Members<'de, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            if members.len() == form::PAIRS_MAX {
                return Err(de::Error::custom("too many in one object"));
            }
            members.push(member);
        }
        Ok(Members(members))
    }
}

impl<'de: 'a, 'a, V: Deserialize<'de>> Deserialize<'de> for Members<'a, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor(std::marker::PhantomData))
    }
}

/// A query or form with time and signature; those it had are replaced. `None` when there are more parameters
/// than anybody sends.
pub fn signed_form(input: &[u8], secret: &Secret, account: &Account, now: Timestamp) -> Option<String> {
    let parameters = signed(of_form(input)?, secret, account, now)?;
    let pairs = parameters.iter().map(|one| (String::from_utf8_lossy(&one.name), one.value.as_ref()));
    Some(form::encode(pairs))
}

/// A JSON object with time and signature; those it had are replaced. `None` as for a form.
pub fn signed_json(
    parameters: Vec<Parameter<'_>>,
    secret: &Secret,
    account: &Account,
    now: Timestamp,
) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    for Parameter { name, value } in signed(parameters, secret, account, now)? {
        out.push(if out.is_empty() { b'{' } else { b',' });
        json::write(&name, &mut out);
        out.push(b':');
        json::write(&value, &mut out);
    }
    out.push(b'}');
    Some(out)
}

fn signed<'a>(
    mut parameters: Vec<Parameter<'a>>,
    secret: &Secret,
    account: &Account,
    now: Timestamp,
) -> Option<Vec<Parameter<'a>>> {
    let parameter = |name: &'static str, value: String| Parameter {
        name: Cow::Borrowed(name.as_bytes()),
        value: Cow::Owned(value.into_bytes()),
    };
    parameters.retain(|parameter| !matches!(&*parameter.name, b"sig" | b"timestamp"));
    parameters.push(parameter("timestamp", now.as_second().to_string()));
    parameters.sort_by(|left, right| left.name.cmp(&right.name));
    let tag = sign(Method::of(account), &secret.bytes(), &message(&parameters, true));
    parameters.push(parameter("sig", tag.iter().map(|byte| format!("{byte:02x}")).collect()));
    (parameters.len() <= form::PAIRS_MAX).then_some(parameters)
}
