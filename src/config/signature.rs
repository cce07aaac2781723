//! `signature` and `monitor_until` of an account: a safe way to start with signatures, for a time that the
//! settings must name.

use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::carrier::{Auth, Contract};
use crate::clock::Clock;
use crate::message::Timestamp;

use super::read::Section;

/// How far ahead the end may lie: long enough to learn what a carrier sends, too short to stay like that.
const MONITOR_DAYS_MAX: u64 = 90;

/// Until when failed signatures are let in; `None` when none is. A time that is over is no problem, for a
/// service must start on the day after too.
pub(super) fn monitor_until(section: &Section<'_>, auth: Auth, contract: &Contract) -> Option<Timestamp> {
    let monitors = section.parsed("signature", |word| match word {
        "enforce" => Ok(false),
        "monitor" => Ok(true),
        _ => Err(format!("{word:?} is neither \"enforce\" nor \"monitor\"")),
    });
    let until = section.parsed("monitor_until", moment);
    let is_set = section.node("monitor_until").is_some();
    match monitors {
        Some(true) => {}
        // What is wrong with the word has been said.
        None if section.node("signature").is_some() => return None,
        Some(false) | None => {
            if is_set {
                section.refuse("monitor_until", "says nothing without signature = \"monitor\" beside it");
            }
            return None;
        }
    }
    if auth != Auth::Signature {
        section.refuse("signature", no_signature(auth, contract));
    }
    if !is_set {
        section.refuse(
            "monitor_until",
            format!("is missing: the day from which signatures are enforced (\"2026-12-01\"), at most {MONITOR_DAYS_MAX} days ahead"),
        );
    }
    let latest = Clock::system().now() + Duration::from_secs(MONITOR_DAYS_MAX * 24 * 3600);
    if until.is_some_and(|until| until > latest) {
        section.refuse("monitor_until", format!("is more than {MONITOR_DAYS_MAX} days ahead: name a nearer day"));
    }
    until
}

fn no_signature(auth: Auth, contract: &Contract) -> String {
    let remedy = if contract.signs { "set auth = \"signature\", or" } else { "it signs nothing:" };
    format!(
        "\"monitor\" is for signatures, and this account of {} has auth = \"{}\"; {remedy} take signature and monitor_until out",
        contract.name,
        auth.word()
    )
}

/// A day, which means its beginning in UTC, or a time as RFC 3339 writes it.
fn moment(written: &str) -> Result<Timestamp, String> {
    let of_day = |day: Date| day.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    let day = || Date::strptime("%Y-%m-%d", written).ok().and_then(of_day);
    let time = written.parse().ok().or_else(day);
    time.ok_or_else(|| format!("{written:?} is neither a day (\"2026-12-01\") nor a time (\"2026-12-01T08:00:00Z\")"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_begins_at_midnight_utc_and_a_time_is_exact() {
        for (written, expected) in [
            ("2026-12-01", Some("2026-12-01T00:00:00Z")),
            ("2026-12-01T08:00:00+01:00", Some("2026-12-01T07:00:00Z")),
            ("2026-12-01T08:00:00", None),
            ("2026-13-01", None),
            ("2026-12-01 ", None),
            ("tomorrow", None),
            ("", None),
        ] {
            let expected: Option<Timestamp> = expected.map(|time| time.parse().expect("a time"));
            assert_eq!(moment(written).ok(), expected, "{written:?}");
        }
    }
}
