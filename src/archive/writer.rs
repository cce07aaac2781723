//! Writes one audit copy.
//!
//! Comes in: a record and the bytes it was published as. Goes out: what became of the copy.
//! Always true: the TTL is what is left until the copy's own expiry, so a replay never lengthens it;
//! what is past is not written (a TTL of 0 would keep it for ever); a known id is not written again.
//! Not here: retries, and order between two records of one id: callers write those one by one.

use scylla::value::CqlTimestamp;
use tokio::try_join;

use super::{Archive, ArchiveError, calendar, schema};
use crate::message::{
    DepartmentName, EventId, EventKind, Record, SenderKey, Timestamp, expires_at, time_to_live, topics,
};

const LIFE_SECONDS_MAX: u64 = schema::LIFE_DAYS_MAX as u64 * schema::DAY_SECONDS;

/// The first byte of `content`: what follows is the record's JSON as published.
pub(super) const FORMAT_PLAIN: u8 = 0;

/// What became of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    Stored,
    /// The id was there: it keeps its first receipt and expiry.
    Known,
    /// Its twelve months are over.
    Expired,
}

impl Archive {
    /// Stores the copy of `record`, whose published bytes are `value`; of what one of several departments got, the
    /// copy of the text, which is the same from each of theirs. Safe to repeat.
    pub async fn write(
        &self,
        value: &[u8],
        record: &Record,
        sender_key: &SenderKey,
        now: Timestamp,
    ) -> Result<Written, ArchiveError> {
        let expires_at = expires_at(record.received_at);
        let Some(left) = time_to_live(expires_at, now) else {
            return Ok(Written::Expired);
        };
        if left.as_secs() > LIFE_SECONDS_MAX {
            return Err(ArchiveError::FromTheFuture);
        }
        if self.knows(record.text_id()).await? {
            return Ok(Written::Known);
        }
        let kept = record
            .kept(value)
            .map_err(|error| ArchiveError::Unreadable { id: record.text_id(), reason: error.to_string() })?;
        let value = kept.as_deref().unwrap_or(value);
        let ttl = i32::try_from(left.as_secs()).expect("a life of 367 days at most");
        self.insert(Copy { value, record, sender_key, expires_at, ttl }).await?;
        Ok(Written::Stored)
    }

    /// Stores a synthetic text for a day: under the name of its topic in place of a department, which no
    /// department can have, and not by its sender, who is nobody. Safe to repeat.
    pub async fn write_probe(
        &self,
        value: &[u8],
        record: &Record,
        sender_key: &SenderKey,
        now: Timestamp,
    ) -> Result<Written, ArchiveError> {
        let expires_at = EventKind::Probe.expires_at(record.received_at);
        let Some(left) = time_to_live(expires_at, now) else {
            return Ok(Written::Expired);
        };
        if left.as_secs() > LIFE_SECONDS_MAX {
            return Err(ArchiveError::FromTheFuture);
        }
        if self.knows(record.id).await? {
            return Ok(Written::Known);
        }
        let ttl = i32::try_from(left.as_secs()).expect("a life of 367 days at most");
        let row = Row::of(&Copy { value, record, sender_key, expires_at, ttl });
        self.insert_by_department(topics::PROBE, &row).await?;
        self.insert_by_id(topics::PROBE, &row).await?;
        Ok(Written::Stored)
    }

    async fn knows(&self, id: EventId) -> Result<bool, ArchiveError> {
        let answer = self.0.session.execute_unpaged(&self.0.known, (id,)).await?;
        let rows = answer.into_rows_result().map_err(|error| ArchiveError::Away(error.to_string()))?;
        Ok(rows.rows_num() > 0)
    }

    async fn insert(&self, copy: Copy<'_>) -> Result<(), ArchiveError> {
        let row = Row::of(&copy);
        // A record that stands for itself is its department's, whatever else it names.
        let departments = match copy.record.copy_of {
            Some(_) => copy.record.every_department(),
            None => std::slice::from_ref(&copy.record.department),
        };
        let first = departments.first().unwrap_or(&copy.record.department).as_str();
        try_join!(self.insert_by_sender(first, &row), self.insert_by_departments(departments, &row))?;
        // Last, for it is what makes the id known.
        self.insert_by_id(first, &row).await
    }

    /// Nearly always one; several one after the other, as the archive has other work.
    async fn insert_by_departments(&self, departments: &[DepartmentName], row: &Row<'_>) -> Result<(), ArchiveError> {
        for department in departments {
            self.insert_by_department(department.as_str(), row).await?;
        }
        Ok(())
    }

    async fn insert_by_sender(&self, department: &str, row: &Row<'_>) -> Result<(), ArchiveError> {
        let month = calendar::month(row.received_at);
        let received = timestamp(row.received_at);
        let (id, expires, key_id) = (row.id, row.expires, row.key_id);
        let values = (&month, department, &row.sender_hash[..], received, id, expires, key_id, &row.content, row.ttl);
        self.0.session.execute_unpaged(&self.0.insert_by_sender, values).await?;
        Ok(())
    }

    async fn insert_by_department(&self, department: &str, row: &Row<'_>) -> Result<(), ArchiveError> {
        let (day, shard) = (calendar::day(row.received_at), shard(row.id));
        let received = timestamp(row.received_at);
        let (id, expires, key_id) = (row.id, row.expires, row.key_id);
        let values =
            (&day, shard, department, &row.sender_hash[..], received, id, expires, key_id, &row.content, row.ttl);
        self.0.session.execute_unpaged(&self.0.insert_by_department, values).await?;
        Ok(())
    }

    async fn insert_by_id(&self, department: &str, row: &Row<'_>) -> Result<(), ArchiveError> {
        let received = timestamp(row.received_at);
        let (id, expires, key_id) = (row.id, row.expires, row.key_id);
        let values = (department, &row.sender_hash[..], received, id, expires, key_id, &row.content, row.ttl);
        self.0.session.execute_unpaged(&self.0.insert_by_id, values).await?;
        Ok(())
    }
}

struct Copy<'a> {
    value: &'a [u8],
    record: &'a Record,
    sender_key: &'a SenderKey,
    expires_at: Timestamp,
    ttl: i32,
}

/// What the rows of one copy have in common.
struct Row<'a> {
    id: EventId,
    sender_hash: [u8; 16],
    received_at: Timestamp,
    expires: CqlTimestamp,
    key_id: &'a str,
    content: Vec<u8>,
    ttl: i32,
}

impl<'a> Row<'a> {
    fn of(copy: &Copy<'a>) -> Self {
        let mut content = Vec::with_capacity(copy.value.len() + 1);
        content.push(FORMAT_PLAIN);
        content.extend_from_slice(copy.value);
        Self {
            id: copy.record.text_id(),
            sender_hash: copy.sender_key.hash(&copy.record.from),
            received_at: copy.record.received_at,
            expires: timestamp(copy.expires_at),
            key_id: copy.sender_key.id(),
            content,
            ttl: copy.ttl,
        }
    }
}

pub(super) fn timestamp(moment: Timestamp) -> CqlTimestamp {
    CqlTimestamp(moment.as_millisecond())
}

/// The last byte of an id is random in every version in use.
pub(super) fn shard(id: EventId) -> i8 {
    let shard = id.as_bytes()[15] % schema::SHARDS;
    i8::try_from(shard).expect("there are fewer than 128 shards")
}
