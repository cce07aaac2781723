//! A command that adds to the store beside the process that serves it.

use super::super::{Beside, Cursor};
use super::*;
use crate::message::topics;

#[tokio::test]
async fn what_is_added_beside_has_places_and_ids_of_its_own() {
    let folder = folder();
    let Open { store, writer: _writer, .. } = open(folder.path());
    let beside = Beside::open(folder.path(), &key()).expect("a store beside");
    stored(&store, vec![some_text(1)]).await;
    assert_eq!(beside.append(vec![some_text(2), some_text(1)]).await, Ok(vec![Appended::Stored, Appended::Known]));
    let other = Event { fingerprint: [0; 16], ..some_text(1) };
    assert_eq!(beside.append(vec![other]).await, Ok(vec![Appended::Conflicting]));
    assert_eq!(store.append(vec![some_text(2), some_text(3)]).await, Ok(vec![Appended::Known, Appended::Stored]));
    assert_eq!(ids_of(&store, "highways").await, [1, 2, 3]);
    let query = crate::message::AuditQuery::Id(EventId::from_u128(2));
    assert_eq!(store.find(&query).await.expect("an answer").len(), 1, "with its audit copy");
}

#[tokio::test]
async fn a_letter_called_back_is_known_and_its_words_are_gone() {
    let folder = folder();
    let Open { store, writer, .. } = open(folder.path());
    stored(&store, vec![other(1, EventKind::DeadLetter, at(NOW), "dead words"), some_text(2)]).await;
    let beside = Beside::open(folder.path(), &key()).expect("a store beside");
    for stream in [topics::DEAD_LETTER, "highways"] {
        for entry in beside.read(stream, Cursor::START, 10).await.expect("entries") {
            beside.forget(entry.position).await.expect("forgotten");
        }
    }
    assert!(ids_of(&store, topics::DEAD_LETTER).await.is_empty());
    assert_eq!(ids_of(&store, "highways").await, [2], "nothing but a letter is forgotten");
    let again = other(1, EventKind::DeadLetter, at(NOW), "dead words");
    assert_eq!(store.append(vec![again]).await, Ok(vec![Appended::Known]));
    drop(beside);
    assert!(store.sweep().await.expect("a sweep").settled);
    drop(store);
    writer.close().await;
    let bytes = raw(folder.path());
    assert!(!contains(&bytes, "dead words") && contains(&bytes, "Snow on Main St 2"));
}
