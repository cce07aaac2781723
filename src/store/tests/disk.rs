//! A full disk: said, survived, and over when there is space.

use std::process::Command;

use super::*;
use crate::store::Cursor;

/// A file system of 1 MiB; taken down when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` where this user may not mount.
    fn mount() -> Option<Self> {
        let folder = folder();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(folder.path()).output().ok()?;
        mounted.status.success().then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

async fn fill(store: &Store, ids: impl Iterator<Item = u128>) -> (Vec<u128>, Option<StoreError>) {
    let mut answered = Vec::new();
    for id in ids {
        let words = format!("{id} {}", "x".repeat(8_000));
        match store.append(vec![text(id, "highways", "+447700900123", at(NOW), &words)]).await {
            Ok(outcomes) => {
                assert_eq!(outcomes, [Appended::Stored]);
                answered.push(id);
            }
            Err(error) => return (answered, Some(error)),
        }
    }
    (answered, None)
}

#[tokio::test]
async fn a_full_disk_is_said_and_nothing_answered_is_lost() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("left out: a full disk needs the right to mount a small one");
        return;
    };
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0; 500 * 1024]).expect("it fits");
    let folder = disk.path().join("data");
    let Open { store, writer, clock } = open(&folder);

    let (mut answered, error) = fill(&store, 1..1_000).await;
    let error = error.expect("a megabyte is full long before");
    assert_eq!(error, StoreError::Full { folder: folder.clone() });
    assert!(error.to_string().contains("free space"), "{error}");
    assert!(!answered.is_empty());
    for _ in 0..5 {
        let id = answered.len() as u128 + 1;
        assert!(matches!(fill(&store, id..id + 1).await.1, Some(StoreError::Full { .. })), "it stays full");
    }
    assert_eq!(ids_of(&store, "highways").await, answered, "what is there can be read");

    fs::remove_file(&ballast).expect("space again");
    let next = answered.len() as u128 + 1;
    let (more, error) = fill(&store, next..next + 5).await;
    assert_eq!(error, None);
    answered.extend(more);
    let left = crashed(&folder);
    let again = super::open(left.path());
    assert_eq!(ids_of(&again.store, "highways").await, answered, "after a crash");

    let _ = fill(&store, 1_000..2_000).await;
    clock.set(at("2029-01-01T00:00:00Z"));
    // Even hollowing needs some room in the write-ahead log, so a sweep on a full disk may have to wait.
    let swept = store.sweep().await;
    assert!(matches!(swept, Ok(_) | Err(StoreError::Full { .. })), "{swept:?}");
    writer.close().await;
    drop(store);

    let (store, _writer) = Store::open(Settings::of(&folder), key(), clock).expect("opens on a full disk");
    store.read("highways", Cursor::START, 10).await.expect("reads on a full disk");
}

#[tokio::test]
async fn space_is_found_without_a_text() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("left out: a full disk needs the right to mount a small one");
        return;
    };
    let ballast = disk.path().join("ballast");
    fs::write(&ballast, vec![0; 500 * 1024]).expect("it fits");
    let Open { store, .. } = open(&disk.path().join("data"));
    assert_eq!((store.try_writing().await, store.trouble().borrow().clone()), (Ok(()), None));
    let (_, full) = fill(&store, 1..1_000).await;
    assert_eq!(*store.trouble().borrow(), full);
    let full = full.expect("a megabyte is full long before");
    assert_eq!(store.try_writing().await, Err(full.clone()));
    assert_eq!(*store.trouble().borrow(), Some(full));
    fs::remove_file(&ballast).expect("space again");
    assert_eq!((store.try_writing().await, store.trouble().borrow().clone()), (Ok(()), None));
}
