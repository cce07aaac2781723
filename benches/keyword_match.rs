//! What does it cost to find a text's keyword, against the automaton alone?
//!
//! `bare` is one anchored leftmost-longest find of aho-corasick, by the same kind of automaton over
//! the same words, on the same texts already folded and closed by a blank. `find` is the match by the
//! table on texts as residents write them: the number, folding, whole words, where the rest begins.
//! `decide` is the same with the decision made, which takes four names into shared ownership.
//! One iteration is one text. All are asked for every text before any is timed.

mod common;
#[path = "common/words.rs"]
mod words;

use std::hint::black_box;
use std::time::Instant;

use aho_corasick::automaton::Automaton;
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, Input, MatchKind};
use criterion::{Criterion, criterion_group, criterion_main};
use sms_router::keyword::Table;
use sms_router::message::{Country, Number};
use words::{Drawn, keywords};

/// Texts timed in turn: enough that neither branch predictor nor cache knows each of them.
const TEXTS: usize = 1_024;
const NUMBER: &str = "86555";

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
    for count in [1_000, 10_000, 100_000, 1_000_000] {
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

        by_turns(count, &table, &automaton, &texts);
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

/// How often `find` and `bare` take turns, a pass over all texts each.
const TURNS: usize = 201;

/// The ratio of the two, pair by pair, so that a machine that others use too slows both: the middle one is printed. So is
/// that of a bare find behind a look-up of the number: whoever has a table for each number does no less.
fn by_turns(count: usize, table: &Table, automaton: &NFA, texts: &[(String, String)]) {
    let to = Number::normalise(NUMBER, Country::GB);
    let bare = || texts.iter().for_each(|(_, folded)| _ = black_box(find(automaton, black_box(folded))));
    let found = || texts.iter().for_each(|(text, _)| _ = black_box(table.find(&to, black_box(text))));
    let numbered = || {
        texts.iter().for_each(|(_, folded)| {
            black_box(table.number_label(black_box(&to)));
            black_box(find(automaton, black_box(folded)));
        });
    };
    for (what, other) in [("find", &found as &dyn Fn()), ("bare behind its number", &numbered)] {
        let (alone, with, ratio) = middle_pair(texts.len(), &bare, other);
        println!("keywords={count}: bare {alone:.0} ns, {what} {with:.0} ns, ratio {ratio:.2}");
    }
}

/// Nanoseconds a text of either, and their ratio, of the pair in the middle.
fn middle_pair(texts: usize, one: &dyn Fn(), other: &dyn Fn()) -> (f64, f64, f64) {
    let timed = |pass: &dyn Fn()| {
        let began = Instant::now();
        pass();
        began.elapsed().as_secs_f64() * 1e9 / texts as f64
    };
    let mut pairs: Vec<_> = (0..TURNS).map(|_| (timed(one), timed(other))).collect();
    pairs.sort_by(|a, b| (a.1 / a.0).total_cmp(&(b.1 / b.0)));
    let (one, other) = pairs[TURNS / 2];
    (one, other, other / one)
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
