//! Carriers: one that behaves, and one that sends all it has.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::harness::{Sms, http, push_body, signature};

/// A whole signed request as bytes, the connection to be kept.
pub fn request(account: &str, text: &Sms) -> Vec<u8> {
    let body = text.body();
    let mut head = format!("POST /inbound/{account} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in signature(&body) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    [head.as_bytes(), b"\r\n", &body].concat()
}

/// Sends one request and reads its answer, which has no body. `None` when the connection broke.
pub fn exchange(stream: &mut TcpStream, request: &[u8]) -> Option<u16> {
    stream.write_all(request).ok()?;
    let mut answer = Vec::new();
    let mut buffer = [0; 1_024];
    while !answer.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(bytes @ 1..) => answer.extend_from_slice(&buffer[..bytes]),
            Ok(0) | Err(_) => return None,
        }
    }
    String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|status| status.parse().ok())
}

/// What became of a well-behaved carrier's texts.
#[derive(Default)]
pub struct Answers {
    /// Ids of those answered 200.
    pub answered: BTreeSet<String>,
    pub refused: usize,
}

/// A carrier that sends one text after the other, each on a connection of its own.
pub struct Steady {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Answers>,
}

impl Steady {
    pub fn start(inbound: SocketAddr, account: &'static str, text: &'static str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut answers = Answers::default();
            // At least one, however soon it is stopped.
            one(inbound, account, text, 0, &mut answers);
            let numbers = (1..).take_while(|_| !stopped.load(Ordering::SeqCst));
            numbers.for_each(|number| one(inbound, account, text, number, &mut answers));
            answers
        });
        Self { stop, thread }
    }

    pub fn stop(self) -> Answers {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().expect("the carrier")
    }

    /// Sends that many.
    pub fn push(inbound: SocketAddr, account: &str, text: &str, count: usize) -> Answers {
        let mut answers = Answers::default();
        (0..count).for_each(|number| one(inbound, account, text, number, &mut answers));
        answers
    }
}

fn one(inbound: SocketAddr, account: &str, text: &str, number: usize, answers: &mut Answers) {
    let id = format!("{account} {text} {number}");
    match push_body(inbound, account, &Sms::new(&id, text).body()).status {
        200 => drop(answers.answered.insert(id)),
        _ => answers.refused += 1,
    }
}

/// A carrier that sends as much as it can over many connections, until it is stopped.
pub struct Flood {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<BTreeSet<String>>>,
}

impl Flood {
    pub fn start(inbound: SocketAddr, account: &'static str, text: &'static str, connections: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let pour = |connection: usize| {
            let stop = stop.clone();
            std::thread::spawn(move || pour(inbound, account, text, connection, &stop))
        };
        let threads = (0..connections).map(pour).collect();
        Self { stop, threads }
    }

    /// Ids of the texts that were answered 200.
    pub fn stop(self) -> BTreeSet<String> {
        self.stop.store(true, Ordering::SeqCst);
        self.threads.into_iter().flat_map(|thread| thread.join().expect("a connection")).collect()
    }
}

fn pour(inbound: SocketAddr, account: &str, text: &str, connection: usize, stop: &AtomicBool) -> BTreeSet<String> {
    let mut answered = BTreeSet::new();
    let mut stream = http::connect(inbound);
    for number in 0.. {
        if stop.load(Ordering::SeqCst) {
            break;
        }
        let id = format!("flood {connection} {number}");
        match exchange(&mut stream, &request(account, &Sms::new(&id, text))) {
            Some(200) => drop(answered.insert(id)),
            Some(_) => {}
            None => stream = http::connect(inbound),
        }
    }
    answered
}
