//! Power lost while the write-ahead log is copied into the database, and when it begins anew.
//!
//! SQLite makes the log durable, copies its pages into the database, makes that durable, and only
//! then writes the log anew from its head, which is durable before the frames after it. So a database
//! with any part of the copy, beside the whole log, is nothing lost; and so is a log whose front is new
//! and whose rest is old, beside the whole database.

use rusqlite::Connection;

use super::rounds;
use super::story::{Dice, FRAME, Image, PAGE, Story, WAL_HEADER};

const SECTOR: usize = 512;

/// What another connection of the same process does when the log has grown long.
fn checkpoint(story: &Story) {
    let beside = Connection::open(story.folder.path().join("sms-router.sqlite")).expect("a connection");
    let blocked: i64 = beside.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get(0)).expect("a checkpoint");
    assert_eq!(blocked, 0);
}

/// Blocks of either, as chance has it; the file as long as one of them.
fn mixed(old: &[u8], new: &[u8], block: usize, dice: &mut Dice) -> Vec<u8> {
    let length = if dice.coin() { old.len() } else { new.len() };
    let mut mixed = vec![0; length];
    for start in (0..length).step_by(block) {
        let source = if dice.coin() { old } else { new };
        let end = (start + block).min(length);
        // What lies past the end of the old file was never written: zeros.
        if let Some(bytes) = source.get(start..end) {
            mixed[start..end].copy_from_slice(bytes);
        }
    }
    mixed
}

#[tokio::test]
async fn any_part_of_a_checkpoint_beside_the_whole_log_loses_nothing() {
    for seed in 200..200 + rounds() {
        let mut story = Story::begin(seed).await;
        // Twice, so that old pages are not all empty ones.
        for _ in 0..2 {
            story.go_on(12).await;
            let before = story.image();
            checkpoint(&story);
            let after = story.image();
            assert!(before.database != after.database && before.wal == after.wal, "pages were copied");
            any_mixture(&story, &before, &after, seed).await;
        }
        story.end().await;
    }
}

async fn any_mixture(story: &Story, before: &Image, after: &Image, seed: u64) {
    let dice = &mut Dice(seed);
    for case in 0..30 {
        let block = [SECTOR, PAGE][case % 2];
        let database = mixed(&before.database, &after.database, block, dice);
        let image = Image { database, wal: after.wal.clone() };
        let found = image.opened().await.unwrap_or_else(|error| panic!("seed {seed}, case {case}: {error}"));
        assert_eq!(found, *story.prefixes.last().expect("commits"), "seed {seed}, case {case}");
    }
}

#[tokio::test]
async fn a_log_begun_anew_and_cut_anywhere_is_the_checkpoint_and_a_prefix() {
    for seed in 300..300 + rounds() {
        let mut story = Story::begin(seed).await;
        story.go_on(10).await;
        checkpoint(&story);
        let old = story.image();
        let settled = story.prefixes.len() - 1;
        story.go_on(8).await;
        let new = story.image();
        assert_eq!(old.database, new.database, "only the log was written");
        assert_ne!(old.wal[..WAL_HEADER], new.wal[..WAL_HEADER], "and from its head");
        let dice = &mut Dice(seed);
        let cuts = (0..=new.frames()).map(|frame| WAL_HEADER + frame * FRAME);
        // Before the head is durable no frame is written, so the old ones are behind whatever there is of it.
        let cuts = cuts.flat_map(|border| [border, border + dice.below(FRAME)]).chain(1..WAL_HEADER);
        for at in cuts.map(|at| at.min(WAL_HEADER + new.frames() * FRAME)) {
            let mut wal = old.wal.clone();
            wal.resize(new.wal.len().max(old.wal.len()), 0);
            wal[..at].copy_from_slice(&new.wal[..at]);
            let commits = settled + new.commits_left_in(&wal);
            let image = Image { database: new.database.clone(), wal };
            let found = image.opened().await.unwrap_or_else(|error| panic!("seed {seed}, byte {at}: {error}"));
            assert!(found == story.prefixes[commits], "seed {seed}, new up to byte {at}: {found:?}");
        }
        story.end().await;
    }
}
