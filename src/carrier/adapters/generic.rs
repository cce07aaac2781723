//! Standard Webhooks: for senders that have no format of their own.
//!
//! Comes in: POST of `{"type": "sms.received", "timestamp": …, "data": {"id", "from", "to", "text",
//! "part"?: {"reference", "total", "number"}}}`; `data` may be an array, and the whole body may be an
//! array of such objects or of such data. Headers `webhook-id`, `webhook-timestamp`, `webhook-signature`.
//! Goes out: every text of it, or none at all: one that cannot be read refuses the request.
//! Always true: the signature covers id, time and body; a time more than 5 minutes away is refused. A
//! text with lone surrogates, or bytes that are not UTF-8, is kept as bytes (surrogates in WTF-8)
//! and costs the other texts nothing; the same in any other field makes the request malformed.
//! Not here: asymmetric signatures (`v1a`), which are passed over like any unknown version.
//!
//! Source: github.com/standard-webhooks/standard-webhooks, spec/standard-webhooks.md.

use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use subtle::ConstantTimeEq;

use crate::carrier::proof::authenticate::{one_of_them, within_window};
use crate::carrier::reading::charset;
use crate::carrier::reading::json::{BATCH_MAX, OneOrMany, Raw};
use crate::carrier::reading::members::{self, filled, recipient};
use crate::carrier::reading::pointer::Document;
use crate::carrier::{
    Account, Auth, AuthFailure, Carrier, Contract, Delivery, Draft, Malformed, Signed, SigningError, Webhook, proof,
};
use crate::message::{Inbound, Part, Secret, Text, Timestamp};

/// The one type of event that is a text.
const SMS_RECEIVED: &str = "sms.received";
/// The specification's shortest key, in bytes.
const KEY_LENGTH_MIN: usize = 24;
/// Signatures tried of one header: a rotation needs two.
const SIGNATURES_MAX: usize = 16;

static CONTRACT: Contract = Contract {
    name: "generic",
    // The specification advises senders to wait 15 to 30 s.
    deadline: Duration::from_secs(15),
    // It asks senders to retry whatever is not 2xx, over days.
    retries_503: true,
    auth: Auth::Signature,
    signs: true,
    signature_headers: &["webhook-signature"],
    window: Some(Duration::from_secs(5 * 60)),
    ..Contract::USUAL
};

pub struct Generic;

impl Carrier for Generic {
    fn contract(&self) -> &'static Contract {
        &CONTRACT
    }

    fn verify(&self, webhook: &Webhook<'_>, account: &Account) -> Result<(), AuthFailure> {
        let id = webhook.header("webhook-id").ok_or(AuthFailure::Missing)?;
        let time = webhook.header("webhook-timestamp").ok_or(AuthFailure::Missing)?;
        let signatures = webhook.header("webhook-signature").ok_or(AuthFailure::Missing)?;
        let signatures: Vec<Vec<u8>> = signatures
            .split(' ')
            .filter_map(|versioned| STANDARD.decode(versioned.strip_prefix("v1,")?).ok())
            .take(SIGNATURES_MAX)
            .collect();
        let fits = |key: &Result<hmac::Key, _>| {
            let Ok(key) = key else { return false };
            let tag = tag(key, id, time, webhook.body);
            signatures.iter().fold(false, |found, given| bool::from(tag.as_ref().ct_eq(given)) | found)
        };
        one_of_them(account, |secret| secret.with_key(key, fits))?;
        // After the signature, so that `expired` in the metrics means a replay or a wrong clock.
        let signed_at = time.parse().map_err(|_| AuthFailure::Mismatch)?;
        within_window(account, signed_at, webhook.received_at)
    }

    fn parse(&self, webhook: &Webhook<'_>, account: &Account) -> Result<Delivery, Malformed> {
        if webhook.body.trim_ascii_start().starts_with(b"[") {
            // One after the other: what is read takes several times the memory of its JSON.
            let list = Document::parse(webhook.body)?;
            let objects = list.elements().into_iter().flatten();
            return delivery(objects.map(|object| members::read(object.json())), account);
        }
        match members::read::<Object<'_>>(webhook.body) {
            Ok(object) if object.kind.is_none() => Err(Malformed("type missing")),
            Ok(object) => delivery(std::iter::once(Ok(object)), account),
            // Another event's data need not look like a text's.
            Err(error) => match serde_json::from_slice::<Kind>(webhook.body) {
                Ok(other) if other.kind != SMS_RECEIVED => Ok(Delivery::Nothing("event")),
                _ => Err(error),
            },
        }
    }

    fn unsigned(&self, draft: &Draft, _account: &Account) -> Result<Signed, SigningError> {
        let mut data = serde_json::json!({"id": draft.id, "from": draft.from, "to": draft.to, "text": draft.text});
        if let Some(part) = &draft.part {
            data["part"] = serde_json::json!({"reference": part.reference, "total": part.total, "number": part.number});
        }
        let body = serde_json::json!({"type": SMS_RECEIVED, "timestamp": draft.now.to_string(), "data": data});
        Ok(Signed::post("application/json", body.to_string()))
    }

    fn sign(&self, request: &mut Signed, account: &Account, now: Timestamp) -> Result<(), SigningError> {
        // The same body is the same delivery, as a retry is.
        let hash = digest::digest(&digest::SHA256, &request.body);
        let hash: String = hash.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        let (id, time) = (format!("msg_{hash}"), now.as_second().to_string());
        let signature = signature(proof::secret(account)?, &id, &time, &request.body)
            .map_err(|why| SigningError::BadSecret(account.name.clone(), why))?;
        request.headers.push(("webhook-id".to_owned(), id));
        request.headers.push(("webhook-timestamp".to_owned(), time));
        request.headers.push(("webhook-signature".to_owned(), signature));
        Ok(())
    }

    fn check_secret(&self, secret: &Secret) -> Result<(), &'static str> {
        check_secret(secret)
    }
}

/// Whether a secret can sign; if not, what is wrong with it.
pub fn check_secret(secret: &Secret) -> Result<(), &'static str> {
    key(&secret.bytes()).map(drop)
}

/// What `webhook-signature` says of one secret: the specification's `v1,` and a tag in base64. `time` is
/// `webhook-timestamp`: seconds since 1970.
pub fn signature(secret: &Secret, id: &str, time: &str, body: &[u8]) -> Result<String, &'static str> {
    secret.with_key(key, |key| {
        let tag = tag(key.as_ref().map_err(|why| *why)?, id, time, body);
        Ok(format!("v1,{}", STANDARD.encode(tag)))
    })
}

const TOO_MANY: Malformed = Malformed("more than 2000 texts are in one request");

/// `whsec_` and the key in base64.
fn key(secret: &[u8]) -> Result<hmac::Key, &'static str> {
    let encoded = secret.strip_prefix(b"whsec_").ok_or("it must begin with whsec_")?;
    let bytes = STANDARD.decode(encoded).map_err(|_| "what follows whsec_ must be base64")?;
    if bytes.len() < KEY_LENGTH_MIN {
        return Err("what follows whsec_ must be at least 24 bytes in base64");
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

fn tag(key: &hmac::Key, id: &str, time: &str, body: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    for piece in [id.as_bytes(), b".", time.as_bytes(), b".", body] {
        context.update(piece);
    }
    context.sign()
}

/// An event, or the data of one: which it is shows in whether there is `data`.
#[derive(Deserialize)]
struct Object<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<OneOrMany<Data<'a>>>,
    id: Option<String>,
    from: Option<String>,
    to: Option<String>,
    #[serde(borrow)]
    text: Option<Raw<'a>>,
    #[serde(borrow)]
    part: Option<Piece<'a>>,
}

/// One text.
#[derive(Deserialize)]
struct Data<'a> {
    id: Option<String>,
    from: Option<String>,
    to: Option<String>,
    #[serde(borrow)]
    text: Option<Raw<'a>>,
    #[serde(borrow)]
    part: Option<Piece<'a>>,
}

/// As little of an event as tells which it is.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
struct Piece<'a> {
    #[serde(borrow)]
    reference: Option<&'a RawValue>,
    total: u16,
    number: u16,
}

/// The texts of all objects.
fn delivery<'a>(
    objects: impl Iterator<Item = Result<Object<'a>, Malformed>>,
    account: &Account,
) -> Result<Delivery, Malformed> {
    let (mut texts, mut other_events) = (Vec::new(), false);
    for (index, object) in objects.enumerate() {
        if index == BATCH_MAX {
            return Err(TOO_MANY);
        }
        let object = object?;
        if object.kind.as_deref().is_some_and(|kind| kind != SMS_RECEIVED) {
            other_events = true;
            continue;
        }
        object.read(account, &mut texts)?;
    }
    match (texts.is_empty(), other_events) {
        (false, _) => Ok(Delivery::Texts(texts)),
        (true, true) => Ok(Delivery::Nothing("event")),
        (true, false) => Ok(Delivery::Nothing("empty")),
    }
}

impl Object<'_> {
    fn read(self, account: &Account, texts: &mut Vec<Inbound>) -> Result<(), Malformed> {
        let sent_at = self.timestamp.and_then(|raw| sent_at(raw.get()));
        match self.data {
            Some(data) => {
                let many = data.into_vec();
                if texts.len() + many.len() > BATCH_MAX {
                    return Err(TOO_MANY);
                }
                for data in many {
                    texts.push(data.read(account, sent_at)?);
                }
            }
            None if self.kind.is_some() => return Err(Malformed("data missing")),
            None => {
                let data = Data { id: self.id, from: self.from, to: self.to, text: self.text, part: self.part };
                texts.push(data.read(account, sent_at)?);
            }
        }
        Ok(())
    }
}

impl Data<'_> {
    fn read(self, account: &Account, sent_at: Option<Timestamp>) -> Result<Inbound, Malformed> {
        let to = recipient(self.to, account, "to missing")?;
        Ok(Inbound {
            carrier_message_id: Some(filled(self.id).ok_or(Malformed("id missing"))?),
            from: Text::from(filled(self.from).ok_or(Malformed("from missing"))?),
            to,
            body: charset::utf8(self.text.ok_or(Malformed("text missing"))?.0),
            sent_at,
            part: self.part.map(Piece::read).transpose()?.flatten(),
            segments: 1,
            media: Vec::new(),
        })
    }
}

impl Piece<'_> {
    /// A text of one piece is whole.
    fn read(self) -> Result<Option<Part>, Malformed> {
        if !(1..=self.total).contains(&self.number) {
            return Err(Malformed("part number outside its total"));
        }
        if self.total == 1 {
            return Ok(None);
        }
        let written = self.reference.ok_or(Malformed("part reference missing"))?.get();
        let reference = match written.parse::<u64>() {
            Ok(number) => number.to_string(),
            Err(_) => members::read(written.as_bytes())?,
        };
        Ok(Some(Part { reference, total: self.total, number: self.number }))
    }
}

/// RFC 3339, or Unix seconds. Anything else is no time, and no reason to refuse a text.
fn sent_at(json: &str) -> Option<Timestamp> {
    match json.parse::<i64>() {
        Ok(seconds) => Timestamp::from_second(seconds).ok(),
        Err(_) => json.trim_matches('"').parse().ok(),
    }
}
