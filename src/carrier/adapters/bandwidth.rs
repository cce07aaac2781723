//! Bandwidth: message callbacks, an array of events.
//!
//! Comes in: POST of `[{"type": "message-received", …}]`; the fate of messages sent, which comes to the
//! same URL. Goes out: the texts among them.
//! Always true: `owner` says which of our numbers was texted, for of a group message each of ours gets
//! an event; its `message.id` is the text's id. Should two events have one id, they differ in the number
//! and so are two texts all the same.
//! Not here: a signature, for Bandwidth has none; the first Bandwidth API, which pushed queries.
//!
//! Sources, 2026-11-22: dev.bandwidth.com/docs/messaging/webhooks (Bandwidth/api-docs), the models of
//! Bandwidth's Python SDK, the cases of nyaruka/courier. A time that is not ISO 8601 makes an event
//! malformed, as courier's cases have it. Unverified: the waits between its tries, of which there are 24 h.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::carrier::reading::charset;
use crate::carrier::reading::json::{First, OneOrMany, Raw};
use crate::carrier::reading::members::{self, filled, recipient};
use crate::carrier::{Account, Auth, Carrier, Contract, Delivery, Draft, Malformed, Signed, SigningError, Webhook};
use crate::message::{Inbound, Media, Text, iso};

static CONTRACT: Contract = Contract {
    name: "bandwidth",
    deadline: Duration::from_secs(10),
    // Whatever is not 2xx, for 24 h.
    retries_503: true,
    // User id and password of the application's callbacks.
    auth: Auth::Basic,
    ..Contract::USUAL
};

/// The one type of event that is a text.
const RECEIVED: &str = "message-received";

pub struct Bandwidth;

impl Carrier for Bandwidth {
    fn contract(&self) -> &'static Contract {
        &CONTRACT
    }

    fn parse(&self, webhook: &Webhook<'_>, account: &Account) -> Result<Delivery, Malformed> {
        let events = members::read::<OneOrMany<Event<'_>>>(webhook.body)?.into_vec();
        let (all, mut texts) = (events.len(), Vec::with_capacity(events.len()));
        for event in events {
            match event.kind.as_deref().filter(|kind| !kind.is_empty()) {
                Some(RECEIVED) => texts.push(event.into_text(account)?),
                Some(_) => {}
                None => return Err(Malformed("type missing")),
            }
        }
        match (texts.is_empty(), all) {
            (false, _) => Ok(Delivery::Texts(texts)),
            (true, 0) => Ok(Delivery::Nothing("empty")),
            (true, _) => Ok(Delivery::Nothing("receipt")),
        }
    }

    fn unsigned(&self, draft: &Draft, _account: &Account) -> Result<Signed, SigningError> {
        if draft.part.is_some() {
            return Err(SigningError::Unsupported(CONTRACT.name, "it joins long texts before it pushes them"));
        }
        let time = iso::format(draft.now);
        let message = serde_json::json!({
            "id": draft.id, "time": time, "to": [draft.to], "from": draft.from, "text": draft.text,
            "applicationId": "93de2206-9669-4e07-948d-329f4b722ee2", "owner": draft.to, "direction": "in", "segmentCount": 1,
        });
        let event = serde_json::json!({
            "type": RECEIVED, "time": time, "description": "Incoming message received", "to": draft.to, "message": message,
        });
        Ok(Signed::post("application/json; charset=utf-8", serde_json::json!([event]).to_string()))
    }
}

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    to: Option<String>,
    #[serde(borrow)]
    message: Option<Message<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    id: Option<String>,
    owner: Option<String>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(default)]
    to: First<String>,
    from: Option<String>,
    #[serde(borrow)]
    text: Option<Raw<'a>>,
    #[serde(default)]
    media: First<String>,
    #[serde(borrow)]
    segment_count: Option<&'a RawValue>,
}

impl Event<'_> {
    fn into_text(self, account: &Account) -> Result<Inbound, Malformed> {
        let message = self.message.ok_or(Malformed("message missing"))?;
        let first = message.to.0.into_iter().next();
        let to = [message.owner, self.to, first].into_iter().find_map(filled);
        let media = message.media.0;
        if message.text.is_none() && media.is_empty() {
            return Err(Malformed("text missing"));
        }
        let time = message.time.or(self.time);
        let sent_at = members::time(time);
        if time.is_some() && sent_at.is_none() {
            return Err(Malformed("time is not ISO 8601"));
        }
        Ok(Inbound {
            carrier_message_id: Some(filled(message.id).ok_or(Malformed("message.id missing"))?),
            from: Text::from(filled(message.from).ok_or(Malformed("from missing"))?),
            to: recipient(to, account, "owner missing")?,
            body: charset::utf8(message.text.map_or_else(Default::default, |text| text.0)),
            sent_at,
            part: None,
            segments: members::segments(message.segment_count),
            media: media.into_iter().map(|url| Media { url, content_type: None }).collect(),
        })
    }
}
