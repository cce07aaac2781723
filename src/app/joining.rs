//! The worker that joins long texts, beside the doors of `serve`.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{Config, Publish};
use crate::intake::Intake;
use crate::joiner::{self, Source, Tools};
use crate::publish::ConsumerSettings;
use crate::telemetry::Metrics;

use super::log::OpenLog;

/// How long it may take to end what is under way and to leave its group, which takes seconds while it is
/// still joining. Whatever it leaves undone the next reader of the stream does.
const PATIENCE: Duration = Duration::from_secs(1);

pub struct Joining {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Joining {
    pub fn start(config: &Config, intake: &Arc<Intake>, log: &OpenLog, clock: &Clock, metrics: &Metrics) -> Self {
        let source = match (log, &config.publish) {
            (OpenLog::Embedded { store, .. }, _) => Source::Embedded(store.clone()),
            (OpenLog::Kafka { .. }, Publish::Kafka { settings, .. }) => {
                Source::Kafka(Box::new(ConsumerSettings::new(settings, &config.joiner.group)))
            }
            (OpenLog::Kafka { .. }, Publish::Local { .. }) => unreachable!("the log is opened as the settings say"),
        };
        let stop = CancellationToken::new();
        let tools = Tools {
            intake: intake.clone(),
            log: log.log(),
            sender_key: config.standing.sender_key.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            stop: stop.clone(),
        };
        Self { task: tokio::spawn(joiner::run(config.joiner.clone(), source, tools)), stop }
    }

    /// Stops reading and ends what is under way.
    pub async fn stop(self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(PATIENCE, self.task).await;
    }
}
