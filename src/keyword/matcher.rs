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

use super::character::{BLANK, letter};
use super::scan::{Sink, end_of_character, scan, skip_separators};
use super::spec::Mode;
use super::vocabulary::BEGIN;
use crate::message::{Consent, DepartmentName, Several};

/// What a pattern means once it stands at the start of a text.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub consent: Option<Consent>,
    pub keyword: Option<Keyword>,
}

/// What has to be known of a pattern before it wins: little, so that many share a line of cache.
#[derive(Clone, Copy)]
struct Terms {
    consent: Option<Consent>,
    /// `None`: no keyword, only a word of consent.
    mode: Option<Mode>,
}

/// A keyword or an alias, as the routes write it.
#[derive(Debug, Clone)]
pub(super) struct Keyword {
    pub word: Arc<str>,
    pub matched: Arc<str>,
    pub department: DepartmentName,
    pub departments: Several,
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
#[derive(Clone, Copy)]
pub(super) struct Hit<'m> {
    matcher: &'m Matcher,
    place: usize,
    /// Bytes of the folded word: what "longest" compares.
    pub word_length: usize,
    pub end: usize,
}

impl<'m> Hit<'m> {
    pub(super) fn keyword(&self) -> &'m Keyword {
        self.matcher.keyword(self.place)
    }
}

/// What a text begins with, and whether all of it is a word of consent.
#[derive(Clone, Copy, Default)]
pub(super) struct Found<'m> {
    pub hit: Option<Hit<'m>>,
    pub consent: Option<Consent>,
}

/// Patterns and their automaton, never changed. A pattern's place is the same in all three.
pub(super) struct Matcher {
    automaton: NFA,
    start: StateID,
    terms: Vec<Terms>,
    keywords: Vec<Option<Keyword>>,
    has_keywords: bool,
    fold_accents: bool,
}

impl Matcher {
    /// Takes each pattern once. Patterns in order put neighbouring states side by side in memory.
    pub(super) fn build(mut patterns: Vec<(Vec<u8>, Entry)>, fold_accents: bool) -> Result<Self, BuildError> {
        // Nearly all are in order already, which this way of sorting makes use of.
        patterns.sort_by(|(a, _), (b, _)| a.cmp(b));
        let automaton = NFA::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .prefilter(false)
            // One more than by default, for the byte that begins every pattern.
            .dense_depth(3)
            .build(patterns.iter().map(|(pattern, _)| pattern))?;
        let start = automaton.start_state(Anchored::Yes).expect("this kind of automaton starts either way");
        let start = automaton.next_state(Anchored::Yes, start, BEGIN);
        let terms = |(_, Entry { consent, keyword }): &(_, Entry)| Terms {
            consent: *consent,
            mode: keyword.as_ref().map(|keyword| keyword.mode),
        };
        let terms: Vec<_> = patterns.iter().map(terms).collect();
        let keywords = patterns.into_iter().map(|(_, entry)| entry.keyword).collect();
        let has_keywords = terms.iter().any(|terms| terms.mode.is_some());
        Ok(Self { automaton, start, terms, keywords, has_keywords, fold_accents })
    }

    pub(super) fn has_keywords(&self) -> bool {
        self.has_keywords
    }

    /// Where the entries of exactly this word are, open and closed, for `hidden`.
    pub(super) fn places_of(&self, word: &[u8]) -> impl Iterator<Item = usize> {
        let step = |state, &byte: &u8| self.automaton.next_state(Anchored::Yes, state, byte);
        let open = word.iter().fold(self.start, step);
        [open, step(open, &BLANK)].into_iter().filter_map(|state| self.pattern_at(state))
    }

    /// The pattern that ends in `state`.
    #[inline(always)]
    fn pattern_at(&self, state: StateID) -> Option<usize> {
        self.automaton.is_match(state).then(|| self.automaton.match_pattern(state, 0).as_usize())
    }

    fn keyword(&self, place: usize) -> &Keyword {
        self.keywords[place].as_ref().expect("asked only where the terms have a mode")
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
    #[inline(always)]
    fn word_matched(&mut self, place: usize, end: usize) {
        let Terms { consent, mode } = self.matcher.terms[place];
        let needs_whole_message = consent.is_some() || mode == Some(Mode::Exact);
        let is_whole_message = needs_whole_message && skip_separators(self.text, end) == self.text.len();
        if is_whole_message {
            self.found.consent = consent;
        }
        match mode {
            Some(Mode::Exact) if !is_whole_message => self.lost(place, Lost::MessageGoesOn),
            Some(_) => self.offer(place, self.stepped - 1, end),
            None => {}
        }
    }

    /// A pattern of mode `prefix` is over, the word perhaps not.
    fn prefix_matched(&mut self, place: usize, word_length: usize, end: usize) {
        match end_of_character(self.text, end, self.matcher.fold_accents) {
            Some(end) => self.offer(place, word_length, end),
            None => self.lost(place, Lost::InsideCharacter),
        }
    }

    /// Takes the place of what won so far: candidates come shortest first.
    #[inline(always)]
    fn offer(&mut self, place: usize, word_length: usize, end: usize) {
        if self.hidden.binary_search(&place).is_ok() {
            self.lost(place, Lost::Overridden);
            return;
        }
        let hit = Hit { matcher: self.matcher, place, word_length, end };
        if let Some(shorter) = self.found.hit.replace(hit) {
            self.lost(shorter.place, Lost::Longer);
        }
    }

    fn lost(&mut self, place: usize, why: Lost) {
        if W::ON {
            self.watch.lost(self.matcher.keyword(place), why);
        }
    }

    fn after_character(&mut self, state: StateID, stepped: usize, end: usize) {
        if let Some(place) = self.matcher.pattern_at(state) {
            self.prefix_matched(place, stepped, end);
        }
        if W::ON {
            let closed = self.matcher.automaton.next_state(Anchored::Yes, state, BLANK);
            let place = self.matcher.pattern_at(closed);
            self.inside_word = place.and_then(|place| self.matcher.keywords[place].as_ref());
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
    fn letters(&mut self, bytes: &[u8], at: usize) -> Option<usize> {
        let automaton = &self.matcher.automaton;
        // In locals, for the state that one byte leads to is what the next byte waits for.
        let (mut state, mut end) = (self.state, at);
        while let Some(folded) = bytes.get(end).and_then(|&byte| letter(byte)) {
            if W::ON {
                self.before_character();
            }
            state = automaton.next_state(Anchored::Yes, state, folded);
            end += 1;
            if !W::ON && !automaton.is_special(state) {
                continue;
            }
            if automaton.is_dead(state) {
                return None;
            }
            self.after_character(state, self.stepped + end - at, end);
        }
        self.state = state;
        self.stepped += end - at;
        Some(end)
    }

    fn cluster(&mut self, folded: &[u8], end: usize) -> bool {
        self.before_character();
        if !folded.iter().all(|&byte| self.step(byte)) {
            return false;
        }
        self.after_character(self.state, self.stepped, end);
        true
    }

    #[inline(always)]
    fn blank(&mut self, end: usize) -> bool {
        self.inside_word = None;
        if !self.step(BLANK) {
            return false;
        }
        if let Some(place) = self.matcher.pattern_at(self.state) {
            self.word_matched(place, end);
        }
        true
    }
}
