//! Infobip: batches, pictures, receipts and times.

use super::reading::{nothing, refused};
use super::*;
use crate::message::{Country, Media, Number};

fn infobip() -> Account {
    account("infobip", Auth::Path, &["secret"])
}

fn results(results: &str) -> Request {
    Request::post(format!(r#"{{"results":{results},"messageCount":1,"pendingMessageCount":0}}"#))
}

/// One result with these members beside an id and both numbers.
fn result(members: &str) -> Request {
    results(&format!(r#"[{{"messageId":"1","from":"447700900123","to":"86555"{members}}}]"#))
}

#[test]
fn a_batch_is_read_whole_or_not_at_all() {
    let one = r#"{"messageId":"1","from":"MTN","to":"86555","text":"x","smsCount":3}"#;
    let texts = results(&format!("[{one},{one}]")).texts(&infobip());
    assert_eq!((texts.len(), texts[0].segments, texts[0].from.as_str()), (2, 3, "MTN"));
    let batch = |count: usize| results(&format!("[{}]", vec![one; count].join(",")));
    assert_eq!(batch(2_000).texts(&infobip()).len(), 2_000);
    let wrong = "a field is not of its type, or more than 2000 texts are in one request";
    assert_eq!(refused(&batch(2_001), &infobip()), wrong);
    assert_eq!(refused(&results(&format!("[{one},{{}}]")), &infobip()), "text missing");
}

#[test]
fn times_have_no_colon_in_their_offset_or_one() {
    for (time, sent_at) in [
        (r#""2023-11-14T22:13:20.000+0000""#, Some(now())),
        (r#""2023-11-14T23:13:20.000+0100""#, Some(now())),
        (r#""2023-11-14T22:13:20.000+00:00""#, Some(now())),
        (r#""2023-11-14T22:13:20Z""#, Some(now())),
        (r#""14.11.2023""#, None),
        ("7", None),
        ("null", None),
    ] {
        let texts = result(&format!(r#","text":"x","receivedAt":{time}"#)).texts(&infobip());
        assert_eq!(texts[0].sent_at, sent_at, "{time}");
    }
}

#[test]
fn an_mms_has_the_words_of_its_text_parts_and_links_to_the_rest() {
    let link = |url: &str, content_type: Option<&str>| Media {
        url: url.to_owned(),
        content_type: content_type.map(str::to_owned),
    };
    for (message, text, media) in [
        (
            r#"[{"contentType":"text/plain","value":"one"},{"contentType":"image/png","url":"https://a"},{"contentType":"text/plain","value":"two"}]"#,
            "one\ntwo",
            vec![link("https://a", Some("image/png"))],
        ),
        (
            r#"[{"contentType":"Text/Plain; charset=utf-8","value":"one"},{"contentType":"té","value":"x"}]"#,
            "one",
            vec![],
        ),
        (r#"[{"url":"https://a"}]"#, "", vec![link("https://a", None)]),
        (r#"[{"contentType":"application/smil","value":"<smil/>"}]"#, "", vec![]),
    ] {
        let texts = result(&format!(r#","message":{message}"#)).texts(&infobip());
        assert_eq!(text_of(&texts[0].body), Some(text), "{message}");
        assert_eq!(texts[0].media, media, "{message}");
    }
}

#[test]
fn receipts_are_not_texts() {
    for (body, word) in
        [(r#"[{"messageId":"1","to":"44","status":{"groupId":3},"error":{}}]"#, "receipt"), ("[]", "empty")]
    {
        assert_eq!(nothing(&results(body), &infobip()), word, "{body}");
    }
    let mixed = r#"[{"messageId":"1","status":{}},{"messageId":"2","from":"1","to":"2","text":"x","status":null}]"#;
    assert_eq!(results(mixed).texts(&infobip()).len(), 1);
}

#[test]
fn what_is_wrong_is_said() {
    for (members, reason) in [
        ("", "text missing"),
        (r#","text":null"#, "text missing"),
        (r#","message":[]"#, "text missing"),
        (r#","text":7"#, "a field is not of its type, or more than 2000 texts are in one request"),
    ] {
        assert_eq!(refused(&result(members), &infobip()), reason, "{members}");
    }
    for (body, reason) in [
        ("", "not JSON"),
        ("{}", "results missing"),
        (r#"{"results":[{"from":"1","to":"2","text":"x"}]}"#, "messageId missing"),
        (r#"{"results":[{"messageId":"1","to":"2","text":"x"}]}"#, "from missing"),
        (r#"{"results":[{"messageId":"1","from":"1","to":"","text":"x"}]}"#, "to missing"),
    ] {
        assert_eq!(refused(&Request::post(body), &infobip()), reason, "{body}");
    }
    let mut account = infobip();
    account.number = Some(Number::normalise("86555", Country::GB));
    let texts = Request::post(r#"{"results":[{"messageId":"1","from":"1","text":"\ud83d"}]}"#).texts(&account);
    assert_eq!((texts[0].body.clone(), texts[0].to.is_none()), (Body::Undecodable(b"\xed\xa0\xbd".to_vec()), true));
}
