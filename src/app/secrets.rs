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

use super::disk::{Disk, Late, Looks};

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
        let mut looks = Looks::new(self.config.stamps_in_force());
        // Of the last try, so that each is told once.
        let mut problems = Vec::new();
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let Some(now) = self.ask(|config| config.stamps()).await else { continue };
            if now == *looks.in_force() {
                problems.clear();
            }
            if looks.are_new(now) && self.renew(&mut looks, &mut problems).await.is_err() {
                continue;
            }
            self.metrics.secrets_last_reload_successful.set(i64::from(problems.is_empty()));
        }
    }

    async fn renew(&self, looks: &mut Looks<Stamps>, problems: &mut Vec<Problem>) -> Result<(), Late> {
        let in_force = looks.in_force().clone();
        let read = move |config: &Config| {
            let (changed, read) = config.renew_secrets(&in_force)?;
            Ok::<_, Vec<Problem>>((changed.into_iter().map(str::to_owned).collect::<Vec<_>>(), read))
        };
        match self.ask(read).await.ok_or(Late)? {
            Ok((changed, read)) => {
                looks.were_taken(read);
                problems.clear();
                tell(&changed);
            }
            Err(found) => tell_of(problems, found),
        }
        Ok(())
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

/// Says what has not been said.
fn tell_of(said: &mut Vec<Problem>, found: Vec<Problem>) {
    for problem in found.iter().filter(|problem| !said.contains(problem)) {
        tracing::error!(%problem, "new secrets refused, those before stay in force");
    }
    *said = found;
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
