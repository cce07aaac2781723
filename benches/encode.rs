//! What does it cost to make a routed text the event that goes on the wire, beside its bare JSON?
//!
//! Rows `encode/SHAPE/SIZE`: `intake::encode`, which builds the record, hashes the sender for the key
//! and writes the JSON; SIZE is the text's. Rows `bare/to_json/SIZE`: serde_json on the same record,
//! made before: the floor of the first. Every row asserts its result before it is timed.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use sms_router::carrier::{Account, Auth, by_name};
use sms_router::intake::{InboundText, Label, encode};
use sms_router::message::{
    AccountName, Body, Consent, Decision, DepartmentName, EventId, EventKind, Inbound, Record, Rule, RuleKind,
    SenderKey, Text, Timestamp,
};

const SHORT: &str = "Snow on Main St";
const ID: EventId = EventId::from_u128(0x0191_e180_7d60_5000_8ded_7d8b_151c_bd5b);

fn account() -> Arc<Account> {
    let (name, carrier) = (AccountName::parse("bench").expect("a name"), by_name("generic").expect("a carrier"));
    Arc::new(Account::new(name, carrier, Auth::None, Vec::new(), "https://sms.example.gov.uk/inbound/bench"))
}

fn text(words: &str, key: &SenderKey) -> InboundText {
    let received_at = Timestamp::from_second(1_700_000_000).expect("a time");
    let inbound = Inbound {
        carrier_message_id: Some("0191e180-7d60-7000-aded-7d8b151cbd5b".to_owned()),
        from: Text::from("+447700900123"),
        to: Some(Text::from("86555")),
        body: Body::Text(Text::from(words)),
        sent_at: Some(received_at),
        part: None,
        segments: 1,
        media: Vec::new(),
    };
    InboundText::new(&account(), inbound, received_at, None, key)
}

fn decision(consent: Option<Consent>) -> Decision {
    Decision {
        department: DepartmentName::parse("highways").expect("a name"),
        departments: None,
        keyword: Some("snow".into()),
        rule: Rule { kind: RuleKind::Word, matched: Some("snow".into()) },
        consent,
        rest: Some("snow ".len()),
        routes_version: "0123456789abcdef".into(),
    }
}

fn row(criterion: &mut Criterion, name: &str, words: &str, consent: Option<Consent>) {
    let key = SenderKey::new(b"a key of 32 characters for tests").expect("long enough");
    let (text, decision) = (text(words, &key), decision(consent));
    let events = encode(&text, &decision, Label::message(ID, Vec::new()), &key);
    assert_eq!(events.len(), 1 + usize::from(consent.is_some()));
    assert_eq!((events[0].id, events[0].kind), (ID, EventKind::Message));
    assert_eq!(events[0].key, key.hash(&text.from));
    let record = Record::from_json(&events[0].value).expect("a record");
    assert_eq!((record.text.as_str(), record.rest.as_ref().map(Text::as_str)), (words, words.get("snow ".len()..)));
    let size = words.len();
    criterion.bench_function(&format!("encode/{name}/{size}B"), |bencher| {
        bencher.iter(|| encode(black_box(&text), black_box(&decision), Label::message(ID, Vec::new()), &key));
    });
    if consent.is_some() {
        return;
    }
    assert_eq!(serde_json::to_vec(&record).expect("JSON"), events[0].value);
    criterion.bench_function(&format!("bare/to_json/{size}B"), |bencher| {
        bencher.iter(|| serde_json::to_vec(black_box(&record)));
    });
}

fn encoding(criterion: &mut Criterion) {
    row(criterion, "keyword", SHORT, None);
    // Ten parts of a long text, the most that carriers join.
    row(criterion, "keyword", &format!("snow {}", "on Main St and ".repeat(101)), None);
    row(criterion, "consent", SHORT, Some(Consent::Stop));
}

criterion_group!(benches, encoding);
criterion_main!(benches);
