//! When the next try is: pauses that grow, and what a receiver asks for.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;

use super::Retry;
use crate::clock::jittered;
use crate::message::Timestamp;

/// Longest wait that a receiver may ask for.
pub(super) const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

impl Retry {
    /// The pause after that many tries that failed, from 1: doubled each time, and a random half of it taken off, so that
    /// what failed together does not come again together.
    pub(super) fn pause(&self, failed: u32) -> Duration {
        let doubled = self.first.saturating_mul(1_u32.checked_shl(failed.saturating_sub(1)).unwrap_or(u32::MAX));
        let whole = doubled.min(self.longest);
        let percent = jittered(50..=100);
        whole.mul_f64(percent as f64 / 100.0)
    }
}

/// `Retry-After`: seconds, or a date (RFC 9110, section 10.2.3); an hour at most. `None` for anything else.
pub(super) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    static DATES: DateTimeParser = DateTimeParser::new();
    let value = value.trim();
    let wait = match value.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until_ms = DATES.parse_timestamp(value).ok()?.as_millisecond();
            Duration::from_millis(u64::try_from(until_ms - now.as_millisecond()).unwrap_or(0))
        }
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_with_at_most_half_of_it_taken_off() {
        let retry =
            Retry { first: Duration::from_secs(1), longest: Duration::from_secs(300), give_up: Duration::from_secs(1) };
        for (failed, whole) in [(0, 1), (1, 1), (2, 2), (5, 16), (9, 256), (10, 300), (40, 300), (u32::MAX, 300)] {
            let whole = Duration::from_secs(whole);
            for _ in 0..50 {
                let pause = retry.pause(failed);
                assert!(pause <= whole && pause >= whole / 2, "{failed}: {pause:?}");
            }
        }
    }

    #[test]
    fn what_a_receiver_asks_for_is_understood_and_bounded() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().expect("a time");
        for (value, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("86400", Some(3600)),
            ("18446744073709551615", Some(3600)),
            ("Sat, 21 Nov 2026 10:00:30 GMT", Some(30)),
            ("Sat, 21 Nov 2026 09:00:00 GMT", Some(0)),
            ("Mon, 21 Dec 2026 10:00:00 GMT", Some(3600)),
            ("-5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(value, now), seconds.map(Duration::from_secs), "{value}");
        }
    }
}
