//! Where `reconcile` finds its evidence in the profile in force, and its task in a running process.

use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::{Archive, Config, Publish};
use crate::keyword::Live;
use crate::publish;
use crate::reconcile::{Cluster, Embedded, Judge, Watch};
use crate::telemetry::Metrics;

/// The group whose commits are asked for where no archive is kept: nobody's.
const NO_GROUP: &str = "sms-router-reconcile";

/// What the settings and the routes name: also for the command.
pub fn judge(config: &Config, routes: &Live) -> Judge {
    let ids_max = config.reconcile.ids_max;
    match &config.publish {
        Publish::Local { feed_retention, .. } => {
            Judge::Embedded(Embedded { folder: config.data.clone(), feed_retention: *feed_retention, ids_max })
        }
        Publish::Kafka { settings, topics, .. } => {
            let (archive, group) = match &config.archive {
                Archive::Local => (None, NO_GROUP),
                Archive::Cql { settings, group } => (Some(settings.as_ref().clone()), group.as_str()),
            };
            Judge::Cluster(Box::new(Cluster {
                consumer: publish::ConsumerSettings::new(settings, group),
                routes: routes.clone(),
                retention: topics.retention,
                archive,
                journal: config.data.clone(),
                origin: config.standing.source.origin.to_string(),
                ids_max,
                connected: OnceCell::new(),
            }))
        }
    }
}

/// Judges closed hours until `stop`, if the settings want that.
pub(super) fn watch(
    config: &Config,
    routes: &Live,
    clock: &Clock,
    metrics: &Metrics,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    if let Some(every) = config.reconcile.every {
        let watch = Watch::new(judge(config, routes), metrics.clone(), clock.clone(), every);
        tasks.spawn(watch.run(stop.clone()));
    }
}
