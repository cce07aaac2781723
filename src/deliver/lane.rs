//! The way of one department's texts through one channel.
//!
//! Comes in: letters, in the order of their log. Goes out: each one's `done`, once its destination has it or
//! dead-letter has.
//! Always true: a sender's next text waits for the one before; `take` never waits, so whoever feeds a lane stops while
//! it is full; a text that fails holds up its sender, and a server that is away gets one try at a time.
//! Not here: where letters come from, what a try is (`mail`, `push`).
//!
//! ```text
//! take ─→ senders ─┬─────────────→ prepared ─→ running ─┬─→ done
//!                  └→ collector ─────↑            ↑      ├─→ waiting, for a while
//!                                                 └──────┘
//!                                              burials ←─┴─→ dead-letter ─→ done
//! ```

mod task;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

use super::health::{Health, Ticket};
use super::mail::{Collector, Mailer};
use super::parcel::{Held, Parcel, Tried};
use super::push::Pusher;
use super::{Channel, Letter, Parts, Retry};
use crate::message::DepartmentName;

use task::Task;
pub(super) use task::bury;

/// Reports that a letter is delivered, or in dead-letter. Dropped uncalled: neither.
pub type Done = Box<dyn FnOnce() + Send>;

/// Letters that a lane should hold at most; a feeder stops there.
const LETTERS_MAX: usize = 4_096;
/// The same in bytes of their values.
const BYTES_MAX: usize = 64 << 20;
/// One department's e-mail or push; cheap to clone.
#[derive(Clone)]
pub struct Lane {
    inbox: mpsc::UnboundedSender<Held>,
    load: Arc<Load>,
}

/// What a lane has taken and not reported on.
#[derive(Default)]
struct Load {
    letters: AtomicUsize,
    bytes: AtomicUsize,
}

/// Who takes a lane's parcels.
pub(super) enum Destination {
    Mail(Mailer),
    Push(Box<Pusher>),
}

impl Destination {
    async fn deliver(&self, parcel: &mut Parcel, ticket: Ticket) -> Tried {
        match self {
            Self::Mail(mailer) => mailer.deliver(parcel, ticket).await,
            Self::Push(pusher) => pusher.deliver(parcel, ticket).await,
        }
    }
}

/// What a lane is made of.
pub(super) struct Plan {
    pub department: DepartmentName,
    pub channel: Channel,
    pub destination: Arc<Destination>,
    /// Which texts share a mail; `None` where none do.
    pub collector: Option<Collector>,
    pub health: Arc<Health>,
    pub retry: Retry,
    pub in_flight_max: usize,
}

impl Lane {
    /// Starts the lane's task, which ends with `parts.stop`.
    pub(super) fn start(plan: Plan, parts: &Parts) -> Self {
        // Bounded by whoever feeds it, as `take` says: the letters of a window are held there too.
        let (inbox, letters) = mpsc::unbounded_channel();
        let load = Arc::<Load>::default();
        let task = Task::new(plan, parts.clone(), letters, load.clone());
        parts.tasks.spawn(task.run());
        Self { inbox, load }
    }

    /// Takes a letter after all that were taken before; never waits. `done` is called once, from the lane's task, when
    /// the letter is delivered or in dead-letter; it is dropped uncalled when the lane ends before that.
    pub fn take(&self, letter: Letter, done: Done) {
        self.load.letters.fetch_add(1, Ordering::Relaxed);
        self.load.bytes.fetch_add(letter.value.len(), Ordering::Relaxed);
        // A lane that has ended drops it, undone.
        let _ = self.inbox.send(Held { letter, done });
    }

    /// Letters taken and not reported on.
    pub fn held(&self) -> usize {
        self.load.letters.load(Ordering::Relaxed)
    }

    /// Whether the lane holds as much as it should, so that its feeder must wait until it does not.
    pub fn is_full(&self) -> bool {
        self.held() >= LETTERS_MAX || self.load.bytes.load(Ordering::Relaxed) >= BYTES_MAX
    }
}
