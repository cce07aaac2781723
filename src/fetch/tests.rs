//! Against servers of the test on loopback: what is answered, what is refused, who is believed.

use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls_pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

const LIMITS: Limits = Limits { timeout: Duration::from_secs(30), body_max: 1_000 };

/// Reads one request's head, then says `answer`; with nothing to say it holds the connection open.
async fn answer_once(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &str) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    if answer.is_empty() {
        // Ends when the client gives up.
        let _ = stream.read_u8().await;
        return;
    }
    stream.write_all(answer.as_bytes()).await.expect("a client that reads");
    stream.shutdown().await.expect("a client that reads");
}

async fn server(answer: String, tls: Option<TlsAcceptor>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a client");
        match tls {
            None => answer_once(stream, &answer).await,
            Some(tls) => {
                // A client that does not believe us ends the handshake.
                if let Ok(stream) = tls.accept(stream).await {
                    answer_once(stream, &answer).await;
                }
            }
        }
    });
    address
}

fn get(url: &str) -> Request<Full<Bytes>> {
    Request::get(url).body(Full::default()).expect("a request of the test")
}

async fn fetched(answer: String, limits: Limits) -> Result<Response<Bytes>, FetchError> {
    let address = server(answer, None).await;
    Fetcher::new(None, limits).expect("a client").send(get(&format!("http://{address}/list?secret=1"))).await
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

#[tokio::test]
async fn an_answer_comes_whole_whatever_its_status() {
    let answer = fetched(ok("page"), LIMITS).await.expect("an answer");
    assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b"page"[..]));
    let refused = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n".to_owned();
    let answer = fetched(refused, LIMITS).await.expect("an answer");
    assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].as_bytes()), (429, &b"7"[..]));
}

#[tokio::test]
async fn an_answer_too_long_too_slow_or_from_elsewhere_is_refused() {
    let long = fetched(ok(&"x".repeat(1_001)), LIMITS).await;
    assert!(matches!(long, Err(FetchError::TooLarge(1_000))), "{long:?}");
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3e9\r\n".to_owned() + &"x".repeat(1_001);
    let long = fetched(chunked, LIMITS).await;
    assert!(matches!(long, Err(FetchError::TooLarge(1_000))), "{long:?}");
    let silent = fetched(String::new(), Limits { timeout: Duration::from_millis(50), ..LIMITS }).await;
    assert!(matches!(silent, Err(FetchError::Timeout(_))), "{silent:?}");
    for status in [301, 302, 307, 308] {
        let elsewhere = format!("HTTP/1.1 {status} \r\nlocation: https://example.org/\r\ncontent-length: 0\r\n\r\n");
        let redirected = fetched(elsewhere, LIMITS).await;
        assert!(matches!(redirected, Err(FetchError::Redirected(_))), "{redirected:?}");
    }
    let cut = fetched("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf".to_owned(), LIMITS).await;
    assert!(matches!(cut, Err(FetchError::Unreachable(_))), "{cut:?}");
}

#[tokio::test]
async fn who_wants_the_head_only_gets_it_whatever_becomes_of_the_body() {
    let head = async |answer: &str, limits| {
        let address = server(answer.to_owned(), None).await;
        let fetcher = Fetcher::new(None, limits).expect("a client");
        fetcher.send_for_head(get(&format!("http://{address}/"))).await.map(|head| head.status.as_u16())
    };
    let long = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3e9\r\n".to_owned() + &"x".repeat(1_001);
    assert!(matches!(head(&long, LIMITS).await, Ok(200)));
    assert!(matches!(head("HTTP/1.1 503 \r\ncontent-length: 9\r\n\r\nhalf", LIMITS).await, Ok(503)));
    let limits = Limits { timeout: Duration::from_millis(50), ..LIMITS };
    assert!(matches!(head("", limits).await, Err(FetchError::Timeout(_))));
    let elsewhere = "HTTP/1.1 302 \r\nlocation: https://example.org/\r\ncontent-length: 0\r\n\r\n";
    assert!(matches!(head(elsewhere, LIMITS).await, Err(FetchError::Redirected(_))));
}

#[tokio::test]
async fn nobody_listening_is_said_without_the_url() {
    let address = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let fetcher = Fetcher::new(None, LIMITS).expect("a client");
    let error = fetcher.send(get(&format!("http://{address}/list?secret=1"))).await.expect_err("nobody listens");
    let said = error.to_string();
    assert!(said.contains("Connection refused") && !said.contains("secret"), "{said}");
}

#[test]
fn only_encrypted_or_loopback_addresses_are_spoken_to() {
    for (url, allowed) in [
        ("https://api.twilio.com", true),
        ("https://127.0.0.1:8443", true),
        ("http://127.0.0.1:8080", true),
        ("http://127.9.9.9", true),
        ("http://[::1]:8080/x", true),
        ("http://[::ffff:127.0.0.1]", true),
        ("http://localhost:8080", false),
        ("http://api.twilio.com", false),
        ("http://10.0.0.1", false),
        ("http://127.0.0.1.example.org", false),
        ("ftp://127.0.0.1", false),
        ("127.0.0.1:8080", false),
        ("", false),
    ] {
        assert_eq!(check_url(url).is_ok(), allowed, "{url}");
    }
}

#[test]
fn only_addresses_of_the_internet_are_public() {
    for (address, public) in [
        ("8.8.8.8", true),
        ("1.1.1.1", true),
        ("100.63.255.255", true),
        ("172.32.0.1", true),
        ("2606:4700::1111", true),
        ("2a00:1450::1", true),
        ("::ffff:8.8.8.8", true),
        ("64:ff9b::8.8.8.8", true),
        ("0.0.0.0", false),
        ("10.1.2.3", false),
        ("100.64.0.1", false),
        ("100.100.100.200", false),
        ("127.0.0.1", false),
        ("169.254.169.254", false),
        ("172.16.0.1", false),
        ("172.31.255.255", false),
        ("192.0.0.192", false),
        ("192.168.1.1", false),
        ("198.18.0.1", false),
        ("168.63.129.16", false),
        ("224.0.0.1", false),
        ("255.255.255.255", false),
        ("::", false),
        ("::1", false),
        ("::10.0.0.1", false),
        ("::ffff:10.0.0.1", false),
        ("::ffff:127.0.0.1", false),
        ("64:ff9b::10.0.0.1", false),
        ("64:ff9b:1::1", false),
        ("2002:0a00:0001::1", false),
        ("2001:0::1", false),
        ("fc00::1", false),
        ("fd00:ec2::254", false),
        ("fe80::1", false),
        ("ff02::1", false),
    ] {
        assert_eq!(is_public(address.parse().expect("an address")), public, "{address}");
    }
}

#[tokio::test]
async fn what_is_for_public_addresses_goes_nowhere_else_whatever_a_name_leads_to() {
    let address = server(ok("page"), None).await;
    let fetcher = Fetcher::to_public(None, LIMITS).expect("a client");
    for literal in [format!("http://{address}/?secret=1"), "https://[::ffff:10.0.0.1]/?secret=1".to_owned()] {
        let refused = fetcher.send(get(&literal)).await.expect_err("not public");
        assert!(matches!(refused, FetchError::NotPublic), "{refused}");
        assert!(!refused.to_string().contains("secret"), "{refused}");
    }
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let url = format!("https://localhost:{}/?secret=1", nobody.port());
    let said = fetcher.send(get(&url)).await.expect_err("not public").to_string();
    assert!(said.contains("the name leads to no public address") && !said.contains("secret"), "{said}");
    let trusting = Fetcher::new(None, LIMITS).expect("a client").send(get(&url)).await.expect_err("nobody listens");
    assert!(trusting.to_string().contains("Connection refused"), "{trusting}");
}

/// A server's side of TLS under a name, and the authority that says so, in PEM.
pub(crate) fn tls_for(name: &str) -> (TlsAcceptor, String) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec![name.to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .expect("they fit");
    (TlsAcceptor::from(Arc::new(config)), cert.pem())
}

#[tokio::test]
async fn a_server_is_believed_only_with_a_certificate_of_a_known_authority() {
    let (tls, pem) = tls_for("127.0.0.1");
    for (authorities, believed) in [(Some(pem.as_bytes()), true), (None, false)] {
        let address = server(ok("page"), Some(tls.clone())).await;
        let fetcher = Fetcher::new(authorities, LIMITS).expect("a client");
        let answer = fetcher.send(get(&format!("https://{address}/"))).await;
        assert_eq!(answer.is_ok(), believed, "{answer:?}");
    }
    for nothing in [&b""[..], b"no PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(matches!(Fetcher::new(Some(nothing), LIMITS), Err(FetchError::Authorities)));
    }
}
