//! The journal behind a real Kafka: what is answered 200 while the broker is away reaches its topic.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Stdio;

use super::{cluster_settings, consume, consume_all, consume_until, routes, set_up, set_up_with, unique, value};
use crate::harness::services::{Frozen, given};
use crate::harness::{Folder, Server, Sms, http, said, wait_until};

const WAITING: &str = "sms_router_journal_messages";

/// Each distinct text's id, in the order of first copies; fails when copies of one differ in id.
fn first_copies(topic: &str, count: usize) -> Vec<String> {
    let mut ids = BTreeMap::new();
    let mut order = Vec::new();
    consume_until(topic, |record| {
        let (text, id) = (record["text"].as_str().expect("a text").to_owned(), record["id"].to_string());
        match ids.insert(text.clone(), id.clone()) {
            None => order.push(text),
            Some(before) => assert_eq!(before, id, "a copy of {text} has another id"),
        }
        order.len() >= count
    });
    order
}

fn from(sender: &str, id: &str, text: &str) -> Sms {
    Sms { from: sender.to_owned(), ..Sms::new(id, text) }
}

fn drained(server: &Server) {
    wait_until("the journal is empty", || server.metric(WAITING) == 0.0);
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn texts_of_an_outage_are_answered_200_and_arrive_in_order() {
    let prefix = unique("outage");
    let server = Server::start(set_up(&prefix)).ready();
    let mut sent = Vec::new();
    let mut push = |number: usize| {
        let text = format!("snow {number}");
        let sender = format!("+4477009001{:02}", number % 3);
        assert_eq!(server.push(&from(&sender, &text, &text)).status, 200, "{text}");
        sent.push(text);
    };
    (0..10).for_each(&mut push);
    let frozen = Frozen::broker("kafka");
    (10..40).for_each(&mut push);
    wait_until("the gauge shows those that wait", || server.metric(WAITING) >= 1.0);
    assert_eq!(http::get(server.monitoring, "/readyz").status, 200, "it can still tell carriers the truth");
    drop(frozen);
    (40..60).for_each(&mut push);
    drained(&server);
    let arrived = first_copies(&format!("{prefix}.highways"), sent.len());
    assert_eq!(arrived.iter().collect::<BTreeSet<_>>(), sent.iter().collect());
    let of = |texts: &[String], sender: usize| -> Vec<String> {
        let number = |text: &str| text.rsplit(' ').next().and_then(|number| number.parse::<usize>().ok());
        texts.iter().filter(|text| number(text).expect("a number") % 3 == sender).cloned().collect()
    };
    for sender in 0..3 {
        assert_eq!(of(&arrived, sender), of(&sent, sender), "each was sent after the one before was answered");
    }
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn a_carrier_that_waits_two_seconds_is_answered_from_the_journal_too() {
    let prefix = unique("hurried");
    let folder = set_up(&prefix);
    let settings = std::fs::read_to_string(folder.path("sms-router.toml")).expect("settings");
    let account = "[accounts.telnyx]\ncarrier = \"telnyx\"\nauth = \"path\"\nsecrets = [{ file = \"telnyx\" }]\n";
    folder.write("sms-router.toml", &format!("{settings}{account}"));
    folder.write("telnyx", "a-secret");
    let server = Server::start(folder).ready();
    assert_eq!(server.push(&Sms::new("1", "snow 1")).status, 200, "the topic's breaker is closed");
    let frozen = Frozen::broker("kafka");
    let body = r#"{"data":{"event_type":"message.received","payload":{"id":"2","from":"+447700900124","to":"86555","text":"snow 2"}}}"#;
    let answer = http::request(server.inbound, "POST", "/inbound/telnyx/a-secret", &[], body.as_bytes());
    assert_eq!(answer.status, 200);
    drop(frozen);
    drained(&server);
    assert_eq!(first_copies(&format!("{prefix}.highways"), 2), ["snow 1", "snow 2"]);
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn what_waits_survives_kill_9_and_a_retry_adds_nothing() {
    let prefix = unique("killed");
    let folder = set_up(&prefix);
    let frozen = Frozen::broker("kafka");
    let server = Server::start(folder).ready();
    for number in 0..20 {
        let text = format!("snow {number}");
        assert_eq!(server.push(&Sms::new(&text, &text)).status, 200);
    }
    let server = Server::start(server.kill()).ready();
    let waiting = server.metric(WAITING);
    assert_eq!(server.push(&Sms::new("snow 3", "snow 3")).status, 200, "a retry of one that waits");
    let after_retry = server.metric(WAITING);
    drop(frozen);
    assert!(waiting == 20.0 && after_retry == 20.0, "{waiting} wait, {after_retry} after a retry");
    drained(&server);
    let arrived = first_copies(&format!("{prefix}.highways"), 20);
    assert_eq!(arrived, (0..20).map(|number| format!("snow {number}")).collect::<Vec<_>>());
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn an_orphaned_journal_is_looked_at_and_replayed_by_a_command() {
    let prefix = unique("orphan");
    let folder = set_up(&prefix);
    let frozen = Frozen::broker("kafka");
    let server = Server::start(folder).ready();
    for number in 0..5 {
        assert_eq!(server.push(&Sms::new(&number.to_string(), &format!("snow {number}"))).status, 200);
    }
    let beside = said(&server.folder.run(&["journal", "replay"]));
    assert!(beside.0 == Some(1) && beside.2.contains("in use by another process"), "{beside:?}");
    let folder = server.kill();
    let status = said(&folder.run(&["journal", "status"])).1;
    assert!(status.contains(&format!("{prefix}.highways: 5 texts")), "{status}");
    let (code, out, _) = said(&folder.run(&["journal", "replay", "--timeout", "1"]));
    assert!(code == Some(1) && out.contains("0 texts published, 5 left"), "{out}");
    drop(frozen);
    let (code, out, err) = said(&folder.run(&["journal", "replay"]));
    assert!(code == Some(0) && out.contains("5 texts published, 0 left"), "{out}{err}");
    let arrived = first_copies(&format!("{prefix}.highways"), 5);
    assert_eq!(arrived, (0..5).map(|number| format!("snow {number}")).collect::<Vec<_>>());
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn who_waits_for_an_empty_journal_is_told_when_it_is_and_when_it_stays_full() {
    let prefix = unique("emptied");
    let folder = set_up(&prefix);
    let frozen = Frozen::broker("kafka");
    let mut server = Server::start(folder).ready();
    for number in 0..5 {
        assert_eq!(server.push(&Sms::new(&number.to_string(), &format!("snow {number}"))).status, 200);
    }
    let mut patient = server.folder.command(&["journal", "status", "--delay", "1", "--wait", "60"]);
    let mut patient = patient.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary");
    let (code, out, err) = said(&server.folder.run(&["journal", "status", "--wait", "2"]));
    assert!(code == Some(1) && out.contains(&format!("{prefix}.highways: 5 texts")), "{out}{err}");
    assert!(err.lines().count() == 1 && err.contains("5 texts still wait"), "{err}");
    assert!(patient.try_wait().expect("a child").is_none(), "it has looked by now, and goes on waiting");
    drop(frozen);
    let (code, out, err) = said(&patient.wait_with_output().expect("a child"));
    assert!(code == Some(0) && out.starts_with("0 texts wait in"), "{out}{err}");
    let arrived: BTreeSet<_> =
        consume_all(&format!("{prefix}.highways")).iter().map(|record| record["text"].to_string()).collect();
    assert_eq!(arrived.len(), 5, "all were on the topic when it said so");
    let frozen = Frozen::broker("kafka");
    assert_eq!(server.push(&Sms::new("last", "snow last")).status, 200);
    server.signal("TERM");
    server.wait_for_log("texts stay in the journal");
    drop(frozen);
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn a_held_departments_texts_wait_until_the_hold_is_gone() {
    let prefix = unique("held");
    let folder = set_up(&prefix);
    let held = routes(&prefix).replace("name = \"parking\"", "name = \"parking\"\nhold = true");
    folder.write("routes.toml", &held);
    let server = Server::start(folder).ready();
    assert_eq!(server.push(&Sms::new("1", "park pay 1")).status, 200);
    assert_eq!(server.push(&Sms::new("2", "snow 2")).status, 200);
    assert_eq!(value(&consume(&format!("{prefix}.highways"), 1)[0])["text"], "snow 2");
    wait_until("the gauge shows it", || server.metric(WAITING) == 1.0);
    server.folder.write("routes.toml", &routes(&prefix));
    server.signal("HUP");
    drained(&server);
    assert_eq!(value(&consume(&format!("{prefix}.parking"), 1)[0])["text"], "park pay 1");
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn a_standby_takes_what_a_missing_topic_cannot() {
    let prefix = unique("standby");
    let folder = set_up(&prefix);
    let standby = "name = \"parking\"\nfailover = \"contact-centre\"\nfailover_after_s = 1";
    let lacking = routes(&prefix)
        .replace(&format!("{prefix}.parking"), &format!("{prefix}.nowhere"))
        .replace("name = \"parking\"", standby);
    folder.write("routes.toml", &lacking);
    let server = Server::start(folder).ready();
    assert_eq!(server.push(&Sms::new("1", "park pay 1")).status, 200);
    drained(&server);
    let record = value(&consume(&format!("{prefix}.contact-centre"), 1)[0]);
    assert_eq!((record["text"].as_str(), record["department"].as_str()), (Some("park pay 1"), Some("parking")));
    assert_eq!(record["flags"], serde_json::json!(["failover"]));
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn a_full_journal_is_503_and_loses_nothing() {
    let prefix = unique("full");
    let folder = set_up_with(&prefix, "journal_bytes_max = 65536");
    let frozen = Frozen::broker("kafka");
    let server = Server::start(folder).ready();
    let (mut taken, mut refused) = (Vec::new(), None);
    for number in 0..200 {
        let text = format!("snow {number}");
        let answer = server.push(&Sms::new(&text, &text));
        match answer.status {
            200 => taken.push(text),
            _ => {
                refused = Some(answer);
                break;
            }
        }
    }
    wait_until("the gauge shows it", || server.metric("sms_router_journal_filled_ratio") > 0.4);
    drop(frozen);
    let refused = refused.expect("the journal is full before 200 texts");
    assert!(refused.status == 503 && refused.header("retry-after").is_some() && !taken.is_empty());
    drained(&server);
    assert_eq!(first_copies(&format!("{prefix}.highways"), taken.len())[..taken.len()], taken);
    wait_until("texts are taken again", || server.push(&Sms::new("after", "snow after")).status == 200);
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn without_a_journal_a_carrier_that_does_not_retry_is_refused() {
    let settings =
        cluster_settings(&given("SMS_ROUTER_TEST_KAFKA")).replace("carrier = \"generic\"", "carrier = \"twilio\"");
    for (journal, accepted) in [("journal = true", true), ("journal = false", false)] {
        let settings = settings.replace("[publish]\n", &format!("[publish]\n{journal}\n"));
        let (code, out, err) = said(&Folder::with(&settings, &routes("sms")).run(&["check"]));
        assert_eq!(code == Some(0), accepted, "{journal}: {out}{err}");
        assert_eq!(format!("{out}{err}").contains("loss_on_outage"), !accepted, "{journal}: {out}{err}");
    }
}
