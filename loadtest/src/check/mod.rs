//! After the rounds: does every acknowledged text lie on its topic, once and unchanged?
//!
//! Comes in: what was sent and acknowledged, the topics of this measurement. Goes out: how many texts are lost,
//! doubled, on another topic, or changed, for the service, and how many lie there again under the id they had; how many
//! records are missing or too many, for the rest.
//! Always true: nothing of it happens in measured time; what is acknowledged and not there yet (a joined text,
//! one that the journal kept) is waited for, as long as a limit; memory is eleven bytes for each text; no
//! number, id or text is told. Not here: what a text should say (`texts`).

mod journal;
mod judge;
mod records;

use std::time::{Duration, Instant};

use anyhow::ensure;

pub use judge::Verdict;

use crate::settings::Folder;
use crate::texts::Texts;
use judge::Judge;
use records::Records;

/// Why there is no check of what has no topics.
pub const EMBEDDED: &str = "the embedded store has no topics to read";

/// How long an acknowledged text may take to its topic: the brokers' way with the journal between.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Who wrote to the topics beside the service.
#[derive(Clone, Copy)]
pub struct Others {
    /// Floors that owe a record for each request; none of them where their records are known and left aside.
    pub floors: Option<usize>,
    pub peers: usize,
}

impl Others {
    /// No peers; and if there are floors, nothing is said of their records.
    pub const LEFT_ASIDE: Self = Self { floors: None, peers: 0 };
}

pub fn run(folder: &Folder, texts: &Texts, others: &Others) -> anyhow::Result<Verdict> {
    let (script, owed, topics) = (texts.script(), texts.owed(), folder.topics());
    let mut judge = Judge::new(&script, texts.run(), (texts.sent(), &owed), others);
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

/// What a report says of a check; of none, why there was none.
pub fn told(check: Option<&Verdict>, why_not: &str) -> String {
    check.map_or_else(|| format!("not checked: {why_not}"), Verdict::to_string)
}

/// Fails where the check found anything: the figures of a service that does not bring every text say nothing.
pub fn must_be_clean(check: Option<&Verdict>) -> anyhow::Result<()> {
    ensure!(check.is_none_or(Verdict::is_clean), "the figures are void: not every text arrived as it should");
    Ok(())
}
