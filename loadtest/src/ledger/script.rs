//! What every text of a run says: a function of the seed, the sender and the number in sequence.
//!
//! Comes in: a seed and a `Key`. Goes out: the text, its numbers, its carrier, its id, and which
//! departments may get it. Always true: nothing needs to be remembered to judge a text that comes out
//! at the other end; ids and bodies tell seed, sender and number (consent words, which must be the
//! whole message, tell it by their id only). Not here: when and how often it is sent.

use std::fmt;

use sms_router::message::Record;

use crate::random::mix;

pub const DEPARTMENTS: [&str; 5] = ["contact-centre", "highways", "parking", "waste", "libraries"];
/// The short code, and a number that only the routes' `*` knows.
const NUMBERS: [&str; 2] = ["86555", "60300"];
/// Numbers that Ofcom keeps for drama: 07700 900000 to 900999.
pub const SENDERS: u32 = 1_000;
/// A sender stays with one subject for so many texts, so that order within a department is at stake.
const RUN_LENGTH: u32 = 6;

const CONTACT: &[usize] = &[0];
const HIGHWAYS: &[usize] = &[1];
const PARKING: &[usize] = &[2];
const WASTE: &[usize] = &[3];
/// The keyword that good reloads move to and fro.
const MOVING: &[usize] = &[3, 4];

/// Beginnings and the departments they lead to. `bingo` and `iced` begin like keywords and are none.
const SUBJECTS: [(&[usize], &[&str]); 12] = [
    (HIGHWAYS, &["Snow on Main St", "GRIT!", "ice:", "\u{201c}snow\u{201d}", "snow,"]),
    (HIGHWAYS, &["grit", "  ICE", "Snow-main st"]),
    (HIGHWAYS, &["snow\tdrift", "Ice"]),
    (HIGHWAYS, &["SNOW"]),
    (PARKING, &["Park pay AB12 CDE", "PARK PAY"]),
    (PARKING, &["park  pay", "park pay:"]),
    (PARKING, &["Park Pay!"]),
    (WASTE, &["bin", "Bin missed"]),
    (WASTE, &["BIN."]),
    (MOVING, &["flip", "FLIP side"]),
    (CONTACT, &["Hello", "bingo night", "iced over"]),
    (CONTACT, &["Where is the library?", "park", "thanks"]),
];
const CONSENT_WORDS: [&str; 4] = ["STOP", "start", "Help", " stop. "];
/// Ends that a careless hand would change.
const ENDINGS: [&str; 8] = [
    "",
    "",
    "",
    " Main St  ",
    " na\u{ef}ve \u{2603} \u{1f6a7}",
    "\nline two\ttab",
    " \"it's\" <b>&amp;</b> 100%",
    "LONG",
];

/// One text: who wrote it and the how many-th of that sender it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub sender: u32,
    pub sequence: u32,
}

/// Whose format a sender's texts come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    Generic,
    Twilio,
    Kannel,
}

/// Everything about one text.
pub struct Told {
    pub carrier: Carrier,
    pub id: String,
    /// As the carrier writes it.
    pub from: String,
    /// As it must come out.
    pub from_normalised: String,
    pub to: &'static str,
    pub body: String,
    /// Places in `DEPARTMENTS`; two where a reload moves the keyword.
    pub departments: &'static [usize],
    pub consent: bool,
    /// In how many pieces it is pushed.
    pub parts: u16,
}

/// All texts of a run.
#[derive(Clone, Copy)]
pub struct Script {
    seed: u64,
    with_parts: bool,
}

impl Script {
    pub fn new(seed: u64, with_parts: bool) -> Self {
        Self { seed, with_parts }
    }

    pub fn text(self, key: Key) -> Told {
        let carrier = self.carrier(key.sender);
        let chance = self.chance(key.sender, key.sequence);
        let consent = chance.is_multiple_of(37);
        let (departments, beginning) = self.subject(key, chance);
        let parts = if self.with_parts && carrier == Carrier::Generic && !consent && chance % 11 == 3 {
            2 + (chance >> 8) as u16 % 3
        } else {
            1
        };
        let body = if consent {
            CONSENT_WORDS[(chance >> 16) as usize % CONSENT_WORDS.len()].to_owned()
        } else {
            let ending = ENDINGS[(chance >> 24) as usize % ENDINGS.len()];
            let ending = if ending == "LONG" || parts > 1 { " a long story".repeat(24) } else { ending.to_owned() };
            format!("{beginning} {}{ending}", self.mark(key))
        };
        let number = format!("7700900{:03}", key.sender % SENDERS);
        let from_normalised = format!("+44{number}");
        let from = if carrier == Carrier::Kannel { format!("0{number}") } else { from_normalised.clone() };
        let departments = if consent { CONTACT } else { departments };
        // Only what has no keyword of 86555 may go to the other number.
        let to = NUMBERS[usize::from(departments == CONTACT && chance >> 40 & 3 == 0)];
        Told { carrier, id: self.id(key), from, from_normalised, to, body, departments, consent, parts }
    }

    pub fn carrier(self, sender: u32) -> Carrier {
        match sender % 10 {
            0..=6 => Carrier::Generic,
            7 | 8 => Carrier::Twilio,
            _ => Carrier::Kannel,
        }
    }

    /// The carrier's id: 34 characters, like Twilio's.
    fn id(self, key: Key) -> String {
        format!("SM{:08x}{:08x}{:016x}", self.seed as u32, key.sender, key.sequence)
    }

    fn mark(self, key: Key) -> String {
        format!("[{:08x} {} {}]", self.seed as u32, key.sender, key.sequence)
    }

    fn subject(self, key: Key, chance: u64) -> (&'static [usize], &'static str) {
        let run = self.chance(key.sender, u32::MAX - key.sequence / RUN_LENGTH);
        let (departments, beginnings) = SUBJECTS[run as usize % SUBJECTS.len()];
        (departments, beginnings[(chance >> 32) as usize % beginnings.len()])
    }

    fn chance(self, sender: u32, place: u32) -> u64 {
        mix(mix(self.seed) ^ (u64::from(sender) << 32 | u64::from(place)))
    }

    /// Which text a record claims to be: by its carrier's id, or by the mark in its body where it was
    /// joined of pieces and its id is another. `None`: none of this run.
    pub fn key_of(self, record: &Record) -> Option<Key> {
        record.carrier_message_id.as_deref().and_then(|id| self.key_of_id(id)).or_else(|| self.marked(record))
    }

    fn key_of_id(self, id: &str) -> Option<Key> {
        let hex = id.strip_prefix("SM").filter(|hex| hex.is_ascii() && hex.len() == 32)?;
        let seed = u32::from_str_radix(&hex[..8], 16).ok()?;
        let sender = u32::from_str_radix(&hex[8..16], 16).ok()?;
        let sequence = u32::from_str_radix(&hex[16..], 16).ok()?;
        (seed == self.seed as u32).then_some(Key { sender, sequence })
    }

    fn marked(self, record: &Record) -> Option<Key> {
        let (mark, _) = record.text.as_str().split_once('[')?.1.split_once(']')?;
        let mut words = mark.split(' ');
        let seed = u32::from_str_radix(words.next()?, 16).ok()?;
        let (sender, sequence) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        (seed == self.seed as u32).then_some(Key { sender, sequence })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sender {} text {}", self.sender, self.sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_tells_what_it_is() {
        let script = Script::new(7, true);
        for sequence in 0..500 {
            let key = Key { sender: 123, sequence };
            let told = script.text(key);
            assert_eq!(script.key_of_id(&told.id), Some(key));
            assert_eq!(Script::new(8, true).key_of_id(&told.id), None);
            assert!(told.consent || told.body.contains(&script.mark(key)));
            assert!(told.parts == 1 || told.body.len() > 160);
        }
    }
}
