//! What does it cost to find a text's keyword, against the automaton alone?
//!
//! `bare` is one anchored leftmost-longest find of aho-corasick, by the same kind of automaton over
//! the same words, on the same texts already folded and closed by a blank. `find` is the match by the
//! table on texts as residents write them: the number, folding, whole words, where the rest begins.
//! `decide` is the same with the decision made, which takes four names into shared ownership.
//! One iteration is one text. All are asked for every text before any is timed.

mod common;

use std::hint::black_box;

use aho_corasick::automaton::Automaton;
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, Input, MatchKind};
use criterion::{Criterion, criterion_group, criterion_main};
use sms_router::keyword::Table;
use sms_router::message::{Country, Number};

/// Texts timed in turn: enough that neither branch predictor nor cache knows each of them.
const TEXTS: usize = 1_024;
const NUMBER: &str = "86555";

/// Numbers that look drawn and are the same in every run (SplitMix64).
struct Drawn(u64);

impl Drawn {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn pick<'w>(&mut self, words: &[&'w str]) -> &'w str {
        words[self.below(words.len())]
    }
}

const SYLLABLES: [&str; 24] = [
    "ba", "bin", "co", "dra", "el", "fen", "gri", "ho", "ice", "ka", "lam", "mo", "ne", "par", "pot", "qui", "ra",
    "sno", "ter", "tu", "vil", "wa", "way", "zo",
];

/// Distinct words of 2 to 5 syllables, one in five of two words.
fn keywords(count: usize) -> Vec<String> {
    let mut drawn = Drawn(7);
    let mut seen = std::collections::HashSet::new();
    let mut keywords = Vec::with_capacity(count);
    while keywords.len() < count {
        let syllables = 2 + drawn.below(4);
        let mut word: String = (0..syllables).map(|_| drawn.pick(&SYLLABLES)).collect();
        if drawn.below(5) == 0 {
            word.push(' ');
            word.push_str(drawn.pick(&SYLLABLES));
        }
        if seen.insert(word.clone()) {
            keywords.push(word);
        }
    }
    keywords
}

/// Texts as people write them, two in three with a keyword, and the same folded.
fn texts(keywords: &[String]) -> Vec<(String, String)> {
    let mut drawn = Drawn(11);
    let tails = ["on Main St", "by the school, since monday", "2", "", "please come, it is 3 feet deep!"];
    let shapes: [fn(&str) -> String; 4] =
        [str::to_owned, str::to_uppercase, |word| format!("{}:", capital(word)), |word| format!(" #{word}")];
    let text = |_| {
        let word = &keywords[drawn.below(keywords.len())];
        let opening = match drawn.below(3) {
            0 => drawn.pick(&["Hello, the", "There is a", "My street"]).to_owned(),
            _ => shapes[drawn.below(shapes.len())](word),
        };
        let text = format!("{opening} {}", drawn.pick(&tails));
        let folded = folded(&text);
        (text, folded)
    };
    (0..TEXTS).map(text).collect()
}

fn capital(word: &str) -> String {
    format!("{}{}", word[..1].to_uppercase(), &word[1..])
}

fn folded(text: &str) -> String {
    let words = text.split(|character: char| !character.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.fold(String::new(), |folded, word| folded + &word.to_lowercase() + " ")
}

fn table(keywords: &[String]) -> Table {
    let spec = common::spec(NUMBER, keywords.iter().cloned());
    Table::build(spec).unwrap_or_else(|refusals| panic!("{refusals:?}"))
}

fn bare(keywords: &[String]) -> NFA {
    let closed = keywords.iter().map(|word| format!("{word} "));
    NFA::builder().match_kind(MatchKind::LeftmostLongest).build(closed).expect("an automaton")
}

fn find(automaton: &NFA, folded: &str) -> Option<usize> {
    let input = Input::new(folded).anchored(Anchored::Yes);
    automaton.try_find(&input).expect("anchored is possible").map(|found| found.pattern().as_usize())
}

fn matching(criterion: &mut Criterion) {
    for count in [1_000, 10_000, 100_000] {
        let keywords = keywords(count);
        let (table, automaton, texts) = (table(&keywords), bare(&keywords), texts(&keywords));
        let to = Number::normalise(NUMBER, Country::GB);
        let mut matched = 0;
        for (text, folded) in &texts {
            let decision = table.decide(&to, text).expect("the number is in the table");
            let expected = find(&automaton, folded).map(|place| keywords[place].as_str());
            assert_eq!(decision.keyword.as_deref(), expected, "{text:?}");
            matched += usize::from(expected.is_some());
        }
        assert!((TEXTS / 2..TEXTS).contains(&matched), "{matched} of {TEXTS} have a keyword");

        let mut group = criterion.benchmark_group(format!("match/keywords={count}"));
        group.bench_function("bare", |bencher| {
            let mut turn = texts.iter().cycle();
            bencher.iter(|| turn.next().map(|(_, folded)| find(&automaton, black_box(folded))));
        });
        group.bench_function("find", |bencher| {
            let mut turn = texts.iter().cycle();
            bencher.iter(|| turn.next().map(|(text, _)| table.find(&to, black_box(text))));
        });
        group.bench_function("decide", |bencher| {
            let mut turn = texts.iter().cycle();
            bencher.iter(|| turn.next().map(|(text, _)| table.decide(&to, black_box(text))));
        });
        group.finish();
    }
}

fn building(criterion: &mut Criterion) {
    let keywords = keywords(100_000);
    let mut group = criterion.benchmark_group("build/keywords=100000");
    group.sample_size(10);
    group.bench_function("bare", |bencher| bencher.iter(|| bare(&keywords)));
    group.bench_function("table", |bencher| bencher.iter(|| table(&keywords)));
    group.finish();
}

criterion_group!(benches, matching, building);
criterion_main!(benches);
