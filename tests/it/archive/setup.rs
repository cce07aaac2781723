//! What `setup` makes on a real CQL node, with a real Kafka beside it and without one; what `archive run` needs.

use scylla::client::session::Session;
use sms_router::archive::{self, Archive, ArchiveError};
use sms_router::message::EventId;

use super::lab::Lab;
use super::reconcile::{STORED, folder, set_up};
use crate::harness::role::Role;
use crate::harness::{Server, Sms, said, wait_until};

/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:1";

#[tokio::test]
#[ignore = "needs Kafka and Cassandra: tests/run archive"]
async fn setup_twice_changes_nothing() {
    let lab = Lab::new("setup");
    let Err(ArchiveError::NotSetUp(_)) = Archive::connect(&lab.store).await else {
        panic!("a missing schema must say so");
    };
    let first = archive::setup(&lab.store).await.expect("set up");
    let session = lab.session().await;
    let before = schema(&session, &lab.store.keyspace).await;
    let second = archive::setup(&lab.store).await.expect("set up");
    assert_eq!((first.len(), second.len()), (5, 5));
    assert!(first.iter().all(|line| line.ends_with(": created")), "{first:?}");
    assert!(second.iter().all(|line| line.ends_with(": already there")), "{second:?}");
    assert_eq!(schema(&session, &lab.store.keyspace).await, before);
    assert_eq!(before.len(), 4);
    for statement in archive::statements(&lab.store) {
        session.query_unpaged(statement, ()).await.expect("harmless to run again");
    }
    assert_eq!(schema(&session, &lab.store.keyspace).await, before);
}

/// Name, id, default TTL and grace of each table: the id changes when a table is made anew.
async fn schema(session: &Session, keyspace: &str) -> Vec<(String, EventId, i32, i32)> {
    let query = "SELECT table_name, id, default_time_to_live, gc_grace_seconds FROM system_schema.tables \
                 WHERE keyspace_name = ?";
    let rows = session.query_unpaged(query, (keyspace,)).await.expect("an answer").into_rows_result().expect("rows");
    rows.rows().expect("typed").collect::<Result<_, _>>().expect("rows of this shape")
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and Cassandra: tests/run archive"]
async fn each_half_of_setup_asks_nothing_of_the_others_servers() {
    let lab = Lab::new("half");
    let folder = folder(&lab, "");
    let only = |half: &str, (away, nowhere): (&str, &str)| {
        let mut command = folder.command(&["setup", "--only", half]);
        let (code, out, err) = said(&command.env(away, nowhere).output().expect("the binary"));
        assert_eq!(code, Some(0), "{half}: {out}{err}");
        out
    };
    let made = only("schema", ("SMS_ROUTER__PUBLISH__BROKERS", NOWHERE));
    assert!(made.lines().count() == 5 && made.lines().all(|line| line.starts_with("schema: ")), "{made}");
    assert_eq!(schema(&lab.session().await, &lab.store.keyspace).await.len(), 4);
    let made = only("topics", ("SMS_ROUTER__ARCHIVE__NODES", NOWHERE));
    assert!(made.contains(&format!("topic {}.highways: created", lab.name)) && !made.contains("schema"), "{made}");
    let planned = |half: &str| said(&folder.run(&["setup", "--dry-run", "--only", half])).1;
    assert!(!planned("schema").contains("\ntopic ") && planned("schema").contains("CREATE TABLE"));
    assert!(planned("topics").lines().all(|line| line.starts_with("topic ")));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and Cassandra: tests/run archive"]
async fn archive_run_needs_no_accounts_secret_no_token_and_no_data_folder() {
    let lab = Lab::new("needs");
    let server = Server::start(set_up(&lab, "")).ready();
    assert_eq!(server.push(&Sms::new("1", "snow 1")).status, 200);
    let folder = &server.folder;
    for secret in ["demo", "token-highways", "token-parking", "token-contact-centre"] {
        std::fs::remove_file(folder.path(secret)).expect("a file of the test");
    }
    let settings = std::fs::read_to_string(folder.path("sms-router.toml")).expect("settings");
    let settings = settings
        .replace("data = \"data\"", "data = \"/proc/nowhere\"")
        .replace("[publish]\n", "[publish]\njournal = true\n")
        .replace("[api]\n", "[api]\noperators = [{ file = \"token-operator\" }]\n");
    folder.write("sms-router.toml", &settings);
    let (code, out, err) = said(&folder.run(&["serve"]));
    for lacking in ["demo", "token-highways", "token-operator", "/proc/nowhere cannot be written"] {
        assert!(code == Some(78) && err.contains(lacking), "{lacking}: {out}{err}");
    }
    let mut archiver = Role::archive(folder);
    wait_until("the text is archived", || archiver.metric(STORED) >= 1.0);
    let all = ["--department", "highways", "--since", "2020-01-01", "--until", "2100-01-01", "--reason", "a test"];
    let (code, out, err) = said(&folder.run(&[&["archive", "get"], all.as_slice()].concat()));
    assert!(code == Some(0) && out.lines().count() == 1, "{out}{err}");
    archiver.stop();
}
