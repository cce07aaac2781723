//! Carriers whose keys are pairs: the settings hold the public half, `simulate` alone reads a private one.

use crate::harness::{Folder, ROUTES, SETTINGS, Server, binary, feed, said};

/// What is changed about the folder, a piece of the settings, what stands there instead, what is said.
type Row<'a> = (&'a dyn Fn(&Folder), &'a str, &'a str, &'a str);

/// A pair of keys of Ed25519 (RFC 8032, 7.1, test 1): the private one's seed, and the public one.
const SEED: &str = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=";
const PUBLIC: &str = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
const TOPIC: &str = "arn:aws:sns:eu-west-2:123456789012:inbound-sms";

const ACCOUNTS: &str = "[accounts.telnyx]\ncarrier = \"telnyx\"\nsecrets = [{ file = \"telnyx\" }]\n\
    [accounts.sns]\ncarrier = \"aws-sns\"\ncertificates = \"certificates\"\ntopic_arn = \"TOPIC\"\n";

fn folder() -> Folder {
    let folder = Folder::with(&format!("{SETTINGS}{}", ACCOUNTS.replace("TOPIC", TOPIC)), ROUTES);
    folder.write("telnyx", PUBLIC);
    folder.write("telnyx-key", SEED);
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key");
    let certificate = rcgen::CertificateParams::new(vec!["sns.amazonaws.com".to_owned()]).expect("a name");
    let certificate = certificate.self_signed(&key).expect("a certificate");
    std::fs::create_dir(folder.path("certificates")).expect("a folder");
    folder.write("certificates/SimpleNotificationService-1.pem", &certificate.pem());
    folder.write("sns-key", &key.serialize_pem());
    folder
}

#[test]
fn simulate_signs_with_a_private_key_and_the_server_believes_the_public_half() {
    let server = Server::start(folder()).ready();
    let simulate = |arguments: &[&str]| {
        let mut command = binary();
        command.args(["simulate", "--to", "86555", "--from", "+447700900123"]).args(arguments);
        command.arg("-c").arg(server.folder.path("sms-router.toml")).current_dir(server.folder.dir.path());
        command.env("SMS_ROUTER__INBOUND__LISTEN", server.inbound.to_string());
        said(&command.output().expect("the binary"))
    };
    for (account, key) in [("telnyx", "telnyx-key"), ("sns", "sns-key")] {
        let (code, out, err) = simulate(&["--account", account, "--signing-key", key, "snow"]);
        assert!(code == Some(0) && out.starts_with("200 id "), "{account}: {out}{err}");
        let (code, _, err) = simulate(&["--account", account, "snow"]);
        assert!(code == Some(1) && err.contains("--signing-key FILE"), "{account}: {err}");
        let (code, _, err) = simulate(&["--account", account, "--signing-key", "sender-key", "snow"]);
        assert!(code == Some(1) && err.contains("the signing key cannot be used"), "{account}: {err}");
        let (code, _, err) = simulate(&["--account", account, "--signing-key", "nowhere", "snow"]);
        assert!(code == Some(64) && err.contains("cannot be read"), "{account}: {err}");
    }
    let carriers = feed::records(server.api, "highways");
    let carriers: Vec<_> = carriers.iter().map(|record| record["carrier"].as_str().unwrap_or_default()).collect();
    assert_eq!(carriers, ["telnyx", "aws-sns"]);
}

#[test]
fn what_cannot_prove_anything_is_refused_with_the_settings() {
    let check = |change: &dyn Fn(&Folder), from: &str, to: &str| {
        let folder = folder();
        let settings = std::fs::read_to_string(folder.path("sms-router.toml")).expect("settings");
        folder.write("sms-router.toml", &settings.replace(from, to));
        change(&folder);
        let (code, out, err) = said(&folder.run(&["check"]));
        (code, format!("{out}{err}"))
    };
    let nothing = |_: &Folder| {};
    assert_eq!(check(&nothing, "", "").0, Some(0));
    let topic = format!("topic_arn = {TOPIC:?}");
    let file = |content: &'static str| {
        move |folder: &Folder| folder.write("certificates/SimpleNotificationService-1.pem", content)
    };
    let rows: [Row<'_>; 7] = [
        (&nothing, &topic, "", "accounts.sns.topic_arn: is missing"),
        (&nothing, &topic, "topic_arn = \"inbound-sms\"", "is not the ARN of an SNS topic"),
        (&nothing, &topic, "confirm_subscriptions = \"yes\"", "must be true or false"),
        (&nothing, "\"certificates\"", "\"elsewhere\"", "elsewhere cannot be read"),
        (&file("no certificate"), "", "", "SimpleNotificationService-1.pem cannot be used: it is no certificate"),
        (
            &|folder| std::fs::create_dir(folder.path("empty")).expect("a folder"),
            "\"certificates\"",
            "\"empty\"",
            "holds 0 certificates",
        ),
        (
            &nothing,
            "carrier = \"telnyx\"",
            "carrier = \"infobip\"\ncertificates = \"certificates\"",
            "accounts.telnyx.certificates",
        ),
    ];
    for (change, from, to, reason) in rows {
        let (code, said) = check(change, from, to);
        assert!(code == Some(1) && said.contains(reason), "{reason}: {said}");
    }
    let (code, said) = check(&nothing, &topic, &format!("{topic}\nconfirm_subscriptions = true"));
    assert_eq!(code, Some(0), "{said}");
}
