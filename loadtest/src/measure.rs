//! The measurement: all servers warm, then rounds in turns, the same requests to each, then the check.
//!
//! Comes in: the options. Goes out: a `Report` of every round of every server. Always true: each round
//! begins with another server; each sends requests that no server has seen before it, but for the others
//! of the same round. Not here: a round (`candidate`), how it is shown (`table`), what is right (`check`).

use anyhow::{Context, ensure};
use serde::Serialize;

use crate::Options;
use crate::candidate::{Batch, Candidate, Round, Way};
use crate::check::{self, Others, Verdict};
use crate::floor::{self, FLOORS_MAX, Kind};
use crate::peers::Peer;
use crate::servers::{self, Floor, Server};
use crate::settings::{Cluster, Folder};
use crate::statistics::Sent;
use crate::texts::{self, Mix, Texts};

/// Requests to each server before anything is measured: as many as a round has, but not more.
const WARM_UP_MAX: usize = 20_000;

/// Everything that was measured.
#[derive(Serialize)]
pub struct Report {
    pub connections: u16,
    pub topics: u16,
    pub replication: u8,
    pub requests: usize,
    pub mix: Option<Mix>,
    pub seed: u64,
    /// Whether librdkafka's statistics were asked for.
    pub statistics: bool,
    pub service: Measured,
    pub floors: Vec<Measured>,
    /// Floors that do what the contract asks of every text.
    pub working: Vec<Measured>,
    /// Floors without Kafka.
    pub bare: Vec<Measured>,
    pub peers: Vec<Measured>,
    /// Peers that cannot be had here, and why.
    pub absent: Vec<(String, String)>,
    /// What the topics said; nothing without a check.
    pub check: Option<Verdict>,
}

/// One server.
#[derive(Serialize)]
pub struct Measured {
    pub name: String,
    pub rounds: Vec<Round>,
    pub memory_peak_mib: u64,
    /// What makes it differ from the others.
    pub note: Option<&'static str>,
    /// What librdkafka says, where that is asked for and known.
    pub sent: Option<Sent>,
}

/// Starts the servers, measures, and clears away what it made.
pub fn compare(options: &Options) -> anyhow::Result<Report> {
    let mix = options.mix.as_deref().map(Mix::read).transpose()?;
    if let Some(mix) = mix.as_ref().filter(|_| !options.peers.is_empty()) {
        mix.check_for_peers()?;
    }
    ensure!(options.floors.len() <= FLOORS_MAX, "--floors: {FLOORS_MAX} at most");
    floor::check_for_mix(&options.floors, mix.is_some())?;
    let carriers = mix.as_ref().map(texts::entries).transpose()?.unwrap_or_default();
    let binary = servers::binary(options.server.as_deref())?;
    let &Options { ref brokers, topics, replication, ref client, .. } = options;
    let cluster = Cluster { brokers, topics, replication, client: client.as_deref() };
    let folder = Folder::mixed(cluster, &carriers)?;
    let service = Server::service(&binary, &folder)?;
    let report = measure(options, mix, &folder, service);
    let deleted = folder.delete_topics();
    let report = report?;
    deleted.map(|()| report)
}

fn measure(options: &Options, mix: Option<Mix>, folder: &Folder, service: Server) -> anyhow::Result<Report> {
    let requests = usize::try_from(options.requests)?;
    let mut texts = Texts::of_folder(mix.as_ref(), options.seed, &folder.config, options.topics)?;
    let warm_up = Batch::sign(&mut texts, requests.min(WARM_UP_MAX))?;
    let mut candidates = vec![Candidate::new(&servers::name_of(options.client.as_deref()), Way::Server(service))];
    // The floors take their records from the service's topic.
    candidates[0].warm_up(options.connections, &warm_up)?;
    warm_up.acknowledge(&mut texts);
    for (place, kind) in options.floors.iter().enumerate() {
        let number = floor::publishing(&options.floors[..place]);
        let (mix, seed, tells) = (options.mix.as_deref(), options.seed, options.statistics);
        let floor = Floor { kind: kind.clone(), number, mix, seed, tells };
        candidates.push(Candidate::new(&kind.name(), Way::Server(Server::floor(folder, &floor)?)));
    }
    let absent = add_peers(options, folder, &mut candidates)?;
    for candidate in &mut candidates[1..] {
        candidate.warm_up(options.connections, &warm_up)?;
    }
    for number in 0..usize::from(options.rounds) {
        let batch = Batch::sign(&mut texts, requests)?;
        let first = number % candidates.len();
        let (behind, ahead) = candidates.split_at_mut(first);
        for candidate in ahead.iter_mut().chain(behind) {
            let round = candidate.round(options.connections, &batch)?;
            candidate.rounds.push(round);
        }
        batch.acknowledge(&mut texts);
    }
    for candidate in &mut candidates {
        candidate.look_at_end(options.statistics)?;
    }
    let peers = candidates[1 + options.floors.len()..].iter().filter(|peer| matches!(peer.way, Way::Server(_)));
    let others = Others { floors: Some(floor::publishing(&options.floors)), peers: peers.count() };
    // While the service still runs: it may have a text to join, or to bring from its journal.
    let check = if options.no_check { None } else { Some(check::run(folder, &texts, &others)?) };
    let mut measured = candidates.into_iter().map(Candidate::measured);
    let service = measured.next().context("the service is measured")?;
    let Sorted { floors, working, bare } = Sorted::of(&options.floors, measured.by_ref());
    Ok(Report {
        connections: options.connections,
        topics: options.topics,
        replication: options.replication,
        requests,
        mix,
        seed: options.seed,
        statistics: options.statistics,
        service,
        floors,
        working,
        bare,
        peers: measured.collect(),
        absent,
        check,
    })
}

/// Floors by what they are beside the service: only the first are what it is compared with as the best.
#[derive(Default)]
struct Sorted {
    floors: Vec<Measured>,
    working: Vec<Measured>,
    bare: Vec<Measured>,
}

impl Sorted {
    /// `measured`: the kinds' own ahead of all others.
    fn of(kinds: &[Kind], measured: impl Iterator<Item = Measured>) -> Self {
        let mut sorted = Self::default();
        for (kind, measured) in kinds.iter().zip(measured) {
            let of_kind = match kind {
                Kind::Bare => &mut sorted.bare,
                Kind::Producer(tuning) if tuning.works => &mut sorted.working,
                Kind::Producer(_) => &mut sorted.floors,
            };
            of_kind.push(measured);
        }
        sorted
    }
}

/// Starts the peers that can be had; the others, and why not.
fn add_peers(
    options: &Options,
    folder: &Folder,
    candidates: &mut Vec<Candidate>,
) -> anyhow::Result<Vec<(String, String)>> {
    let mut absent = Vec::new();
    for peer in &options.peers {
        let way = match Peer::start(peer, folder)? {
            Peer::Server(server) => Way::Server(server),
            Peer::Script(script) => Way::Script(script),
            Peer::Absent(reason) => {
                absent.push((peer.clone(), reason));
                continue;
            }
        };
        candidates.push(Candidate::new(peer, way));
    }
    Ok(absent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_floor_is_a_row_and_never_among_those_that_may_be_the_best() {
        let kinds = ["bare", "0:1", "1:1:works", "1:5"].map(|written| written.parse().expect("a kind"));
        let measured = |name: &str| Measured {
            name: name.to_owned(),
            rounds: Vec::new(),
            memory_peak_mib: 0,
            note: None,
            sent: None,
        };
        let mut all = ["bare", "0:1", "1:1:works", "1:5", "peer"].map(measured).into_iter();
        let Sorted { floors, working, bare } = Sorted::of(&kinds, all.by_ref());
        let names = |measured: Vec<Measured>| measured.into_iter().map(|one| one.name).collect::<Vec<_>>();
        assert_eq!((names(floors), names(working)), (vec!["0:1".into(), "1:5".into()], vec!["1:1:works".into()]));
        assert_eq!((names(bare), names(all.collect())), (vec!["bare".into()], vec!["peer".into()]));
    }
}
