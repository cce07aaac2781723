//! Who gets in, who waits, who is called.

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
