//! A text as folded words, one character at a time, to whoever listens: an automaton or a pattern.
//!
//! Always true: words are closed by one blank each, none comes first; what a character folds to
//! arrives in one piece with the offset where it ends in the text as received; reading ends when the
//! listener says so. Patterns and texts go through here alike, which is what makes them comparable.
//! Not here: what single characters are (`character`), which words matter (`matcher`).

use super::character::{ASCII, BLANK, Cluster, FOREIGN, Kind, kind};

/// Takes the folded words of a text. `false` and `None`: it has enough.
pub(super) trait Sink {
    /// The ASCII letters and digits that stand in `bytes` from `at` on, one at least, not yet folded.
    /// Answers where they end.
    fn letters(&mut self, bytes: &[u8], at: usize) -> Option<usize>;
    /// A character with its marks, folded; `end` is the offset behind them in the text.
    fn cluster(&mut self, folded: &[u8], end: usize) -> bool;
    /// The word is over; `end` is the offset behind it in the text.
    fn blank(&mut self, end: usize) -> bool;
}

/// What came last, and so what the next character does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Last {
    /// Nothing yet, or a blank.
    Blank,
    /// A letter: another one continues the word.
    Letter,
    /// A word of its own: whatever follows is another.
    Alone,
    /// An emoji: a joiner and another emoji continue it.
    Emoji,
    /// An emoji and a joiner.
    Joined,
    /// The first half of a flag.
    HalfFlag,
}

/// Reads `text` to its end, or until the sink has enough. Tells what stood last before the closing blank.
#[inline(always)]
pub(super) fn scan(text: &str, fold_accents: bool, sink: &mut impl Sink) -> Last {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut last = Last::Blank;
    while let Some(&byte) = bytes.get(at) {
        let go_on = match ASCII[usize::from(byte)] {
            FOREIGN => foreign(text, &mut at, &mut last, fold_accents, sink),
            BLANK => {
                let go_on = last == Last::Blank || sink.blank(at);
                last = Last::Blank;
                at += 1;
                go_on
            }
            _ => {
                let word_is_over = !matches!(last, Last::Letter | Last::Blank);
                last = Last::Letter;
                let end = if word_is_over && !sink.blank(at) { None } else { sink.letters(bytes, at) };
                at = end.unwrap_or(at);
                end.is_some()
            }
        };
        if !go_on {
            return last;
        }
    }
    if last != Last::Blank {
        sink.blank(at);
    }
    last
}

/// One character that is not ASCII, with the marks on it.
#[inline(never)]
fn foreign(text: &str, at: &mut usize, last: &mut Last, fold_accents: bool, sink: &mut impl Sink) -> bool {
    let Some(character) = text[*at..].chars().next() else { return false };
    let start = *at;
    *at += character.len_utf8();
    let (continues, next) = match (kind(character), *last) {
        (Kind::Joiner, Last::Emoji) => {
            *last = Last::Joined;
            return true;
        }
        (Kind::Ignored | Kind::Joiner, _) => return true,
        (Kind::Mark | Kind::Tag | Kind::Separator, Last::Blank) => return true,
        (Kind::Separator, _) => {
            *last = Last::Blank;
            return sink.blank(start);
        }
        (Kind::Mark, _) | (Kind::Tag, Last::Emoji) => (true, *last),
        (Kind::Tag, _) => return true,
        (Kind::Letter, _) => (*last == Last::Letter, Last::Letter),
        (Kind::Alone, _) => (false, Last::Alone),
        (Kind::Emoji, _) => (*last == Last::Joined, Last::Emoji),
        (Kind::Flag, Last::HalfFlag) => (true, Last::Alone),
        (Kind::Flag, _) => (false, Last::HalfFlag),
    };
    let mut cluster = Cluster::new(fold_accents);
    cluster.add(character);
    *at += add_marks(&mut cluster, &text[*at..]);
    if cluster.is_empty() {
        return true;
    }
    let word_is_over = !continues && *last != Last::Blank;
    *last = next;
    (!word_is_over || sink.blank(start)) && sink.cluster(cluster.encode(&mut Cluster::buffer()), *at)
}

/// Adds the marks `text` begins with; tells how many bytes they and what is ignored between them are.
fn add_marks(cluster: &mut Cluster, text: &str) -> usize {
    let mut end = 0;
    for (start, character) in text.char_indices() {
        match kind_of_any(character) {
            Kind::Mark if !cluster.is_full() => {
                cluster.add(character);
                end = start + character.len_utf8();
            }
            Kind::Ignored | Kind::Joiner => {}
            _ => break,
        }
    }
    end
}

/// Where `text[from..]` has its first character that is no separator: where the rest begins.
pub(super) fn skip_separators(text: &str, from: usize) -> usize {
    let ascii = text.as_bytes()[from..].iter().take_while(|&&byte| ASCII[usize::from(byte)] == BLANK).count();
    let from = from + ascii;
    if text.as_bytes().get(from).is_none_or(u8::is_ascii) {
        return from;
    }
    let is_word = |character| matches!(kind_of_any(character), Kind::Letter | Kind::Alone | Kind::Emoji | Kind::Flag);
    text[from..].find(is_word).map_or(text.len(), |offset| from + offset)
}

/// Where the character that ends at `end` ends together with the marks on it that count for nothing;
/// `None` when a mark that counts is on it, so that no keyword can end here.
#[inline]
pub(super) fn end_of_character(text: &str, end: usize, fold_accents: bool) -> Option<usize> {
    match text.as_bytes().get(end) {
        Some(byte) if !byte.is_ascii() => {
            let mut cluster = Cluster::new(fold_accents);
            let length = add_marks(&mut cluster, &text[end..]);
            cluster.is_empty().then_some(end + length)
        }
        _ => Some(end),
    }
}

fn kind_of_any(character: char) -> Kind {
    match u8::try_from(character).map(|byte| ASCII[usize::from(byte)]) {
        Ok(BLANK) => Kind::Separator,
        Ok(FOREIGN) | Err(_) => kind(character),
        Ok(_) => Kind::Letter,
    }
}
