//! Appending: durable when answered, once, in order, neighbours apart.

use std::sync::Arc;

use super::*;
use crate::store::{Cursor, ENTRIES_MAX};

#[tokio::test]
async fn an_event_comes_back_as_it_went_in() {
    let folder = folder();
    let open = open(folder.path());
    let event = Event { traceparent: Some("00-0af7-b7ad-01".to_owned()), ..some_text(1) };
    stored(&open.store, vec![event.clone()]).await;

    let entries = open.store.read("highways", Cursor::START, 10).await.expect("the feed");
    let [entry] = entries.as_slice() else { panic!("one entry, not {}", entries.len()) };
    assert_eq!(entry.id, event.id);
    assert_eq!(entry.kind, EventKind::Message);
    assert_eq!(entry.account, event.account);
    assert_eq!(entry.subject, event.subject);
    assert_eq!(entry.received_at, event.received_at);
    assert_eq!(entry.traceparent, event.traceparent);
    assert_eq!(entry.value, event.value);
    assert_eq!(open.store.read("parking", Cursor::START, 10).await, Ok(Vec::new()));
}

#[tokio::test]
async fn what_was_answered_survives_a_crash() {
    let folder = folder();
    let open = open(folder.path());
    stored(&open.store, vec![some_text(1), some_text(2)]).await;
    stored(&open.store, vec![some_text(3)]).await;

    let left = crashed(folder.path());
    let again = super::open(left.path());
    assert_eq!(ids_of(&again.store, "highways").await, [1, 2, 3]);
    assert_eq!(again.store.append(vec![some_text(2)]).await, Ok(vec![Appended::Known]));
}

#[tokio::test]
async fn a_known_id_adds_nothing() {
    let folder = folder();
    let open = open(folder.path());
    let first = some_text(1);
    let other_words = text(1, "parking", "+447700900123", at(NOW), "Park me");
    stored(&open.store, vec![first.clone()]).await;

    let outcomes = open.store.append(vec![first.clone(), other_words, some_text(2), some_text(2)]).await;
    assert_eq!(
        outcomes,
        Ok(vec![Appended::Known, Appended::Conflicting, Appended::Stored, Appended::Known]),
        "also within one batch"
    );
    assert_eq!(ids_of(&open.store, "highways").await, [1, 2]);
    assert_eq!(ids_of(&open.store, "parking").await, []);
    let copies = open.store.find(&crate::message::AuditQuery::Id(first.id)).await.expect("its copy");
    assert_eq!(copies.len(), 1);
    assert_eq!(copies[0].department, department("highways"));
}

#[tokio::test]
async fn an_event_that_cannot_be_stored_fails_alone() {
    let folder = folder();
    let open = open(folder.path());
    let empty = Event { value: Vec::new(), ..some_text(2) };
    // Polled in this order before the writer can have finished the first: they share a commit or
    // not, the outcome must be the same.
    let (one, two, three, four) = tokio::join!(
        open.store.append(vec![some_text(1)]),
        open.store.append(vec![some_text(5), empty]),
        open.store.append(vec![some_text(3)]),
        open.store.append(vec![some_text(4)]),
    );
    assert_eq!(one, Ok(vec![Appended::Stored]));
    assert!(matches!(two, Err(StoreError::Refused(_))), "{two:?}");
    assert_eq!(three, Ok(vec![Appended::Stored]));
    assert_eq!(four, Ok(vec![Appended::Stored]));
    assert_eq!(ids_of(&open.store, "highways").await, [1, 3, 4], "the batch is stored whole or not at all");
    stored(&open.store, vec![some_text(5)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hundreds_of_callers_each_once_and_in_their_order() {
    const CALLERS: u128 = 200;
    const EACH: u128 = 10;
    let folder = folder();
    let open = open(folder.path());
    let callers = (0..CALLERS).map(|caller| {
        let store = open.store.clone();
        tokio::spawn(one_by_one(store, 1 + caller * EACH..=(caller + 1) * EACH))
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("a caller");
    }
    let ids = ids_of(&open.store, "highways").await;
    for caller in 0..CALLERS {
        let of_caller = ids.iter().filter(|id| (**id - 1) / EACH == caller).copied().collect::<Vec<_>>();
        assert_eq!(of_caller, (1 + caller * EACH..=(caller + 1) * EACH).collect::<Vec<_>>());
    }
    assert_eq!(ids.len() as u128, CALLERS * EACH);
    assert_eq!(*open.store.appended().borrow(), (CALLERS * EACH) as u64, "no position is lost");
}

async fn one_by_one(store: Store, ids: std::ops::RangeInclusive<u128>) {
    for id in ids {
        stored(&store, vec![some_text(id)]).await;
    }
}

#[tokio::test]
async fn a_dropped_future_does_not_cancel_the_write() {
    let folder = folder();
    let open = open(folder.path());
    let mut appended = open.store.appended();
    {
        let append = open.store.append(vec![some_text(1)]);
        let mut append = std::pin::pin!(append);
        let polled = futures_util::future::poll_immediate(append.as_mut()).await;
        assert!(polled.is_none_or(|outcome| outcome == Ok(vec![Appended::Stored])));
    }
    appended.wait_for(|newest| *newest > 0).await.expect("the writer lives");
    assert_eq!(ids_of(&open.store, "highways").await, [1]);
}

#[tokio::test]
async fn a_full_queue_is_said_at_once() {
    let folder = folder();
    let open = open_with(Settings { queue_max: 3, ..Settings::of(folder.path()) });
    // Another process in the middle of a write holds up the commit, so what is sent in stays waiting.
    let mut other = rusqlite::Connection::open(folder.path().join("sms-router.sqlite")).expect("a connection");
    let held = other.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate).expect("the file");

    let store = open.store.clone();
    let mut waiting = Box::pin(store.append(vec![some_text(1), some_text(2), some_text(3)]));
    assert!(futures_util::future::poll_immediate(&mut waiting).await.is_none());
    assert_eq!(open.store.append(vec![some_text(4)]).await, Err(StoreError::Busy));

    held.commit().expect("nothing to commit");
    assert_eq!(waiting.await, Ok(vec![Appended::Stored; 3]));
    stored(&open.store, (4..20).map(some_text).collect()).await;
    assert_eq!(ids_of(&open.store, "highways").await.len(), 19, "more than the queue holds goes alone");
}

#[tokio::test]
async fn closing_writes_what_waits_and_frees_the_folder() {
    let folder = folder();
    let Open { store, writer, .. } = open(folder.path());
    let waiting = Arc::new(store.clone());
    let mut append = Box::pin(waiting.append(vec![some_text(1)]));
    let polled = futures_util::future::poll_immediate(&mut append).await;
    writer.close().await;
    if polled.is_none() {
        assert_eq!(append.await, Ok(vec![Appended::Stored]));
    }
    assert_eq!(store.append(vec![some_text(2)]).await, Err(StoreError::Closed));
    assert_eq!(store.sweep().await, Err(StoreError::Closed));

    let again = open(folder.path());
    assert_eq!(ids_of(&again.store, "highways").await, [1]);
}

#[tokio::test]
async fn the_feed_is_read_by_position() {
    let folder = folder();
    let open = open(folder.path());
    for id in 1..=6 {
        let to = if id % 2 == 0 { "parking" } else { "highways" };
        stored(&open.store, vec![text(id, to, "+447700900123", at(NOW), "words")]).await;
    }
    let first = open.store.read("parking", Cursor::START, 1).await.expect("the feed");
    assert_eq!(first[0].id.as_u128(), 2);
    let rest = open.store.read("parking", first[0].position, usize::MAX).await.expect("the feed");
    assert_eq!(rest.iter().map(|entry| entry.id.as_u128()).collect::<Vec<_>>(), [4, 6]);

    let cursor = open.store.cursor_of("parking", EventId::from_u128(2)).await.expect("an answer");
    assert_eq!(cursor, Some(first[0].position));
    assert_eq!(open.store.cursor_of("highways", EventId::from_u128(2)).await, Ok(None), "another's event");
    assert_eq!(open.store.cursor_of("parking", EventId::from_u128(99)).await, Ok(None));

    for (count, expected) in [(0, vec![]), (1, vec![6]), (2, vec![4, 6]), (9, vec![2, 4, 6])] {
        let after = open.store.before_last("parking", count).await.expect("an answer");
        let last = open.store.read("parking", after, 10).await.expect("the feed");
        assert_eq!(last.iter().map(|entry| entry.id.as_u128()).collect::<Vec<_>>(), expected, "last {count}");
    }
}

#[tokio::test]
async fn one_read_is_bounded_in_events_and_bytes() {
    let folder = folder();
    let open = open(folder.path());
    stored(&open.store, (1..=ENTRIES_MAX as u128 + 1).map(some_text).collect()).await;
    let page = open.store.read("highways", Cursor::START, usize::MAX).await.expect("the feed");
    assert_eq!(page.len(), ENTRIES_MAX);

    let large = "x".repeat(1024 * 1024);
    let events = (0..6).map(|id| text(10_000 + id, "parking", "+447700900123", at(NOW), &large));
    stored(&open.store, events.collect()).await;
    let page = open.store.read("parking", Cursor::START, 100).await.expect("the feed");
    assert!((1..6).contains(&page.len()), "{} large events in one page", page.len());
    assert_eq!(ids_of(&open.store, "parking").await.len(), 6, "the pages together are all");
}

#[tokio::test]
async fn a_long_poll_is_woken_after_the_commit() {
    let folder = folder();
    let open = open(folder.path());
    let mut appended = open.store.appended();
    let store = open.store.clone();
    let poll = tokio::spawn(async move {
        appended.changed().await.expect("the writer lives");
        ids_of(&store, "highways").await
    });
    stored(&open.store, vec![some_text(1)]).await;
    assert_eq!(poll.await.expect("the poll"), [1]);
}
