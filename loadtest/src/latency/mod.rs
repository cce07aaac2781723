//! What a text takes from the instant it is due, at a rate that does not wait for answers.
//!
//! Comes in: a broker, parts of the capacity (or a rate), a profile. Goes out: for each rate, server and
//! stretch the median over rounds of p50 to max, what was refused, broken or never answered, and the p99 of
//! ours in the floors', round by round; a plot.
//! Always true: the capacity is our own closed loop's, measured in the same run; all servers get the same
//! rate in turns; a run whose generator fell behind (`pace`) is done anew, a few times, and then all fails;
//! at a constant rate every text is answered 200, or all fails: only ramps and spikes may go past what is
//! let in; every text that the service answered 200 lies on its topic (`check`), or all fails, and the floors' are not
//! looked for. Counts and times are bounded; what is made here is gone at the end.
//! Not here: the open loop (`pour`), when texts are due (`schedule`), reloads (`routes`).

mod curves;
mod report;
mod round;
mod routes;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::check::{self, Others};
use crate::cpu;
use crate::drive::{self, Crowd};
use crate::figures::{median, sorted};
use crate::floor::{self, Kind};
use crate::pace::LATE_MS;
use crate::plot;
use crate::schedule::Profile;
use crate::servers::{self, Floor, Server};
use crate::settings::{Cluster, Folder};
use crate::texts::{self, Mix, Texts};

use report::{Load, Measured, Report};
use round::Plan;
use routes::Routes;

/// Texts to each server before anything is measured.
const WARM_UP: usize = 20_000;
/// Texts of one look at the capacity.
const CAPACITY_TEXTS: usize = 30_000;
/// Looks at the capacity, of which the median is taken.
const CAPACITY_LOOKS: usize = 3;

/// What one measurement is made of.
#[derive(Args)]
pub struct Arguments {
    /// A Kafka broker
    #[arg(long, default_value = "127.0.0.1:9092")]
    brokers: String,
    /// The embedded store instead of Kafka; there is no floor to it
    #[arg(long, conflicts_with_all = ["brokers", "topics", "replication", "floors"])]
    embedded: bool,
    /// Connections that texts come over, whichever is free
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4_096))]
    connections: u16,
    /// Departments, each with one topic; texts are for them in turns
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    topics: u16,
    /// Copies of each record
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    replication: u8,
    /// The library that the service publishes with; left out: its default
    #[arg(long, value_parser = ["librdkafka", "krafka"], conflicts_with = "embedded")]
    client: Option<String>,
    /// Floors to measure, LINGER:IN_FLIGHT each, and :works for one that does what the contract asks; `bare`: no Kafka
    #[arg(long, value_delimiter = ',', default_value = "0:1,0:5,0.1:5")]
    floors: Vec<Kind>,
    /// Rates to measure, in parts of our closed-loop capacity
    #[arg(long, value_delimiter = ',', default_value = "0.5,0.8", value_parser = positive)]
    shares: Vec<f64>,
    /// Texts a second, whatever the capacity
    #[arg(long, conflicts_with = "shares", value_parser = positive)]
    rate: Option<f64>,
    /// How the rate goes over a round
    #[arg(long, value_enum, default_value_t = Profile::Constant)]
    profile: Profile,
    /// Routes are read anew while texts come; the service alone is measured, against itself before
    #[arg(long, conflicts_with_all = ["profile", "floors"])]
    reload: bool,
    /// Keywords in all: beyond each department's own they are the first department's
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    keywords: u32,
    /// Seconds of one run to one server
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=60))]
    seconds: u8,
    /// Rounds of each server, in turns
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=100))]
    rounds: u8,
    /// A text is sent late that the generator itself keeps longer than so many ms; with more than 1 % of them a
    /// run does not count. On shared cores the kernel's tick of 4 ms is in it; 1 is for a machine with a core for
    /// the generator (--awake). What it keeps is in every server's latencies, so ratios of short ones lean towards 1
    #[arg(long, value_name = "MS", default_value_t = LATE_MS, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    late_ms: u16,
    /// What is sent, as a file says it (loadtest/mixes); left out: one carrier, every department in turns
    #[arg(long, value_name = "FILE", conflicts_with = "embedded")]
    mix: Option<PathBuf>,
    /// Decides which text of a mix says what
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the generator awake while it waits: where there is a core for it alone
    #[arg(long)]
    awake: bool,
    /// One JSON object instead of the table
    #[arg(long)]
    json: bool,
    /// Draws latency by percentile
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// The binary to measure; built from this workspace if left out
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
}

fn positive(written: &str) -> Result<f64, String> {
    let number: f64 = written.parse().map_err(|error| format!("{error}"))?;
    if number.is_finite() && number > 0.0 { Ok(number) } else { Err("not above 0".to_owned()) }
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mix = arguments.mix.as_deref().map(Mix::read).transpose()?;
    floor::check_for_mix(&arguments.floors, mix.is_some())?;
    let carriers = mix.as_ref().map(texts::entries).transpose()?.unwrap_or_default();
    let binary = servers::binary(arguments.server.as_deref())?;
    sms_router::server::allow_open_files(usize::from(arguments.connections) + 500);
    // One account and perhaps one department, as in a flood of a single carrier: a share of the places is theirs.
    let inbound = "account_share_percent = 100\ndepartment_share_percent = 100";
    let folder = if arguments.embedded {
        Folder::embedded(inbound)?
    } else {
        let &Arguments { ref brokers, topics, replication, ref client, .. } = arguments;
        Folder::with(Cluster { brokers, topics, replication, client: client.as_deref() }, inbound, &carriers)?
    };
    let routes = Routes::new(&folder, arguments.keywords)?;
    let service = Server::service(&binary, &folder)?;
    let measured = measure(arguments, mix.as_ref(), &folder, service, &routes);
    let deleted = if arguments.embedded { Ok(()) } else { folder.delete_topics() };
    let report = measured?;
    deleted?;
    report::print(&report, arguments.json)?;
    check::must_be_clean(report.check.as_ref())?;
    arguments.plot.as_ref().map_or(Ok(()), |file| plot::write(file, &curves::chart(&report)))
}

fn measure(
    arguments: &Arguments,
    mix: Option<&Mix>,
    folder: &Folder,
    service: Server,
    routes: &Routes,
) -> anyhow::Result<Report> {
    let topics = if arguments.embedded { 1 } else { arguments.topics };
    let mut texts = Texts::of_folder(mix, arguments.seed, &folder.config, topics)?;
    let crowd = Crowd::all_at_once(arguments.connections.into());
    let mut closed_loop = |server: &Server, count: usize| {
        let requests = texts.sign(count)?;
        let took = drive::run(server.address, crowd, &requests, || {})?;
        if server.is_service() {
            texts.acknowledge(&requests, |_| true);
        }
        anyhow::Ok(count as f64 / took.as_secs_f64())
    };
    closed_loop(&service, WARM_UP)?;
    let mut servers = vec![(servers::name_of(arguments.client.as_deref()), service)];
    if !arguments.embedded && !arguments.reload {
        for kind in &arguments.floors {
            let (mix, seed) = (arguments.mix.as_deref(), arguments.seed);
            let floor = Floor { kind: kind.clone(), number: 0, mix, seed, tells: false };
            servers.push((kind.name(), Server::floor(folder, &floor)?));
        }
    }
    for (name, floor) in &servers[1..] {
        closed_loop(floor, WARM_UP).with_context(|| name.clone())?;
    }
    let looks = (0..CAPACITY_LOOKS).map(|_| closed_loop(&servers[0].1, CAPACITY_TEXTS));
    let capacity = median(&sorted(looks.collect::<anyhow::Result<Vec<_>>>()?));
    let mut loads = loads(arguments, capacity, &servers);
    for number in 0..usize::from(arguments.rounds) {
        for load in &mut loads {
            let plan = Plan::new(arguments, load.rate);
            // Each round begins with another server.
            for turn in 0..servers.len() {
                let index = (number + turn) % servers.len();
                let (name, server) = &servers[index];
                let round = round::counted(&plan, server, &mut texts, routes).with_context(|| name.clone())?;
                load.servers[index].rounds.push(round);
            }
        }
    }
    let memory = |(_, server): &(String, Server)| cpu::memory_peak_mib(server.pid());
    let memory_peak_mib = servers.iter().map(memory).collect::<anyhow::Result<_>>()?;
    // While the service still runs: it may have a text to join, or to bring from its journal.
    let check = if arguments.embedded { None } else { Some(check::run(folder, &texts, &Others::LEFT_ASIDE)?) };
    Ok(Report::new(arguments, capacity, loads, memory_peak_mib, check))
}

fn loads(arguments: &Arguments, capacity: f64, servers: &[(String, Server)]) -> Vec<Load> {
    let measured = || servers.iter().map(|(name, _)| Measured { name: name.clone(), rounds: Vec::new() }).collect();
    let load = |share: f64| Load { share, rate: capacity * share, servers: measured() };
    match arguments.rate {
        Some(rate) => vec![load(rate / capacity)],
        None => arguments.shares.iter().copied().map(load).collect(),
    }
}

impl Arguments {
    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }

    /// Names of what is told apart.
    fn stretches(&self) -> Vec<String> {
        if self.reload { routes::stretches() } else { self.profile.stretches() }
    }
}
