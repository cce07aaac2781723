//! What came out at the other end: every copy on topics or feed, each held against the script at once.
//!
//! Comes in: records in the order of their topic. Goes out: the first copy of each text in each
//! department, how many followed, and what was wrong with any. Always true: a body is compared when it
//! is read and not kept, so millions of texts fit into memory. Not here: whether a text should be
//! there (`judge`).

pub mod archive;
pub mod feed;
pub mod topics;

use std::collections::HashMap;
use std::sync::Arc;

use sms_router::message::{EventId, Record};

use crate::script::{DEPARTMENTS, Key, Script};
use crate::violation::{Kind, Violation};

/// Where a copy lies. Places of one partition follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// How often the topic has been made again.
    pub generation: u32,
    pub partition: i32,
    pub offset: i64,
}

/// The first copy of a text in one department.
#[derive(Debug, Clone, Copy)]
pub struct First {
    pub id: EventId,
    pub place: Place,
    /// Which routes decided: a place in `Stored::versions`.
    pub version: u16,
    pub copies: u32,
}

/// Everything that was read.
pub struct Stored {
    script: Script,
    pub firsts: HashMap<(Key, u8), First>,
    pub violations: Vec<Violation>,
    versions: Vec<Arc<str>>,
}

impl Stored {
    pub fn new(script: Script) -> Self {
        Self { script, firsts: HashMap::new(), violations: Vec::new(), versions: Vec::new() }
    }

    /// One record of a department's topic or feed.
    pub fn take(&mut self, department: usize, place: Place, value: &[u8]) {
        let record = match Record::from_json(value) {
            Ok(record) => record,
            Err(error) => return self.note(Kind::Corrupted, None, format!("{department} {place:?}: {error}")),
        };
        let Some(key) = self.script.key_of(&record) else {
            return self.note(Kind::NeverSent, None, format!("{}: not of this run", record.id));
        };
        for (kind, detail) in faults_of(self.script, key, &record, department) {
            self.note(kind, Some(key), format!("{}: {detail}", record.id));
        }
        let version = self.version(&record.routes_version);
        let new = First { id: record.id, place, version, copies: 1 };
        let department = u8::try_from(department).expect("there are five departments");
        let Some(first) = self.firsts.get_mut(&(key, department)) else {
            self.firsts.insert((key, department), new);
            return;
        };
        let (id, copies) = (first.id, first.copies + 1);
        if place < first.place {
            *first = new;
        }
        first.copies = copies;
        if id != record.id {
            self.note(Kind::TwoIds, Some(key), format!("{id} and {}", record.id));
        }
    }

    /// The text's copies, by department.
    pub fn of(&self, key: Key) -> impl Iterator<Item = (u8, &First)> {
        (0..DEPARTMENTS.len() as u8)
            .filter_map(move |department| Some((department, self.firsts.get(&(key, department))?)))
    }

    /// The text's copies, if all lie in one department.
    pub fn only_of(&self, key: Key) -> Option<(u8, &First)> {
        let mut copies = self.of(key);
        copies.next().filter(|_| copies.next().is_none())
    }

    fn version(&mut self, version: &Arc<str>) -> u16 {
        let known = self.versions.iter().position(|known| known == version);
        let place = known.unwrap_or_else(|| {
            self.versions.push(version.clone());
            self.versions.len() - 1
        });
        u16::try_from(place).unwrap_or(u16::MAX)
    }

    fn note(&mut self, kind: Kind, key: Option<Key>, detail: String) {
        self.violations.push(Violation { kind, key, detail });
    }
}

/// What is wrong with a record that says it is that text; personal words are the script's, so they may
/// be named.
pub fn faults_of(script: Script, key: Key, record: &Record, department: usize) -> Vec<(Kind, String)> {
    let told = script.text(key);
    let mut faults = Vec::new();
    let mut compare = |what: &str, is: &str, should_be: &str| {
        if is != should_be {
            faults.push((Kind::Corrupted, format!("{what} is {is:?} and should be {should_be:?}")));
        }
    };
    compare("text", record.text.as_str(), &told.body);
    compare("from", record.from.as_str(), &told.from_normalised);
    compare("to", record.to.as_str(), told.to);
    compare("consent", &record.consent.is_some().to_string(), &told.consent.to_string());
    let name = DEPARTMENTS[department];
    if record.department.as_str() != name {
        faults.push((Kind::Misrouted, format!("is in {name} and says {}", record.department)));
    } else if !told.departments.contains(&department) {
        faults.push((Kind::Misrouted, format!("is in {name}: {:?}", told.body)));
    }
    faults
}
