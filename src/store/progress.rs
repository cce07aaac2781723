//! Up to where a department's stream has been delivered, by each channel.
//!
//! Comes in: a stream, a channel, a position. Goes out: the position that was last kept.
//! Always true: a position is kept with a commit of the writer, shared with whatever else waits, and never goes back.
//! Not here: what is delivered and how often a position is moved: whoever delivers moves it for many texts at once.

use rusqlite::{Connection, OptionalExtension, params};

use super::Store;
use super::error::{Fault, StoreError};
use super::feed::Cursor;
use super::job::Job;

/// A position to keep.
pub(super) struct Move {
    pub stream: String,
    pub channel: &'static str,
    pub to: Cursor,
}

impl Store {
    /// The position up to which a channel has delivered a stream; `None` before its first.
    pub async fn progress(&self, stream: &str, channel: &'static str) -> Result<Option<Cursor>, StoreError> {
        let stream = stream.to_owned();
        self.0.pool.ask(move |connection| Ok::<_, Fault>(read(connection, &stream, channel)?)).await
    }

    /// Keeps the position up to which a channel has delivered a stream; on the disk when this returns. A position
    /// before the one that is kept changes nothing. Errors as those of `append`.
    pub async fn advance(&self, stream: &str, channel: &'static str, to: Cursor) -> Result<(), StoreError> {
        let moved = Move { stream: stream.to_owned(), channel, to };
        let room = self.room_for(1)?;
        self.write(room, |answer| Job::advance(moved, answer)).await
    }
}

fn read(connection: &Connection, stream: &str, channel: &str) -> rusqlite::Result<Option<Cursor>> {
    let mut statement =
        connection.prepare_cached("SELECT position FROM progress WHERE stream = ?1 AND channel = ?2")?;
    Ok(statement.query_row(params![stream, channel], |row| row.get(0)).optional()?.map(Cursor))
}

/// Inside the writer's transaction.
pub(super) fn write(connection: &Connection, moved: &Move) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO progress (stream, channel, position) VALUES (?1, ?2, ?3)
         ON CONFLICT DO UPDATE SET position = excluded.position WHERE excluded.position > position",
    )?;
    statement.execute(params![moved.stream, moved.channel, moved.to.0])?;
    Ok(())
}
