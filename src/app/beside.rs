//! The intake of a command, which takes texts in beside the process that serves, or without one.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{Config, Publish};
use crate::intake::Intake;
use crate::keyword::Live;
use crate::log::{Kafka, Log};
use crate::operations::Rerouter;
use crate::publish::Publisher;
use crate::store::Beside;
use crate::telemetry::Metrics;

use super::{StartError, audit, build_table, log, serve};

/// Where what a command takes in becomes durable.
pub(super) enum Way {
    Embedded(Beside),
    Cluster(Publisher),
}

/// Reads the routes in force and opens the way to the log.
pub(super) fn intake(config: &Config, clock: &Clock) -> Result<(Arc<Intake>, Way), StartError> {
    let metrics = Metrics::new();
    let table = build_table(config).map_err(StartError::Settings)?;
    let (log, way) = match &config.publish {
        Publish::Local { .. } => {
            let store = Beside::open(&config.data, &config.standing.sender_key)?;
            (Log::Beside(store.clone()), Way::Embedded(store))
        }
        Publish::Kafka { settings, .. } => {
            let source = config.standing.source.clone();
            let publisher = Publisher::start(settings.as_ref().clone(), source, metrics.clone())?;
            log::know(&publisher, &table);
            // The journal belongs to `serve`: what a topic does not take now is not taken.
            (Log::Kafka(Kafka::new(publisher.clone(), None)), Way::Cluster(publisher))
        }
    };
    Ok((serve::intake(config, &Live::new(table), log, clock, &metrics), way))
}

/// How long a text stays with its department, from its receipt.
pub(super) fn reach(config: &Config) -> Duration {
    match &config.publish {
        Publish::Local { feed_retention, .. } => *feed_retention,
        Publish::Kafka { topics, .. } => topics.retention,
    }
}

/// What moves a text to another department, for a command.
pub fn rerouter(config: &Config, clock: Clock) -> Result<Rerouter, StartError> {
    let (intake, _) = intake(config, &clock)?;
    Ok(Rerouter { audit: audit(config), intake, clock, reach: reach(config) })
}
