//! What a newcomer types, and what `--help` promises.

use std::process::Stdio;

use crate::harness::{Folder, Server, Sms, binary, feed, http, said, wait_until};

#[test]
fn a_newcomer_sees_a_text_arrive() {
    let folder = tempfile::tempdir().expect("a folder");
    // Ports of one's own, so that the test does not meet another server on the sample's.
    let ports: Vec<_> = (0..3).map(|_| std::net::TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    let address = |index: usize| ports[index].local_addr().expect("an address").to_string();
    let environment = [
        ("SMS_ROUTER__INBOUND__LISTEN", address(0)),
        ("SMS_ROUTER__API__LISTEN", address(1)),
        ("SMS_ROUTER__MONITORING__LISTEN", address(2)),
    ];
    let monitoring = ports[2].local_addr().expect("an address");
    drop(ports);
    let command = |arguments: &[&str]| {
        let mut command = binary();
        command.args(arguments).current_dir(folder.path()).envs(environment.iter().cloned());
        command
    };
    let early =
        command(&["simulate", "--to", "86555", "--from", "+447700900123", "snow"]).output().expect("the binary");
    let (code, _, err) = said(&early);
    assert!(code == Some(78) && err.contains("start `sms-router serve` once"), "{err}");
    let mut server = command(&["serve"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary");
    wait_until("the sample is ready", || {
        std::net::TcpStream::connect(monitoring).is_ok() && http::get(monitoring, "/readyz").status == 200
    });
    let push = |text: &str| {
        said(&command(&["simulate", "--to", "86555", "--from", "+447700900123", text]).output().expect("the binary"))
    };
    let tail = |department: &str| said(&command(&["tail", "--from-start", department]).output().expect("the binary")).1;
    let (code, out, err) = push("Snow on Main St");
    assert!(code == Some(0) && out.starts_with("200 id "), "{out}{err}");
    push("what time is it");
    assert!(tail("highways").contains("\"text\":\"Snow on Main St\""));
    assert!(tail("contact-centre").contains("\"text\":\"what time is it\""));
    let check = said(&command(&["check"]).output().expect("the binary"));
    assert_eq!(check.0, Some(0), "{}", check.1);
    for secret in ["demo", "highways", "sender-key"] {
        use std::os::unix::fs::PermissionsExt;
        let mode =
            std::fs::metadata(folder.path().join("data/secrets").join(secret)).expect("a secret").permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    server.kill().expect("the child");
    server.wait().expect("the child");
}

#[test]
fn tail_shows_the_last_ones_and_follows() {
    let folder = Folder::new();
    let server = Server::start(folder).ready();
    for number in 0..15 {
        server.push(&Sms::new(&number.to_string(), &format!("snow {number}")));
    }
    // The settings say port 0; the running server's port comes by the environment.
    let tail = |arguments: &[&str]| {
        let mut command = binary();
        command.arg("tail").args(arguments).arg("-c").arg(server.folder.path("sms-router.toml"));
        command.env("SMS_ROUTER__API__LISTEN", server.api.to_string());
        command
    };
    let lines = |arguments: &[&str]| said(&tail(arguments).output().expect("the binary")).1.lines().count();
    assert_eq!(lines(&["highways"]), 10);
    assert_eq!(lines(&["-n", "3", "highways"]), 3);
    assert_eq!(lines(&["--from-start", "highways"]), 15);
    let mut following = tail(&["-f", "-n", "1", "highways"]).stdout(Stdio::piped()).spawn().expect("the binary");
    let mut out = std::io::BufRead::lines(std::io::BufReader::new(following.stdout.take().expect("a pipe")));
    let mut next = || out.next().expect("a line").expect("text");
    assert!(next().contains("snow 14"));
    server.push(&Sms::new("new", "snow new"));
    assert!(next().contains("snow new"));
    following.kill().expect("the child");
    following.wait().expect("the child");
}

#[test]
fn a_simulated_text_is_signed_for_the_account() {
    let server = Server::start(Folder::new()).ready();
    let url = format!("http://{}/inbound/demo", server.inbound);
    let arguments = ["simulate", "--url", &url, "--to", "86555", "--from", "07700900123", "--id", "7", "snow"];
    let (code, out, err) = said(&server.folder.run(&arguments));
    assert_eq!((code, out.trim()), (Some(0), "200 id 7"), "{err}");
    let record = feed::records(server.api, "highways").remove(0);
    assert_eq!((record["from"].as_str(), record["from_raw"].as_str()), (Some("+447700900123"), Some("07700900123")));
}

#[test]
fn exit_codes_tell_usage_from_settings() {
    let folder = Folder::new();
    for (arguments, code) in [
        (&["explain"][..], 64),
        (&["no-such-command"], 64),
        (&["journal", "status", "--wait", "18446744073709551615"], 64),
        (&["archive", "get", "--reason", "x"], 64),
        (&["check"], 0),
        (&["explain", "--to", "86555", "snow"], 0),
        (&["archive", "run"], 78),
        (&["setup", "--dry-run"], 0),
    ] {
        assert_eq!(folder.run(arguments).status.code(), Some(code), "{arguments:?}");
    }
    assert_eq!(binary().arg("--help").output().expect("the binary").status.code(), Some(0));
    let missing = binary().args(["check", "-c", "nowhere.toml"]).output().expect("the binary");
    assert_eq!(missing.status.code(), Some(1));
    let missing = binary().args(["serve", "-c", "nowhere.toml"]).output().expect("the binary");
    assert_eq!(missing.status.code(), Some(78));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("nowhere.toml"));
}

#[test]
fn a_text_is_never_simulated_over_the_network_in_the_clear() {
    let folder = Folder::new();
    let arguments = ["simulate", "--url", "https://localhost:1/inbound/demo", "--to", "86555", "--from", "1", "snow"];
    let (code, _, err) = said(&folder.run(&arguments));
    assert!(code == Some(1) && err.contains("plain HTTP"), "{err}");
}
