//! What does one request cost from its bytes to the event that Kafka would get, network and runtime apart?
//!
//! Rows `path/CARRIER/SIZE`, SIZE that of the body: authenticate, parse, normalise, decide, name,
//! encode: the steps of `webhook::Door::accept` but for bounds, claims and counters. Rows
//! `part/STEP/CARRIER` are its steps one by one, and say where the time goes. Every row asserts its
//! result before it is timed.

mod common;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use sms_router::carrier::{Account, Auth, Delivery, Draft, Signed, Webhook, authenticate, by_name, prove};
use sms_router::intake::{InboundText, Label, encode};
use sms_router::keyword::Table;
use sms_router::message::{AccountName, Body, Decision, Event, EventId, Inbound, Record, Secret, SenderKey, Timestamp};

const TEXT: &str = "Snow on Main St";
const NUMBER: &str = "86555";
/// Keywords of the table beside `snow`: a large council's.
const KEYWORDS: usize = 1_000;
/// What Twilio adds to a form on its best effort; the last value fills the body up to 700 bytes.
const TWILIO_EXTRAS: &str = "&ToCountry=GB&ToState=&ToCity=&ToZip=&FromZip=27609&FromState=North+Yorkshire&FromCity=Harrogate\
    &FromCountry=GB&AccountSid=AC0123456789abcdef0123456789abcdef&MessagingServiceSid=MG0123456789abcdef0123456789abcdef&ReferralNumMedia=0\
    &ChannelMetadata=%7B%22type%22%3A%22sms%22%2C%22data%22%3A%7B%22context%22%3A%7B%22route%22%3A%22";

/// Everything that stands still between two requests.
struct Path {
    account: Arc<Account>,
    table: Table,
    key: SenderKey,
    namespace: EventId,
}

fn path(carrier: &str, secret: &str) -> Path {
    let (name, carrier) = (AccountName::parse("bench").expect("a name"), by_name(carrier).expect("a carrier"));
    let secrets = vec![Secret::new(secret.as_bytes())];
    let account = Account::new(name, carrier, Auth::Signature, secrets, "https://sms.example.gov.uk/inbound/bench");
    Path {
        account: Arc::new(account),
        table: table(),
        key: SenderKey::new(b"a key of 32 characters for tests").expect("long enough"),
        namespace: EventId::new_v5(&EventId::NAMESPACE_URL, b"https://sms.example.gov.uk/accounts/bench"),
    }
}

fn table() -> Table {
    let words = (0..KEYWORDS).map(|number| format!("word{number}"));
    let spec = common::spec(NUMBER, words.chain(["snow".to_owned()]));
    Table::build(spec).unwrap_or_else(|refusals| panic!("{refusals:?}"))
}

fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).expect("a time")
}

/// The carrier's request for the text, its body made `size` bytes long by `grow`, signed.
fn request(path: &Path, size: usize, grow: impl FnOnce(&mut Vec<u8>)) -> (Signed, HeaderMap) {
    let draft = Draft {
        id: "SMbbf29aeb9d380ce2a1c0ae4635ff9dab".to_owned(),
        from: "+447700900123".to_owned(),
        to: NUMBER.to_owned(),
        text: TEXT.to_owned(),
        part: None,
        now: now(),
    };
    let mut request = path.account.carrier.compose(&draft, &path.account).expect("it signs");
    request.headers.retain(|(name, _)| name == "content-type");
    grow(&mut request.body);
    assert_eq!(request.body.len(), size);
    prove(&mut request, &path.account, now()).expect("it signs");
    let header = |(name, value): &(String, String)| {
        let name: HeaderName = name.parse().expect("a header's name");
        (name, HeaderValue::from_str(value).expect("a header's value"))
    };
    let headers = request.headers.iter().map(header).collect();
    (request, headers)
}

impl Path {
    fn read(&self, webhook: &Webhook<'_>) -> Inbound {
        authenticate(&self.account, webhook).expect("the request is signed");
        self.parse(webhook)
    }

    fn parse(&self, webhook: &Webhook<'_>) -> Inbound {
        match self.account.carrier.parse(webhook, &self.account) {
            Ok(Delivery::Texts(mut texts)) if texts.len() == 1 => texts.remove(0),
            _ => panic!("one text was sent"),
        }
    }

    fn normalise(&self, inbound: Inbound) -> InboundText {
        InboundText::new(&self.account, inbound, now(), None, &self.key)
    }

    fn decide(&self, text: &InboundText) -> Decision {
        let Body::Text(words) = &text.inbound.body else { panic!("the text can be decoded") };
        self.table.decide(&text.to, words.as_str()).expect("the number is in the table")
    }

    fn encode(&self, text: &InboundText, decision: &Decision) -> Vec<Event> {
        let identity = text.carrier_identity().expect("the carrier names its texts");
        let id = EventId::new_v5(&self.namespace, identity.as_bytes());
        encode(text, decision, Label::message(id, Vec::new()), &self.key)
    }

    fn whole(&self, webhook: &Webhook<'_>) -> Vec<Event> {
        let text = self.normalise(self.read(webhook));
        let decision = self.decide(&text);
        self.encode(&text, &decision)
    }
}

fn rows(criterion: &mut Criterion, path: &Path, signed: &(Signed, HeaderMap)) {
    let (request, headers) = signed;
    let webhook = Webhook {
        method: &request.method,
        query: &request.query,
        headers,
        body: &request.body,
        path_secret: None,
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        received_at: now(),
    };
    let carrier = path.account.carrier.contract().name;
    let events = path.whole(&webhook);
    let record = Record::from_json(&events[0].value).expect("a record");
    assert_eq!((events.len(), record.text.as_str(), record.keyword.as_deref()), (1, TEXT, Some("snow")));
    assert_eq!((record.from.as_str(), record.to.as_str()), ("+447700900123", NUMBER));
    criterion.bench_function(&format!("path/{carrier}/{}B", request.body.len()), |bencher| {
        bencher.iter(|| path.whole(black_box(&webhook)));
    });
    criterion.bench_function(&format!("part/authenticate/{carrier}"), |bencher| {
        bencher.iter(|| authenticate(&path.account, black_box(&webhook)));
    });
    criterion.bench_function(&format!("part/parse/{carrier}"), |bencher| {
        bencher.iter(|| path.parse(black_box(&webhook)));
    });
    let inbound = path.read(&webhook);
    criterion.bench_function(&format!("part/normalise/{carrier}"), |bencher| {
        bencher.iter(|| path.normalise(black_box(&inbound).clone()));
    });
    let text = path.normalise(inbound);
    criterion.bench_function(&format!("part/decide/{carrier}"), |bencher| {
        bencher.iter(|| path.decide(black_box(&text)));
    });
    let decision = path.decide(&text);
    criterion.bench_function(&format!("part/name+encode/{carrier}"), |bencher| {
        bencher.iter(|| path.encode(black_box(&text), black_box(&decision)));
    });
}

fn paths(criterion: &mut Criterion) {
    let generic = path("generic", "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX");
    // JSON allows blanks between its tokens: the size of a sender that pads.
    let signed = request(&generic, 300, |body| body.resize(300, b' '));
    rows(criterion, &generic, &signed);

    let twilio = path("twilio", "0123456789abcdef0123456789abcdef");
    let signed = request(&twilio, 700, |body| {
        body.extend_from_slice(TWILIO_EXTRAS.as_bytes());
        body.resize(700, b'x');
    });
    rows(criterion, &twilio, &signed);
}

criterion_group!(benches, paths);
criterion_main!(benches);
