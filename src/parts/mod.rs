//! Joins the pieces of long texts that carriers push one by one.
//!
//! Comes in: the entries of the stream `sms-router.parts` in log order: pieces, and the markers that
//! this room asked for. Goes out: what to do next: write a marker, publish a text, and how far the
//! stream is done with.
//! Always true: what a group consists of follows from the order of the stream alone, never from who
//! reads it or when: a group that must go out incomplete is closed by a marker *in* the stream and
//! goes out when that marker is read back. So whoever reads the stream again gives every text the same
//! id and the same words. Pieces of texts that are known to differ are never joined. Every piece is
//! followed by a marker that names it, or is held.
//! Not here: reading and writing the stream (`joiner`), which department a text belongs to.
//!
//! ```text
//!              number is new      all numbers are there, or a marker closes it
//! piece ─→ open group ─────────────────────────────→ ready ─→ published ─→ marker `sent` ─→ settled
//!            │ number is there, same words: a twin, adds nothing
//!            │ number is there, other words: the reference is used again; the group closes and
//!            │                               the piece opens the next one
//! late piece of a settled incomplete text ─→ an addendum of its own ─→ marker `sent`
//! ```
//!
//! **Restart.** State is thrown away and made again from the stream. Reading starts at
//! [`Groups::needed`] of the former reader or earlier; nothing is given out before the end of the stream
//! as it was at the start has been read ([`Groups::go_live`]), so what was sent is known by its marker.
//! What was published and not yet marked is published once more, under the same id.
//!
//! **Doubt.** After a reference was used again, a piece whose number both texts lack could belong to
//! either. It is held with the newer one, which then waits out its time even when it looks whole; if a
//! second piece with that number comes, or the text stays incomplete, pieces in doubt go out alone.

mod group;
mod groups;
mod heeding;
mod joined;
mod marker;
mod placing;
mod record;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use groups::{Groups, Todo};
pub use joined::{Joined, Outcome};
pub use marker::{Marker, MarkerRecord, PieceRef};
pub use record::{JoinKey, PartRecord, Received, is_joinable};

use crate::message::RecordError;

/// How long groups wait and how much is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// After the receipt of a text's first piece, when what is there goes out.
    pub wait: Duration,
    /// After that time, how long a late piece is still known as one.
    pub window: Duration,
    /// Groups waiting for pieces, and groups waiting to be published, at most, each.
    pub groups_max: usize,
    /// Bytes of the same, each.
    pub bytes_max: usize,
    /// Texts sent out that are remembered for their late pieces and repeats.
    pub remembered_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(600),
            window: Duration::from_secs(3600),
            groups_max: 20_000,
            bytes_max: 32 * 1024 * 1024,
            remembered_max: 100_000,
        }
    }
}

/// One entry of the stream.
#[derive(Debug)]
pub enum Entry {
    Piece(Box<PartRecord>),
    Marker(Box<MarkerRecord>),
    /// Of a type that a later release has: nothing to this one.
    Later,
}

impl Entry {
    /// The value of an event of kind `Part`.
    pub fn piece(value: &[u8]) -> Result<Self, RecordError> {
        PartRecord::from_json(value).map(|record| Self::Piece(Box::new(record)))
    }

    /// The value of an event of kind `Joined`.
    pub fn marker(value: &[u8]) -> Result<Self, RecordError> {
        MarkerRecord::from_json(value).map(|record| Self::Marker(Box::new(record)))
    }
}
