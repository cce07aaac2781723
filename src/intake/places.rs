//! Who gets in: places among the texts on their way, and nobody's share taken by another.
//!
//! Comes in: an account with that many texts, a text's department. Goes out: places, given back when
//! they are dropped, or which bound was reached, or a turn for who waits until there is room.
//! Always true: never more texts than memory allows, whatever else is decided; who is in stays in, so
//! the newest is the one turned away; an account may hold no more than its share of the places that it
//! and nobody else holds, so however many are greedy, some are left for the next. The same for departments.
//! Of those who wait none is left waiting while there is room: each place that is given back calls one of
//! the account that holds least, the oldest first, and who was called calls the next once it has got in or
//! gone away. Who has not waited may slip in before one who was called; that one waits again.
//! Not here: rates, bodies, connections; how long anybody may wait.
//!
//! The share is the dynamic threshold of switches that share one memory (Choudhury and Hahne, 1998):
//! with share s of 100, own ≤ s / (100 − s) × free. At 75 one greedy account gets 75 of 100 places, two
//! get 43 each, three 30 each.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use foldhash::fast::RandomState;
use prometheus::IntGauge;
use tokio::sync::Notify;

use crate::message::{AccountName, DepartmentName};

use super::pace::{Bounds, Pace};

/// Texts that are let in however slow the log is.
const LEAST: usize = 256;

/// What places there are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Texts that memory allows.
    pub texts_max: usize,
    /// Longest a text should wait for the log.
    pub wait_max: Duration,
    /// Of 100 places, those that one account may have.
    pub account_share: usize,
    /// Of 100 places, those that one department may have.
    pub department_share: usize,
    pub accounts: Vec<AccountName>,
}

impl Default for Settings {
    /// 20,000 places, three quarters of them for one account, half of them for one department.
    fn default() -> Self {
        Self {
            texts_max: 20_000,
            wait_max: Duration::from_secs(6),
            account_share: 75,
            department_share: 50,
            accounts: Vec::new(),
        }
    }
}

/// Which bound was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// All places are taken.
    All,
    /// The account's share is.
    Account,
}

/// The places, shared by all who take texts in; cheap to clone.
#[derive(Clone)]
pub struct Places(Arc<Inner>);

struct Inner {
    settings: Settings,
    /// Texts that have a place.
    taken: AtomicUsize,
    /// Fewer than `texts_max` while the log is slow.
    limit: AtomicUsize,
    pace: Mutex<Pace>,
    accounts: HashMap<AccountName, Share, RandomState>,
    /// Of all whom the settings do not name together.
    others: Share,
    /// Requests that wait for room, whoever's they are.
    waiting: AtomicUsize,
    /// As many as the routes name.
    departments: DashMap<DepartmentName, Arc<AtomicUsize>, RandomState>,
    in_flight: IntGauge,
    limit_shown: IntGauge,
}

/// What one account has of the places.
#[derive(Default)]
struct Share {
    held: Arc<AtomicUsize>,
    waiting: AtomicUsize,
    called: Notify,
}

/// A request's places, given back when it is dropped.
pub struct Place {
    _of_account: Held,
    /// The last field, so that whoever is called finds the places given back.
    _taken: Taken,
}

/// Places of all.
struct Taken {
    places: Places,
    texts: usize,
}

/// The turn of a request that waited for room: when it is dropped, the next one is called.
pub struct Turn(Places);

/// One request among those that wait, until it is dropped.
struct Waiting<'a> {
    places: &'a Places,
    share: &'a Share,
    has_its_turn: bool,
}

/// A number of texts under one name, until it is dropped.
pub struct Held {
    of: Arc<AtomicUsize>,
    texts: usize,
}

impl Places {
    pub fn new(settings: Settings, in_flight: IntGauge, limit_shown: IntGauge) -> Self {
        let texts_max = settings.texts_max;
        let bounds = Bounds { least: LEAST, most: texts_max, wait_max: settings.wait_max };
        let pace = Mutex::new(Pace::new(bounds, Instant::now()));
        let accounts = settings.accounts.iter().map(|name| (name.clone(), Share::default())).collect();
        limit_shown.set(shown(texts_max));
        Self(Arc::new(Inner {
            settings,
            taken: AtomicUsize::new(0),
            limit: AtomicUsize::new(texts_max),
            pace,
            accounts,
            others: Share::default(),
            waiting: AtomicUsize::new(0),
            departments: DashMap::default(),
            in_flight,
            limit_shown,
        }))
    }

    /// Whether a request of the account could get in at all: asked before its body is read.
    pub fn check(&self, account: &AccountName) -> Result<(), Full> {
        self.has_room(self.share(account), self.left())
    }

    fn has_room(&self, share: &Share, left: usize) -> Result<(), Full> {
        match () {
            () if left == 0 => Err(Full::All),
            () if !within(share.held(), left, self.0.settings.account_share) => Err(Full::Account),
            () => Ok(()),
        }
    }

    /// Waits until a request of the account could get in. The turn is to be kept until it has, or has
    /// gone away for another reason. As many wait as there are connections; how long is the caller's.
    pub async fn wait(&self, account: &AccountName) -> Turn {
        let share = self.share(account);
        let mut waiting = Waiting::new(self, share);
        loop {
            // Listens before it looks, or a place given back in between would call nobody.
            let mut called = pin!(share.called.notified());
            called.as_mut().enable();
            if self.check(account).is_ok() {
                waiting.has_its_turn = true;
                return Turn(self.clone());
            }
            called.await;
        }
    }

    /// Places for all texts of a request, or none. A request that finds its account below its bound
    /// brings in all it has, so that a large batch is not turned away for ever; memory's bound is strict.
    pub fn enter(&self, account: &AccountName, texts: usize) -> Result<Place, Full> {
        self.check(account)?;
        let with_these = |taken: usize| taken.checked_add(texts).filter(|taken| *taken <= self.0.settings.texts_max);
        self.0.taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, with_these).map_err(|_| Full::All)?;
        self.0.in_flight.add(shown(texts));
        let of_account = Held::of(self.share(account).held.clone(), texts);
        Ok(Place { _of_account: of_account, _taken: Taken { places: self.clone(), texts } })
    }

    /// The department's place for one text that has got in, unless it has had its share.
    pub fn of_department(&self, department: &DepartmentName) -> Option<Held> {
        let known = self.0.departments.get(department).map(|held| held.clone());
        let held = known.unwrap_or_else(|| self.0.departments.entry(department.clone()).or_default().clone());
        // The text's own place is among those taken: without it the last one would never be given away.
        let fits = within(held.load(Ordering::Relaxed), self.left() + 1, self.0.settings.department_share);
        fits.then(|| Held::of(held, 1))
    }

    /// A place of each department that gets one text, or none.
    pub fn of_departments(&self, departments: &[DepartmentName]) -> Option<(Held, Vec<Held>)> {
        let (first, others) = departments.split_first()?;
        // No list is made for one department.
        let first = self.of_department(first)?;
        let others = others.iter().map(|department| self.of_department(department)).collect::<Option<_>>()?;
        Some((first, others))
    }

    /// A text became durable that was handed to the log then.
    pub fn became_durable(&self, handed_over: Instant) {
        let now = Instant::now();
        let mut pace = self.0.pace.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = pace.finished(now, now - handed_over);
        if self.0.limit.swap(limit, Ordering::Relaxed) != limit {
            self.0.limit_shown.set(shown(limit));
        }
    }

    fn share(&self, account: &AccountName) -> &Share {
        self.0.accounts.get(account).unwrap_or(&self.0.others)
    }

    /// Calls the oldest request of the account that holds least, among those that wait and have room.
    fn call_next(&self) {
        if self.0.waiting.load(Ordering::SeqCst) == 0 {
            return;
        }
        let left = self.left();
        let shares = self.0.accounts.values().chain([&self.0.others]);
        let waiting = shares.filter(|share| share.waiting.load(Ordering::SeqCst) > 0);
        let next = waiting.filter(|share| self.has_room(share, left).is_ok()).min_by_key(|share| share.held());
        if let Some(share) = next {
            share.called.notify_one();
        }
    }

    /// Places that nobody holds.
    fn left(&self) -> usize {
        // In this order: who sees a place given back sees the limit that was set before it.
        let taken = self.0.taken.load(Ordering::SeqCst);
        self.0.limit.load(Ordering::Relaxed).saturating_sub(taken)
    }
}

/// Whether one more fits in a share, `held` being its own and `left` nobody's.
fn within(held: usize, left: usize, share: usize) -> bool {
    held == 0 || held.saturating_mul(100_usize.saturating_sub(share)) < left.saturating_mul(share)
}

impl Share {
    fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

impl<'a> Waiting<'a> {
    fn new(places: &'a Places, share: &'a Share) -> Self {
        share.waiting.fetch_add(1, Ordering::SeqCst);
        places.0.waiting.fetch_add(1, Ordering::SeqCst);
        Self { places, share, has_its_turn: false }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.share.waiting.fetch_sub(1, Ordering::SeqCst);
        self.places.0.waiting.fetch_sub(1, Ordering::SeqCst);
        // It may have been called, and nobody else of its account may be there to take the call over.
        if !self.has_its_turn {
            self.places.call_next();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.call_next();
    }
}

impl Held {
    fn of(of: Arc<AtomicUsize>, texts: usize) -> Self {
        of.fetch_add(texts, Ordering::Relaxed);
        Self { of, texts }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.of.fetch_sub(self.texts, Ordering::Relaxed);
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.places.0.in_flight.sub(shown(self.texts));
        self.places.0.taken.fetch_sub(self.texts, Ordering::SeqCst);
        self.places.call_next();
    }
}

/// A number of texts as a gauge counts them.
fn shown(texts: usize) -> i64 {
    i64::try_from(texts).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
