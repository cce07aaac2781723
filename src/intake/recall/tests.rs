//! A letter gives back what went into it, and calling it back twice adds nothing.

use super::super::dead_letter::{of_request, of_text};
use super::super::encode::{encode, to_json};
use super::*;
use crate::carrier::{self, Auth};
use crate::clock::Clock;
use crate::dedup::{self, Claims, Recent};
use crate::intake::{self, PlaceSettings, Places};
use crate::keyword::{DepartmentSpec, Live, NumberSpec, Spec};
use crate::log::Log;
use crate::message::{AccountName, Country, Event, Media, Part, Parts, SenderKey, Text};
use crate::store::{self, Store, Writer};
use crate::telemetry::Metrics;

const RECEIVED: &str = "2026-11-21T10:00:00.123Z";

fn at(written: &str) -> Timestamp {
    written.parse().unwrap()
}

fn key() -> SenderKey {
    SenderKey::new(b"a key of 32 characters for tests").unwrap()
}

fn account(carrier: &str) -> Account {
    let (name, carrier) = (AccountName::parse("demo").unwrap(), carrier::by_name(carrier).unwrap());
    Account::new(name, carrier, Auth::None, Vec::new(), "")
}

/// Numbers and their default department.
fn table(numbers: &[&str]) -> Table {
    let name = DepartmentName::parse("centre").unwrap();
    let department =
        DepartmentSpec { name: name.clone(), topic: None, shares_topic: false, hold: false, failover: None, line: 1 };
    let number = |number: &&str| NumberSpec { number: (*number).into(), default: name.clone(), line: 2 };
    let spec = Spec {
        departments: vec![department],
        numbers: numbers.iter().map(number).collect(),
        keywords: vec![],
        consent: vec![],
        tests: vec![],
        fold_accents: true,
        version: "v1".into(),
        country: Country::GB,
    };
    Table::build(spec).unwrap()
}

struct Open {
    intake: std::sync::Arc<Intake>,
    routes: Live,
    store: Store,
    _writer: Writer,
    _folder: tempfile::TempDir,
}

fn open(numbers: &[&str]) -> Open {
    let (folder, clock, metrics) = (tempfile::tempdir().unwrap(), Clock::system(), Metrics::new());
    let (store, writer) = Store::open(store::Settings::of(folder.path()), key(), clock.clone()).unwrap();
    let (routes, age_max) = (Live::new(table(numbers)), std::time::Duration::from_secs(60));
    let intake = Intake::new(intake::Settings {
        routes: routes.clone(),
        log: Log::Embedded(store.clone()),
        claims: Claims::new(dedup::Settings { ids_max: 1_000, age_max }, clock.clone()),
        repeats: Recent::new(1_000, age_max, clock),
        places: Places::new(
            PlaceSettings::default(),
            metrics.in_flight_messages.clone(),
            metrics.in_flight_limit.clone(),
        ),
        sender_key: key(),
        metrics,
        origin: "https://sms.example.gov.uk".into(),
    });
    Open { intake, routes, store, _writer: writer, _folder: folder }
}

fn inbound(id: Option<&str>, words: &str) -> Inbound {
    Inbound {
        carrier_message_id: id.map(str::to_owned),
        from: Text::from("07700 900123"),
        to: Some(Text::from("86555")),
        body: Body::Text(Text::from(words)),
        sent_at: None,
        part: None,
        segments: 1,
        media: Vec::new(),
    }
}

fn letter(event: &Event) -> DeadLetterRecord {
    DeadLetterRecord::from_json(&event.value).unwrap()
}

/// What the text is published as.
fn published(text: &InboundText, label: Label) -> Vec<(EventId, EventKind, Vec<u8>, Option<String>)> {
    let decision = table(&["86555", "*"]).default_for(&text.to).unwrap();
    let events = encode(text, &decision, label, &key());
    events.into_iter().map(|event| (event.id, event.kind, event.value, event.traceparent)).collect()
}

#[tokio::test]
async fn a_text_comes_back_from_its_letter_as_it_was() {
    let (open, account) = (open(&["86555"]), account("generic"));
    let part = Some(Part { reference: "7".into(), total: 3, number: 2 });
    let media = vec![Media { url: "https://carrier.example/1".into(), content_type: Some("image/png".into()) }];
    let (id, other) = (EventId::now_v7(), EventId::now_v7());
    let rows = [
        (inbound(Some("1"), "Snow on Main St"), None, label(id, vec![], None)),
        (inbound(None, ""), None, label(id, vec![Flag::PossibleRepeat.into()], None)),
        (inbound(None, "hia"), None, label(id, vec![crate::message::Open::Later("translated".into())], None)),
        (Inbound { to: None, ..inbound(None, "\u{0}❄") }, None, label(id, vec![Flag::CarrierIdReused.into()], None)),
        (Inbound { body: Body::Undecodable(vec![0xff, 0]), ..inbound(None, "") }, None, label(id, vec![], None)),
        (Inbound { part, ..inbound(Some("2"), "piece") }, None, label(id, vec![], None)),
        (inbound(Some("3"), "joined"), Some(Parts { received: 2, total: 3 }), label(id, vec![], None)),
        (Inbound { segments: 4, ..inbound(Some("4"), "long") }, None, label(id, vec![], None)),
        (Inbound { media, sent_at: Some(at(RECEIVED)), ..inbound(Some("5"), "see") }, None, label(id, vec![], None)),
        (inbound(Some("6"), "late"), None, label(id, vec![], Some(other))),
    ];
    for (number, (inbound, parts, label)) in rows.into_iter().enumerate() {
        let trace = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let text = open.intake.read(&account, inbound, at(RECEIVED), trace);
        let text = InboundText { parts: parts.or(text.parts), ..text };
        let kept = letter(&of_text(&text, &label, Reason::UnknownNumber, &key()));
        let mut back = open.intake.texts_of(&kept, &account).unwrap();
        let (again, its_label) = back.pop().unwrap();
        assert_eq!(again.fingerprint, text.fingerprint, "row {number}");
        assert_eq!(published(&again, its_label), published(&text, label), "row {number}");
    }
}

#[tokio::test]
async fn a_record_that_its_topic_refused_comes_back_as_it_was() {
    let (open, account) = (open(&["86555"]), account("generic"));
    for body in [Body::Text(Text::from("Snow")), Body::Undecodable(vec![0xff])] {
        let text = open.intake.read(&account, Inbound { body, ..inbound(Some("1"), "") }, at(RECEIVED), None);
        let label = label(EventId::now_v7(), vec![Flag::CarrierIdReused.into()], None);
        let value = published(&text, label.clone()).remove(0).2;
        let letter = DeadLetterRecord {
            body: Text::from(STANDARD.encode(&value)),
            ..letter(&of_text(&text, &label, Reason::Refused, &key()))
        };
        let (again, its_label) = open.intake.texts_of(&letter, &account).unwrap().remove(0);
        assert_eq!(published(&again, its_label).remove(0).2, value);
    }
}

/// What one of several departments should have got, and its topic refused: the text comes back, not the copy of it.
#[tokio::test]
async fn what_one_department_was_refused_comes_back_as_the_text() {
    let (open, account) = (open(&["86555"]), account("generic"));
    let text = open.intake.read(&account, inbound(Some("1"), "flood"), at(RECEIVED), None);
    let (id, other) = (EventId::now_v7(), EventId::now_v7());
    let names = ["highways", "flood-team"].map(|name| DepartmentName::parse(name).unwrap());
    for label in [label(id, vec![Flag::Unverified.into()], None), label(id, vec![], Some(other))] {
        let first = table(&["*"]).default_for(&text.to).unwrap();
        let decision = Decision { department: names[0].clone(), departments: Some(names.clone().into()), ..first };
        for event in encode(&text, &decision, label.clone(), &key()) {
            let value = Record::flagged(&event.value, Flag::Failover).unwrap();
            let letter = DeadLetterRecord {
                body: Text::from(STANDARD.encode(&value)),
                relates_to: Some(event.id),
                ..letter(&of_text(&text, &label, Reason::Refused, &key()))
            };
            let (again, its_label) = open.intake.texts_of(&letter, &account).unwrap().remove(0);
            let told = (its_label.id, its_label.kind, its_label.flags.clone(), its_label.relates_to);
            assert_eq!(told, (label.id, label.kind, label.flags.clone(), label.relates_to));
            let again: Vec<_> =
                encode(&again, &decision, its_label, &key()).into_iter().map(|event| event.id).collect();
            assert!(again.len() == 2 && again.contains(&event.id), "the ids are the same");
        }
    }
}

#[test]
fn a_request_comes_back_from_its_letter_as_it_was() {
    let typed = Some("application/x-www-form-urlencoded; charset=UTF-8");
    for (method, query, body, content_type) in [
        (Method::GET, "sender=1&message=hi%20there", "", None),
        (Method::GET, "", "", None),
        (Method::POST, "", "From=1&Body=hi", typed),
        (Method::POST, "a=1&b=2", "From=1&Body=hi", typed),
        (Method::POST, "a=1&b=2", "", typed),
        (Method::POST, "", "", None),
        (Method::GET, "a=1", "a body", None),
    ] {
        let mut headers = HeaderMap::new();
        content_type.map(|value: &str| headers.insert(CONTENT_TYPE, value.parse().unwrap()));
        let with_secret = [query, "secret=hush"].into_iter().filter(|piece| !piece.is_empty()).collect::<Vec<_>>();
        let webhook = Webhook {
            method: &method,
            query: &with_secret.join("&"),
            headers: &headers,
            body: body.as_bytes(),
            path_secret: Some("hush"),
            peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
            received_at: at(RECEIVED),
        };
        let event = of_request(&account("kannel"), &webhook, "detail", &[], &key());
        assert!(!String::from_utf8_lossy(&event.value).contains("hush"));
        let kept = letter(&event);
        let content = STANDARD.decode(kept.body.as_str()).unwrap();
        let request = Request::of(&kept, &content).unwrap();
        let again = request.webhook(kept.received_at);
        assert_eq!((again.method, again.query, again.body), (&method, query, body.as_bytes()));
        assert_eq!((again.headers, again.received_at), (&headers, at(RECEIVED)));
    }
}

#[test]
fn what_was_let_in_unverified_stays_so_when_it_is_called_back() {
    let (open, account) = (open(&["*"]), account("kannel"));
    let (method, headers, peer) = (Method::GET, HeaderMap::new(), IpAddr::V4(Ipv4Addr::LOCALHOST));
    let (query, received_at) = ("sender=%2B447700900123&to=86555&message=snow", at(RECEIVED));
    let webhook =
        Webhook { method: &method, query, headers: &headers, body: b"", path_secret: None, peer, received_at };
    for flags in [vec![], vec![Flag::Unverified]] {
        let letter = letter(&of_request(&account, &webhook, "to missing", &flags, &key()));
        let (text, label) = open.intake.texts_of(&letter, &account).unwrap().remove(0);
        assert_eq!(label.flags, flags);
        // And when it then has nowhere to go.
        let (_, label) = {
            let letter = super::tests::letter(&of_text(&text, &label, Reason::UnknownNumber, &key()));
            open.intake.texts_of(&letter, &account).unwrap().remove(0)
        };
        assert_eq!(label.flags, flags);
    }
}

#[test]
fn requests_that_differ_in_their_query_only_are_two_letters() {
    let (headers, peer) = (HeaderMap::new(), IpAddr::V4(Ipv4Addr::LOCALHOST));
    let id = |query| {
        let (method, received_at) = (&Method::POST, at(RECEIVED));
        let webhook = Webhook { method, query, headers: &headers, body: b"same", path_secret: None, peer, received_at };
        of_request(&account("kannel"), &webhook, "detail", &[], &key()).id
    };
    assert_ne!(id("sender=1"), id("sender=2"));
    assert_eq!(id("sender=1"), id("sender=1&secret=hush"), "a new secret makes no new letter");
}

#[tokio::test]
async fn what_has_nowhere_to_go_stays_and_what_has_goes_there_once() {
    let (open, account, now) = (open(&["86555"]), account("generic"), at("2026-11-22T00:00:00Z"));
    let elsewhere = |id: Option<&str>| Inbound { to: Some(Text::from("99999")), ..inbound(id, "hello") };
    let mut letters = Vec::new();
    for id in [Some("1"), None] {
        let text = open.intake.read(&account, elsewhere(id), at(RECEIVED), None);
        let label = Label::message(open.intake.event_id(&text), Vec::new());
        letters.push(letter(&of_text(&text, &label, Reason::UnknownNumber, &key())));
    }
    for letter in &letters {
        assert_eq!(open.intake.recall(letter, &account, now).await, Err(NotRecalled::UnknownNumber));
    }
    let _ = open.routes.swap(table(&["86555", "*"]));
    for known in [false, true] {
        for letter in &letters {
            let texts = open.intake.recall(letter, &account, now).await.unwrap();
            let expected = (letter.relates_to.unwrap(), known);
            assert_eq!(texts.iter().map(|text| (text.id, text.known)).collect::<Vec<_>>(), [expected]);
        }
    }
    let stored = open.store.read("centre", store::Cursor::START, 10).await.unwrap();
    assert_eq!(stored.len(), 2);
    assert!(stored.iter().all(|entry| entry.received_at == at(RECEIVED)), "with the time they came");
}

#[tokio::test]
async fn a_batch_that_can_be_read_now_is_called_by_the_same_ids_each_time() {
    let (open, now) = (open(&["*"]), at("2026-11-22T00:00:00Z"));
    let account = account("kannel");
    let (method, headers, peer) = (Method::GET, HeaderMap::new(), IpAddr::V4(Ipv4Addr::LOCALHOST));
    let webhook = Webhook {
        method: &method,
        query: "sender=%2B447700900123&message=snow",
        headers: &headers,
        body: b"",
        path_secret: None,
        peer,
        received_at: at(RECEIVED),
    };
    let letter = letter(&of_request(&account, &webhook, "to missing", &[], &key()));
    let unread = open.intake.recall(&letter, &account, now).await;
    assert_eq!(unread, Err(NotRecalled::Unreadable("to missing")));
    let mended = Account { number: Some(crate::message::Number::normalise("86555", Country::GB)), ..account };
    let first = open.intake.recall(&letter, &mended, now).await.unwrap();
    let again = open.intake.recall(&letter, &mended, now).await.unwrap();
    assert_eq!((first[0].id, again[0].id), (again[0].id, EventId::new_v5(&letter.id, &0_usize.to_be_bytes())));
    assert_eq!((first[0].known, again[0].known), (false, true));
}

#[tokio::test]
async fn what_nobody_can_call_back_says_why() {
    let (open, account) = (open(&["*"]), account("generic"));
    let text = open.intake.read(&account, inbound(Some("1"), "hello"), at(RECEIVED), None);
    let label = Label::message(open.intake.event_id(&text), Vec::new());
    let good = letter(&of_text(&text, &label, Reason::UnknownNumber, &key()));
    let with = |body: &[u8]| DeadLetterRecord { body: Text::from(STANDARD.encode(body)), ..good.clone() };
    let now = at("2027-11-21T10:00:00.122Z");
    for (letter, now, why) in [
        (good.clone(), at("2027-11-21T10:00:00.123Z"), NotRecalled::Expired),
        (DeadLetterRecord { reason: "unreadable_record".into(), ..good.clone() }, now, NotRecalled::Published),
        (
            DeadLetterRecord { reason: "new".into(), ..good.clone() },
            now,
            NotRecalled::Unreadable("its reason is none of this release"),
        ),
        (
            DeadLetterRecord { body: Text::from("!"), ..good.clone() },
            now,
            NotRecalled::Unreadable("its body is not base64"),
        ),
        (with(b"{}"), now, NotRecalled::Unreadable("its content is no text of this release")),
    ] {
        assert_eq!(open.intake.recall(&letter, &account, now).await, Err(why));
    }
    assert_eq!(open.intake.recall(&good, &account, now).await.map(|texts| texts.len()), Ok(1));
}

#[tokio::test]
async fn letters_of_the_release_before_come_back_too() {
    let (open, account, now) = (open(&["*"]), account("generic"), at("2026-11-22T00:00:00Z"));
    let old = |id: Option<&str>| {
        let content = serde_json::json!({ "id": id, "from": "07700 900123", "to": "86555", "body": { "text": "hi" } });
        DeadLetterRecord {
            schema_version: 1,
            id: EventId::from_u128(7),
            account: account.name.clone(),
            reason: "unknown_number".into(),
            detail: "a text without a destination".to_owned(),
            content_type: Some("application/json".to_owned()),
            body: Text::from(STANDARD.encode(to_json(&content))),
            method: None,
            query: None,
            flags: Vec::new(),
            relates_to: None,
            received_at: at(RECEIVED),
        }
    };
    for id in [Some("1"), None] {
        let first = open.intake.recall(&old(id), &account, now).await.unwrap();
        let again = open.intake.recall(&old(id), &account, now).await.unwrap();
        assert_eq!((first[0].id, again[0].known), (again[0].id, true), "{id:?}");
    }
}
