//! Vonage (Nexmo): the SMS API's inbound webhook, and the Messages API's.
//!
//! Comes in: of the SMS API a GET, a form or JSON, signed by a parameter `sig` where Vonage's support has
//! switched that on; of the Messages API JSON, with a token that covers the body. Goes out: one text, or
//! one piece of a long one: the SMS API leaves joining to whoever receives.
//! Always true: which of the two it is shows in the request itself; a GET that says nothing at all
//! (the dashboard tries the URL so) needs no proof; of a parameter that comes twice, the first that is
//! not blank counts, so that blanks, which some signers leave out, can change nothing; a message of the Messages
//! API without any proof is asked for again, since a few are sent so.
//! Not here: the Messages API's older format, version 0.1; joining.
//!
//! Sources (2026-11-22): developer.vonage.com, "Inbound SMS", "Signing messages", "Signed webhooks" and
//! the Messages API's reference; support article 360028543292 on retries; Vonage's PHP, Ruby, Java,
//! Python and .NET SDKs and their tests; nyaruka/courier, `handlers/nexmo`.
//! UNVERIFIED: how long it waits; whether blank parameters are signed (either is taken); whether a retry
//! is signed anew (the window is wide enough if not); whether the pieces of a long text share an id.

mod messages;
mod signature;

use std::borrow::Cow;
use std::time::Duration;

use hyper::Method;
use hyper::header::AUTHORIZATION;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use self::signature::Parameter;
use crate::carrier::proof::authenticate::credentials;
use crate::carrier::reading::{charset, form, udh};
use crate::carrier::{
    Account, Auth, AuthFailure, Carrier, Contract, Delivery, Draft, Key, Malformed, Signed, SigningError, Webhook,
    proof,
};
use crate::message::{Body, Inbound, Part, Text, Timestamp};

static CONTRACT: Contract = Contract {
    name: "vonage",
    methods: &[Method::GET, Method::POST],
    // For 24 h after anything but 200 and 204, by the guide; after 429 and 5xx, by the support article.
    retries_503: true,
    auth: Auth::Signature,
    signs: true,
    // A retry may carry the time of the first try.
    window: Some(Duration::from_secs(25 * 3600)),
    keys: &[Key { name: "signature_method", check: signature::check_method }],
    ..Contract::USUAL
};

/// How `message-timestamp` is written, in UTC; one SDK has it in RFC 3339.
const TIME_FORM: &str = "%Y-%m-%d %H:%M:%S";

pub struct Vonage;

impl Carrier for Vonage {
    fn contract(&self) -> &'static Contract {
        &CONTRACT
    }

    fn verify(&self, webhook: &Webhook<'_>, account: &Account) -> Result<(), AuthFailure> {
        if webhook.method == Method::GET && webhook.query.is_empty() && webhook.body.is_empty() {
            return Ok(());
        }
        // The token covers the body and not the query, where the texts of a GET are.
        if webhook.method == Method::POST
            && let Ok(token) = credentials(webhook, "Bearer")
        {
            return messages::verify(token, webhook, account);
        }
        let parameters = parameters(webhook).ok_or(AuthFailure::Missing)?;
        if is_message(webhook.body, &parameters) && webhook.header(AUTHORIZATION).is_none() {
            return Err(AuthFailure::Forgotten);
        }
        signature::verify(parameters, account, webhook.received_at)
    }

    fn parse(&self, webhook: &Webhook<'_>, account: &Account) -> Result<Delivery, Malformed> {
        let parameters = parameters(webhook).ok_or(Malformed("neither a form nor a JSON object"))?;
        if is_message(webhook.body, &parameters) {
            return messages::parse(webhook.body, account);
        }
        Fields::read(parameters).into_delivery(account)
    }

    fn unsigned(&self, draft: &Draft, _account: &Account) -> Result<Signed, SigningError> {
        let pushed_at = draft.now.strftime(TIME_FORM).to_string();
        let part = draft.part.as_ref().map(|part| {
            [
                ("concat-ref", part.reference.clone()),
                ("concat-total", part.total.to_string()),
                ("concat-part", part.number.to_string()),
            ]
        });
        let keyword = draft.text.split_whitespace().next().unwrap_or_default().to_uppercase();
        let pairs = [
            ("msisdn", draft.from.as_str()),
            ("to", &draft.to),
            ("messageId", &draft.id),
            ("text", &draft.text),
            ("type", if draft.text.is_ascii() { "text" } else { "unicode" }),
            ("keyword", &keyword),
            ("message-timestamp", &pushed_at),
        ];
        let concat = part.iter().flatten().map(|(name, value)| (*name, value.as_str()));
        let is_part = part.iter().map(|_| ("concat", "true"));
        Ok(Signed::post(
            "application/x-www-form-urlencoded",
            form::encode(pairs.into_iter().chain(is_part).chain(concat)),
        ))
    }

    fn sign(&self, request: &mut Signed, account: &Account, now: Timestamp) -> Result<(), SigningError> {
        let secret = proof::secret(account)?;
        let too_many = || SigningError::too_many_parameters(CONTRACT.name);
        if request.method == Method::GET {
            request.query =
                signature::signed_form(request.query.as_bytes(), secret, account, now).ok_or_else(too_many)?;
        } else if !is_json(&request.body) {
            let form = signature::signed_form(&request.body, secret, account, now).ok_or_else(too_many)?;
            request.body = form.into_bytes();
        } else {
            let not_signable = SigningError::Unsupported(CONTRACT.name, "its body is no JSON object");
            let parameters = signature::of_json(&request.body).ok_or(not_signable)?;
            if is_message(&request.body, &parameters) {
                messages::sign(request, secret, now);
            } else {
                request.body = signature::signed_json(parameters, secret, account, now).ok_or_else(too_many)?;
            }
        }
        Ok(())
    }
}

/// Whether it is the Messages API's.
fn is_message(body: &[u8], parameters: &[Parameter<'_>]) -> bool {
    is_json(body) && parameters.iter().any(|parameter| *parameter.name == *b"message_uuid")
}

/// What is signed and read: of a GET its query, of a POST its body. `None` when that is neither a form
/// nor a JSON object, or has more parameters than anybody sends.
fn parameters<'a>(webhook: &Webhook<'a>) -> Option<Vec<Parameter<'a>>> {
    if webhook.method == Method::GET {
        signature::of_form(webhook.query.as_bytes())
    } else if is_json(webhook.body) {
        signature::of_json(webhook.body)
    } else {
        signature::of_form(webhook.body)
    }
}

/// Vonage has been seen to send JSON without a content type; no form of its own begins so.
fn is_json(body: &[u8]) -> bool {
    body.trim_ascii_start().first() == Some(&b'{')
}

/// What an inbound SMS says, and a delivery receipt.
#[derive(Default)]
struct Fields<'a> {
    from: Option<Cow<'a, [u8]>>,
    to: Option<Cow<'a, [u8]>>,
    id: Option<Cow<'a, [u8]>>,
    text: Option<Cow<'a, [u8]>>,
    /// `text` is there, if only blank.
    has_text: bool,
    data: Option<Cow<'a, [u8]>>,
    udh: Option<Cow<'a, [u8]>>,
    pushed_at: Option<Cow<'a, [u8]>>,
    concat: Option<Cow<'a, [u8]>>,
    reference: Option<Cow<'a, [u8]>>,
    total: Option<Cow<'a, [u8]>>,
    number: Option<Cow<'a, [u8]>>,
    status: Option<Cow<'a, [u8]>>,
    /// Anything but what only proves the request.
    says_something: bool,
}

impl<'a> Fields<'a> {
    fn read(parameters: Vec<Parameter<'a>>) -> Self {
        let mut fields = Self::default();
        for Parameter { name, value } in parameters {
            fields.has_text |= *name == *b"text";
            fields.says_something |= !matches!(&*name, b"sig" | b"timestamp" | b"nonce" | b"secret");
            let field = match &*name {
                b"msisdn" => &mut fields.from,
                b"to" => &mut fields.to,
                b"messageId" => &mut fields.id,
                b"text" => &mut fields.text,
                b"data" => &mut fields.data,
                b"udh" => &mut fields.udh,
                b"message-timestamp" => &mut fields.pushed_at,
                b"concat" => &mut fields.concat,
                b"concat-ref" => &mut fields.reference,
                b"concat-total" => &mut fields.total,
                b"concat-part" => &mut fields.number,
                b"status" => &mut fields.status,
                _ => continue,
            };
            if field.is_none() && !value.is_empty() {
                *field = Some(value);
            }
        }
        fields
    }

    fn into_delivery(self, account: &Account) -> Result<Delivery, Malformed> {
        if !self.says_something {
            return Ok(Delivery::Nothing("probe"));
        }
        if self.status.is_some() && self.text.is_none() && self.data.is_none() {
            return Ok(Delivery::Nothing("receipt"));
        }
        let part = self.part();
        let to = form::filled(self.to).map(Text::from);
        if to.is_none() && account.number.is_none() {
            return Err(Malformed("to missing"));
        }
        let body = match (self.text, self.data) {
            (Some(text), _) => charset::utf8(text),
            (None, Some(data)) => binary(data),
            (None, None) if self.has_text => charset::utf8(Cow::default()),
            (None, None) => return Err(Malformed("neither text nor data")),
        };
        Ok(Delivery::Texts(vec![Inbound {
            carrier_message_id: Some(form::filled(self.id).ok_or(Malformed("messageId missing"))?),
            from: Text::from(form::filled(self.from).ok_or(Malformed("msisdn missing"))?),
            to,
            body,
            sent_at: self.pushed_at.as_deref().and_then(pushed_at),
            part,
            segments: 1,
            media: Vec::new(),
        }]))
    }

    /// By Vonage's own fields, else by the header that a binary piece brings.
    fn part(&self) -> Option<Part> {
        let is_part = self.concat.as_deref().is_none_or(|concat| concat.eq_ignore_ascii_case(b"true"));
        let own = || {
            let (total, number) = (count(self.total.as_deref()?)?, count(self.number.as_deref()?)?);
            let reference = form::lossy(self.reference.clone()?);
            // A text of one piece is whole, and a number outside the total would never be joined.
            (total > 1 && (1..=total).contains(&number)).then_some(Part { reference, total, number })
        };
        let of_header = || udh::part(&hexadecimal(self.udh.as_deref()?)?);
        if is_part { own().or_else(of_header) } else { of_header() }
    }
}

/// What `data` stands for: bytes that are no text.
fn binary(data: Cow<'_, [u8]>) -> Body {
    Body::Undecodable(hexadecimal(&data).unwrap_or_else(|| data.into_owned()))
}

fn hexadecimal(digits: &[u8]) -> Option<Vec<u8>> {
    udh::from_hex(std::str::from_utf8(digits).ok()?)
}

fn count(digits: &[u8]) -> Option<u16> {
    std::str::from_utf8(digits).ok()?.trim().parse().ok()
}

/// When Vonage began to push, which is the only time it tells. Anything else is no reason to refuse a text.
fn pushed_at(written: &[u8]) -> Option<Timestamp> {
    let written = std::str::from_utf8(written).ok()?.trim();
    let civil = || DateTime::strptime(TIME_FORM, written).ok()?.to_zoned(TimeZone::UTC).ok();
    written.parse().ok().or_else(|| civil().map(|zoned| zoned.timestamp()))
}
