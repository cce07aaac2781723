//! The judge: the book against what came out.
//!
//! Comes in: the book, the copies that were read, the archive, the faults and their times. Goes out: a
//! row of counts for each fault and every violation by name. Always true: only the book says what was
//! sent and acknowledged, and its order says what came before what.
//! Not here: reading, printing.
//!
//! Order (the router's promise): text 2 of a sender was sent after text 1 was answered 200 by the same
//! replica, to the same department under the same routes: then the first copies lie in that order. A text
//! that another replica got too has no place in it, nor one whose copies other routes sent elsewhere, nor
//! one that came in pieces.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use sms_router::message::EventId;

use crate::book::{self, Line};
use crate::reader::archive::Archived;
use crate::reader::{First, Stored};
use crate::script::{Key, Script};
use crate::violation::{Kind, Violation};

/// A text counts under a fault if it was on its way while the fault lasted, or this long after.
const AFTERMATH_MS: u64 = 3_000;
/// How long a text that was never acknowledged counts as on its way.
const UNANSWERED_MS: u64 = 15_000;

/// When a fault was there.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    pub label: &'static str,
    pub from_ms: u64,
    pub until_ms: u64,
}

/// Everything a judgement is made from.
pub struct Evidence<'a> {
    pub script: Script,
    pub book: &'a Path,
    pub stored: &'a Stored,
    pub archived: &'a Archived,
    /// Texts whose wish is on the consent topic or stream.
    pub consents: &'a HashSet<EventId>,
    pub windows: &'a [Window],
}

/// The counts of one line of the table.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub acknowledged: u64,
    pub stored: u64,
    /// Beyond the first, all with the first's id.
    pub copies: u64,
    pub lost: u64,
    pub corrupted: u64,
    pub misrouted: u64,
    pub out_of_order: u64,
    pub never_sent: u64,
    pub not_archived: u64,
}

/// The judgement: a row for each fault, `calm` and `all`.
pub struct Verdict {
    pub rows: Vec<(&'static str, Counts)>,
    pub violations: Vec<Violation>,
}

/// What the book says of one text.
#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    sent_ms: u64,
    acknowledged_ms: Option<u64>,
    crossed: bool,
}

pub fn judge(evidence: &Evidence<'_>) -> anyhow::Result<Verdict> {
    let entries = entries(evidence.book)?;
    let mut violations = evidence.stored.violations.clone();
    violations.extend(evidence.archived.violations.iter().cloned());
    let by_id = texts_by_id(evidence.stored, &mut violations);
    for (key, entry) in &entries {
        violations.extend(of_text(evidence, *key, entry));
    }
    let never = evidence.stored.firsts.keys().filter(|(key, _)| !entries.contains_key(key));
    violations.extend(never.map(|(key, _)| violation(Kind::NeverSent, *key, "is stored".to_owned())));
    let strangers = evidence.archived.ids.iter().filter(|id| !by_id.contains_key(id));
    violations.extend(strangers.map(|id| Violation {
        kind: Kind::NeverSent,
        key: None,
        detail: format!("{id} is archived and on no topic"),
    }));
    violations.extend(order(evidence, &entries)?);
    Ok(Verdict { rows: rows(evidence, &entries, &violations), violations })
}

fn violation(kind: Kind, key: Key, detail: String) -> Violation {
    Violation { kind, key: Some(key), detail }
}

fn entries(book: &Path) -> anyhow::Result<HashMap<Key, Entry>> {
    let mut entries = HashMap::<Key, Entry>::new();
    for line in book::read(book)? {
        match line? {
            Line::Sent { key, at_ms, .. } => entries.entry(key).or_default().sent_ms = at_ms,
            Line::Crossed { key } => entries.entry(key).or_default().crossed = true,
            Line::Acknowledged { key, at_ms, .. } => {
                entries.entry(key).or_default().acknowledged_ms.get_or_insert(at_ms);
            }
        }
    }
    Ok(entries)
}

/// Which text an id stands for; two texts with one id are a violation.
fn texts_by_id(stored: &Stored, violations: &mut Vec<Violation>) -> HashMap<EventId, Key> {
    let mut by_id = HashMap::with_capacity(stored.firsts.len());
    for ((key, _), first) in &stored.firsts {
        if let Some(other) = by_id.insert(first.id, *key).filter(|other| other != key) {
            violations.push(violation(Kind::TwoIds, *key, format!("{} is also {other}", first.id)));
        }
    }
    by_id
}

/// What a text's own entry promises.
fn of_text(evidence: &Evidence<'_>, key: Key, entry: &Entry) -> Vec<Violation> {
    let mut found = Vec::new();
    let copies: Vec<(u8, &First)> = evidence.stored.of(key).collect();
    let id = || evidence.script.text(key).id;
    match (copies.first(), entry.acknowledged_ms) {
        (None, Some(at_ms)) => {
            let detail = format!("{} sent at {} ms, answered 200 at {at_ms} ms, is nowhere", id(), entry.sent_ms);
            found.push(violation(Kind::Lost, key, detail));
        }
        (Some((_, first)), _) => {
            if copies.iter().any(|(_, other)| other.id != first.id) {
                found.push(violation(Kind::TwoIds, key, format!("{copies:?}")));
            }
            if !evidence.archived.ids.contains(&first.id) {
                let detail = format!("{} sent at {} ms, {:?}", first.id, entry.sent_ms, first.place);
                found.push(violation(Kind::NotArchived, key, detail));
            }
            let wish_is_lost = !evidence.consents.contains(&first.id);
            if entry.acknowledged_ms.is_some() && wish_is_lost && evidence.script.text(key).consent {
                found.push(violation(Kind::Consent, key, format!("{} has no wish on the consent topic", first.id)));
            }
        }
        (None, None) => {}
    }
    found
}

/// Reads the book once more, in its order.
fn order(evidence: &Evidence<'_>, entries: &HashMap<Key, Entry>) -> anyhow::Result<Vec<Violation>> {
    let mut order = Order { furthest: HashMap::new(), found: Vec::new() };
    let came_whole = |key: Key| evidence.script.text(key).parts == 1;
    for line in book::read(evidence.book)? {
        match line? {
            Line::Sent { key, .. } | Line::Acknowledged { key, .. } if !came_whole(key) => {}
            Line::Sent { key, replica, at_ms } if entries.get(&key).is_some_and(|entry| !entry.crossed) => {
                evidence.stored.only_of(key).into_iter().for_each(|copy| order.sent(key, replica, at_ms, copy));
            }
            Line::Acknowledged { key, replica, .. } => {
                evidence.stored.only_of(key).into_iter().for_each(|copy| order.acknowledged(key, replica, copy));
            }
            Line::Sent { .. } | Line::Crossed { .. } => {}
        }
    }
    Ok(order.found)
}

/// For each sender, department, version of the routes and replica: the text whose first copy lies
/// furthest back, of those acknowledged so far.
struct Order {
    furthest: HashMap<(u32, u8, u16, usize), (Key, First)>,
    found: Vec<Violation>,
}

impl Order {
    fn sent(&mut self, key: Key, replica: usize, at_ms: u64, (department, first): (u8, &First)) {
        let before = self.furthest.get(&(key.sender, department, first.version, replica));
        if let Some((earlier, before)) = before.filter(|(_, before)| !follows(first, before)) {
            let detail = format!("sent at {at_ms} ms at {:?}, before {earlier} at {:?}", first.place, before.place);
            self.found.push(violation(Kind::OutOfOrder, key, detail));
        }
    }

    fn acknowledged(&mut self, key: Key, replica: usize, (department, first): (u8, &First)) {
        let place = (key.sender, department, first.version, replica);
        let furthest = self.furthest.entry(place).or_insert((key, *first));
        if follows(first, &furthest.1) {
            *furthest = (key, *first);
        }
    }
}

/// Partitions have no order among themselves: a sender's texts in two of one topic are out of order.
fn follows(later: &First, earlier: &First) -> bool {
    let (later, earlier) = (later.place, earlier.place);
    later.generation > earlier.generation
        || (later.generation == earlier.generation
            && later.partition == earlier.partition
            && later.offset > earlier.offset)
}

fn rows(
    evidence: &Evidence<'_>,
    entries: &HashMap<Key, Entry>,
    violations: &[Violation],
) -> Vec<(&'static str, Counts)> {
    let mut labels: Vec<&'static str> = evidence.windows.iter().map(|window| window.label).collect();
    labels.sort_unstable();
    labels.dedup();
    let mut rows: Vec<_> = std::iter::once("calm").chain(labels).map(|label| (label, Counts::default())).collect();
    let mut all = Counts::default();
    let mut by_key = HashMap::<Key, Vec<Kind>>::new();
    for violation in violations {
        match violation.key.filter(|key| entries.contains_key(key)) {
            Some(key) => by_key.entry(key).or_default().push(violation.kind),
            None => all.add_violation(violation.kind),
        }
    }
    for (key, entry) in entries {
        let mut counts = Counts { acknowledged: u64::from(entry.acknowledged_ms.is_some()), ..Counts::default() };
        let copies: u64 = evidence.stored.of(*key).map(|(_, first)| u64::from(first.copies)).sum();
        counts.stored = u64::from(copies > 0);
        counts.copies = copies.saturating_sub(1);
        by_key.get(key).into_iter().flatten().for_each(|kind| counts.add_violation(*kind));
        all.add(&counts);
        let under = faults_around(evidence.windows, entry);
        for (label, row) in &mut rows {
            if under.contains(label) || (under.is_empty() && *label == "calm") {
                row.add(&counts);
            }
        }
    }
    rows.push(("all", all));
    rows
}

fn faults_around(windows: &[Window], entry: &Entry) -> Vec<&'static str> {
    let end = entry.acknowledged_ms.unwrap_or(entry.sent_ms + UNANSWERED_MS);
    let around =
        windows.iter().filter(|window| entry.sent_ms <= window.until_ms + AFTERMATH_MS && end >= window.from_ms);
    around.map(|window| window.label).collect()
}

impl Counts {
    fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.stored += other.stored;
        self.copies += other.copies;
        self.lost += other.lost;
        self.corrupted += other.corrupted;
        self.misrouted += other.misrouted;
        self.out_of_order += other.out_of_order;
        self.never_sent += other.never_sent;
        self.not_archived += other.not_archived;
    }

    fn add_violation(&mut self, kind: Kind) {
        match kind {
            Kind::Lost => self.lost += 1,
            Kind::Corrupted => self.corrupted += 1,
            Kind::Misrouted => self.misrouted += 1,
            Kind::OutOfOrder => self.out_of_order += 1,
            Kind::NeverSent => self.never_sent += 1,
            Kind::NotArchived => self.not_archived += 1,
            // Listed by name, without a column.
            Kind::Expiry | Kind::TwoIds | Kind::Consent | Kind::DeadLettered | Kind::Refused | Kind::Process => {}
        }
    }
}
