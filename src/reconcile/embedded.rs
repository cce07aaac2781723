//! The standalone profile: one file has it all, in one moment.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::collection::{Collection, Seen};
use super::findings::Kind;
use super::glance::Glance;
use super::ledger::{COPIED, EXPECTED, LOGGED, NAMED, TEXT, TooMany, WAITING};
use super::{ReconcileError, Verdict, Window};
use crate::message::Timestamp;
use crate::store::{Found, Reader};

/// After this time the log may have given up rows of some kinds.
const ROWS_KEPT_MIN: jiff::SignedDuration = jiff::SignedDuration::from_hours(24);

/// Where the embedded store is.
#[derive(Debug, Clone)]
pub struct Embedded {
    pub folder: PathBuf,
    /// How long the log keeps its rows.
    pub feed_retention: Duration,
    pub ids_max: usize,
}

impl Embedded {
    pub(super) async fn judge(
        &self,
        window: Window,
        now: Timestamp,
        stop: &CancellationToken,
    ) -> Result<Verdict, ReconcileError> {
        let (embedded, stop) = (self.clone(), stop.clone());
        let judged = tokio::task::spawn_blocking(move || embedded.judge_blocking(window, now, &stop)).await;
        // It ends without a word only when the runtime does.
        judged.unwrap_or(Err(ReconcileError::Stopped))
    }

    fn judge_blocking(
        &self,
        window: Window,
        now: Timestamp,
        stop: &CancellationToken,
    ) -> Result<Verdict, ReconcileError> {
        if now.checked_sub(self.feed_retention).is_ok_and(|kept_since| window.since <= kept_since) {
            let days = self.feed_retention.as_secs() / 86_400;
            return Ok(Verdict::TooLate(format!("the log keeps its rows {days} days (publish.feed_retention_days)")));
        }
        let reader = Reader::open(&self.folder)?;
        let mut collection = Collection::new(window, now, self.ids_max, false);
        let mut result = Ok(());
        reader.hour(window.since, window.until, &mut |found| {
            result = if stop.is_cancelled() {
                Err(ReconcileError::Stopped)
            } else {
                note(&mut collection, &found).map_err(ReconcileError::from)
            };
            if result.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        result?;
        match collection.pieces_waiting() {
            0 => Ok(Verdict::Judged(collection.conclude())),
            waiting => Ok(Verdict::NotYet(format!("{waiting} pieces of long texts wait for the others"))),
        }
    }
}

fn note(collection: &mut Collection, found: &Found<'_>) -> Result<(), TooMany> {
    match found {
        Found::Logged { id, kind, received_at, value, remembered } => {
            let value = value.and_then(Glance::at);
            let seen = Seen { id: *id, kind: *kind, received_at: *received_at, value };
            let is_text = collection.take(&seen, LOGGED, kind.is_audited())?;
            if !remembered && (is_text || collection.window.contains(*received_at)) {
                collection.findings.add(Kind::Unremembered, Some(*id), "a retry would be taken for a new text");
            }
        }
        // One transaction writes copy and log; here the copies are found by department and by id alike.
        Found::Copied { id, logged } => {
            let logged = if *logged { LOGGED } else { 0 };
            collection.ledger.mark(*id, TEXT | COPIED | NAMED | logged)?;
        }
        Found::Gone { below: true, .. } if is_old(collection) => {}
        Found::Gone { id, .. } => collection.ledger.mark(*id, EXPECTED | TEXT)?,
        Found::Missing { position } => {
            collection.findings.add(Kind::Lost, None, format!("position {position} of the log holds nothing"));
        }
        Found::Waiting { id, kind, received_at, value } => {
            let seen = Seen { id: *id, kind: *kind, received_at: *received_at, value: Glance::at(value) };
            collection.take(&seen, WAITING, false)?;
        }
    }
    Ok(())
}

fn is_old(collection: &Collection) -> bool {
    collection.now >= collection.window.until + ROWS_KEPT_MIN
}
