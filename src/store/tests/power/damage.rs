//! A database that is damaged, which no power cut does to an honest disk: refused by name, or nothing
//! of what waits in the journal is missing or changed.

use super::rounds;
use super::story::{Content, Dice, Image, PAGE, Story};
use crate::store::StoreError;

/// The number that tells which release wrote the file, in its first page.
const VERSION: std::ops::Range<usize> = 60..64;

async fn closed_story(seed: u64) -> (Image, Content) {
    let mut story = Story::begin(seed).await;
    story.go_on(20).await;
    let folder = story.folder.path().to_owned();
    let kept = story.prefixes.last().expect("commits").clone();
    let Story { folder: _guard, store, .. } = &story;
    assert!(store.sweep().await.expect("a sweep").settled, "everything is in the database");
    let image = Image::of(&folder);
    assert!(image.wal.is_empty());
    story.end().await;
    (image, kept)
}

/// Whether the file was refused. Otherwise what waits must be what waited.
async fn is_refused(image: &Image, kept: &Content, what: &str) -> bool {
    match image.opened().await {
        Ok(found) => {
            assert_eq!(found.waiting, kept.waiting, "{what}");
            false
        }
        Err(error) => {
            assert!(error.to_string().contains("sms-router.sqlite"), "{what}: {error}");
            assert!(matches!(error, StoreError::Corrupt { .. }), "{what}: {error:?}");
            true
        }
    }
}

/// A page of zeros or of something else in its place.
fn without(whole: &Image, page: usize, dice: &mut Dice) -> Image {
    let mut image = whole.clone();
    let lost = if dice.coin() { vec![0; PAGE] } else { dice.bytes(PAGE) };
    image.database[page * PAGE..(page + 1) * PAGE].copy_from_slice(&lost);
    image
}

#[tokio::test]
async fn a_page_that_is_lost_is_refused_at_start() {
    for seed in 400..400 + rounds() {
        let (whole, kept) = closed_story(seed).await;
        let pages = whole.database.len() / PAGE;
        let dice = &mut Dice(seed);
        let mut refused = 0;
        // The first page says what file this is.
        for page in 1..pages {
            let image = without(&whole, page, dice);
            refused += usize::from(is_refused(&image, &kept, &format!("seed {seed}, page {page}")).await);
        }
        assert!(
            refused * 10 >= (pages - 1) * 5,
            "seed {seed}: {refused} of {pages}: only free pages and words may differ"
        );
        let mut image = whole.clone();
        image.database.truncate((pages - 1) * PAGE);
        assert!(is_refused(&image, &kept, "the last page").await);
    }
}

#[tokio::test]
async fn a_flipped_bit_never_changes_what_waits() {
    for seed in 500..500 + rounds() {
        let (whole, kept) = closed_story(seed).await;
        let dice = &mut Dice(seed);
        let bytes: Vec<_> = (0..150).map(|_| dice.below(whole.database.len())).collect();
        for byte in bytes.into_iter().filter(|byte| !VERSION.contains(byte)) {
            let mut image = whole.clone();
            image.database[byte] ^= 1 << dice.below(8);
            is_refused(&image, &kept, &format!("seed {seed}, byte {byte}")).await;
        }
    }
}
