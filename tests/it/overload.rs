//! Too much at once, too slowly, or in strange shapes: nothing falls over, and whoever behaves is served.
//!
//! The long forms run under `tests/run extended`.

pub mod carrier;
mod slow;

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use crate::harness::{Folder, PATIENCE, ROUTES, SETTINGS, Server, Sms, feed, http, is_extended, push_body, wait_until};

use carrier::{Flood, Steady};

/// Settings with a second account and more keys of `[inbound]`.
fn folder(inbound: &str, accounts: &str) -> Folder {
    let settings = SETTINGS.replace("url = \"https", &format!("{inbound}\nurl = \"https"));
    let quiet = "[accounts.quiet]\ncarrier = \"generic\"\nsecrets = [{ file = \"demo\" }]\n";
    Folder::with(&format!("{settings}\n{quiet}{accounts}"), ROUTES)
}

/// Every text answered 200 is in the feed, once.
fn accounted_for(server: &Server, answered: &BTreeSet<String>) {
    let mut stored = Vec::new();
    for department in ["highways", "contact-centre", "parking"] {
        let records = feed::records(server.api, department);
        stored.extend(records.iter().map(|record| record["carrier_message_id"].as_str().expect("an id").to_owned()));
    }
    let unique: BTreeSet<_> = stored.iter().cloned().collect();
    assert_eq!(stored.len(), unique.len(), "a text is stored twice");
    let lost: Vec<_> = answered.difference(&unique).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
}

fn shed(server: &Server, reason: &str) -> f64 {
    server.metric(&format!("sms_router_shed_total{{reason=\"{reason}\"}}"))
}

#[test]
fn a_noisy_account_leaves_the_others_their_share() {
    let server = Server::start(folder("in_flight_max = 16\ndepartment_share_percent = 100", "")).ready();
    let noise = Flood::start(server.inbound, "demo", "snow", 32);
    wait_until("the noisy account has all it may have", || shed(&server, "account") > 0.0);
    let quiet = Steady::push(server.inbound, "quiet", "snow quiet", 50);
    assert_eq!(quiet.refused, 0, "of 50 texts");
    assert_eq!(shed(&server, "in_flight"), 0.0, "there was always room for the other account");
    let mut answered = noise.stop();
    answered.extend(quiet.answered);
    accounted_for(&server, &answered);
}

#[test]
fn a_hot_department_leaves_the_others_their_share() {
    let server = Server::start(folder("in_flight_max = 16\naccount_share_percent = 100", "")).ready();
    let snow = Flood::start(server.inbound, "demo", "snow", 32);
    wait_until("the department has all it may have", || shed(&server, "department") > 0.0);
    let parking = Steady::push(server.inbound, "demo", "park pay", 50);
    assert_eq!(parking.refused, 0, "of 50 texts");
    let mut answered = snow.stop();
    answered.extend(parking.answered);
    accounted_for(&server, &answered);
}

#[test]
fn an_account_brings_no_more_new_texts_than_it_may() {
    let accounts =
        "[accounts.capped]\ncarrier = \"generic\"\nsecrets = [{ file = \"demo\" }]\nrate_max = 1\nrate_burst = 5\n";
    let server = Server::start(folder("", accounts)).ready();
    let push = |id: &str| push_body(server.inbound, "capped", &Sms::new(id, "snow").body());
    for number in 0..5 {
        assert_eq!(push(&format!("first {number}")).status, 200, "the burst");
    }
    for number in 0..5 {
        assert_eq!(push(&format!("first {number}")).status, 200, "a text sent again is not new");
    }
    let began = Instant::now();
    let refused = std::iter::from_fn(|| Some(push("one too many"))).find(|answer| answer.status != 200);
    let refused = refused.expect("the rate");
    assert_eq!(refused.status, 503);
    assert!(refused.header("retry-after").is_some());
    assert!(shed(&server, "rate") >= 1.0);
    assert_eq!(Steady::push(server.inbound, "quiet", "snow", 20).refused, 0, "another account's texts are let in");
    wait_until("the bucket has filled again", || push("later").status == 200);
    assert!(began.elapsed() < PATIENCE);
}

#[test]
fn strangers_give_way_to_carriers() {
    let server = Server::start(folder("connections_max = 50\nheader_timeout_ms = 60000", "")).ready();
    let mut proven = http::connect(server.inbound);
    assert_eq!(carrier::exchange(&mut proven, &carrier::request("quiet", &Sms::new("first", "snow"))), Some(200));
    let open = || server.metric("sms_router_connections{listener=\"inbound\"}");
    let strangers: Vec<_> = (0..200).map(|_| http::connect(server.inbound)).collect();
    wait_until("every place is taken", || open() >= 50.0);
    let steady = Steady::push(server.inbound, "quiet", "snow steady", 100);
    assert_eq!(steady.refused, 0, "each on a connection of its own, while strangers hold every place");
    let request = carrier::request("quiet", &Sms::new("last", "snow"));
    assert_eq!(carrier::exchange(&mut proven, &request), Some(200), "who has proven itself stays");
    assert!(server.metric("sms_router_connections_gave_way_total{listener=\"inbound\"}") >= 150.0);
    assert!(open() <= 50.0);
    drop(strangers);
    accounted_for(&server, &steady.answered);
}

#[test]
fn short_connections_in_great_number() {
    let server = Server::start(folder("", "")).ready();
    let count = if is_extended() { 100_000 } else { 3_000 };
    let steady = Steady::start(server.inbound, "quiet", "snow steady");
    slow::short_connections(server.inbound, count);
    let steady = steady.stop();
    assert!(!steady.answered.is_empty());
    assert_eq!(steady.refused, 0);
    wait_until("they are all closed", || server.metric("sms_router_connections{listener=\"inbound\"}") == 0.0);
    accounted_for(&server, &steady.answered);
}

#[test]
fn open_connections_cost_little_memory() {
    let wanted = if is_extended() { 10_000 } else { 1_000 };
    let count = slow::allowed(wanted);
    let inbound = format!("connections_max = {}\nheader_timeout_ms = 300000\nbody_timeout_ms = 60000", count + 200);
    let server = Server::start(folder(&inbound, "")).ready();
    let before = slow::memory_peak_mib(server.pid());
    let steady = Steady::start(server.inbound, "quiet", "snow steady");
    let crowd = slow::open(server.inbound, count);
    wait_until("they are all open", || server.metric("sms_router_connections{listener=\"inbound\"}") >= count as f64);
    let steady = steady.stop();
    let peak = slow::memory_peak_mib(server.pid());
    println!("{count} connections, most of them slow: {peak} MiB at most, {before} MiB before them");
    assert_eq!(steady.refused, 0);
    assert!(peak <= 256, "{peak} MiB");
    drop(crowd);
    accounted_for(&server, &steady.answered);
}

#[test]
fn slow_and_silent_clients_are_let_go() {
    let server = Server::start(folder("header_timeout_ms = 300\nbody_timeout_ms = 300", "")).ready();
    let crowd = slow::open(server.inbound, 200);
    let steady = Steady::push(server.inbound, "quiet", "snow steady", 20);
    assert_eq!(steady.refused, 0);
    // The sockets stay half open on this side; the server's are gone all the same.
    wait_until("the server has let go of them", || {
        server.metric("sms_router_connections{listener=\"inbound\"}") == 0.0
    });
    drop(crowd);
}

/// Everything the server says on one connection after these bytes: the statuses of its answers.
fn statuses(server: SocketAddr, bytes: &[u8]) -> Vec<u16> {
    let mut stream = http::connect(server);
    // A server that has seen enough closes before all is sent: its answer still counts.
    let _ = stream.write_all(bytes);
    let mut said = Vec::new();
    let _ = stream.read_to_end(&mut said);
    let _ = stream.shutdown(Shutdown::Both);
    let said = String::from_utf8_lossy(&said).into_owned();
    said.split("HTTP/1.1 ").skip(1).map(|answer| answer[..3].parse().expect("a status")).collect()
}

/// One that gets as far as its body: `authenticate_head` finds a signature.
const SIGNED: &str = "POST /inbound/demo HTTP/1.1\r\nhost: t\r\nwebhook-signature: v1,x\r\n";
const POST: &str = "POST /inbound/demo HTTP/1.1\r\nhost: t\r\n";
const HIDDEN: &str = "PUT /inbound/demo HTTP/1.1\r\nhost: t\r\n\r\n";

#[test]
fn requests_of_doubtful_shape_end_their_connection() {
    let server = Server::start(folder("header_timeout_ms = 300", "")).ready();
    let long = "x".repeat(70_000);
    let many = "x: y\r\n".repeat(101);
    for (what, request, expected) in [
        // Two ends of one body: what is hidden behind the one we see is never a request.
        (
            "length, then chunked",
            format!("{POST}content-length: 6\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"),
            &[403][..],
        ),
        (
            "chunked, then length",
            format!("{POST}transfer-encoding: chunked\r\ncontent-length: 6\r\n\r\n0\r\n\r\n{HIDDEN}"),
            &[403],
        ),
        ("two lengths", format!("{POST}content-length: 0\r\ncontent-length: 5\r\n\r\n{HIDDEN}"), &[400]),
        ("two lengths in one", format!("{POST}content-length: 0, 5\r\n\r\n{HIDDEN}"), &[400]),
        ("a length with a sign", format!("{POST}content-length: +5\r\n\r\n{HIDDEN}"), &[400]),
        ("a negative length", format!("{POST}content-length: -1\r\n\r\n{HIDDEN}"), &[400]),
        ("a hexadecimal length", format!("{POST}content-length: 0x0\r\n\r\n{HIDDEN}"), &[400]),
        ("an endless length", format!("{POST}content-length: 99999999999999999999\r\n\r\n{HIDDEN}"), &[400]),
        ("chunked is not the last", format!("{POST}transfer-encoding: chunked, identity\r\n\r\n{HIDDEN}"), &[400]),
        ("almost chunked", format!("{POST}transfer-encoding: xchunked\r\n\r\n{HIDDEN}"), &[400]),
        (
            "chunked twice over",
            format!("{POST}transfer-encoding: chunked\r\ntransfer-encoding: identity\r\n\r\n{HIDDEN}"),
            &[400],
        ),
        (
            "chunked in 1.0",
            format!("{}transfer-encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}", POST.replace("1.1", "1.0")),
            &[400],
        ),
        ("a chunk size that is none", format!("{SIGNED}transfer-encoding: chunked\r\n\r\nzz\r\n{HIDDEN}"), &[400]),
        (
            "an endless chunk size",
            format!("{SIGNED}transfer-encoding: chunked\r\n\r\n{}\r\n{HIDDEN}", "f".repeat(17)),
            &[400],
        ),
        (
            "a chunk longer than it says",
            format!("{SIGNED}transfer-encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n{HIDDEN}"),
            &[400],
        ),
        ("an endless chunk extension", format!("{SIGNED}transfer-encoding: chunked\r\n\r\n1;{long}\r\n"), &[400]),
        // Heads that others may read otherwise.
        ("a folded line", format!("{POST}x: y\r\n z: content-length: 5\r\n\r\n{HIDDEN}"), &[400]),
        ("a blank before the colon", format!("{POST}content-length : 5\r\n\r\n{HIDDEN}"), &[400]),
        ("a bare CR", format!("{POST}x: y\rz\r\n\r\n{HIDDEN}"), &[400]),
        ("a NUL", format!("{POST}x: y\0z\r\n\r\n{HIDDEN}"), &[400]),
        ("no name", format!("{POST}: y\r\n\r\n{HIDDEN}"), &[400]),
        ("no host", "POST /inbound/demo HTTP/1.1\r\n\r\n".to_owned(), &[400]),
        ("two hosts", format!("{POST}host: u\r\n\r\n{HIDDEN}"), &[400]),
        ("too many lines", format!("{POST}{many}\r\n"), &[431]),
        ("too long a line", format!("{POST}x: {long}\r\n\r\n"), &[431]),
        ("too long a path", format!("GET /inbound/demo?{long} HTTP/1.1\r\nhost: t\r\n\r\n"), &[431]),
        ("no version", "GET /inbound/demo\r\n\r\n".to_owned(), &[400]),
        ("not HTTP", "\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03".to_owned(), &[400]),
        // Odd, and allowed.
        ("equal lengths", format!("{POST}content-length: 0\r\ncontent-length: 0\r\n\r\n"), &[403]),
        ("bare LF (RFC 9112, 2.2)", format!("{POST}\r\n").replace("\r\n", "\n"), &[403]),
        ("absolute form", "POST http://t/inbound/demo HTTP/1.1\r\nhost: t\r\n\r\n".to_owned(), &[403]),
        ("authority form", "CONNECT t:443 HTTP/1.1\r\nhost: t\r\n\r\n".to_owned(), &[404]),
        ("asterisk form", "OPTIONS * HTTP/1.1\r\nhost: t\r\n\r\n".to_owned(), &[404]),
        ("another protocol wanted", format!("{POST}connection: upgrade\r\nupgrade: h2c\r\n\r\n"), &[403]),
        ("leave to go on wanted", format!("{POST}expect: 100-continue\r\ncontent-length: 5\r\n\r\n"), &[403]),
        ("one after the other", format!("{HIDDEN}{POST}\r\n{}", HIDDEN.replace("/demo", "/nobody")), &[405, 403, 404]),
        ("an unknown method", POST.replace("POST", "BREW") + "\r\n", &[405]),
    ] {
        assert_eq!(statuses(server.inbound, request.as_bytes()), expected, "{what}");
    }
    assert_eq!(statuses(server.inbound, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), [0_u16; 0], "the beginning of HTTP/2");
    assert_eq!(Steady::push(server.inbound, "quiet", "snow", 5).refused, 0);
}

/// Answers that nobody reads: the client sends requests as fast as it can and takes nothing.
#[test]
fn unread_answers_are_bounded() {
    let server = Server::start(folder("", "")).ready();
    let mut rude = http::connect(server.inbound);
    rude.set_write_timeout(Some(Duration::from_secs(1))).expect("a socket");
    let requests = HIDDEN.repeat(1_000);
    let mut sent = 0_usize;
    let stopped = loop {
        match rude.write(requests.as_bytes()) {
            Ok(bytes) => sent += bytes,
            Err(error) => break error,
        }
        assert!(sent < 256 << 20, "the server reads on though nobody reads its answers");
    };
    println!("{sent} bytes of requests until: {stopped}");
    assert_eq!(Steady::push(server.inbound, "quiet", "snow", 5).refused, 0);
    if is_extended() {
        wait_until("the server has let go of it", || {
            server.metric("sms_router_connections{listener=\"inbound\"}") == 0.0
        });
    }
    assert!(slow::memory_peak_mib(server.pid()) <= 256);
}
