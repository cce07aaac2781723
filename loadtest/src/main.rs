//! What does the whole service cost beside the least that could do its work?
//!
//! Comes in: the address of a Kafka broker. Goes out: one table of requests a second and CPU for each
//! text, of `sms-router serve`, of floors: a bare hyper handler that awaits a bare `FutureProducer` for
//! records of the same bytes, with several lingers and requests in flight, and one without Kafka; and of peers, what
//! others would take for the work (`loadtest/peers`).
//! Always true: all answer the same requests in the same run, in turns, and every answer is 200; afterwards
//! every acknowledged text lies on its topic under one id, unchanged, or the run fails; what is claimed is the ratio to
//! the best floor, round by round, since absolute figures drift on shared machines; counts and times are
//! bounded; the processes and topics made here are gone at the end; a router that is not named is built as this
//! program was, with its profile.
//! Not here: benches of parts (`benches/`).
//!
//! ```text
//! cargo run --profile dist -p loadtest -- --brokers 127.0.0.1:9092
//! cargo run --profile dist -p loadtest -- --brokers … --topics 100 --replication 3 --connections 512
//! cargo run --profile dist -p loadtest -- --brokers … --topics 100 --mix loadtest/mixes/council.toml
//! cargo run --profile dist -p loadtest -- --brokers … --peers go,node,fastapi,kannel,redpanda-connect
//! cargo run --profile dist -p loadtest -- latency      what a text takes at a rate that waits for nobody
//! cargo run --profile dist -p loadtest -- plot FILE.json… --to FILE.svg    throughput against departments
//! cargo run --profile dist -p loadtest -- overload     what is left when twice the capacity comes
//! cargo run --profile dist -p loadtest -- outage --kafka NAME    what the journal holds, drained
//!
//! measure ─ drive: N connections, one request at a time each ─┬→ sms-router serve ─┬→ Kafka, acks=all
//!           texts: signed before the clock starts             ├→ loadtest floor, each ─┤    │
//!           cpu: /proc/PID/stat of each, before and after     ├→ loadtest/peers/NAME ──┘    │
//!           peers: what measures itself, in its turn          └→ loadtest/peers/kannel      │
//!           check: every record, once the rounds are over; of the open loops too ←──────────┘
//! latency, overload, outage ─ schedule: when each text is due → pour: the open loop → tally: HDR histograms
//!                             pace: whether the generator kept up       latency/routes: reloads meanwhile
//! plot ─ svg: lines over two axes
//! ```

mod answer;
mod candidate;
mod check;
mod cpu;
mod drive;
mod figures;
mod floor;
mod latency;
mod measure;
mod outage;
mod overload;
mod pace;
mod peers;
mod plot;
mod pour;
mod schedule;
mod servers;
mod settings;
mod statistics;
mod svg;
mod table;
mod tally;
mod texts;
mod timer;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

/// Measures sms-router against bare hyper handlers awaiting a bare Kafka producer.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Command {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Role {
    /// The server to compare with; started by the measurement
    #[command(hide = true)]
    Floor(floor::Arguments),
    /// What a text takes from the instant it is due, at a constant rate, a ramp, a spike or during reloads
    Latency(latency::Arguments),
    /// Throughput against departments, drawn from kept --json files
    Plot(plot::Arguments),
    /// Goodput while twice the capacity comes, and the capacity, in the same run
    Overload(overload::Arguments),
    /// How fast the journal drains, and what new texts wait meanwhile, once frozen brokers go on
    Outage(outage::Arguments),
}

/// What one measurement is made of.
#[derive(Args)]
pub struct Options {
    /// A Kafka broker
    #[arg(long, default_value = "127.0.0.1:9092")]
    brokers: String,
    /// Connections at once, each with one request on its way
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4_096))]
    connections: u16,
    /// Departments, each with one topic; texts are for them in turns
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    topics: u16,
    /// Copies of each record
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    replication: u8,
    /// The library that the service publishes with; left out: its default
    #[arg(long, value_parser = ["librdkafka", "krafka"])]
    client: Option<String>,
    /// Floors to measure, LINGER:IN_FLIGHT each, and :works for one that proves, reads, decides and encodes each text;
    /// `bare` for one that reads a request and answers, without Kafka
    #[arg(long, value_delimiter = ',', default_value = "0:1,0:5,0.1:1,0.1:5,1:1,1:5")]
    floors: Vec<floor::Kind>,
    /// Folders of loadtest/peers to measure beside them; what cannot be had here is told in the table
    #[arg(long, value_delimiter = ',')]
    peers: Vec<String>,
    /// Requests of one round to one server
    #[arg(long, default_value_t = 60_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    requests: u32,
    /// Rounds of each server, in turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    rounds: u16,
    /// What is sent, as a file says it (loadtest/mixes); left out: one carrier, every department in turns.
    /// With texts in pieces no other router may run on the cluster: it would join them
    #[arg(long, value_name = "FILE")]
    mix: Option<PathBuf>,
    /// Decides which text of a mix says what
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Do not read back that each acknowledged text lies once on its topic, unchanged
    #[arg(long)]
    no_check: bool,
    /// Show librdkafka's statistics too: batches, requests, waits; floors pay CPU for it
    #[arg(long)]
    statistics: bool,
    /// One JSON object instead of the table
    #[arg(long)]
    json: bool,
    /// The binary to measure; built from this workspace if left out
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
}

fn main() -> ExitCode {
    let command = Command::parse();
    let done = match command.role {
        Some(Role::Floor(arguments)) => floor::run(&arguments),
        Some(Role::Latency(arguments)) => latency::run(&arguments),
        Some(Role::Plot(arguments)) => plot::run(&arguments),
        Some(Role::Overload(arguments)) => overload::run(&arguments),
        Some(Role::Outage(arguments)) => outage::run(&arguments),
        None => measure::compare(&command.options).and_then(|report| table::print(&report, command.options.json)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}
