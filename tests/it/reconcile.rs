//! `reconcile` on a store from which things were taken away, and the synthetic texts that watch the path.

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rusqlite::{Connection, params};
use serde_json::Value;
use sms_router::message::expires_at;

use crate::harness::{Folder, SETTINGS, Server, Sms, feed, said, wait_until};

/// Asks about everything up to now; the exit code and the report.
fn reconcile(folder: &Folder, since: Timestamp) -> (Option<i32>, Value) {
    let (since, until) = (since.to_string(), Timestamp::now().to_string());
    let (code, out, err) = said(&folder.run(&["reconcile", "--since", &since, "--until", &until, "-o", "json"]));
    (code, serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}")))
}

/// Kind and id, or detail where no id is known, of all that differs.
fn differences(report: &Value) -> Vec<(String, String)> {
    let hours = report["hours"].as_array().expect("hours").iter();
    let all = hours.flat_map(|hour| hour["differences"].as_array().cloned().unwrap_or_default());
    let told = |one: Value| {
        let named = one["id"].as_str().or(one["detail"].as_str()).expect("a name").to_owned();
        (one["kind"].as_str().expect("a kind").to_owned(), named)
    };
    let mut all: Vec<_> = all.map(told).collect();
    all.sort();
    all
}

fn sum(report: &Value, of: &str) -> u64 {
    report["hours"].as_array().expect("hours").iter().map(|hour| hour["sums"][of].as_u64().unwrap_or(0)).sum()
}

fn store(folder: &Folder) -> Connection {
    Connection::open(folder.path("data/sms-router.sqlite")).expect("the store")
}

/// Id and position of a text's row.
fn row(store: &Connection, text: &str) -> (uuid::Uuid, i64) {
    let query = "SELECT id, position FROM log WHERE stream = 'highways' AND CAST(value AS TEXT) LIKE ?1";
    let pattern = format!("%\"text\":\"{text}\"%");
    store.query_row(query, [pattern], |row| Ok((uuid::Uuid::from_bytes(row.get(0)?), row.get(1)?))).expect("one row")
}

/// Removes what stands at a position from tables.
fn remove(store: &Connection, tables: &[&str], position: i64) {
    for table in tables {
        let removed = store.execute(&format!("DELETE FROM {table} WHERE position = ?1"), [position]).expect("removed");
        assert_eq!(removed, 1, "{table}");
    }
}

#[test]
fn every_row_that_is_taken_away_is_named_and_in_which_way() {
    let since = Timestamp::now() - SignedDuration::from_secs(1);
    let server = Server::start(Folder::new()).ready();
    let words = ["unarchived", "unpublished", "gone", "nameless", "forgotten", "untouched"];
    for word in words {
        assert_eq!(server.push(&Sms::new(word, &format!("snow {word}"))).status, 200);
    }
    assert_eq!(server.push(&Sms::new("stop", "Stop.")).status, 200);
    assert_eq!(server.push(&Sms::new("last", "snow last")).status, 200);
    let (code, report) = reconcile(&server.folder, since);
    assert_eq!((code, &report["ok"]), (Some(0), &Value::Bool(true)), "{report}");
    for of in ["accepted", "published", "archived"] {
        assert_eq!(sum(&report, of), 8, "{of}");
    }
    let folder = server.kill();
    let store = store(&folder);
    let of = |word: &str| row(&store, &format!("snow {word}"));
    let [unarchived, unpublished, gone, nameless, forgotten] = [0, 1, 2, 3, 4].map(|index: usize| of(words[index]));
    remove(&store, &["audit"], unarchived.1);
    remove(&store, &["log"], unpublished.1);
    remove(&store, &["log", "audit"], gone.1);
    remove(&store, &["log", "audit", "ids"], nameless.1);
    remove(&store, &["ids"], forgotten.1);
    let stopped = store.execute("DELETE FROM log WHERE stream = 'sms-router.consent'", []).expect("removed");
    let wish = |row: &rusqlite::Row<'_>| Ok(uuid::Uuid::from_bytes(row.get(0)?));
    let text: uuid::Uuid =
        store.query_row("SELECT id FROM log WHERE stream = 'contact-centre'", [], wish).expect("one row");
    assert_eq!(stopped, 1);
    let (code, report) = reconcile(&folder, since);
    assert_eq!(code, Some(1), "{report}");
    let mut expected = vec![
        ("lost".to_owned(), gone.0.to_string()),
        ("lost".to_owned(), format!("position {} of the log holds nothing", nameless.1)),
        ("lost".to_owned(), uuid::Uuid::new_v5(&text, b"consent").to_string()),
        ("unarchived".to_owned(), unarchived.0.to_string()),
        ("unpublished".to_owned(), unpublished.0.to_string()),
        ("unremembered".to_owned(), forgotten.0.to_string()),
    ];
    expected.sort();
    assert_eq!(differences(&report), expected);
    let (_, shown, _) = said(&folder.run(&["reconcile"]));
    assert!(!shown.contains("snow") && !shown.contains("7700"), "{shown}");
}

/// Moves everything two hours back, as if it had been received then.
fn age(store: &Connection) {
    let back = SignedDuration::from_hours(2);
    let mut statement = store.prepare("SELECT position, received_at FROM log").expect("a statement");
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("rows");
    let rows: Vec<(i64, i64)> = rows.collect::<Result<_, _>>().expect("rows");
    for (position, received_ms) in rows {
        let received = Timestamp::from_millisecond(received_ms).expect("a time") - back;
        let (received_ms, expires_ms) = (received.as_millisecond(), expires_at(received).as_millisecond());
        for (table, set) in
            [("log", "received_at = ?2"), ("audit", "received_at = ?2, expires_at = ?3"), ("ids", "expires_at = ?3")]
        {
            let update = format!("UPDATE {table} SET {set} WHERE position = ?1 AND ?2 + ?3 > 0");
            store.execute(&update, params![position, received_ms, expires_ms]).expect("moved");
        }
    }
}

#[test]
fn a_running_server_reconciles_closed_hours_and_its_metric_shows_what_differs() {
    let settings = format!("{SETTINGS}[reconcile]\nevery_ms = 100\n");
    let server = Server::start(Folder::with(&settings, crate::harness::ROUTES)).ready();
    for number in 0..3 {
        assert_eq!(server.push(&Sms::new(&number.to_string(), &format!("snow {number}"))).status, 200);
    }
    let folder = server.kill();
    age(&store(&folder));
    let differing =
        |server: &Server, kind: &str| server.metric(&format!("sms_router_reconcile_differences{{kind=\"{kind}\"}}"));
    let judged_to = |server: &Server| server.metric("sms_router_reconcile_last_hour_timestamp_seconds");
    let hour = |time: Timestamp| time.as_second().div_euclid(3_600) * 3_600;
    let all_judged = hour(Timestamp::now() - SignedDuration::from_mins(2)) as f64;
    let server = Server::start(folder).ready();
    wait_until("all closed hours are judged", || judged_to(&server) >= all_judged);
    for kind in ["lost", "unpublished", "unarchived", "unremembered", "unjoined", "half_archived", "probe"] {
        assert!(server.metrics().contains(&format!("sms_router_reconcile_differences{{kind=\"{kind}\"}} 0")), "{kind}");
    }
    let folder = server.kill();
    let position = row(&store(&folder), "snow 1").1;
    remove(&store(&folder), &["audit"], position);
    let mut server = Server::start(folder).ready();
    wait_until("the difference shows", || differing(&server, "unarchived") == 1.0);
    assert_eq!(differing(&server, "lost"), 0.0);
    server.wait_for_log("an hour does not agree");
}

#[test]
fn an_hour_that_cannot_be_judged_says_so() {
    let server = Server::start(Folder::new()).ready();
    let now = Timestamp::now().to_string();
    for (arguments, code, words) in [
        (&["reconcile", "--hour", now.as_str()][..], 1, "cannot be judged yet"),
        (&["reconcile", "--hour", "2020-01-01T00:00Z"], 1, "cannot be judged any more: the log keeps its rows 30 days"),
        (&["reconcile", "--since", "2026-11-22T11:00Z"], 64, "--until"),
        (&["reconcile", "--since", "2026-11-22", "--until", "2026-11-21"], 64, "ends before it begins"),
        (&["reconcile", "--hour", "ten"], 64, "--hour is not a time"),
    ] {
        let (exit, out, err) = said(&server.folder.run(arguments));
        assert_eq!(exit, Some(code), "{arguments:?}: {out}{err}");
        assert!(format!("{out}{err}").contains(words), "{arguments:?}: {out}{err}");
    }
    let empty = Folder::new();
    let (code, _, err) = said(&empty.run(&["reconcile"]));
    assert!(code == Some(1) && err.contains("does not exist"), "{err}");
}

/// Settings with synthetic texts, ten a second.
fn probing() -> Folder {
    Folder::with(&format!("{SETTINGS}[probe]\nevery_ms = 100\n"), crate::harness::ROUTES)
}

#[test]
fn synthetic_texts_go_all_the_way_and_are_nobodys_texts() {
    let since = Timestamp::now() - SignedDuration::from_secs(1);
    let server = Server::start(probing()).ready();
    let reached = |server: &Server, stage: &str| {
        server.metric(&format!("sms_router_probe_duration_seconds_count{{stage=\"{stage}\"}}"))
    };
    wait_until("six came through", || reached(&server, "archived") >= 6.0);
    assert!(reached(&server, "published") >= 6.0);
    assert_eq!(server.metric("sms_router_probe_failures_total"), 0.0);
    let last = server.metric("sms_router_probe_last_success_timestamp_seconds{stage=\"published\"}");
    assert!((last - Timestamp::now().as_second() as f64).abs() < 60.0, "{last}");
    assert!(!server.metrics().contains("sms_router_messages_total{"), "a synthetic text counts as no department's");
    for department in ["highways", "contact-centre", "parking"] {
        assert!(feed::records(server.api, department).is_empty(), "{department}");
    }
    let folder = server.stop().0;
    let store = store(&folder);
    let copies: i64 = store.query_row("SELECT count(*) FROM audit", [], |row| row.get(0)).expect("a count");
    assert_eq!(copies, 0);
    let life = "SELECT min(ids.expires_at - log.received_at), max(ids.expires_at - log.received_at)
                FROM ids JOIN log ON log.position = ids.position";
    let life: (i64, i64) = store.query_row(life, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("a day");
    assert_eq!(life, (86_400_000, 86_400_000));
    let value: Vec<u8> = store.query_row("SELECT value FROM log LIMIT 1", [], |row| row.get(0)).expect("a value");
    let value: Value = serde_json::from_slice(&value).expect("JSON");
    assert_eq!((&value["from"], &value["to"], &value["text"]), (&"probe".into(), &"probe".into(), &"1".into()));
    let (code, report) = reconcile(&folder, since);
    assert_eq!(code, Some(0), "{report}");
    assert!(sum(&report, "probes") >= 6 && sum(&report, "accepted") == 0, "{report}");
    // One that was answered and is gone without a trace shows by its number.
    remove(&store, &["log", "ids"], 3);
    let (code, report) = reconcile(&folder, since);
    assert_eq!(code, Some(1));
    let differing = differences(&report);
    assert!(
        differing.iter().any(|(kind, said)| kind == "probe" && said.starts_with("synthetic text 3 of run ")),
        "{report}"
    );
}

#[test]
fn the_account_of_synthetic_texts_is_nobody_elses() {
    let folder = Folder::with(&SETTINGS.replace("[accounts.demo]", "[accounts.probe]"), crate::harness::ROUTES);
    let (code, out, _) = said(&folder.run(&["check"]));
    assert!(code == Some(1) && out.contains("the name is the router's own"), "{out}");
    let server = Server::start(Folder::new()).ready();
    let answer = crate::harness::push_body(server.inbound, "probe", &Sms::new("1", "snow").body());
    assert_eq!(answer.status, 404, "without [probe] there is no such account");
    let server = Server::start(probing()).ready();
    let answer = crate::harness::push_body(server.inbound, "probe", &Sms::new("1", "snow").body());
    assert_eq!(answer.status, 403, "its secret is in memory only");
    assert!(!Path::new(&server.folder.path("data/secrets")).exists());
}

#[test]
fn setup_makes_a_topic_for_synthetic_texts_where_they_are_sent() {
    let cluster = format!("{SETTINGS}[publish]\nto = \"kafka\"\nbrokers = \"127.0.0.1:1\"\n");
    let planned = |settings: &str| {
        let (code, out, err) = said(&Folder::with(settings, crate::harness::ROUTES).run(&["setup", "--dry-run"]));
        assert_eq!(code, Some(0), "{err}");
        out.lines().find(|line| line.starts_with("topic sms-router.probe ")).map(str::to_owned)
    };
    assert_eq!(planned(&cluster), None);
    let topic = planned(&format!("{cluster}[probe]\nevery_ms = 5000\n")).expect("a topic");
    assert!(topic.contains("retention.ms=86400000"), "{topic}");
}
