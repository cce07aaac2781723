//! The write-ahead log cut anywhere: the commits that are whole are there, and no half of another.

use super::rounds;
use super::story::{Dice, FRAME, FRAME_HEADER, Image, Story, WAL_HEADER};

/// What the disk has of the log from a byte on.
#[derive(Debug, Clone, Copy)]
enum Tail {
    /// The file was never made longer.
    Missing,
    /// It was made longer, and its blocks were not written.
    Zero,
    /// Blocks of something else.
    Garbage,
}

fn cut(whole: &Image, at: usize, tail: Tail, dice: &mut Dice) -> Image {
    let mut image = whole.clone();
    match tail {
        Tail::Missing => image.wal.truncate(at),
        Tail::Zero => image.wal[at..].fill(0),
        Tail::Garbage => {
            let garbage = dice.bytes(whole.wal.len() - at);
            image.wal[at..].copy_from_slice(&garbage);
        }
    }
    image
}

async fn check(story: &Story, image: &Image, what: &str) {
    let commits = story.image().commits_left_in(&image.wal);
    let found = image.opened().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(found == story.prefixes[commits], "{what}: {commits} commits are whole, but {found:?} is there");
}

#[tokio::test]
async fn a_log_cut_at_any_byte_opens_with_the_commits_that_are_whole() {
    for seed in 0..rounds() {
        let mut story = Story::begin(seed).await;
        story.go_on(14).await;
        let whole = story.image();
        assert_eq!(whole.commits() + 1, story.prefixes.len(), "each is a commit of its own, still in the log");
        let dice = &mut Dice(seed);
        for frame in 0..=whole.frames() {
            let border = WAL_HEADER + frame * FRAME;
            let tail = [Tail::Missing, Tail::Zero, Tail::Garbage][dice.below(3)];
            let image = cut(&whole, border, tail, dice);
            check(&story, &image, &format!("seed {seed}, {tail:?} after frame {frame}")).await;
            let inside = (border + dice.below(FRAME)).min(whole.wal.len());
            let tail = [Tail::Missing, Tail::Zero][dice.below(2)];
            let image = cut(&whole, inside, tail, dice);
            check(&story, &image, &format!("seed {seed}, {tail:?} from byte {inside}")).await;
        }
        story.end().await;
    }
}

#[tokio::test]
async fn a_frame_that_is_missing_ends_the_log_though_later_ones_are_there() {
    for seed in 100..100 + rounds() {
        let mut story = Story::begin(seed).await;
        story.go_on(10).await;
        let whole = story.image();
        let dice = &mut Dice(seed);
        for frame in 0..whole.frames() {
            let start = WAL_HEADER + frame * FRAME;
            // A sector of the frame, its head or all of it.
            let (from, length) = match dice.below(3) {
                0 => (start + FRAME_HEADER + 512 * dice.below(8), 512),
                1 => (start, FRAME_HEADER),
                _ => (start, FRAME),
            };
            let mut image = whole.clone();
            let lost = dice.bytes(length);
            image.wal[from..from + length].copy_from_slice(&lost);
            check(&story, &image, &format!("seed {seed}, frame {frame} lost at {from}")).await;
        }
        story.end().await;
    }
}

#[tokio::test]
async fn a_log_without_its_head_is_no_log() {
    let mut story = Story::begin(7).await;
    story.go_on(5).await;
    let whole = story.image();
    for at in 0..WAL_HEADER {
        for tail in [Tail::Missing, Tail::Zero] {
            let image = cut(&whole, at, tail, &mut Dice(0));
            check(&story, &image, &format!("{tail:?} from byte {at} of the head")).await;
        }
    }
    story.end().await;
}
