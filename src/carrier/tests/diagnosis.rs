//! What is told of captured requests: the mistakes that operators make, and nothing that is private.

use super::authentication::secret_of;
use super::*;
use crate::carrier::{CARRIERS, Capture, Diagnosis, Finding, Names, Question, diagnose};

const CALLED: &str = "https://sms.example.gov.uk/inbound/test";

/// The request as it would be on the wire, to the path of `url`.
fn raw(signed: &Signed, url: &str) -> Vec<u8> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let secret = signed.path_secret.as_ref().map(|secret| format!("/{secret}")).unwrap_or_default();
    let query = if signed.query.is_empty() { String::new() } else { format!("?{}", signed.query) };
    let host = authority.rsplit('@').next().unwrap_or_default();
    let mut head = format!("{} {path}{secret}{query} HTTP/1.1\r\nHost: {host}\r\n", signed.method);
    for (name, value) in &signed.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n\r\n", signed.body.len()));
    [head.as_bytes(), &signed.body].concat()
}

fn signed(account: &Account) -> Signed {
    account.carrier.compose(&draft(), account).expect("the account has a secret")
}

fn ask(account: &Account, others: &[Account], raw: &[u8], at: Timestamp) -> Diagnosis {
    let capture = Capture::parse(raw).expect("a request");
    diagnose(&Question { account, others, capture: &capture, peer: None, at })
}

fn twilio() -> Account {
    account("twilio", Auth::Signature, &["12345"])
}

fn generic() -> Account {
    account("generic", Auth::Signature, &[GENERIC_SECRET])
}

/// What is found of a request signed for `called` and pushed there, where the settings say `configured`.
fn of_urls(account: &Account, called: &str, configured: &str) -> Diagnosis {
    let signed = signed(&Account { url: called.to_owned(), ..account.clone() });
    let account = Account { url: configured.to_owned(), ..account.clone() };
    ask(&account, &[], &raw(&signed, called), now())
}

#[test]
fn a_wrong_url_in_the_settings_is_told_with_the_right_one() {
    for (called, configured, differs) in [
        (CALLED, "http://sms.example.gov.uk/inbound/test", &["scheme"][..]),
        ("http://sms.example.gov.uk/inbound/test", CALLED, &["scheme"]),
        (CALLED, "https://localhost/inbound/test", &["host"]),
        (CALLED, "http://localhost:8080/inbound/test", &["scheme", "host", "port"]),
        (CALLED, "https://SMS.example.gov.uk/inbound/test", &["host"]),
        ("https://sms.example.gov.uk:8443/inbound/test", CALLED, &["port"]),
        (CALLED, "https://sms.example.gov.uk/inbound/test/", &["slash at the end"]),
        ("https://sms.example.gov.uk/inbound/test/", CALLED, &["slash at the end"]),
        ("https://sms.example.gov.uk/sms/inbound/test", CALLED, &["path"]),
        (CALLED, "https://sms.example.gov.uk", &["path"]),
    ] {
        let found = of_urls(&twilio(), called, configured);
        assert_eq!(found.result, Err(AuthFailure::Mismatch), "{called} {configured}");
        let url = Finding::Url { url: called.to_owned(), differs: differs.to_vec() };
        assert!(found.findings.contains(&url), "{called} {configured}: {:?}", found.findings);
        assert_eq!(found.secret, Some(1));
    }
}

#[test]
fn every_carrier_that_signs_the_url_is_told_of_a_wrong_one() {
    let mut covered = Vec::new();
    for carrier in CARRIERS {
        let name = carrier.contract().name;
        if !carrier.contract().signs {
            continue;
        }
        let account = account(name, Auth::Signature, &[secret_of(name, Auth::Signature)]);
        let Ok(request) = carrier.compose(&draft(), &account) else { continue };
        if ask(&account, &[], &raw(&request, CALLED), now()).covers_url != Some(true) {
            continue;
        }
        covered.push(name);
        for configured in ["http://sms.example.gov.uk/inbound/test", "https://10.0.0.1/inbound/test"] {
            let wrong = Account { url: configured.to_owned(), ..account.clone() };
            let found = ask(&wrong, &[], &raw(&request, CALLED), now());
            let urls: Vec<_> = found.findings.iter().filter_map(Finding::url).collect();
            assert_eq!(urls.len(), 1, "{name} {configured}: {:?}", found.findings);
            let mended = Account { url: urls[0].to_owned(), ..account.clone() };
            assert_eq!(ask(&mended, &[], &raw(&request, CALLED), now()).result, Ok(()), "{name} {configured}");
        }
    }
    assert!(covered.contains(&"twilio"), "{covered:?}");
    assert!(!covered.contains(&"generic"), "its signature does not cover the URL");
}

#[test]
fn the_host_that_a_proxy_was_called_by_is_tried_and_so_are_credentials() {
    let account = Account { url: "https://10.1.2.3:8080/inbound/test".to_owned(), ..twilio() };
    let request = signed(&Account { url: CALLED.to_owned(), ..twilio() });
    let behind_proxy = String::from_utf8(raw(&request, "http://10.1.2.3:8080/inbound/test")).expect("text");
    let behind_proxy = behind_proxy.replace("Host:", "X-Forwarded-Host: sms.example.gov.uk\r\nHost:");
    let found = ask(&account, &[], behind_proxy.as_bytes(), now());
    let url = Finding::Url { url: CALLED.to_owned(), differs: vec!["host", "port"] };
    assert_eq!(found.findings, [url]);

    let mut request = signed(&Account { url: CALLED.replace("//", "//council:hush-hush@"), ..twilio() });
    request.headers.push(("authorization".to_owned(), "Basic Y291bmNpbDpodXNoLWh1c2g=".to_owned()));
    let found = ask(&Account { url: CALLED.to_owned(), ..twilio() }, &[], &raw(&request, CALLED), now());
    let shown = CALLED.replace("//", "//…@");
    assert_eq!(found.findings, [Finding::Url { url: shown, differs: vec!["user and password"] }]);
}

#[test]
fn what_fits_is_said_to_fit_and_by_which_secret() {
    for (account, secrets) in [
        (twilio(), ["old-secret", "12345"]),
        (generic(), [GENERIC_SECRET_2, GENERIC_SECRET]),
        (account("kannel", Auth::Query, &["new-secret"]), ["old-secret", "new-secret"]),
        (account("kannel", Auth::Path, &["new-secret"]), ["old-secret", "new-secret"]),
        (account("govuk-notify", Auth::Bearer, &["new-secret"]), ["old-secret", "new-secret"]),
    ] {
        let request = raw(&signed(&account), CALLED);
        let secrets = secrets.map(|secret| Secret::new(secret.as_bytes())).to_vec();
        let found = ask(&Account { secrets, ..account }, &[], &request, now());
        assert_eq!((found.result, found.secret, found.findings), (Ok(()), Some(2), vec![]));
    }
}

#[test]
fn a_body_or_query_changed_on_its_way_is_told() {
    let (twilio, generic) = (twilio(), generic());
    let form = signed(&twilio);
    let json = signed(&generic);
    let body = |of: &Signed, body: &[u8]| Signed { body: body.to_vec(), ..of.clone() };
    let lines = {
        let mut lines = body(&json, b"{\n}\n");
        lines.headers.retain(|(name, _)| name == "content-type");
        crate::carrier::prove(&mut lines, &generic, now()).expect("the account has a secret");
        lines
    };
    for (account, request, finding) in [
        (
            &twilio,
            body(&form, &[&form.body, &b"&utm_source=proxy"[..]].concat()),
            Finding::Parameter(Some("utm_source".to_owned())),
        ),
        (&twilio, body(&form, &[&form.body, &b"&447700900123=1"[..]].concat()), Finding::Parameter(None)),
        (&twilio, Signed { query: "added=1".to_owned(), ..form.clone() }, Finding::Query("without the query")),
        (
            &generic,
            body(&json, &[&json.body, &b"\n"[..]].concat()),
            Finding::Body("without the blanks at the end of the body"),
        ),
        (&generic, body(&lines, b"{\n}"), Finding::Body("with a line break at the end of the body")),
        (&generic, body(&lines, b"{\r\n}\r\n"), Finding::Body("with bare line breaks in the body")),
        (&generic, body(&json, b"{}"), Finding::Nothing),
        (&twilio, body(&form, b"Body=forged"), Finding::Nothing),
    ] {
        let found = ask(account, &[], &raw(&request, CALLED), now());
        assert_eq!((found.result, &found.findings[..]), (Err(AuthFailure::Mismatch), &[finding][..]));
    }
}

#[test]
fn a_capture_that_is_not_whole_is_told() {
    let mut cut = raw(&signed(&generic()), CALLED);
    cut.truncate(cut.len() - 3);
    let found = ask(&generic(), &[], &cut, now());
    assert_eq!(found.findings, [Finding::Cut(3), Finding::Nothing]);
    let longer = [&raw(&signed(&generic()), CALLED)[..], b"\r\n"].concat();
    assert_eq!(ask(&generic(), &[], &longer, now()).result, Ok(()), "what an editor adds is no part of the body");
    let small = Account { body_max: 10, ..generic() };
    let request = signed(&generic());
    let bytes = request.body.len();
    assert_eq!(ask(&small, &[], &raw(&request, CALLED), now()).findings, [Finding::TooLarge { bytes, max: 10 }]);
}

#[test]
fn how_far_a_time_is_off_is_told() {
    for (seconds, found) in [(300, None), (301, Some(301)), (86_400, Some(86_400)), (-300, None), (-301, Some(-301))] {
        let at = Timestamp::from_second(NOW + seconds).expect("a time");
        let told = ask(&generic(), &[], &raw(&signed(&generic()), CALLED), at);
        let time = |seconds| Finding::Time { seconds, window: std::time::Duration::from_secs(300) };
        assert_eq!(told.findings, found.map(time).into_iter().collect::<Vec<_>>(), "{seconds}");
        assert_eq!(told.secret, Some(1));
        assert_eq!(told.result.is_err(), found.is_some());
    }
}

#[test]
fn a_time_that_is_off_is_told_beside_what_else_differs() {
    let mut request = signed(&generic());
    request.body.push(b'\n');
    let at = Timestamp::from_second(NOW + 1_000).expect("a time");
    let found = ask(&generic(), &[], &raw(&request, CALLED), at);
    let window = std::time::Duration::from_secs(300);
    let body = Finding::Body("without the blanks at the end of the body");
    assert_eq!(found.findings, [body, Finding::Time { seconds: 1_000, window }]);
}

#[test]
fn a_proof_that_is_missing_or_of_another_kind_is_told() {
    let without = |of: &Account, name: &str| {
        let mut request = signed(of);
        request.headers.retain(|(header, _)| header != name);
        raw(&request, CALLED)
    };
    let twice = |of: &Account, name: &str| {
        let mut request = signed(of);
        request.headers.push((name.to_owned(), "again".to_owned()));
        raw(&request, CALLED)
    };
    let path = account("kannel", Auth::Path, &["user:pass-word"]);
    let as_other = |auth| raw(&signed(&Account { auth, ..path.clone() }), CALLED);
    let bearer = account("govuk-notify", Auth::Bearer, &["a-token"]);
    for (account, request, findings) in [
        (
            &twilio(),
            without(&twilio(), "x-twilio-signature"),
            vec![Finding::Header { name: "x-twilio-signature", count: 0 }],
        ),
        (
            &twilio(),
            twice(&twilio(), "x-twilio-signature"),
            vec![Finding::Header { name: "x-twilio-signature", count: 2 }],
        ),
        (&generic(), without(&generic(), "webhook-id"), vec![Finding::Elsewhere]),
        (&bearer, without(&bearer, "authorization"), vec![Finding::Header { name: "authorization", count: 0 }]),
        (&path, as_other(Auth::Query), vec![Finding::Elsewhere, Finding::Auth(Auth::Query)]),
        (&path, as_other(Auth::Basic), vec![Finding::Elsewhere, Finding::Auth(Auth::Basic)]),
    ] {
        let found = ask(account, &[], &request, now());
        assert_eq!((found.result, found.findings), (Err(AuthFailure::Missing), findings));
    }
}

#[test]
fn another_accounts_secret_or_path_is_told() {
    let other = Account {
        name: AccountName::parse("other").expect("a name"),
        ..account("twilio", Auth::Signature, &["67890"])
    };
    let others = [other.clone()];
    // The other account's secret, for this account's URL; and for the URL as it should be.
    for configured in [CALLED, "http://localhost/inbound/test"] {
        let request = raw(&signed(&Account { url: CALLED.to_owned(), ..other.clone() }), CALLED);
        let found = ask(&Account { url: configured.to_owned(), ..twilio() }, &others, &request, now());
        assert_eq!(found.findings, [Finding::OtherAccount(other.name.clone())], "{configured}");
    }
    let elsewhere = CALLED.replace("test", "other");
    let request = raw(&signed(&Account { url: elsewhere.clone(), ..other.clone() }), &elsewhere);
    let found = ask(&twilio(), &others, &request, now());
    let account = AccountName::parse("test").expect("a name");
    let path = Finding::Path { account, other: Some(other.name.clone()) };
    assert_eq!(found.findings, [path, Finding::OtherAccount(other.name)]);
}

#[test]
fn what_is_refused_whatever_the_proof_is_told_too() {
    let twilio = Account { url: format!("{CALLED}/stray-word"), ..twilio() };
    let found = ask(&twilio, &[], &raw(&signed(&twilio), &twilio.url), now());
    assert_eq!((found.result, found.secret), (Err(AuthFailure::Mismatch), Some(1)));
    assert_eq!(found.findings, [Finding::PathSecret]);

    let put = String::from_utf8(raw(&signed(&generic()), CALLED)).expect("text").replacen("POST", "PUT", 1);
    assert_eq!(ask(&generic(), &[], put.as_bytes(), now()).findings, [Finding::Method]);

    let listed = Account { allow: vec!["192.0.2.0/24".parse().expect("a network")], ..generic() };
    let request = raw(&signed(&generic()), CALLED);
    let capture = Capture::parse(&request).expect("a request");
    for (peer, result, findings) in [
        (None, Ok(()), vec![Finding::Address(None)]),
        (Some("192.0.2.7"), Ok(()), vec![]),
        (Some("198.51.100.7"), Err(AuthFailure::Address), vec![Finding::Address("198.51.100.7".parse().ok())]),
    ] {
        let peer = peer.map(|peer| peer.parse().expect("an address"));
        let found = diagnose(&Question { account: &listed, others: &[], capture: &capture, peer, at: now() });
        assert_eq!((found.result, found.secret, found.findings), (result, Some(1), findings));
    }
}

#[test]
fn captures_are_read_however_they_were_made() {
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    for (raw, body, missing) in [
        ("POST /x?a=1 HTTP/1.1\r\nHost: h\r\n\r\nbody", "body", 0),
        ("POST /x?a=1 HTTP/1.1\nHost: h\n\nbody", "body", 0),
        ("\r\n\nPOST /x?a=1 HTTP/1.1\nHost: h\n\n", "", 0),
        ("POST /x?a=1 HTTP/1.1\nHost: h", "", 0),
        ("POST http://h/x?a=1#f HTTP/1.1\nHost: proxy\n\nbody", "body", 0),
        ("POST /x?a=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nbody", "bo", 0),
        ("POST /x?a=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nbody", "body", 5),
        (&format!("POST /x?a=1 HTTP/1.1\r\nHost: h\r\n{chunked}2\r\nbo\r\n2;x=y\r\ndy\r\n0\r\n\r\n"), "body", 0),
        (&format!("POST /x?a=1 HTTP/1.1\r\nHost: h\r\n{chunked}body"), "body", 0),
        (&format!("POST /x?a=1 HTTP/1.1\r\nHost: h\r\n{chunked}5\r\nbody"), "5\r\nbody", 0),
    ] {
        let capture = Capture::parse(raw.as_bytes()).unwrap_or_else(|error| panic!("{raw}: {error}"));
        assert_eq!((&capture.path[..], &capture.query[..]), ("/x", "a=1"), "{raw}");
        assert_eq!(capture.headers.get("host").map(HeaderValue::as_bytes), Some(&b"h"[..]), "{raw}");
        assert_eq!((String::from_utf8_lossy(&capture.body).as_ref(), capture.missing), (body, missing), "{raw}");
    }
    for raw in [
        "",
        "\n\n",
        "POST /x",
        "POST /x HTTP/1.1 more",
        "POST  HTTP/1.1",
        "PO:ST /x HTTP/1.1",
        "POST x HTTP/1.1",
        "POST /x HTTP/1.1\nno colon\n\n",
        "POST /x HTTP/1.1\nname\u{e9}: 1\n\n",
        "POST /x HTTP/1.1\na: \u{1}\n\n",
    ] {
        assert!(Capture::parse(raw.as_bytes()).is_err(), "{raw:?}");
    }
}

#[test]
fn names_are_shown_and_what_may_be_more_is_counted() {
    let names = |content_type: &str, body: &str| {
        let raw = format!("POST /x?{body} HTTP/1.1\ncontent-type: {content_type}\n\n{body}");
        Capture::parse(raw.as_bytes()).expect("a request")
    };
    let form = "application/x-www-form-urlencoded; charset=utf-8";
    let shown = |shown: &[&str], hidden| Names { shown: shown.iter().map(|name| (*name).to_owned()).collect(), hidden };
    let capture = names(form, "To=1&Body=x&To=2&Snow&447700900123=1&Snow+now=2&media%5B0%5D=u");
    assert_eq!(capture.body_names(), shown(&["Body", "To", "media[0]"], 3));
    assert_eq!(capture.query_names(), capture.body_names());
    assert_eq!(
        names("application/json", r#"{"data":{"text":"x"},"type":1}"#).body_names(),
        shown(&["data", "type"], 0)
    );
    assert_eq!(names("application/json", r#"[{"id":1}]"#).body_names(), shown(&["id"], 0));
    assert_eq!(names("text/plain", "Snow=now").body_names(), Names::default(), "the body is the text");
}

#[test]
fn nothing_private_is_told() {
    let account = Account {
        url: "https://user:hush-hush@localhost/inbound/test".to_owned(),
        ..account("twilio", Auth::Signature, &["hush-secret"])
    };
    let mut request = signed(&account);
    request.query = "Body=Snow&From=%2B447700900123".to_owned();
    request.headers.push(("authorization".to_owned(), "Basic dXNlcjpodXNoLWh1c2g=".to_owned()));
    let path = account_with_path_secret();
    for (account, raw) in [(&account, raw(&request, CALLED)), (&path, raw(&signed(&path), CALLED))] {
        let capture = Capture::parse(&raw).expect("a request");
        let found = diagnose(&Question { account, others: &[], capture: &capture, peer: None, at: now() });
        let sentences: Vec<_> = found.findings.iter().map(ToString::to_string).collect();
        let (names, shown) = (capture.body_names(), capture.shown_path(&account.name));
        let told = format!("{found:?} {sentences:?} {names:?} {:?} {shown} {capture:?}", capture.query_names());
        for hidden in ["hush", "7700900123", "Snow", "Main", "86555"] {
            assert!(!told.contains(hidden), "{hidden}: {told}");
        }
    }
}

fn account_with_path_secret() -> Account {
    account("kannel", Auth::Path, &["hush-in-the-path"])
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(200))]

    #[test]
    fn any_bytes_are_told_about_without_a_panic(
        head in "(GET|POST) /inbound/test(/[a-z]{0,3})?(\\?[a-z=&%+]{0,8})? HTTP/1\\.1\n([A-Za-z-]{1,12}: [ -~]{0,12}\n){0,4}",
        signature in "[ -~]{0,30}",
        body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60),
    ) {
        let head = format!("{head}x-twilio-signature: {signature}\nauthorization: {signature}\nwebhook-signature: {signature}\n\n");
        let raw = [head.as_bytes(), &body].concat();
        for account in [twilio(), generic(), account_with_path_secret()] {
            proptest::prop_assert!(ask(&account, &[], &raw, now()).result.is_err());
        }
        drop(Capture::parse(&body));
    }
}
