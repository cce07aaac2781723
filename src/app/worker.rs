//! The life of a process that works topics off: what `archive run` and `deliver run` have in common.
//!
//! Comes in: settings that name Kafka. Goes out: routes that are followed, live secrets, the monitoring listener; what
//! consumes is added to it.
//! Always true: health is told to anybody only once all that it depends on is known.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::consume::ConsumeError;
use crate::keyword::Live;
use crate::message::DepartmentName;
use crate::operations::{self, Health, Service};
use crate::publish::{self, TopicAdmin};
use crate::telemetry::{Latches, Metrics};

use super::delivering::OpenLanes;
use super::reload::{Reloader, first_table};
use super::{Reload, StartError, listeners, secrets, tell_warnings};

/// A running `archive run` or `deliver run`.
pub struct Worker {
    pub reload: Reload,
    pub(super) metrics: Metrics,
    pub(super) routes: Live,
    /// The topics of the routes in force, after each reload.
    pub(super) topics: watch::Receiver<Vec<String>>,
    pub(super) latches: Latches,
    pub(super) consumers: JoinSet<Result<(), ConsumeError>>,
    pub(super) stop_consumers: CancellationToken,
    /// Of `deliver run`.
    pub(super) lanes: Option<OpenLanes>,
    pub(super) tasks: TaskTracker,
    pub(super) end: CancellationToken,
}

impl Worker {
    /// All but what consumes. `departments` are those whose topics matter; `None` for all. The listener is to be
    /// served at the end of the start.
    pub(super) async fn begin(
        config: &Arc<Config>,
        kafka: &publish::Settings,
        departments: Option<BTreeSet<DepartmentName>>,
    ) -> Result<(Self, listeners::Opened), StartError> {
        let (metrics, latches) = (Metrics::new(), Latches::default());
        tell_warnings(config);
        metrics.build_info.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let (built_from, table) = first_table(config).await?;
        let monitoring = listeners::open("monitoring", &config.monitoring, false)?;
        let (stop_consumers, end, tasks) = (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let admin = Arc::new(TopicAdmin::new(kafka)?);
        let routes = Live::new(table);
        secrets::watch(config, &metrics, &tasks, &end);
        let (named, topics) = watch::channel(Vec::new());
        let reloader = Reloader {
            config: config.clone(),
            routes: routes.clone(),
            metrics: metrics.clone(),
            kafka: Some((admin, None)),
            departments,
            built_from,
            topics: named,
        };
        let (reload, reloading) = reloader.start(end.clone());
        tasks.spawn(reloading);
        let (consumers, lanes) = (JoinSet::new(), None);
        let worker = Self { reload, metrics, routes, topics, latches, consumers, stop_consumers, lanes, tasks, end };
        Ok((worker, monitoring))
    }

    pub(super) fn serve(self, monitoring: listeners::Opened) -> Self {
        let services = || Vec::<Service>::new();
        let (latches, metrics) = (self.latches.clone(), self.metrics.clone());
        let health = Arc::new(Health { latches, metrics, services: Arc::new(services) });
        let answer = move |request, _| operations::monitoring(health.clone(), request);
        let listener = monitoring.watch(&self.tasks, &self.end, &self.metrics);
        self.tasks.spawn(listener.serve(answer, self.metrics.clone(), self.end.clone()));
        self
    }

    /// Resolves when a consumer ends by itself, which is a failure.
    pub async fn failed(&mut self) -> Result<(), StartError> {
        self.consumers.join_next().await.map_or(Ok(()), flatten)
    }

    /// Stops reading, ends what is on its way, commits, leaves the groups.
    pub async fn stop(mut self) -> Result<(), StartError> {
        self.latches.drain();
        // First: what lanes then let go of is no defect.
        self.stop_consumers.cancel();
        if let Some(lanes) = self.lanes.take() {
            lanes.stop().await;
        }
        let mut result = Ok(());
        while let Some(ended) = self.consumers.join_next().await {
            result = result.and(flatten(ended));
        }
        self.end.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        result
    }
}

fn flatten(joined: Result<Result<(), ConsumeError>, JoinError>) -> Result<(), StartError> {
    match joined {
        Ok(result) => result.map_err(StartError::from),
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
