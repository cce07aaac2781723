//! Bandwidth: whose number was texted, receipts, pictures.

use super::reading::{nothing, refused};
use super::*;
use crate::message::Media;

const WRONG_TYPE: &str = "a field is not of its type, or more than 2000 texts are in one request";

fn bandwidth() -> Account {
    account("bandwidth", Auth::Basic, &["user:password"])
}

/// A received message with these members beside id and sender.
fn message(members: &str) -> Request {
    Request::post(format!(
        r#"[{{"type":"message-received","time":"2023-11-14T22:13:20Z","to":"12345678902","message":{{"id":"m-1","from":"+12345678901"{members}}}}}]"#
    ))
}

#[test]
fn the_owner_is_the_number_texted_and_others_stand_in() {
    for (members, to) in [
        (r#","text":"x","owner":"+12345678903","to":["+12345678902","+12345678903"]"#, "+12345678903"),
        (r#","text":"x","to":["+12345678902","+12345678903"]"#, "12345678902"),
    ] {
        let texts = message(members).texts(&bandwidth());
        assert_eq!(texts[0].to.as_ref().map(|to| to.as_str()), Some(to), "{members}");
        assert_eq!(texts[0].carrier_message_id.as_deref(), Some("m-1"));
    }
    let inner = r#"[{"type":"message-received","message":{"id":"1","from":"1","to":["2"],"text":"x"}}]"#;
    assert_eq!(Request::post(inner).texts(&bandwidth())[0].to.as_ref().map(|to| to.as_str()), Some("2"));
}

#[test]
fn pieces_pictures_and_times_are_taken_over() {
    let texts = message(r#","media":["https://a","https://b"],"segmentCount":"2","time":"2023-11-14T22:13:20.5Z""#)
        .texts(&bandwidth());
    let links: Vec<_> = ["https://a", "https://b"].map(|url| Media { url: url.to_owned(), content_type: None }).into();
    assert_eq!((texts[0].media.clone(), texts[0].segments, text_of(&texts[0].body)), (links, 2, Some("")));
    assert_eq!(texts[0].sent_at, Some("2023-11-14T22:13:20.5Z".parse().expect("a time of the test")));
    let texts = message(r#","text":"\ud83d""#).texts(&bandwidth());
    assert_eq!((texts[0].body.clone(), texts[0].sent_at), (Body::Undecodable(b"\xed\xa0\xbd".to_vec()), Some(now())));
}

#[test]
fn the_fate_of_messages_sent_is_no_text() {
    for kind in ["message-delivered", "message-failed", "message-sending", "message-read"] {
        let body = format!(r#"[{{"type":"{kind}","message":{{"id":"1"}}}}]"#);
        assert_eq!(nothing(&Request::post(body), &bandwidth()), "receipt", "{kind}");
    }
    assert_eq!(nothing(&Request::post("[]"), &bandwidth()), "empty");
    let mixed = r#"[{"type":"message-failed"},{"type":"message-received","to":"2","message":{"id":"1","from":"1","text":"x"}}]"#;
    assert_eq!(Request::post(mixed).texts(&bandwidth()).len(), 1);
}

#[test]
fn what_is_wrong_is_said() {
    for (members, reason) in [
        ("", "text missing"),
        (r#","media":[]"#, "text missing"),
        (r#","text":1"#, WRONG_TYPE),
        (r#","text":"x","time":"2016-09-14 18:20:16""#, "time is not ISO 8601"),
    ] {
        assert_eq!(refused(&message(members), &bandwidth()), reason, "{members}");
    }
    for (body, reason) in [
        ("", "not JSON"),
        ("[{}]", "type missing"),
        (r#"[{"type":"","message":{"id":"1"}}]"#, "type missing"),
        (r#"[{"type":"message-received"}]"#, "message missing"),
        (r#"[{"type":"message-received","to":"2","message":{"from":"1","text":"x"}}]"#, "message.id missing"),
        (r#"[{"type":"message-received","to":"2","message":{"id":"1","text":"x"}}]"#, "from missing"),
        (r#"[{"type":"message-received","message":{"id":"1","from":"1","text":"x","to":[]}}]"#, "owner missing"),
    ] {
        assert_eq!(refused(&Request::post(body), &bandwidth()), reason, "{body}");
    }
}
