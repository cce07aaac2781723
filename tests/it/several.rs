//! A keyword of two departments in the embedded profile: each has the text, once, and the archive has it once.

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::harness::{Folder, ROUTES, SETTINGS, Server, Sms, feed, said, wait_until};
use crate::parts::Piece;

const BOTH: [&str; 2] = ["highways", "parking"];
const SENDER: &str = "+447700900123";

/// The usual routes, and a word that is two departments'.
fn routes() -> String {
    format!("{ROUTES}[[keyword]]\nnumber = \"86555\"\nword = \"flood\"\ndepartments = {BOTH:?}\n")
}

fn folder() -> Folder {
    Folder::with(SETTINGS, &routes())
}

/// The only record of each of the two.
fn both(server: &Server) -> [Value; 2] {
    BOTH.map(|department| {
        let mut records = feed::records(server.api, department);
        assert_eq!(records.len(), 1, "{department}: {records:?}");
        records.remove(0)
    })
}

fn word<'a>(record: &'a Value, field: &str) -> &'a str {
    record[field].as_str().unwrap_or_else(|| panic!("{field} is missing in {record}"))
}

/// What the archive answers.
fn copies(folder: &Folder, question: &[&str]) -> Vec<Value> {
    let asked = folder.run(&[&["archive", "get", "--reason", "a test", "--show-text"][..], question].concat());
    let (code, out, err) = said(&asked);
    assert_eq!(code, Some(0), "{question:?}: {err}");
    out.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["record"].take()).collect()
}

fn of_department(name: &str) -> [&str; 6] {
    ["--department", name, "--since", "2020-01-01", "--until", "2099-01-01"]
}

fn store(folder: &Folder) -> Connection {
    Connection::open(folder.path("data/sms-router.sqlite")).expect("the store")
}

#[test]
fn each_has_the_text_whatever_the_carrier_sends_again() {
    let server = Server::start(folder()).ready();
    let sms = Sms::new("1", "Flood in Mill Lane");
    assert_eq!(server.push(&sms).status, 200);
    assert_eq!(server.push(&sms).status, 200, "known from memory");
    for department in BOTH {
        let of = |outcome| format!("sms_router_messages_total{{department=\"{department}\",outcome=\"{outcome}\"}}");
        assert_eq!((server.metric(&of("published")), server.metric(&of("duplicate"))), (1.0, 1.0));
    }
    assert_eq!(server.metric("sms_router_keyword_messages_total{keyword=\"flood\",number=\"86555\"}"), 1.0);
    let mut server = Server::start(server.kill()).ready();
    assert_eq!(server.push(&sms).status, 200, "known from the store");
    // And whatever the routes have come to say.
    server
        .folder
        .write("routes.toml", &routes().replace(&format!("departments = {BOTH:?}"), "department = \"parking\""));
    server.wait_for_log("routes are in force");
    let server = Server::start(server.kill()).ready();
    assert_eq!(server.push(&sms).status, 200);
    let records = both(&server);
    let text = word(&records[0], "copy_of");
    for (record, department) in records.iter().zip(BOTH) {
        for (field, value) in [
            ("text", json!("Flood in Mill Lane")),
            ("rest", json!("in Mill Lane")),
            ("department", json!(department)),
            ("departments", json!(BOTH)),
            ("carrier_message_id", json!("1")),
            ("copy_of", json!(text)),
            ("relates_to", json!(text)),
        ] {
            assert_eq!(record[field], value, "{department}: {field}");
        }
    }
    let ids = [word(&records[0], "id"), word(&records[1], "id"), text];
    assert!(ids[0] != ids[1] && ids[0] != ids[2] && ids[1] != ids[2], "{ids:?}");
    let answer = feed::ask(server.api, "parking", "token of parking", "").text();
    assert!(answer.contains(&format!("\"id\":\"{}\"", ids[1])), "the event's id is the record's: {answer}");
}

#[test]
fn one_audit_copy_answers_for_both_and_is_there_after_a_backup() {
    let server = Server::start(folder()).ready();
    assert_eq!(server.push(&Sms::new("1", "Flood in Mill Lane")).status, 200);
    let records = both(&server);
    let text = word(&records[0], "copy_of").to_owned();
    let (code, _, err) = said(&server.folder.run(&["backup", "store.backup"]));
    assert_eq!(code, Some(0), "{err}");
    let restored = folder();
    std::fs::create_dir_all(restored.path("data")).expect("a folder");
    std::fs::copy(server.folder.path("store.backup"), restored.path("data/sms-router.sqlite")).expect("restored");
    let again = Server::start(restored).ready();
    for folder in [&server.folder, &again.folder] {
        let copy = copies(folder, &["--id", &text]).remove(0);
        assert_eq!((word(&copy, "id"), word(&copy, "text")), (text.as_str(), "Flood in Mill Lane"));
        assert_eq!((&copy["department"], &copy["departments"]), (&json!("highways"), &json!(BOTH)));
        assert_eq!((copy.get("copy_of"), copy.get("relates_to")), (None, None));
        for question in [&["--sender", SENDER][..], &of_department("highways"), &of_department("parking")] {
            assert_eq!(copies(folder, question), std::slice::from_ref(&copy), "{question:?}");
        }
        assert_eq!(copies(folder, &["--id", word(&records[1], "id")]), [] as [Value; 0]);
        assert_eq!(copies(folder, &of_department("contact-centre")), [] as [Value; 0]);
    }
    let hidden = server.folder.run(&["archive", "get", "--id", &text, "--reason", "a test"]);
    let hidden: Value = serde_json::from_str(&said(&hidden).1).expect("JSON");
    assert_eq!((&hidden["departments"], hidden.get("text")), (&json!(BOTH), None));
}

#[test]
fn the_same_id_with_other_content_is_a_text_of_its_own_for_both() {
    let server = Server::start(folder()).ready();
    for words in ["flood one", "flood two", "flood two", "flood one"] {
        assert_eq!(server.push(&Sms::new("reused", words)).status, 200);
    }
    let server = Server::start(server.kill()).ready();
    assert_eq!(server.push(&Sms::new("reused", "flood two")).status, 200);
    for department in BOTH {
        let records = feed::records(server.api, department);
        let texts: Vec<_> = records.iter().map(|record| word(record, "text")).collect();
        assert_eq!(texts, ["flood one", "flood two"], "{department}");
        assert_eq!(records[1]["flags"], json!(["carrier_id_reused"]));
    }
    assert_eq!(copies(&server.folder, &["--sender", SENDER]).len(), 2);
}

#[test]
fn a_text_of_both_is_one_text_to_reconcile_which_misses_either_record() {
    let since = (jiff::Timestamp::now() - jiff::SignedDuration::from_secs(1)).to_string();
    let server = Server::start(folder()).ready();
    assert_eq!(server.push(&Sms::new("1", "Flood in Mill Lane")).status, 200);
    assert_eq!(server.push(&Sms::new("2", "snow")).status, 200);
    let lost = word(&both_floods(&server)[1], "id").to_owned();
    let reconcile = |folder: &Folder| {
        let until = jiff::Timestamp::now().to_string();
        let asked = folder.run(&["reconcile", "--since", &since, "--until", &until, "-o", "json"]);
        let (code, out, err) = said(&asked);
        (code, serde_json::from_str::<Value>(&out).unwrap_or_else(|_| panic!("{out}{err}")))
    };
    let (code, report) = reconcile(&server.folder);
    assert_eq!(code, Some(0), "{report}");
    let sum = |of: &str| -> u64 {
        let hours = report["hours"].as_array().expect("hours").iter();
        hours.map(|hour| hour["sums"][of].as_u64().unwrap_or(0)).sum()
    };
    assert_eq!(["accepted", "published", "archived"].map(sum), [2, 2, 2]);
    let folder = server.kill();
    let removed = store(&folder).execute("DELETE FROM log WHERE stream = 'parking'", []).expect("removed");
    assert_eq!(removed, 1);
    let (code, report) = reconcile(&folder);
    assert_eq!(code, Some(1), "{report}");
    assert!(report.to_string().contains(&lost), "{report}");
}

/// What each has of the flood.
fn both_floods(server: &Server) -> [Value; 2] {
    BOTH.map(|department| {
        let mut records = feed::records(server.api, department).into_iter();
        records.rfind(|record| record["keyword"] == "flood").expect("a flood")
    })
}

#[test]
fn nothing_of_it_outlives_the_twelve_months() {
    let server = Server::start(folder()).ready();
    assert_eq!(server.push(&Sms::new("1", "Flood in Mill Lane")).status, 200);
    let folder = server.kill();
    let aged = store(&folder);
    for table in ["audit", "ids", "audit_departments"] {
        let changed = aged.execute(&format!("UPDATE {table} SET expires_at = 1"), []).expect("aged");
        assert!(changed > 0, "{table}");
    }
    drop(aged);
    let server = Server::start(folder).ready();
    wait_until("the copy is swept", || server.metric("sms_router_swept_total{kind=\"audit_copy\"}") == 1.0);
    for question in [&["--sender", SENDER][..], &of_department("highways"), &of_department("parking")] {
        assert_eq!(copies(&server.folder, question), [] as [Value; 0], "{question:?}");
    }
    for department in BOTH {
        assert_eq!(feed::records(server.api, department), [] as [Value; 0], "no row of a feed outlives the copy");
    }
    let rows = "SELECT (SELECT count(*) FROM audit_departments) + (SELECT count(*) FROM ids)";
    let left: i64 = store(&server.folder).query_row(rows, [], |row| row.get(0)).expect("a count");
    assert_eq!(left, 0);
}

#[test]
fn a_long_text_goes_to_both_and_so_does_its_late_piece() {
    let settings = SETTINGS.replacen("[archive]", "[parts]\nwait_ms = 400\n[archive]", 1);
    let server = Server::start(Folder::with(&settings, &routes())).ready();
    let pieces = Piece::cut("7", &["flood ", "in ", "Mill Lane"]);
    Piece::push_together(&[&pieces[0], &pieces[2]], &server);
    let records = |count: usize| {
        BOTH.map(|department| {
            let mut records = Vec::new();
            wait_until("the text is there", || {
                records = feed::records(server.api, department);
                records.len() >= count
            });
            records
        })
    };
    let text = word(&records(1)[0][0], "copy_of").to_owned();
    pieces[1].push(&server);
    let all = records(2);
    let late = word(&all[0][1], "copy_of").to_owned();
    for (records, department) in all.iter().zip(BOTH) {
        assert_eq!((word(&records[0], "text"), word(&records[1], "text")), ("flood Mill Lane", "in "), "{department}");
        assert_eq!((word(&records[0], "copy_of"), word(&records[0], "relates_to")), (text.as_str(), text.as_str()));
        assert_eq!((word(&records[1], "copy_of"), word(&records[1], "relates_to")), (late.as_str(), text.as_str()));
        assert_eq!(word(&records[1], "department"), department);
    }
    let copy = copies(&server.folder, &["--id", &late]).remove(0);
    assert_eq!((word(&copy, "relates_to"), &copy["departments"]), (text.as_str(), &json!(BOTH)));
}

#[test]
fn a_dead_letter_comes_back_to_both() {
    let server = Server::start(folder()).ready();
    assert_eq!(server.push(&Sms::new("1", "Flood in Mill Lane").to("60006")).status, 200);
    let mended = routes().replace("number = \"86555\"\nword = \"flood\"", "word = \"flood\"");
    server.folder.write("routes.toml", &format!("{mended}[[number]]\nnumber = \"*\"\ndefault = \"parking\"\n"));
    for outcome in ["replayed", ""] {
        let (code, out, err) = said(&server.folder.run(&["dead-letter", "replay", "--all"]));
        assert_eq!(code, Some(0), "{out}{err}");
        let told: Option<Value> = out.lines().next().map(|line| serde_json::from_str(line).expect("JSON"));
        let told = told.unwrap_or_default();
        assert_eq!(told["outcome"].as_str().unwrap_or_default(), outcome, "the second time there is none");
        if !outcome.is_empty() {
            assert_eq!(told["texts"][0]["departments"], json!(BOTH));
        }
    }
    let records = both(&server);
    assert_eq!(word(&records[0], "copy_of"), word(&records[1], "copy_of"));
    assert_eq!(copies(&server.folder, &of_department("parking")).len(), 1);
}

#[test]
fn routes_that_name_departments_wrongly_are_refused_with_file_line_and_key() {
    let check = |lines: &str, told: &[&str]| {
        let folder = Folder::with(SETTINGS, &format!("{ROUTES}[[keyword]]\nword = \"flood\"\n{lines}\n"));
        let (code, out, _) = said(&folder.run(&["check"]));
        assert_eq!(code, Some(1), "{lines}: {out}");
        assert!(told.iter().all(|told| out.contains(told)), "{lines}: {out}");
    };
    check(
        "department = \"parking\"\ndepartments = [\"highways\", \"parking\"]",
        &["routes.toml:23: keyword[2].departments: stands beside department: say one of them"],
    );
    check("departments = []", &["routes.toml:22: keyword[2].departments: must be a list that names a department"]);
    check(
        "departments = [\"High\", \"parking\"]",
        &["routes.toml:22: keyword[2].departments:", "\"High\" is not a name"],
    );
    check("departments = [\"parking\"]", &["routes.toml:20:", "must name at least two; for one say department"]);
    check("departments = [\"parking\", \"parking\"]", &["routes.toml:20:", "names department parking twice"]);
    check(
        "departments = [\"parking\", \"rivers\"]",
        &["routes.toml:20:", "department rivers, which no [[department]]"],
    );
    check("", &["routes.toml:20: keyword[2].department: is missing"]);
}

#[test]
fn explain_names_all_and_the_first_where_one_was_named() {
    let folder = folder();
    let explain = |options: &[&str]| {
        let (code, out, err) = said(&folder.run(&[&["explain", "--to", "86555"][..], options].concat()));
        assert_eq!(code, Some(0), "{err}");
        out
    };
    let told: Value = serde_json::from_str(&explain(&["-o", "json", "Flood!"])).expect("JSON");
    assert_eq!((&told["department"], &told["departments"]), (&json!("highways"), &json!(BOTH)));
    let told: Value = serde_json::from_str(&explain(&["-o", "json", "Snow!"])).expect("JSON");
    assert_eq!((&told["department"], told.get("departments")), (&json!("highways"), None));
    assert!(explain(&["Flood!"]).starts_with("departments highways, parking: each gets the text\n"));
}
