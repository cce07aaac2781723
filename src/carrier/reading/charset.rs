//! Bytes that are to be text, by the charset their carrier names.
//!
//! Comes in: bytes, and a label where one was sent. Goes out: the text exactly, or the bytes as they
//! came when they are not text in that charset.
//! Always true: nothing is replaced or dropped, not even a byte order mark; a text never gets lost
//! over its charset.
//! Not here: where the label stands in a request.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_16BE, UTF_16LE};

use crate::message::{Body, Text};

/// Labels of two-byte text. The Encoding Standard takes them for little endian, which browsers need;
/// on the air and in gateways the high byte comes first (3GPP TS 23.038, RFC 2781 section 4.3).
const BIG_ENDIAN: [&str; 5] = ["utf-16", "utf-16be", "ucs-2", "ucs2", "iso-10646-ucs-2"];
/// Labels of what is not text: Kannel's `%C` says `8-BIT`.
const BINARY: [&str; 3] = ["8-bit", "8bit", "binary"];

/// Decodes `bytes` as `label` says; no label, or one that nobody knows, means UTF-8.
pub fn decode(bytes: Cow<'_, [u8]>, label: Option<&str>) -> Body {
    let label = label.map(str::trim).unwrap_or_default();
    if is_one_of(label, &BINARY) {
        return Body::Undecodable(bytes.into_owned());
    }
    let encoding = match is_one_of(label, &BIG_ENDIAN) {
        true if is_turned(&bytes, label) => Some(UTF_16LE),
        true => Some(UTF_16BE),
        false => Encoding::for_label(label.as_bytes()),
    };
    let Some(encoding) = encoding.filter(|encoding| *encoding != encoding_rs::UTF_8) else {
        return utf8(bytes);
    };
    match encoding.decode_without_bom_handling_and_without_replacement(&bytes) {
        Some(text) => Body::Text(Text::from(text.into_owned())),
        None => Body::Undecodable(bytes.into_owned()),
    }
}

/// Whether a byte order mark says that the low byte comes first, as it may where the label does not say which
/// does (RFC 2781, section 4.3). The other way round it is no character.
fn is_turned(bytes: &[u8], label: &str) -> bool {
    label.eq_ignore_ascii_case("utf-16") && bytes.starts_with(b"\xff\xfe")
}

/// Decodes UTF-8.
pub fn utf8(bytes: Cow<'_, [u8]>) -> Body {
    match String::from_utf8(bytes.into_owned()) {
        Ok(text) => Body::Text(Text::from(text)),
        Err(error) => Body::Undecodable(error.into_bytes()),
    }
}

/// Text as bytes of that charset; nothing where a character is not in it, or it is no charset.
pub fn encode(text: &str, label: Option<&str>) -> Option<Vec<u8>> {
    let label = label.map(str::trim).unwrap_or_default();
    if is_one_of(label, &BINARY) {
        return None;
    }
    if is_one_of(label, &BIG_ENDIAN) {
        return Some(text.encode_utf16().flat_map(u16::to_be_bytes).collect());
    }
    match Encoding::for_label(label.as_bytes()) {
        Some(encoding) if encoding == UTF_16LE => Some(text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        Some(encoding) => {
            let (bytes, _, has_lost) = encoding.encode(text);
            (!has_lost).then(|| bytes.into_owned())
        }
        None => Some(text.as_bytes().to_vec()),
    }
}

/// Whether a label is one that `decode` knows.
pub fn is_known(label: &str) -> bool {
    let label = label.trim();
    is_one_of(label, &BINARY) || is_one_of(label, &BIG_ENDIAN) || Encoding::for_label(label.as_bytes()).is_some()
}

fn is_one_of(label: &str, labels: &[&str]) -> bool {
    labels.iter().any(|known| known.eq_ignore_ascii_case(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8], label: Option<&str>, text: Option<&str>) {
        let expected = match text {
            Some(text) => Body::Text(Text::from(text)),
            None => Body::Undecodable(bytes.to_vec()),
        };
        assert_eq!(decode(Cow::Borrowed(bytes), label), expected, "{label:?} {}", bytes.escape_ascii());
    }

    #[test]
    fn text_is_decoded_as_its_label_says() {
        check("Café £5".as_bytes(), None, Some("Café £5"));
        check("Café £5".as_bytes(), Some("UTF-8"), Some("Café £5"));
        check(b"Caf\xe9", Some("ISO-8859-1"), Some("Café"));
        check(b"\x04\x1f\x04\x40", Some("UTF-16BE"), Some("Пр"));
        check(b"\x04\x1f\x04\x40", Some("ucs-2"), Some("Пр"));
        check(b"\x1f\x04\x40\x04", Some("UTF-16LE"), Some("Пр"));
        check(b"\xd8\x3d\xdc\x4d", Some("utf-16be"), Some("👍"));
        check(b"\x04\x1f", Some("UTF-16"), Some("П"));
        check(b"\xfe\xff\x04\x1f", Some("utf-16"), Some("\u{feff}П"));
        check(b"\xff\xfe\x1f\x04", Some("UTF-16"), Some("\u{feff}П"));
        check(b"snow", Some("a charset of tomorrow"), Some("snow"));
        check(b"\xef\xbb\xbfsnow", Some("utf-8"), Some("\u{feff}snow"));
        check(b"a\0b", None, Some("a\0b"));
    }

    #[test]
    fn what_is_encoded_is_decoded_to_the_same_text() {
        for label in [None, Some("utf-8"), Some("UTF-16BE"), Some("ucs-2"), Some("UTF-16LE"), Some("iso-8859-15")] {
            let bytes = encode("Café 5€", label).expect("characters of that charset");
            check(&bytes, label, Some("Café 5€"));
        }
        for (text, label) in [("❄", "iso-8859-15"), ("€", "iso-8859-2"), ("a", "8-bit")] {
            assert_eq!(encode(text, Some(label)), None, "{label}");
        }
        assert!(is_known("ISO-8859-1") && is_known("ucs-2") && is_known("8-BIT") && !is_known("a charset of tomorrow"));
    }

    #[test]
    fn what_is_not_text_stays_bytes() {
        check(b"Caf\xe9", None, None);
        check(b"snow", Some("8-BIT"), None);
        check(b"\xd8\x3d", Some("UTF-16BE"), None);
        check(b"\x04\x1f\x04", Some("UTF-16BE"), None);
    }
}
