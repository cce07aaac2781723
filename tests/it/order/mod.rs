//! No 200 before the fsync: the order of the running binary's own calls.
//!
//! Killing a process proves nothing here, since the kernel keeps what was written. So the calls are
//! traced while texts come in side by side, and each answer is held against the write of its row and
//! the fsync after it. The same for the embedded log and for the journal, which are the same file.

mod calls;
mod judge;
mod tracer;

use std::net::SocketAddr;

use crate::harness::{Folder, ROUTES, SETTINGS, Sms, push};
use calls::calls;
use judge::{Verdict, judge, mark};
use tracer::Tracer;

/// Texts at once, so that commits are shared.
const SENDERS: usize = 6;
const TEXTS: usize = 60;

/// Kafka that is not there: whatever is answered 200 went to the journal.
const NO_KAFKA: &str = "\n[publish]\nto = \"kafka\"\nbrokers = \"127.0.0.1:9\"\njournal_after_ms = 50\n";

/// Pushes texts to a traced server; `None`, said aloud, where this tracer cannot be used.
fn traced(tracer: Tracer, folder: Folder) -> Option<Verdict> {
    if let Some(reason) = tracer.missing() {
        eprintln!("left out: the order of fsync and answer by {tracer:?}: {reason}");
        return None;
    }
    let (server, trace) = tracer.start(folder);
    let server = server.ready();
    std::thread::scope(|scope| {
        let inbound = server.inbound;
        for sender in 0..SENDERS {
            scope.spawn(move || (sender..TEXTS).step_by(SENDERS).for_each(|number| push_one(inbound, number)));
        }
    });
    Some(judge(&calls(&tracer.end(server, &trace))))
}

fn push_one(inbound: SocketAddr, number: usize) {
    let text = Sms::new(&mark(number), &format!("snow {}", mark(number)));
    assert_eq!(push(inbound, &text).status, 200);
}

fn check(tracer: Tracer, folder: Folder) {
    let Some(verdict) = traced(tracer, folder) else { return };
    assert_eq!(verdict.early, [].into(), "answered before they were on the disk");
    assert_eq!(verdict.answered, (0..TEXTS).map(mark).collect(), "the trace shows every answer");
    assert!(verdict.syncs > 0, "and the disk at work");
}

#[test]
fn one_of_the_tracers_can_be_used() {
    let missing = [Tracer::Strace, Tracer::Library].map(Tracer::missing);
    assert!(missing.contains(&None), "nothing watches the order of fsync and answer: {missing:?}");
}

#[test]
fn no_answer_before_the_embedded_log_is_on_the_disk_says_strace() {
    check(Tracer::Strace, Folder::new());
}

#[test]
fn no_answer_before_the_embedded_log_is_on_the_disk_says_the_library() {
    check(Tracer::Library, Folder::new());
}

#[test]
fn no_answer_before_the_journal_is_on_the_disk_says_strace() {
    check(Tracer::Strace, Folder::with(&format!("{SETTINGS}{NO_KAFKA}"), ROUTES));
}

#[test]
fn no_answer_before_the_journal_is_on_the_disk_says_the_library() {
    check(Tracer::Library, Folder::with(&format!("{SETTINGS}{NO_KAFKA}"), ROUTES));
}
