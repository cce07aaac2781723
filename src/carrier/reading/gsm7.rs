//! The GSM 7 bit default alphabet, one character a byte, as gateways hand it on.
//!
//! Comes in: septets, not packed. Goes out: text; and back.
//! Always true: what `encode` wrote, `decode` reads as the same text; bytes that are none of the
//! alphabet are no text.
//! Not here: packing seven bits into eight; national tables.
//!
//! Source: 3GPP TS 23.038, 6.2.1 and 6.2.1.1.

/// The basic table; the place of the escape holds what a receiver that knows no extension shows.
const BASIC: [char; 128] = [
    '@', '£', '$', '¥', 'è', 'é', 'ù', 'ì', 'ò', 'Ç', '\n', 'Ø', 'ø', '\r', 'Å', 'å', //
    'Δ', '_', 'Φ', 'Γ', 'Λ', 'Ω', 'Π', 'Ψ', 'Σ', 'Θ', 'Ξ', '\u{a0}', 'Æ', 'æ', 'ß', 'É', //
    ' ', '!', '"', '#', '¤', '%', '&', '\'', '(', ')', '*', '+', ',', '-', '.', '/', //
    '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', ':', ';', '<', '=', '>', '?', //
    '¡', 'A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', //
    'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X', 'Y', 'Z', 'Ä', 'Ö', 'Ñ', 'Ü', '§', //
    '¿', 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', //
    'p', 'q', 'r', 's', 't', 'u', 'v', 'w', 'x', 'y', 'z', 'ä', 'ö', 'ñ', 'ü', 'à', //
];

/// What follows the escape, and what it means there.
const EXTENSION: [(u8, char); 10] = [
    (0x0a, '\u{c}'),
    (0x14, '^'),
    (0x28, '{'),
    (0x29, '}'),
    (0x2f, '\\'),
    (0x3c, '['),
    (0x3d, '~'),
    (0x3e, ']'),
    (0x40, '|'),
    (0x65, '€'),
];

const ESCAPE: u8 = 0x1b;

/// The text, or nothing where a byte has more than seven bits. An escape with nothing of the table
/// behind it is shown as a blank, as the standard asks.
pub fn decode(septets: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(septets.len());
    let mut rest = septets.iter();
    while let Some(septet) = rest.next() {
        if *septet == ESCAPE {
            let extended = rest.as_slice().first().and_then(|next| EXTENSION.iter().find(|(code, _)| code == next));
            if let Some((_, character)) = extended {
                text.push(*character);
                rest.next();
                continue;
            }
        }
        text.push(*BASIC.get(usize::from(*septet))?);
    }
    Some(text)
}

/// The septets, or nothing where a character is not in the alphabet.
pub fn encode(text: &str) -> Option<Vec<u8>> {
    let mut septets = Vec::with_capacity(text.len());
    for character in text.chars() {
        if let Some((code, _)) = EXTENSION.iter().find(|(_, extended)| *extended == character) {
            septets.extend([ESCAPE, *code]);
            continue;
        }
        let code = BASIC.iter().position(|basic| *basic == character).filter(|code| *code != usize::from(ESCAPE))?;
        septets.push(u8::try_from(code).ok()?);
    }
    Some(septets)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(septets: &[u8], text: &str) {
        assert_eq!(decode(septets).as_deref(), Some(text), "{}", septets.escape_ascii());
    }

    #[test]
    fn septets_are_read_by_the_two_tables() {
        check(b"\x05v\x05nement", "événement");
        check(b"\0 \x01\x02\x11 \x40\x5b\x7f", "@ £$_ ¡Äà");
        check(b"\x1b\x65 \x1b\x3c1\x1b\x3e", "€ [1]");
        check(b"a\r\nb", "a\r\nb");
        check(b"", "");
    }

    #[test]
    fn an_escape_of_nothing_is_a_blank() {
        check(b"\x1ba", "\u{a0}a");
        check(b"a\x1b", "a\u{a0}");
        check(b"\x1b\x1b\x65", "\u{a0}€");
    }

    #[test]
    fn what_is_not_of_the_alphabet_is_no_text() {
        assert_eq!(decode(b"caf\xe9"), None);
        for text in ["❄", "`", "ê", "\u{a0}"] {
            assert_eq!(encode(text), None, "{text}");
        }
    }

    #[test]
    fn every_character_of_the_tables_comes_back() {
        let all: String = BASIC.iter().chain(EXTENSION.iter().map(|(_, character)| character)).collect();
        let all = all.replace('\u{a0}', "");
        let septets = encode(&all).expect("characters of the tables");
        check(&septets, &all);
    }
}
