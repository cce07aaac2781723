//! Infobip: received messages pushed in batches (MO_JSON_2), SMS and MMS.
//!
//! Comes in: POST of `{"results": […]}`, up to 2000 of them. Goes out: every text of it, or none: one that
//! cannot be read refuses the request, which is then kept whole in dead-letter.
//! Always true: the text is the whole one, never `cleanText`, from which the keyword is gone; the words
//! of an MMS are its text parts, a line's end between two.
//! Not here: a signature. Infobip can sign with an HMAC, but no page or SDK says over what.
//!
//! Sources, 2026-11-22: infobip.com/docs/api/channels/sms/inbound-sms/receive-inbound-sms-messages and
//! …/platform/subscriptions-api/create-profile; the models of infobip-api-java-client; the cases of
//! nyaruka/courier. Waits between tries grow as the square of their number, 20 tries in 41.5 h.
//! Unverified: which 2xx it takes for an answer, what it does after a 4xx.

use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::carrier::reading::charset;
use crate::carrier::reading::json::{First, OneOrMany, Raw};
use crate::carrier::reading::members::{self, filled, recipient};
use crate::carrier::{Account, Auth, Carrier, Contract, Delivery, Draft, Malformed, Signed, SigningError, Webhook};
use crate::message::{Inbound, Media, Text};

static CONTRACT: Contract = Contract {
    name: "infobip",
    // `connectTimeout` of the notification profile, up to 30 s; what is usual is not said.
    deadline: Duration::from_secs(15),
    // 2000 texts in one request.
    body_max: 2 * 1024 * 1024,
    retries_503: true,
    // A notification profile can carry HTTP Basic too.
    auth: Auth::Path,
    ..Contract::USUAL
};

/// As Infobip writes times: no colon in the offset.
const TIME_FORM: &str = "%Y-%m-%dT%H:%M:%S%.3f+0000";

pub struct Infobip;

impl Carrier for Infobip {
    fn contract(&self) -> &'static Contract {
        &CONTRACT
    }

    fn parse(&self, webhook: &Webhook<'_>, account: &Account) -> Result<Delivery, Malformed> {
        let push: Push<'_> = members::read(webhook.body)?;
        let results = push.results.ok_or(Malformed("results missing"))?.into_vec();
        let (all, mut texts) = (results.len(), Vec::with_capacity(results.len()));
        for result in results.into_iter().filter(|result| !result.is_receipt()) {
            texts.push(result.into_text(account)?);
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
        let received_at = draft.now.strftime(TIME_FORM).to_string();
        let result = serde_json::json!({
            "messageId": draft.id, "from": draft.from, "to": draft.to, "text": draft.text, "receivedAt": received_at,
            "smsCount": 1, "price": {"pricePerMessage": 0, "currency": "GBP"},
        });
        let body = serde_json::json!({"results": [result], "messageCount": 1, "pendingMessageCount": 0});
        Ok(Signed::post("application/json", body.to_string()))
    }
}

#[derive(Deserialize)]
struct Push<'a> {
    #[serde(borrow)]
    results: Option<OneOrMany<Received<'a>>>,
}

/// One text, or the receipt of one that was sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Received<'a> {
    message_id: Option<String>,
    from: Option<String>,
    to: Option<String>,
    #[serde(borrow)]
    text: Option<Raw<'a>>,
    /// In the place of `text`, for an MMS.
    #[serde(borrow)]
    message: Option<First<Piece<'a>>>,
    #[serde(borrow)]
    received_at: Option<&'a RawValue>,
    #[serde(borrow)]
    sms_count: Option<&'a RawValue>,
    /// Receipts have it, texts do not.
    status: Option<IgnoredAny>,
}

/// A piece of an MMS: words, or where something is.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Piece<'a> {
    content_type: Option<String>,
    #[serde(borrow)]
    value: Option<Raw<'a>>,
    url: Option<String>,
}

impl Received<'_> {
    fn is_receipt(&self) -> bool {
        self.status.is_some() && self.text.is_none() && self.message.is_none()
    }

    fn into_text(self, account: &Account) -> Result<Inbound, Malformed> {
        let pieces = self.message.unwrap_or_default().0;
        let body = match self.text {
            Some(text) => charset::utf8(text.0),
            None if pieces.is_empty() => return Err(Malformed("text missing")),
            None => charset::utf8(words(&pieces).into()),
        };
        Ok(Inbound {
            carrier_message_id: Some(filled(self.message_id).ok_or(Malformed("messageId missing"))?),
            from: Text::from(filled(self.from).ok_or(Malformed("from missing"))?),
            to: recipient(self.to, account, "to missing")?,
            body,
            sent_at: members::time(self.received_at),
            part: None,
            segments: members::segments(self.sms_count),
            media: pieces.into_iter().filter_map(Piece::into_media).collect(),
        })
    }
}

impl Piece<'_> {
    fn into_media(self) -> Option<Media> {
        Some(Media { url: filled(self.url)?, content_type: filled(self.content_type) })
    }
}

/// The words of an MMS.
fn words(pieces: &[Piece<'_>]) -> Vec<u8> {
    // The case of a media type does not matter (RFC 9110, 8.3.1).
    let named = |kind: &str| kind.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("text/"));
    let is_text = |piece: &&Piece<'_>| piece.content_type.as_deref().is_none_or(named);
    let words = pieces.iter().filter(is_text).filter_map(|piece| Some(&*piece.value.as_ref()?.0));
    words.collect::<Vec<_>>().join(&b'\n')
}
