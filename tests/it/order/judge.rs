//! Whether any text was answered 200 before it was on the disk.
//!
//! Texts carry marks. A mark is asked for when it is read from a socket; written when a page with it is
//! in the write-ahead log; committed when the last frame of that transaction is; safe when an fsync
//! that began after that has returned. A 200 on the socket may begin only when all marks read from that
//! socket are safe.

use std::collections::{BTreeSet, HashMap};

use super::calls::{Call, Moment};

/// Head of a frame of the write-ahead log: bytes 4 to 8 are not zero in the last frame of a commit
/// (<https://www.sqlite.org/fileformat2.html#walformat>). SQLite writes head and page apart.
const FRAME_HEAD: usize = 24;
const MARK: &[u8] = b"mark-";
const DIGITS: usize = 4;

/// The text of a number: no two have the same mark.
pub fn mark(number: usize) -> String {
    format!("mark-{number:0DIGITS$}")
}

#[derive(Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Marks answered 200.
    pub answered: BTreeSet<String>,
    /// Those of them that were not safe when the answer began.
    pub early: BTreeSet<String>,
    /// How many times the write-ahead log was made durable with something new in it.
    pub syncs: usize,
}

#[derive(Default)]
struct Disk {
    is_last_frame: bool,
    written: BTreeSet<String>,
    committed: BTreeSet<String>,
    /// By thread: what is safe when its fsync returns.
    syncing: HashMap<String, BTreeSet<String>>,
    safe: BTreeSet<String>,
}

/// Goes through a trace from its beginning.
pub fn judge(calls: &[Call]) -> Verdict {
    let mut verdict = Verdict::default();
    let mut disk = Disk::default();
    let mut asked: HashMap<&str, BTreeSet<String>> = HashMap::new();
    for call in calls {
        if call.file.ends_with("-wal") {
            disk.note(call, &mut verdict.syncs);
        } else if call.file.starts_with("socket:") {
            let asked = asked.entry(&call.file).or_default();
            match (call.name.as_str(), call.moment) {
                ("read" | "recv" | "recvfrom" | "recvmsg" | "readv", Moment::Ends) => asked.extend(marks(&call.bytes)),
                ("write" | "send" | "sendto" | "sendmsg" | "writev", Moment::Begins) => {
                    answer(std::mem::take(asked), &call.bytes, &disk, &mut verdict);
                }
                _ => {}
            }
        }
    }
    verdict
}

fn answer(asked: BTreeSet<String>, bytes: &[u8], disk: &Disk, verdict: &mut Verdict) {
    if bytes.starts_with(b"HTTP/1.1 200") {
        verdict.early.extend(asked.difference(&disk.safe).cloned());
        verdict.answered.extend(asked);
    }
}

impl Disk {
    fn note(&mut self, call: &Call, syncs: &mut usize) {
        match (call.name.as_str(), call.moment) {
            ("write" | "pwrite" | "pwrite64", Moment::Ends) => self.write(&call.bytes),
            ("fsync" | "fdatasync", Moment::Begins) => {
                self.syncing.insert(call.thread.clone(), self.committed.clone());
            }
            ("fsync" | "fdatasync", Moment::Ends) if call.returned == Some(0) => {
                let now_safe = self.syncing.remove(&call.thread).unwrap_or_default();
                *syncs += usize::from(!now_safe.is_subset(&self.safe));
                self.safe.extend(now_safe);
            }
            _ => {}
        }
    }

    fn write(&mut self, bytes: &[u8]) {
        if bytes.len() == FRAME_HEAD {
            self.is_last_frame = bytes[4..8] != [0; 4];
            return;
        }
        self.written.extend(marks(bytes));
        if std::mem::take(&mut self.is_last_frame) {
            self.committed.append(&mut self.written);
        }
    }
}

fn marks(bytes: &[u8]) -> impl Iterator<Item = String> {
    let candidates = bytes.windows(MARK.len() + DIGITS).filter(|window| window.starts_with(MARK));
    candidates
        .filter(|mark| mark[MARK.len()..].iter().all(u8::is_ascii_digit))
        .map(|mark| String::from_utf8_lossy(mark).into_owned())
}

#[cfg(test)]
mod tests {
    use super::super::calls::calls;
    use super::*;

    fn hexadecimal(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect()
    }

    /// One line of a trace, from a short form: `thread call file: what`.
    fn line(short: &str) -> String {
        let (call, what) = short.split_once(':').expect("a short form");
        let words: Vec<_> = call.split(' ').collect();
        let [thread, name, file] = words[..] else { panic!("{short}") };
        let file = match file {
            "wal" => hexadecimal(b"/data/sms-router.sqlite-wal"),
            number => hexadecimal(format!("socket:[{number}]").as_bytes()),
        };
        let what = what.trim();
        let bytes = match what {
            "last" => [0, 0, 0, 1, 0, 0, 0, 9].into_iter().chain([0; 16]).collect(),
            "more" => vec![0; FRAME_HEAD],
            words => words.as_bytes().to_vec(),
        };
        match name {
            "fsync-" => format!("{thread} fsync(7<{file}> <unfinished ...>"),
            "-fsync" => format!("{thread} <... fsync resumed>)              = {what}"),
            name => format!("{thread} {name}(7<{file}>, \"{}\", 1) = 1", hexadecimal(&bytes)),
        }
    }

    #[test]
    fn an_answer_is_early_unless_a_sync_begun_after_the_commit_has_returned() {
        const ASK: [&str; 1] = ["1 recvfrom 5: POST mark-0001"];
        const WRITE: [&str; 4] =
            ["2 pwrite64 wal: more", "2 pwrite64 wal: x mark-0001", "2 pwrite64 wal: last", "2 pwrite64 wal: y"];
        const SYNC: [&str; 2] = ["2 fsync- wal: ", "2 -fsync wal: 0"];
        const OK: [&str; 1] = ["1 writev 5: HTTP/1.1 200 OK"];
        let failed = [SYNC[0], "2 -fsync wal: -1"];
        let rows: [(&str, &[&[&str]], bool); 9] = [
            ("as it should be", &[&ASK, &WRITE, &SYNC, &OK], false),
            ("no sync", &[&ASK, &WRITE, &OK], true),
            ("a sync too late", &[&ASK, &WRITE, &OK, &SYNC], true),
            ("a sync under way", &[&ASK, &WRITE, &SYNC[..1], &OK, &SYNC[1..]], true),
            (
                "a sync that began before the commit",
                &[&ASK, &WRITE[..2], &SYNC[..1], &WRITE[2..], &SYNC[1..], &OK],
                true,
            ),
            ("a sync that failed", &[&ASK, &WRITE, &failed, &OK], true),
            ("a sync of half a transaction", &[&ASK, &WRITE[..2], &SYNC, &OK], true),
            ("never written", &[&ASK, &SYNC, &OK], true),
            ("another's row", &[&["1 recvfrom 5: POST mark-0002"], &WRITE, &SYNC, &OK], true),
        ];
        for (name, parts, early) in rows {
            let trace: Vec<_> = parts.concat().into_iter().map(line).collect();
            let verdict = judge(&calls(&trace.join("\n")));
            assert_eq!(verdict.answered.len(), 1, "{name}");
            assert_eq!(!verdict.early.is_empty(), early, "{name}");
        }
    }

    #[test]
    fn a_refusal_promises_nothing() {
        let trace = [line("1 recvfrom 5: POST mark-0001"), line("1 writev 5: HTTP/1.1 503 no")];
        assert_eq!(judge(&calls(&trace.join("\n"))), Verdict::default());
    }
}
