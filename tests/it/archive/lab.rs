//! What every test of the archive needs: a keyspace, topics and a group of its own, and a worker.
//!
//! Comes in: addresses of a real Kafka and a real CQL node from the environment. Goes out: `Lab`.
//! Always true: no two tests share a keyspace, a department's topic or a group.
//! Not here: claims.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::types::RDKafkaErrorCode;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use sms_router::archive::{self, Archive, Replication};
use sms_router::archiver;
use sms_router::clock::Clock;
use sms_router::consume::ConsumeError;
use sms_router::message::{
    AccountName, DeadLetterRecord, DepartmentName, Destination, Event, EventId, EventKind, EventSource, Record,
    SenderKey, Timestamp, topics,
};
use sms_router::publish::{self, Publisher, Renewals};
use sms_router::telemetry::{Latches, Metrics};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How long anything that happens elsewhere may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(90);

#[expect(clippy::disallowed_methods, reason = "where the services are is told by tests/run")]
fn environment(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run `tests/run archive`"))
}

pub fn at(text: &str) -> Timestamp {
    text.parse().expect("a time of the test")
}

pub fn key(text: &str) -> SenderKey {
    SenderKey::new(text.as_bytes()).expect("a key of 16 bytes or more")
}

/// Asks until the answer is yes.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let end = Instant::now() + PATIENCE;
    while !ask().await {
        assert!(Instant::now() < end, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The surroundings of one test.
pub struct Lab {
    pub name: String,
    pub store: archive::Settings,
    pub publisher: Publisher,
    brokers: String,
}

impl Lab {
    pub fn new(name: &str) -> Self {
        Self::with_store(name, environment("SMS_ROUTER_TEST_CQL"))
    }

    pub fn with_store(name: &str, node: String) -> Self {
        let unique = EventId::new_v4().simple().to_string();
        let name = format!("{name}-{}", &unique[..8]);
        let mut store = archive::Settings::new(vec![node], name.replace('-', "_"));
        store.replication = Replication::Everywhere(1);
        let brokers = environment("SMS_ROUTER_TEST_KAFKA");
        let settings = publish::Settings {
            client: publish::Client::Librdkafka,
            brokers: brokers.clone(),
            properties: [].into(),
            renewals: Renewals::default(),
            credentials: None,
            producers: 1,
            in_flight_max: 10_000,
            department_in_flight_max: 10_000,
            message_timeout: Duration::from_secs(30),
            stall: Duration::from_secs(10),
            probe_interval: Duration::from_secs(1),
        };
        let publisher = Publisher::start(settings, source(), Metrics::new()).expect("a publisher");
        Self { name, store, publisher, brokers }
    }

    pub async fn setup(&self) -> Archive {
        archive::setup(&self.store).await.expect("the schema");
        Archive::connect(&self.store).await.expect("a connection")
    }

    /// A session beside the product's, to look behind it.
    pub async fn session(&self) -> Session {
        SessionBuilder::new().known_nodes(&self.store.nodes).build().await.expect("a session")
    }

    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client")
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    /// A consumer's settings, in this test's group.
    pub fn consumer(&self) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", format!("{}-archive", self.name))
            .set("session.timeout.ms", "6000")
            .set("heartbeat.interval.ms", "1000")
            .set("max.poll.interval.ms", "6000");
        config
    }

    /// A department's topic of this test, created with one partition; dead-letter as well.
    pub async fn topic(&self, department: &str) -> String {
        self.topic_of(department, 1).await
    }

    pub async fn topic_of(&self, department: &str, partitions: i32) -> String {
        let name = format!("sms.{}-{department}", self.name);
        for (topic, partitions) in [(name.as_str(), partitions), (topics::DEAD_LETTER, 1)] {
            let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
            let created = self.admin().create_topics([&new], &AdminOptions::new()).await.expect("an answer");
            match &created[0] {
                Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => panic!("{topic}: {code}"),
            }
        }
        name
    }

    pub async fn publish(&self, topic: &str, record: &Record) {
        self.publish_raw(topic, EventKind::Message, serde_json::to_vec(record).expect("JSON")).await;
    }

    /// Publishes many at a time, in order.
    pub async fn publish_all<'a>(&self, topic: &str, records: impl IntoIterator<Item = &'a Record>) {
        futures_util::future::join_all(records.into_iter().map(|record| self.publish(topic, record))).await;
    }

    pub async fn publish_raw(&self, topic: &str, kind: EventKind, value: Vec<u8>) {
        let event = Event {
            id: EventId::now_v7(),
            copy_of: None,
            kind,
            destination: Destination::Department(DepartmentName::parse("highways").expect("a name")),
            account: AccountName::parse("demo").expect("a name"),
            subject: "86555".to_owned(),
            received_at: Clock::system().now(),
            key: EventId::new_v4().into_bytes(),
            fingerprint: [0; 16],
            traceparent: None,
            value,
        };
        self.publisher.publish(topic, &event).await.expect("published");
    }

    /// Starts the worker in the background.
    pub fn work(&self, topics: &[&str]) -> Work {
        let metrics = Metrics::new();
        let (routes, receiver) = watch::channel(topics.iter().map(|topic| (*topic).to_owned()).collect());
        let shutdown = CancellationToken::new();
        let parts = archiver::Parts {
            store: self.store.clone(),
            publisher: self.publisher.clone(),
            topics: receiver,
            sender_key: key("the key of the tests"),
            clock: Clock::system(),
            metrics: metrics.clone(),
            ready: Latches::default().latch("archive"),
            shutdown: shutdown.clone(),
        };
        let done = tokio::spawn(archiver::run(archiver::Settings::new(self.consumer().into()), parts));
        Work { metrics, routes, shutdown, done }
    }

    /// Letters about what lies on the topic.
    pub fn letters_about(&self, topic: &str, count: usize) -> Vec<DeadLetterRecord> {
        let mut config = self.consumer();
        config.set("group.id", format!("{}-letters", self.name)).set("auto.offset.reset", "earliest");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        consumer.subscribe(&[topics::DEAD_LETTER]).expect("subscribed");
        let end = Instant::now() + Duration::from_secs(60);
        let mut found = Vec::new();
        while found.len() < count {
            assert!(Instant::now() < end, "{} of {count} letters", found.len());
            let Some(Ok(message)) = consumer.poll(Duration::from_secs(1)) else { continue };
            // Between the letters are records that close those which were called back.
            let letter: Option<DeadLetterRecord> = serde_json::from_slice(message.payload().unwrap_or_default()).ok();
            found.extend(letter.filter(|letter| letter.detail.contains(topic)));
        }
        found
    }
}

fn source() -> EventSource {
    EventSource { origin: "https://sms.example.gov.uk".into(), type_prefix: "sms-router".into() }
}

/// A running worker.
pub struct Work {
    pub metrics: Metrics,
    pub routes: watch::Sender<Vec<String>>,
    shutdown: CancellationToken,
    done: JoinHandle<Result<(), ConsumeError>>,
}

impl Work {
    pub fn count(&self, outcome: &str) -> u64 {
        self.metrics.archive_records.with_label_values(&[outcome]).get()
    }

    /// How many records ended, one way or another.
    pub fn ended(&self) -> u64 {
        ["stored", "known", "expired", "dead_letter"].map(|outcome| self.count(outcome)).iter().sum()
    }

    pub async fn until(&self, outcome: &str, count: u64) {
        eventually(&format!("{count} records {outcome}"), || async { self.count(outcome) >= count }).await;
        assert_eq!(self.count(outcome), count, "{outcome}");
    }

    pub async fn stop(self) {
        self.shutdown.cancel();
        self.done.await.expect("no panic").expect("an end without an error");
    }
}

/// A CQL node of a test's own, that it may kill.
pub struct Node {
    name: String,
    pub address: String,
}

impl Node {
    pub fn start(name: &str) -> Self {
        let address = script(&["start", name]);
        Self { name: name.to_owned(), address }
    }

    pub fn kill(&self) {
        script(&["kill", &self.name]);
    }

    pub fn restart(&self) {
        script(&["restart", &self.name]);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        script(&["stop", &self.name]);
    }
}

fn script(arguments: &[&str]) -> String {
    let path = PathBuf::from(environment("SMS_ROUTER_TEST_SERVICES")).join("cassandra.sh");
    let output = Command::new(path).args(arguments).output().expect("the script runs");
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A routed text, received at that moment.
pub fn record(text: &str, received_at: Timestamp) -> Record {
    let value = serde_json::json!({
        "schema_version": 1, "id": EventId::now_v7(), "account": "demo", "carrier": "generic",
        "from": "+447700900123", "from_raw": "07700 900123", "to": "86555", "to_raw": "86555", "text": text,
        "department": "highways", "rule": {"kind": "default"}, "routes_version": "1",
        "received_at": sms_router::message::iso::format(received_at),
    });
    serde_json::from_value(value).expect("a record")
}
