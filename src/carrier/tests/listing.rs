//! The carriers' own lists of received texts: what is asked, what is read, what each text becomes.
//!
//! The answers are in `tests/carriers/listings`, in the form of the carriers' documents; values are ours.

use super::*;
use crate::carrier::{ApiAccess, Listed, Listing, Page, Query, Unreadable, relay};
use crate::message::{Media, Number};

const SID: &str = "AC0123456789abcdef0123456789abcdef";
/// In the form of the documents' example.
const NOTIFY_KEY: &str = "my_test-key-26785a09-ab16-4eb0-8407-a37497a57506-3d844edf-8d35-48ac-975b-e847b4f122b0";
const TWILIO: [&[u8]; 3] = [
    include_bytes!("../../../tests/carriers/listings/twilio-page-0.json"),
    include_bytes!("../../../tests/carriers/listings/twilio-page-1.json"),
    include_bytes!("../../../tests/carriers/listings/twilio-media.json"),
];
const NOTIFY: [&[u8]; 2] = [
    include_bytes!("../../../tests/carriers/listings/notify-page-0.json"),
    include_bytes!("../../../tests/carriers/listings/notify-page-1.json"),
];

fn since() -> Timestamp {
    "2026-11-20T10:00:00Z".parse().expect("a time of the test")
}

fn twilio() -> Account {
    account("twilio", Auth::Signature, &["12345"])
}

fn notify() -> Account {
    account("govuk-notify", Auth::Bearer, &["a-token-of-ours"])
}

fn listing(account: &Account) -> &'static dyn Listing {
    account.carrier.listing().expect("it lists texts")
}

fn access(account: &Account, key: &str, numbers: &[&str]) -> ApiAccess {
    ApiAccess {
        url: listing(account).url().to_owned(),
        account: Some(SID.to_owned()),
        user: None,
        key: Secret::new(key.as_bytes()),
        numbers: numbers.iter().map(|number| Number::normalise(number, Country::GB)).collect(),
        authorities: None,
    }
}

fn read(account: &Account, access: &ApiAccess, answer: &[u8]) -> Result<Page, Unreadable> {
    listing(account).read(&Query { account, access, since: since() }, answer)
}

fn ids(page: &Page) -> Vec<&str> {
    page.texts.iter().map(|text| &text.id[text.id.len() - 2..]).collect()
}

/// The text as the webhook's reader gives it, after the account's own proof has been checked.
fn relayed(account: &Account, access: &ApiAccess, text: &Listed) -> Inbound {
    let signed = relay(listing(account), text, account, access, now()).expect("the account has a secret");
    let request = Request::from(signed);
    assert_eq!(request.authenticate(account), Ok(()));
    request.texts(account).remove(0)
}

#[test]
fn twilio_is_asked_for_each_number_from_the_day_on() {
    let account = twilio();
    let asked = |numbers: &[&str]| listing(&account).first(&access(&account, "token", numbers), since());
    let path = format!("/2010-04-01/Accounts/{SID}/Messages.json");
    assert_eq!(asked(&[]), [format!("{path}?DateSent%3E=2026-11-20&PageSize=1000")]);
    assert_eq!(
        asked(&["86555", "07700900555"]),
        [
            format!("{path}?To=86555&DateSent%3E=2026-11-20&PageSize=1000"),
            format!("{path}?To=%2B447700900555&DateSent%3E=2026-11-20&PageSize=1000"),
        ]
    );
}

#[test]
fn twilios_pages_give_what_was_received_since_and_the_next_page() {
    let account = twilio();
    let access = access(&account, "token", &["86555"]);
    let page = read(&account, &access, TWILIO[0]).expect("a page");
    assert_eq!((ids(&page), page.unfinished), (vec!["05", "03"], 1));
    assert!(page.next.is_some_and(|next| next.ends_with("Page=1&PageToken=PASM00000000000000000000000000000002")));
    let page = read(&account, &access, TWILIO[1]).expect("a page");
    assert_eq!((ids(&page), page.next.as_deref()), (vec!["02"], None));
    let elsewhere = ApiAccess { numbers: vec![Number::normalise("86556", Country::GB)], ..access };
    assert!(read(&account, &elsewhere, TWILIO[0]).expect("a page").texts.is_empty());
}

#[test]
fn a_next_page_leads_nowhere_else() {
    let account = twilio();
    let access = access(&account, "token", &[]);
    for next in ["https://example.org/", "//example.org/", "/2010-04-01/Accounts/AC9/Messages.json?Page=1", "", "/"] {
        let answer = serde_json::json!({ "messages": [], "next_page_uri": next }).to_string();
        assert!(read(&account, &access, answer.as_bytes()).is_err(), "{next}");
    }
}

#[test]
fn a_listed_text_becomes_the_webhook_it_would_have_been() {
    let account = twilio();
    let access = access(&account, "token", &[]);
    let mut page = read(&account, &access, TWILIO[0]).expect("a page");
    let picture = &mut page.texts[1];
    let media = format!("/2010-04-01/Accounts/{SID}/Messages/MM00000000000000000000000000000003/Media");
    assert_eq!(picture.more.as_deref(), Some(&format!("{media}.json")[..]));
    listing(&account).complete(&access, picture, TWILIO[2]).expect("a list of media");
    let inbound = relayed(&account, &access, picture);
    let link = |sid: &str, content_type: &str| Media {
        url: format!("https://api.twilio.com{media}/{sid}"),
        content_type: Some(content_type.to_owned()),
    };
    let links = [
        link("ME00000000000000000000000000000001", "image/jpeg"),
        link("ME00000000000000000000000000000002", "video/mp4"),
    ];
    assert_eq!(inbound.media, links);
    assert_eq!(inbound.carrier_message_id.as_deref(), Some("MM00000000000000000000000000000003"));
    assert_eq!((inbound.from.as_str(), inbound.to.as_ref().map(|to| to.as_str())), ("+447700900102", Some("86555")));
    assert_eq!(text_of(&inbound.body), Some("Pothole & puddle ❄"));
    let long = relayed(&account, &access, &read(&account, &access, TWILIO[1]).expect("a page").texts[0]);
    assert_eq!((long.segments, long.media.len()), (2, 0));
}

#[test]
fn notifys_pages_follow_the_last_text_until_one_is_too_old() {
    let account = notify();
    let access = access(&account, NOTIFY_KEY, &[]);
    assert_eq!(listing(&account).first(&access, since()), ["/v2/received-text-messages"]);
    let page = read(&account, &access, NOTIFY[0]).expect("a page");
    assert_eq!(ids(&page), ["04", "03"]);
    let next = "/v2/received-text-messages?older_than=3fa85f64-5717-4562-b3fc-2c963f66af03";
    assert_eq!(page.next.as_deref(), Some(next));
    let page = read(&account, &access, NOTIFY[1]).expect("a page");
    assert_eq!((ids(&page), page.next.as_deref()), (vec!["02"], None));
    let empty = read(&account, &access, br#"{"received_text_messages":[],"links":{"current":"x","next":"y"}}"#);
    assert_eq!(empty.expect("a page").next, None);
    let elsewhere = ApiAccess { numbers: vec![Number::normalise("07700900556", Country::GB)], ..access };
    let page = read(&account, &elsewhere, NOTIFY[0]).expect("a page");
    assert!(page.texts.is_empty() && page.next.is_some());
}

#[test]
fn notifys_texts_keep_their_time_and_what_is_no_text() {
    let account = notify();
    let access = access(&account, NOTIFY_KEY, &[]);
    let page = read(&account, &access, NOTIFY[0]).expect("a page");
    let inbound = relayed(&account, &access, &page.texts[0]);
    assert_eq!(text_of(&inbound.body), Some("Snow again"));
    assert_eq!(inbound.sent_at, "2026-11-20T11:30:00.000004Z".parse().ok());
    assert_eq!(
        (inbound.from.as_str(), inbound.to.as_ref().map(|to| to.as_str())),
        ("447700900101", Some("07700900555"))
    );
    let broken = relayed(&account, &access, &page.texts[1]);
    assert_eq!(broken.body, Body::Undecodable(b"caf\xed\xa0\xbd".to_vec()));
}

#[test]
fn what_is_no_list_is_refused() {
    for account in [twilio(), notify()] {
        let access = access(&account, NOTIFY_KEY, &[]);
        for answer in [&b""[..], b"{}", b"[]", b"<html>", br#"{"messages":[{}],"received_text_messages":[{}]}"#] {
            assert!(read(&account, &access, answer).is_err(), "{}", answer.escape_ascii());
        }
    }
}

#[test]
fn access_that_cannot_work_is_refused_by_key() {
    let notify_key = Secret::new(NOTIFY_KEY.as_bytes());
    let other_key = Secret::new(*b"x-26785a09-ab16-4eb0-8407-a37497a57506");
    for (account, sid, key, wrong) in [
        (twilio(), Some(SID), None, None),
        (twilio(), None, None, Some("account")),
        (twilio(), Some("SK0123456789abcdef0123456789abcdef"), None, Some("account")),
        (twilio(), Some("AC/../../x"), None, Some("account")),
        (notify(), None, None, None),
        (notify(), None, Some(&notify_key), None),
        (notify(), None, Some(&other_key), Some("key")),
    ] {
        let checked = listing(&account).check(sid, key);
        assert_eq!(checked.err().map(|(name, _)| name), wrong, "{sid:?}");
    }
}

#[test]
fn twilio_is_asked_with_basic_and_notify_with_a_token_of_the_moment() {
    let account = twilio();
    let mut own = access(&account, "token", &[]);
    // The pairs were encoded by another tool: printf | base64.
    let expected = "Basic QUMwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjp0b2tlbg==";
    assert_eq!(listing(&account).authorization(&own, now()), expected);
    own.user = Some("SK1".to_owned());
    assert_eq!(listing(&account).authorization(&own, now()), "Basic U0sxOnRva2Vu");
    // Encoded and signed by another tool: openssl dgst -sha256 -hmac, the second half of the key.
    let account = notify();
    let token = listing(&account).authorization(&access(&account, NOTIFY_KEY, &[]), now());
    assert_eq!(token, include_str!("../../../tests/carriers/listings/notify-token.txt").trim_end());
}

#[test]
fn debug_shows_no_listed_number_word_or_key() {
    let account = notify();
    let access = access(&account, "hush", &["86555"]);
    let shown = format!("{:?} {access:?}", read(&account, &access, NOTIFY[0]).expect("a page"));
    let shown_all = format!("{shown} {:?}", read(&account, &self::access(&account, "hush", &[]), NOTIFY[0]));
    for hidden in ["hush", "86555", "447700", "07700", "Snow"] {
        assert!(!shown_all.contains(hidden), "{shown_all}");
    }
}
