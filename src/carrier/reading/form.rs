//! Pairs of a form or a query, by the WHATWG rules, but in bytes: a decoder that puts U+FFFD for what
//! is not UTF-8 would lose the text that invariant 5 keeps.
//!
//! Comes in: bytes as they came. Goes out: names and values, borrowed where nothing was escaped.
//! Always true: any bytes are a form; the cost is linear.
//! Not here: which names mean what.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

/// Every pair in order, still escaped; empty pieces between two `&` are skipped.
pub fn raw_pairs(input: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = Some(input);
    let pieces = std::iter::from_fn(move || {
        let input = rest?;
        let (piece, next) = match memchr(b'&', input) {
            Some(at) => (&input[..at], Some(&input[at + 1..])),
            None => (input, None),
        };
        rest = next;
        Some(piece)
    });
    pieces.filter(|piece| !piece.is_empty()).map(|piece| match piece.iter().position(|byte| *byte == b'=') {
        Some(end) => (&piece[..end], &piece[end + 1..]),
        None => (piece, &piece[piece.len()..]),
    })
}

/// Most pairs of one query or form that are read: no carrier sends a tenth of it, and each takes twenty times
/// the memory of the shortest.
pub const PAIRS_MAX: usize = 500;
/// Room for the pairs of an ordinary text.
pub const PAIRS_USUAL: usize = 32;

/// Every pair in order, as the caller keeps it. `None` when there are more than `PAIRS_MAX`: a signature over
/// some of them would prove nothing of the others.
pub fn all_pairs<'a, T>(input: &'a [u8], keep: impl FnMut((&'a [u8], &'a [u8])) -> T) -> Option<Vec<T>> {
    let mut pairs = Vec::with_capacity(PAIRS_USUAL);
    pairs.extend(raw_pairs(input).take(PAIRS_MAX + 1).map(keep));
    (pairs.len() <= PAIRS_MAX).then_some(pairs)
}

/// The first value of that name, decoded.
pub fn value<'a>(input: &'a [u8], wanted: &[u8]) -> Option<Cow<'a, [u8]>> {
    raw_pairs(input).find(|(name, _)| decode(name).as_ref() == wanted).map(|(_, value)| decode(value))
}

/// A name or value without its escapes.
pub fn decode(raw: &[u8]) -> Cow<'_, [u8]> {
    if next_escape(raw).is_none() {
        return Cow::Borrowed(raw);
    }
    let mut decoded = Vec::with_capacity(raw.len());
    decode_into(raw, &mut decoded);
    Cow::Owned(decoded)
}

/// The same, at the end of what is there already. A `%` that no two digits follow stands for itself.
pub fn decode_into(raw: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(raw);
    let Some(mut read) = next_escape(raw) else { return };
    // Decoding never lengthens: what is decoded moves up within the copy, which then ends earlier.
    let decoded = &mut out[start..];
    let mut written = read;
    while let Some(first) = raw.get(read) {
        let (byte, length) = match first {
            b'+' => (b' ', 1),
            b'%' => unescape(&raw[read..]).map_or((b'%', 1), |byte| (byte, 3)),
            byte => (*byte, 1),
        };
        decoded[written] = byte;
        written += 1;
        read += length;
    }
    out.truncate(start + written);
}

/// The byte that `%` and two hexadecimal digits stand for.
fn unescape(raw: &[u8]) -> Option<u8> {
    let [_, high, low, ..] = raw else { return None };
    match (HEX[usize::from(*high)], HEX[usize::from(*low)]) {
        (high @ 0..16, low @ 0..16) => Some(high << 4 | low),
        _ => None,
    }
}

/// Where the first `+` or `%` stands. The vector search pays only where it has some way to go.
fn next_escape(raw: &[u8]) -> Option<usize> {
    let (near, far) = raw.split_at(raw.len().min(ESCAPE_NEAR));
    let found = near.iter().position(|byte| matches!(byte, b'+' | b'%'));
    found.or_else(|| if far.is_empty() { None } else { memchr2(b'+', b'%', far).map(|at| near.len() + at) })
}

/// How far an escape is looked for byte by byte: names, and the words of a text, are shorter.
const ESCAPE_NEAR: usize = 12;

/// What each byte is worth as a hexadecimal digit; 255 for none.
const HEX: [u8; 256] = {
    let mut table = [u8::MAX; 256];
    let mut value = 0;
    while value < 16 {
        table[b"0123456789abcdef"[value] as usize] = value as u8;
        table[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    table
};

/// A number, an id, a link: bytes that are not UTF-8 become U+FFFD, for such a field must never cost
/// the text its way.
pub fn lossy(value: Cow<'_, [u8]>) -> String {
    match value {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Cow::Owned(bytes) => {
            String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
        }
    }
}

/// The same for a field that must be there: `None` for an absent or empty one.
pub fn filled(value: Option<Cow<'_, [u8]>>) -> Option<String> {
    value.filter(|bytes| !bytes.is_empty()).map(lossy)
}

/// Of two fields that may say the same, the first that says something, else one that is there.
pub fn either<'a>(first: Option<Cow<'a, [u8]>>, second: Option<Cow<'a, [u8]>>) -> Option<Cow<'a, [u8]>> {
    match (first, second) {
        (Some(first), second) if !first.is_empty() || second.is_none() => Some(first),
        (_, second) => second,
    }
}

/// Pairs as a form or query is written; values need not be text.
pub fn encode<N: AsRef<str>, V: AsRef<[u8]>>(pairs: impl IntoIterator<Item = (N, V)>) -> String {
    let mut encoded = String::new();
    for (name, value) in pairs {
        if !encoded.is_empty() {
            encoded.push('&');
        }
        encoded.extend(form_urlencoded::byte_serialize(name.as_ref().as_bytes()));
        encoded.push('=');
        encoded.extend(form_urlencoded::byte_serialize(value.as_ref()));
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(input: &[u8]) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
        raw_pairs(input).map(|(name, value)| (decode(name), decode(value)))
    }

    fn check(input: &[u8], expected: &[(&[u8], &[u8])]) {
        let decoded: Vec<_> = pairs(input).collect();
        let decoded: Vec<(&[u8], &[u8])> = decoded.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        assert_eq!(decoded, expected, "{}", input.escape_ascii());
    }

    #[test]
    fn pairs_are_read_as_browsers_write_them() {
        check(b"", &[]);
        check(b"a=1&b=2", &[(b"a", b"1"), (b"b", b"2")]);
        check(b"a=1&&a=2&", &[(b"a", b"1"), (b"a", b"2")]);
        check(b"a&b=&=c", &[(b"a", b""), (b"b", b""), (b"", b"c")]);
        check(b"a+b=c+%2B%20d=e", &[(b"a b", b"c + d=e")]);
        check(b"a=%e9%00%zz%4", &[(b"a", b"\xe9\0%zz%4")]);
        check(b"a=%%41%4%41%", &[(b"a", b"%A%4A%")]);
    }

    #[test]
    fn what_is_not_escaped_is_borrowed() {
        assert!(pairs(b"From=86555&Body=SNOW").all(|(_, value)| matches!(value, Cow::Borrowed(_))));
    }

    proptest::proptest! {
        /// The judge is the `form_urlencoded` crate, which loses only what is not UTF-8.
        #[test]
        fn any_bytes_are_read_as_the_url_standard_reads_them(input in "[a-c0-9%=&+é\\x00E]{0,40}") {
            let ours: Vec<_> = pairs(input.as_bytes()).map(|(name, value)| (lossy(name), lossy(value))).collect();
            let theirs: Vec<_> = form_urlencoded::parse(input.as_bytes()).into_owned().collect();
            proptest::prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn encoding_and_decoding_are_inverse() {
        let encoded = encode([("Body", "grit & gravel+50% ❄\r\n"), ("From", "+44")]);
        let decoded: Vec<_> = pairs(encoded.as_bytes()).map(|(name, value)| (lossy(name), lossy(value))).collect();
        assert_eq!(decoded[0], ("Body".to_owned(), "grit & gravel+50% ❄\r\n".to_owned()));
        assert_eq!(decoded[1], ("From".to_owned(), "+44".to_owned()));
    }
}
