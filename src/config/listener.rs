//! `listen`, its bounds and `tls`: the same keys for all three listeners.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::server::{Certificates, Pem, TlsError};

use super::document::{Place, Problem};
use super::file::read_small;
use super::read::Section;
use super::secrets::Vault;

/// A listener's settings.
#[derive(Debug, Clone)]
pub struct Listener {
    pub listen: SocketAddr,
    /// Where that was written.
    pub place: Place,
    pub connections_max: usize,
    /// For the head of a request, and between two requests.
    pub header_timeout: Duration,
    pub tls: Option<TlsFiles>,
}

/// Certificate chain and key, read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// Authorities of which every client must show a certificate.
    pub client_ca: Option<PathBuf>,
}

impl TlsFiles {
    /// The file that an error is about, and its key in the settings.
    pub fn at_fault(&self, error: &TlsError) -> (&'static str, &Path) {
        match error {
            TlsError::NoCertificate | TlsError::Unreadable(_) => ("certificate", &self.certificate),
            TlsError::NoKey | TlsError::Mismatch(_) => ("key", &self.key),
            TlsError::ClientAuthorities => ("client_ca", self.client_ca.as_ref().unwrap_or(&self.certificate)),
        }
    }
}

/// Who connects to a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clients {
    /// Carriers, probes of a kubelet: none of them has a certificate of ours.
    AreAnybody,
    MayHaveToProveThemselves,
}

/// `None` when its address is wrong, which has then been noted.
pub(super) fn read(
    section: &Section<'_>,
    default: &str,
    connections_max: usize,
    clients: Clients,
    vault: &Vault<'_>,
) -> Option<Listener> {
    let listen = section.string("listen").unwrap_or_else(|| default.to_owned());
    let listen: Option<SocketAddr> = listen.parse().ok();
    match listen {
        None => section.refuse("listen", "is not an address and port (\"127.0.0.1:8080\")"),
        Some(listen) if vault.is_sample && !listen.ip().is_loopback() => {
            section.refuse("listen", "the sample listens on loopback only: write a settings file of your own");
        }
        Some(_) => {}
    }
    let place = section.place_of("listen");
    let connections_max = section.count("connections_max", connections_max, 1..=1_000_000);
    let header_timeout = section.milliseconds("header_timeout_ms", Duration::from_secs(5), 100..=300_000);
    let tls = tls(section.section("tls"), vault, clients);
    Some(Listener { listen: listen?, place, connections_max, header_timeout, tls })
}

/// The files named, and whether a listener could use what is in them.
fn tls(section: Section<'_>, vault: &Vault<'_>, clients: Clients) -> Option<TlsFiles> {
    if !section.is_present() {
        return None;
    }
    let path = |name: String| vault.folder.join(name);
    let (certificate, key) = (section.required("certificate").map(path), section.required("key").map(path));
    let client_ca = match clients {
        Clients::MayHaveToProveThemselves => section.string("client_ca").map(path),
        Clients::AreAnybody => None,
    };
    let files = certificate.zip(key).map(|(certificate, key)| TlsFiles { certificate, key, client_ca });
    if let Some(files) = files.as_ref().filter(|_| vault.has_files()) {
        try_certificates(&section, files);
    }
    section.finish();
    files
}

fn try_certificates(section: &Section<'_>, files: &TlsFiles) {
    let refuse = |key: &str, path: &Path, reason: &str| section.refuse(key, format!("{} {reason}", path.display()));
    let read = |key: &str, path: &Path| {
        let content = read_small(path);
        content.map_err(|error| refuse(key, path, &format!("cannot be read: {error}"))).ok()
    };
    let (chain, key) = (read("certificate", &files.certificate), read("key", &files.key));
    let client_ca = files.client_ca.as_ref().map(|path| read("client_ca", path));
    let (Some(chain), Some(key), None | Some(Some(_))) = (chain, key, &client_ca) else { return };
    if let Err(error) = Certificates::parse(&Pem { chain, key, client_ca: client_ca.flatten() }) {
        let (name, path) = files.at_fault(&error);
        refuse(name, path, &format!("cannot be used: {error}"));
    }
}

/// Listeners of which only one could have its port.
pub(super) fn in_each_others_way(listeners: &[(&str, &Listener)]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (index, (name, listener)) in listeners.iter().enumerate() {
        let taken = listeners[..index].iter().find(|(_, other)| is_one_address(other.listen, listener.listen));
        if let Some((other, _)) = taken {
            let reason = format!("{} is taken by {other}.listen: each listener needs its own", listener.listen);
            problems.push(Problem { place: listener.place.clone(), key: format!("{name}.listen"), reason });
        }
    }
    problems
}

/// Whether two sockets cannot listen on both. An unspecified address is every address of its family, and
/// that of IPv6 of both.
fn is_one_address(one: SocketAddr, other: SocketAddr) -> bool {
    let covers = |all: IpAddr, one: IpAddr| all.is_unspecified() && (all.is_ipv6() || one.is_ipv4());
    let is_one_ip = one.ip() == other.ip() || covers(one.ip(), other.ip()) || covers(other.ip(), one.ip());
    one.port() != 0 && one.port() == other.port() && is_one_ip
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_in_each_others_way_where_the_system_says_so() {
        for (one, other, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("0.0.0.0:80", "127.0.0.2:80", true),
            ("[::]:80", "127.0.0.2:80", true),
            ("[::]:80", "0.0.0.0:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::1]:80", "127.0.0.1:80", false),
        ] {
            let address = |written: &str| written.parse().expect("an address");
            assert_eq!(is_one_address(address(one), address(other)), expected, "{one} {other}");
            assert_eq!(is_one_address(address(other), address(one)), expected, "{other} {one}");
        }
    }
}
