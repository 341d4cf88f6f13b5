//! Which addresses a provider that nobody named may lead to. Pure.
//!
//! A router, or whoever announces himself to one, chooses the addresses that discovery returns.
//! Followed blindly they make fetchd knock at services of this machine and of the networks around
//! it, so only addresses of the public internet pass.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use url::Host;

/// Where discovered providers may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Reach {
    /// On the public internet only.
    #[default]
    Public,
    /// Anywhere: this machine and private networks too, as a user may allow.
    Any,
}

impl Reach {
    /// Whether a host may be asked, as far as its text tells; what a name resolves to is checked
    /// when it is.
    pub fn allows_host<S: AsRef<str>>(self, host: &Host<S>) -> bool {
        self == Reach::Any
            || match host {
                Host::Domain(name) => is_public_name(name.as_ref()),
                Host::Ipv4(ip) => is_public_v4(*ip),
                Host::Ipv6(ip) => is_public_v6(*ip),
            }
    }
}

/// Whether an address is of the public internet: globally reachable by the special-purpose
/// registries of RFC 6890, looked at through every way of writing an IPv4 address as IPv6.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_shared = a == 100 && b & 0xc0 == 64;
    let is_protocol = a == 192 && b == 0 && c == 0;
    let is_benchmark = a == 198 && b & 0xfe == 18;
    let is_relay = a == 192 && b == 88 && c == 99;
    !(a == 0
        || a >= 240
        || ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_documentation()
        || is_shared
        || is_protocol
        || is_benchmark
        || is_relay)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    let v4 = |high: u16, low: u16| {
        let [[w, x], [y, z]] = [high.to_be_bytes(), low.to_be_bytes()];
        is_public_v4(Ipv4Addr::new(w, x, y, z))
    };
    match [a, b, c, d, e, f] {
        // IPv4-mapped, and the well-known prefix of NAT64.
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => v4(g, h),
        // 6to4.
        [0x2002, high, low, ..] => v4(high, low),
        // Teredo, benchmarking, ORCHID and other protocol assignments; documentation.
        [0x2001, 0..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => false,
        // Nothing else is given out to hosts of the internet.
        _ => a & 0xe000 == 0x2000,
    }
}

/// A name that can be of the public internet: not one that means this machine or this network.
fn is_public_name(name: &str) -> bool {
    const LOCAL: [&str; 9] = [
        "localhost",
        "local",
        "localdomain",
        "internal",
        "intranet",
        "lan",
        "home",
        "corp",
        "arpa",
    ];
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    name.rsplit_once('.')
        .is_some_and(|(rest, last)| !rest.is_empty() && !LOCAL.contains(&last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_internet_is_public() {
        for ip in [
            "1.1.1.1",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.255.255",
            "100.128.0.1",
            "198.17.0.1",
            "2606:4700::1111",
            "64:ff9b::1.1.1.1",
            "2002:0101:0101::1",
            "::ffff:1.1.1.1",
        ] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.1",
            "127.0.0.1",
            "127.255.0.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "100.64.0.1",
            "100.127.255.254",
            "198.18.0.1",
            "198.19.255.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:10.1.2.3",
            "::ffff:169.254.169.254",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2002:c0a8:0101::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fd12:3456::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "100::1",
            "5f00::1",
        ] {
            let ip = ip.parse().unwrap();
            assert!(!is_public(ip), "{ip}");
            let host: Host = match ip {
                IpAddr::V4(ip) => Host::Ipv4(ip),
                IpAddr::V6(ip) => Host::Ipv6(ip),
            };
            assert!(Reach::Any.allows_host(&host) && !Reach::Public.allows_host(&host));
        }
    }

    #[test]
    fn names_of_this_network_are_not_public() {
        let allowed = |name: &str| Reach::Public.allows_host(&Host::Domain(name));
        for name in ["example.org", "a.b.example.", "localhost.example"] {
            assert!(allowed(name), "{name}");
        }
        for name in [
            "",
            ".",
            "router",
            "localhost",
            "LOCALHOST.",
            "x.localhost",
            "printer.local",
            "metadata.google.internal",
            "nas.lan",
            "nas.home.arpa",
            ".org",
        ] {
            assert!(!allowed(name), "{name}");
        }
        assert!(Reach::Any.allows_host(&Host::Domain("localhost")));
    }
}
