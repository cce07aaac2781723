//! Bird (the successor of MessageBird): its notifications of texts received on a channel.
//!
//! Comes in: POST of `{service, event, payload}`, the payload a message of the Channels API, signed
//! together with time and URL. Goes out: one text, with its media.
//! Always true: the signature covers the *configured* public URL, exactly as written, and the query as
//! received; the number texted is never named (only a connector is), so the account's `number` stands in.
//! Not here: events about anything but a message that came in; MessageBird's own webhooks (`messagebird`).
//!
//! Sources (2026-11-22): docs.bird.com, "Verifying a webhook subscription", "Receiving messages"
//! (Programmable SMS) and the notifications API's pages on retries. UNVERIFIED: the event's name, so
//! that the message's own direction decides; whether a retry, for up to 8 h, is signed anew (the window is
//! wide enough if not); how media is written, which follows the Channels API's way of sending it.

use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::carrier::proof::authenticate::{one_of_them, within_window};
use crate::carrier::reading::charset;
use crate::carrier::reading::json::{First, Raw};
use crate::carrier::{
    Account, Auth, AuthFailure, Carrier, Contract, Delivery, Draft, Malformed, Signed, SigningError, Webhook, proof,
};
use crate::message::{Inbound, Media, Text, Timestamp};

const SIGNATURE: &str = "messagebird-signature";
const TIME: &str = "messagebird-request-timestamp";

static CONTRACT: Contract = Contract {
    name: "bird",
    // For 8 h, at growing intervals, unless it is answered 2xx.
    retries_503: true,
    auth: Auth::Signature,
    signs: true,
    signature_headers: &[SIGNATURE],
    window: Some(Duration::from_secs(9 * 3600)),
    ..Contract::USUAL
};

pub struct Bird;

impl Carrier for Bird {
    fn contract(&self) -> &'static Contract {
        &CONTRACT
    }

    fn verify(&self, webhook: &Webhook<'_>, account: &Account) -> Result<(), AuthFailure> {
        let header = webhook.header(SIGNATURE).ok_or(AuthFailure::Missing)?;
        let time = webhook.header(TIME).ok_or(AuthFailure::Missing)?;
        let signature = STANDARD.decode(header).map_err(|_| AuthFailure::Mismatch)?;
        let message = message(time, &account.url, webhook.query, webhook.body);
        let fits = |key: &hmac::Key| hmac::verify(key, &message, &signature).is_ok();
        one_of_them(account, |secret| secret.with_key(key, fits))?;
        // After the signature, so that `expired` in the metrics means a replay or a wrong clock.
        let signed_at = time.parse().map_err(|_| AuthFailure::Mismatch)?;
        within_window(account, signed_at, webhook.received_at)
    }

    fn parse(&self, webhook: &Webhook<'_>, _account: &Account) -> Result<Delivery, Malformed> {
        match serde_json::from_slice::<Notification<Message<'_>>>(webhook.body) {
            Ok(Notification { payload: Some(message) }) if message.came_in() => {
                message.into_text().map(|text| Delivery::Texts(vec![text]))
            }
            Ok(_) => Ok(Delivery::Nothing("event")),
            Err(error) => match serde_json::from_slice::<Notification<Outline>>(webhook.body) {
                // Another event's payload need not look like a text's.
                Ok(Notification { payload: Some(other) }) if !other.came_in() => Ok(Delivery::Nothing("event")),
                _ => Err(malformed(&error)),
            },
        }
    }

    fn unsigned(&self, draft: &Draft, _account: &Account) -> Result<Signed, SigningError> {
        if draft.part.is_some() {
            return Err(SigningError::Unsupported(CONTRACT.name, "it tells nothing of pieces"));
        }
        let body = serde_json::json!({
            "service": "channels",
            "event": "sms.inbound",
            "payload": {
                "id": draft.id,
                "sender": {"contact": {"identifierKey": "phonenumber", "identifierValue": draft.from}},
                "body": {"type": "text", "text": {"text": draft.text}},
                "parts": [{"platformReference": draft.id}],
                "status": "delivered",
                "direction": INCOMING,
                "createdAt": draft.now.to_string(),
            },
        });
        Ok(Signed::post("application/json", body.to_string()))
    }

    fn sign(&self, request: &mut Signed, account: &Account, now: Timestamp) -> Result<(), SigningError> {
        let time = now.as_second().to_string();
        let message = message(&time, &account.url, &request.query, &request.body);
        let tag = proof::secret(account)?.with_key(key, |key| hmac::sign(key, &message));
        request.headers.push((TIME.to_owned(), time));
        request.headers.push((SIGNATURE.to_owned(), STANDARD.encode(tag)));
        Ok(())
    }
}

/// The direction of a text that somebody sent to us.
const INCOMING: &str = "incoming";

fn key(secret: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret)
}

/// Time, URL and the body's SHA-256, a line each; the last is 32 bytes, not digits.
fn message(time: &str, url: &str, query: &str, body: &[u8]) -> Vec<u8> {
    let mut message = Vec::with_capacity(time.len() + url.len() + query.len() + 35);
    for piece in [time, "\n", url, if query.is_empty() { "" } else { "?" }, query, "\n"] {
        message.extend_from_slice(piece.as_bytes());
    }
    message.extend_from_slice(digest::digest(&digest::SHA256, body).as_ref());
    message
}

/// Says what kind of mistake it is; serde's own words could quote the content.
fn malformed(error: &serde_json::Error) -> Malformed {
    match error.classify() {
        Category::Data => Malformed("a field is not of its type"),
        Category::Syntax | Category::Eof | Category::Io => Malformed("not JSON"),
    }
}

#[derive(Deserialize)]
struct Notification<P> {
    payload: Option<P>,
}

/// As little of a payload as tells what it is.
#[derive(Deserialize)]
struct Outline {
    direction: Option<String>,
    sender: Option<IgnoredAny>,
    body: Option<IgnoredAny>,
}

impl Outline {
    /// By the same rule as a message that can be read.
    fn came_in(&self) -> bool {
        came_in(self.direction.as_deref(), self.sender.is_some() && self.body.is_some())
    }
}

/// A message that says nothing of its direction came in where it has a sender and a body.
fn came_in(direction: Option<&str>, has_sender_and_body: bool) -> bool {
    let direction = direction.filter(|direction| !direction.is_empty());
    direction.map_or(has_sender_and_body, |direction| direction == INCOMING)
}

/// A message of the Channels API.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    id: Option<String>,
    sender: Option<Sender>,
    #[serde(borrow)]
    body: Option<Content<'a>>,
    parts: Option<Vec<IgnoredAny>>,
    direction: Option<String>,
    #[serde(borrow)]
    created_at: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Sender {
    contact: Option<Contact>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Contact {
    identifier_value: Option<String>,
}

/// What was said, in the member that `type` names; each may bring words.
#[derive(Deserialize)]
struct Content<'a> {
    #[serde(borrow)]
    text: Option<Words<'a>>,
    #[serde(borrow)]
    image: Option<Words<'a>>,
    #[serde(borrow)]
    file: Option<Words<'a>>,
}

#[derive(Deserialize)]
struct Words<'a> {
    #[serde(borrow)]
    text: Option<Raw<'a>>,
    #[serde(default)]
    images: First<Link>,
    #[serde(default)]
    files: First<Link>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    media_url: Option<String>,
    content_type: Option<String>,
}

impl Message<'_> {
    fn came_in(&self) -> bool {
        came_in(self.direction.as_deref(), self.sender.is_some() && self.body.is_some())
    }

    fn into_text(self) -> Result<Inbound, Malformed> {
        let filled = |field: Option<String>| field.filter(|value| !value.is_empty());
        let from = self.sender.and_then(|sender| sender.contact).and_then(|contact| contact.identifier_value);
        let Content { text, image, file } = self.body.ok_or(Malformed("body missing"))?;
        let (mut words, mut media) = (None, Vec::new());
        for content in [text, image, file].into_iter().flatten() {
            words = words.or(content.text.map(|text| text.0));
            let links = content.images.0.into_iter().chain(content.files.0);
            media.extend(links.filter_map(|link| {
                Some(Media { url: filled(link.media_url)?, content_type: filled(link.content_type) })
            }));
        }
        if words.is_none() && media.is_empty() {
            return Err(Malformed("neither text nor media"));
        }
        let parts = self.parts.map_or(1, |parts| parts.len().max(1));
        Ok(Inbound {
            carrier_message_id: Some(filled(self.id).ok_or(Malformed("id missing"))?),
            from: Text::from(filled(from).ok_or(Malformed("sender.contact.identifierValue missing"))?),
            to: None,
            body: charset::utf8(words.unwrap_or_default()),
            // Anything but a time is no reason to refuse a text.
            sent_at: self.created_at.and_then(|json| json.get().trim_matches('"').parse().ok()),
            part: None,
            segments: u16::try_from(parts).unwrap_or(u16::MAX),
            media,
        })
    }
}
