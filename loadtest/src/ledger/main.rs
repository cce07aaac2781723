//! The ledger: is any text lost, doubled under two ids, changed, misrouted or out of order while
//! everything around the router breaks?
//!
//! Comes in: a binary to judge, real brokers and a real CQL node, a seed. Goes out: a table, every
//! violation by name, exit code 1 if there is any. Always true: an id is in the book before it counts as
//! acknowledged; the seed is printed, and the same seed breaks the same things in the same order.
//! Not here: speed (`loadtest`); a skipped fsync, which no kill -9 shows.
//!
//! ```text
//! plan ──► faults ──► brokers, Cassandra, disks, clocks, routes, our own processes
//!                          │
//! generator ─ requests ─► serve (1..n) ─► topics, feed ─► archive run ─► CQL
//!     │                                       │                           │
//!    book ───────────────► judge ◄─────────── reader ◄────────────────────┘
//! ```

mod book;
mod faults;
mod generator;
mod installation;
mod judge;
mod life;
mod plan;
mod random;
mod reader;
mod report;
mod script;
mod violation;

use std::fmt;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use installation::disk;
use plan::Plan;

/// Sends texts while things break, and judges what came out.
#[derive(Parser)]
pub struct Options {
    /// Decides texts, faults and their times; a new one if left out
    #[arg(long)]
    seed: Option<u64>,
    /// Rounds of all faults for at least so long; one round if left out
    #[arg(long)]
    minutes: Option<u64>,
    #[arg(long, value_enum, default_value_t = Profile::Cluster)]
    profile: Profile,
    /// Instances of `serve` that share the texts; standalone has one
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=8))]
    replicas: u16,
    /// Senders at once
    #[arg(long, default_value_t = 48, value_parser = clap::value_parser!(u32).range(1..=i64::from(generator::SLOTS_MAX)))]
    slots: u32,
    /// Longest pause between two actions of one slot, in milliseconds
    #[arg(long, default_value_t = 100)]
    pause_ms: u64,
    /// Requests of one burst: more than the settings admit at once
    #[arg(long, default_value_t = 400)]
    burst: usize,
    /// Long texts in parts as well
    #[arg(long)]
    parts: bool,
    /// The router to judge
    #[arg(long, value_name = "FILE", default_value = "target/debug/sms-router")]
    server: PathBuf,
    /// The folder of the services' scripts
    #[arg(long, value_name = "FOLDER", default_value = "tests/services")]
    services: PathBuf,
    /// The name under which the scripts know three brokers
    #[arg(long, value_name = "NAME", default_value = "kafka-3")]
    kafka: String,
    /// The name under which the scripts know the CQL node
    #[arg(long, value_name = "NAME", default_value = "cassandra")]
    cassandra: String,
    /// Where everything is kept; a folder of its own below the system's temporary one if left out
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// Size of each router's disk
    #[arg(long, default_value_t = 256)]
    disk_mib: u64,
    /// Keeps the folder also when all is well
    #[arg(long)]
    keep: bool,
    /// Only faults of this name, as the report's rows have it; several are possible
    #[arg(long, value_name = "FAULT")]
    only: Vec<String>,
    /// All faults but those of this name
    #[arg(long, value_name = "FAULT")]
    without: Vec<String>,
    /// Prints the plan and does nothing
    #[arg(long)]
    plan: bool,
    /// Set by the program itself
    #[arg(long, hide = true)]
    in_own_namespace: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Profile {
    /// Kafka and CQL, `serve` and `archive run`
    Cluster,
    /// The embedded store
    Standalone,
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "cluster",
            Self::Standalone => "standalone",
        })
    }
}

impl Options {
    fn replicas(&self) -> usize {
        match self.profile {
            Profile::Cluster => usize::from(self.replicas),
            Profile::Standalone => 1,
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let seed = options.seed.unwrap_or_else(fresh_seed);
    let plan =
        Plan::new(seed, options.profile, options.replicas(), options.minutes).only(&options.only, &options.without);
    let plan = if options.parts { plan.for_pieces() } else { plan };
    if options.plan {
        print!("{plan}");
        return ExitCode::SUCCESS;
    }
    if !options.in_own_namespace {
        let error = disk::enter_namespace();
        eprintln!("no mount namespace of its own ({error}): disks will not be filled");
    }
    match life::run(&options, seed, &plan) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("the ledger could not be kept: {error:#}; seed {seed}");
            ExitCode::from(2)
        }
    }
}

fn fresh_seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    random::mix(now.as_nanos() as u64 ^ u64::from(std::process::id())) % 1_000_000_000
}
