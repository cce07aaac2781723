//! The journal: what waits, in which order, how much of it, and when it is gone.

use std::time::Duration;

use super::*;
use crate::store::{Bound, Cursor, Reader, Waiting};

/// A topic of the tests.
const TOPIC: &str = "sms.highways";

fn for_topic(topic: &str, events: impl IntoIterator<Item = Event>) -> Vec<(Arc<str>, Event)> {
    events.into_iter().map(|event| (Arc::from(topic), event)).collect()
}

async fn journalled(store: &Store, topic: &str, events: impl IntoIterator<Item = Event>) -> Vec<Cursor> {
    let outcomes = store.journal(for_topic(topic, events)).await.expect("the journal takes it");
    assert!(outcomes.iter().all(|(outcome, _)| *outcome == Appended::Stored), "{outcomes:?}");
    outcomes.into_iter().map(|(_, position)| position).collect()
}

async fn all_waiting(store: &Store, topic: &str) -> Vec<Waiting> {
    store.waiting(topic, Cursor::START, usize::MAX).await.expect("the journal")
}

pub(super) async fn waiting_ids(store: &Store, topic: &str) -> Vec<u128> {
    all_waiting(store, topic).await.iter().map(|waiting| waiting.event.id.as_u128()).collect()
}

/// The state in memory, which must be what the file says.
async fn state(store: &Store, folder: &Path) -> Arc<crate::store::JournalState> {
    let state = store.journal_state();
    let counted = Reader::open(folder).expect("beside").journal_state().expect("an answer");
    assert_eq!(*state, counted);
    state
}

fn same(one: &Event, other: &Event) -> bool {
    let parts = |event: &Event| {
        let Event {
            id, kind, destination, account, subject, received_at, key, fingerprint, traceparent, value, ..
        } = event.clone();
        (id, kind, destination, account, subject, received_at, (key, fingerprint, traceparent, value))
    };
    parts(one) == parts(other)
}

#[tokio::test]
async fn every_kind_of_event_comes_back_as_it_went_in() {
    let folder = folder();
    let open = open(folder.path());
    let destinations = [
        Destination::Department(department("highways")),
        Destination::Consent,
        Destination::DeadLetter,
        Destination::Parts,
        Destination::Probe,
    ];
    let mut events = Vec::new();
    for kind in EventKind::ALL {
        for destination in &destinations {
            let id = events.len() as u128;
            let traceparent = id.is_multiple_of(2).then(|| "00-0af7-b7ad-01".to_owned());
            let value = [0, 255, b'"', id as u8].to_vec();
            events.push(Event { kind, destination: destination.clone(), traceparent, value, ..some_text(id) });
        }
    }
    open.clock.set(at("2026-11-22T00:00:00Z"));
    journalled(&open.store, TOPIC, events.clone()).await;

    let left = crashed(folder.path());
    for store in [open.store, super::open(left.path()).store] {
        let waiting = all_waiting(&store, TOPIC).await;
        assert_eq!(waiting.len(), events.len());
        for (waiting, event) in waiting.iter().zip(&events) {
            assert!(same(&waiting.event, event), "{event:?} came back as {:?}", waiting.event);
            assert_eq!(&*waiting.topic, TOPIC);
        }
    }
}

#[tokio::test]
async fn an_id_waits_once_until_it_is_settled() {
    let folder = folder();
    let open = open(folder.path());
    let first = journalled(&open.store, TOPIC, [some_text(1)]).await[0];
    let other_words = text(1, "parking", "+447700900123", at(NOW), "Park me");
    let events = for_topic(TOPIC, [some_text(1), other_words, some_text(2), some_text(2)]);
    let outcomes = open.store.journal(events).await.expect("taken");
    let second = outcomes[2].1;
    let expected = [
        (Appended::Known, first),
        (Appended::Conflicting, first),
        (Appended::Stored, second),
        (Appended::Known, second),
    ];
    assert_eq!(outcomes, expected);
    assert_eq!(waiting_ids(&open.store, TOPIC).await, [1, 2]);

    assert_eq!(open.store.settle(vec![first]).await, Ok(vec![first]));
    assert_eq!(open.store.settle(vec![first]).await, Ok(Vec::new()), "nothing more to settle");
    let again = journalled(&open.store, TOPIC, [some_text(1)]).await[0];
    assert!(again > second, "a position is never given out again");
    assert_eq!(waiting_ids(&open.store, TOPIC).await, [2, 1]);
    assert_eq!(open.store.append(vec![some_text(1)]).await, Ok(vec![Appended::Stored]), "the log knows nothing of it");
}

#[tokio::test]
async fn what_is_settled_is_gone_from_every_file_and_what_waits_is_not() {
    let folder = folder();
    let open = open(folder.path());
    let words = |id: u128| text(id, "highways", "+447700900123", at(NOW), &format!("words of {id} end"));
    let positions = journalled(&open.store, TOPIC, (0..5_000).map(words)).await;
    let (settled, waits): (Vec<_>, Vec<_>) =
        positions.iter().enumerate().partition(|(id, _)| id % 10 != 0 || *id < 4_000);
    open.store.settle(settled.iter().map(|(_, position)| **position).collect()).await.expect("settled");
    let before = open.store.journal_state().spent.messages;
    assert!(before < 4_900, "a settlement also removes: {before} are left");
    open.store.sweep().await.expect("a sweep");
    let bytes = raw(folder.path());
    let mut found = std::collections::BTreeSet::new();
    for mark in aho_corasick::AhoCorasick::new(["words of "]).expect("a pattern").find_iter(&bytes) {
        let digits = bytes[mark.end()..].iter().take_while(|byte| byte.is_ascii_digit());
        found.insert(digits.fold(0, |number, digit| number * 10 + usize::from(digit - b'0')));
    }
    assert_eq!(found, waits.iter().map(|(id, _)| *id).collect(), "the words of what waits, and no others");
    let expected: Vec<_> = waits.iter().map(|(id, _)| *id as u128).collect();
    assert_eq!(waiting_ids(&open.store, TOPIC).await, expected);
    let state = state(&open.store, folder.path()).await;
    assert_eq!(state.all.messages, 100);
    assert_eq!(state.spent.messages, 512 + 900, "a margin below the oldest, and what lies among the living");
}

#[tokio::test]
async fn lines_of_topics_are_counted_apart_and_anew_at_open() {
    let folder = folder();
    let Open { store, writer, clock } = open(folder.path());
    let of = |id, from| text(id, "highways", from, at(NOW), "Snow");
    let one = journalled(&store, "sms.a", [of(1, "+447700900001"), of(2, "+447700900002")]).await;
    clock.set(at("2026-11-21T11:00:00Z"));
    let two = journalled(&store, "sms.b", [of(3, "+447700900001"), of(4, "+447700900001")]).await;
    let now = state(&store, folder.path()).await;
    assert_eq!((now.all.messages, now.topics["sms.a"].messages, now.topics["sms.b"].messages), (4, 2, 2));
    assert_eq!(now.all.bytes, now.topics["sms.a"].bytes + now.topics["sms.b"].bytes);
    assert!(now.all.bytes as usize > 4 * of(1, "+447700900001").value.len());
    let oldest = now.all.oldest.expect("four wait");
    assert_eq!((oldest.position, oldest.received_at, oldest.journalled_at), (one[0], at(NOW), at(NOW)));
    assert_eq!(now.topics["sms.b"].oldest.expect("two wait").journalled_at, at("2026-11-21T11:00:00Z"));

    let mut senders = store.journalled_senders().await.expect("an answer");
    senders.sort_by_key(|(topic, _, count)| (topic.clone(), *count));
    let sender = |number: &str| key().hash(&Number::normalise(number, Country::GB));
    let mut expected = vec![
        ("sms.a", sender("+447700900001"), 1),
        ("sms.a", sender("+447700900002"), 1),
        ("sms.b", sender("+447700900001"), 2),
    ];
    expected.sort_by_key(|(_, key, _)| *key);
    senders.sort_by_key(|(_, key, _)| *key);
    assert_eq!(senders.iter().map(|(topic, key, count)| (&**topic, *key, *count)).collect::<Vec<_>>(), expected);

    store.settle(vec![one[0], one[1], two[0]]).await.expect("settled");
    let now = state(&store, folder.path()).await;
    assert_eq!(now.topics.keys().map(|topic| &**topic).collect::<Vec<_>>(), ["sms.b"], "an empty line is no line");
    assert_eq!(now.all.oldest.expect("one waits").position, two[1]);
    writer.close().await;
    drop(store);
    let again = open(folder.path());
    assert_eq!(again.store.journal_state(), now);
    again.store.settle(vec![two[1]]).await.expect("settled");
    assert_eq!(state(&again.store, folder.path()).await.all.messages, 0);
}

#[tokio::test]
async fn each_bound_refuses_what_is_new_and_nothing_else() {
    let folder = folder();
    let settings = Settings {
        journal_bytes_max: 10_000,
        journal_topic_share: 0.4,
        journal_age_max: Duration::from_secs(3_600),
        ..Settings::of(folder.path())
    };
    let open = open_with(settings);
    let sized = |id, bytes| Event { value: vec![b'x'; bytes], ..some_text(id) };
    let refused = async |topic: &str, event: Event| open.store.journal(for_topic(topic, [event])).await;

    let first = journalled(&open.store, "sms.a", [sized(1, 3_000)]).await;
    let full = |bound| Err(StoreError::JournalFull(bound));
    assert_eq!(refused("sms.a", sized(2, 1_000)).await, full(Bound::TopicShare));
    let batch = for_topic("sms.b", [sized(3, 3_000), sized(4, 3_000)]);
    assert_eq!(open.store.journal(batch).await, full(Bound::TopicShare), "a batch is taken whole or not at all");
    assert_eq!(waiting_ids(&open.store, "sms.b").await, []);
    journalled(&open.store, "sms.b", [sized(3, 3_000)]).await;
    assert_eq!(refused("sms.c", sized(5, 3_600)).await, full(Bound::Bytes));
    journalled(&open.store, "sms.c", [sized(5, 1_000)]).await;

    open.clock.set(at("2026-11-21T11:00:00.123Z"));
    journalled(&open.store, "sms.a", [sized(6, 10)]).await;
    open.clock.set(at("2026-11-21T11:00:00.124Z"));
    let error = refused("sms.a", sized(7, 10)).await;
    assert_eq!(error, full(Bound::Age));
    assert!(error.expect_err("refused").to_string().contains("what it holds is safe"));
    assert_eq!(refused("sms.a", sized(1, 3_000)).await, Ok(vec![(Appended::Known, first[0])]), "it waits already");
    journalled(&open.store, "sms.d", [sized(8, 10)]).await;
    open.clock.set(at("2036-11-21T11:00:00Z"));
    open.store.sweep().await.expect("a sweep");
    assert_eq!(waiting_ids(&open.store, "sms.a").await, [1, 6], "no age makes a text go");
    open.store.settle(first).await.expect("settled");
    assert_eq!(refused("sms.a", sized(7, 10)).await, full(Bound::Age), "the next in line is as old");
}

#[tokio::test]
async fn settled_entries_that_cannot_be_removed_yet_are_bounded_too() {
    let folder = folder();
    let settings = Settings { journal_bytes_max: 100_000, journal_topic_share: 1.0, ..Settings::of(folder.path()) };
    let open = open_with(settings);
    let sized = |id| Event { value: vec![b'x'; 1_000], ..some_text(id) };
    let stuck = journalled(&open.store, "sms.stuck", [sized(0)]).await;
    let mut taken = 0;
    let error = loop {
        match open.store.journal(for_topic("sms.a", [sized(taken + 1)])).await {
            Ok(outcomes) => drop(open.store.settle(vec![outcomes[0].1]).await.expect("settled")),
            Err(error) => break error,
        }
        taken += 1;
        assert!(taken < 1_000, "the file would grow without end");
    };
    assert_eq!(error, StoreError::JournalFull(Bound::Bytes));
    assert!(taken > 100, "{taken}: the bound on what waits is not touched by what does not");
    open.store.settle(stuck).await.expect("settled");
    // A margin of settled entries stays whatever happens, and that alone is more than this small bound.
    assert_eq!(state(&open.store, folder.path()).await.all.messages, 0);
}

#[tokio::test]
async fn a_commit_is_shared_and_one_that_is_spoilt_is_not() {
    let folder = folder();
    let open = open(folder.path());
    let first = journalled(&open.store, TOPIC, [some_text(1)]).await;
    let empty = Event { value: Vec::new(), ..some_text(3) };
    let (two, spoilt, settled, appended) = tokio::join!(
        open.store.journal(for_topic(TOPIC, [some_text(2)])),
        open.store.journal(for_topic(TOPIC, [some_text(4), empty])),
        open.store.settle(first.clone()),
        open.store.append(vec![some_text(5)]),
    );
    assert_eq!(two.expect("taken").len(), 1);
    assert!(matches!(spoilt, Err(StoreError::Refused(_))), "{spoilt:?}");
    assert_eq!((settled, appended), (Ok(first), Ok(vec![Appended::Stored])));
    assert_eq!(waiting_ids(&open.store, TOPIC).await, [2]);
    assert_eq!(state(&open.store, folder.path()).await.all.messages, 1);
}

#[tokio::test]
async fn waiting_is_read_in_pages_bounded_in_bytes() {
    let folder = folder();
    let open = open(folder.path());
    let large = |id| Event { value: vec![b'x'; 1024 * 1024], ..some_text(id) };
    journalled(&open.store, TOPIC, (0..6).map(large)).await;
    journalled(&open.store, "sms.other", [some_text(9)]).await;
    let (mut after, mut ids, mut pages) = (Cursor::START, Vec::new(), 0);
    loop {
        let page = open.store.waiting(TOPIC, after, 100).await.expect("a page");
        let Some(last) = page.last() else { break };
        (after, pages) = (last.position, pages + 1);
        ids.extend(page.iter().map(|waiting| waiting.event.id.as_u128()));
    }
    assert_eq!(ids, [0, 1, 2, 3, 4, 5]);
    assert!(pages > 1);
    assert_eq!(open.store.waiting(TOPIC, Cursor::START, 2).await.expect("a page").len(), 2);
}

#[tokio::test]
async fn an_orphaned_journal_is_opened_and_read_by_others() {
    let folder = folder();
    let Open { store, writer, .. } = open(folder.path());
    journalled(&store, TOPIC, [some_text(1), some_text(2)]).await;
    let beside = Reader::open(folder.path()).expect("beside the server");
    assert_eq!(beside.journal_state().expect("an answer").all.messages, 2);
    let waiting = beside.waiting(TOPIC, Cursor::START, 10).expect("an answer");
    assert!(same(&waiting[1].event, &some_text(2)));
    assert!(!format!("{waiting:?}").contains("Snow"));

    let left = crashed(folder.path());
    let orphan = super::open(left.path());
    assert_eq!(waiting_ids(&orphan.store, TOPIC).await, [1, 2]);
    writer.close().await;
    assert_eq!(store.settle(vec![waiting[0].position]).await, Err(StoreError::Closed));
    assert_eq!(store.journal(for_topic(TOPIC, [some_text(3)])).await, Err(StoreError::Closed));
}
