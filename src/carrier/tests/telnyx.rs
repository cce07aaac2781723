//! Telnyx: its two signatures, which secret is which, and the shapes of its numbers.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::reading::{nothing, refused};
use super::*;
use crate::message::{Country, Media, Number};

/// The seed above in PKCS#8, as `openssl genpkey -algorithm ED25519` writes it.
const ED25519_PEM: &str = "-----BEGIN PRIVATE KEY-----\n\
    MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";

fn telnyx() -> Account {
    account("telnyx", Auth::Signature, &[ED25519_PUBLIC])
}

fn payload(members: &str) -> Request {
    Request::post(format!(
        r#"{{"data":{{"event_type":"message.received","id":"e-1","occurred_at":"2020-01-01T00:00:00Z","payload":{{"id":"p-1"{members}}}}}}}"#
    ))
}

fn v1(request: &Request, secret: &str, time: i64) -> Request {
    let message = [format!("{time}.").as_bytes(), &request.body].concat();
    let tag = STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), &message));
    request.clone().header("x-telnyx-signature", &format!("t={time},h={tag}"))
}

#[test]
fn the_signature_covers_time_and_body_within_five_minutes() {
    let account = telnyx();
    let signed: Request = account.carrier.compose(&draft(), &account).expect("it signs").into();
    assert_eq!(signed.authenticate(&account), Ok(()));
    for (seconds, expected) in
        [(300, Ok(())), (-300, Ok(())), (301, Err(AuthFailure::Expired)), (-301, Err(AuthFailure::Expired))]
    {
        let mut request = signed.clone();
        request.received_at = Timestamp::from_second(NOW + seconds).expect("a time of the test");
        assert_eq!(request.authenticate(&account), expected, "{seconds}");
    }
    let mut wide = telnyx();
    wide.window = Some(std::time::Duration::from_secs(3_600));
    let mut late = signed.clone();
    late.received_at = Timestamp::from_second(NOW + 3_600).expect("a time of the test");
    assert_eq!(late.authenticate(&wide), Ok(()));
    for (name, value, expected) in [
        ("telnyx-timestamp", "1700000001", AuthFailure::Mismatch),
        ("telnyx-timestamp", "x", AuthFailure::Mismatch),
        ("telnyx-signature-ed25519", "no base64!", AuthFailure::Mismatch),
        ("telnyx-signature-ed25519", "AAAA", AuthFailure::Mismatch),
    ] {
        let mut changed = signed.clone();
        changed.headers.remove(name);
        assert_eq!(changed.authenticate(&account), Err(AuthFailure::Missing), "{name}");
        assert_eq!(changed.header(name, value).authenticate(&account), Err(expected), "{name} {value}");
    }
}

#[test]
fn a_key_is_read_in_either_form_and_must_be_the_other_half() {
    let compose = |key: &str, public: &str| {
        let account =
            Account { signing_key: Some(Secret::new(key.as_bytes())), ..account("telnyx", Auth::Signature, &[public]) };
        let request = account.carrier.compose(&draft(), &account).map(Request::from);
        request.map(|request| request.authenticate(&account)).map_err(|error| error.to_string())
    };
    assert_eq!(compose(ED25519_SEED, ED25519_PUBLIC), Ok(Ok(())));
    assert_eq!(compose(ED25519_PEM, ED25519_PUBLIC), Ok(Ok(())));
    for (key, public, said) in [
        (ED25519_PUBLIC, ED25519_PUBLIC, "is the public key for it"),
        (ED25519_SEED, "a-secret", "is the public key for it"),
        ("AAAA", ED25519_PUBLIC, "32 bytes"),
        ("?", ED25519_PUBLIC, "neither PKCS#8"),
        (certificates::tests::made().1.as_str(), ED25519_PUBLIC, "not Ed25519"),
    ] {
        let refused = compose(key, public).expect_err("no key that fits");
        assert!(refused.contains(said), "{refused}");
    }
    let account = Account { signing_key: None, ..telnyx() };
    let refused = account.carrier.compose(&draft(), &account).expect_err("no key");
    assert!(refused.to_string().contains("--signing-key"), "{refused}");
}

#[test]
fn the_old_signature_needs_a_secret_that_is_no_public_key() {
    let request = payload(r#","from":"1","to":"2","text":"x""#);
    let old = account("telnyx", Auth::Signature, &["an-old-secret"]);
    let both = account("telnyx", Auth::Signature, &["an-old-secret", ED25519_PUBLIC]);
    for account in [&old, &both] {
        assert_eq!(v1(&request, "an-old-secret", NOW).authenticate(account), Ok(()));
        assert_eq!(v1(&request, "an-old-secret", NOW - 301).authenticate(account), Err(AuthFailure::Expired));
        assert_eq!(v1(&request, "another", NOW).authenticate(account), Err(AuthFailure::Mismatch));
        let public = v1(&request, ED25519_PUBLIC, NOW).authenticate(account);
        assert_eq!(public, Err(AuthFailure::Mismatch), "who knows a public key cannot sign with it");
    }
    for (header, expected) in [("h=AAAA", AuthFailure::Missing), ("t=1700000000", AuthFailure::Mismatch)] {
        let odd = request.clone().header("x-telnyx-signature", header);
        assert_eq!(odd.authenticate(&old), Err(expected), "{header}");
    }
    let signed: Request = both.carrier.compose(&draft(), &both).expect("it signs").into();
    assert_eq!(signed.authenticate(&both), Ok(()));
}

#[test]
fn numbers_come_alone_or_with_what_is_known_of_them() {
    let group = r#"[{"phone_number":"+447860000001"},{"phone_number":"+447860000002"}]"#;
    for (from, to, own, expected) in [
        (r#"{"phone_number":"+44"}"#, r#"[{"phone_number":"+441"}]"#, None, "+441"),
        (r#""+44""#, r#""+441""#, None, "+441"),
        (r#"{"phone_number":"+44"}"#, r#"{"phone_number":"+441"}"#, None, "+441"),
        (r#""+44""#, r#"["+441","+442"]"#, None, "+441"),
        (r#""+44""#, group, None, "+447860000001"),
        (r#""+44""#, group, Some("07860 000002"), "+447860000002"),
        (r#""+44""#, group, Some("07860 000003"), "+447860000001"),
    ] {
        let mut account = telnyx();
        account.number = own.map(|number| Number::normalise(number, Country::GB));
        let texts = payload(&format!(r#","from":{from},"to":{to},"text":"x""#)).texts(&account);
        assert_eq!(texts[0].from.as_str(), "+44");
        assert_eq!(texts[0].to.as_ref().map(|to| to.as_str()), Some(expected), "{to}");
    }
}

#[test]
fn pieces_pictures_and_times_are_taken_over() {
    let text = r#","from":"1","to":"2""#;
    let rest = r#","text":"a\ud83d","parts":2,"media":[],"received_at":"2023-11-14T22:13:20.000+00:00""#;
    let texts = payload(&format!("{text}{rest}")).texts(&telnyx());
    assert_eq!((texts[0].segments, texts[0].sent_at), (2, Some(now())));
    assert_eq!(texts[0].body, Body::Undecodable(b"a\xed\xa0\xbd".to_vec()));
    let picture = r#","text":null,"media":[{"url":"https://a","content_type":"image/png","size":1}],"parts":null"#;
    let texts = payload(&format!("{text}{picture}")).texts(&telnyx());
    let link = Media { url: "https://a".to_owned(), content_type: Some("image/png".to_owned()) };
    assert_eq!((text_of(&texts[0].body), &texts[0].media, texts[0].segments), (Some(""), &vec![link], 1));
    assert_eq!((texts[0].sent_at, texts[0].carrier_message_id.as_deref()), (None, Some("p-1")));
}

#[test]
fn what_is_no_text_is_told_apart() {
    for (kind, word) in [("message.sent", "receipt"), ("message.finalized", "receipt"), ("call.initiated", "event")] {
        let body = format!(r#"{{"data":{{"event_type":"{kind}","payload":{{"id":7}}}}}}"#);
        assert_eq!(nothing(&Request::post(body), &telnyx()), word, "{kind}");
    }
    for (body, reason) in [
        ("", "not JSON"),
        ("{}", "event_type missing"),
        (r#"{"data":null}"#, "event_type missing"),
        (r#"{"data":{"event_type":"message.received"}}"#, "payload missing"),
    ] {
        assert_eq!(refused(&Request::post(body), &telnyx()), reason, "{body}");
    }
    for (members, reason) in [
        (r#","from":"1","to":"2""#, "text missing"),
        (r#","to":"2","text":"x""#, "from missing"),
        (r#","from":{},"to":"2","text":"x""#, "from missing"),
        (r#","from":"1","text":"x""#, "to missing"),
        (r#","from":"1","to":[],"text":"x""#, "to missing"),
    ] {
        assert_eq!(refused(&payload(members), &telnyx()), reason, "{members}");
    }
    let nameless = r#"{"data":{"event_type":"message.received","payload":{"from":"1","to":"2","text":"x"}}}"#;
    assert_eq!(refused(&Request::post(nameless), &telnyx()), "payload.id missing");
}
