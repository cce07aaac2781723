//! Keyword tables while the server runs: swapped when good, kept when the new one is not.

use std::os::unix::fs::symlink;

use serde_json::Value;

use crate::harness::{Folder, ROUTES, SETTINGS, Server, Sms, feed, said, wait_until};

fn version(server: &Server) -> String {
    let metrics = server.metrics();
    let line = metrics.lines().find(|line| line.starts_with("sms_router_routes_info{")).expect("a table in force");
    line.split('"').nth(1).expect("a version").to_owned()
}

fn with_ice() -> String {
    ROUTES.replace("aliases = [\"grit\"]", "aliases = [\"grit\", \"ice\"]")
}

#[test]
fn a_changed_file_is_in_force_and_a_bad_one_is_not() {
    let mut server = Server::start(Folder::new()).ready();
    let first = version(&server);
    server.push(&Sms::new("1", "ice"));
    server.folder.write("routes.toml", &with_ice());
    wait_until("the new table is in force", || version(&server) != first);
    server.push(&Sms::new("2", "ice"));
    assert_eq!(feed::records(server.api, "contact-centre").len(), 1);
    assert_eq!(feed::records(server.api, "highways").len(), 1);
    let second = version(&server);
    server.folder.write("routes.toml", &ROUTES.replace("department = \"highways\"", "department = \"nobody\""));
    server.wait_for_log("routes refused");
    assert_eq!(server.metric("sms_router_routes_last_reload_successful"), 0.0);
    assert_eq!(version(&server), second, "the table before stays");
    server.push(&Sms::new("3", "ice"));
    assert_eq!(feed::records(server.api, "highways").len(), 2);
    let failing = format!("{ROUTES}[[test]]\nto = \"86555\"\ntext = \"snow\"\ndepartment = \"parking\"\n");
    server.folder.write("routes.toml", &failing);
    server.wait_for_log("routes.toml:20");
    server.folder.write("routes.toml", ROUTES);
    wait_until("the good table is back", || version(&server) == first);
    assert_eq!(server.metric("sms_router_routes_last_reload_successful"), 1.0);
}

#[test]
fn a_swapped_directory_of_links_is_seen() {
    let settings = SETTINGS.replace("routes = \"routes.toml\"", "routes = \"mounted/routes.toml\"");
    let folder = Folder::with(&settings, ROUTES);
    // As the kubelet does it: mounted/routes.toml → ..data/routes.toml, ..data → a dated folder.
    for (name, routes) in [("v1", ROUTES.to_owned()), ("v2", with_ice())] {
        std::fs::create_dir_all(folder.path("mounted").join(name)).expect("a folder");
        folder.write(&format!("mounted/{name}/routes.toml"), &routes);
    }
    symlink("v1", folder.path("mounted/..data")).expect("a link");
    symlink("..data/routes.toml", folder.path("mounted/routes.toml")).expect("a link");
    let server = Server::start(folder).ready();
    let first = version(&server);
    symlink("v2", server.folder.path("mounted/..data_tmp")).expect("a link");
    std::fs::rename(server.folder.path("mounted/..data_tmp"), server.folder.path("mounted/..data")).expect("swapped");
    wait_until("the swapped table is in force", || version(&server) != first);
    server.push(&Sms::new("1", "ice"));
    assert_eq!(feed::records(server.api, "highways").len(), 1);
}

#[test]
fn sighup_reads_the_routes_again() {
    let mut server = Server::start(Folder::new()).ready();
    server.wait_for_log("routes could be better");
    server.signal("HUP");
    server.wait_for_log("routes are in force");
}

/// A table that takes its time to be built.
fn with_many_keywords() -> String {
    let words: String = (0..40_000)
        .map(|number| format!("[[keyword]]\nnumber = \"86555\"\nword = \"word{number}\"\ndepartment = \"highways\"\n"))
        .collect();
    format!("{ROUTES}{words}")
}

#[test]
fn signals_are_heard_while_a_table_is_built() {
    let mut server = Server::start(Folder::new()).ready();
    server.wait_for_log("routes could be better");
    server.folder.write("routes.toml", &with_many_keywords());
    server.signal("HUP");
    server.wait_for_log("told to read the routes again");
    server.signal("USR1");
    server.wait_for_log("the log level was changed");
    assert!(!server.log().iter().any(|line| line.contains("routes are in force")), "the reload was waited for");
    assert_eq!(server.stop().1, Some(0));
}

#[test]
fn a_pipe_in_place_of_the_routes_is_refused_and_later_reloads_are_not_lost() {
    let mut server = Server::start(Folder::new()).ready();
    let first = version(&server);
    let path = server.folder.path("routes.toml");
    std::fs::remove_file(&path).expect("removed");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
    server.signal("HUP");
    server.wait_for_log("a named pipe, not a regular file");
    wait_until("the gauge tells", || server.metric("sms_router_routes_last_reload_successful") == 0.0);
    for command in ["check", "serve"] {
        let (_, out, err) = said(&server.folder.run(&[command]));
        assert!(format!("{out}{err}").contains("routes.toml: cannot be read: it is a named pipe"), "{out}{err}");
    }
    server.folder.write("routes.new", &with_ice());
    std::fs::rename(server.folder.path("routes.new"), &path).expect("renamed");
    wait_until("the next table is in force", || version(&server) != first);
    assert_eq!(server.metric("sms_router_routes_last_reload_successful"), 1.0);
    assert_eq!(server.stop().1, Some(0));
}

#[test]
fn explain_decides_as_the_hot_path_does() {
    let server = Server::start(Folder::new()).ready();
    for (number, text) in
        ["Snow on Main St", "snowed in", "PARK  pay: 2", "park", "stop", "Grït!", "", "❄ snow"].into_iter().enumerate()
    {
        server.push(&Sms::new(&number.to_string(), text));
        let (code, out, err) = said(&server.folder.run(&["explain", "--to", "86555", text, "-o", "json"]));
        assert_eq!(code, Some(0), "{err}");
        let explained: Value = serde_json::from_str(&out).expect("JSON");
        let department = explained["department"].as_str().expect("a department");
        let records = feed::records(server.api, department);
        let id = number.to_string();
        let record = records.iter().find(|record| record["carrier_message_id"] == *id);
        let record = record.unwrap_or_else(|| panic!("{text:?} is not at {department}"));
        for field in ["keyword", "rule", "consent", "routes_version"] {
            assert_eq!(explained[field], record[field], "{field} of {text:?}");
        }
    }
}

#[test]
fn hold_and_failover_are_read_and_explained() {
    let routes = ROUTES.replacen("name = \"highways\"", "name = \"highways\"\nhold = true", 1).replacen(
        "name = \"contact-centre\"",
        "name = \"contact-centre\"\nfailover = \"parking\"\nfailover_after_s = 60",
        1,
    );
    let folder = Folder::with(SETTINGS, &routes);
    let explained = |text: &str| {
        let (code, out, err) = said(&folder.run(&["explain", "--to", "86555", text, "-o", "json"]));
        assert_eq!(code, Some(0), "{err}");
        serde_json::from_str::<Value>(&out).expect("JSON")
    };
    let (held, stood_in_for) = (explained("snow"), explained("hello"));
    assert_eq!((&held["hold"], held.get("failover")), (&Value::Bool(true), None));
    assert_eq!((stood_in_for.get("hold"), stood_in_for["failover"].as_str()), (None, Some("parking")));
    let (_, out, _) = said(&folder.run(&["explain", "--to", "86555", "snow"]));
    assert!(out.contains("hold "), "{out}");
    let (code, out, _) = said(&folder.run(&["check"]));
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("holds back nothing") && out.contains("stands in for nobody"), "{out}");
    let cluster = format!("{SETTINGS}[publish]\nto = \"kafka\"\nbrokers = \"127.0.0.1:1\"\n");
    folder.write("sms-router.toml", &format!("{cluster}journal = false\n"));
    let (_, out, _) = said(&folder.run(&["check"]));
    assert!(out.contains("hold refuses its texts") && !out.contains("stands in for nobody"), "{out}");
    folder.write("sms-router.toml", &cluster);
    let (_, out, _) = said(&folder.run(&["check"]));
    assert!(out.contains("highways is held") && !out.contains("hold refuses"), "{out}");
    for (wrong, said_of_it) in [
        ("failover_after_s = 60", "needs failover"),
        ("failover = \"parking\"\nfailover_after_s = 0", "whole number from 1"),
        ("failover = \"Parking!\"", "is not a name"),
        ("failover = \"nobody\"", "no [[department]] names"),
        ("hold = \"yes\"", "true or false"),
    ] {
        folder
            .write("routes.toml", &ROUTES.replacen("name = \"highways\"", &format!("name = \"highways\"\n{wrong}"), 1));
        let (code, out, _) = said(&folder.run(&["check"]));
        assert!(code == Some(1) && out.contains(said_of_it), "{wrong}: {out}");
    }
}
