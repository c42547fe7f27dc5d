//! The client's address: whose word counts for it.
//!
//! Takes the address that a connection came from, and the X-Forwarded-For fields of a request; gives the
//! address that limits, logs and the backend go by. Anybody can write such a field (RFC 7239 section 8.1),
//! so an entry counts only if the hop that reported it is in a configured network ([`Networks`]). An
//! IPv4-mapped IPv6 address is the IPv4 address that it carries. What a PROXY protocol header says is
//! read by the listener, before there is a request.

pub mod text;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::{IpNet, Ipv4Net};

/// The hops that a request passed, the nearest last.
pub const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Networks whose word counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    /// Takes the networks.
    pub fn new(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Self(networks.into_iter().map(canonical).collect())
    }

    /// Whether one of them is all of IPv4 or all of IPv6.
    pub fn are_everybody(&self) -> bool {
        // Whichever version: `check` warns of it, for then everybody's word counts.
        self.0.iter().any(|network| network.prefix_len() == 0)
    }

    /// Whether an address is in one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        // A dual-stack socket shows IPv4 clients as ::ffff:a.b.c.d, and networks are written as IPv4.
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// A network of IPv4-mapped addresses as the network of the addresses that they carry.
fn canonical(network: IpNet) -> IpNet {
    let IpAddr::V4(mapped) = network.addr().to_canonical() else {
        return network;
    };
    let bits_of_mapping = network.max_prefix_len().saturating_sub(32);
    // One that is wider than the mapping holds more than IPv4, and stays what it is.
    let prefix = network.prefix_len().checked_sub(bits_of_mapping);
    prefix.and_then(|prefix| Ipv4Net::new(mapped, prefix).ok()).map_or(network, IpNet::V4)
}

/// Whose an address is: whoever has one of version 6 has 2^64 of them.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        // 64 bits: of such a network one host may take addresses at will (RFC 4862).
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address => address,
    }
}

/// The client's address as the hops tell it: the right-most address of X-Forwarded-For that is not in
/// `trusted`. What a hop outside has reported is not looked at, nor what stands left of an entry that is
/// no address: then the hop that reported it is as far as the trail leads. So is the left-most address
/// where all are trusted, and the connection's own where nothing is reported.
pub fn told_by_hops(connection: IpAddr, fields: &HeaderMap, trusted: &Networks) -> IpAddr {
    // Backwards: each hop writes behind what it got, so only the end is of those that are trusted.
    let lines = fields.get_all(FORWARDED_FOR).iter().rev();
    let mut entries = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    let mut hop = connection;
    // Ends at the first that is not: what that one reported is a stranger's word (RFC 7239 section 8.1).
    while trusted.contain(hop) {
        let Some(reported) = entries.next().and_then(parse_entry) else {
            break;
        };
        hop = reported;
    }
    hop
}

/// An address, perhaps with a port, which says nothing of who calls; in brackets if it is IPv6.
fn parse_entry(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry.trim_ascii()).ok()?;
    let in_brackets = || {
        let address = text.strip_prefix('[')?.strip_suffix(']')?;
        address.parse::<Ipv6Addr>().ok().map(IpAddr::V6)
    };
    // Addresses before ports: `::1:80` is an address, and no port is meant.
    let address = text.parse().ok().or_else(in_brackets);
    let with_port = || text.parse().ok().map(|address: SocketAddr| address.ip());
    address.or_else(with_port).map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        Networks::new(texts.iter().map(|text| text.parse().unwrap()))
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let networks = networks(&["10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"]);
        let inside = ["10.0.0.0", "10.255.255.255", "192.0.2.7", "2001:db8::1", "::ffff:10.1.2.3"];
        let outside = ["9.255.255.255", "11.0.0.0", "192.0.2.8", "2001:db9::", "::10.1.2.3", "::1"];
        for text in inside {
            assert!(networks.contain(text.parse().unwrap()), "{text}");
        }
        for text in outside {
            assert!(!networks.contain(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn mapped_networks_are_networks_of_ipv4() {
        let mapped = networks(&["::ffff:10.0.0.0/104", "::ffff:192.0.2.7/128"]);
        assert_eq!(mapped, networks(&["10.0.0.0/8", "192.0.2.7/32"]));
        assert!(networks(&["::ffff:0.0.0.0/96"]).are_everybody() && !mapped.are_everybody());
        // All of IPv6 is nothing of IPv4.
        assert!(!networks(&["::/0"]).contain("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!networks(&["0.0.0.0/0"]).contain("::1".parse().unwrap()));
    }

    /// Field lines in their order, and the client's address, for a connection from 10.0.0.1.
    const TRAILS: &[(&[&str], &str)] = &[
        // Nothing is reported.
        (&[], "10.0.0.1"),
        (&[""], "10.0.0.1"),
        // The right-most that is not trusted, whatever it claims itself.
        (&["198.51.100.7"], "198.51.100.7"),
        (&["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        (&["203.0.113.9,198.51.100.7 ,\t10.0.0.2"], "198.51.100.7"),
        (&["10.0.0.9, 198.51.100.7, 10.0.0.2, 192.0.2.7"], "198.51.100.7"),
        (&["unknown, 198.51.100.7"], "198.51.100.7"),
        // All lines, in their order.
        (&["203.0.113.9", "198.51.100.7"], "198.51.100.7"),
        (&["203.0.113.9, 198.51.100.7", "10.0.0.2"], "198.51.100.7"),
        (&["198.51.100.7", ""], "10.0.0.1"),
        // All trusted: the left-most.
        (&["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (&["10.0.0.3", "192.0.2.7"], "10.0.0.3"),
        // An entry that is no address: the hop that reported it.
        (&["198.51.100.7, unknown"], "10.0.0.1"),
        (&["198.51.100.7, unknown, 10.0.0.2"], "10.0.0.2"),
        (&["198.51.100.7, , 10.0.0.2"], "10.0.0.2"),
        (&["198.51.100.7,"], "10.0.0.1"),
        (&["198.51.100.7, 10.0.0.02"], "10.0.0.1"),
        (&["198.51.100.7, 10.0.0.2:99999"], "10.0.0.1"),
        (&["198.51.100.7, 10.0.0.2:"], "10.0.0.1"),
        (&["198.51.100.7, [10.0.0.2]"], "10.0.0.1"),
        (&["198.51.100.7, [2001:db8::1"], "10.0.0.1"),
        (&["198.51.100.7, \"10.0.0.2\""], "10.0.0.1"),
        (&["198.51.100.7, for=10.0.0.2"], "10.0.0.1"),
        (&["198.51.100.7 10.0.0.2"], "10.0.0.1"),
        (&["198.51.100.7, é"], "10.0.0.1"),
        // Ports and brackets.
        (&["198.51.100.7:4711, 10.0.0.2:443"], "198.51.100.7"),
        (&["2001:db8::1, 10.0.0.2"], "2001:db8::1"),
        (&["[2001:db8::1], 10.0.0.2"], "2001:db8::1"),
        (&["[2001:db8::1]:443, 10.0.0.2"], "2001:db8::1"),
        (&["198.51.100.7, 2001:db8:aaaa::2"], "198.51.100.7"),
        // What is mapped is IPv4.
        (&["::ffff:198.51.100.7, ::ffff:10.0.0.2"], "198.51.100.7"),
        (&["[::ffff:198.51.100.7]:443"], "198.51.100.7"),
    ];

    fn fields(lines: &[&str]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for line in lines {
            fields.append(FORWARDED_FOR, http::HeaderValue::from_str(line).unwrap());
        }
        fields
    }

    #[test]
    fn the_trail_is_followed_as_far_as_trusted_hops_lead() {
        let trusted = networks(&["10.0.0.0/8", "192.0.2.7/32", "2001:db8:aaaa::/48"]);
        let mapped = "::ffff:10.0.0.1".parse().unwrap();
        for (lines, expected) in TRAILS {
            let expected: IpAddr = expected.parse().unwrap();
            let connection = "10.0.0.1".parse().unwrap();
            assert_eq!(told_by_hops(connection, &fields(lines), &trusted), expected, "{lines:?}");
            let told = told_by_hops(mapped, &fields(lines), &trusted).to_canonical();
            assert_eq!(told, expected, "{lines:?}");
        }
    }

    #[test]
    fn a_connection_from_elsewhere_is_believed_nothing() {
        let trusted = networks(&["10.0.0.0/8"]);
        let connection = "198.51.100.1".parse().unwrap();
        for (lines, _) in TRAILS {
            assert_eq!(told_by_hops(connection, &fields(lines), &trusted), connection, "{lines:?}");
        }
    }
}
