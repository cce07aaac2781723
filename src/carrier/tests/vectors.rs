//! The cases of the carriers built here, straight against `authenticate` and `parse`: quick feedback
//! beside the runner that sends the same file over HTTP.
//!
//! Comes in: `tests/carriers/vectors.json`. Always true: a payload case is signed by the same `prove`
//! that `simulate` uses before it is authenticated; nothing skips authentication.

use serde_json::Value;

use super::*;
use crate::carrier::prove;

fn cases() -> Vec<Value> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/carriers/vectors.json");
    let file = std::fs::read(path).expect("the cases are in the repository");
    let cases: Vec<Value> = serde_json::from_slice(&file).expect("the cases are a JSON array");
    cases.into_iter().filter(|case| by_name(case["provider"].as_str().unwrap_or_default()).is_some()).collect()
}

fn body(case: &Value) -> Vec<u8> {
    match case["body_hex"].as_str() {
        Some(digits) => crate::carrier::udh::from_hex(digits).expect("hexadecimal digits of the case"),
        None => case["body"].as_str().unwrap_or_default().as_bytes().to_vec(),
    }
}

/// The case's account, and its request without any proof but what the case has.
fn set_up(case: &Value) -> (Account, Signed) {
    let carrier = case["provider"].as_str().expect("a case has a provider");
    let auth = by_name(carrier).expect("filtered").contract().auth;
    let mut account = account(carrier, auth, &[case["secret"].as_str().unwrap_or("secret-of-the-runner")]);
    let (url, query) = match case["url"].as_str().expect("a case has a URL").split_once('?') {
        Some((url, query)) => (url, query),
        None => (case["url"].as_str().expect("a case has a URL"), ""),
    };
    account.url = url.to_owned();
    let headers = case["headers"].as_object().expect("a case has headers");
    let headers = headers.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()));
    let request = Signed {
        method: case["method"].as_str().expect("a case has a method").parse().expect("a method"),
        path_secret: None,
        query: query.to_owned(),
        headers: headers.collect(),
        body: body(case),
    };
    (account, request)
}

fn check_signature(case: &Value) {
    let (account, request) = set_up(case);
    let believed = Request::from(request).authenticate(&account).is_ok();
    assert_eq!(believed, case["expected"] == "valid", "{}: {}", case["id"], case["description"]);
}

fn check_payload(case: &Value) {
    let (account, mut request) = set_up(case);
    prove(&mut request, &account, now()).expect("the runner's key signs");
    let request = Request::from(request);
    assert_eq!(request.authenticate(&account), Ok(()), "{}", case["id"]);
    let expected = &case["expected"];
    if let Some(reason) = expected["reject"].as_str() {
        let refused = request.parse(&account).map(drop);
        assert_eq!(refused.map_err(|malformed| malformed.0.to_owned()), Err(reason.to_owned()), "{}", case["id"]);
        return;
    }
    let texts = request.texts(&account);
    let messages = expected["messages"].as_array().expect("messages or reject");
    assert_eq!(texts.len(), messages.len(), "{}", case["id"]);
    for (text, message) in texts.iter().zip(messages) {
        assert_eq!(message["from"], text.from.as_str(), "{}", case["id"]);
        assert_eq!(message["to"].as_str(), text.to.as_ref().map(|to| to.as_str()), "{}", case["id"]);
        assert_eq!(message["text"].as_str(), text_of(&text.body), "{}", case["id"]);
        assert_eq!(message["id"].as_str(), text.carrier_message_id.as_deref(), "{}", case["id"]);
        let sent_at = message["received_at"].as_str().map(|time| time.parse().expect("a time of the case"));
        assert_eq!(sent_at, text.sent_at, "{}", case["id"]);
        let links: Vec<&str> = text.media.iter().map(|media| media.url.as_str()).collect();
        let expected_links = message["media"].as_array().map(Vec::as_slice).unwrap_or_default();
        assert_eq!(expected_links, links.as_slice(), "{}", case["id"]);
    }
}

#[test]
fn every_signature_case_is_judged_as_its_carrier_would() {
    let cases = cases();
    let signatures: Vec<&Value> = cases.iter().filter(|case| case["kind"] == "signature").collect();
    assert!(signatures.len() >= 31, "the file lost cases");
    signatures.into_iter().for_each(check_signature);
}

#[test]
fn every_payload_case_is_read_as_its_carrier_means_it() {
    let cases = cases();
    let payloads: Vec<&Value> = cases.iter().filter(|case| case["kind"] == "payload").collect();
    assert!(payloads.len() >= 8, "the file lost cases");
    payloads.into_iter().for_each(check_payload);
}
