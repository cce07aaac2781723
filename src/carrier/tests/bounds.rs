//! What a request may make us hold: lists within texts, texts within lists, parameters before any proof.

use super::*;

/// A form of so many parameters.
fn form_of(parameters: usize) -> Signed {
    Signed::post("application/x-www-form-urlencoded", format!("a=1{}", "&b=2".repeat(parameters - 1)))
}

/// As Twilio would sign it, however many there are.
fn twilio(parameters: usize) -> Result<(), AuthFailure> {
    let account = account("twilio", Auth::Signature, &["12345"]);
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"12345");
    let tag = aws_lc_rs::hmac::sign(&key, format!("{}a1b2", account.url).as_bytes());
    let signature = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, tag);
    Request::from(form_of(parameters)).header("x-twilio-signature", &signature).authenticate(&account)
}

/// What is signed here is believed, or it is not signed.
#[test]
fn what_nobody_would_believe_is_not_signed() {
    for (carrier, own) in [("twilio", 0), ("plivo", 0), ("vonage", 2)] {
        let account = account(carrier, Auth::Signature, &["12345"]);
        let sign = |mut request: Signed| account.carrier.sign(&mut request, &account, now()).map(|()| request);
        let signed = sign(form_of(500 - own)).expect("as many as are read");
        assert_eq!(Request::from(signed).authenticate(&account), Ok(()), "{carrier}");
        let refused = sign(form_of(501 - own)).expect_err("one more than is read");
        assert!(refused.to_string().ends_with("more than 500 parameters"), "{refused}");
    }
    let account = account("vonage", Auth::Signature, &["12345"]);
    let members: Vec<_> = (0..499).map(|index| format!("\"{index}\":\"\"")).collect();
    let mut json = Signed { body: format!("{{{}}}", members.join(",")).into_bytes(), ..form_of(1) };
    assert!(account.carrier.sign(&mut json, &account, now()).is_err());
}

#[test]
fn more_parameters_than_anybody_sends_are_not_sorted() {
    assert_eq!(twilio(500), Ok(()));
    assert_eq!(twilio(501), Err(AuthFailure::Mismatch));
    let account = account("messagebird", Auth::Signature, &["12345"]);
    let legacy = |parameters: usize| {
        let query = vec!["a=1"; parameters].join("&");
        let body = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"");
        let message = [NOW.to_string().as_bytes(), b"\n", query.as_bytes(), b"\n", body.as_ref()].concat();
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"12345");
        let signature =
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, aws_lc_rs::hmac::sign(&key, &message));
        let request = Request::get(&query).header("messagebird-request-timestamp", &NOW.to_string());
        request.header("messagebird-signature", &signature).authenticate(&account)
    };
    assert_eq!(legacy(0), Ok(()));
    assert_eq!(legacy(1), Ok(()));
    assert_eq!(legacy(500), Ok(()));
    assert_eq!(legacy(501), Err(AuthFailure::Mismatch));
}

#[test]
fn texts_count_whatever_list_they_are_in() {
    let account = account("generic", Auth::Signature, &[GENERIC_SECRET]);
    let event = |texts: usize| {
        let text = r#"{"id":"1","from":"2","to":"3","text":"a"}"#;
        format!(r#"{{"type":"sms.received","data":[{}]}}"#, vec![text; texts].join(","))
    };
    let read = |events: &[usize]| {
        let events: Vec<_> = events.iter().map(|texts| event(*texts)).collect();
        Request::post(format!("[{}]", events.join(","))).parse(&account)
    };
    assert!(matches!(read(&[1_999, 1]), Ok(Delivery::Texts(texts)) if texts.len() == 2_000));
    assert!(matches!(read(&[1_999, 2]), Err(Malformed("more than 2000 texts are in one request"))));
    assert!(matches!(read(&[2_001]), Err(Malformed(_))));
    // What another event has there is none of ours.
    let other = Request::post(r#"{"type":"call.received","data":[1,{"a":[]}]}"#).parse(&account);
    assert!(matches!(other, Ok(Delivery::Nothing("event"))));
}

#[test]
fn a_list_within_a_text_is_read_as_far_as_anybody_fills_it() {
    let media = vec![r#"{"url":"https://a.test/1"}"#; 40].join(",");
    let links = vec![r#""https://a.test/1""#; 40].join(",");
    let telnyx = format!(
        r#"{{"data":{{"event_type":"message.received","payload":{{"id":"1","direction":"inbound","from":"1",
        "to":[{{"phone_number":null}},{{"phone_number":"2"}},"3"],"media":[{media}]}}}}}}"#
    );
    let bandwidth = format!(
        r#"[{{"type":"message-received","message":{{"id":"1","owner":"2","from":"1","to":[{links}],"media":[{links}]}}}}]"#
    );
    let infobip =
        format!(r#"{{"results":[{{"messageId":"1","from":"1","to":"2","message":[{media}],"receivedAt":null}}]}}"#);
    for (carrier, body) in [("telnyx", telnyx), ("bandwidth", bandwidth), ("infobip", infobip)] {
        let texts = Request::post(body).texts(&account(carrier, Auth::Path, &["a"]));
        assert_eq!(texts[0].media.len(), 32, "{carrier}");
        assert_eq!(texts[0].to.as_ref().map(crate::message::Text::as_str), Some("2"), "{carrier}");
    }
}

#[test]
fn xml_is_read_no_deeper_than_anybody_writes_it() {
    let account = account("esendex", Auth::Path, &["a"]);
    let read = |depth: usize| {
        let (open, close) = ("<a>".repeat(depth), "</a>".repeat(depth));
        let body = format!(
            "<InboundMessage>{open}{close}<From>1</From><To>2</To><MessageText>a</MessageText></InboundMessage>"
        );
        Request::post(body).header("content-type", "application/xml").parse(&account)
    };
    assert!(matches!(read(63), Ok(Delivery::Texts(_))));
    assert!(matches!(read(64), Err(Malformed("XML nested deeper than any notification"))));
}
