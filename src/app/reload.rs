//! The walk of a keyword reload: the file changed → read → built → tested → its topics exist → swapped.
//!
//! A table that is refused leaves the one in force as it is, with a gauge at 0 and a line for each
//! problem. One that lacks nothing but topics is kept, and in force as soon as they are there. Texts that were
//! claimed keep the decision they were given. Whoever asks does not wait: a file system may hang, and a large table
//! takes its time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot::error::RecvError;
use tokio::sync::{Notify, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Problem, Stamp};
use crate::keyword::{DepartmentSpec, Live, Refusal, Table};
use crate::message::DepartmentName;
use crate::message::topics::PROBE;
use crate::publish::{Publisher, TopicAdmin};
use crate::telemetry::Metrics;

use super::disk::{Disk, Late, Looks};
use super::giving_way::giving_way;
use super::{StartError, build_table, log, table_of, topics};

/// How often the routes file is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// How often the brokers are asked again whether the topics are there that a table waits for.
const ASK_INTERVAL: Duration = Duration::from_secs(5);
/// How long a table may take to be built before that is said.
const BUILD_MAX: Duration = Duration::from_secs(60);

/// How long requests may keep a table that is no longer in force from being freed aside, and how often they are looked at.
const RETIRE_MAX: Duration = Duration::from_secs(60);
const RETIRE_LOOK: Duration = Duration::from_millis(50);

/// Asks for a reload: the handle behind SIGHUP.
#[derive(Clone, Default)]
pub struct Reload(Arc<Notify>);

impl Reload {
    /// Returns at once. Whoever asks while a reload is under way is answered by one more after it.
    pub fn ask(&self) {
        self.0.notify_one();
    }
}

/// The table to start with, and what its file was when it was read. Off the runtime, so that a file
/// system that hangs does not keep signals out.
pub async fn first_table(config: &Config) -> Result<(Option<Stamp>, Table), StartError> {
    let config = config.clone();
    let built = spawn_blocking(move || {
        let stamp = config.routes.stamp();
        build_table(&config).map(|table| (stamp, table))
    });
    match built.await {
        Ok(built) => built.map_err(StartError::Settings),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Keeps a table in force that is the one on disk.
pub struct Reloader {
    pub config: Arc<Config>,
    pub routes: Live,
    pub metrics: Metrics,
    pub kafka: Option<(Arc<TopicAdmin>, Option<Publisher>)>,
    /// Whose topics must be there; `None`: every department's. Of others this process may not even know.
    pub departments: Option<BTreeSet<DepartmentName>>,
    /// What the file was when the table in force was read from it.
    pub built_from: Option<Stamp>,
    /// Names of the topics whose texts are archived, for who consumes them.
    pub topics: watch::Sender<Vec<String>>,
}

/// What became of an attempt.
enum Attempt {
    /// In force or refused: over.
    Settled,
    /// Something was not to be had: it is tried again with the next look.
    Again,
    /// The brokers are asked again for this one.
    Waits(Box<Table>, Obstacle),
}

impl Attempt {
    fn waiting(self, of: Option<Stamp>) -> Option<Waiting> {
        let Self::Waits(table, obstacle) = self else { return None };
        Some(Waiting { table, of, obstacle, asked_at: Instant::now() })
    }
}

/// What keeps a table that is in order from being in force.
#[derive(PartialEq, Eq)]
enum Obstacle {
    Topics(Vec<Problem>),
    Brokers,
}

/// A table that is in order and waits for what others have to mend.
struct Waiting {
    table: Box<Table>,
    /// What the file was that it was built from.
    of: Option<Stamp>,
    obstacle: Obstacle,
    asked_at: Instant,
}

impl Waiting {
    fn is_due(&self, now: Option<Stamp>) -> bool {
        self.of == now && self.asked_at.elapsed() >= ASK_INTERVAL
    }
}

impl Reloader {
    pub fn start(self, stop: CancellationToken) -> (Reload, tokio::task::JoinHandle<()>) {
        let reload = Reload::default();
        let asked = reload.0.clone();
        self.publish_state(&self.routes.load());
        let keep = async move {
            stop.run_until_cancelled(self.keep_current(&asked, &Disk::default())).await;
        };
        (reload, tokio::spawn(keep))
    }

    async fn keep_current(&self, asked: &Notify, disk: &Disk) {
        let mut looks = Looks::new(self.built_from);
        let mut is_asked = false;
        let mut waiting: Option<Waiting> = None;
        loop {
            tokio::select! {
                () = asked.notified(), if !is_asked => is_asked = true,
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
            }
            let routes = self.config.routes.clone();
            let Some(now) = self.told(disk, disk.ask(move || routes.stamp()).await) else { continue };
            // Half a table can be valid, so a file is left alone until it rests. Whoever asks has finished writing.
            let is_new = looks.are_new(now);
            let again = waiting.take_if(|waiting| !is_asked && waiting.is_due(now));
            if !is_new && !is_asked && again.is_none() {
                continue;
            }
            let attempt = match again {
                Some(Waiting { table, obstacle, .. }) => self.try_table(table, Some(obstacle)).await,
                None => self.attempt(disk).await,
            };
            waiting = match attempt {
                Attempt::Again => None,
                Attempt::Settled | Attempt::Waits(..) => {
                    looks.were_taken(now);
                    is_asked = false;
                    attempt.waiting(now)
                }
            };
        }
    }

    async fn attempt(&self, disk: &Disk) -> Attempt {
        let routes = self.config.routes.clone();
        let table = match self.told(disk, disk.read(move || routes.text()).await) {
            None => return Attempt::Again,
            Some(Err(problem)) => Err(vec![problem]),
            Some(Ok(text)) => self.build(text.into_owned()).await,
        };
        match table {
            Ok(table) => self.try_table(Box::new(table), None).await,
            Err(problems) => self.refuse(&problems),
        }
    }

    /// In force if its topics exist. What it waits for is said when it is another than `before`.
    async fn try_table(&self, table: Box<Table>, before: Option<Obstacle>) -> Attempt {
        match self.lacking(&table).await {
            Ok(problems) if problems.is_empty() => self.adopt(*table),
            Ok(problems) => {
                if !matches!(&before, Some(Obstacle::Topics(told)) if *told == problems) {
                    self.refuse(&problems);
                }
                Attempt::Waits(table, Obstacle::Topics(problems))
            }
            Err(error) => {
                if before != Some(Obstacle::Brokers) {
                    tracing::warn!(%error, "new routes wait: the brokers cannot be asked whether their topics exist");
                }
                Attempt::Waits(table, Obstacle::Brokers)
            }
        }
    }

    /// What the disk gave; `None` when it took too long, which has then been said.
    fn told<T>(&self, disk: &Disk, answer: Result<T, Late>) -> Option<T> {
        match answer {
            Ok(answer) => Some(answer),
            Err(Late) => {
                self.metrics.routes_last_reload_successful.set(0);
                let (file, seconds) = (self.config.routes.name(), disk.patience().as_secs());
                tracing::error!(
                    %file,
                    seconds,
                    "the routes file cannot be read: its file system does not answer, or no thread was to be had; the table before stays in force"
                );
                None
            }
        }
    }

    /// A million keywords take seconds to build, and the texts that come meanwhile need the processors.
    async fn build(&self, text: String) -> Result<Table, Vec<Problem>> {
        let config = self.config.clone();
        let mut building = giving_way(move || table_of(&text, &config.routes, config.country));
        let built = match timeout(BUILD_MAX, &mut building).await {
            Ok(built) => built,
            Err(_) => {
                let seconds = BUILD_MAX.as_secs();
                self.metrics.routes_last_reload_successful.set(0);
                tracing::error!(seconds, "new routes are not built yet; the table before stays in force meanwhile");
                building.await
            }
        };
        let broken = |_: RecvError| {
            let reason =
                "the table could not be built: no thread was to be had, or this program has a fault: please report it"
                    .to_owned();
            Err(vec![self.config.routes.problem(Refusal { line: 0, reason })])
        };
        built.unwrap_or_else(broken)
    }

    /// Newly named topics that the cluster lacks.
    async fn lacking(&self, table: &Table) -> Result<Vec<Problem>, String> {
        let Some((admin, _)) = &self.kafka else { return Ok(Vec::new()) };
        let known: Vec<String> = self.topics.borrow().clone();
        let is_asked_for = |name: &DepartmentName| self.departments.as_ref().is_none_or(|all| all.contains(name));
        let wanted = table.departments().iter().filter(|department| is_asked_for(&department.name));
        let new: BTreeSet<String> = wanted.map(DepartmentSpec::topic).filter(|topic| !known.contains(topic)).collect();
        if new.is_empty() {
            return Ok(Vec::new());
        }
        let existing = topics::existing(admin).await?;
        let missing = topics::missing(table, &existing);
        let new = missing.into_iter().filter(|(_, topic)| new.contains(topic));
        let problem = |(line, topic): (usize, String)| {
            let reason =
                format!("topic {topic} does not exist: run `sms-router setup`, and the routes are taken by themselves");
            self.config.routes.problem(Refusal { line, reason })
        };
        Ok(new.map(problem).collect())
    }

    fn refuse(&self, problems: &[Problem]) -> Attempt {
        // Whoever reads the log finds the gauge as it says.
        self.metrics.routes_last_reload_successful.set(0);
        for problem in problems {
            tracing::error!(%problem, "routes refused, the table before stays in force");
        }
        Attempt::Settled
    }

    fn adopt(&self, table: Table) -> Attempt {
        let before = self.routes.load().version().clone();
        if let Some((_, Some(publisher))) = &self.kafka {
            log::know(publisher, &table);
        }
        retire(self.routes.swap(table));
        let table = self.routes.load();
        self.publish_state(&table);
        // After the new one is there: whoever asks in between sees two, never none.
        if before != *table.version() {
            let _ = self.metrics.routes_info.remove_label_values(&[&before]);
        }
        tracing::info!(version = %table.version(), "routes are in force");
        Attempt::Settled
    }

    fn publish_state(&self, table: &Table) {
        self.metrics.routes_last_reload_successful.set(1);
        self.metrics.routes_info.with_label_values(&[table.version()]).set(1);
        let departments = table.departments().iter().map(DepartmentSpec::topic);
        let probe = self.config.probe.map(|_| PROBE.to_owned());
        self.topics.send_replace(departments.chain(probe).collect());
        for warning in table.warnings() {
            tracing::warn!(problem = %self.config.routes.problem(warning), "routes could be better");
        }
    }
}

/// Frees a table once no request has it any more, as it was built: else a request would, and those behind it wait.
fn retire(table: Arc<Table>) {
    // Nobody waits for it; without a thread it is freed here.
    drop(giving_way(move || {
        let until = Instant::now() + RETIRE_MAX;
        while Arc::strong_count(&table) > 1 && Instant::now() < until {
            std::thread::sleep(RETIRE_LOOK);
        }
    }));
}
