//! `backup` beside a running `serve`, and a service that begins with what it wrote.

use std::os::unix::fs::PermissionsExt;

use crate::harness::{Folder, Server, Sms, feed, said};

const FILE: &str = "store.backup";

#[test]
fn a_restored_backup_has_the_feed_the_audit_copies_and_the_ids() {
    let server = Server::start(Folder::new()).ready();
    assert_eq!(server.push(&Sms::new("1", "Snow on Main St")).status, 200);
    assert_eq!(server.push(&Sms::new("2", "Snow again")).status, 200);
    let before = feed::records(server.api, "highways");
    assert_eq!(before.len(), 2);
    let (code, _, error) = said(&server.folder.run(&["backup", FILE]));
    assert_eq!(code, Some(0), "{error}");
    let copied = server.folder.path(FILE);
    let mode = std::fs::metadata(&copied).expect("the backup").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "residents' words are its owner's to read");
    assert_eq!(server.push(&Sms::new("3", "Snow after the backup")).status, 200);

    let restored = Folder::new();
    std::fs::create_dir_all(restored.path("data")).expect("a folder");
    std::fs::copy(&copied, restored.path("data/sms-router.sqlite")).expect("restored");
    let server = Server::start(restored).ready();
    assert_eq!(feed::records(server.api, "highways"), before);
    assert_eq!(server.push(&Sms::new("1", "Snow on Main St")).status, 200);
    assert_eq!(server.push(&Sms::new("4", "Snow anew")).status, 200);
    let records = feed::records(server.api, "highways");
    assert_eq!(records.len(), 3, "the retry of 1 is known, 4 is new");
    let id = before[0]["id"].as_str().expect("an id");
    let (code, copy, error) = said(&server.folder.run(&["archive", "get", "--id", id, "--reason", "a test"]));
    assert_eq!(code, Some(0), "{error}");
    assert!(copy.contains(id), "{copy}");
}

#[test]
fn what_is_there_is_not_overwritten_and_half_a_backup_does_not_stay() {
    let server = Server::start(Folder::new()).ready();
    server.folder.write(FILE, "yesterday's");
    let (code, _, error) = said(&server.folder.run(&["backup", FILE]));
    assert_eq!(code, Some(1));
    assert!(error.contains(FILE) && error.contains("it is there already, and is not overwritten"), "{error}");
    for (to, words) in [("data", "it is a folder: name a file in it"), ("nowhere/x", "its folder is not there")] {
        let (code, _, error) = said(&server.folder.run(&["backup", to]));
        assert!(code == Some(1) && error.contains(words), "{to}: {error}");
    }
    assert_eq!(std::fs::read_to_string(server.folder.path(FILE)).expect("the file"), "yesterday's");

    let (folder, _) = server.stop();
    let mut database = std::fs::read(folder.path("data/sms-router.sqlite")).expect("the database");
    // The schema on page 1 stays whole, so the damage is met on the way.
    let end = database.len();
    database[8192..end].fill(0xa5);
    std::fs::write(folder.path("data/sms-router.sqlite"), database).expect("damaged");
    let (code, _, error) = said(&folder.run(&["backup", "damaged.backup"]));
    assert_eq!(code, Some(1), "{error}");
    assert!(!folder.path("damaged.backup").exists());
}
