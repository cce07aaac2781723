//! Networks in the settings, and `[inbound] trusted_proxies`: whose word on where a request comes from is
//! taken.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::webhook::{ForwardedHeader, Proxies};

use super::read::Section;

pub(super) fn read(section: &Section<'_>) -> Proxies {
    let trusted = networks(section, "trusted_proxies");
    if trusted.iter().any(|network| network.prefix_len() == 0) {
        section.refuse("trusted_proxies", "would trust everybody: name the proxies' own addresses");
    }
    let header = section.parsed("forwarded_header", |word| {
        let known = ForwardedHeader::parse(word);
        known.ok_or_else(|| format!("{word:?} is neither \"x-forwarded-for\" nor \"forwarded\""))
    });
    if header.is_some() && section.node("trusted_proxies").is_none() {
        section.refuse("forwarded_header", "says nothing without trusted_proxies: who else could be believed?");
    }
    Proxies { trusted, header: header.unwrap_or_default() }
}

/// A list of addresses and networks.
pub(super) fn networks(section: &Section<'_>, key: &'static str) -> Vec<IpNet> {
    let written = section.strings(key).unwrap_or_default();
    let network = |written: &String| written.parse().or_else(|_| written.parse::<IpAddr>().map(IpNet::from)).ok();
    let mut networks = Vec::with_capacity(written.len());
    for written in &written {
        match network(written) {
            Some(network) => networks.push(network),
            None => {
                section.refuse(key, format!("{written:?} is neither an address nor a network (\"192.0.2.0/24\")"));
            }
        }
    }
    networks
}
