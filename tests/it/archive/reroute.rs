//! A text moved to another department in the cluster profile: read from the archive, on the other's topic, archived.

use serde_json::{Value, json};

use super::lab::Lab;
use super::reconcile::{STORED, folder, set_up};
use crate::harness::role::Role;
use crate::harness::{Server, Sms, http, said, wait_until};
use crate::kafka::{consume, value};

const WISH: &str = r#"{"to": "highways", "reason": "a road"}"#;

fn ask(server: &Server, id: &str) -> http::Answer {
    let headers = [("authorization".to_owned(), "Bearer token of contact-centre".to_owned())];
    http::request(server.api, "POST", &format!("/v1/messages/{id}/reroute"), &headers, WISH.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and Cassandra: tests/run archive"]
async fn a_moved_text_is_on_the_other_topic_and_archived_once_more() {
    let lab = Lab::new("reroute");
    let folder = set_up(&lab, "");
    let mut archiver = Role::archive(&folder);
    let server = Server::start(folder).ready();
    server.push(&Sms::new("1", "the bridge is icy"));
    let original = value(&consume(&format!("{}.contact-centre", lab.name), 1)[0]);
    let id = original["id"].as_str().expect("an id");
    assert_eq!(ask(&server, "0192f0c0-0000-7000-8000-000000000001").status, 404);
    wait_until("the text is archived", || archiver.metric(STORED) >= 1.0);
    let answer = ask(&server, id);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let told: Value = serde_json::from_slice(&answer.body).expect("JSON");
    let moved = value(&consume(&format!("{}.highways", lab.name), 1)[0]);
    assert_eq!((&moved["id"], &moved["relates_to"], &moved["flags"]), (&told["id"], &json!(id), &json!(["rerouted"])));
    assert_eq!((&moved["text"], &moved["received_at"]), (&original["text"], &original["received_at"]));
    wait_until("the moved text is archived", || archiver.metric(STORED) >= 2.0);
    // By command, without the journal: the same move is the same id again.
    let again = server.folder.run(&["reroute", "--id", id, "--to", "highways", "--reason", "a road"]);
    let (code, out, err) = said(&again);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(serde_json::from_str::<Value>(&out).expect("JSON")["id"], told["id"]);
    let session = lab.session().await;
    let query = format!("SELECT who, why, query FROM {}.access_log", lab.store.keyspace);
    let rows = session.query_unpaged(query, ()).await.expect("an answer").into_rows_result().expect("rows");
    let rows = rows.rows::<(String, String, String)>().expect("typed").map(|row| row.expect("of this shape"));
    let mut accesses: Vec<_> = rows.collect();
    accesses.sort();
    assert_eq!(accesses.len(), 2, "{accesses:?}");
    let by_http = ("api department contact-centre".to_owned(), "a road".to_owned(), "reroute to highways".to_owned());
    assert_eq!(accesses[0], by_http);
    archiver.stop();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and Cassandra: tests/run archive"]
async fn while_the_archive_is_away_a_text_is_moved_another_time() {
    let lab = Lab::new("reroute-away");
    let away = folder(&lab, "");
    let settings = std::fs::read_to_string(away.path("sms-router.toml")).expect("settings");
    let nodes = settings.lines().find(|line| line.starts_with("nodes = ")).expect("nodes").to_owned();
    away.write("sms-router.toml", &settings.replace(&nodes, "nodes = [\"127.0.0.1:1\"]"));
    let server = Server::start(away).ready();
    let answer = ask(&server, "0192f0c0-0000-7000-8000-000000000001");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")), "{}", answer.text());
}
