//! GOV.UK Notify: a service's callback for received texts, and its list of them.
//!
//! Comes in: POST of JSON with a bearer token that the service chose; pages of `/v2/received-text-messages`.
//! Goes out: one text a callback; every text of a page.
//! Always true: a lone surrogate in `message` is kept as bytes; a receipt of a text sent, which may be
//! given the same URL, is no text.
//! Not here: anything that is sent through Notify.
//!
//! Sources: docs.notifications.service.gov.uk/rest-api.html, "Callbacks", "Get received text messages"
//! and "Authorization header"; alphagov/notifications-api, `service_callback_tasks.py`. The list has no
//! `date_received` but `created_at`, which is when Notify wrote the text down, moments later: a
//! backfilled text carries that.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;

use crate::carrier::listing::{ApiAccess, Listed, Listing, Page, Query, Unreadable};
use crate::carrier::reading::json::{self, Raw};
use crate::carrier::reading::{charset, form};
use crate::carrier::{Account, Auth, Carrier, Contract, Delivery, Draft, Malformed, Signed, SigningError, Webhook};
use crate::message::{Inbound, Secret, Text, Timestamp};

static CONTRACT: Contract = Contract {
    name: "govuk-notify",
    deadline: Duration::from_secs(5),
    // Five times more, 300 s apart, after a 5xx, a 429 or no answer.
    retries_503: true,
    auth: Auth::Bearer,
    ..Contract::USUAL
};

/// Times as Notify writes them: UTC with microseconds.
const TIME_FORM: &str = "%Y-%m-%dT%H:%M:%S%.6fZ";
/// How long Notify keeps received texts.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
const LIST: &str = "/v2/received-text-messages";
/// Characters of a UUID. An API key is `name-UUID of the service-UUID that signs`.
const UUID_LENGTH: usize = 36;

pub struct Notify;

impl Carrier for Notify {
    fn contract(&self) -> &'static Contract {
        &CONTRACT
    }

    fn parse(&self, webhook: &Webhook<'_>, account: &Account) -> Result<Delivery, Malformed> {
        let callback: Callback<'_> = serde_json::from_slice(webhook.body).map_err(|error| match error.classify() {
            Category::Data => Malformed("a field is not of its type"),
            Category::Syntax | Category::Eof | Category::Io => Malformed("not JSON"),
        })?;
        if callback.message.is_none() && callback.notification_type.is_some() {
            return Ok(Delivery::Nothing("receipt"));
        }
        callback.into_text(account).map(|text| Delivery::Texts(vec![text]))
    }

    fn unsigned(&self, draft: &Draft, _account: &Account) -> Result<Signed, SigningError> {
        if draft.part.is_some() {
            return Err(SigningError::Unsupported(CONTRACT.name, "it joins long texts before it pushes them"));
        }
        Ok(callback(&draft.id, &draft.from, &draft.to, draft.text.as_bytes(), Some(draft.now)))
    }

    fn listing(&self) -> Option<&'static dyn Listing> {
        Some(&Notify)
    }
}

/// The JSON of one callback.
#[derive(Deserialize)]
struct Callback<'a> {
    id: Option<String>,
    source_number: Option<String>,
    destination_number: Option<String>,
    #[serde(borrow)]
    message: Option<Raw<'a>>,
    #[serde(borrow)]
    date_received: Option<&'a RawValue>,
    /// Receipts have it, texts do not.
    #[serde(borrow)]
    notification_type: Option<&'a RawValue>,
}

impl Callback<'_> {
    fn into_text(self, account: &Account) -> Result<Inbound, Malformed> {
        let filled = |field: Option<String>| field.filter(|value| !value.is_empty());
        let to = filled(self.destination_number);
        if to.is_none() && account.number.is_none() {
            return Err(Malformed("destination_number missing"));
        }
        Ok(Inbound {
            carrier_message_id: Some(filled(self.id).ok_or(Malformed("id missing"))?),
            from: Text::from(filled(self.source_number).ok_or(Malformed("source_number missing"))?),
            to: to.map(Text::from),
            body: charset::utf8(self.message.ok_or(Malformed("message missing"))?.0),
            // Anything but a time is no reason to refuse a text.
            sent_at: self.date_received.and_then(|json| json.get().trim_matches('"').parse().ok()),
            part: None,
            segments: 1,
            media: Vec::new(),
        })
    }
}

fn callback(id: &str, from: &str, to: &str, text: &[u8], sent_at: Option<Timestamp>) -> Signed {
    let sent_at = sent_at.map(|sent_at| sent_at.strftime(TIME_FORM).to_string());
    let fields = [
        ("id", Some(id.as_bytes())),
        ("source_number", Some(from.as_bytes())),
        ("destination_number", Some(to.as_bytes())),
        ("message", Some(text)),
        ("date_received", sent_at.as_deref().map(str::as_bytes)),
    ];
    Signed::post("application/json", json::object(fields.into_iter().filter_map(|(name, value)| Some((name, value?)))))
}

impl Listing for Notify {
    fn url(&self) -> &'static str {
        "https://api.notifications.service.gov.uk"
    }

    fn reach(&self) -> Option<Duration> {
        Some(KEPT)
    }

    fn check(&self, _account: Option<&str>, key: Option<&Secret>) -> Result<(), (&'static str, &'static str)> {
        match key.map(|key| ApiKey::parse(&key.bytes()).is_some()) {
            Some(false) => Err(("key", "is not an API key of Notify: NAME-UUID-UUID, as its page shows it once")),
            Some(true) | None => Ok(()),
        }
    }

    /// A JSON Web Token (RFC 7519), which Notify takes for 30 s.
    fn authorization(&self, access: &ApiAccess, now: Timestamp) -> String {
        let key = access.key.bytes();
        let key = ApiKey::parse(&key).unwrap_or(ApiKey { service: "", secret: "" });
        let claims = serde_json::json!({ "iss": key.service, "iat": now.as_second() }).to_string();
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed = format!("{}.{}", encode(br#"{"typ":"JWT","alg":"HS256"}"#), encode(claims.as_bytes()));
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.secret.as_bytes()), signed.as_bytes());
        format!("Bearer {signed}.{}", encode(tag.as_ref()))
    }

    fn first(&self, _access: &ApiAccess, _since: Timestamp) -> Vec<String> {
        vec![LIST.to_owned()]
    }

    /// The next page begins behind the last text of this one; `links` says the same in several forms.
    fn read(&self, query: &Query<'_>, answer: &[u8]) -> Result<Page, Unreadable> {
        let list: List<'_> =
            serde_json::from_slice(answer).map_err(|_| Unreadable("it is no list of received texts"))?;
        let texts: Vec<Listed> = list.received_text_messages.into_iter().map(Received::into_listed).collect();
        let is_over = |text: &Listed| text.sent_at.is_some_and(|sent_at| sent_at < query.since);
        let last = texts.last().filter(|text| !is_over(text));
        let next = last.map(|text| format!("{LIST}?{}", form::encode([("older_than", text.id.as_str())])));
        let texts = texts.into_iter().filter(|text| query.wants(text)).collect();
        Ok(Page { texts, unfinished: 0, next })
    }

    /// Received texts have no pictures.
    fn complete(&self, _access: &ApiAccess, _text: &mut Listed, _answer: &[u8]) -> Result<(), Unreadable> {
        Ok(())
    }

    fn webhook(&self, text: &Listed, _access: &ApiAccess) -> Signed {
        callback(&text.id, &text.from, &text.to, &text.text, text.sent_at)
    }
}

#[derive(Deserialize)]
struct List<'a> {
    #[serde(borrow)]
    received_text_messages: Vec<Received<'a>>,
}

#[derive(Deserialize)]
struct Received<'a> {
    id: String,
    user_number: String,
    notify_number: String,
    #[serde(borrow)]
    content: Raw<'a>,
    created_at: String,
}

impl Received<'_> {
    fn into_listed(self) -> Listed {
        Listed {
            id: self.id,
            from: self.user_number,
            to: self.notify_number,
            text: self.content.0.into_owned(),
            sent_at: self.created_at.parse().ok(),
            segments: 1,
            media: Vec::new(),
            more: None,
        }
    }
}

/// The two ends of an API key that matter.
struct ApiKey<'a> {
    service: &'a str,
    secret: &'a str,
}

impl<'a> ApiKey<'a> {
    fn parse(key: &'a [u8]) -> Option<Self> {
        let key = std::str::from_utf8(key).ok().filter(|key| key.is_ascii())?;
        let (rest, secret) = key.split_at_checked(key.len().checked_sub(UUID_LENGTH)?)?;
        let rest = rest.strip_suffix('-')?;
        let (_, service) = rest.split_at_checked(rest.len().checked_sub(UUID_LENGTH)?)?;
        let is_uuid = |part: &str| uuid::Uuid::try_parse(part).is_ok();
        (is_uuid(service) && is_uuid(secret)).then_some(Self { service, secret })
    }
}
