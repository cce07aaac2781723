//! Requests whose proof needs a certificate that is not here yet, and subscriptions, up to their verdict.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;

use hyper::HeaderMap;

use super::super::outward::tests::outward;
use super::*;
use crate::carrier::certificates::tests::made;
use crate::carrier::{self, Auth, Certificate, Certificates, Draft, Signed};
use crate::dedup::{self, Claims, Recent};
use crate::intake::{self, PlaceSettings, Places};
use crate::keyword::{DepartmentSpec, Live, NumberSpec, Spec, Table};
use crate::log::Log;
use crate::message::{AccountName, Country, DepartmentName, Secret, SenderKey, Timestamp};
use crate::store::{self, Store, Writer};
use crate::telemetry::Metrics;

const HOST: &str = "sns.eu-west-2.amazonaws.com";
const TOPIC: &str = "arn:aws:sns:eu-west-2:123456789012:inbound-sms";

struct Open {
    door: Arc<Door>,
    _writer: Writer,
    _folder: tempfile::TempDir,
}

fn table() -> Table {
    let name = DepartmentName::parse("centre").unwrap();
    let department =
        DepartmentSpec { name: name.clone(), topic: None, shares_topic: false, hold: false, failover: None, line: 1 };
    let spec = Spec {
        departments: vec![department],
        numbers: vec![NumberSpec { number: "*".into(), default: name, line: 2 }],
        keywords: vec![],
        consent: vec![],
        tests: vec![],
        fold_accents: true,
        version: "v1".into(),
        country: Country::GB,
    };
    Table::build(spec).unwrap()
}

fn open(outward: Option<Outward>) -> Open {
    let (folder, clock, metrics) = (tempfile::tempdir().unwrap(), Clock::fixed(now()), Metrics::new());
    let key = || SenderKey::new(b"a key of 32 characters for tests").unwrap();
    let (store, writer) = Store::open(store::Settings::of(folder.path()), key(), clock.clone()).unwrap();
    let places =
        Places::new(PlaceSettings::default(), metrics.in_flight_messages.clone(), metrics.in_flight_limit.clone());
    let age_max = Duration::from_secs(60);
    let intake = Intake::new(intake::Settings {
        routes: Live::new(table()),
        log: Log::Embedded(store),
        claims: Claims::new(dedup::Settings { ids_max: 1_000, age_max }, clock.clone()),
        repeats: Recent::new(1_000, age_max, clock.clone()),
        places: places.clone(),
        sender_key: key(),
        metrics,
        origin: "https://sms.example.gov.uk".into(),
    });
    let limits = Limits::new(places, 1_000_000, []);
    let door = Door::new(Settings { intake, limits, clock, deadline_max: Duration::from_secs(10), outward });
    Open { door, _writer: writer, _folder: folder }
}

fn now() -> Timestamp {
    "2023-11-14T22:13:20Z".parse().unwrap()
}

fn account(keys: &[(&'static str, &str)]) -> Account {
    let (name, carrier) = (AccountName::parse("sns").unwrap(), carrier::by_name("aws-sns").unwrap());
    let keys = keys.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    Account { keys, ..Account::new(name, carrier, Auth::Signature, Vec::new(), "") }
}

fn signed() -> Signed {
    let (certificate, key) = made();
    let certificate = Certificate::parse(certificate.as_bytes()).unwrap();
    let signer = Account {
        certificates: Certificates::of_folder([("SimpleNotificationService-1.pem".to_owned(), certificate)]),
        signing_key: Some(Secret::new(key.as_bytes())),
        ..account(&[("topic_arn", TOPIC)])
    };
    let draft = Draft {
        id: "1".to_owned(),
        from: "+447700900123".to_owned(),
        to: "86555".to_owned(),
        text: "snow".to_owned(),
        part: None,
        now: now(),
    };
    signer.carrier.compose(&draft, &signer).unwrap()
}

/// A topic's question, unsigned.
fn question() -> String {
    format!(r#"{{"Type":"SubscriptionConfirmation","TopicArn":"{TOPIC}","SubscribeURL":"https://{HOST}/?Token=1"}}"#)
}

/// What `webhook::Service` does with a request, from its bytes on.
async fn verdict(open: &Open, account: &Arc<Account>, body: &[u8]) -> Verdict {
    let headers = HeaderMap::new();
    let webhook = Webhook {
        method: &hyper::Method::POST,
        query: "",
        headers: &headers,
        body,
        path_secret: None,
        peer: IpAddr::V4(Ipv4Addr::LOCALHOST),
        received_at: now(),
    };
    let began = Instant::now();
    let accepted = match open.door.accept(account, &webhook) {
        Err(AuthFailure::Certificate) => open.door.accept_with_certificate(account, &webhook, began).await,
        accepted => accepted,
    };
    match accepted {
        Ok((_, step)) => open.door.follow(account, step, began).await,
        Err(AuthFailure::Certificate) => Verdict::Deferred(Deferral::Certificate),
        Err(failure) => Verdict::Refused(Refusal::Unproven(failure)),
    }
}

#[tokio::test]
async fn a_certificate_is_fetched_once_and_proves_or_refuses() {
    let (outward, asked) = outward(HOST, 200, &made().0).await;
    let (open, account) = (open(Some(outward)), Arc::new(account(&[("topic_arn", TOPIC)])));
    let request = signed();
    let changed = String::from_utf8(request.body.clone()).unwrap().replace("snow", "rain").into_bytes();
    for _ in 0..2 {
        assert_eq!(verdict(&open, &account, &request.body).await, Verdict::Accepted);
        let refused = Verdict::Refused(Refusal::Unproven(AuthFailure::Mismatch));
        assert_eq!(verdict(&open, &account, &changed).await, refused);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_had_is_our_trouble() {
    let (outward, asked) = outward(HOST, 500, "").await;
    let topic = Arc::new(account(&[("topic_arn", TOPIC)]));
    let deferred = Verdict::Deferred(Deferral::Certificate);
    assert_eq!(verdict(&open(Some(outward.clone())), &topic, &signed().body).await, deferred);
    assert_eq!(verdict(&open(None), &topic, &signed().body).await, deferred);
    assert_eq!((deferred.status().as_u16(), asked.load(Ordering::SeqCst)), (503, 1));
    let other = Arc::new(account(&[("topic_arn", "arn:aws:sns:eu-west-2:123456789012:other")]));
    let refused = Verdict::Refused(Refusal::Unproven(AuthFailure::Mismatch));
    assert_eq!(verdict(&open(Some(outward)), &other, &signed().body).await, refused, "and is not asked for");
}

#[tokio::test]
async fn while_signatures_are_watched_no_text_is_lost_for_want_of_a_certificate_and_nothing_confirmed() {
    let monitored = |keys: &[(&'static str, &str)]| {
        let until = now() + Duration::from_secs(3_600);
        Arc::new(Account { monitor_until: Some(until), ..account(keys) })
    };
    let (without, asked) = outward(HOST, 500, "").await;
    let account = monitored(&[("topic_arn", TOPIC)]);
    assert_eq!(verdict(&open(Some(without)), &account, &signed().body).await, Verdict::Accepted);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    let (with, asked) = outward(HOST, 200, "").await;
    let account = monitored(&[("topic_arn", TOPIC), ("confirm_subscriptions", "true")]);
    let question = question();
    assert_eq!(verdict(&open(Some(with)), &account, question.as_bytes()).await, Verdict::Nothing("subscription"));
    assert_eq!(asked.load(Ordering::SeqCst), 0, "who asked is not proven");
}

#[tokio::test]
async fn a_subscription_is_confirmed_only_where_the_account_says_so() {
    let question = question();
    let answered = Verdict::Nothing("subscription");
    for (wanted, status, expected, questions) in [
        ("false", 200, answered, 0),
        ("true", 200, answered, 1),
        ("true", 403, Verdict::Deferred(Deferral::Confirmation), 1),
    ] {
        let (outward, asked) = outward(HOST, status, "").await;
        let account = account(&[("topic_arn", TOPIC), ("confirm_subscriptions", wanted)]);
        let account = Arc::new(Account { auth: Auth::None, ..account });
        assert_eq!(verdict(&open(Some(outward)), &account, question.as_bytes()).await, expected, "{wanted} {status}");
        assert_eq!(asked.load(Ordering::SeqCst), questions, "{wanted} {status}");
    }
}
