//! Which address a request comes from when a proxy stands before us.
//!
//! Comes in: the connection's address and the request's headers. Goes out: the address that allow-lists
//! judge.
//! Always true: a header counts only on a connection from a trusted proxy, and of what it says only the
//! part that trusted proxies wrote. Each proxy adds at the right whom it was called by, so from the right
//! the first address that is no trusted proxy's is the client's; what stands left of it the client may
//! have made up. Nothing readable there, or nothing but proxies: the connection's own address is judged,
//! which allow-lists do not hold.
//! Not here: what the header's other fields say (protocol, host), for URLs come from the settings.
//!
//! Sources: RFC 7239 (`Forwarded`); `X-Forwarded-For` as nginx, HAProxy, Envoy and the cloud's balancers
//! write it.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::ControlFlow;

use hyper::HeaderMap;
use ipnet::IpNet;

/// The header in which the trusted proxies say whom they were called by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardedHeader {
    #[default]
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

impl ForwardedHeader {
    /// The word for it in the settings, which is the header's name.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::XForwardedFor, Self::Forwarded].into_iter().find(|header| header.name().eq_ignore_ascii_case(word))
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }
}

/// Proxies whose word is taken; none unless the settings name some.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    pub trusted: Vec<IpNet>,
    pub header: ForwardedHeader,
}

/// Goes on past a trusted proxy; ends at an address, or at what is none.
type Walk = ControlFlow<Option<IpAddr>>;

impl Proxies {
    /// Where the request comes from, `peer` being at the other end of the connection.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if !self.trusts(peer) {
            return peer;
        }
        let lines = headers.get_all(self.header.name()).iter().rev();
        let walked = lines.map(|line| line.to_str().ok()).try_for_each(|line| match line {
            Some(line) => self.walk(line),
            None => ControlFlow::Break(None),
        });
        walked.break_value().flatten().unwrap_or(peer)
    }

    /// Whether some address of the network is a trusted proxy's.
    pub fn overlap(&self, network: &IpNet) -> bool {
        self.trusted.iter().any(|trusted| trusted.contains(network) || network.contains(trusted))
    }

    /// One line of the header, from the right.
    fn walk(&self, line: &str) -> Walk {
        match self.header {
            ForwardedHeader::XForwardedFor => {
                line.rsplit(',').map(|written| address(written.trim())).try_for_each(|address| self.pass(address))
            }
            ForwardedHeader::Forwarded => match forwarded(line) {
                Some(elements) => elements.into_iter().rev().try_for_each(|address| self.pass(address)),
                None => ControlFlow::Break(None),
            },
        }
    }

    fn pass(&self, address: Option<IpAddr>) -> Walk {
        match address {
            Some(address) if self.trusts(address) => ControlFlow::Continue(()),
            other => ControlFlow::Break(other),
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        // A listener on [::] sees IPv4 callers as ::ffff:a.b.c.d.
        let address = address.to_canonical();
        self.trusted.iter().any(|network| network.contains(&address))
    }
}

/// An address with or without a port, IPv6 with or without brackets.
fn address(written: &str) -> Option<IpAddr> {
    let bracketed = || written.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    let with_port = || written.parse::<SocketAddr>().ok().map(|address| address.ip());
    written.parse().ok().or_else(with_port).or_else(bracketed)
}

/// What `for` says in each element of a line of `Forwarded`: `None` for `unknown`, for a made-up name and
/// where there is no `for`. Nothing at all when the line is not well formed, so that an open quotation
/// mark from the client cannot swallow what a proxy added.
fn forwarded(line: &str) -> Option<Vec<Option<IpAddr>>> {
    let (mut elements, mut client, mut rest) = (Vec::new(), None, line.trim_start());
    loop {
        if !rest.is_empty() && !rest.starts_with([',', ';']) {
            let (name, after) = rest.split_once('=').filter(|(name, _)| is_token(name))?;
            let (value, after) = value(after)?;
            let is_for = name.eq_ignore_ascii_case("for");
            if is_for && client.replace(address(value)).is_some() {
                return None;
            }
            rest = after.trim_start();
        }
        let separator = rest.chars().next();
        if separator != Some(';') {
            elements.push(client.take().flatten());
        }
        match separator {
            None => return Some(elements),
            Some(',' | ';') => rest = rest[1..].trim_start(),
            Some(_) => return None,
        }
    }
}

/// A quoted string without its marks, or what is written without them; and what follows.
fn value(input: &str) -> Option<(&str, &str)> {
    let Some(quoted) = input.strip_prefix('"') else {
        let end = input.find([',', ';', ' ', '\t']).unwrap_or(input.len());
        let (value, after) = input.split_at(end);
        // Some write addresses with their colons and brackets unquoted, which the RFC does not allow.
        return (!value.is_empty() && !value.contains('"')).then_some((value, after));
    };
    let mut is_escaped = false;
    let end = quoted.find(|character| {
        let is_end = character == '"' && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        is_end
    })?;
    Some((&quoted[..end], &quoted[end + 1..]))
}

fn is_token(name: &str) -> bool {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_token)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const PROXY: &str = "10.0.0.9";
    const CLIENT: &str = "203.0.113.9";

    fn proxies(header: ForwardedHeader) -> Proxies {
        let trusted = ["10.0.0.0/8", "2001:db8:1::/48"].map(|network| network.parse().expect("a network"));
        Proxies { trusted: trusted.to_vec(), header }
    }

    /// The client of a request from `peer` whose header has these lines.
    fn client(header: ForwardedHeader, peer: &str, lines: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header.name(), HeaderValue::from_bytes(line).expect("a header's value"));
        }
        proxies(header).client(peer.parse().expect("an address"), &headers).to_string()
    }

    fn check(header: ForwardedHeader, rows: &[(&str, &[&str], &str)]) {
        for (peer, lines, expected) in rows {
            let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
            assert_eq!(client(header, peer, &lines), *expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn from_the_right_the_first_that_is_no_trusted_proxy_counts() {
        let rows: &[(&str, &[&str], &str)] = &[
            (PROXY, &[CLIENT], CLIENT),
            (PROXY, &["192.0.2.10, 203.0.113.9"], CLIENT),
            (PROXY, &["192.0.2.10,203.0.113.9 , 10.1.1.1,10.2.2.2"], CLIENT),
            (PROXY, &["192.0.2.10", "203.0.113.9, 10.1.1.1", "10.2.2.2"], CLIENT),
            (PROXY, &["10.1.1.1, 203.0.113.9"], CLIENT),
            (PROXY, &["garbage, 203.0.113.9"], CLIENT),
            (PROXY, &["203.0.113.9:51234"], CLIENT),
            (PROXY, &["::ffff:10.1.1.1, ::ffff:203.0.113.9"], "::ffff:203.0.113.9"),
            (PROXY, &["2001:db8::1"], "2001:db8::1"),
            (PROXY, &["[2001:db8::1]"], "2001:db8::1"),
            (PROXY, &["[2001:db8::1]:443, 2001:db8:1::5"], "2001:db8::1"),
            ("::ffff:10.0.0.9", &[CLIENT], CLIENT),
            ("2001:db8:1::9", &[CLIENT], CLIENT),
        ];
        check(ForwardedHeader::XForwardedFor, rows);
    }

    #[test]
    fn a_header_that_says_nothing_readable_leaves_the_proxys_address() {
        let rows: &[(&str, &[&str], &str)] = &[
            (PROXY, &[], PROXY),
            (PROXY, &[""], PROXY),
            (PROXY, &["unknown"], PROXY),
            (PROXY, &["203.0.113.9, unknown"], PROXY),
            (PROXY, &["203.0.113.9, "], PROXY),
            (PROXY, &["203.0.113.9", "x"], PROXY),
            (PROXY, &["203.0.113.9, garbage, 10.1.1.1"], PROXY),
            (PROXY, &["203.0.113.999"], PROXY),
            (PROXY, &["203.0.113.9:99999"], PROXY),
            (PROXY, &["203.0.113.0/24"], PROXY),
            (PROXY, &["[203.0.113.9]"], PROXY),
            (PROXY, &["\"203.0.113.9\""], PROXY),
            (PROXY, &["for=203.0.113.9"], PROXY),
            // Only proxies: whoever wrote the leftmost one may have made it up.
            (PROXY, &["10.1.1.1, 10.2.2.2"], PROXY),
        ];
        check(ForwardedHeader::XForwardedFor, rows);
        assert_eq!(client(ForwardedHeader::XForwardedFor, PROXY, &[b"203.0.113.9, \xe9"]), PROXY);
    }

    #[test]
    fn a_stranger_is_not_asked_where_it_comes_from() {
        let rows: &[(&str, &[&str], &str)] = &[
            (CLIENT, &["192.0.2.10"], CLIENT),
            (CLIENT, &["192.0.2.10, 10.1.1.1"], CLIENT),
            ("2001:db8:2::1", &["192.0.2.10"], "2001:db8:2::1"),
        ];
        check(ForwardedHeader::XForwardedFor, rows);
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", HeaderValue::from_static("192.0.2.10"));
        let peer: IpAddr = PROXY.parse().expect("an address");
        assert_eq!(Proxies::default().client(peer, &headers), peer, "no proxy is configured");
        assert_eq!(proxies(ForwardedHeader::Forwarded).client(peer, &headers), peer, "the other header is not read");
    }

    #[test]
    fn forwarded_is_read_as_the_standard_writes_it() {
        let rows: &[(&str, &[&str], &str)] = &[
            (PROXY, &["for=203.0.113.9"], CLIENT),
            (PROXY, &["For=\"203.0.113.9:4711\";proto=https;by=10.0.0.9"], CLIENT),
            (PROXY, &["proto=https; host=\"a,b;c\" ;FOR=203.0.113.9"], CLIENT),
            (PROXY, &["for=192.0.2.10, for=203.0.113.9, for=10.1.1.1"], CLIENT),
            (PROXY, &["for=192.0.2.10", "for=203.0.113.9;proto=http", "for=10.1.1.1"], CLIENT),
            (PROXY, &["for=unknown, for=203.0.113.9"], CLIENT),
            (PROXY, &["for=203.0.113.9:80"], CLIENT),
            (PROXY, &["for=\"[2001:db8:cafe::17]:4711\""], "2001:db8:cafe::17"),
            (PROXY, &["for=[2001:db8:cafe::17]"], "2001:db8:cafe::17"),
            (PROXY, &["for=203.0.113.9;"], CLIENT),
            (PROXY, &[";;for=203.0.113.9"], CLIENT),
            (PROXY, &["ext=\"a\\\"b\";for=203.0.113.9"], CLIENT),
            (CLIENT, &["for=192.0.2.10"], CLIENT),
        ];
        check(ForwardedHeader::Forwarded, rows);
    }

    #[test]
    fn forwarded_that_is_not_well_formed_leaves_the_proxys_address() {
        let rows: &[(&str, &[&str], &str)] = &[
            (PROXY, &["for=unknown"], PROXY),
            (PROXY, &["for=_hidden"], PROXY),
            (PROXY, &["proto=https"], PROXY),
            (PROXY, &["for=203.0.113.9, proto=https"], PROXY),
            (PROXY, &["203.0.113.9"], PROXY),
            (PROXY, &["for=203.0.113.9;for=192.0.2.10"], PROXY),
            (PROXY, &["for=203.0.113.9 by=10.0.0.9"], PROXY),
            (PROXY, &["for =203.0.113.9"], PROXY),
            (PROXY, &["for="], PROXY),
            (PROXY, &["for=203.0.113.9,"], PROXY),
            (PROXY, &["for=\"203.0.113.9"], PROXY),
            // A client that opens a quotation mark, so that what the proxy adds would end it.
            (PROXY, &["for=192.0.2.10;a=\", for=203.0.113.9"], PROXY),
            (PROXY, &["for=192.0.2.10, a=\", for=\"[2001:db8::1]:80\""], PROXY),
            (PROXY, &["for=192.0.2.10, a=\"\\, for=\"[2001:db8::1]:80\""], PROXY),
        ];
        check(ForwardedHeader::Forwarded, rows);
    }

    proptest! {
        /// Whatever a client sends along, the address that the proxy added after it is what counts, or
        /// the proxy's own.
        #[test]
        fn no_header_of_a_client_makes_it_another(sent in "[ -~]{0,60}") {
            for header in [ForwardedHeader::XForwardedFor, ForwardedHeader::Forwarded] {
                for added in ["203.0.113.9", "\"203.0.113.9:80\""] {
                    let added = match header {
                        ForwardedHeader::XForwardedFor => CLIENT.to_owned(),
                        ForwardedHeader::Forwarded => format!("for={added}"),
                    };
                    let line = format!("{sent}, {added}");
                    let found = client(header, PROXY, &[line.trim_start().as_bytes()]);
                    prop_assert!(found == CLIENT || found == PROXY, "{found}");
                }
            }
        }
    }
}
