//! Topics as an operator sees them: made by `setup`, held against their promises while running.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, ConfigSource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaErrorCode;

use super::client::{Settings, Term, client_config};
use super::context::Calm;

/// Time for one question to the brokers.
const ADMIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How long changed settings may take to show, and between two looks.
const SETTLE_MAX: Duration = Duration::from_secs(5);
const SETTLE_LOOK: Duration = Duration::from_millis(50);
/// What a broker says that rdkafka does not hand on.
const REFUSED: KafkaError = KafkaError::AdminOp(RDKafkaErrorCode::TopicAuthorizationFailed);

/// What every department's topic is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TopicSettings {
    pub partitions: i32,
    pub replication: i32,
    pub min_insync_replicas: i32,
    pub retention: Duration,
}

impl TopicSettings {
    /// The broker's own names and values. Deletion, never compaction: compaction would erase a
    /// sender's earlier texts.
    pub fn properties(&self) -> [(&'static str, String); 3] {
        [
            ("cleanup.policy", "delete".to_owned()),
            ("min.insync.replicas", self.min_insync_replicas.to_string()),
            ("retention.ms", self.retention.as_millis().to_string()),
        ]
    }
}

/// What `setup` did to one topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Created,
    /// The settings that were changed.
    Altered(Vec<&'static str>),
    AlreadyRight,
    /// Partitions or replication differ, which `setup` leaves to the operator.
    Differs(String),
}

/// A promise that a topic as it is does not keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TopicFault {
    Missing,
    Replication,
    MinInsyncReplicas,
    CleanupPolicy,
    Retention,
}

impl TopicFault {
    pub const ALL: [Self; 5] =
        [Self::Missing, Self::Replication, Self::MinInsyncReplicas, Self::CleanupPolicy, Self::Retention];

    /// The word for it in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Replication => "replication",
            Self::MinInsyncReplicas => "min_insync_replicas",
            Self::CleanupPolicy => "cleanup_policy",
            Self::Retention => "retention",
        }
    }
}

/// Questions and orders to the brokers about topics.
pub struct TopicAdmin {
    settings: Settings,
    clients: ArcSwap<Clients>,
}

struct Clients {
    admin: AdminClient<Calm>,
    metadata: BaseConsumer<Calm>,
    /// Of what they prove themselves with.
    term: Term,
}

impl Clients {
    fn new(settings: &Settings) -> Result<Self, KafkaError> {
        let term = settings.renewals.term();
        let mut config = client_config(settings);
        config.set("client.id", "sms-router-admin");
        let context = Calm::default();
        let (admin, metadata) = (config.create_with_context(context.clone())?, config.create_with_context(context)?);
        Ok(Self { admin, metadata, term })
    }
}

impl TopicAdmin {
    pub fn new(settings: &Settings) -> Result<Self, KafkaError> {
        Ok(Self { settings: settings.clone(), clients: ArcSwap::from_pointee(Clients::new(settings)?) })
    }

    /// Those there are, or others where these have a password of before.
    fn clients(&self) -> Result<Arc<Clients>, KafkaError> {
        let clients = self.clients.load_full();
        if !clients.term.is_over() {
            return Ok(clients);
        }
        let new = Arc::new(Clients::new(&self.settings)?);
        let old = self.clients.swap(new.clone());
        // Its end takes a moment, which no thread of the runtime has; without a thread it ends here.
        let _ = std::thread::Builder::new().name("kafka-admin".to_owned()).spawn(move || drop((clients, old)));
        Ok(new)
    }

    /// Which of the topics the cluster has, with partitions and replication. Blocks up to `timeout`.
    pub fn existing(&self, timeout: Duration) -> Result<HashMap<String, (usize, usize)>, KafkaError> {
        let metadata: Metadata = self.clients()?.metadata.fetch_metadata(None, timeout)?;
        let shape = |topic: &rdkafka::metadata::MetadataTopic| {
            let replicas = topic.partitions().iter().map(|partition| partition.replicas().len()).min();
            (topic.name().to_owned(), (topic.partitions().len(), replicas.unwrap_or(0)))
        };
        Ok(metadata.topics().iter().filter(|topic| !topic.partitions().is_empty()).map(shape).collect())
    }

    /// Makes what is missing and sets what differs. Safe to run again.
    pub async fn ensure(&self, topic: &str, wanted: &TopicSettings) -> Result<Change, KafkaError> {
        match self.create(topic, wanted).await? {
            true => Ok(Change::Created),
            false => self.align(topic, wanted).await,
        }
    }

    async fn create(&self, topic: &str, wanted: &TopicSettings) -> Result<bool, KafkaError> {
        let properties = wanted.properties();
        let mut new = NewTopic::new(topic, wanted.partitions, TopicReplication::Fixed(wanted.replication));
        for (name, value) in &properties {
            new = new.set(name, value);
        }
        let results = self.clients()?.admin.create_topics([&new], &options()).await?;
        match results.into_iter().next() {
            Some(Ok(_)) => Ok(true),
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
            Some(Err((_, code))) => Err(KafkaError::AdminOp(code)),
            None => Err(KafkaError::AdminOp(RDKafkaErrorCode::Fail)),
        }
    }

    async fn align(&self, topic: &str, wanted: &TopicSettings) -> Result<Change, KafkaError> {
        let (current, own) = self.describe(topic).await?;
        let properties = wanted.properties();
        let differing: Vec<&'static str> = properties
            .iter()
            .filter(|(name, value)| current.get(*name) != Some(value))
            .map(|(name, _)| *name)
            .collect();
        if !differing.is_empty() {
            // This request replaces all of a topic's own settings, so those of others are sent along.
            let mut all = own;
            all.extend(properties.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
            let mut alter = AlterConfig::new(ResourceSpecifier::Topic(topic));
            for (name, value) in &all {
                alter = alter.set(name, value);
            }
            for result in self.clients()?.admin.alter_configs([&alter], &options()).await? {
                result.map_err(|(_, code)| KafkaError::AdminOp(code))?;
            }
            self.is_as_told(topic, &properties).await?;
            return Ok(Change::Altered(differing));
        }
        let existing = self.existing(ADMIN_TIMEOUT)?;
        let (partitions, replication) = existing.get(topic).copied().unwrap_or_default();
        let as_wanted = partitions == usize::try_from(wanted.partitions).unwrap_or(0)
            && replication == usize::try_from(wanted.replication).unwrap_or(0);
        Ok(if as_wanted {
            Change::AlreadyRight
        } else {
            Change::Differs(format!(
                "has {partitions} partitions and replication {replication}, settings say {} and {}; change it with Kafka's own tools",
                wanted.partitions, wanted.replication
            ))
        })
    }

    /// Waits until a topic has the settings that it was told: rdkafka calls it a success when the broker has refused them,
    /// and a broker may hear of them a moment later than the controller.
    async fn is_as_told(&self, topic: &str, told: &[(&'static str, String)]) -> Result<(), KafkaError> {
        let end = Instant::now() + SETTLE_MAX;
        loop {
            let (current, _) = self.describe(topic).await?;
            if told.iter().all(|(name, value)| current.get(*name) == Some(value)) {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(REFUSED);
            }
            tokio::time::sleep(SETTLE_LOOK).await;
        }
    }

    /// All values in force, and those that are the topic's own.
    async fn describe(&self, topic: &str) -> Result<(BTreeMap<String, String>, BTreeMap<String, String>), KafkaError> {
        let results = self.clients()?.admin.describe_configs([&ResourceSpecifier::Topic(topic)], &options()).await?;
        let resource = results
            .into_iter()
            .next()
            .ok_or(KafkaError::AdminOp(RDKafkaErrorCode::Fail))?
            .map_err(KafkaError::AdminOp)?;
        // rdkafka passes over what a broker says of a single topic; every topic that may be looked at has settings.
        if resource.entries.is_empty() {
            return Err(REFUSED);
        }
        let (mut all, mut own) = (BTreeMap::new(), BTreeMap::new());
        for entry in resource.entries {
            let Some(value) = entry.value else { continue };
            if matches!(entry.source, ConfigSource::DynamicTopic) {
                own.insert(entry.name.clone(), value.clone());
            }
            all.insert(entry.name, value);
        }
        Ok((all, own))
    }

    /// The promises that the topic does not keep. Being refused the look at its settings is an
    /// error of its own and no fault of the topic.
    pub async fn faults(
        &self,
        topic: &str,
        wanted: &TopicSettings,
        existing: &HashMap<String, (usize, usize)>,
    ) -> Result<Vec<TopicFault>, KafkaError> {
        let Some((_, replication)) = existing.get(topic) else { return Ok(vec![TopicFault::Missing]) };
        let mut faults = Vec::new();
        if i32::try_from(*replication).unwrap_or(0) < wanted.replication {
            faults.push(TopicFault::Replication);
        }
        let (current, _) = self.describe(topic).await?;
        let number = |name: &str| current.get(name).and_then(|value| value.parse::<i128>().ok());
        if number("min.insync.replicas").is_some_and(|count| count < i128::from(wanted.min_insync_replicas)) {
            faults.push(TopicFault::MinInsyncReplicas);
        }
        if current.get("cleanup.policy").is_some_and(|policy| policy != "delete") {
            faults.push(TopicFault::CleanupPolicy);
        }
        let wanted_retention = i128::try_from(wanted.retention.as_millis()).unwrap_or(i128::MAX);
        if number("retention.ms").is_some_and(|kept| kept >= 0 && kept < wanted_retention) {
            faults.push(TopicFault::Retention);
        }
        Ok(faults)
    }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(ADMIN_TIMEOUT)).operation_timeout(Some(ADMIN_TIMEOUT))
}

impl rdkafka::consumer::ConsumerContext for Calm {}
