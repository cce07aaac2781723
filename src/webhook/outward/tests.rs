//! Against a server of the test that has the name it is asked by: what is asked, how often, and what a
//! failure leaves behind.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::carrier::certificates::tests::made;
use crate::fetch::tests::tls_for;

const HOST: &str = "sns.eu-west-2.amazonaws.com";
const URL: &str = "https://sns.eu-west-2.amazonaws.com/SimpleNotificationService-1.pem";

/// What asks a server that has `name`, and how often that has answered.
pub(crate) async fn outward(name: &str, status: u16, body: &str) -> (Outward, Arc<AtomicUsize>) {
    let answer = format!("HTTP/1.1 {status} \r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (tls, authority) = tls_for(name);
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a client");
            // A client that does not believe us ends the handshake.
            let Ok(mut stream) = tls.accept(stream).await else { continue };
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("a head"));
            }
            counted.fetch_add(1, Ordering::SeqCst);
            stream.write_all(answer.as_bytes()).await.expect("a client that reads");
            stream.shutdown().await.expect("a client that reads");
        }
    });
    let fetcher = Fetcher::towards(address, Some(authority.as_bytes()), LIMITS).expect("a client");
    (Outward::new(fetcher), asked)
}

fn now() -> Timestamp {
    "2023-11-14T22:13:20Z".parse().expect("a time of the test")
}

#[tokio::test]
async fn many_who_want_one_certificate_ask_once() {
    let (outward, asked) = outward(HOST, 200, &made().0).await;
    let held = Certificates::default();
    let brought = join_all((0..8).map(|_| outward.bring(&held, URL, now()))).await;
    assert!(brought.iter().all(Result::is_ok), "{brought:?}");
    assert!(held.find(URL, now()).is_some());
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    assert!(outward.bring(&held, URL, now()).await.is_ok());
    assert_eq!(asked.load(Ordering::SeqCst), 1, "what is held is not asked for");
}

#[tokio::test]
async fn a_failure_is_not_repeated_at_once_and_holds_nothing() {
    for (name, status, body, said, questions) in [
        (HOST, 403, "", "the answer is 403 Forbidden", 1),
        (HOST, 301, "", "the answer is a redirect (301 Moved Permanently), which is not followed", 1),
        (HOST, 200, "no certificate", "it is no certificate in PEM", 1),
        ("sns.eu-west-2.amazonaws.com.example.org", 200, made().0.as_str(), "no connection", 0),
    ] {
        let (outward, asked) = outward(name, status, body).await;
        let held = Certificates::default();
        let failure = outward.bring(&held, URL, now()).await.expect_err("it cannot be had");
        assert!(failure.to_string().starts_with(said), "{failure}");
        let failure = outward.bring(&held, URL, now()).await.expect_err("it cannot be had");
        assert!(matches!(failure, Failure::Lately), "{failure}");
        assert_eq!(asked.load(Ordering::SeqCst), questions, "{said}");
        assert!(held.find(URL, now()).is_none());
    }
}

#[tokio::test]
async fn an_outage_leaves_what_was_held_in_force() {
    let (outward, asked) = outward(HOST, 500, "").await;
    let (held, tomorrow) = (Certificates::default(), now() + Duration::from_secs(24 * 3600));
    held.hold(URL, Certificate::parse(made().0.as_bytes()).expect("a certificate"), now());
    assert!(held.find(URL, tomorrow).is_none());
    outward.bring(&held, URL, tomorrow).await.expect("the old one does");
    assert!(held.find(URL, tomorrow).is_some());
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn nothing_is_asked_for_beside_a_folder() {
    let (outward, asked) = outward(HOST, 200, &made().0).await;
    let held = Certificates::of_folder([]);
    let failure = outward.bring(&held, URL, now()).await.expect_err("it is not in the folder");
    assert!(matches!(failure, Failure::NotInFolder), "{failure}");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn made_up_names_are_forgotten_and_not_told_without_end() {
    let (outward, _) = outward(HOST, 404, "").await;
    let told = (0..100).filter(|number| outward.failed(&format!("https://{HOST}/{number}.pem"))).count();
    assert_eq!((told, outward.failures().len()), (FAILURES_MAX, FAILURES_MAX));
    assert!(outward.failed_lately(&format!("https://{HOST}/99.pem")));
}

#[tokio::test]
async fn few_certificates_are_asked_for_at_once_and_few_wait() {
    let (outward, _) = outward(HOST, 200, "").await;
    let url = |number: usize| format!("https://{HOST}/{number}.pem");
    let turns: Vec<_> = (0..URLS_MAX).map(|number| outward.turn(&url(number)).expect("a turn")).collect();
    assert!(outward.turn(&url(URLS_MAX)).is_none());
    let waiting: Vec<_> = std::iter::from_fn(|| outward.turn(&url(0))).take(WAITING_MAX + 1).collect();
    assert_eq!(waiting.len(), WAITING_MAX - 1, "and the one whose turn it is");
    drop((turns, waiting));
    assert!(outward.turn(&url(URLS_MAX)).is_some(), "who has gone leaves room");
}

#[tokio::test]
async fn a_subscription_is_confirmed_by_asking_its_url() {
    for (status, confirmed) in [(200, true), (404, false)] {
        let (outward, asked) = outward(HOST, status, "<ConfirmSubscriptionResponse/>").await;
        let url = format!("https://{HOST}/?Action=ConfirmSubscription&Token=1");
        assert_eq!(outward.confirm(&url).await.is_ok(), confirmed, "{status}");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}
