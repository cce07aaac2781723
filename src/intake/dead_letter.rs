//! What cannot be routed but must not be lost: one event with the content as it came and the reason.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use uuid::Builder;

use crate::carrier::{Account, Webhook};
use crate::message::{
    AccountName, Body, DeadLetterRecord, Destination, Event, EventId, EventKind, SCHEMA_VERSION, SenderKey, Text,
    Timestamp,
};

use super::encode::{InboundText, to_json};

/// Why something is in dead-letter; a closed list, for the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Authenticated, and no text could be read from it.
    Malformed,
    /// To a number the routes do not know, with no `*` number.
    UnknownNumber,
    /// The log will never take it.
    Refused,
}

impl Reason {
    pub fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnknownNumber => "unknown_number",
            Self::Refused => "too_large",
        }
    }
}

/// A request that could not be read: its body, or its query without our secret where it has no body.
/// The id is a keyed hash of the content, so a carrier's retries add nothing.
pub fn of_request(account: &Account, webhook: &Webhook<'_>, detail: &str, key: &SenderKey) -> Event {
    let query;
    let content = if webhook.body.is_empty() {
        query = without_secret(webhook.query);
        query.as_bytes()
    } else {
        webhook.body
    };
    let id = key.digest(&[b"dead-letter", account.name.as_str().as_bytes(), content]);
    let id = Builder::from_custom_bytes(id).into_uuid();
    let content_type = webhook.header("content-type").map(str::to_owned);
    event(&account.name, id, Reason::Malformed, detail, content_type, content, webhook.received_at, key)
}

/// A text that was read and has nowhere to go.
pub fn of_text(text: &InboundText, id: EventId, reason: Reason, key: &SenderKey) -> Event {
    let inbound = &text.inbound;
    let body = match &inbound.body {
        Body::Text(words) => serde_json::json!({ "text": words.as_str() }),
        Body::Undecodable(bytes) => serde_json::json!({ "raw": STANDARD.encode(bytes) }),
    };
    let content = to_json(&serde_json::json!({
        "id": inbound.carrier_message_id,
        "from": inbound.from.as_str(),
        "to": inbound.to.as_ref().map(Text::as_str),
        "body": body,
    }));
    let detail = "a text without a destination";
    let content_type = Some("application/json".to_owned());
    event(&text.account, id, reason, detail, content_type, &content, text.received_at, key)
}

#[expect(clippy::too_many_arguments, reason = "the fields of one record, named at both calls")]
fn event(
    account: &AccountName,
    id: EventId,
    reason: Reason,
    detail: &str,
    content_type: Option<String>,
    content: &[u8],
    received_at: Timestamp,
    key: &SenderKey,
) -> Event {
    let record = DeadLetterRecord {
        schema_version: SCHEMA_VERSION,
        id,
        account: account.clone(),
        reason: reason.label().into(),
        detail: detail.to_owned(),
        content_type,
        body: Text::from(STANDARD.encode(content)),
        received_at,
    };
    Event {
        id,
        kind: EventKind::DeadLetter,
        destination: Destination::DeadLetter,
        account: account.clone(),
        subject: account.as_str().to_owned(),
        received_at,
        key: key.digest(&[b"dead-letter", account.as_str().as_bytes()]),
        fingerprint: key.fingerprint(&[content]),
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
