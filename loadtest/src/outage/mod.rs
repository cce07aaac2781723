//! What happens when all brokers are back: how soon texts flow, how fast the journal drains, what new
//! texts wait meanwhile.
//!
//! Comes in: the name of a cluster that `tests/services/kafka.sh` runs. Goes out: for each round the
//! capacity right before, texts that waited in the journal, the time from the brokers' return until the
//! topic grew again and until the journal was empty, the drain as a share of the capacity, and the
//! slowest answer of new texts that came all the while, from when they were due.
//! Always true: brokers are frozen, so their return costs no start; the same process is measured
//! throughout; brokers are thawed however a round ends; a round whose generator fell behind (`pace`) is done
//! anew, a few times, and then all fails; every text that was answered 200 lies on its topic at the end, or all fails;
//! texts, connections and times are bounded.
//! Not here: how it is shown (`report`); reading the topics (`check`); whether texts outlive other faults (that is the
//! ledger's).

mod report;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use clap::Args;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::check::{self, Others};
use crate::drive::{self, Crowd};
use crate::pace::{self, Pace, Ran};
use crate::pour::{self, Flow, Poured};
use crate::schedule::Schedule;
use crate::servers::{self, Server};
use crate::settings::{Cluster, Folder};
use crate::texts::Texts;

use report::{Answers, Report, Round};

/// Texts before anything is measured.
const WARM_UP: usize = 20_000;
/// Texts of one look at the capacity.
const CAPACITY_TEXTS: usize = 60_000;
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// Longest wait for an empty journal.
const DRAIN_MAX: Duration = Duration::from_secs(120);
/// An answer that comes later is late.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long a broker's answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);
const WAITING: &str = "sms_router_journal_messages";

/// What one measurement is made of.
#[derive(Args)]
pub struct Arguments {
    /// The cluster's name, as `kafka.sh start NAME` was told
    #[arg(long)]
    kafka: String,
    /// The folder of the services' scripts
    #[arg(long, value_name = "FOLDER", default_value = "tests/services")]
    services: PathBuf,
    /// Connections while the capacity is measured
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4_096))]
    connections: u16,
    /// Connections over which texts come during the outage and after it
    #[arg(long, default_value_t = 800, value_parser = clap::value_parser!(u16).range(1..=4_096))]
    crowd: u16,
    /// How many texts come all the while, in capacities
    #[arg(long, default_value_t = 0.25)]
    share: f64,
    /// Seconds of each outage
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u8).range(3..=60))]
    seconds: u8,
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=20))]
    rounds: u8,
    /// One JSON object instead of the table
    #[arg(long)]
    json: bool,
    /// The binary to measure; built from this workspace if left out
    #[arg(long, value_name = "FILE")]
    server: Option<PathBuf>,
}

/// The brokers, and the script that stops and continues them.
struct Brokers<'a> {
    script: PathBuf,
    name: &'a str,
    addresses: String,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let binary = servers::binary(arguments.server.as_deref())?;
    sms_router::server::allow_open_files(usize::from(arguments.crowd) + 500);
    let brokers = Brokers::find(&arguments.services, &arguments.kafka)?;
    let folder = Folder::with(
        Cluster::small(&brokers.addresses),
        "account_share_percent = 100\ndepartment_share_percent = 100",
        &[],
    )?;
    let service = Server::service(&binary, &folder)?;
    let measured = measure(arguments, &folder, &service, &brokers);
    drop(service);
    // However it ended, the cluster is whole for whoever comes next.
    brokers.signal("thaw")?;
    folder.delete_topics()?;
    let report = measured?;
    report::print(&report, arguments.json)?;
    check::must_be_clean(Some(&report.check))
}

fn measure(arguments: &Arguments, folder: &Folder, service: &Server, brokers: &Brokers<'_>) -> anyhow::Result<Report> {
    let (account, _) = folder.config.accounts.first().context("the settings have an account")?;
    let mut texts = Texts::new(account.clone(), 1);
    closed_loop(arguments, service, &mut texts, WARM_UP)?;
    let topic = Topic { consumer: brokers.consumer()?, name: folder.topics().remove(0) };
    let mut run = || outage(arguments, service, brokers, &topic, &mut texts);
    let rounds = (0..arguments.rounds).map(|_| pace::counted("lower --share or --crowd", &mut run));
    let rounds = rounds.collect::<anyhow::Result<_>>()?;
    // While the service still runs: it may have a text to bring from its journal.
    let check = check::run(folder, &texts, &Others::LEFT_ASIDE)?;
    Ok(Report::new(arguments, rounds, check))
}

/// Texts a second of connections that wait for their answers.
fn closed_loop(arguments: &Arguments, service: &Server, texts: &mut Texts, count: usize) -> anyhow::Result<f64> {
    let requests = texts.sign(count)?;
    let took = drive::run(service.address, Crowd::all_at_once(arguments.connections.into()), &requests, || {})?;
    texts.acknowledge(&requests, |_| true);
    Ok(count as f64 / took.as_secs_f64())
}

fn outage(
    arguments: &Arguments,
    service: &Server,
    brokers: &Brokers<'_>,
    topic: &Topic,
    texts: &mut Texts,
) -> anyhow::Result<Ran<Round>> {
    let capacity = closed_loop(arguments, service, texts, CAPACITY_TEXTS)?;
    let seconds = Duration::from_secs(arguments.seconds.into());
    let rate = capacity * arguments.share;
    let over = AtomicBool::new(false);
    let pour = |time, requests: &[Vec<u8>]| {
        let flow = Flow {
            server: service.address,
            connections: arguments.crowd,
            schedule: Schedule::constant(rate, time),
            drained: false,
            awake: false,
            over: &over,
            patience: PATIENCE,
            pace: Pace::default(),
            tallies: 1,
            file: &|event| (event.now < time && !over.load(Ordering::Relaxed)).then_some(0),
        };
        pour::run(&flow, requests)
    };
    let requests = texts.sign((rate * seconds.as_secs_f64()) as usize)?;
    brokers.signal("freeze")?;
    let during = pour(seconds, &requests)?;
    texts.acknowledge(&requests, |place| during.is_acknowledged(place));
    let waiting = until_told(service, |waiting| waiting > 0.0)?;
    let new = texts.sign((rate * DRAIN_MAX.as_secs_f64() / 2.0) as usize)?;
    let (flowing, empty, after) = std::thread::scope(|scope| {
        brokers.signal("thaw")?;
        let began = Instant::now();
        let pouring = scope.spawn(|| pour(DRAIN_MAX, &new));
        let flowing = topic.grows_after(began);
        let empty = until_told(service, |waiting| waiting == 0.0).map(|_| began.elapsed());
        over.store(true, Ordering::Relaxed);
        let after = pouring.join().expect("the generator does not panic")?;
        anyhow::Ok((flowing?, empty?, after))
    })?;
    texts.acknowledge(&new, |place| after.is_acknowledged(place));
    let fault = during.pace.fault().or(after.pace.fault());
    let (flowing_seconds, empty_seconds) = (flowing.as_secs_f64(), empty.as_secs_f64());
    let (during, after) = (answers(&during)?, answers(&after)?);
    Ok((Round { capacity, waiting, flowing_seconds, empty_seconds, during, after }, fault))
}

fn answers(poured: &Poured) -> anyhow::Result<Answers> {
    poured.tallies.first().map(Answers::of).context("there is one tally")
}

/// The number of texts in the journal, once it is as it should be; the gauge is set every second.
fn until_told(service: &Server, is_right: impl Fn(f64) -> bool) -> anyhow::Result<f64> {
    let until = Instant::now() + DRAIN_MAX;
    std::thread::sleep(Duration::from_secs(1));
    loop {
        let waiting = service.metric(WAITING)?;
        if is_right(waiting) {
            return Ok(waiting);
        }
        ensure!(Instant::now() < until, "{waiting} texts wait in the journal after {DRAIN_MAX:?}");
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// The service's topic, as a bystander sees it.
struct Topic {
    consumer: BaseConsumer,
    name: String,
}

impl Topic {
    /// From the first answer of a broker until the topic's end has moved.
    fn grows_after(&self, began: Instant) -> anyhow::Result<Duration> {
        let end = loop {
            ensure!(began.elapsed() < DRAIN_MAX, "no broker answers");
            if let Ok(end) = self.end() {
                break end;
            }
        };
        let answered = Instant::now();
        while self.end().is_ok_and(|now| now == end) {
            ensure!(answered.elapsed() < DRAIN_MAX, "nothing comes to the topic");
            std::thread::sleep(LOOK_INTERVAL / 4);
        }
        Ok(answered.elapsed())
    }

    fn end(&self) -> anyhow::Result<i64> {
        Ok(self.consumer.fetch_watermarks(&self.name, 0, ANSWER_MAX)?.1)
    }
}

impl<'a> Brokers<'a> {
    fn find(services: &Path, name: &'a str) -> anyhow::Result<Self> {
        let mut brokers = Self { script: services.join("kafka.sh"), name, addresses: String::new() };
        brokers.addresses = brokers.ask(&["address", name])?;
        Ok(brokers)
    }

    /// `freeze` or `thaw`, all of them.
    fn signal(&self, command: &str) -> anyhow::Result<()> {
        let ids: Vec<String> = (1..=self.addresses.split(',').count()).map(|id| id.to_string()).collect();
        let ids = ids.iter().map(String::as_str);
        self.ask(&[command, self.name].into_iter().chain(ids).collect::<Vec<_>>()).map(drop)
    }

    fn ask(&self, arguments: &[&str]) -> anyhow::Result<String> {
        // Its standard error is ours: a pipe would be held open by the servers it leaves behind.
        let output = Command::new(&self.script).args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = output.with_context(|| format!("{} does not start", self.script.display()))?;
        ensure!(output.status.success(), "{} {arguments:?}: {}", self.script.display(), output.status);
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    fn consumer(&self) -> anyhow::Result<BaseConsumer> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.addresses).set("group.id", "loadtest");
        Ok(config.set("reconnect.backoff.max.ms", "100").create()?)
    }
}
