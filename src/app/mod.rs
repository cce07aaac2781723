//! Putting together: settings → rooms → tasks, and the order in which they end.
//!
//! Comes in: a `Config` and a clock. Goes out: a running `Instance` with the addresses it listens on, or a running
//! `Worker` of the archive or of deliveries; dead-letter and the way back from it.
//! Always true: this is the only room that knows them all; every task's end is awaited at shutdown.
//! Not here: signals and the command line (`cli`).

mod archive;
mod beside;
mod dead_letters;
mod deliver;
mod delivering;
mod disk;
mod giving_way;
mod joining;
mod journal;
mod listeners;
mod log;
mod probe;
mod reconcile;
mod reload;
mod secrets;
mod serve;
mod signatures;
mod store_watch;
mod topics;
mod worker;

pub use beside::rerouter;
pub use dead_letters::{DeadLetters, Letter, LettersError, NotReplayed, Replayer};
pub use deliver::group as delivery_group;
pub use journal::{Emptied, empty_journal};
pub use listeners::certificates;
pub use reconcile::judge;
pub use reload::Reload;
pub use serve::{Addresses, Instance};
pub use worker::Worker;

use crate::audit::Audit;
use crate::config::{self, Config, Problem, RoutesFile, Standing};
use crate::keyword::Table;
use crate::message::Country;

/// The audit copies that these settings keep, and who looked at them.
pub fn audit(config: &Config) -> Audit {
    let Standing { sender_key, previous_sender_keys, .. } = &config.standing;
    match &config.archive {
        config::Archive::Local => Audit::of_store(config.data.clone(), sender_key.clone(), previous_sender_keys),
        config::Archive::Cql { settings, .. } => {
            Audit::of_archive(settings.as_ref().clone(), sender_key.clone(), previous_sender_keys)
        }
    }
}

/// Why a role could not start; each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Settings or routes: exit code 78.
    #[error("{}", lines(.0))]
    Settings(Vec<Problem>),
    #[error(transparent)]
    Listen(#[from] crate::server::ListenError),
    #[error(
        "no thread for connections could be started: {0}; raise the limits of processes and open files (ulimit -u, pids.max, ulimit -n)"
    )]
    Threads(std::io::Error),
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    #[error(transparent)]
    Publish(#[from] crate::publish::PublishError),
    #[error("the Kafka client refused its settings: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    #[error(transparent)]
    Archive(#[from] crate::archive::ArchiveError),
    #[error(transparent)]
    Consume(#[from] crate::consume::ConsumeError),
    #[error(
        "`archive run` needs publish.to = \"kafka\" and archive.to = \"cql\": in the standalone profile `serve` keeps the copies itself"
    )]
    NoArchiveToRun,
    #[error("`deliver run` needs publish.to = \"kafka\": in the standalone profile `serve` mails and pushes itself")]
    ServeDelivers,
    #[error(
        "`deliver run` has nothing to do: no department has email or push; write it into [departments.NAME] of the settings"
    )]
    NothingToDeliver,
    #[error(transparent)]
    Deliver(#[from] crate::deliver::DeliverError),
    #[error("there is no journal: it belongs to publish.to = \"kafka\", and publish.journal must not be false")]
    NoJournal,
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Says what works and should be known all the same.
fn tell_warnings(config: &Config) {
    for problem in &config.warnings {
        tracing::warn!(%problem, "the settings could be better");
    }
}

/// Reads and builds the keyword table that the settings name.
pub fn build_table(config: &Config) -> Result<Table, Vec<Problem>> {
    let text = config.routes.text().map_err(|problem| vec![problem])?;
    table_of(&text, &config.routes, config.country)
}

/// Builds what was read from the routes' file.
fn table_of(text: &str, routes: &RoutesFile, country: Country) -> Result<Table, Vec<Problem>> {
    let spec = routes.parse(text, country)?;
    let refused = |refusals: Vec<_>| refusals.into_iter().map(|refusal| routes.problem(refusal)).collect();
    Table::build(spec).map_err(refused)
}
