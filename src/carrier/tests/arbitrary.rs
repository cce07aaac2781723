//! No bytes of anyone make a panic, and what is signed is read back. The fuzz targets (`tests/fuzz`) go on
//! from here: they are steered by the code that an input reaches, and count what it takes of memory.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::carrier::CARRIERS;

/// Where carriers look for something in headers.
const HEADERS: [&str; 25] = [
    "authorization",
    "x-twilio-signature",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
    "x-kannel-from",
    "x-kannel-to",
    "x-kannel-udh",
    "x-kannel-time",
    "x-kannel-coding",
    "messagebird-signature",
    "messagebird-signature-jwt",
    "messagebird-request-timestamp",
    "x-plivo-signature",
    "x-plivo-signature-v2",
    "x-plivo-signature-v2-nonce",
    "x-plivo-signature-v3",
    "x-plivo-signature-v3-nonce",
    "telnyx-signature-ed25519",
    "telnyx-timestamp",
    "x-telnyx-signature",
    "x-sinch-webhook-signature",
    "x-sinch-webhook-signature-nonce",
    "x-sinch-webhook-signature-timestamp",
    "x-sinch-webhook-signature-algorithm",
];

/// Authenticates and reads one request of any bytes, for every carrier and every way of proving.
fn takes_anything(query: &str, content_type: &str, header: &[u8], body: &[u8]) {
    let mut request = Request { query: query.to_owned(), ..Request::post(body) };
    request = request.header("content-type", content_type);
    if let Ok(value) = HeaderValue::from_bytes(header) {
        request.headers.extend(HEADERS.map(|name| (HeaderName::from_static(name), value.clone())));
    }
    for carrier in CARRIERS {
        for auth in [Auth::Signature, Auth::Basic, Auth::Bearer, Auth::Path, Auth::Query] {
            let mut account = account(carrier.contract().name, auth, &[GENERIC_SECRET]);
            account.url = query.to_owned();
            // Anywhere else it is refused before its signature is looked at.
            request.path_secret = (auth == Auth::Path).then(|| query.to_owned());
            for method in [Method::GET, Method::POST] {
                request.method = method;
                // A GET that says nothing is a probe of Vonage's dashboard.
                let is_probe = request.method == Method::GET && query.is_empty() && body.is_empty();
                let needs_none = is_probe && auth == Auth::Signature && carrier.contract().name == "vonage";
                assert_eq!(request.authenticate(&account).is_ok(), needs_none);
                drop(request.parse(&account));
            }
        }
    }
}

/// Pieces that lead deeper into the parsers than bytes drawn blindly.
fn fragment() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "MessageSid=",
        "From=",
        "To=",
        "Body=",
        "MediaUrl0=",
        "SmsStatus=sent",
        "&",
        "=",
        "%",
        "%E9",
        "+",
        "sender=",
        "message=",
        "charset=UTF-16BE",
        "coding=2",
        "udh=%05%00%03",
        "ts=",
        "sig=00",
        "msisdn=",
        "messageId=",
        "text=",
        "concat-total=",
        "originator=",
        "mediaUrls=[",
        "eyJhbGciOiJIUzI1NiJ9.e30.",
        r#""message_uuid":"1""#,
        r#""payload":{"direction":"incoming","body":{"image":{"images":[{"mediaUrl":"a"}]}}"#,
        "secret=",
        "bodySHA256=",
        r#"{"type":"sms.received","data":"#,
        "[",
        "]",
        "{",
        "}",
        r#""text":"\ud83d""#,
        r#""id":"1""#,
        r#""source_number":"1","destination_number":"2""#,
        r#""message":"\ud83d""#,
        "<InboundMessage><MessageText>",
        "</MessageText>",
        "<![CDATA[",
        "]]>",
        "&#",
        "from=1&to=2&coding=0&content=%1b",
        "binary=d83",
        r#"{"event":{"moText":[{"from":"1","to":"2","content":"%0","charset":"UTF-16BE"#,
        r#"{"MSISDN":"1","Number":"2","Message":"\\ud83d"#,
        r#"{"results":[{"messageId":"1","from":"1","to":"2","#,
        r#""message":[{"contentType":"text/plain","value":"\ud83d"},{"url":"https://a"}]"#,
        r#"[{"type":"message-received","message":{"id":"1","owner":"2","from":"3","#,
        r#""type":"mo_binary","udh":"050003cc0201","body":"AAE=","#,
        r#"{"data":{"event_type":"message.received","payload":{"from":{"phone_number":"1"},"to":["2"],"#,
        r#"{"Type":"Notification","Message":"{\"messageBody\":\"\"}","SignatureVersion":"2","Signature":"AAAA","#,
        r#""SigningCertURL":"https://sns.eu-west-2.amazonaws.com/SimpleNotificationService-1.pem","#,
        r#""TopicArn":"arn:aws:sns:eu-west-2:123456789012:inbound-sms""#,
        ",",
        "://",
        "@",
        ":",
    ]);
    prop_oneof![known.prop_map(|word| word.as_bytes().to_vec()), vec(any::<u8>(), 0..6)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_bytes_make_a_panic_or_are_believed(
        query in vec(fragment(), 0..12),
        content_type in prop::sample::select(vec!["", "application/json", "text/plain; charset=\"UTF-16BE\"", "text/plain;charset"]),
        header in vec(any::<u8>(), 0..40),
        body in vec(fragment(), 0..24),
    ) {
        let query = String::from_utf8_lossy(&query.concat()).into_owned();
        takes_anything(&query, content_type, &header, &body.concat());
    }

    #[test]
    fn any_text_comes_back_exactly(text in any::<String>(), id in "[!-~]{1,20}") {
        for (carrier, auth, secret) in [
            ("twilio", Auth::Signature, "12345"), ("kannel", Auth::Path, "a secret/%"), ("generic", Auth::Signature, GENERIC_SECRET),
            ("46elks", Auth::Path, "a"), ("clickatell", Auth::Path, "a"),
            ("esendex", Auth::Path, "a"), ("form", Auth::Path, "a"), ("jasmin", Auth::Path, "a"), ("mmg", Auth::Basic, "a:b"),
            ("smsportal", Auth::Path, "a"),
            ("govuk-notify", Auth::Bearer, "a-token"), ("infobip", Auth::Path, "a-secret"), ("sinch", Auth::Signature, "12345"),
            ("telnyx", Auth::Signature, ED25519_PUBLIC), ("bandwidth", Auth::Basic, "user:password"), ("aws-sns", Auth::Signature, ""),
            ("bird", Auth::Signature, "12345"), ("messagebird", Auth::Signature, "12345"),
            ("plivo", Auth::Signature, "12345"), ("vonage", Auth::Signature, "12345"),
        ] {
            let account = account(carrier, auth, &[secret]);
            let drafted = Draft { text: text.clone(), id: id.clone(), ..draft() };
            let request: Request = account.carrier.compose(&drafted, &account).expect("it can be sent").into();
            prop_assert_eq!(request.authenticate(&account), Ok(()));
            let texts = request.texts(&account);
            prop_assert_eq!(text_of(&texts[0].body), Some(text.as_str()));
            prop_assert_eq!(texts[0].carrier_message_id.as_deref(), Some(id.as_str()));
        }
    }
}
