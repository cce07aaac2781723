//! A real Kannel gateway sends texts: through the cluster profile (webhook, Kafka, archive), and again
//! where it was refused.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use serde_json::Value;

use crate::harness::role::Role;
use crate::harness::services::{given, script};
use crate::harness::{self, Folder, Server, feed, said, wait_until};
use crate::kafka::{cluster_settings, unique};

/// Texts that the gateway sends.
const COUNT: usize = 1_000;
/// Texts that it sends at once where `RATE` a second are let in.
const HURRIED: usize = 100;
const RATE: usize = 20;

const ROUTES: &str = r#"
[[department]]
name = "contact-centre"
topic = "PREFIX.contact-centre"
[[department]]
name = "highways"
topic = "PREFIX.highways"
[[department]]
name = "parking"
topic = "PREFIX.parking"
[[number]]
number = "86555"
default = "contact-centre"
[[keyword]]
number = "86555"
word = "snow"
department = "highways"
[[keyword]]
number = "86555"
word = "park pay"
department = "parking"
"#;

struct Expected {
    department: &'static str,
    text: String,
}

#[test]
#[ignore = "needs Kannel, Kafka and Cassandra: tests/run kannel"]
fn a_thousand_texts_from_a_real_gateway_reach_topic_and_archive_once() {
    let prefix = unique("kannel");
    let keyspace = prefix.replace(['-', '.'], "_");
    let settings = cluster_settings(&given("SMS_ROUTER_TEST_KAFKA")).replace(
        "sender_key =",
        &format!(
            "to = \"cql\"\nnodes = [\"{}\"]\nkeyspace = \"{keyspace}\"\nreplication = 1\ngroup = \"{prefix}\"\nsender_key =",
            given("SMS_ROUTER_TEST_CQL")
        ),
    );
    let settings = settings.replace(
        "[departments.highways]",
        "[accounts.kannel]\ncarrier = \"kannel\"\nloss_on_outage = \"accepted\"\nsecrets = [{ file = \"kannel\" }]\n[departments.highways]",
    );
    let folder = Folder::with(&settings, &ROUTES.replace("PREFIX", &prefix));
    folder.write("kannel", "kannel-path-secret");
    let (code, out, err) = said(&folder.run(&["setup"]));
    assert_eq!(code, Some(0), "{out}{err}");
    let (code, again, _) = said(&folder.run(&["setup"]));
    assert!(code == Some(0) && !again.contains("created"), "the second time changes nothing: {again}");
    let mut archive = Role::archive(&folder);
    let server = Server::start(folder).ready();
    let (texts, expected) = texts(COUNT);
    server.folder.write("texts", &texts);
    let url = format!("http://{}/inbound/kannel/kannel-path-secret", server.inbound);
    let name = prefix.as_str();
    script("kannel.sh", &["start", name, &url]);
    let gateway = Gateway(name);
    let file = server.folder.path("texts");
    script("kannel.sh", &["send", name, &COUNT.to_string(), file.to_str().expect("a path")]);
    let published = || {
        let of = |department| {
            server.metric(&format!("sms_router_messages_total{{department=\"{department}\",outcome=\"published\"}}"))
        };
        of("highways") + of("parking") + of("contact-centre")
    };
    wait_until("all texts are published", || published() >= COUNT as f64);
    drop(gateway);
    let found = read_topics(&prefix);
    check_topics(&expected, &found);
    wait_until("the archive has caught up", || {
        archive.metric("sms_router_archive_records_total{outcome=\"stored\"}") >= COUNT as f64
    });
    check_archive(&server.folder, &expected);
    archive.stop();
}

#[test]
#[ignore = "needs Kannel: tests/run kannel"]
fn a_real_gateway_sends_again_what_was_refused_and_each_text_arrives_once() {
    let account =
        format!("[accounts.kannel]\ncarrier = \"kannel\"\nsecrets = [{{ file = \"kannel\" }}]\nrate_max = {RATE}\n");
    let folder = Folder::with(&format!("{}{account}", harness::SETTINGS), harness::ROUTES);
    folder.write("kannel", "kannel-path-secret");
    let server = Server::start(folder).ready();
    let (texts, expected) = texts(HURRIED);
    server.folder.write("texts", &texts);
    let url = format!("http://{}/inbound/kannel/kannel-path-secret", server.inbound);
    let name = unique("kannel-again");
    // `http-request-retry`, with `http-queue-delay` of a second: as many as the slowest machine needs.
    script("kannel.sh", &["start", &name, &url, "--retries", "100"]);
    let gateway = Gateway(&name);
    let file = server.folder.path("texts");
    script("kannel.sh", &["send", &name, &HURRIED.to_string(), file.to_str().expect("a path")]);
    script("kannel.sh", &["settle", &name, "60"]);
    let fetched = script("kannel.sh", &["fetches", &name]);
    drop(gateway);
    let refused = server.metric("sms_router_shed_total{reason=\"rate\"}");
    assert!(refused >= 1.0, "none was refused, so none was sent again");
    let stored = check_feeds(&server, &expected);
    let ids = |line: &str| line.split_once("&id=").and_then(|(_, rest)| rest.split('&').next()).map(str::to_owned);
    let sent: BTreeSet<_> = fetched.lines().filter(|line| line.starts_with("ok ")).filter_map(ids).collect();
    assert_eq!(sent.len(), HURRIED, "each has an id of its own");
    assert_eq!(stored, sent);
}

/// Every record is one of the texts, in its department; the ids, none of which comes twice.
fn check_feeds(server: &Server, expected: &BTreeMap<String, Expected>) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for department in ["highways", "parking", "contact-centre"] {
        for record in feed::records(server.api, department) {
            let wanted = &expected[record["from"].as_str().expect("a sender")];
            assert_eq!((department, record["text"].as_str()), (wanted.department, Some(wanted.text.as_str())));
            let id = record["carrier_message_id"].as_str().expect("an id").to_owned();
            assert!(ids.insert(id), "a text is there twice: {record}");
        }
    }
    ids
}

struct Gateway<'a>(&'a str);

impl Drop for Gateway<'_> {
    fn drop(&mut self) {
        script("kannel.sh", &["stop", self.0]);
    }
}

/// Lines `from to text` for the gateway, and what is to come of them by sender.
fn texts(count: usize) -> (String, BTreeMap<String, Expected>) {
    let (mut lines, mut expected) = (String::new(), BTreeMap::new());
    for number in 0..count {
        let from = format!("+4477009{number:05}");
        let (department, text) = match number % 4 {
            0 => ("highways", format!("Snow on street {number}")),
            1 => ("parking", format!("PARK PAY bay {number}")),
            2 => ("contact-centre", format!("When is street {number} swept?")),
            _ => ("contact-centre", format!("Café größe {number} £5 €2")),
        };
        lines.push_str(&format!("{from} 86555 {text}\n"));
        expected.insert(from, Expected { department, text });
    }
    (lines, expected)
}

/// Department and record of every text on the topics, read by a consumer of its own.
fn read_topics(prefix: &str) -> Vec<(String, Value)> {
    let consumer: BaseConsumer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", given("SMS_ROUTER_TEST_KAFKA"))
        .set("group.id", format!("{prefix}-judge"))
        .set("auto.offset.reset", "earliest")
        .create()
        .expect("a consumer");
    let topics = ["highways", "parking", "contact-centre"].map(|department| format!("{prefix}.{department}"));
    consumer.subscribe(&topics.each_ref().map(String::as_str)).expect("subscribed");
    let mut found = Vec::new();
    wait_until("every record is read", || {
        if let Some(Ok(record)) = consumer.poll(Duration::from_millis(200)) {
            let department = record.topic().rsplit('.').next().expect("a department").to_owned();
            let value: Value = serde_json::from_slice(record.payload().expect("a value")).expect("JSON");
            let headers = record.headers().expect("headers");
            let id = (0..headers.count()).map(|index| headers.get(index)).find(|header| header.key == "ce_id");
            assert_eq!(id.and_then(|id| id.value), value["id"].as_str().map(str::as_bytes));
            found.push((department, value));
        }
        found.len() >= COUNT
    });
    // Anything more would be a copy too many: ask once more, for as long as a poll takes.
    assert!(consumer.poll(Duration::from_secs(1)).is_none(), "more records than texts");
    found
}

fn check_topics(expected: &BTreeMap<String, Expected>, found: &[(String, Value)]) {
    assert_eq!(found.len(), expected.len());
    for (department, record) in found {
        let sender = record["from"].as_str().expect("a sender");
        let wanted = expected.get(sender).expect("a sender that was sent");
        assert_eq!(department, wanted.department, "{record}");
        assert_eq!(record["text"], wanted.text.as_str());
    }
}

fn check_archive(folder: &Folder, expected: &BTreeMap<String, Expected>) {
    let mut copies = Vec::new();
    for department in ["highways", "parking", "contact-centre"] {
        let arguments =
            ["archive", "get", "--department", department, "--since", "2020-01-01", "--until", "2099-01-01"];
        let output = folder.run(&[&arguments[..], &["--reason", "test", "--show-text"]].concat());
        let (code, out, err) = said(&output);
        assert_eq!(code, Some(0), "{err}");
        copies.extend(out.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")));
    }
    assert_eq!(copies.len(), expected.len(), "each once");
    for copy in copies {
        let record = &copy["record"];
        let wanted = &expected[record["from"].as_str().expect("a sender")];
        assert_eq!(record["text"], wanted.text.as_str());
        let time = |value: &Value| value.as_str().expect("a time").parse().expect("a time");
        assert_eq!(sms_router::message::expires_at(time(&record["received_at"])), time(&copy["expires_at"]));
    }
}
