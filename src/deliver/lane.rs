//! The way of one department's texts through one channel.
//!
//! Comes in: letters, in the order of their log. Goes out: each one's `done`, once its destination has it or
//! dead-letter has.
//! Always true: a sender's next text waits for the one before; `take` never waits, so whoever feeds a lane stops while
//! it is full.
//! Not here: where letters come from.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::{Channel, Letter, Parts};
use crate::message::DepartmentName;

/// Reports that a letter is delivered, or in dead-letter. Dropped uncalled: neither.
pub type Done = Box<dyn FnOnce() + Send>;

/// Letters that a lane should hold at most; a feeder stops there.
const LETTERS_MAX: usize = 4_096;
/// The same in bytes of their values.
const BYTES_MAX: usize = 64 << 20;

/// One department's e-mail or push; cheap to clone.
#[derive(Clone)]
pub struct Lane {
    inbox: mpsc::UnboundedSender<(Letter, Done)>,
    held: Arc<Held>,
}

/// What a lane has taken and not reported on.
#[derive(Default)]
struct Held {
    letters: AtomicUsize,
    bytes: AtomicUsize,
}

impl Lane {
    /// Starts the lane's task, which ends with `parts.stop`.
    pub(super) fn start(_department: DepartmentName, _channel: Channel, parts: &Parts) -> Self {
        let (inbox, mut letters) = mpsc::unbounded_channel::<(Letter, Done)>();
        let held = Arc::<Held>::default();
        let (stop, given_up) = (parts.stop.clone(), held.clone());
        parts.tasks.spawn(async move {
            while let Some(Some((letter, _undone))) = stop.run_until_cancelled(letters.recv()).await {
                given_up.letters.fetch_sub(1, Ordering::Relaxed);
                given_up.bytes.fetch_sub(letter.value.len(), Ordering::Relaxed);
            }
        });
        Self { inbox, held }
    }

    /// Takes a letter after all that were taken before; never waits. `done` is called once, from the lane's task, when
    /// the letter is delivered or in dead-letter; it is dropped uncalled when the lane ends before that.
    pub fn take(&self, letter: Letter, done: Done) {
        self.held.letters.fetch_add(1, Ordering::Relaxed);
        self.held.bytes.fetch_add(letter.value.len(), Ordering::Relaxed);
        // A lane that has ended drops it, undone.
        let _ = self.inbox.send((letter, done));
    }

    /// Letters taken and not reported on.
    pub fn held(&self) -> usize {
        self.held.letters.load(Ordering::Relaxed)
    }

    /// Whether the lane holds as much as it should, so that its feeder must wait until it does not.
    pub fn is_full(&self) -> bool {
        self.held() >= LETTERS_MAX || self.held.bytes.load(Ordering::Relaxed) >= BYTES_MAX
    }
}
