//! Secrets that are replaced while the server runs: the new one counts, the old one no more, a bad one not at all.

use std::os::unix::fs::symlink;

use sms_router::config::{Environment, Origin, SecretsNeeded, load};

use crate::harness::{Folder, ROUTES, SECRET, SETTINGS, Server, Sms, feed, http, said, signature_with, wait_until};
use crate::tls::certify;

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
    wait_until("the gauge says so", || server.metric(GAUGE) == 1.0);
}

#[test]
fn a_secret_that_cannot_be_used_leaves_all_of_them_as_they_are() {
    let mut server = Server::start(Folder::new()).ready();
    server.folder.write("token-highways", "another token of highways");
    server.folder.write("demo", "whsec_this is not base64");
    server.wait_for_log("new secrets refused");
    assert!(server.log().iter().any(|line| line.contains("accounts.demo.secrets: a secret cannot be used")));
    wait_until("the gauge says so", || server.metric(GAUGE) == 0.0);
    assert_eq!(push(&server, "1", SECRET), 200);
    assert_eq!(read(&server, "token of highways"), 200, "not even the good one changes: they belong together");
    // Its settings are those of the start, whatever has become of the file.
    server.folder.write("sms-router.toml", "not settings any more");
    server.folder.write("demo", OTHER);
    wait_until("the new secrets are in force", || push(&server, "2", OTHER) == 200);
    assert_eq!(read(&server, "another token of highways"), 200);
    wait_until("the gauge says so", || server.metric(GAUGE) == 1.0);
}

#[test]
fn what_is_wrong_elsewhere_only_delays_a_new_secret() {
    let tls = "[api]\ntls = { certificate = \"chain.pem\", key = \"key.pem\" }";
    let folder = Folder::with(&SETTINGS.replace("[api]", tls), ROUTES);
    let _root = certify(&folder);
    let key = std::fs::read_to_string(folder.path("key.pem")).expect("a key");
    let mut server = Server::start(folder).ready();
    server.folder.write("key.pem", "no key");
    server.folder.write("demo", OTHER);
    server.wait_for_log("new secrets refused");
    assert_eq!((push(&server, "1", SECRET), push(&server, "2", OTHER)), (200, 403));
    server.folder.write("key.pem", &key);
    wait_until("the new secret is in force", || push(&server, "3", OTHER) == 200);
    wait_until("the gauge says so", || server.metric(GAUGE) == 1.0);
}

#[test]
fn a_file_that_is_no_secret_is_named_and_what_comes_after_it_counts() {
    let mut server = Server::start(Folder::new()).ready();
    let path = server.folder.path("demo");
    std::fs::remove_file(&path).expect("removed");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
    server.wait_for_log("demo cannot be read: it is a named pipe, not a regular file");
    std::fs::remove_file(&path).expect("removed");
    server.folder.write("demo", &"x".repeat((1 << 20) + 1));
    server.wait_for_log("demo cannot be read: it is larger than 1048576 bytes");
    assert_eq!(push(&server, "1", SECRET), 200);
    server.folder.write("demo", OTHER);
    wait_until("the new secret is in force", || push(&server, "2", OTHER) == 200);
}

#[test]
fn a_secret_that_is_replaced_while_the_rest_is_read_is_seen_as_new() {
    let folder = Folder::new();
    let origin = Origin::File(folder.path("sms-router.toml"));
    let config = load(&origin, &Environment::default(), SecretsNeeded::Must).expect("settings");
    assert_eq!(config.stamps(), config.stamps_in_force());
    folder.write("demo", OTHER);
    assert_ne!(config.stamps(), config.stamps_in_force());
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
