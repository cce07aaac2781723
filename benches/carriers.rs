//! What does it cost to believe and to read one request of each carrier, beside its bare crypto?
//!
//! Rows `CARRIER/believe+read` and, where it signs, `CARRIER/bare`: the crypto that its scheme demands over as many
//! bytes, with the same keys. The first should be at most twice the second and 2 µs. Every carrier of the
//! build has its rows, and each asserts its result before it is timed.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use aws_lc_rs::digest;
use aws_lc_rs::hmac::{self, Algorithm, HMAC_SHA1_FOR_LEGACY_USE_ONLY as HMAC_SHA1, HMAC_SHA256};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ED25519, Ed25519KeyPair, KeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use criterion::{Criterion, criterion_group, criterion_main};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use sms_router::carrier::{
    Account, Auth, CARRIERS, Carrier, Certificate, Certificates, Delivery, Draft, Signed, Webhook, authenticate, prove,
    string_to_sign,
};
use sms_router::message::{AccountName, Body, Country, Number, Secret, Timestamp};

/// The text of the short rows.
const TEXT: &str = "Snow on Main St";
/// A key of the generic carrier.
const WHSEC: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
const KEY: &str = "0123456789abcdef0123456789abcdef";
/// A pair of keys of Ed25519 (RFC 8032, 7.1, test 1): the private one's seed, and the public one.
const ED25519_SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const ED25519_PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
const URL: &str = "https://sms.example.gov.uk/inbound/bench";
/// A form as Twilio sends it, with the fields it adds on its best effort; about 700 bytes.
const TWILIO_FORM: &str = "ToCountry=GB&ToState=&SmsMessageSid=SMbbf29aeb9d380ce2a1c0ae4635ff9dab&NumMedia=0&ToCity=\
    &FromZip=27609&SmsSid=SMbbf29aeb9d380ce2a1c0ae4635ff9dab&FromState=North+Yorkshire&SmsStatus=received\
    &FromCity=Harrogate&FromCountry=GB&To=86555&ToZip=&NumSegments=2\
    &MessageSid=SMbbf29aeb9d380ce2a1c0ae4635ff9dab&AccountSid=AC0123456789abcdef0123456789abcdef\
    &From=%2B447700900123&ApiVersion=2010-04-01&MessagingServiceSid=MG0123456789abcdef0123456789abcdef\
    &Body=Snow+on+Main+St%2C+nobody+has+gritted+the+hill+since+Tuesday%21+The+bus+%28route+36%29+could+not+get+up+to\
    +the+school+this+morning+%26+two+cars+have+slid+into+the+wall+by+the+church.+Please+send+someone+soon+%E2%9D%84";

/// What it says.
const TWILIO_TEXT: &str = "Snow on Main St, nobody has gritted the hill since Tuesday! The bus (route 36) could not \
    get up to the school this morning & two cars have slid into the wall by the church. Please send someone soon ❄";

/// What SNS signs with, and what shows it.
struct Pair {
    certificate: String,
    private: String,
    der: Vec<u8>,
}

impl Pair {
    fn made() -> Self {
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key");
        let parameters = rcgen::CertificateParams::new(vec!["sns.amazonaws.com".to_owned()]).expect("a name");
        let certificate = parameters.self_signed(&key).expect("a certificate").pem();
        Self { certificate, private: key.serialize_pem(), der: key.serialize_der() }
    }
}

/// An account as its carrier's contract proposes it.
fn account(carrier: &'static dyn Carrier, sns: &Pair) -> Account {
    let contract = carrier.contract();
    let secret = match (contract.name, contract.auth) {
        ("generic", _) => WHSEC,
        ("telnyx", _) => ED25519_PUBLIC,
        (_, Auth::Basic) => "user:password",
        _ => KEY,
    };
    let name = AccountName::parse("bench").expect("a name");
    let mut account = Account::new(name, carrier, contract.auth, vec![Secret::new(secret.as_bytes())], URL);
    account.number = Some(Number::normalise("86555", Country::GB));
    match contract.name {
        "telnyx" => account.signing_key = Some(Secret::new(ED25519_SEED.as_bytes())),
        "vonage" => {
            account.keys.insert("signature_method", "sha256".to_owned());
        }
        "aws-sns" => {
            let certificate = Certificate::parse(sns.certificate.as_bytes()).expect("a certificate");
            account.certificates =
                Certificates::of_folder([("SimpleNotificationService-1.pem".to_owned(), certificate)]);
            account.signing_key = Some(Secret::new(sns.private.as_bytes()));
            account.keys.insert("topic_arn", "arn:aws:sns:eu-west-2:123456789012:inbound-sms".to_owned());
        }
        _ => {}
    }
    account
}

fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).expect("a time")
}

/// The request that the carrier would send, and the text in it.
fn request(account: &Account) -> (Signed, &'static str) {
    let draft = Draft {
        id: "0191e180-7d60-7000-aded-7d8b151cbd5b".to_owned(),
        from: "+447700900123".to_owned(),
        to: "86555".to_owned(),
        text: TEXT.to_owned(),
        part: None,
        now: now(),
    };
    let mut request = account.carrier.compose(&draft, account).expect("it is proven");
    let text = match account.carrier.contract().name {
        "twilio" => {
            request.body = TWILIO_FORM.as_bytes().to_vec();
            TWILIO_TEXT
        }
        "generic" => {
            // JSON allows blanks between its tokens: the size of a sender that pads.
            request.body.resize(300, b' ');
            TEXT
        }
        _ => return (request, TEXT),
    };
    request.headers.retain(|(name, _)| name == "content-type");
    prove(&mut request, account, now()).expect("it is proven");
    (request, text)
}

fn read(account: &Account, webhook: &Webhook<'_>) -> Delivery {
    authenticate(account, webhook).expect("the request is proven");
    account.carrier.parse(webhook, account).expect("the request is well-formed")
}

fn believe_and_read(criterion: &mut Criterion, account: &Account, request: &Signed, text: &str) {
    let headers: HeaderMap = request
        .headers
        .iter()
        .map(|(name, value)| {
            let name: HeaderName = name.parse().expect("a header's name");
            (name, HeaderValue::from_str(value).expect("a header's value"))
        })
        .collect();
    let webhook = Webhook {
        method: &request.method,
        query: &request.query,
        headers: &headers,
        body: &request.body,
        path_secret: request.path_secret.as_deref(),
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        received_at: now(),
    };
    let Delivery::Texts(texts) = read(account, &webhook) else { panic!("no texts") };
    assert_eq!(texts[0].body, Body::Text(text.into()));
    criterion.bench_function(&format!("{}/believe+read", account.carrier.contract().name), |bencher| {
        bencher.iter(|| read(black_box(account), black_box(&webhook)));
    });
}

/// The crypto of a signature of this carrier's: HMAC over so many bytes, hashes over others.
fn bare(criterion: &mut Criterion, account: &Account, request: &Signed, sns: &Pair) {
    let body = request.body.len();
    let name = account.carrier.contract().name;
    let mut work: Box<dyn FnMut() -> bool> = match name {
        "twilio" => symmetric(HMAC_SHA1, URL.len() + body, &[]),
        "vonage" => symmetric(HMAC_SHA256, body, &[]),
        "plivo" => symmetric(HMAC_SHA256, URL.len() + body, &[]),
        // Nonce and time, id and time.
        "sinch" | "generic" => symmetric(HMAC_SHA256, body + 50, &[]),
        "bird" => symmetric(HMAC_SHA256, 10 + URL.len() + digest::SHA256_OUTPUT_LEN, &[body]),
        "messagebird" => {
            let token = request.header("messagebird-signature-jwt").expect("a token").len();
            symmetric(HMAC_SHA256, token, &[body, URL.len()])
        }
        "telnyx" => ed25519(body + 11),
        "aws-sns" => rsa_2048(&sns.der, string_to_sign(&request.body).expect("it is an envelope")),
        _ => {
            assert_ne!(account.auth, Auth::Signature, "{name} signs, and its floor is not known here");
            return;
        }
    };
    assert!(work(), "{name}");
    criterion.bench_function(&format!("{name}/bare"), |bencher| bencher.iter(&mut work));
}

fn symmetric(algorithm: Algorithm, signed: usize, hashed: &[usize]) -> Box<dyn FnMut() -> bool> {
    let key = hmac::Key::new(algorithm, KEY.as_bytes());
    let message = vec![b'a'; signed];
    let hashed: Vec<Vec<u8>> = hashed.iter().map(|length| vec![b'a'; *length]).collect();
    let tag = hmac::sign(&key, &message);
    Box::new(move || {
        for bytes in &hashed {
            black_box(digest::digest(&digest::SHA256, black_box(bytes)));
        }
        hmac::verify(black_box(&key), black_box(&message), tag.as_ref()).is_ok()
    })
}

fn ed25519(signed: usize) -> Box<dyn FnMut() -> bool> {
    let seed = STANDARD.decode(ED25519_SEED).expect("base64");
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a seed");
    let key = ParsedPublicKey::new(&ED25519, pair.public_key().as_ref()).expect("a key");
    let message = vec![b'a'; signed];
    let signature = pair.sign(&message);
    Box::new(move || black_box(&key).verify_sig(black_box(&message), signature.as_ref()).is_ok())
}

fn rsa_2048(der: &[u8], message: Vec<u8>) -> Box<dyn FnMut() -> bool> {
    let pair = rsa::KeyPair::from_pkcs8(der).expect("a key");
    let key = ParsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref()).expect("a key");
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &message, &mut signature).expect("it signs");
    Box::new(move || black_box(&key).verify_sig(black_box(&message), &signature).is_ok())
}

fn carriers(criterion: &mut Criterion) {
    let sns = Pair::made();
    for carrier in CARRIERS {
        let account = account(*carrier, &sns);
        let (request, text) = request(&account);
        bare(criterion, &account, &request, &sns);
        believe_and_read(criterion, &account, &request, text);
    }
}

criterion_group!(benches, carriers);
criterion_main!(benches);
