//! Vonage: what is signed and how, what is read of both its APIs. The signatures were made by another
//! tool (Python's hmac and hashlib).

use std::time::Duration;

use super::reading::{nothing, refused};
use super::*;
use crate::carrier::proof::jwt;
use crate::carrier::{check_secret, prove};
use crate::message::{Media, Number, Part};

/// The parameters of the signatures below.
const SIGNED: &str = "msisdn=447700900123&to=86555&messageId=M1&text=snow+%26+ice+%3D+%E2%9D%84&timestamp=1700000000";
const MD5_HASH: &str = "162fe60f293c9135a6e6cb1f82281ba0";

fn vonage() -> Account {
    account("vonage", Auth::Signature, &["hush"])
}

fn by(method: &'static str, secret: &str) -> Account {
    let mut account = account("vonage", Auth::Signature, &[secret]);
    account.keys.insert("signature_method", method.to_owned());
    account
}

fn get(parameters: &str, sig: &str) -> Request {
    Request::get(&format!("{parameters}&sig={sig}"))
}

fn json(body: impl Into<Vec<u8>>) -> Request {
    Request::post(body).header("content-type", "application/json")
}

#[test]
fn every_method_signs_as_vonages_sdks_do() {
    let sha512 = "124723de577738cad6184f4a82560f12231169f863093407e13cf69f7755771d797b336cab5cbe6580812c9ce7f1c6c9165a01cc65e1af1d8cf03f9d36f2f2c7";
    for (method, secret, sig) in [
        ("md5hash", "hush".to_owned(), MD5_HASH),
        ("md5", "hush".to_owned(), "70c1ed0e362191f9c24d5f6f91c2a8f9"),
        ("md5", "k".repeat(80), "f32c7b670656b2f8b31f71beb027d6db"),
        ("sha1", "hush".to_owned(), "247fb4404beaffc7350d3eb61b00f0668d2e2322"),
        ("sha256", "hush".to_owned(), "a87061677695cd2592189602d2a6bcafe3efcfca311cbcdb0bc30d936c11bd64"),
        ("sha512", "hush".to_owned(), sha512),
    ] {
        let account = by(method, &secret);
        for sig in [sig.to_owned(), sig.to_uppercase()] {
            assert_eq!(get(SIGNED, &sig).authenticate(&account), Ok(()), "{method} {sig}");
        }
        let another = by(if method == "sha1" { "sha256" } else { "sha1" }, &secret);
        assert_eq!(get(SIGNED, sig).authenticate(&another), Err(AuthFailure::Mismatch), "{method}");
        let request: Request = account.carrier.compose(&draft(), &account).expect("it signs").into();
        assert_eq!(request.authenticate(&account), Ok(()), "{method}");
    }
}

#[test]
fn a_form_and_json_are_signed_like_a_query() {
    let form = Request::post(format!("sig={MD5_HASH}&{SIGNED}"));
    assert_eq!(form.authenticate(&vonage()), Ok(()));
    let body = format!(
        r#"{{"sig":"{MD5_HASH}","text":"snow & ice = \u2744","to":"86555","msisdn":"447700900123","messageId":"M1","timestamp":1700000000}}"#
    );
    assert_eq!(json(body.clone()).authenticate(&vonage()), Ok(()));
    assert_eq!(Request::post(body.clone()).authenticate(&vonage()), Ok(()), "no content type");
    let changed = json(body.replace("ice", "ace"));
    assert_eq!(changed.authenticate(&vonage()), Err(AuthFailure::Mismatch));
    // What a POST says stands in its body; its query is nobody's word.
    let beside = Request { query: format!("{SIGNED}&sig={MD5_HASH}"), ..Request::post("") };
    assert_eq!(beside.authenticate(&vonage()), Err(AuthFailure::Missing));
}

#[test]
fn blank_parameters_may_be_signed_or_left_out_and_change_nothing() {
    for (parameters, sig, believed) in [
        (format!("{SIGNED}&keyword="), "f1d262b0afebd1893c9871fbdbed1fff", true),
        (format!("{SIGNED}&keyword="), MD5_HASH, true),
        (format!("{SIGNED}&keyword"), MD5_HASH, true),
        (SIGNED.to_owned(), "f1d262b0afebd1893c9871fbdbed1fff", false),
        (format!("{SIGNED}&keyword=SNOW"), MD5_HASH, false),
        (format!("{SIGNED}&text=x"), MD5_HASH, false),
    ] {
        assert_eq!(get(&parameters, sig).authenticate(&vonage()).is_ok(), believed, "{parameters} {sig}");
    }
    let with_blanks = get(&format!("text=&timestamp=&status=&{SIGNED}&text=&msisdn="), MD5_HASH);
    let texts = with_blanks.texts(&vonage());
    assert_eq!((text_of(&texts[0].body), texts[0].from.as_str()), (Some("snow & ice = ❄"), "447700900123"));
}

#[test]
fn separators_inside_names_and_values_hide_no_parameter() {
    for parameters in [
        // The same bytes as what is signed, if names were taken as they are.
        "messageId=M1%26msisdn%3D447700900123%26text%3Dsnow+_+ice+_+%E2%9D%84%26timestamp%3D1700000000&to=86555",
        "messageId%3DM1%26msisdn%3D447700900123%26text=snow+_+ice+_+%E2%9D%84&timestamp=1700000000&to=86555",
    ] {
        assert_eq!(get(parameters, MD5_HASH).authenticate(&vonage()), Err(AuthFailure::Mismatch), "{parameters}");
    }
}

#[test]
fn what_has_no_signature_or_a_broken_one_is_refused() {
    for (query, failure) in [
        (SIGNED.to_owned(), AuthFailure::Missing),
        (format!("{SIGNED}&sig="), AuthFailure::Mismatch),
        (format!("{SIGNED}&sig=xxx"), AuthFailure::Mismatch),
        (format!("{SIGNED}&sig={}", &MD5_HASH[..30]), AuthFailure::Mismatch),
        (format!("{SIGNED}&Sig={MD5_HASH}"), AuthFailure::Missing),
        (format!("sig=00&{SIGNED}&sig={MD5_HASH}"), AuthFailure::Mismatch),
        (format!("{SIGNED}&sig={MD5_HASH}{}", "&a=".repeat(500)), AuthFailure::Missing),
    ] {
        assert_eq!(Request::get(&query).authenticate(&vonage()), Err(failure), "{query}");
    }
    for body in ["{", "{}", r#"{"sig":{}}"#, "[]", "\u{1}"] {
        assert!(json(body).authenticate(&vonage()).is_err(), "{body}");
    }
}

#[test]
fn a_signed_time_is_good_for_a_day_of_retries() {
    let request = get(SIGNED, MD5_HASH);
    for (hours, expected) in
        [(24, Ok(())), (-24, Ok(())), (26, Err(AuthFailure::Expired)), (-26, Err(AuthFailure::Expired))]
    {
        let received_at = Timestamp::from_second(NOW + hours * 3600).expect("a time");
        let request = Request { received_at, ..request.clone() };
        assert_eq!(request.authenticate(&vonage()), expected, "{hours}");
    }
    let mut narrow = vonage();
    narrow.window = Some(Duration::from_secs(300));
    let late = Request { received_at: Timestamp::from_second(NOW + 301).expect("a time"), ..request };
    assert_eq!(late.authenticate(&narrow), Err(AuthFailure::Expired));
    let untimed = SIGNED.replace("&timestamp=1700000000", "");
    assert_eq!(get(&untimed, "7864bd94f30672405eeaae50bbfdbb1d").authenticate(&vonage()), Ok(()));
    let soon = get(&format!("{untimed}&timestamp=soon"), "94870d17463bc5bc725e9a7fdcbc833d");
    assert_eq!(soon.authenticate(&vonage()), Err(AuthFailure::Expired));
}

#[test]
fn a_get_that_says_nothing_is_a_probe_with_or_without_proof() {
    assert_eq!(Request::get("").authenticate(&vonage()), Ok(()));
    for query in ["", "timestamp=1700000000&nonce=a&sig=00", "secret=hush"] {
        assert_eq!(nothing(&Request::get(query), &vonage()), "probe", "{query}");
    }
    assert_eq!(Request::get("to=86555").authenticate(&vonage()), Err(AuthFailure::Missing));
    assert_eq!(Request::post("").authenticate(&vonage()), Err(AuthFailure::Missing));
    let by_path = account("vonage", Auth::Path, &["hush"]);
    assert_eq!(Request::get("").authenticate(&by_path), Err(AuthFailure::Missing));
}

#[test]
fn vonage_says_what_is_wrong() {
    for (query, reason) in [
        ("msisdn=1&messageId=3&text=x", "to missing"),
        ("to=2&messageId=3&text=x", "msisdn missing"),
        ("msisdn=&to=2&messageId=3&text=x", "msisdn missing"),
        ("msisdn=1&to=2&text=x", "messageId missing"),
        ("msisdn=1&to=2&messageId=3", "neither text nor data"),
    ] {
        assert_eq!(refused(&Request::get(query), &vonage()), reason, "{query}");
    }
    assert_eq!(refused(&json("{\"a\""), &vonage()), "neither a form nor a JSON object");
    let mut numbered = vonage();
    numbered.number = Some(Number::normalise("86555", Country::GB));
    assert!(Request::get("msisdn=1&messageId=3&text=x").texts(&numbered)[0].to.is_none());
    assert_eq!(text_of(&Request::get("msisdn=1&to=2&messageId=3&text=").texts(&vonage())[0].body), Some(""));
}

#[test]
fn receipts_are_not_texts() {
    let receipt = "msisdn=447700900000&to=AcmeInc&network-code=12345&messageId=0A0000001234567B&price=0.03&\
        status=delivered&scts=2001011400&err-code=0&api-key=abcd1234&message-timestamp=2020-01-01+12%3A00%3A00";
    assert_eq!(nothing(&Request::get(receipt), &vonage()), "receipt");
    assert_eq!(nothing(&json(r#"{"messageId":"1","status":"accepted","text":null}"#), &vonage()), "receipt");
    let text = Request::get("msisdn=1&to=2&messageId=3&text=x&status=delivered").texts(&vonage());
    assert_eq!(text_of(&text[0].body), Some("x"));
}

#[test]
fn pieces_have_their_place_by_vonages_fields_or_by_their_header() {
    let part = |reference: &str, total, number| Some(Part { reference: reference.to_owned(), total, number });
    for (fields, expected) in [
        ("concat=true&concat-ref=08B5&concat-total=3&concat-part=2", part("08B5", 3, 2)),
        ("concat-ref=1&concat-total=2&concat-part=1", part("1", 2, 1)),
        ("concat=false&concat-ref=1&concat-total=2&concat-part=1", None),
        ("concat=true&concat-ref=1&concat-total=1&concat-part=1", None),
        ("concat=true&concat-ref=1&concat-total=2&concat-part=3", None),
        ("concat=true&concat-ref=1&concat-total=2&concat-part=0", None),
        ("concat=true&concat-ref=1&concat-total=many&concat-part=1", None),
        ("concat=true&concat-total=2&concat-part=1", None),
        ("udh=050003CC0201", part("204", 2, 1)),
        ("concat=true&concat-ref=1&concat-total=2&concat-part=1&udh=050003CC0302", part("1", 2, 1)),
        ("udh=0605040B8423F0", None),
        ("udh=abc123", None),
        ("udh=x", None),
    ] {
        let texts = Request::get(&format!("msisdn=1&to=2&messageId=3&text=x&{fields}")).texts(&vonage());
        assert_eq!(texts[0].part, expected, "{fields}");
    }
    let with_part = Draft { part: part("a", 3, 1), ..draft() };
    let account = vonage();
    let request: Request = account.carrier.compose(&with_part, &account).expect("it has parts").into();
    assert_eq!(request.authenticate(&account), Ok(()));
    assert_eq!(request.texts(&account)[0].part, with_part.part);
    let numbers = r#"{"msisdn":"1","to":"2","messageId":"3","text":"x","concat":true,"concat-ref":7,"concat-total":2,"concat-part":1}"#;
    assert_eq!(json(numbers).texts(&account)[0].part, part("7", 2, 1));
}

#[test]
fn what_is_no_text_is_kept_as_bytes() {
    for (query, expected) in [
        ("type=binary&data=0402FF&udh=0605040B8423F0", Body::Undecodable(b"\x04\x02\xff".to_vec())),
        ("type=binary&data=no+digits", Body::Undecodable(b"no digits".to_vec())),
        ("type=binary&data=0402&text=words", Body::Text("words".into())),
        ("type=unicode&text=%E2%9D%84+caf%C3%A9", Body::Text("❄ café".into())),
        ("text=caf%E9", Body::Undecodable(b"caf\xe9".to_vec())),
    ] {
        let texts = Request::get(&format!("msisdn=MTN&to=2&messageId=3&{query}")).texts(&vonage());
        assert_eq!(texts[0].body, expected, "{query}");
        assert_eq!(texts[0].from.as_str(), "MTN");
    }
    for lone in [
        &br#"{"msisdn":"1","to":"2","messageId":"3","text":"a\ud83d"}"#[..],
        b"{\"msisdn\":\"1\",\"to\":\"2\",\"messageId\":\"3\",\"text\":\"a\xed\xa0\xbd\"}",
    ] {
        assert_eq!(json(lone).texts(&vonage())[0].body, Body::Undecodable(b"a\xed\xa0\xbd".to_vec()));
    }
}

#[test]
fn the_time_of_the_push_is_read_in_both_forms() {
    for (time, expected) in [
        ("2023-11-14+22%3A13%3A20", Some(now())),
        ("2023-11-14T22%3A13%3A20.000%2B00%3A00", Some(now())),
        ("2023-11-14T23%3A13%3A20%2B01%3A00", Some(now())),
        ("2023-11-14T22%3A13%3A20Z", Some(now())),
        ("2023-13-14+22%3A13%3A20", None),
        ("soon", None),
        ("", None),
    ] {
        let query = format!("msisdn=1&to=2&messageId=3&text=x&timestamp=1&message-timestamp={time}");
        assert_eq!(Request::get(&query).texts(&vonage())[0].sent_at, expected, "{time}");
    }
}

const MESSAGE: &str = r#"{"channel":"sms","message_uuid":"u-1","to":"447700900000","from":"447700900001",
    "timestamp":"2023-11-14T22:13:20.000Z","message_type":"text","text":"snow","usage":{"price":"0.0","currency":"EUR"},
    "sms":{"num_messages":"2","keyword":"SNOW"}}"#;

fn bearer(claims: &serde_json::Value, algorithm: jwt::Algorithm) -> String {
    let written = jwt::encode(jwt::Keys::new(b"hush").of(algorithm), claims);
    format!("Bearer {written}")
}

#[test]
fn a_token_is_believed_that_covers_the_body_and_is_not_old() {
    let hash = jwt::hash_of(&[MESSAGE.as_bytes()]);
    let day = 24 * 3600;
    for (claims, expected) in [
        (serde_json::json!({"iat": NOW, "payload_hash": hash}), Ok(())),
        (serde_json::json!({"iat": NOW, "payload_hash": hash.to_uppercase()}), Ok(())),
        (serde_json::json!({"iat": NOW - day, "payload_hash": hash}), Ok(())),
        (serde_json::json!({"iat": NOW - 2 * day, "payload_hash": hash}), Err(AuthFailure::Expired)),
        (serde_json::json!({"iat": NOW + 2 * day, "payload_hash": hash}), Err(AuthFailure::Expired)),
        (serde_json::json!({"iat": NOW, "exp": NOW - 2 * day, "payload_hash": hash}), Err(AuthFailure::Expired)),
        (serde_json::json!({"payload_hash": hash}), Err(AuthFailure::Expired)),
        (serde_json::json!({"iat": "now", "payload_hash": hash}), Err(AuthFailure::Mismatch)),
        (serde_json::json!({"iat": NOW}), Err(AuthFailure::Mismatch)),
        (serde_json::json!({"iat": NOW, "payload_hash": jwt::hash_of(&[b"{}"])}), Err(AuthFailure::Mismatch)),
    ] {
        let request = json(MESSAGE).header("authorization", &bearer(&claims, jwt::Algorithm::Hs256));
        assert_eq!(request.authenticate(&vonage()), expected, "{claims}");
    }
    let claims = serde_json::json!({"iat": NOW, "payload_hash": hash});
    let token = bearer(&claims, jwt::Algorithm::Hs256);
    let other_secret = account("vonage", Auth::Signature, &["other"]);
    assert_eq!(json(MESSAGE).header("authorization", &token).authenticate(&other_secret), Err(AuthFailure::Mismatch));
    let longer = bearer(&claims, jwt::Algorithm::Hs512);
    assert_eq!(json(MESSAGE).header("authorization", &longer).authenticate(&vonage()), Err(AuthFailure::Mismatch));
    assert_eq!(json(MESSAGE).authenticate(&vonage()), Err(AuthFailure::Forgotten));
    let other_proof = json(MESSAGE).header("authorization", "Basic YTpi");
    assert_eq!(other_proof.authenticate(&vonage()), Err(AuthFailure::Missing));
    let by_path = account("vonage", Auth::Path, &["a"]);
    assert_eq!(json(MESSAGE).authenticate(&by_path), Err(AuthFailure::Missing));
}

#[test]
fn a_token_proves_nothing_of_a_query() {
    let claims = serde_json::json!({"iat": NOW, "payload_hash": jwt::hash_of(&[b""])});
    let token = bearer(&claims, jwt::Algorithm::Hs256);
    let request = Request::get(SIGNED).header("authorization", &token);
    assert_eq!(request.authenticate(&vonage()), Err(AuthFailure::Missing));
}

#[test]
fn what_is_signed_here_is_believed_for_every_kind_of_body() {
    for (method, query, body) in [
        (Method::GET, SIGNED, ""),
        (Method::POST, "", SIGNED),
        (Method::POST, "", r#"{"msisdn":"1","timestamp":"5","sig":"x","text":"\ud83d","n":null,"concat":true}"#),
        (Method::POST, "", MESSAGE),
    ] {
        let (query, body) = (query.to_owned(), body.as_bytes().to_vec());
        let mut signed = Signed { method, path_secret: None, query, headers: Vec::new(), body };
        prove(&mut signed, &vonage(), now()).expect("it signs");
        let request = Request::from(signed);
        assert_eq!(request.authenticate(&vonage()), Ok(()), "{:?}", request.body.escape_ascii().to_string());
    }
}

#[test]
fn the_messages_api_is_read() {
    let texts = json(MESSAGE).texts(&vonage());
    assert_eq!(text_of(&texts[0].body), Some("snow"));
    assert_eq!(texts[0].carrier_message_id.as_deref(), Some("u-1"));
    assert_eq!((texts[0].from.as_str(), texts[0].segments, texts[0].sent_at), ("447700900001", 2, Some(now())));
    let picture = MESSAGE.replace(
        r#""message_type":"text","text":"snow""#,
        r#""message_type":"image","image":{"url":"https://a/b.jpg","name":"b.jpg","caption":"snow \ud83d"}"#,
    );
    let texts = json(picture).texts(&vonage());
    assert_eq!(texts[0].body, Body::Undecodable(b"snow \xed\xa0\xbd".to_vec()));
    assert_eq!(texts[0].media, [Media { url: "https://a/b.jpg".to_owned(), content_type: None }]);
    let silent = MESSAGE.replace(r#""text":"snow""#, r#""audio":{"url":"https://a/b.mp3"}"#);
    assert_eq!(text_of(&json(silent).texts(&vonage())[0].body), Some(""));
    let status = r#"{"message_uuid":"u","to":"1","from":"2","timestamp":"x","status":"delivered","channel":"sms"}"#;
    assert_eq!(nothing(&json(status), &vonage()), "status");
}

#[test]
fn the_messages_api_says_what_is_wrong_and_odd_fields_cost_no_text() {
    for (from, to, reason) in [
        (r#""to":"447700900000","#, "", "to missing"),
        (r#""from":"447700900001","#, "", "from missing"),
        (r#""u-1""#, r#""""#, "message_uuid missing"),
        (r#""text":"snow","#, "", "neither text nor media"),
        (r#""text":"snow","#, r#""text":7,"#, "a field is not of its type"),
    ] {
        assert_eq!(refused(&json(MESSAGE.replace(from, to)), &vonage()), reason, "{from}");
    }
    for (from, to) in [
        (r#""2023-11-14T22:13:20.000Z""#, "7"),
        (r#""num_messages":"2","#, ""),
        (r#"{"num_messages":"2","keyword":"SNOW"}"#, "[]"),
        (r#""channel":"sms""#, r#""channel":null"#),
    ] {
        assert_eq!(text_of(&json(MESSAGE.replace(from, to)).texts(&vonage())[0].body), Some("snow"), "{from}");
    }
}

#[test]
fn a_method_must_be_one_of_vonages() {
    let keys = vonage().carrier.contract().keys;
    let method = keys.iter().find(|key| key.name == "signature_method").expect("the key");
    for (word, fits) in [("md5hash", true), ("sha512", true), ("SHA256", false), ("hmac", false), ("", false)] {
        assert_eq!((method.check)(word).is_ok(), fits, "{word}");
    }
    assert!(check_secret(vonage().carrier, Auth::Signature, &Secret::new(*b"")).is_err());
}
