//! The task that reads secrets again when their files change: a rotated password or token needs no restart.
//!
//! Whoever holds a secret has the new one with the next comparison; Kafka's clients are replaced one after the other
//! (`publish`), and a CQL session asks for the password with each connection it makes. The key of the senders is no
//! secret of that kind: ids and orders are made with it, so it changes with a restart only.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, Problem, Stamps};
use crate::telemetry::Metrics;

use super::disk::{Disk, Late};

/// How often the files are looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Keys of what changes with a restart only.
const SENDER_KEYS: [&str; 2] = ["archive.sender_key", "archive.previous_sender_keys"];

/// Keeps secrets as their files have them, until `stop`.
pub fn watch(config: &Arc<Config>, metrics: &Metrics, tasks: &TaskTracker, stop: &CancellationToken) {
    metrics.secrets_last_reload_successful.set(1);
    let keeper = Keeper { config: config.clone(), metrics: metrics.clone(), disk: Disk::default() };
    let stop = stop.clone();
    tasks.spawn(async move {
        stop.run_until_cancelled(keeper.keep_current()).await;
    });
}

struct Keeper {
    config: Arc<Config>,
    metrics: Metrics,
    disk: Disk,
}

impl Keeper {
    async fn keep_current(&self) {
        let mut seen = self.ask(|config| config.stamps()).await;
        let mut last_look = seen.clone();
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let Some(now) = self.ask(|config| config.stamps()).await else { continue };
            // One that is still being written changes between two looks.
            let rests = last_look.replace(now.clone()).is_some_and(|before| before == now);
            let Some(before) = seen.clone() else {
                seen = Some(now);
                continue;
            };
            if rests && now != before && self.renew(before, now.clone()).await {
                seen = Some(now);
            }
        }
    }

    /// Whether it is settled, one way or the other.
    async fn renew(&self, before: Stamps, now: Stamps) -> bool {
        let read = move |config: &Config| {
            let changed = config.renew_secrets(&before, &now)?;
            Ok::<Vec<String>, Vec<Problem>>(changed.into_iter().map(str::to_owned).collect())
        };
        match self.ask(read).await {
            None => return false,
            Some(Ok(changed)) => {
                self.metrics.secrets_last_reload_successful.set(1);
                tell(&changed);
            }
            Some(Err(problems)) => {
                self.metrics.secrets_last_reload_successful.set(0);
                for problem in problems {
                    tracing::error!(%problem, "new secrets refused, those before stay in force");
                }
            }
        }
        true
    }

    async fn ask<T: Send + 'static>(&self, question: impl FnOnce(&Config) -> T + Send + 'static) -> Option<T> {
        let config = self.config.clone();
        match self.disk.ask(move || question(&config)).await {
            Ok(answer) => Some(answer),
            Err(Late) => {
                self.metrics.secrets_last_reload_successful.set(0);
                let seconds = self.disk.patience().as_secs();
                tracing::error!(seconds, "the secrets' file system does not answer; those before stay in force");
                None
            }
        }
    }
}

fn tell(changed: &[String]) {
    let (waiting, live): (Vec<&str>, Vec<&str>) =
        changed.iter().map(String::as_str).partition(|key| SENDER_KEYS.contains(key));
    if !live.is_empty() {
        tracing::info!(keys = %live.join(" "), "new secrets are in force");
    }
    if !waiting.is_empty() {
        tracing::warn!(keys = %waiting.join(" "), "a new key of the senders waits for a restart: ids are made with it");
    }
}
