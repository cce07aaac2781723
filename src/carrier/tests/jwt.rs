//! Tokens: which are taken apart, which keys fit, when they are in force.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::now;
use crate::carrier::proof::jwt::{Algorithm, Claims, Keys, Token, encode, hash_of, is_hash_of};

/// A token of this header and these claims, its signature in base64.
fn token(header: &str, claims: &str, signature: &str) -> String {
    format!("{}.{}.{signature}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims))
}

#[test]
fn the_standards_own_token_is_believed_with_its_key_alone() {
    // RFC 7515, appendix A.1.
    let secret = URL_SAFE_NO_PAD
        .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow");
    let keys = Keys::new(&secret.expect("base64 of the test"));
    let written = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9\
        .eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
        .dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let token = Token::parse(written).expect("a token");
    assert_eq!(token.algorithm, Algorithm::Hs256);
    assert!(token.is_signed_with(keys.of(Algorithm::Hs256)));
    assert!(!token.is_signed_with(keys.of(Algorithm::Hs512)));
    assert!(!token.is_signed_with(Keys::new(b"another").of(Algorithm::Hs256)));
    let claims = token.claims().expect("claims");
    assert_eq!((claims.iss.as_deref(), claims.exp), (Some("joe"), Some(1_300_819_380.0)));
}

#[test]
fn a_changed_character_breaks_a_token() {
    let keys = Keys::new(b"hush");
    let right = encode(keys.of(Algorithm::Hs256), &serde_json::json!({"iss": "Vonage"}));
    for at in 0..right.len() {
        let mut changed = right.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).expect("ASCII");
        let believed = Token::parse(&changed).is_some_and(|token| token.is_signed_with(keys.of(token.algorithm)));
        assert!(!believed, "{at}");
    }
    assert!(Token::parse(&right).is_some_and(|token| token.is_signed_with(keys.of(Algorithm::Hs256))));
}

#[test]
fn only_three_algorithms_make_tokens() {
    for (header, algorithm) in [
        (r#"{"alg":"HS256"}"#, Some(Algorithm::Hs256)),
        (r#"{"typ":"JWT","alg":"HS384"}"#, Some(Algorithm::Hs384)),
        (r#"{"alg":"HS512","kid":"1"}"#, Some(Algorithm::Hs512)),
        (r#"{"alg":"none"}"#, None),
        (r#"{"alg":"None"}"#, None),
        (r#"{"alg":"hs256"}"#, None),
        (r#"{"alg":"RS256"}"#, None),
        (r#"{"alg":"HS256","alg":"HS256"}"#, None),
        (r#"{"alg":"HS256","crit":["exp"]}"#, None),
        (r#"{"alg":256}"#, None),
        ("{}", None),
        ("", None),
    ] {
        let written = token(header, "{}", "AAAA");
        assert_eq!(Token::parse(&written).map(|token| token.algorithm), algorithm, "{header}");
    }
}

#[test]
fn what_has_not_three_parts_of_base64_is_no_token() {
    let right = token(r#"{"alg":"HS256"}"#, "{}", "AAAA");
    assert!(Token::parse(&right).is_some());
    for wrong in ["", ".", "..", "asdf", "a.b.c", &right.replace(".AAAA", ""), &format!("{right}.AAAA")] {
        assert!(Token::parse(wrong).is_none(), "{wrong}");
    }
    for wrong in [format!("{right}="), format!(" {right}"), right.replace("AAAA", "AA+/"), format!("{right}\n")] {
        assert!(Token::parse(&wrong).is_none(), "{wrong}");
    }
    let unsigned = token(r#"{"alg":"HS256"}"#, "{}", "");
    assert!(!Token::parse(&unsigned).expect("a token").is_signed_with(Keys::new(b"").of(Algorithm::Hs256)));
}

#[test]
fn claims_hold_between_their_times_with_leeway() {
    let at = |seconds: Option<i64>| seconds.map(|seconds| (super::NOW + seconds) as f64);
    for (nbf, exp, in_force) in [
        (None, None, true),
        (Some(0), Some(60), true),
        (Some(10), None, true),
        (Some(11), None, false),
        (None, Some(-9), true),
        (None, Some(-10), false),
        (Some(-3600), Some(3600), true),
        (Some(3600), Some(3660), false),
    ] {
        let claims = Claims { nbf: at(nbf), exp: at(exp), ..Claims::default() };
        assert_eq!(claims.are_in_force(now(), Duration::from_secs(10)), in_force, "{nbf:?} {exp:?}");
    }
}

#[test]
fn hashes_are_compared_in_either_case_and_as_a_whole() {
    let hash = hash_of(&[b"snow", b"", b" and ice"]);
    for (claim, fits) in [
        (hash.clone(), true),
        (hash.to_ascii_uppercase(), true),
        (hash[..62].to_owned(), false),
        (format!("{hash}00"), false),
        (hash.replace(&hash[..1], "x"), false),
        (String::new(), false),
    ] {
        assert_eq!(is_hash_of(&claim, &[b"snow and ice"]), fits, "{claim}");
    }
    assert!(!is_hash_of(&hash, &[b"snow"]));
}
