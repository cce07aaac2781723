//! Escapes of a text beyond those of the form or JSON it stands in.
//!
//! Comes in: a text's bytes after its form or JSON, and the charset it names. Goes out: text, or the
//! bytes of it.
//! Always true: what is no escape stands for itself; the cost is linear.
//!
//! Sources: MMG's as alphagov/notifications-api reads them (`format_mmg_message`, `unescape_string`:
//! a form's escapes, then those of a Python string); Clickatell's as nyaruka/courier does
//! (`handlers/clickatell`).

use std::borrow::Cow;

use crate::carrier::reading::{charset, form};
use crate::message::Body;

/// What was done to a text before it was put into its form or JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escapes {
    None,
    /// Escaped as in a form.
    Form,
    /// Escaped with backslashes, then as in a form.
    BackslashThenForm,
    /// Escaped as in a form where a charset other than UTF-8 is named: the bytes are in that charset.
    FormIfCharset,
    /// Bytes in hexadecimal digits.
    Hex,
}

impl Escapes {
    /// The word for it in the settings.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "none" => Some(Self::None),
            "form" => Some(Self::Form),
            "backslash-form" => Some(Self::BackslashThenForm),
            "form-if-charset" => Some(Self::FormIfCharset),
            "hex" => Some(Self::Hex),
            _ => None,
        }
    }

    pub fn decode(self, written: Cow<'_, [u8]>, label: Option<&str>) -> Body {
        match self {
            Self::None => charset::decode(written, label),
            Self::Form => charset::decode(form::decode(&written), label),
            Self::BackslashThenForm => match charset::decode(form::decode(&written), label) {
                Body::Text(text) => charset::utf8(Cow::Owned(without_backslashes(text.as_str()))),
                undecodable @ Body::Undecodable(_) => undecodable,
            },
            // Letters that stand there as they are were never put into another charset.
            Self::FormIfCharset if !written.is_ascii() || label.is_none_or(is_utf8) => charset::utf8(written),
            Self::FormIfCharset => charset::decode(form::decode(&written), label),
            Self::Hex => match from_hex(&written) {
                Some(bytes) => charset::decode(Cow::Owned(bytes), label),
                None => Body::Undecodable(written.into_owned()),
            },
        }
    }

    /// What other fields than the text share of it.
    pub fn of_form(self, written: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Form | Self::BackslashThenForm => form::decode(written),
            Self::None | Self::FormIfCharset | Self::Hex => Cow::Borrowed(written),
        }
    }

    /// The other direction.
    pub fn encode(self, bytes: Vec<u8>, is_named: bool) -> Vec<u8> {
        let as_form = |bytes: &[u8]| form_urlencoded::byte_serialize(bytes).collect::<String>().into_bytes();
        match self {
            Self::None => bytes,
            Self::Form => as_form(&bytes),
            Self::BackslashThenForm => as_form(&with_backslashes(&bytes)),
            Self::FormIfCharset => {
                if is_named {
                    as_form(&bytes)
                } else {
                    bytes
                }
            }
            Self::Hex => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes(),
        }
    }
}

fn is_utf8(label: &str) -> bool {
    let label = label.trim();
    label.is_empty() || label.eq_ignore_ascii_case("utf-8") || label.eq_ignore_ascii_case("utf8")
}

/// Bytes of hexadecimal digits in either case.
pub fn from_hex(digits: &[u8]) -> Option<Vec<u8>> {
    std::str::from_utf8(digits).ok().and_then(crate::carrier::reading::udh::from_hex)
}

fn with_backslashes(bytes: &[u8]) -> Vec<u8> {
    bytes
        .iter()
        .flat_map(|byte| if *byte == b'\\' { &[b'\\', b'\\'][..] } else { std::slice::from_ref(byte) })
        .copied()
        .collect()
}

/// Escapes of a Python string: letters, octal and hexadecimal numbers of characters. Half of a
/// character written as two is joined to its other half; alone it stays a half, in WTF-8.
fn without_backslashes(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    let mut high: Option<u32> = None;
    while let Some(at) = rest.find('\\') {
        let (plain, escaped) = rest.split_at(at);
        if !plain.is_empty() {
            push_half(high.take(), &mut out);
            out.extend_from_slice(plain.as_bytes());
        }
        let (code, length) = backslash(&escaped[1..]);
        rest = &escaped[1 + length..];
        match (high.take(), code) {
            (Some(first), Some(second @ 0xdc00..=0xdfff)) => {
                push(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00), &mut out);
            }
            (before, code) => {
                push_half(before, &mut out);
                match code {
                    Some(first @ 0xd800..=0xdbff) => high = Some(first),
                    Some(code) => push(code, &mut out),
                    None => out.push(b'\\'),
                }
            }
        }
    }
    push_half(high, &mut out);
    out.extend_from_slice(rest.as_bytes());
    out
}

/// The number of the character that is meant, and how many bytes behind the backslash say so; none where
/// the backslash stands for itself.
fn backslash(rest: &str) -> (Option<u32>, usize) {
    let digits = |from: usize, count: usize| {
        let digits = rest.get(from..from + count).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).filter(|code| *code <= 0x10_ffff);
        (code, if code.is_some() { from + count } else { 0 })
    };
    let octal = rest.bytes().take(3).take_while(|byte| (b'0'..=b'7').contains(byte)).count();
    let letter = |code: u8| (Some(u32::from(code)), 1);
    match rest.bytes().next() {
        Some(quote @ (b'\\' | b'\'' | b'"')) => letter(quote),
        Some(b'a') => letter(0x07),
        Some(b'b') => letter(0x08),
        Some(b'f') => letter(0x0c),
        Some(b'n') => letter(b'\n'),
        Some(b'r') => letter(b'\r'),
        Some(b't') => letter(b'\t'),
        Some(b'v') => letter(0x0b),
        Some(b'x') => digits(1, 2),
        Some(b'u') => digits(1, 4),
        Some(b'U') => digits(1, 8),
        Some(b'0'..=b'7') => (u32::from_str_radix(&rest[..octal], 8).ok(), octal),
        _ => (None, 0),
    }
}

/// A character in UTF-8; half of one as UTF-8 would write it, which then is no text.
fn push(code: u32, out: &mut Vec<u8>) {
    match char::from_u32(code) {
        Some(character) => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        None => push_half(Some(code), out),
    }
}

fn push_half(code: Option<u32>, out: &mut Vec<u8>) {
    let Some(code) = code else { return };
    let [_, _, high, low] = code.to_be_bytes();
    out.extend([0xe0 | high >> 4, 0x80 | (high & 0x0f) << 2 | low >> 6, 0x80 | low & 0x3f]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Text;

    fn check(escapes: Escapes, written: &str, label: Option<&str>, expected: &str) {
        let read = escapes.decode(Cow::Borrowed(written.as_bytes()), label);
        assert_eq!(read, Body::Text(Text::from(expected)), "{written}");
    }

    #[test]
    fn a_text_escaped_twice_is_read_twice() {
        check(Escapes::Form, "lots+of+words%3A", None, "lots of words:");
        for (written, expected) in [
            ("x+%2B+y", "x + y"),
            ("1\\n2", "1\n2"),
            ("\\'\"\\'", "'\"'"),
            ("y \\x79 \\\\x79", "y y \\x79"),
            ("caf\\xe9 \\101\\0 \\u2744 \\U0001f4e9", "café A\0 ❄ 📩"),
            ("\\ud83d\\udce9 %F0%9F%93%A9", "📩 📩"),
            ("C:\\q \\x7 \\u12 \\", "C:\\q \\x7 \\u12 \\"),
            ("é\\é", "é\\é"),
        ] {
            check(Escapes::BackslashThenForm, written, None, expected);
        }
    }

    #[test]
    fn half_a_character_is_kept_as_bytes() {
        for (written, bytes) in [
            ("a\\ud83d", &b"a\xed\xa0\xbd"[..]),
            ("\\ud83db", b"\xed\xa0\xbdb"),
            ("\\udce9", b"\xed\xb3\xa9"),
            ("\\ud83d\\n", b"\xed\xa0\xbd\n"),
            ("\\ud83d\\q", b"\xed\xa0\xbd\\q"),
        ] {
            let read = Escapes::BackslashThenForm.decode(Cow::Borrowed(written.as_bytes()), None);
            assert_eq!(read, Body::Undecodable(bytes.to_vec()), "{written}");
        }
    }

    #[test]
    fn only_a_named_charset_makes_a_text_escaped() {
        check(Escapes::FormIfCharset, "100%21+1", None, "100%21+1");
        check(Escapes::FormIfCharset, "100%21+1", Some("UTF-8"), "100%21+1");
        check(Escapes::FormIfCharset, "100%21+1", Some("ISO-8859-1"), "100! 1");
        check(Escapes::FormIfCharset, "%04%1F", Some("UTF-16BE"), "П");
        check(Escapes::FormIfCharset, "café %21", Some("ISO-8859-1"), "café %21");
    }

    #[test]
    fn bytes_may_be_in_digits() {
        check(Escapes::Hex, "041f", Some("UTF-16BE"), "П");
        check(Escapes::Hex, "", None, "");
        let read = Escapes::Hex.decode(Cow::Borrowed(b"041"), None);
        assert_eq!(read, Body::Undecodable(b"041".to_vec()));
    }

    proptest::proptest! {
        #[test]
        fn what_is_escaped_is_read_back(text in "\\PC*") {
            for escapes in [Escapes::None, Escapes::Form, Escapes::BackslashThenForm, Escapes::Hex] {
                let written = escapes.encode(text.clone().into_bytes(), false);
                proptest::prop_assert_eq!(escapes.decode(Cow::Owned(written), None), Body::Text(Text::from(text.as_str())));
            }
        }

        #[test]
        fn any_backslashes_are_read(text in "[\\\\xuU0-9a-fé']{0,24}") {
            drop(without_backslashes(&text));
        }
    }
}
