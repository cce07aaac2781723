//! The measurement: both servers warm, then pairs of rounds in turns, the same requests to both.
//!
//! Comes in: the options. Goes out: a `Report` of every pair. Always true: neither server is always the
//! first of a pair; each round sends requests that no server has seen before it, but for its twin.
//! Not here: how it is shown (`table`).

use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use crate::Options;
use crate::servers::{self, Server};
use crate::settings::Folder;
use crate::texts::Texts;
use crate::{cpu, drive};

/// Requests to each server before anything is measured: as many as a round has, but not more.
const WARM_UP_MAX: usize = 20_000;

/// Everything that was measured.
#[derive(Serialize)]
pub struct Report {
    pub connections: usize,
    pub requests: usize,
    pub pairs: Vec<Pair>,
    pub floor_memory_peak_mib: u64,
    pub service_memory_peak_mib: u64,
}

/// One round of each server, one right after the other.
#[derive(Clone, Copy, Serialize)]
pub struct Pair {
    pub floor: Round,
    pub service: Round,
}

/// One server answering all requests of a round.
#[derive(Clone, Copy, Serialize)]
pub struct Round {
    pub requests_per_second: f64,
    pub cpu_microseconds_per_text: f64,
}

impl Pair {
    /// CPU of the service for each text, in floors.
    pub fn ratio(&self) -> f64 {
        self.service.cpu_microseconds_per_text / self.floor.cpu_microseconds_per_text
    }
}

/// Starts both servers, measures, and clears away what it made.
pub fn compare(options: &Options) -> anyhow::Result<Report> {
    let binary = match &options.server {
        Some(binary) => binary.clone(),
        None => servers::build()?,
    };
    let folder = Folder::new(&options.brokers)?;
    let service = Server::service(&binary, &folder)?;
    let report = measure(options, &folder, &service);
    drop(service);
    let deleted = folder.delete_topics();
    let report = report?;
    deleted.map(|()| report)
}

fn measure(options: &Options, folder: &Folder, service: &Server) -> anyhow::Result<Report> {
    let (connections, requests) = (usize::from(options.connections), usize::try_from(options.requests)?);
    let (account, _) = folder.config.accounts.first().context("the settings have an account")?;
    let mut texts = Texts::new(account.clone());
    let warm_up = texts.sign(requests.min(WARM_UP_MAX))?;
    round(service, connections, &warm_up).context("sms-router, before the measurement")?;
    let floor = Server::floor(folder)?;
    round(&floor, connections, &warm_up).context("the floor, before the measurement")?;
    let mut pairs = Vec::new();
    for number in 0..options.rounds {
        let requests = texts.sign(requests)?;
        let floor_round = || round(&floor, connections, &requests).context("the floor");
        let service_round = || round(service, connections, &requests).context("sms-router");
        pairs.push(if number % 2 == 0 {
            let floor = floor_round()?;
            Pair { floor, service: service_round()? }
        } else {
            let service = service_round()?;
            Pair { floor: floor_round()?, service }
        });
    }
    Ok(Report {
        connections,
        requests,
        pairs,
        floor_memory_peak_mib: cpu::memory_peak_mib(floor.pid())?,
        service_memory_peak_mib: cpu::memory_peak_mib(service.pid())?,
    })
}

fn round(server: &Server, connections: usize, requests: &[Vec<u8>]) -> anyhow::Result<Round> {
    let mut before = Ok(Duration::ZERO);
    let took = drive::run(server.address, connections, requests, || before = cpu::used(server.pid()))?;
    let used = cpu::used(server.pid())?.saturating_sub(before?);
    let count = requests.len() as f64;
    Ok(Round {
        requests_per_second: count / took.as_secs_f64(),
        cpu_microseconds_per_text: used.as_secs_f64() * 1e6 / count,
    })
}
