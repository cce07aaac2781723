//! What is left of the capacity when twice as much comes?
//!
//! Comes in: how long, how many connections. Goes out: for each round the goodput (texts a second
//! answered 200 in time, while twice the capacity is sent), the capacity before it and right after it
//! (what gets answered over as many connections when fewer are under way than the service lets in, each
//! sending when it has its answer: to have a connection costs something, to be flooded should not),
//! their ratio, what was refused, and how long a single text took right after the flood.
//! Always true: both are measured against the same process; no two texts are alike; a text that no
//! connection was free for is counted as held back, not as offered; a flood whose generator fell behind (`pace`)
//! is done anew, a few times, and then all fails (the capacity before it was measured before the first); connections
//! and times are bounded; through Kafka every text that was answered 200 lies on its topic, or all fails.
//! Not here: reading the topics (`check`); whether what was answered 200 outlives a fault (that is the ledger's).

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;

use crate::check::{self, Others, Verdict};
use crate::cpu;
use crate::drive::{self, Crowd};
use crate::pace::{self, Pace, Ran};
use crate::pour::{self, Flow};
use crate::schedule::Schedule;
use crate::servers::{self, Server};
use crate::settings::{Cluster, Folder};
use crate::tally::Tally;
use crate::texts::Texts;

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
    /// The binary to measure; built from this workspace if left out
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
}

/// One capacity and the flood after it.
struct Round {
    capacity: f64,
    offered: f64,
    goodput: f64,
    refused: f64,
    late: usize,
    held_back: usize,
    first_after_ms: f64,
    /// CPU of the service for each text while the capacity was measured, in microseconds.
    cpu_each: f64,
    /// CPU of the service for each request of the flood, refused or not.
    cpu_each_in_flood: f64,
    /// Floods before it that did not count.
    discarded: u8,
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
    let memory = cpu::memory_peak_mib(service.pid());
    drop(service);
    if arguments.brokers.is_some() {
        folder.delete_topics()?;
    }
    let (rounds, check) = measured?;
    print(&rounds, memory?, check.as_ref());
    check::must_be_clean(check.as_ref())
}

/// The rounds, and what the topics said.
fn measure(arguments: &Arguments, folder: &Folder, service: &Server) -> anyhow::Result<(Vec<Round>, Option<Verdict>)> {
    let (account, _) = folder.config.accounts.first().context("the settings have an account")?;
    let mut trial = Trial { arguments, service, texts: Texts::new(account.clone(), 1) };
    let seconds = f64::from(arguments.seconds);
    let (guess, _) = trial.closed_loop(WARM_UP)?;
    let (mut capacity, mut cpu_each) = trial.closed_loop((guess * seconds) as usize)?;
    let mut rounds = Vec::new();
    for _ in 0..arguments.rounds {
        let due = capacity * arguments.times;
        let whole = LEAD_IN.as_secs_f64() + seconds;
        let (flood, discarded) = pace::counted("lower --times or --crowd", || trial.flood(due))?;
        let Flood { tally, first_after, used } = flood;
        let sent = tally.sent.get();
        let (before, cpu_before) = (capacity, cpu_each);
        (capacity, cpu_each) = trial.closed_loop((before * seconds) as usize)?;
        rounds.push(Round {
            capacity: f64::midpoint(before, capacity),
            offered: sent as f64 / seconds,
            goodput: tally.in_time.get() as f64 / seconds,
            refused: tally.refused.get() as f64 / seconds,
            late: tally.late.get(),
            held_back: ((due * seconds) as usize).saturating_sub(sent),
            first_after_ms: first_after.as_secs_f64() * 1e3,
            cpu_each: f64::midpoint(cpu_before, cpu_each),
            cpu_each_in_flood: (used.as_secs_f64() / whole) * 1e6 / (sent as f64 / seconds),
            discarded,
        });
    }
    // While the service still runs: it may have a text to bring from its journal.
    let check = || check::run(folder, &trial.texts, &Others::LEFT_ASIDE);
    let check = arguments.brokers.as_ref().map(|_| check()).transpose()?;
    Ok((rounds, check))
}

impl Trial<'_> {
    /// Texts a second of connections that wait for their answers, and what one cost in microseconds of CPU.
    fn closed_loop(&mut self, count: usize) -> anyhow::Result<(f64, f64)> {
        let Self { arguments, service, .. } = *self;
        let requests = self.texts.sign(count)?;
        let before = cpu::used(service.pid())?;
        let crowd =
            Crowd { connections: arguments.crowd.into(), at_once: arguments.at_once.into(), awake: arguments.awake };
        let took = drive::run(service.address, crowd, &requests, || {})?;
        let used = cpu::used(service.pid())?.saturating_sub(before);
        self.texts.acknowledge(&requests, |_| true);
        Ok((count as f64 / took.as_secs_f64(), used.as_secs_f64() * 1e6 / count as f64))
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
        self.texts.acknowledge(&requests, |place| poured.acknowledged[place].get());
        self.texts.acknowledge(&after, |_| true);
        let broken: usize = poured.tallies.iter().map(|tally| tally.broken.get()).sum();
        let fault = poured.pace.fault();
        ensure!(broken == 0 || fault.is_some(), "{broken} connections broke");
        let tally = poured.tallies.into_iter().next().context("there are two")?;
        Ok((Flood { tally, first_after, used }, fault))
    }
}

#[expect(clippy::print_stdout, reason = "the report")]
fn print(rounds: &[Round], memory_mib: u64, check: Option<&Verdict>) {
    println!(
        "capacity/s  offered/s  goodput/s  refused/s   late  held back  next text ms  CPU µs each  in flood  goodput/capacity"
    );
    for round in rounds {
        let &Round { capacity, offered, goodput, refused, late, held_back, first_after_ms, .. } = round;
        let &Round { cpu_each, cpu_each_in_flood, .. } = round;
        println!(
            "{capacity:>10.0} {offered:>10.0} {goodput:>10.0} {refused:>10.0} {late:>6} {held_back:>10} {first_after_ms:>13.1} {cpu_each:>12.1} {cpu_each_in_flood:>9.1} {:>17.3}",
            goodput / capacity
        );
    }
    let mut ratios: Vec<f64> = rounds.iter().map(|round| round.goodput / round.capacity).collect();
    ratios.sort_by(f64::total_cmp);
    print!("{}", pace::done_anew(rounds.iter().map(|round| round.discarded)));
    println!("median goodput/capacity {:.3}; peak memory {memory_mib} MiB", ratios[ratios.len() / 2]);
    println!("{}", check::told(check, check::EMBEDDED));
}
