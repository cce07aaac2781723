//! Creates what is missing of the schema.
//!
//! Comes in: settings. Goes out: one line for each thing, created or already there.
//! Always true: what exists is left as it is; running it twice changes nothing.
//! Not here: the statements' text, migrations.

use std::time::Duration;

use scylla::client::session::Session;
use scylla::statement::Statement;

use super::schema::{self, Item, KEYSPACE_EXISTS, TABLE_EXISTS};
use super::{ArchiveError, Settings, session};

/// A schema change waits until all nodes agree.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(60);

/// Creates keyspace and tables where they are missing; a line for each says which.
pub async fn setup(settings: &Settings) -> Result<Vec<String>, ArchiveError> {
    let session = session::open(settings).await?;
    let mut lines = Vec::new();
    for item in schema::items(settings) {
        let name = match item.table {
            None => format!("keyspace {}", settings.keyspace),
            Some(table) => format!("table {}.{table}", settings.keyspace),
        };
        if exists(&session, settings, &item).await? {
            lines.push(format!("{name}: already there"));
            continue;
        }
        let mut change = Statement::new(item.statement);
        change.set_request_timeout(Some(CHANGE_TIMEOUT));
        session.query_unpaged(change, ()).await?;
        lines.push(format!("{name}: created"));
    }
    Ok(lines)
}

async fn exists(session: &Session, settings: &Settings, item: &Item) -> Result<bool, ArchiveError> {
    let answer = match item.table {
        None => session.query_unpaged(KEYSPACE_EXISTS, (&settings.keyspace,)).await?,
        Some(table) => session.query_unpaged(TABLE_EXISTS, (&settings.keyspace, table)).await?,
    };
    let rows = answer.into_rows_result().map_err(|error| ArchiveError::Away(error.to_string()))?;
    Ok(rows.rows_num() > 0)
}
