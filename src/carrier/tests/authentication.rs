//! Who is believed: every way of proving, rotation, addresses, and what is refused.

use super::*;
use crate::carrier::{Admission, CARRIERS, admit, authenticate_head, check_secret, prove};
use crate::message::Number;

const TWO: [&str; 2] = ["old:secret-1", "new:secret-2"];

/// A secret that fits the way of proving.
pub(super) fn secret_of(carrier: &str, auth: Auth) -> &'static str {
    match (carrier, auth) {
        ("generic", Auth::Signature) => GENERIC_SECRET,
        ("telnyx", Auth::Signature) => ED25519_PUBLIC,
        _ => "user:pass-word",
    }
}

fn composed(account: &Account) -> Request {
    account
        .carrier
        .compose(&draft_for(account.carrier.contract().name), account)
        .expect("the account has a secret")
        .into()
}

#[test]
fn what_is_composed_is_believed_and_read_back() {
    for carrier in CARRIERS {
        let contract = carrier.contract();
        for auth in [Auth::Signature, Auth::Basic, Auth::Bearer, Auth::Path, Auth::Query, Auth::None] {
            if auth == Auth::Signature && !contract.signs {
                continue;
            }
            let mut account = account(contract.name, auth, &[secret_of(contract.name, auth)]);
            account.number = (!contract.names_number).then(|| Number::normalise("86555", Country::GB));
            let drafted = draft_for(contract.name);
            let request = composed(&account);
            assert_eq!(request.authenticate(&account), Ok(()), "{} {auth:?}", contract.name);
            let texts = request.texts(&account);
            assert_eq!(text_of(&texts[0].body), Some(drafted.text.as_str()), "{} {auth:?}", contract.name);
            assert_eq!(texts[0].from.as_str(), drafted.from);
            let id = texts[0].carrier_message_id.as_ref();
            assert!(id == Some(&drafted.id) || (id.is_none() && !contract.identifies), "{} {auth:?}", contract.name);
        }
    }
}

#[test]
fn either_of_two_secrets_is_believed_and_no_third() {
    for (carrier, auth, secrets) in [
        ("twilio", Auth::Signature, TWO),
        ("generic", Auth::Signature, [GENERIC_SECRET, GENERIC_SECRET_2]),
        ("kannel", Auth::Path, TWO),
        ("kannel", Auth::Query, TWO),
        ("kannel", Auth::Basic, TWO),
        ("kannel", Auth::Bearer, TWO),
        ("govuk-notify", Auth::Bearer, TWO),
        ("sinch", Auth::Signature, TWO),
    ] {
        let rotating = account(carrier, auth, &secrets);
        for secret in secrets {
            let request = composed(&account(carrier, auth, &[secret]));
            assert_eq!(request.authenticate(&rotating), Ok(()), "{carrier} {auth:?}");
        }
        let only_first = account(carrier, auth, &secrets[..1]);
        let request = composed(&account(carrier, auth, &secrets[1..]));
        assert_eq!(request.authenticate(&only_first), Err(AuthFailure::Mismatch), "{carrier} {auth:?}");
    }
}

#[test]
fn a_request_without_proof_or_with_another_kind_is_refused() {
    for (carrier, auth) in [
        ("twilio", Auth::Signature),
        ("generic", Auth::Signature),
        ("kannel", Auth::Signature),
        ("kannel", Auth::Path),
        ("kannel", Auth::Query),
        ("kannel", Auth::Basic),
        ("kannel", Auth::Bearer),
        ("govuk-notify", Auth::Bearer),
        ("aws-sns", Auth::Signature),
        ("sinch", Auth::Signature),
        ("telnyx", Auth::Signature),
    ] {
        let account = account(carrier, auth, &[secret_of(carrier, auth)]);
        assert_eq!(Request::get("").authenticate(&account), Err(AuthFailure::Missing), "{carrier} {auth:?}");
        let other = Request::get("").header("authorization", "Digest username=x");
        assert_eq!(other.authenticate(&account), Err(AuthFailure::Missing), "{carrier} {auth:?}");
    }
}

#[test]
fn a_secret_in_the_path_opens_no_account_that_has_none_there() {
    for auth in [Auth::Signature, Auth::Basic, Auth::Bearer, Auth::Query, Auth::None] {
        let account = account("twilio", auth, &["user:pass-word"]);
        let mut request = composed(&account);
        request.path_secret = Some("user:pass-word".to_owned());
        assert_eq!(request.authenticate(&account), Err(AuthFailure::Mismatch), "{auth:?}");
    }
}

#[test]
fn a_secret_in_the_path_may_be_escaped() {
    let account = account("kannel", Auth::Path, &["se cret%2F"]);
    for (written, believed) in [("se%20cret%252F", true), ("se cret%2F", true), ("se%20cret/", false), ("", false)] {
        let request = Request { path_secret: Some(written.to_owned()), ..Request::get("") };
        assert_eq!(request.authenticate(&account).is_ok(), believed, "{written}");
    }
}

#[test]
fn an_empty_secret_proves_nothing() {
    let account = account("kannel", Auth::Query, &[""]);
    assert_eq!(Request::get("secret=").authenticate(&account), Err(AuthFailure::Mismatch));
}

#[test]
fn only_listed_addresses_may_call_and_before_any_proof() {
    let mut account = account("kannel", Auth::None, &[]);
    account.allow = vec!["192.0.2.0/24".parse().expect("a network"), "2001:db8::/32".parse().expect("a network")];
    for (peer, believed) in [
        ("192.0.2.7", true),
        ("::ffff:192.0.2.7", true),
        ("2001:db8::1", true),
        ("192.0.3.7", false),
        ("::ffff:192.0.3.7", false),
        ("2001:db9::1", false),
    ] {
        let request = Request { peer: peer.parse().expect("an address"), ..Request::get("") };
        let expected = if believed { Ok(()) } else { Err(AuthFailure::Address) };
        assert_eq!(request.authenticate(&account), expected, "{peer}");
        account.auth = Auth::Query;
        let expected = if believed { AuthFailure::Missing } else { AuthFailure::Address };
        assert_eq!(request.authenticate(&account), Err(expected), "{peer}");
        account.auth = Auth::None;
    }
}

#[test]
fn a_failed_signature_is_let_in_until_the_day_and_no_longer() {
    let (mut twilio, mut generic) =
        (account("twilio", Auth::Signature, &["12345"]), account("generic", Auth::Signature, &[GENERIC_SECRET]));
    let until = Timestamp::from_second(NOW + 1_000).expect("a time");
    let (right, old) = (composed(&twilio), composed(&generic));
    let (wrong, unsigned) = (right.clone(), Request { headers: HeaderMap::new(), ..right.clone() });
    let wrong = Request { body: b"MessageSid=SM1&From=1&To=2&Body=forged".to_vec(), ..wrong };
    (twilio.monitor_until, generic.monitor_until) = (Some(until), Some(until));
    for (account, request, failure) in [
        (&twilio, &right, None),
        (&twilio, &wrong, Some(AuthFailure::Mismatch)),
        (&twilio, &unsigned, Some(AuthFailure::Missing)),
        (&generic, &old, Some(AuthFailure::Expired)),
    ] {
        for (seconds, is_watched) in [(999, true), (1_000, false), (1_001, false)] {
            let received_at = Timestamp::from_second(NOW + seconds).expect("a time");
            let request = Request { received_at, ..request.clone() };
            let expected = match failure {
                None => Ok(Admission::Proven),
                Some(failure) if is_watched => Ok(Admission::Unverified(failure)),
                Some(failure) => Err(failure),
            };
            assert_eq!(admit(account, &request.webhook()), expected, "{failure:?} {seconds}");
            // The head alone must not refuse what the whole would let in.
            let by_head = authenticate_head(account, &request.webhook());
            let is_missing = failure == Some(AuthFailure::Missing) && !is_watched;
            assert_eq!(by_head.is_err(), is_missing, "{failure:?} {seconds}");
        }
    }
}

#[test]
fn watching_signatures_lets_neither_a_wrong_address_nor_a_path_secret_nor_a_wrong_password_pass() {
    let watching =
        |auth| Account { monitor_until: Some(Timestamp::MAX), ..account("twilio", auth, &["user:pass-word"]) };
    let listed = Account { allow: vec!["192.0.2.0/24".parse().expect("a network")], ..watching(Auth::Signature) };
    let request = Request::post("Body=x");
    assert_eq!(admit(&listed, &request.webhook()), Err(AuthFailure::Address));
    assert_eq!(authenticate_head(&listed, &request.webhook()), Err(AuthFailure::Address));
    let with_secret = Request { path_secret: Some("guessed".to_owned()), ..request.clone() };
    assert_eq!(admit(&watching(Auth::Signature), &with_secret.webhook()), Err(AuthFailure::Mismatch));
    for auth in [Auth::Basic, Auth::Bearer, Auth::Path, Auth::Query] {
        assert_eq!(admit(&watching(auth), &request.webhook()), Err(AuthFailure::Missing), "{auth:?}");
        assert_eq!(authenticate_head(&watching(auth), &request.webhook()), Err(AuthFailure::Missing), "{auth:?}");
    }
}

#[test]
fn twilio_may_sign_with_the_port_or_without_it() {
    for (signed_for, configured, believed) in [
        ("https://a.example:8443/x", "https://a.example:8443/x", true),
        ("https://a.example/x", "https://a.example:8443/x", true),
        ("https://a.example:443/x", "https://a.example/x", true),
        ("http://a.example:80/x", "http://a.example/x", true),
        ("https://a.example/x", "https://a.example:443/x", true),
        ("https://u:p@[2001:db8::1]:443/x", "https://u:p@[2001:db8::1]/x", true),
        ("https://u:p@[2001:db8::1]/x", "https://u:p@[2001:db8::1]:8443/x", true),
        ("https://a.example/x", "https://a.example/x#rc=2&rp=all", true),
        ("https://a.example:8443/x", "https://a.example/x", false),
        ("https://a.example:80/x", "https://a.example/x", false),
        ("http://a.example/x", "https://a.example/x", false),
        ("https://A.example/x", "https://a.example/x", false),
        ("https://a.example/x/", "https://a.example/x", false),
    ] {
        let mut account = account("twilio", Auth::Signature, &["12345"]);
        account.url = signed_for.to_owned();
        let request = composed(&account);
        account.url = configured.to_owned();
        assert_eq!(request.authenticate(&account).is_ok(), believed, "{signed_for} {configured}");
    }
}

#[test]
fn an_apostrophe_in_twilios_query_may_be_signed_escaped_or_bare() {
    // Parameters and the first signature are those of the Node SDK's test "should validate urls with
    // special characters"; the second is over the escaped form.
    let mut account = account("twilio", Auth::Signature, &["12345"]);
    account.url = "https://mycompany.com/myapp.php".to_owned();
    let body = "CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&To=%2B18005551212&Caller=%2B14158675309";
    for signature in ["dsq4Ehbj6cs+KdTkpF5sSSplOWw=", "TfZzewPq8wqrGlMfyAud8+/IvJ0="] {
        for (query, believed) in [
            ("foo=1&bar=2&Body=It's+amazing", true),
            ("foo=1&bar=2&Body=It%27s+amazing", true),
            ("foo=1&bar=2&Body=It's%20amazing", false),
            ("foo=1&bar=2&Body=Its+amazing", false),
        ] {
            let request = Request::post(body).header("x-twilio-signature", signature);
            let request = Request { query: query.to_owned(), ..request };
            assert_eq!(request.authenticate(&account).is_ok(), believed, "{query} {signature}");
        }
    }
}

#[test]
fn a_changed_byte_breaks_twilios_signature() {
    let account = account("twilio", Auth::Signature, &["12345"]);
    let request = composed(&account);
    for at in 0..request.body.len() {
        let mut changed = request.clone();
        changed.body[at] ^= 1;
        // A plus becomes an asterisk and so on: never the same parameters.
        assert_eq!(changed.authenticate(&account), Err(AuthFailure::Mismatch), "byte {at}");
    }
    let twice = request.clone().header("x-twilio-signature", "AAAA");
    assert_eq!(twice.authenticate(&account), Err(AuthFailure::Missing));
}

#[test]
fn twilio_signs_other_bodies_by_their_hash() {
    let account = account("twilio", Auth::Signature, &["12345"]);
    let mut signed = Signed {
        method: Method::POST,
        path_secret: None,
        query: "a=1".to_owned(),
        headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
        body: b"{}".to_vec(),
    };
    prove(&mut signed, &account, now()).expect("the account has a secret");
    let request = Request::from(signed);
    assert_eq!(request.authenticate(&account), Ok(()));
    let changed = Request { body: b"[]".to_vec(), ..request.clone() };
    assert_eq!(changed.authenticate(&account), Err(AuthFailure::Mismatch));
    let without_hash = Request { query: "a=1".to_owned(), ..request };
    assert_eq!(without_hash.authenticate(&account), Err(AuthFailure::Missing));
}

#[test]
fn generic_takes_only_times_within_the_window() {
    let account = account("generic", Auth::Signature, &[GENERIC_SECRET]);
    let request = composed(&account);
    for (seconds, expected) in [
        (0, Ok(())),
        (300, Ok(())),
        (-300, Ok(())),
        (301, Err(AuthFailure::Expired)),
        (-301, Err(AuthFailure::Expired)),
        (86_400, Err(AuthFailure::Expired)),
    ] {
        let received_at = Timestamp::from_second(NOW + seconds).expect("a time");
        let request = Request { received_at, ..request.clone() };
        assert_eq!(request.authenticate(&account), expected, "{seconds}");
    }
}

#[test]
fn generic_covers_id_time_and_body() {
    let account = account("generic", Auth::Signature, &[GENERIC_SECRET]);
    let request = composed(&account);
    for (name, value) in [
        ("webhook-id", "msg_another"),
        ("webhook-timestamp", "1700000001"),
        ("webhook-timestamp", "99999999999999999999999"),
        ("webhook-signature", "v1,"),
        ("webhook-signature", "v2,AAAA"),
    ] {
        let mut changed = request.clone();
        changed.headers.remove(name);
        assert_eq!(changed.authenticate(&account), Err(AuthFailure::Missing), "{name}");
        let changed = changed.header(name, value);
        assert_eq!(changed.authenticate(&account), Err(AuthFailure::Mismatch), "{name} {value}");
    }
    let changed = Request { body: b"{}".to_vec(), ..request };
    assert_eq!(changed.authenticate(&account), Err(AuthFailure::Mismatch));
}

#[test]
fn generic_takes_any_of_several_signatures_and_passes_over_unknown_versions() {
    let account = account("generic", Auth::Signature, &[GENERIC_SECRET]);
    let mut request = composed(&account);
    let right = request.webhook().header("webhook-signature").expect("it was signed").to_owned();
    request.headers.remove("webhook-signature");
    for (header, believed) in [
        (format!("v1,AAAA v1a,BBBB {right}"), true),
        (format!("{right} v9,CCCC"), true),
        (right.replace("v1,", "v2,"), false),
        (right.replace("v1,", ""), false),
    ] {
        let request = request.clone().header("webhook-signature", &header);
        assert_eq!(request.authenticate(&account).is_ok(), believed, "{header}");
    }
}

#[test]
fn generic_agrees_with_the_specifications_example() {
    // Key, id, time, body and signature of the specification's reference libraries' tests.
    let account = account("generic", Auth::Signature, &["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
    let request = Request::post(r#"{"test": 2432232314}"#)
        .header("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
        .header("webhook-timestamp", "1614265330")
        .header("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    let request = Request { received_at: Timestamp::from_second(1_614_265_330).expect("a time"), ..request };
    assert_eq!(request.authenticate(&account), Ok(()));
}

#[test]
fn secrets_are_checked_when_the_settings_are_read() {
    for (carrier, auth, secret, fits) in [
        ("generic", Auth::Signature, GENERIC_SECRET, true),
        ("generic", Auth::Signature, "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX", false),
        ("generic", Auth::Signature, "whsec_AAECAwQFBgcICQ==", false),
        ("generic", Auth::Signature, "whsec_!", false),
        ("generic", Auth::Bearer, "token", true),
        ("twilio", Auth::Signature, "12345", true),
        ("twilio", Auth::Signature, "", false),
        ("kannel", Auth::Basic, "user:password", true),
        ("kannel", Auth::Basic, "password", false),
        ("kannel", Auth::Path, "a/b", false),
        ("kannel", Auth::Path, "a b", false),
        ("kannel", Auth::Query, "a/b", true),
    ] {
        let carrier_of = by_name(carrier).expect("a carrier of the test");
        let checked = check_secret(carrier_of, auth, &Secret::new(secret.as_bytes()));
        assert_eq!(checked.is_ok(), fits, "{carrier} {auth:?} {secret}: {checked:?}");
    }
}

#[test]
fn without_a_secret_nothing_is_signed() {
    for (carrier, auth) in [("twilio", Auth::Signature), ("generic", Auth::Signature), ("kannel", Auth::Path)] {
        let account = account(carrier, auth, &[]);
        assert!(account.carrier.compose(&draft(), &account).is_err(), "{carrier}");
    }
}

#[test]
fn debug_shows_no_secret_number_or_text() {
    let account = account("twilio", Auth::Query, &["hush-hush"]);
    let signed = account.carrier.compose(&draft(), &account).expect("the account has a secret");
    let shown = format!("{account:?} {signed:?} {:?} {:?}", draft(), Request::from(signed.clone()).texts(&account));
    for hidden in ["hush", "7700900123", "Snow", "Main"] {
        assert!(!shown.contains(hidden), "{shown}");
    }
}
