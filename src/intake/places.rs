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
    places: Places,
    of_account: Arc<AtomicUsize>,
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
        let of_account = self.share(account).held.clone();
        of_account.fetch_add(texts, Ordering::Relaxed);
        Ok(Place { places: self.clone(), of_account, texts })
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

impl Drop for Place {
    fn drop(&mut self) {
        self.of_account.fetch_sub(self.texts, Ordering::Relaxed);
        self.places.0.in_flight.sub(shown(self.texts));
        self.places.0.taken.fetch_sub(self.texts, Ordering::SeqCst);
        // The last, so that whoever is called finds the places given back.
        self.places.call_next();
    }
}

/// A number of texts as a gauge counts them.
fn shown(texts: usize) -> i64 {
    i64::try_from(texts).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;

    use futures_util::FutureExt;

    use super::*;

    fn account(name: &str) -> AccountName {
        AccountName::parse(name).expect("a name")
    }

    fn places(texts_max: usize, account_share: usize, department_share: usize) -> (Places, IntGauge) {
        let gauge = |name: &str| IntGauge::new(name, "texts").expect("a gauge");
        let in_flight = gauge("in_flight");
        let settings = Settings {
            texts_max,
            account_share,
            department_share,
            accounts: ["a", "b", "c"].map(account).to_vec(),
            ..Settings::default()
        };
        (Places::new(settings, in_flight.clone(), gauge("limit")), in_flight)
    }

    /// Takes one place after the other until there is none for it.
    fn fill(places: &Places, name: &str) -> Vec<Place> {
        std::iter::from_fn(|| places.enter(&account(name), 1).ok()).collect()
    }

    #[test]
    fn places_are_counted_by_text_and_given_back() {
        let (places, in_flight) = places(3, 100, 100);
        let a = account("a");
        let two = places.enter(&a, 2).expect("room for two");
        assert_eq!(places.enter(&a, 2).err(), Some(Full::All));
        assert_eq!(places.check(&a), Ok(()), "one would fit");
        let one = places.enter(&a, 1).expect("room for one more");
        assert_eq!((places.check(&a), in_flight.get()), (Err(Full::All), 3));
        drop((two, one));
        assert!(places.enter(&a, 3).is_ok());
        assert_eq!(in_flight.get(), 0);
    }

    #[test]
    fn however_many_are_greedy_there_is_room_for_the_next() {
        for (share, greedy) in [(75, &[750][..]), (75, &[750, 188]), (50, &[500, 250]), (100, &[1_000])] {
            let (places, _) = places(1_000, share, 100);
            let mut taken = Vec::new();
            for (name, expected) in ["a", "b"].iter().zip(greedy) {
                let filled = fill(&places, name);
                assert_eq!(filled.len(), *expected, "share {share}, {name}");
                taken.push(filled);
            }
            if share < 100 {
                assert_eq!(places.check(&account("a")), Err(Full::Account), "share {share}");
                assert!(places.enter(&account("c"), 1).is_ok(), "share {share}");
            }
        }
    }

    #[test]
    fn greedy_accounts_come_to_equal_shares() {
        let (places, _) = places(1_000, 75, 100);
        let (mut a, mut b) = (fill(&places, "a"), Vec::new());
        for _ in 0..2_000 {
            // The oldest finishes; whoever may takes what is free.
            if !a.is_empty() {
                a.remove(0);
            }
            b.extend(fill(&places, "b"));
            a.extend(fill(&places, "a"));
            if b.len() > 1 {
                b.remove(0);
            }
        }
        assert!(a.len().abs_diff(b.len()) <= 20, "{} and {}", a.len(), b.len());
        assert!((400..=440).contains(&a.len()), "{}", a.len());
    }

    /// Those of the waiting that have got their turn since, seen from the newest to the oldest.
    fn called(waiting: &mut [Pin<Box<impl Future<Output = Turn>>>]) -> Vec<(usize, Turn)> {
        let seen = waiting.iter_mut().enumerate().rev();
        seen.filter_map(|(index, wait)| Some((index, wait.now_or_never()?))).collect()
    }

    /// Who waits for room under these names, each having looked in vain.
    fn queue<'a>(places: &'a Places, accounts: &'a [AccountName]) -> Vec<Pin<Box<impl Future<Output = Turn> + 'a>>> {
        let mut waiting: Vec<_> = accounts.iter().map(|account| Box::pin(places.wait(account))).collect();
        for wait in &mut waiting {
            assert!(wait.now_or_never().is_none(), "all places are taken");
        }
        waiting
    }

    #[test]
    fn a_place_given_back_calls_the_one_who_has_waited_longest() {
        let (places, _) = places(2, 100, 100);
        let mut held = fill(&places, "a");
        let accounts = ["a", "a"].map(account);
        let mut waiting = queue(&places, &accounts);
        held.pop();
        let turns = called(&mut waiting);
        assert_eq!(turns.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0]);
        held.extend(places.enter(&accounts[0], 1));
        drop(turns);
        assert!(called(&mut waiting[1..]).is_empty(), "the one place is taken again");
    }

    #[test]
    fn a_turn_that_leaves_room_is_passed_on() {
        let (places, _) = places(2, 100, 100);
        let a = account("a");
        let batch = places.enter(&a, 2).expect("room");
        let accounts = ["a", "a", "a"].map(account);
        let mut waiting = queue(&places, &accounts);
        drop(batch);
        let first = called(&mut waiting);
        assert_eq!(first.len(), 1, "one is called, however many places are given back");
        let _in = places.enter(&a, 1).expect("room");
        drop(first);
        let second = called(&mut waiting[1..]);
        assert_eq!(second.len(), 1, "it has left room for one more");
        drop(second);
        assert_eq!(called(&mut waiting[2..]).len(), 1, "the second went away without getting in");
    }

    #[test]
    fn whoever_gives_up_waiting_does_not_take_a_turn_along() {
        let (places, _) = places(1, 100, 100);
        let held = fill(&places, "a");
        let accounts = ["a", "a"].map(account);
        let mut waiting = queue(&places, &accounts);
        drop(held);
        drop(waiting.remove(0));
        assert_eq!(called(&mut waiting).len(), 1);
    }

    #[test]
    fn whoever_was_called_and_gave_up_leaves_the_call_to_another_account() {
        let (places, _) = places(4, 75, 100);
        let mut held = fill(&places, "a");
        held.extend(fill(&places, "b"));
        let accounts = ["a", "b"].map(account);
        let mut waiting = queue(&places, &accounts);
        held.remove(0);
        drop(waiting.remove(1));
        assert_eq!(called(&mut waiting).len(), 1, "b was called, holding less, and is gone");
    }

    #[test]
    fn the_account_that_holds_least_is_called_first() {
        let (places, _) = places(4, 75, 100);
        let mut held = fill(&places, "a");
        held.extend(fill(&places, "b"));
        assert_eq!(held.len(), 4);
        let accounts = ["a", "b"].map(account);
        let mut waiting = queue(&places, &accounts);
        held.remove(0);
        let turns = called(&mut waiting);
        assert_eq!(turns.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1], "a holds more than b");
    }

    #[test]
    fn a_large_batch_gets_in_where_nothing_of_its_account_is() {
        let (places, _) = places(1_000, 10, 100);
        let whole = places.enter(&account("a"), 1_000).expect("an empty house");
        drop(whole);
        assert_eq!(places.enter(&account("a"), 1_001).err(), Some(Full::All));
    }

    #[test]
    fn a_hot_department_leaves_room_for_the_others() {
        let (places, _) = places(100, 100, 50);
        let department = |name| DepartmentName::parse(name).expect("a name");
        let mut texts = Vec::new();
        while let Ok(place) = places.enter(&account("a"), 1) {
            let Some(held) = places.of_department(&department("highways")) else { break };
            texts.push((place, held));
        }
        assert_eq!(texts.len(), 50, "the next found as many held as left");
        let _place = places.enter(&account("a"), 1).expect("room");
        assert!(places.of_department(&department("parking")).is_some());
        texts.truncate(20);
        assert!(places.of_department(&department("highways")).is_some());
    }

    #[test]
    fn a_text_of_several_departments_gets_in_with_all_or_with_none() {
        let (places, _) = places(100, 100, 10);
        let names = ["highways", "flood-team"].map(|name| DepartmentName::parse(name).expect("a name"));
        let place = || places.enter(&account("a"), 1).ok();
        let full: Vec<_> = std::iter::from_fn(|| Some((place()?, places.of_department(&names[1])?))).collect();
        assert_eq!(full.len(), 10);
        let _place = place().expect("room");
        assert!(places.of_departments(&names).is_none());
        let held = |name| places.0.departments.get(name).map(|held| held.load(Ordering::Relaxed));
        assert_eq!(names.each_ref().map(held), [Some(0), Some(10)], "what was held is given back");
        drop(full);
        let both = places.of_departments(&names).expect("room");
        assert_eq!(names.each_ref().map(held), [Some(1), Some(1)]);
        drop(both);
        assert_eq!(names.each_ref().map(held), [Some(0), Some(0)]);
    }

    #[test]
    fn the_last_place_is_given_away_too() {
        let (places, _) = places(10, 100, 100);
        let highways = DepartmentName::parse("highways").expect("a name");
        let take = |_| Some((places.enter(&account("a"), 1).ok()?, places.of_department(&highways)?));
        let taken: Vec<_> = (0..10).map_while(take).collect();
        assert_eq!(taken.len(), 10);
    }
}
