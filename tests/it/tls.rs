//! TLS on a listener: spoken with a certificate of ours, replaced while running, refused when wrong.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::harness::{Folder, ROUTES, SETTINGS, Server, Sms, http, said, signature, wait_until};

/// Writes a certificate and its key into the folder; the certificate as a client trusts it.
fn certify(folder: &Folder) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    folder.write("chain.pem", &cert.pem());
    folder.write("key.pem", &signing_key.serialize_pem());
    cert.der().clone()
}

fn settings() -> String {
    SETTINGS.replacen("[api]", "tls = { certificate = \"chain.pem\", key = \"key.pem\" }\n[api]", 1)
}

/// The status that a client which trusts `root` gets, or why it got none.
fn push(server: SocketAddr, root: &CertificateDer<'static>, text: &Sms) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).expect("a root");
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let client = ClientConnection::new(Arc::new(config), name).expect("a client");
    let mut stream = StreamOwned::new(client, http::connect(server));
    let body = text.body();
    let mut head =
        format!("POST /inbound/demo HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in signature(&body) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(format!("{head}\r\n").as_bytes())?;
    stream.write_all(&body)?;
    let mut status = [0; 12];
    stream.read_exact(&mut status)?;
    Ok(String::from_utf8_lossy(&status).into_owned())
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
    let second = certify(&server.folder);
    wait_until("the new certificate is in use", || push(server.inbound, &second, &Sms::new("2", "snow")).is_ok());
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
