//! The durable log of the profile in force, opened before anything listens.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{self, Config, Publish};
use crate::keyword::{Live, Table};
use crate::log::{Journal, JournalSettings, Kafka, Log, Replay};
use crate::operations::{FeedSource, Service};
use crate::publish::{Publisher, TopicState};
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
    Kafka { kafka: Kafka, journal: Option<OpenJournal> },
}

/// The journal's writer and the task that empties it.
pub struct OpenJournal {
    store: Store,
    writer: Writer,
    replay: JoinHandle<()>,
    stop_replay: CancellationToken,
}

impl OpenLog {
    pub async fn open(config: &Config, routes: &Live, clock: &Clock, metrics: &Metrics) -> Result<Self, StartError> {
        let table = routes.load();
        match &config.publish {
            Publish::Local { queue_max, feed_retention, dead_letter_retention } => {
                let settings = store::Settings {
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
            Publish::Kafka { settings, journal, .. } => {
                let opened = match journal {
                    Some(journal) => Some(open_journal(config, journal, settings.in_flight_max, clock).await?),
                    None => None,
                };
                let (journal, files) = opened.unzip();
                let source = config.standing.source.clone();
                let publisher = Publisher::start(settings.as_ref().clone(), source, metrics.clone())?;
                know(&publisher, &table);
                let kafka = Kafka::new(publisher, journal);
                let journal = files.and_then(|files| OpenJournal::start(&kafka, files, routes, metrics));
                Ok(Self::Kafka { kafka, journal })
            }
        }
    }

    pub fn log(&self) -> Log {
        match self {
            Self::Embedded { store, .. } => Log::Embedded(store.clone()),
            Self::Kafka { kafka, .. } => Log::Kafka(kafka.clone()),
        }
    }

    pub fn feed(&self) -> FeedSource {
        match self {
            Self::Embedded { store, .. } => FeedSource::Embedded(store.clone()),
            Self::Kafka { .. } => FeedSource::Kafka,
        }
    }

    /// The embedded store, where it is the log.
    pub fn embedded(&self) -> Option<Store> {
        match self {
            Self::Embedded { store, .. } => Some(store.clone()),
            Self::Kafka { .. } => None,
        }
    }

    pub fn publisher(&self) -> Option<Publisher> {
        match self {
            Self::Embedded { .. } => None,
            Self::Kafka { kafka, .. } => Some(kafka.publisher().clone()),
        }
    }

    /// The embedded store, where there is one: what has outlived its time must leave its files.
    pub fn store(&self) -> Option<&Store> {
        match self {
            Self::Embedded { store, .. } => Some(store),
            Self::Kafka { journal, .. } => journal.as_ref().map(|journal| &journal.store),
        }
    }

    /// How many texts wait in the journal; `None` where there is none.
    pub fn journalled(&self) -> Option<u64> {
        let Self::Kafka { kafka, .. } = self else { return None };
        Some(kafka.journal()?.messages())
    }

    /// What takes texts and whether it does, for `/readyz?verbose`.
    pub fn services(&self) -> impl Fn() -> Vec<Service> + Send + Sync + 'static {
        let publisher = self.publisher();
        let name = if publisher.is_none() { "embedded store" } else { "journal" };
        let trouble = self.store().map(Store::trouble);
        move || {
            let topics = publisher.as_ref().map(Publisher::states).unwrap_or_default();
            let store = trouble.as_ref().map(|trouble| {
                let note = trouble.borrow().as_ref().map(ToString::to_string);
                Service { name: name.to_owned(), up: note.is_none(), note }
            });
            store.into_iter().chain(topics.into_iter().map(service)).collect()
        }
    }

    /// Waits until nothing is on its way any more.
    pub async fn close(self) {
        match self {
            Self::Embedded { store, writer } => {
                drop(store);
                writer.close().await;
            }
            Self::Kafka { kafka, journal } => {
                if let Some(journal) = &journal {
                    journal.stop_replay.cancel();
                }
                kafka.finish().await;
                let publisher = kafka.publisher().clone();
                let _ = tokio::task::spawn_blocking(move || publisher.flush(FLUSH_TIMEOUT)).await;
                if let Some(OpenJournal { store, writer, replay, .. }) = journal {
                    let _ = replay.await;
                    tell_left(&kafka);
                    drop((kafka, store));
                    writer.close().await;
                }
            }
        }
    }
}

/// The last word of a process that leaves texts behind, for whoever looks at its log then.
fn tell_left(kafka: &Kafka) {
    match kafka.journal().map_or(0, Journal::messages) {
        0 => {}
        texts => tracing::warn!(
            texts,
            "texts stay in the journal: keep its volume until `serve` runs on it again, or `journal replay`"
        ),
    }
}

/// A topic's line for `/readyz?verbose`.
fn service(topic: TopicState) -> Service {
    let state = topic.breaker.label();
    let note = topic.away.map(|away| format!("breaker {state}, on the quarantine producer for {} s", away.as_secs()));
    Service { name: topic.name.to_string(), up: topic.away.is_none(), note }
}

impl OpenJournal {
    fn start(kafka: &Kafka, (store, writer): (Store, Writer), routes: &Live, metrics: &Metrics) -> Option<Self> {
        let stop_replay = CancellationToken::new();
        let (kafka, journal) = (kafka.clone(), kafka.journal()?.clone());
        let replay = Replay { kafka, journal, routes: routes.clone(), metrics: metrics.clone() };
        Some(Self { store, writer, replay: tokio::spawn(replay.run(stop_replay.clone())), stop_replay })
    }
}

/// The embedded store as the journal behind Kafka.
async fn open_journal(
    config: &Config,
    journal: &config::Journal,
    in_flight_max: usize,
    clock: &Clock,
) -> Result<(Journal, (Store, Writer)), StartError> {
    let settings = store::Settings {
        // Whatever is in flight may have to go there at once.
        queue_max: in_flight_max,
        batch_max: BATCH_MAX,
        journal_bytes_max: journal.bytes_max,
        journal_age_max: journal.age_max,
        ..store::Settings::of(&config.data)
    };
    let (store, writer) = Store::open(settings, config.standing.sender_key.clone(), clock.clone())?;
    let settings = JournalSettings { patience: journal.after, bytes_max: journal.bytes_max, age_max: journal.age_max };
    Ok((Journal::open(store.clone(), settings, clock.clone()).await?, (store, writer)))
}

/// Makes room for the topics that a table names.
pub fn know(publisher: &Publisher, table: &Table) {
    let topics = table.departments().iter().map(|department| (department.name.as_str(), department.topic()));
    let topics: Vec<_> = topics.collect();
    publisher.know(topics.iter().map(|(name, topic)| (*name, topic.as_str())));
}
