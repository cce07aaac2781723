//! Texts that several departments get: a row of the log for each, one audit copy, one id that a retry is known by.

use rusqlite::Connection;

use super::*;
use crate::message::AuditQuery;
use crate::store::Reader;

const SENDER: &str = "+447700900123";

/// What each of the departments gets of a text.
fn copies(id: u128, names: &[&str], received_at: Timestamp, words: &str) -> Vec<Event> {
    let alone = text(id, names[0], SENDER, received_at, words);
    let record = Record::from_json(&alone.value).expect("a record");
    let departments: Vec<_> = names.iter().map(|name| department(name)).collect();
    let copy = |department: &DepartmentName| {
        let id = Record::copy_id(alone.id, department);
        let record = Record {
            id,
            department: department.clone(),
            departments: Some(departments.clone().into()),
            relates_to: Some(alone.id),
            copy_of: Some(alone.id),
            ..record.clone()
        };
        let (destination, value) = (Destination::Department(department.clone()), serde_json::to_vec(&record));
        Event { id, copy_of: Some(alone.id), destination, value: value.expect("JSON"), ..alone.clone() }
    };
    departments.iter().map(copy).collect()
}

fn span(name: &str) -> AuditQuery {
    let (since, until) = (at("2026-11-01T00:00:00Z"), at("2026-12-01T00:00:00Z"));
    AuditQuery::Department { name: department(name), since, until }
}

async fn found(store: &Store, query: AuditQuery) -> Vec<u128> {
    let copies = store.find(&query).await.expect("an answer");
    copies.iter().map(|copy| copy.id.as_u128()).collect()
}

#[tokio::test]
async fn each_has_it_in_its_feed_and_one_copy_is_found_under_all_of_them() {
    let folder = folder();
    let open = open(folder.path());
    let names = ["highways", "flood-team", "parking"];
    let events = copies(7, &names, at(NOW), "Flood");
    stored(&open.store, events.clone()).await;
    stored(&open.store, vec![text(8, "flood-team", SENDER, at("2026-11-20T10:00:00Z"), "Before")]).await;
    for (name, event) in names.iter().zip(&events) {
        assert!(ids_of(&open.store, name).await.contains(&event.id.as_u128()), "{name}");
    }
    let (id, sender) = (EventId::from_u128(7), AuditQuery::Sender(Number::normalise(SENDER, Country::GB)));
    for (query, expected) in [
        (AuditQuery::Id(id), vec![7]),
        (AuditQuery::Id(events[0].id), vec![]),
        (sender, vec![8, 7]),
        (span("highways"), vec![7]),
        (span("flood-team"), vec![8, 7]),
        (span("parking"), vec![7]),
        (span("contact-centre"), vec![]),
    ] {
        let described = format!("{query:?}");
        assert_eq!(found(&open.store, query).await, expected, "{described}");
    }
    let copy = open.store.find(&span("parking")).await.expect("an answer").remove(0);
    let record = copy.record();
    assert_eq!((record.id, record.copy_of, record.relates_to), (id, None, None));
    assert_eq!((copy.department, copy.departments.as_deref().map(<[_]>::len)), (department("highways"), Some(3)));
}

#[tokio::test]
async fn a_retry_adds_nothing_whatever_the_routes_say_by_then() {
    let folder = folder();
    let open = open(folder.path());
    let several = |names: &[&str], words| copies(7, names, at(NOW), words);
    stored(&open.store, several(&["highways", "flood-team"], "Flood")).await;
    let known = |count| Ok(vec![Appended::Known; count]);
    let alone = |words| vec![text(7, "parking", SENDER, at(NOW), words)];
    assert_eq!(open.store.append(several(&["highways", "flood-team"], "Flood")).await, known(2));
    assert_eq!(open.store.append(several(&["parking", "highways", "council-tax"], "Flood")).await, known(3));
    assert_eq!(open.store.append(alone("Flood")).await, known(1));
    let other = open.store.append(several(&["highways", "parking"], "Ice")).await;
    assert_eq!(other, Ok(vec![Appended::Conflicting; 2]));
    assert_eq!(open.store.append(alone("Ice")).await, Ok(vec![Appended::Conflicting]));
    // And the other way round: one department had it before the routes named several.
    stored(&open.store, vec![text(9, "parking", SENDER, at(NOW), "Park")]).await;
    assert_eq!(open.store.append(copies(9, &["parking", "highways"], at(NOW), "Park")).await, known(2));
    for (name, count) in [("highways", 1), ("flood-team", 1), ("parking", 1), ("council-tax", 0)] {
        assert_eq!(ids_of(&open.store, name).await.len(), count, "{name}");
    }
    assert_eq!(found(&open.store, span("parking")).await, [9]);
}

#[tokio::test]
async fn the_copy_and_all_that_leads_to_it_end_with_the_twelve_months() {
    let folder = folder();
    let open = open(folder.path());
    let names = ["highways", "flood-team"];
    stored(&open.store, copies(7, &names, at("2026-11-20T10:00:00Z"), "an old flood")).await;
    stored(&open.store, copies(8, &names, at(NOW), "a new flood")).await;
    open.clock.set(at("2027-11-20T10:00:00Z"));
    let swept = open.store.sweep().await.expect("swept");
    assert_eq!(swept.audit_copies, 1);
    assert!(swept.settled && !contains(&raw(folder.path()), "an old flood"));
    for name in names {
        assert_eq!(found(&open.store, span(name)).await, [8], "{name}");
    }
    let count = |table: &str| -> i64 {
        let connection = Connection::open(folder.path().join("sms-router.sqlite")).expect("the file");
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).expect("a count")
    };
    assert_eq!((count("audit_departments"), count("ids")), (1, 3));
    open.clock.set(at("2027-11-22T10:00:00Z"));
    assert_eq!(open.store.sweep().await.expect("swept").audit_copies, 1);
    assert_eq!((count("audit_departments"), count("ids")), (0, 0));
    assert!(!contains(&raw(folder.path()), "a new flood"));
}

/// As the build before leaves its files: it may open them again, and knows nothing of the table.
#[tokio::test]
async fn a_file_without_the_table_is_asked_as_before_and_gets_it_when_it_is_served() {
    let folder = folder();
    let Open { store, writer, .. } = open(folder.path());
    stored(&store, vec![some_text(1)]).await;
    writer.close().await;
    drop(store);
    let connection = Connection::open(folder.path().join("sms-router.sqlite")).expect("the file");
    connection.execute_batch("DROP TABLE audit_departments").expect("as it was");
    drop(connection);
    let reader = Reader::open(folder.path()).expect("beside");
    let copies_found = reader.find(&span("highways"), &[key()], at(NOW)).expect("an answer");
    assert_eq!(copies_found.len(), 1);
    drop(reader);
    let open = open(folder.path());
    stored(&open.store, copies(7, &["parking", "highways"], at(NOW), "Flood")).await;
    assert_eq!(found(&open.store, span("highways")).await, [1, 7]);
}

#[tokio::test]
async fn a_command_beside_writes_the_same() {
    let folder = folder();
    let open = open(folder.path());
    let reader = Reader::open(folder.path()).expect("beside");
    let events = copies(7, &["parking", "highways"], at(NOW), "Flood");
    assert_eq!(reader.append(&events, key().id()), Ok(vec![Appended::Stored; 2]));
    assert_eq!(open.store.append(events).await, Ok(vec![Appended::Known; 2]));
    assert_eq!(found(&open.store, span("highways")).await, [7]);
}
