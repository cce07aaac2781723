//! The journal of this volume, where there is one.
//!
//! Always true: what waits in journals elsewhere is not seen, and that is said.

use std::ops::ControlFlow;
use std::path::Path;

use super::ReconcileError;
use super::collection::{Collection, Seen};
use super::glance::Glance;
use super::ledger::{TooMany, WAITING};
use crate::store::{Found, Reader, StoreError};

/// Notes what waits of the window. Blocks.
pub(super) fn gather(folder: &Path, mut collection: Collection) -> Result<Collection, ReconcileError> {
    let reader = match Reader::open(folder) {
        Ok(reader) => reader,
        Err(StoreError::Missing { .. }) => {
            collection.notes.push("no journal is here: what waits in other instances is not seen".to_owned());
            return Ok(collection);
        }
        Err(error) => return Err(error.into()),
    };
    let (window, mut result) = (collection.window, Ok(()));
    reader.journalled(window.since, window.until, &mut |found| {
        result = note(&mut collection, &found);
        if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    result?;
    Ok(collection)
}

fn note(collection: &mut Collection, found: &Found<'_>) -> Result<(), TooMany> {
    let Found::Waiting { id, kind, received_at, value } = found else { return Ok(()) };
    let seen = Seen { id: *id, kind: *kind, received_at: *received_at, value: Glance::at(value) };
    collection.take(&seen, WAITING, false).map(drop)
}

/// Marks what looked missing and waits, whenever it was received. Blocks.
pub(super) fn look_for_missing(folder: &Path, collection: &mut Collection) -> Result<(), ReconcileError> {
    // Without a journal there is nothing to find; that has been noted.
    let Ok(reader) = Reader::open(folder) else { return Ok(()) };
    for id in collection.ledger.unaccounted() {
        if reader.is_waiting(id)? {
            collection.ledger.mark_known(id, WAITING);
        }
    }
    Ok(())
}
