//! How far a channel has delivered: kept, never back, and no hindrance to an earlier release.

use rusqlite::Connection;

use super::*;
use crate::store::schema::KNOWN;
use crate::store::{Cursor, Reader};

#[tokio::test]
async fn a_channels_position_is_kept_and_never_goes_back() {
    let folder = folder();
    let Open { store, writer, .. } = open(folder.path());
    stored(&store, vec![some_text(1), some_text(2), some_text(3)]).await;
    assert_eq!(store.progress("highways", "email").await, Ok(None));
    let entries = store.read("highways", Cursor::START, 10).await.expect("the feed");
    let [first, second, ..] = entries.as_slice() else { panic!("{} events", entries.len()) };
    store.advance("highways", "email", second.position).await.expect("kept");
    store.advance("highways", "email", first.position).await.expect("kept");
    store.advance("highways", "push", first.position).await.expect("kept");
    writer.close().await;
    drop(store);

    let Open { store, .. } = open(folder.path());
    assert_eq!(store.progress("highways", "email").await, Ok(Some(second.position)));
    assert_eq!(store.progress("highways", "push").await, Ok(Some(first.position)));
    assert_eq!(store.progress("parks", "push").await, Ok(None));
    assert_eq!(store.read("highways", second.position, 10).await.expect("the feed").len(), 1);
}

#[tokio::test]
async fn data_without_the_table_is_opened_and_keeps_its_version() {
    let folder = folder();
    super::open(folder.path()).writer.close().await;
    let database = folder.path().join("sms-router.sqlite");
    let connection = Connection::open(&database).expect("a database");
    connection.execute_batch("DROP TABLE progress").expect("as an earlier release left it");
    drop(connection);

    // A command beside a `serve` of that release finds what it looks for.
    assert_eq!(Reader::open(folder.path()).expect("beside").accesses(1).map(|found| found.len()), Ok(0));
    let Open { store, writer, .. } = super::open(folder.path());
    store.advance("highways", "push", Cursor::START).await.expect("kept");
    writer.close().await;
    let connection = Connection::open(&database).expect("a database");
    let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0)).expect("a number");
    assert_eq!(version, KNOWN, "the release before opens it again");
}
