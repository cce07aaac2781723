//! Bad input and bad surroundings: a clear answer, nothing lost.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use serde_json::{Value, json};

use crate::harness::{Folder, ROUTES, SETTINGS, Server, Sms, feed, http, push_body, said, signature, wait_until};
use crate::overload::carrier;

fn records(server: &Server, department: &str) -> Vec<Value> {
    feed::records(server.api, department)
}

#[test]
fn what_is_not_proven_is_refused_and_counted() {
    let server = Server::start(Folder::new()).ready();
    let body = Sms::new("1", "snow").body();
    let mut changed = body.clone();
    let last = changed.len() - 3;
    changed[last] ^= 1;
    let signed = signature(&body);
    let unsigned = [("content-type".to_owned(), "application/json".to_owned())];
    for (headers, body, reason) in [(&signed[..], &changed, "mismatch"), (&unsigned[..], &body, "missing")] {
        let answer = http::request(server.inbound, "POST", "/inbound/demo", headers, body);
        assert_eq!((answer.status, answer.body.len()), (403, 0), "{reason}");
        let series = format!("sms_router_signature_failures_total{{account=\"demo\",reason=\"{reason}\"}}");
        assert_eq!(server.metric(&series), 1.0, "{reason}");
    }
    assert_eq!(records(&server, "highways").len(), 0);
}

#[test]
fn who_says_no_more_behind_its_request_is_answered() {
    let server = Server::start(Folder::new()).ready();
    for number in 0..20 {
        let mut stream = TcpStream::connect(server.inbound).expect("a connection");
        stream.write_all(&carrier::request("demo", &Sms::new(&number.to_string(), "snow"))).expect("the request");
        stream.shutdown(Shutdown::Write).expect("no more to say");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the answer, and the end");
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
    }
    assert_eq!(records(&server, "highways").len(), 20);
}

#[test]
fn a_request_whose_end_is_missing_is_no_text() {
    let server = Server::start(Folder::new()).ready();
    let sms = Sms::new("1", "snow");
    let (whole, length) = (String::from_utf8(carrier::request("demo", &sms)).expect("ASCII"), sms.body().len());
    let said = format!("content-length: {length}\r\n");
    let one_more = whole.replacen(&said, &format!("content-length: {}\r\n", length + 1), 1);
    let chunked = whole.replacen(&said, "transfer-encoding: chunked\r\n", 1);
    let chunked = chunked.replacen("\r\n\r\n", &format!("\r\n\r\n{length:x}\r\n"), 1);
    for request in [one_more, chunked] {
        let mut stream = http::connect(server.inbound);
        stream.write_all(request.as_bytes()).expect("sent");
        stream.shutdown(Shutdown::Write).expect("no more to say");
        assert_eq!(http::answer(stream).status, 400, "{request:?}");
    }
    assert_eq!(records(&server, "highways").len(), 0);
}

#[test]
fn only_the_two_methods_and_paths_lead_in() {
    let server = Server::start(Folder::new()).ready();
    for (method, path, status) in [
        ("POST", "/inbound/nobody", 404),
        ("POST", "/inbound/", 404),
        ("GET", "/", 404),
        ("GET", "/metrics", 404),
        ("PUT", "/inbound/demo", 405),
        ("DELETE", "/inbound/demo", 405),
    ] {
        let answer = http::request(server.inbound, method, path, &[], b"");
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!((answer.body.len(), answer.header("server")), (0, None), "no banner");
    }
    assert_eq!(server.metric("sms_router_webhook_requests_total{account=\"unknown\",code=\"404\"}"), 4.0);
}

#[test]
fn what_cannot_be_parsed_is_kept_once_and_answered_400() {
    let server = Server::start(Folder::new()).ready();
    for body in ["not json", "{}", "{\"type\": \"sms.received\", \"data\": {\"from\": \"+447700900123\"}}"] {
        for _ in 0..2 {
            assert_eq!(push_body(server.inbound, "demo", body.as_bytes()).status, 400, "{body}");
        }
    }
    let store = rusqlite::Connection::open(server.folder.path("data/sms-router.sqlite")).expect("the store");
    let count = "SELECT count(*) FROM log WHERE stream = 'sms-router.dead-letter'";
    let kept: u32 = store.query_row(count, [], |row| row.get(0)).expect("a count");
    assert_eq!(kept, 3, "a retry adds nothing");
}

#[test]
fn strange_texts_are_texts() {
    let server = Server::start(Folder::new()).ready();
    let long = format!("snow {}", "x".repeat(60_000));
    let strange = ["", "\0", "snow \0 nul", "\u{202e}snow", "👨‍👩‍👧‍👦", "\u{feff}Snow bom", "ｓｎｏｗ wide", &long];
    for (number, text) in strange.iter().enumerate() {
        assert_eq!(server.push(&Sms::new(&number.to_string(), text)).status, 200, "{text:?}");
    }
    let mut stored: Vec<String> = Vec::new();
    for department in ["highways", "contact-centre"] {
        stored.extend(
            records(&server, department).iter().map(|record| record["text"].as_str().expect("text").to_owned()),
        );
    }
    for text in strange {
        assert!(stored.iter().any(|found| found == text), "{text:?} is stored as it came");
    }
    assert_eq!(records(&server, "highways").len(), 5, "nul, direction mark, bom, wide and long are snow");
}

#[test]
fn a_lone_surrogate_is_kept_as_bytes_for_the_default() {
    let server = Server::start(Folder::new()).ready();
    let body = br#"{"type":"sms.received","timestamp":"2026-11-21T10:00:00Z","data":{"id":"1","from":"+447700900123","to":"86555","text":"snow \ud83d"}}"#;
    assert_eq!(push_body(server.inbound, "demo", body).status, 200);
    let record = records(&server, "contact-centre").remove(0);
    assert_eq!((&record["text"], &record["flags"]), (&json!(""), &json!(["undecodable"])));
    assert!(record["raw"].is_string());
}

#[test]
fn too_large_too_slow_and_cut_off_are_told_apart() {
    let settings = SETTINGS.replace("url = \"https", "body_timeout_ms = 300\nurl = \"https");
    let server = Server::start(Folder::with(&settings, ROUTES)).ready();
    let large = vec![b'x'; 70_000];
    assert_eq!(push_body(server.inbound, "demo", &large).status, 413);
    let mut chunked = http::connect(server.inbound);
    let head = "POST /inbound/demo HTTP/1.1\r\nhost: test\r\nconnection: close\r\nwebhook-signature: v1,x\r\ntransfer-encoding: chunked\r\n\r\n";
    chunked.write_all(head.as_bytes()).expect("sent");
    let _ = chunked.write_all(b"20000\r\n").and_then(|()| chunked.write_all(&vec![b'x'; 0x20000]));
    assert_eq!(http::answer(chunked).status, 413, "without a length too");
    let mut slow = http::connect(server.inbound);
    slow.write_all(
        b"POST /inbound/demo HTTP/1.1\r\nhost: test\r\nconnection: close\r\nwebhook-signature: v1,x\r\ncontent-length: 100\r\n\r\nhalf",
    )
    .expect("sent");
    assert_eq!(http::answer(slow).status, 408);
    let mut cut = http::connect(server.inbound);
    cut.write_all(b"POST /inbound/demo HTTP/1.1\r\nhost: test\r\ncontent-length: 100\r\n\r\nhalf").expect("sent");
    drop(cut);
    assert_eq!(server.push(&Sms::new("1", "snow")).status, 200, "others are served all the same");
}

#[test]
fn more_than_the_bound_is_refused_before_it_is_read() {
    let settings = SETTINGS.replace("url = \"https", "in_flight_max = 10\nurl = \"https");
    let server = Server::start(Folder::with(&settings, ROUTES)).ready();
    let data: Vec<_> = (0..11)
        .map(|number| json!({ "id": format!("{number}"), "from": "+447700900123", "to": "86555", "text": "snow" }))
        .collect();
    let batch = json!({ "type": "sms.received", "timestamp": "2026-11-21T10:00:00Z", "data": data }).to_string();
    let answer = push_body(server.inbound, "demo", batch.as_bytes());
    assert_eq!(answer.status, 503, "a batch counts as its texts");
    let seconds: u32 = answer.header("retry-after").and_then(|value| value.parse().ok()).expect("Retry-After");
    assert!((1..=10).contains(&seconds));
    assert_eq!(server.metric("sms_router_shed_total{reason=\"in_flight\"}"), 1.0);
    assert_eq!(server.metric("sms_router_in_flight_messages"), 0.0);
    assert_eq!(records(&server, "highways").len(), 0, "none of it was stored");
}

#[test]
fn a_number_outside_the_table_goes_to_dead_letter() {
    let mut server = Server::start(Folder::new()).ready();
    assert_eq!(server.push(&Sms::new("1", "snow").to("60006")).status, 200);
    assert_eq!(server.metric("sms_router_unknown_numbers_total"), 1.0);
    assert_eq!(server.metric("sms_router_dead_letters_total{account=\"demo\",reason=\"unknown_number\"}"), 1.0);
    server.wait_for_log("kept in dead-letter");
}

#[test]
fn texts_without_a_destination_are_kept_whatever_their_ids() {
    let server = Server::start(Folder::new()).ready();
    for (id, text, to) in
        [("a", "snow known", "86555"), ("a", "lost 1", "60006"), ("b", "lost 2", "60006"), ("b", "lost 3", "60006")]
    {
        assert_eq!(server.push(&Sms::new(id, text).to(to)).status, 200, "{text}");
        assert_eq!(server.push(&Sms::new(id, text).to(to)).status, 200, "{text}, sent again");
    }
    let store = rusqlite::Connection::open(server.folder.path("data/sms-router.sqlite")).expect("the store");
    let count = "SELECT count(*) FROM log WHERE stream = 'sms-router.dead-letter'";
    let kept: u32 = store.query_row(count, [], |row| row.get(0)).expect("a count");
    assert_eq!(kept, 3, "each once");
    assert_eq!(server.metric("sms_router_dead_letters_total{account=\"demo\",reason=\"unknown_number\"}"), 3.0);
}

#[test]
fn announced_bodies_that_never_come_hold_up_nobody() {
    let settings = SETTINGS.replace("url = \"https", "body_bytes_max = 65536\nurl = \"https");
    let server = Server::start(Folder::with(&settings, ROUTES)).ready();
    let head = "POST /inbound/demo HTTP/1.1\r\nhost: test\r\nwebhook-signature: v1,x\r\ncontent-length: 65536\r\n\r\n";
    let strangers: Vec<_> = (0..50)
        .map(|_| {
            let mut stranger = http::connect(server.inbound);
            stranger.write_all(head.as_bytes()).expect("sent");
            stranger
        })
        .collect();
    wait_until("they are connected", || server.metric("sms_router_connections{listener=\"inbound\"}") >= 50.0);
    assert_eq!(server.push(&Sms::new("1", "snow")).status, 200);
    drop(strangers);
}

#[test]
fn ten_thousand_keywords_in_one_file() {
    let words: String = (0..10_000)
        .map(|number| format!("[[keyword]]\nnumber = \"86555\"\nword = \"word{number}\"\ndepartment = \"highways\"\n"))
        .collect();
    let server = Server::start(Folder::with(SETTINGS, &format!("{ROUTES}{words}"))).ready();
    assert_eq!(server.push(&Sms::new("1", "word9999 now")).status, 200);
    assert_eq!(records(&server, "highways")[0]["keyword"], "word9999");
    assert!(!server.metrics().contains("sms_router_keyword_messages_total{"), "too many to count one by one");
}

/// What a start is refused with: exit code and words of the message.
fn refused(folder: &Folder, code: i32, words: &[&str]) {
    let (status, _, err) = said(&folder.run(&["serve"]));
    assert_eq!(status, Some(code), "{err}");
    for word in words {
        assert!(err.contains(word), "{word:?} is not in: {err}");
    }
}

#[test]
fn every_problem_of_a_file_is_named_at_once_with_its_line() {
    let settings = SETTINGS
        .replace("carrier = \"generic\"", "carrier = \"pigeon\"")
        .replace("routes = \"routes.toml\"", "routes = \"routes.toml\"\ncolour = 3")
        .replace("sender_key = { file = \"sender-key\" }", "sender_key = { file = \"nowhere\" }");
    let routes = ROUTES.replace("department = \"parking\"", "department = \"parkin\"");
    let folder = Folder::with(&settings, &routes);
    let (code, out, _) = said(&folder.run(&["check"]));
    assert_eq!(code, Some(1), "{out}");
    for words in ["colour", "is not a setting", "pigeon", "nowhere", "parkin", "sms-router.toml:3", "routes.toml:"] {
        assert!(out.contains(words), "{words:?} is not in: {out}");
    }
    refused(&folder, 78, &["colour", "pigeon", "nowhere"]);
}

#[test]
fn what_is_missing_or_wrong_makes_no_other_key_unknown() {
    let publish = "[publish]\nto = \"kafka\"\nclient = \"pigeon\"\nproducers = 3\n[publish.topics]\nreplication = 1\n";
    let (code, out, _) = said(&Folder::with(&format!("{SETTINGS}{publish}"), ROUTES).run(&["check"]));
    assert_eq!(code, Some(1), "{out}");
    for words in ["publish.brokers: is missing", "publish.client: \"pigeon\" is neither"] {
        assert!(out.contains(words), "{words:?} is not in: {out}");
    }
    assert!(!out.contains("is not a setting"), "{out}");
}

#[test]
fn what_serve_would_refuse_is_refused_by_check_with_its_place() {
    let with = |from: &str, to: &str| Folder::with(&SETTINGS.replacen(from, to, 1), ROUTES);
    let api = "[api]\nlisten = \"127.0.0.1:0\"";
    let inbound = "[inbound]\nlisten = \"127.0.0.1:0\"";
    for (folder, place, words) in [
        (
            with(api, "[log]\nlevel = \"loud\"\n[api]\nlisten = \"127.0.0.1:0\""),
            "sms-router.toml:8: log.level: ",
            "is no level",
        ),
        (
            with(api, "[log]\nlevel = \"info,a=b=c\"\n[api]\nlisten = \"127.0.0.1:0\""),
            "sms-router.toml:8: log.level: ",
            "cannot be read",
        ),
        (
            Folder::with(
                &SETTINGS.replacen(api, "[api]\nlisten = \"127.0.0.1:47113\"", 1).replacen(
                    inbound,
                    "[inbound]\nlisten = \"127.0.0.1:47113\"",
                    1,
                ),
                ROUTES,
            ),
            "sms-router.toml:8: api.listen: ",
            "taken by inbound.listen",
        ),
    ] {
        for (command, code) in [("serve", 78), ("check", 1)] {
            let (status, out, err) = said(&folder.run(&[command]));
            let told = format!("{out}{err}");
            assert!(status == Some(code) && told.contains(place) && told.contains(words), "{place}{words}: {told}");
        }
    }
    let folder = Folder::new();
    let mut command = crate::harness::binary();
    let command =
        command.args(["serve", "-c"]).arg(folder.path("sms-router.toml")).env("SMS_ROUTER__LOG__LEVEL", "loud");
    let (status, _, err) = said(&command.output().expect("the binary"));
    assert!(status == Some(78) && err.contains("environment SMS_ROUTER__LOG__LEVEL: log.level: "), "{err}");
}

#[test]
fn what_opens_more_than_was_meant_is_told_by_check_and_at_start() {
    use std::os::unix::fs::PermissionsExt;
    let settings = SETTINGS
        .replacen("[monitoring]", "operators = [{ file = \"token-parking\" }]\n[monitoring]", 1)
        .replace("token-contact-centre", "data/token");
    let folder = Folder::with(&settings, ROUTES);
    let mode = |name: &str, mode| {
        std::fs::set_permissions(folder.path(name), std::fs::Permissions::from_mode(mode)).expect("a mode")
    };
    std::fs::create_dir(folder.path("data")).expect("a folder");
    folder.write("data/token", "token of highways");
    mode("data", 0o750);
    mode("data/token", 0o640);
    folder.write("token-parking", "fifteen bytes..");
    let expected = [
        "sms-router.toml:3: data: ".to_owned()
            + folder.path("data").to_str().expect("a path")
            + " is open to others (mode 0750): chmod 700 ",
        format!(
            "departments.contact-centre.tokens: {} is open to others (mode 0640): chmod 600 ",
            folder.path("data/token").display()
        ),
        "sms-router.toml:9: api.operators: holds a token under 16 bytes".to_owned(),
        "departments.parking.tokens: holds a token under 16 bytes".to_owned(),
        "departments.highways.tokens: holds a token that opens the feed of contact-centre as well".to_owned(),
        "departments.parking.tokens: holds a token that opens the words in dead-letter as well".to_owned(),
    ];
    let (code, out, err) = said(&folder.run(&["check"]));
    assert_eq!(code, Some(0), "{out}{err}");
    let told: Vec<_> = out.lines().filter(|line| line.starts_with("warning: ")).collect();
    for words in &expected {
        assert!(told.iter().any(|line| line.contains(words)), "{words:?} is not in: {out}");
    }
    assert!(!out.contains("fifteen") && !out.contains("token of"), "{out}");
    let mut server = Server::start(folder).ready();
    for words in &expected {
        server.wait_for_log(words);
    }
    let (folder, _) = server.stop();
    let careful = Folder::new();
    let (_, out, _) = said(&careful.run(&["check"]));
    assert!(!out.contains("token") && !out.contains("chmod"), "{out}");
    drop(folder);
}

#[test]
fn surroundings_that_do_not_fit_are_named_with_a_remedy() {
    let two = ROUTES.replace("name = \"parking\"", "name = \"parking\"\ntopic = \"sms.highways\"");
    refused(&Folder::with(SETTINGS, &two), 78, &["routes.toml:", "sms.highways"]);
    let folder = Folder::new();
    std::fs::remove_file(folder.path("demo")).expect("removed");
    std::fs::create_dir(folder.path("demo")).expect("a folder in its place");
    refused(&folder, 78, &["accounts.demo.secrets", "cannot be read"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let settings = SETTINGS.replacen("127.0.0.1:0", &format!("127.0.0.1:{port}"), 1);
    refused(&Folder::with(&settings, ROUTES), 1, &["inbound", &port.to_string(), "in use"]);
    let folder = Folder::new();
    folder.write("data", "a file where the folder should be");
    refused(&folder, 1, &["the data folder", "cannot be used: "]);
    let strange = SETTINGS.replace("[accounts.demo]", "[accounts.\"a/b\"]");
    refused(&Folder::with(&strange, ROUTES), 78, &["accounts.a/b: \"a/b\" is not a name"]);
    let open = SETTINGS.replacen("[api]\nlisten = \"127.0.0.1:0\"", "[api]\nlisten = \"0.0.0.0:0\"", 1);
    refused(&Folder::with(&open, ROUTES), 78, &["api.listen", "plaintext"]);
    let bare = SETTINGS.replace("secrets = [{ file = \"demo\" }]", "");
    refused(&Folder::with(&bare, ROUTES), 78, &["accounts.demo.secrets"]);
}

#[test]
fn a_full_disk_is_503_and_nothing_answered_is_lost() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("data")).expect("a folder");
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=2m", "tmpfs"])
        .arg(folder.path("data"))
        .output()
        .is_ok_and(|output| output.status.success());
    if !mounted {
        eprintln!("skipped: a full disk needs a small tmpfs, which only root may mount");
        return;
    }
    let server = Server::start(folder).ready();
    let mut answered = Vec::new();
    let filler = "x".repeat(20_000);
    let mut number = 0;
    wait_until("the disk is full", || {
        number += 1;
        let text = format!("snow {number} {filler}");
        let status = server.push(&Sms::new(&number.to_string(), &text)).status;
        if status == 200 {
            answered.push(text);
        }
        status == 503
    });
    let stored: Vec<_> = records(&server, "highways").iter().map(|record| record["text"].clone()).collect();
    assert_eq!(stored, answered.iter().map(|text| json!(text)).collect::<Vec<_>>());
    let verbose = || http::get(server.monitoring, "/readyz?verbose");
    let up = || server.metric("sms_router_department_up{department=\"highways\"}");
    assert_eq!(verbose().status, 200, "it still answers carriers truthfully");
    assert!(verbose().text().contains("[!] takes texts: embedded store (the disk of"), "{}", verbose().text());
    wait_until("the departments are told", || up() == 0.0);
    let remount = std::process::Command::new("mount")
        .args(["-o", "remount,size=64m"])
        .arg(server.folder.path("data"))
        .status()
        .expect("mount");
    assert!(remount.success());
    wait_until("it finds out by itself", || up() == 1.0);
    assert!(verbose().text().contains("[+] takes texts: embedded store\n"), "{}", verbose().text());
    wait_until("it takes texts again", || server.push(&Sms::new("later", "snow later")).status == 200);
    let folder = server.kill();
    let unmounted = std::process::Command::new("umount").arg(folder.path("data")).status().expect("umount");
    assert!(unmounted.success());
}
