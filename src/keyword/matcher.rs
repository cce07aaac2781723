//! The longest keyword a text begins with: one automaton, walked while the text is read.
//!
//! Comes in: patterns, folded, with what each means. Goes out: the winner and where it ends in the text
//! as received. Always true: the walk makes no copy and no allocation, and ends with the first
//! character after which no pattern is left, so a text of any length costs no more than the longest
//! pattern and the separators in it. Every shorter candidate is passed on the way, so the next longest
//! is at hand when a longer one must not match.
//! Not here: which numbers have which patterns (`build`), what a winner decides (`table`).

use std::sync::Arc;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, BuildError, MatchKind};

use super::character::BLANK;
use super::scan::{Sink, end_of_character, scan, skip_separators};
use super::spec::Mode;
use crate::message::{Consent, DepartmentName};

/// What a pattern means once it stands at the start of a text.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Bytes of the pattern with its closing blank, where it has one.
    pub length: usize,
    /// Bytes of the folded word without it: what "longest" compares.
    pub word_length: usize,
    pub consent: Option<Consent>,
    pub keyword: Option<Keyword>,
}

/// A keyword or an alias, as the routes write it.
#[derive(Debug, Clone)]
pub(super) struct Keyword {
    pub word: Arc<str>,
    pub matched: Arc<str>,
    pub department: DepartmentName,
    pub mode: Mode,
}

/// Why a candidate did not win.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lost {
    /// A longer one did.
    Longer,
    /// `exact`, and the message goes on.
    MessageGoesOn,
    /// A whole word was wanted, and the word goes on.
    WordGoesOn,
    /// A mark that counts is on its last letter.
    InsideCharacter,
    /// The number has the same word for itself.
    Overridden,
}

/// Listens to what `find` passes on its way; costs nothing where `ON` is false.
pub(super) trait Watch {
    const ON: bool;
    fn lost(&mut self, keyword: &Keyword, why: Lost);
}

/// Nobody listens: the hot path.
pub(super) struct Unwatched;

impl Watch for Unwatched {
    const ON: bool = false;
    fn lost(&mut self, _: &Keyword, _: Lost) {}
}

/// The winner, and where the word ends in the text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit<'m> {
    pub keyword: &'m Keyword,
    pub word_length: usize,
    pub end: usize,
}

/// What a text begins with, and whether all of it is a word of consent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found<'m> {
    pub hit: Option<Hit<'m>>,
    pub consent: Option<Consent>,
}

/// Patterns and their automaton, never changed.
pub(super) struct Matcher {
    automaton: NFA,
    start: StateID,
    entries: Vec<Entry>,
    has_keywords: bool,
    fold_accents: bool,
}

impl Matcher {
    /// Takes each pattern once. Patterns in order put neighbouring states side by side in memory.
    pub(super) fn build(mut patterns: Vec<(Vec<u8>, Entry)>, fold_accents: bool) -> Result<Self, BuildError> {
        patterns.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let automaton = NFA::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .prefilter(false)
            .build(patterns.iter().map(|(pattern, _)| pattern))?;
        let start = automaton.start_state(Anchored::Yes).expect("this kind of automaton starts either way");
        let entries: Vec<_> = patterns.into_iter().map(|(_, entry)| entry).collect();
        let has_keywords = entries.iter().any(|entry| entry.keyword.is_some());
        Ok(Self { automaton, start, entries, has_keywords, fold_accents })
    }

    pub(super) fn has_keywords(&self) -> bool {
        self.has_keywords
    }

    /// Where the entry of exactly this pattern is, for `hidden`.
    pub(super) fn place_of(&self, pattern: &[u8]) -> Option<usize> {
        let step = |state, &byte: &u8| self.automaton.next_state(Anchored::Yes, state, byte);
        self.pattern_at(pattern.iter().fold(self.start, step), pattern.len())
    }

    /// The pattern that ends in `state`, where one of `length` bytes does. Others that the automaton
    /// reports there began later in the text: it copies matches along failure links.
    #[inline(always)]
    fn pattern_at(&self, state: StateID, length: usize) -> Option<usize> {
        if !self.automaton.is_match(state) {
            return None;
        }
        let place = self.automaton.match_pattern(state, 0).as_usize();
        (self.entries[place].length == length).then_some(place)
    }

    /// The longest keyword at the start of `text` whose mode holds, without those at the places `hidden`.
    pub(super) fn find<'m, W: Watch>(&'m self, text: &str, hidden: &[usize], watch: &mut W) -> Found<'m> {
        let mut walk = Walk {
            matcher: self,
            text,
            hidden,
            state: self.start,
            stepped: 0,
            found: Found::default(),
            inside_word: None,
            watch,
        };
        scan(text, self.fold_accents, &mut walk);
        walk.found
    }
}

/// One text on its way through the automaton.
struct Walk<'m, 't, W> {
    matcher: &'m Matcher,
    text: &'t str,
    hidden: &'t [usize],
    state: StateID,
    stepped: usize,
    found: Found<'m>,
    /// The keyword that would have matched, had the word ended here; known only when watched.
    inside_word: Option<&'m Keyword>,
    watch: &'t mut W,
}

impl<'m, W: Watch> Walk<'m, '_, W> {
    /// Follows one byte; false when no pattern goes on with it.
    #[inline(always)]
    fn step(&mut self, byte: u8) -> bool {
        self.state = self.matcher.automaton.next_state(Anchored::Yes, self.state, byte);
        self.stepped += 1;
        !self.matcher.automaton.is_dead(self.state)
    }

    /// A word is over and a pattern with it.
    fn word_matched(&mut self, place: usize, end: usize) {
        let entry = &self.matcher.entries[place];
        let is_whole_message = || skip_separators(self.text, end) == self.text.len();
        if entry.consent.is_some() && is_whole_message() {
            self.found.consent = entry.consent;
        }
        match &entry.keyword {
            Some(keyword) if keyword.mode == Mode::Exact && !is_whole_message() => {
                self.watch.lost(keyword, Lost::MessageGoesOn);
            }
            Some(keyword) => self.offer(place, keyword, end),
            None => {}
        }
    }

    /// A pattern of mode `prefix` is over, the word perhaps not.
    fn prefix_matched(&mut self, place: usize, end: usize) {
        let Some(keyword) = &self.matcher.entries[place].keyword else { return };
        match end_of_character(self.text, end, self.matcher.fold_accents) {
            Some(end) => self.offer(place, keyword, end),
            None => self.watch.lost(keyword, Lost::InsideCharacter),
        }
    }

    /// Takes the place of what won so far: candidates come shortest first.
    fn offer(&mut self, place: usize, keyword: &'m Keyword, end: usize) {
        if self.hidden.binary_search(&place).is_ok() {
            self.watch.lost(keyword, Lost::Overridden);
            return;
        }
        let word_length = self.matcher.entries[place].word_length;
        if let Some(shorter) = self.found.hit.replace(Hit { keyword, word_length, end }) {
            self.watch.lost(shorter.keyword, Lost::Longer);
        }
    }

    fn after_character(&mut self, end: usize) {
        if let Some(place) = self.matcher.pattern_at(self.state, self.stepped) {
            self.prefix_matched(place, end);
        }
        if W::ON {
            let closed = self.matcher.automaton.next_state(Anchored::Yes, self.state, BLANK);
            let place = self.matcher.pattern_at(closed, self.stepped + 1);
            self.inside_word = place.and_then(|place| self.matcher.entries[place].keyword.as_ref());
        }
    }

    fn before_character(&mut self) {
        if let Some(keyword) = self.inside_word.take() {
            self.watch.lost(keyword, Lost::WordGoesOn);
        }
    }
}

impl<W: Watch> Sink for Walk<'_, '_, W> {
    #[inline(always)]
    fn byte(&mut self, folded: u8, end: usize) -> bool {
        if W::ON {
            self.before_character();
        }
        if !self.step(folded) {
            return false;
        }
        if W::ON || self.matcher.automaton.is_match(self.state) {
            self.after_character(end);
        }
        true
    }

    fn cluster(&mut self, folded: &[u8], end: usize) -> bool {
        self.before_character();
        if !folded.iter().all(|&byte| self.step(byte)) {
            return false;
        }
        self.after_character(end);
        true
    }

    #[inline(always)]
    fn blank(&mut self, end: usize) -> bool {
        self.inside_word = None;
        if !self.step(BLANK) {
            return false;
        }
        if let Some(place) = self.matcher.pattern_at(self.state, self.stepped) {
            self.word_matched(place, end);
        }
        true
    }
}
