//! Plivo: what each version signs, what is read. The signatures were made by another tool (Python's hmac).

use super::reading::{nothing, refused};
use super::*;
use crate::carrier::prove;
use crate::message::{Media, Number};

fn plivo() -> Account {
    account("plivo", Auth::Signature, &["hush"])
}

fn only(version: &'static str) -> Account {
    let mut account = plivo();
    account.keys.insert("signature_version", version.to_owned());
    account
}

fn v3(request: Request, signature: &str) -> Request {
    request.header("x-plivo-signature-v3", signature).header("x-plivo-signature-v3-nonce", "42")
}

fn v2(request: Request, signature: &str) -> Request {
    request.header("x-plivo-signature-v2", signature).header("x-plivo-signature-v2-nonce", "42")
}

fn with_query(query: &str, request: Request) -> Request {
    Request { query: query.to_owned(), ..request }
}

const V2: &str = "4gHj2n/GRCmCuvar+W+cd/PcJGWscvGH1zbR2w0uWE4=";
const FORM: &str = "Text=ice&From=1&To=2&MessageUUID=u&b=";
const V3_FORM: &str = "rYFZ09IVN8DVBMY2Sl4JiHHRFQ52uktXw21gcqVir5w=";

#[test]
fn the_third_version_covers_url_query_form_and_nonce() {
    for (request, signature) in [
        (
            Request::get("a=2&To=86555&From=447700900123&Text=snow+%26+ice&a=&a=1"),
            "Zd2JLYzcAuwcB5BQnRnfWfYXGCjV0CqjHk5ZWAXCtso=",
        ),
        (with_query("x=2&x=1", Request::post(FORM)), V3_FORM),
        (Request::post(""), "ivLuNVS+VTaqcISZm6RxygLJWuzqBFSwAGjj/5+ai4g="),
        (with_query("x=1", Request::post("")), "KuLpAiJn6/s2Tlj96J1RP45TFuNHq7aosrtfZfxWgpU="),
    ] {
        let signed = v3(request.clone(), signature);
        assert_eq!(signed.authenticate(&plivo()), Ok(()), "{signature}");
        let more = with_query(&format!("{}&y=1", request.query), signed.clone());
        assert_eq!(more.authenticate(&plivo()), Err(AuthFailure::Mismatch), "{signature}");
        let mut elsewhere = plivo();
        elsewhere.url.push('/');
        assert_eq!(signed.authenticate(&elsewhere), Err(AuthFailure::Mismatch), "{signature}");
    }
    let changed = v3(with_query("x=2&x=1", Request::post(FORM.replace("ice", "ace"))), V3_FORM);
    assert_eq!(changed.authenticate(&plivo()), Err(AuthFailure::Mismatch));
    let nonce = Request::post(FORM).header("x-plivo-signature-v3", V3_FORM);
    assert_eq!(nonce.authenticate(&plivo()), Err(AuthFailure::Missing));
}

#[test]
fn one_of_several_signatures_must_fit() {
    let request = || with_query("x=2&x=1", Request::post(FORM));
    let many = "AAAA,".repeat(16);
    for (header, believed) in [
        (format!("AAAA,{V3_FORM}"), true),
        (format!("{V3_FORM}, AAAA"), true),
        (format!("!,,{V3_FORM}"), true),
        (format!("{V3_FORM} AAAA"), false),
        (format!("{many}{V3_FORM}"), false),
        (V3_FORM.trim_end_matches('=').to_owned(), false),
        (String::new(), false),
    ] {
        assert_eq!(v3(request(), &header).authenticate(&plivo()).is_ok(), believed, "{header}");
    }
}

#[test]
fn the_older_versions_cover_less() {
    assert_eq!(v2(with_query("x=1", Request::post(FORM)), V2).authenticate(&plivo()), Ok(()));
    let v1 = |form: &str, query: &str| {
        with_query(query, Request::post(form)).header("x-plivo-signature", "0CMRR+LptyHnS91T6Ehn0ltrTrg=")
    };
    assert_eq!(v1("Text=ice&From=1", "x=1").authenticate(&plivo()), Ok(()));
    assert_eq!(v1("Text=ace&From=1", "x=1").authenticate(&plivo()), Err(AuthFailure::Mismatch));
    assert_eq!(v1("Text=ice&From=1", "").authenticate(&plivo()), Err(AuthFailure::Mismatch));
}

#[test]
fn the_newest_signature_decides_unless_the_account_says_which() {
    let both = v2(v3(Request::post(FORM), "AAAA"), V2);
    assert_eq!(both.authenticate(&plivo()), Err(AuthFailure::Mismatch));
    assert_eq!(both.authenticate(&only("v2")), Ok(()));
    assert_eq!(v2(Request::post(FORM), V2).authenticate(&only("v3")), Err(AuthFailure::Missing));
    assert_eq!(Request::post(FORM).authenticate(&plivo()), Err(AuthFailure::Missing));
    let twice = v2(v2(Request::post(FORM), V2), V2);
    assert_eq!(twice.authenticate(&plivo()), Err(AuthFailure::Missing));
    let key = plivo().carrier.contract().keys.first().expect("the key");
    assert!((key.check)("v3").is_ok() && (key.check)("4").is_err());
}

#[test]
fn what_no_version_covers_is_refused() {
    let json = || with_query("x=1", Request::post("{}")).header("content-type", "application/json");
    let signed_bare = v3(json(), "KuLpAiJn6/s2Tlj96J1RP45TFuNHq7aosrtfZfxWgpU=");
    assert_eq!(signed_bare.authenticate(&plivo()), Err(AuthFailure::Mismatch));
    assert_eq!(refused(&json(), &plivo()), "not a form");
    let many = v3(Request::post("a=1&".repeat(501)), V3_FORM);
    assert_eq!(many.authenticate(&plivo()), Err(AuthFailure::Mismatch));
}

#[test]
fn what_is_signed_here_is_believed_in_every_version() {
    for version in ["v1", "v2", "v3"] {
        let account = only(version);
        let request: Request = account.carrier.compose(&draft(), &account).expect("it signs").into();
        assert_eq!(request.authenticate(&account), Ok(()), "{version}");
        let mut signed = Signed {
            method: Method::GET,
            path_secret: None,
            query: "From=1&To=2&Text=a+b".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
        };
        prove(&mut signed, &account, now()).expect("it signs");
        assert_eq!(Request::from(signed).authenticate(&account), Ok(()), "{version}");
    }
}

#[test]
fn plivo_says_what_is_wrong() {
    for (body, reason) in [
        ("From=1&Text=x&MessageUUID=u", "To missing"),
        ("To=2&Text=x&MessageUUID=u", "From missing"),
        ("From=1&To=2&Text=x", "MessageUUID missing"),
        ("From=1&To=2&MessageUUID=u&Type=sms", "neither text nor media"),
    ] {
        assert_eq!(refused(&Request::post(body), &plivo()), reason, "{body}");
        assert_eq!(refused(&Request::get(body), &plivo()), reason, "{body}");
    }
    let mut numbered = plivo();
    numbered.number = Some(Number::normalise("86555", Country::GB));
    assert!(Request::post("From=1&Text=x&MessageUUID=u").texts(&numbered)[0].to.is_none());
}

#[test]
fn texts_pictures_and_statuses_are_told_apart() {
    let texts = Request::post("From=MTN&To=2&Text=caf%E9&MessageUUID=u&Units=3").texts(&plivo());
    assert_eq!((&texts[0].body, texts[0].segments), (&Body::Undecodable(b"caf\xe9".to_vec()), 3));
    let picture = "From=1&To=2&Type=mms&MessageUUID=u&Body=snow&MediaCount=2&Media1=https%3A%2F%2Fb&Media0=https%3A%2F%2Fa&Media99=x";
    let texts = Request::post(picture).texts(&plivo());
    let link = |url: &str| Media { url: url.to_owned(), content_type: None };
    assert_eq!(texts[0].media, [link("https://a"), link("https://b")]);
    assert_eq!(text_of(&texts[0].body), Some("snow"));
    let silent = Request::post("From=1&To=2&Text=&MessageUUID=u&Media0=a&Units=0").texts(&plivo());
    assert_eq!((text_of(&silent[0].body), silent[0].segments), (Some(""), 1));
    let status = "From=1&To=2&Status=delivered&MessageUUID=u&Units=1&ErrorCode=";
    assert_eq!(nothing(&Request::post(status), &plivo()), "status");
}
