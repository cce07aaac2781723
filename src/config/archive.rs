//! `[archive]`: where audit copies live, and the way there.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::archive;

use super::SecretsNeeded;
use super::file::{Stamped, read_small};
use super::publish::credentials;
use super::read::Section;
use super::secrets::Vault;

/// Where audit copies live.
#[derive(Debug, Clone)]
pub enum Archive {
    Local,
    Cql { settings: Box<archive::Settings>, group: String },
}

pub(super) fn read(section: Section<'_>, vault: &Vault<'_>) -> Option<Archive> {
    if vault.needed == SecretsNeeded::Deliver {
        // Of no concern, password and certificates neither: another process fills it.
        return Some(Archive::Local);
    }
    let to = section.string("to").unwrap_or_else(|| "local".to_owned());
    let archive = match to.as_str() {
        "local" => Some(Archive::Local),
        "cql" => cql(&section, vault),
        other => {
            section.refuse("to", format!("{other:?} is neither \"local\" nor \"cql\""));
            None
        }
    };
    section.finish();
    archive
}

fn cql(section: &Section<'_>, vault: &Vault<'_>) -> Option<Archive> {
    let nodes = section.strings("nodes").unwrap_or_default();
    if nodes.is_empty() {
        section.refuse("nodes", "is missing: addresses of the cluster ([\"127.0.0.1:9042\"])");
    }
    let keyspace = section.string("keyspace").unwrap_or_else(|| "sms".to_owned());
    let mut settings = archive::Settings::new(nodes, keyspace);
    let copies = section.integer("replication", 3, 1..=100);
    settings.replication = archive::Replication::Everywhere(u32::try_from(copies).unwrap_or(3));
    let datacenters = section.properties("datacenters");
    if !datacenters.is_empty() {
        let mut copies_by_name = BTreeMap::new();
        for (name, copies) in datacenters {
            match copies.parse::<u32>() {
                Ok(copies @ 1..=100) => drop(copies_by_name.insert(name, copies)),
                _ => section.refuse("datacenters", format!("{name}: {copies:?} is not a number of copies (1 to 100)")),
            }
        }
        settings.replication = archive::Replication::Datacenters(copies_by_name);
    }
    settings.datacenter = section.string("datacenter");
    settings.user = credentials(section, vault);
    settings.tls = tls(section.section("tls"), vault);
    let is_elsewhere = |node: &String| !node.parse::<SocketAddr>().is_ok_and(|node| node.ip().is_loopback());
    if settings.tls.is_none() && settings.nodes.iter().any(is_elsewhere) {
        vault.warn(section, "tls", "is missing: copies of residents' words cross the network unencrypted");
    }
    settings.request_timeout = section.milliseconds("request_timeout_ms", settings.request_timeout, 100..=60_000);
    let group = section.string("group").unwrap_or_else(|| "sms-router-archive".to_owned());
    Some(Archive::Cql { settings: Box::new(settings), group })
}

fn tls(section: Section<'_>, vault: &Vault<'_>) -> Option<archive::Tls> {
    if !section.is_present() {
        return None;
    }
    let read = |key: &'static str| -> Option<Vec<u8>> {
        let path = vault.folder.join(section.string(key)?);
        if !vault.has_files() {
            return Some(Vec::new());
        }
        vault.files.borrow_mut().push(Stamped::now(path.clone()));
        let refuse = |error| section.refuse(key, format!("{} cannot be read: {error}", path.display()));
        // What cannot be read has been refused: the settings are not used.
        Some(read_small(&path).map_err(refuse).unwrap_or_default())
    };
    let (authorities, certificate, key) = (read("ca"), read("certificate"), read("key"));
    if certificate.is_some() != key.is_some() {
        section.refuse("certificate", "certificate and key belong together");
    }
    let name = section.string("server_name");
    let pem = if vault.has_files() {
        archive::TlsPem { authorities, name, client: certificate.zip(key) }
    } else {
        archive::TlsPem { authorities: None, name, client: None }
    };
    let refuse = |error: archive::TlsError| {
        let key = match error {
            archive::TlsError::Authorities => "ca",
            archive::TlsError::Name => "server_name",
            archive::TlsError::Certificate => "certificate",
            archive::TlsError::Key | archive::TlsError::Mismatch(_) => "key",
        };
        section.refuse(key, format!("cannot be used: {error}"));
    };
    let tls = archive::Tls::new(&pem).map_err(refuse).ok();
    section.finish();
    tls
}
