//! Plivo: a form, or a query, signed in one of three ways.
//!
//! Comes in: POST of a form, or GET, with `X-Plivo-Signature-V3`, `-V2` or the oldest, without a version.
//! Goes out: one text, with its media.
//! Always true: of the signatures a request brings the newest counts and no other; a signature covers
//! the *configured* URL, exactly as written.
//! Not here: replies as XML; voice.
//!
//! Sources (2026-11-22): plivo.com, "Handling incoming messages" and "Validating requests"; support article
//! 360041344652 on retries; Plivo's Python, Go, Node, Java and Ruby SDKs and their tests; nyaruka/courier,
//! `handlers/plivo`. UNVERIFIED: which version Plivo sends for texts on a given account. V2 covers neither
//! query nor body, so an account whose requests are seen to have V3 should say so (`signature_version`).

mod signature;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use hyper::Method;

use self::signature::Version;
use crate::carrier::reading::{charset, form};
use crate::carrier::{
    Account, Auth, AuthFailure, Carrier, Contract, Delivery, Draft, Key, Malformed, Signed, SigningError, Webhook,
    proof,
};
use crate::message::{Inbound, Media, Text, Timestamp};

/// Most pieces of media with one text; Plivo's own limit for sending is 10.
const MEDIA_MAX: u16 = 32;

static CONTRACT: Contract = Contract {
    name: "plivo",
    methods: &[Method::POST, Method::GET],
    deadline: Duration::from_secs(8),
    // Three times more, after 60, 120 and 240 s, unless it is answered 2xx.
    retries_503: true,
    auth: Auth::Signature,
    signs: true,
    signature_headers: &["x-plivo-signature-v3", "x-plivo-signature-v2", "x-plivo-signature"],
    keys: &[Key { name: "signature_version", check: signature::check_version }],
    // XML would be read as a reply to the resident.
    ..Contract::USUAL
};

pub struct Plivo;

impl Carrier for Plivo {
    fn contract(&self) -> &'static Contract {
        &CONTRACT
    }

    fn verify(&self, webhook: &Webhook<'_>, account: &Account) -> Result<(), AuthFailure> {
        signature::verify(webhook, account)
    }

    fn parse(&self, webhook: &Webhook<'_>, account: &Account) -> Result<Delivery, Malformed> {
        if webhook.method == Method::GET {
            return Fields::read(webhook.query.as_bytes()).into_delivery(account);
        }
        if !webhook.is_form() {
            return Err(Malformed("not a form"));
        }
        Fields::read(webhook.body).into_delivery(account)
    }

    fn unsigned(&self, draft: &Draft, _account: &Account) -> Result<Signed, SigningError> {
        if draft.part.is_some() {
            return Err(SigningError::Unsupported(CONTRACT.name, "it joins long texts before it pushes them"));
        }
        let pairs = [
            ("From", draft.from.as_str()),
            ("To", &draft.to),
            ("Text", &draft.text),
            ("Type", "sms"),
            ("MessageUUID", &draft.id),
            ("Units", "1"),
            ("TotalRate", "0"),
            ("TotalAmount", "0"),
        ];
        Ok(Signed::post("application/x-www-form-urlencoded", form::encode(pairs)))
    }

    fn sign(&self, request: &mut Signed, account: &Account, _now: Timestamp) -> Result<(), SigningError> {
        let version = Version::of(account).unwrap_or(Version::V3);
        signature::sign(request, account, proof::secret(account)?, version)
            .ok_or_else(|| SigningError::too_many_parameters(CONTRACT.name))
    }
}

/// The parameters that matter; others are passed over. The first of two equal names counts.
#[derive(Default)]
struct Fields<'a> {
    id: Option<Cow<'a, [u8]>>,
    from: Option<Cow<'a, [u8]>>,
    to: Option<Cow<'a, [u8]>>,
    text: Option<Cow<'a, [u8]>>,
    /// The words of an MMS.
    body: Option<Cow<'a, [u8]>>,
    status: Option<Cow<'a, [u8]>>,
    units: Option<Cow<'a, [u8]>>,
    media: BTreeMap<u16, String>,
}

impl<'a> Fields<'a> {
    fn read(input: &'a [u8]) -> Self {
        let mut fields = Self::default();
        for (name, value) in form::raw_pairs(input) {
            let field = match form::decode(name).as_ref() {
                b"MessageUUID" => &mut fields.id,
                b"From" => &mut fields.from,
                b"To" => &mut fields.to,
                b"Text" => &mut fields.text,
                b"Body" => &mut fields.body,
                b"Status" => &mut fields.status,
                b"Units" => &mut fields.units,
                name => {
                    fields.media.extend(media_index(name).map(|index| (index, form::lossy(form::decode(value)))));
                    continue;
                }
            };
            field.get_or_insert_with(|| form::decode(value));
        }
        fields
    }

    fn into_delivery(mut self, account: &Account) -> Result<Delivery, Malformed> {
        self.media.retain(|_, url| !url.is_empty());
        let text = form::either(self.text, self.body);
        if self.status.is_some() && text.as_ref().is_none_or(|text| text.is_empty()) && self.media.is_empty() {
            return Ok(Delivery::Nothing("status"));
        }
        let to = form::filled(self.to).map(Text::from);
        if to.is_none() && account.number.is_none() {
            return Err(Malformed("To missing"));
        }
        if text.is_none() && self.media.is_empty() {
            return Err(Malformed("neither text nor media"));
        }
        let units = self.units.and_then(|units| std::str::from_utf8(&units).ok()?.parse().ok());
        Ok(Delivery::Texts(vec![Inbound {
            carrier_message_id: Some(form::filled(self.id).ok_or(Malformed("MessageUUID missing"))?),
            from: Text::from(form::filled(self.from).ok_or(Malformed("From missing"))?),
            to,
            body: charset::utf8(text.unwrap_or_default()),
            sent_at: None,
            part: None,
            segments: units.unwrap_or(1).max(1),
            media: self.media.into_values().map(|url| Media { url, content_type: None }).collect(),
        }]))
    }
}

/// `Media{n}`, n from 0.
fn media_index(name: &[u8]) -> Option<u16> {
    let digits = std::str::from_utf8(name.strip_prefix(b"Media")?).ok()?;
    digits.parse().ok().filter(|index| *index < MEDIA_MAX)
}
