//! Months and days as partitions name them, in UTC.
//!
//! Comes in: moments. Goes out: `2026-11` and `2026-11-21`.
//! Always true: every partition that may hold a living copy is enumerated.
//! Not here: how long a copy lives (`message::expires_at`).

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::message::Timestamp;

/// Months whose copies may live: the twelve before this one, this one, and the next, for a writer's
/// clock may be ahead of the reader's at the turn of a month.
const MONTHS_LIVING: i32 = 14;

fn date(moment: Timestamp) -> Date {
    moment.to_zoned(TimeZone::UTC).date()
}

fn month_name(date: Date) -> String {
    date.strftime("%Y-%m").to_string()
}

/// `2026-11`.
pub(super) fn month(moment: Timestamp) -> String {
    month_name(date(moment))
}

/// `2026-11-21`.
pub(super) fn day(moment: Timestamp) -> String {
    date(moment).to_string()
}

/// Every month that may hold a copy still living at `now`, oldest first.
pub(super) fn living_months(now: Timestamp) -> Vec<String> {
    let this = date(now).first_of_month();
    (2 - MONTHS_LIVING..=1).map(|offset| month_name(this.saturating_add(offset.months()))).collect()
}

/// Every day of `since..until` that may hold a copy still living at `now`, oldest first.
pub(super) fn living_days(since: Timestamp, until: Timestamp, now: Timestamp) -> Vec<String> {
    if since >= until {
        return Vec::new();
    }
    // A leap year and the day of grace that a writer's clock gets.
    let first = date(since).max(date(now).saturating_sub(367.days()));
    let last = date(until).min(date(now).saturating_add(1.day()));
    first.series(1.day()).take_while(|day| *day <= last).map(|day| day.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time of the test")
    }

    #[test]
    fn partitions_are_named_in_utc() {
        assert_eq!(month(at("2026-12-01T00:30:00+01:00")), "2026-11");
        assert_eq!(day(at("2024-02-29T23:59:59.999Z")), "2024-02-29");
    }

    #[test]
    fn living_months_reach_back_twelve() {
        let months = living_months(at("2027-03-31T12:00:00Z"));
        assert_eq!(months.len(), 14);
        assert_eq!((months[0].as_str(), months[12].as_str()), ("2026-03", "2027-03"));
        assert_eq!(months[13], "2027-04");
        // Received on the last moment of February, still living a moment before its expiry.
        assert!(living_months(at("2025-02-28T23:59:58Z")).contains(&"2024-02".to_owned()));
    }

    #[test]
    fn living_days_are_those_asked_for_and_possible() {
        let now = at("2026-11-21T10:00:00Z");
        let days = |since, until| living_days(at(since), at(until), now);
        assert_eq!(days("2026-11-20T23:00:00Z", "2026-11-21T01:00:00Z"), ["2026-11-20", "2026-11-21"]);
        assert_eq!(days("2026-11-20T01:00:00Z", "2026-11-20T02:00:00Z"), ["2026-11-20"]);
        assert!(days("2026-11-20T02:00:00Z", "2026-11-20T02:00:00Z").is_empty());
        assert!(days("2026-11-21T00:00:00Z", "2026-11-20T00:00:00Z").is_empty());
        let all = days("1970-01-01T00:00:00Z", "2200-01-01T00:00:00Z");
        assert_eq!((all.len(), all[0].as_str()), (369, "2025-11-19"));
    }
}
