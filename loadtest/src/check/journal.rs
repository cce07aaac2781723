//! How many texts the service's journal ever took.
//!
//! Comes in: the service's data folder. Goes out: a number. Always true: what has left the journal since is counted
//! too, as no place in it is given twice, while the service's metrics tell only what waits there now; the file is
//! read beside the process that writes it, and nothing of it is changed. Not here: what went into it.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use rusqlite::{Connection, OpenFlags, OptionalExtension};

/// As the service calls it (`store`).
const DATABASE: &str = "sms-router.sqlite";
/// How long the service may hold the file.
const PATIENCE: Duration = Duration::from_secs(5);

/// None where there is no store: then there is no journal either.
pub fn taken(data: &Path) -> anyhow::Result<u64> {
    let file = data.join(DATABASE);
    if !file.exists() {
        return Ok(0);
    }
    let last_place = || {
        let connection = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(PATIENCE)?;
        let asked = "SELECT seq FROM sqlite_sequence WHERE name = 'journal'";
        connection.query_row(asked, [], |row| row.get(0)).optional()
    };
    let last_place: Option<i64> = last_place().context("the service's journal cannot be read")?;
    Ok(last_place.unwrap_or_default().unsigned_abs())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sms_router::clock::Clock;
    use sms_router::message::{AccountName, Destination, Event, EventId, EventKind, SenderKey, Timestamp};
    use sms_router::store::{Settings, Store};

    use super::*;
    use crate::settings::Folder;

    fn event(id: u128) -> Event {
        Event {
            id: EventId::from_u128(id),
            copy_of: None,
            kind: EventKind::Message,
            destination: Destination::Parts,
            account: AccountName::parse("demo").expect("a name"),
            subject: "86555".to_owned(),
            received_at: Timestamp::UNIX_EPOCH,
            key: [0; 16],
            fingerprint: [0; 16],
            traceparent: None,
            value: b"{}".to_vec(),
        }
    }

    #[tokio::test]
    async fn what_has_left_the_journal_counts_too() {
        let folder = Folder::embedded("").expect("a folder");
        let data = folder.config.data.as_path();
        assert_eq!(taken(data).expect("no store yet"), 0);
        let key = SenderKey::new(b"a key of the journal's test").expect("long enough");
        let (store, writer) = Store::open(Settings::of(data), key, Clock::system()).expect("a store");
        assert_eq!(taken(data).expect("an empty journal"), 0);
        let topic: Arc<str> = Arc::from("sms.highways");
        let events = (1..=3).map(|id| (topic.clone(), event(id))).collect();
        let places = store.journal(events).await.expect("written").into_iter().map(|(_, place)| place).collect();
        store.settle(places).await.expect("all left");
        store.journal(vec![(topic, event(4))]).await.expect("written");
        assert_eq!(taken(data).expect("three left, one waits"), 4);
        drop(store);
        writer.close().await;
    }
}
