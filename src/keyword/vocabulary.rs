//! The words of each number while a table is built: keywords, aliases and words of consent, folded.
//!
//! Always true: a word is there once for each number, whoever wrote it first; what is wrong with a
//! word is refused and the word left out.
//! Not here: automata (`matcher`), departments and numbers themselves (`build`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::build::{Defaults, Refusals, unknown};
use super::character::{BLANK, letter};
use super::delivery::Delivery;
use super::matcher::{Entry, Keyword};
use super::scan::{Last, Sink, scan};
use super::spec::{KeywordSpec, Mode, Spec};
use crate::message::{Consent, Country, DepartmentName, Number};

/// The key of what holds for every number.
pub(super) const EVERYWHERE: &str = "*";
/// Longest keyword, in characters as written: one text of the GSM alphabet.
const WORD_LENGTH_MAX: usize = 160;
/// Most keywords and aliases in one table. 1,000,000 take 7 seconds to build.
const WORDS_MAX: usize = 1_000_000;
/// What networks and regulators expect every service to understand.
const BUILT_IN: [(Consent, &[&str]); 3] = [
    (Consent::Stop, &["stop", "stopall", "unsubscribe", "cancel", "end", "quit"]),
    (Consent::Start, &["start", "unstop"]),
    (Consent::Help, &["help", "info"]),
];

/// Numbers as keys, each form normalised once: a table repeats few numbers many times.
pub(super) struct Numbers {
    country: Country,
    known: HashMap<String, String>,
}

impl Numbers {
    pub(super) fn new(country: Country) -> Self {
        Self { country, known: HashMap::new() }
    }

    pub(super) fn normalise(&mut self, written: &str) -> String {
        if let Some(number) = self.known.get(written) {
            return number.clone();
        }
        let number = Number::normalise(written, self.country).as_str().to_owned();
        self.known.insert(written.to_owned(), number.clone());
        number
    }
}

/// A word as it is compared: folded, without its closing blank.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Folded {
    bytes: Vec<u8>,
    /// Its last character is a word of its own, so it always ends with a blank.
    ends_alone: bool,
}

impl Folded {
    fn of(word: &str, fold_accents: bool) -> Self {
        let mut collected = Collected { bytes: Vec::with_capacity(word.len() + 1), end: 0 };
        scan(word, fold_accents, &mut collected);
        let Collected { mut bytes, end } = collected;
        bytes.pop_if(|&mut byte| byte == BLANK);
        let last = scan(&word[..end], fold_accents, &mut Collected { bytes: Vec::new(), end: 0 });
        Self { bytes, ends_alone: last != Last::Letter }
    }
}

/// A word as it is compared, to look at.
#[cfg(test)]
pub(super) fn folded(word: &str, fold_accents: bool) -> String {
    String::from_utf8(Folded::of(word, fold_accents).bytes).unwrap()
}

/// A word read to its end, and where its last character ends.
struct Collected {
    bytes: Vec<u8>,
    end: usize,
}

impl Sink for Collected {
    fn letters(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        let length_before = self.bytes.len();
        self.bytes.extend(bytes[at..].iter().map_while(|&byte| letter(byte)));
        self.end = at + self.bytes.len() - length_before;
        Some(self.end)
    }

    fn cluster(&mut self, folded: &[u8], end: usize) -> bool {
        self.bytes.extend_from_slice(folded);
        self.end = end;
        true
    }

    fn blank(&mut self, _: usize) -> bool {
        self.bytes.push(BLANK);
        true
    }
}

/// What one word means for one number.
#[derive(Default)]
struct Meaning {
    keyword: Option<Owned>,
    consent: Option<Consent>,
}

/// A keyword and where the routes have it.
struct Owned {
    keyword: Keyword,
    line: usize,
    /// Its pattern has no closing blank, so that it matches inside a word.
    open: bool,
}

/// The words of one number.
#[derive(Default)]
pub(super) struct Vocabulary(HashMap<Vec<u8>, Meaning>);

impl Vocabulary {
    fn is_consent(&self, word: &Vec<u8>) -> bool {
        self.0.get(word).is_some_and(|meaning| meaning.consent.is_some())
    }

    fn consent_words(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.0.keys().filter(|word| self.is_consent(word))
    }

    /// Keywords that must be the whole message.
    fn exact(&self) -> impl Iterator<Item = (&Vec<u8>, &Owned)> {
        let words = self.0.iter().filter_map(|(word, meaning)| Some((word, meaning.keyword.as_ref()?)));
        words.filter(|(_, owned)| owned.keyword.mode == Mode::Exact)
    }

    /// The words of consent in it.
    pub(super) fn consent(&self) -> Vec<(Vec<u8>, Consent)> {
        let consent = |(word, meaning): (&Vec<u8>, &Meaning)| Some((word.clone(), meaning.consent?));
        self.0.iter().filter_map(consent).collect()
    }

    pub(super) fn add_consent(&mut self, words: &[(Vec<u8>, Consent)]) {
        for (word, consent) in words {
            self.0.entry(word.clone()).or_default().consent = Some(*consent);
        }
    }

    /// The keywords' patterns, in both forms they may have elsewhere.
    pub(super) fn keyword_patterns(&self) -> impl Iterator<Item = Vec<u8>> {
        let keywords = self.0.iter().filter(|(_, meaning)| meaning.keyword.is_some());
        keywords.flat_map(|(word, _)| [word.clone(), closed(word.clone())])
    }

    /// What an automaton is built from. An open keyword that is a word of consent too has two patterns.
    pub(super) fn into_patterns(self) -> Vec<(Vec<u8>, Entry)> {
        let mut patterns = Vec::with_capacity(self.0.len());
        for (word, Meaning { keyword, consent }) in self.0 {
            let (open, whole): (Option<Owned>, Option<Owned>) = match keyword {
                Some(owned) if owned.open => (Some(owned), None),
                owned => (None, owned),
            };
            if let Some(Owned { keyword, .. }) = open {
                let entry = Entry { consent: None, keyword: Some(keyword) };
                patterns.push((word.clone(), entry));
            }
            if whole.is_some() || consent.is_some() {
                let keyword = whole.map(|owned| owned.keyword);
                let entry = Entry { consent, keyword };
                patterns.push((closed(word), entry));
            }
        }
        patterns
    }
}

fn closed(mut word: Vec<u8>) -> Vec<u8> {
    word.push(BLANK);
    word
}

/// The words of every number, and those of all of them.
#[derive(Default)]
pub(super) struct Vocabularies {
    pub everywhere: Vocabulary,
    pub own: HashMap<String, Vocabulary>,
}

impl Vocabularies {
    /// Takes every word that can be taken and refuses the others.
    pub(super) fn collect(
        spec: &Spec,
        numbers: &mut Numbers,
        departments: &HashMap<DepartmentName, Delivery>,
        defaults: &Defaults,
        refusals: &mut Refusals,
    ) -> Self {
        let mut collector =
            Collector { spec, numbers, departments, defaults, refusals, words: Self::default(), count: 0 };
        collector.consent();
        for keyword in &spec.keywords {
            collector.keyword(keyword);
        }
        collector.reserved();
        collector.words
    }

    /// Keywords and aliases.
    pub(super) fn keyword_count(&self) -> usize {
        let all = self.own.values().chain([&self.everywhere]);
        all.flat_map(|vocabulary| vocabulary.0.values()).filter(|meaning| meaning.keyword.is_some()).count()
    }

    fn of(&mut self, number: &str) -> &mut Vocabulary {
        if number == EVERYWHERE {
            return &mut self.everywhere;
        }
        self.own.entry(number.to_owned()).or_default()
    }
}

struct Collector<'s> {
    spec: &'s Spec,
    numbers: &'s mut Numbers,
    departments: &'s HashMap<DepartmentName, Delivery>,
    defaults: &'s Defaults,
    refusals: &'s mut Refusals,
    words: Vocabularies,
    count: usize,
}

impl Collector<'_> {
    /// Words of consent: the built-in ones, then those for all numbers, then those for one.
    fn consent(&mut self) {
        for (consent, words) in BUILT_IN {
            for word in words {
                let folded = Folded::of(word, self.spec.fold_accents);
                self.words.everywhere.0.entry(folded.bytes).or_default().consent = Some(consent);
            }
        }
        let (all, one): (Vec<_>, Vec<_>) =
            self.spec.consent.iter().partition(|consent| self.numbers.normalise(&consent.number) == EVERYWHERE);
        for consent in all.into_iter().chain(one) {
            let what = format!("words of {:?}", consent.consent).to_lowercase();
            let Some(number) = self.number(&consent.number, &what, consent.line) else { continue };
            for word in &consent.words {
                self.consent_word(&number, word, consent.consent, consent.line);
            }
        }
    }

    fn consent_word(&mut self, number: &str, word: &str, consent: Consent, line: usize) {
        let Some(folded) = self.fold(word, line) else { return };
        let shared = self.words.everywhere.0.get(&folded.bytes).and_then(|meaning| meaning.consent);
        let meaning = self.words.of(number).0.entry(folded.bytes).or_default();
        let known = *meaning.consent.get_or_insert(shared.unwrap_or(consent));
        if known != consent {
            let known = format!("{known:?}").to_lowercase();
            let reason =
                format!("{word:?} is a word of {known} already: a word can say one thing only, remove it here");
            self.refusals.add(line, reason);
        }
    }

    fn keyword(&mut self, spec: &KeywordSpec) {
        let KeywordSpec { number, word, aliases, department, mode, line } = spec;
        let what = format!("keyword {word:?}");
        if !self.departments.contains_key(department) {
            self.refusals.add(*line, unknown(department, &format!("{what}: its department")));
        }
        let Some(number) = self.number(number, &what, *line) else { return };
        let word: Arc<str> = word.as_str().into();
        let matched = aliases.iter().map(|alias| alias.as_str().into());
        for matched in [Arc::clone(&word)].into_iter().chain(matched) {
            let keyword = Keyword { word: Arc::clone(&word), matched, department: department.clone(), mode: *mode };
            self.word(&number, keyword, *line);
        }
    }

    fn word(&mut self, number: &str, keyword: Keyword, line: usize) {
        self.count += 1;
        if self.count > WORDS_MAX {
            if self.count == WORDS_MAX + 1 {
                self.refusals
                    .add(line, format!("more than {WORDS_MAX} keywords and aliases: remove those from here on"));
            }
            return;
        }
        let Some(folded) = self.fold(&keyword.matched, line) else { return };
        let meaning = self.words.of(number).0.entry(folded.bytes).or_default();
        if let Some(Owned { keyword: other, line: other_line, .. }) = &meaning.keyword {
            let reason = format!(
                "keyword {:?} is the same word as {:?} on line {other_line} (number {number}, department {}): remove one",
                keyword.matched, other.matched, other.department
            );
            self.refusals.add(line, reason);
            return;
        }
        let open = keyword.mode == Mode::Prefix && !folded.ends_alone;
        meaning.keyword = Some(Owned { keyword, line, open });
    }

    /// Folds a word; `None` and a refusal when no text could ever match it.
    fn fold(&mut self, word: &str, line: usize) -> Option<Folded> {
        if word.chars().nth(WORD_LENGTH_MAX).is_some() {
            let reason =
                format!("a keyword has more than {WORD_LENGTH_MAX} characters: no text begins with it, shorten it");
            self.refusals.add(line, reason);
            return None;
        }
        let folded = Folded::of(word, self.spec.fold_accents);
        if folded.bytes.is_empty() {
            let reason = format!(
                "keyword {word:?} can never match: nothing is left of it without separators; \
                 give it a letter, a digit or an emoji"
            );
            self.refusals.add(line, reason);
            return None;
        }
        Some(folded)
    }

    /// The key of a number that has words; a refusal when no text to it would find them.
    fn number(&mut self, written: &str, what: &str, line: usize) -> Option<String> {
        let number = self.numbers.normalise(written);
        let is_served = number == EVERYWHERE
            || (!number.is_empty() && (self.defaults.contains_key(&number) || self.defaults.contains_key(EVERYWHERE)));
        if !is_served {
            let reason = format!(
                "{what}: number {written:?} is in no [[number]]: add one with its default department, \
                 one for \"*\", or correct the number"
            );
            self.refusals.add(line, reason);
        }
        is_served.then_some(number)
    }

    /// A keyword that must be the whole message and is a word of consent would answer for it.
    fn reserved(&mut self) {
        let Vocabularies { everywhere, own } = &self.words;
        let of_all: HashSet<_> = everywhere.consent_words().collect();
        let of_any: HashSet<_> = own.values().chain([everywhere]).flat_map(Vocabulary::consent_words).collect();
        let shared = everywhere.exact().filter(|(word, _)| of_any.contains(word));
        let single = own.values().flat_map(|number| {
            let is_consent = |word: &Vec<u8>| of_all.contains(word) || number.is_consent(word);
            number.exact().filter(move |(word, _)| is_consent(word))
        });
        for (_, Owned { keyword, line, .. }) in shared.chain(single) {
            let reason = format!(
                "keyword {:?} is a word of consent: with match = \"exact\" it would only ever mean that; \
                 use match = \"word\" or another word",
                keyword.matched
            );
            self.refusals.add(*line, reason);
        }
    }
}
