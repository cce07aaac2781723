//! The settings of e-mail and push: what the README shows is accepted, what is wrong is named.

use crate::harness::{Folder, ROUTES, SECRET, SETTINGS, said};

/// Secrets, and settings without departments: those of the test follow.
fn folder(settings: &str) -> Folder {
    let base = SETTINGS.split("[departments.").next().expect("something before departments");
    let folder = Folder::with(&format!("{base}{settings}"), ROUTES);
    std::fs::create_dir(folder.path("secrets")).expect("a folder of the test");
    folder.write("secrets/smtp", "a password");
    for name in ["highways-push", "highways-push-before"] {
        folder.write(&format!("secrets/{name}"), SECRET);
    }
    folder
}

#[test]
fn every_sample_of_the_readme_is_accepted() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(path).expect("the README");
    let section = readme.split("## Departments without Kafka").nth(1).and_then(|rest| rest.split("\n## ").next());
    let samples: Vec<&str> =
        section.expect("the section").split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(samples.len(), 3);
    for sample in samples {
        let (code, out, err) = said(&folder(sample).run(&["check"]));
        assert_eq!(code, Some(0), "{sample}\n{out}{err}");
        let department = sample.split("[departments.").nth(1).and_then(|rest| rest.split(']').next());
        let department = department.expect("a department");
        assert!(!out.contains(&format!("departments.{department}")), "no warning: {out}");
    }
}

const SMTP: &str = "[smtp]\nhost = \"smtp.example.gov.uk\"\nfrom = \"sms-router@example.gov.uk\"\n";

fn email(inside: &str) -> String {
    format!("{SMTP}[departments.highways]\nemail = {{ {inside} }}\n")
}

fn push(inside: &str) -> String {
    format!("[departments.highways]\npush = {{ {inside} }}\n")
}

fn check(settings: &str, key: &str, words: &str) {
    let folder = folder(settings);
    folder.write("secrets/weak", "whsec_AAAA");
    let (code, out, err) = said(&folder.run(&["check"]));
    assert_eq!(code, Some(1), "{settings}\n{out}{err}");
    let line = out.lines().find(|line| line.contains(&format!(": {key}: ")) && line.contains(words));
    let line = line.unwrap_or_else(|| panic!("{key}: {words}: {out}"));
    assert!(line.contains("sms-router.toml:"), "{line}");
}

#[test]
fn what_is_wrong_with_mails_is_named_with_its_place() {
    let server = |more: &str| format!("{SMTP}{more}\n");
    for (settings, key, words) in [
        (email("to = []"), "departments.highways.email.to", "1 to 50 addresses"),
        (email(""), "departments.highways.email.to", "1 to 50 addresses"),
        (email("to = [\"highways\"]"), "departments.highways.email.to", "no address of a mailbox"),
        (email("to = [\"a@example.org\\r\\nBcc: b@example.org\"]"), "departments.highways.email.to", "no address"),
        (email("to = [\"\\\"a b\\\"@example.org\"]"), "departments.highways.email.to", "no address"),
        (email("to = [\"a@example.org, b@example.org\"]"), "departments.highways.email.to", "no address"),
        (email("to = [\"a@example.org\", \"a@example.org\"]"), "departments.highways.email.to", "twice"),
        (email("to = [\"a@example.org\"], reply_to = \"x\""), "departments.highways.email.reply_to", "no address"),
        (email("to = [\"a@example.org\"], digest_minutes = 0"), "departments.highways.email.digest_minutes", "from 1"),
        (email("to = [\"a@example.org\"], cc = \"x\""), "departments.highways.email.cc", "is not a setting"),
        (
            email("to = [\"a@example.org\"]").replace(SMTP, ""),
            "departments.highways.email",
            "write [smtp] with host and from",
        ),
        ("[smtp]\nfrom = \"a@example.org\"\n".to_owned(), "smtp.host", "is missing"),
        ("[smtp]\nhost = \"x\"\n".to_owned(), "smtp.from", "is missing"),
        (server("tls = \"maybe\""), "smtp.tls", "none of"),
        (server("port = 0"), "smtp.port", "from 1 to 65535"),
        (server("user = \"x\""), "smtp.user", "belong together"),
        (server("user = \"x\"\npassword = \"hush\""), "smtp.password", "is not a secret"),
        (server("ca = \"secrets/smtp\""), "smtp.ca", "needs PEM"),
        (server("ca = \"nowhere.pem\""), "smtp.ca", "cannot be read"),
        (SMTP.replace("smtp.example", "smtp example"), "smtp.host", "no name of a host"),
        ("[deliver]\nretry_max_ms = 500\n".to_owned(), "deliver.retry_max_ms", "less than retry_ms"),
    ] {
        check(&settings, key, words);
    }
}

#[test]
fn what_is_wrong_with_pushes_is_named_with_its_place() {
    let secrets = "secrets = [{ file = \"secrets/highways-push\" }]";
    let url = |url: &str| push(&format!("url = \"{url}\", {secrets}"));
    for (settings, key, words) in [
        (push(secrets), "departments.highways.push.url", "is missing"),
        (push("url = \"https://x.example\""), "departments.highways.push.secrets", "is missing"),
        (push("url = \"https://x.example\", secrets = []"), "departments.highways.push.secrets", "is missing"),
        (
            push("url = \"https://x.example\", secrets = [{ file = \"secrets/weak\" }]"),
            "departments.highways.push.secrets",
            "at least 24 bytes",
        ),
        (url("http://x.example/texts"), "departments.highways.push.url", "must begin with https://"),
        (url("ftp://x.example"), "departments.highways.push.url", "must begin with https://"),
        (url("https://a:b@x.example"), "departments.highways.push.url", "holds a password"),
        (url("https://10.0.0.1/texts"), "departments.highways.push.url", "private_network = true"),
        (url("http://127.0.0.1:8080/texts"), "departments.highways.push.url", "private_network = true"),
        (url("https://[::ffff:169.254.169.254]/"), "departments.highways.push.url", "private_network = true"),
        (
            push(&format!("url = \"https://x.example\", in_flight_max = 0, {secrets}")),
            "departments.highways.push.in_flight_max",
            "from 1",
        ),
    ] {
        check(&settings, key, words);
    }
    let near = format!("url = \"http://127.0.0.1:8080/texts\", private_network = true, {secrets}");
    let (code, out, _) = said(&folder(&push(&near)).run(&["check"]));
    assert_eq!(code, Some(0), "{out}");
}

#[test]
fn settings_for_another_machine_are_judged_without_its_files() {
    let server = format!("{SMTP}user = \"x\"\npassword = {{ file = \"nowhere\" }}\nca = \"nowhere.pem\"\n");
    let there = push("url = \"https://x.example\", secrets = [{ file = \"nowhere\" }], ca = \"nowhere.pem\"");
    let folder = folder(&format!("{server}{there}"));
    assert_eq!(said(&folder.run(&["check"])).0, Some(1));
    let (code, out, err) = said(&folder.run(&["check", "--without-secrets"]));
    assert_eq!(code, Some(0), "{out}{err}");
}

#[test]
fn every_problem_is_told_at_once_and_mails_in_the_clear_are_warned_of() {
    let settings = "[smtp]\nhost = \"\"\n[deliver]\ngroup = \"\"\n[departments.highways]\nemail = { to = [\"x\"] }\npush = { url = \"x\" }\n";
    let (_, out, _) = said(&folder(settings).run(&["check"]));
    for key in ["smtp.host", "smtp.from", "deliver.group", "email.to", "push.url", "push.secrets"] {
        assert!(out.contains(key), "{key}: {out}");
    }
    let (code, out, _) = said(&folder(&format!("{SMTP}tls = \"none\"\n")).run(&["check"]));
    assert!(code == Some(0) && out.contains("smtp.tls: is \"none\""), "{out}");
    let (code, out, _) =
        said(&folder(&email("to = [\"a@example.org\"]").replace("highways", "nobody")).run(&["check"]));
    assert!(code == Some(0) && out.contains("departments.nobody: the routes name no such department"), "{out}");
}
