//! Who may stay when there are more connections than places.
//!
//! A connection that has proven itself stays as long as it likes to. While all places are taken, the
//! stranger that has been there longest gives its place to the newcomer: whoever opens connections and
//! sends nothing, or slowly, or nothing we accept, cannot keep carriers out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

const STRANGER: u8 = 0;
const PROVEN: u8 = 1;
const GONE: u8 = 2;

/// What is known of one connection; shared by its stream, its requests and the listener.
#[derive(Default)]
pub(super) struct Standing {
    state: AtomicU8,
    leave: Notify,
    /// Bytes that came for the head under way.
    head_bytes: AtomicUsize,
}

impl Standing {
    pub fn prove(&self) {
        self.move_on(PROVEN);
    }

    pub fn end(&self) {
        self.state.store(GONE, Ordering::Relaxed);
    }

    /// Resolves when the connection has to make room.
    pub async fn has_to_leave(&self) {
        self.leave.notified().await;
    }

    fn is_stranger(&self) -> bool {
        self.state.load(Ordering::Relaxed) == STRANGER
    }

    fn move_on(&self, to: u8) -> bool {
        self.state.compare_exchange(STRANGER, to, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Tells it to leave, if it may be told.
    fn dismiss(&self) -> bool {
        let dismissed = self.move_on(GONE);
        if dismissed {
            self.leave.notify_one();
        }
        dismissed
    }

    /// Counts bytes of a head; how many it has by now.
    pub fn head_grew(&self, bytes: usize) -> usize {
        self.head_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    pub fn head_ended(&self) {
        self.head_bytes.store(0, Ordering::Relaxed);
    }
}

/// All connections of one listener. Belongs to its accept loop.
pub(super) struct Crowd {
    places: Arc<Semaphore>,
    places_max: usize,
    /// The longest there first; those that have proven themselves or left are passed over.
    strangers: VecDeque<Arc<Standing>>,
}

/// A newcomer's place, and whether somebody had to leave for it.
pub(super) struct Admitted {
    pub place: OwnedSemaphorePermit,
    pub standing: Arc<Standing>,
    pub another_left: bool,
}

impl Crowd {
    pub fn new(places_max: usize) -> Self {
        let places_max = places_max.min(Semaphore::MAX_PERMITS);
        Self { places: Arc::new(Semaphore::new(places_max)), places_max, strangers: VecDeque::new() }
    }

    /// A place for a newcomer, or none: then everybody here has proven itself.
    pub async fn admit(&mut self) -> Option<Admitted> {
        let free = self.places.clone().try_acquire_owned().ok();
        let another_left = free.is_none();
        let place = match free {
            Some(place) => place,
            None => {
                let longest = std::iter::from_fn(|| self.strangers.pop_front()).find(|standing| standing.dismiss());
                longest?;
                // Its task has nothing else to do but to end, so this is soon.
                self.places.clone().acquire_owned().await.ok()?
            }
        };
        let standing = Arc::new(Standing::default());
        // Twice as many as can be strangers: what has left is forgotten before it is much.
        if self.strangers.len() > 2 * self.places_max {
            self.strangers.retain(|standing| standing.is_stranger());
        }
        self.strangers.push_back(standing.clone());
        Some(Admitted { place, standing, another_left })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn admitted(crowd: &mut Crowd) -> Admitted {
        crowd.admit().await.expect("a place")
    }

    /// Leaves as a connection's task does: when it is told to.
    fn leave_when_told(admitted: Admitted) {
        tokio::spawn(async move {
            admitted.standing.has_to_leave().await;
            drop(admitted.place);
        });
    }

    #[tokio::test]
    async fn the_longest_stranger_makes_room_and_nobody_who_has_proven_itself() {
        let mut crowd = Crowd::new(3);
        let (first, second, third) =
            (admitted(&mut crowd).await, admitted(&mut crowd).await, admitted(&mut crowd).await);
        first.standing.prove();
        let (second_standing, third_standing) = (second.standing.clone(), third.standing.clone());
        leave_when_told(second);
        leave_when_told(third);
        let fourth = admitted(&mut crowd).await;
        assert!(fourth.another_left && !second_standing.is_stranger() && third_standing.is_stranger());
        fourth.standing.prove();
        let fifth = admitted(&mut crowd).await;
        fifth.standing.prove();
        assert!(!third_standing.is_stranger());
        assert!(crowd.admit().await.is_none(), "all have proven themselves");
        drop(first);
        assert!(!admitted(&mut crowd).await.another_left);
    }

    #[tokio::test]
    async fn what_has_left_is_forgotten() {
        let mut crowd = Crowd::new(4);
        for _ in 0..1_000 {
            let admitted = admitted(&mut crowd).await;
            admitted.standing.end();
        }
        assert!(crowd.strangers.len() <= 9, "{}", crowd.strangers.len());
    }
}
