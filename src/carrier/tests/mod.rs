//! What the tests of carriers share: accounts, and requests that own their pieces.
//!
//! Always true: nothing here listens or sends; the real request path is tested over HTTP elsewhere.

mod arbitrary;
mod authentication;
mod aws_sns;
mod bandwidth;
mod bird;
mod bounds;
mod declared;
mod diagnosis;
mod gateways;
mod infobip;
mod jwt;
mod listing;
mod messagebird;
mod plivo;
mod reading;
mod sinch;
mod telnyx;
mod vonage;

use std::net::{IpAddr, Ipv4Addr};

use hyper::Method;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::{
    Account, Auth, AuthFailure, Certificate, Certificates, Delivery, Draft, Malformed, Parameters, Signed, Webhook,
    authenticate, by_name, certificates,
};
use crate::message::{AccountName, Body, Country, Inbound, Secret, Timestamp};

/// A key of the generic carrier: 24 bytes in base64.
const GENERIC_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
/// Another one.
const GENERIC_SECRET_2: &str = "whsec_ZZECAwQFBgcICQoLDA0ODxAREhMUFRYX";
/// A pair of keys of Ed25519 (RFC 8032, 7.1, test 1): the private one's seed, and the public one.
const ED25519_SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const ED25519_PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
const TOPIC: &str = "arn:aws:sns:eu-west-2:123456789012:inbound-sms";
const NOW: i64 = 1_700_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).expect("a time of the test")
}

fn account(carrier: &str, auth: Auth, secrets: &[&str]) -> Account {
    let name = AccountName::parse("test").expect("a name of the test");
    let secrets = secrets.iter().map(|secret| Secret::new(secret.as_bytes())).collect();
    let carrier = by_name(carrier).expect("a carrier of the test");
    let mut account = Account::new(name, carrier, auth, secrets, "https://sms.example.gov.uk/inbound/test");
    match carrier.contract().name {
        "aws-sns" => {
            let (certificate, key) = certificates::tests::made();
            let certificate = Certificate::parse(certificate.as_bytes()).expect("a certificate of the test");
            account.certificates =
                Certificates::of_folder([("SimpleNotificationService-1.pem".to_owned(), certificate)]);
            account.signing_key = Some(Secret::new(key.as_bytes()));
            account.keys.insert("topic_arn", TOPIC.to_owned());
        }
        "telnyx" => account.signing_key = Some(Secret::new(ED25519_SEED.as_bytes())),
        _ => {}
    }
    account
}

/// A text that the carrier can send: HighConnection's charset has no snow.
fn draft_for(carrier: &str) -> Draft {
    let text = if carrier == "highconnection" { draft().text.replace('❄', "è") } else { draft().text };
    Draft { text, ..draft() }
}

fn draft() -> Draft {
    Draft {
        id: "SM0123456789".to_owned(),
        from: "+447700900123".to_owned(),
        to: "86555".to_owned(),
        text: "Snow on Main St & ❄ 100%\r\n".to_owned(),
        part: None,
        now: now(),
    }
}

/// A webhook that owns what it is made of.
#[derive(Clone)]
struct Request {
    method: Method,
    query: String,
    headers: HeaderMap,
    body: Vec<u8>,
    path_secret: Option<String>,
    peer: IpAddr,
    received_at: Timestamp,
}

impl Request {
    fn get(query: &str) -> Self {
        Self {
            method: Method::GET,
            query: query.to_owned(),
            headers: HeaderMap::new(),
            body: Vec::new(),
            path_secret: None,
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            received_at: now(),
        }
    }

    fn post(body: impl Into<Vec<u8>>) -> Self {
        Self { method: Method::POST, body: body.into(), ..Self::get("") }
    }

    fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name of the test");
        self.headers.append(name, HeaderValue::from_str(value).expect("a header's value of the test"));
        self
    }

    fn webhook(&self) -> Webhook<'_> {
        Webhook {
            method: &self.method,
            query: &self.query,
            headers: &self.headers,
            body: &self.body,
            path_secret: self.path_secret.as_deref(),
            peer: self.peer,
            received_at: self.received_at,
        }
    }

    fn authenticate(&self, account: &Account) -> Result<(), AuthFailure> {
        authenticate(account, &self.webhook())
    }

    fn parse(&self, account: &Account) -> Result<Delivery, Malformed> {
        account.carrier.parse(&self.webhook(), account)
    }

    fn texts(&self, account: &Account) -> Vec<Inbound> {
        match self.parse(account) {
            Ok(Delivery::Texts(texts)) => texts,
            other => panic!("not texts: {other:?}"),
        }
    }
}

impl From<Signed> for Request {
    fn from(signed: Signed) -> Self {
        let bare = Self { method: signed.method, path_secret: signed.path_secret, ..Self::get(&signed.query) };
        let with_body = Self { body: signed.body, ..bare };
        signed.headers.iter().fold(with_body, |request, (name, value)| request.header(name, value))
    }
}

fn text_of(body: &Body) -> Option<&str> {
    match body {
        Body::Text(text) => Some(text.as_str()),
        Body::Undecodable(_) => None,
    }
}
