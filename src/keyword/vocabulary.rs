//! The words of each number while a table is built: keywords, aliases and words of consent, folded.
//!
//! Always true: a word is there once for each number, whoever wrote it first; what is wrong with a
//! word is refused and the word left out.
//! Not here: automata (`matcher`), departments and numbers themselves (`build`).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::build::{Defaults, Refusals, unknown};
use super::character::{BLANK, letter};
use super::delivery::Deliveries;
use super::matcher::{Entry, Keyword};
use super::scan::{Last, Sink, scan};
use super::spec::{DEPARTMENTS_MAX, KeywordSpec, Mode, Spec};
use crate::message::{Consent, Country, Number};

/// The key of what holds for every number.
pub(super) const EVERYWHERE: &str = "*";
/// Begins every pattern and stands in no word, so that no pattern ends within another. The automaton is made to find
/// patterns anywhere and links each state to what else may have begun on the way there; with nothing to link, the
/// automaton is built in half the time (`cargo bench --bench reload`).
pub(super) const BEGIN: u8 = 1;
/// Longest keyword, in characters as written: one text of the GSM alphabet.
const WORD_LENGTH_MAX: usize = 160;
/// Most keywords and aliases in one table. 1,000,000 take three seconds to build.
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
    known: HashMap<String, Arc<str>, RandomState>,
}

impl Numbers {
    pub(super) fn new(country: Country) -> Self {
        Self { country, known: HashMap::default() }
    }

    pub(super) fn normalise(&mut self, written: &str) -> Arc<str> {
        if let Some(number) = self.known.get(written) {
            return Arc::clone(number);
        }
        let number: Arc<str> = Number::normalise(written, self.country).as_str().into();
        self.known.insert(written.to_owned(), Arc::clone(&number));
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
        // With room for what its pattern has at either end.
        let mut collected = Collected { bytes: Vec::with_capacity(word.len() + 2), end: 0 };
        scan(word, fold_accents, &mut collected);
        let Collected { mut bytes, end } = collected;
        bytes.pop_if(|&mut byte| byte == BLANK);
        // No character beyond ASCII is needed to see that a word ends with a letter or a digit of it.
        let ends_alone = !word[..end].ends_with(|last: char| last.is_ascii_alphanumeric())
            && scan(&word[..end], fold_accents, &mut Collected { bytes: Vec::new(), end: 0 }) != Last::Letter;
        Self { bytes, ends_alone }
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

/// A keyword or an alias, and where the routes have it.
struct Owned {
    /// As it is compared, without its closing blank.
    word: Vec<u8>,
    keyword: Keyword,
    line: usize,
    /// Its pattern has no closing blank, so that it matches inside a word.
    open: bool,
}

/// The words of one number. Keywords stand in a list that is put in order once: the automaton wants them so, and
/// equal words then stand side by side; a map of all of them would be one more copy.
#[derive(Default)]
pub(super) struct Vocabulary {
    keywords: Vec<Owned>,
    consent: HashMap<Vec<u8>, Consent>,
}

impl Vocabulary {
    /// Puts the keywords in order. Of equal words the first that was written stays, the others are refused.
    fn settle(&mut self, number: &str, refusals: &mut Refusals) {
        self.keywords.sort_by(|a, b| a.word.cmp(&b.word));
        self.keywords.dedup_by(|later, first| {
            let is_same = later.word == first.word;
            if is_same {
                let reason = format!(
                    "keyword {:?} is the same word as {:?} on line {} (number {number}, department {}): remove one",
                    later.keyword.matched, first.keyword.matched, first.line, first.keyword.department
                );
                refusals.add(later.line, reason);
            }
            is_same
        });
    }

    /// Keywords that must be the whole message.
    fn exact(&self) -> impl Iterator<Item = &Owned> {
        self.keywords.iter().filter(|owned| owned.keyword.mode == Mode::Exact)
    }

    /// The words of consent in it.
    pub(super) fn consent(&self) -> Vec<(Vec<u8>, Consent)> {
        self.consent.iter().map(|(word, consent)| (word.clone(), *consent)).collect()
    }

    pub(super) fn add_consent(&mut self, words: &[(Vec<u8>, Consent)]) {
        self.consent.extend(words.iter().cloned());
    }

    /// The keywords as they are compared, without closing blanks.
    pub(super) fn words(&self) -> impl Iterator<Item = &[u8]> {
        self.keywords.iter().map(|owned| owned.word.as_slice())
    }

    /// What an automaton is built from. An open keyword that is a word of consent too has two patterns.
    pub(super) fn into_patterns(self) -> Vec<(Vec<u8>, Entry)> {
        let Self { keywords, consent } = self;
        let closed_place = |word: &[u8]| {
            let place = keywords.binary_search_by(|owned| owned.word.as_slice().cmp(word)).ok()?;
            (!keywords[place].open).then_some(place)
        };
        let consent: Vec<_> = consent.into_iter().map(|(word, consent)| (closed_place(&word), word, consent)).collect();
        let entry =
            |Owned { word, keyword, open, .. }| (pattern(word, open), Entry { consent: None, keyword: Some(keyword) });
        let mut patterns: Vec<_> = keywords.into_iter().map(entry).collect();
        for (place, word, consent) in consent {
            match place {
                Some(place) => patterns[place].1.consent = Some(consent),
                None => patterns.push((pattern(word, false), Entry { consent: Some(consent), keyword: None })),
            }
        }
        patterns
    }
}

/// As the automaton has a word; an open one matches inside a word too.
fn pattern(mut word: Vec<u8>, open: bool) -> Vec<u8> {
    word.insert(0, BEGIN);
    if !open {
        word.push(BLANK);
    }
    word
}

/// The words of every number, and those of all of them.
#[derive(Default)]
pub(super) struct Vocabularies {
    pub everywhere: Vocabulary,
    pub own: HashMap<Arc<str>, Vocabulary>,
}

impl Vocabularies {
    /// Takes every word that can be taken and refuses the others.
    pub(super) fn collect(
        spec: &Spec,
        numbers: &mut Numbers,
        departments: &Deliveries,
        defaults: &Defaults,
        refusals: &mut Refusals,
    ) -> Self {
        let mut collector =
            Collector { spec, numbers, departments, defaults, refusals, words: Self::default(), count: 0 };
        collector.consent();
        // Most have few numbers or none; what is not used is never touched.
        collector.words.everywhere.keywords.reserve(spec.keywords.len());
        for keyword in &spec.keywords {
            collector.keyword(keyword);
        }
        collector.settle();
        collector.reserved();
        collector.words
    }

    /// Keywords and aliases.
    pub(super) fn keyword_count(&self) -> usize {
        self.own.values().chain([&self.everywhere]).map(|vocabulary| vocabulary.keywords.len()).sum()
    }

    fn of(&mut self, number: &Arc<str>) -> &mut Vocabulary {
        if &**number == EVERYWHERE {
            return &mut self.everywhere;
        }
        self.own.entry(Arc::clone(number)).or_default()
    }
}

struct Collector<'s> {
    spec: &'s Spec,
    numbers: &'s mut Numbers,
    departments: &'s Deliveries,
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
                self.words.everywhere.consent.insert(folded.bytes, consent);
            }
        }
        let (all, one): (Vec<_>, Vec<_>) =
            self.spec.consent.iter().partition(|consent| &*self.numbers.normalise(&consent.number) == EVERYWHERE);
        for consent in all.into_iter().chain(one) {
            let what = || format!("words of {:?}", consent.consent).to_lowercase();
            let Some(number) = self.number(&consent.number, what, consent.line) else { continue };
            for word in &consent.words {
                self.consent_word(&number, word, consent.consent, consent.line);
            }
        }
    }

    fn consent_word(&mut self, number: &Arc<str>, word: &str, consent: Consent, line: usize) {
        let Some(folded) = self.fold(word, line) else { return };
        let shared = self.words.everywhere.consent.get(&folded.bytes).copied();
        let known = *self.words.of(number).consent.entry(folded.bytes).or_insert(shared.unwrap_or(consent));
        if known != consent {
            let known = format!("{known:?}").to_lowercase();
            let reason =
                format!("{word:?} is a word of {known} already: a word can say one thing only, remove it here");
            self.refusals.add(line, reason);
        }
    }

    fn keyword(&mut self, spec: &KeywordSpec) {
        let KeywordSpec { number, word, aliases, department, departments, mode, line } = spec;
        let what = || format!("keyword {word:?}");
        self.departments_of(spec);
        let Some(number) = self.number(number, what, *line) else { return };
        let aliases = aliases.iter().map(|alias| alias.as_str().into());
        for matched in [Arc::clone(word)].into_iter().chain(aliases) {
            let (department, departments) = (department.clone(), departments.clone());
            let keyword = Keyword { word: Arc::clone(word), matched, department, departments, mode: *mode };
            self.word(&number, keyword, *line);
        }
    }

    /// Refuses a keyword that leads to a department which is not there, or to one twice.
    fn departments_of(&mut self, spec: &KeywordSpec) {
        let KeywordSpec { word, departments, line, .. } = spec;
        let which = departments.as_ref().map_or("its department", |_| "one of its departments");
        for (place, department) in spec.every_department().iter().enumerate() {
            if !self.departments.contains_key(department) {
                self.refusals.add(*line, unknown(department, &format!("keyword {word:?}: {which}")));
            }
            if spec.every_department()[..place].contains(department) {
                let reason = format!("keyword {word:?} names department {department} twice: it gets a text once");
                self.refusals.add(*line, reason);
            }
        }
        let Some(several) = departments else { return };
        if several.len() < 2 {
            let reason =
                format!("keyword {word:?}: departments must name at least two; for one say department = \"…\"");
            self.refusals.add(*line, reason);
        }
        if several.len() > DEPARTMENTS_MAX {
            let count = several.len();
            let reason = format!(
                "keyword {word:?} names {count} departments, and each gets every text: name {DEPARTMENTS_MAX} at most"
            );
            self.refusals.add(*line, reason);
        }
    }

    fn word(&mut self, number: &Arc<str>, keyword: Keyword, line: usize) {
        self.count += 1;
        if self.count > WORDS_MAX {
            if self.count == WORDS_MAX + 1 {
                self.refusals
                    .add(line, format!("more than {WORDS_MAX} keywords and aliases: remove those from here on"));
            }
            return;
        }
        let Some(Folded { bytes: word, ends_alone }) = self.fold(&keyword.matched, line) else { return };
        let open = keyword.mode == Mode::Prefix && !ends_alone;
        self.words.of(number).keywords.push(Owned { word, keyword, line, open });
    }

    fn settle(&mut self) {
        self.words.everywhere.settle(EVERYWHERE, self.refusals);
        for (number, vocabulary) in &mut self.words.own {
            vocabulary.settle(number, self.refusals);
        }
    }

    /// Folds a word; `None` and a refusal when no text could ever match it.
    fn fold(&mut self, word: &str, line: usize) -> Option<Folded> {
        if word.len() > WORD_LENGTH_MAX && word.chars().nth(WORD_LENGTH_MAX).is_some() {
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
    fn number(&mut self, written: &str, what: impl Fn() -> String, line: usize) -> Option<Arc<str>> {
        let number = self.numbers.normalise(written);
        let is_served = &*number == EVERYWHERE
            || (!number.is_empty() && (self.defaults.contains_key(&number) || self.defaults.contains_key(EVERYWHERE)));
        if !is_served {
            let reason = format!(
                "{}: number {written:?} is in no [[number]]: add one with its default department, \
                 one for \"*\", or correct the number",
                what()
            );
            self.refusals.add(line, reason);
        }
        is_served.then_some(number)
    }

    /// A keyword that must be the whole message and is a word of consent would answer for it.
    fn reserved(&mut self) {
        let Vocabularies { everywhere, own } = &self.words;
        let of_all: HashSet<_> = everywhere.consent.keys().collect();
        let of_any: HashSet<_> = own.values().chain([everywhere]).flat_map(|number| number.consent.keys()).collect();
        let shared = everywhere.exact().filter(|owned| of_any.contains(&owned.word));
        let single = own.values().flat_map(|number| {
            let is_consent = |word: &Vec<u8>| of_all.contains(word) || number.consent.contains_key(word);
            number.exact().filter(move |owned| is_consent(&owned.word))
        });
        for Owned { keyword, line, .. } in shared.chain(single) {
            let reason = format!(
                "keyword {:?} is a word of consent: with match = \"exact\" it would only ever mean that; \
                 use match = \"word\" or another word",
                keyword.matched
            );
            self.refusals.add(*line, reason);
        }
    }
}
