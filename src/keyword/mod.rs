//! Which department a text belongs to: its leading keyword, looked up in an immutable table.
//!
//! Comes in: the routes as values (`Spec`), then a number and a text. Goes out: a `Decision`, or an
//! `Explanation` by the same code. Always true: a table that was built passed its own tests; the text
//! itself is never changed, folding is for comparing only; no text of any kind panics or allocates
//! more than its decision.
//! Not here: reading `routes.toml`, when to reload it, what is published.
//!
//! # What is a word
//!
//! A text is read from its start, character by character, straight into an anchored Aho-Corasick
//! automaton; nothing is copied, and reading ends with the first character that no keyword has there.
//! Words are closed by a blank, in the patterns as in the text, so the longest match of the automaton
//! is the longest *whole* word: `bin` never catches `bingo`. A byte that is in no word begins each pattern: an
//! automaton of this kind finds patterns anywhere, and so it has none to look for within others.
//!
//! - Separators (white space, punctuation, quotes, bullets, currency signs, controls) are skipped at
//!   the start and are one blank elsewhere, so `park-pay`, `Park, pay` and `PARK PAY` are the same.
//! - Zero-width and direction marks, variation selectors, skin tones and keycaps count for nothing.
//! - Case, compatibility forms (full-width, ligatures) and, unless `fold_accents` is off, accents do
//!   not count. A combining mark that does count belongs to the letter before it: a keyword never
//!   ends between the two.
//! - An emoji is a word of its own, with all that is joined to it (families, flags); so is every
//!   character of a script written without spaces (Han, Hiragana, Thai, Lao, Khmer, Myanmar), as
//!   Unicode's word boundaries (UAX 29) have it. There a keyword catches every text that begins with
//!   its characters: choose longer keywords, or `exact`, where that is too much.
//! - `prefix` ends anywhere after a whole character, `exact` needs separators only behind it.

mod build;
mod character;
mod delivery;
mod live;
mod matcher;
mod scan;
mod spec;
mod table;
#[cfg(test)]
mod tests;
mod vocabulary;

pub use delivery::{Delivery, Standby};
pub use live::Live;
pub use spec::{
    ConsentSpec, DEPARTMENTS_MAX, DepartmentSpec, Expected, FailoverSpec, KeywordSpec, Mode, NumberSpec, Refusal, Spec,
    TestSpec,
};
pub use table::{Candidate, Explanation, Match, Table};
