//! Times as carriers write them.
//!
//! Always true: a time that names no zone is one only where the carrier's documents or the operator
//! name it: a guess would be an hour or two beside the truth; what is no time is no reason to refuse a
//! text.

use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::TimeZone;

use super::Declaration;
use crate::carrier::{Account, Key};
use crate::message::Timestamp;

/// ISO 8601, as far as RFC 3339 has it; without a zone it is the declared one's.
const ISO: &str = "iso";
const UNIX: &str = "unix";
const UNIX_MS: &str = "unix-ms";

/// The zone of an account's times, for carriers whose documents do not name it.
pub const TIME_ZONE: Key = Key { name: "time_zone", check: check_time_zone };

/// What the declared field says, in the first of the declared forms that fits.
pub fn read(declaration: &Declaration, written: &[u8], account: &Account) -> Option<Timestamp> {
    let written = declaration.escapes.of_form(written);
    let written = std::str::from_utf8(&written).ok()?.trim();
    let zone = account.key(TIME_ZONE.name).or(declaration.zone.as_deref()).and_then(zone);
    declaration.times.iter().find_map(|form| read_form(form, written, zone.as_ref()))
}

/// As the first of the declared forms writes it; nothing where a zone is needed and unknown.
pub fn write(declaration: &Declaration, time: Timestamp) -> Option<String> {
    let zone = || declaration.zone.as_deref().and_then(zone);
    match declaration.times.first()? {
        ISO => Some(time.to_string()),
        UNIX => Some(time.as_second().to_string()),
        UNIX_MS => Some(time.as_millisecond().to_string()),
        pattern => Some(time.to_zoned(zone()?).strftime(pattern).to_string()),
    }
}

fn read_form(form: &str, written: &str, zone: Option<&TimeZone>) -> Option<Timestamp> {
    let in_zone = |time: DateTime| Some(time.to_zoned(zone?.clone()).ok()?.timestamp());
    match form {
        ISO => written.parse().ok().or_else(|| in_zone(civil(written)?)),
        UNIX => Timestamp::from_second(written.parse().ok()?).ok(),
        UNIX_MS => Timestamp::from_millisecond(written.parse().ok()?).ok(),
        pattern => {
            let time = BrokenDownTime::parse(pattern, written).ok()?;
            time.to_timestamp().ok().or_else(|| in_zone(time.to_datetime().ok()?))
        }
    }
}

/// A day and a time of it. Digits alone, which the library would take for a day, are none.
fn civil(written: &str) -> Option<DateTime> {
    if written.contains([':', 'T']) { written.parse().ok() } else { None }
}

/// By its IANA name, or as an offset (`+02:00`).
fn zone(name: &str) -> Option<TimeZone> {
    if name.eq_ignore_ascii_case("utc") {
        return Some(TimeZone::UTC);
    }
    DateTimeParser::new().parse_time_zone(name).ok()
}

fn check_time_zone(name: &str) -> Result<(), &'static str> {
    match zone(name) {
        Some(_) => Ok(()),
        None => Err("is neither a time zone (\"Europe/London\") nor an offset (\"+02:00\")"),
    }
}

/// What is wrong with a form of times, if anything.
pub fn check_time_form(form: &str) -> Result<(), &'static str> {
    const WRONG: &str = "is none of iso, unix, unix-ms and no pattern with a day and a time (\"%Y-%m-%d %H:%M:%S\")";
    if [ISO, UNIX, UNIX_MS].contains(&form) {
        return Ok(());
    }
    // What the pattern writes of a time must be read as that time, to the minute.
    let zoned = jiff::civil::date(2001, 2, 3).at(4, 5, 6, 0).to_zoned(TimeZone::UTC).map_err(|_| WRONG)?;
    let written = BrokenDownTime::from(&zoned).to_string(form).map_err(|_| WRONG)?;
    let read = read_form(form, &written, Some(&TimeZone::UTC)).ok_or(WRONG)?;
    let minute = |time: Timestamp| time.as_second().div_euclid(60);
    if minute(read) == minute(zoned.timestamp()) { Ok(()) } else { Err(WRONG) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(form: &str, written: &str, zone_name: Option<&str>, expected: Option<&str>) {
        let zone = zone_name.map(|name| zone(name).expect("a zone of the test"));
        let expected = expected.map(|time| time.parse().expect("a time of the test"));
        assert_eq!(read_form(form, written, zone.as_ref()), expected, "{form} {written}");
    }

    #[test]
    fn times_are_read_in_their_form() {
        check("iso", "2017-05-03T06:04:45Z", None, Some("2017-05-03T06:04:45Z"));
        check("iso", "2017-05-03T06:04:45.5+02:00", None, Some("2017-05-03T04:04:45.5Z"));
        check("iso", "2014-08-02 16:28:42Z", None, Some("2014-08-02T16:28:42Z"));
        check("iso", "2017-05-03 06:04:45", Some("UTC"), Some("2017-05-03T06:04:45Z"));
        check("iso", "2017-07-03 06:04", Some("Europe/London"), Some("2017-07-03T05:04:00Z"));
        check("iso", "2014-01-29T02:08:30", Some("+02:00"), Some("2014-01-29T00:08:30Z"));
        check("unix", "1722997250", None, Some("2024-08-07T02:20:50Z"));
        check("unix-ms", "1516217711000", None, Some("2018-01-17T19:35:11Z"));
        check("%d/%b/%Y %H:%M:%S", "1/Jan/2021 14:04:22", Some("UTC"), Some("2021-01-01T14:04:22Z"));
        check("%Y%m%d%H%M%S%z", "20210101140422+0200", None, Some("2021-01-01T12:04:22Z"));
    }

    #[test]
    fn what_is_no_time_or_has_no_zone_is_none() {
        for (form, written, zone) in [
            ("iso", "2017-05-03 06:04:45", None),
            ("iso", "2017-05-03T06:04", None),
            ("iso", "20170503", Some("UTC")),
            ("iso", "", Some("UTC")),
            ("unix", "1516217711000", None),
            ("unix", "yesterday", None),
            ("unix-ms", "99999999999999999999", None),
            ("%d/%b/%Y %H:%M:%S", "01/Jan/2021", Some("UTC")),
        ] {
            check(form, written, zone, None);
        }
    }

    #[test]
    fn forms_and_zones_of_the_settings_are_checked() {
        for form in ["iso", "unix", "unix-ms", "%Y-%m-%d %H:%M:%S", "%d.%m.%y %H:%M", "%s", "%Y%m%d%H%M%S%z"] {
            assert_eq!(check_time_form(form), Ok(()), "{form}");
        }
        for form in ["", "rfc", "%Y-%m-%d", "%H:%M", "%Q%", "2017-05-03 06:04"] {
            assert!(check_time_form(form).is_err(), "{form}");
        }
        for (name, is_zone) in [
            ("UTC", true),
            ("utc", true),
            ("Europe/London", true),
            ("-03:30", true),
            ("Europe/Londn", false),
            ("", false),
        ] {
            assert_eq!(check_time_zone(name).is_ok(), is_zone, "{name}");
        }
    }
}
