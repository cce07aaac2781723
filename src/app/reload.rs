//! The walk of a keyword reload: the file changed → read → built → tested → its topics exist → swapped.
//!
//! A table that is refused leaves the one in force as it is, with a gauge at 0 and a line for each
//! problem. Texts that were claimed keep the decision they were given.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Problem, Stamp};
use crate::keyword::{Live, Table};
use crate::message::topics::PROBE;
use crate::publish::{Publisher, TopicAdmin};
use crate::telemetry::Metrics;

use super::{build_table, log, topics};

/// How often the routes file is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Asks for a reload now: the handle behind SIGHUP.
#[derive(Clone)]
pub struct Reload(mpsc::Sender<oneshot::Sender<bool>>);

impl Reload {
    /// Whether the table on disk is in force afterwards.
    pub async fn now(&self) -> bool {
        let (answer, done) = oneshot::channel();
        if self.0.send(answer).await.is_err() {
            return false;
        }
        done.await.unwrap_or(false)
    }
}

/// Keeps a table in force that is the one on disk.
pub struct Reloader {
    pub config: Arc<Config>,
    pub routes: Live,
    pub metrics: Metrics,
    pub kafka: Option<(Arc<TopicAdmin>, Option<Publisher>)>,
    /// What the file was when the table in force was read from it.
    pub built_from: Stamp,
    /// Names of the topics whose texts are archived, for who consumes them.
    pub topics: watch::Sender<Vec<String>>,
}

impl Reloader {
    pub fn start(self, stop: CancellationToken) -> (Reload, tokio::task::JoinHandle<()>) {
        let (ask, asked) = mpsc::channel(1);
        self.publish_state(&self.routes.load());
        (Reload(ask), tokio::spawn(self.run(asked, stop)))
    }

    async fn run(self, mut asked: mpsc::Receiver<oneshot::Sender<bool>>, stop: CancellationToken) {
        let mut seen = self.built_from;
        let mut last_look = seen;
        loop {
            let answer = tokio::select! {
                () = stop.cancelled() => return,
                Some(answer) = asked.recv() => Some(answer),
                () = tokio::time::sleep(LOOK_INTERVAL) => None,
            };
            let now = self.config.routes.stamp();
            // A file that is still being written changes between two looks: half a table can be
            // valid, so it is left alone until it rests. Whoever asks has finished writing.
            let rests = now == std::mem::replace(&mut last_look, now);
            if answer.is_none() && (now == seen || !rests) {
                continue;
            }
            let in_force = tokio::select! {
                () = stop.cancelled() => return,
                in_force = self.attempt(&mut seen, now) => in_force,
            };
            if let Some(answer) = answer {
                let _ = answer.send(in_force);
            }
        }
    }

    async fn attempt(&self, seen: &mut Stamp, now: Stamp) -> bool {
        // Off the runtime: a million keywords take seconds to build, and texts go on meanwhile.
        let config = self.config.clone();
        let built = tokio::task::spawn_blocking(move || build_table(&config)).await;
        let table = match built.unwrap_or_else(|_| Err(Vec::new())) {
            Ok(table) => table,
            Err(problems) => {
                *seen = now;
                return self.refuse(&problems);
            }
        };
        match self.lacking(&table).await {
            Ok(problems) if problems.is_empty() => {}
            Ok(problems) => {
                *seen = now;
                return self.refuse(&problems);
            }
            Err(error) => {
                // Not seen: the next look tries again, until the brokers can be asked.
                tracing::warn!(%error, "new routes wait: the brokers cannot be asked whether their topics exist");
                return false;
            }
        }
        *seen = now;
        self.adopt(table);
        true
    }

    /// Newly named topics that the cluster lacks.
    async fn lacking(&self, table: &Table) -> Result<Vec<Problem>, String> {
        let Some((admin, _)) = &self.kafka else { return Ok(Vec::new()) };
        let known: Vec<String> = self.topics.borrow().clone();
        if table.departments().iter().all(|department| known.contains(&department.topic())) {
            return Ok(Vec::new());
        }
        let existing = topics::existing(admin).await?;
        let missing = topics::missing(table, &existing);
        let new = missing.into_iter().filter(|(_, topic)| !known.contains(topic));
        let problem = |(line, topic): (usize, String)| {
            let reason = format!("topic {topic} does not exist: run `sms-router setup` first");
            self.config.routes.problem(crate::keyword::Refusal { line, reason })
        };
        Ok(new.map(problem).collect())
    }

    fn refuse(&self, problems: &[Problem]) -> bool {
        for problem in problems {
            tracing::error!(%problem, "routes refused, the table before stays in force");
        }
        self.metrics.routes_last_reload_successful.set(0);
        false
    }

    fn adopt(&self, table: Table) {
        let before = self.routes.load().version().clone();
        if let Some((_, Some(publisher))) = &self.kafka {
            log::know(publisher, &table);
        }
        tracing::info!(version = %table.version(), "routes are in force");
        self.routes.swap(table);
        let _ = self.metrics.routes_info.remove_label_values(&[&before]);
        self.publish_state(&self.routes.load());
    }

    fn publish_state(&self, table: &Table) {
        self.metrics.routes_info.with_label_values(&[table.version()]).set(1);
        self.metrics.routes_last_reload_successful.set(1);
        let departments = table.departments().iter().map(crate::keyword::DepartmentSpec::topic);
        let probe = self.config.probe.map(|_| PROBE.to_owned());
        self.topics.send_replace(departments.chain(probe).collect());
        for warning in table.warnings() {
            tracing::warn!(problem = %self.config.routes.problem(warning), "routes could be better");
        }
    }
}
