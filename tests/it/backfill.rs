//! `backfill` against a running server and a stand-in for the carrier's API that gives its documented answers.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, LazyLock, Mutex};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::tz::TimeZone;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs as provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::harness::{Folder, ROUTES, SETTINGS, Server, feed, said};

const SID: &str = "AC0123456789abcdef0123456789abcdef";
const NOTIFY_SECRET: &str = "3d844edf-8d35-48ac-975b-e847b4f122b0";
const NOTIFY_SERVICE: &str = "26785a09-ab16-4eb0-8407-a37497a57506";

/// What the stand-in answers to each path, one after the other; the last again and again.
type Answers = BTreeMap<String, Vec<(u16, String)>>;

/// Path and `Authorization` of every request.
type Notes = Mutex<Vec<(String, String)>>;

/// A carrier's API. Ends with the process.
struct Api {
    address: SocketAddr,
    /// PEM of its certificate, where it speaks TLS.
    certificate: Option<String>,
    asked: Arc<Notes>,
}

impl Api {
    fn start(mut answers: Answers, tls: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (config, certificate) = if tls { certified() } else { (None, None) };
        let asked = Arc::new(Mutex::new(Vec::new()));
        let notes = asked.clone();
        std::thread::spawn(move || {
            let streams = listener.incoming().map_while(Result::ok);
            streams.for_each(|stream| accept(stream, config.as_ref(), &mut answers, &notes));
        });
        Self { address, certificate, asked }
    }

    fn asked(&self) -> Vec<(String, String)> {
        self.asked.lock().expect("a lock").clone()
    }
}

fn certified() -> (Option<Arc<ServerConfig>>, Option<String>) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("they fit");
    (Some(Arc::new(config)), Some(cert.pem()))
}

fn accept(stream: TcpStream, tls: Option<&Arc<ServerConfig>>, answers: &mut Answers, notes: &Notes) {
    match tls {
        None => serve(stream, answers, notes),
        Some(config) => {
            let connection = ServerConnection::new(config.clone()).expect("a connection");
            serve(StreamOwned::new(connection, stream), answers, notes);
        }
    }
}

/// One request, one answer.
fn serve(mut stream: impl Read + Write, answers: &mut Answers, notes: &Notes) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8(head).expect("a head of text");
    let path = head.split(' ').nth(1).expect("a path").to_owned();
    let header = head.lines().find_map(|line| line.strip_prefix("authorization: ")).unwrap_or_default().to_owned();
    let (status, body) = match answers.get_mut(&path) {
        None => (404, String::new()),
        Some(several) if several.len() > 1 => several.remove(0),
        Some(several) => several[0].clone(),
    };
    notes.lock().expect("a lock").push((path, header));
    let answer = format!("HTTP/1.1 {status} \r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    // The client may have seen enough.
    let _ = stream.write_all(answer.as_bytes()).and_then(|()| stream.flush());
}

/// A documented answer with its day, 2026-11-20, put on yesterday: what is listed must be young.
fn answer(name: &str) -> String {
    let path = format!("{}/tests/carriers/listings/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).expect("an answer");
    let yesterday = yesterday();
    text.replace("Fri, 20 Nov 2026", &yesterday.strftime("%a, %d %b %Y").to_string())
        .replace("2026-11-20", &yesterday.strftime("%Y-%m-%d").to_string())
}

/// The same for all of a run, midnight or not.
fn yesterday() -> &'static jiff::Zoned {
    static DAY: LazyLock<jiff::Zoned> = LazyLock::new(|| {
        let day = jiff::SignedDuration::from_hours(24);
        (jiff::Timestamp::now() - day).to_zoned(TimeZone::UTC)
    });
    &DAY
}

/// From when on the answers' texts are wanted: one of them is older.
fn since() -> String {
    format!("{}T10:00:00Z", yesterday().strftime("%Y-%m-%d"))
}

fn twilio_list() -> String {
    let day = yesterday().strftime("%Y-%m-%d").to_string();
    format!("/2010-04-01/Accounts/{SID}/Messages.json?To=86555&DateSent%3E={day}&PageSize=1000")
}

/// Twilio's API; the first page fails once.
fn twilio() -> Api {
    let first = twilio_list();
    let second = format!("{first}&Page=1&PageToken=PASM00000000000000000000000000000002");
    let media = format!("/2010-04-01/Accounts/{SID}/Messages/MM00000000000000000000000000000003/Media.json");
    let answers = [
        (first, vec![(503, String::new()), (200, answer("twilio-page-0.json"))]),
        (second, vec![(200, answer("twilio-page-1.json"))]),
        (media, vec![(200, answer("twilio-media.json"))]),
    ];
    Api::start(answers.into(), false)
}

fn folder(account: &str) -> Folder {
    let folder = Folder::with(&format!("{SETTINGS}\n{account}"), ROUTES);
    folder.write("carrier", "a-secret-of-the-carrier");
    folder
}

fn twilio_settings(api: &Api) -> String {
    format!(
        "[accounts.twilio]\ncarrier = \"twilio\"\nsecrets = [{{ file = \"carrier\" }}]\n\
         [accounts.twilio.api]\nurl = \"http://{}\"\naccount = \"{SID}\"\nkey = {{ file = \"api-key\" }}\n\
         numbers = [\"86555\"]\n",
        api.address
    )
}

fn backfill(server: &Server, account: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let url = format!("http://{}/inbound/{account}", server.inbound);
    let since = since();
    let arguments = [&["backfill", "--account", account, "--since", &since, "--url", &url], more].concat();
    said(&server.folder.run(&arguments))
}

/// Pushes a text as Twilio does.
fn push(server: &Server, id: &str, from: &str, text: &str) {
    let url = format!("http://{}/inbound/twilio", server.inbound);
    let arguments =
        ["simulate", "--account", "twilio", "--url", &url, "--to", "86555", "--from", from, "--id", id, text];
    assert_eq!(said(&server.folder.run(&arguments)).0, Some(0));
}

fn ids(server: &Server, department: &str) -> Vec<String> {
    let id = |record: &Value| record["carrier_message_id"].as_str().expect("an id").to_owned();
    feed::records(server.api, department).iter().map(id).collect()
}

#[test]
fn texts_that_twilio_has_and_we_never_saw_are_taken_in_once() {
    let api = twilio();
    // `serve` needs no key of the carrier's API: it is not there yet.
    let server = Server::start(folder(&twilio_settings(&api))).ready();
    server.folder.write("api-key", "token");
    push(&server, "SM00000000000000000000000000000005", "+447700900101", "Snow again on Main St");
    let (code, out, err) = backfill(&server, "twilio", &["--dry-run"]);
    assert_eq!(code, Some(0), "{err}");
    let counts = "listed 3, known 1, missing 2, taken 0, failed 0, still arriving at the carrier 1";
    assert!(out.ends_with(&format!("{counts} (dry run: nothing was sent)\n")), "{out}");
    assert_eq!(out.lines().count(), 3, "{out}");
    assert!(out.lines().next().is_some_and(|line| line.contains(" SM00000000000000000000000000000002 to 86555 ")));
    for hidden in ["447700", "Snow", "Pothole", "token"] {
        assert!(!out.contains(hidden) && !err.contains(hidden), "{out}{err}");
    }
    assert!(ids(&server, "contact-centre").is_empty());
    let (code, out, err) = backfill(&server, "twilio", &[]);
    assert_eq!((code, out.as_str()), (Some(0), &*format!("{}\n", counts.replace("taken 0", "taken 2"))), "{err}");
    let picture = feed::records(server.api, "contact-centre").remove(0);
    let base = format!(
        "http://{}/2010-04-01/Accounts/{SID}/Messages/MM00000000000000000000000000000003/Media/ME0000000000000000000000000000000",
        api.address
    );
    for (index, kind) in [(0, "image/jpeg"), (1, "video/mp4")] {
        let expected = serde_json::json!({ "url": format!("{base}{}", index + 1), "content_type": kind });
        assert_eq!(picture["media"][index], expected);
    }
    assert_eq!(picture["text"], "Pothole & puddle ❄");
    let long = feed::records(server.api, "highways").remove(1);
    assert_eq!(
        (&long["parts"]["total"], long["carrier_message_id"].as_str().expect("an id")),
        (&2.into(), "SM00000000000000000000000000000002")
    );
    // Again, and the webhook itself, late: nothing is new.
    let (code, out, _) = backfill(&server, "twilio", &["-o", "json"]);
    let out: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &out["counts"]["known"], &out["counts"]["missing"]), (Some(0), &3.into(), &0.into()));
    push(&server, "SM00000000000000000000000000000002", "+447700900101", long["text"].as_str().expect("a text"));
    assert_eq!((ids(&server, "highways").len(), ids(&server, "contact-centre").len()), (2, 1));
    assert_eq!(server.metric("sms_router_duplicates_total{account=\"twilio\"}"), 1.0);
    let basic = "Basic QUMwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjp0b2tlbg==";
    assert!(api.asked().iter().all(|(_, proof)| proof == basic));
}

#[test]
fn texts_are_pushed_by_tls_where_the_listener_has_it() {
    let api = twilio();
    let tls = "tls = { certificate = \"chain.pem\", key = \"key.pem\" }\n[api]";
    let settings = format!("{}\n{}", SETTINGS.replacen("[api]", tls, 1), twilio_settings(&api));
    let folder = Folder::with(&settings, ROUTES);
    folder.write("carrier", "a-secret-of-the-carrier");
    folder.write("api-key", "token");
    crate::tls::certify(&folder);
    let server = Server::start(folder).ready();
    let mut command = server.folder.command(&["backfill", "--account", "twilio", "--since", &since()]);
    let (code, out, err) =
        said(&command.env("SMS_ROUTER__INBOUND__LISTEN", server.inbound.to_string()).output().expect("the binary"));
    assert!(code == Some(0) && out.contains("missing 3, taken 3, failed 0"), "{out}{err}");
    assert_eq!((ids(&server, "highways").len(), ids(&server, "contact-centre").len()), (2, 1));
}

#[test]
fn texts_of_notify_come_oldest_first_with_their_own_time() {
    let list = "/v2/received-text-messages";
    let next = format!("{list}?older_than=3fa85f64-5717-4562-b3fc-2c963f66af03");
    let answers = [
        (list.to_owned(), vec![(200, answer("notify-page-0.json"))]),
        (next, vec![(200, answer("notify-page-1.json"))]),
    ];
    let api = Api::start(answers.into(), true);
    let settings = format!(
        "[accounts.notify]\ncarrier = \"govuk-notify\"\nsecrets = [{{ file = \"carrier\" }}]\n\
         [accounts.notify.api]\nurl = \"https://{}\"\nkey = {{ file = \"api-key\" }}\nauthorities = \"api.pem\"\n",
        api.address
    );
    let routes = format!("{ROUTES}[[number]]\nnumber = \"*\"\ndefault = \"highways\"\n");
    let server = folder(&settings);
    server.write("routes.toml", &routes);
    server.write("api-key", &format!("key-{NOTIFY_SERVICE}-{NOTIFY_SECRET}"));
    server.write("api.pem", api.certificate.as_deref().expect("it speaks TLS"));
    let server = Server::start(server).ready();
    let (code, out, err) = backfill(&server, "notify", &["-o", "json"]);
    let counts: Value = serde_json::from_str(&out).expect("JSON");
    let expected = serde_json::json!({"listed": 3, "known": 0, "missing": 3, "taken": 3, "failed": 0, "unfinished": 0});
    assert_eq!((code, &counts["counts"]), (Some(0), &expected), "{err}");
    let records = feed::records(server.api, "highways");
    let day = yesterday().strftime("%Y-%m-%d").to_string();
    for (record, (id, time)) in records.iter().zip([("02", "11:00"), ("03", "11:20"), ("04", "11:30")]) {
        assert!(record["carrier_message_id"].as_str().is_some_and(|whole| whole.ends_with(id)), "{record}");
        assert_eq!(record["sent_at"], format!("{day}T{time}:00.000Z"));
        assert!(record["received_at"].as_str() > record["sent_at"].as_str());
    }
    assert_eq!(
        (records.len(), &records[0]["from_raw"], &records[0]["to_raw"]),
        (3, &"447700900101".into(), &"07700900555".into())
    );
    assert_eq!((&records[1]["flags"][0], &records[1]["raw"]), (&"undecodable".into(), &"Y2Fm7aC9".into()));
    assert!(backfill(&server, "notify", &[]).1.starts_with("listed 3, known 3, missing 0, taken 0, failed 0"));
    assert!(!api.asked().is_empty() && api.asked().iter().all(|(_, proof)| is_token(proof)));
}

/// A token as Notify checks it: its service, its time, its signature.
fn is_token(header: &str) -> bool {
    let token = header.strip_prefix("Bearer ").expect("a bearer token");
    let (signed, tag) = token.rsplit_once('.').expect("three parts");
    let key = hmac::Key::new(hmac::HMAC_SHA256, NOTIFY_SECRET.as_bytes());
    let claims = URL_SAFE_NO_PAD.decode(signed.split('.').nth(1).expect("claims")).expect("base64");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    let age = jiff::Timestamp::now().as_second() - claims["iat"].as_i64().expect("a time");
    let tag = URL_SAFE_NO_PAD.decode(tag).expect("base64");
    hmac::verify(&key, signed.as_bytes(), &tag).is_ok() && claims["iss"] == NOTIFY_SERVICE && age.abs() <= 60
}

#[test]
fn what_fails_is_counted_said_and_taken_in_by_the_next_run() {
    // A text without a sender cannot be read as a webhook either; the others are not its hostages.
    let broken = answer("twilio-page-1.json").replace("\"+447700900103\"", "null").replace("09:59:59", "10:59:59");
    let answers = [(twilio_list(), vec![(200, broken)])];
    let api = Api::start(answers.into(), false);
    let server = Server::start(folder(&twilio_settings(&api))).ready();
    server.folder.write("api-key", "token");
    let away = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let since = since();
    let elsewhere = format!("http://{away}/inbound/twilio");
    let arguments = ["backfill", "--account", "twilio", "--since", &since, "--url", &elsewhere];
    let (code, out, err) = said(&server.folder.run(&arguments));
    assert_eq!((code, out.as_str()), (Some(1), "listed 2, known 0, missing 2, taken 0, failed 2\n"), "{out}{err}");
    assert!(err.contains("the texts after it were not tried") && err.contains("2 texts were not taken in"), "{err}");
    let (code, out, err) = backfill(&server, "twilio", &[]);
    assert_eq!((code, out.as_str()), (Some(1), "listed 2, known 0, missing 2, taken 1, failed 1\n"));
    assert!(err.contains("the server answered 400") && !err.contains("447700"), "{err}");
    assert_eq!(ids(&server, "highways"), ["SM00000000000000000000000000000002"]);
}

#[test]
fn an_api_that_refuses_or_makes_no_sense_changes_nothing() {
    for (status, body, words) in [
        (401, "{}", "answered 401 Unauthorized: see api.key"),
        (404, "", "answered 404"),
        (302, "", "redirect"),
        (200, "<html>", "it is no list of messages"),
    ] {
        let api = Api::start([(twilio_list(), vec![(status, body.to_owned())])].into(), false);
        let server = Server::start(folder(&twilio_settings(&api))).ready();
        server.folder.write("api-key", "token");
        let (code, out, err) = backfill(&server, "twilio", &[]);
        assert!(code == Some(1) && out.is_empty() && err.contains(words), "{status} {out}{err}");
        assert!(ids(&server, "highways").is_empty());
    }
}

#[test]
fn settings_of_an_api_are_checked_with_the_others() {
    let api = |carrier: &str, keys: &str| {
        format!(
            "[accounts.other]\ncarrier = \"{carrier}\"\nauth = \"bearer\"\nsecrets = [{{ file = \"carrier\" }}]\n\
             [accounts.other.api]\nkey = {{ file = \"api-key\" }}\n{keys}\n"
        )
    };
    for (settings, words) in [
        (api("kannel", ""), "kannel has no API that this build can ask"),
        (api("twilio", ""), "accounts.other.api.account: must be the account's SID"),
        (
            api("govuk-notify", "url = \"http://10.0.0.1\""),
            "accounts.other.api.url: the address must begin with https://",
        ),
        (api("govuk-notify", "ur = \"x\""), "is not a setting"),
    ] {
        let (code, out, _) = said(&folder(&settings).run(&["check"]));
        assert!(code == Some(1) && out.contains(words), "{out}");
    }
    let with_key = folder(&api("govuk-notify", ""));
    assert_eq!(said(&with_key.run(&["check"])).0, Some(0), "check needs no key");
    let run = |account: &str, since: &str| {
        said(&with_key.run(&["backfill", "--account", account, "--since", since, "--dry-run"]))
    };
    with_key.write("api-key", "no key");
    for (account, since, expected, words) in [
        ("other", "24h", 78, "is not an API key of Notify"),
        ("demo", "24h", 78, "is not an API key of Notify"),
        ("other", "500d", 64, "more than 12 months ago"),
        ("other", "soon", 64, "--since is not a time"),
    ] {
        let (code, _, err) = run(account, since);
        assert!(code == Some(expected) && err.contains(words), "{code:?} {err}");
    }
    with_key.write("api-key", &format!("key-{NOTIFY_SERVICE}-{NOTIFY_SECRET}"));
    for (account, words) in [("demo", "generic lists no texts"), ("nobody", "account nobody is not in the settings")] {
        let (code, _, err) = run(account, "24h");
        assert!(code == Some(64) && err.contains(words), "{err}");
    }
}

/// Named so that the part of `tests/run` with that archive finds it.
mod archive {
    use sms_router::archive::{self, Archive, Replication};
    use sms_router::intake;
    use sms_router::message::{AccountName, EventId, Record, SenderKey, Timestamp, iso};

    use super::*;
    use crate::harness::services::given;

    fn stored(id: EventId, now: Timestamp) -> Record {
        let value = serde_json::json!({
            "schema_version": 1, "id": id, "account": "twilio", "carrier": "twilio",
            "from": "+447700900101", "from_raw": "+447700900101", "to": "86555", "to_raw": "86555",
            "text": "Snow again on Main St", "department": "highways", "rule": {"kind": "default"},
            "routes_version": "1", "received_at": iso::format(now),
        });
        serde_json::from_value(value).expect("a record")
    }

    #[test]
    #[ignore = "needs Kafka and Cassandra: tests/run archive"]
    fn what_the_archive_of_a_cluster_has_is_not_missing() {
        let node = given("SMS_ROUTER_TEST_CQL");
        let keyspace = format!("backfill_{}", EventId::new_v4().simple());
        let mut store = archive::Settings::new(vec![node.clone()], keyspace[..20].to_owned());
        store.replication = Replication::Everywhere(1);
        let account = AccountName::parse("twilio").expect("a name");
        let known = "SM00000000000000000000000000000005";
        let record = stored(intake::event_id("https://sms.example.gov.uk", &account, known), Timestamp::now());
        let value = serde_json::to_vec(&record).expect("JSON");
        let key = SenderKey::new(b"a key of 32 characters for tests").expect("a key");
        let write = async {
            archive::setup(&store).await.expect("the schema");
            let archive = Archive::connect(&store).await.expect("a connection");
            archive.write(&value, &record, &key, Timestamp::now()).await.expect("written");
        };
        tokio::runtime::Runtime::new().expect("a runtime").block_on(write);
        let cluster = format!(
            "[publish]\nto = \"kafka\"\nbrokers = \"{}\"\n\
             [archive]\nto = \"cql\"\nnodes = [\"{node}\"]\nkeyspace = \"{}\"\nreplication = 1\n",
            given("SMS_ROUTER_TEST_KAFKA"),
            store.keyspace
        );
        let twilio = twilio_settings(&twilio())
            .replace("[accounts.twilio.api]", "loss_on_outage = \"accepted\"\n[accounts.twilio.api]");
        let folder = Folder::with(&format!("{}\n{twilio}", SETTINGS.replace("[archive]\n", &cluster)), ROUTES);
        folder.write("carrier", "a-secret-of-the-carrier");
        folder.write("api-key", "token");
        let since = since();
        let arguments = ["backfill", "--account", "twilio", "--since", &since, "--dry-run"];
        let (code, out, err) = said(&folder.run(&arguments));
        assert!(code == Some(0) && out.contains("listed 3, known 1, missing 2, taken 0"), "{out}{err}");
        assert!(!out.contains(known), "{out}");
    }
}
