//! The time whose receipts are judged.

use crate::message::{Timestamp, iso};

/// An hour, in milliseconds.
const HOUR_MS: i64 = 3_600_000;
/// Shortest piece that a window is cut into, in milliseconds.
const PIECE_MIN_MS: i64 = 1_000;
/// Hours of one question.
const HOURS_MAX: i64 = 24 * 31;

/// Receipts in `since..until`, within one hour of the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    pub since: Timestamp,
    pub until: Timestamp,
}

/// Why a time is no window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WindowError {
    #[error("the time ends before it begins")]
    Empty,
    #[error("more than {} days: ask for less", HOURS_MAX / 24)]
    TooLong,
}

impl Window {
    /// The hour that `moment` lies in.
    pub fn hour_of(moment: Timestamp) -> Self {
        let begin = moment.as_millisecond().div_euclid(HOUR_MS) * HOUR_MS;
        Self { since: at(begin), until: at(begin + HOUR_MS) }
    }

    /// The last hour that was over at `now`.
    pub fn last_closed(now: Timestamp) -> Self {
        Self::hour_of(now).before()
    }

    pub fn before(self) -> Self {
        Self::hour_of(at(self.since.as_millisecond() - 1))
    }

    pub fn after(self) -> Self {
        Self::hour_of(self.until)
    }

    /// A time cut at full hours, oldest first.
    pub fn hours(since: Timestamp, until: Timestamp) -> Result<Vec<Self>, WindowError> {
        if since >= until {
            return Err(WindowError::Empty);
        }
        if until.as_millisecond() - since.as_millisecond() > HOURS_MAX * HOUR_MS {
            return Err(WindowError::TooLong);
        }
        let (mut windows, mut begin) = (Vec::new(), since);
        while begin < until {
            let end = Self::hour_of(begin).until.min(until);
            windows.push(Self { since: begin, until: end });
            begin = end;
        }
        Ok(windows)
    }

    /// The later half and the earlier one; `None` for what is too short already.
    pub fn halves(self) -> Option<[Self; 2]> {
        let (since, until) = (self.since.as_millisecond(), self.until.as_millisecond());
        let middle = at(since + (until - since) / 2);
        let is_short = until - since < 2 * PIECE_MIN_MS;
        (!is_short).then_some([Self { since: middle, ..self }, Self { until: middle, ..self }])
    }

    pub fn contains(self, moment: Timestamp) -> bool {
        (self.since..self.until).contains(&moment)
    }
}

impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} to {}", iso::format(self.since), iso::format(self.until))
    }
}

fn at(milliseconds: i64) -> Timestamp {
    Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time of the test")
    }

    #[test]
    fn a_time_is_cut_at_full_hours() {
        let hours = Window::hours(at("2026-11-22T09:30:00Z"), at("2026-11-22T11:00:00Z")).expect("a time");
        let shown: Vec<_> = hours.iter().map(|hour| (hour.since.to_string(), hour.until.to_string())).collect();
        let cut = ["2026-11-22T09:30:00Z", "2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z"].map(str::to_owned);
        assert_eq!(shown, [(cut[0].clone(), cut[1].clone()), (cut[1].clone(), cut[2].clone())]);
        let same = at("2026-11-22T09:30:00Z");
        assert_eq!(Window::hours(same, same), Err(WindowError::Empty));
        assert_eq!(Window::hours(same, at("2027-11-22T09:30:00Z")), Err(WindowError::TooLong));
    }

    #[test]
    fn the_last_closed_hour_ended_before_now() {
        let hour = Window::last_closed(at("2026-11-22T10:00:00Z"));
        assert_eq!((hour.since, hour.until), (at("2026-11-22T09:00:00Z"), at("2026-11-22T10:00:00Z")));
        assert_eq!(hour.after(), Window::hour_of(at("2026-11-22T10:59:59.999Z")));
        assert_eq!(hour.before().until, hour.since);
        assert!(hour.contains(hour.since) && !hour.contains(hour.until));
    }

    #[test]
    fn halves_cover_the_whole_and_end_at_a_second() {
        let hour = Window::hour_of(at("2026-11-22T10:00:00Z"));
        let [later, earlier] = hour.halves().expect("an hour is long enough");
        assert_eq!((earlier.since, earlier.until, later.until), (hour.since, later.since, hour.until));
        assert_eq!(Window { until: at("2026-11-22T10:00:01Z"), ..hour }.halves(), None);
    }
}
