//! Audit copies: the three questions, the expiry, the log of who asked.

use super::*;
use crate::message::{Access, AuditQuery};
use crate::store::Reader;

const OTHER: &str = "+447700900999";

async fn found(store: &Store, query: AuditQuery) -> Vec<u128> {
    let copies = store.find(&query).await.expect("an answer");
    copies.iter().map(|copy| copy.id.as_u128()).collect()
}

async fn three_texts(store: &Store) {
    stored(store, vec![text(1, "highways", "+447700900123", at("2026-11-19T10:00:00Z"), "Snow one")]).await;
    stored(store, vec![text(2, "parking", "+447700900123", at("2026-11-20T10:00:00Z"), "Park two")]).await;
    stored(store, vec![text(3, "highways", OTHER, at("2026-11-21T10:00:00Z"), "Snow three")]).await;
}

#[tokio::test]
async fn the_three_questions() {
    let folder = folder();
    let open = open(folder.path());
    three_texts(&open.store).await;
    stored(&open.store, vec![other(4, EventKind::Consent, at(NOW), "{}")]).await;
    stored(&open.store, vec![other(5, EventKind::DeadLetter, at(NOW), "{}")]).await;

    let sender = |number| AuditQuery::Sender(Number::normalise(number, Country::GB));
    let span =
        |name, since, until| AuditQuery::Department { name: department(name), since: at(since), until: at(until) };
    for (query, expected) in [
        (AuditQuery::Id(EventId::from_u128(2)), vec![2]),
        (AuditQuery::Id(EventId::from_u128(4)), vec![]),
        (AuditQuery::Id(EventId::from_u128(5)), vec![]),
        (AuditQuery::Id(EventId::from_u128(99)), vec![]),
        (sender("07700 900123"), vec![1, 2]),
        (sender(OTHER), vec![3]),
        (sender("+447700900000"), vec![]),
        (span("highways", "2026-11-19T10:00:00Z", "2026-11-21T10:00:00Z"), vec![1]),
        (span("highways", "2026-11-01T00:00:00Z", "2026-11-30T00:00:00Z"), vec![1, 3]),
        (span("parking", "2026-11-20T10:00:00.001Z", "2026-11-30T00:00:00Z"), vec![]),
    ] {
        let described = format!("{query:?}");
        assert_eq!(found(&open.store, query).await, expected, "{described}");
    }
}

#[tokio::test]
async fn a_copy_is_the_record_and_its_expiry() {
    let folder = folder();
    let open = open(folder.path());
    let received = at("2027-03-01T00:00:00.001Z");
    open.clock.set(received);
    let event = text(1, "highways", "+447700900123", received, "Snow \u{2603} on Main St\n");
    stored(&open.store, vec![event.clone()]).await;
    let copies = open.store.find(&AuditQuery::Id(event.id)).await.expect("its copy");
    assert_eq!(copies[0].json().as_bytes(), event.value);
    assert_eq!(copies[0].expires_at, at("2028-03-01T00:00:00.001Z"));
}

#[tokio::test]
async fn a_copy_of_a_later_release_is_given_back_as_it_was_written() {
    let folder = folder();
    let open = open(folder.path());
    let mut event = text(1, "highways", "+447700900123", at(NOW), "Snow on Main St");
    let value = String::from_utf8(event.value).expect("JSON");
    let value =
        value.replace(r#"{"kind":"default"}"#, r#"{"kind":"phrase","score":1.50},"language":"cy","consent":"pause""#);
    event.value = value.into_bytes();
    stored(&open.store, vec![event.clone()]).await;
    let copies = open.store.find(&AuditQuery::Id(event.id)).await.expect("its copy");
    assert!(copies[0].json().contains("1.50"));
    assert_eq!(copies[0].json().as_bytes(), event.value);
    assert_eq!(copies[0].record().text.as_str(), "Snow on Main St");
}

#[tokio::test]
async fn a_copy_past_its_expiry_is_not_given_out_before_the_sweep() {
    let folder = folder();
    let open = open(folder.path());
    stored(&open.store, vec![some_text(1)]).await;
    let query = AuditQuery::Id(EventId::from_u128(1));
    open.clock.set(at("2027-11-21T10:00:00.122Z"));
    assert_eq!(found(&open.store, query.clone()).await, [1]);
    open.clock.set(at("2027-11-21T10:00:00.123Z"));
    assert_eq!(found(&open.store, query).await, []);
}

#[tokio::test]
async fn a_command_beside_the_server_reads_and_leaves_its_name() {
    let folder = folder();
    let open = open(folder.path());
    three_texts(&open.store).await;

    let reader = Reader::open(folder.path()).expect("beside the server");
    let number = Number::normalise("+447700900123", Country::GB);
    let older_key = SenderKey::new(b"the key before the rotation").expect("long enough");
    for (keys, expected) in [(vec![older_key.clone(), key()], vec![1, 2]), (vec![older_key], vec![])] {
        let copies = reader.find(&AuditQuery::Sender(number.clone()), &keys, at(NOW)).expect("an answer");
        assert_eq!(copies.iter().map(|copy| copy.id.as_u128()).collect::<Vec<_>>(), expected);
    }
    let access = |why: &str, ids: Vec<EventId>| Access {
        at: at(NOW),
        who: "clerk@hall".to_owned(),
        why: why.to_owned(),
        query: "sender".to_owned(),
        ids,
        text_shown: true,
    };
    let first = access("request 17", vec![EventId::from_u128(1), EventId::from_u128(2)]);
    let second = access("request 18", Vec::new());
    reader.record_access(&first).expect("written");
    reader.record_access(&second).expect("written");
    stored(&open.store, vec![some_text(9)]).await;

    let left = crashed(folder.path());
    let kept = Reader::open(left.path()).expect("without a server").accesses(10).expect("the log");
    assert_eq!(kept, [second, first]);
}

#[tokio::test]
async fn a_copy_that_cannot_be_read_is_named() {
    let folder = folder();
    let open = open(folder.path());
    let event = Event { value: b"{\"text\":\"secret words\"}".to_vec(), ..some_text(7) };
    stored(&open.store, vec![event.clone()]).await;
    let error = open.store.find(&AuditQuery::Id(event.id)).await.expect_err("not a record");
    assert!(matches!(&error, StoreError::Unreadable { id, .. } if *id == event.id), "{error}");
    assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
}
