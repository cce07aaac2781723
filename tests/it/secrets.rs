//! Secrets that are replaced while the server runs: the new one counts, the old one no more, a bad one not at all.

use std::os::unix::fs::symlink;

use crate::harness::{Folder, ROUTES, SECRET, SETTINGS, Server, Sms, feed, http, said, signature_with, wait_until};

const OTHER: &str = "whsec_OTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTBmZWRjYmE=";
const GAUGE: &str = "sms_router_secrets_last_reload_successful";

/// The status that a text signed with this secret gets.
fn push(server: &Server, id: &str, secret: &str) -> u16 {
    let body = Sms::new(id, "snow").body();
    http::request(server.inbound, "POST", "/inbound/demo", &signature_with(secret, &body), &body).status
}

/// The status that a token gets from the feed of highways.
fn read(server: &Server, token: &str) -> u16 {
    feed::ask(server.api, "highways", token, "").status
}

#[test]
fn a_new_secret_counts_and_the_old_one_no_more() {
    let settings = SETTINGS.replace("[monitoring]", "operators = [{ file = \"operator\" }]\n[monitoring]");
    let folder = Folder::with(&settings, ROUTES);
    folder.write("operator", "token of the operators");
    let mut server = Server::start(folder).ready();
    assert_eq!((push(&server, "1", SECRET), push(&server, "2", OTHER)), (200, 403));
    server.folder.write("demo", OTHER);
    wait_until("the new secret is in force", || push(&server, "3", OTHER) == 200);
    assert_eq!(push(&server, "4", SECRET), 403);
    server.folder.write("token-highways", "another token of highways");
    wait_until("the new token is in force", || read(&server, "another token of highways") == 200);
    assert_eq!(read(&server, "token of highways"), 401);
    server.wait_for_log("accounts.demo.secrets");
    server.wait_for_log("departments.highways.tokens");
    let told = server.log().join("\n");
    assert!(!told.contains("another token") && !told.contains(OTHER), "{told}");
    assert_eq!(server.metric(GAUGE), 1.0);
}

#[test]
fn a_secret_that_cannot_be_used_leaves_all_of_them_as_they_are() {
    let mut server = Server::start(Folder::new()).ready();
    server.folder.write("token-highways", "another token of highways");
    server.folder.write("demo", "whsec_this is not base64");
    server.wait_for_log("new secrets refused");
    assert!(server.log().iter().any(|line| line.contains("accounts.demo.secrets: a secret cannot be used")));
    assert_eq!(server.metric(GAUGE), 0.0);
    assert_eq!(push(&server, "1", SECRET), 200);
    assert_eq!(read(&server, "token of highways"), 200, "not even the good one changes: they belong together");
    // Its settings are those of the start, whatever has become of the file.
    server.folder.write("sms-router.toml", "not settings any more");
    server.folder.write("demo", OTHER);
    wait_until("the new secrets are in force", || push(&server, "2", OTHER) == 200);
    assert_eq!(read(&server, "another token of highways"), 200);
    assert_eq!(server.metric(GAUGE), 1.0);
}

#[test]
fn a_swapped_directory_of_links_is_seen() {
    let settings = SETTINGS.replace("\"demo\" }", "\"mounted/demo\" }");
    let folder = Folder::with(&settings, ROUTES);
    for (version, secret) in [("v1", SECRET), ("v2", OTHER)] {
        std::fs::create_dir_all(folder.path("mounted").join(version)).expect("a folder");
        folder.write(&format!("mounted/{version}/demo"), secret);
    }
    symlink("v1", folder.path("mounted/..data")).expect("a link");
    symlink("..data/demo", folder.path("mounted/demo")).expect("a link");
    let server = Server::start(folder).ready();
    symlink("v2", server.folder.path("mounted/..data_tmp")).expect("a link");
    std::fs::rename(server.folder.path("mounted/..data_tmp"), server.folder.path("mounted/..data")).expect("swapped");
    wait_until("the swapped secret is in force", || push(&server, "1", OTHER) == 200);
}

#[test]
fn a_new_key_of_the_senders_waits_for_a_restart_and_that_is_said() {
    let mut server = Server::start(Folder::new()).ready();
    server.folder.write("sender-key", "another key of 32 characters for");
    server.wait_for_log("waits for a restart");
    let (code, _, err) = said(&server.folder.run(&["check"]));
    assert_eq!(code, Some(0), "{err}");
}
