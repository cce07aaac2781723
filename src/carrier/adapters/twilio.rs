//! Twilio, Programmable Messaging: a form, signed together with the URL.
//!
//! Comes in: POST (or GET) of form parameters with `X-Twilio-Signature`. Goes out: one text.
//! Always true: the signature covers the *configured* public URL, exactly as written, and the query
//! as received; nothing is lower-cased, re-encoded or re-ordered.
//! Not here: replies as TwiML beyond the empty one; its list of messages (`listing`).
//!
//! Sources: twilio.com/docs/usage/webhooks/webhooks-security and .../messaging/guides/webhook-request;
//! the tests of Twilio's Python, Node, Java, C#, Ruby, PHP and Go SDKs. Their validators differ; what
//! is accepted here is what the vector file's cases agree on.

mod listing;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use hyper::header::HeaderName;
use subtle::ConstantTimeEq;

use crate::carrier::listing::Listing;
use crate::carrier::proof::authenticate::one_of_them;
use crate::carrier::reading::{charset, form};
use crate::carrier::request::is_form;
use crate::carrier::{
    Account, Auth, AuthFailure, Carrier, Contract, Delivery, Draft, Malformed, Signed, SigningError, Webhook, proof,
};
use crate::message::{Inbound, Media, Text, Timestamp};

static SIGNATURE: HeaderName = HeaderName::from_static("x-twilio-signature");
/// In the query of a request whose body is not a form: hexadecimal SHA-256 of the body.
const BODY_HASH: &str = "bodySHA256";
/// Most pieces of media with one text, Twilio's own limit being 10.
const MEDIA_MAX: u16 = 32;

static CONTRACT: Contract = Contract {
    name: "twilio",
    methods: &[Method::POST, Method::GET],
    // Error 11205: 15 s in all for the response.
    deadline: Duration::from_secs(15),
    // Retries by default only on a failed connection; 5xx needs `rp` in the URL's fragment.
    retries_503: false,
    auth: Auth::Signature,
    signs: true,
    signature_headers: &["x-twilio-signature"],
    // Read as TwiML that says nothing; text/plain would be sent to the resident.
    reply: Some(("text/xml", "<Response/>")),
    ..Contract::USUAL
};

pub struct Twilio;

impl Carrier for Twilio {
    fn contract(&self) -> &'static Contract {
        &CONTRACT
    }

    fn verify(&self, webhook: &Webhook<'_>, account: &Account) -> Result<(), AuthFailure> {
        let header = webhook.header(&SIGNATURE).ok_or(AuthFailure::Missing)?;
        let signature = STANDARD.decode(header).map_err(|_| AuthFailure::Mismatch)?;
        let parameters = if webhook.method == Method::GET {
            Vec::new()
        } else if webhook.is_form() {
            signed_parameters(webhook.body).ok_or(AuthFailure::Mismatch)?
        } else {
            check_body_hash(webhook)?;
            Vec::new()
        };
        let url = SignedUrl::parse(&account.url);
        let queries = queries(webhook.query);
        let fits = |key: &hmac::Key| {
            let fits =
                |query: &Query<'_>, port| url.sign(key, port, query, &parameters).as_ref().ct_eq(&signature).into();
            queries.iter().any(|query| url.ports().iter().any(|port| fits(query, port)))
        };
        one_of_them(account, |secret| secret.with_key(key, fits))
    }

    fn parse(&self, webhook: &Webhook<'_>, _account: &Account) -> Result<Delivery, Malformed> {
        if webhook.method == Method::GET {
            return Fields::read(webhook.query.as_bytes()).into_delivery();
        }
        if !webhook.is_form() {
            return Err(Malformed("not a form"));
        }
        Fields::read(webhook.body).into_delivery()
    }

    fn unsigned(&self, draft: &Draft, _account: &Account) -> Result<Signed, SigningError> {
        if draft.part.is_some() {
            return Err(SigningError::Unsupported(CONTRACT.name, "it joins long texts before it pushes them"));
        }
        let (from, to, text) = (draft.from.as_str(), draft.to.as_str(), draft.text.as_bytes());
        Ok(Push { id: &draft.id, account: None, from, to, text, segments: 1, media: &[] }.request())
    }

    fn sign(&self, request: &mut Signed, account: &Account, _now: Timestamp) -> Result<(), SigningError> {
        let key = key(&proof::secret(account)?.bytes());
        let content_type = request.header("content-type").unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let parameters = if request.method == Method::GET {
            Vec::new()
        } else if is_form(media_type) {
            let too_many = || SigningError::too_many_parameters(CONTRACT.name);
            signed_parameters(&request.body).ok_or_else(too_many)?
        } else {
            let hash = body_hash(&request.body);
            request.append_query(&format!("{BODY_HASH}={hash}"));
            Vec::new()
        };
        let url = SignedUrl::parse(&account.url);
        let tag = url.sign(&key, url.ports()[0], &Query::as_it_came(&request.query), &parameters);
        request.headers.push((SIGNATURE.to_string(), STANDARD.encode(tag)));
        Ok(())
    }

    fn listing(&self) -> Option<&'static dyn Listing> {
        Some(&Twilio)
    }
}

/// One text as Twilio pushes it.
struct Push<'a> {
    id: &'a str,
    account: Option<&'a str>,
    from: &'a str,
    to: &'a str,
    text: &'a [u8],
    segments: u16,
    media: &'a [Media],
}

impl Push<'_> {
    fn request(&self) -> Signed {
        let [count, segments] = [self.media.len().to_string(), self.segments.to_string()];
        let mut pairs: Vec<(Cow<'_, str>, &[u8])> = vec![
            ("MessageSid".into(), self.id.as_bytes()),
            ("SmsSid".into(), self.id.as_bytes()),
            ("SmsMessageSid".into(), self.id.as_bytes()),
            ("From".into(), self.from.as_bytes()),
            ("To".into(), self.to.as_bytes()),
            ("Body".into(), self.text),
            ("NumMedia".into(), count.as_bytes()),
            ("NumSegments".into(), segments.as_bytes()),
            ("SmsStatus".into(), b"received"),
            ("ApiVersion".into(), b"2010-04-01"),
        ];
        pairs.extend(self.account.map(|account| ("AccountSid".into(), account.as_bytes())));
        for (index, item) in self.media.iter().enumerate() {
            pairs.push((format!("MediaUrl{index}").into(), item.url.as_bytes()));
            let kind = item.content_type.as_deref();
            pairs.extend(kind.map(|kind| (format!("MediaContentType{index}").into(), kind.as_bytes())));
        }
        Signed::post("application/x-www-form-urlencoded", form::encode(pairs))
    }
}

fn key(secret: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret)
}

/// A query as it is signed, where one spelling of the apostrophe stands for another.
struct Query<'a> {
    received: &'a str,
    /// What is replaced and by what; an empty one is replaced nowhere.
    spelling: (&'static str, &'static str),
}

impl<'a> Query<'a> {
    fn as_it_came(received: &'a str) -> Self {
        Self { received, spelling: ("", "") }
    }

    /// Piece by piece: nothing is proven yet, and a copy could be three times as long.
    fn sign(&self, context: &mut hmac::Context) {
        let (replaced, by) = self.spelling;
        if replaced.is_empty() {
            return context.update(self.received.as_bytes());
        }
        for (index, piece) in self.received.split(replaced).enumerate() {
            context.update(if index > 0 { by.as_bytes() } else { b"" });
            context.update(piece.as_bytes());
        }
    }
}

/// The query as received, and where an apostrophe is in it also with all of them escaped and with none:
/// Twilio's signer and the URL parsers on the way differ in this one character.
fn queries(query: &str) -> Vec<Query<'_>> {
    let mut forms = vec![Query::as_it_came(query)];
    if query.contains('\'') || query.contains("%27") {
        forms.extend([("'", "%27"), ("%27", "'")].map(|spelling| Query { received: query, spelling }));
    }
    forms
}

/// The configured URL, cut where a port stands or would stand: Twilio signs some requests with the
/// port and some without, so its SDKs accept either.
struct SignedUrl<'a> {
    /// Scheme, credentials and host.
    before: &'a str,
    /// `:1234` where the URL has it.
    port: &'a str,
    default_port: &'static str,
    /// The path; without query and fragment.
    after: &'a str,
}

impl<'a> SignedUrl<'a> {
    fn parse(url: &'a str) -> Self {
        let url = url.split(['?', '#']).next().unwrap_or_default();
        let (scheme_length, default_port) = match url.split_once("://") {
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => (scheme.len() + 3, ":443"),
            Some((scheme, _)) => (scheme.len() + 3, ":80"),
            None => (0, ":443"),
        };
        let authority_end = url[scheme_length..].find('/').map_or(url.len(), |at| scheme_length + at);
        let host_start = url[..authority_end].rfind('@').map_or(scheme_length, |at| at.max(scheme_length));
        // The colons of an IPv6 address stand in brackets.
        let bracket = url[host_start..authority_end].rfind(']').map_or(host_start, |at| host_start + at);
        let port_start = url[bracket..authority_end].rfind(':').map_or(authority_end, |at| bracket + at);
        Self {
            before: &url[..port_start],
            port: &url[port_start..authority_end],
            default_port,
            after: &url[authority_end..],
        }
    }

    /// As configured first, then the other way.
    fn ports(&self) -> [&'a str; 2] {
        if self.port.is_empty() { ["", self.default_port] } else { [self.port, ""] }
    }

    fn sign(&self, key: &hmac::Key, port: &str, query: &Query<'_>, parameters: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(key);
        context.update(self.before.as_bytes());
        context.update(port.as_bytes());
        context.update(self.after.as_bytes());
        if !query.received.is_empty() {
            context.update(b"?");
            query.sign(&mut context);
        }
        context.update(parameters);
        context.sign()
    }
}

/// One parameter of a form, in the order that is signed: by name, in byte order.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Parameter<'a> {
    /// The name's first bytes, zeroes behind it: decides nearly every comparison in one instruction,
    /// and never against the whole name.
    prefix: u64,
    name: Cow<'a, [u8]>,
    /// Still escaped.
    value: &'a [u8],
}

impl<'a> Parameter<'a> {
    fn new((name, value): (&'a [u8], &'a [u8])) -> Self {
        let name = form::decode(name);
        let mut prefix = [0; 8];
        let length = name.len().min(prefix.len());
        prefix[..length].copy_from_slice(&name[..length]);
        Self { prefix: u64::from_be_bytes(prefix), name, value }
    }
}

/// Names and values as Twilio writes them behind the URL: decoded, by name in byte order; of a name
/// that comes several times each distinct value in byte order, the name before each. `None` when there are
/// more than anybody sends.
fn signed_parameters(body: &[u8]) -> Option<Vec<u8>> {
    let mut parameters = form::all_pairs(body, Parameter::new)?;
    parameters.sort_unstable();
    let mut signed = Vec::with_capacity(body.len());
    for same_name in parameters.chunk_by(|left, right| left.name == right.name) {
        if let [only] = same_name {
            signed.extend_from_slice(&only.name);
            form::decode_into(only.value, &mut signed);
            continue;
        }
        let mut values: Vec<_> = same_name.iter().map(|parameter| form::decode(parameter.value)).collect();
        values.sort_unstable();
        values.dedup();
        for value in &values {
            signed.extend_from_slice(&same_name[0].name);
            signed.extend_from_slice(value);
        }
    }
    Some(signed)
}

/// A body that is no form is covered by its hash in the signed query; without one by nothing.
fn check_body_hash(webhook: &Webhook<'_>) -> Result<(), AuthFailure> {
    let given = form::value(webhook.query.as_bytes(), BODY_HASH.as_bytes()).ok_or(AuthFailure::Missing)?;
    let fits: bool = body_hash(webhook.body).as_bytes().ct_eq(&given).into();
    if fits { Ok(()) } else { Err(AuthFailure::Mismatch) }
}

fn body_hash(body: &[u8]) -> String {
    let hash = digest::digest(&digest::SHA256, body);
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The parameters that matter; new ones appear unannounced and are passed over.
#[derive(Default)]
struct Fields<'a> {
    id: Option<Cow<'a, [u8]>>,
    from: Option<Cow<'a, [u8]>>,
    to: Option<Cow<'a, [u8]>>,
    body: Option<Cow<'a, [u8]>>,
    status: Option<&'a [u8]>,
    segments: Option<u16>,
    media: BTreeMap<u16, (Option<String>, Option<String>)>,
}

impl<'a> Fields<'a> {
    fn read(input: &'a [u8]) -> Self {
        let mut fields = Self::default();
        for (name, value) in form::raw_pairs(input) {
            match form::decode(name).as_ref() {
                b"MessageSid" => fields.id = Some(form::decode(value)),
                b"From" => fields.from = Some(form::decode(value)),
                b"To" => fields.to = Some(form::decode(value)),
                b"Body" => fields.body = Some(form::decode(value)),
                b"SmsStatus" | b"MessageStatus" => fields.status = Some(value),
                b"NumSegments" => {
                    fields.segments = std::str::from_utf8(value).ok().and_then(|count| count.parse().ok())
                }
                name if name.starts_with(b"Media") => fields.read_media(name, value),
                _ => {}
            }
        }
        fields
    }

    /// `MediaUrl{n}` and `MediaContentType{n}`, n from 0.
    fn read_media(&mut self, name: &[u8], value: &[u8]) {
        if let Some(index) = media_index(name, b"MediaUrl") {
            self.media.entry(index).or_default().0 = Some(form::lossy(form::decode(value)));
        } else if let Some(index) = media_index(name, b"MediaContentType") {
            self.media.entry(index).or_default().1 = Some(form::lossy(form::decode(value)));
        }
    }

    /// Progress of a text we sent: a status that is not the one of a text received, and neither words nor media.
    fn is_status_callback(&self) -> bool {
        let is_progress = self.status.is_some_and(|status| !matches!(status, b"" | b"received" | b"receiving"));
        is_progress && self.body.is_none() && self.media.is_empty()
    }

    fn into_delivery(self) -> Result<Delivery, Malformed> {
        if self.is_status_callback() {
            return Ok(Delivery::Nothing("status"));
        }
        let media = self.media.into_values();
        Ok(Delivery::Texts(vec![Inbound {
            carrier_message_id: Some(form::filled(self.id).ok_or(Malformed("MessageSid missing"))?),
            from: Text::from(form::filled(self.from).ok_or(Malformed("From missing"))?),
            to: Some(Text::from(form::filled(self.to).ok_or(Malformed("To missing"))?)),
            // A picture may come without words.
            body: charset::utf8(self.body.unwrap_or_default()),
            sent_at: None,
            part: None,
            segments: self.segments.unwrap_or(1).max(1),
            media: media.filter_map(|(url, content_type)| Some(Media { url: url?, content_type })).collect(),
        }]))
    }
}

fn media_index(name: &[u8], prefix: &[u8]) -> Option<u16> {
    let digits = std::str::from_utf8(name.strip_prefix(prefix)?).ok()?;
    digits.parse().ok().filter(|index| *index < MEDIA_MAX)
}
