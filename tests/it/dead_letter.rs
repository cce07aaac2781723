//! Dead-letter and the way back from it: nothing is shown to who may not see it, nothing comes twice.

use serde_json::Value;

use crate::harness::{Folder, ROUTES, SETTINGS, Server, Sms, binary, feed, http, push_body, said};

const TOKEN: &str = "the token of an operator";
const TOKEN_VARIABLE: &str = "SMS_ROUTER_OPERATOR_TOKEN";
/// An account whose texts name no recipient: they cannot be read until the settings say whose they are.
const GATEWAY: &str = "[accounts.gateway]\ncarrier = \"kannel\"\nauth = \"none\"\nunauthenticated = true\n";

/// The usual settings, with an operator and the account above.
fn settings(gateway: &str) -> String {
    let operators = "[api]\noperators = [{ file = \"operator-before\" }, { file = \"operator\" }]";
    format!("{}{gateway}", SETTINGS.replacen("[api]", operators, 1))
}

fn folder() -> Folder {
    let folder = Folder::with(&settings(GATEWAY), ROUTES);
    folder.write("operator", TOKEN);
    folder.write("operator-before", "the token of before");
    folder
}

/// With a default for numbers that are not in the table.
fn mended_routes() -> String {
    format!("{ROUTES}[[number]]\nnumber = \"*\"\ndefault = \"contact-centre\"\n")
}

/// What a `dead-letter` command says: its exit code, one JSON object a line, its errors.
fn run(folder: &Folder, arguments: &[&str]) -> (Option<i32>, Vec<Value>, String) {
    run_with(folder, arguments, None)
}

fn run_with(folder: &Folder, arguments: &[&str], token: Option<&str>) -> (Option<i32>, Vec<Value>, String) {
    let mut command = binary();
    command.arg("dead-letter").args(arguments).arg("-c").arg(folder.path("sms-router.toml"));
    command.envs(token.map(|token| (TOKEN_VARIABLE, token))).current_dir(folder.dir.path());
    let (code, out, err) = said(&command.output().expect("the binary"));
    (code, out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(), err)
}

fn list(folder: &Folder) -> Vec<Value> {
    let (code, letters, err) = run(folder, &["list"]);
    assert_eq!(code, Some(0), "{err}");
    letters
}

fn id(letter: &Value) -> &str {
    letter["id"].as_str().expect("an id")
}

#[test]
fn a_text_to_an_unknown_number_comes_back_once_the_number_is_known() {
    let mut server = Server::start(folder()).ready();
    let sms = Sms::new("1", "words of a resident").to("60006");
    assert_eq!(server.push(&sms).status, 200);
    let letter = list(&server.folder).remove(0);
    assert_eq!((&letter["reason"], &letter["account"]), (&"unknown_number".into(), &"demo".into()));
    assert!(!letter.to_string().contains("words"), "{letter}");
    let (code, told, err) = run(&server.folder, &["replay", "--all"]);
    assert!(code == Some(1) && err.contains("1 of them stay"), "{err}");
    assert_eq!(told[0]["outcome"], "stays");
    assert_eq!(list(&server.folder), std::slice::from_ref(&letter), "it stays, once");
    server.folder.write("routes.toml", &mended_routes());
    let (code, told, err) = run(&server.folder, &["replay", id(&letter)]);
    assert_eq!(code, Some(0), "{told:?}{err}");
    assert_eq!(told[0]["texts"][0]["id"], letter["relates_to"]);
    assert_eq!(list(&server.folder), [] as [Value; 0]);
    let record = feed::records(server.api, "contact-centre").remove(0);
    assert_eq!((&record["text"], &record["id"]), (&"words of a resident".into(), &letter["relates_to"]));
    assert_eq!(record["received_at"], letter["received_at"]);
    let copy = said(&server.folder.run(&["archive", "get", "--id", id(&record), "--reason", "a test"])).1;
    assert!(copy.contains("contact-centre"), "{copy}");
    assert_eq!(run(&server.folder, &["replay", "--all"]).1, [] as [Value; 0]);
    let (code, _, err) = run(&server.folder, &["replay", id(&letter)]);
    assert!(code == Some(1) && err.contains("no open letter has the id"), "{err}");
    server.wait_for_log("routes are in force");
    assert_eq!(server.push(&sms).status, 200, "the carrier's late retry");
    assert_eq!(feed::records(server.api, "contact-centre").len(), 1, "it is there once");
}

#[test]
fn a_request_that_can_be_read_by_now_becomes_its_texts() {
    let server = Server::start(folder()).ready();
    let push = |query: &str| http::request(server.inbound, "GET", &format!("/inbound/gateway?{query}"), &[], b"");
    for number in 1..=3 {
        let query = format!("sender=%2B44770090012{number}&message=snow+{number}");
        assert_eq!(push(&query).status, 400);
        assert_eq!(push(&query).status, 400, "its retry adds nothing");
    }
    assert_eq!(push_body(server.inbound, "demo", b"not json").status, 400);
    assert_eq!(server.push(&Sms::new("1", "lost").to("60006")).status, 200);
    let letters = list(&server.folder);
    let reasons: Vec<_> = letters.iter().map(|letter| letter["reason"].as_str().expect("a reason")).collect();
    assert_eq!(reasons, ["malformed", "malformed", "malformed", "malformed", "unknown_number"]);
    server.folder.write("sms-router.toml", &settings(&format!("{GATEWAY}number = \"86555\"\n")));
    let (code, told, err) = run(&server.folder, &["replay", "--account", "gateway"]);
    assert!(code == Some(0) && told.len() == 3, "{told:?}{err}");
    let (code, told, _) = run(&server.folder, &["replay", "--reason", "malformed"]);
    assert_eq!((code, told.len(), &told[0]["outcome"]), (Some(1), 1, &"stays".into()), "what is no JSON");
    let records = feed::records(server.api, "highways");
    let texts: Vec<_> = records.iter().map(|record| record["text"].as_str().expect("a text")).collect();
    assert_eq!(texts, ["snow 1", "snow 2", "snow 3"]);
    for (record, letter) in records.iter().zip(&letters) {
        assert_eq!(record["received_at"], letter["received_at"]);
    }
    let left: Vec<_> = list(&server.folder).iter().map(|letter| letter["reason"].clone()).collect();
    assert_eq!(left, ["malformed", "unknown_number"]);
}

#[test]
fn letters_come_back_without_a_running_server_too() {
    let server = Server::start(folder()).ready();
    assert_eq!(server.push(&Sms::new("1", "lost").to("60006")).status, 200);
    let (folder, _) = server.stop();
    folder.write("routes.toml", &mended_routes());
    let (code, told, err) = run(&folder, &["replay", "--reason", "unknown_number"]);
    assert_eq!(code, Some(0), "{told:?}{err}");
    let server = Server::start(folder).ready();
    assert_eq!(feed::records(server.api, "contact-centre").len(), 1);
}

#[test]
fn words_are_shown_to_operators_only_and_never_unrecorded() {
    let server = Server::start(folder()).ready();
    assert_eq!(server.push(&Sms::new("1", "words of a resident").to("60006")).status, 200);
    let letter = list(&server.folder).remove(0);
    let show = |options: &[&str], token| {
        let mut arguments = vec!["show", id(&letter), "--reason", "complaint 7"];
        arguments.extend(options);
        run_with(&server.folder, &arguments, token)
    };
    let (code, shown, _) = show(&[], None);
    assert_eq!(code, Some(0));
    assert!(shown[0]["bytes"].is_u64() && !shown[0].to_string().contains("words"), "{shown:?}");
    server.folder.write("wrong", "the token of nobody");
    for (options, token, why) in [
        (&["--show-text"][..], None, TOKEN_VARIABLE),
        (&["--show-text"], Some("the token of nobody"), "none of [api] operators"),
        (&["--show-text"], Some(""), TOKEN_VARIABLE),
        (&["--show-text", "--token-file", "wrong"], Some(TOKEN), "none of [api] operators"),
        (&["--show-text", "--token-file", "nowhere"], Some(TOKEN), "cannot be read"),
    ] {
        let (code, shown, err) = show(options, token);
        assert!(code == Some(1) && shown.is_empty() && err.contains(why), "{options:?}: {shown:?}{err}");
    }
    for (options, token) in [
        (&["--show-text"][..], Some(TOKEN)),
        (&["--show-text"], Some("the token of before")),
        (&["--show-text", "--token-file", "operator"], None),
    ] {
        let (code, shown, err) = show(options, token);
        assert_eq!(code, Some(0), "{err}");
        assert!(shown[0]["content"].as_str().is_some_and(|content| content.contains("words of a resident")));
    }
    let (code, _, err) = run(&server.folder, &["show", id(&letter), "--reason", " "]);
    assert!(code == Some(64) && err.contains("--reason is empty"), "{err}");
    let nobody = "01890000-0000-7000-8000-000000000000";
    let (code, _, err) = run(&server.folder, &["show", nobody, "--reason", "x"]);
    assert!(code == Some(1) && err.contains("no open letter"), "{err}");
    let reader = sms_router::store::Reader::open(&server.folder.path("data")).expect("the store");
    let accesses = reader.accesses(10).expect("the access log");
    let noted: Vec<_> =
        accesses.iter().rev().map(|access| (&*access.why, access.ids.len(), access.text_shown)).collect();
    let complaint = "complaint 7";
    let expected =
        [(complaint, 1, false), (complaint, 1, true), (complaint, 1, true), (complaint, 1, true), ("x", 0, false)];
    assert_eq!(noted, expected);
}

#[test]
fn a_choice_that_is_none_is_refused() {
    let folder = folder();
    for (arguments, said_of_it) in [
        (&["replay"][..], "required"),
        (&["replay", "--all", "--account", "demo"], "cannot be used with"),
        (&["replay", "--reason", "whatever"], "malformed, unknown_number, too_large, unreadable_record, undelivered"),
        (&["replay", "no-id"], "invalid value"),
        (&["list", "--account", "No!"], "is not a name"),
        (&["show", "no-id", "--reason", "x"], "invalid value"),
    ] {
        let (code, _, err) = run(&folder, arguments);
        assert!(code == Some(64) && err.contains(said_of_it), "{arguments:?}: {err}");
    }
    let (code, _, err) = run(&folder, &["list"]);
    assert!(code == Some(1) && err.contains("does not exist"), "there is no store yet: {err}");
}

mod kafka {
    use super::*;
    use crate::harness::services::given;
    use crate::kafka::{cluster_settings, consume, limit_record_size, routes, unique, value};

    /// An account of the test's own, since all of them share the topic.
    fn cluster(prefix: &str) -> Folder {
        let account = format!("[accounts.{prefix}]\ncarrier = \"generic\"\nsecrets = [{{ file = \"demo\" }}]\n");
        let operators = "[api]\noperators = [{ file = \"operator\" }]";
        let settings = cluster_settings(&given("SMS_ROUTER_TEST_KAFKA")).replacen("[api]", operators, 1);
        let folder = Folder::with(&format!("{settings}{account}"), &routes(prefix));
        folder.write("operator", TOKEN);
        let (code, out, err) = said(&folder.run(&["setup"]));
        assert_eq!(code, Some(0), "{out}{err}");
        folder
    }

    #[test]
    #[ignore = "needs Kafka: tests/run kafka"]
    fn a_letter_on_the_topic_comes_back_once_and_is_closed() {
        let prefix = unique("letters");
        let server = Server::start(cluster(&prefix)).ready();
        let sms = Sms::new("1", "words of a resident").to("60006");
        assert_eq!(push_body(server.inbound, &prefix, &sms.body()).status, 200);
        let mine = |arguments: &[&str]| {
            let mut all = arguments.to_vec();
            all.extend(["--account", &prefix]);
            run(&server.folder, &all)
        };
        let (code, letters, err) = mine(&["list"]);
        assert!(code == Some(0) && letters.len() == 1, "{letters:?}{err}");
        assert!(!letters[0].to_string().contains("words"));
        let (code, told, _) = mine(&["replay"]);
        assert_eq!((code, &told[0]["outcome"]), (Some(1), &"stays".into()));
        let shown = ["show", id(&letters[0]), "--reason", "a test", "--show-text"];
        let (code, shown, err) = run_with(&server.folder, &shown, Some(TOKEN));
        assert_eq!(code, Some(0), "{err}");
        assert!(shown[0]["content"].as_str().is_some_and(|content| content.contains("words of a resident")));
        let star = format!("{}[[number]]\nnumber = \"*\"\ndefault = \"parking\"\n", routes(&prefix));
        server.folder.write("routes.toml", &star);
        let (code, told, err) = mine(&["replay"]);
        assert_eq!(code, Some(0), "{told:?}{err}");
        assert_eq!(mine(&["list"]).1, [] as [Value; 0]);
        assert_eq!(mine(&["replay"]).1, [] as [Value; 0]);
        // A text after it shows that there is no second copy before it.
        let last = Sms::new("last", "park pay").to("86555");
        assert_eq!(push_body(server.inbound, &prefix, &last.body()).status, 200);
        let records: Vec<_> = consume(&format!("{prefix}.parking"), 2).iter().map(value).collect();
        let texts: Vec<_> = records.iter().map(|record| record["text"].as_str().expect("a text")).collect();
        assert_eq!(texts, ["words of a resident", "park pay"]);
        assert_eq!(records[0]["id"], letters[0]["relates_to"]);
        assert_eq!(records[0]["received_at"], letters[0]["received_at"]);
    }

    #[test]
    #[ignore = "needs Kafka: tests/run kafka"]
    fn what_a_topic_refused_comes_back_once_the_topic_takes_it() {
        let prefix = unique("refused");
        let server = Server::start(cluster(&prefix)).ready();
        let topic = format!("{prefix}.highways");
        limit_record_size(&topic, "2000");
        let sms = Sms::new("1", &format!("snow {}", "x".repeat(5_000)));
        assert_eq!(push_body(server.inbound, &prefix, &sms.body()).status, 200);
        let replay = || run(&server.folder, &["replay", "--account", &prefix]);
        let (code, told, _) = replay();
        assert_eq!((code, &told[0]["outcome"]), (Some(1), &"stays".into()));
        assert_eq!(run(&server.folder, &["list", "--account", &prefix]).1.len(), 1, "it was not kept again");
        limit_record_size(&topic, "1048588");
        let (code, told, err) = replay();
        assert_eq!(code, Some(0), "{told:?}{err}");
        let record = value(&consume(&topic, 1)[0]);
        assert_eq!((&record["text"], &record["keyword"]), (&sms.text.into(), &"snow".into()));
    }
}
