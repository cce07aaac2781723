//! SNS: whose signature is believed, which URLs are asked, what the inner JSON says.

use super::reading::{nothing, refused};
use super::*;
use crate::carrier::string_to_sign;
use crate::message::{Country, Number};

const CERTIFICATE_URL: &str = "https://sns.eu-west-2.amazonaws.com/SimpleNotificationService-1.pem";

fn signing() -> Account {
    account("aws-sns", Auth::Signature, &[])
}

fn unsigned() -> Account {
    account("aws-sns", Auth::Path, &["secret"])
}

fn signed() -> String {
    let account = signing();
    String::from_utf8(account.carrier.compose(&draft(), &account).expect("it signs").body).expect("text")
}

fn verdict(body: &str) -> Result<(), AuthFailure> {
    Request::post(body).authenticate(&signing())
}

fn notification(inner: &str) -> Request {
    let body = serde_json::json!({
        "Type": "Notification", "MessageId": "m-1", "TopicArn": TOPIC, "Message": inner,
        "Timestamp": "2023-11-14T22:13:20.000Z",
    });
    Request::post(body.to_string())
}

#[test]
fn only_what_sns_signed_for_the_accounts_topic_is_believed() {
    let body = signed();
    assert_eq!(verdict(&body), Ok(()));
    for (from, to, expected) in [
        ("Snow", "Rain", AuthFailure::Mismatch),
        ("inbound-sms", "another", AuthFailure::Mismatch),
        ("2023-11", "2023-10", AuthFailure::Mismatch),
        (r#""SignatureVersion":"2""#, r#""SignatureVersion":"1""#, AuthFailure::Mismatch),
        (r#""SignatureVersion":"2""#, r#""SignatureVersion":"3""#, AuthFailure::Mismatch),
        (r#""SignatureVersion":"2","#, "", AuthFailure::Missing),
        (r#""SignatureVersion":"2""#, r#""SignatureVersion":2"#, AuthFailure::Missing),
        (r#""Signature":""#, r#""Signature":"!"#, AuthFailure::Mismatch),
        (r#""Signature""#, r#""Other""#, AuthFailure::Missing),
        ("SigningCertURL", "Other", AuthFailure::Missing),
        ("SimpleNotificationService-1", "Other", AuthFailure::Certificate),
        (r#"{"Type""#, r#"{"Subject":"x","Type""#, AuthFailure::Mismatch),
        (r#"{"Type""#, r#"{"Message":"x","Type""#, AuthFailure::Missing),
        ("}", "", AuthFailure::Missing),
    ] {
        assert_eq!(verdict(&body.replace(from, to)), Err(expected), "{from} {to}");
    }
    assert_eq!(verdict(&body.replace("SigningCertURL", "SigningCertUrl")), Ok(()), "as Lambda spells it");
    assert_eq!(verdict(&body.replace(r#"{"Type""#, r#"{"Subject":null,"Type""#)), Ok(()), "null is not there");
    let mut account = signing();
    account.keys.clear();
    assert_eq!(Request::post(body).authenticate(&account), Err(AuthFailure::Mismatch), "no topic, no belief");
}

#[test]
fn certificates_are_asked_of_sns_alone() {
    let body = signed();
    for (url, expected) in [
        (CERTIFICATE_URL, Ok(())),
        ("https://sns.us-gov-west-1.amazonaws.com/SimpleNotificationService-1.pem", Ok(())),
        ("https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-1.pem", Ok(())),
        ("https://sns.eu-west-2.amazonaws.com/a/b.pem", Err(AuthFailure::Certificate)),
        ("http://sns.eu-west-2.amazonaws.com/SimpleNotificationService-1.pem", Err(AuthFailure::Mismatch)),
        ("https://sns.eu-west-2.amazonaws.com.evil.test/SimpleNotificationService-1.pem", Err(AuthFailure::Mismatch)),
        (
            "https://sns.eu-west-2.amazonaws.com.cn.evil.test/SimpleNotificationService-1.pem",
            Err(AuthFailure::Mismatch),
        ),
        ("https://foo.amazonaws.com/SimpleNotificationService-1.pem", Err(AuthFailure::Mismatch)),
        ("https://sns.amazonaws.com/SimpleNotificationService-1.pem", Err(AuthFailure::Mismatch)),
        ("https://sns.a.amazonaws.com/SimpleNotificationService-1.pem", Err(AuthFailure::Mismatch)),
        ("https://sns.evil.test/x.amazonaws.com/SimpleNotificationService-1.pem", Err(AuthFailure::Mismatch)),
        ("https://sns.eu.west.amazonaws.com/SimpleNotificationService-1.pem", Err(AuthFailure::Mismatch)),
        ("https://a@sns.eu-west-2.amazonaws.com/SimpleNotificationService-1.pem", Err(AuthFailure::Mismatch)),
        ("https://sns.eu-west-2.amazonaws.com:8443/SimpleNotificationService-1.pem", Err(AuthFailure::Mismatch)),
        ("https://sns.eu-west-2.amazonaws.com/SimpleNotificationService-1.der", Err(AuthFailure::Mismatch)),
        ("https://sns.eu-west-2.amazonaws.com/?x=SimpleNotificationService-1.pem", Err(AuthFailure::Mismatch)),
        ("https://sns.eu-west-2.amazonaws.com/x#SimpleNotificationService-1.pem", Err(AuthFailure::Mismatch)),
        ("https://sns.eu-west-2.amazonaws.com", Err(AuthFailure::Mismatch)),
        ("", Err(AuthFailure::Mismatch)),
    ] {
        let body = body.replace(CERTIFICATE_URL, url);
        assert_eq!(verdict(&body), expected, "{url}");
        let request = Request::post(body);
        let asked = signing().carrier.certificate_url(&request.webhook());
        assert_eq!(asked.as_deref(), (expected != Err(AuthFailure::Mismatch)).then_some(url), "{url}");
    }
}

#[test]
fn a_certificate_must_have_been_valid_when_the_message_was_signed() {
    let account = signing();
    for (signed_at, expected) in [
        ("2023-11-14T22:13:20Z", Ok(())),
        ("2022-11-14T22:13:20Z", Err(AuthFailure::Expired)),
        ("2024-11-14T22:13:20Z", Err(AuthFailure::Expired)),
    ] {
        let drafted = Draft { now: signed_at.parse().expect("a time of the test"), ..draft() };
        let mut request: Request = account.carrier.compose(&drafted, &account).expect("it signs").into();
        request.received_at = "2026-11-21T10:00:00Z".parse().expect("a time of the test");
        assert_eq!(request.authenticate(&account), expected, "{signed_at}");
    }
}

#[test]
fn nobody_signs_for_sns_without_the_key_of_a_certificate_in_the_folder() {
    let other = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key").serialize_pem();
    for (key, said) in
        [(None, "--signing-key"), (Some("no key"), "not PKCS#8"), (Some(other.as_str()), "the certificate for it")]
    {
        let signing_key = key.map(|key| Secret::new(key.as_bytes()));
        let account = Account { signing_key, ..signing() };
        let refused = account.carrier.compose(&draft(), &account).expect_err("nothing fit to sign with");
        assert!(refused.to_string().contains(said), "{refused}");
    }
}

#[test]
fn what_is_signed_is_every_field_there_is_in_one_order() {
    for (body, expected) in [
        (
            r#"{"Type":"SubscriptionConfirmation","Token":"t","SubscribeURL":"u","Timestamp":"1","Message":"a\nb","MessageId":"m","TopicArn":"x","UnsubscribeURL":"no"}"#,
            Some(
                "Message\na\nb\nMessageId\nm\nSubscribeURL\nu\nTimestamp\n1\nToken\nt\nTopicArn\nx\nType\nSubscriptionConfirmation\n",
            ),
        ),
        (r#"{"Message":"","Subject":"é","Type":"T"}"#, Some("Message\n\nSubject\né\nType\nT\n")),
        ("{}", Some("")),
        ("[]", None),
        ("", None),
    ] {
        let signed = string_to_sign(body.as_bytes()).map(|bytes| String::from_utf8(bytes).expect("text"));
        assert_eq!(signed.as_deref(), expected, "{body}");
    }
}

#[test]
fn a_text_comes_in_the_envelope_or_bare() {
    let inner = r#"{"originationNumber":"+447700900123","destinationNumber":"+447860000000","messageKeyword":"KEYWORD","messageBody":"a\ud83db","inboundMessageId":"i-1"}"#;
    let text = &notification(inner).texts(&unsigned())[0];
    assert_eq!((text.carrier_message_id.as_deref(), text.sent_at), (Some("i-1"), Some(now())));
    assert_eq!(text.body, Body::Undecodable(b"a\xed\xa0\xbdb".to_vec()));
    let raw = Request::post(inner).header("x-amz-sns-rawdelivery", "true");
    let text = &raw.texts(&unsigned())[0];
    assert_eq!((text.carrier_message_id.as_deref(), text.sent_at), (Some("i-1"), None));
    assert_eq!(raw.authenticate(&signing()), Err(AuthFailure::Missing), "raw delivery is unsigned");
    let without_id = inner.replace("inboundMessageId", "other");
    assert_eq!(notification(&without_id).texts(&unsigned())[0].carrier_message_id.as_deref(), Some("m-1"));
    let raw = Request::post(without_id.clone()).header("x-amz-sns-message-id", "m-2");
    assert_eq!(raw.texts(&unsigned())[0].carrier_message_id.as_deref(), Some("m-2"));
    assert_eq!(refused(&Request::post(without_id), &unsigned()), "inboundMessageId missing");
}

#[test]
fn what_is_no_text_is_told_apart() {
    for (body, word) in [
        (r#"{"Type":"UnsubscribeConfirmation","TopicArn":"T"}"#, "unsubscribed"),
        (r#"{"Type":"Tomorrow","TopicArn":"T"}"#, "event"),
        (r#"{"Type":"Notification","TopicArn":"T","Message":"{\"eventType\":\"TEXT_DELIVERED\"}"}"#, "event"),
        (r#"{"Type":"Notification","TopicArn":"T","Message":"{\"event_type\":\"_SMS.SUCCESS\"}"}"#, "event"),
    ] {
        assert_eq!(nothing(&Request::post(body.replace(r#""T""#, &format!("{TOPIC:?}"))), &unsigned()), word, "{body}");
    }
    let mut account = unsigned();
    account.number = Some(Number::normalise("86555", Country::GB));
    let bare = notification(r#"{"originationNumber":"1","messageBody":""}"#);
    assert!(bare.texts(&account)[0].to.is_none());
    for (inner, reason) in [
        ("Hello world", "Message is not the JSON of a text: is the topic one of two-way SMS?"),
        ("{}", "originationNumber missing"),
        (r#"{"originationNumber":"1"}"#, "destinationNumber missing"),
        (r#"{"originationNumber":"1","destinationNumber":"2"}"#, "messageBody missing"),
    ] {
        assert_eq!(refused(&notification(inner), &unsigned()), reason, "{inner}");
    }
    assert_eq!(
        refused(&Request::post(r#"{"Type":"Notification"}"#), &unsigned()),
        "TopicArn is not the account's topic_arn"
    );
    assert_eq!(refused(&Request::post("no"), &unsigned()), "not JSON");
}

#[test]
fn a_subscriptions_url_must_be_one_of_sns() {
    let account = |wanted: &str| {
        let mut account = unsigned();
        account.keys.insert("confirm_subscriptions", wanted.to_owned());
        account
    };
    let question = |url: &str| {
        let body = serde_json::json!({"Type": "SubscriptionConfirmation", "TopicArn": TOPIC, "SubscribeURL": url});
        Request::post(body.to_string())
    };
    let url = "https://sns.eu-west-2.amazonaws.com/?Action=ConfirmSubscription&Token=1";
    for (wanted, expected) in [("true", Some(url.to_owned())), ("false", None)] {
        match question(url).parse(&account(wanted)) {
            Ok(Delivery::Subscription(asked)) => assert_eq!(asked, expected),
            other => panic!("not a subscription: {other:?}"),
        }
    }
    for url in ["https://evil.test/?Action=ConfirmSubscription", "http://sns.eu-west-2.amazonaws.com/", "x"] {
        assert_eq!(refused(&question(url), &account("true")), "SubscribeURL is not one of SNS", "{url}");
    }
}

#[test]
fn an_account_must_name_its_topic() {
    let check = |auth, keys: &[(&'static str, &str)]| {
        let mut account = account("aws-sns", auth, &[]);
        account.keys = keys.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        account.carrier.check_account(&account).err().map(|(key, _)| key)
    };
    assert_eq!(check(Auth::Signature, &[]), Some("topic_arn"));
    assert_eq!(check(Auth::Signature, &[("topic_arn", TOPIC), ("certificates", "x")]), None);
    assert_eq!(check(Auth::Path, &[]), None);
    assert_eq!(check(Auth::Path, &[("confirm_subscriptions", "true")]), Some("topic_arn"));
    assert_eq!(check(Auth::Path, &[("certificates", "x")]), Some("certificates"));
    let keys = by_name("aws-sns").expect("a carrier").contract().keys;
    for (value, is_topic) in [
        (TOPIC, true),
        ("arn:aws-cn:sns:cn-north-1:123456789012:x", true),
        ("arn:aws:sqs:eu-west-2:123456789012:x", false),
        ("arn:aws:sns:eu-west-2:123456789012:x:subscription", false),
        ("arn:aws:sns::123456789012:x", false),
        ("x", false),
    ] {
        assert_eq!((keys[0].check)(value).is_ok(), is_topic, "{value}");
    }
    assert!((keys[1].check)("true").is_ok() && (keys[1].check)("yes").is_err());
}
