//! TLS on a listener: spoken with a certificate of ours, replaced while running, refused when wrong; clients that have
//! to prove themselves.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedKey, IsCa, Issuer, KeyPair, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::harness::{Folder, ROUTES, SETTINGS, Server, Sms, http, said, signature, wait_until};

/// Writes a certificate and its key into the folder; the certificate as a client trusts it.
pub fn certify(folder: &Folder) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    folder.write("chain.pem", &cert.pem());
    folder.write("key.pem", &signing_key.serialize_pem());
    cert.der().clone()
}

fn settings() -> String {
    SETTINGS.replacen("[api]", "tls = { certificate = \"chain.pem\", key = \"key.pem\" }\n[api]", 1)
}

/// What a client shows of itself.
type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// A connection to the server by a client that trusts `root`.
fn connect(
    server: SocketAddr,
    root: &CertificateDer<'static>,
    identity: Option<&Identity>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).expect("a root");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    let config = match identity {
        None => config.with_no_client_auth(),
        Some((certificate, key)) => {
            config.with_client_auth_cert(vec![certificate.clone()], key.clone_key()).expect("an identity")
        }
    };
    let name = ServerName::try_from("localhost").expect("a name");
    let client = ClientConnection::new(Arc::new(config), name).expect("a client");
    StreamOwned::new(client, http::connect(server))
}

/// The status that a client which trusts `root` gets, or why it got none.
fn push(server: SocketAddr, root: &CertificateDer<'static>, text: &Sms) -> std::io::Result<String> {
    let mut stream = connect(server, root, None);
    let body = text.body();
    let mut head =
        format!("POST /inbound/demo HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in signature(&body) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(&body)?;
    status(&mut stream)
}

/// The beginning of the answer's first line.
fn status(stream: &mut impl Read) -> std::io::Result<String> {
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(String::from_utf8_lossy(&status).into_owned())
}

/// An authority and a client's certificate that it has signed.
fn department() -> (String, Identity) {
    let mut parameters = CertificateParams::new(Vec::new()).expect("parameters");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    let authority = parameters.self_signed(&key).expect("an authority").pem();
    let issuer = Issuer::new(parameters, key);
    let key = KeyPair::generate().expect("a key");
    let client = CertificateParams::new(vec!["highways".to_owned()]).expect("parameters");
    let certificate = client.signed_by(&key, &issuer).expect("a certificate").der().clone();
    (authority, (certificate, PrivateKeyDer::Pkcs8(key.serialize_der().into())))
}

/// The status that a department gets from the feed.
fn read_feed(api: SocketAddr, root: &CertificateDer<'static>, identity: Option<&Identity>) -> std::io::Result<String> {
    let mut stream = connect(api, root, identity);
    let head = "GET /v1/departments/highways/messages HTTP/1.1\r\nhost: test\r\n";
    let token = "authorization: Bearer token of highways\r\nconnection: close\r\n\r\n";
    stream.write_all(format!("{head}{token}").as_bytes())?;
    status(&mut stream)
}

#[test]
fn the_feed_may_want_a_certificate_of_every_client() {
    let tls = "tls = { certificate = \"chain.pem\", key = \"key.pem\", client_ca = \"clients.pem\" }";
    let folder = Folder::with(&SETTINGS.replacen("[monitoring]", &format!("{tls}\n[monitoring]"), 1), ROUTES);
    let root = certify(&folder);
    let (authority, highways) = department();
    let (other_authority, other) = department();
    folder.write("clients.pem", &authority);
    let server = Server::start(folder).ready();
    assert_eq!(read_feed(server.api, &root, Some(&highways)).expect("an answer"), "HTTP/1.1 200");
    assert!(read_feed(server.api, &root, None).is_err(), "without a certificate");
    assert!(read_feed(server.api, &root, Some(&other)).is_err(), "a certificate of somebody else");
    server.folder.write("clients.pem", &other_authority);
    wait_until("the other authority is believed", || read_feed(server.api, &root, Some(&other)).is_ok());
    assert!(read_feed(server.api, &root, Some(&highways)).is_err(), "and the first no more");
    server.folder.write("clients.pem", "no certificate");
    let (code, out, err) = said(&server.folder.run(&["check"]));
    assert_eq!(code, Some(1));
    let told = format!("{out}{err}");
    assert!(told.contains("api.tls.client_ca: ") && told.contains("no certificate of an authority"), "{told}");
}

/// What a handshake of one version came to, in openssl's words.
fn handshake(server: SocketAddr, version: &str) -> Option<String> {
    let mut command = Command::new("openssl");
    // The client's own settings may forbid old versions: they are to be refused by the server.
    command.args(["s_client", "-connect", &server.to_string(), version, "-cipher", "ALL:@SECLEVEL=0"]);
    let output = command.stdin(Stdio::null()).output().ok()?;
    Some(format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)))
}

/// A server all of whose listeners speak TLS.
pub fn all_by_tls() -> Server {
    let tls = "tls = { certificate = \"chain.pem\", key = \"key.pem\" }";
    let sections = ["[api]", "[monitoring]", "[archive]"].into_iter();
    let settings =
        sections.fold(SETTINGS.to_owned(), |settings, next| settings.replacen(next, &format!("{tls}\n{next}"), 1));
    let folder = Folder::with(&settings, ROUTES);
    certify(&folder);
    Server::start(folder)
}

#[test]
fn every_listener_speaks_tls_1_2_and_1_3_and_nothing_older() {
    let server = all_by_tls();
    for listener in [server.inbound, server.api, server.monitoring] {
        for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
            let Some(said) = handshake(listener, version) else { return println!("skipped: openssl is not installed") };
            assert!(said.contains(&format!("New, {name}, Cipher is ")), "{version}: {said}");
        }
        for version in ["-tls1", "-tls1_1"] {
            let said = handshake(listener, version).expect("openssl");
            let refused = said.contains("SSL alert number") && said.contains("Cipher is (NONE)");
            assert!(refused, "the server refuses {version}: {said}");
        }
    }
}

#[test]
fn a_listener_speaks_tls_and_takes_new_certificates_into_use() {
    let folder = Folder::with(&settings(), ROUTES);
    let first = certify(&folder);
    let server = Server::start(folder).ready();
    assert_eq!(push(server.inbound, &first, &Sms::new("1", "snow")).expect("an answer"), "HTTP/1.1 200");
    // What rcgen makes ends on the first day of the year 4096.
    let expiry = server.metric("sms_router_certificate_expiry_timestamp_seconds{listener=\"inbound\"}");
    assert_eq!(expiry, 67_090_118_400.0, "the end of the certificate shown");
    let mut open = connect(server.inbound, &first, None);
    let mut ask = || {
        open.write_all(b"GET /inbound/nobody HTTP/1.1\r\nhost: test\r\n\r\n")?;
        let answer = status(&mut open)?;
        // The rest of this answer, so that the next one begins at its beginning.
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            open.read_exact(&mut byte)?;
            read.extend(byte);
        }
        let head = String::from_utf8_lossy(&read).to_lowercase();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().expect("a length"));
        open.read_exact(&mut vec![0; length])?;
        std::io::Result::Ok(answer)
    };
    let before = ask().expect("an answer");
    let second = certify(&server.folder);
    wait_until("the new certificate is in use", || push(server.inbound, &second, &Sms::new("2", "snow")).is_ok());
    assert_eq!(ask().expect("the open connection goes on"), before);
    assert!(push(server.inbound, &first, &Sms::new("3", "snow")).is_err(), "the old one is not");
    assert_eq!(crate::harness::feed::records(server.api, "highways").len(), 2);
}

#[test]
fn synthetic_texts_come_by_tls_also_after_a_change_of_certificates() {
    let folder = Folder::with(&format!("{}\n[probe]\nevery_ms = 100\n", settings()), ROUTES);
    certify(&folder);
    let server = Server::start(folder).ready();
    let come = || server.metric("sms_router_probe_duration_seconds_count{stage=\"archived\"}");
    wait_until("synthetic texts come", || come() >= 2.0);
    let second = certify(&server.folder);
    wait_until("the new certificate is in use", || push(server.inbound, &second, &Sms::new("1", "snow")).is_ok());
    let before = come();
    wait_until("synthetic texts come again", || come() >= before + 2.0);
}

/// A command with the ports of a running server, by the settings of a folder.
fn beside(server: &Server, folder: &Folder, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = folder.command(arguments);
    command.env("SMS_ROUTER__INBOUND__LISTEN", server.inbound.to_string());
    command.env("SMS_ROUTER__API__LISTEN", server.api.to_string());
    said(&command.output().expect("the binary"))
}

#[test]
fn commands_speak_tls_to_their_own_server_and_to_no_other() {
    let tls = "tls = { certificate = \"chain.pem\", key = \"key.pem\" }\n[monitoring]";
    let folder = Folder::with(&settings().replacen("[monitoring]", tls, 1), ROUTES);
    certify(&folder);
    let server = Server::start(folder).ready();
    let simulate = |folder: &Folder, more: &[&str]| {
        let text = ["simulate", "--to", "86555", "--from", "+447700900123", "snow"];
        beside(&server, folder, &[&text, more].concat())
    };
    let (code, out, err) = simulate(&server.folder, &[]);
    assert!(code == Some(0) && out.starts_with("200 id "), "{err}");
    let (code, out, err) = beside(&server, &server.folder, &["tail", "highways"]);
    assert!(code == Some(0) && out.contains("\"text\":\"snow\""), "{err}");
    // The same settings with another certificate: whoever listens there is somebody else.
    let other =
        Folder::with(&std::fs::read_to_string(server.folder.path("sms-router.toml")).expect("settings"), ROUTES);
    certify(&other);
    for (code, _, err) in [simulate(&other, &[]), beside(&server, &other, &["tail", "highways"])] {
        assert!(code == Some(1) && err.contains("does the server run with these settings"), "{err}");
    }
    let url = format!("https://localhost:{}/inbound/demo", server.inbound.port());
    let (own, others) = (server.folder.path("chain.pem"), other.path("chain.pem"));
    let by = |ca: &std::path::Path| simulate(&other, &["--url", &url, "--ca", &ca.to_string_lossy()]);
    assert_eq!(by(&own).0, Some(0), "believed by the authority named: {}", by(&own).2);
    for (code, _, err) in [by(&others), simulate(&other, &["--url", &url])] {
        assert!(code == Some(1) && err.contains("certificate") && !err.contains("/inbound"), "{err}");
    }
    let plain = url.replace("https", "http");
    let (code, _, err) = simulate(&other, &["--url", &plain, "--ca", &own.to_string_lossy()]);
    assert!(code == Some(1) && err.contains("--ca is for an --url of https://"), "{err}");
}

#[test]
fn whoever_starts_it_is_told_how_each_listener_is_spoken_to() {
    let folder = Folder::with(&settings(), ROUTES);
    certify(&folder);
    let mut serve =
        folder.command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary");
    let said = BufReader::new(serve.stderr.take().expect("a pipe")).lines().map_while(Result::ok);
    let lines: Vec<String> = said.take_while(|line| !line.contains("  departments  ")).collect();
    serve.kill().expect("the child");
    serve.wait().expect("the child");
    let told = |words: &str| lines.iter().any(|line| line.contains(words));
    assert!(told("push to   https://127.0.0.1:") && told("read   http://127.0.0.1:"), "{lines:#?}");
}

#[test]
fn files_that_are_no_certificate_or_no_key_are_named_with_their_line() {
    let settings = settings();
    let line = 1 + settings.lines().position(|line| line.starts_with("tls = ")).expect("both keys are there");
    for (file, key, words) in [
        ("key.pem", "key", "no private key"),
        ("chain.pem", "certificate", "no certificate"),
        ("key.pem", "key", "do not work together"),
    ] {
        let folder = Folder::with(&settings, ROUTES);
        certify(&folder);
        if words.starts_with("no ") {
            folder.write(file, "not what it should be");
        } else {
            let other = Folder::with(&settings, ROUTES);
            certify(&other);
            std::fs::copy(other.path(file), folder.path(file)).expect("a key of another certificate");
        }
        for (command, code) in [("serve", 78), ("check", 1)] {
            let (status, out, err) = said(&folder.run(&[command]));
            let told = format!("{out}{err}");
            assert_eq!(status, Some(code), "{told}");
            let place = format!("sms-router.toml:{line}: inbound.tls.{key}: ");
            assert!(told.contains(&place) && told.contains(file) && told.contains(words), "{place}{words}: {told}");
        }
    }
}
