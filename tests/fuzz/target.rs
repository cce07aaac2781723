//! The bodies of the fuzz targets, one for each carrier and each other reader of what strangers send:
//! plain functions that libFuzzer drives (`driver`) and `cargo test` replays (`main`).
//!
//! Comes in: any bytes, read as the text of a request: `METHOD /SECRET?QUERY`, headers a line each, an
//! empty line, the body. Goes out: nothing; what must not be is a panic.
//! Always true: an account's secrets and the clock are fixed, so an input is the whole of its case; what is
//! read is read unproven too, since no fuzzer guesses a signature, and once more signed by the carrier's own
//! hand, so that what lies behind the signature is reached.
//! Not here: where inputs come from (`seeds`, `shapes`, the fuzzer).

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use allocation_counter::{AllocationInfo, measure};
use hyper::Method;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use sms_router::carrier::{
    Account, Auth, CARRIERS, Capture, Carrier, Certificate, Certificates, Contract, Declaration, Delivery, Escapes,
    Format, Malformed, Signed, Webhook, Words, admit, authenticate_head, jwt, string_to_sign,
};
use sms_router::message::{AccountName, Body, Inbound, Number, Secret, Timestamp};

/// What a request may take beside what is read of it.
const BESIDE: usize = 64 * 1024;
/// A byte may be held decoded, and then as the up to three bytes that it is in UTF-8 (ISO-8859-15's euro
/// sign, U+FFFD for what is none); what is signed is another copy, gone before that.
const TIMES: usize = 4;
/// What a list of `TEXTS_MAX` takes besides: a text read is 200 bytes of pointers and lengths, and so is what
/// it was read from, however short its JSON.
const LIST: usize = TEXTS_MAX * 512;
/// Carriers that send several texts at once.
const LISTS: [&str; 5] = ["bandwidth", "clickatell", "form", "generic", "infobip"];
/// As many as the listener takes.
const HEADERS_MAX: usize = 100;
/// Most texts of one request.
const TEXTS_MAX: usize = 2_000;
/// One byte becomes at most three: U+FFFD in UTF-8 for what is none.
const BYTES_OF_A_BYTE: usize = 3;
/// 24 bytes in base64.
const WEBHOOK_SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";
/// A pair of keys of Ed25519 (RFC 8032, 7.1, test 1): the private one's seed, and the public one.
const ED25519_SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const ED25519_PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
/// What Amazon signed the cases of `tests/carriers/vectors.json` with; it is public.
const SNS_CERTIFICATE: &[u8] = include_bytes!("sns.pem");
const SNS_CERTIFICATE_NAME: &str = "SimpleNotificationService-7ff5318490ec183fbaddaa2a969abfda.pem";

/// What takes an input.
pub enum Target {
    /// A carrier, by each of the accounts that read differently.
    Carrier(&'static dyn Carrier, Vec<Account>),
    /// A reader that needs no account.
    Reader(&'static str, Reader),
}

/// Reads, and forgets.
type Reader = fn(&[u8]);

/// Readers of what strangers write, beside the carriers.
const READERS: [(&str, Reader); 4] = [
    ("capture", |input| drop(black_box(Capture::parse(input)))),
    ("certificate", |input| drop(black_box(Certificate::parse(input)))),
    ("jwt", |input| {
        let token = std::str::from_utf8(input).ok().and_then(jwt::Token::parse);
        drop(black_box(token.and_then(|token| token.claims())));
    }),
    ("sns-string", |input| drop(black_box(string_to_sign(input)))),
];

impl Target {
    pub fn all() -> Vec<Self> {
        let carriers = CARRIERS.iter().map(|carrier| Self::Carrier(*carrier, accounts(*carrier)));
        carriers.chain(READERS.map(|(name, read)| Self::Reader(name, read))).collect()
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Carrier(carrier, _) => carrier.contract().name,
            Self::Reader(name, _) => name,
        }
    }

    /// The largest body that it takes.
    pub fn body_max(&self) -> usize {
        match self {
            Self::Carrier(carrier, _) => carrier.contract().body_max,
            Self::Reader(..) => Contract::USUAL.body_max,
        }
    }

    /// Takes one input, whatever it is; tells what its accounts allocated, together.
    pub fn one(&self, input: &[u8]) -> AllocationInfo {
        match self {
            Self::Reader(_, read) => measure(|| read(input)),
            Self::Carrier(carrier, accounts) => {
                let mut request = Request::cut(input);
                request.body.truncate(carrier.contract().body_max);
                let mut all = AllocationInfo::default();
                accounts.iter().for_each(|account| all += takes(account, &request));
                all
            }
        }
    }
}

/// One request as one account takes it, as it is and signed.
fn takes(account: &Account, request: &Request) -> AllocationInfo {
    let name = account.carrier.contract().name;
    let list = if LISTS.contains(&name) { LIST } else { 0 };
    let bound = (BESIDE + TIMES * request.size() + list) as u64;
    let (mut taken, mut delivery) = measured(account, request);
    if taken.bytes_max > bound {
        // Tables that are made at first use, such as a zone's, are not the request's.
        (taken, delivery) = measured(account, request);
    }
    assert!(taken.bytes_max <= bound, "{name}: {} bytes of memory, of {bound}", taken.bytes_max);
    check(delivery.ok().as_ref(), request);
    if account.auth == Auth::Signature
        && let Some(signed) = request.signed(account)
    {
        drop(black_box(read(account, &signed)));
    }
    taken
}

fn measured(account: &Account, request: &Request) -> (AllocationInfo, Result<Delivery, Malformed>) {
    let mut delivery = Err(Malformed(""));
    let taken = measure(|| delivery = read(account, request));
    (taken, delivery)
}

/// The walk of a request through a carrier.
fn read(account: &Account, request: &Request) -> Result<Delivery, Malformed> {
    let webhook = request.webhook();
    let _ = black_box(authenticate_head(account, &webhook));
    let _ = black_box(admit(account, &webhook));
    drop(black_box(account.carrier.certificate_url(&webhook)));
    account.carrier.parse(&webhook, account)
}

/// What is true of everything that is read.
fn check(delivery: Option<&Delivery>, request: &Request) {
    let Some(Delivery::Texts(texts)) = delivery else { return };
    assert!(!texts.is_empty() && texts.len() <= TEXTS_MAX, "{} texts", texts.len());
    let held: usize = texts.iter().map(bytes_of).sum();
    let sent = request.size();
    assert!(held <= BYTES_OF_A_BYTE * sent + 64 * texts.len(), "{held} bytes of text from {sent}");
    for text in texts {
        assert!(text.segments > 0);
        if let Some(part) = &text.part {
            assert!(part.total > 1 && (1..=part.total).contains(&part.number), "{} of {}", part.number, part.total);
        }
    }
}

fn bytes_of(text: &Inbound) -> usize {
    let id = text.carrier_message_id.as_ref().map_or(0, String::len);
    let to = text.to.as_ref().map_or(0, |to| to.as_str().len());
    let reference = text.part.as_ref().map_or(0, |part| part.reference.len());
    let media = text.media.iter().map(|media| media.url.len() + media.content_type.as_ref().map_or(0, String::len));
    let body = match &text.body {
        Body::Text(text) => text.as_str().len(),
        Body::Undecodable(bytes) => bytes.len(),
    };
    id + text.from.as_str().len() + to + reference + body + media.sum::<usize>()
}

/// An input as the listener would have handed it on.
#[derive(Clone)]
struct Request {
    method: Method,
    path_secret: Option<String>,
    query: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Request {
    /// Whatever is missing is empty, and what is no header is passed over.
    fn cut(input: &[u8]) -> Self {
        let mut rest = input;
        let (method, target) = split(line(&mut rest), b' ');
        let (path, query) = split(target, b'?');
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        let mut headers = HeaderMap::new();
        while !rest.is_empty() {
            let header = line(&mut rest);
            if header.is_empty() {
                break;
            }
            let (name, value) = split(header, b':');
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), HeaderValue::from_bytes(value.trim_ascii()))
                && headers.len() < HEADERS_MAX
            {
                headers.append(name, value);
            }
        }
        Self {
            method: if method == b"GET" { Method::GET } else { Method::POST },
            path_secret: (!path.is_empty()).then(|| text(path)),
            query: text(query),
            headers,
            body: rest.to_vec(),
        }
    }

    fn size(&self) -> usize {
        let headers: usize = self.headers.values().map(|value| value.len()).sum();
        self.query.len() + self.path_secret.as_ref().map_or(0, String::len) + headers + self.body.len()
    }

    fn webhook(&self) -> Webhook<'_> {
        Webhook {
            method: &self.method,
            query: &self.query,
            headers: &self.headers,
            body: &self.body,
            path_secret: self.path_secret.as_deref(),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            received_at: now(),
        }
    }

    /// The same, proven as the carrier proves its own; none where it could not send such a one.
    fn signed(&self, account: &Account) -> Option<Self> {
        let mut signed = Signed {
            method: self.method.clone(),
            path_secret: None,
            query: self.query.clone(),
            headers: self
                .headers
                .get("content-type")
                .into_iter()
                .map(|kind| ("content-type".to_owned(), kind.to_str().unwrap_or_default().to_owned()))
                .collect(),
            body: self.body.clone(),
        };
        account.carrier.sign(&mut signed, account, now()).ok()?;
        let mut headers = self.headers.clone();
        for (name, value) in &signed.headers {
            headers.insert(HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_str(value).ok()?);
        }
        Some(Self { method: signed.method, path_secret: None, query: signed.query, headers, body: signed.body })
    }
}

/// The next line, its end taken off.
fn line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let (line, behind) = split(rest, b'\n');
    *rest = behind;
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// What is before and behind the first such byte.
fn split(input: &[u8], byte: u8) -> (&[u8], &[u8]) {
    match input.iter().position(|found| *found == byte) {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &[]),
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).expect("a time")
}

/// The accounts that read a carrier's requests in different ways: every proof there is, and every value of
/// its settings that chooses code.
fn accounts(carrier: &'static dyn Carrier) -> Vec<Account> {
    let contract = carrier.contract();
    let signature = contract.signs.then_some(Auth::Signature);
    let others = [Auth::Basic, Auth::Bearer, Auth::Path, Auth::Query];
    let mut accounts: Vec<_> = signature.into_iter().chain(others).map(|auth| account(carrier, auth)).collect();
    let first = accounts[0].clone();
    for (key, value) in settings(contract.name) {
        accounts.push(Account { keys: [(*key, (*value).to_owned())].into(), ..first.clone() });
    }
    accounts.push(Account {
        number: Some(Number::normalise("+447700900999", first.country)),
        // Then a signature that fails is let in.
        monitor_until: Timestamp::from_second(i64::from(i32::MAX)).ok(),
        ..first.clone()
    });
    if contract.name == sms_router::carrier::FORM {
        let declared = declarations().map(|declaration| Some(Arc::new(declaration)));
        accounts.extend(declared.map(|declaration| Account { declaration, ..first.clone() }));
    }
    for account in accounts.iter_mut().filter(|_| contract.certificates) {
        let certificate = Certificate::parse(SNS_CERTIFICATE).expect("a certificate");
        account.certificates = Certificates::of_folder([(SNS_CERTIFICATE_NAME.to_owned(), certificate)]);
        account.keys.entry("topic_arn").or_insert_with(|| "arn:aws:sns:us-east-2:123456789012:sms".to_owned());
    }
    accounts
}

fn account(carrier: &'static dyn Carrier, auth: Auth) -> Account {
    let name = carrier.contract().name;
    let secret = match (name, auth) {
        ("generic", _) => WEBHOOK_SECRET,
        ("telnyx", Auth::Signature) => ED25519_PUBLIC,
        _ => "user:the-secret-of-fuzzing",
    };
    let secrets = vec![Secret::new(secret.as_bytes())];
    let account = AccountName::parse("fuzz").expect("a name");
    let mut account = Account::new(account, carrier, auth, secrets, "https://sms.example.gov.uk/inbound/fuzz");
    account.signing_key = (name == "telnyx").then(|| Secret::new(ED25519_SEED.as_bytes()));
    account
}

/// Values of a carrier's own settings, one for each way through its code.
fn settings(carrier: &str) -> &'static [(&'static str, &'static str)] {
    match carrier {
        "aws-sns" => &[("confirm_subscriptions", "true")],
        "firetext" | "mmg" | "smsportal" => &[("time_zone", "Europe/London")],
        "jasmin" => &[("alphabet", "gsm"), ("alphabet", "ISO-8859-1")],
        "plivo" => &[("signature_version", "v1"), ("signature_version", "v2"), ("signature_version", "v3")],
        "vonage" => &[
            ("signature_method", "md5hash"),
            ("signature_method", "md5"),
            ("signature_method", "sha1"),
            ("signature_method", "sha512"),
        ],
        _ => &[],
    }
}

/// What an operator may declare: every format, every escape, lists, media, parts in both ways.
fn declarations() -> [Declaration; 4] {
    let shipped = Declaration {
        from: Words::Shipped(&["from", "/a/from"]),
        to: Words::Shipped(&["to", "/a/to/0"]),
        text: Words::Shipped(&["text", "/a/text"]),
        id: Words::Shipped(&["id"]),
        time: Words::Shipped(&["time"]),
        text_charset: Words::Shipped(&["charset"]),
        reference: Words::Shipped(&["reference"]),
        total: Words::Shipped(&["total"]),
        number: Words::Shipped(&["number"]),
        udh: Words::Shipped(&["udh"]),
        segments: Words::Shipped(&["segments"]),
        media: Words::Shipped(&["media", "/media/0/url"]),
        texts_lack: Words::Shipped(&["status"]),
        text_is_media: Words::Shipped(&["type=mms"]),
        times: Words::Shipped(&["iso", "unix", "unix-ms", "%d.%m.%Y %H:%M:%S"]),
        zone: Some("Europe/London".into()),
        probes: true,
        ..Declaration::USUAL
    };
    let json = || Declaration { formats: vec![Format::Json, Format::Query].into(), ..shipped.clone() };
    [
        Declaration { texts: Some("/texts".into()), escapes: Escapes::Hex, ..json() },
        Declaration { escapes: Escapes::BackslashThenForm, ..json() },
        Declaration { escapes: Escapes::FormIfCharset, charset: Some("UTF-16BE".into()), ..json() },
        Declaration { formats: vec![Format::Form, Format::Query].into(), escapes: Escapes::Hex, ..shipped.clone() },
    ]
}
