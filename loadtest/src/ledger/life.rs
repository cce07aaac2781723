//! The life of a run, on one screen: set up, send and break, come to rest, read, judge.
//!
//! Comes in: options, seed, plan. Goes out: true when nothing was violated. Always true: processes and
//! disks made here are gone at the end; the folder stays when something is wrong.
//! Not here: each of the steps.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, bail};
use rdkafka::message::{BorrowedMessage, Message};
use serde_json::Value;
use sms_router::message::{EventId, topics as own_topics};
use tokio::runtime::Runtime;
use tokio::sync::RwLock;

use crate::book::Book;
use crate::faults::{Clock, Stage, lock};
use crate::generator::requests::Requests;
use crate::generator::{self, Load, Post};
use crate::installation::disk::Disk;
use crate::installation::process::{self, Process};
use crate::installation::services::Services;
use crate::installation::{Addresses, Installation};
use crate::judge::{self, Evidence};
use crate::plan::Plan;
use crate::reader::archive::{self, Archived};
use crate::reader::topics::{self, Beginnings};
use crate::reader::{Place, Stored, feed};
use crate::script::{DEPARTMENTS, Script};
use crate::violation::{Kind, Violation};
use crate::{Options, Profile, report};

/// Between two readings of the archive for copies that are not there yet, and how many such readings
/// in a row may find no more than the one before.
const ARCHIVE_PAUSE: Duration = Duration::from_secs(5);
const ARCHIVE_READINGS_IN_VAIN: usize = 5;

pub fn run(options: &Options, seed: u64, plan: &Plan) -> anyhow::Result<bool> {
    print!("{plan}");
    let script = Script::new(seed, options.parts);
    let root = folder(options, seed);
    let stage = set_up(options, plan, script, &root)?;
    let beginnings = own_ends(&stage)?;
    for process in stage.routers.iter().chain(&stage.archiver) {
        lock(process).start()?;
        lock(process).wait_until_ready()?;
    }
    let runtime = Runtime::new()?;
    let pause_max = Duration::from_millis(options.pause_ms);
    let load = Load { slots: options.slots, pause_max, burst: options.burst };
    let sending = runtime.spawn(generator::run(stage.post.clone(), seed, load));
    stage.play(plan)?;
    stage.post.over.store(true, Ordering::Relaxed);
    stage.say("no more texts, no more faults: coming to rest");
    runtime.block_on(sending)?;
    if let Err(error) = stage.rest(0..DEPARTMENTS.len()) {
        stage.note(Kind::Process, format!("{error:#}"));
    }
    stage.say("reading everything");
    let consents = read(&stage, &beginnings)?;
    let archived = read_archive(&stage, script, &runtime)?;
    let verdict = judge::judge(&Evidence {
        script,
        book: stage.post.book.path(),
        stored: &lock(&stage.stored),
        archived: &archived,
        consents: &consents,
        windows: &lock(&stage.windows),
    })?;
    let mut violations = verdict.violations.clone();
    violations.extend(other_violations(&stage)?);
    println!(
        "\nseed {seed}, profile {}, {} replicas\n{}",
        options.profile,
        options.replicas(),
        report::table(&verdict)
    );
    println!("answers: {}", answers(&stage.post));
    for what in lock(&stage.skipped).iter() {
        println!("SKIPPED: {what}");
    }
    print!("{}", report::violations(&violations, &root.join("violations"))?);
    let sound = violations.is_empty();
    if sound && !options.keep {
        drop(stage);
        std::fs::remove_dir_all(&root)?;
    } else {
        stage.disks.iter().for_each(Disk::keep);
        drop(stage);
        println!("everything about this run is in {}", root.display());
    }
    println!("{}", if sound { "nothing was violated" } else { "VIOLATED" });
    Ok(sound)
}

fn folder(options: &Options, seed: u64) -> PathBuf {
    let own = || std::env::temp_dir().join(format!("ledger-{seed}-{}", std::process::id()));
    options.folder.clone().unwrap_or_else(own)
}

fn set_up(options: &Options, plan: &Plan, script: Script, root: &Path) -> anyhow::Result<Stage> {
    let binary = options.server.canonicalize().with_context(|| format!("no binary {}", options.server.display()))?;
    let services = Services {
        scripts: options.services.clone(),
        kafka: options.kafka.clone(),
        cassandra: options.cassandra.clone(),
    };
    let addresses = match options.profile {
        Profile::Cluster => Addresses { brokers: services.kafka("address", &[])?, cql: services.cassandra("address")? },
        Profile::Standalone => Addresses { brokers: String::new(), cql: String::new() },
    };
    std::fs::create_dir_all(root)?;
    let root = root.canonicalize()?;
    let installation = Installation::new(root.clone(), plan.seed, options.profile, options.replicas(), addresses)?;
    let disks = disks(options, &installation);
    // The library costs each look at a clock something, and is not what runs in production.
    let clock = plan.moves_clocks().then(|| Clock::new(&root)).transpose()?;
    if options.profile == Profile::Cluster {
        process::run(&binary, &["setup"], &installation.replicas[0].folder)?;
    }
    let mut routers: Vec<Process> = installation
        .replicas
        .iter()
        .map(|replica| Process::new(&binary, &["serve"], &replica.folder, replica.monitoring))
        .collect();
    if let Some(clock) = &clock {
        let first = routers.remove(0).with(clock.environment());
        routers.insert(0, first);
    }
    let archiver = &installation.archiver;
    let archiver = (options.profile == Profile::Cluster)
        .then(|| Mutex::new(Process::new(&binary, &["archive", "run"], &archiver.folder, archiver.monitoring)));
    let post = Arc::new(Post {
        requests: Requests::new(script, &installation.config),
        book: Book::create(root.join("book"))?,
        servers: installation.replicas.iter().map(|replica| replica.inbound).collect(),
        gate: RwLock::new(()),
        clock_off_until_ms: AtomicU64::new(0),
        over: AtomicBool::new(false),
        answers: Mutex::new(BTreeMap::new()),
        refused: Mutex::new(Vec::new()),
    });
    Ok(Stage {
        binary,
        services,
        post,
        routers: routers.into_iter().map(Mutex::new).collect(),
        archiver,
        disks,
        clock,
        stored: Mutex::new(Stored::new(script)),
        generations: Mutex::new([0; DEPARTMENTS.len()]),
        windows: Mutex::new(Vec::new()),
        violations: Mutex::new(Vec::new()),
        skipped: Mutex::new(Vec::new()),
        archive_peace: Mutex::new(()),
        router_peace: Mutex::new(()),
        moved: AtomicBool::new(false),
        installation,
    })
}

/// A disk for each router, or none for any.
fn disks(options: &Options, installation: &Installation) -> Vec<Disk> {
    if !options.in_own_namespace {
        return Vec::new();
    }
    let folders = installation.replicas.iter().map(|replica| replica.folder.join("data"));
    let disks: anyhow::Result<Vec<Disk>> = folders.map(|folder| Disk::mount(&folder, options.disk_mib)).collect();
    disks.unwrap_or_else(|error| {
        eprintln!("{error:#}");
        Vec::new()
    })
}

/// Where the router's own topics end before this run: others write to them too.
fn own_ends(stage: &Stage) -> anyhow::Result<[Beginnings; 2]> {
    if stage.installation.profile == Profile::Standalone {
        return Ok([Beginnings::new(), Beginnings::new()]);
    }
    let brokers = &stage.installation.addresses.brokers;
    Ok([topics::ends(brokers, own_topics::CONSENT)?, topics::ends(brokers, own_topics::DEAD_LETTER)?])
}

/// Reads topics or feed into `stage.stored`; whose texts' wishes are on the consent stream.
fn read(stage: &Stage, [consent, dead_letter]: &[Beginnings; 2]) -> anyhow::Result<HashSet<EventId>> {
    let mut wishes = HashSet::new();
    let mut wish = |value: &[u8]| {
        let wish = serde_json::from_slice::<Value>(value).unwrap_or_default();
        wishes.extend(wish["relates_to"].as_str().and_then(|id| id.parse::<EventId>().ok()));
    };
    let letter = |value: &[u8]| {
        let letter = serde_json::from_slice::<Value>(value).unwrap_or_default();
        if letter["account"].as_str().is_some_and(|account| account.starts_with("ledger-")) {
            stage.note(Kind::DeadLettered, format!("{} for {}: {}", letter["id"], letter["reason"], letter["detail"]));
        }
    };
    match stage.installation.profile {
        Profile::Standalone => {
            read_feeds(stage)?;
            let data = &stage.installation.config.data;
            feed::stream(data, own_topics::CONSENT, wish)?;
            feed::stream(data, own_topics::DEAD_LETTER, letter)?;
        }
        Profile::Cluster => {
            (0..DEPARTMENTS.len()).try_for_each(|department| stage.drain(department).map(drop))?;
            let brokers = &stage.installation.addresses.brokers;
            let value = |message: &BorrowedMessage<'_>| message.payload().unwrap_or_default().to_vec();
            topics::drain(brokers, own_topics::CONSENT, consent, |message| wish(&value(message)))?;
            topics::drain(brokers, own_topics::DEAD_LETTER, dead_letter, |message| letter(&value(message)))?;
        }
    }
    Ok(wishes)
}

fn read_feeds(stage: &Stage) -> anyhow::Result<()> {
    let api = stage.installation.replicas[0].api;
    let mut stored = lock(&stage.stored);
    for (place, department) in DEPARTMENTS.iter().enumerate() {
        let mut offset = 0;
        feed::drain(api, department, |value| {
            offset += 1;
            stored.take(place, Place { generation: 0, partition: 0, offset }, value);
        })?;
    }
    Ok(())
}

/// Reads the archive until it has everything, or does not get further.
fn read_archive(stage: &Stage, script: Script, runtime: &Runtime) -> anyhow::Result<Archived> {
    let stored = lock(&stage.stored);
    let ids = || stored.firsts.values().map(|first| first.id);
    let sms_router::config::Archive::Cql { settings, .. } = &stage.installation.config.archive else {
        return archive::of_folder(script, &stage.installation.config.data, ids());
    };
    let (mut least, mut in_vain) = (usize::MAX, 0);
    loop {
        let archived = runtime.block_on(archive::of_cluster(script, settings))?;
        let missing = ids().filter(|id| !archived.ids.contains(id)).count();
        in_vain = if missing < least { 0 } else { in_vain + 1 };
        least = least.min(missing);
        if missing == 0 || in_vain == ARCHIVE_READINGS_IN_VAIN {
            return Ok(archived);
        }
        std::thread::sleep(ARCHIVE_PAUSE);
    }
}

/// What is wrong beside the texts themselves.
fn other_violations(stage: &Stage) -> anyhow::Result<Vec<Violation>> {
    let mut found = lock(&stage.violations).clone();
    for (key, status) in lock(&stage.post.refused).iter() {
        let detail = format!("{} answered {status}", stage.post.requests.script.text(*key).id);
        found.push(Violation { kind: Kind::Refused, key: Some(*key), detail });
    }
    for process in stage.routers.iter().chain(&stage.archiver) {
        let log = lock(process).log();
        let text = std::fs::read(&log).with_context(|| format!("{} cannot be read", log.display()))?;
        if String::from_utf8_lossy(&text).contains("panicked at") {
            found.push(Violation { kind: Kind::Process, key: None, detail: format!("a panic: {}", log.display()) });
        }
    }
    if stage.post.book.counts().1 == 0 {
        bail!("no text was ever acknowledged");
    }
    Ok(found)
}

fn answers(post: &Post) -> String {
    let answers = post.answers.lock().expect("nobody panics while counting");
    answers.iter().map(|(answer, count)| format!("{count} {answer}")).collect::<Vec<_>>().join(", ")
}
