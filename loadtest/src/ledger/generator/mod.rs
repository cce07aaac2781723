//! The generator: many senders at once, each waiting for its 200 before it writes again, and all the
//! bad manners of carriers.
//!
//! Comes in: the post, how many at once. Goes out: lines in the book. Always true: a sender belongs to
//! one slot, so its texts follow one another and their order can be judged; only bursts send several
//! texts of one sender at the same time. Not here: signing, HTTP, retries (beside this file).
//!
//! ```text
//! slot: ┬ chain    a few texts of one sender, one after the other
//!       ├ batch    one request with texts of several senders
//!       ├ twin     the same request twice at once, to one replica or two
//!       ├ hang-up  gone after the body; mostly tried again
//!       └ late     what was acknowledged long ago, once more
//! burst: now and then many more at once than the bounds let in
//! ```

pub mod client;
mod courier;
pub mod requests;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::{join, join_all};

pub use courier::{Manners, Post};

use client::Answer;
use courier::Courier;
use requests::Parcel;

use crate::random::Random;
use crate::script::{Carrier, Key, SENDERS};

/// Senders whose texts come in bursts: the last of all.
const BURST_SENDERS: u32 = 200;
/// Most slots: each has at least four senders.
pub const SLOTS_MAX: u32 = (SENDERS - BURST_SENDERS) / 4;
/// Acknowledged texts that a slot remembers to send again.
const REMEMBERED: usize = 64;
/// Most texts of one request: within the bounds of the settings, as a carrier's would be.
const BATCH_MAX: usize = 40;

/// How much is sent.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub slots: u32,
    /// Longest pause of a slot between two actions.
    pub pause_max: Duration,
    /// Requests of one burst.
    pub burst: usize,
}

/// Sends until the post says that it is over, and everything has been answered or given up.
pub async fn run(post: Arc<Post>, seed: u64, load: Load) {
    let share = (SENDERS - BURST_SENDERS) / load.slots;
    let slots = (0..load.slots).map(|number| {
        let senders = number * share..(number + 1) * share;
        tokio::spawn(Slot::run(post.clone(), Random::new(seed, &format!("slot {number}")), senders, load))
    });
    let bursts = tokio::spawn(bursts(post.clone(), Random::new(seed, "bursts"), load));
    let slots: Vec<_> = slots.collect();
    for ended in join_all(slots.into_iter().chain([bursts])).await {
        ended.expect("no part of the generator panics");
    }
}

/// One of many who send at the same time.
struct Slot<'a> {
    post: &'a Post,
    courier: Courier<'a>,
    random: Random,
    /// The next text of each of its senders.
    next: Vec<Key>,
    remembered: VecDeque<(Key, usize)>,
}

impl Slot<'_> {
    async fn run(post: Arc<Post>, random: Random, senders: Range<u32>, load: Load) {
        let next = senders.map(|sender| Key { sender, sequence: 0 }).collect();
        let mut slot = Slot { post: &post, courier: Courier::new(&post), random, next, remembered: VecDeque::new() };
        let pause_ms = load.pause_max.as_millis() as u64 + 1;
        while !post.over.load(Ordering::Relaxed) {
            match slot.random.below(100) {
                0..=64 => slot.chain().await,
                65..=76 => slot.batch().await,
                77..=84 => slot.twin().await,
                85..=92 => slot.hang_up().await,
                _ => slot.late().await,
            }
            let pause = slot.random.millis(0..pause_ms);
            tokio::time::sleep(pause).await;
        }
    }

    async fn chain(&mut self) {
        let place = self.random.below(self.next.len());
        for _ in 0..2 + self.random.below(7) {
            if self.post.over.load(Ordering::Relaxed) {
                return;
            }
            let key = self.take(place);
            let (home, manners) = (self.home(key), self.manners(key));
            let parts = self.post.requests.script.text(key).parts;
            let done = match parts {
                1 => self.courier.deliver(&Parcel::One(key), home, manners, &mut self.random).await,
                parts => self.pieces(key, parts, home).await,
            };
            self.remember(done && parts == 1, key, home);
        }
    }

    /// All pieces in any order, some twice; acknowledged when each is.
    async fn pieces(&mut self, key: Key, parts: u16, home: usize) -> bool {
        let mut numbers: Vec<u16> = (1..=parts).collect();
        self.random.shuffle(&mut numbers);
        if self.random.percent(20) {
            numbers.push(1);
        }
        let manners = Manners { tries_max: u32::MAX, ..self.manners(key) };
        self.post.book.sent(&[key], home);
        for number in numbers {
            let piece = Parcel::Piece(key, number);
            if self.courier.insist(&piece, home, manners, &mut self.random).await.is_none() {
                return false;
            }
        }
        self.post.book.acknowledged(&[key], home);
        true
    }

    async fn batch(&mut self) {
        let script = self.post.requests.script;
        let places: Vec<usize> =
            (0..self.next.len()).filter(|place| script.carrier(self.next[*place].sender) == Carrier::Generic).collect();
        if places.is_empty() {
            return;
        }
        let count = 1 + self.random.below(BATCH_MAX);
        let mut keys: Vec<Key> = Vec::with_capacity(count);
        for turn in 0..count {
            let key = self.take(places[turn % places.len()]);
            // A long text in parts is not for batches, so its number is left out.
            if script.text(key).parts == 1 {
                keys.push(key);
            }
        }
        let Some(first) = keys.first().copied() else { return };
        let (home, manners) = (self.random.below(self.post.servers.len()), self.manners(first));
        let done = self.courier.deliver(&Parcel::Batch(keys), home, manners, &mut self.random).await;
        self.remember(done, first, home);
    }

    /// The same text at the same time over two connections.
    async fn twin(&mut self) {
        let Some((key, home)) = self.take_whole() else { return };
        let other = self.random.below(self.post.servers.len());
        let (parcel, manners) = (Parcel::One(key), self.manners(key));
        self.post.book.sent(&[key], home);
        if other != home {
            self.post.book.crossed(&[key]);
        }
        let mut second = Courier::new(self.post);
        let answers = join(
            self.courier.attempt(&parcel, home, manners.patience),
            second.attempt(&parcel, other, manners.patience),
        );
        let answered = match answers.await {
            (Answer::Status(200), _) => Some(home),
            (_, Answer::Status(200)) => Some(other),
            _ => self.courier.insist(&parcel, home, manners, &mut self.random).await,
        };
        if let Some(replica) = answered {
            self.post.book.acknowledged(&[key], replica);
            self.remember(true, key, home);
        }
    }

    async fn hang_up(&mut self) {
        let Some((key, home)) = self.take_whole() else { return };
        let (parcel, wait) = (Parcel::One(key), self.random.millis(0..20));
        self.post.book.sent(&[key], home);
        self.courier.hang_up(&parcel, home, wait).await;
        if self.random.percent(75) {
            let manners = self.manners(key);
            if let Some(replica) = self.courier.insist(&parcel, home, manners, &mut self.random).await {
                self.post.book.acknowledged(&[key], replica);
            }
        }
    }

    /// A carrier that never saw our 200, or does not trust it.
    async fn late(&mut self) {
        if self.remembered.is_empty() {
            return;
        }
        let (key, home) = self.remembered[self.random.below(self.remembered.len())];
        let replica = self.random.below(self.post.servers.len());
        if replica != home {
            self.post.book.crossed(&[key]);
        }
        self.courier.attempt(&Parcel::One(key), replica, Duration::from_secs(5)).await;
    }

    fn take(&mut self, place: usize) -> Key {
        let key = self.next[place];
        self.next[place].sequence += 1;
        key
    }

    /// The next text of some sender, if it is not one in parts; its replica.
    fn take_whole(&mut self) -> Option<(Key, usize)> {
        let place = self.random.below(self.next.len());
        let key = self.take(place);
        (self.post.requests.script.text(key).parts == 1).then(|| (key, self.home(key)))
    }

    /// A sender's texts come to one replica, so that their order is promised.
    fn home(&self, key: Key) -> usize {
        key.sender as usize % self.post.servers.len()
    }

    fn manners(&mut self, key: Key) -> Manners {
        manners(self.post.requests.script.carrier(key.sender), &mut self.random)
    }

    fn remember(&mut self, acknowledged: bool, key: Key, home: usize) {
        if acknowledged {
            self.remembered.truncate(REMEMBERED - 1);
            self.remembered.push_front((key, home));
        }
    }
}

fn manners(carrier: Carrier, random: &mut Random) -> Manners {
    let patience = random.pick(&[Duration::from_secs(2), Duration::from_secs(5), Duration::from_secs(15)]);
    let gives_up = random.percent(10);
    match carrier {
        Carrier::Generic if gives_up => Manners { patience, tries_max: 2, retries_503: true, wanders: true },
        Carrier::Generic => Manners { patience, tries_max: 200, retries_503: true, wanders: true },
        Carrier::Twilio => {
            Manners { patience: Duration::from_secs(15), tries_max: 2, retries_503: false, wanders: false }
        }
        // `http-request-retry` set or not.
        Carrier::Kannel => {
            Manners { patience, tries_max: if gives_up { 1 } else { 30 }, retries_503: !gives_up, wanders: false }
        }
    }
}

/// Crowds: more requests at once than the settings admit, over connections of their own.
async fn bursts(post: Arc<Post>, mut random: Random, load: Load) {
    let mut next = 0;
    while !post.over.load(Ordering::Relaxed) {
        tokio::time::sleep(random.millis(2_000..7_000)).await;
        let crowd = (0..load.burst).map(|_| {
            let key = Key { sender: SENDERS - BURST_SENDERS + next % BURST_SENDERS, sequence: next / BURST_SENDERS };
            next += 1;
            one_of_a_burst(&post, key, random.fork())
        });
        join_all(crowd.collect::<Vec<_>>()).await;
    }
}

async fn one_of_a_burst(post: &Post, key: Key, mut random: Random) {
    let script = post.requests.script;
    if script.text(key).parts == 1 {
        let home = key.sender as usize % post.servers.len();
        let manners = manners(script.carrier(key.sender), &mut random);
        let manners = Manners { tries_max: manners.tries_max.min(4), ..manners };
        Courier::new(post).deliver(&Parcel::One(key), home, manners, &mut random).await;
    }
}
