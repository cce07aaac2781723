//! What Jasmin, SMSPortal, Esendex and Clickatell send: every form of it, receipts, and what nobody can read.

use super::*;
use crate::message::{Number, Part};

fn of(carrier: &str) -> Account {
    account(carrier, Auth::Path, &["secret"])
}

/// For carriers that do not always name the number.
fn of_number(carrier: &str) -> Account {
    Account { number: Some(Number::normalise("86555", Country::GB)), ..of(carrier) }
}

fn one(request: &Request, account: &Account) -> Inbound {
    let mut texts = request.texts(account);
    assert_eq!(texts.len(), 1);
    texts.remove(0)
}

/// What became of a request that is no text: the word it is counted under, or why it is refused.
fn no_text(request: &Request, account: &Account) -> &'static str {
    match request.parse(account) {
        Err(malformed) => malformed.0,
        Ok(Delivery::Nothing(word)) => word,
        Ok(other) => panic!("not nothing: {other:?}"),
    }
}

fn json(body: &str) -> Request {
    Request::post(body).header("content-type", "application/json")
}

fn xml(body: &str) -> Request {
    Request::post(body).header("content-type", "application/xml")
}

fn time(written: &str) -> Option<Timestamp> {
    Some(written.parse().expect("a time of the test"))
}

#[test]
fn jasmin_reads_each_coding() {
    for (fields, expected) in [
        ("coding=0&content=%05v%05nement", Some("événement")),
        ("coding=0&content=%3F&binary=0576056e656d656e74", Some("événement")),
        ("coding=0&content=%1Be+5", Some("€ 5")),
        ("coding=0&content=caf%C3%A9", Some("café")),
        ("coding=0&content=caf%E9", None),
        ("coding=1&content=snow", Some("snow")),
        ("coding=3&content=caf%E9", Some("café")),
        ("coding=8&content=%3F&binary=041F", Some("П")),
        ("coding=8&content=%04%1F", Some("П")),
        ("coding=8&binary=d83d", None),
        ("coding=6&binary=bf", Some("П")),
        ("coding=4&binary=0102", None),
        ("content=%C3%A9", Some("é")),
        ("coding=0&content=&binary=", Some("")),
        // What Jasmin 0.11.1 sends.
        ("content=%05v%05nement&binary=0576056e656d656e74&priority=0&coding=%00", Some("événement")),
        ("content=%04%1F%D8%3D%DE%00&binary=041fd83dde00&priority=0&coding=%08", Some("П😀")),
        ("content=caf%E9&coding=%03", Some("café")),
        ("content=%01%02&coding=%04", None),
        ("content=%05&coding=%F1", Some("é")),
        ("content=%05&coding=241", Some("é")),
        ("content=%05&coding=%F5", None),
        ("content=snow&coding=%0A", Some("snow")),
        ("content=snow&coding=", Some("snow")),
        ("content=snow&coding=256", Some("snow")),
        ("coding=0&content=snow&binary=xyz", Some("snow")),
    ] {
        for request in
            [Request::post(format!("id=1&from=44&to=2&{fields}")), Request::get(&format!("ID=1&From=44&To=2&{fields}"))]
        {
            let read = one(&request, &of("jasmin"));
            assert_eq!(text_of(&read.body), expected, "{fields}");
            assert_eq!(read.carrier_message_id.as_deref(), Some("1"));
        }
    }
    let mut account = of("jasmin");
    account.keys.insert("default_alphabet", "ISO-8859-1".to_owned());
    assert_eq!(text_of(&one(&Request::get("from=1&to=2&coding=0&content=%40%E9"), &account).body), Some("@é"));
}

#[test]
fn jasmin_sends_what_it_reads() {
    let mut account = of("jasmin");
    for (text, coding) in [("café €5", "coding=%00"), ("❄ 👍", "coding=%08")] {
        let drafted = Draft { text: text.to_owned(), ..draft() };
        let request: Request = account.carrier.compose(&drafted, &account).expect("it can be sent").into();
        assert!(String::from_utf8_lossy(&request.body).contains(coding), "{text}");
        assert_eq!(text_of(&one(&request, &account).body), Some(text));
    }
    account.keys.insert("default_alphabet", "ISO-8859-1".to_owned());
    let drafted = Draft { text: "ê@".to_owned(), ..draft() };
    let request: Request = account.carrier.compose(&drafted, &account).expect("it can be sent").into();
    assert_eq!(text_of(&one(&request, &account).body), Some("ê@"));
}

#[test]
fn jasmin_leaves_the_header_before_pieces_that_it_does_not_join() {
    for (fields, expected, text) in [
        ("coding=%00&binary=060804ace7020205", Some(("44263", 2, 2)), "é"),
        ("coding=%08&binary=060804ace80401041fd83dde00", Some(("44264", 4, 1)), "П😀"),
        ("coding=%00&binary=050003cc030205", Some(("204", 3, 2)), "é"),
        // Number 3 of 2, one of one, cut short: these are letters.
        ("coding=%00&binary=060804616102034f", None, "ùòèaa$¥O"),
        ("coding=%00&binary=050003610101", None, "é@¥a££"),
        ("coding=%00&binary=06080461", None, "ùòèa"),
    ] {
        let read = one(&Request::post(format!("id=1&from=44&to=2&{fields}")), &of("jasmin"));
        let expected = expected.map(|(reference, total, number)| Part { reference: reference.into(), total, number });
        assert_eq!((read.part, text_of(&read.body)), (expected, Some(text)), "{fields}");
    }
}

#[test]
fn jasmins_other_requests_are_told_apart() {
    for (body, expected) in [
        ("id=1&level=2&message_status=DELIVRD&dlvrd=001", "receipt"),
        ("id=1&err=1", "receipt"),
        ("id=1&from=1&to=2&coding=0", "content missing"),
        ("content=x&coding=0&From=2349067554729&id=1001", "to missing"),
        ("content=x&coding=0&to=2&id=1001", "from missing"),
        ("", "content missing"),
    ] {
        assert_eq!(no_text(&Request::post(body), &of("jasmin")), expected, "{body}");
    }
    assert_eq!(no_text(&json("{}"), &of("jasmin")), "not a form");
}

#[test]
fn smsportal_reads_both_versions_in_any_case() {
    let query = "IncomingID=123456&Phonenumber=27821234567&IncomingData=Example+reply&IncomingDataTime=01%2fJan%2f2021+00%3a00%3a00&SentID=654321";
    let mut account = of_number("smsportal");
    let read = one(&Request::get(query), &account);
    assert_eq!((read.carrier_message_id.as_deref(), read.sent_at), (Some("123456"), None));
    assert_eq!(text_of(&read.body), Some("Example reply"));
    account.keys.insert("time_zone", "Africa/Johannesburg".to_owned());
    assert_eq!(one(&Request::get(query), &account).sent_at, time("2020-12-31T22:00:00Z"));
    for body in [
        r#"{"To":"31234","Id":99,"EventId":1,"Message":"Yes","Msisdn":"27821234567","Received":1530013907}"#,
        r#"{"to":"31234","ID":"99","message":"Yes","MSISDN":27821234567,"received":1530013907}"#,
    ] {
        let read = one(&json(body), &of("smsportal"));
        assert_eq!((read.carrier_message_id.as_deref(), read.from.as_str()), (Some("99"), "27821234567"), "{body}");
        assert_eq!((text_of(&read.body), read.sent_at), (Some("Yes"), time("2018-06-26T11:51:47Z")), "{body}");
        assert_eq!(read.to.expect("a number").as_str(), "31234");
    }
}

#[test]
fn smsportals_statuses_and_trials_are_no_texts() {
    let account = of_number("smsportal");
    let status =
        "ID=322004213&EventID=32433326&Phonenumber=27830123456&Data=x&SentDataTime=1%2FJan%2F2021&Status=DELIVRD";
    assert_eq!(no_text(&Request::get(status), &account), "receipt");
    assert_eq!(no_text(&Request::get(""), &account), "probe");
    let status = r#"{"Status":"DELIVRD","EventId":1179504595,"Mcc":655,"Msisdn":"27123456789","Received":1530013907}"#;
    assert_eq!(no_text(&json(status), &account), "receipt");
    // Nobody knows all that comes with a reply: words are no receipt.
    let reply = r#"{"Status":"RECEIVED","Id":7,"Message":"x","Msisdn":"27123456789"}"#;
    assert_eq!(text_of(&one(&json(reply), &account).body), Some("x"));
    let reply = "IncomingID=7&Phonenumber=27830123456&IncomingData=x&Status=NEW";
    assert_eq!(text_of(&one(&Request::get(reply), &account).body), Some("x"));
    assert_eq!(no_text(&json(r#"{"Id":1,"Message":"x"}"#), &account), "the sender is missing");
    assert_eq!(no_text(&Request::get("IncomingID=1&Phonenumber=27"), &account), "the text is missing");
}

fn notification(text: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<InboundMessage xmlns=\"http://x\">\n <Id>n-1</Id>\n \
         <MessageId>m-1</MessageId>\n <MessageText>{text}</MessageText>\n <From>44123</From>\n <To>44456</To>\n\
         </InboundMessage>\n"
    )
}

#[test]
fn esendex_reads_its_xml() {
    for (written, expected) in [
        ("some text", "some text"),
        ("  a &amp; b &lt;c&gt; &#10052;&#x1F44D; ", "  a & b <c> ❄👍 "),
        ("<![CDATA[<b> & &amp;]]>!", "<b> & &amp;!"),
        ("a<!-- not this -->b<?nor this?>", "ab"),
        ("one\ntwo &quot;&apos;", "one\ntwo \"'"),
        ("", ""),
        ("a<b>nested</b>c", "ac"),
    ] {
        let read = one(&xml(&notification(written)), &of("esendex"));
        assert_eq!(text_of(&read.body), Some(expected), "{written}");
        assert_eq!(read.carrier_message_id.as_deref(), Some("m-1"));
        assert_eq!((read.from.as_str(), read.to.expect("a number").as_str()), ("44123", "44456"));
    }
    let marked = Request::post(format!("\u{feff}{}", notification("x")));
    assert_eq!(text_of(&one(&marked, &of("esendex")).body), Some("x"));
    let empty = notification("").replace("<MessageText></MessageText>", "<MessageText/><MessageText>2</MessageText>");
    assert_eq!(text_of(&one(&xml(&empty), &of("esendex")).body), Some(""));
    let mut latin = notification("caf?").replace("UTF-8", "ISO-8859-1").into_bytes();
    let at = latin.windows(4).position(|bytes| bytes == b"caf?").expect("the text") + 3;
    latin[at] = 0xe9;
    assert_eq!(text_of(&one(&Request::post(latin), &of("esendex")).body), Some("café"));
}

#[test]
fn esendex_keeps_what_is_not_utf_8_as_bytes() {
    let mut body = notification("caf?").into_bytes();
    let at = body.windows(4).position(|bytes| bytes == b"caf?").expect("the text") + 3;
    body[at] = 0xe9;
    assert_eq!(one(&Request::post(body), &of("esendex")).body, Body::Undecodable(b"caf\xe9".to_vec()));
}

#[test]
fn esendex_unfolds_nothing() {
    let entity = "<!DOCTYPE m [<!ENTITY a \"aaaa\"><!ENTITY f SYSTEM \"file:///etc/passwd\">]>";
    const FOREIGN: &str = "XML with a document type or entities of its own";
    for (body, expected) in [
        (notification("x").replace("<InboundMessage", &format!("{entity}<InboundMessage")), FOREIGN),
        (notification("&f;"), FOREIGN),
        (notification("&nbsp;"), FOREIGN),
        (notification("&#0;"), FOREIGN),
        (notification("&#xD800;"), FOREIGN),
        (notification("a & b"), "not XML"),
        (notification("x").replace("</InboundMessage>", ""), "not XML"),
        (notification("x").replace("</From>", "</To>"), "not XML"),
        (format!("{0}<InboundMessage/>", notification("x")), "not XML"),
        ("<".to_owned(), "not XML"),
        (notification("x").replace("From>", "Form>"), "From missing"),
        (notification("x").replace("To>", "Too>"), "To missing"),
        (notification("x").replace("MessageText>", "Text>"), "MessageText missing"),
    ] {
        assert_eq!(no_text(&xml(&body), &of("esendex")), expected, "{body}");
    }
    assert_eq!(no_text(&xml(""), &of("esendex")), "not XML");
    // As deep as a body may be: nothing is called, and nothing kept, for each step down.
    let deep = "<a>".repeat(20_000) + &"</a>".repeat(20_000);
    assert_eq!(no_text(&xml(&deep), &of("esendex")), "XML nested deeper than any notification");
}

#[test]
fn esendexs_other_notifications_are_receipts() {
    for root in ["MessageDelivered", "MessageFailed", "OptOut"] {
        let body = format!("<{root}><Id>1</Id><From><PhoneNumber>44</PhoneNumber></From></{root}>");
        assert_eq!(no_text(&xml(&body), &of("esendex")), "receipt", "{root}");
    }
    let legacy = "username=u&password=p&account=a&notificationType=MessageEvent&id=1";
    assert_eq!(no_text(&Request::post(legacy), &of("esendex")), "receipt");
    let legacy = "notificationType=MessageReceived&id=1&originator=44&recipient=45&body=caf%C3%A9&sentAt=2014-08-02+16%3A28%3A42Z";
    let read = one(&Request::post(legacy), &of("esendex"));
    assert_eq!((text_of(&read.body), read.sent_at), (Some("café"), time("2014-08-02T16:28:42Z")));
}

/// Whoever types the URL in at the carrier, or the carrier's own page, tries it before the first text.
#[test]
fn a_get_that_says_nothing_asks_only_whether_somebody_is_there() {
    for carrier in ["jasmin", "smsportal", "clickatell", "clicksend", "gupshup", "textlocal"] {
        for query in ["", "secret=abc"] {
            assert_eq!(no_text(&Request::get(query), &of(carrier)), "probe", "{carrier} {query}");
        }
        assert_ne!(no_text(&Request::get("a=1"), &of(carrier)), "probe", "{carrier}");
        assert_ne!(no_text(&Request::post(""), &of(carrier)), "probe", "{carrier}");
    }
}

#[test]
fn clickatell_reads_each_of_its_interfaces() {
    let platform = r#"{"messageId":"out","replyMessageId":"in","fromNumber":"2507","toNumber":"2708","timestamp":1516217711000,"text":"%00%41%04%1F","charset":"UTF-16BE"}"#;
    let one_api = r#"{"integrationId":"i","event":{"moText":[{"channel":"sms","messageId":"in","relatedMessageId":"out","from":"2507","to":"2708","timestamp":1516217711000,"content":"AП","charset":"UTF-8"}]}}"#;
    let central =
        "api_id=1&from=2507&to=2708&timestamp=2018-01-17+21%3A35%3A11&charset=UTF-16BE&udh=&text=%00A%04%1F&moMsgId=in";
    for request in
        [json(platform), Request::post(platform), json(one_api), Request::post(central), Request::get(central)]
    {
        let read = one(&request, &of("clickatell"));
        assert_eq!((read.carrier_message_id.as_deref(), read.from.as_str()), (Some("in"), "2507"));
        assert_eq!((text_of(&read.body), read.sent_at), (Some("AП"), time("2018-01-17T19:35:11Z")));
        assert_eq!((read.to.expect("a number").as_str(), read.part), ("2708", None));
    }
}

#[test]
fn clickatells_pieces_and_texts_without_a_charset() {
    let account = of_number("clickatell");
    let read =
        one(&json(r#"{"messageId":"1","fromNumber":"2507","text":"100%25 sure+","udh":"050003cc0201"}"#), &account);
    assert_eq!(text_of(&read.body), Some("100%25 sure+"));
    assert_eq!(read.part, Some(Part { reference: "204".to_owned(), total: 2, number: 1 }));
    let drafted = Draft { part: read.part, ..draft() };
    let request: Request = account.carrier.compose(&drafted, &account).expect("it can be sent").into();
    assert_eq!(one(&request, &account).part, drafted.part);
}

#[test]
fn clickatells_statuses_are_no_texts_and_nonsense_is_refused() {
    let account = of_number("clickatell");
    for (request, expected) in [
        (json(r#"{"messageId":"1","statusCode":4,"status":"DELIVERED","to":"27","timestamp":1}"#), "receipt"),
        (json(r#"{"integrationId":"i","event":{"messageStatusUpdate":[{"messageId":"1"}]}}"#), "event"),
        (json(r#"{"event":{"moText":[]}}"#), "empty"),
        (json(r#"{"event":{"moText":{}}}"#), "the list of texts is missing"),
        (Request::get("from=1&to=2&status=4&api_id=1&moMsgId=1&charge=0.3"), "receipt"),
        (json("{}"), "the sender is missing"),
        (json("foo"), "not JSON"),
        (json(r#"{"fromNumber":"1","messageId":"1"}"#), "the text is missing"),
        (Request::get("from="), "the sender is missing"),
    ] {
        assert_eq!(no_text(&request, &account), expected);
    }
}
