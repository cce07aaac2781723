//! Numbers: E.164 where they can be made so, short codes and sender names as they are.
//!
//! The normalised form is what keys, hashes and matches use; the form received is kept beside it in
//! the record (`from_raw`, `to_raw`). Rules of national numbers are libphonenumber's metadata.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest run of digits that is taken for a short code rather than a subscriber's number.
const SHORT_CODE_DIGITS_MAX: usize = 6;
/// Longest way of writing a number, in bytes: 15 digits with a separator and a bracket around each.
const WRITTEN_MAX: usize = 64;
/// Digits of a national number in North America, which has no trunk prefix.
const NANP_DIGITS: usize = 10;
/// E.164: at most 15 digits; fewer than 7 are no international number.
const E164_DIGITS: std::ops::RangeInclusive<usize> = 7..=15;

/// The country whose national numbers an account's carrier sends, ISO 3166 alpha-2 ("GB").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Country(phonenumber::country::Id);

impl Country {
    /// The country of accounts that name none.
    pub const GB: Self = Self(phonenumber::country::Id::GB);

    /// `None` when the code is not one of ISO 3166 alpha-2.
    pub fn parse(code: &str) -> Option<Self> {
        phonenumber::country::Id::from_str(code).ok().map(Self)
    }

    /// The digits after the plus that lead to this country ("44").
    fn calling_code(self) -> String {
        let metadata = phonenumber::metadata::DATABASE.by_id(self.0.as_ref());
        metadata.map_or_else(String::new, |metadata| metadata.country_code().to_string())
    }
}

/// A normalised number: `+` and digits, or a short code, or a sender's name as received.
/// `Debug` hides it: a number is personal data.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Number(String);

impl Number {
    /// Normalises what a carrier wrote. Never fails: what is no phone number stays as it is, trimmed.
    pub fn normalise(raw: &str, country: Country) -> Self {
        let trimmed = raw.trim();
        if is_e164(trimmed) {
            return Self(trimmed.to_owned());
        }
        let Some(dialled) = strip_punctuation(trimmed) else {
            return Self(trimmed.to_owned());
        };
        Self(to_e164(&dialled, country).unwrap_or_else(|| trimmed.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Number(hidden)")
    }
}

fn is_e164(number: &str) -> bool {
    number.strip_prefix('+').is_some_and(|digits| {
        E164_DIGITS.contains(&digits.len())
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0')
    })
}

/// Digits with an optional leading plus; `None` when anything but a dialled number is written.
fn strip_punctuation(number: &str) -> Option<String> {
    if number.len() > WRITTEN_MAX {
        return None;
    }
    let mut dialled = String::with_capacity(number.len());
    for character in number.chars() {
        match character {
            '0'..='9' => dialled.push(character),
            '+' if dialled.is_empty() => dialled.push('+'),
            ' ' | '-' | '.' | '(' | ')' | '/' | '\u{a0}' => {}
            _ => return None,
        }
    }
    let has_digits = dialled.bytes().any(|byte| byte.is_ascii_digit());
    has_digits.then_some(dialled)
}

fn to_e164(dialled: &str, country: Country) -> Option<String> {
    if dialled.starts_with('+') {
        return is_e164(dialled).then(|| dialled.to_owned());
    }
    if let Some(international) = dialled.strip_prefix("00") {
        let with_plus = format!("+{international}");
        return is_e164(&with_plus).then_some(with_plus);
    }
    if dialled.len() <= SHORT_CODE_DIGITS_MAX {
        return Some(dialled.to_owned());
    }
    let calling_code = country.calling_code();
    // A leading zero is always national; so are ten digits in North America, which writes no zero.
    if dialled.starts_with('0') || (calling_code == "1" && dialled.len() == NANP_DIGITS) {
        return parsed(Some(country.0), dialled, false);
    }
    // Else most carriers mean an international number without its plus. Ranges kept for drama and
    // tests are not valid by the metadata, so one's own country needs only to parse.
    let with_plus = format!("+{dialled}");
    parsed(None, &with_plus, !dialled.starts_with(&calling_code)).or_else(|| parsed(Some(country.0), dialled, true))
}

fn parsed(country: Option<phonenumber::country::Id>, dialled: &str, must_be_valid: bool) -> Option<String> {
    let number = phonenumber::parse(country, dialled).ok()?;
    if must_be_valid && !phonenumber::is_valid(&number) {
        return None;
    }
    let formatted = number.format().mode(phonenumber::Mode::E164).to_string();
    is_e164(&formatted).then_some(formatted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(raw: &str, country: &str, normalised: &str) {
        let country = Country::parse(country).expect("a country of the test");
        assert_eq!(Number::normalise(raw, country).as_str(), normalised, "{raw:?}");
    }

    #[test]
    fn numbers_become_e164_where_they_can() {
        check("+447700900123", "GB", "+447700900123");
        check("447700900123", "GB", "+447700900123");
        check("07700900123", "GB", "+447700900123");
        check("00447700900123", "GB", "+447700900123");
        check(" +44 (7700) 900-123 ", "GB", "+447700900123");
        check("07700 900123", "GB", "+447700900123");
        check("14133881111", "GB", "+14133881111");
        check("2025550123", "US", "+12025550123");
        check("385916242494", "GB", "+385916242494");
        check("60124361111", "GB", "+60124361111");
    }

    #[test]
    fn short_codes_and_names_stay_as_they_are() {
        check("86555", "GB", "86555");
        check("384387", "US", "384387");
        check("Snow Line", "GB", "Snow Line");
        check("+", "GB", "+");
        check("", "GB", "");
        check("+00", "GB", "+00");
        check("999999999999999999", "GB", "999999999999999999");
    }

    #[test]
    fn debug_hides_the_number() {
        let number = Number::normalise("+447700900123", Country::GB);
        assert_eq!(format!("{number:?}"), "Number(hidden)");
    }
}
