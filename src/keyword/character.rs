//! One character at a time: what it is to a keyword, and what it folds to.
//!
//! Always true: every character has exactly one `Kind`; what one character folds to is never parted
//! by a blank. The classes follow Unicode 16's tables through `std` and `unicode-normalization`;
//! where those have none (bullets, emoji, scripts without spaces) the ranges are written out here.
//! Not here: how characters become words (`scan`).

use unicode_normalization::char::{canonical_combining_class, decompose_compatible, is_combining_mark};

/// What every run of separators is written as, and what closes every word.
pub(super) const BLANK: u8 = b' ';
/// In `ASCII`: not an ASCII character, look at the whole of it.
pub(super) const FOREIGN: u8 = 0;
/// Each byte folded: letters to lower case, digits as they are, all else `BLANK` or `FOREIGN`.
pub(super) static ASCII: [u8; 256] = ascii();

const fn ascii() -> [u8; 256] {
    let mut table = [FOREIGN; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { BLANK };
        byte += 1;
    }
    table
}

/// An ASCII letter or digit, folded.
#[inline(always)]
pub(super) fn letter(byte: u8) -> Option<u8> {
    // Both `BLANK` and `FOREIGN` are below every letter and digit.
    Some(ASCII[usize::from(byte)]).filter(|&folded| folded > BLANK)
}

/// What a character that is not ASCII means to the word it stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Counts for nothing, wherever it stands.
    Ignored,
    /// Zero-width joiner: nothing, except between two emoji.
    Joiner,
    /// Tag characters: nothing, except in the flags of nations that follow a black flag.
    Tag,
    Separator,
    /// Belongs to the character before it.
    Mark,
    Letter,
    /// A word of its own.
    Alone,
    /// A word of its own, unless joined.
    Emoji,
    /// Half of a flag.
    Flag,
}

pub(super) fn kind(character: char) -> Kind {
    match character {
        '\u{200d}' => Kind::Joiner,
        '\u{e0020}'..='\u{e007f}' => Kind::Tag,
        '\u{1f1e6}'..='\u{1f1ff}' => Kind::Flag,
        _ if is_ignored(character) => Kind::Ignored,
        _ if is_mark(character) => Kind::Mark,
        _ if is_emoji(character) => Kind::Emoji,
        _ if is_alone(character) => Kind::Alone,
        _ if character.is_alphanumeric() => Kind::Letter,
        _ => Kind::Separator,
    }
}

/// Unicode's default ignorable characters, and those that change only how others look: the Arabic
/// tatweel, the keycap, skin tones. The zero-width space is a separator: it is written between words.
fn is_ignored(character: char) -> bool {
    matches!(character,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{640}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{20e3}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0000}'..='\u{e0fff}')
}

/// What continues the character before it (UAX 29): combining marks, vowels and finals of Hangul
/// syllables spelt out, the voicing marks of kana, and two vowels of Thai and Lao.
fn is_mark(character: char) -> bool {
    is_combining_mark(character)
        || matches!(character,
            '\u{1161}'..='\u{11ff}' | '\u{d7b0}'..='\u{d7fb}' | '\u{ff9e}' | '\u{ff9f}' | '\u{309b}' | '\u{309c}' | '\u{e33}' | '\u{eb3}')
}

/// Pictures. Arrows and geometric shapes are left out: people use them as bullets.
fn is_emoji(character: char) -> bool {
    matches!(character,
        '\u{231a}' | '\u{231b}' | '\u{2328}' | '\u{23cf}' | '\u{23e9}'..='\u{23fa}' | '\u{2600}'..='\u{275a}'
        | '\u{2761}'..='\u{2767}' | '\u{2b1b}' | '\u{2b1c}' | '\u{2b50}' | '\u{2b55}' | '\u{e000}'..='\u{f8ff}'
        | '\u{1f000}'..='\u{1f0ff}' | '\u{1f170}'..='\u{1f1e5}' | '\u{1f200}'..='\u{1faff}')
}

/// Letters and digits of scripts that are written without spaces.
fn is_alone(character: char) -> bool {
    match character {
        '\u{2e80}'..='\u{2fdf}' | '\u{3005}'..='\u{3007}' | '\u{3021}'..='\u{3029}' => true,
        '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' => true,
        '\u{20000}'..='\u{3ffff}' | '\u{3041}'..='\u{309f}' | '\u{3038}'..='\u{303a}' => true,
        // Ideographs in brackets and circles.
        '\u{3192}'..='\u{319f}' | '\u{3220}'..='\u{3247}' | '\u{3280}'..='\u{32b0}' => true,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' => character.is_alphanumeric(),
        '\u{1950}'..='\u{19df}' | '\u{1a20}'..='\u{1aaf}' => character.is_alphanumeric(),
        '\u{a9e0}'..='\u{a9ff}' | '\u{aa60}'..='\u{aadf}' => character.is_alphanumeric(),
        _ => false,
    }
}

/// Marks that are accents or reading aids in their script, not vowels: Latin, Greek, Cyrillic,
/// Hebrew points, Arabic harakat.
fn is_accent(character: char) -> bool {
    matches!(character,
        '\u{300}'..='\u{36f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}'
        | '\u{fe20}'..='\u{fe2f}' | '\u{591}'..='\u{5bd}' | '\u{5bf}' | '\u{5c1}' | '\u{5c2}' | '\u{5c4}'
        | '\u{5c5}' | '\u{5c7}' | '\u{610}'..='\u{61a}' | '\u{64b}'..='\u{65f}' | '\u{670}'
        | '\u{6d6}'..='\u{6dc}' | '\u{6df}'..='\u{6e4}' | '\u{6e7}' | '\u{6e8}' | '\u{6ea}'..='\u{6ed}')
}

/// Characters one may decompose to (U+FDFA has 18).
const DECOMPOSED_MAX: usize = 24;
/// Characters that may wait to be put in canonical order. Real text has fewer than 8 marks on a letter.
const CLUSTER_FULL: usize = 32;
/// Room for a cluster that was not yet full and one more character, each of whose parts may become
/// three when its case is folded.
const CLUSTER_MAX: usize = CLUSTER_FULL + 3 * DECOMPOSED_MAX;

/// A character and the marks on it, folded, on the stack.
pub(super) struct Cluster {
    characters: [char; CLUSTER_MAX],
    length: usize,
    fold_accents: bool,
}

impl Cluster {
    pub(super) fn new(fold_accents: bool) -> Self {
        Self { characters: ['\0'; CLUSTER_MAX], length: 0, fold_accents }
    }

    /// Whether further marks must go into a cluster of their own.
    pub(super) fn is_full(&self) -> bool {
        self.length >= CLUSTER_FULL
    }

    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Adds what `character` folds to.
    pub(super) fn add(&mut self, character: char) {
        let mut parts = ['\0'; DECOMPOSED_MAX];
        let mut count = 0;
        decompose_compatible(character, |part| {
            if count < DECOMPOSED_MAX {
                parts[count] = part;
                count += 1;
            }
        });
        match within_word(&parts[..count]) {
            Some(word) => word.iter().for_each(|&part| self.fold(part)),
            None => self.fold(character),
        }
    }

    fn fold(&mut self, part: char) {
        if is_combining_mark(part) {
            if !(self.fold_accents && is_accent(part)) {
                self.push(part);
            }
            return;
        }
        if kind(part) == Kind::Ignored {
            return;
        }
        // Down, up and down again is what full case folding does, and it takes `ß`, `ẞ` and `SS` together.
        for upper in part.to_lowercase().flat_map(char::to_uppercase) {
            for lower in upper.to_lowercase() {
                self.push_letter(lower);
            }
        }
    }

    /// Letters whose stroke or ligature Unicode does not take apart count as accented too.
    fn push_letter(&mut self, letter: char) {
        let plain = match letter {
            _ if !self.fold_accents => [letter, '\0'],
            'ø' => ['o', '\0'],
            'đ' => ['d', '\0'],
            'ł' => ['l', '\0'],
            'ħ' => ['h', '\0'],
            'ŧ' => ['t', '\0'],
            'æ' => ['a', 'e'],
            'œ' => ['o', 'e'],
            _ => [letter, '\0'],
        };
        for character in plain.into_iter().filter(|&character| character != '\0') {
            self.push(character);
        }
    }

    fn push(&mut self, character: char) {
        if self.length < CLUSTER_MAX {
            self.characters[self.length] = character;
            self.length += 1;
        }
    }

    /// The bytes to compare: marks in canonical order (UAX 15), UTF-8.
    pub(super) fn encode<'b>(&mut self, buffer: &'b mut [u8; 4 * CLUSTER_MAX]) -> &'b [u8] {
        let characters = &mut self.characters[..self.length];
        for marks in characters.split_mut(|&character| canonical_combining_class(character) == 0) {
            marks.sort_by_key(|&mark| canonical_combining_class(mark));
        }
        let mut length = 0;
        for character in characters {
            length += character.encode_utf8(&mut buffer[length..]).len();
        }
        &buffer[..length]
    }

    /// Room for `encode`, on the caller's stack.
    pub(super) fn buffer() -> [u8; 4 * CLUSTER_MAX] {
        [0; 4 * CLUSTER_MAX]
    }
}

/// The part of a decomposition that belongs to a word: `⑴` gives `1`. `None` for one of several
/// words (`℀`, `½`, `ﷺ`, `ໜ`): such a character stays as it is, so that no keyword can end inside it.
fn within_word(parts: &[char]) -> Option<&[char]> {
    let is_word = |&part: &char| part.is_alphanumeric() || is_mark(part);
    let (Some(first), Some(last)) = (parts.iter().position(is_word), parts.iter().rposition(is_word)) else {
        return Some(parts);
    };
    let word = &parts[first..=last];
    let is_one_word = match word.iter().filter(|&&part| !is_mark(part)).count() {
        0 => true,
        1 => !is_mark(word[0]),
        _ => word.iter().all(|&part| !is_alone(part)),
    };
    (is_one_word && word.iter().all(is_word)).then_some(word)
}
