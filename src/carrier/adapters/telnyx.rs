//! Telnyx: messaging events, signed with Ed25519.
//!
//! Comes in: POST of `{"data": {"event_type": "message.received", "payload": …}}`; the fate of messages
//! sent, which comes to the same URL. Goes out: one text.
//! Always true: a secret that is 32 bytes in base64 is Telnyx's public key and never one of an HMAC,
//! since who knows a public key could otherwise sign with it; any other is a secret of the V1 signature.
//! Not here: an MMS's subject; `cc`.
//!
//! Sources, 2026-11-22: developers.telnyx.com/api-reference/callbacks/inbound-message and
//! …/docs/messaging/messages/receiving-webhooks; telnyx-python, `webhook_verification.py`; the tests of
//! telnyx-ruby, whose V1 signature (`X-Telnyx-Signature: t=…,h=…`) is HMAC-SHA256. Three tries at the
//! first URL, then at the failover URL. Unverified: whether a retry is signed anew; should `expired` show
//! in the metrics after an outage, `window_s` is to be set as wide as that.

use std::time::Duration;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, ParsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use serde_json::value::RawValue;
use subtle::ConstantTimeEq;

use crate::carrier::proof::authenticate::{one_of_them, within_window};
use crate::carrier::reading::json::{First, Raw};
use crate::carrier::reading::members::{self, filled, recipient};
use crate::carrier::reading::pointer::Document;
use crate::carrier::reading::{charset, form};
use crate::carrier::{
    Account, Auth, AuthFailure, Carrier, Contract, Delivery, Draft, Malformed, Signed, SigningError, Webhook, proof,
};
use crate::message::{Inbound, Media, Number, Text, Timestamp, iso};

const SIGNATURE: &str = "telnyx-signature-ed25519";
const TIMESTAMP: &str = "telnyx-timestamp";
const SIGNATURE_V1: &str = "x-telnyx-signature";
/// Signatures tried of one V1 header: a rotation needs two.
const SIGNATURES_MAX: usize = 16;
/// Most of a group that are looked at.
const PARTIES_MAX: usize = 100;
/// Bytes of a public key, and of a private one's seed.
const KEY_LENGTH: usize = 32;

static CONTRACT: Contract = Contract {
    name: "telnyx",
    deadline: Duration::from_secs(2),
    retries_503: true,
    auth: Auth::Signature,
    signs: true,
    signature_headers: &[SIGNATURE, SIGNATURE_V1],
    window: Some(Duration::from_secs(300)),
    ..Contract::USUAL
};

pub struct Telnyx;

impl Carrier for Telnyx {
    fn contract(&self) -> &'static Contract {
        &CONTRACT
    }

    fn verify(&self, webhook: &Webhook<'_>, account: &Account) -> Result<(), AuthFailure> {
        match verify_ed25519(webhook, account) {
            Err(_) if webhook.headers.contains_key(SIGNATURE_V1) => verify_v1(webhook, account),
            verdict => verdict,
        }
    }

    fn parse(&self, webhook: &Webhook<'_>, account: &Account) -> Result<Delivery, Malformed> {
        let kind: Whole<Kind> = members::read(webhook.body)?;
        let kind = kind.data.and_then(|kind| filled(kind.event_type)).ok_or(Malformed("event_type missing"))?;
        match kind.as_str() {
            "message.received" => {}
            "message.sent" | "message.finalized" => return Ok(Delivery::Nothing("receipt")),
            _ => return Ok(Delivery::Nothing("event")),
        }
        let event: Whole<Event<'_>> = members::read(webhook.body)?;
        let payload = event.data.and_then(|event| event.payload).ok_or(Malformed("payload missing"))?;
        payload.into_text(account).map(|text| Delivery::Texts(vec![text]))
    }

    fn unsigned(&self, draft: &Draft, _account: &Account) -> Result<Signed, SigningError> {
        if draft.part.is_some() {
            return Err(SigningError::Unsupported(CONTRACT.name, "it joins long texts before it pushes them"));
        }
        let time = iso::format(draft.now);
        let payload = serde_json::json!({
            "record_type": "message", "direction": "inbound", "id": draft.id, "type": "SMS",
            "from": {"phone_number": draft.from, "carrier": "", "line_type": "Wireless"},
            "to": [{"phone_number": draft.to, "status": "webhook_delivered"}],
            "cc": [], "text": draft.text, "media": [], "encoding": "UCS-2", "parts": 1, "received_at": time,
        });
        let event = serde_json::json!({
            "record_type": "event", "event_type": "message.received", "id": draft.id, "occurred_at": time, "payload": payload,
        });
        Ok(Signed::post("application/json", serde_json::json!({"data": event, "meta": {"attempt": 1}}).to_string()))
    }

    fn sign(&self, request: &mut Signed, account: &Account, now: Timestamp) -> Result<(), SigningError> {
        let key = key_pair(&proof::signing_key(account)?.bytes()).map_err(SigningError::BadSigningKey)?;
        let public = key.public_key().as_ref();
        if !account.secrets.iter().any(|secret| public_key(&secret.bytes()).is_some_and(|known| known == public)) {
            return Err(SigningError::BadSigningKey("none of the account's secrets is the public key for it"));
        }
        let time = now.as_second().to_string();
        let signature = STANDARD.encode(key.sign(&signed_bytes(&time, &request.body)));
        request.headers.push((SIGNATURE.to_owned(), signature));
        request.headers.push((TIMESTAMP.to_owned(), time));
        Ok(())
    }
}

/// `telnyx-signature-ed25519` over time, `|` and body.
fn verify_ed25519(webhook: &Webhook<'_>, account: &Account) -> Result<(), AuthFailure> {
    let signature = webhook.header(SIGNATURE).ok_or(AuthFailure::Missing)?;
    let time = webhook.header(TIMESTAMP).ok_or(AuthFailure::Missing)?;
    let signature = STANDARD.decode(signature).map_err(|_| AuthFailure::Mismatch)?;
    let message = signed_bytes(time, webhook.body);
    let fits = |key: &Key| matches!(key, Key::Public(Some(key)) if key.verify_sig(&message, &signature).is_ok());
    one_of_them(account, |secret| secret.with_key(Key::of, fits))?;
    // After the signature, so that `expired` in the metrics means a replay or a wrong clock.
    within_window(account, time.parse().map_err(|_| AuthFailure::Mismatch)?, webhook.received_at)
}

/// `X-Telnyx-Signature: t=TIME,h=SIGNATURE` over time, `.` and body.
fn verify_v1(webhook: &Webhook<'_>, account: &Account) -> Result<(), AuthFailure> {
    let header = webhook.header(SIGNATURE_V1).ok_or(AuthFailure::Missing)?;
    let fields = || header.split(',').filter_map(|field| field.trim().split_once('='));
    let time = fields().find(|(name, _)| *name == "t").ok_or(AuthFailure::Missing)?.1;
    let signatures = fields().filter(|(name, _)| *name == "h").filter_map(|(_, value)| STANDARD.decode(value).ok());
    let signatures: Vec<Vec<u8>> = signatures.take(SIGNATURES_MAX).collect();
    let fits = |key: &Key| {
        let Key::Secret(key) = key else { return false };
        let mut context = hmac::Context::with_key(key);
        [time.as_bytes(), b".", webhook.body].into_iter().for_each(|piece| context.update(piece));
        let tag = context.sign();
        signatures.iter().fold(false, |found, given| bool::from(tag.as_ref().ct_eq(given)) | found)
    };
    one_of_them(account, |secret| secret.with_key(Key::of, fits))?;
    within_window(account, time.parse().map_err(|_| AuthFailure::Mismatch)?, webhook.received_at)
}

/// What a secret of the settings is.
enum Key {
    /// `None` where the 32 bytes are no key: nothing fits it.
    Public(Option<ParsedPublicKey>),
    Secret(Box<hmac::Key>),
}

impl Key {
    fn of(secret: &[u8]) -> Self {
        match public_key(secret) {
            Some(key) => Self::Public(ParsedPublicKey::new(&ED25519, key).ok()),
            None => Self::Secret(Box::new(hmac::Key::new(hmac::HMAC_SHA256, secret))),
        }
    }
}

fn public_key(secret: &[u8]) -> Option<[u8; KEY_LENGTH]> {
    STANDARD.decode(secret).ok()?.try_into().ok()
}

/// PKCS#8 in PEM, or the seed in base64.
fn key_pair(written: &[u8]) -> Result<Ed25519KeyPair, &'static str> {
    if let Ok(der) = PrivatePkcs8KeyDer::from_pem_slice(written) {
        return Ed25519KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| "it is not Ed25519");
    }
    let seed = STANDARD.decode(written).map_err(|_| "it is neither PKCS#8 in PEM nor a seed in base64")?;
    Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| "a seed has 32 bytes")
}

fn signed_bytes(time: &str, body: &[u8]) -> Vec<u8> {
    [time.as_bytes(), b"|", body].concat()
}

#[derive(Deserialize)]
struct Whole<T> {
    data: Option<T>,
}

#[derive(Deserialize)]
struct Kind {
    event_type: Option<String>,
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    payload: Option<Payload<'a>>,
}

#[derive(Deserialize)]
struct Payload<'a> {
    id: Option<String>,
    #[serde(borrow)]
    from: Option<&'a RawValue>,
    #[serde(borrow)]
    to: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<Raw<'a>>,
    #[serde(default)]
    media: First<Medium>,
    #[serde(borrow)]
    parts: Option<&'a RawValue>,
    #[serde(borrow)]
    received_at: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Medium {
    url: Option<String>,
    content_type: Option<String>,
}

impl Payload<'_> {
    fn into_text(self, account: &Account) -> Result<Inbound, Malformed> {
        let media: Vec<Media> = self.media.0.into_iter().filter_map(Medium::into_media).collect();
        if self.text.is_none() && media.is_empty() {
            return Err(Malformed("text missing"));
        }
        let to = self.to.and_then(document).and_then(|to| ours(to, account));
        let from = self.from.and_then(document).and_then(number_of);
        Ok(Inbound {
            carrier_message_id: Some(filled(self.id).ok_or(Malformed("payload.id missing"))?),
            from: Text::from(filled(from).ok_or(Malformed("from missing"))?),
            to: recipient(to, account, "to missing")?,
            body: charset::utf8(self.text.map_or_else(Default::default, |text| text.0)),
            sent_at: members::time(self.received_at),
            part: None,
            segments: members::segments(self.parts),
            media,
        })
    }
}

impl Medium {
    fn into_media(self) -> Option<Media> {
        Some(Media { url: filled(self.url)?, content_type: filled(self.content_type) })
    }
}

fn document(json: &RawValue) -> Option<Document<'_>> {
    Document::parse(json.get().as_bytes()).ok()
}

/// The number of who sends or receives: alone in older versions, with what is known of it today.
fn number_of(party: Document<'_>) -> Option<String> {
    party.scalar().or_else(|| party.at("/phone_number", false)?.scalar()).map(form::lossy)
}

/// A message to a group names everybody in it: the account's own number if that is there, else the first.
fn ours(to: Document<'_>, account: &Account) -> Option<String> {
    let Some(all) = to.elements() else { return number_of(to) };
    let mut first = None;
    for number in all.take(PARTIES_MAX).filter_map(number_of) {
        if account.number == Some(Number::normalise(&number, account.country)) {
            return Some(number);
        }
        first.get_or_insert(number);
    }
    first
}
