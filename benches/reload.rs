//! What does it cost to take a routes file into force, against building the bare automaton of its words?
//!
//! `bare` is the build of aho-corasick's contiguous NFA over the same words, folded, in order and closed by a blank
//! each. `reload` is all that `serve` does with a changed file: read, parsed, judged, built, its own tests run. `tree`
//! is the toml crate's own reading of that text and no more: what a reload that went through it could not undercut.
//! They take turns; printed are the medians, the ratios to `bare` turn by turn, and the most memory that each has held at once beside
//! what it was given. `--keywords N` and `--rounds N` say how many; without `--bench` (in tests) 1,000 once.

#[path = "common/words.rs"]
mod words;

use std::time::{Duration, Instant};

use aho_corasick::MatchKind;
use aho_corasick::nfa::contiguous::NFA;
use sms_router::config::RoutesFile;
use sms_router::keyword::Table;
use sms_router::message::{Country, Number};
use toml::de::DeTable;

const DEPARTMENTS: usize = 100;
const NUMBER: &str = "86555";

fn routes(words: &[String]) -> String {
    let mut file = String::new();
    for department in 0..DEPARTMENTS {
        file.push_str(&format!("[[department]]\nname = \"department-{department}\"\n\n"));
    }
    file.push_str(&format!("[[number]]\nnumber = \"{NUMBER}\"\ndefault = \"department-0\"\n\n"));
    for (index, word) in words.iter().enumerate() {
        let department = index % DEPARTMENTS;
        file.push_str(&format!("[[keyword]]\nword = \"{word}\"\ndepartment = \"department-{department}\"\n\n"));
    }
    let (first, last) = (&words[0], words.last().expect("there are words"));
    for (word, department) in [(first, 0), (last, (words.len() - 1) % DEPARTMENTS)] {
        file.push_str(&format!(
            "[[test]]\nto = \"{NUMBER}\"\ntext = \"{word}, please\"\ndepartment = \"department-{department}\"\n\n"
        ));
    }
    file
}

fn reload(file: &RoutesFile) -> Table {
    let text = file.text().expect("it can be read");
    let spec = file.parse(&text, Country::GB).unwrap_or_else(|problems| panic!("{problems:?}"));
    Table::build(spec).unwrap_or_else(|refusals| panic!("{refusals:?}"))
}

fn bare(closed: &[String]) -> NFA {
    let builder = &mut NFA::builder();
    builder.match_kind(MatchKind::LeftmostLongest).prefilter(false).build(closed).expect("an automaton")
}

/// How long it took, and the most memory held at once beside what was there, in bytes.
fn measured<T>(work: impl FnOnce() -> T) -> (T, Duration, u64) {
    let (mut result, mut took) = (None, Duration::ZERO);
    let allocated = allocation_counter::measure(|| {
        let began = Instant::now();
        result = Some(work());
        took = began.elapsed();
    });
    (result.expect("the work has been done"), took, allocated.bytes_max)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn argument(name: &str) -> Option<usize> {
    let mut arguments = std::env::args().skip_while(|argument| argument != name);
    arguments.nth(1).map(|value| value.parse().expect("a number"))
}

fn compare(count: usize, rounds: usize) {
    let words = words::keywords(count);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("routes.toml");
    std::fs::write(&path, routes(&words)).expect("a file");
    let file = RoutesFile::File(path);
    let mut closed: Vec<_> = words.iter().map(|word| format!("{word} ")).collect();
    closed.sort_unstable();

    let text = file.text().expect("it can be read");
    let [mut bares, mut reloads, mut ratios, mut trees] = [const { Vec::new() }; 4];
    let mut memory = (0, 0, 0);
    for _ in 0..rounds {
        let (automaton, bare_took, bare_bytes) = measured(|| bare(&closed));
        drop(automaton);
        let (keys, tree_took, tree_bytes) = measured(|| DeTable::parse(&text).expect("TOML").get_ref().len());
        assert_eq!(keys, 4, "department, number, keyword, test");
        let (table, reload_took, reload_bytes) = measured(|| reload(&file));
        let decision = table.decide(&Number::normalise(NUMBER, Country::GB), &words[count / 2]);
        assert_eq!(decision.and_then(|decision| decision.keyword).as_deref(), Some(words[count / 2].as_str()));
        bares.push(bare_took.as_secs_f64());
        reloads.push(reload_took.as_secs_f64());
        ratios.push(reload_took.as_secs_f64() / bare_took.as_secs_f64());
        trees.push(tree_took.as_secs_f64() / bare_took.as_secs_f64());
        memory = (bare_bytes >> 20, reload_bytes >> 20, tree_bytes >> 20);
    }
    let (bare, reload, ratio, tree) = (median(bares) * 1e3, median(reloads) * 1e3, median(ratios), median(trees));
    println!(
        "{count} keywords, {rounds} rounds: bare {bare:.1} ms, {} MiB; reload {reload:.1} ms, {} MiB; \
         ratio {ratio:.2}; tree alone {tree:.2}, {} MiB",
        memory.0, memory.1, memory.2
    );
}

fn main() {
    if !std::env::args().any(|argument| argument == "--bench") {
        return compare(1_000, 1);
    }
    let rounds = argument("--rounds").unwrap_or(5);
    match argument("--keywords") {
        Some(count) => compare(count, rounds),
        None => [10_000, 1_000_000].into_iter().for_each(|count| compare(count, rounds)),
    }
}
