//! Which records should be there, and which are.
//!
//! Comes in: how often each text was sent, and whether it was acknowledged; every record on the topics; how many texts
//! went into the journal. Goes out: a `Verdict`.
//! Always true: a text that was acknowledged is expected from the service once, however often and in however many
//! pieces it was sent, and of every floor and peer a record for each request, unless they are left aside. A text that
//! was refused or never answered may be there once, and need not; of one whose pieces were not all acknowledged nothing
//! is said, for what there is of it goes out after its time. The service may write a text again under the id it had: one
//! that waited too long for the brokers goes by way of the journal too, and readers drop ids that they have seen. So
//! such texts are told apart from those with several ids, and are no fault as long as the journal took as many.
//! Of each text one byte for each kind of server is kept, one of whether it is owed, and eight of a hash of its first
//! id. Servers are told apart by what they write: floors change the beginning of the id they repeat, the service's
//! records have headers and peers' have none.
//! Not here: reading the topics.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use super::Others;
use crate::floor;
use crate::texts::{ID_PREFIX, Script, number_of};

/// What is looked at of a record's value.
#[derive(Deserialize)]
struct Seen<'a> {
    /// Peers' records need none.
    #[serde(borrow, default)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    carrier_message_id: Cow<'a, str>,
    #[serde(borrow)]
    from: Cow<'a, str>,
    #[serde(borrow)]
    text: Cow<'a, str>,
}

/// What the service's records of one text are.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Lies {
    #[default]
    Nowhere,
    Once,
    /// More than once, under one id.
    Repeated,
    /// Under several ids.
    Doubled,
}

pub struct Judge<'a> {
    script: &'a Script,
    run: u32,
    /// Requests of each text, by its number; nothing is at 0.
    sent: &'a [u8],
    /// Whether the service acknowledged the text.
    owed: &'a [bool],
    peers: usize,
    /// Of each text, as are the two below.
    service: Vec<Lies>,
    /// Hashes of the ids that came first; nothing where a text lies nowhere.
    ids: Vec<u64>,
    /// Records.
    of_peers: Vec<u8>,
    /// Records of each floor, where they are counted.
    floors: Option<Vec<u64>>,
    misrouted: u64,
    changed: u64,
    foreign: u64,
}

/// How many of each fault, never whose.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Texts acknowledged.
    pub texts: u64,
    /// There, and not acknowledged: refused, or never answered.
    pub unacknowledged: u64,
    /// Acknowledged, and nowhere.
    pub lost: u64,
    /// There under several ids.
    pub doubled: u64,
    /// There more than once, under one id: no fault of as many as the journal took.
    pub repeated: u64,
    /// Texts that went into the service's journal.
    pub journalled: u64,
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
    /// Of each text how often it was sent, and whether it was acknowledged.
    pub fn new(script: &'a Script, run: u32, (sent, owed): (&'a [u8], &'a [bool]), others: &Others) -> Self {
        Self {
            script,
            run,
            sent,
            owed,
            peers: others.peers,
            service: vec![Lies::Nowhere; sent.len()],
            ids: vec![0; sent.len()],
            of_peers: vec![0; sent.len()],
            floors: others.floors.map(|floors| vec![0; floors]),
            misrouted: 0,
            changed: 0,
            foreign: 0,
        }
    }

    /// One record: the place of its topic, whether it has headers, its value.
    pub fn take(&mut self, topic: usize, has_headers: bool, value: &[u8]) {
        if let Some(floor) = floor::of_record(value) {
            match self.floors.as_mut().map(|floors| floors.get_mut(floor)) {
                Some(Some(count)) => *count += 1,
                Some(None) => self.foreign += 1,
                None => {}
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
        if self.sent.get(place).is_none_or(|sent| *sent == 0) {
            // Of a text that nobody sent.
            self.changed += 1;
            return;
        }
        let told = self.script.text(number);
        if told.parts > 1 && !self.owed[place] {
            return;
        }
        if has_headers {
            self.count(place, &seen.id);
        } else {
            self.of_peers[place] = self.of_peers[place].saturating_add(1);
        }
        let lacks_id = has_headers && seen.id.is_empty();
        self.misrouted += u64::from(topic != usize::from(told.department));
        self.changed += u64::from(seen.text != told.text || seen.from != told.from || lacks_id);
    }

    /// One more of the service's records of a text.
    fn count(&mut self, place: usize, id: &str) {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        let (id, first) = (hasher.finish(), &mut self.ids[place]);
        let lies = &mut self.service[place];
        *lies = match lies {
            Lies::Nowhere => {
                *first = id;
                Lies::Once
            }
            Lies::Once | Lies::Repeated if *first == id => Lies::Repeated,
            Lies::Once | Lies::Repeated | Lies::Doubled => Lies::Doubled,
        };
    }

    /// `journalled`: texts that went into the service's journal.
    pub fn verdict(&self, journalled: u64) -> Verdict {
        let Self { misrouted, changed, foreign, .. } = *self;
        let mut verdict = Verdict { misrouted, changed, foreign, journalled, ..Verdict::default() };
        for (lies, is_owed) in self.service.iter().zip(self.owed) {
            verdict.texts += u64::from(*is_owed);
            verdict.lost += u64::from(*is_owed && *lies == Lies::Nowhere);
            verdict.unacknowledged += u64::from(!is_owed && *lies != Lies::Nowhere);
            verdict.repeated += u64::from(*lies == Lies::Repeated);
            verdict.doubled += u64::from(*lies == Lies::Doubled);
        }
        for (sent, of_peers) in self.sent.iter().zip(&self.of_peers) {
            verdict.count_other(u64::from(*sent) * self.peers as u64, u64::from(*of_peers));
        }
        let requests = self.sent.iter().map(|sent| u64::from(*sent)).sum();
        self.floors.iter().flatten().for_each(|records| verdict.count_other(requests, *records));
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
        let &Self { lost, doubled, misrouted, changed, others_missing, others_too_many, .. } = self;
        let faults = [lost, doubled, misrouted, changed, others_missing, others_too_many];
        faults.into_iter().all(|count| count == 0) && self.repeated <= self.journalled
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { texts, lost, doubled, repeated, journalled, misrouted, changed, .. } = self;
        let Self { unacknowledged, others_missing, others_too_many, foreign, .. } = self;
        match (self.is_clean(), repeated) {
            (true, 0) => write!(f, "each of {texts} acknowledged texts lies once on its topic, unchanged")?,
            (true, _) => write!(f, "each of {texts} acknowledged texts lies on its topic, unchanged")?,
            (false, _) => write!(
                f,
                "of {texts} acknowledged texts {lost} are lost, {doubled} doubled, {misrouted} misrouted, {changed} changed; \
                 of the others' records {others_missing} are missing, {others_too_many} too many"
            )?,
        }
        if *repeated > 0 {
            write!(
                f,
                "; {repeated} lie there more than once, each under one id, and the journal took {journalled} texts"
            )?;
        }
        if *unacknowledged > 0 {
            write!(f, "; {unacknowledged} texts without a 200 are there too")?;
        }
        if *foreign > 0 { write!(f, " ({foreign} records of other measurements lie there too)") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
