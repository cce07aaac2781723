//! The audit copies: from the CQL tables themselves, or from the embedded store.
//!
//! Comes in: a keyspace or a folder. Goes out: for each id when it was received and when it expires, and
//! what is wrong with any copy. Always true: all three tables of the cluster profile are read whole, so
//! a copy that one question finds and another does not is seen; a sample goes the way `archive get`
//! goes. Not here: which ids should be there.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, ensure};
use futures_util::TryStreamExt;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::statement::Statement;
use scylla::value::CqlTimestamp;
use sms_router::archive::Archive;
use sms_router::message::{AuditCopy, AuditQuery, EventId, Timestamp};
use sms_router::store;

use super::faults_of;
use crate::script::{DEPARTMENTS, Script};
use crate::violation::{Kind, Violation};

/// Rows of one page of a whole table.
const PAGE_ROWS: i32 = 2_000;
/// Ids that are also asked for one by one.
const SAMPLE: usize = 200;
/// How far a row's time to live may be from its expiry: seconds are rounded, reading takes time.
const TTL_TOLERANCE_SECONDS: i64 = 120;

/// All audit copies of this run.
#[derive(Default)]
pub struct Archived {
    pub ids: HashSet<EventId>,
    pub violations: Vec<Violation>,
}

type Row = (EventId, CqlTimestamp, CqlTimestamp, Vec<u8>, Option<i32>);

/// The three tables of a keyspace. A row must be in all of them to count.
pub async fn of_cluster(script: Script, settings: &sms_router::archive::Settings) -> anyhow::Result<Archived> {
    let session = SessionBuilder::new().known_nodes(&settings.nodes).build().await?;
    let mut archived = Archived::default();
    let mut tables = HashMap::new();
    for table in ["by_id", "by_sender", "by_department"] {
        let mut ids = HashSet::new();
        let rows = rows(&session, &settings.keyspace, table).await?;
        let mut rows = rows.rows_stream::<Row>()?;
        while let Some((id, received_at, expires_at, content, ttl)) = rows.try_next().await? {
            ids.insert(id);
            let copy = copy(id, expires_at, &content)?;
            archived.look_at(script, table, &copy, Some(received_at.0));
            archived.look_at_ttl(table, &copy, ttl);
        }
        tables.insert(table, ids);
    }
    archived.ids = tables["by_id"].iter().filter(|id| tables.values().all(|ids| ids.contains(id))).copied().collect();
    archived.ask_for_some(settings).await?;
    Ok(archived)
}

/// The embedded store beside a running `serve`.
pub fn of_folder(script: Script, data: &Path, ids: impl Iterator<Item = EventId>) -> anyhow::Result<Archived> {
    let reader = store::Reader::open(data)?;
    let (mut archived, now) = (Archived::default(), Timestamp::now());
    for id in ids {
        let found = reader.find(&AuditQuery::Id(id), &[], now)?;
        ensure!(found.len() <= 1, "{id} is in the archive {} times", found.len());
        if let Some(copy) = found.first() {
            archived.ids.insert(id);
            archived.look_at(script, "audit", copy, None);
        }
    }
    Ok(archived)
}

async fn rows(session: &Session, keyspace: &str, table: &str) -> anyhow::Result<scylla::client::pager::QueryPager> {
    let cql = format!("SELECT id, received_at, expires_at, content, TTL(content) FROM \"{keyspace}\".{table}");
    let statement = Statement::new(cql).with_page_size(PAGE_ROWS);
    session.query_iter(statement, ()).await.with_context(|| format!("table {table}"))
}

fn copy(id: EventId, expires_at: CqlTimestamp, content: &[u8]) -> anyhow::Result<AuditCopy> {
    let (format, value) = content.split_first().with_context(|| format!("{id} has an empty copy"))?;
    ensure!(*format == 0, "{id} has a copy of format {format}");
    let expires_at = Timestamp::from_millisecond(expires_at.0)?;
    Ok(AuditCopy::read(value, expires_at)?)
}

impl Archived {
    fn look_at(&mut self, script: Script, table: &str, copy: &AuditCopy, received_ms: Option<i64>) {
        let record = &copy.record();
        let key = script.key_of(record);
        let department = DEPARTMENTS.iter().position(|name| *name == record.department.as_str());
        match (key, department) {
            (Some(key), Some(department)) => {
                for (kind, detail) in faults_of(script, key, record, department) {
                    self.violations.push(Violation { kind, key: Some(key), detail: format!("{table}: {detail}") });
                }
            }
            _ => self.violations.push(Violation {
                kind: Kind::NeverSent,
                key,
                detail: format!("{table}: {} is not of this run", record.id),
            }),
        }
        let received = record.received_at.to_string();
        let right = a_year_later(record.received_at);
        if right != Some(copy.expires_at) || received_ms.is_some_and(|ms| ms != record.received_at.as_millisecond()) {
            let detail = format!("{table}: {} received {received}, expires {}", record.id, copy.expires_at);
            self.violations.push(Violation { kind: Kind::Expiry, key, detail });
        }
    }

    fn look_at_ttl(&mut self, table: &str, copy: &AuditCopy, ttl: Option<i32>) {
        let left = copy.expires_at.as_second() - Timestamp::now().as_second();
        let off = ttl.map(|ttl| (i64::from(ttl) - left).abs());
        if off.is_none_or(|off| off > TTL_TOLERANCE_SECONDS) {
            let detail = format!("{table}: {} lives {ttl:?} s and should {left}", copy.id);
            self.violations.push(Violation { kind: Kind::Expiry, key: None, detail });
        }
    }

    /// The way `archive get` goes.
    async fn ask_for_some(&mut self, settings: &sms_router::archive::Settings) -> anyhow::Result<()> {
        let archive = Archive::connect(settings).await?;
        for id in self.ids.iter().take(SAMPLE) {
            let found = archive.find(&AuditQuery::Id(*id), &[], Timestamp::now()).await?;
            if found.len() != 1 {
                let detail = format!("{id} is found {} times", found.len());
                self.violations.push(Violation { kind: Kind::NotArchived, key: None, detail });
            }
        }
        Ok(())
    }
}

/// The same moment of the next year, by its digits: not by the code that is judged.
fn a_year_later(received_at: Timestamp) -> Option<Timestamp> {
    let written = received_at.to_string();
    let (year, rest) = written.split_once('-')?;
    let rest = if rest.starts_with("02-29") { rest.replacen("29", "28", 1) } else { rest.to_owned() };
    format!("{}-{rest}", year.parse::<u32>().ok()? + 1).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_later_is_the_same_date() {
        for (received, expires) in [
            ("2026-11-21T10:00:00.123Z", "2027-11-21T10:00:00.123Z"),
            ("2024-02-29T23:59:59Z", "2025-02-28T23:59:59Z"),
            ("2023-02-28T00:00:00Z", "2024-02-28T00:00:00Z"),
        ] {
            let at = |text: &str| text.parse::<Timestamp>().expect("a time of the test");
            assert_eq!(a_year_later(at(received)), Some(at(expires)));
        }
    }
}
