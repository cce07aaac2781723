//! The measurement: all servers warm, then rounds in turns, the same requests to each.
//!
//! Comes in: the options. Goes out: a `Report` of every round of every server. Always true: each round
//! begins with another server; each sends requests that no server has seen before it, but for the others
//! of the same round. Not here: how it is shown (`table`).

use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use crate::Options;
use crate::cpu;
use crate::drive::{self, Crowd};
use crate::servers::{self, Server};
use crate::settings::{Cluster, Folder};
use crate::texts::Texts;

/// Requests to each server before anything is measured: as many as a round has, but not more.
const WARM_UP_MAX: usize = 20_000;

/// Everything that was measured.
#[derive(Serialize)]
pub struct Report {
    pub connections: u16,
    pub topics: u16,
    pub replication: u8,
    pub requests: usize,
    pub service: Measured,
    pub floors: Vec<Measured>,
    pub peers: Vec<Measured>,
}

/// One server.
#[derive(Serialize)]
pub struct Measured {
    pub name: String,
    pub rounds: Vec<Round>,
    pub memory_peak_mib: u64,
}

/// One server answering all requests of a round.
#[derive(Clone, Copy, Serialize)]
pub struct Round {
    pub requests_per_second: f64,
    pub cpu_microseconds_per_text: f64,
}

/// A server and its rounds so far.
struct Candidate {
    name: String,
    server: Server,
    rounds: Vec<Round>,
}

/// Starts the servers, measures, and clears away what it made.
pub fn compare(options: &Options) -> anyhow::Result<Report> {
    let binary = match &options.server {
        Some(binary) => binary.clone(),
        None => servers::build()?,
    };
    let cluster = Cluster { brokers: &options.brokers, topics: options.topics, replication: options.replication };
    let folder = Folder::new(cluster)?;
    let service = Server::service(&binary, &folder)?;
    let report = measure(options, &folder, service);
    let deleted = folder.delete_topics();
    let report = report?;
    deleted.map(|()| report)
}

fn measure(options: &Options, folder: &Folder, service: Server) -> anyhow::Result<Report> {
    let requests = usize::try_from(options.requests)?;
    let (account, _) = folder.config.accounts.first().context("the settings have an account")?;
    let mut texts = Texts::new(account.clone(), options.topics);
    let warm_up = texts.sign(requests.min(WARM_UP_MAX))?;
    let mut candidates = vec![Candidate::new("sms-router serve", service)];
    // The floors take their record from the service's topic.
    candidates[0].warm_up(options, &warm_up)?;
    for tuning in &options.floors {
        let name = format!("floor, linger {}, in flight {}", tuning.linger, tuning.in_flight);
        candidates.push(Candidate::new(&name, Server::floor(folder, tuning)?));
    }
    for peer in &options.peers {
        candidates.push(Candidate::new(peer, Server::peer(peer, folder)?));
    }
    for candidate in &candidates[1..] {
        candidate.warm_up(options, &warm_up)?;
    }
    for number in 0..usize::from(options.rounds) {
        let requests = texts.sign(requests)?;
        let first = number % candidates.len();
        let (behind, ahead) = candidates.split_at_mut(first);
        for candidate in ahead.iter_mut().chain(behind) {
            let round = candidate.round(options, &requests)?;
            candidate.rounds.push(round);
        }
    }
    let mut measured = candidates.into_iter().map(Candidate::measured);
    Ok(Report {
        connections: options.connections,
        topics: options.topics,
        replication: options.replication,
        requests,
        service: measured.next().context("the service is measured")??,
        floors: measured.by_ref().take(options.floors.len()).collect::<Result<_, _>>()?,
        peers: measured.collect::<Result<_, _>>()?,
    })
}

impl Candidate {
    fn new(name: &str, server: Server) -> Self {
        Self { name: name.to_owned(), server, rounds: Vec::new() }
    }

    fn warm_up(&self, options: &Options, requests: &[Vec<u8>]) -> anyhow::Result<()> {
        self.round(options, requests).map(drop).context("before the measurement")
    }

    fn round(&self, options: &Options, requests: &[Vec<u8>]) -> anyhow::Result<Round> {
        let pid = self.server.pid();
        let mut before = Ok(Duration::ZERO);
        let connections = options.connections.into();
        let took =
            drive::run(self.server.address, Crowd::all_at_once(connections), requests, || before = cpu::used(pid))
                .with_context(|| self.name.clone())?;
        let used = cpu::used(pid)?.saturating_sub(before?);
        let count = requests.len() as f64;
        Ok(Round {
            requests_per_second: count / took.as_secs_f64(),
            cpu_microseconds_per_text: used.as_secs_f64() * 1e6 / count,
        })
    }

    fn measured(self) -> anyhow::Result<Measured> {
        let memory_peak_mib = cpu::memory_peak_mib(self.server.pid())?;
        Ok(Measured { name: self.name, rounds: self.rounds, memory_peak_mib })
    }
}
