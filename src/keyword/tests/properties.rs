//! What holds for any text and any table: the automaton agrees with a plain reference, nothing panics,
//! the rest begins at a character, and `explain` tells what `decide` does.
//!
//! The reference folds whole texts into lists of words by other means (lists of characters, the
//! normaliser's iterator, `str::to_lowercase`) and compares lists; it shares no code with the room.

use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization;

use super::super::*;
use super::{keyword, number, spec};

/// Pieces of texts and keywords: what folds, what parts words, what joins, what is alone.
const PIECES: &[&str] = &[
    "a", "b", "A", "B", "ab", "7", "é", "e", "E", "n\u{303}", "ñ", "\u{301}", "ß", "SS", "ａ", "Ｂ", "я", "Я", "ο",
    "Ο", " ", "  ", "-", ".", "’", "'", "\"", "•", "\u{a0}", "\n", "\0", "\u{200b}", "\u{200d}", "\u{feff}",
    "\u{200e}", "\u{fe0f}", "\u{ad}", "❄", "😀", "👍🏽", "雪", "崩", "の", "ガ", "눈",
];

fn is_nothing(character: char) -> bool {
    matches!(character, '\u{200d}' | '\u{feff}' | '\u{200e}' | '\u{fe0f}' | '\u{ad}' | '\u{1f3fd}')
}

fn is_alone(character: char) -> bool {
    "❄😀👍雪崩の".contains(character)
}

fn is_mark(character: char) -> bool {
    matches!(character, '\u{301}' | '\u{303}' | '\u{3099}')
}

/// The words of a text, each with the bytes of the text it comes from.
fn words(text: &str, fold_accents: bool) -> Vec<(String, usize)> {
    let mut words: Vec<(String, usize)> = vec![];
    let mut open = false;
    let mut alone = false;
    let mut joined = false;
    for (start, character) in text.char_indices() {
        let end = start + character.len_utf8();
        if is_nothing(character) {
            joined |= character == '\u{200d}';
            continue;
        }
        let attaches = is_mark(character) || (joined && "❄😀👍".contains(character) && alone_emoji(&words));
        joined = false;
        let begins = is_alone(character) || alone;
        if !(character.is_alphanumeric() || is_alone(character) || is_mark(character)) {
            (open, alone) = (false, false);
            continue;
        }
        if !open && is_mark(character) {
            continue;
        }
        if !open || (begins && !attaches) {
            words.push((String::new(), 0));
        }
        let word = words.last_mut().unwrap();
        if !(is_mark(character) && fold_accents) {
            word.0.push(character);
        }
        word.1 = end;
        open = true;
        alone = is_alone(character) || (alone && is_mark(character));
    }
    for (word, _) in &mut words {
        let decomposed = word.nfkd().filter(|&c| !(fold_accents && matches!(c, '\u{301}' | '\u{303}')));
        *word = decomposed.collect::<String>().to_lowercase().replace('ß', "ss").replace('ς', "σ");
    }
    words
}

fn alone_emoji(words: &[(String, usize)]) -> bool {
    words.last().is_some_and(|(word, _)| word.trim_end_matches(is_mark).ends_with(['❄', '😀', '👍']))
}

/// The place of the keyword that wins, and where it ends in the text: every keyword is tried.
fn reference(keywords: &[(String, Mode)], text: &str, fold_accents: bool) -> Option<(usize, usize)> {
    let text_words = words(text, fold_accents);
    let matches = |(place, (keyword, mode)): (usize, &(String, Mode))| {
        let wanted: Vec<_> = words(keyword, fold_accents).into_iter().map(|(word, _)| word).collect();
        let begins = text_words.iter().map(|(word, _)| word).take(wanted.len()).eq(wanted.iter());
        let end = text_words.get(wanted.len() - 1).map_or(0, |(_, end)| *end);
        let is_match = begins && (*mode != Mode::Exact || text_words.len() == wanted.len());
        is_match.then(|| (wanted.join(" ").len(), place, end))
    };
    keywords.iter().enumerate().filter_map(matches).max().map(|(_, place, end)| (place, end))
}

fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(PIECES), 0..10).prop_map(|pieces| pieces.concat())
}

/// Texts that often begin with one of the keywords.
fn text_near(keywords: Vec<(String, Mode)>) -> impl Strategy<Value = String> {
    let known = prop::sample::select(keywords).prop_map(|(word, _)| word);
    prop_oneof![
        text(),
        (text(), known, text()).prop_map(|(before, word, after)| {
            let before: String = before.chars().filter(|c| !c.is_alphanumeric() && !is_alone(*c)).collect();
            format!("{before}{word}{after}")
        })
    ]
}

/// Keywords that a table takes: none empty, none twice.
fn keywords() -> impl Strategy<Value = Vec<(String, Mode)>> {
    let mode = prop_oneof![3 => Just(Mode::Word), 1 => Just(Mode::Exact)];
    prop::collection::vec((prop::collection::vec(prop::sample::select(PIECES), 1..5), mode), 1..12).prop_map(|drawn| {
        let mut seen = std::collections::HashSet::new();
        let mut keywords: Vec<_> = drawn.into_iter().map(|(pieces, mode)| (pieces.concat(), mode)).collect();
        // The finer comparison tells more words apart, so what is unique folded is unique unfolded.
        let key = |word: &str| words(word, true).into_iter().map(|(word, _)| word).collect::<Vec<_>>();
        keywords.retain(|(word, _)| !key(word).is_empty() && seen.insert(key(word)));
        keywords.insert(0, ("fallback".to_owned(), Mode::Word));
        keywords
    })
}

fn table(keywords: &[(String, Mode)], fold_accents: bool) -> Table {
    let keywords = keywords.iter().map(|(word, mode)| keyword("86555", word, "c", *mode)).collect();
    Table::build(Spec { fold_accents, ..spec(keywords) }).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_automaton_agrees_with_a_plain_reference(
        (keywords, texts) in keywords().prop_flat_map(|keywords| {
            let texts = prop::collection::vec(text_near(keywords.clone()), 6);
            (Just(keywords), texts)
        }),
        fold_accents: bool,
    ) {
        let table = table(&keywords, fold_accents);
        for text in texts {
            let decision = table.decide(&number("86555"), &text).unwrap();
            let expected = reference(&keywords, &text, fold_accents);
            let expected_word = expected.map(|(place, _)| keywords[place].0.as_str());
            prop_assert_eq!(decision.keyword.as_deref(), expected_word, "{:?}", text);
            if let (Some((_, end)), Some(rest)) = (expected, decision.rest) {
                let skipped = &text[end..rest];
                prop_assert!(words(skipped, fold_accents).is_empty(), "{:?} skipped of {:?}", skipped, text);
                let next = text[rest..].chars().next();
                prop_assert!(next.is_none_or(|c| c.is_alphanumeric() || is_alone(c)), "{:?} from {}", text, rest);
            }
        }
    }

    #[test]
    fn any_text_is_decided_and_explained_alike(
        text in prop_oneof![any::<String>(), text(), "(bin|雪|é|👨)\\PC{0,20}"],
        fold_accents: bool,
    ) {
        let mut words = spec(vec![
            keyword("86555", "bin", "c", Mode::Prefix),
            keyword("86555", "e", "d", Mode::Word),
            keyword("*", "雪", "c", Mode::Exact),
            keyword("*", "👨", "d", Mode::Word),
        ]);
        words.fold_accents = fold_accents;
        let table = Table::build(words).unwrap();
        for to in ["86555", "12345"].map(number) {
            let decision = table.decide(&to, &text).unwrap();
            prop_assert!(decision.rest.is_none_or(|rest| text.is_char_boundary(rest)));
            prop_assert_eq!(decision.rest.is_some(), decision.keyword.is_some());
            let explanation = table.explain(&to, &text);
            prop_assert_eq!(explanation.department, Some(decision.department));
            prop_assert_eq!(explanation.keyword, decision.keyword);
            prop_assert_eq!(explanation.rule, Some(decision.rule));
            prop_assert_eq!(explanation.consent, decision.consent);
        }
    }

    #[test]
    fn any_word_that_is_taken_matches_itself(word in any::<String>(), mode in prop::sample::select(vec![Mode::Word, Mode::Prefix])) {
        let built = Table::build(spec(vec![keyword("86555", &word, "c", mode)]));
        if let Ok(table) = built {
            for text in [word.clone(), format!("…{word}"), format!("{word} and more"), word.to_lowercase()] {
                let decision = table.decide(&number("86555"), &text).unwrap();
                prop_assert_eq!(decision.keyword.as_deref(), Some(word.as_str()), "{:?}", text);
            }
        }
    }
}

#[test]
fn every_character_folds_to_what_folds_to_itself() {
    for fold_accents in [true, false] {
        for character in '\0'..='\u{3ffff}' {
            let once = vocabulary::folded(&format!("x{character}"), fold_accents);
            assert_eq!(vocabulary::folded(&once, fold_accents), once, "{character:?}, accents folded: {fold_accents}");
            assert!(!once.as_bytes().contains(&vocabulary::BEGIN), "{character:?} is what begins a pattern");
        }
    }
}
