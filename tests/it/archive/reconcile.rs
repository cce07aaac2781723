//! `reconcile` in the cluster profile: topics, journal and archive, from which things are taken away.

use jiff::{SignedDuration, Timestamp};
use scylla::client::session::Session;
use scylla::value::CqlTimestamp;
use serde_json::Value;
use sms_router::archive::Archive;
use sms_router::clock::Clock;
use sms_router::message::{EventId, EventKind, topics};

use super::lab::{Lab, key, record};
use crate::harness::role::Role;
use crate::harness::services::given;
use crate::harness::{Folder, Server, Sms, said, wait_until};
use crate::kafka::{cluster_settings, routes};

pub const STORED: &str = "sms_router_archive_records_total{outcome=\"stored\"}";

/// A folder on a keyspace, topics and a group of its own, set up.
pub fn set_up(lab: &Lab, more: &str) -> Folder {
    let folder = folder(lab, more);
    let (code, out, err) = said(&folder.run(&["setup"]));
    assert_eq!(code, Some(0), "{out}{err}");
    folder
}

/// The same, with nothing made yet.
pub fn folder(lab: &Lab, more: &str) -> Folder {
    let (name, keyspace) = (&lab.name, &lab.store.keyspace);
    let archive = format!(
        "to = \"cql\"\nnodes = [\"{}\"]\nkeyspace = \"{keyspace}\"\nreplication = 1\ngroup = \"{name}\"\nsender_key =",
        given("SMS_ROUTER_TEST_CQL")
    );
    let settings = cluster_settings(&given("SMS_ROUTER_TEST_KAFKA"))
        .replace("sender_key =", &archive)
        // Consent and dead letters of all installations on one cluster share their topics.
        .replace("https://sms.example.gov.uk", &format!("https://{name}.example.gov.uk"));
    Folder::with(&format!("{settings}{more}"), &routes(name))
}

/// Asks about everything since then, again until there is a verdict.
fn reconcile(folder: &Folder, since: Timestamp) -> (Option<i32>, Value) {
    let mut answer = (None, Value::Null);
    wait_until("a verdict", || {
        answer = ask(folder, since);
        answer.1["hours"].as_array().expect("hours").iter().all(|hour| hour["verdict"] != "not_yet")
    });
    answer
}

fn ask(folder: &Folder, since: Timestamp) -> (Option<i32>, Value) {
    let (since, until) = (since.to_string(), Timestamp::now().to_string());
    let (code, out, err) = said(&folder.run(&["reconcile", "--since", &since, "--until", &until, "-o", "json"]));
    (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}")))
}

fn sum(report: &Value, of: &str) -> u64 {
    report["hours"].as_array().expect("hours").iter().map(|hour| hour["sums"][of].as_u64().unwrap_or(0)).sum()
}

/// Kind and id of all that differs, synthetic texts left out.
fn differences(report: &Value) -> Vec<(String, String)> {
    let hours = report["hours"].as_array().expect("hours").iter();
    let all = hours.flat_map(|hour| hour["differences"].as_array().cloned().unwrap_or_default());
    let word = |one: &Value, field: &str| one[field].as_str().unwrap_or_default().to_owned();
    let mut all: Vec<_> = all.map(|one| (word(&one, "kind"), word(&one, "id"))).collect();
    all.sort();
    all
}

type Copy = (String, String, i8, CqlTimestamp, EventId);

/// Every text's row by department.
async fn copies(session: &Session, lab: &Lab) -> Vec<Copy> {
    let query = format!("SELECT department, day, shard, received_at, id FROM {}.by_department", lab.store.keyspace);
    let rows = session.query_unpaged(query, ()).await.expect("an answer").into_rows_result().expect("rows");
    let rows: Vec<Copy> = rows.rows().expect("typed").collect::<Result<_, _>>().expect("rows of this shape");
    rows.into_iter().filter(|copy| copy.0 != topics::PROBE).collect()
}

async fn remove(session: &Session, lab: &Lab, copy: &Copy, tables: &[&str]) {
    let (department, day, shard, received_at, id) = copy;
    if tables.contains(&"by_department") {
        let query = format!(
            "DELETE FROM {}.by_department WHERE department = ? AND day = ? AND shard = ? AND received_at = ? AND id = ?",
            lab.store.keyspace
        );
        session.query_unpaged(query, (department, day, shard, received_at, id)).await.expect("deleted");
    }
    if tables.contains(&"by_id") {
        let query = format!("DELETE FROM {}.by_id WHERE id = ?", lab.store.keyspace);
        session.query_unpaged(query, (id,)).await.expect("deleted");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and Cassandra: tests/run archive"]
async fn every_copy_that_is_taken_away_is_named_and_in_which_way() {
    let lab = Lab::new("reconcile");
    let since = Timestamp::now() - SignedDuration::from_secs(1);
    let folder = set_up(&lab, "");
    // What is held waits in the journal.
    let held = routes(&lab.name).replacen("name = \"parking\"", "name = \"parking\"\nhold = true", 1);
    folder.write("routes.toml", &held);
    let mut archiver = Role::archive(&folder);
    let server = Server::start(folder).ready();
    for (id, text) in ["snow 1", "snow 2", "snow 3", "snow 4", "Stop.", "park pay 1"].into_iter().enumerate() {
        assert_eq!(server.push(&Sms::new(&id.to_string(), text)).status, 200, "{text}");
    }
    wait_until("the texts are archived", || archiver.metric(STORED) >= 5.0);
    let (code, report) = reconcile(&server.folder, since);
    assert_eq!(code, Some(0), "{report}");
    let sums = ["accepted", "published", "waiting", "archived", "dead_letters"].map(|of| sum(&report, of));
    assert_eq!(sums, [6, 5, 1, 5, 0], "{report}");
    let session = lab.session().await;
    let all = copies(&session, &lab).await;
    assert_eq!(all.len(), 5);
    remove(&session, &lab, &all[0], &["by_department", "by_id"]).await;
    remove(&session, &lab, &all[1], &["by_id"]).await;
    remove(&session, &lab, &all[2], &["by_department"]).await;
    let never = record("Snow that nobody published", Clock::system().now());
    let archive = Archive::connect(&lab.store).await.expect("a connection");
    let value = serde_json::to_vec(&never).expect("JSON");
    archive.write(&value, &never, &key("the key of the tests"), never.received_at).await.expect("written");
    let (code, report) = reconcile(&server.folder, since);
    assert_eq!(code, Some(1), "{report}");
    let named = |kind: &str, id: EventId| (kind.to_owned(), id.to_string());
    let mut expected = vec![
        named("unarchived", all[0].4),
        named("half_archived", all[1].4),
        named("half_archived", all[2].4),
        named("unpublished", never.id),
    ];
    expected.sort();
    assert_eq!(differences(&report), expected);
    archiver.stop();
    // Lag is no difference.
    assert_eq!(server.push(&Sms::new("late", "snow late")).status, 200);
    let (code, report) = ask(&server.folder, since);
    assert_eq!(
        (code, &report["hours"].as_array().expect("hours").last().expect("one")["verdict"]),
        (Some(1), &"not_yet".into())
    );
    assert!(report.to_string().contains("the archive has not come to 1 of its records"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and Cassandra: tests/run archive"]
async fn archive_run_reconciles_closed_hours_and_its_metric_shows_what_differs() {
    let lab = Lab::new("watch");
    let folder = set_up(&lab, "[reconcile]\nevery_ms = 200\n");
    let then = Clock::system().now() - SignedDuration::from_hours(2);
    let topic = format!("{}.highways", lab.name);
    let records: Vec<_> = (0..20).map(|number| record(&format!("snow {number}"), then)).collect();
    lab.publish_all(&topic, &records).await;
    let differing =
        |archiver: &Role, kind: &str| archiver.metric(&format!("sms_router_reconcile_differences{{kind=\"{kind}\"}}"));
    let hour = |time: Timestamp| time.as_second().div_euclid(3_600) * 3_600;
    let all_judged = hour(Timestamp::now() - SignedDuration::from_mins(2)) as f64;
    let mut archiver = Role::archive(&folder);
    let judged_to = |archiver: &Role| archiver.metric("sms_router_reconcile_last_hour_timestamp_seconds");
    wait_until("all closed hours are judged", || judged_to(&archiver) >= all_judged);
    assert_eq!(archiver.metric(STORED), 20.0, "no hour was judged before its records were archived");
    for kind in ["lost", "unpublished", "unarchived", "half_archived"] {
        assert_eq!(differing(&archiver, kind), 0.0, "{kind}");
    }
    archiver.stop();
    let session = lab.session().await;
    let all = copies(&session, &lab).await;
    remove(&session, &lab, &all[7], &["by_department", "by_id"]).await;
    let archiver = Role::archive(&folder);
    wait_until("the difference shows", || differing(&archiver, "unarchived") == 1.0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs Kafka and Cassandra: tests/run archive"]
async fn synthetic_texts_reach_the_archive_for_a_day_and_a_missing_number_is_a_loss() {
    let lab = Lab::new("probe");
    let since = Timestamp::now() - SignedDuration::from_secs(1);
    let folder = set_up(&lab, "[probe]\nevery_ms = 100\n");
    let archiver = Role::archive(&folder);
    let server = Server::start(folder).ready();
    let archived = "sms_router_probe_duration_seconds_count{stage=\"archived\"}";
    let published = "sms_router_probe_duration_seconds_count{stage=\"published\"}";
    wait_until("five are archived", || archiver.metric(archived) >= 5.0 && server.metric(published) >= 5.0);
    assert!(archiver.metric("sms_router_probe_last_success_timestamp_seconds{stage=\"archived\"}") > 0.0);
    let folder = server.stop().0;
    let (code, report) = reconcile(&folder, since);
    assert_eq!(code, Some(0), "{report}");
    assert!(sum(&report, "probes") >= 5 && sum(&report, "accepted") == 0, "{report}");
    let session = lab.session().await;
    let query = format!("SELECT department, id, TTL(content) FROM {}.by_id", lab.store.keyspace);
    let rows = session.query_unpaged(query, ()).await.expect("an answer").into_rows_result().expect("rows");
    let rows: Vec<(String, EventId, i32)> = rows.rows().expect("typed").collect::<Result<_, _>>().expect("rows");
    assert!(!rows.is_empty() && rows.iter().all(|(name, ..)| name == topics::PROBE), "{rows:?}");
    assert!(rows.iter().all(|(_, _, ttl)| (1..=86_400).contains(ttl)), "{rows:?}");
    let by_sender = format!("SELECT count(*) FROM {}.by_sender", lab.store.keyspace);
    let by_sender = session.query_unpaged(by_sender, ()).await.expect("an answer").into_rows_result().expect("rows");
    assert_eq!(by_sender.single_row::<(i64,)>().expect("a count").0, 0);
    // Number 2 of a run was answered 200, and is nowhere.
    let run = EventId::now_v7().simple().to_string();
    for number in [1, 3] {
        let mut lone = record("probe", Clock::system().now());
        lone.carrier_message_id = Some(format!("{run}.{number}"));
        lab.publish_raw(topics::PROBE, EventKind::Probe, serde_json::to_vec(&lone).expect("JSON")).await;
    }
    let (code, report) = reconcile(&folder, since);
    assert_eq!(code, Some(1), "{report}");
    let said = report.to_string();
    assert!(said.contains(&format!("synthetic text 2 of run {run} is in no log")), "{said}");
    assert_eq!(differences(&report).len(), 1, "{said}");
}
