//! How long an audit copy lives: 12 calendar months from receipt, in UTC.

use std::time::Duration;

use jiff::ToSpan;
use jiff::tz::TimeZone;

use super::{EventKind, Timestamp};

/// Months an audit copy is kept (Derbyshire County Council's privacy impact assessment: 12 months).
const RETENTION_MONTHS: i64 = 12;
/// How long a synthetic text is kept, wherever it went.
pub const PROBE_LIFE: Duration = Duration::from_secs(24 * 60 * 60);

/// Receipt plus 12 calendar months in UTC; a day that month lacks becomes its last (29 February → 28).
pub fn expires_at(received_at: Timestamp) -> Timestamp {
    received_at
        .to_zoned(TimeZone::UTC)
        .checked_add(RETENTION_MONTHS.months())
        .map_or(Timestamp::MAX, |zoned| zoned.timestamp())
}

impl EventKind {
    /// When an event of this kind is over: the audit copy of a text after its 12 months, and so long its
    /// id is known; a synthetic text after a day.
    pub fn expires_at(self, received_at: Timestamp) -> Timestamp {
        match self {
            Self::Probe => received_at.saturating_add(PROBE_LIFE).unwrap_or(Timestamp::MAX),
            Self::Message
            | Self::Consent
            | Self::DeadLetter
            | Self::Replayed
            | Self::Part
            | Self::Joined
            | Self::Addendum => expires_at(received_at),
        }
    }
}

/// What is left of a life, in whole seconds rounded up; `None` once it is over.
/// Never zero: a store takes a TTL of 0 for "keep for ever".
pub fn time_to_live(expires_at: Timestamp, now: Timestamp) -> Option<Duration> {
    let left = expires_at.as_millisecond() - now.as_millisecond();
    let seconds = u64::try_from(left).ok()?.div_ceil(1000);
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a time of the test")
    }

    #[test]
    fn twelve_calendar_months_in_utc() {
        for (received, expires) in [
            ("2026-11-21T10:00:00.123Z", "2027-11-21T10:00:00.123Z"),
            ("2024-02-29T23:59:59Z", "2025-02-28T23:59:59Z"),
            ("2023-02-28T12:00:00Z", "2024-02-28T12:00:00Z"),
            ("2027-03-01T00:00:00Z", "2028-03-01T00:00:00Z"),
            ("2026-12-31T23:59:59.999Z", "2027-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(expires_at(at(received)), at(expires), "{received}");
        }
    }

    #[test]
    fn a_synthetic_text_lives_a_day_and_every_other_event_as_long_as_a_copy() {
        let received = at("2024-02-29T23:59:59.999Z");
        for kind in EventKind::ALL {
            let expires = if kind == EventKind::Probe { at("2024-03-01T23:59:59.999Z") } else { expires_at(received) };
            assert_eq!(kind.expires_at(received), expires, "{kind:?}");
        }
    }

    #[test]
    fn a_replay_gets_only_what_is_left() {
        let expires = at("2027-11-21T10:00:00Z");
        let a_day_before = at("2027-11-20T10:00:00Z");
        assert_eq!(time_to_live(expires, a_day_before), Some(Duration::from_secs(86_400)));
        assert_eq!(time_to_live(expires, at("2027-11-21T09:59:59.999Z")), Some(Duration::from_secs(1)));
        assert_eq!(time_to_live(expires, expires), None);
        assert_eq!(time_to_live(expires, at("2028-01-01T00:00:00Z")), None);
    }
}
