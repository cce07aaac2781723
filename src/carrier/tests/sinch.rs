//! Sinch: its signature's headers, the three types of the SMS API, the Conversation API.

use super::reading::{nothing, refused};
use super::*;
use crate::message::{Country, Media, Number, Part};

fn sinch() -> Account {
    account("sinch", Auth::Signature, &["a-secret"])
}

fn message(kind: &str, members: &str) -> Request {
    Request::post(format!(
        r#"{{"id":"1","type":"{kind}","from":"447700900123","to":"86555","received_at":"2023-11-14T22:13:20Z"{members}}}"#
    ))
}

fn conversation(contact: &str) -> Request {
    Request::post(format!(
        r#"{{"project_id":"p","app_id":"a","message":{{"id":"c-1","direction":"TO_APP","contact_message":{contact},
            "channel_identity":{{"channel":"SMS","identity":"447700900123","app_id":""}},"sender_id":"86555",
            "accept_time":"2023-11-14T22:13:20.000000Z"}},"message_metadata":""}}"#
    ))
}

#[test]
fn all_four_headers_are_needed_and_cover_body_nonce_and_time() {
    let account = sinch();
    let signed: Request = account.carrier.compose(&draft(), &account).expect("it signs").into();
    for (name, value, expected) in [
        ("x-sinch-webhook-signature", None, AuthFailure::Missing),
        ("x-sinch-webhook-signature-nonce", None, AuthFailure::Missing),
        ("x-sinch-webhook-signature-timestamp", None, AuthFailure::Missing),
        ("x-sinch-webhook-signature-algorithm", None, AuthFailure::Missing),
        ("x-sinch-webhook-signature", Some("AAAA"), AuthFailure::Mismatch),
        ("x-sinch-webhook-signature-nonce", Some("1"), AuthFailure::Mismatch),
        ("x-sinch-webhook-signature-timestamp", Some("1"), AuthFailure::Mismatch),
        ("x-sinch-webhook-signature-algorithm", Some("HmacSHA1"), AuthFailure::Mismatch),
    ] {
        let mut changed = signed.clone();
        changed.headers.remove(name);
        if let Some(value) = value {
            changed = changed.header(name, value);
        }
        assert_eq!(changed.authenticate(&account), Err(expected), "{name} {value:?}");
    }
    let mut changed = signed.clone();
    changed.body.push(b' ');
    assert_eq!(changed.authenticate(&account), Err(AuthFailure::Mismatch));
    let mut later = signed;
    later.received_at = "2026-11-21T10:00:00Z".parse().expect("a time of the test");
    assert_eq!(later.authenticate(&account), Ok(()), "its retries go on for a day");
}

#[test]
fn bytes_are_kept_and_tell_which_piece_they_are() {
    let part = Some(Part { reference: "204".to_owned(), total: 2, number: 1 });
    for (members, bytes, part) in [
        (r#","body":"AAEC","udh":"050003cc0201""#, &b"\0\x01\x02"[..], part),
        (r#","body":"AAEC","udh":"5573657244617461""#, b"\0\x01\x02", None),
        (r#","body":"AAEC""#, b"\0\x01\x02", None),
        (r#","body":"no base64""#, b"no base64", None),
    ] {
        let texts = message("mo_binary", members).texts(&sinch());
        assert_eq!((&texts[0].body, &texts[0].part), (&Body::Undecodable(bytes.to_vec()), &part), "{members}");
    }
}

#[test]
fn pictures_keep_their_links() {
    let body = r#","body":{"subject":"s","message":"m","media":[{"url":"https://a","content_type":"image/png"},{"status":"failed"}]}"#;
    let texts = message("mo_media", body).texts(&sinch());
    let link = Media { url: "https://a".to_owned(), content_type: Some("image/png".to_owned()) };
    assert_eq!((text_of(&texts[0].body), &texts[0].media), (Some("m"), &vec![link]));
    let texts = message("mo_media", r#","body":{"message":null,"media":[{"url":"https://a"}]}"#).texts(&sinch());
    assert_eq!((text_of(&texts[0].body), texts[0].media.len()), (Some(""), 1));
    assert_eq!(refused(&message("mo_media", r#","body":{"media":[]}"#), &sinch()), "neither text nor media");
}

#[test]
fn the_time_received_outranks_the_time_sent() {
    let of = |body: &str| Request::post(body).texts(&sinch())[0].sent_at;
    let text = r#""id":"1","type":"mo_text","from":"1","to":"2","body":"x""#;
    let sent = r#""sent_at":"2023-11-14T22:13:20Z""#;
    assert_eq!(of(&format!("{{{text},{sent}}}")), Some(now()));
    assert_eq!(of(&format!(r#"{{{text},{sent},"received_at":"soon"}}"#)), Some(now()));
    assert_ne!(of(&format!(r#"{{{text},{sent},"received_at":"2023-11-14T22:13:21Z"}}"#)), Some(now()));
    assert_eq!(of(&format!("{{{text}}}")), None);
}

#[test]
fn the_conversation_api_brings_the_same_texts() {
    let text = &conversation(r#"{"text_message":{"text":"a\ud83db"}}"#).texts(&sinch())[0];
    assert_eq!(text.body, Body::Undecodable(b"a\xed\xa0\xbdb".to_vec()));
    assert_eq!((text.from.as_str(), text.to.as_ref().map(|to| to.as_str())), ("447700900123", Some("86555")));
    assert_eq!((text.carrier_message_id.as_deref(), text.sent_at), (Some("c-1"), Some(now())));
    for (contact, words) in [
        (r#"{"media_message":{"url":"https://a"}}"#, ""),
        (r#"{"media_card_message":{"caption":"c","url":"https://a"}}"#, "c"),
    ] {
        let text = &conversation(contact).texts(&sinch())[0];
        assert_eq!((text_of(&text.body), text.media[0].url.as_str()), (Some(words), "https://a"), "{contact}");
    }
    for contact in [r#"{"location_message":{"title":"x"}}"#, r#"{"text_message":{}}"#, "{}"] {
        assert_eq!(refused(&conversation(contact), &sinch()), "neither text nor media", "{contact}");
    }
    let without_number = String::from_utf8(conversation(r#"{"text_message":{"text":"x"}}"#).body)
        .expect("text")
        .replace(r#""sender_id":"86555","#, "");
    let without_number = Request::post(without_number);
    assert_eq!(refused(&without_number, &sinch()), "sender_id missing: set the account's `number`");
    let mut account = sinch();
    account.number = Some(Number::normalise("86555", Country::GB));
    assert!(without_number.texts(&account)[0].to.is_none());
}

#[test]
fn what_is_no_text_is_told_apart() {
    for (body, word) in [
        (r#"{"type":"delivery_report_sms","batch_id":"1"}"#, "receipt"),
        (r#"{"type":"recipient_delivery_report_mms"}"#, "receipt"),
        (r#"{"type":"tomorrow"}"#, "event"),
        (r#"{"project_id":"p","message_delivery_report":{"status":"DELIVERED"}}"#, "receipt"),
        (r#"{"project_id":"p","contact_create_notification":{}}"#, "event"),
    ] {
        assert_eq!(nothing(&Request::post(body), &sinch()), word, "{body}");
    }
    for (body, reason) in [
        ("", "not JSON"),
        ("{}", "type missing"),
        (r#"{"type":"","id":"1","from":"1","to":"2","body":"x"}"#, "type missing"),
        (r#"{"type":"mo_text","from":"1","to":"2","body":"x"}"#, "id missing"),
        (r#"{"type":"mo_text","id":"1","to":"2","body":"x"}"#, "from missing"),
        (r#"{"type":"mo_text","id":"1","from":"1","body":"x"}"#, "to missing"),
        (r#"{"type":"mo_text","id":"1","from":"1","to":"2"}"#, "body missing"),
        (r#"{"type":"mo_tomorrow","id":"1","from":"1","to":"2","body":"x"}"#, "a type of text that is not known"),
        (r#"{"message":{"id":"1"}}"#, "contact_message missing"),
    ] {
        assert_eq!(refused(&Request::post(body), &sinch()), reason, "{body}");
    }
}
