//! Which addresses are anybody's on the Internet, and which are a network's own.
//!
//! Sources: the IANA registries of special-purpose addresses, IPv4 (RFC 6890 and later) and IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, c: u8, d: u8, prefix: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix))
}

const fn v6(a: u16, b: u16, c: u16, prefix: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0), prefix))
}

/// What is not routed between networks, or is no single host.
const NOT_PUBLIC: [IpNet; 28] = [
    v4(0, 0, 0, 0, 8),        // this network
    v4(10, 0, 0, 0, 8),       // private
    v4(100, 64, 0, 0, 10),    // behind a carrier's NAT; clouds' metadata too (100.100.100.200)
    v4(127, 0, 0, 0, 8),      // loopback
    v4(169, 254, 0, 0, 16),   // link-local; clouds' metadata (169.254.169.254)
    v4(172, 16, 0, 0, 12),    // private
    v4(192, 0, 0, 0, 24),     // protocols; metadata of one cloud (192.0.0.192)
    v4(192, 0, 2, 0, 24),     // documentation
    v4(192, 88, 99, 0, 24),   // relays of 6to4, given up
    v4(192, 168, 0, 0, 16),   // private
    v4(198, 18, 0, 0, 15),    // benchmarks
    v4(198, 51, 100, 0, 24),  // documentation
    v4(203, 0, 113, 0, 24),   // documentation
    v4(224, 0, 0, 0, 4),      // multicast
    v4(240, 0, 0, 0, 4),      // reserved, and broadcast
    v4(168, 63, 129, 16, 32), // a cloud's services for its machines
    v6(0, 0, 0, 96),          // unspecified, loopback, compatible with IPv4
    v6(0x64, 0xff9b, 1, 48),  // translation of a network's own
    v6(0x100, 0, 0, 64),      // discarded
    v6(0x2001, 0, 0, 23),     // protocols, Teredo among them
    v6(0x2001, 0xdb8, 0, 32), // documentation
    v6(0x2002, 0, 0, 16),     // 6to4: an address of IPv4 inside
    v6(0x3fff, 0, 0, 20),     // documentation
    v6(0x5f00, 0, 0, 16),     // segment routing
    v6(0xfc00, 0, 0, 7),      // unique local; metadata of one cloud (fd00:ec2::254)
    v6(0xfe80, 0, 0, 10),     // link-local
    v6(0xfec0, 0, 0, 10),     // site-local, given up
    v6(0xff00, 0, 0, 8),      // multicast
];

/// Prefix of addresses of IPv4 within IPv6 by translation (NAT64), RFC 6052.
const NAT64: Ipv6Net = Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96);

/// Whether an address is a host's on the Internet. One of IPv4 that is written within IPv6 is what it stands for.
pub fn is_public(address: IpAddr) -> bool {
    let address = match address.to_canonical() {
        IpAddr::V6(translated) if NAT64.contains(&translated) => {
            let [.., a, b, c, d] = translated.octets();
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        address => address,
    };
    !NOT_PUBLIC.iter().any(|network| network.contains(&address))
}
