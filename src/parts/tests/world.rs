//! A small world: a log, its readers, and what they publish. Crashes wherever they can happen.
//!
//! The model is obvious on purpose: every piece has a word of its own, and whatever happens, each word is
//! in exactly one published text, and each text's id has always stood for the same words.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

/// A log, the time, and everything that was ever published.
pub(super) struct World {
    pub settings: Settings,
    pub log: Vec<Vec<u8>>,
    kinds: Vec<bool>,
    pub seconds: i64,
    pub published: Vec<Published>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Published {
    pub id: EventId,
    pub words: String,
    pub outcome: Outcome,
    pub relates_to: Option<EventId>,
    pub received_at: Timestamp,
    pub parts: (u16, u16),
}

/// One process that reads the log, and what it would have kept of its position.
pub(super) struct Reader {
    pub groups: Groups<usize>,
    pub next: usize,
    live_from: usize,
    pub needed: usize,
}

impl World {
    pub(super) fn new(settings: Settings) -> Self {
        Self { settings, log: Vec::new(), kinds: Vec::new(), seconds: 0, published: Vec::new() }
    }

    pub(super) fn now(&self) -> Timestamp {
        at(self.seconds)
    }

    pub(super) fn push(&mut self, piece: &PartRecord) {
        self.log.push(piece.event().value);
        self.kinds.push(true);
    }

    fn write(&mut self, marker: &MarkerRecord) {
        let to = Number::normalise("86555", Country::GB);
        let value = marker.event(&to).value;
        let shown = String::from_utf8(value.clone()).expect("JSON");
        assert!(!shown.contains("7700900123") && !shown.contains('<'), "a marker with personal data");
        self.log.push(value);
        self.kinds.push(false);
    }

    pub(super) fn reader(&self, from: usize) -> Reader {
        Reader { groups: Groups::new(self.settings), next: from, live_from: self.log.len(), needed: from }
    }

    /// Reads one entry. False at the end.
    pub(super) fn read(&self, reader: &mut Reader) -> bool {
        if reader.next >= reader.live_from && !reader.groups.is_live() {
            reader.groups.go_live();
        }
        let Some(value) = self.log.get(reader.next) else { return false };
        let entry = if self.kinds[reader.next] { Entry::piece(value) } else { Entry::marker(value) };
        reader.groups.read(reader.next, entry.expect("what was written can be read"), self.now());
        reader.next += 1;
        reader.needed = reader.groups.needed().map_or(reader.next, |(at, _)| at);
        assert!(reader.groups.oldest_held().is_none_or(|held| held >= reader.needed));
        true
    }

    /// Does the next thing a reader asks for, or only its first `steps` steps. False if there is none.
    pub(super) fn act(&mut self, reader: &mut Reader, steps: usize) -> bool {
        let joined = match reader.groups.next_todo() {
            None => return false,
            Some(Todo::Write { marker, .. }) => {
                if steps > 0 {
                    self.write(&marker);
                }
                return true;
            }
            Some(Todo::Publish(joined)) => joined,
        };
        let mut steps = steps;
        let mut step = || {
            let goes_on = steps > 0;
            steps = steps.saturating_sub(1);
            goes_on
        };
        if let Some(before) = &joined.before {
            if !step() {
                return true;
            }
            self.write(before);
        }
        if step() {
            self.publish(&joined);
            if step() {
                self.write(&joined.sent(None, None));
            }
        }
        true
    }

    fn publish(&mut self, joined: &Joined) {
        let words = match &joined.inbound.body {
            Body::Text(words) => words.as_str().to_owned(),
            Body::Undecodable(bytes) => format!("{bytes:?}"),
        };
        let published = Published {
            id: joined.id,
            words,
            outcome: joined.outcome,
            relates_to: joined.relates_to,
            received_at: joined.received_at,
            parts: (joined.parts.received, joined.parts.total),
        };
        assert_eq!(published.parts.0 == published.parts.1, joined.outcome == Outcome::Complete);
        self.published.push(published);
    }

    /// Reads and acts until nothing more happens, and time has passed for all that waits.
    pub(super) fn run_to_the_end(&mut self, reader: &mut Reader) {
        for _ in 0..3 {
            self.settle(reader);
            self.seconds += 700;
            reader.groups.tick(self.now());
        }
        self.settle(reader);
        assert_eq!(reader.groups.oldest_held(), None, "everything is settled");
        assert_eq!((reader.groups.open_groups(), reader.groups.bytes()), (0, 0));
    }

    pub(super) fn settle(&mut self, reader: &mut Reader) {
        while self.read(reader) || self.act(reader, usize::MAX) {}
    }

    /// What each id stands for; panics when one has stood for two things. The time of receipt may be
    /// that of a repeat once the text itself is forgotten.
    pub(super) fn texts(&self) -> BTreeMap<EventId, Published> {
        let is_forgetful = self.settings.window != long().window;
        let mut texts: BTreeMap<EventId, Published> = BTreeMap::new();
        for published in &self.published {
            let known = texts.entry(published.id).or_insert_with(|| published.clone());
            let received_at = if is_forgetful { known.received_at } else { published.received_at };
            assert_eq!(*known, Published { received_at, ..published.clone() }, "one id, two contents");
        }
        texts
    }
}

/// How many published texts each word is in.
fn homes(world: &World, words: &BTreeSet<String>) -> BTreeMap<String, usize> {
    let texts = world.texts();
    let count = |word: &String| texts.values().filter(|text| text.words.contains(word.as_str())).count();
    words.iter().map(|word| (word.clone(), count(word))).collect()
}

/// Texts of the properties: name, reference, total. Two share a reference, and so a key.
const TEXTS: [(&str, &str, u16); 4] = [("a", "7", 3), ("b", "7", 3), ("c", "8", 2), ("d", "7", 2)];

#[derive(Debug, Clone)]
enum Op {
    /// A piece of a text reaches the log, so many seconds after its receipt; twins have ids of their own.
    Piece {
        text: usize,
        number: u16,
        twin: bool,
        late_seconds: i64,
    },
    Wait(i64),
    Read {
        reader: usize,
        entries: usize,
    },
    Act {
        reader: usize,
        steps: usize,
    },
    Tick(usize),
    /// State thrown away; from the kept position, or earlier.
    Crash {
        reader: usize,
        earlier: usize,
    },
}

fn op(twins: bool) -> impl Strategy<Value = Op> {
    let piece = (0..TEXTS.len(), 1..=3_u16, any::<bool>(), prop_oneof![3 => Just(0), 1 => 0..900_i64]);
    prop_oneof![
        6 => piece.prop_map(move |(text, number, twin, late_seconds)| {
            let number = number.min(TEXTS[text].2);
            Op::Piece { text, number, twin: twin && twins, late_seconds }
        }),
        2 => prop_oneof![3 => 0..400_i64, 1 => 600..8_000_i64].prop_map(Op::Wait),
        5 => (0..2_usize, 1..6_usize).prop_map(|(reader, entries)| Op::Read { reader, entries }),
        4 => (0..2_usize, prop_oneof![2 => Just(usize::MAX), 1 => 0..3_usize])
            .prop_map(|(reader, steps)| Op::Act { reader, steps }),
        2 => (0..2_usize).prop_map(Op::Tick),
        2 => (0..2_usize, prop_oneof![2 => Just(0_usize), 1 => 0..20_usize])
            .prop_map(|(reader, earlier)| Op::Crash { reader, earlier }),
    ]
}

/// Runs what happens with `readers` at once (one, or two that both believe the stream to be theirs).
fn run(settings: Settings, ops: &[Op], readers: usize) -> (World, BTreeSet<String>) {
    let mut world = World::new(settings);
    let mut all: Vec<Reader> = (0..readers).map(|_| world.reader(0)).collect();
    let mut words = BTreeSet::new();
    for op in ops {
        match op {
            Op::Piece { text, number, twin, late_seconds } => {
                let (name, reference, total) = TEXTS[*text];
                let word = format!("<{name}{number}>");
                let id = format!("{word}{}", if *twin { "again" } else { "" });
                let received_at = at(world.seconds - late_seconds);
                let body = Body::Text(Text::from(word.as_str()));
                let (number, id) = (*number, id.as_str());
                world.push(&piece(&Sketch { id, reference, number, total, words: body, received_at }));
                words.insert(word);
            }
            Op::Wait(seconds) => world.seconds += seconds,
            Op::Read { reader, entries } => {
                let reader = &mut all[reader % readers];
                for _ in 0..*entries {
                    world.read(reader);
                }
            }
            Op::Act { reader, steps } => {
                let reader = reader % readers;
                world.act(&mut all[reader], *steps);
                // What was begun and not ended is ended by nobody in this process.
                if *steps != usize::MAX {
                    all[reader] = world.reader(all[reader].needed);
                }
            }
            Op::Tick(reader) => all[reader % readers].groups.tick(world.now()),
            Op::Crash { reader, earlier } => {
                let reader = reader % readers;
                all[reader] = world.reader(all[reader].needed.saturating_sub(*earlier));
            }
        }
    }
    let mut last = all.swap_remove(0);
    world.run_to_the_end(&mut last);
    // Whoever reads everything again finds nothing to do.
    let before = world.published.len();
    let mut again = world.reader(0);
    world.run_to_the_end(&mut again);
    assert_eq!(world.published.len(), before, "a text went out twice although it was marked");
    (world, words)
}

/// Nothing is forgotten.
fn long() -> Settings {
    Settings { window: Duration::from_secs(1_000_000), ..Settings::default() }
}

fn ops(twins: bool) -> impl Strategy<Value = Vec<Op>> {
    proptest::collection::vec(op(twins), 1..60)
}

fn all_have_one_home(world: &World, words: &BTreeSet<String>) -> Result<(), TestCaseError> {
    for (word, homes) in homes(world, words) {
        prop_assert_eq!(homes, 1, "{}", word);
    }
    Ok(())
}

fn all_have_a_home(world: &World, words: &BTreeSet<String>) -> Result<(), TestCaseError> {
    for (word, homes) in homes(world, words) {
        prop_assert!(homes >= 1, "{}", word);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn every_word_has_one_home_whatever_crashes(ops in ops(false)) {
        let (world, words) = run(long(), &ops, 1);
        all_have_one_home(&world, &words)?;
    }

    #[test]
    fn two_readers_at_once_agree(ops in ops(false)) {
        let (world, words) = run(long(), &ops, 2);
        all_have_one_home(&world, &words)?;
    }

    #[test]
    fn without_room_every_word_has_one_home(ops in ops(false)) {
        let (world, words) = run(Settings { groups_max: 1, ..long() }, &ops, 1);
        all_have_one_home(&world, &words)?;
    }

    #[test]
    fn what_is_forgotten_may_come_twice_and_never_not_at_all(ops in ops(false)) {
        let settings = Settings { remembered_max: 2, ..Settings::default() };
        let (world, words) = run(settings, &ops, 2);
        all_have_a_home(&world, &words)?;
    }

    #[test]
    fn repeats_without_a_carriers_id_lose_no_word(ops in ops(true)) {
        let (world, words) = run(Settings { groups_max: 2, ..Settings::default() }, &ops, 2);
        all_have_a_home(&world, &words)?;
    }
}
