//! The Kafka client's settings: what we decide, what operators may change, what a producer adds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::ClientConfig;

use crate::message::Secret;

/// Which library the shared producers are of. Consumers, administration and what goes by itself are librdkafka's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    Librdkafka,
    Krafka,
}

/// How often what we prove ourselves with to the brokers has been replaced: the password, or a file that a property
/// names. A client knows what there was when it was made, so whoever holds one for long makes another when this has
/// moved on: the producers at once, which go on with the old until the brokers have taken the new, and all others when
/// the producers have shown that the brokers do.
#[derive(Debug, Clone, Default)]
pub struct Renewals {
    told: Arc<AtomicU64>,
    /// Of those told, up to which the brokers have taken it.
    proven: Arc<AtomicU64>,
}

impl Renewals {
    pub fn renew(&self) {
        self.told.fetch_add(1, Ordering::AcqRel);
    }

    /// For a client that is made now and shall be replaced by one that surely gets in.
    pub fn term(&self) -> Term {
        Term::of(&self.proven)
    }

    /// For the producers, which find out whether another gets in.
    pub(super) fn term_of_producers(&self) -> Term {
        Term::of(&self.told)
    }

    /// The brokers have taken what was told when that term of the producers began.
    pub(super) fn prove(&self, term: &Term) {
        self.proven.fetch_max(term.begun, Ordering::AcqRel);
    }
}

/// The time for which what a client was made with is in force.
#[derive(Debug, Clone)]
pub struct Term {
    count: Arc<AtomicU64>,
    begun: u64,
}

impl Term {
    fn of(count: &Arc<AtomicU64>) -> Self {
        Self { count: count.clone(), begun: count.load(Ordering::Acquire) }
    }

    pub fn is_over(&self) -> bool {
        self.count.load(Ordering::Acquire) != self.begun
    }
}

/// What the publisher needs to know.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `host:port`, comma-separated.
    pub brokers: String,
    pub client: Client,
    /// Handed to librdkafka as they are, over our defaults.
    pub properties: BTreeMap<String, String>,
    /// User and password for SASL, from a secret rather than a property.
    pub credentials: Option<(String, Secret)>,
    pub renewals: Renewals,
    /// Shared producers, beside the quarantine producer. One is best: each more makes batches smaller. CPU a text of
    /// the whole service at 512 connections, three brokers: 49 µs with one and 78 with two at 10 topics, 61 with one
    /// and 83 with eight at 100, at the same throughput.
    pub producers: usize,
    /// Texts waiting for the brokers, in all.
    pub in_flight_max: usize,
    /// Texts waiting for one department's topic.
    pub department_in_flight_max: usize,
    /// When librdkafka gives a record up; at least the longest wait of any carrier.
    pub message_timeout: Duration,
    /// Without a report for this long a topic counts as stalled.
    pub stall: Duration,
    /// Between two probes of a topic in trouble.
    pub probe_interval: Duration,
}

impl Settings {
    /// Whether the operator has set this property, by whichever name.
    fn sets(&self, name: &str) -> bool {
        let alias = ALIASES.iter().find(|(own, _)| *own == name).map_or(name, |(_, alias)| alias);
        self.properties.contains_key(name) || self.properties.contains_key(alias)
    }

    /// Whether records of a topic come together while brokers take their time (`gather`): its times are those of our
    /// linger, and krafka does not poll without a pause.
    pub(super) fn gathers(&self) -> bool {
        self.client == Client::Librdkafka && !self.sets("linger.ms")
    }
}

/// Properties that would break a promise if an operator set them, aliases included.
pub const FORBIDDEN: [(&str, &str); 19] = [
    ("acks", "a text is acknowledged only when all in-sync replicas have it"),
    ("request.required.acks", "a text is acknowledged only when all in-sync replicas have it"),
    ("enable.idempotence", "retries inside the client must not double a text"),
    ("transactional.id", "texts are not sent in transactions"),
    ("enable.auto.commit", "offsets are committed after the archive has the copy"),
    ("enable.auto.offset.store", "offsets are committed after the archive has the copy"),
    ("auto.offset.reset", "a jump in a topic would be a loss in the archive"),
    ("group.id", "set archive.group"),
    ("client.id", "each client of ours has its own"),
    ("message.timeout.ms", "it follows inbound.deadline_max_ms"),
    ("delivery.timeout.ms", "it follows inbound.deadline_max_ms"),
    ("queue.buffering.max.messages", "it follows publish.in_flight_max"),
    ("statistics.interval.ms", "readiness is read from the statistics"),
    ("bootstrap.servers", "set publish.brokers"),
    ("metadata.broker.list", "set publish.brokers"),
    ("sasl.username", "set publish.user"),
    ("sasl.password", "a secret does not belong in the settings: set publish.password = { file = \"PATH\" }"),
    ("ssl.key.password", "a secret does not belong in the settings: use a key without one, readable by its owner only"),
    ("ssl.key.pem", "a secret does not belong in the settings: set ssl.key.location"),
];

/// Properties that name a file which may be replaced: who we are, and whom we believe.
pub const FILES: [&str; 4] =
    ["ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.keystore.location"];

/// Other names of properties that we set: an operator's choice by either name counts.
const ALIASES: [(&str, &str); 2] =
    [("linger.ms", "queue.buffering.max.ms"), ("max.in.flight.requests.per.connection", "max.in.flight")];

/// What producers get unless an operator sets it.
const PRODUCER_DEFAULTS: [(&str, &str); 8] = [
    ("linger.ms", "1"),
    ("max.in.flight.requests.per.connection", "1"),
    // Between two tries, growing to the second: also between two questions where a leader is. With
    // librdkafka's second at most, texts flowed up to 1.3 s after the leaders were back.
    ("retry.backoff.ms", "50"),
    ("retry.backoff.max.ms", "250"),
    // A partition that waits for its replica holds up every topic of the connection for this long, and
    // several such partitions hold it up one after the other. A retry doubles nothing: the broker
    // knows the record by its sequence number.
    ("request.timeout.ms", "500"),
    // A broker that does not answer is left after this long; until then what was asked of it (where
    // a topic is, a producer's id) is asked of no other.
    ("socket.timeout.ms", "3000"),
    // How long a topic that the cluster does not know is looked for before its records fail.
    ("topic.metadata.propagation.max.ms", "2000"),
    // The same partitions as Java's clients choose.
    ("partitioner", "murmur2_random"),
];

/// What every client of ours shares: brokers, quick reconnection, the operator's properties.
/// Reconnection: with librdkafka's defaults the first record after a broker's return took up to
/// 7.8 s, with these 0.3 s or less.
pub fn client_config(settings: &Settings) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &settings.brokers)
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "250")
        .set("log.connection.close", "false");
    for (name, value) in &settings.properties {
        config.set(name, value);
    }
    prove(&mut config, settings.credentials.as_ref());
    config
}

fn prove(config: &mut ClientConfig, credentials: Option<&(String, Secret)>) {
    if let Some((user, password)) = credentials {
        config.set("sasl.username", user).set("sasl.password", String::from_utf8_lossy(&password.bytes()));
    }
}

/// A producer's settings.
///
/// Why `linger.ms` is 1 and requests in flight are one: an idempotent librdkafka sends nothing of a partition
/// while five of its *records* are in flight, and polls without a pause while one waits whose linger is over.
/// So a linger shorter than a broker's answer takes is a spinning thread: at 64 connections the whole service
/// took 82 µs of CPU a text with 0.1 and 36 with 1, at 512 connections 58 and 46. With brokers that answer
/// within 0.1 ms, 0.1 costs the same and has three times the throughput over few connections: an operator
/// may set it. With 1 and brokers that take longer, records of few texts wait for those under way (`gather`); to
/// hold them back always cost 30 µs a text against 29, and a fifth of the throughput.
/// The library takes a linger once, when a producer is made, so it cannot follow the load.
///
/// Why nothing is compressed unless an operator says so: it costs every text CPU, which is what a pod has least of,
/// and saves disk and network, of which a text of 900 bytes takes little (`loadtest/README.md`, Where Kafka becomes the
/// limit).
pub fn producer_config(settings: &Settings, client_id: &str) -> ClientConfig {
    let mut config = client_config(settings);
    for (name, value) in PRODUCER_DEFAULTS {
        if !settings.sets(name) {
            config.set(name, value);
        }
    }
    config
        .set("client.id", client_id)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        // Once a second is enough to see that the producer has its id.
        .set("statistics.interval.ms", "1000")
        .set("message.timeout.ms", settings.message_timeout.as_millis().to_string())
        .set("queue.buffering.max.messages", (settings.in_flight_max * 2).to_string());
    config
}

/// A consumer's settings for one of our groups.
pub fn consumer_config(settings: &Settings, group: &str) -> ClientConfig {
    let mut config = client_config(settings);
    for producer_only in ["linger.ms", "compression.type", "compression.codec", "max.in.flight.requests.per.connection"]
    {
        config.remove(producer_only);
    }
    let refresh = "topic.metadata.refresh.interval.ms";
    if !settings.properties.contains_key(refresh) {
        // A topic that was deleted and made again is met when topics are looked at: after five minutes
        // with librdkafka's default.
        config.set(refresh, "5000");
    }
    config.set("group.id", group).set("enable.auto.commit", "false").set("enable.auto.offset.store", "false");
    config
}

/// For whoever consumes for long: each client made of it proves itself with what is in force then.
#[derive(Debug, Clone)]
pub struct ConsumerSettings {
    config: ClientConfig,
    credentials: Option<(String, Secret)>,
    pub renewals: Renewals,
}

impl ConsumerSettings {
    pub fn new(settings: &Settings, group: &str) -> Self {
        let (credentials, renewals) = (settings.credentials.clone(), settings.renewals.clone());
        Self { config: consumer_config(settings, group), credentials, renewals }
    }

    pub fn config(&self) -> ClientConfig {
        let mut config = self.config.clone();
        prove(&mut config, self.credentials.as_ref());
        config
    }
}

/// One that proves nothing, or has it in the properties.
impl From<ClientConfig> for ConsumerSettings {
    fn from(config: ClientConfig) -> Self {
        Self { config, credentials: None, renewals: Renewals::default() }
    }
}
