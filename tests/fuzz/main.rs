//! The fuzz targets without the fuzzer: what was found stays found, and nothing costs more than it may.
//!
//! `corpus/TARGET/` holds inputs: the carriers' documented requests (written from
//! `tests/carriers/vectors.json`), and under `found-…` what a fuzzer or a shape broke something with. Every
//! input of every target is replayed here. The bounds, for one request beside its own bytes:
//!
//! - memory: 64 KiB and four times its size, which its carrier's largest body and the listener's largest
//!   head bound (`target::TIMES` says why four, `target::LIST` what lists of texts add);
//! - what is allocated, in calls and bytes: twice as much for twice the input. Time is measured only
//!   when asked for (`cargo test --test fuzz -- --ignored`), for machines differ.
//!
//! Not here: the fuzzer itself. `tests/fuzz/run [SECONDS] [TARGET…]` fuzzes; see there.

mod seeds;
mod shapes;
mod target;

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use shapes::Shape;
use target::Target;

/// Sizes that are compared.
const SIZES: [usize; 2] = [16 * 1024, 32 * 1024];
/// Twice, and some: a vector that grows by doubling may be near its end or just past it.
const GROWTH_MAX: f64 = 2.6;
/// What a request may allocate without being compared: a table made at first use, a vector's first growth.
const ALLOCATED_ANYWAY: u64 = 64 * 1024;
/// The same, in calls.
const CALLS_ANYWAY: u64 = 64;
/// What the largest input may take without being compared, by every account and in a build for tests.
const SLOW: Duration = Duration::from_millis(25);

fn corpus(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target)
}

/// Name and bytes of a target's inputs.
fn inputs(target: &str) -> Vec<(String, Vec<u8>)> {
    let files = std::fs::read_dir(corpus(target)).into_iter().flatten().flatten();
    let read = |path: PathBuf| (path.display().to_string(), std::fs::read(&path).expect("an input"));
    let mut inputs: Vec<_> = files.map(|file| read(file.path())).collect();
    inputs.sort();
    inputs
}

#[test]
fn every_target_takes_all_that_is_kept() {
    for target in Target::all() {
        let inputs = inputs(target.name());
        assert!(!inputs.is_empty(), "{} has no corpus", target.name());
        for (name, input) in inputs {
            println!("{name}");
            target.one(&input);
            // As it is when the connection breaks, and when two come as one.
            target.one(&input[..input.len() / 2]);
            target.one(&[&input[..], &input[..]].concat());
        }
    }
}

#[test]
fn what_is_allocated_grows_with_the_input() {
    each_shape(3, 6, |target, shape| {
        let [small, large] = SIZES.map(|size| target.one(&shape.of(size)));
        let grows = |small: u64, large: u64, anyway: u64| large as f64 <= anyway as f64 + GROWTH_MAX * small as f64;
        let bytes = grows(small.bytes_total, large.bytes_total, ALLOCATED_ANYWAY);
        let calls = grows(small.count_total, large.count_total, CALLS_ANYWAY);
        assert!(bytes && calls, "{small:?}, {large:?}");
    });
}

/// Calls on the shapes of every target, `count` of each of so many of its inputs, and tells which break it.
fn each_shape(inputs_max: usize, count: usize, check: impl Fn(&Target, &Shape<'_>) + std::panic::RefUnwindSafe) {
    let mut broken = Vec::new();
    for target in Target::all() {
        let inputs = inputs(target.name());
        let mut shapes: Vec<_> =
            inputs.iter().take(inputs_max).flat_map(|(_, input)| shapes::of_input(input, count)).collect();
        shapes.extend(inputs.first().map(|(_, first)| shapes::of_head(first)).into_iter().flatten());
        for shape in &shapes {
            let (target, check) = (AssertUnwindSafe(&target), &check);
            if std::panic::catch_unwind(|| check(*target, shape)).is_err() {
                broken.push(format!("{}: {}", target.name(), shape.name()));
            }
        }
    }
    assert!(broken.is_empty(), "{} shapes: {broken:#?}", broken.len());
}

/// Cost that grows with the square is four times as much at twice the size, and shows at the largest. What
/// that takes of memory is within its bound too.
#[test]
#[ignore = "measures time"]
fn time_grows_with_the_input() {
    let least = |target: &Target, input: &[u8]| {
        let tries = (0..3).map(|_| {
            let begin = Instant::now();
            target.one(input);
            begin.elapsed()
        });
        tries.min().unwrap_or_default()
    };
    each_shape(usize::MAX, 40, |target, shape| {
        let [small, large] = [target.body_max() / 2, target.body_max()].map(|size| least(target, &shape.of(size)));
        println!("{small:>12?} {large:>12?} {} {}", target.name(), shape.name());
        assert!(large < SLOW || large < 3 * small, "{small:?}, {large:?}");
    });
}

#[test]
#[ignore = "writes the corpus"]
fn seeds_are_written() {
    for (target, name, bytes) in seeds::all() {
        let folder = corpus(&target);
        std::fs::create_dir_all(&folder).expect("a folder of the corpus");
        std::fs::write(folder.join(name), bytes).expect("a seed");
    }
}
