//! What is read by a declaration: the operator's and those of carriers that are nothing but fields.

use std::borrow::Cow;
use std::sync::Arc;

use super::*;
use crate::carrier::{Case, Declaration, Escapes, Format, Words};
use crate::message::{Media, Number, Part};

fn set(words: &[&str]) -> Words {
    Words::Set(words.iter().map(|word| (*word).to_owned()).collect())
}

/// An account whose operator declares JSON with pointers.
fn declared(change: impl FnOnce(&mut Declaration)) -> Account {
    let mut declaration = Declaration {
        formats: Cow::Borrowed(&[Format::Json]),
        from: set(&["/sms/from", "/sms/sender"]),
        to: set(&["/sms/to"]),
        text: set(&["/sms/text"]),
        id: set(&["id"]),
        time: set(&["/at"]),
        probes: true,
        ..Declaration::USUAL
    };
    change(&mut declaration);
    Account { declaration: Some(Arc::new(declaration)), ..account("form", Auth::Path, &["secret"]) }
}

fn shipped(carrier: &str) -> Account {
    account(carrier, Auth::Path, &["secret"])
}

fn json(body: &str) -> Request {
    Request::post(body).header("content-type", "application/json")
}

fn one(request: &Request, account: &Account) -> Inbound {
    let mut texts = request.texts(account);
    assert_eq!(texts.len(), 1);
    texts.remove(0)
}

fn refused(request: &Request, account: &Account) -> &'static str {
    match request.parse(account) {
        Err(malformed) => malformed.0,
        Ok(read) => panic!("not refused: {read:?}"),
    }
}

fn nothing(request: &Request, account: &Account) -> &'static str {
    match request.parse(account) {
        Ok(Delivery::Nothing(word)) => word,
        other => panic!("not nothing: {other:?}"),
    }
}

fn time(written: &str) -> Option<Timestamp> {
    Some(written.parse().expect("a time of the test"))
}

#[test]
fn pointers_lead_to_the_fields_of_json() {
    let body = r#"{"id":7,"at":1700000000,"sms":{"from":"","sender":"+44","to":86555,"text":"a \"b\" ❄"}}"#;
    let text = one(&json(body), &declared(|_| ()));
    assert_eq!(text.carrier_message_id.as_deref(), Some("7"));
    assert_eq!(text.from.as_str(), "+44");
    assert_eq!(text.to.expect("a number").as_str(), "86555");
    assert_eq!(text_of(&text.body), Some("a \"b\" ❄"));
    assert_eq!(text.sent_at, Some(now()));
}

#[test]
fn what_could_not_be_delivered_is_refused_and_nothing_else() {
    let account = declared(|_| ());
    for (body, reason) in [
        ("", "not JSON"),
        ("[]", "the sender is missing"),
        (r#"{"sms":{"to":"2","text":"x"}}"#, "the sender is missing"),
        (r#"{"sms":{"from":{"number":"1"},"to":"2","text":"x"}}"#, "the sender is missing"),
        (r#"{"sms":{"from":"1","text":"x"}}"#, "the number texted is missing"),
        (r#"{"sms":{"from":"1","to":"2","text":null}}"#, "the text is missing"),
    ] {
        assert_eq!(refused(&json(body), &account), reason, "{body}");
    }
    for body in [
        r#"{"sms":{"from":"1","to":"2","text":""}}"#,
        r#"{"id":[],"at":"soon","sms":{"from":"1","to":"2","text":""},"more":[{}]}"#,
    ] {
        let text = one(&json(body), &account);
        assert_eq!((text_of(&text.body), text.sent_at, text.carrier_message_id), (Some(""), None, None), "{body}");
    }
    assert_eq!(refused(&Request::get("a=1"), &account), "a body is missing");
    assert_eq!(nothing(&Request::get(""), &account), "probe");
    assert_eq!(nothing(&Request::get("secret=abc"), &account), "probe");
}

#[test]
fn an_account_with_a_number_needs_none_in_its_requests() {
    let account = Account { number: Some(Number::normalise("86555", Country::GB)), ..declared(|_| ()) };
    assert!(one(&json(r#"{"sms":{"from":"1","text":"x"}}"#), &account).to.is_none());
}

#[test]
fn half_a_character_costs_only_the_text() {
    let text = one(&json(r#"{"sms":{"from":"1","to":"2","text":"a\ud83d"}}"#), &declared(|_| ()));
    assert_eq!(text.body, Body::Undecodable(b"a\xed\xa0\xbd".to_vec()));
}

#[test]
fn a_list_holds_many_texts_or_none() {
    let account = declared(|declaration| {
        declaration.texts = Some(Cow::Borrowed("/all"));
        declaration.texts_lack = set(&["/status"]);
    });
    let text = r#"{"sms":{"from":"1","to":"2","text":"x"}}"#;
    let body = |list: &str| json(&format!(r#"{{"all":[{list}]}}"#));
    assert_eq!(body(&[text; 3].join(",")).texts(&account).len(), 3);
    assert_eq!(body(&format!(r#"{{"status":"sent"}},{text}"#)).texts(&account).len(), 1);
    assert_eq!(nothing(&body(r#"{"status":"sent"}"#), &account), "receipt");
    assert_eq!(nothing(&body(""), &account), "empty");
    assert_eq!(refused(&json("{}"), &account), "the list of texts is missing");
    assert_eq!(refused(&body(&format!("{text},{{}}")), &account), "the sender is missing");
    let too_many = vec![text; 2_001].join(",");
    assert_eq!(refused(&body(&too_many), &account), "more than 2000 texts are in one request");
}

#[test]
fn conditions_tell_receipts_from_texts() {
    let account = declared(|declaration| {
        declaration.texts_have = set(&["/kind=sms", "id"]);
        declaration.texts_lack = set(&["/report"]);
    });
    for (extra, is_text) in [
        (r#""kind":"sms","id":"1""#, true),
        (r#""kind":"sms","id":"1","report":"""#, true),
        (r#""kind":"sms","id":"1","report":"sent""#, false),
        (r#""kind":"SMS","id":"1""#, false),
        (r#""kind":"sms","id":"""#, false),
        (r#""kind":"sms""#, false),
    ] {
        let request = json(&format!(r#"{{{extra},"sms":{{"from":"1","to":"2","text":"x"}}}}"#));
        match request.parse(&account).expect("well-formed") {
            Delivery::Texts(_) => assert!(is_text, "{extra}"),
            Delivery::Nothing(word) => assert!(!is_text && word == "receipt", "{extra}"),
            Delivery::Subscription(_) => panic!("a subscription: {extra}"),
        }
    }
}

#[test]
fn pieces_are_told_by_fields_or_by_a_header() {
    let account = declared(|declaration| {
        declaration.formats = Cow::Borrowed(&[Format::Query]);
        (declaration.from, declaration.to, declaration.text) = (set(&["f"]), set(&["t"]), set(&["x"]));
        (declaration.reference, declaration.total, declaration.number) = (set(&["r"]), set(&["n"]), set(&["i"]));
        declaration.udh = set(&["u"]);
    });
    let part = |reference: &str, total, number| Some(Part { reference: reference.to_owned(), total, number });
    for (query, expected) in [
        ("r=long&n=3&i=2", part("long", 3, 2)),
        ("r=&n=3&i=2", None),
        ("r=long&n=1&i=1", None),
        ("r=long&n=3&i=4", None),
        ("r=long&n=3&i=0", None),
        ("r=long&n=three&i=1", None),
        ("u=050003cc0201", part("204", 2, 1)),
        ("u=%05%00%03%CC%02%01", part("204", 2, 1)),
        ("r=long&u=0608041234%30302", part("4660", 3, 2)),
        ("u=", None),
    ] {
        let text = one(&Request::get(&format!("f=1&t=2&x=x&{query}")), &account);
        assert_eq!(text.part, expected, "{query}");
    }
    let drafted = Draft { part: part("77", 2, 2), ..draft() };
    let request: Request = account.carrier.compose(&drafted, &account).expect("it can be sent").into();
    assert_eq!(one(&request, &account).part, drafted.part);
}

#[test]
fn a_charset_of_the_text_outranks_the_declared_and_that_the_one_of_the_head() {
    let account = |charset: Option<&'static str>| {
        declared(|declaration| {
            declaration.formats = Cow::Borrowed(&[Format::Form]);
            (declaration.from, declaration.to, declaration.text) = (set(&["f"]), set(&["t"]), set(&["x"]));
            declaration.text_charset = set(&["c"]);
            declaration.charset = charset.map(Cow::Borrowed);
        })
    };
    for (charset, head, body, expected) in [
        (None, "", "x=caf%E9&c=ISO-8859-1", Some("café")),
        (None, "; charset=ISO-8859-1", "x=caf%E9", Some("café")),
        (None, "", "x=caf%E9", None),
        (Some("ISO-8859-15"), "; charset=utf-8", "x=%A4", Some("€")),
        (Some("ISO-8859-15"), "", "x=%04%1F&c=UTF-16BE", Some("П")),
        (Some("ISO-8859-15"), "", "x=%A4&c=", Some("€")),
    ] {
        let request = Request::post(format!("f=1&t=2&{body}"))
            .header("content-type", &format!("application/x-www-form-urlencoded{head}"));
        assert_eq!(text_of(&one(&request, &account(charset)).body), expected, "{body} {head}");
    }
}

#[test]
fn what_else_is_declared_is_read_and_written() {
    let changes: [fn(&mut Declaration); 6] = [
        |declaration| declaration.escapes = Escapes::Hex,
        |declaration| declaration.escapes = Escapes::BackslashThenForm,
        |declaration| declaration.texts = Some(Cow::Borrowed("")),
        |declaration| declaration.texts = Some(Cow::Borrowed("/a~1b/0")),
        |declaration| declaration.text_charset = Words::Shipped(&["/sms/charset"]),
        |declaration| (declaration.texts_have, declaration.case) = (Words::Shipped(&["/kind=sms"]), Case::Ignored),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let account = declared(|declaration| {
            change(declaration);
            // JSON holds no bytes of other charsets but in digits or escapes.
            if !declaration.text_charset.is_empty() {
                declaration.escapes = Escapes::FormIfCharset;
            }
        });
        let request: Request = account.carrier.compose(&draft(), &account).expect("it can be sent").into();
        let text = one(&request, &account);
        assert_eq!(text_of(&text.body), Some(draft().text.as_str()), "{index}");
        assert_eq!((text.carrier_message_id, text.sent_at), (Some(draft().id), Some(now())), "{index}");
    }
}

#[test]
fn a_zone_of_the_account_makes_times_of_what_names_none() {
    let body = "source=07999999999&destination=07111111111&message=x&time=2017-07-01 12:00:00";
    let mut account = shipped("firetext");
    assert_eq!(one(&Request::post(body), &account).sent_at, None);
    account.keys.insert("time_zone", "Europe/London".to_owned());
    assert_eq!(one(&Request::post(body), &account).sent_at, time("2017-07-01T11:00:00Z"));
}

#[test]
fn shipped_carriers_read_their_texts() {
    for (carrier, body, from, text) in [
        ("firetext", "source=07900900123&destination=2&message=a+b", "07900900123", "a b"),
        ("textlocal", "sender=447123456789&inNumber=2&comments=only+these&content=", "447123456789", "only these"),
        ("africastalking", "from=%2B254&to=2&text=Msg&id=1&date=soon", "+254", "Msg"),
        ("clicksend", "sms=%2B614&to=2&message=Yes&body=&from=", "+614", "Yes"),
        ("highconnection", "FROM=+336&TO=5151&MESSAGE=%E8%A4&ID=1", "+336", "è€"),
        ("thinq", "from=206&to=207&type=sms&message=hi", "206", "hi"),
        ("46elks", "direction=incoming&from=%2B46&to=%2B47&id=s1&message=", "+46", ""),
    ] {
        let read = one(&Request::post(body), &shipped(carrier));
        assert_eq!((read.from.as_str(), text_of(&read.body)), (from, Some(text)), "{carrier}");
    }
    let query = "from=1&to=2&body=x&timestamp=1722997250&message_id=m";
    let read = one(&Request::get(query), &shipped("clicksend"));
    assert_eq!((read.sent_at, read.carrier_message_id.as_deref()), (time("2024-08-07T02:20:50Z"), Some("m")));
    let read = one(&json(r#"{"from":"1","to":"2","body":"x","timestamp":1722997250}"#), &shipped("clicksend"));
    assert_eq!(read.sent_at, time("2024-08-07T02:20:50Z"));
}

#[test]
fn mmg_escapes_its_texts_twice() {
    let body = r#"{"MSISDN":"07700 900 001","Number":"40604","ID":"bar","Message":"1\\n2+%5Cxe9%2B+%F0%9F%93%A9",
        "DateRecieved":"2017-01-02+03%3A04%3A05"}"#;
    let read = one(&json(body), &shipped("mmg"));
    assert_eq!(text_of(&read.body), Some("1\n2 é+ 📩"));
    assert_eq!(read.sent_at, time("2017-01-02T03:04:05Z"));
}

#[test]
fn mtargets_pieces_say_which_they_are() {
    let account = Account { number: Some(Number::normalise("86555", Country::GB)), ..shipped("mtarget") };
    let body = "Msisdn=+923161909799&Content=world&msglong.id=longmsg&msglong.msgcount=2&msglong.msgref=2";
    let read = one(&Request::post(body), &account);
    assert_eq!(read.part, Some(Part { reference: "longmsg".to_owned(), total: 2, number: 2 }));
    assert_eq!(read.from.as_str(), "+923161909799");
}

#[test]
fn reports_of_texts_sent_are_receipts() {
    for (carrier, body) in [
        ("africastalking", "id=1&status=Success&phoneNumber=%2B254"),
        ("mtarget", "MsgId=12a7&Status=3"),
        ("highconnection", "ret_id=1&status=6"),
        ("thinq", "guid=1&account_id=2&source_did=3&destination_did=4&send_status=delivered&status=DELIVRD"),
        ("46elks", "id=s1&status=delivered&delivered=2018-07-13T13%3A57%3A23.741000"),
        ("46elks", "direction=outgoing&id=s1&from=1&to=2&message=x"),
    ] {
        assert_eq!(nothing(&Request::post(body), &shipped(carrier)), "receipt", "{carrier}");
    }
    let query = Request::get("message_id=1&mobile=61400000000&status=delivered");
    assert_eq!(nothing(&query, &shipped("burstsms")), "receipt");
    // One of the fields with words is a text: what is passed over as a receipt is gone.
    let body = "from=%2B254&to=2&text=Msg&id=1&status=Received";
    assert_eq!(text_of(&one(&Request::post(body), &shipped("africastalking")).body), Some("Msg"));
}

#[test]
fn pictures_are_kept_as_links() {
    let links = |urls: &[&str]| -> Vec<Media> {
        urls.iter().map(|url| Media { url: (*url).to_owned(), content_type: None }).collect()
    };
    for (carrier, body, expected) in [
        ("thinq", "from=1&to=2&type=mms&message=http%3A%2F%2Fa%2Fb.jpg", links(&["http://a/b.jpg"])),
        (
            "thinq",
            "from=1&to=2&type=mms&message=image%2Fjpeg%3Bbase64%2CAA%3D%3D",
            links(&["data:image/jpeg;base64,AA=="]),
        ),
        (
            "46elks",
            "direction=incoming&from=1&to=2&id=s&image=https%3A%2F%2Fa&image2=https%3A%2F%2Fb&image3=",
            links(&["https://a", "https://b"]),
        ),
    ] {
        let read = one(&Request::post(body), &shipped(carrier));
        assert_eq!((read.media, text_of(&read.body)), (expected, Some("")), "{body}");
    }
}

#[test]
fn what_its_charset_does_not_have_cannot_be_composed() {
    let account = shipped("highconnection");
    let composed = |text: &str| account.carrier.compose(&Draft { text: text.to_owned(), ..draft() }, &account);
    let request: Request = composed("très 5€ & 100%").expect("characters of ISO-8859-15").into();
    assert_eq!(text_of(&one(&request, &account).body), Some("très 5€ & 100%"));
    assert!(composed("❄").is_err());
    let pieces = Draft { part: Some(Part { reference: "1".to_owned(), total: 2, number: 1 }), ..draft() };
    assert!(account.carrier.compose(&pieces, &account).is_err());
}
