//! A text moved to another department, by command and by HTTP: published once more, written down, the original stays.

use serde_json::{Value, json};

use crate::harness::{Folder, ROUTES, SETTINGS, Server, Sms, feed, http, said};

const OPERATOR: &str = "token of the operators";

fn server() -> Server {
    let settings = SETTINGS.replace("[monitoring]", "operators = [{ file = \"operator\" }]\n[monitoring]");
    let folder = Folder::with(&settings, ROUTES);
    folder.write("operator", OPERATOR);
    Server::start(folder).ready()
}

/// The status, and the answer where it is JSON.
fn ask(server: &Server, id: &str, token: &str, wish: &Value) -> (u16, Value) {
    let headers = [("authorization".to_owned(), format!("Bearer {token}"))];
    let target = format!("/v1/messages/{id}/reroute");
    let answer = http::request(server.api, "POST", &target, &headers, wish.to_string().as_bytes());
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

fn accesses(server: &Server) -> Vec<(String, String, String, String)> {
    let store = rusqlite::Connection::open(server.folder.path("data/sms-router.sqlite")).expect("the store");
    let mut asked = store.prepare("SELECT who, why, query, ids FROM access_log ORDER BY number").expect("a table");
    let rows = asked.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).expect("rows");
    rows.collect::<Result<_, _>>().expect("accesses")
}

fn id_of(record: &Value) -> String {
    record["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_moved_text_is_with_the_other_department_under_an_id_of_its_own() {
    let server = server();
    server.push(&Sms::new("1", "the bridge is \u{2744} icy"));
    let original = feed::records(server.api, "contact-centre").pop().expect("the text");
    let id = id_of(&original);
    let arguments = ["reroute", "--id", &id, "--to", "highways", "--reason", "no keyword, a road"];
    let (code, out, err) = said(&server.folder.run(&arguments));
    assert_eq!(code, Some(0), "{err}");
    let moved: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(
        (&moved["relates_to"], &moved["department"], &moved["known"]),
        (&json!(id), &json!("highways"), &json!(false))
    );
    let there = feed::records(server.api, "highways").pop().expect("the text");
    let mut expected = original.clone();
    expected["id"] = moved["id"].clone();
    expected["relates_to"] = json!(id);
    expected["department"] = json!("highways");
    expected["flags"] = json!(["rerouted"]);
    assert_eq!(there, expected, "everything else is as it came");
    assert_eq!(feed::records(server.api, "contact-centre"), [original], "the original stays");
    let again: Value = serde_json::from_str(&said(&server.folder.run(&arguments)).1).expect("JSON");
    assert_eq!((&again["id"], &again["known"]), (&moved["id"], &json!(true)));
    assert_eq!(feed::records(server.api, "highways").len(), 1, "the same move adds nothing");
    // The copy of the moved text ends when the original's does.
    let copies = ["archive", "get", "--sender", "+447700900123", "--reason", "subject access"];
    let (_, out, _) = said(&server.folder.run(&copies));
    let ends: Vec<Value> =
        out.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")["expires_at"].clone()).collect();
    assert_eq!(ends.len(), 2);
    assert_eq!(ends[0], ends[1]);
    let (who, why, query, ids) = accesses(&server).remove(0);
    assert!(who.contains("uid"), "{who}");
    assert_eq!((why.as_str(), query.as_str(), ids), ("no keyword, a road", "reroute to highways", id));
    assert!(!out.contains("icy") && !err.contains("icy"));
}

#[test]
fn by_http_a_department_moves_its_own_texts_and_an_operator_any() {
    let mut server = server();
    server.push(&Sms::new("1", "hello"));
    let id = id_of(&feed::records(server.api, "contact-centre").pop().expect("the text"));
    let wish = json!({ "to": "highways", "reason": "a road" });
    assert_eq!(ask(&server, &id, "nobody's token", &wish).0, 401);
    assert_eq!(ask(&server, &id, "token of highways", &wish).0, 403, "it is not theirs to take");
    assert!(accesses(&server).is_empty(), "nothing was done");
    let (status, moved) = ask(&server, &id, "token of contact-centre", &wish);
    assert_eq!((status, &moved["relates_to"], &moved["department"]), (200, &json!(id), &json!("highways")));
    // On it goes: from who has it now.
    let moved = moved["id"].as_str().expect("an id");
    let back = json!({ "to": "contact-centre", "reason": "not a road" });
    let (status, back) = ask(&server, moved, "token of highways", &back);
    assert_eq!((status, &back["relates_to"]), (200, &json!(moved)));
    assert_eq!(
        ask(&server, &id, OPERATOR, &wish),
        (200, json!({ "id": moved, "relates_to": id, "department": "highways" }))
    );
    let who: Vec<String> = accesses(&server).into_iter().map(|(who, ..)| who).collect();
    assert_eq!(who, ["api department contact-centre", "api department highways", "api operator"]);
    assert_eq!(feed::records(server.api, "contact-centre").len(), 2);
    server.wait_for_log("a text was moved");
    assert!(!server.log().join("\n").contains("a road"));
}

#[test]
fn what_cannot_be_moved_is_told_apart() {
    let server = server();
    server.push(&Sms::new("1", "snow"));
    let id = id_of(&feed::records(server.api, "highways").pop().expect("the text"));
    let wish = |to: &str, reason: &str| json!({ "to": to, "reason": reason });
    let unknown = "0192f0c0-0000-7000-8000-000000000001";
    let long = "x".repeat(1_001);
    for (id, wish, expected) in [
        ("no-id", wish("highways", "why"), 400),
        (unknown, wish("highways", "why"), 404),
        (&id, wish("nobody", "why"), 400),
        (&id, wish("No Name", "why"), 400),
        (&id, wish("contact-centre", " "), 400),
        (&id, wish("contact-centre", &long), 400),
        (&id, wish("contact-centre", "a road\u{1b}[2J"), 400),
        (&id, json!({ "to": "contact-centre" }), 400),
        (&id, json!({ "to": "contact-centre", "reason": "why", "text": "mine" }), 400),
        (&id, json!({ "to": "contact-centre", "reason": "x".repeat(9_000) }), 413),
    ] {
        assert_eq!(ask(&server, id, OPERATOR, &wish).0, expected, "{id} {}", wish["to"]);
    }
    assert_eq!(http::request(server.api, "GET", &format!("/v1/messages/{id}/reroute"), &[], b"").status, 405);
    assert_eq!(feed::records(server.api, "contact-centre"), Vec::<Value>::new());
    for (arguments, code, expected) in [
        (["--id", "no-id", "--to", "highways", "--reason", "why"], 64, "invalid value"),
        (["--id", unknown, "--to", "highways", "--reason", "why"], 1, "no audit copy has this id"),
        (["--id", &id, "--to", "nobody", "--reason", "why"], 1, "the routes name no department nobody"),
        (["--id", &id, "--to", "contact-centre", "--reason", " "], 64, "--reason is empty"),
    ] {
        let (got, _, err) = said(&server.folder.run(&[&["reroute"][..], &arguments].concat()));
        assert_eq!(got, Some(code), "{err}");
        assert!(err.contains(expected), "{err}");
    }
}

/// Where its text would be gone at once nobody is told that it was moved.
#[test]
fn a_text_that_departments_no_longer_keep_is_not_moved() {
    let settings = SETTINGS.replace("[monitoring]", "operators = [{ file = \"operator\" }]\n[monitoring]");
    let folder = Folder::with(&format!("{settings}[publish]\nfeed_retention_days = 1\n"), ROUTES);
    folder.write("operator", OPERATOR);
    let server = Server::start(folder).ready();
    server.push(&Sms::new("1", "snow"));
    let record = feed::records(server.api, "highways").pop().expect("the text");
    let (id, received) = (id_of(&record), record["received_at"].as_str().expect("a time").to_owned());
    let before = received.parse::<jiff::Timestamp>().expect("a time") - jiff::SignedDuration::from_hours(25);
    let store = rusqlite::Connection::open(server.folder.path("data/sms-router.sqlite")).expect("the store");
    let content: Vec<u8> = store.query_row("SELECT content FROM audit", [], |row| row.get(0)).expect("the copy");
    let older = format!("{before:.3}");
    let content = String::from_utf8(content).expect("plain").replace(&received, &older);
    assert!(content.contains(&older));
    store.execute("UPDATE audit SET content = ?1", [content.into_bytes()]).expect("an older copy");
    let wish = json!({ "to": "contact-centre", "reason": "late" });
    assert_eq!(ask(&server, &id, OPERATOR, &wish).0, 422);
    assert_eq!(feed::records(server.api, "contact-centre"), Vec::<Value>::new());
    assert!(accesses(&server).is_empty());
}
