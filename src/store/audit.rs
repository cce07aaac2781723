//! Audit copies: the three questions, and the log of who asked.
//!
//! Comes in: a question, the keys of senders' hashes, the time. Goes out: copies, oldest first.
//! Always true: a copy whose time is over is not given out, swept or not; an access is on the disk
//! when `record_access` returns.
//! Not here: showing or hiding what a copy says; who may ask.

use rusqlite::{Connection, Params, Row, params};

use super::append::PLAIN;
use super::error::{Fault, StoreError};
use crate::message::{Access, AuditCopy, AuditQuery, EventId, SenderKey, Timestamp};

/// Most copies that one question gives; beyond it the question is refused, never cut short.
pub const COPIES_MAX: usize = 50_000;
/// The same in bytes of content.
const FOUND_BYTES_MAX: usize = 256 * 1024 * 1024;

pub(super) fn find(
    connection: &Connection,
    query: &AuditQuery,
    sender_keys: &[SenderKey],
    now: Timestamp,
) -> Result<Vec<AuditCopy>, Fault> {
    let now = now.as_millisecond();
    let mut found = Found::default();
    match query {
        AuditQuery::Id(id) => found.add(
            connection,
            "SELECT a.id, a.expires_at, a.content FROM ids JOIN audit a ON a.position = ids.position
             WHERE ids.id = ?1 AND a.id = ids.id AND a.hollow = 0 AND a.expires_at > ?2",
            params![id.as_bytes().as_slice(), now],
        )?,
        AuditQuery::Sender(number) => {
            for key in sender_keys {
                found.add(
                    connection,
                    "SELECT id, expires_at, content FROM audit
                     WHERE sender_hash = ?1 AND hollow = 0 AND expires_at > ?2 ORDER BY received_at, position",
                    params![key.hash(number).as_slice(), now],
                )?;
            }
        }
        AuditQuery::Department { name, since, until } => {
            let (since, until) = (since.as_millisecond(), until.as_millisecond());
            found.add(
                connection,
                "SELECT id, expires_at, content FROM audit
                 WHERE department = ?1 AND hollow = 0 AND received_at >= ?2 AND received_at < ?3 AND expires_at > ?4
                 ORDER BY received_at, position",
                params![name.as_str(), since, until, now],
            )?;
            if connection.table_exists(None, "audit_departments")? {
                found.add(
                    connection,
                    "SELECT a.id, a.expires_at, a.content FROM audit_departments d JOIN audit a USING (position)
                     WHERE d.department = ?1 AND d.received_at >= ?2 AND d.received_at < ?3
                       AND a.hollow = 0 AND a.expires_at > ?4 ORDER BY d.received_at, position",
                    params![name.as_str(), since, until, now],
                )?;
            }
        }
    }
    // Several keys (after a rotation) give several runs, and so do a department's own texts and those it shares; the
    // sort keeps the order inside each.
    found.copies.sort_by_key(|copy| copy.received_at);
    Ok(found.copies)
}

#[derive(Default)]
struct Found {
    copies: Vec<AuditCopy>,
    bytes: usize,
}

impl Found {
    fn add(&mut self, connection: &Connection, sql: &str, values: impl Params) -> Result<(), Fault> {
        let mut statement = connection.prepare_cached(sql)?;
        let mut rows = statement.query(values)?;
        while let Some(row) = rows.next()? {
            let content = row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?;
            self.bytes += content.len();
            if self.copies.len() >= COPIES_MAX || self.bytes > FOUND_BYTES_MAX {
                return Err(StoreError::TooMany { max: COPIES_MAX }.into());
            }
            self.copies.push(copy_of(row, content)?);
        }
        Ok(())
    }
}

fn copy_of(row: &Row<'_>, content: &[u8]) -> Result<AuditCopy, Fault> {
    let id = EventId::from_bytes(row.get(0)?);
    let unreadable = |cause: String| StoreError::Unreadable { id, cause };
    let json = match content.split_first() {
        Some((&PLAIN, json)) => json,
        Some((format, _)) => return Err(unreadable(format!("this build does not know its format {format}")).into()),
        None => return Err(unreadable("it is empty".to_owned()).into()),
    };
    let expires_at = Timestamp::from_millisecond(row.get(1)?).map_err(|error| unreadable(error.to_string()))?;
    Ok(AuditCopy::read(json, expires_at).map_err(|error| unreadable(error.to_string()))?)
}

pub(super) fn record_access(connection: &Connection, access: &Access) -> rusqlite::Result<()> {
    let ids = access.ids.iter().map(EventId::to_string).collect::<Vec<_>>().join(" ");
    connection.execute(
        "INSERT INTO access_log (at, who, why, query, ids, text_shown) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![access.at.as_millisecond(), access.who, access.why, access.query, ids, access.text_shown],
    )?;
    Ok(())
}

/// The last accesses, newest first.
pub(super) fn accesses(connection: &Connection, limit: usize) -> Result<Vec<Access>, Fault> {
    let mut statement = connection
        .prepare("SELECT at, who, why, query, ids, text_shown FROM access_log ORDER BY number DESC LIMIT ?1")?;
    let mut rows = statement.query([i64::try_from(limit).unwrap_or(i64::MAX)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(access_of(row)?);
    }
    Ok(found)
}

fn access_of(row: &Row<'_>) -> Result<Access, Fault> {
    let damaged = |_| StoreError::Io("a row of the access log has a time or id that no release writes".to_owned());
    let ids: String = row.get(4)?;
    let ids = ids.split_whitespace().map(str::parse).collect::<Result<Vec<EventId>, _>>();
    Ok(Access {
        at: Timestamp::from_millisecond(row.get(0)?).map_err(|error| damaged(error.to_string()))?,
        who: row.get(1)?,
        why: row.get(2)?,
        query: row.get(3)?,
        ids: ids.map_err(|error| damaged(error.to_string()))?,
        text_shown: row.get(5)?,
    })
}
