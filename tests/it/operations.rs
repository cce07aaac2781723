//! What an SRE sees and does: health, metrics, signals, the log.

use std::io::Write;

use crate::harness::{Folder, ROUTES, SETTINGS, Server, Sms, http, push, signature, wait_until};

#[test]
fn the_monitoring_port_tells_the_state() {
    let server = Server::start(Folder::new()).ready();
    for (path, status, words) in [
        ("/livez", 200, "alive"),
        ("/startupz", 200, "started"),
        ("/readyz", 200, "ready"),
        ("/readyz?verbose", 200, "[+] routes loaded"),
        ("/version", 200, env!("CARGO_PKG_VERSION")),
        ("/metrics", 200, "sms_router_build_info"),
        ("/inbound/demo", 404, ""),
    ] {
        let answer = http::get(server.monitoring, path);
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.text().contains(words), "{path}: {}", answer.text());
    }
    assert_eq!(http::request(server.monitoring, "POST", "/metrics", &[], b"").status, 405);
}

#[test]
fn sigterm_finishes_what_is_in_flight_and_exits_0() {
    let server = Server::start(Folder::new()).ready();
    let body = Sms::new("1", "snow").body();
    let mut stream = http::connect(server.inbound);
    let mut head = format!("POST /inbound/demo HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in signature(&body) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(b"\r\n")).expect("sent");
    stream.write_all(&body[..20]).expect("sent");
    wait_until("the request has begun", || server.metric("sms_router_connections{listener=\"inbound\"}") >= 1.0);
    server.signal("TERM");
    wait_until("it accepts no more", || std::net::TcpStream::connect(server.inbound).is_err());
    assert_eq!(http::get(server.monitoring, "/readyz").status, 503, "not ready while draining");
    assert_eq!(http::get(server.monitoring, "/livez").status, 200);
    stream.write_all(&body[20..]).expect("sent");
    assert_eq!(http::answer(stream).status, 200);
    let (folder, code) = server.stop();
    assert_eq!(code, Some(0));
    let server = Server::start(folder).ready();
    assert_eq!(crate::harness::feed::records(server.api, "highways").len(), 1);
}

#[test]
fn the_log_is_json_without_personal_data_and_louder_on_request() {
    let settings = SETTINGS.replace("[archive]", "[log]\nlevel = \"info\"\n[archive]");
    let mut server = Server::start(Folder::with(&settings, ROUTES)).ready();
    server.signal("USR1");
    server.wait_for_log("the log level was changed");
    assert_eq!(server.push(&Sms::new("secret-id", "snow very private words")).status, 200);
    crate::harness::push_body(server.inbound, "demo", b"{\"private\": \"words\"}");
    http::get(server.inbound, "/inbound/demo?text=private+words&from=%2B447700900123");
    server.wait_for_log("webhook answered");
    server.signal("USR1");
    server.wait_for_log("\"directives\":\"info\"");
    let log = server.log().join("\n");
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("every line is JSON");
    }
    for personal in ["447700900123", "private", "07700900123", crate::harness::SECRET] {
        assert!(!log.contains(personal), "{personal} is in the log: {log}");
        assert!(!server.metrics().contains(personal), "{personal} is in the metrics");
    }
}

#[test]
fn the_sample_is_loopback_only_and_not_for_kubernetes() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |name: &str, value: &str| {
        let mut command = crate::harness::binary();
        let output = command.arg("serve").env(name, value).current_dir(folder.path()).output().expect("the binary");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = run("KUBERNETES_SERVICE_HOST", "10.0.0.1");
    assert!(code == Some(78) && said.contains("Kubernetes"), "{said}");
    let (code, said) = run("SMS_ROUTER__INBOUND__LISTEN", "0.0.0.0:0");
    assert!(code == Some(78) && said.contains("loopback"), "{said}");
}

#[test]
fn the_environment_overrides_a_key_and_an_unknown_one_is_refused() {
    let folder = Folder::new();
    let server = Server::start_with(folder, &[("SMS_ROUTER__INBOUND__URL", "https://other.example.gov.uk")]).ready();
    push(server.inbound, &Sms::new("1", "snow"));
    let answer = crate::harness::feed::ask(server.api, "highways", "token of highways", "");
    assert!(answer.text().contains("https://other.example.gov.uk/accounts/demo"));
    let mut command = crate::harness::binary();
    let config = server.folder.path("sms-router.toml");
    let output = command.args(["check", "-c"]).arg(config).env("SMS_ROUTER__INBOUND__COLOUR", "3").output();
    let output = output.expect("the binary");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("SMS_ROUTER__INBOUND__COLOUR"));
}

#[test]
fn the_environment_overrides_a_list_of_secrets() {
    let folder = Folder::new();
    folder.write("rotated", "whsec_QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=");
    let start =
        |secrets: &str, folder| Server::start_with(folder, &[("SMS_ROUTER__ACCOUNTS__DEMO__SECRETS", secrets)]).ready();
    let server = start("[{ file = \"rotated\" }]", folder);
    assert_eq!(server.push(&Sms::new("1", "snow")).status, 403, "the secret of before");
    let server = start("[{ file = \"rotated\" }, { file = \"demo\" }]", server.kill());
    assert_eq!(server.push(&Sms::new("1", "snow")).status, 200);
}
