//! What is over leaves: audit copies and ids after 12 calendar months, feed rows and dead letters
//! after their retention, and their bytes out of the files.
//!
//! Comes in: the time and the retentions. Goes out: how many rows were over.
//! Always true: every step is one short transaction of the writer, so texts coming in wait for a step
//! and not for the sweep; after a settled sweep no byte of what was over is in any file of the store.
//! Not here: when to sweep.
//!
//! Deleting is not enough, even with `secure_delete`: that overwrites a row where it is, but when a
//! page grows empty SQLite moves rows of its neighbours together, and the bytes a moved row leaves
//! behind stay in the free space of its old page. When the row itself is deleted later, those stay
//! (measured: 19 of 28,000 texts). So a row whose time is over is first made *hollow*: its content is
//! overwritten with as many zeros, which moves nothing. Hollow rows are deleted later, and only
//! below all living ones and a margin, so that no living row is ever moved: rows are only appended,
//! and appending moves none either. The indexes hold keyed hashes, names and times, nothing a person wrote.

use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use tokio::sync::oneshot;

use super::Store;
use super::append::code_of;
use super::error::{Fault, StoreError};
use super::feed::Cursor;
use super::files::BUSY_TIMEOUT;
use super::journal;
use super::waiting::JournalState;
use super::writer::Work;
use crate::message::{EventKind, Timestamp};

/// Rows of one step.
const STEP_ROWS_MAX: usize = 500;
/// Pages that one step gives back to the file system.
const STEP_PAGES_MAX: usize = 256;
/// Hollow rows kept between the deleted and the living. A page holds fewer than 80 rows (the smallest
/// takes 50 of its 4,096 bytes), and SQLite evens out at most three pages at a time.
pub(super) const HOLLOW_KEPT: usize = 512;
/// How often a sweep tries to empty the write-ahead log while readers are in the way.
const SETTLE_ATTEMPTS_MAX: usize = 5;
const SETTLE_PAUSE: Duration = Duration::from_millis(200);
/// How long one try may hold up the writer.
const SETTLE_WAIT: Duration = Duration::from_millis(100);

/// How long pieces of long texts are kept, joined or not: longer than any of them can be waited for.
const PARTS_RETENTION: Duration = Duration::from_secs(72 * 60 * 60);
/// How long synthetic texts are kept.
const PROBE_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// What a sweep did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    pub audit_copies: u64,
    /// All of the log but dead letters.
    pub feed_rows: u64,
    pub dead_letters: u64,
    /// Whether the write-ahead log is empty, so that no bytes of old rows are left in it. When a
    /// long-running reader was in the way, the next sweep tries again.
    pub settled: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Table {
    Log,
    Audit,
}

/// One short piece of a sweep.
#[derive(Debug)]
pub(super) enum Step {
    /// Audit copies, and whatever else has the ids, past their expiry.
    Expired { now: Timestamp },
    /// Rows of the log received at `until` or before.
    Aged { kind: EventKind, until: Timestamp },
    /// Hollow rows at `position` and below.
    Remove { table: Table, position: i64 },
    /// Settled entries of the journal; what waits is not touched.
    Spent,
    /// Free pages back to the file system.
    Shrink,
    /// The write-ahead log into the database, and emptied.
    Settle,
}

/// What a step did, and whether the same step has more to do.
#[derive(Debug, Default)]
pub(super) struct Progress {
    rows: u64,
    more: bool,
}

impl AddAssign for Progress {
    fn add_assign(&mut self, step: Self) {
        self.rows += step.rows;
        self.more = step.more;
    }
}

impl Store {
    /// Removes what is over, in short steps between the commits. One sweep runs at a time. A sweep
    /// that failed or was dropped half-way is made good by the next.
    pub async fn sweep(&self) -> Result<Swept, StoreError> {
        let _one_at_a_time = self.0.sweeping.lock().await;
        let now = self.0.clock.now();
        let mut swept = Swept { audit_copies: self.repeat(move || Step::Expired { now }).await?, ..Swept::default() };
        for kind in EventKind::ALL {
            let until = before(now, self.retention(kind));
            let rows = self.repeat(move || Step::Aged { kind, until }).await?;
            match kind {
                EventKind::DeadLetter => swept.dead_letters += rows,
                _ => swept.feed_rows += rows,
            }
        }
        for table in [Table::Log, Table::Audit] {
            if let Some(position) = self.0.pool.ask(move |connection| removable(connection, table)).await? {
                self.repeat(move || Step::Remove { table, position }).await?;
            }
        }
        self.repeat(|| Step::Spent).await?;
        self.repeat(|| Step::Shrink).await?;
        Ok(Swept { settled: self.empty_wal().await?, ..swept })
    }

    /// How long an event of the kind can be read in the log.
    fn retention(&self, kind: EventKind) -> Duration {
        let settings = &self.0.settings;
        match kind {
            EventKind::Message | EventKind::Consent | EventKind::Addendum => settings.feed_retention,
            EventKind::DeadLetter | EventKind::Replayed => settings.dead_letter_retention,
            EventKind::Part | EventKind::Joined => PARTS_RETENTION,
            EventKind::Probe => PROBE_RETENTION,
        }
    }

    async fn empty_wal(&self) -> Result<bool, StoreError> {
        for attempt in 1..=SETTLE_ATTEMPTS_MAX {
            if !self.tidy(Step::Settle).await?.more {
                return Ok(true);
            }
            if attempt < SETTLE_ATTEMPTS_MAX {
                tokio::time::sleep(SETTLE_PAUSE).await;
            }
        }
        Ok(false)
    }

    async fn repeat(&self, step: impl Fn() -> Step) -> Result<u64, StoreError> {
        let mut progress = Progress { rows: 0, more: true };
        while progress.more {
            progress += self.tidy(step()).await?;
        }
        Ok(progress.rows)
    }

    async fn tidy(&self, step: Step) -> Result<Progress, StoreError> {
        let (answer, done) = oneshot::channel();
        self.0.queue.send(Work::Tidy(step, answer)).await.map_err(|_| StoreError::Closed)?;
        done.await.map_err(|_| StoreError::Closed)?
    }
}

fn before(now: Timestamp, retention: Duration) -> Timestamp {
    now.checked_sub(retention).unwrap_or(Timestamp::MIN)
}

/// One step, on the writer's thread.
pub(super) fn tidy(
    connection: &mut Connection,
    step: &Step,
    journal: &mut Arc<JournalState>,
) -> Result<Progress, Fault> {
    match step {
        Step::Expired { now } => expire(connection, *now),
        Step::Aged { kind, until } => age(connection, *kind, *until),
        Step::Remove { table, position } => remove(connection, *table, *position),
        Step::Spent => Ok(Progress { rows: 0, more: journal::remove(connection, journal, STEP_ROWS_MAX)? }),
        Step::Shrink => shrink(connection),
        Step::Settle => settle(connection),
    }
}

fn expire(connection: &mut Connection, now: Timestamp) -> Result<Progress, Fault> {
    let over = params![now.as_millisecond(), STEP_ROWS_MAX as i64];
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let copies = transaction
        .prepare_cached(
            "UPDATE audit SET hollow = 1, sender_hash = zeroblob(length(sender_hash)), content = zeroblob(length(content))
             WHERE hollow = 0 AND position IN
                (SELECT position FROM ids WHERE expires_at <= ?1 ORDER BY expires_at, id LIMIT ?2)",
        )?
        .execute(over)?;
    // No row of the feed outlives the audit copy, whatever the retention says.
    transaction
        .prepare_cached(
            "UPDATE log SET hollow = 1, value = zeroblob(length(value)) WHERE hollow = 0 AND position IN
                (SELECT position FROM ids WHERE expires_at <= ?1 ORDER BY expires_at, id LIMIT ?2)",
        )?
        .execute(over)?;
    // Nothing in it is personal, so a row needs no shell; one whose copy an older build took away goes by its own time.
    let shared = transaction
        .prepare_cached(
            "DELETE FROM audit_departments WHERE (department, received_at, position) IN
                (SELECT department, received_at, position FROM audit_departments WHERE expires_at <= ?1
                 ORDER BY expires_at, position LIMIT ?2)",
        )?
        .execute(over)?;
    let ids = transaction
        .prepare_cached(
            "DELETE FROM ids WHERE id IN (SELECT id FROM ids WHERE expires_at <= ?1 ORDER BY expires_at, id LIMIT ?2)",
        )?
        .execute(over)?;
    transaction.commit()?;
    Ok(Progress { rows: copies as u64, more: ids == STEP_ROWS_MAX || shared == STEP_ROWS_MAX })
}

fn age(connection: &Connection, kind: EventKind, until: Timestamp) -> Result<Progress, Fault> {
    let rows = connection
        .prepare_cached(
            "UPDATE log SET hollow = 1, value = zeroblob(length(value)) WHERE position IN
                (SELECT position FROM log WHERE kind = ?1 AND hollow = 0 AND received_at <= ?2
                 ORDER BY received_at LIMIT ?3)",
        )?
        .execute(params![code_of(kind), until.as_millisecond(), STEP_ROWS_MAX as i64])?;
    Ok(Progress { rows: rows as u64, more: rows == STEP_ROWS_MAX })
}

/// A dead letter that has been called back, as if its time were over.
pub(super) fn forget_letter(connection: &Connection, position: Cursor) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE log SET hollow = 1, value = zeroblob(length(value)) WHERE position = ?1 AND kind = ?2 AND hollow = 0",
        params![position.0, code_of(EventKind::DeadLetter)],
    )?;
    Ok(())
}

/// The last hollow row that may go: below every living row, and `HOLLOW_KEPT` hollow ones above it.
/// It may be asked for beside the writer: a row never comes to life again, new ones come above.
pub(super) fn removable(connection: &Connection, table: Table) -> Result<Option<i64>, Fault> {
    let (living, hollow) = match table {
        Table::Log => (
            "SELECT position FROM log WHERE +hollow = 0 ORDER BY position LIMIT 1",
            "SELECT position FROM log WHERE position < ?1 ORDER BY position DESC LIMIT 1 OFFSET ?2",
        ),
        Table::Audit => (
            "SELECT position FROM audit WHERE +hollow = 0 ORDER BY position LIMIT 1",
            "SELECT position FROM audit WHERE position < ?1 ORDER BY position DESC LIMIT 1 OFFSET ?2",
        ),
    };
    let living: Option<i64> = connection.prepare_cached(living)?.query_row([], |row| row.get(0)).optional()?;
    let below = params![living.unwrap_or(i64::MAX), HOLLOW_KEPT as i64];
    Ok(connection.prepare_cached(hollow)?.query_row(below, |row| row.get(0)).optional()?)
}

fn remove(connection: &Connection, table: Table, position: i64) -> Result<Progress, Fault> {
    let delete = match table {
        Table::Log => {
            "DELETE FROM log WHERE position IN
                (SELECT position FROM log WHERE position <= ?1 AND +hollow = 1 ORDER BY position LIMIT ?2)"
        }
        Table::Audit => {
            "DELETE FROM audit WHERE position IN
                (SELECT position FROM audit WHERE position <= ?1 AND +hollow = 1 ORDER BY position LIMIT ?2)"
        }
    };
    let rows = connection.prepare_cached(delete)?.execute(params![position, STEP_ROWS_MAX as i64])?;
    Ok(Progress { rows: rows as u64, more: rows == STEP_ROWS_MAX })
}

fn shrink(connection: &Connection) -> Result<Progress, Fault> {
    let free = || connection.query_row("PRAGMA freelist_count", [], |row| row.get::<_, u32>(0));
    let before = free()?;
    // Each row that the pragma returns is one page given back.
    let mut statement = connection.prepare(&format!("PRAGMA incremental_vacuum({STEP_PAGES_MAX})"))?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    let after = free()?;
    Ok(Progress { rows: before.saturating_sub(after).into(), more: 0 < after && after < before })
}

fn settle(connection: &Connection) -> Result<Progress, Fault> {
    // First what needs nobody's consent, so that emptying the log afterwards is short.
    checkpoint(connection, "PASSIVE")?;
    connection.busy_timeout(SETTLE_WAIT)?;
    let emptied = checkpoint(connection, "TRUNCATE");
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(Progress { rows: 0, more: !emptied? })
}

/// Whether the checkpoint got through.
fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<bool> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| Ok(row.get::<_, i64>(0)? == 0))
}
