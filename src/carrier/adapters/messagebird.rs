//! MessageBird classic: a text to a long number or a short code, as a form or in a query.
//!
//! Comes in: POST of a form, or GET, with `MessageBird-Signature-JWT` or the older
//! `MessageBird-Signature`. Goes out: one text, with its media.
//! Always true: names count in any letter case, and of a name that comes twice the later one: the
//! first is another message's; where both signatures are there, the token decides.
//! Not here: Bird's notifications (`bird`).
//!
//! Sources (2026-11-22): developers.messagebird.com, "Verifying HTTP requests"; MessageBird's PHP SDK,
//! `RequestValidator` and its test data; nyaruka/courier, `handlers/messagebird`. UNVERIFIED: how long it
//! waits, whether and when it sends again (taken for no), the zone of a short code's time (taken for UTC).

mod signature;

use std::borrow::Cow;
use std::time::Duration;

use hyper::Method;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::carrier::reading::{charset, form};
use crate::carrier::{
    Account, Auth, AuthFailure, Carrier, Contract, Delivery, Draft, Malformed, Signed, SigningError, Webhook, proof,
};
use crate::message::{Inbound, Media, Text, Timestamp};

/// A short code's `receive_datetime`.
const SHORT_CODE_TIME_FORM: &str = "%Y%m%d%H%M%S";
/// How a draft's time is written.
const TIME_FORM: &str = "%Y-%m-%dT%H:%M:%S+00:00";
/// Most links of one text.
const MEDIA_MAX: usize = 32;

static CONTRACT: Contract = Contract {
    name: "messagebird",
    methods: &[Method::POST, Method::GET],
    retries_503: false,
    auth: Auth::Signature,
    signs: true,
    signature_headers: &[signature::TOKEN, signature::LEGACY],
    // A token is good for a minute by its own word, so this is only for clocks that differ; a legacy
    // signature's time was recent for as long.
    window: Some(Duration::from_secs(10)),
    // What nyaruka/courier says and MessageBird is content with; it is not passed on.
    reply: Some(("text/plain", "OK")),
    ..Contract::USUAL
};

pub struct MessageBird;

impl Carrier for MessageBird {
    fn contract(&self) -> &'static Contract {
        &CONTRACT
    }

    fn verify(&self, webhook: &Webhook<'_>, account: &Account) -> Result<(), AuthFailure> {
        signature::verify(webhook, account)
    }

    fn parse(&self, webhook: &Webhook<'_>, account: &Account) -> Result<Delivery, Malformed> {
        let mut fields = Fields::default();
        fields.read(webhook.query.as_bytes());
        if webhook.method != Method::GET && !webhook.body.is_empty() {
            if !webhook.is_form() {
                return Err(Malformed("not a form"));
            }
            fields.read(webhook.body);
        }
        fields.into_delivery(account)
    }

    fn unsigned(&self, draft: &Draft, _account: &Account) -> Result<Signed, SigningError> {
        if draft.part.is_some() {
            return Err(SigningError::Unsupported(CONTRACT.name, "it tells nothing of pieces"));
        }
        let created_at = draft.now.strftime(TIME_FORM).to_string();
        let pairs = [
            ("id", draft.id.as_str()),
            ("recipient", &draft.to),
            ("originator", &draft.from),
            ("body", &draft.text),
            ("createdDatetime", &created_at),
        ];
        Ok(Signed::post("application/x-www-form-urlencoded", form::encode(pairs)))
    }

    fn sign(&self, request: &mut Signed, account: &Account, now: Timestamp) -> Result<(), SigningError> {
        signature::sign(request, account, proof::secret(account)?, now);
        Ok(())
    }
}

/// What a text says, to a long number or a short code, and a report of delivery.
#[derive(Default)]
struct Fields<'a> {
    id: Option<Cow<'a, [u8]>>,
    message_id: Option<Cow<'a, [u8]>>,
    short_code_id: Option<Cow<'a, [u8]>>,
    from: Option<Cow<'a, [u8]>>,
    recipient: Option<Cow<'a, [u8]>>,
    receiver: Option<Cow<'a, [u8]>>,
    short_code: Option<Cow<'a, [u8]>>,
    body: Option<Cow<'a, [u8]>>,
    message: Option<Cow<'a, [u8]>>,
    created_at: Option<Cow<'a, [u8]>>,
    received_at: Option<Cow<'a, [u8]>>,
    /// Unix seconds.
    date: Option<Cow<'a, [u8]>>,
    status: Option<Cow<'a, [u8]>>,
    media: Vec<String>,
}

impl<'a> Fields<'a> {
    fn read(&mut self, input: &'a [u8]) {
        for (name, value) in form::raw_pairs(input) {
            let name = form::decode(name).to_ascii_lowercase();
            let field = match name.as_slice() {
                b"id" => &mut self.id,
                b"message_id" => &mut self.message_id,
                b"mid" => &mut self.short_code_id,
                b"originator" => &mut self.from,
                b"recipient" => &mut self.recipient,
                b"receiver" => &mut self.receiver,
                b"shortcode" => &mut self.short_code,
                b"body" => &mut self.body,
                b"message" => &mut self.message,
                b"createddatetime" => &mut self.created_at,
                b"receive_datetime" => &mut self.received_at,
                b"date_utc" => &mut self.date,
                b"status" => &mut self.status,
                name if name.starts_with(b"mediaurls") => {
                    self.read_media(form::decode(value));
                    continue;
                }
                _ => continue,
            };
            *field = Some(form::decode(value));
        }
    }

    /// A link, or a JSON array of them.
    fn read_media(&mut self, value: Cow<'_, [u8]>) {
        let links = serde_json::from_slice(&value).unwrap_or_else(|_| vec![form::lossy(value)]);
        let room = MEDIA_MAX - self.media.len();
        self.media.extend(links.into_iter().filter(|link: &String| !link.is_empty()).take(room));
    }

    fn into_delivery(self, account: &Account) -> Result<Delivery, Malformed> {
        let is_short_code = self.short_code.as_ref().is_some_and(|code| !code.is_empty());
        let (text, id) = if is_short_code {
            (
                form::either(self.message, self.body),
                filled(self.short_code_id).or(filled(self.message_id)).or(filled(self.id)),
            )
        } else {
            (
                form::either(self.body, self.message),
                filled(self.message_id).or(filled(self.id)).or(filled(self.short_code_id)),
            )
        };
        if self.status.is_some() && text.is_none() && self.media.is_empty() {
            return Ok(Delivery::Nothing("receipt"));
        }
        let to = filled(self.short_code).or(filled(self.recipient)).or(filled(self.receiver)).map(Text::from);
        if to.is_none() && account.number.is_none() {
            return Err(Malformed("recipient missing"));
        }
        if text.is_none() && self.media.is_empty() {
            return Err(Malformed("neither text nor media"));
        }
        let times = [self.created_at, self.received_at, self.date];
        Ok(Delivery::Texts(vec![Inbound {
            carrier_message_id: Some(id.ok_or(Malformed("id missing"))?),
            from: Text::from(filled(self.from).ok_or(Malformed("originator missing"))?),
            to,
            body: charset::utf8(text.unwrap_or_default()),
            sent_at: times.iter().flatten().find_map(|written| sent_at(written)),
            part: None,
            segments: 1,
            media: self.media.into_iter().map(|url| Media { url, content_type: None }).collect(),
        }]))
    }
}

fn filled(field: Option<Cow<'_, [u8]>>) -> Option<String> {
    form::filled(field)
}

/// RFC 3339, a short code's digits, or Unix seconds. Anything else is no time, and no reason to refuse a text.
fn sent_at(written: &[u8]) -> Option<Timestamp> {
    // The plus of an offset is a blank once decoded, unless it was escaped.
    let written = std::str::from_utf8(written).ok()?.trim().replace(' ', "+");
    let digits = || DateTime::strptime(SHORT_CODE_TIME_FORM, &written).ok()?.to_zoned(TimeZone::UTC).ok();
    let seconds = || Timestamp::from_second(written.parse().ok()?).ok();
    written.parse().ok().or_else(|| digits().map(|zoned| zoned.timestamp())).or_else(seconds)
}
