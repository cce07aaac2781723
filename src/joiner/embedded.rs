//! The stream of the embedded log, read by the one process there is.
//!
//! Comes in: entries after a cursor. Goes out: what the crew does.
//! Always true: reading begins where the last marker says, or at the start of the stream.
//! Not here: retries.

use std::time::{Duration, Instant};

use super::crew::Crew;
use super::{JoinerError, Settings, Tools};
use crate::message::topics::PARTS;
use crate::message::{EventKind, RecordError};
use crate::parts::{Entry, Groups, MarkerRecord};
use crate::store::{self, Cursor, Store};

/// Entries of one reading.
const BATCH_MAX: usize = 500;
/// Entries from the end among which the last marker is looked for first.
const TAIL: usize = 200;
/// After a commit, before reading: most commits are of texts that came whole, and one look serves many.
const GATHER: Duration = Duration::from_millis(20);
/// Longest time between two looks at the clock.
const TICK_MAX: Duration = Duration::from_secs(1);

pub(super) async fn run(settings: &Settings, store: Store, tools: Tools) -> Result<(), JoinerError> {
    let crew = Crew::new(settings, tools.clone());
    let after = start(&store).await?;
    let mut reader = Reader { store, tools, crew, groups: Groups::new(settings.groups), after, evicted: 0 };
    let result = reader.read(TICK_MAX.min(settings.groups.wait / 4)).await;
    reader.crew.finish().await;
    result
}

/// Before the oldest entry that is still needed.
async fn start(store: &Store) -> Result<Cursor, JoinerError> {
    let mut tail = TAIL;
    loop {
        let mut after = store.before_last(PARTS, tail).await?;
        let is_all = after == Cursor::START;
        let mut needed = None;
        loop {
            let entries = store.read(PARTS, after, BATCH_MAX).await?;
            let Some(last) = entries.last() else { break };
            after = last.position;
            let markers = entries.iter().filter(|entry| entry.kind == EventKind::Joined);
            let mut said = markers.filter_map(|entry| MarkerRecord::from_json(&entry.value).ok()?.needed);
            needed = said.next_back().or(needed);
        }
        match needed {
            Some(id) => return Ok(store.cursor_of(PARTS, id).await?.map_or(Cursor::START, Cursor::before)),
            None if is_all => return Ok(Cursor::START),
            None => tail *= 8,
        }
    }
}

struct Reader {
    store: Store,
    tools: Tools,
    crew: Crew,
    groups: Groups<Cursor>,
    after: Cursor,
    /// Of those in `groups`, how many are counted.
    evicted: u64,
}

impl Reader {
    async fn read(&mut self, tick: Duration) -> Result<(), JoinerError> {
        let (mut appended, mut ticked_at) = (self.store.appended(), Instant::now());
        while !self.tools.stop.is_cancelled() {
            self.crew.check()?;
            appended.borrow_and_update();
            let has_read = self.take_entries().await?;
            if ticked_at.elapsed() >= tick {
                ticked_at = Instant::now();
                self.groups.tick(self.tools.clock.now());
            }
            let has_begun = self.crew.serve(&mut self.groups);
            self.show();
            if has_read || has_begun {
                continue;
            }
            tokio::select! {
                () = self.tools.stop.cancelled() => {}
                () = self.crew.freed() => {}
                () = tokio::time::sleep(tick) => {}
                changed = appended.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    tokio::time::sleep(GATHER).await;
                }
            }
        }
        Ok(())
    }

    /// Whether there were any.
    async fn take_entries(&mut self) -> Result<bool, JoinerError> {
        if self.groups.is_full() {
            return Ok(false);
        }
        let entries = self.store.read(PARTS, self.after, BATCH_MAX).await?;
        if entries.is_empty() {
            self.groups.go_live();
            return Ok(false);
        }
        for entry in entries {
            self.after = entry.position;
            match understand(&entry) {
                Ok(understood) => self.groups.read(entry.position, understood, self.tools.clock.now()),
                Err(error) => self.crew.bury(entry.value, error.to_string(), || ()).await,
            }
        }
        Ok(true)
    }

    fn show(&mut self) {
        let metrics = &self.tools.metrics;
        metrics.pieces_held.set(i64::try_from(self.groups.held_pieces()).unwrap_or(i64::MAX));
        metrics.texts_open.set(i64::try_from(self.groups.open_groups()).unwrap_or(i64::MAX));
        metrics.texts_evicted.inc_by(self.groups.evicted() - self.evicted);
        self.evicted = self.groups.evicted();
    }
}

fn understand(entry: &store::Entry) -> Result<Entry, RecordError> {
    match entry.kind {
        EventKind::Joined => Entry::marker(&entry.value),
        _ => Entry::piece(&entry.value),
    }
}
