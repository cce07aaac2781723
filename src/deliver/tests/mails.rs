//! What mails look like, read by somebody else's parser.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mail_parser::{Message, MessageParser};
use serde_json::{Value, json};

use super::{email, letter, letter_of, record};
use crate::deliver::Letter;
use crate::deliver::mail::Composer;
use crate::deliver::parcel::{Collected, Held, Parcel};
use crate::message::DepartmentName;

fn composer() -> Composer {
    Composer {
        department: DepartmentName::parse("highways").unwrap(),
        from: "sms-router@example.gov.uk".parse().unwrap(),
        email: email(),
        host: "sms.example.gov.uk".to_owned(),
    }
}

fn parcel(letters: Vec<Letter>, collected: Option<Collected>) -> Parcel {
    let held = |letter| Held { letter, done: Box::new(|| ()) };
    Parcel::of(letters.into_iter().map(held).collect(), collected)
}

fn mail_of(letter: Letter) -> Vec<u8> {
    composer().compose(&parcel(vec![letter], None)).unwrap()
}

fn with(members: Value) -> Letter {
    let mut record = record("+447700900123", "Snow");
    for (name, value) in members.as_object().unwrap() {
        record[name] = value.clone();
    }
    letter_of(record)
}

fn names(message: &Message<'_>) -> Vec<String> {
    message.headers().iter().map(|header| header.name().to_owned()).collect()
}

/// The decoded body, with the line ends of the text.
fn body(mail: &[u8]) -> String {
    let message = MessageParser::default().parse(mail).unwrap();
    message.body_text(0).unwrap().replace("\r\n", "\n")
}

#[test]
fn a_mail_says_what_staff_need_and_nothing_personal_in_its_headers() {
    let letter = with(json!({
        "text": "snow on Main St", "keyword": "SNOW", "sent_at": "2026-11-21T09:59:58.000Z",
    }));
    let id = letter.id;
    let mail = mail_of(letter);
    let message = MessageParser::default().parse(&mail).unwrap();
    assert_eq!(message.subject(), Some("Text to 86555 for highways"));
    assert_eq!(message.message_id(), Some(format!("{id}@sms.example.gov.uk").as_str()));
    assert_eq!(message.from().unwrap().first().unwrap().address(), Some("sms-router@example.gov.uk"));
    assert_eq!(message.to().unwrap().first().unwrap().address(), Some("highways@example.gov.uk"));
    assert_eq!(message.date().unwrap().to_rfc3339(), "2026-11-21T10:00:00Z");
    assert_eq!(message.header("Auto-Submitted").unwrap().as_text(), Some("auto-generated"));
    let expected = [
        "From",
        "Subject",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "X-Auto-Response-Suppress",
        "Content-Type",
        "To",
        "MIME-Version",
        "Content-Transfer-Encoding",
    ];
    let mut names = names(&message);
    names.sort_by_key(|name| expected.iter().position(|expected| expected.eq_ignore_ascii_case(name)));
    assert!(names.iter().map(|name| name.to_ascii_lowercase()).eq(expected.map(str::to_ascii_lowercase)), "{names:?}");
    let expected = format!(
        "snow on Main St\n\n----------------------------------------\nEnd of the text {id}\n\n\
         From:       +447700900123   tel:+447700900123\nTo:         86555\nReceived:   2026-11-21 10:00:00 UTC\n\
         Sent:       2026-11-21 09:59:58 UTC\nKeyword:    SNOW\nDepartment: highways\nId:         {id}\n"
    );
    assert_eq!(body(&mail), expected);
}

#[test]
fn replies_go_nowhere_unless_the_settings_say_where() {
    let mut composer = composer();
    let parcel = parcel(vec![letter("+447700900123", "Snow")], None);
    let reply_to = |composer: &Composer| {
        let mail = composer.compose(&parcel).unwrap();
        let message = MessageParser::default().parse(&mail).unwrap().into_owned();
        message.reply_to().and_then(|to| to.first().and_then(|to| to.address().map(str::to_owned)))
    };
    assert_eq!(reply_to(&composer), None);
    composer.email.reply_to = Some("desk@example.gov.uk".parse().unwrap());
    assert_eq!(reply_to(&composer).as_deref(), Some("desk@example.gov.uk"));
}

#[test]
fn a_repeat_is_the_same_message_to_the_byte() {
    assert_eq!(mail_of(letter("+447700900123", "Snow")), mail_of(letter("+447700900123", "Snow")));
}

/// Whatever the text, it comes out as it went in, in ASCII lines that SMTP can carry, without one that ends the mail.
fn check_text(text: &str) {
    let mail = mail_of(letter("+447700900123", text));
    let body = body(&mail);
    let shown = body.split("\n\n----------------------------------------\nEnd of the text ").next().unwrap();
    assert_eq!(shown, text.replace("\r\n", "\n"), "{:?}", text.chars().take(40).collect::<String>());
    assert!(mail.is_ascii());
    for line in mail.split(|byte| *byte == b'\n') {
        assert!(line.len() <= 999, "a line of {}", line.len());
    }
    let is_lone = |pair: &[u8]| (pair[0] == b'\r') != (pair[1] == b'\n');
    assert!(!mail.windows(2).any(is_lone), "half an end of a line");
}

#[test]
fn texts_come_out_as_they_went_in() {
    let long = "Snow \u{2744}\u{fe0f} on Main St. ".repeat(65_536 / 24);
    for text in [
        "",
        " ",
        "Snow on Main St",
        "Two lines\nand a third\r\nwith both ends\n",
        "\u{1f6a8}\u{1f468}\u{200d}\u{1f469}\u{200d}\u{1f467} \u{2744}\u{fe0f}",
        "\u{5e9}\u{5dc}\u{5d2} \u{5d1}\u{5db}\u{5d1}\u{5d9}\u{5e9} 86555",
        "\u{202e}txet siht",
        "\u{627}\u{644}\u{62b}\u{644}\u{62c}",
        ".\r\nQUIT\r\n",
        "Snow\r\n.\r\nMAIL FROM:<x@example.org>",
        "lone \r end and nul \0 and bell \u{7}",
        "Subject: none\nTo: everybody@example.org",
        &"x".repeat(65_536),
        &long,
    ] {
        check_text(text);
    }
}

#[test]
fn nothing_that_a_sender_can_write_makes_a_header_or_a_line_of_the_block() {
    let odd = "x\r\nBcc: all@example.org\r\n\r\nDepartment: parking\u{2028}\u{202e}\u{85}";
    for member in ["from", "from_raw", "to", "to_raw", "keyword"] {
        let letter = with(json!({member: odd, "media": [{"url": odd, "content_type": odd}]}));
        let mail = mail_of(letter);
        let message = MessageParser::default().parse(&mail).unwrap();
        assert!(message.bcc().is_none(), "{member}");
        assert_eq!(names(&message).len(), 10, "{member}: {:?}", names(&message));
        let body = body(&mail);
        let departments = body.lines().filter(|line| line.starts_with("Department:")).count();
        assert_eq!(departments, 1, "{member}: {body}");
        assert!(!body.contains(['\u{2028}', '\u{202e}', '\u{85}']), "{member}: {body}");
    }
    let mail = mail_of(with(json!({"to": odd})));
    assert_eq!(MessageParser::default().parse(&mail).unwrap().subject(), Some("Text to our number for highways"));
    let mail = mail_of(with(json!({"from": "y".repeat(1 << 16)})));
    assert!(body(&mail).lines().all(|line| line.len() < 300));
}

#[test]
fn what_staff_should_know_is_said_in_words() {
    let id = "0192f0c1-2345-7abc-8def-0123456789ab";
    for (members, said) in [
        (json!({"flags": ["unverified"]}), "NOT PROVEN to come from the carrier"),
        (json!({"flags": ["possible_repeat"]}), "perhaps a repeat"),
        (json!({"flags": ["incomplete"], "parts": {"received": 2, "total": 3}}), "only 2 of 3 pieces"),
        (json!({"flags": ["part"], "parts": {"received": 1, "total": 3}}), "one piece of a long text of 3 pieces"),
        (json!({"flags": ["failover"]}), "another department's way"),
        (json!({"flags": ["translated"]}), "a word that this release does not know"),
        (json!({"relates_to": id}), "it belongs to the text 0192f0c1-2345-7abc-8def-0123456789ab."),
        (json!({"consent": "stop"}), "being contacted at all: stop."),
        (
            json!({"media": [{"url": "https://m.example/1", "content_type": "image/jpeg"}]}),
            "a picture or file came with it (image/jpeg): https://m.example/1",
        ),
        (json!({"from": "Snow Line"}), "From:       Snow Line\n"),
        (json!({"from": ""}), "From:       not told\n"),
    ] {
        let body = body(&mail_of(with(members)));
        assert!(body.contains(said), "{said}: {body}");
    }
    let late = Letter {
        event_type: "council.message.addendum.v1".to_owned(),
        ..with(json!({"relates_to": id, "flags": ["possible_repeat"]}))
    };
    let body = body(&mail_of(late));
    assert!(body.contains(&format!("a part that came late. It belongs to the text {id}.")), "{body}");
}

#[test]
fn bytes_that_are_no_text_are_shown_as_base64() {
    let raw = STANDARD.encode([0xff; 300]);
    let body = body(&mail_of(with(json!({"text": "", "raw": raw, "flags": ["undecodable"]}))));
    assert!(body.starts_with("(This text could not be read."), "{body}");
    let shown: String = body.split("as Base64:\n").nth(1).unwrap().split_whitespace().collect();
    assert_eq!(shown, raw);
}

#[test]
fn several_texts_in_one_mail_have_an_id_of_their_own_that_comes_again() {
    let letters = || vec![letter("+447700900123", "first"), letter("+447700900456", "second")];
    let mail = |letters, collected| composer().compose(&parcel(letters, Some(collected))).unwrap();
    let digest = mail(letters(), Collected::Digest);
    assert_eq!(digest, mail(letters(), Collected::Digest));
    let message = MessageParser::default().parse(&digest).unwrap();
    assert_eq!(message.subject(), Some("2 texts to 86555 for highways"));
    let id = message.message_id().unwrap().to_owned();
    assert!(id.ends_with("@sms.example.gov.uk") && letters().iter().all(|letter| !id.contains(&letter.id.to_string())));
    let body_of_digest = body(&digest);
    let (first, second) = (body_of_digest.find("first").unwrap(), body_of_digest.find("second").unwrap());
    assert!(first < second && body_of_digest.contains("======== 2 of 2 ========"), "{body_of_digest}");
    let one = mail(letters()[..1].to_vec(), Collected::Digest);
    assert_eq!(one, mail_of(letters().remove(0)), "a digest of one text is its mail");
    let notice = body(&mail(letters(), Collected::Beyond(60)));
    assert!(notice.starts_with("The limit of mails in an hour (60) is reached for highways."), "{notice}");
}
