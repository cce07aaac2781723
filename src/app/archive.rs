//! `archive run`: topics → audit copies.

use std::sync::Arc;

use crate::archiver;
use crate::clock::Clock;
use crate::config::{Archive, Config, Publish};
use crate::publish::{ConsumerSettings, Publisher};

use super::worker::Worker;
use super::{StartError, reconcile};

impl Worker {
    /// Copies what is published into the archive.
    pub async fn archive(config: Config, clock: Clock) -> Result<Self, StartError> {
        let config = Arc::new(config);
        let (Publish::Kafka { settings: kafka, .. }, Archive::Cql { settings: cql, group }) =
            (&config.publish, &config.archive)
        else {
            return Err(StartError::NoArchiveToRun);
        };
        let (mut worker, monitoring) = Self::begin(&config, kafka, None).await?;
        let metrics = worker.metrics.clone();
        reconcile::watch(&config, &worker.routes, &clock, &metrics, &worker.tasks, &worker.end);
        let parts = archiver::Parts {
            store: cql.as_ref().clone(),
            publisher: Publisher::start(kafka.as_ref().clone(), config.standing.source.clone(), metrics.clone())?,
            topics: worker.topics.clone(),
            sender_key: config.standing.sender_key.clone(),
            clock,
            metrics,
            ready: worker.latches.latch("first contact with the brokers"),
            shutdown: worker.stop_consumers.clone(),
        };
        let settings = archiver::Settings::new(ConsumerSettings::new(kafka, group));
        worker.consumers.spawn(archiver::run(settings, parts));
        Ok(worker.serve(monitoring))
    }
}
