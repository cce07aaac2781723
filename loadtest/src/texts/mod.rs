//! Requests as carriers push them, signed: what is sent to every server of a measurement.
//!
//! Comes in: the accounts of the settings, and a mix or none; which requests were answered 200. Goes out: whole HTTP
//! requests as bytes, how often each text has been sent, and whether it must have arrived.
//! Always true: texts are numbered through from 1 and their ids tell the number, so a text that comes out at
//! the other end is known by its id; ids are of this measurement alone; a text is sent with all its pieces or
//! not at all, and acknowledged only with all of them; two bytes are kept for each; with the same seed the same texts
//! come in the same order. Without a mix nothing is a duplicate, and all requests, and so all records, have the same
//! length.
//! Not here: sending them; what came of them (`check`).
//!
//! ```text
//! mix ─→ script: number → text, department, carrier, pieces ─→ request: signed, with or without repeats
//! ```

mod carriers;
mod chance;
mod mix;
mod request;
mod script;

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use sms_router::carrier::{Account, Draft};
use sms_router::config::Config;
use sms_router::message::Timestamp;

pub use carriers::{Entry, entries};
pub use mix::Mix;
pub use script::Script;

use crate::settings::NUMBER;
use chance::Chance;

/// Requests a duplicate may be one of: the latest ones.
const RECENT_MAX: usize = 1_000;

/// One request: the text's number, and which of its pieces, from 1; 0 for a whole text.
type Parcel = (u64, u16);

/// The requests of one run, and what each is of.
pub struct Requests {
    bytes: Vec<Vec<u8>>,
    parcels: Vec<Parcel>,
}

impl Deref for Requests {
    type Target = [Vec<u8>];

    fn deref(&self) -> &[Vec<u8>] {
        &self.bytes
    }
}

/// Makes requests, numbered through.
pub struct Texts {
    accounts: Vec<Account>,
    script: Arc<Script>,
    run: u32,
    duplicates: f64,
    chance: Chance,
    recent: VecDeque<Parcel>,
    /// Requests of each text so far; nothing is at 0.
    sent: Vec<u8>,
    /// What of each text was answered 200: a bit for each piece, the lowest for a whole text.
    acknowledged: Vec<u8>,
    in_pieces: u64,
}

impl Texts {
    /// One carrier, every department in turns, short texts.
    pub fn new(account: Account, topics: u16) -> Self {
        Self::of(vec![account], Script::plain(topics), 0.0, 0)
    }

    /// As the mix says, or else of one carrier: by the accounts of a folder that was made for it.
    pub fn of_folder(mix: Option<&Mix>, seed: u64, config: &Config, topics: u16) -> anyhow::Result<Self> {
        if let Some(mix) = mix {
            return Self::mixed(mix, seed, config, topics);
        }
        let (account, _) = config.accounts.first().context("the settings have an account")?;
        Ok(Self::new(account.clone(), topics))
    }

    /// As the mix says, by the accounts that the settings have for it.
    pub fn mixed(mix: &Mix, seed: u64, config: &Config, topics: u16) -> anyhow::Result<Self> {
        let entries = entries(mix)?;
        let account = |entry: &Entry| {
            let named = config.accounts.iter().find(|(account, _)| account.name.as_str() == entry.account);
            named.map(|(account, _)| account.clone()).context("the settings lack an account of the mix")
        };
        let accounts = entries.iter().map(account).collect::<anyhow::Result<Vec<_>>>()?;
        Ok(Self::of(accounts, Script::mixed(mix, &entries, topics, seed), mix.shares.duplicates, seed))
    }

    fn of(accounts: Vec<Account>, script: Script, duplicates: f64, seed: u64) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let run = chance::scramble(now.as_nanos() as u64 ^ u64::from(std::process::id())) as u32;
        let (recent, chance) = (VecDeque::with_capacity(RECENT_MAX), Chance::new(seed, u64::MAX));
        let (sent, acknowledged) = (vec![0], vec![0]);
        Self { accounts, script: Arc::new(script), run, duplicates, chance, recent, sent, acknowledged, in_pieces: 0 }
    }

    /// That many requests, signed now; good for five minutes. Where texts come in pieces up to two fewer: the
    /// last one must not lack any.
    pub fn sign(&mut self, count: usize) -> anyhow::Result<Requests> {
        let now = Timestamp::now();
        let mut requests = Requests { bytes: Vec::with_capacity(count), parcels: Vec::with_capacity(count) };
        while requests.len() < count {
            if !self.recent.is_empty() && self.chance.unit() < self.duplicates {
                let place = (self.chance.unit() * self.recent.len() as f64) as usize;
                let parcel = self.recent[place.min(self.recent.len() - 1)];
                self.add(&mut requests, parcel, now)?;
                continue;
            }
            let number = self.sent.len() as u64;
            let parts = self.script.text(number).parts;
            if requests.len() + usize::from(parts) > count {
                break;
            }
            self.sent.push(0);
            self.acknowledged.push(0);
            self.in_pieces += u64::from(parts > 1);
            let pieces = if parts > 1 { 1..=parts } else { 0..=0 };
            for piece in pieces {
                self.remember((number, piece));
                self.add(&mut requests, (number, piece), now)?;
            }
        }
        Ok(requests)
    }

    /// The server that is looked at answered 200 to these of the requests, by their places.
    pub fn acknowledge(&mut self, requests: &Requests, is_answered: impl Fn(usize) -> bool) {
        let answered = requests.parcels.iter().enumerate().filter(|(place, _)| is_answered(*place));
        for (_, (number, piece)) in answered {
            self.acknowledged[*number as usize] |= 1 << piece;
        }
    }

    /// Whether each text must have arrived, by its number: it was acknowledged as a whole, or in all its pieces.
    pub fn owed(&self) -> Vec<bool> {
        let is_owed = |(number, pieces): (u64, &u8)| match pieces {
            0 => false,
            1 => true,
            pieces => pieces.count_ones() == u32::from(self.script.text(number).parts),
        };
        (0..).zip(&self.acknowledged).map(is_owed).collect()
    }

    /// What each text says.
    pub fn script(&self) -> Arc<Script> {
        self.script.clone()
    }

    /// How often each text has been sent, each piece counted, by its number.
    pub fn sent(&self) -> &[u8] {
        &self.sent
    }

    /// Texts so far.
    pub fn count(&self) -> usize {
        self.sent.len() - 1
    }

    /// Those of them that were sent in pieces.
    pub fn in_pieces(&self) -> u64 {
        self.in_pieces
    }

    /// What is this measurement's own in the ids.
    pub fn run(&self) -> u32 {
        self.run
    }

    fn remember(&mut self, parcel: Parcel) {
        if self.recent.len() == RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(parcel);
    }

    fn add(&mut self, requests: &mut Requests, parcel: Parcel, now: Timestamp) -> anyhow::Result<()> {
        let (number, piece) = parcel;
        let told = self.script.text(number);
        let account = &self.accounts[told.carrier];
        let (text, part) = told.piece(piece, self.run, number);
        let draft = Draft { id: id(self.run, piece, number), from: told.from, to: NUMBER.to_owned(), text, part, now };
        let count = &mut self.sent[usize::try_from(number)?];
        *count = count.saturating_add(1);
        requests.bytes.push(request::whole(account, &account.carrier.compose(&draft, account)?));
        requests.parcels.push(parcel);
        Ok(())
    }
}

/// Ahead of every id.
pub const ID_PREFIX: &str = "loadtest-";

/// Of the same length for every text.
fn id(run: u32, piece: u16, number: u64) -> String {
    format!("{ID_PREFIX}{run:08x}{piece:02}{number:018}")
}

/// The number in an id of this measurement.
pub fn number_of(id: &str, run: u32) -> Option<u64> {
    let rest = id.strip_prefix(ID_PREFIX)?.strip_prefix(&format!("{run:08x}"))?;
    rest.get(2..).filter(|digits| digits.len() == 18)?.parse().ok()
}

#[cfg(test)]
mod tests;
