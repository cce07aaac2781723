//! The life of `archive run`: topics → audit copies.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::archiver;
use crate::clock::Clock;
use crate::config::{Archive, Config, Publish};
use crate::consume::ConsumeError;
use crate::keyword::Live;
use crate::operations::{self, Health, Service};
use crate::publish::{self, Publisher, TopicAdmin};
use crate::telemetry::{Latches, Metrics};

use super::reload::{Reloader, first_table};
use super::{Reload, StartError, listeners, reconcile, secrets, tell_warnings};

/// A running `archive run`.
pub struct ArchiveInstance {
    pub monitoring: SocketAddr,
    pub reload: Reload,
    pub metrics: Metrics,
    worker: JoinHandle<Result<(), ConsumeError>>,
    stop_worker: CancellationToken,
    end: CancellationToken,
    tasks: TaskTracker,
    latches: Latches,
}

impl ArchiveInstance {
    pub async fn start(config: Config, clock: Clock) -> Result<Self, StartError> {
        let (metrics, latches) = (Metrics::new(), Latches::default());
        let config = Arc::new(config);
        let (Publish::Kafka { settings: kafka, .. }, Archive::Cql { settings: cql, group }) =
            (&config.publish, &config.archive)
        else {
            return Err(StartError::NoArchiveToRun);
        };
        tell_warnings(&config);
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let (built_from, table) = first_table(&config).await?;
        let monitoring = listeners::open("monitoring", &config.monitoring)?;
        let address = monitoring.bound.address();
        let (stop_worker, end, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let settings = archiver::Settings::new(publish::ConsumerSettings::new(kafka, group));
        let admin = Arc::new(TopicAdmin::new(kafka)?);
        let (topics, consumed) = watch::channel(Vec::new());
        let routes = Live::new(table);
        secrets::watch(&config, &metrics, &tasks, &end);
        reconcile::watch(&config, &routes, &clock, &metrics, &tasks, &end);
        let reloader = Reloader {
            config: config.clone(),
            routes,
            metrics: metrics.clone(),
            kafka: Some((admin, None)),
            departments: None,
            built_from,
            topics,
        };
        let (reload, reloading) = reloader.start(end.clone());
        tasks.spawn(reloading);
        let worker = tokio::spawn(archiver::run(
            settings,
            archiver::Parts {
                store: cql.as_ref().clone(),
                publisher: Publisher::start(kafka.as_ref().clone(), config.standing.source.clone(), metrics.clone())?,
                topics: consumed,
                sender_key: config.standing.sender_key.clone(),
                clock,
                metrics: metrics.clone(),
                ready: latches.latch("first contact with the brokers"),
                shutdown: stop_worker.clone(),
            },
        ));
        let services = || Vec::<Service>::new();
        let health =
            Arc::new(Health { latches: latches.clone(), metrics: metrics.clone(), services: Arc::new(services) });
        let answer = move |request, _| operations::monitoring(health.clone(), request);
        tasks.spawn(monitoring.watch(&tasks, &end, &metrics).serve(answer, metrics.clone(), end.clone()));
        Ok(Self { monitoring: address, reload, metrics, worker, stop_worker, end, tasks, latches })
    }

    /// Resolves when the worker ends by itself, which is a failure.
    pub async fn failed(&mut self) -> Result<(), StartError> {
        flatten((&mut self.worker).await)
    }

    /// Stops consuming, finishes the copies at hand, commits, leaves the group.
    pub async fn stop(self) -> Result<(), StartError> {
        self.latches.drain();
        self.stop_worker.cancel();
        let result = flatten(self.worker.await);
        self.end.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        result
    }
}

fn flatten(joined: Result<Result<(), ConsumeError>, tokio::task::JoinError>) -> Result<(), StartError> {
    match joined {
        Ok(result) => result.map_err(StartError::from),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
