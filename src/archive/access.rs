//! Writes down who read which copies, and why.
//!
//! Comes in: one access. Goes out: nothing; once it returns, the access is on record.
//! Always true: no text and no number; a row holds a bounded number of ids; kept 24 calendar months.
//! Not here: reading the log, which auditors do with their own tools.

use jiff::ToSpan;
use jiff::tz::TimeZone;

use super::writer::timestamp;
use super::{Archive, ArchiveError, calendar};
use crate::message::{Access, EventId, Timestamp, time_to_live};

/// Months an access is remembered: as long as the copies, and a year to ask about them.
const ACCESS_MONTHS: i64 = 24;
/// Ids in one row; an access to more has several rows.
const IDS_MAX: usize = 1000;

impl Archive {
    /// Writes the access down, before anything of it is shown.
    pub async fn record_access(&self, access: &Access) -> Result<(), ArchiveError> {
        let access_id = EventId::now_v7();
        let month = calendar::month(access.at);
        let ttl = ttl(access.at);
        for (part, ids) in parts(&access.ids).enumerate() {
            let part = i32::try_from(part).map_err(|_| ArchiveError::TooMany(access.ids.len()))?;
            let (at, shown) = (timestamp(access.at), access.text_shown);
            let values = (&month, at, access_id, part, &access.who, &access.why, &access.query, ids, shown, ttl);
            self.0.session.execute_unpaged(&self.0.insert_access, values).await?;
        }
        Ok(())
    }
}

/// At least one row, also for an access that found nothing.
fn parts(ids: &[EventId]) -> impl Iterator<Item = &[EventId]> {
    let nothing: &[EventId] = &[];
    ids.is_empty().then_some(nothing).into_iter().chain(ids.chunks(IDS_MAX))
}

fn ttl(at: Timestamp) -> i32 {
    let end = at.to_zoned(TimeZone::UTC).checked_add(ACCESS_MONTHS.months());
    let left = end.ok().and_then(|end| time_to_live(end.timestamp(), at));
    left.and_then(|left| i32::try_from(left.as_secs()).ok()).expect("24 months from a time of our clock fit a TTL")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_is_kept_24_months_and_has_at_least_one_row() {
        let at: Timestamp = "2026-03-01T00:00:00Z".parse().expect("a time of the test");
        assert_eq!(ttl(at), 731 * 86_400);
        assert_eq!(parts(&[]).map(<[EventId]>::len).collect::<Vec<_>>(), [0]);
        let ids = vec![EventId::nil(); 2001];
        assert_eq!(parts(&ids).map(<[EventId]>::len).collect::<Vec<_>>(), [1000, 1000, 1]);
    }
}
