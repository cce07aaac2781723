//! An orphaned journal emptied: the folder of a process that is gone, its texts to their topics.

use std::time::Duration;

use crate::clock::Clock;
use crate::config::Config;
use crate::keyword::Live;
use crate::telemetry::Metrics;

use super::log::OpenLog;
use super::{StartError, build_table};

/// Between two looks at what is left.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// What a replay came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Emptied {
    pub published: u64,
    /// Still in the journal when the patience ended.
    pub left: u64,
}

/// Publishes what waits in the journal of `config.data`, for as long as `patience`. Takes the folder's
/// lock, so no `serve` may use it. Errors: those of a start; `NoJournal` without one in the settings.
pub async fn empty_journal(config: &Config, clock: &Clock, patience: Duration) -> Result<Emptied, StartError> {
    let table = build_table(config).map_err(StartError::Settings)?;
    let log = OpenLog::open(config, &Live::new(table), clock, &Metrics::new()).await?;
    let Some(before) = log.journalled() else {
        log.close().await;
        return Err(StartError::NoJournal);
    };
    let emptied = async {
        while log.journalled() != Some(0) {
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    // Out of patience is an outcome like the other: what is left is told.
    let _ = tokio::time::timeout(patience, emptied).await;
    let left = log.journalled().unwrap_or(0);
    log.close().await;
    Ok(Emptied { published: before.saturating_sub(left), left })
}
