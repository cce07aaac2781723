//! The embedded profile: what got a 200 is there, once, whatever happens to the process.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::Connection;
use serde_json::Value;

use crate::harness::{Folder, ROUTES, SETTINGS, Server, Sms, feed, http, push, push_body, said, wait_until};

fn texts(server: &Server, department: &str) -> Vec<String> {
    let text = |record: Value| record["text"].as_str().expect("a text").to_owned();
    feed::records(server.api, department).into_iter().map(text).collect()
}

#[test]
fn a_text_reaches_its_department_and_others_the_default() {
    let server = Server::start(Folder::new()).ready();
    assert_eq!(server.push(&Sms::new("1", "Snow on Main St")).status, 200);
    assert_eq!(server.push(&Sms::new("2", "hello there")).status, 200);
    let record = feed::records(server.api, "highways").remove(0);
    for (field, value) in [
        ("text", "Snow on Main St"),
        ("keyword", "snow"),
        ("rest", "on Main St"),
        ("department", "highways"),
        ("from", "+447700900123"),
        ("to", "86555"),
        ("carrier", "generic"),
        ("account", "demo"),
        ("carrier_message_id", "1"),
        ("sent_at", "2026-11-21T10:00:00.000Z"),
    ] {
        assert_eq!(record[field], value, "{field}");
    }
    assert_eq!(texts(&server, "contact-centre"), ["hello there"]);
    assert_eq!(server.metric("sms_router_messages_total{department=\"highways\",outcome=\"published\"}"), 1.0);
    assert_eq!(server.metric("sms_router_keyword_messages_total{keyword=\"snow\",number=\"86555\"}"), 1.0);
}

#[test]
fn killed_at_any_time_every_answered_text_is_there_once() {
    let mut folder = Folder::new();
    let answered = Mutex::new(BTreeSet::new());
    for round in 0..3 {
        let server = Server::start(folder).ready();
        let killed = AtomicBool::new(false);
        let inbound = server.inbound;
        folder = std::thread::scope(|scope| {
            for sender in 0..8 {
                let (answered, killed) = (&answered, &killed);
                scope.spawn(move || push_until_killed(inbound, round, sender, answered, killed));
            }
            let enough = (round + 1) * 60;
            wait_until("enough texts were answered", || answered.lock().expect("a lock").len() >= enough);
            let folder = server.kill();
            killed.store(true, Ordering::SeqCst);
            folder
        });
    }
    let server = Server::start(folder).ready();
    let stored = texts(&server, "highways");
    let unique: BTreeSet<_> = stored.iter().cloned().collect();
    assert_eq!(stored.len(), unique.len(), "a text is stored twice");
    let answered = answered.into_inner().expect("a lock");
    assert!(answered.is_subset(&unique), "lost: {:?}", answered.difference(&unique).collect::<Vec<_>>());
}

/// Sends until the server is gone; keeps what was answered 200.
fn push_until_killed(
    inbound: std::net::SocketAddr,
    round: usize,
    sender: usize,
    answered: &Mutex<BTreeSet<String>>,
    killed: &AtomicBool,
) {
    for number in 0.. {
        let text = format!("snow {round} {sender} {number}");
        let sms = Sms::new(&text, &text);
        let status = std::panic::catch_unwind(|| push(inbound, &sms).status);
        match status {
            Ok(status) => {
                assert_eq!(status, 200);
                answered.lock().expect("a lock").insert(text);
            }
            // The connection broke: nothing was promised.
            Err(_) if killed.load(Ordering::SeqCst) => return,
            Err(_) => {}
        }
        if killed.load(Ordering::SeqCst) {
            return;
        }
    }
}

#[test]
fn a_retry_is_answered_200_and_stored_once_across_a_restart() {
    let server = Server::start(Folder::new()).ready();
    let sms = Sms::new("same", "snow here");
    assert_eq!(server.push(&sms).status, 200);
    assert_eq!(server.push(&sms).status, 200);
    let server = Server::start(server.kill()).ready();
    assert_eq!(server.push(&sms).status, 200);
    assert_eq!(texts(&server, "highways"), ["snow here"]);
    assert_eq!(server.metric("sms_router_duplicates_total{account=\"demo\"}"), 1.0);
}

#[test]
fn twins_pushed_at_once_are_stored_once() {
    let server = Server::start(Folder::new()).ready();
    let sms = Sms::new("twin", "snow twin");
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert_eq!(push(server.inbound, &sms).status, 200));
        }
    });
    assert_eq!(texts(&server, "highways"), ["snow twin"]);
}

#[test]
fn the_same_id_with_other_content_is_a_text_of_its_own() {
    let server = Server::start(Folder::new()).ready();
    for text in ["snow one", "snow two", "snow two", "snow one"] {
        assert_eq!(server.push(&Sms::new("reused", text)).status, 200);
    }
    let records = feed::records(server.api, "highways");
    let texts: Vec<_> = records.iter().map(|record| record["text"].as_str().expect("a text")).collect();
    assert_eq!(texts, ["snow one", "snow two"]);
    assert_ne!(records[0]["id"], records[1]["id"]);
    assert_eq!(records[1]["flags"], serde_json::json!(["carrier_id_reused"]));
    // After a restart the store knows what memory forgot.
    let server = Server::start(server.kill()).ready();
    assert_eq!(server.push(&Sms::new("reused", "snow two")).status, 200);
    assert_eq!(feed::records(server.api, "highways").len(), 2);
}

#[test]
fn a_batch_is_answered_when_all_of_it_is_stored() {
    let server = Server::start(Folder::new()).ready();
    let data: Vec<_> = (0..50)
        .map(|number| serde_json::json!({ "id": format!("b{number}"), "from": "+447700900123", "to": "86555", "text": format!("snow {number}") }))
        .collect();
    let body = serde_json::json!({ "type": "sms.received", "timestamp": "2026-11-21T10:00:00Z", "data": data });
    assert_eq!(push_body(server.inbound, "demo", body.to_string().as_bytes()).status, 200);
    let expected: Vec<_> = (0..50).map(|number| format!("snow {number}")).collect();
    assert_eq!(texts(&server, "highways"), expected, "in the order of the batch");
}

#[test]
fn a_wish_about_contact_is_routed_and_recorded() {
    let server = Server::start(Folder::new()).ready();
    assert_eq!(server.push(&Sms::new("1", " Stop. ")).status, 200);
    let record = feed::records(server.api, "contact-centre").remove(0);
    assert_eq!(record["consent"], "stop");
    assert_eq!(record["text"], " Stop. ", "exactly as received");
}

#[test]
fn what_a_later_release_wrote_is_handed_on_as_it_is() {
    let server = Server::start(Folder::new()).ready();
    assert_eq!(server.push(&Sms::new("1", "Snow on Main St")).status, 200);
    let mut expected = feed::records(server.api, "highways").remove(0);
    let folder = server.kill();
    expected["rule"] = serde_json::json!({"kind": "phrase", "phrase": ["snow", "main st"], "score": 0.25});
    expected["consent"] = "pause".into();
    expected["flags"] = serde_json::json!(["translated"]);
    expected["media"] = serde_json::json!([{"url": "https://media.example/1", "bytes": 7}]);
    expected["language"] = "cy".into();
    let value = expected.to_string().into_bytes();
    let store = Connection::open(folder.path("data/sms-router.sqlite")).expect("the store");
    let changed = store.execute("UPDATE log SET value = ?1 WHERE stream = 'highways'", [&value]).expect("changed");
    let copied = store.execute("UPDATE audit SET content = ?1", [[&[0], &value[..]].concat()]).expect("changed");
    assert_eq!((changed, copied), (1, 1));
    drop(store);
    let server = Server::start(folder).ready();
    assert_eq!(feed::records(server.api, "highways"), [expected.clone()]);
    let json = |arguments: &[&str]| {
        let (code, out, err) = said(&server.folder.run(arguments));
        assert_eq!((code, out.lines().count()), (Some(0), 1), "{arguments:?}: {out}{err}");
        serde_json::from_str::<Value>(&out).expect("JSON")
    };
    let id = expected["id"].as_str().expect("an id");
    let question = ["archive", "get", "--id", id, "--reason", "a request"];
    assert_eq!(json(&question)["department"], "highways");
    assert_eq!(json(&[&question[..], &["--show-text"]].concat())["record"], expected);
}

#[test]
fn the_feed_opens_to_its_own_token_only() {
    let server = Server::start(Folder::new()).ready();
    server.push(&Sms::new("1", "snow"));
    for (department, token, status) in [
        ("highways", "token of highways", 200),
        ("highways", "token of parking", 403),
        ("highways", "guess", 401),
        ("nowhere", "token of parking", 403),
    ] {
        assert_eq!(feed::ask(server.api, department, token, "").status, status, "{department} {token}");
    }
    assert_eq!(http::get(server.api, "/v1/departments/highways/messages").status, 401);
    assert_eq!(http::get(server.api, "/").status, 404);
    let answer = feed::ask(server.api, "highways", "token of highways", "");
    assert_eq!(answer.header("content-type"), Some("application/cloudevents-batch+json"));
    let events: Vec<Value> = serde_json::from_slice(&answer.body).expect("a batch");
    assert_eq!(events[0]["specversion"], "1.0");
    assert_eq!(events[0]["type"], "sms-router.message.received.v1");
    assert_eq!(events[0]["source"], "https://sms.example.gov.uk/accounts/demo");
    assert_eq!(events[0]["id"], events[0]["data"]["id"]);
}

#[test]
fn the_feed_goes_on_after_an_id_and_waits_for_the_next() {
    let server = Server::start(Folder::new()).ready();
    for number in 0..5 {
        server.push(&Sms::new(&number.to_string(), &format!("snow {number}")));
    }
    let answer = feed::ask(server.api, "highways", "token of highways", "limit=2");
    let events: Vec<Value> = serde_json::from_slice(&answer.body).expect("a batch");
    assert_eq!(events.len(), 2);
    let last = feed::records(server.api, "highways").last().expect("five")["id"].as_str().expect("an id").to_owned();
    let waiting = std::thread::spawn({
        let api = server.api;
        move || feed::ask(api, "highways", "token of highways", &format!("lastEventId={last}&timeout=30000"))
    });
    wait_until("the poll is open", || server.metric("sms_router_connections{listener=\"api\"}") >= 1.0);
    server.push(&Sms::new("6", "snow 6"));
    let events: Vec<Value> = serde_json::from_slice(&waiting.join().expect("the poll").body).expect("a batch");
    assert_eq!(events[0]["data"]["text"], "snow 6");
    let gone = "lastEventId=00000000-0000-4000-8000-000000000000";
    assert_eq!(feed::ask(server.api, "highways", "token of highways", gone).status, 410);
    assert_eq!(feed::ask(server.api, "highways", "token of highways", "limit=x").status, 400);
}

#[test]
fn one_departments_polls_leave_places_for_the_others() {
    let settings = SETTINGS.replacen("[monitoring]", "connections_max = 16\n[monitoring]", 1);
    let server = Server::start(Folder::with(&settings, ROUTES)).ready();
    let poll = |department: &str| {
        let mut stream = http::connect(server.api);
        let head = format!(
            "GET /v1/departments/{department}/messages?timeout=60000 HTTP/1.1\r\nhost: test\r\nconnection: close\r\nauthorization: Bearer token of {department}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("sent");
        stream
    };
    // A quarter of the places, then none; who is refused leaves.
    let waiting: Vec<_> = (0..12).map(|_| poll("parking")).collect();
    let mut refused = 0;
    wait_until("those beyond the share are refused", || {
        refused = waiting.iter().filter(|stream| !is_silent(stream)).count();
        refused >= 8
    });
    assert_eq!(refused, 8);
    let answer = feed::ask(server.api, "parking", "token of parking", "timeout=60000");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.header("retry-after").is_some());
    let answer = feed::ask(server.api, "parking", "token of parking", "");
    assert_eq!((answer.status, answer.text().as_str()), (200, "[]"), "without a wait it is answered");
    let other = poll("highways");
    assert_eq!(server.push(&Sms::new("1", "snow")).status, 200);
    assert!(http::answer(other).text().contains("snow"), "another department waits and is told");
    assert_eq!(server.push(&Sms::new("2", "park pay")).status, 200);
    let told = waiting.into_iter().map(http::answer).filter(|answer| answer.status == 200);
    assert_eq!(told.count(), 4, "those that waited");
}

fn is_silent(stream: &std::net::TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let silent = stream.peek(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
    stream.set_nonblocking(false).expect("a socket");
    silent
}

#[test]
fn strangers_at_the_api_give_way_to_who_has_a_token() {
    let settings = SETTINGS.replacen("[monitoring]", "connections_max = 4\n[monitoring]", 1);
    let server = Server::start(Folder::with(&settings, ROUTES)).ready();
    let strangers: Vec<_> = (0..4)
        .map(|_| {
            let mut stream = http::connect(server.api);
            stream.write_all(b"GET /v1/departments/highways/messages HTTP/1.1\r\nhost: test\r\n\r\n").expect("sent");
            wait_until("it is refused", || !is_silent(&stream));
            stream
        })
        .collect();
    assert_eq!(feed::ask(server.api, "highways", "token of highways", "").status, 200);
    assert_eq!(server.metric("sms_router_connections_gave_way_total{listener=\"api\"}"), 1.0);
    drop(strangers);
}

#[test]
fn a_store_whose_files_were_removed_takes_nothing() {
    let mut server = Server::start(Folder::new()).ready();
    assert_eq!(server.push(&Sms::new("1", "snow")).status, 200);
    for file in ["sms-router.sqlite", "sms-router.sqlite-wal", "sms-router.sqlite-shm"] {
        std::fs::remove_file(server.folder.path("data").join(file)).expect("removed");
    }
    for number in 2..5 {
        assert_eq!(server.push(&Sms::new(&number.to_string(), "snow")).status, 503);
    }
    server.wait_for_log("sms-router.sqlite was removed or replaced");
    let said = server.log().iter().filter(|line| line.contains("was removed or replaced")).count();
    assert_eq!(said, 1, "once, not for every text");
    let verbose = http::get(server.monitoring, "/readyz?verbose").text();
    assert!(verbose.contains("[!] takes texts: embedded store ("), "{verbose}");
    let server = Server::start(server.kill()).ready();
    assert_eq!(server.push(&Sms::new("2", "snow")).status, 200, "after a restart it goes on");
    assert_eq!(texts(&server, "highways"), ["snow"]);
}

#[test]
fn another_process_on_the_folder_is_refused() {
    let server = Server::start(Folder::new()).ready();
    let output = server.folder.run(&["serve"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("another process"), "{said}");
}

#[test]
fn audit_copies_are_read_with_a_reason_that_is_kept() {
    let server = Server::start(Folder::new()).ready();
    server.push(&Sms::new("1", "snow private words"));
    let folder = &server.folder;
    let hidden = folder.run(&["archive", "get", "--sender", "07700 900123", "--reason", "subject access 17"]);
    let (code, out, err) = crate::harness::said(&hidden);
    assert_eq!((code, out.lines().count()), (Some(0), 1), "{out} {err}");
    assert!(!out.contains("private") && !out.contains("447700900123"), "{out}");
    let shown =
        folder.run(&["archive", "get", "--sender", "+447700900123", "--reason", "subject access 17", "--show-text"]);
    let (_, out, _) = crate::harness::said(&shown);
    let copy: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(copy["record"]["text"], "snow private words");
    let received: jiff::Timestamp = copy["record"]["received_at"].as_str().expect("a time").parse().expect("a time");
    let expires: jiff::Timestamp = copy["expires_at"].as_str().expect("a time").parse().expect("a time");
    assert_eq!(expires, sms_router::message::expires_at(received));
    let id = copy["record"]["id"].as_str().expect("an id");
    let (code, out, _) = crate::harness::said(&folder.run(&["archive", "get", "--id", id, "--reason", "complaint"]));
    assert_eq!((code, out.lines().count()), (Some(0), 1));
    let between = [
        "archive",
        "get",
        "--department",
        "highways",
        "--since",
        "2020-01-01",
        "--until",
        "2099-01-01",
        "--reason",
        "audit",
    ];
    assert_eq!(crate::harness::said(&folder.run(&between)).1.lines().count(), 1);
    assert_eq!(folder.run(&["archive", "get", "--id", id, "--reason", " "]).status.code(), Some(64));
    assert_eq!(folder.run(&["archive", "get", "--id", id]).status.code(), Some(64));
    let log = rusqlite::Connection::open(folder.path("data/sms-router.sqlite")).expect("the store");
    let readings: u32 = log.query_row("SELECT count(*) FROM access_log", [], |row| row.get(0)).expect("a count");
    assert_eq!(readings, 4);
}

#[test]
fn questions_about_what_nobody_knows_are_told_apart_from_empty_answers() {
    let server = Server::start(Folder::new()).ready();
    server.push(&Sms::new("1", "snow"));
    push_body(server.inbound, "demo", b"not a text");
    let folder = server.kill();
    let ask = |department: &str, since: &str, until: &str| {
        let question = ["--department", department, "--since", since, "--until", until, "--reason", "audit"];
        crate::harness::said(&folder.run(&[&["archive", "get"][..], &question].concat()))
    };
    for (department, since, until, code, words) in [
        ("nowhere", "2020-01-01", "2099-01-01", 1, "no department nowhere is known"),
        ("parking", "2020-01-01", "2099-01-01", 0, "no audit copy answers"),
        ("highways", "2099-01-01", "2020-01-01", 64, "--since must be before --until"),
        ("highways", "2020-01-01", "9999-12-31", 64, "--until is later than any time this program knows: 9999-12-30"),
        ("highways", "tomorrow", "9999-12-31", 64, "--since is not a time"),
    ] {
        let (status, out, err) = ask(department, since, until);
        assert!(status == Some(code) && err.contains(words) && out.is_empty(), "{department} {since} {until}: {err}");
    }
    // Its copies outlive a department.
    folder.write(
        "routes.toml",
        "[[department]]\nname = \"parking\"\n[[number]]\nnumber = \"*\"\ndefault = \"parking\"\n",
    );
    let settings = SETTINGS.replace("[departments.highways]\ntokens = [{ file = \"token-highways\" }]", "");
    folder.write("sms-router.toml", &settings);
    let (status, out, err) = ask("highways", "2020-01-01", "2099-01-01");
    assert!(status == Some(0) && out.lines().count() == 1 && err.contains("highways any more"), "{out}{err}");
    let letters = |account: &str| crate::harness::said(&folder.run(&["dead-letter", "list", "--account", account]));
    let (status, out, err) = letters("nobody");
    assert!(status == Some(1) && out.is_empty() && err.contains("no account nobody is known"), "{out}{err}");
    assert_eq!(letters("demo").0, Some(0));
    assert_eq!(letters("demo").1.lines().count(), 1);
}
