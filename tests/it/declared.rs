//! A carrier that the operator declares: no Rust, the whole way from settings to feed.

use serde_json::json;

use crate::harness::{Folder, ROUTES, SETTINGS, Server, feed, http, said};

/// Before the account of each test.
fn with_account(account: &str) -> Folder {
    let account = format!("[accounts.other]\ncarrier = \"form\"\nsecrets = [{{ file = \"other\" }}]\n{account}\n");
    let folder = Folder::with(&SETTINGS.replace("[accounts.demo]", &format!("{account}[accounts.demo]")), ROUTES);
    folder.write("other", "a-secret");
    folder
}

#[test]
fn what_is_declared_is_read_answered_and_simulated() {
    let server = Server::start(with_account(
        "format = \"json\"\ntexts = \"/all\"\nfields = { from = \"/by\", to = \"/to\", text = [\"/words\", \"/text\"], id = \"id\", time = \"/at\" }\n\
         time_format = \"%d.%m.%Y %H:%M\"\ntime_zone = \"Europe/London\"\ntexts_lack = \"/status\"\n\
         reply = { status = 202, body = \"[OK]\", content_type = \"application/x-ok\" }",
    ))
    .ready();
    let push = |body: &str| http::request(server.inbound, "POST", "/inbound/other/a-secret", &[], body.as_bytes());
    let answer = push(
        r#"{"all":[{"id":7,"by":"+447700900123","to":"86555","text":"snow here","at":"01.07.2026 12:00"},{"status":"sent"}]}"#,
    );
    assert_eq!((answer.status, answer.text().as_str()), (202, "[OK]"));
    assert_eq!(answer.header("content-type"), Some("application/x-ok"));
    let record = feed::records(server.api, "highways").remove(0);
    assert_eq!((&record["text"], &record["carrier_message_id"]), (&json!("snow here"), &json!("7")));
    assert_eq!((&record["carrier"], &record["sent_at"]), (&json!("form"), &json!("2026-07-01T11:00:00.000Z")));
    assert_eq!(push(r#"{"all":[{"id":8}]}"#).status, 400);
    assert_eq!(push(r#"{"all":[]}"#).status, 202);
    assert_eq!(http::get(server.inbound, "/inbound/other/a-secret").status, 202);
    let url = format!("http://{}/inbound/other", server.inbound);
    let arguments =
        ["simulate", "--account", "other", "--url", &url, "--to", "86555", "--from", "+447700900124", "snow again"];
    let (code, out, err) = said(&server.folder.run(&arguments));
    assert!(code == Some(0) && out.starts_with("202 id "), "{out}{err}");
    assert_eq!(feed::records(server.api, "highways").len(), 2);
}

#[test]
fn what_cannot_be_declared_is_said_with_its_key() {
    const FIELDS: &str = "fields = { from = \"f\", to = \"t\", text = \"x\", id = \"i\" }";
    for (account, key, said_of_it) in [
        ("", "fields.from", "is missing"),
        ("fields = { from = \"f\", to = \"t\" }", "fields.text", "is missing"),
        ("fields = { from = \"f\", text = \"x\" }", "number", "is missing"),
        ("fields = { from = \"f\", to = \"t\", text = \"x\", sender = \"s\" }", "fields.sender", "is not a setting"),
        ("fields = { from = \"\", to = \"t\", text = \"x\" }", "fields.from", "empty name"),
        ("fields = { from = 7, to = \"t\", text = \"x\" }", "fields.from", "list of strings"),
        ("fields = { from = \"/f\", to = \"t\", text = \"x\" }", "fields.from", "only format = \"json\" has"),
        ("format = \"json\"\nfields = { from = \"/a~2\", to = \"t\", text = \"x\" }", "fields.from", "is no pointer"),
        ("fields = { from = \"f\", to = \"t\", text = \"x\", total = \"n\" }", "fields.reference", "together with"),
        (&format!("{FIELDS}\nformat = \"xml\""), "format", "none of query, form, json"),
        (&format!("{FIELDS}\ntexts = \"/all\""), "texts", "only format = \"json\""),
        (&format!("{FIELDS}\ntime_format = \"%H:%M\""), "time_format", "no pattern with a day and a time"),
        (&format!("{FIELDS}\ntime_zone = \"Europe/Londn\""), "time_zone", "neither a time zone"),
        (&format!("{FIELDS}\ncharset = \"latin\""), "charset", "is no charset"),
        (&format!("{FIELDS}\nescapes = \"twice\""), "escapes", "none of none, form"),
        (&format!("{FIELDS}\ntexts_have = [\"=x\"]"), "texts_have", "empty name"),
        (&format!("{FIELDS}\nreply = {{ status = 404 }}"), "reply.status", "from 200 to 299"),
        (&format!("{FIELDS}\nreply = {{ status = 204, body = \"x\" }}"), "reply.body", "status 204"),
        (&format!("{FIELDS}\nreply = {{ content_type = \"a\\nb\" }}"), "reply.content_type", "printable ASCII"),
    ] {
        let (code, out, err) = said(&with_account(account).run(&["check"]));
        let all = format!("{out}{err}");
        let is_said =
            all.lines().any(|line| line.contains(&format!("accounts.other.{key}: ")) && line.contains(said_of_it));
        assert!(code == Some(1) && is_said, "{account}: {all}");
    }
    let (code, out, err) = said(&with_account(&FIELDS.replace(", id = \"i\"", "")).run(&["check"]));
    assert!(code == Some(0) && format!("{out}{err}").contains("accounts.other.fields.id"), "{out}{err}");
}
