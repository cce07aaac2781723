//! Sinch: the SMS API (once XMS, CLX and Mblox) and the Conversation API, at one URL.
//!
//! Comes in: POST of one message, `"type": "mo_text"`, `"mo_binary"` or `"mo_media"`, or of a Conversation
//! callback with a `message` in it; the fate of messages sent, which comes to the same URL. Goes out: one
//! text. Bytes (`mo_binary`) are kept as bytes, and their user data header tells which piece they are.
//! Always true: a type of text that is not known here (`mo_…`) is kept and never passed over as an event; the
//! signature covers body, nonce and time; its header for the algorithm must be there, as
//! in Sinch's Java SDK.
//! Not here: a window for the signed time, which no SDK has and which Sinch's retries over 22 h 45 min
//! would fall out of; an MMS's subject.
//!
//! Sources, 2026-11-22: developers.sinch.com/docs/sms/api-reference/sms/tag/Webhooks; sinch/docs,
//! `sms-guide.md` and `conversation-callbacks.md`; the callbacks' tests of the Node, Java and Python SDKs;
//! the cases of nyaruka/courier (`mblox`). Unverified: how long it waits for an answer.

mod conversation;

use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use subtle::ConstantTimeEq;

use crate::carrier::proof::authenticate::one_of_them;
use crate::carrier::reading::json::{First, Raw};
use crate::carrier::reading::members::{self, filled, recipient};
use crate::carrier::reading::{charset, udh};
use crate::carrier::{
    Account, Auth, AuthFailure, Carrier, Contract, Delivery, Draft, Malformed, Signed, SigningError, Webhook, proof,
};
use crate::message::{Body, Inbound, Media, Text, Timestamp, iso};

const SIGNATURE: &str = "x-sinch-webhook-signature";
const NONCE: &str = "x-sinch-webhook-signature-nonce";
const TIMESTAMP: &str = "x-sinch-webhook-signature-timestamp";
const ALGORITHM: &str = "x-sinch-webhook-signature-algorithm";
const HMAC_SHA256: &str = "HmacSHA256";

static CONTRACT: Contract = Contract {
    name: "sinch",
    deadline: Duration::from_secs(15),
    // After a 5xx, 5 s later and then each time twice as long, for 22 h 45 min; a 4xx but 429 is final.
    retries_503: true,
    // Only where the account manager or the webhook's settings at Sinch were told a secret.
    auth: Auth::Signature,
    signs: true,
    signature_headers: &[SIGNATURE],
    ..Contract::USUAL
};

pub struct Sinch;

impl Carrier for Sinch {
    fn contract(&self) -> &'static Contract {
        &CONTRACT
    }

    fn verify(&self, webhook: &Webhook<'_>, account: &Account) -> Result<(), AuthFailure> {
        let header = |name| webhook.header(name).ok_or(AuthFailure::Missing);
        let (signature, nonce, time) = (header(SIGNATURE)?, header(NONCE)?, header(TIMESTAMP)?);
        if !header(ALGORITHM)?.eq_ignore_ascii_case(HMAC_SHA256) {
            return Err(AuthFailure::Mismatch);
        }
        let signature = STANDARD.decode(signature).map_err(|_| AuthFailure::Mismatch)?;
        let fits = |key: &hmac::Key| tag(key, webhook.body, nonce, time).as_ref().ct_eq(&signature).into();
        one_of_them(account, |secret| secret.with_key(key, fits))
    }

    fn parse(&self, webhook: &Webhook<'_>, account: &Account) -> Result<Delivery, Malformed> {
        let kind: Kind = members::read(webhook.body)?;
        let text = match kind.kind.as_deref().filter(|kind| !kind.is_empty()) {
            Some("mo_text") => members::read::<Sms<'_, Raw<'_>>>(webhook.body)?.into_text(account)?,
            Some("mo_binary") => members::read::<Sms<'_, String>>(webhook.body)?.into_text(account)?,
            Some("mo_media") => members::read::<Sms<'_, Mms<'_>>>(webhook.body)?.into_text(account)?,
            Some(other) if other.contains("delivery_report") => return Ok(Delivery::Nothing("receipt")),
            Some(other) if other.starts_with("mo_") => return Err(Malformed("a type of text that is not known")),
            Some(_) => return Ok(Delivery::Nothing("event")),
            None if kind.message.is_some() => conversation::read(webhook.body, account)?,
            None if kind.message_delivery_report.is_some() => return Ok(Delivery::Nothing("receipt")),
            None if kind.project_id.is_some() => return Ok(Delivery::Nothing("event")),
            None => return Err(Malformed("type missing")),
        };
        Ok(Delivery::Texts(vec![text]))
    }

    fn unsigned(&self, draft: &Draft, _account: &Account) -> Result<Signed, SigningError> {
        if draft.part.is_some() {
            return Err(SigningError::Unsupported(CONTRACT.name, "its texts have no fields for a piece"));
        }
        let time = iso::format(draft.now);
        let body = serde_json::json!({
            "id": draft.id, "type": "mo_text", "from": draft.from, "to": draft.to, "body": draft.text,
            "received_at": time,
        });
        Ok(Signed::post("application/json", body.to_string()))
    }

    fn sign(&self, request: &mut Signed, account: &Account, now: Timestamp) -> Result<(), SigningError> {
        let hash = digest::digest(&digest::SHA256, &request.body);
        let nonce: String = hash.as_ref()[..13].iter().map(|byte| format!("{byte:02X}")).collect();
        let time = now.as_second().to_string();
        let tag = tag(&key(&proof::secret(account)?.bytes()), &request.body, &nonce, &time);
        let signature = STANDARD.encode(tag);
        for (name, value) in
            [(SIGNATURE, signature), (NONCE, nonce), (TIMESTAMP, time), (ALGORITHM, HMAC_SHA256.to_owned())]
        {
            request.headers.push((name.to_owned(), value));
        }
        Ok(())
    }
}

fn key(secret: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret)
}

fn tag(key: &hmac::Key, body: &[u8], nonce: &str, time: &str) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    for piece in [body, b".", nonce.as_bytes(), b".", time.as_bytes()] {
        context.update(piece);
    }
    context.sign()
}

/// As much of a callback as tells which it is.
#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: Option<String>,
    message: Option<IgnoredAny>,
    message_delivery_report: Option<IgnoredAny>,
    project_id: Option<IgnoredAny>,
}

/// A message of the SMS API; what its body is depends on its type.
#[derive(Deserialize)]
struct Sms<'a, B> {
    id: Option<String>,
    from: Option<String>,
    to: Option<String>,
    body: Option<B>,
    udh: Option<String>,
    #[serde(borrow)]
    received_at: Option<&'a RawValue>,
    #[serde(borrow)]
    sent_at: Option<&'a RawValue>,
}

/// The body of an MMS.
#[derive(Deserialize)]
struct Mms<'a> {
    #[serde(borrow)]
    message: Option<Raw<'a>>,
    #[serde(default)]
    media: First<Medium>,
}

#[derive(Deserialize)]
struct Medium {
    url: Option<String>,
    content_type: Option<String>,
}

/// What a message says, whichever type it is of.
trait Content {
    fn read(self) -> Result<(Body, Vec<Media>), Malformed>;
}

impl Content for Raw<'_> {
    fn read(self) -> Result<(Body, Vec<Media>), Malformed> {
        Ok((charset::utf8(self.0), Vec::new()))
    }
}

/// Base64. What is not is kept as it came.
impl Content for String {
    fn read(self) -> Result<(Body, Vec<Media>), Malformed> {
        let bytes = STANDARD.decode(&self).unwrap_or_else(|_| self.into_bytes());
        Ok((Body::Undecodable(bytes), Vec::new()))
    }
}

impl Content for Mms<'_> {
    fn read(self) -> Result<(Body, Vec<Media>), Malformed> {
        let media: Vec<Media> = self.media.0.into_iter().filter_map(Medium::into_media).collect();
        if self.message.is_none() && media.is_empty() {
            return Err(Malformed("neither text nor media"));
        }
        Ok((charset::utf8(self.message.map_or_else(Default::default, |message| message.0)), media))
    }
}

impl Medium {
    fn into_media(self) -> Option<Media> {
        Some(Media { url: filled(self.url)?, content_type: filled(self.content_type) })
    }
}

impl<B: Content> Sms<'_, B> {
    fn into_text(self, account: &Account) -> Result<Inbound, Malformed> {
        let (body, media) = self.body.ok_or(Malformed("body missing"))?.read()?;
        Ok(Inbound {
            carrier_message_id: Some(filled(self.id).ok_or(Malformed("id missing"))?),
            from: Text::from(filled(self.from).ok_or(Malformed("from missing"))?),
            to: recipient(self.to, account, "to missing")?,
            body,
            sent_at: members::time(self.received_at).or_else(|| members::time(self.sent_at)),
            part: self.udh.as_deref().and_then(udh::from_hex).and_then(|header| udh::part(&header)),
            segments: 1,
            media,
        })
    }
}
