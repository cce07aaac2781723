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
