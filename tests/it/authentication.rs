//! Who is let in, over the real request path: signatures that are only watched, clients behind proxies,
//! failures by reason; and `verify`, which says why not.

use std::time::Duration;

use serde_json::{Value, json};
use sms_router::app::Instance;
use sms_router::carrier::{Account, Draft, Signed};
use sms_router::clock::Clock;
use sms_router::config::{self, Config, Environment, Origin, SecretsNeeded};
use sms_router::message::{Part, Timestamp};

use crate::harness::{Folder, ROUTES, SECRET, SETTINGS, Server, binary, feed, http, said, wait_until};

const DAY: Duration = Duration::from_secs(24 * 3600);
const URL: &str = "https://sms.example.gov.uk/inbound/council";

/// A folder with an account `council` of Twilio and one of `generic`, `demo`; `lines` are for the first.
fn folder(inbound: &str, lines: &str) -> Folder {
    let settings = SETTINGS
        .replace("[api]", &format!("{inbound}\n[api]"))
        .replace("[departments.highways]", &format!("{}\n[departments.highways]", council(lines)));
    let folder = Folder::with(&settings, ROUTES);
    folder.write("council", "the-auth-token");
    folder
}

fn council(lines: &str) -> String {
    format!("[accounts.council]\ncarrier = \"twilio\"\nsecrets = [{{ file = \"council\" }}]\n{lines}")
}

fn load(folder: &Folder) -> Config {
    let origin = Origin::File(folder.path("sms-router.toml"));
    let loaded = config::load(&origin, &Environment::default(), SecretsNeeded::Must);
    loaded.unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// What is wrong with the settings, a line each.
fn problems(folder: &Folder) -> Vec<String> {
    let origin = Origin::File(folder.path("sms-router.toml"));
    let loaded = config::load(&origin, &Environment::default(), SecretsNeeded::Must);
    loaded.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

fn account(config: &Config, name: &str) -> Account {
    let found = config.accounts.iter().find(|(account, _)| account.name.as_str() == name);
    found.expect("an account of the test").0.clone()
}

/// In whole milliseconds, as the service's clock has it.
fn now() -> Timestamp {
    Clock::system().now()
}

fn draft(id: &str, text: &str, now: Timestamp) -> Draft {
    let (from, to) = ("+447700900123".to_owned(), "86555".to_owned());
    Draft { id: id.to_owned(), from, to, text: text.to_owned(), part: None, now }
}

/// The account's carrier's request; `unsigned` takes its proof away.
fn signed(account: &Account, draft: &Draft) -> Signed {
    account.carrier.compose(draft, account).expect("the account has a secret")
}

fn unsigned(account: &Account, draft: &Draft) -> Signed {
    account.carrier.unsigned(draft, account).expect("the carrier can send it")
}

fn push(inbound: std::net::SocketAddr, account: &str, request: &Signed, more: &[(&str, &str)]) -> u16 {
    let more = more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let headers: Vec<_> = request.headers.iter().cloned().chain(more).collect();
    http::request(inbound, request.method.as_str(), &format!("/inbound/{account}"), &headers, &request.body).status
}

fn metric(metrics: &str, series: &str) -> i64 {
    let line = metrics.lines().find(|line| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(' ')));
    line.and_then(|line| line.rsplit(' ').next()).map_or(-1, |value| value.parse().expect("a whole number"))
}

/// A running instance whose clock the test sets.
struct Running {
    _folder: Folder,
    runtime: tokio::runtime::Runtime,
    instance: Instance,
    clock: Clock,
}

impl Running {
    fn start(folder: Folder, config: Config, now: Timestamp) -> Self {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let clock = Clock::fixed(now);
        let instance = runtime.block_on(Instance::start(config, clock.clone())).expect("it starts");
        Self { _folder: folder, runtime, instance, clock }
    }

    fn metric(&self, series: &str) -> i64 {
        metric(&String::from_utf8_lossy(&self.instance.metrics.render()), series)
    }

    fn failures(&self, account: &str, reason: &str) -> i64 {
        self.metric(&format!("sms_router_signature_failures_total{{account=\"{account}\",reason=\"{reason}\"}}"))
    }

    fn push(&self, account: &str, request: &Signed, more: &[(&str, &str)]) -> u16 {
        push(self.instance.addresses.inbound, account, request, more)
    }

    fn records(&self, department: &str) -> Vec<Value> {
        feed::records(self.instance.addresses.api, department)
    }

    fn stop(self) {
        self.runtime.block_on(self.instance.stop(std::future::pending()));
    }
}

#[test]
fn watched_signatures_let_texts_in_flagged_until_the_day_and_then_no_more() {
    let now = now();
    let until = now + 10 * DAY;
    let folder = folder("", &format!("signature = \"monitor\"\nmonitor_until = \"{until}\""));
    let config = load(&folder);
    let council = account(&config, "council");
    let store = folder.path("data/sms-router.sqlite");
    let running = Running::start(folder, config, now);
    let gauge = "sms_router_signature_monitored{account=\"council\"}";
    assert_eq!(running.metric(gauge), 864_000);
    assert_eq!(running.metric(&gauge.replace("council", "demo")), -1, "this one's signatures are enforced");

    let mut forged = signed(&council, &draft("SM1", "snow forged", now));
    forged.body = unsigned(&council, &draft("SM2", "snow other", now)).body;
    for (request, status) in [
        (&signed(&council, &draft("SM1", "snow signed", now)), 200),
        (&forged, 200),
        (&unsigned(&council, &draft("SM3", "snow unsigned", now)), 200),
        // A wish about contact is published a second time, and flagged there too.
        (&unsigned(&council, &draft("SM4", "stop", now)), 200),
        (&Signed { body: b"Body=nobody".to_vec(), ..forged.clone() }, 400),
    ] {
        assert_eq!(running.push("council", request, &[]), status);
    }
    let flagged = |record: &Value| (record["text"].as_str().map(str::to_owned), record["flags"].clone());
    let mut found: Vec<_> = running.records("highways").iter().map(flagged).collect();
    found.sort_by_key(|(text, _)| text.clone());
    let of = |text: &str, flags: Value| (Some(text.to_owned()), flags);
    let unverified = || json!(["unverified"]);
    assert_eq!(
        found,
        [of("snow other", unverified()), of("snow signed", Value::Null), of("snow unsigned", unverified())]
    );
    assert_eq!(running.records("contact-centre")[0]["flags"], unverified());
    let store = rusqlite::Connection::open(store).expect("the store");
    for stream in ["sms-router.consent", "sms-router.dead-letter"] {
        let value = "SELECT value FROM log WHERE stream = ?1";
        let value: Vec<u8> = store.query_row(value, [stream], |row| row.get(0)).expect("one event");
        let value: Value = serde_json::from_slice(&value).expect("JSON");
        assert_eq!(value["flags"], unverified(), "{stream}");
    }
    assert_eq!((running.failures("council", "mismatch"), running.failures("council", "missing")), (2, 2));
    assert_eq!(running.push("demo", &forged, &[]), 403, "another account's signatures are enforced");

    // No restart: the clock alone decides.
    running.clock.set(until - Duration::from_millis(1));
    assert_eq!(running.push("council", &unsigned(&council, &draft("SM5", "snow last", now)), &[]), 200);
    running.clock.set(until);
    assert_eq!(running.push("council", &unsigned(&council, &draft("SM6", "snow late", now)), &[]), 403);
    assert_eq!(running.push("council", &forged, &[]), 403);
    assert_eq!(running.push("council", &signed(&council, &draft("SM7", "snow signed late", now)), &[]), 200);
    assert_eq!((running.failures("council", "mismatch"), running.failures("council", "missing")), (3, 4));
    assert_eq!(running.records("highways").len(), 5);
    wait_until("the gauge says that it is over", || running.metric(gauge) == 0);
    running.stop();
}

#[test]
fn a_long_text_is_unverified_when_one_of_its_pieces_is() {
    let now = now();
    let settings = SETTINGS.replace(
        "carrier = \"generic\"",
        &format!("carrier = \"generic\"\nsignature = \"monitor\"\nmonitor_until = \"{}\"", now + DAY),
    );
    let folder = Folder::with(&settings, ROUTES);
    let config = load(&folder);
    let demo = account(&config, "demo");
    let running = Running::start(folder, config, now);
    let piece = |number: u16, text: &str| {
        let part = Some(Part { reference: "7".to_owned(), total: 2, number });
        Draft { part, ..draft(&format!("piece {number}"), text, now) }
    };
    assert_eq!(running.push("demo", &signed(&demo, &piece(1, "snow on ")), &[]), 200);
    assert_eq!(running.push("demo", &unsigned(&demo, &piece(2, "Main St")), &[]), 200);
    wait_until("the text is joined", || !running.records("highways").is_empty());
    let record = running.records("highways").remove(0);
    assert_eq!((&record["text"], &record["flags"]), (&json!("snow on Main St"), &json!(["unverified"])));
    running.stop();
}

#[test]
fn watching_needs_a_signature_and_a_day_not_far_ahead() {
    let in_days = |days: i32| (now() + Duration::from_secs(24 * 3600) * days.unsigned_abs()).to_string();
    let monitor = |until: &str| format!("signature = \"monitor\"\nmonitor_until = \"{until}\"");
    for (lines, words) in [
        ("signature = \"monitor\"".to_owned(), &["accounts.council.monitor_until", "is missing", "90 days"][..]),
        (monitor(&in_days(91)), &["accounts.council.monitor_until", "more than 90 days ahead"]),
        (monitor("soon"), &["accounts.council.monitor_until", "\"soon\"", "2026-12-01"]),
        (
            monitor(&in_days(9)).replace("monitor\"", "watch\""),
            &["accounts.council.signature", "\"enforce\" nor \"monitor\""],
        ),
        ("monitor_until = \"2026-12-01\"".to_owned(), &["accounts.council.monitor_until", "signature = \"monitor\""]),
        (
            format!("auth = \"query\"\n{}", monitor(&in_days(9))),
            &["accounts.council.signature", "auth = \"query\"", "auth = \"signature\""],
        ),
        (
            "signature = \"monitor\"\nmonitor_until = 2026-12-01".to_owned(),
            &["accounts.council.monitor_until", "must be a string"],
        ),
    ] {
        let found = problems(&folder("", &lines)).join("\n");
        assert_eq!(found.lines().count(), 1, "{lines}: {found}");
        for word in words {
            assert!(found.contains(word), "{word:?} is not in: {found}");
        }
    }
    let kannel = council(&monitor(&in_days(9))).replace("twilio", "kannel");
    let found = problems(&Folder::with(
        &SETTINGS.replace("[departments.highways]", &format!("{kannel}\n[departments.highways]")),
        ROUTES,
    ));
    assert!(found.iter().any(|problem| problem.contains("it signs nothing")), "{found:?}");
    for lines in [monitor(&in_days(89)), monitor("2020-01-01"), "signature = \"enforce\"".to_owned()] {
        assert_eq!(problems(&folder("", &lines)), [""; 0], "{lines}");
    }
}

#[test]
fn that_signatures_are_only_watched_is_said_at_start_and_by_check() {
    let until = now() + 3 * DAY;
    let watching = folder("", &format!("signature = \"monitor\"\nmonitor_until = \"{until}\""));
    let (code, out, _) = said(&watching.run(&["check"]));
    assert!(code == Some(0) && out.contains("accounts.council.signature: texts are taken in although"), "{out}");
    let mut server = Server::start(watching).ready();
    server.wait_for_log("texts are taken in although their signatures fail");
    let line = server.log().iter().find(|line| line.contains("signatures fail")).cloned().unwrap_or_default();
    assert!(line.contains("\"WARN\"") && line.contains("\"account\":\"council\""), "{line}");

    let over = folder("", "signature = \"monitor\"\nmonitor_until = \"2020-01-01\"");
    let (code, out, _) = said(&over.run(&["check"]));
    assert!(code == Some(0) && out.contains("signatures are enforced since 2020-01-01T00:00:00.000Z"), "{out}");
    let mut server = Server::start(over).ready();
    server.wait_for_log("monitor_until is over");
    assert_eq!(server.metric("sms_router_signature_monitored{account=\"council\"}"), 0.0);
    assert_eq!(http::request(server.inbound, "POST", "/inbound/council", &[], b"Body=x").status, 403);
}

#[test]
fn a_client_behind_a_trusted_proxy_is_judged_by_its_own_address() {
    const ALLOW: &str = "allow = [\"203.0.113.0/24\"]";
    let from = |header, value| vec![(header, value)];
    for (inbound, rows) in [
        (
            "trusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]",
            vec![
                (from("x-forwarded-for", "203.0.113.9"), 200),
                (from("x-forwarded-for", "198.51.100.1, 203.0.113.9, 10.1.1.1"), 200),
                (from("x-forwarded-for", "203.0.113.9, 198.51.100.1"), 403),
                (from("x-forwarded-for", "203.0.113.9, unknown"), 403),
                (from("x-forwarded-for", "10.1.1.1"), 403),
                (from("forwarded", "for=203.0.113.9"), 403),
                (vec![("x-forwarded-for", "198.51.100.1"), ("X-Forwarded-For", "203.0.113.9")], 200),
                (vec![("x-forwarded-for", "203.0.113.9"), ("X-Forwarded-For", "198.51.100.1")], 403),
                (vec![], 403),
            ],
        ),
        (
            "trusted_proxies = [\"127.0.0.0/8\"]\nforwarded_header = \"forwarded\"",
            vec![
                (from("forwarded", "for=198.51.100.1, for=\"203.0.113.9:4711\";proto=https"), 200),
                (from("forwarded", "for=203.0.113.9, for=_hidden"), 403),
                (from("x-forwarded-for", "203.0.113.9"), 403),
            ],
        ),
        ("trusted_proxies = [\"192.0.2.1\"]", vec![(from("x-forwarded-for", "203.0.113.9"), 403)]),
        ("", vec![(from("x-forwarded-for", "203.0.113.9"), 403), (from("forwarded", "for=203.0.113.9"), 403)]),
    ] {
        let folder = folder(inbound, ALLOW);
        let config = load(&folder);
        let (now, council) = (now(), account(&config, "council"));
        let running = Running::start(folder, config, now);
        let request = signed(&council, &draft("SM1", "snow", now));
        let mut refused = 0;
        for (headers, status) in rows {
            assert_eq!(running.push("council", &request, &headers), status, "{inbound} {headers:?}");
            refused += i64::from(status == 403);
        }
        assert_eq!(running.failures("council", "address"), refused, "{inbound}");
        running.stop();
    }
}

#[test]
fn what_is_said_of_proxies_must_make_sense() {
    for (inbound, words) in [
        ("forwarded_header = \"forwarded\"", "inbound.forwarded_header: says nothing without trusted_proxies"),
        ("trusted_proxies = [\"10.0.0.1\"]\nforwarded_header = \"x-real-ip\"", "\"x-forwarded-for\" nor \"forwarded\""),
        ("trusted_proxies = [\"proxy.example\"]", "inbound.trusted_proxies: \"proxy.example\" is neither an address"),
        ("trusted_proxies = [\"0.0.0.0/0\"]", "inbound.trusted_proxies: would trust everybody"),
    ] {
        let found = problems(&folder(inbound, ""));
        assert!(found.len() == 1 && found[0].contains(words), "{inbound}: {found:?}");
    }
    let both = folder("trusted_proxies = [\"10.0.0.0/8\"]", "allow = [\"10.1.2.0/24\", \"203.0.113.9\"]");
    let (code, out, _) = said(&both.run(&["check"]));
    assert!(
        code == Some(0) && out.contains("accounts.council.allow: holds addresses of inbound.trusted_proxies"),
        "{out}"
    );
}

#[test]
fn failures_are_counted_by_reason() {
    let (near, far) = (folder("", "allow = [\"127.0.0.0/8\"]"), folder("", "allow = [\"192.0.2.1\"]"));
    let (config, of_far) = (load(&near), load(&far));
    let (now, demo, council) = (now(), account(&config, "demo"), account(&config, "council"));
    let running = Running::start(near, config, now);
    let right = signed(&demo, &draft("1", "snow", now));
    let changed = Signed { body: b"{}".to_vec(), ..right.clone() };
    for (account, request, status, reason) in [
        ("demo", &changed, 403, "mismatch"),
        ("demo", &unsigned(&demo, &draft("1", "snow", now)), 403, "missing"),
        ("demo", &signed(&demo, &draft("1", "snow", now - Duration::from_secs(301))), 403, "expired"),
        ("demo", &signed(&demo, &draft("1", "snow", now + Duration::from_secs(301))), 403, "expired"),
        ("nobody", &right, 404, "unknown_account"),
    ] {
        let counted = if status == 404 { "unknown" } else { account };
        let before = running.failures(counted, reason).max(0);
        assert_eq!(running.push(account, request, &[]), status, "{reason}");
        assert_eq!(running.failures(counted, reason), before + 1, "{reason}");
    }
    assert_eq!(running.push("demo", &right, &[]), 200);
    assert_eq!(running.push("council", &signed(&council, &draft("SM1", "snow", now)), &[]), 200);
    assert_eq!(running.failures("council", "address"), -1, "this one may call");
    running.stop();
    let running = Running::start(far, of_far, now);
    assert_eq!(running.push("council", &signed(&council, &draft("SM1", "snow", now)), &[]), 403);
    assert_eq!(running.failures("council", "address"), 1);
    running.stop();
}

/// The request as `nc -l` would have written it down.
fn capture(request: &Signed, host: &str) -> Vec<u8> {
    let mut head = format!("{} /inbound/council HTTP/1.1\r\nhost: {host}\r\n", request.method);
    for (name, value) in &request.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    [format!("{head}content-length: {}\r\n\r\n", request.body.len()).as_bytes(), &request.body].concat()
}

#[test]
fn verify_says_why_a_captured_request_is_not_believed() {
    let right = folder("", "");
    let council = account(&load(&right), "council");
    assert_eq!(council.url, URL);
    let request = signed(&council, &draft("SM1", "Snow on Main St", now()));
    let private = ["the-auth-token", "Snow", "Main", "7700900123", SECRET];
    let verify = |folder: &Folder, raw: &[u8], more: &[&str]| {
        std::fs::write(folder.path("request"), raw).expect("a file of the test");
        let file = folder.path("request");
        let mut arguments = vec!["verify", "--account", "council", "--request", file.to_str().expect("text")];
        arguments.extend(more);
        let told = said(&folder.run(&arguments));
        for hidden in private {
            assert!(!told.1.contains(hidden) && !told.2.contains(hidden), "{hidden}: {} {}", told.1, told.2);
        }
        told
    };

    let (code, out, err) = verify(&right, &capture(&request, "sms.example.gov.uk"), &[]);
    assert_eq!(code, Some(0), "{out}{err}");
    for line in
        ["secret      number 1 of 1 fits", "result      believed", "Body, From, MessageSid", "x-twilio-signature", URL]
    {
        assert!(out.contains(line), "{line:?} is not in: {out}");
    }

    // The likeliest mistake: the settings name another URL than the carrier calls.
    let wrong = folder("", "url = \"http://10.0.0.7:8080/inbound/council\"");
    let (code, out, err) = verify(&wrong, &capture(&request, "sms.example.gov.uk"), &[]);
    assert_eq!(code, Some(1), "{out}{err}");
    assert!(out.contains(&format!("the signature fits {URL}: the account's url should be that")), "{out}");
    assert!(err.contains("not believed: mismatch"), "{err}");
    let (code, out, _) = verify(&wrong, &capture(&request, "sms.example.gov.uk"), &["-o", "json"]);
    let report: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(code, Some(1));
    assert_eq!((&report["ok"], &report["reason"], &report["secret"]), (&json!(false), &json!("mismatch"), &json!(1)));
    assert_eq!((&report["findings"][0]["kind"], &report["findings"][0]["url"]), (&json!("url"), &json!(URL)));
    assert_eq!(report["urls"][0], "http://10.0.0.7:8080/inbound/council");
    assert!(report["body"].as_array().is_some_and(|names| names.contains(&json!("MessageSid"))), "{report}");

    let forged = Signed { body: b"MessageSid=SM1&Body=forged".to_vec(), ..request.clone() };
    let (code, out, _) = verify(&right, &capture(&forged, "sms.example.gov.uk"), &[]);
    assert!(code == Some(1) && out.contains("nothing that was tried makes it fit"), "{out}");
    assert!(out.contains("not         http://sms.example.gov.uk/inbound/council"), "what was tried is told: {out}");

    let watching = format!("signature = \"monitor\"\nmonitor_until = \"{}\"", now() + DAY);
    let (code, out, _) = verify(&folder("", &watching), &capture(&forged, "sms.example.gov.uk"), &[]);
    assert!(code == Some(1) && out.contains("let in all the same, flagged `unverified`"), "{out}");

    let listed = folder("trusted_proxies = [\"10.0.0.1\"]", "allow = [\"192.0.2.0/24\"]");
    let mut forwarded = request.clone();
    forwarded.headers.push(("x-forwarded-for".to_owned(), "192.0.2.9".to_owned()));
    for (peer, code) in [("", 0), ("192.0.2.9", 0), ("10.0.0.1", 0), ("198.51.100.9", 1)] {
        let peer = if peer.is_empty() { &[][..] } else { &["--peer", peer] };
        let told = verify(&listed, &capture(&forwarded, "sms.example.gov.uk"), peer);
        assert_eq!(told.0, Some(code), "{peer:?}: {}", told.1);
    }
}

#[test]
fn verify_reads_standard_input_and_knows_when_a_request_came() {
    let folder = folder("", "");
    let came: Timestamp = "2026-11-21T10:00:00Z".parse().expect("a time");
    let request = signed(&account(&load(&folder), "demo"), &draft("1", "snow", came));
    let raw = String::from_utf8(capture(&request, "h")).expect("text").replace("/council", "/demo");
    let verify = |at: &str| {
        let mut command = binary();
        command.args(["verify", "--account", "demo", "--request", "-", "--at", at, "-c"]);
        command.arg(folder.path("sms-router.toml")).stdin(std::process::Stdio::piped());
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().expect("the binary");
        std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), raw.as_bytes()).expect("it reads");
        said(&child.wait_with_output().expect("the binary"))
    };
    let (code, out, err) = verify("2026-11-21T10:05:00Z");
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(out.contains("which the proof does not cover"), "{out}");
    let (code, out, err) = verify("2026-11-21T11:00:00Z");
    assert!(code == Some(1) && out.contains("3600 s before the request came, with 300 s allowed"), "{out}{err}");
    assert!(err.contains("expired"), "{err}");
}

#[test]
fn verify_tells_usage_from_settings_from_what_is_no_request() {
    let folder = folder("", "");
    folder.write("not-a-request", "hello");
    let file = folder.path("not-a-request").display().to_string();
    for (arguments, code, words) in [
        (&["--account", "nobody", "--request", &file][..], 64, "account nobody is not in the settings"),
        (&["--account", "council"], 64, "--request"),
        (&["--account", "council", "--request", "nowhere"], 1, "nowhere cannot be read"),
        (&["--account", "council", "--request", &file], 1, "this is no HTTP request"),
        (&["--account", "council", "--request", &file, "--at", "yesterday"], 64, "--at"),
    ] {
        let (found, out, err) = said(&folder.run(&[&["verify"], arguments].concat()));
        assert_eq!(found, Some(code), "{arguments:?}: {out}{err}");
        assert!(err.contains(words), "{words:?} is not in: {err}");
    }
    folder.write("sms-router.toml", "colour = 3");
    assert_eq!(folder.run(&["verify", "--account", "council", "--request", &file]).status.code(), Some(78));
}
