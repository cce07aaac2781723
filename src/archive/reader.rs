//! Answers the archive's three questions.
//!
//! Comes in: a question. Goes out: the living copies, oldest first, each id once.
//! Always true: answers are read in pages, a few partitions at a time, and no more than `FOUND_MAX`
//! copies are held; a copy past its expiry is not shown, even when its row is still there.
//! Not here: the access log, which callers write before they show anything.

use std::collections::HashSet;

use futures_util::{StreamExt, TryStreamExt, stream};
use scylla::client::pager::QueryPager;
use scylla::value::CqlTimestamp;

use super::writer::{FORMAT_PLAIN, timestamp};
use super::{Archive, ArchiveError, calendar, schema};
use crate::message::{AuditCopy, AuditQuery, DepartmentName, EventId, Number, SenderKey, Timestamp};

/// Copies one answer may hold: about 100 MB.
const FOUND_MAX: usize = 100_000;
/// Partitions read at the same time.
const PARTITIONS_AT_ONCE: usize = 16;

type Row = (EventId, CqlTimestamp, CqlTimestamp, Vec<u8>);

impl Archive {
    /// The copies that `query` asks for and that live at `now`. `keys` are the sender keys whose
    /// hashes rows may carry: the one in use and those before it.
    pub async fn find(
        &self,
        query: &AuditQuery,
        keys: &[SenderKey],
        now: Timestamp,
    ) -> Result<Vec<AuditCopy>, ArchiveError> {
        let rows = match query {
            AuditQuery::Id(id) => collect(self.0.session.execute_iter(self.0.select_id.clone(), (id,)).await?).await?,
            AuditQuery::Sender(number) => self.of_sender(number, keys, now).await?,
            AuditQuery::Department { name, since, until } => self.of_department(name, *since, *until, now).await?,
        };
        copies(rows, now)
    }

    async fn of_sender(&self, number: &Number, keys: &[SenderKey], now: Timestamp) -> Result<Vec<Row>, ArchiveError> {
        let hashes: HashSet<[u8; 16]> = keys.iter().map(|key| key.hash(number)).collect();
        let months = calendar::living_months(now);
        let partitions = hashes.iter().flat_map(|hash| months.iter().map(move |month| (*hash, month.clone())));
        let answers = stream::iter(partitions.collect::<Vec<_>>()).map(|(hash, month)| async move {
            collect(self.0.session.execute_iter(self.0.select_sender.clone(), (&hash[..], month)).await?).await
        });
        gather(answers.buffered(PARTITIONS_AT_ONCE)).await
    }

    async fn of_department(
        &self,
        name: &DepartmentName,
        since: Timestamp,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<Vec<Row>, ArchiveError> {
        let days = calendar::living_days(since, until, now);
        let shards = 0..i8::try_from(schema::SHARDS).expect("there are fewer than 128 shards");
        let partitions = days.iter().flat_map(|day| shards.clone().map(move |shard| (day.clone(), shard)));
        let answers = stream::iter(partitions.collect::<Vec<_>>()).map(|(day, shard)| async move {
            let values = (name.as_str(), day, shard, timestamp(since), timestamp(until));
            collect(self.0.session.execute_iter(self.0.select_department.clone(), values).await?).await
        });
        gather(answers.buffered(PARTITIONS_AT_ONCE)).await
    }
}

async fn collect(pages: QueryPager) -> Result<Vec<Row>, ArchiveError> {
    let rows = pages.rows_stream::<Row>().map_err(|error| ArchiveError::Refused(error.to_string()))?;
    let found: Vec<Row> = rows.take(FOUND_MAX + 1).try_collect().await?;
    if found.len() > FOUND_MAX { Err(ArchiveError::TooMany(FOUND_MAX)) } else { Ok(found) }
}

async fn gather(answers: impl stream::Stream<Item = Result<Vec<Row>, ArchiveError>>) -> Result<Vec<Row>, ArchiveError> {
    let add = |mut all: Vec<Row>, rows: Vec<Row>| async move {
        all.extend(rows);
        if all.len() > FOUND_MAX { Err(ArchiveError::TooMany(FOUND_MAX)) } else { Ok(all) }
    };
    answers.try_fold(Vec::new(), add).await
}

/// Oldest first; of rows with one id, the first receipt.
fn copies(mut rows: Vec<Row>, now: Timestamp) -> Result<Vec<AuditCopy>, ArchiveError> {
    rows.sort_unstable_by_key(|(id, received_at, ..)| (received_at.0, *id));
    let mut seen = HashSet::new();
    rows.retain(|(id, ..)| seen.insert(*id));
    let living = rows.into_iter().filter(|(_, _, expires_at, _)| expires_at.0 > now.as_millisecond());
    living.map(copy).collect()
}

fn copy((id, _, expires_at, content): Row) -> Result<AuditCopy, ArchiveError> {
    let unreadable = |reason: String| ArchiveError::Unreadable { id, reason };
    let value = match content.split_first() {
        Some((&FORMAT_PLAIN, value)) => value,
        Some((format, _)) => return Err(unreadable(format!("its format {format} is newer than this build"))),
        None => return Err(unreadable("it is empty".to_owned())),
    };
    let expires_at = Timestamp::from_millisecond(expires_at.0).map_err(|error| unreadable(error.to_string()))?;
    AuditCopy::read(value, expires_at).map_err(|error| unreadable(error.to_string()))
}
