//! What cannot be routed but must not be lost: one event with the content as it came and the reason.
//!
//! Comes in: a request that nobody could read, or a text without a place to go. Goes out: an event
//! for dead-letter, with all that is needed to call it back.
//! Always true: the id is a keyed hash, so retries add nothing; a secret of the query is left out.
//! Not here: keeping it, calling it back (`recall`).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use serde::{Deserialize, Serialize};
use uuid::Builder;

use crate::carrier::{Account, Webhook};
use crate::message::{
    Body, DeadLetterRecord, Destination, Event, EventId, EventKind, Flag, Inbound, Media, Open, Part, Parts,
    ReplayedRecord, SCHEMA_VERSION, SenderKey, Text, Timestamp, iso,
};

use super::encode::{InboundText, Label, to_json};

/// Why something is in dead-letter; a closed list, for the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Authenticated, and no text could be read from it.
    Malformed,
    /// To a number the routes do not know, with no `*` number.
    UnknownNumber,
    /// The log will never take it.
    Refused,
    /// A record that the archive or the joiner could not read.
    UnreadableRecord,
    /// On its topic or in its feed, but its department's e-mail or push will not take it.
    Undelivered,
}

impl Reason {
    pub const ALL: [Self; 5] =
        [Self::Malformed, Self::UnknownNumber, Self::Refused, Self::UnreadableRecord, Self::Undelivered];

    pub fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownNumber => "unknown_number",
            Self::Refused => "too_large",
            Self::UnreadableRecord => "unreadable_record",
            Self::Undelivered => "undelivered",
        }
    }

    /// The reason of that label.
    pub fn parse(label: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.label() == label)
    }
}

/// A text as a letter keeps it: everything its record would have been made of.
#[derive(Serialize, Deserialize)]
pub(super) struct TextContent {
    /// The carrier's own.
    pub id: Option<String>,
    pub from: Text,
    pub to: Option<Text>,
    pub body: BodyContent,
    #[serde(with = "iso::option", skip_serializing_if = "Option::is_none", default)]
    pub sent_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub part: Option<PartContent>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub parts: Option<Parts>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub media: Vec<Media>,
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub flags: Vec<Open<Flag>>,
    /// The text that this one completes, for what came too late to be part of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub completes: Option<EventId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub traceparent: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum BodyContent {
    Text(Text),
    /// Base64.
    Raw(Text),
}

#[derive(Serialize, Deserialize)]
pub(super) struct PartContent {
    pub reference: String,
    pub total: u16,
    pub number: u16,
}

impl TextContent {
    fn of(text: &InboundText, label: &Label) -> Self {
        let inbound = &text.inbound;
        Self {
            id: inbound.carrier_message_id.clone(),
            from: inbound.from.clone(),
            to: inbound.to.clone(),
            body: match &inbound.body {
                Body::Text(words) => BodyContent::Text(words.clone()),
                Body::Undecodable(bytes) => BodyContent::Raw(Text::from(STANDARD.encode(bytes))),
            },
            sent_at: inbound.sent_at,
            part: inbound.part.as_ref().map(|part| PartContent {
                reference: part.reference.clone(),
                total: part.total,
                number: part.number,
            }),
            parts: text.parts,
            media: inbound.media.clone(),
            flags: label.flags.clone(),
            completes: label.relates_to,
            traceparent: text.traceparent.clone(),
        }
    }

    /// As the carrier sent it; `None` when the bytes are no base64.
    pub(super) fn inbound(&self) -> Option<Inbound> {
        let part = self.part.as_ref();
        Some(Inbound {
            carrier_message_id: self.id.clone(),
            from: self.from.clone(),
            to: self.to.clone(),
            body: match &self.body {
                BodyContent::Text(words) => Body::Text(words.clone()),
                BodyContent::Raw(encoded) => Body::Undecodable(STANDARD.decode(encoded.as_str()).ok()?),
            },
            sent_at: self.sent_at,
            part: part.map(|part| Part { reference: part.reference.clone(), total: part.total, number: part.number }),
            segments: self.parts.map_or(1, |parts| parts.received),
            media: self.media.clone(),
        })
    }
}

/// A request that could not be read: its body, or its query without our secret where it has no body.
/// The id is a keyed hash of the content, so a carrier's retries add nothing. `flags` are those of its texts.
pub fn of_request(account: &Account, webhook: &Webhook<'_>, detail: &str, flags: &[Flag], key: &SenderKey) -> Event {
    let query = without_secret(webhook.query);
    let content = if webhook.body.is_empty() { query.as_bytes() } else { webhook.body };
    let name = account.name.as_str().as_bytes();
    let id = if webhook.body.is_empty() || query.is_empty() {
        key.digest(&[b"dead-letter", name, content])
    } else {
        key.digest(&[b"dead-letter", name, content, query.as_bytes()])
    };
    // With a body the query may hold the other half of a text; without one it is the body of a GET.
    let is_content = webhook.body.is_empty() && webhook.method == Method::GET;
    let query = (!is_content && !query.is_empty()).then(|| Text::from(query.as_str()));
    let letter = DeadLetterRecord {
        content_type: webhook.header("content-type").map(str::to_owned),
        method: Some(webhook.method.as_str().to_owned()),
        query,
        flags: flags.iter().copied().map(Open::Known).collect(),
        ..DeadLetterRecord::new(
            Builder::from_custom_bytes(id).into_uuid(),
            account.name.clone(),
            Reason::Malformed.label(),
            detail.to_owned(),
            content,
            webhook.received_at,
        )
    };
    letter.of_account(content, key)
}

/// A text that was read and has nowhere to go; `label` is what it would have been called.
pub fn of_text(text: &InboundText, label: &Label, reason: Reason, key: &SenderKey) -> Event {
    // The label's id may already stand for another text of the carrier's, so the letter's is made of both.
    let id = EventId::new_v5(&label.id, &key.digest(&[b"dead-letter", &text.fingerprint]));
    let content = to_json(&TextContent::of(text, label));
    let detail = match reason {
        Reason::UnknownNumber => "a text to a number that the routes do not know",
        Reason::Malformed | Reason::Refused | Reason::UnreadableRecord | Reason::Undelivered => {
            "a text that the log refused for good"
        }
    };
    let letter = DeadLetterRecord {
        content_type: Some("application/json".to_owned()),
        relates_to: Some(label.id),
        ..DeadLetterRecord::new(id, text.account.clone(), reason.label(), detail.to_owned(), &content, text.received_at)
    };
    letter.of_account(&content, key)
}

/// Says on the same topic that a letter was called back. The topic cannot forget, so this remembers;
/// it lives as long as the letter, whose time it has.
pub fn replayed(letter: &DeadLetterRecord, key: &SenderKey) -> Event {
    let id = EventId::new_v5(&letter.id, b"replayed");
    let record = ReplayedRecord {
        schema_version: SCHEMA_VERSION,
        id,
        account: letter.account.clone(),
        relates_to: letter.id,
        received_at: letter.received_at,
    };
    Event {
        id,
        copy_of: None,
        kind: EventKind::Replayed,
        destination: Destination::DeadLetter,
        account: letter.account.clone(),
        subject: letter.account.as_str().to_owned(),
        received_at: letter.received_at,
        key: DeadLetterRecord::key_of(&letter.account, key),
        fingerprint: key.fingerprint(&[letter.id.as_bytes()]),
        traceparent: None,
        value: to_json(&record),
    }
}

fn without_secret(query: &str) -> String {
    let is_secret = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default();
        form_urlencoded::parse(name.as_bytes()).any(|(name, _)| name == "secret")
    };
    let kept = query.split('&').filter(|pair| !is_secret(pair));
    kept.collect::<Vec<_>>().join("&")
}
