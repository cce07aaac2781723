//! All groups of one ordered stream: the state machine.
//!
//! Comes in: entries by their positions, the time. Goes out: `Todo`s, and the positions that a reader
//! of the stream has to keep.
//! Always true: a piece's position is held until a marker that names the piece has been read.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use super::group::{Group, Phase};
use super::joined::Joined;
use super::marker::{Marker, MarkerRecord, record};
use super::record::JoinKey;
use super::{Entry, Settings};
use crate::message::{EventId, Number, Timestamp};

/// Longest time that a group whose time is over is given for what may follow its last piece at once.
const SETTLE_MS_MAX: i64 = 10_000;
/// A thousand years: sums of a few such times are still times.
const MILLISECONDS_MAX: i64 = 1_000 * 365 * 86_400_000;
/// What is in a list is in the groups of its key.
const KNOWN: &str = "a listed group is among those of its key";

/// What the driver shall do, each to success; in any order and several at a time.
#[derive(Debug)]
pub enum Todo {
    /// Append this marker about a text to this number.
    Write { marker: Box<MarkerRecord>, to: Number },
    /// Append `before`, if it is there; publish; append what `Joined::sent` makes.
    Publish(Box<Joined>),
}

/// Something that waits to be given out, by its position.
pub(super) enum Waiting {
    Text(JoinKey, EventId),
    Addendum(JoinKey, EventId, EventId),
}

/// A marker that waits to be asked for.
pub(super) enum Ask {
    Close(JoinKey, EventId),
    Repeated(EventId),
}

/// A piece that adds nothing, until its marker is read.
pub(super) struct Repeat<P> {
    pub at: P,
    pub marker: Box<MarkerRecord>,
    pub to: Number,
}

/// The groups of one partition, or of the one stream of the embedded log. `P` is a position on it.
pub struct Groups<P> {
    pub(super) settings: Settings,
    pub(super) keys: HashMap<JoinKey, Vec<Group<P>>>,
    /// Groups that take pieces, by where they begin.
    pub(super) open: BTreeMap<P, (JoinKey, EventId)>,
    pub(super) open_bytes: usize,
    /// What can be given out, by where it begins.
    pub(super) ready: BTreeMap<P, Waiting>,
    pub(super) ready_bytes: usize,
    /// Groups that are only remembered.
    pub(super) remembered: BTreeMap<P, (JoinKey, EventId)>,
    /// Every piece that no marker has settled.
    pub(super) held: BTreeMap<P, EventId>,
    pub(super) repeats: HashMap<EventId, Repeat<P>>,
    pub(super) asks: VecDeque<Ask>,
    pub(super) is_live: bool,
    pub(super) evicted: u64,
}

impl<P: Copy + Ord> Groups<P> {
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            keys: HashMap::new(),
            open: BTreeMap::new(),
            open_bytes: 0,
            ready: BTreeMap::new(),
            ready_bytes: 0,
            remembered: BTreeMap::new(),
            held: BTreeMap::new(),
            repeats: HashMap::new(),
            asks: VecDeque::new(),
            is_live: false,
            evicted: 0,
        }
    }

    /// Takes the next entry of the stream. Positions only grow.
    pub fn read(&mut self, at: P, entry: Entry, now: Timestamp) {
        match entry {
            Entry::Piece(piece) => {
                self.held.insert(at, piece.id);
                self.place(at, piece, now);
            }
            Entry::Marker(marker) => self.heed(at, *marker, now),
            Entry::Later => {}
        }
        self.make_room(now);
    }

    /// The stream has been read to where it ended when reading began: what was done before is known.
    pub fn go_live(&mut self) {
        self.is_live = true;
    }

    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// What is to be done next. Before `go_live` nothing, unless there is no room for what waits.
    pub fn next_todo(&mut self) -> Option<Todo> {
        if !self.is_live && !self.is_full() {
            return None;
        }
        while let Some(ask) = self.asks.pop_front() {
            if let Some(todo) = self.asked(&ask) {
                return Some(todo);
            }
        }
        let (_, waiting) = self.ready.pop_first()?;
        Some(Todo::Publish(Box::new(match waiting {
            Waiting::Text(key, group) => self.take_text(key, group),
            Waiting::Addendum(key, group, piece) => self.take_addendum(key, group, piece),
        })))
    }

    /// Asks for the closing of groups whose time is over, and forgets what is long past.
    pub fn tick(&mut self, now: Timestamp) {
        if self.is_live {
            self.ask_for_closing(now);
        }
        self.forget(now);
    }

    /// Whether to stop reading until something is given out.
    pub fn is_full(&self) -> bool {
        self.ready.len() + self.repeats.len() >= self.settings.groups_max || self.ready_bytes >= self.settings.bytes_max
    }

    /// The oldest piece that is not settled: the stream is done with up to before it; to the end if `None`.
    pub fn oldest_held(&self) -> Option<P> {
        self.held.first_key_value().map(|(at, _)| *at)
    }

    /// The oldest entry that the next reader has to know to judge as this one would.
    pub fn needed(&self) -> Option<(P, EventId)> {
        let held = self.held.first_key_value().map(|(at, id)| (*at, *id));
        let remembered = self.remembered.first_key_value().map(|(at, (key, id))| {
            let group = self.keys[key].iter().find(|group| group.id == *id).expect(KNOWN);
            (*at, group.first_id)
        });
        held.into_iter().chain(remembered).min()
    }

    /// Groups that take pieces.
    pub fn open_groups(&self) -> usize {
        self.open.len()
    }

    /// Pieces that are not settled.
    pub fn held_pieces(&self) -> usize {
        self.held.len()
    }

    /// Bytes of pieces held, about.
    pub fn bytes(&self) -> usize {
        self.open_bytes + self.ready_bytes
    }

    /// Groups that went out incomplete because there was no room, since the beginning.
    pub fn evicted(&self) -> u64 {
        self.evicted
    }

    fn ask_for_closing(&mut self, now: Timestamp) {
        let (wait, now_ms) = (self.wait_ms(), now.as_millisecond());
        for (key, id) in self.open.values() {
            let group = find(&mut self.keys, *key, *id);
            if !group.close_asked && group.due_ms(wait, wait.min(SETTLE_MS_MAX)) <= now_ms {
                group.close_asked = true;
                self.asks.push_back(Ask::Close(*key, *id));
            }
        }
    }

    /// Forgets texts that can get no addenda any more, and the oldest beyond the bound.
    fn forget(&mut self, now: Timestamp) {
        // The last wait is for pieces that were received in time and reach the stream late.
        let forgotten_after = self.late_after_ms() + self.wait_ms();
        while let Some((at, (key, id))) = self.remembered.pop_first() {
            let group = find(&mut self.keys, key, id);
            let received_ms = group.received_at.as_millisecond();
            let is_past = self.is_live && received_ms + forgotten_after < now.as_millisecond();
            let is_one_too_many = self.remembered.len() >= self.settings.remembered_max;
            // A late piece that waits to go out still needs its text.
            if !group.late.is_empty() || !(is_past || is_one_too_many) {
                self.remembered.insert(at, (key, id));
                break;
            }
            self.remove(key, id);
        }
    }

    fn asked(&mut self, ask: &Ask) -> Option<Todo> {
        match ask {
            Ask::Close(key, id) => {
                let group = self.keys.get(key)?.iter().find(|group| group.id == *id && group.is_open())?;
                let (account, to) = group.address()?;
                let marker = record(account, *key, *id, group.received_at, Marker::Close);
                Some(Todo::Write { marker: Box::new(marker), to: to.clone() })
            }
            Ask::Repeated(piece) => {
                let repeat = self.repeats.get(piece)?;
                Some(Todo::Write { marker: repeat.marker.clone(), to: repeat.to.clone() })
            }
        }
    }

    fn take_text(&mut self, key: JoinKey, id: EventId) -> Joined {
        let group = find(&mut self.keys, key, id);
        self.ready_bytes -= group.bytes;
        let (joined, outcome) = group.give_out();
        group.phase = Phase::Taken { outcome };
        joined
    }

    fn take_addendum(&mut self, key: JoinKey, id: EventId, piece: EventId) -> Joined {
        let group = find(&mut self.keys, key, id);
        let (joined, bytes) = group.give_out_late(piece);
        self.ready_bytes -= bytes;
        joined
    }

    pub(super) fn wait_ms(&self) -> i64 {
        milliseconds(self.settings.wait)
    }

    /// How long after its receipt an incomplete text may get addenda.
    pub(super) fn late_after_ms(&self) -> i64 {
        self.wait_ms() + milliseconds(self.settings.window)
    }
}

/// A group that is in one of the lists.
pub(super) fn find<P>(keys: &mut HashMap<JoinKey, Vec<Group<P>>>, key: JoinKey, id: EventId) -> &mut Group<P> {
    let groups = keys.get_mut(&key).into_iter().flatten();
    groups.into_iter().find(|group| group.id == id).expect(KNOWN)
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(MILLISECONDS_MAX).min(MILLISECONDS_MAX)
}
