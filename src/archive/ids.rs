//! Which ids the archive has: for `reconcile`, which needs no words of residents.
//!
//! Comes in: a department and a time, or an id. Goes out: ids, one by one; or when the id was received.
//! Always true: pages and partitions are read one after the other, so memory does not grow with the answer.
//! Not here: copies (`reader`).

use futures_util::TryStreamExt;
use scylla::client::pager::QueryPager;
use scylla::value::CqlTimestamp;

use super::writer::timestamp;
use super::{Archive, ArchiveError, calendar, schema};
use crate::message::{EventId, Timestamp};

impl Archive {
    /// Gives `take` the id of every copy of a department received in `since..until` that lives at `now`,
    /// until it returns false. `department` is a name, or the topic of synthetic texts.
    pub async fn ids_of(
        &self,
        department: &str,
        (since, until): (Timestamp, Timestamp),
        now: Timestamp,
        mut take: impl FnMut(EventId) -> bool,
    ) -> Result<(), ArchiveError> {
        let shards = 0..i8::try_from(schema::SHARDS).expect("there are fewer than 128 shards");
        let days = calendar::living_days(since, until, now);
        let partitions = days.iter().flat_map(|day| shards.clone().map(move |shard| (day, shard)));
        for (day, shard) in partitions {
            let values = (department, day, shard, timestamp(since), timestamp(until));
            let pages = self.0.session.execute_iter(self.0.select_ids.clone(), values).await?;
            if !take_pages(pages, &mut take).await? {
                break;
            }
        }
        Ok(())
    }

    /// When the copy that is found by this id was received; `None` when there is none.
    pub async fn received(&self, id: EventId) -> Result<Option<Timestamp>, ArchiveError> {
        let answer = self.0.session.execute_unpaged(&self.0.known, (id,)).await?;
        let rows = answer.into_rows_result().map_err(|error| ArchiveError::Away(error.to_string()))?;
        let first = rows.maybe_first_row::<(CqlTimestamp,)>();
        let first = first.map_err(|error| ArchiveError::Refused(error.to_string()))?;
        let damaged = |error: jiff::Error| ArchiveError::Unreadable { id, reason: error.to_string() };
        first.map(|(at,)| Timestamp::from_millisecond(at.0).map_err(damaged)).transpose()
    }
}

/// Whether to go on.
async fn take_pages(pages: QueryPager, take: &mut impl FnMut(EventId) -> bool) -> Result<bool, ArchiveError> {
    let rows = pages.rows_stream::<(EventId,)>();
    let mut rows = rows.map_err(|error| ArchiveError::Refused(error.to_string()))?;
    while let Some((id,)) = rows.try_next().await? {
        if !take(id) {
            return Ok(false);
        }
    }
    Ok(true)
}
