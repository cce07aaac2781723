//! Bird: what its signature covers, what is read of a notification. The signature was made by another
//! tool (Python's hmac).

use super::reading::{nothing, refused};
use super::*;
use crate::message::Media;

fn bird() -> Account {
    account("bird", Auth::Signature, &["hush"])
}

/// A message that came in, with this body.
fn incoming(body: &str) -> Request {
    Request::post(format!(
        r#"{{"service":"channels","event":"sms.inbound","payload":{{"id":"b1","sender":{{"contact":{{"identifierValue":"+31612345678"}}}},
        "receiver":{{"connector":{{"id":"c"}}}},"body":{body},"parts":[{{}},{{}}],"direction":"incoming","createdAt":"2023-11-14T22:13:20.000Z"}}}}"#
    ))
}

const TEXT: &str = r#"{"type":"text","text":{"text":"snow"}}"#;

#[test]
fn the_signature_covers_time_url_query_and_body() {
    let request = |query: &str, body: &str, time: &str| {
        Request { query: query.to_owned(), ..Request::post(body) }
            .header("messagebird-signature", "X1GykIi+j5bH1cfsnxqdImq9YBy918cKCqg7I/sXlPw=")
            .header("messagebird-request-timestamp", time)
    };
    assert_eq!(request("tenant=7", "{}", "1700000000").authenticate(&bird()), Ok(()));
    for (query, body, time) in [
        ("", "{}", "1700000000"),
        ("tenant=8", "{}", "1700000000"),
        ("tenant=7", "{} ", "1700000000"),
        ("tenant=7", "{}", "1700000001"),
    ] {
        assert_eq!(request(query, body, time).authenticate(&bird()), Err(AuthFailure::Mismatch), "{query} {time}");
    }
    let mut elsewhere = bird();
    elsewhere.url.push('/');
    assert_eq!(request("tenant=7", "{}", "1700000000").authenticate(&elsewhere), Err(AuthFailure::Mismatch));
    for (hours, expected) in [(8, Ok(())), (10, Err(AuthFailure::Expired)), (-10, Err(AuthFailure::Expired))] {
        let received_at = Timestamp::from_second(NOW + hours * 3600).expect("a time");
        let request = Request { received_at, ..request("tenant=7", "{}", "1700000000") };
        assert_eq!(request.authenticate(&bird()), expected, "{hours}");
    }
    let untimed = Request::post("{}").header("messagebird-signature", "AAAA");
    assert_eq!(untimed.authenticate(&bird()), Err(AuthFailure::Missing));
}

#[test]
fn words_and_pictures_are_read() {
    let link = |url: &str, kind: Option<&str>| Media { url: url.to_owned(), content_type: kind.map(str::to_owned) };
    let text = incoming(TEXT).texts(&bird());
    assert_eq!((text_of(&text[0].body), text[0].from.as_str()), (Some("snow"), "+31612345678"));
    assert_eq!((text[0].segments, text[0].sent_at, text[0].to.is_none()), (2, Some(now()), true));
    assert_eq!(text[0].carrier_message_id.as_deref(), Some("b1"));
    let picture = incoming(r#"{"type":"image","image":{"text":"look","images":[{"mediaUrl":"https://a"},{}]}}"#);
    let picture = picture.texts(&bird());
    assert_eq!((text_of(&picture[0].body), &picture[0].media[..]), (Some("look"), &[link("https://a", None)][..]));
    let file = incoming(r#"{"type":"file","file":{"files":[{"contentType":"text/vcard","mediaUrl":"https://b"}]}}"#);
    let file = file.texts(&bird());
    assert_eq!((text_of(&file[0].body), &file[0].media[..]), (Some(""), &[link("https://b", Some("text/vcard"))][..]));
    let lone = incoming(r#"{"type":"text","text":{"text":"a\ud83d"}}"#).texts(&bird());
    assert_eq!(lone[0].body, Body::Undecodable(b"a\xed\xa0\xbd".to_vec()));
    let many = format!(r#"{{"image":{{"images":[{}]}}}}"#, [r#"{"mediaUrl":"a"}"#; 40].join(","));
    assert_eq!(incoming(&many).texts(&bird())[0].media.len(), 32);
}

#[test]
fn other_events_are_not_texts() {
    for body in [
        r#"{"service":"channels","event":"sms.outbound","payload":{"id":"1","direction":"outgoing","body":{}}}"#,
        r#"{"service":"channels","event":"x","payload":{"id":7}}"#,
        r#"{"service":"channels","event":"x","payload":{}}"#,
        r#"{"service":"channels","event":"x","payload":null}"#,
        r#"{"service":"channels","event":"ping"}"#,
        "{}",
    ] {
        assert_eq!(nothing(&Request::post(body), &bird()), "event", "{body}");
    }
    let undirected =
        r#"{"payload":{"id":"1","sender":{"contact":{"identifierValue":"2"}},"body":{"text":{"text":"x"}}}}"#;
    assert_eq!(text_of(&Request::post(undirected).texts(&bird())[0].body), Some("x"));
    let undirected = undirected.replace(r#""id""#, r#""direction":"","id""#);
    assert_eq!(text_of(&Request::post(undirected).texts(&bird())[0].body), Some("x"));
}

#[test]
fn bird_says_what_is_wrong() {
    for (request, reason) in [
        (Request::post(""), "not JSON"),
        (Request::post("[]"), "a field is not of its type"),
        (incoming("7"), "a field is not of its type"),
        (incoming("null"), "body missing"),
        // Without a direction it is one all the same, and not an event.
        (
            Request::post(r#"{"payload":{"id":7,"sender":{"contact":{"identifierValue":"2"}},"body":{}}}"#),
            "a field is not of its type",
        ),
        (incoming(r#"{"type":"location","location":{}}"#), "neither text nor media"),
        (incoming(r#"{"type":"image","image":{"images":[{"mediaUrl":""}]}}"#), "neither text nor media"),
        (
            Request::post(r#"{"payload":{"direction":"incoming","id":"1","body":{"text":{"text":"x"}}}}"#),
            "sender.contact.identifierValue missing",
        ),
        (
            Request::post(
                r#"{"payload":{"direction":"incoming","sender":{"contact":{"identifierValue":"2"}},"body":{"text":{"text":"x"}}}}"#,
            ),
            "id missing",
        ),
    ] {
        assert_eq!(refused(&request, &bird()), reason, "{}", request.body.escape_ascii());
    }
}
