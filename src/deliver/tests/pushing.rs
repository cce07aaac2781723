//! Lanes of pushes against a real receiver on loopback.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::{HeaderMap, Method};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::{Lab, letter, retry};
use crate::carrier::{Account, Auth, Webhook, authenticate, by_name};
use crate::clock::Clock;
use crate::deliver::{Channel, Delivery, Push};
use crate::message::{AccountName, Secret, Timestamp};

const PUSH: Channel = Channel::Push;
const OLD: &[u8] = b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NEW: &[u8] = b"whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

/// A request as it was received.
struct Received {
    method: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

/// The answer to the nth request, from 0, whose body is the second argument: status line and headers.
type Answers = Arc<dyn Fn(usize, &str) -> String + Send + Sync>;

async fn receiver(answers: Answers) -> (u16, mpsc::UnboundedReceiver<Received>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (report, received) = mpsc::unbounded_channel();
    let count = Arc::new(AtomicUsize::new(0));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(answer(stream, answers.clone(), count.clone(), report.clone()));
        }
    });
    (port, received)
}

/// One request of one connection.
async fn answer(
    mut stream: TcpStream,
    answers: Answers,
    count: Arc<AtomicUsize>,
    report: mpsc::UnboundedSender<Received>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let mut lines = head.lines();
    let method = lines.next().unwrap().split(' ').next().unwrap().to_owned();
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        headers.append(hyper::header::HeaderName::try_from(name).unwrap(), value.parse().unwrap());
    }
    let length = headers["content-length"].to_str().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    let head = answers(count.fetch_add(1, Ordering::SeqCst), &String::from_utf8_lossy(&body));
    let _ = report.send(Received { method, headers, body });
    let answer = format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}

fn push(port: u16) -> Push {
    Push {
        url: format!("http://127.0.0.1:{port}/texts?key=hush").parse().unwrap(),
        secrets: vec![Secret::new(NEW), Secret::new(OLD)],
        in_flight_max: 8,
        timeout: Duration::from_secs(20),
        private_network: true,
        authorities: None,
    }
}

async fn lab(answers: Answers) -> (mpsc::UnboundedReceiver<Received>, Lab) {
    let (port, received) = receiver(answers).await;
    let delivery = Delivery { email: None, push: Some(push(port)) };
    (received, Lab::open(vec![("highways", delivery)], None, retry(), Clock::system()))
}

fn ok() -> Answers {
    Arc::new(|_, _| "204 No Content".to_owned())
}

fn believes(secret: &[u8], received: &Received) -> bool {
    let (name, carrier) = (AccountName::parse("demo").unwrap(), by_name("generic").unwrap());
    let account = Account::new(name, carrier, Auth::Signature, vec![Secret::new(secret)], "");
    let webhook = Webhook {
        method: &Method::POST,
        query: "",
        headers: &received.headers,
        body: &received.body,
        path_secret: None,
        peer: std::net::Ipv4Addr::LOCALHOST.into(),
        received_at: Timestamp::now(),
    };
    authenticate(&account, &webhook).is_ok()
}

#[tokio::test]
async fn a_push_is_the_event_signed_with_every_secret() {
    let (mut received, mut lab) = lab(ok()).await;
    let text = letter("+447700900001", "Snow \u{2744}");
    lab.give("highways", PUSH, text.clone());
    lab.done().await;
    let request = received.recv().await.unwrap();
    assert_eq!((request.method.as_str(), &request.body[..]), ("POST", &text.value[..]));
    let id = text.id.to_string();
    for (name, value) in [
        ("content-type", "application/json"),
        ("ce-specversion", "1.0"),
        ("ce-id", &id),
        ("webhook-id", &id),
        ("ce-type", "sms-router.message.received.v1"),
        ("ce-source", "https://sms.example.gov.uk/accounts/demo"),
        ("ce-subject", "86555"),
        ("ce-time", "2026-11-21T10:00:00.250Z"),
        ("ce-dataschema", "https://sms.example.gov.uk/schemas/message.received.v1.json"),
    ] {
        assert_eq!(request.headers[name], value, "{name}");
    }
    let trace = format!("00-{}-", text.id.simple());
    assert!(request.headers["traceparent"].to_str().unwrap().starts_with(&trace));
    assert!(believes(NEW, &request) && believes(OLD, &request));
    assert!(!believes(b"whsec_Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/Pz8/", &request));
    assert!(request.headers["webhook-signature"].to_str().unwrap().starts_with("v1,"));
}

#[tokio::test]
async fn what_is_not_taken_comes_again_under_its_id_and_its_senders_next_waits() {
    let answers: Answers = Arc::new(|count, _| {
        let heads =
            ["500 No", "302 Elsewhere\r\nlocation: https://example.org/", "429 Slow\r\nretry-after: 0", "404 No"];
        heads.get(count).map_or("200 OK".to_owned(), |head| (*head).to_owned())
    });
    let (mut received, mut lab) = lab(answers).await;
    let texts = ["first", "second"].map(|text| letter("+447700900001", text));
    for text in &texts {
        lab.give("highways", PUSH, text.clone());
    }
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(received.recv().await.unwrap().headers["webhook-id"].to_str().unwrap().to_owned());
    }
    let (first, second) = (texts[0].id.to_string(), texts[1].id.to_string());
    assert_eq!(ids.iter().collect::<Vec<_>>(), [&first, &first, &first, &first, &first, &second]);
    assert_eq!((lab.done().await.as_str(), lab.done().await.as_str()), ("first", "second"));
    assert_eq!((lab.counted("highways", PUSH, "retried"), lab.counted("highways", PUSH, "delivered")), (4, 2));
    assert!(lab.dead_letters().await.is_empty());
}

#[tokio::test]
async fn a_text_that_its_receiver_never_takes_holds_up_only_its_sender() {
    let answers: Answers = Arc::new(|_, body| if body.contains("poison") { "500 No" } else { "200 OK" }.to_owned());
    let (_received, mut lab) = lab(answers).await;
    lab.give("highways", PUSH, letter("+447700900001", "poison"));
    lab.give("highways", PUSH, letter("+447700900001", "behind it"));
    for number in 0..30 {
        lab.give("highways", PUSH, letter(&format!("+4477009001{number:02}"), "goes"));
    }
    for _ in 0..30 {
        assert_eq!(lab.done().await, "goes");
    }
    assert_eq!(lab.lane("highways", PUSH).held(), 2);
}

#[tokio::test]
async fn at_most_so_many_are_on_their_way() {
    let (open, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (arrive, mut arrived) = mpsc::unbounded_channel();
    let counts = (open.clone(), most.clone());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            counts.1.fetch_max(counts.0.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            arrive.send(stream).unwrap();
        }
    });
    let delivery = Delivery { email: None, push: Some(Push { in_flight_max: 3, ..push(port) }) };
    let mut lab = Lab::open(vec![("highways", delivery)], None, retry(), Clock::system());
    for number in 0..12 {
        lab.give("highways", PUSH, letter(&format!("+4477009001{number:02}"), "goes"));
    }
    // Answered only once three are there, or all that are left.
    for _ in 0..4 {
        let mut streams = Vec::new();
        for _ in 0..3 {
            streams.push(arrived.recv().await.unwrap());
        }
        for stream in streams {
            open.fetch_sub(1, Ordering::SeqCst);
            let (report, _kept) = mpsc::unbounded_channel();
            answer(stream, ok(), Arc::default(), report).await;
        }
        for _ in 0..3 {
            lab.done().await;
        }
    }
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn a_receiver_that_is_gone_stops_its_lane_until_the_next_start() {
    let (mut received, lab) = lab(Arc::new(|_, _| "410 Gone".to_owned())).await;
    lab.give("highways", PUSH, letter("+447700900001", "Snow"));
    received.recv().await.unwrap();
    let stopped = lab.parts.metrics.delivery_stopped.with_label_values(&["highways", "push"]);
    while stopped.get() == 0 {
        tokio::task::yield_now().await;
    }
    lab.give("highways", PUSH, letter("+447700900002", "Ice"));
    assert!(lab.dead_letters().await.is_empty() && !lab.is_up("highways", PUSH));
    assert!(lab.stop().await.try_recv().is_err(), "nothing is done");
    assert!(received.try_recv().is_err(), "nothing more was sent");
}

#[tokio::test]
async fn a_receiver_that_is_away_gets_its_texts_when_it_is_back() {
    let (port, _) = receiver(ok()).await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let free = gone.local_addr().unwrap().port();
    drop(gone);
    assert_ne!(free, port);
    let delivery = Delivery { email: None, push: Some(push(free)) };
    let mut lab = Lab::open(vec![("highways", delivery)], None, retry(), Clock::system());
    for number in 0..20 {
        lab.give("highways", PUSH, letter(&format!("+4477009001{number:02}"), &format!("{number:02}")));
    }
    while lab.counted("highways", PUSH, "retried") < 12 {
        tokio::task::yield_now().await;
    }
    let listener = TcpListener::bind(("127.0.0.1", free)).await.unwrap();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (report, _kept) = mpsc::unbounded_channel();
            tokio::spawn(answer(stream, ok(), Arc::default(), report));
        }
    });
    let mut texts = Vec::new();
    for _ in 0..20 {
        texts.push(lab.done().await);
    }
    texts.sort();
    assert!(texts.iter().enumerate().all(|(number, text)| *text == format!("{number:02}")), "{texts:?}");
    assert!(lab.is_up("highways", PUSH));
}
