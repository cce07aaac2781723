//! The durable log of the profile in force, opened before anything listens.

use std::time::Duration;

use crate::clock::Clock;
use crate::config::{Config, Publish};
use crate::keyword::Table;
use crate::log::Log;
use crate::operations::{FeedSource, Service};
use crate::publish::Publisher;
use crate::store::{self, Store, Writer};
use crate::telemetry::Metrics;

use super::StartError;

/// Events in one transaction of the embedded store.
const BATCH_MAX: usize = 1_000;
/// Longest wait for records still in the producers at shutdown.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// The open log and what ends it.
pub enum OpenLog {
    Embedded { store: Store, writer: Writer },
    Kafka { publisher: Publisher },
}

impl OpenLog {
    pub fn open(config: &Config, table: &Table, clock: &Clock, metrics: &Metrics) -> Result<Self, StartError> {
        match &config.publish {
            Publish::Local { queue_max, feed_retention, dead_letter_retention } => {
                let settings = store::Settings {
                    folder: config.data.clone(),
                    queue_max: *queue_max,
                    batch_max: BATCH_MAX,
                    feed_retention: *feed_retention,
                    dead_letter_retention: *dead_letter_retention,
                    ..store::Settings::of(&config.data)
                };
                let (store, writer) = Store::open(settings, config.standing.sender_key.clone(), clock.clone())?;
                for department in table.departments() {
                    metrics.department_up.with_label_values(&[department.name.as_str()]).set(1);
                }
                Ok(Self::Embedded { store, writer })
            }
            Publish::Kafka { settings, .. } => {
                let source = config.standing.source.clone();
                let publisher = Publisher::start(settings.as_ref().clone(), source, metrics.clone())?;
                know(&publisher, table);
                Ok(Self::Kafka { publisher })
            }
        }
    }

    pub fn log(&self) -> Log {
        match self {
            Self::Embedded { store, .. } => Log::Embedded(store.clone()),
            Self::Kafka { publisher } => Log::Kafka(publisher.clone()),
        }
    }

    pub fn feed(&self) -> FeedSource {
        match self {
            Self::Embedded { store, .. } => FeedSource::Embedded(store.clone()),
            Self::Kafka { .. } => FeedSource::Kafka,
        }
    }

    pub fn publisher(&self) -> Option<Publisher> {
        match self {
            Self::Embedded { .. } => None,
            Self::Kafka { publisher } => Some(publisher.clone()),
        }
    }

    /// What takes texts and whether it does, for `/readyz?verbose`.
    pub fn services(&self) -> impl Fn() -> Vec<Service> + Send + Sync + 'static {
        let publisher = self.publisher();
        move || match &publisher {
            None => vec![Service { name: "embedded store".to_owned(), up: true }],
            Some(publisher) => {
                publisher.states().into_iter().map(|(topic, up)| Service { name: topic.to_string(), up }).collect()
            }
        }
    }

    /// Waits until nothing is on its way any more.
    pub async fn close(self) {
        match self {
            Self::Embedded { store, writer } => {
                drop(store);
                writer.close().await;
            }
            Self::Kafka { publisher } => {
                let _ = tokio::task::spawn_blocking(move || publisher.flush(FLUSH_TIMEOUT)).await;
            }
        }
    }
}

/// Makes room for the topics that a table names.
pub fn know(publisher: &Publisher, table: &Table) {
    let topics = table.departments().iter().map(|department| (department.name.as_str(), department.topic()));
    let topics: Vec<_> = topics.collect();
    publisher.know(topics.iter().map(|(name, topic)| (*name, topic.as_str())));
}
