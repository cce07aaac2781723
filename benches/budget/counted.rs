//! What the counters see: a function whose work counts, one at which a row begins, one at which it ends.
//!
//! Comes in: work. Goes out: its result, and each row's name and allocations on standard output; callgrind, told these
//! functions' names (`callgrind.rs`), counts what `in_the_counter` does and nothing else, on whichever thread. Without
//! callgrind all this is an ordinary program.
//! Always true: what prepares a text, and all waiting, is outside `counted`.

use std::future::Future;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// Texts of a row before it counts: maps have their entries by then, connections are made.
pub const TEXTS_BEFORE: usize = 16;
/// Texts that a row counts.
pub const TEXTS: usize = 100;

/// Of the row so far.
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

/// One row of the table: `work` is done for each text with what `prepare` makes of its number.
pub fn row<P>(name: &str, mut prepare: impl FnMut(usize) -> P, mut work: impl FnMut(P)) {
    (0..TEXTS_BEFORE).for_each(|index| work(prepare(index)));
    begin();
    (TEXTS_BEFORE..TEXTS_BEFORE + TEXTS).for_each(|index| work(prepare(index)));
    end(name);
}

/// The same for a stage that is one call; to drop what it returns counts too.
pub fn stage<P, R>(name: &str, prepare: impl FnMut(usize) -> P, mut work: impl FnMut(&P) -> R) {
    row(name, prepare, |prepared| counted(|| drop(black_box(work(black_box(&prepared))))));
}

/// A row counts from here; it counts what `counted` does.
pub fn begin() {
    ALLOCATIONS.store(0, Ordering::Relaxed);
    row_begins();
}

pub fn end(name: &str) {
    row_ends();
    println!("{name} {}", ALLOCATIONS.load(Ordering::Relaxed));
}

pub fn counted<T>(work: impl FnOnce() -> T) -> T {
    let mut result = None;
    let allocated = allocation_counter::measure(|| result = Some(in_the_counter(work)));
    ALLOCATIONS.fetch_add(allocated.count_total, Ordering::Relaxed);
    result.expect("the work has been done")
}

#[inline(never)]
fn in_the_counter<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

// Different in what they do, or the compiler would make one function of two.

#[inline(never)]
fn row_begins() {
    black_box("begins");
}

#[inline(never)]
fn row_ends() {
    black_box(["ends", "here"]);
}

/// Polls a future to its end. Each poll counts, the waiting between two does not.
pub fn drive<F: Future>(future: F) -> F::Output {
    let mut future = Box::pin(future);
    let called = Arc::new(Called { thread: thread::current(), yet: AtomicBool::new(false) });
    let waker = Waker::from(called.clone());
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = counted(|| future.as_mut().poll(&mut context)) {
            return output;
        }
        while !called.yet.swap(false, Ordering::AcqRel) {
            thread::park();
        }
    }
}

struct Called {
    thread: Thread,
    yet: AtomicBool,
}

impl Wake for Called {
    fn wake(self: Arc<Self>) {
        self.yet.store(true, Ordering::Release);
        self.thread.unpark();
    }
}
