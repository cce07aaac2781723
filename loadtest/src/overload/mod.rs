//! What is left of the capacity when twice as much comes?
//!
//! Comes in: how long, how many connections. Goes out: for each round the goodput (texts a second
//! answered 200 in time, while twice the capacity is sent), the capacity before it and right after it
//! (what gets answered over as many connections when fewer are under way than the service lets in, each
//! sending when it has its answer: to have a connection costs something, to be flooded should not),
//! their ratio, what was refused, and how long a single text took right after the flood.
//! Always true: both are measured against the same process; no two texts are alike; a text that no
//! connection was free for is counted as held back, not as offered; a flood whose generator fell behind (`pace`)
//! is done anew after another look at the capacity, a few times, and then all fails; connections and times are bounded;
//! through Kafka every text that was answered 200 lies on its topic, or all fails.
//! Not here: how it is shown (`report`); reading the topics (`check`); whether what was answered 200 outlives a fault
//! (that is the ledger's).

mod report;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;

use crate::check::{self, Others};
use crate::cpu;
use crate::drive::{self, Crowd};
use crate::pace::{self, Pace, Ran};
use crate::pour::{self, Flow};
use crate::schedule::Schedule;
use crate::servers::{self, Server};
use crate::settings::{Cluster, Folder};
use crate::tally::Tally;
use crate::texts::Texts;

use report::{Report, Round};

/// Texts before anything is measured: a store that holds some is slower than an empty one.
const WARM_UP: usize = 60_000;
/// What an answer that comes later is worth: nothing. The patience of most carriers.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a flood lasts before anything of it is counted: answers to its first texts are yet to come.
const LEAD_IN: Duration = Duration::from_secs(3);

/// What one measurement is made of.
#[derive(Args)]
pub struct Arguments {
    /// Texts under way at once while the capacity is measured: fewer than `in_flight_max`, for none is refused
    #[arg(long, default_value_t = 800, value_parser = clap::value_parser!(u16).range(1..=4_096))]
    at_once: u16,
    /// Connections over which the flood comes, and all else
    #[arg(long, default_value_t = 2_500, value_parser = clap::value_parser!(u16).range(1..=8_000))]
    crowd: u16,
    /// `inbound.in_flight_max` of the service
    #[arg(long, default_value_t = 1_000)]
    in_flight_max: u32,
    /// How much comes, in capacities
    #[arg(long, default_value_t = 2.0)]
    times: f64,
    /// Seconds of each flood that count
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u8).range(1..=60))]
    seconds: u8,
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=100))]
    rounds: u8,
    /// Keep the generator awake while it waits: where there is a core for it alone
    #[arg(long)]
    awake: bool,
    /// A Kafka broker; left out, the embedded store is measured
    #[arg(long)]
    brokers: Option<String>,
    /// One JSON object instead of the table
    #[arg(long)]
    json: bool,
    /// The binary to measure; built from this workspace if left out
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
}

/// What a closed loop gave.
#[derive(Clone, Copy)]
struct Capacity {
    /// Texts a second of connections that wait for their answers.
    rate: f64,
    /// CPU of the service for each, in microseconds.
    cpu: f64,
}

/// What came of one flood.
struct Flood {
    tally: Tally,
    /// How long a single text took right after it.
    first_after: Duration,
    /// CPU of the service.
    used: Duration,
}

/// The service, and the texts that it gets.
struct Trial<'a> {
    arguments: &'a Arguments,
    service: &'a Server,
    texts: Texts,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let binary = servers::binary(arguments.server.as_deref())?;
    sms_router::server::allow_open_files(usize::from(arguments.crowd) + 500);
    let inbound = format!(
        "in_flight_max = {}\naccount_share_percent = 100\ndepartment_share_percent = 100",
        arguments.in_flight_max
    );
    let folder = match &arguments.brokers {
        Some(brokers) => Folder::with(Cluster::small(brokers), &inbound, &[])?,
        None => Folder::embedded(&inbound)?,
    };
    let service = Server::service(&binary, &folder)?;
    let measured = measure(arguments, &folder, &service);
    drop(service);
    if arguments.brokers.is_some() {
        folder.delete_topics()?;
    }
    let report = measured?;
    report::print(&report, arguments.json)?;
    check::must_be_clean(report.check.as_ref())
}

fn measure(arguments: &Arguments, folder: &Folder, service: &Server) -> anyhow::Result<Report> {
    let (account, _) = folder.config.accounts.first().context("the settings have an account")?;
    let mut trial = Trial { arguments, service, texts: Texts::new(account.clone(), 1) };
    let guess = trial.closed_loop(WARM_UP)?;
    let mut capacity = trial.closed_loop(trial.texts_at(guess.rate))?;
    let mut rounds = Vec::new();
    for _ in 0..arguments.rounds {
        let (round, after) = trial.round(capacity)?;
        rounds.push(round);
        capacity = after;
    }
    let memory_peak_mib = cpu::memory_peak_mib(service.pid())?;
    // While the service still runs: it may have a text to bring from its journal.
    let check = || check::run(folder, &trial.texts, &Others::LEFT_ASIDE);
    let check = arguments.brokers.as_ref().map(|_| check()).transpose()?;
    Ok(Report::new(arguments, rounds, memory_peak_mib, check))
}

impl Trial<'_> {
    /// How many come in the time that counts.
    fn texts_at(&self, rate: f64) -> usize {
        (rate * f64::from(self.arguments.seconds)) as usize
    }

    /// A flood between two looks at the capacity, of which the second is the next round's first.
    fn round(&mut self, last: Capacity) -> anyhow::Result<(Round, Capacity)> {
        let Arguments { times, seconds, .. } = *self.arguments;
        let (seconds, looked) = (f64::from(seconds), self.texts_at(last.rate));
        let mut known = Some(last);
        let flood = || {
            // One that is done anew comes after another look: the one that did not count lies between.
            let before = known.take().map_or_else(|| self.closed_loop(looked), Ok)?;
            let (flood, fault) = self.flood(before.rate * times)?;
            Ok(((before, flood), fault))
        };
        let ((before, flood), discarded) = pace::counted("lower --times or --crowd", flood)?;
        let after = self.closed_loop(looked)?;
        let Flood { tally, first_after, used } = flood;
        let (whole, sent) = (LEAD_IN.as_secs_f64() + seconds, tally.sent.get());
        let round = Round {
            capacity: f64::midpoint(before.rate, after.rate),
            offered: sent as f64 / seconds,
            goodput: tally.in_time.get() as f64 / seconds,
            refused: tally.refused.get() as f64 / seconds,
            late: tally.late.get(),
            held_back: self.texts_at(before.rate * times).saturating_sub(sent),
            first_after_ms: first_after.as_secs_f64() * 1e3,
            cpu_microseconds_per_text: f64::midpoint(before.cpu, after.cpu),
            cpu_microseconds_per_request_in_flood: (used.as_secs_f64() / whole) * 1e6 / (sent as f64 / seconds),
            discarded,
        };
        Ok((round, after))
    }

    fn closed_loop(&mut self, count: usize) -> anyhow::Result<Capacity> {
        let Self { arguments, service, .. } = *self;
        let requests = self.texts.sign(count)?;
        let before = cpu::used(service.pid())?;
        let crowd =
            Crowd { connections: arguments.crowd.into(), at_once: arguments.at_once.into(), awake: arguments.awake };
        let took = drive::run(service.address, crowd, &requests, || {})?;
        let used = cpu::used(service.pid())?.saturating_sub(before);
        self.texts.acknowledge(&requests, |_| true);
        Ok(Capacity { rate: count as f64 / took.as_secs_f64(), cpu: cpu::each_us(used, count) })
    }

    fn flood(&mut self, offered: f64) -> anyhow::Result<Ran<Flood>> {
        let Self { arguments, service, .. } = *self;
        let time = LEAD_IN + Duration::from_secs(arguments.seconds.into());
        let flow = Flow {
            server: service.address,
            connections: arguments.crowd,
            schedule: Schedule::constant(offered, time),
            drained: false,
            awake: arguments.awake,
            over: &AtomicBool::new(false),
            patience: PATIENCE,
            pace: Pace::default(),
            tallies: 2,
            // What happens before and after is apart: it counts for nothing but for connections that break.
            file: &|event| Some(usize::from(!(LEAD_IN..time).contains(&event.now))),
        };
        let requests = self.texts.sign((offered * time.as_secs_f64()) as usize)?;
        let after = self.texts.sign(1)?;
        let before = cpu::used(service.pid())?;
        let poured = pour::run(&flow, &requests)?;
        let began = Instant::now();
        drive::run(service.address, Crowd::all_at_once(1), &after, || {})?;
        let first_after = began.elapsed();
        let used = cpu::used(service.pid())?.saturating_sub(before);
        self.texts.acknowledge(&requests, |place| poured.is_acknowledged(place));
        self.texts.acknowledge(&after, |_| true);
        let broken: usize = poured.tallies.iter().map(|tally| tally.broken.get()).sum();
        let fault = poured.pace.fault();
        ensure!(broken == 0 || fault.is_some(), "{broken} connections broke");
        let tally = poured.tallies.into_iter().next().context("there are two")?;
        Ok((Flood { tally, first_after, used }, fault))
    }
}
