//! What is read from requests that were believed: texts, receipts, and what nobody can read.

use super::*;
use crate::message::{Media, Number, Part};

const WRONG_TYPE: &str = "a field is not of its type, or more than 2000 texts are in one request";

pub(super) fn refused(request: &Request, account: &Account) -> &'static str {
    match request.parse(account) {
        Err(malformed) => malformed.0,
        Ok(read) => panic!("not refused: {read:?}"),
    }
}

pub(super) fn nothing(request: &Request, account: &Account) -> &'static str {
    match request.parse(account) {
        Ok(Delivery::Nothing(word)) => word,
        other => panic!("not nothing: {other:?}"),
    }
}

fn twilio() -> Account {
    account("twilio", Auth::Signature, &["12345"])
}

fn kannel() -> Account {
    account("kannel", Auth::Path, &["secret"])
}

fn generic() -> Account {
    account("generic", Auth::Signature, &[GENERIC_SECRET])
}

#[test]
fn twilio_needs_an_id_and_both_numbers() {
    for (body, reason) in [
        ("", "MessageSid missing"),
        ("From=1&To=2&Body=x", "MessageSid missing"),
        ("MessageSid=SM1&To=2&Body=x", "From missing"),
        ("MessageSid=SM1&From=&To=2&Body=x", "From missing"),
        ("MessageSid=SM1&From=1&Body=x", "To missing"),
    ] {
        assert_eq!(refused(&Request::post(body), &twilio()), reason, "{body}");
    }
    let json = Request::post("{}").header("content-type", "application/json");
    assert_eq!(refused(&json, &twilio()), "not a form");
}

#[test]
fn twilio_may_call_with_get() {
    let texts = Request::get("MessageSid=SM1&From=%2B441&To=86555&Body=bin+day").texts(&twilio());
    assert_eq!(text_of(&texts[0].body), Some("bin day"));
    assert_eq!(texts[0].from.as_str(), "+441");
}

#[test]
fn twilios_pictures_keep_their_links_and_types_in_order() {
    let body = "MessageSid=MM1&From=1&To=2&NumMedia=2&MediaContentType1=image%2Fpng&MediaUrl1=https%3A%2F%2Fb\
                &MediaUrl0=https%3A%2F%2Fa&MediaUrl999=x&MediaContentType2=a%2Fb";
    let texts = Request::post(body).texts(&twilio());
    let link = |url: &str, content_type: Option<&str>| Media {
        url: url.to_owned(),
        content_type: content_type.map(str::to_owned),
    };
    assert_eq!(texts[0].media, [link("https://a", None), link("https://b", Some("image/png"))]);
    assert_eq!(text_of(&texts[0].body), Some(""));
}

#[test]
fn twilios_status_callbacks_are_not_texts() {
    for body in ["MessageSid=SM1&MessageStatus=delivered", "SmsSid=SM1&SmsStatus=sent&From=1&To=2"] {
        assert_eq!(nothing(&Request::post(body), &twilio()), "status", "{body}");
    }
    for status in ["SmsStatus=received", "SmsStatus=", "MediaUrl0=https%3A%2F%2Fa&SmsStatus=queued"] {
        let texts = Request::post(format!("MessageSid=SM1&From=1&To=2&{status}")).texts(&twilio());
        assert_eq!(text_of(&texts[0].body), Some(""), "{status}");
    }
}

#[test]
fn a_text_that_is_not_utf_8_is_kept_as_bytes() {
    let texts = Request::post("MessageSid=SM1&From=1&To=2&Body=caf%E9+now").texts(&twilio());
    assert_eq!(texts[0].body, Body::Undecodable(b"caf\xe9 now".to_vec()));
    let texts = Request::get("sender=1&to=2&message=caf%E9+now").texts(&kannel());
    assert_eq!(texts[0].body, Body::Undecodable(b"caf\xe9 now".to_vec()));
}

#[test]
fn kannel_reads_the_charset_it_is_told() {
    for (query, text) in [
        ("sender=1&to=2&message=caf%E9&charset=ISO-8859-1", Some("café")),
        ("sender=1&to=2&message=caf%C3%A9&charset=UTF-8&coding=0", Some("café")),
        ("sender=1&to=2&message=%04%1F&charset=UTF-16BE", Some("П")),
        ("sender=1&to=2&message=%04%1F&coding=2", Some("П")),
        ("sender=1&to=2&message=%04%1F%04&coding=2", None),
        ("sender=1&to=2&message=snow&charset=8-BIT", None),
        ("sender=1&to=2&message=snow&coding=1", None),
        ("sender=1&to=2&message=a%00b", Some("a\0b")),
    ] {
        let texts = Request::get(query).texts(&kannel());
        assert_eq!(text_of(&texts[0].body), text, "{query}");
    }
}

#[test]
fn kannels_post_carries_the_text_as_its_body() {
    let post = |content_type: &str, body: &[u8]| {
        Request::post(body)
            .header("content-type", content_type)
            .header("x-kannel-from", "447700900123")
            .header("x-kannel-to", "86555")
    };
    for (content_type, body, text) in [
        ("text/plain; charset=\"UTF-8\"", "Café".as_bytes(), Some("Café")),
        ("text/plain; charset=\"UTF-16BE\"", b"\x04\x1f", Some("П")),
        ("text/plain", b"", Some("")),
        ("application/octet-stream", b"snow", None),
        ("text/plain; charset=\"UTF-8\"", b"\xff", None),
    ] {
        let texts = post(content_type, body).texts(&kannel());
        assert_eq!(text_of(&texts[0].body), text, "{content_type}");
        assert_eq!(texts[0].carrier_message_id, None);
    }
    assert_eq!(refused(&post("text/xml", b"<message/>"), &kannel()), "post-xml is not offered; use post-url");
    let with_id = Request { query: "id=uuid-1&sender=%2B44&ts=1700000000".to_owned(), ..post("text/plain", b"x") };
    let texts = with_id.texts(&kannel());
    assert_eq!(texts[0].carrier_message_id.as_deref(), Some("uuid-1"));
    assert_eq!(texts[0].from.as_str(), "+44");
    assert_eq!(texts[0].sent_at, Some(now()));
}

#[test]
fn kannels_header_names_the_sender_where_the_url_does_not() {
    for (query, from) in [
        ("to=2&message=x&id=1", "+447700900123"),
        ("sender=&to=2&message=x&id=1", "+447700900123"),
        ("sender=MTN&to=2&message=x&id=1", "MTN"),
    ] {
        let texts = Request::get(query).header("x-kannel-from", "+447700900123").texts(&kannel());
        assert_eq!(texts[0].from.as_str(), from, "{query}");
    }
}

#[test]
fn kannel_names_its_parameters_as_the_operator_does() {
    let mut account = kannel();
    account.parameters = Parameters {
        sender: "von".to_owned(),
        to: "an".to_owned(),
        message: "text".to_owned(),
        ts: String::new(),
        id: "Id".to_owned(),
    };
    let texts = Request::get("von=1&an=2&text=bin&Id=7&sender=x&=1700000000").texts(&account);
    assert_eq!(text_of(&texts[0].body), Some("bin"));
    assert_eq!(texts[0].carrier_message_id.as_deref(), Some("7"));
    assert_eq!(texts[0].sent_at, None);
    assert_eq!(refused(&Request::get("sender=1&to=2&message=x"), &account), "sender missing");
    let composed: Request = account.carrier.compose(&draft(), &account).expect("the account has a secret").into();
    assert_eq!(composed.texts(&account)[0].from.as_str(), draft().from);
}

#[test]
fn kannel_needs_both_numbers_and_a_message() {
    for (query, reason) in [
        ("", "sender missing"),
        ("sender=&to=2&message=x", "sender missing"),
        ("sender=1&message=x", "to missing"),
        ("sender=1&to=2", "message missing"),
    ] {
        assert_eq!(refused(&Request::get(query), &kannel()), reason, "{query}");
    }
    let mut account = kannel();
    account.number = Some(Number::normalise("86555", Country::GB));
    assert!(Request::get("sender=1&message=x").texts(&account)[0].to.is_none());
}

#[test]
fn kannels_times_are_read_in_every_form() {
    for (ts, expected) in [
        ("1493735509", Some("2017-05-02T14:31:49Z")),
        ("2024-03-05+09:08:07", Some("2024-03-05T09:08:07Z")),
        ("2024-03-05%2B09:08:07", Some("2024-03-05T09:08:07Z")),
        ("2024-03-05+09:08", Some("2024-03-05T09:08:00Z")),
        ("yesterday", None),
        ("9999999999999999", None),
        ("", None),
    ] {
        let texts = Request::get(&format!("sender=1&to=2&message=x&ts={ts}")).texts(&kannel());
        assert_eq!(texts[0].sent_at, expected.map(|time| time.parse().expect("a time of the test")), "{ts}");
    }
}

#[test]
fn kannels_pieces_show_in_the_user_data_header() {
    let part = Some(Part { reference: "204".to_owned(), total: 2, number: 1 });
    let texts = Request::get("sender=1&to=2&message=x&udh=%05%00%03%CC%02%01").texts(&kannel());
    assert_eq!(texts[0].part, part);
    for udh in ["050003cc0201", "%05%00%03%CC%02%01"] {
        let post = Request::post("x").header("x-kannel-from", "1").header("x-kannel-to", "2");
        assert_eq!(post.header("x-kannel-udh", udh).texts(&kannel())[0].part, part, "{udh}");
    }
}

fn event(data: &str) -> Request {
    Request::post(format!(r#"{{"type":"sms.received","timestamp":"2023-11-14T22:13:20Z","data":{data}}}"#))
}

#[test]
fn generic_reads_one_text_or_many() {
    let one = r#"{"id":"1","from":"+44","to":"86555","text":"snow"}"#;
    let two = r#"{"id":"2","from":"+44","to":"86555","text":"ice"}"#;
    for (body, count) in [
        (format!(r#"{{"type":"sms.received","data":{one}}}"#), 1),
        (format!(r#"{{"data":[{one},{two}],"type":"sms.received"}}"#), 2),
        (format!("[{one},{two}]"), 2),
        (format!(r#"[{{"type":"sms.received","data":{one}}},{two}]"#), 2),
        (format!(r#"[{{"type":"sms.failed","data":{one}}},{two}]"#), 1),
    ] {
        assert_eq!(Request::post(body.clone()).texts(&generic()).len(), count, "{body}");
    }
    let texts = event(one).texts(&generic());
    assert_eq!(texts[0].carrier_message_id.as_deref(), Some("1"));
    assert_eq!(texts[0].sent_at, Some(now()));
    assert_eq!(text_of(&texts[0].body), Some("snow"));
}

#[test]
fn generic_answers_other_events_and_empty_batches_with_nothing() {
    for (body, word) in [
        (r#"{"type":"sms.delivered","data":{"id":7,"to":["a"]}}"#, "event"),
        (r#"{"type":"sms.delivered"}"#, "event"),
        (r#"[{"type":"sms.delivered"}]"#, "event"),
        ("[]", "empty"),
        (r#"{"type":"sms.received","data":[]}"#, "empty"),
    ] {
        assert_eq!(nothing(&Request::post(body), &generic()), word, "{body}");
    }
}

#[test]
fn generic_says_what_is_wrong() {
    for (body, reason) in [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("{}", "type missing"),
        (r#"{"id":"1","from":"1","to":"2","text":"x"}"#, "type missing"),
        (r#"{"type":"sms.received"}"#, "data missing"),
        ("\"text\"", WRONG_TYPE),
        (r#"[{"id":7}]"#, WRONG_TYPE),
    ] {
        assert_eq!(refused(&Request::post(body), &generic()), reason, "{body}");
    }
    for (data, reason) in [
        (r#"{"from":"1","to":"2","text":"x"}"#, "id missing"),
        (r#"{"id":"","from":"1","to":"2","text":"x"}"#, "id missing"),
        (r#"{"id":"1","to":"2","text":"x"}"#, "from missing"),
        (r#"{"id":"1","from":"1","text":"x"}"#, "to missing"),
        (r#"{"id":"1","from":"1","to":"2"}"#, "text missing"),
        (r#"{"id":"1","from":"\ud83d","to":"2","text":"x"}"#, "not JSON"),
        (r#"{"id":"1","from":"1","to":"2","text":5}"#, WRONG_TYPE),
        (r#"[{"id":"1","from":"1","to":"2","text":"x"},{}]"#, "to missing"),
        (
            r#"{"id":"1","from":"1","to":"2","text":"x","part":{"reference":"a","total":2,"number":3}}"#,
            "part number outside its total",
        ),
        (
            r#"{"id":"1","from":"1","to":"2","text":"x","part":{"reference":"a","total":2,"number":0}}"#,
            "part number outside its total",
        ),
        (r#"{"id":"1","from":"1","to":"2","text":"x","part":{"total":2,"number":1}}"#, "part reference missing"),
        (r#"{"id":"1","from":"1","to":"2","text":"x","part":{"total":1,"number":2}}"#, "part number outside its total"),
        (r#"{"id":"1","from":"1","to":"2","text":"x","part":{"reference":[],"total":2,"number":1}}"#, WRONG_TYPE),
    ] {
        assert_eq!(refused(&event(data), &generic()), reason, "{data}");
    }
}

#[test]
fn generic_takes_two_thousand_texts_at_once_and_no_more() {
    let batch = |count| format!("[{}]", vec![r#"{"id":"1","from":"1","to":"2","text":"x"}"#; count].join(","));
    assert_eq!(Request::post(batch(2_000)).texts(&generic()).len(), 2_000);
    assert_eq!(refused(&Request::post(batch(2_001)), &generic()), "more than 2000 texts are in one request");
}

#[test]
fn generic_keeps_the_bytes_of_a_text_that_is_no_text() {
    let texts =
        event(r#"[{"id":"1","from":"1","to":"2","text":"a\ud83db"},{"id":"2","from":"1","to":"2","text":"b"}]"#)
            .texts(&generic());
    assert_eq!(texts[0].body, Body::Undecodable(b"a\xed\xa0\xbdb".to_vec()));
    assert_eq!(text_of(&texts[1].body), Some("b"));
    let mut body = br#"{"type":"sms.received","data":{"id":"1","from":"1","to":"2","text":"caf"#.to_vec();
    body.extend_from_slice(b"\xe9\"}}");
    let texts = Request::post(body).texts(&generic());
    assert_eq!(texts[0].body, Body::Undecodable(b"caf\xe9".to_vec()));
}

#[test]
fn generic_reads_any_unicode_exactly() {
    let texts = event(r#"{"id":"1","from":"1","to":"2","text":"\u0000\ud83d\udc4d❄\ufeff"}"#).texts(&generic());
    assert_eq!(text_of(&texts[0].body), Some("\0👍❄\u{feff}"));
}

#[test]
fn generic_reads_parts_and_passes_over_times_it_cannot_read() {
    let data = r#"{"id":"1","from":"1","to":"2","text":"x","part":{"reference":7,"total":2,"number":2}}"#;
    for (timestamp, sent_at) in [("1700000000", Some(now())), ("{}", None), ("\"soon\"", None), ("null", None)] {
        let body = format!(r#"{{"type":"sms.received","timestamp":{timestamp},"data":{data}}}"#);
        let texts = Request::post(body).texts(&generic());
        assert_eq!(texts[0].sent_at, sent_at, "{timestamp}");
        assert_eq!(texts[0].part, Some(Part { reference: "7".to_owned(), total: 2, number: 2 }));
    }
    for whole in [r#"{"total":1,"number":1}"#, r#"{"reference":7,"total":1,"number":1}"#, "null"] {
        let body =
            format!(r#"{{"type":"sms.received","data":{{"id":"1","from":"1","to":"2","text":"x","part":{whole}}}}}"#);
        assert_eq!(Request::post(body).texts(&generic())[0].part, None, "{whole}");
    }
    let with_part = Draft { part: Some(Part { reference: "a".to_owned(), total: 3, number: 1 }), ..draft() };
    let account = generic();
    let request: Request = account.carrier.compose(&with_part, &account).expect("it has parts").into();
    assert_eq!(request.texts(&account)[0].part, with_part.part);
}

fn notify() -> Account {
    account("govuk-notify", Auth::Bearer, &["a-token"])
}

#[test]
fn notify_says_what_is_wrong() {
    for (body, reason) in [
        ("", "not JSON"),
        ("[", "not JSON"),
        ("[]", "a field is not of its type"),
        (r#"{"id":1}"#, "a field is not of its type"),
        ("{}", "destination_number missing"),
        (r#"{"destination_number":"2"}"#, "id missing"),
        (r#"{"destination_number":"2","id":"1","source_number":""}"#, "source_number missing"),
        (r#"{"destination_number":"2","id":"1","source_number":"3"}"#, "message missing"),
        (r#"{"destination_number":"2","id":"1","source_number":"3","message":null}"#, "message missing"),
        (r#"{"id":"1","source_number":"3","message":"x"}"#, "destination_number missing"),
    ] {
        assert_eq!(refused(&Request::post(body), &notify()), reason, "{body}");
    }
    let mut account = notify();
    account.number = Some(Number::normalise("07700900555", Country::GB));
    let texts = Request::post(r#"{"id":"1","source_number":"3","message":"x"}"#).texts(&account);
    assert!(texts[0].to.is_none());
}

#[test]
fn notifys_receipts_are_not_texts_and_odd_times_cost_no_text() {
    let receipt = r#"{"id":"1","reference":null,"to":"07700900123","status":"delivered","template_version":1,
        "notification_type":"sms","sent_at":null}"#;
    assert_eq!(nothing(&Request::post(receipt), &notify()), "receipt");
    for (date_received, sent_at) in
        [(r#""2023-11-14T22:13:20.000000Z""#, Some(now())), (r#""yesterday""#, None), ("7", None), ("null", None)]
    {
        let body = format!(
            r#"{{"id":"1","source_number":"3","destination_number":"2","message":"a\ud83d","date_received":{date_received}}}"#
        );
        let texts = Request::post(body).texts(&notify());
        assert_eq!(texts[0].sent_at, sent_at, "{date_received}");
        assert_eq!(texts[0].body, Body::Undecodable(b"a\xed\xa0\xbd".to_vec()));
    }
}
