//! AWS End User Messaging SMS (once Pinpoint): two-way texts through an SNS topic's HTTPS subscription.
//!
//! Comes in: POST of SNS's envelope, whose `Message` is a string that holds JSON; with raw delivery that
//! inner JSON alone; a topic's question whether it may send here. Goes out: one text, or the answer to
//! that question.
//! Always true: a signature is believed for the account's own `topic_arn` only, since SNS signs for
//! whoever has a topic; a certificate, and a subscription's confirmation, is asked of SNS's own hosts
//! only; raw delivery is unsigned and so never taken where the account asks for a signature.
//! Not here: pictures, for SMS is all that two-way messaging brings; the chain of authorities behind a
//! certificate (`certificates`).
//!
//! A certificate must have been valid when the message was signed, by the time that the signature
//! covers: whether it still is today shows in that SNS still serves it, for it is fetched anew each day.
//!
//! Sources, 2026-11-22: awsdocs/amazon-sns-developer-guide, `sns-message-and-json-formats.md`,
//! `sns-verify-signature-of-message.md`, `sns-message-delivery-retries.md`; the validators
//! aws/aws-php-sns-message-validator and aws/aws-js-sns-message-validator; End User Messaging SMS's user
//! guide, `two-way-sms-payload`. Unverified: whether SNS takes a 429 for a reason to send again; the
//! events of outgoing texts beside those on an SNS topic, told here by `eventType`.

use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair;
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::Method;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::carrier::proof::certificates::Hash;
use crate::carrier::reading::charset;
use crate::carrier::reading::json::{self, Raw};
use crate::carrier::reading::members::{self, filled, recipient};
use crate::carrier::{
    Account, Auth, AuthFailure, Carrier, Contract, Delivery, Draft, Key, Malformed, Signed, SigningError, Webhook,
    proof,
};
use crate::message::{Inbound, Text, Timestamp, iso};

static CONTRACT: Contract = Contract {
    name: "aws-sns",
    deadline: Duration::from_secs(15),
    // What SNS can send in one message.
    body_max: 256 * 1024,
    // Three times more, 20 s apart, unless the subscription's delivery policy says otherwise; a 4xx is final.
    retries_503: true,
    auth: Auth::Signature,
    signs: true,
    certificates: true,
    keys: &[
        Key { name: TOPIC, check: check_topic },
        Key { name: CONFIRM, check: check_boolean },
        // Read by the settings, which know the folder.
        Key { name: FOLDER, check: |_| Ok(()) },
    ],
    ..Contract::USUAL
};

const TOPIC: &str = "topic_arn";
const CONFIRM: &str = "confirm_subscriptions";
const FOLDER: &str = "certificates";
/// What `simulate` says where the account names no topic.
const SOME_TOPIC: &str = "arn:aws:sns:eu-west-2:000000000000:sms-router";

pub struct AwsSns;

impl Carrier for AwsSns {
    fn contract(&self) -> &'static Contract {
        &CONTRACT
    }

    fn verify(&self, webhook: &Webhook<'_>, account: &Account) -> Result<(), AuthFailure> {
        // What is not JSON has no proof in it.
        let envelope: Envelope<'_> = serde_json::from_slice(webhook.body).map_err(|_| AuthFailure::Missing)?;
        let signature = envelope.signature.as_ref().ok_or(AuthFailure::Missing)?;
        let signature = STANDARD.decode(&signature.0).map_err(|_| AuthFailure::Mismatch)?;
        let hash = match envelope.signature_version.as_ref().map(|version| &*version.0) {
            Some(b"1") => Hash::Sha1,
            Some(b"2") => Hash::Sha256,
            Some(_) => return Err(AuthFailure::Mismatch),
            None => return Err(AuthFailure::Missing),
        };
        if account.key(TOPIC).is_none() || !envelope.is_of_topic(account) {
            return Err(AuthFailure::Mismatch);
        }
        let url = envelope.certificate.as_ref().ok_or(AuthFailure::Missing)?;
        let url = certificate_url(&url.0).ok_or(AuthFailure::Mismatch)?;
        let certificate = account.certificates.find(url, webhook.received_at).ok_or(AuthFailure::Certificate)?;
        if !certificate.has_signed(hash, &envelope.string_to_sign(), &signature) {
            return Err(AuthFailure::Mismatch);
        }
        let signed_at = envelope.sent_at().unwrap_or(webhook.received_at);
        if certificate.is_valid_at(signed_at) { Ok(()) } else { Err(AuthFailure::Expired) }
    }

    fn certificate_url(&self, webhook: &Webhook<'_>) -> Option<String> {
        let envelope: Envelope<'_> = serde_json::from_slice(webhook.body).ok()?;
        certificate_url(&envelope.certificate?.0).map(str::to_owned)
    }

    fn parse(&self, webhook: &Webhook<'_>, account: &Account) -> Result<Delivery, Malformed> {
        let envelope: Envelope<'_> = members::read(webhook.body)?;
        let Some(kind) = &envelope.kind else {
            let id = webhook.header("x-amz-sns-message-id").map(str::to_owned);
            return members::read::<Sms<'_>>(webhook.body)?.into_delivery(account, id, None);
        };
        if account.key(TOPIC).is_some() && !envelope.is_of_topic(account) {
            return Err(Malformed("TopicArn is not the account's topic_arn"));
        }
        match &*kind.0 {
            b"Notification" => {
                let message = envelope.message.as_ref().ok_or(Malformed("Message missing"))?;
                let sms: Sms<'_> = serde_json::from_slice(&message.0)
                    .map_err(|_| Malformed("Message is not the JSON of a text: is the topic one of two-way SMS?"))?;
                let id = envelope.id.as_ref().map(|id| String::from_utf8_lossy(&id.0).into_owned());
                sms.into_delivery(account, id, envelope.sent_at())
            }
            b"SubscriptionConfirmation" => {
                let url = envelope.subscribe_url.ok_or(Malformed("SubscribeURL missing"))?;
                let url = subscribe_url(&url.0).ok_or(Malformed("SubscribeURL is not one of SNS"))?;
                let wanted = account.key(CONFIRM) == Some("true");
                Ok(Delivery::Subscription(wanted.then(|| url.to_owned())))
            }
            b"UnsubscribeConfirmation" => Ok(Delivery::Nothing("unsubscribed")),
            _ => Ok(Delivery::Nothing("event")),
        }
    }

    fn unsigned(&self, draft: &Draft, account: &Account) -> Result<Signed, SigningError> {
        if draft.part.is_some() {
            return Err(SigningError::Unsupported(CONTRACT.name, "it joins long texts before it pushes them"));
        }
        let message = json::object([
            ("originationNumber", draft.from.as_bytes()),
            ("destinationNumber", draft.to.as_bytes()),
            ("messageKeyword", b"KEYWORD"),
            ("messageBody", draft.text.as_bytes()),
            ("inboundMessageId", draft.id.as_bytes()),
            ("previousPublishedMessageId", b""),
        ]);
        let time = iso::format(draft.now);
        let body = json::object([
            ("Type", b"Notification".as_slice()),
            ("MessageId", draft.id.as_bytes()),
            ("TopicArn", topic(account).as_bytes()),
            ("Message", &message),
            ("Timestamp", time.as_bytes()),
        ]);
        let headers = [
            ("content-type", "text/plain; charset=UTF-8"),
            ("x-amz-sns-message-type", "Notification"),
            ("x-amz-sns-topic-arn", topic(account)),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Ok(Signed { method: Method::POST, path_secret: None, query: String::new(), headers, body })
    }

    /// As SNS would, with a key whose certificate is in the account's folder: nobody else has SNS's own.
    fn sign(&self, request: &mut Signed, account: &Account, _now: Timestamp) -> Result<(), SigningError> {
        let bad = SigningError::BadSigningKey;
        let pem = proof::signing_key(account)?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(&pem.bytes()).map_err(|_| bad("it is not PKCS#8 in PEM"))?;
        let key = KeyPair::from_pkcs8(key.secret_pkcs8_der()).map_err(|_| bad("it is not RSA"))?;
        let file = account.certificates.name_of(key.public_key().as_ref());
        let file = file.filter(|_| account.certificates.is_closed());
        let file = file.ok_or(bad("none in the account's folder of `certificates` is the certificate for it"))?;
        let region = topic(account).split(':').nth(3).unwrap_or_default();
        let certificate = format!("https://sns.{region}.amazonaws.com/{file}");
        let message = string_to_sign(&request.body).ok_or(bad("the request is no message of SNS"))?;
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &message, &mut signature)
            .map_err(|_| bad("it cannot sign"))?;
        let (signature, proof) = (STANDARD.encode(signature), |signature: &str| {
            json::object([
                ("SignatureVersion", b"2".as_slice()),
                ("Signature", signature.as_bytes()),
                ("SigningCertURL", certificate.as_bytes()),
            ])
        });
        // Two objects become one.
        request.body.pop();
        request.body.push(b',');
        request.body.extend_from_slice(&proof(&signature)[1..]);
        Ok(())
    }

    fn check_account(&self, account: &Account) -> Result<(), (&'static str, &'static str)> {
        let signs = account.auth == Auth::Signature;
        if account.key(TOPIC).is_none() && (signs || account.key(CONFIRM) == Some("true")) {
            return Err((
                TOPIC,
                "is missing: SNS signs for whoever has a topic, so the account must name the one it believes",
            ));
        }
        if account.key(FOLDER).is_some() && !signs {
            return Err((FOLDER, "says nothing without auth = \"signature\""));
        }
        Ok(())
    }
}

/// What SNS signs of a message (a body as it came): for each field that is there, in this order, its name
/// and its value, each with a line's end. `None` for what is no message of SNS.
pub fn string_to_sign(body: &[u8]) -> Option<Vec<u8>> {
    let envelope: Envelope<'_> = serde_json::from_slice(body).ok()?;
    Some(envelope.string_to_sign())
}

/// SNS's envelope. Lambda spells some keys otherwise.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "Type", borrow)]
    kind: Option<Raw<'a>>,
    #[serde(rename = "MessageId", borrow)]
    id: Option<Raw<'a>>,
    #[serde(rename = "TopicArn", borrow)]
    topic: Option<Raw<'a>>,
    #[serde(rename = "Subject", borrow)]
    subject: Option<Raw<'a>>,
    #[serde(rename = "Message", borrow)]
    message: Option<Raw<'a>>,
    #[serde(rename = "Timestamp", borrow)]
    timestamp: Option<Raw<'a>>,
    #[serde(rename = "Token", borrow)]
    token: Option<Raw<'a>>,
    #[serde(rename = "SubscribeURL", alias = "SubscribeUrl", borrow)]
    subscribe_url: Option<Raw<'a>>,
    #[serde(rename = "SignatureVersion", borrow)]
    signature_version: Option<Raw<'a>>,
    #[serde(rename = "Signature", borrow)]
    signature: Option<Raw<'a>>,
    #[serde(rename = "SigningCertURL", alias = "SigningCertUrl", borrow)]
    certificate: Option<Raw<'a>>,
}

impl Envelope<'_> {
    fn string_to_sign(&self) -> Vec<u8> {
        let fields = [
            ("Message", &self.message),
            ("MessageId", &self.id),
            ("Subject", &self.subject),
            ("SubscribeURL", &self.subscribe_url),
            ("Timestamp", &self.timestamp),
            ("Token", &self.token),
            ("TopicArn", &self.topic),
            ("Type", &self.kind),
        ];
        let mut out = Vec::with_capacity(1024);
        for (name, value) in fields {
            let Some(value) = value else { continue };
            for line in [name.as_bytes(), &*value.0] {
                out.extend_from_slice(line);
                out.push(b'\n');
            }
        }
        out
    }

    fn is_of_topic(&self, account: &Account) -> bool {
        let named = self.topic.as_ref().map(|topic| &*topic.0);
        named == account.key(TOPIC).map(str::as_bytes)
    }

    fn sent_at(&self) -> Option<Timestamp> {
        std::str::from_utf8(&self.timestamp.as_ref()?.0).ok()?.parse().ok()
    }
}

/// The inner JSON: a text, or the fate of one that was sent.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sms<'a> {
    origination_number: Option<String>,
    destination_number: Option<String>,
    #[serde(borrow)]
    message_body: Option<Raw<'a>>,
    inbound_message_id: Option<String>,
    #[serde(alias = "event_type")]
    event_type: Option<IgnoredAny>,
}

impl Sms<'_> {
    /// `envelope_id` stands in where the text has no id of its own; a message sent again keeps it.
    fn into_delivery(
        self,
        account: &Account,
        envelope_id: Option<String>,
        sent_at: Option<Timestamp>,
    ) -> Result<Delivery, Malformed> {
        if self.message_body.is_none() && self.event_type.is_some() {
            return Ok(Delivery::Nothing("event"));
        }
        let id = filled(self.inbound_message_id).or(filled(envelope_id));
        Ok(Delivery::Texts(vec![Inbound {
            carrier_message_id: Some(id.ok_or(Malformed("inboundMessageId missing"))?),
            from: Text::from(filled(self.origination_number).ok_or(Malformed("originationNumber missing"))?),
            to: recipient(self.destination_number, account, "destinationNumber missing")?,
            body: charset::utf8(self.message_body.ok_or(Malformed("messageBody missing"))?.0),
            sent_at,
            part: None,
            segments: 1,
            media: Vec::new(),
        }]))
    }
}

/// A certificate's URL, if it is one of SNS's own: anybody can sign, and show the certificate for it.
fn certificate_url(url: &[u8]) -> Option<&str> {
    let (url, path) = of_sns(url)?;
    let is_plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/'));
    (is_plain && path.ends_with(".pem")).then_some(url)
}

/// Where a subscription is confirmed, if that is at one of SNS's own hosts.
fn subscribe_url(url: &[u8]) -> Option<&str> {
    let (url, path) = of_sns(url)?;
    path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#').then_some(url)
}

/// A URL and its path, if its host is one of SNS's: `sns.REGION.amazonaws.com`, in China with `.cn` behind.
fn of_sns(url: &[u8]) -> Option<(&str, &str)> {
    let url = std::str::from_utf8(url).ok()?;
    let rest = url.strip_prefix("https://")?;
    let slash = rest.find('/')?;
    let (host, path) = rest.split_at(slash);
    let host = host.strip_suffix(".cn").unwrap_or(host);
    let region = host.strip_prefix("sns.")?.strip_suffix(".amazonaws.com")?;
    let is_region = region.len() >= 3 && region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    is_region.then_some((url, path))
}

fn topic(account: &Account) -> &str {
    account.key(TOPIC).unwrap_or(SOME_TOPIC)
}

fn check_topic(value: &str) -> Result<(), &'static str> {
    let parts: Vec<&str> = value.split(':').collect();
    match parts[..] {
        ["arn", partition, "sns", region, owner, name]
            if partition.starts_with("aws") && ![region, owner, name].contains(&"") =>
        {
            Ok(())
        }
        _ => Err("is not the ARN of an SNS topic: arn:aws:sns:REGION:ACCOUNT:NAME"),
    }
}

fn check_boolean(value: &str) -> Result<(), &'static str> {
    if matches!(value, "true" | "false") { Ok(()) } else { Err("must be true or false") }
}
