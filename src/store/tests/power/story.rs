//! A series of commits, the files it leaves, and what each prefix of it must say.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use tempfile::TempDir;

use crate::message::Event;
use crate::store::tests::{at, folder, open, text};
use crate::store::{Appended, Cursor, Store, StoreError};

const NAMES: [&str; 2] = ["sms-router.sqlite", "sms-router.sqlite-wal"];
const TOPICS: [&str; 2] = ["sms.highways", "sms.parking"];
/// SQLite's file format: <https://www.sqlite.org/fileformat2.html#walformat>.
pub const WAL_HEADER: usize = 32;
pub const FRAME_HEADER: usize = 24;
pub const PAGE: usize = 4096;
pub const FRAME: usize = FRAME_HEADER + PAGE;

/// Numbers without a pattern, the same for the same seed (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }

    pub fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }
}

/// Everything that commits change: ids in the order of rows; of what waits, a hash of its value too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Content {
    pub log: Vec<u128>,
    pub copies: Vec<u128>,
    pub known: BTreeSet<u128>,
    pub waiting: Vec<(u128, u64)>,
}

impl Content {
    /// What a folder's database says, read past the store.
    fn of(folder: &Path) -> Self {
        let database = Connection::open(folder.join(NAMES[0])).expect("a database");
        let ids = |sql: &str| {
            let mut statement = database.prepare(sql).expect("SQL");
            let rows = statement.query_map([], |row| row.get(0).map(u128::from_be_bytes)).expect("rows");
            rows.collect::<Result<Vec<_>, _>>().expect("ids")
        };
        Self {
            log: ids("SELECT id FROM log ORDER BY position"),
            copies: ids("SELECT id FROM audit ORDER BY position"),
            known: ids("SELECT id FROM ids").into_iter().collect(),
            waiting: waiting(&database).expect("rows"),
        }
    }
}

fn waiting(database: &Connection) -> rusqlite::Result<Vec<(u128, u64)>> {
    let mut statement = database.prepare("SELECT id, value FROM journal WHERE hollow = 0 ORDER BY position")?;
    let entry = |row: &rusqlite::Row<'_>| Ok((u128::from_be_bytes(row.get(0)?), hash(row.get_ref(1)?.as_blob()?)));
    statement.query_map([], entry)?.collect()
}

fn hash(value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The bytes of the two files that matter; the third is rebuilt by whoever opens first.
#[derive(Clone, Default)]
pub struct Image {
    pub database: Vec<u8>,
    pub wal: Vec<u8>,
}

impl Image {
    pub fn of(folder: &Path) -> Self {
        let [database, wal] = NAMES.map(|name| fs::read(folder.join(name)).unwrap_or_default());
        Self { database, wal }
    }

    /// In memory where that is possible: what would be lost with the power is decided here, not by a disk.
    fn write(&self) -> TempDir {
        let folder = TempDir::new_in("/dev/shm").unwrap_or_else(|_| folder());
        for (name, bytes) in NAMES.into_iter().zip([&self.database, &self.wal]) {
            fs::write(folder.path().join(name), bytes).expect("a file");
        }
        folder
    }

    /// Opens the files as `serve` would after the power is back, and tells what is there.
    pub async fn opened(&self) -> Result<Content, StoreError> {
        let folder = self.write();
        let settings = crate::store::Settings::of(folder.path());
        let clock = crate::clock::Clock::fixed(at(super::super::NOW));
        let (store, writer) = Store::open(settings, super::super::key(), clock)?;
        let said: u64 = store.journal_state().all.messages;
        let content = Content::of(folder.path());
        assert_eq!(content.waiting.len() as u64, said, "what is counted is what is there");
        writer.close().await;
        Ok(content)
    }

    /// Commits in the write-ahead log, that of the opening included.
    pub fn commits(&self) -> usize {
        self.commits_left_in(&self.wal)
    }

    /// Commits before the first frame that differs in what is left of the write-ahead log. Where it was
    /// cut does not tell: a frame may end in the very zeros that came instead.
    pub fn commits_left_in(&self, left: &[u8]) -> usize {
        let same = self.wal.iter().zip(left).take_while(|(whole, left)| whole == left).count();
        let whole = (0..frames_in(same)).take_while(|frame| self.is_of_this_log(*frame));
        whole.filter(|frame| self.is_commit(*frame)).count()
    }

    /// Frames of a log that has been begun anew are left behind it; their salts are not those of its head.
    fn is_of_this_log(&self, frame: usize) -> bool {
        let start = WAL_HEADER + frame * FRAME;
        self.wal[start + 8..start + 16] == self.wal[16..24]
    }

    /// Frames of the log that its head begins.
    pub fn frames(&self) -> usize {
        (0..frames_in(self.wal.len())).take_while(|frame| self.is_of_this_log(*frame)).count()
    }

    /// A commit's last frame says how large the database is after it.
    fn is_commit(&self, frame: usize) -> bool {
        let start = WAL_HEADER + frame * FRAME;
        self.wal[start + 4..start + 8] != [0; 4]
    }
}

fn frames_in(bytes: usize) -> usize {
    bytes.saturating_sub(WAL_HEADER) / FRAME
}

/// A store under way, and what it must say after each of its commits.
pub struct Story {
    pub folder: TempDir,
    pub store: Store,
    writer: crate::store::Writer,
    dice: Dice,
    next_id: u128,
    waiting: Vec<(u128, Cursor)>,
    /// Before the first commit, and after each. Opening commits once too (a setting of the file), which
    /// changes nothing; so the first content stands here twice.
    pub prefixes: Vec<Content>,
}

impl Story {
    /// Begins with tables made and nothing in the write-ahead log.
    pub async fn begin(seed: u64) -> Self {
        let folder = folder();
        open(folder.path()).writer.close().await;
        let opened = open(folder.path());
        let (store, writer) = (opened.store, opened.writer);
        let prefixes = vec![Content::default(); 1 + Image::of(folder.path()).commits()];
        Self { folder, store, writer, dice: Dice(seed), next_id: 1, waiting: Vec::new(), prefixes }
    }

    pub async fn go_on(&mut self, commits: usize) {
        for _ in 0..commits {
            let mut content = self.prefixes.last().expect("the beginning").clone();
            match self.dice.below(4) {
                0 | 1 => self.append(&mut content).await,
                2 if !self.waiting.is_empty() => self.settle(&mut content).await,
                _ => self.journal(&mut content).await,
            }
            self.prefixes.push(content);
        }
        assert_eq!(Content::of(self.folder.path()), *self.prefixes.last().expect("commits"), "told as it is");
    }

    pub fn image(&self) -> Image {
        Image::of(self.folder.path())
    }

    pub async fn end(self) {
        self.writer.close().await;
    }

    fn texts(&mut self) -> (Vec<u128>, Vec<Event>) {
        let count = 1 + self.dice.below(4) as u128;
        let ids: Vec<_> = (self.next_id..self.next_id + count).collect();
        self.next_id += count;
        // Some go to pages of their own beside the row.
        let mut words = |id: &u128| format!("{id} {}", "words ".repeat(self.dice.below(700)));
        let events = ids.iter().map(|id| text(*id, "highways", "+447700900123", at(super::super::NOW), &words(id)));
        (ids.clone(), events.collect())
    }

    async fn append(&mut self, content: &mut Content) {
        let (ids, events) = self.texts();
        assert_eq!(self.store.append(events).await, Ok(vec![Appended::Stored; ids.len()]));
        content.log.extend(&ids);
        content.copies.extend(&ids);
        content.known.extend(&ids);
    }

    async fn journal(&mut self, content: &mut Content) {
        let (ids, events) = self.texts();
        content.waiting.extend(events.iter().map(|event| (event.id.as_u128(), hash(&event.value))));
        let topic: Arc<str> = TOPICS[self.dice.below(TOPICS.len())].into();
        let entries = events.into_iter().map(|event| (Arc::clone(&topic), event)).collect();
        let placed = self.store.journal(entries).await.expect("journalled");
        self.waiting.extend(ids.into_iter().zip(placed.into_iter().map(|(_, position)| position)));
    }

    async fn settle(&mut self, content: &mut Content) {
        let count = 1 + self.dice.below(self.waiting.len());
        let settled: Vec<_> = self.waiting.drain(..count).collect();
        self.store.settle(settled.iter().map(|(_, position)| *position).collect()).await.expect("settled");
        content.waiting.drain(..count);
    }
}
