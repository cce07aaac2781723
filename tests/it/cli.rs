//! What a newcomer types, and what `--help` promises.

use std::process::Stdio;

use crate::harness::{Folder, ROUTES, SETTINGS, Server, Sms, binary, feed, http, said, wait_until};

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

/// `simulate` with more arguments, in a folder.
fn simulate(folder: &Folder, more: &[&str]) -> (Option<i32>, String, String) {
    said(&folder.run(&[&["simulate", "--to", "86555", "--from", "+447700900123", "snow"], more].concat()))
}

#[test]
fn the_account_is_the_samples_or_the_only_one_or_has_to_be_named() {
    let other = "[accounts.other]\ncarrier = \"generic\"\nsecrets = [{ file = \"demo\" }]\n";
    let server = Server::start(Folder::with(&format!("{SETTINGS}{other}"), ROUTES)).ready();
    // All go to the place of `other`, whose secret is that of each account here.
    let url = format!("http://{}/inbound/other", server.inbound);
    let with = |accounts: &[&str]| {
        let named = accounts.iter().map(|name| other.replace("other", name));
        let (before, after) = SETTINGS.split_once("[accounts.demo]").expect("an account");
        let (_, after) = after.split_once("[departments").expect("what follows it");
        Folder::with(&format!("{before}{}[departments{after}", named.collect::<String>()), ROUTES)
    };
    for (accounts, more, code, words) in [
        (&["demo", "other"][..], &[][..], 0, "200 id "),
        (&["other"], &[], 0, "200 id "),
        (&["other", "third"], &[], 64, "several accounts: choose by --account: other, third"),
        (&["other", "third"], &["--account", "demo"], 64, "there are: other, third: choose by --account"),
        (&["other", "third"], &["--account", "third"], 0, "200 id "),
        (&[], &[], 64, "add [accounts.NAME]"),
    ] {
        let (found, out, err) = simulate(&with(accounts), &[&["--url", &url], more].concat());
        assert!(found == Some(code) && format!("{out}{err}").contains(words), "{accounts:?} {more:?}: {out}{err}");
    }
    let (code, _, err) = simulate(&server.folder, &["--url", &url.replace("other", "later")]);
    assert!(code == Some(1) && err.contains("it has no account demo there") && err.contains("restart it"), "{err}");
}

#[test]
fn who_finds_no_server_is_told_where_it_was_looked_for() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").and_then(|port| port.local_addr()).expect("an address");
    let folder = Folder::new();
    for (arguments, section) in [
        (&["simulate", "--to", "86555", "--from", "+447700900123", "snow"][..], "inbound"),
        (&["tail", "highways"], "api"),
    ] {
        let mut command = folder.command(arguments);
        command.env(format!("SMS_ROUTER__{}__LISTEN", section.to_uppercase()), nobody.to_string());
        let (code, _, err) = said(&command.output().expect("the binary"));
        let told = [&*nobody.to_string(), "does `sms-router serve` run?", &format!("({section}.listen, ")];
        assert!(code == Some(1) && told.iter().all(|words| err.contains(words)), "{err}");
    }
}

#[test]
fn a_department_that_is_not_is_told_from_one_without_a_token() {
    let folder = Folder::with(SETTINGS, &format!("{ROUTES}[[department]]\nname = \"floods\"\n"));
    for (department, words) in [
        ("nothere", "the routes name no department nothere; there are: contact-centre, highways, parking, floods"),
        ("floods", "no token for floods: add [departments.floods] tokens"),
    ] {
        let (code, _, err) = said(&folder.run(&["tail", department]));
        assert!(code == Some(1) && err.contains(words), "{err}");
    }
}

#[test]
fn a_password_that_cannot_be_read_is_one_problem() {
    let cluster = "[publish]\nto = \"kafka\"\nbrokers = \"127.0.0.1:1\"\n";
    for (keys, told) in [
        ("user = \"router\"\npassword = { file = \"nowhere\" }\n", "cannot be read"),
        ("user = \"router\"\n", "user and password belong together"),
        ("password = { file = \"demo\" }\n", "user and password belong together"),
    ] {
        let folder = Folder::with(&format!("{SETTINGS}{cluster}{keys}"), ROUTES);
        let (code, out, err) = said(&folder.run(&["check"]));
        assert!(code == Some(1) && out.contains(told) && err.contains("1 problem"), "{out}{err}");
        assert_eq!(err.trim(), "1 problem", "{out}");
    }
}

#[test]
fn settings_for_another_machine_are_judged_without_its_files() {
    let overlay = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s/overlays/production");
    let judge = |arguments: &[&str], settings: &std::path::Path| {
        let mut command = binary();
        command.args(arguments).arg("-c").arg(settings).env("SMS_ROUTER__ROUTES", overlay.join("routes.toml"));
        said(&command.output().expect("the binary"))
    };
    let settings = overlay.join("sms-router.toml");
    for arguments in [
        &["check", "--without-secrets"][..],
        &["explain", "--to", "86555", "Snow on Main St"],
        &["setup", "--dry-run", "-o", "strimzi"],
    ] {
        let (code, out, err) = judge(arguments, &settings);
        assert!(code == Some(0) && err.is_empty(), "{arguments:?} {out}{err}");
    }
    let (code, out, _) = judge(&["check"], &settings);
    assert!(code == Some(1) && out.contains("/etc/sms-router/secrets/"), "{out}");
    let written = std::fs::read_to_string(&settings).expect("the overlay's settings");
    let folder = Folder::new();
    for (right, wrong, told) in [
        ("carrier = \"twilio\"", "carrier = \"nobody\"", "accounts.twilio.carrier"),
        ("password = { file", "password = { fiel", "publish.password"),
        ("sender_key = {", "sender_kye = {", "archive.sender_key"),
        ("server_name = \"sms", "server_name = \" sms", "archive.tls.server_name"),
        ("\"SCRAM-SHA-512\"", "\"SCRAM-SHA-512\"\n\"linger.sm\" = \"1\"", "publish.properties"),
    ] {
        assert!(written.contains(right), "{right}");
        folder.write("wrong.toml", &written.replace(right, wrong));
        let (code, out, err) = judge(&["check", "--without-secrets"], &folder.path("wrong.toml"));
        assert!(code == Some(1) && out.contains(told), "{wrong}: {out}{err}");
    }
}

#[test]
fn tail_says_which_brokers_do_not_answer() {
    let cluster = "[publish]\nto = \"kafka\"\nbrokers = \"127.0.0.1:1\"\n";
    let folder = Folder::with(&format!("{SETTINGS}{cluster}"), ROUTES);
    let (code, _, err) = said(&folder.run(&["tail", "highways"]));
    assert!(code == Some(1) && err.contains("asked were 127.0.0.1:1 (publish.brokers): do they run"), "{err}");
}
