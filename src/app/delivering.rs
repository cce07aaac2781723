//! Lanes over the log that is open, and in the standalone profile what feeds them from the embedded one.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::Config;
use crate::deliver::{self, Channel, Lanes};
use crate::keyword::{Live, Table};
use crate::log::Log;
use crate::telemetry::Metrics;

use super::StartError;
use super::log::OpenLog;

/// The lanes of a process and what ends them.
pub struct OpenLanes {
    pub lanes: Arc<Lanes>,
    pub tasks: TaskTracker,
    /// Ends lanes, and what feeds them where that is here.
    pub stop: CancellationToken,
}

impl OpenLanes {
    pub fn open(config: &Config, log: Log, clock: &Clock, metrics: &Metrics) -> Result<Self, StartError> {
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let parts = deliver::Parts {
            log,
            source: config.standing.source.clone(),
            sender_key: config.standing.sender_key.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            tasks: tasks.clone(),
            stop: stop.clone(),
        };
        Ok(Self { lanes: Arc::new(Lanes::start(&config.deliver.settings, &parts)?), tasks, stop })
    }

    /// Ends what is on its way, lets go of the rest, and waits for the last of it.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Says which departments of the settings no text can reach now.
pub fn tell_unnamed(lanes: &Lanes, channel: Channel, table: &Table) {
    for (department, _) in lanes.of(channel).filter(|(department, _)| table.topic(department).is_none()) {
        let channel = channel.label();
        tracing::warn!(%department, channel, "the routes name no such department: nothing new is delivered to it");
    }
}

/// Mails and pushes of `serve`: where the log is the embedded one, for else `deliver run` does it.
pub fn start(
    config: &Config,
    log: &OpenLog,
    routes: &Live,
    clock: &Clock,
    metrics: &Metrics,
) -> Result<Option<OpenLanes>, StartError> {
    let Some(store) = log.embedded() else { return Ok(None) };
    let open = OpenLanes::open(config, log.log(), clock, metrics)?;
    Channel::ALL.into_iter().for_each(|channel| tell_unnamed(&open.lanes, channel, &routes.load()));
    let source = deliver::embedded::Source {
        store,
        source: config.standing.source.clone(),
        clock: clock.clone(),
        metrics: metrics.clone(),
        stop: open.stop.clone(),
    };
    open.tasks.spawn(deliver::embedded::run(open.lanes.clone(), source));
    Ok(Some(open))
}
