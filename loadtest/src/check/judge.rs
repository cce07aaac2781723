//! Which records should be there, and which are.
//!
//! Comes in: how often each text was sent, and every record on the topics. Goes out: a `Verdict`.
//! Always true: a text is expected from the service once, however often and in however many pieces it was
//! sent, and of every floor and peer a record for each request; one byte for each text and kind of server is
//! kept. Servers are told apart by what they write: floors change the beginning of the id they repeat, the
//! service's records have headers and peers' have none.
//! Not here: reading the topics.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::Others;
use crate::floor;
use crate::texts::{ID_PREFIX, Script, number_of};

/// What is looked at of a record's value.
#[derive(Deserialize)]
struct Seen<'a> {
    #[serde(borrow)]
    carrier_message_id: Cow<'a, str>,
    #[serde(borrow)]
    from: Cow<'a, str>,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

pub struct Judge<'a> {
    script: &'a Script,
    run: u32,
    /// Requests of each text, by its number; nothing is at 0.
    sent: &'a [u8],
    peers: usize,
    /// Records of each text.
    service: Vec<u8>,
    of_peers: Vec<u8>,
    /// Records of each floor.
    floors: Vec<u64>,
    misrouted: u64,
    changed: u64,
    foreign: u64,
}

/// How many of each fault, never whose.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Texts acknowledged.
    pub texts: u64,
    /// Acknowledged, and nowhere.
    pub lost: u64,
    /// There more than once.
    pub doubled: u64,
    /// On another topic than its department's.
    pub misrouted: u64,
    /// With other words, another sender, or not to be read.
    pub changed: u64,
    /// Records that floors and peers acknowledged and that are not there, and such as they wrote without.
    pub others_missing: u64,
    pub others_too_many: u64,
    /// Of nobody here: pieces of an earlier measurement, joined.
    pub foreign: u64,
}

impl<'a> Judge<'a> {
    pub fn new(script: &'a Script, run: u32, sent: &'a [u8], others: &Others) -> Self {
        let none = vec![0; sent.len()];
        Self {
            script,
            run,
            sent,
            peers: others.peers,
            service: none.clone(),
            of_peers: none,
            floors: vec![0; others.floors],
            misrouted: 0,
            changed: 0,
            foreign: 0,
        }
    }

    /// One record: the place of its topic, whether it has headers, its value.
    pub fn take(&mut self, topic: usize, has_headers: bool, value: &[u8]) {
        if let Some(floor) = floor::of_record(value) {
            match self.floors.get_mut(floor) {
                Some(count) => *count += 1,
                None => self.foreign += 1,
            }
            return;
        }
        let Ok(seen) = serde_json::from_slice::<Seen<'_>>(value) else {
            self.changed += 1;
            return;
        };
        let number = number_of(&seen.carrier_message_id, self.run);
        let Some((number, place)) = number.and_then(|number| Some((number, usize::try_from(number).ok()?))) else {
            // An id that is not ours at all is one of ours that was changed: nobody else writes here.
            *(if seen.carrier_message_id.starts_with(ID_PREFIX) { &mut self.foreign } else { &mut self.changed }) += 1;
            return;
        };
        let copies = if has_headers { &mut self.service } else { &mut self.of_peers };
        let Some(copies) = copies.get_mut(place) else {
            self.changed += 1;
            return;
        };
        *copies = copies.saturating_add(1);
        let told = self.script.text(number);
        self.misrouted += u64::from(topic != usize::from(told.department));
        self.changed += u64::from(seen.text != told.text || seen.from != told.from);
    }

    pub fn verdict(&self) -> Verdict {
        let Self { misrouted, changed, foreign, .. } = *self;
        let mut verdict = Verdict { misrouted, changed, foreign, ..Verdict::default() };
        for ((sent, copies), of_peers) in self.sent.iter().zip(&self.service).zip(&self.of_peers) {
            let (sent, copies) = (u64::from(*sent), u64::from(*copies));
            let once = sent.min(1);
            verdict.texts += once;
            verdict.lost += once.saturating_sub(copies);
            verdict.doubled += u64::from(copies > once);
            verdict.count_other(sent * self.peers as u64, u64::from(*of_peers));
        }
        let requests = self.sent.iter().map(|sent| u64::from(*sent)).sum();
        self.floors.iter().for_each(|records| verdict.count_other(requests, *records));
        verdict
    }
}

impl Verdict {
    fn count_other(&mut self, expected: u64, records: u64) {
        self.others_missing += expected.saturating_sub(records);
        self.others_too_many += records.saturating_sub(expected);
    }

    pub fn nothing_missing(&self) -> bool {
        self.lost == 0 && self.others_missing == 0
    }

    pub fn is_clean(&self) -> bool {
        let Self { texts: _, lost, doubled, misrouted, changed, others_missing, others_too_many, foreign: _ } = self;
        [lost, doubled, misrouted, changed, others_missing, others_too_many].into_iter().all(|count| *count == 0)
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { texts, lost, doubled, misrouted, changed, others_missing, others_too_many, foreign } = self;
        if self.is_clean() {
            write!(f, "each of {texts} acknowledged texts lies once on its topic, unchanged")?;
        } else {
            write!(
                f,
                "of {texts} acknowledged texts {lost} are lost, {doubled} doubled, {misrouted} misrouted, {changed} changed; \
                 of the others' records {others_missing} are missing, {others_too_many} too many"
            )?;
        }
        if *foreign > 0 { write!(f, " ({foreign} records of other measurements lie there too)") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
