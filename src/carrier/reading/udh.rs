//! The user data header of a text on the air, as far as it tells which piece of a long text this is.
//!
//! Comes in: its bytes, the length first (3GPP TS 23.040, 9.2.3.24). Goes out: a `Part`, or none.
//! Always true: a header that cannot be read is no part, and no reason to refuse a text.
//! Not here: ports, pictures and everything else a header can say.

use crate::message::Part;

/// Information element: a piece, its reference in 8 bits.
const CONCATENATED_8_BIT: u8 = 0x00;
/// Information element: a piece, its reference in 16 bits.
const CONCATENATED_16_BIT: u8 = 0x08;

/// The piece that a header speaks of.
pub fn part(header: &[u8]) -> Option<Part> {
    let (length, mut elements) = header.split_first()?;
    elements = elements.get(..usize::from(*length))?;
    while let [kind, length, rest @ ..] = elements {
        let (element, next) = rest.split_at_checked(usize::from(*length))?;
        match (*kind, element) {
            (CONCATENATED_8_BIT, [reference, total, number]) => return piece(u16::from(*reference), *total, *number),
            (CONCATENATED_16_BIT, [high, low, total, number]) => {
                return piece(u16::from_be_bytes([*high, *low]), *total, *number);
            }
            _ => elements = next,
        }
    }
    None
}

/// The piece that a header speaks of which a carrier wrote in hexadecimal digits, or as its bytes.
pub fn part_written(header: &[u8]) -> Option<Part> {
    let hex = std::str::from_utf8(header).ok().and_then(from_hex);
    hex.and_then(|bytes| part(&bytes)).or_else(|| part(header))
}

/// The header of a piece, in hexadecimal digits; nothing where a number is beyond what a header holds.
pub fn to_hex(part: &Part) -> Option<String> {
    let [high, low] = part.reference.parse::<u16>().ok()?.to_be_bytes();
    let (total, number) = (u8::try_from(part.total).ok()?, u8::try_from(part.number).ok()?);
    Some(match high {
        0 => format!("050003{low:02x}{total:02x}{number:02x}"),
        _ => format!("060804{high:02x}{low:02x}{total:02x}{number:02x}"),
    })
}

/// A header in hexadecimal digits.
pub fn from_hex(digits: &str) -> Option<Vec<u8>> {
    if !digits.len().is_multiple_of(2) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

fn piece(reference: u16, total: u8, number: u8) -> Option<Part> {
    // A text of one piece is whole, and a number outside the total would never be joined.
    let valid = total > 1 && (1..=total).contains(&number);
    valid.then(|| Part { reference: reference.to_string(), total: u16::from(total), number: u16::from(number) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(hex: &str, expected: Option<(&str, u16, u16)>) {
        let header = from_hex(hex).expect("hexadecimal digits of the test");
        let expected = expected.map(|(reference, total, number)| Part { reference: reference.into(), total, number });
        assert_eq!(part(&header), expected, "{hex}");
    }

    #[test]
    fn a_piece_names_its_text_and_its_place() {
        check("050003cc0201", Some(("204", 2, 1)));
        check("06080412340302", Some(("4660", 3, 2)));
        check("0b0504158a00000003050202", Some(("5", 2, 2)));
    }

    #[test]
    fn what_is_written_is_read_back() {
        for (reference, total, number) in [("0", 2, 1), ("255", 255, 255), ("256", 2, 2), ("65535", 3, 1)] {
            let piece = Part { reference: reference.to_owned(), total, number };
            let written = to_hex(&piece).expect("it fits into a header");
            assert_eq!(part_written(written.as_bytes()), Some(piece.clone()), "{reference}");
            assert_eq!(part_written(&from_hex(&written).expect("digits")), Some(piece), "{reference}");
        }
        for (reference, total) in [("65536", 2), ("a", 2), ("1", 256)] {
            assert_eq!(
                to_hex(&Part { reference: reference.to_owned(), total, number: 1 }),
                None,
                "{reference} {total}"
            );
        }
    }

    #[test]
    fn what_is_no_piece_is_none() {
        for hex in
            ["", "00", "05", "050003cc0101", "050003cc0203", "050003cc0200", "0605040b8423f0", "030003cc", "ff0003"]
        {
            check(hex, None);
        }
        assert_eq!(from_hex("0"), None);
        assert_eq!(from_hex("0g"), None);
        assert_eq!(from_hex("é"), None);
    }
}
