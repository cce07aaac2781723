//! A text of several departments in the cluster profile: a record on each topic, one copy in the archive.

use jiff::Timestamp;
use scylla::client::session::Session;
use serde_json::Value;
use sms_router::archive::Written;
use sms_router::message::{AuditQuery, DepartmentName, EventId, Record, expires_at};

use super::lab::{Lab, at, key, record};
use super::reconcile::{STORED, folder};
use super::{found, sender, write};
use crate::harness::role::Role;
use crate::harness::{Folder, Server, Sms, said, wait_until};
use crate::kafka::{consume, routes};

const NAMES: [&str; 3] = ["highways", "flood-team", "parking"];

/// The text, and what each department got of it.
fn copies() -> (Record, Vec<Record>) {
    let departments: Vec<_> = NAMES.iter().map(|name| DepartmentName::parse(name).expect("a name")).collect();
    let text = Record { departments: Some(departments.clone().into()), ..record("Flood", at("2026-11-21T10:00:00Z")) };
    let copy = |department: &DepartmentName| Record {
        id: Record::copy_id(text.id, department),
        department: department.clone(),
        relates_to: Some(text.id),
        copy_of: Some(text.id),
        ..text.clone()
    };
    let copies = departments.iter().map(copy).collect();
    (text, copies)
}

/// Department, id and what is left of each row of a table, in seconds.
async fn rows(session: &Session, lab: &Lab, table: &str) -> Vec<(String, EventId, i32)> {
    let query = format!("SELECT department, id, TTL(content) FROM {}.{table}", lab.store.keyspace);
    let rows = session.query_unpaged(query, ()).await.expect("an answer").into_rows_result().expect("rows");
    let mut rows: Vec<_> = rows.rows().expect("typed").collect::<Result<_, _>>().expect("rows of this shape");
    rows.sort();
    rows
}

#[tokio::test]
#[ignore = "needs Kafka and Cassandra: tests/run archive"]
async fn whichever_record_comes_first_there_is_one_copy_and_it_answers_for_all() {
    let lab = Lab::new("several");
    let archive = lab.setup().await;
    let session = lab.session().await;
    let key = key("the key of the tests");
    let (text, copies) = copies();
    let now = at("2026-11-21T10:00:01Z");
    assert_eq!(write(&archive, &copies[1], &key, now).await, Written::Stored);
    for copy in &copies {
        assert_eq!(write(&archive, copy, &key, now).await, Written::Known, "{}", copy.department);
    }
    // A writer that died before the last of its rows: any of the records completes them.
    let keyspace = &lab.store.keyspace;
    session.query_unpaged(format!("DELETE FROM {keyspace}.by_id WHERE id = ?"), (text.id,)).await.expect("deleted");
    session.query_unpaged(format!("TRUNCATE {keyspace}.by_department"), ()).await.expect("emptied");
    assert_eq!(write(&archive, &copies[2], &key, at("2026-11-22T10:00:00Z")).await, Written::Stored);
    for (table, mut departments) in
        [("by_id", vec!["highways"]), ("by_sender", vec!["highways"]), ("by_department", NAMES.to_vec())]
    {
        departments.sort_unstable();
        let rows = rows(&session, &lab, table).await;
        assert_eq!(rows.iter().map(|row| row.0.as_str()).collect::<Vec<_>>(), departments, "{table}");
        assert!(rows.iter().all(|(_, id, ttl)| *id == text.id && *ttl <= 364 * 86_400), "{table}: {rows:?}");
    }
    let department = |name: &str| AuditQuery::Department {
        name: DepartmentName::parse(name).expect("a name"),
        since: at("2026-11-01T00:00:00Z"),
        until: at("2026-12-01T00:00:00Z"),
    };
    let questions = NAMES.map(department).into_iter().chain([AuditQuery::Id(text.id), AuditQuery::Sender(sender())]);
    for question in questions {
        let answer = found(&archive, &question, std::slice::from_ref(&key), now).await;
        assert_eq!(answer, std::slice::from_ref(&text), "{question:?}");
    }
    assert!(found(&archive, &AuditQuery::Id(copies[0].id), &[], now).await.is_empty());
    // A record that stands for itself is its own department's, whatever else it names.
    let lone = Record { id: EventId::now_v7(), department: copies[2].department.clone(), ..text.clone() };
    assert_eq!(write(&archive, &lone, &key, now).await, Written::Stored);
    for (name, count) in NAMES.into_iter().zip([1, 1, 2]) {
        assert_eq!(found(&archive, &department(name), &[], now).await.len(), count, "{name}");
    }
    let late = expires_at(text.received_at);
    assert_eq!(write(&archive, &copies[0], &key, late).await, Written::Expired);
}

/// A folder whose keyword `flood` is two departments', one of them held or not.
fn written(folder: &Folder, lab: &Lab, held: bool) {
    let flood = "[[keyword]]\nnumber = \"86555\"\nword = \"flood\"\ndepartments = [\"highways\", \"parking\"]\n";
    let hold = if held { "name = \"parking\"\nhold = true" } else { "name = \"parking\"" };
    let routes = routes(&lab.name).replacen("name = \"parking\"", hold, 1);
    folder.write("routes.toml", &format!("{routes}{flood}"));
}

/// What `reconcile` comes to: its exit code and the sums of texts accepted, published, waiting and archived.
fn reconciled(folder: &Folder, since: Timestamp) -> (Option<i32>, [u64; 4], String) {
    let (since, mut answer) = (since.to_string(), (None, [0; 4], String::new()));
    wait_until("a verdict", || {
        let until = Timestamp::now().to_string();
        let asked = folder.run(&["reconcile", "--since", &since, "--until", &until, "-o", "json"]);
        let (code, out, err) = said(&asked);
        let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
        let hours = report["hours"].as_array().expect("hours");
        let sum = |of: &str| hours.iter().map(|hour| hour["sums"][of].as_u64().unwrap_or(0)).sum();
        answer = (code, ["accepted", "published", "waiting", "archived"].map(sum), out);
        hours.iter().all(|hour| hour["verdict"] != "not_yet")
    });
    answer
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and Cassandra: tests/run archive"]
async fn both_topics_have_the_text_the_held_one_later_and_the_archive_has_it_once() {
    let lab = Lab::new("fan");
    // What other tests left on the topics that all share was received before.
    let since = Timestamp::now();
    let folder = folder(&lab, "");
    written(&folder, &lab, true);
    let (code, out, err) = said(&folder.run(&["setup"]));
    assert_eq!(code, Some(0), "{out}{err}");
    let mut archiver = Role::archive(&folder);
    let server = Server::start(folder).ready();
    let sms = Sms::new("1", "Flood in Mill Lane");
    assert_eq!(server.push(&sms).status, 200, "on one topic, and in the journal for the other");
    assert_eq!(server.push(&sms).status, 200);
    wait_until("the text is archived", || archiver.metric(STORED) == 1.0);
    let (code, sums, report) = reconciled(&server.folder, since);
    assert_eq!((code, sums), (Some(0), [1, 1, 1, 1]), "{report}");
    // Killed: what waits is published by the next process, under its own id.
    let server = Server::start(server.kill()).ready();
    written(&server.folder, &lab, false);
    wait_until("the journal is empty", || server.metric("sms_router_journal_messages") == 0.0);
    let records = ["highways", "parking"].map(|department| {
        let message = consume(&format!("{}.{department}", lab.name), 1).remove(0);
        let record = crate::kafka::value(&message);
        assert_eq!(
            (record["department"].as_str(), record["text"].as_str()),
            (Some(department), Some("Flood in Mill Lane"))
        );
        record
    });
    assert_ne!(records[0]["id"], records[1]["id"]);
    assert_eq!(records[0]["copy_of"], records[1]["copy_of"]);
    let known = "sms_router_archive_records_total{outcome=\"known\"}";
    wait_until("the second record is met", || archiver.metric(known) == 1.0);
    assert_eq!(archiver.metric(STORED), 1.0);
    let text = records[0]["copy_of"].as_str().expect("an id");
    let between = ["--since", "2020-01-01", "--until", "2099-01-01"];
    for question in [
        &["--id", text][..],
        &["--sender", "+447700900123"],
        &[&["--department", "highways"][..], &between].concat(),
        &[&["--department", "parking"][..], &between].concat(),
    ] {
        let (code, out, err) =
            said(&server.folder.run(&[&["archive", "get", "--reason", "a test"][..], question].concat()));
        assert_eq!(code, Some(0), "{err}");
        let copy: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("one copy: {out}"));
        assert_eq!(
            (copy["id"].as_str(), copy["departments"].to_string().as_str()),
            (Some(text), "[\"highways\",\"parking\"]")
        );
    }
    let (code, sums, report) = reconciled(&server.folder, since);
    assert_eq!((code, sums), (Some(0), [1, 1, 0, 1]), "{report}");
    archiver.stop();
}
