//! After the rounds: does every acknowledged text lie on its topic, once and unchanged?
//!
//! Comes in: what was sent, the topics of this measurement. Goes out: how many texts are lost, doubled, on
//! another topic, or changed, for the service, and how many lie there again under the id they had; how many records
//! are missing or too many, for the rest.
//! Always true: nothing of it happens in measured time; what is acknowledged and not there yet (a joined text,
//! one that the journal kept) is waited for, as long as a limit; memory is ten bytes for each text; no
//! number, id or text is told. Not here: what a text should say (`texts`).

mod journal;
mod judge;
mod records;

use std::time::{Duration, Instant};

pub use judge::Verdict;

use crate::settings::Folder;
use crate::texts::Texts;
use judge::Judge;
use records::Records;

/// How long an acknowledged text may take to its topic: the brokers' way with the journal between.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Who wrote to the topics beside the service.
pub struct Others {
    pub floors: usize,
    pub peers: usize,
}

pub fn run(folder: &Folder, texts: &Texts, others: &Others) -> anyhow::Result<Verdict> {
    let (script, topics) = (texts.script(), folder.topics());
    let mut judge = Judge::new(&script, texts.run(), texts.sent(), others);
    let mut records = Records::open(folder.brokers(), &topics)?;
    let until = Instant::now() + PATIENCE;
    loop {
        records.read_on(|topic, by_service_or_floor, value| judge.take(topic, by_service_or_floor, value))?;
        let verdict = judge.verdict(journal::taken(&folder.config.data)?);
        if verdict.nothing_missing() || Instant::now() > until {
            return Ok(verdict);
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}
