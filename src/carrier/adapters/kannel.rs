//! Kannel's smsbox: a service's `get-url` or `post-url`.
//!
//! Comes in: GET with parameters whose names the operator chose, or POST with the text as the body and
//! the rest in `X-Kannel-*` headers or, again, in the URL. Goes out: one text.
//! Always true: what the operator wrote into the URL outranks Kannel's headers; Kannel signs nothing,
//! so the account's secret stands in the path or the query, or its addresses are listed.
//! Not here: `post-xml`; joining (Kannel joins by default).
//!
//! Sources: Kannel's user guide, chapter "SMS services", and `gw/smsbox.c`, `gw/urltrans.c`.
//! The operator should write, with the names of the account's `parameters`:
//! `…?sender=%p&to=%P&message=%b&ts=%T&id=%I&charset=%C` (and `udh=%u` where Kannel does not join).
//! `charset` (`%C`), `coding` (`%c`) and `udh` (`%u`) have these names.

use std::borrow::Cow;
use std::time::Duration;

use hyper::Method;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::carrier::reading::{charset, form, udh};
use crate::carrier::{Account, Auth, Carrier, Contract, Delivery, Draft, Malformed, Signed, SigningError, Webhook};
use crate::message::{Body, Inbound, Text, Timestamp};

static CONTRACT: Contract = Contract {
    name: "kannel",
    methods: &[Method::GET, Method::POST],
    // `http-timeout`, 240 s unless set; our own limit is far below.
    deadline: Duration::from_secs(240),
    // `http-request-retry` is 0 unless set: a text refused is a text lost.
    retries_503: false,
    auth: Auth::Path,
    // Only where the operator puts %I into the URL.
    identifies: false,
    // A body would be sent to the resident.
    ..Contract::USUAL
};

/// Forms of `%t` and `X-Kannel-Time`, GMT; the manual's example has no seconds.
const TIME_FORMS: [&str; 2] = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M"];

pub struct Kannel;

impl Carrier for Kannel {
    fn contract(&self) -> &'static Contract {
        &CONTRACT
    }

    fn parse(&self, webhook: &Webhook<'_>, account: &Account) -> Result<Delivery, Malformed> {
        let mut fields = Fields::read(webhook.query.as_bytes(), account);
        if webhook.method != Method::GET {
            if webhook.media_type().ends_with("xml") {
                return Err(Malformed("post-xml is not offered; use post-url"));
            }
            fields.read_post(webhook);
        }
        // With `send-sender` either method has it, and a `get-url` need not name the sender then.
        let sender = fields.sender.filter(|sender| !sender.is_empty());
        fields.sender = sender.or_else(|| header_bytes(webhook, "x-kannel-from").map(Cow::Borrowed));
        let from = form::filled(fields.sender).ok_or(Malformed("sender missing"))?;
        let to = form::filled(fields.to).map(Text::from);
        if to.is_none() && account.number.is_none() {
            return Err(Malformed("to missing"));
        }
        let message = fields.message.ok_or(Malformed("message missing"))?;
        let charset = fields.charset.as_deref().and_then(|label| std::str::from_utf8(label).ok());
        Ok(Delivery::Texts(vec![Inbound {
            carrier_message_id: form::filled(fields.id),
            from: Text::from(from),
            to,
            body: decode(message, charset, fields.coding.as_deref()),
            sent_at: fields.ts.as_deref().and_then(sent_at),
            // The source escapes the header's bytes, the manual says hexadecimal: either.
            part: fields.udh.as_deref().and_then(udh::part_written),
            segments: 1,
            media: Vec::new(),
        }]))
    }

    fn unsigned(&self, draft: &Draft, account: &Account) -> Result<Signed, SigningError> {
        if draft.part.is_some() {
            return Err(SigningError::Unsupported(CONTRACT.name, "it joins long texts before it pushes them"));
        }
        let names = &account.parameters;
        let ts = draft.now.as_second().to_string();
        let pairs = [
            (names.sender.as_str(), draft.from.as_str()),
            (&names.to, &draft.to),
            (&names.message, &draft.text),
            (&names.ts, &ts),
            (&names.id, &draft.id),
            ("charset", "UTF-8"),
        ];
        let query = form::encode(pairs.into_iter().filter(|(name, _)| !name.is_empty()));
        Ok(Signed::get(query))
    }
}

/// What the URL, and after it the headers, say.
#[derive(Default)]
struct Fields<'a> {
    sender: Option<Cow<'a, [u8]>>,
    to: Option<Cow<'a, [u8]>>,
    message: Option<Cow<'a, [u8]>>,
    ts: Option<Cow<'a, [u8]>>,
    id: Option<Cow<'a, [u8]>>,
    charset: Option<Cow<'a, [u8]>>,
    coding: Option<Cow<'a, [u8]>>,
    udh: Option<Cow<'a, [u8]>>,
}

impl<'a> Fields<'a> {
    /// Reads the query. The first of two equal names counts.
    fn read(query: &'a [u8], account: &Account) -> Self {
        let names = &account.parameters;
        let mut fields = Self::default();
        for (name, value) in form::raw_pairs(query) {
            let name = form::decode(name);
            let is = |wanted: &str| !wanted.is_empty() && *name == *wanted.as_bytes();
            let field = if is(&names.sender) {
                &mut fields.sender
            } else if is(&names.to) {
                &mut fields.to
            } else if is(&names.message) {
                &mut fields.message
            } else if is(&names.ts) {
                &mut fields.ts
            } else if is(&names.id) {
                &mut fields.id
            } else if is("charset") {
                &mut fields.charset
            } else if is("coding") {
                &mut fields.coding
            } else if is("udh") {
                &mut fields.udh
            } else {
                continue;
            };
            field.get_or_insert_with(|| form::decode(value));
        }
        fields
    }

    /// Adds what a `post-url` request says outside its URL; the body is always the text.
    fn read_post(&mut self, webhook: &Webhook<'a>) {
        self.message = Some(Cow::Borrowed(webhook.body));
        for (field, header) in
            [(&mut self.to, "x-kannel-to"), (&mut self.ts, "x-kannel-time"), (&mut self.coding, "x-kannel-coding")]
        {
            if field.is_none() {
                *field = header_bytes(webhook, header).map(Cow::Borrowed);
            }
        }
        if self.udh.is_none() {
            self.udh = header_bytes(webhook, "x-kannel-udh").map(form::decode);
        }
        if webhook.media_type().eq_ignore_ascii_case("application/octet-stream") {
            self.charset = Some(Cow::Borrowed(b"8-BIT"));
        } else if let Some(label) = webhook.charset() {
            self.charset = Some(Cow::Borrowed(label.as_bytes()));
        }
    }
}

/// A header's bytes: a sender's name need not be ASCII.
fn header_bytes<'a>(webhook: &Webhook<'a>, name: &str) -> Option<&'a [u8]> {
    webhook.headers.get(name).map(hyper::header::HeaderValue::as_bytes)
}

/// A charset that is named outranks `coding` (0 = 7 bit, handed over as UTF-8; 1 = 8 bit, no text;
/// 2 = UCS-2).
fn decode(message: Cow<'_, [u8]>, charset: Option<&str>, coding: Option<&[u8]>) -> Body {
    let label = match (charset.filter(|label| !label.is_empty()), coding) {
        (Some(label), _) => Some(label),
        (None, Some(b"1")) => Some("8-BIT"),
        (None, Some(b"2")) => Some("UTF-16BE"),
        (None, _) => None,
    };
    charset::decode(message, label)
}

/// `%T` in Unix seconds or `%t` as a date in GMT. Anything else is no time, and no reason to refuse a text.
fn sent_at(written: &[u8]) -> Option<Timestamp> {
    let written = std::str::from_utf8(written).ok()?.trim();
    if let Ok(seconds) = written.parse() {
        return Timestamp::from_second(seconds).ok();
    }
    // The plus of `%t` is a blank once decoded, unless the operator escaped it.
    let written = written.replace('+', " ");
    let civil = TIME_FORMS.iter().find_map(|form| DateTime::strptime(form, &written).ok())?;
    civil.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}
