//! `[deliver]`, `[smtp]` and the channels of `[departments.NAME]`: texts without Kafka.

use std::net::IpAddr;
use std::time::Duration;

use lettre::Address;

use crate::carrier;
use crate::deliver::{Delivery, Email, Push, Retry, Settings, Smtp, SmtpTls};
use crate::fetch;
use crate::message::Secret;

use super::document::{Node, Value};
use super::file::read_small;
use super::publish::credentials;
use super::read::Section;
use super::secrets::Vault;

/// Mailboxes of one department.
const MAILBOXES_MAX: usize = 50;
/// RFC 5321, section 4.5.3.1.3: a path of 256 characters with its brackets.
const ADDRESS_MAX: usize = 254;

/// What is delivered, and under which name it is consumed.
#[derive(Debug, Clone)]
pub struct Deliver {
    /// Consumer group of e-mail; push has it with `-push` behind it.
    pub group: String,
    /// Without departments for a command that delivers nothing.
    pub settings: Settings,
}

/// `[deliver]`, without departments yet.
pub(super) fn read(section: Section<'_>, smtp: Option<Smtp>) -> Deliver {
    let group = section.string("group").unwrap_or_else(|| "sms-router-deliver".to_owned());
    if group.is_empty() {
        section.refuse("group", "is empty: the name of a consumer group, or leave it out");
    }
    let retry = Retry {
        first: section.milliseconds("retry_ms", Duration::from_secs(1), 10..=60_000),
        longest: section.milliseconds("retry_max_ms", Duration::from_secs(300), 10..=3_600_000),
        give_up: section.milliseconds("give_up_ms", Duration::from_secs(72 * 3600), 1_000..=30 * 24 * 3_600_000),
    };
    if retry.longest < retry.first {
        section.refuse("retry_max_ms", "is less than retry_ms, the first pause");
    }
    section.finish();
    Deliver { group, settings: Settings { departments: Default::default(), smtp, retry } }
}

/// `[smtp]`; `None` without it, or where it is wrong, which has then been noted.
pub(super) fn smtp(section: Section<'_>, is_delivering: bool, vault: &Vault<'_>) -> Option<Smtp> {
    if !section.is_present() {
        return None;
    }
    let host = section.required("host").filter(|host| {
        let is_host = rustls_pki_types::ServerName::try_from(host.as_str()).is_ok();
        if !is_host {
            section.refuse("host", "is no name of a host (\"smtp.example.gov.uk\")");
        }
        is_host
    });
    let tls = section.parsed("tls", |word| match word {
        "starttls" => Ok(SmtpTls::StartTls),
        "implicit" => Ok(SmtpTls::Implicit),
        "none" => Ok(SmtpTls::None),
        other => Err(format!("{other:?} is none of \"starttls\", \"implicit\" and \"none\"")),
    });
    let tls = tls.unwrap_or(SmtpTls::StartTls);
    let default_port = match tls {
        SmtpTls::StartTls => 587,
        SmtpTls::Implicit => 465,
        SmtpTls::None => 25,
    };
    let port = u16::try_from(section.integer("port", default_port, 1..=65_535)).unwrap_or(587);
    let from = address(&section, "from");
    if section.node("from").is_none() {
        section.refuse("from", "is missing: the address that mails come from, no person's");
    }
    let authorities = authorities(&section, is_delivering, vault);
    let timeout = section.milliseconds("timeout_ms", Duration::from_secs(30), 100..=300_000);
    let credentials = if is_delivering {
        credentials(&section, vault)
    } else {
        section.node("password").and(section.string("user"));
        None
    };
    let is_near = |host: &String| host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    if tls == SmtpTls::None && !host.as_ref().is_some_and(is_near) {
        vault.warn(&section, "tls", "is \"none\": residents' words, and any password, cross the network unencrypted");
    }
    section.finish();
    Some(Smtp { host: host?, port, tls, credentials, from: from?, authorities, timeout })
}

/// `email` and `push` of a department.
pub(super) fn channels(
    section: &Section<'_>,
    has_smtp: bool,
    is_delivering: bool,
    vault: &Vault<'_>,
) -> Option<Delivery> {
    let email = email(section.section("email"), has_smtp);
    let push = push(section.section("push"), is_delivering, vault);
    (email.is_some() || push.is_some()).then_some(Delivery { email, push })
}

fn email(section: Section<'_>, has_smtp: bool) -> Option<Email> {
    if !section.is_present() {
        return None;
    }
    if !has_smtp {
        section.refuse("", "needs a server that takes mails: write [smtp] with host and from");
    }
    let written = section.strings("to").unwrap_or_default();
    if !(1..=MAILBOXES_MAX).contains(&written.len()) {
        section.refuse("to", format!("must name 1 to {MAILBOXES_MAX} addresses ([\"highways@example.gov.uk\"])"));
    }
    let mut to = Vec::new();
    for written in &written {
        match parse_address(written) {
            Ok(address) if to.contains(&address) => section.refuse("to", format!("names {written:?} twice")),
            Ok(address) => to.push(address),
            Err(reason) => section.refuse("to", reason),
        }
    }
    let reply_to = address(&section, "reply_to");
    let digest = section.node("digest_minutes").map(|_| section.integer("digest_minutes", 15, 1..=24 * 60));
    let digest =
        digest.and_then(|minutes| u64::try_from(minutes).ok()).map(|minutes| Duration::from_secs(60 * minutes));
    let hourly_max = section.count("hourly_max", 600, 1..=100_000);
    section.finish();
    Some(Email { to, reply_to, digest, hourly_max })
}

fn push(section: Section<'_>, is_delivering: bool, vault: &Vault<'_>) -> Option<Push> {
    if !section.is_present() {
        return None;
    }
    let private_network = section.boolean("private_network", false);
    let url = section.required("url").and_then(|url| match check_url(&url, private_network) {
        Ok(url) => Some(url),
        Err(reason) => {
            section.refuse("url", reason);
            None
        }
    });
    let is_empty = |node: &Node| matches!(&node.value, Value::Array(secrets) if secrets.is_empty());
    if section.node("secrets").is_none_or(is_empty) {
        section.refuse("secrets", "is missing: what pushes are signed with; [{ file = \"PATH\" }], whsec_… inside");
    }
    let secrets = if is_delivering { vault.several(&section, "secrets") } else { Vec::new() };
    for reason in secrets.iter().filter(|_| vault.has_files()).filter_map(wrong_with) {
        section.refuse("secrets", format!("cannot sign: {reason}; echo whsec_$(openssl rand -base64 32)"));
    }
    let in_flight_max = section.count("in_flight_max", 8, 1..=256);
    let timeout = section.milliseconds("timeout_ms", Duration::from_secs(10), 100..=300_000);
    let authorities = authorities(&section, is_delivering, vault);
    section.finish();
    Some(Push { url: url?, secrets, in_flight_max, timeout, private_network, authorities })
}

fn wrong_with(secret: &Secret) -> Option<&'static str> {
    carrier::standard_webhooks::check_secret(secret).err()
}

fn check_url(url: &str, private_network: bool) -> Result<hyper::Uri, String> {
    fetch::check_url(url).map_err(|error| error.to_string())?;
    let uri: hyper::Uri = url.parse().map_err(|_| "is no URL".to_owned())?;
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("holds a password: pushes are proven by their signature".to_owned());
    }
    if !private_network && fetch::literal(&uri).is_some_and(|address| !fetch::is_public(address)) {
        return Err("leads to an address that is not public: say private_network = true if that is meant".to_owned());
    }
    Ok(uri)
}

/// A PEM file of authorities, read now; only where something is delivered must it be there.
fn authorities(section: &Section<'_>, is_delivering: bool, vault: &Vault<'_>) -> Option<Vec<u8>> {
    let path = vault.folder.join(section.string("ca")?);
    if !is_delivering || !vault.has_files() {
        return None;
    }
    let read = read_small(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()));
    let checked = read.and_then(|pem| match fetch::roots(Some(&pem)) {
        Ok(_) => Ok(pem),
        Err(error) => Err(format!("{} cannot be used: {error}", path.display())),
    });
    checked.map_err(|reason| section.refuse("ca", reason)).ok()
}

fn address(section: &Section<'_>, key: &'static str) -> Option<Address> {
    section.parsed(key, parse_address)
}

/// As mail servers everywhere take it: plain ASCII without quotes, so that it can neither end a line nor a list.
fn parse_address(written: &str) -> Result<Address, String> {
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"(),:;<>[\\]".contains(&byte);
    let refused = || format!("{written:?} is no address of a mailbox (\"highways@example.gov.uk\")");
    if written.len() > ADDRESS_MAX || !written.bytes().all(is_plain) {
        return Err(refused());
    }
    written.parse().map_err(|_| refused())
}
