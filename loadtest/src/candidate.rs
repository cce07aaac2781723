//! One row of the table: a server or a script, and a round of it.
//!
//! Comes in: a server or a script, the requests of a round. Goes out: how many a second, CPU for each text.
//! Always true: what the service does after its last answer to join texts of pieces is waited for, for it is
//! those texts' CPU too. Not here: whose turn it is (`measure`).

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Serialize;

use crate::cpu;
use crate::drive::{self, Crowd};
use crate::measure::Measured;
use crate::peers::Script;
use crate::servers::Server;
use crate::statistics::Sent;
use crate::texts::{Requests, Texts};

const JOINED: &str = "sms_router_joined_texts_total";
/// How long texts may take to be joined once their pieces are taken.
const JOIN_MAX: Duration = Duration::from_secs(60);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// One server answering all requests of a round.
#[derive(Clone, Copy, Serialize)]
pub struct Round {
    pub requests_per_second: f64,
    pub cpu_microseconds_per_text: f64,
}

/// The requests of one round.
pub struct Batch {
    requests: Requests,
    /// Texts in them: neither duplicates nor further pieces count.
    texts: usize,
    /// Texts in pieces since the beginning.
    in_pieces: u64,
}

/// A server, or what measures itself.
pub enum Way {
    Server(Server),
    Script(Script),
}

/// One row of the table and its rounds so far.
pub struct Candidate {
    name: String,
    pub way: Way,
    pub rounds: Vec<Round>,
    memory_peak_mib: u64,
    sent: Option<Sent>,
}

impl Batch {
    pub fn sign(texts: &mut Texts, count: usize) -> anyhow::Result<Self> {
        let before = texts.count();
        let requests = texts.sign(count)?;
        Ok(Self { requests, texts: texts.count() - before, in_pieces: texts.in_pieces() })
    }

    /// The service has answered it: a round with any other answer than 200 fails.
    pub fn acknowledge(&self, texts: &mut Texts) {
        texts.acknowledge(&self.requests, |_| true);
    }
}

impl Candidate {
    pub fn new(name: &str, way: Way) -> Self {
        Self { name: name.to_owned(), way, rounds: Vec::new(), memory_peak_mib: 0, sent: None }
    }

    /// What measures itself warms up by itself, each time.
    pub fn warm_up(&mut self, connections: u16, batch: &Batch) -> anyhow::Result<()> {
        match self.way {
            Way::Script(_) => Ok(()),
            Way::Server(_) => self.round(connections, batch).map(drop).context("before the measurement"),
        }
    }

    pub fn round(&mut self, connections: u16, batch: &Batch) -> anyhow::Result<Round> {
        let round = match &self.way {
            Way::Server(server) => of_server(server, connections, batch),
            Way::Script(script) => script.measure(batch.texts).map(|measured| {
                self.memory_peak_mib = self.memory_peak_mib.max(measured.memory_mib);
                Round {
                    requests_per_second: measured.texts as f64 / measured.seconds,
                    cpu_microseconds_per_text: measured.cpu_microseconds_per_text,
                }
            }),
        };
        round.with_context(|| self.name.clone())
    }

    /// What is to be known once all rounds are over.
    pub fn look_at_end(&mut self, statistics: bool) -> anyhow::Result<()> {
        let Way::Server(server) = &self.way else { return Ok(()) };
        self.memory_peak_mib = cpu::memory_peak_mib(server.pid())?;
        self.sent = match server.is_service() {
            true if statistics => Sent::of_service(server)?,
            _ => server.heard.sent(),
        };
        Ok(())
    }

    pub fn measured(self) -> Measured {
        let note = matches!(self.way, Way::Script(_)).then_some("no Kafka, texts of its own");
        let Self { name, rounds, memory_peak_mib, sent, .. } = self;
        Measured { name, rounds, memory_peak_mib, note, sent }
    }
}

fn of_server(server: &Server, connections: u16, batch: &Batch) -> anyhow::Result<Round> {
    let pid = server.pid();
    let mut before = Ok(Duration::ZERO);
    let crowd = Crowd::all_at_once(connections.into());
    let took = drive::run(server.address, crowd, &batch.requests, || before = cpu::used(pid))?;
    if server.is_service() && batch.in_pieces > 0 {
        wait_until_joined(server, batch.in_pieces)?;
    }
    let used = cpu::used(pid)?.saturating_sub(before?);
    Ok(Round {
        requests_per_second: batch.requests.len() as f64 / took.as_secs_f64(),
        cpu_microseconds_per_text: cpu::each_us(used, batch.texts),
    })
}

fn wait_until_joined(service: &Server, texts: u64) -> anyhow::Result<()> {
    let until = Instant::now() + JOIN_MAX;
    while service.metric_sum(JOINED)? < texts as f64 {
        ensure!(
            Instant::now() < until,
            "not all pieces were joined within {JOIN_MAX:?}: does another router read the pieces of this cluster?"
        );
        std::thread::sleep(LOOK_INTERVAL);
    }
    Ok(())
}
