//! Opening: what is made, what is refused and with which words, and data of earlier versions.

use std::os::unix::fs::PermissionsExt;

use rusqlite::Connection;

use super::*;
use crate::message::AuditQuery;
use crate::store::Reader;
use crate::store::schema::KNOWN;

/// A database of version 1, whole: later builds must open it as it was.
const VERSION_1: &str = include_str!("version_1.sql");

fn database(folder: &Path) -> std::path::PathBuf {
    folder.join("sms-router.sqlite")
}

/// Every statement that made the tables, without its layout.
fn tables(folder: &Path) -> Vec<String> {
    let connection = Connection::open(database(folder)).expect("a database");
    let mut made =
        connection.prepare("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name").expect("SQL");
    let made = made.query_map([], |row| row.get::<_, String>(0)).expect("rows");
    made.map(|sql| sql.expect("a statement").split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn try_open(folder: &Path) -> Result<(Store, Writer), StoreError> {
    Store::open(Settings::of(folder), key(), Clock::fixed(at(NOW)))
}

#[tokio::test]
async fn files_are_the_owners_alone() {
    let parent = folder();
    let folder = parent.path().join("new/data");
    let open = open(&folder);
    stored(&open.store, vec![some_text(1)]).await;
    let mode = |path: &Path| fs::metadata(path).expect("made").permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let mut names = Vec::new();
    for file in fs::read_dir(&folder).expect("the folder") {
        let file = file.expect("a file");
        assert_eq!(mode(&file.path()), 0o600, "{:?}", file.file_name());
        names.push(file.file_name().into_string().expect("a name"));
    }
    names.sort();
    assert_eq!(names, ["lock", "sms-router.sqlite", "sms-router.sqlite-shm", "sms-router.sqlite-wal"]);
}

#[tokio::test]
async fn the_settings_that_keep_promises_are_in_force() {
    let folder = folder();
    let files = crate::store::files::Files::of(folder.path());
    let _lock = files.take().expect("the folder");
    let connection = files.open_writing().expect("a connection");
    for (pragma, expected) in [("auto_vacuum", 2), ("synchronous", 2), ("secure_delete", 1), ("temp_store", 2)] {
        let value: i64 = connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get(0)).expect(pragma);
        assert_eq!(value, expected, "{pragma}");
    }
}

#[tokio::test]
async fn a_second_process_is_told_who_is_in_the_way() {
    let folder = folder();
    let open = open(folder.path());
    let error = refused(try_open(folder.path()));
    assert_eq!(error, StoreError::LockedByAnother { folder: folder.path().to_owned() });
    assert!(error.to_string().contains("in use by another process"), "{error}");
    stored(&open.store, vec![some_text(1)]).await;
    open.writer.close().await;
    drop(open.store);
    super::open(folder.path()).writer.close().await;
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let parent = folder();
    let file = parent.path().join("a-file");
    fs::write(&file, "not a folder").expect("a file");
    for folder in [file.clone(), file.join("data")] {
        let error = refused(try_open(&folder));
        assert!(matches!(error, StoreError::NotWritable { .. }), "{error:?}");
        assert!(error.to_string().contains(folder.to_str().expect("a path")), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_database_is_named_and_left_alone() {
    let folder = folder();
    let rubbish = "this is not a database ".repeat(500);
    fs::write(database(folder.path()), &rubbish).expect("a file");
    let error = refused(try_open(folder.path()));
    assert_eq!(error, StoreError::Corrupt { file: database(folder.path()) });
    assert!(error.to_string().contains("sms-router.sqlite"), "{error}");
    assert_eq!(fs::read_to_string(database(folder.path())).expect("still there"), rubbish);
    assert_eq!(Reader::open(folder.path()).err(), Some(error));
}

#[tokio::test]
async fn damaged_pages_are_named_at_start() {
    let folder = folder();
    let Open { store, writer, .. } = open(folder.path());
    stored(&store, (1..200).map(some_text).collect()).await;
    writer.close().await;
    drop(store);
    let mut bytes = fs::read(database(folder.path())).expect("the file");
    bytes[4096..].fill(0xa5);
    fs::write(database(folder.path()), bytes).expect("written");
    let found = refused(try_open(folder.path()));
    assert_eq!(found, StoreError::Corrupt { file: database(folder.path()) });
}

#[test]
fn data_of_a_newer_release_is_named_and_left_alone() {
    let folder = folder();
    let newer = KNOWN + 1;
    let connection = Connection::open(database(folder.path())).expect("a database");
    connection.pragma_update(None, "user_version", newer).expect("its version");
    drop(connection);
    let expected = StoreError::Newer { file: database(folder.path()), found: newer, known: KNOWN };
    let error = refused(try_open(folder.path()));
    assert_eq!(error, expected);
    assert!(error.to_string().contains("newer release"), "{error}");
    assert_eq!(Reader::open(folder.path()).err(), Some(expected));
}

#[test]
fn a_command_without_a_store_makes_none() {
    let folder = folder();
    let error = Reader::open(folder.path()).err().expect("nothing there");
    assert_eq!(error, StoreError::Missing { file: database(folder.path()) });
    assert_eq!(fs::read_dir(folder.path()).expect("the folder").count(), 0);

    let connection = Connection::open(database(folder.path())).expect("a database");
    connection.execute_batch("CREATE TABLE unmigrated (x)").expect("a table");
    let error = Reader::open(folder.path()).err().expect("not migrated");
    assert_eq!(error, StoreError::Older { file: database(folder.path()), found: 0, known: KNOWN });
}

#[tokio::test]
async fn data_of_version_1_is_opened() {
    let folder = folder();
    let connection = Connection::open(database(folder.path())).expect("a database");
    connection.execute_batch(VERSION_1).expect("version 1");
    drop(connection);

    let open = open(folder.path());
    let fresh = super::folder();
    let _fresh = super::open(fresh.path());
    assert_eq!(tables(folder.path()), tables(fresh.path()), "old data and new have the same form");

    let id = EventId::from_u128(1);
    let entries = open.store.read("highways", crate::store::Cursor::START, 10).await.expect("the feed");
    assert_eq!((entries[0].id, entries[0].value.as_slice()), (id, b"{}".as_slice()));
    let copies = open.store.find(&AuditQuery::Id(id)).await.expect("the copy");
    assert_eq!(copies[0].record().text.as_str(), "Snow");
    assert_eq!(copies[0].expires_at, at("2027-11-21T10:00:00.123Z"));
    assert_eq!(open.store.append(vec![some_text(1)]).await, Ok(vec![Appended::Conflicting]));
    stored(&open.store, vec![some_text(2)]).await;
    assert_eq!(*open.store.appended().borrow(), 8, "positions go on");
    let accesses = Reader::open(folder.path()).expect("beside").accesses(10).expect("the log");
    assert_eq!(accesses[0].ids, [id]);
}
