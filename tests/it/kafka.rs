//! The cluster profile against a real Kafka: acknowledged, published, refused with the truth.

mod acl;
mod breakers;
mod drain;
mod journal;
mod parts;
mod several;

use std::io::Write;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message, OwnedMessage};
use serde_json::Value;

use crate::harness::services::{Frozen, given, script};
use crate::harness::{Folder, ROUTES, SETTINGS, Server, Sms, http, said, signature, wait_until};

/// A prefix for topics and groups that no other test uses.
pub fn unique(test: &str) -> String {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_nanos();
    format!("{test}-{nanos}")
}

/// Settings that publish to Kafka with one replica.
pub fn cluster_settings(brokers: &str) -> String {
    let client = client();
    let publish = format!(
        "[publish]\nto = \"kafka\"\nclient = \"{client}\"\nbrokers = \"{brokers}\"\n[publish.topics]\nreplication = 1\nmin_insync_replicas = 1\n"
    );
    format!("{SETTINGS}{publish}")
}

/// The library that publishes: these tests run with each.
fn client() -> String {
    given("SMS_ROUTER_TEST_KAFKA_CLIENT")
}

/// Settings that publish to Kafka over TLS, as the user of the tests with the password in `password`.
fn secure_settings(brokers: &str, mechanism: &str) -> String {
    let (user, ca) = (given("SMS_ROUTER_TEST_KAFKA_USER"), given("SMS_ROUTER_TEST_KAFKA_CA"));
    let properties = format!(
        "user = \"{user}\"\npassword = {{ file = \"password\" }}\n[publish.properties]\n\"security.protocol\" = \"SASL_SSL\"\n\"sasl.mechanism\" = \"{mechanism}\"\n\"ssl.ca.location\" = \"{ca}\"\n[publish.topics]"
    );
    cluster_settings(brokers).replace("[publish.topics]", &properties)
}

/// The usual routes on topics of a prefix.
pub fn routes(prefix: &str) -> String {
    ["contact-centre", "highways", "parking"].into_iter().fold(ROUTES.to_owned(), |routes, department| {
        let name = format!("name = \"{department}\"");
        routes.replacen(&name, &format!("{name}\ntopic = \"{prefix}.{department}\""), 1)
    })
}

/// A folder whose topics are set up, on the shared broker.
fn set_up(prefix: &str) -> Folder {
    set_up_with(prefix, "")
}

/// The same with more lines in `[publish]`.
fn set_up_with(prefix: &str, publish: &str) -> Folder {
    let settings = cluster_settings(&given("SMS_ROUTER_TEST_KAFKA"));
    let settings = settings.replace("[publish]\n", &format!("[publish]\n{publish}\n"));
    let folder = Folder::with(&settings, &routes(prefix));
    let (code, out, err) = said(&folder.run(&["setup"]));
    assert_eq!(code, Some(0), "{out}{err}");
    folder
}

/// At least `count` records of a topic, from its beginning.
pub fn consume(topic: &str, count: usize) -> Vec<OwnedMessage> {
    consume_with(&ClientConfig::new(), &given("SMS_ROUTER_TEST_KAFKA"), topic, count)
}

fn consume_with(security: &ClientConfig, brokers: &str, topic: &str, count: usize) -> Vec<OwnedMessage> {
    let mut records = Vec::new();
    consume_each(security, brokers, topic, |record| {
        records.push(record);
        records.len() >= count
    });
    records
}

/// The values of a topic's records, from its beginning, until `enough`.
fn consume_until(topic: &str, mut enough: impl FnMut(&Value) -> bool) {
    let brokers = given("SMS_ROUTER_TEST_KAFKA");
    consume_each(&ClientConfig::new(), &brokers, topic, |record| enough(&value(&record)));
}

/// All that is on the topic now.
fn consume_all(topic: &str) -> Vec<Value> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", given("SMS_ROUTER_TEST_KAFKA"));
    let consumer: BaseConsumer = config.create().expect("a consumer");
    let (_, end) = consumer.fetch_watermarks(topic, 0, Duration::from_secs(30)).expect("an answer of the broker");
    consume(topic, usize::try_from(end).expect("a count")).iter().map(value).collect()
}

fn consume_each(security: &ClientConfig, brokers: &str, topic: &str, mut enough: impl FnMut(OwnedMessage) -> bool) {
    let mut config = security.clone();
    config.set("bootstrap.servers", brokers).set("group.id", unique("judge")).set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = config.create().expect("a consumer");
    consumer.subscribe(&[topic]).expect("subscribed");
    wait_until("the records are there", || match consumer.poll(Duration::from_millis(200)) {
        Some(Ok(record)) => enough(record.detach()),
        _ => false,
    });
}

pub fn value(record: &OwnedMessage) -> Value {
    serde_json::from_slice(record.payload().expect("a value")).expect("JSON")
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn an_acknowledged_text_is_a_cloud_event_on_its_topic() {
    let prefix = unique("event");
    let server = Server::start(set_up(&prefix)).ready();
    assert_eq!(server.push(&Sms::new("1", "Snow on Main St")).status, 200);
    assert_eq!(server.push(&Sms::new("2", "snow again")).status, 200);
    let records = consume(&format!("{prefix}.highways"), 2);
    let headers = records[0].headers().expect("headers");
    let header = |name: &str| {
        let found = headers.iter().find(|header| header.key == name).and_then(|header| header.value);
        found.map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    };
    let record = value(&records[0]);
    for (name, expected) in [
        ("ce_specversion", "1.0"),
        ("ce_id", record["id"].as_str().expect("an id")),
        ("ce_source", "https://sms.example.gov.uk/accounts/demo"),
        ("ce_type", "sms-router.message.received.v1"),
        ("ce_subject", "86555"),
        ("ce_time", record["received_at"].as_str().expect("a time")),
        ("content-type", "application/json"),
    ] {
        assert_eq!(header(name), expected, "{name}");
    }
    assert_eq!(record["text"], "Snow on Main St");
    let key = records[0].key().expect("a key");
    assert_eq!(key, records[1].key().expect("a key"), "one sender, one key");
    assert!(key.len() == 32 && !String::from_utf8_lossy(key).contains("7700900123"));
    let tail = said(&server.folder.run(&["tail", "--from-start", "highways"])).1;
    assert_eq!(tail.lines().count(), 2, "{tail}");
    let feed = crate::harness::feed::ask(server.api, "highways", "token of highways", "");
    assert!(feed.status == 404 && feed.text().contains(&format!("{prefix}.highways")));
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn setup_twice_changes_nothing_and_mends_what_differs() {
    let prefix = unique("setup");
    let folder = set_up(&prefix);
    let dry = said(&folder.run(&["setup", "--dry-run"])).1;
    assert!(dry.contains(&format!("topic {prefix}.highways partitions=1")) && dry.contains("cleanup.policy=delete"));
    let again = said(&folder.run(&["setup"])).1;
    // The router's own topics are shared with tests that want them otherwise.
    let own: Vec<_> = again.lines().filter(|line| line.contains(&prefix)).collect();
    assert!(own.len() == 3 && own.iter().all(|line| line.ends_with("already there")), "{again}");
    let longer = cluster_settings(&given("SMS_ROUTER_TEST_KAFKA"))
        .replace("replication = 1", "replication = 1\nretention_hours = 96");
    folder.write("sms-router.toml", &longer);
    let mended = said(&folder.run(&["setup"])).1;
    assert!(mended.contains(&format!("topic {prefix}.highways: changed retention.ms")), "{mended}");
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn without_a_journal_a_broker_away_is_503_with_retry_after() {
    let prefix = unique("away");
    let server = Server::start(set_up_with(&prefix, "journal = false")).ready();
    assert_eq!(server.push(&Sms::new("before", "snow before")).status, 200);
    let frozen = Frozen::broker("kafka");
    let answer = server.push(&Sms::new("during", "snow during"));
    let more = server.push(&Sms::new("more", "snow more"));
    let verbose = http::get(server.monitoring, "/readyz?verbose");
    drop(frozen);
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some() && answer.body.is_empty());
    assert_eq!(more.status, 503, "the breaker is open: refused, or the probe");
    assert!(verbose.status == 200 && verbose.text().contains(&format!("[!] takes texts: {prefix}.highways")));
    wait_until("texts flow again", || server.push(&Sms::new("after", "snow after")).status == 200);
    wait_until("the breaker is closed", || server.metric("sms_router_department_up{department=\"highways\"}") == 1.0);
    // What was answered 503 may have reached the topic late: at most once by id, never lost if 200.
    assert_eq!(server.push(&Sms::new("during", "snow during")).status, 200, "the carrier's retry");
    let mut texts = Vec::new();
    consume_until(&format!("{prefix}.highways"), |record| {
        texts.push(record.clone());
        ["snow during", "snow after"].iter().all(|text| texts.iter().any(|seen| seen["text"] == *text))
    });
    for text in ["snow before", "snow during", "snow after"] {
        let ids: std::collections::BTreeSet<_> =
            texts.iter().filter(|record| record["text"] == text).map(|record| record["id"].to_string()).collect();
        assert_eq!(ids.len(), 1, "{text}: there, and every copy has one id: {texts:?}");
    }
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn a_client_that_hangs_up_does_not_cancel_its_text() {
    let prefix = unique("hangup");
    let server = Server::start(set_up(&prefix)).ready();
    assert_eq!(server.push(&Sms::new("0", "snow 0")).status, 200);
    let frozen = Frozen::broker("kafka");
    let body = Sms::new("gone", "snow gone").body();
    let mut stream = http::connect(server.inbound);
    let mut head = format!("POST /inbound/demo HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in signature(&body) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).and_then(|()| stream.write_all(&body)).expect("sent");
    wait_until("the text is on its way", || server.metric("sms_router_in_flight_messages") >= 1.0);
    drop(stream);
    drop(frozen);
    let texts: Vec<_> = consume(&format!("{prefix}.highways"), 2).iter().map(value).collect();
    assert!(texts.iter().any(|record| record["text"] == "snow gone"));
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn one_missing_topic_holds_up_no_other_department() {
    let prefix = unique("missing");
    let folder = set_up(&prefix);
    let lacking = routes(&prefix).replace(&format!("{prefix}.parking"), &format!("{prefix}.nowhere"));
    folder.write("routes.toml", &lacking);
    let server = Server::start(folder).ready();
    assert_eq!(server.push(&Sms::new("1", "park pay 1")).status, 200, "it waits in the journal");
    assert_eq!(server.push(&Sms::new("2", "snow")).status, 200);
    assert_eq!(value(&consume(&format!("{prefix}.highways"), 1)[0])["text"], "snow");
    assert_eq!(server.metric("sms_router_department_up{department=\"parking\"}"), 0.0);
    assert_eq!(server.metric("sms_router_department_up{department=\"highways\"}"), 1.0);
    assert_eq!(server.metric("sms_router_topic_faults{department=\"parking\",fault=\"missing\"}"), 1.0);
    assert_eq!(http::get(server.monitoring, "/readyz").status, 200, "it can still tell carriers the truth");
    assert_eq!(said(&server.folder.run(&["setup"])).0, Some(0));
    assert_eq!(value(&consume(&format!("{prefix}.nowhere"), 1)[0])["text"], "park pay 1");
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn a_reload_that_names_a_missing_topic_waits_for_it() {
    let prefix = unique("reload");
    let mut server = Server::start(set_up(&prefix)).ready();
    let more = format!("{}[[department]]\nname = \"floods\"\ntopic = \"{prefix}.floods\"\n", routes(&prefix));
    server.folder.write("routes.toml", &more);
    server.wait_for_log("does not exist: run `sms-router setup`");
    wait_until("the gauge says so too", || server.metric("sms_router_routes_last_reload_successful") == 0.0);
    assert_eq!(said(&server.folder.run(&["setup"])).0, Some(0));
    wait_until("the routes are in force", || server.metric("sms_router_routes_last_reload_successful") == 1.0);
    let refused = server.log().iter().filter(|line| line.contains("routes refused")).count();
    assert_eq!(refused, 1, "said once");
    server.folder.write("routes.toml", &more.replace("floods", "flooding"));
    wait_until("the next waits", || server.metric("sms_router_routes_last_reload_successful") == 0.0);
    server.folder.write("routes.toml", &more);
    wait_until("until it is taken back", || server.metric("sms_router_routes_last_reload_successful") == 1.0);
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn what_a_topic_will_never_take_is_kept_in_dead_letter() {
    let prefix = unique("large");
    let server = Server::start(set_up(&prefix)).ready();
    limit_record_size(&format!("{prefix}.highways"), "2000");
    let text = format!("snow {} {prefix}", "x".repeat(5_000));
    assert_eq!(server.push(&Sms::new(&prefix, &text)).status, 200);
    assert_eq!(server.metric("sms_router_dead_letters_total{account=\"demo\",reason=\"too_large\"}"), 1.0);
    assert_eq!(server.push(&Sms::new("small", "snow small")).status, 200, "the topic itself is well");
    let letters = said(&server.folder.run(&["tail", "--from-start", "sms-router.dead-letter"])).1;
    let kept = letters.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    assert!(kept.into_iter().any(|letter| letter["reason"] == "too_large"), "{letters}");
}

pub fn limit_record_size(topic: &str, bytes: &str) {
    use rdkafka::admin::{AdminClient, AdminOptions, AlterConfig, ResourceSpecifier};
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", given("SMS_ROUTER_TEST_KAFKA"));
    let admin: AdminClient<rdkafka::client::DefaultClientContext> = config.create().expect("an admin client");
    let alter = AlterConfig::new(ResourceSpecifier::Topic(topic)).set("max.message.bytes", bytes);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let results = runtime.block_on(admin.alter_configs([&alter], &AdminOptions::new())).expect("altered");
    assert!(results.iter().all(Result::is_ok));
}

#[test]
#[ignore = "needs Kafka: tests/run kafka"]
fn sasl_ssl_with_scram_and_plain_carry_texts() {
    let brokers = given("SMS_ROUTER_TEST_KAFKA_TLS");
    for (mechanism, password) in [
        ("SCRAM-SHA-512", given("SMS_ROUTER_TEST_KAFKA_PASSWORD")),
        ("PLAIN", given("SMS_ROUTER_TEST_KAFKA_PLAIN_PASSWORD")),
    ] {
        let prefix = unique("sasl");
        let settings = secure_settings(&brokers, mechanism);
        let folder = Folder::with(&settings, &routes(&prefix));
        folder.write("password", &password);
        let (code, out, err) = said(&folder.run(&["setup"]));
        assert_eq!(code, Some(0), "{mechanism}: {out}{err}");
        let server = Server::start(folder).ready();
        assert_eq!(server.push(&Sms::new("1", "snow over TLS")).status, 200, "{mechanism}");
        assert_eq!(value(&consume(&format!("{prefix}.highways"), 1)[0])["text"], "snow over TLS");
    }
}

#[test]
#[ignore = "needs three brokers: tests/run kafka"]
fn a_dead_broker_of_three_loses_no_acknowledged_text() {
    let (prefix, brokers) = (unique("three"), given("SMS_ROUTER_TEST_KAFKA_3"));
    let settings = cluster_settings(&brokers)
        .replace("replication = 1\nmin_insync_replicas = 1", "replication = 3\nmin_insync_replicas = 2");
    let folder = Folder::with(&settings, &routes(&prefix));
    let (code, out, err) = said(&folder.run(&["setup"]));
    assert_eq!(code, Some(0), "{out}{err}");
    let server = Server::start(folder).ready();
    let mut answered = std::collections::BTreeSet::new();
    let send = |number: usize, answered: &mut std::collections::BTreeSet<String>| {
        let text = format!("snow {number}");
        let status = server.push(&Sms::new(&text, &text)).status;
        assert!(status == 200 || status == 503, "{status}");
        if status == 200 {
            answered.insert(text);
        }
        status
    };
    for number in 0..50 {
        send(number, &mut answered);
    }
    assert_eq!(answered.len(), 50);
    script("kafka.sh", &["kill", "kafka-3", "2"]);
    let mut number = 50;
    wait_until("texts flow again", || {
        number += 1;
        send(number, &mut answered) == 200
    });
    for number in 1_000..1_050 {
        send(number, &mut answered);
    }
    script("kafka.sh", &["restart", "kafka-3", "2"]);
    // A late report may have doubled some, under their ids: until the last is there.
    consume_each(&ClientConfig::new(), &brokers, &format!("{prefix}.highways"), |record| {
        answered.remove(value(&record)["text"].as_str().expect("a text"));
        answered.is_empty()
    });
}
