//! The book: what was sent and what was acknowledged, on disk before anybody counts it.
//!
//! Comes in: texts as they are sent and answered. Goes out: the same, in the order it happened, read
//! back from the file. Always true: a line is written (not buffered) before the request leaves, and
//! after a 200 before anything follows from it; so if text 1's `A` stands before text 2's `S`, text 2
//! was sent after text 1 was answered. Not here: what any of it means (`judge`).
//!
//! ```text
//! S sender sequence replica ms    sent for the first time, to that replica
//! X sender sequence               another replica got it too: its place in the order is anybody's
//! A sender sequence replica ms    answered 200 for the first time
//! ```

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Context;

use crate::script::Key;

/// The book while it is written.
pub struct Book {
    path: PathBuf,
    file: Mutex<File>,
    began: Instant,
    sent: AtomicU64,
    acknowledged: AtomicU64,
}

/// One line of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    Sent { key: Key, replica: usize, at_ms: u64 },
    Crossed { key: Key },
    Acknowledged { key: Key, replica: usize, at_ms: u64 },
}

impl Book {
    pub fn create(path: PathBuf) -> anyhow::Result<Self> {
        let file = File::create_new(&path).with_context(|| format!("{} cannot be made", path.display()))?;
        let (sent, acknowledged) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self { path, file: Mutex::new(file), began: Instant::now(), sent, acknowledged })
    }

    /// Time since the run began; what the faults are dated by as well.
    pub fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub fn sent(&self, keys: &[Key], replica: usize) {
        let at_ms = self.now_ms();
        self.write(keys, |key| format!("S {} {} {replica} {at_ms}\n", key.sender, key.sequence));
        self.sent.fetch_add(keys.len() as u64, Ordering::Relaxed);
    }

    pub fn crossed(&self, keys: &[Key]) {
        self.write(keys, |key| format!("X {} {}\n", key.sender, key.sequence));
    }

    pub fn acknowledged(&self, keys: &[Key], replica: usize) {
        let at_ms = self.now_ms();
        self.write(keys, |key| format!("A {} {} {replica} {at_ms}\n", key.sender, key.sequence));
        self.acknowledged.fetch_add(keys.len() as u64, Ordering::Relaxed);
    }

    /// Sent and acknowledged so far.
    pub fn counts(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.acknowledged.load(Ordering::Relaxed))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All lines of a request in one write.
    fn write(&self, keys: &[Key], line: impl Fn(&Key) -> String) {
        let lines: String = keys.iter().map(line).collect();
        let mut file = self.file.lock().expect("nobody panics while writing");
        file.write_all(lines.as_bytes()).expect("a ledger that cannot write its book is worth nothing");
    }
}

/// Reads a book in the order it was written.
pub fn read(path: &Path) -> anyhow::Result<impl Iterator<Item = anyhow::Result<Line>>> {
    let file = File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(BufReader::new(file).lines().map(|line| {
        let line = line?;
        parse(&line).with_context(|| format!("the book has a line {line:?}"))
    }))
}

fn parse(line: &str) -> Option<Line> {
    let mut words = line.split(' ');
    let kind = words.next()?;
    let mut number = || words.next()?.parse::<u64>().ok();
    let key = Key { sender: u32::try_from(number()?).ok()?, sequence: u32::try_from(number()?).ok()? };
    let mut place = || Some((usize::try_from(number()?).ok()?, number()?));
    match kind {
        "S" => place().map(|(replica, at_ms)| Line::Sent { key, replica, at_ms }),
        "X" => Some(Line::Crossed { key }),
        "A" => place().map(|(replica, at_ms)| Line::Acknowledged { key, replica, at_ms }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back_in_order() {
        let path = std::env::temp_dir().join(format!("ledger-book-{}", std::process::id()));
        let book = Book::create(path.clone()).expect("a book");
        let keys = [Key { sender: 1, sequence: 2 }, Key { sender: 3, sequence: 4 }];
        book.sent(&keys, 0);
        book.crossed(&keys[..1]);
        book.acknowledged(&keys[1..], 1);
        assert_eq!(book.counts(), (2, 1));
        let lines: Vec<Line> = read(&path).expect("a file").map(|line| line.expect("a line")).collect();
        std::fs::remove_file(&path).expect("removed");
        assert!(matches!(lines[0], Line::Sent { key, replica: 0, .. } if key == keys[0]));
        assert!(matches!(lines[2], Line::Crossed { key } if key == keys[0]));
        assert!(matches!(lines[3], Line::Acknowledged { key, replica: 1, .. } if key == keys[1]));
        assert_eq!(lines.len(), 4);
    }
}
