//! One request until it is answered 200, or until its carrier would give it up.
//!
//! Comes in: a parcel, manners, the replica it goes to first. Goes out: whether it was acknowledged.
//! Always true: `S` is in the book before the first byte leaves, `X` before another replica gets any,
//! `A` before anybody acts on a 200; while the gate is shut nothing is on its way. A refusal for good of
//! a sound request is a violation and noted. Not here: which parcel comes next.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::RwLock;

use super::client::{Answer, Client};
use super::requests::{Parcel, Requests};
use crate::book::Book;
use crate::random::Random;
use crate::script::Key;

/// After the end of the run no text is tried for longer than this.
const AFTERWARDS_MAX: Duration = Duration::from_secs(45);

/// What all who send share.
pub struct Post {
    pub requests: Requests,
    pub book: Book,
    pub servers: Vec<SocketAddr>,
    /// Held for reading by whoever has a request on its way; for writing by who wants silence.
    pub gate: RwLock<()>,
    /// Until then, in the book's time, a clock may be so far off that signatures are rightly refused.
    pub clock_off_until_ms: AtomicU64,
    pub over: AtomicBool,
    pub answers: Mutex<BTreeMap<String, u64>>,
    /// Sound requests that were refused for good.
    pub refused: Mutex<Vec<(Key, u16)>>,
}

/// How a carrier behaves with one request.
#[derive(Debug, Clone, Copy)]
pub struct Manners {
    /// How long it waits for an answer.
    pub patience: Duration,
    /// How often it sends at most.
    pub tries_max: u32,
    /// Whether a 503 makes it try again; a broken connection always does.
    pub retries_503: bool,
    /// Whether another try may go to another replica.
    pub wanders: bool,
}

/// A sender of requests: a connection to each replica.
pub struct Courier<'a> {
    post: &'a Post,
    clients: Vec<Client>,
}

impl Parcel {
    pub fn keys(&self) -> &[Key] {
        match self {
            Self::One(key) | Self::Piece(key, _) => std::slice::from_ref(key),
            Self::Batch(keys) => keys,
        }
    }
}

impl<'a> Courier<'a> {
    pub fn new(post: &'a Post) -> Self {
        Self { post, clients: post.servers.iter().map(|server| Client::new(*server)).collect() }
    }

    /// From the first `S` to an `A`, or to giving up. True when it was acknowledged.
    pub async fn deliver(&mut self, parcel: &Parcel, home: usize, manners: Manners, random: &mut Random) -> bool {
        self.post.book.sent(parcel.keys(), home);
        let answered = self.insist(parcel, home, manners, random).await;
        if let Some(replica) = answered {
            self.post.book.acknowledged(parcel.keys(), replica);
        }
        answered.is_some()
    }

    /// Tries until a 200; the replica that said it.
    pub async fn insist(
        &mut self,
        parcel: &Parcel,
        home: usize,
        manners: Manners,
        random: &mut Random,
    ) -> Option<usize> {
        let (mut replica, mut ended) = (home, None);
        for _ in 0..manners.tries_max {
            match self.attempt(parcel, replica, manners.patience).await {
                Answer::Status(200) => return Some(replica),
                Answer::Status(503) if !manners.retries_503 => return None,
                // 408: it was frozen while it read. 403: signatures are dated.
                Answer::Status(503 | 408 | 403) | Answer::NoConnection | Answer::Unknown => {}
                Answer::Status(_) => return None,
            }
            if self.post.over.load(Ordering::Relaxed)
                && ended.get_or_insert_with(Instant::now).elapsed() > AFTERWARDS_MAX
            {
                return None;
            }
            tokio::time::sleep(random.millis(50..1_200)).await;
            if manners.wanders && self.clients.len() > 1 && random.percent(30) {
                self.post.book.crossed(parcel.keys());
                replica = random.below(self.clients.len());
            }
        }
        None
    }

    pub async fn attempt(&mut self, parcel: &Parcel, replica: usize, patience: Duration) -> Answer {
        let _pass = self.post.gate.read().await;
        let request = self.post.requests.write(parcel).expect("accounts can sign");
        let answer = self.clients[replica].send(&request, patience).await;
        self.post.note(parcel, answer);
        answer
    }

    /// Sends and leaves before the answer is read.
    pub async fn hang_up(&mut self, parcel: &Parcel, replica: usize, wait: Duration) {
        let _pass = self.post.gate.read().await;
        let request = self.post.requests.write(parcel).expect("accounts can sign");
        self.clients[replica].send_and_hang_up(&request, wait).await;
        self.post.count("hung up after the body");
    }
}

impl Post {
    fn note(&self, parcel: &Parcel, answer: Answer) {
        match answer {
            Answer::Status(status) => self.count(&status.to_string()),
            Answer::NoConnection => self.count("no connection"),
            Answer::Unknown => self.count("no answer"),
        }
        let Answer::Status(status) = answer else { return };
        let rightly = match status {
            200 | 503 | 408 => true,
            403 => self.book.now_ms() < self.clock_off_until_ms.load(Ordering::Relaxed),
            _ => false,
        };
        if !rightly {
            let refused = parcel.keys().iter().map(|key| (*key, status));
            self.refused.lock().expect("nobody panics while noting").extend(refused);
        }
    }

    fn count(&self, answer: &str) {
        let mut answers = self.answers.lock().expect("nobody panics while counting");
        match answers.get_mut(answer) {
            Some(count) => *count += 1,
            None => drop(answers.insert(answer.to_owned(), 1)),
        }
    }
}
