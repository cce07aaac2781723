//! Files that the settings name, read without waiting for anybody, and what tells that one has changed.
//!
//! A pipe's reader waits for a writer who may never come, and some devices never end: only a regular
//! file is read, whatever links lead to it.

use std::fs::{File, FileType};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// Largest secret or certificate with its chain, in bytes: what is larger is something else.
const SMALL_MAX: u64 = 1 << 20;

/// The whole content of a regular file; anything else is an error that says what it is.
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    read_within(path, u64::MAX)
}

/// The same of a file that holds a secret or certificates: one that is larger than any is an error too.
pub fn read_small(path: &Path) -> io::Result<Vec<u8>> {
    read_within(path, SMALL_MAX)
}

fn read_within(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    // Looked at before it is opened, because opening some devices does something; and again after, for
    // another may have taken its place. Without NONBLOCK the opening of such a pipe would wait.
    must_be_regular(std::fs::metadata(path)?.file_type())?;
    let file = File::from(rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?);
    must_be_regular(file.metadata()?.file_type())?;
    let mut content = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut content)?;
    if content.len() as u64 > max {
        return Err(io::Error::other(format!("it is larger than {max} bytes")));
    }
    Ok(content)
}

/// What tells that a file has changed, following links: a swapped directory shows too. The time of
/// change is the file system's own, so an edit shows whose length and time of modification are as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// `None` when the file cannot be looked at. Blocks.
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            length: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

/// A file, and what it was when it was about to be read: what comes in between is seen as a change.
#[derive(Debug, Clone)]
pub struct Stamped {
    path: PathBuf,
    stamp: Option<Stamp>,
}

impl Stamped {
    pub fn now(path: PathBuf) -> Self {
        Self { stamp: Stamp::of(&path), path }
    }

    pub fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }

    /// What it is by now.
    pub fn look(&self) -> Option<Stamp> {
        Stamp::of(&self.path)
    }
}

fn must_be_regular(found: FileType) -> io::Result<()> {
    let kind = match found {
        found if found.is_file() => return Ok(()),
        found if found.is_dir() => "a folder",
        found if found.is_fifo() => "a named pipe",
        found if found.is_socket() => "a socket",
        found if found.is_char_device() || found.is_block_device() => "a device",
        _ => "something else",
    };
    Err(io::Error::other(format!("it is {kind}, not a regular file")))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn what_is_no_regular_file_is_named_at_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "content").expect("a file");
        std::os::unix::fs::symlink("file", path("link")).expect("a link");
        for name in ["file", "link"] {
            assert_eq!(read_regular(&path(name)).expect("a file"), b"content", "{name}");
        }
        let made = Command::new("mkfifo").arg(path("pipe")).status().expect("mkfifo");
        assert!(made.success());
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).expect("a socket");
        for (path, kind) in [
            (path("pipe"), "a named pipe"),
            (path("socket"), "a socket"),
            (folder.path().to_owned(), "a folder"),
            ("/dev/zero".into(), "a device"),
        ] {
            let error = read_regular(&path).expect_err("no file");
            assert!(error.to_string().contains(kind), "{error}");
        }
        std::fs::write(path("large"), vec![b'x'; (1 << 20) + 1]).expect("a file");
        assert_eq!(read_regular(&path("large")).expect("a file").len(), (1 << 20) + 1);
        let error = read_small(&path("large")).expect_err("too large for a secret");
        assert!(error.to_string().contains("larger than 1048576 bytes"), "{error}");
        assert_eq!(read_regular(&path("nothing")).expect_err("nothing").kind(), io::ErrorKind::NotFound);
    }
}
