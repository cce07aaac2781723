//! What does it cost to believe and to read one request of each carrier, beside its bare crypto?
//!
//! Rows `authenticate+parse/CARRIER/SHAPE` and `bare/ALGORITHM/SIZE`: the second is the floor of the
//! first. Every row asserts its result before it is timed.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use aws_lc_rs::hmac;
use criterion::{Criterion, criterion_group, criterion_main};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use sms_router::carrier::{Account, Auth, Delivery, Draft, Signed, Webhook, authenticate, by_name, prove};
use sms_router::message::{AccountName, Body, Secret, Timestamp};

/// The text of the short rows.
const TEXT: &str = "Snow on Main St";
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

fn account(carrier: &str, auth: Auth, secret: &str) -> Account {
    let (name, carrier) = (AccountName::parse("bench").expect("a name"), by_name(carrier).expect("a carrier"));
    let secrets = vec![Secret::new(secret.as_bytes())];
    Account::new(name, carrier, auth, secrets, "https://sms.example.gov.uk/inbound/bench")
}

fn now() -> Timestamp {
    Timestamp::from_second(1_700_000_000).expect("a time")
}

fn draft() -> Draft {
    Draft {
        id: "0191e180-7d60-7000-aded-7d8b151cbd5b".to_owned(),
        from: "+447700900123".to_owned(),
        to: "86555".to_owned(),
        text: TEXT.to_owned(),
        part: None,
        now: now(),
    }
}

fn read(account: &Account, webhook: &Webhook<'_>) -> Delivery {
    authenticate(account, webhook).expect("the request is signed");
    account.carrier.parse(webhook, account).expect("the request is well-formed")
}

fn row(criterion: &mut Criterion, name: &str, account: &Account, request: &Signed, text: &str) {
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
    criterion.bench_function(&format!("authenticate+parse/{name}"), |bencher| {
        bencher.iter(|| read(black_box(account), black_box(&webhook)));
    });
}

fn bare(criterion: &mut Criterion, name: &str, algorithm: hmac::Algorithm, size: usize) {
    let key = hmac::Key::new(algorithm, b"0123456789abcdef0123456789abcdef");
    let message = vec![b'a'; size];
    let tag = hmac::sign(&key, &message);
    assert!(hmac::verify(&key, &message, tag.as_ref()).is_ok());
    criterion.bench_function(&format!("bare/{name}/{size}B"), |bencher| {
        bencher.iter(|| hmac::verify(black_box(&key), black_box(&message), tag.as_ref()));
    });
}

fn carriers(criterion: &mut Criterion) {
    let twilio = account("twilio", Auth::Signature, "0123456789abcdef0123456789abcdef");
    let mut request = twilio.carrier.compose(&draft(), &twilio).expect("it signs");
    request.body = TWILIO_FORM.as_bytes().to_vec();
    request.headers.retain(|(name, _)| name == "content-type");
    prove(&mut request, &twilio, now()).expect("it signs");
    bare(criterion, "hmac-sha1", hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, request.body.len());
    row(criterion, "twilio/700B", &twilio, &request, TWILIO_TEXT);

    let generic = account("generic", Auth::Signature, "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX");
    let mut request = generic.carrier.compose(&draft(), &generic).expect("it signs");
    request.headers.retain(|(name, _)| name == "content-type");
    // JSON allows blanks between its tokens: the size of a sender that pads.
    request.body.resize(300, b' ');
    prove(&mut request, &generic, now()).expect("it signs");
    bare(criterion, "hmac-sha256", hmac::HMAC_SHA256, request.body.len());
    row(criterion, "generic/300B", &generic, &request, TEXT);

    for (carrier, name) in
        [("vonage", "vonage/form"), ("messagebird", "messagebird/token"), ("bird", "bird/json"), ("plivo", "plivo/v3")]
    {
        let account = account(carrier, Auth::Signature, "0123456789abcdef0123456789abcdef");
        let request = account.carrier.compose(&draft(), &account).expect("it signs");
        row(criterion, name, &account, &request, TEXT);
    }

    let kannel = account("kannel", Auth::Path, "0123456789abcdef");
    let request = kannel.carrier.compose(&draft(), &kannel).expect("it proves");
    row(criterion, "kannel/get", &kannel, &request, TEXT);
}

criterion_group!(benches, carriers);
criterion_main!(benches);
