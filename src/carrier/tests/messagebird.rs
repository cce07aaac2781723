//! MessageBird: which tokens and signatures are believed, what is read of long numbers and short codes.
//! The older signatures were made by another tool (Python's hmac).

use super::reading::{nothing, refused};
use super::*;
use crate::carrier::proof::jwt;
use crate::message::{Media, Number};

const FORM: &str = "id=m1&recipient=86555&originator=447700900123&body=snow";

fn messagebird() -> Account {
    account("messagebird", Auth::Signature, &["hush"])
}

/// The claims of a token for a form without a query.
fn claims() -> serde_json::Value {
    serde_json::json!({
        "iss": "MessageBird",
        "nbf": NOW,
        "exp": NOW + 60,
        "url_hash": jwt::hash_of(&[b"https://sms.example.gov.uk/inbound/test"]),
        "payload_hash": jwt::hash_of(&[FORM.as_bytes()]),
    })
}

fn with_token(request: Request, claims: &serde_json::Value) -> Request {
    let token = jwt::encode(jwt::Keys::new(b"hush").of(jwt::Algorithm::Hs256), claims);
    request.header("messagebird-signature-jwt", &token)
}

#[test]
fn a_token_must_be_about_this_request() {
    assert_eq!(with_token(Request::post(FORM), &claims()).authenticate(&messagebird()), Ok(()));
    for (claim, value) in [
        ("iss", serde_json::json!("Vonage")),
        ("iss", serde_json::Value::Null),
        ("url_hash", jwt::hash_of(&[b"https://sms.example.gov.uk/inbound/test/"]).into()),
        ("url_hash", serde_json::Value::Null),
        ("payload_hash", jwt::hash_of(&[b""]).into()),
        ("payload_hash", serde_json::Value::Null),
        ("payload_hash", "".into()),
    ] {
        let mut changed = claims();
        changed[claim] = value;
        let request = with_token(Request::post(FORM), &changed);
        assert_eq!(request.authenticate(&messagebird()), Err(AuthFailure::Mismatch), "{claim}");
    }
    let emptied = with_token(Request::post(""), &claims());
    assert_eq!(emptied.authenticate(&messagebird()), Err(AuthFailure::Mismatch));
    let mut queried = with_token(Request::post(FORM), &claims());
    queried.query = "a=1".to_owned();
    assert_eq!(queried.authenticate(&messagebird()), Err(AuthFailure::Mismatch));
}

#[test]
fn a_token_is_good_while_it_says_so_and_a_little_longer() {
    for (seconds, expected) in
        [(0, Ok(())), (-10, Ok(())), (69, Ok(())), (70, Err(AuthFailure::Expired)), (-11, Err(AuthFailure::Expired))]
    {
        let received_at = Timestamp::from_second(NOW + seconds).expect("a time");
        let request = Request { received_at, ..with_token(Request::post(FORM), &claims()) };
        assert_eq!(request.authenticate(&messagebird()), expected, "{seconds}");
    }
}

#[test]
fn the_query_is_covered_in_the_order_it_was_sent() {
    let mut claims = claims();
    claims["url_hash"] = jwt::hash_of(&[b"https://sms.example.gov.uk/inbound/test?b=%20&a=1"]).into();
    claims["payload_hash"] = serde_json::Value::Null;
    for (query, believed) in [("b=%20&a=1", true), ("a=1&b=%20", false), ("b=+&a=1", false), ("", false)] {
        let request = with_token(Request::get(query), &claims);
        assert_eq!(request.authenticate(&messagebird()).is_ok(), believed, "{query}");
    }
}

#[test]
fn where_both_signatures_are_there_the_token_decides() {
    let legacy = |request: Request| {
        request
            .header("messagebird-signature", "D/v9zcp4Nv6GIjc8Oc0u6viksQi36EWnls8WV486HOI=")
            .header("messagebird-request-timestamp", "1700000000")
    };
    let get = || Request::get("b=2&a=x%20y");
    assert_eq!(legacy(get()).authenticate(&messagebird()), Ok(()));
    let broken = legacy(get()).header("messagebird-signature-jwt", "a.b.c");
    assert_eq!(broken.authenticate(&messagebird()), Err(AuthFailure::Mismatch));
    let twice = with_token(with_token(Request::post(FORM), &claims()), &claims());
    assert_eq!(twice.authenticate(&messagebird()), Err(AuthFailure::Missing));
    assert_eq!(get().authenticate(&messagebird()), Err(AuthFailure::Missing));
}

#[test]
fn the_older_signature_covers_time_query_and_body() {
    let request = |query: &str, signature: &str, time: &str| {
        Request::get(query).header("messagebird-signature", signature).header("messagebird-request-timestamp", time)
    };
    let (raw, anew) = ("D/v9zcp4Nv6GIjc8Oc0u6viksQi36EWnls8WV486HOI=", "1T7xtVS+u+u0Ev/0FLI9c1lAHLxTyVvdMb4fXul9pVM=");
    for (query, signature, time, believed) in [
        ("b=2&a=x%20y", raw, "1700000000", true),
        ("a=x%20y&b=2", raw, "1700000000", true),
        ("b=2&a=x%20y", anew, "1700000000", true),
        ("b=2&a=x+y", raw, "1700000000", false),
        ("b=3&a=x%20y", raw, "1700000000", false),
        ("b=2&a=x%20y", raw, "1700000001", false),
    ] {
        assert_eq!(request(query, signature, time).authenticate(&messagebird()).is_ok(), believed, "{query} {time}");
    }
    let with_body = Request { body: b"x".to_vec(), ..request("b=2&a=x%20y", raw, "1700000000") };
    assert_eq!(with_body.authenticate(&messagebird()), Err(AuthFailure::Mismatch));
    let received_at = Timestamp::from_second(NOW + 11).expect("a time");
    let late = Request { received_at, ..request("b=2&a=x%20y", raw, "1700000000") };
    assert_eq!(late.authenticate(&messagebird()), Err(AuthFailure::Expired));
}

#[test]
fn long_numbers_and_short_codes_name_things_differently() {
    for (form, to, text, id) in [
        (FORM, "86555", "snow", "m1"),
        ("ID=m1&Recipient=86555&ORIGINATOR=447700900123&Body=snow", "86555", "snow", "m1"),
        ("id=a&body=old&id=m2&originator=447700900123&receiver=1&recipient=2&body=new", "2", "new", "m2"),
        ("mid=s1&id=x&shortcode=51515&originator=447700900123&message=bin&body=old&recipient=3", "51515", "bin", "s1"),
        ("id=a&message_id=m3&receiver=1&originator=447700900123&message=words", "1", "words", "m3"),
        ("id=m4&recipient=86555&originator=447700900123&body=", "86555", "", "m4"),
    ] {
        for request in
            [Request::post(form), Request::get(form), Request { query: form.to_owned(), ..Request::post("") }]
        {
            let texts = request.texts(&messagebird());
            assert_eq!(texts[0].to.as_ref().map(|to| to.as_str()), Some(to), "{form}");
            assert_eq!(text_of(&texts[0].body), Some(text), "{form}");
            assert_eq!(texts[0].carrier_message_id.as_deref(), Some(id), "{form}");
            assert_eq!(texts[0].from.as_str(), "447700900123", "{form}");
        }
    }
}

#[test]
fn times_are_read_in_every_form() {
    for (field, expected) in [
        ("createdDatetime=2023-11-14T22%3A13%3A20%2B00%3A00", Some(now())),
        ("CreatedDatetime=2023-11-14T23:13:20+01:00", Some(now())),
        ("receive_datetime=20231114221320", Some(now())),
        ("receive_datetime=2023-11-14T22%3A13%3A20Z", Some(now())),
        ("date=1&date_utc=1700000000", Some(now())),
        ("createdDatetime=soon&date_utc=1700000000", Some(now())),
        ("createdDatetime=soon", None),
        ("", None),
    ] {
        assert_eq!(Request::post(format!("{FORM}&{field}")).texts(&messagebird())[0].sent_at, expected, "{field}");
    }
}

#[test]
fn pictures_keep_their_links_and_need_no_words() {
    let link = |url: &str| Media { url: url.to_owned(), content_type: None };
    for field in [
        "mediaUrls=https%3A%2F%2Fa&mediaURLs=https%3A%2F%2Fb",
        "mediaUrls[]=https%3A%2F%2Fa&mediaUrls[]=https%3A%2F%2Fb",
        "mediaurls=%5B%22https%3A%2F%2Fa%22%2C%22https%3A%2F%2Fb%22%5D&mediaUrls=",
    ] {
        let texts = Request::post(format!("id=1&recipient=2&originator=3&{field}")).texts(&messagebird());
        assert_eq!(texts[0].media, [link("https://a"), link("https://b")], "{field}");
        assert_eq!(text_of(&texts[0].body), Some(""));
    }
    let many = format!("id=1&recipient=2&originator=3{}", "&mediaUrls=a".repeat(40));
    assert_eq!(Request::post(many).texts(&messagebird())[0].media.len(), 32);
}

#[test]
fn messagebird_says_what_is_wrong_and_what_is_no_text() {
    for (form, reason) in [
        ("recipient=2&originator=3&body=x", "id missing"),
        ("id=1&originator=3&body=x", "recipient missing"),
        ("id=1&recipient=2&body=x", "originator missing"),
        ("id=1&recipient=2&&originator=3", "neither text nor media"),
        ("id=1&recipient=2&originator=3&mediaUrls=", "neither text nor media"),
    ] {
        assert_eq!(refused(&Request::post(form), &messagebird()), reason, "{form}");
    }
    let json = Request::post("{}").header("content-type", "application/json");
    assert_eq!(refused(&json, &messagebird()), "not a form");
    let report = "recipient=31612345678&reference=FOO&id=e&status=delivered&statusDatetime=2019-01-11T09%3A17%3A11";
    assert_eq!(nothing(&Request::get(report), &messagebird()), "receipt");
    let mut numbered = messagebird();
    numbered.number = Some(Number::normalise("86555", Country::GB));
    assert!(Request::post("id=1&originator=3&body=x").texts(&numbered)[0].to.is_none());
    let bytes = Request::post("id=1&recipient=2&originator=3&body=caf%E9").texts(&messagebird());
    assert_eq!(bytes[0].body, Body::Undecodable(b"caf\xe9".to_vec()));
}
