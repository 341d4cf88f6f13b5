//! Addresses of HTTP providers, as routing returns them: a multiaddr, or a URL. Pure.
//!
//! Of all that a multiaddr can say, only HTTP over TCP is understood, in the spellings that occur
//! (multiformats/multiaddr `protocols.csv`; boxo `bitswap/network/http_multiaddr.go`):
//! host, `tcp` port, `https` or `tls[/sni/NAME]/http` or `http`, `http-path`, `p2p`, in this order.
//! Everything else, `dnsaddr` and relays among it, is not an address for us.

use std::net::{Ipv4Addr, Ipv6Addr};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::{Host, Url};

use crate::gateway::address::Reach;

/// Longest address that is looked at; real ones have a hundred characters.
const MAX_ADDRESS: usize = 1 << 10;

/// All but the unreserved characters of RFC 3986.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The base URL that `address` means, without a trailing slash; `None` if it is no address of an
/// HTTP server, or of one that must not be asked.
///
/// An address that does not begin with `/` is a URL (IPIP-0518). Without TLS only a server of a
/// private network is asked, and that only with [`Reach::Any`].
pub fn base_url(address: &str, reach: Reach) -> Option<String> {
    if address.len() > MAX_ADDRESS {
        return None;
    }
    let url = if address.starts_with('/') {
        from_multiaddr(address)?
    } else {
        from_url(address)?
    };
    let host = url.host()?;
    let is_safe = match url.scheme() {
        "https" => reach.allows_host(&host),
        _ => reach == Reach::Any && !Reach::Public.allows_host(&host),
    };
    is_safe.then(|| url.as_str().trim_end_matches('/').to_owned())
}

fn from_url(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let is_plain = matches!(url.scheme(), "http" | "https")
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    is_plain.then_some(url)
}

fn from_multiaddr(text: &str) -> Option<Url> {
    let mut parts = Parts {
        rest: text.split('/').skip(1).peekable(),
    };
    let host = parts.host()?;
    let port = match parts.value_of("tcp") {
        Some(port) => Some(port.parse::<u16>().ok().filter(|&port| port != 0)?),
        None => None,
    };
    let (scheme, sni) = parts.scheme()?;
    let path = parts.value_of("http-path");
    // Who answers there does not matter: blocks prove themselves.
    let _ = parts.value_of("p2p").or_else(|| parts.value_of("ipfs"));
    if parts.rest.next().is_some() {
        return None;
    }
    // A certificate is for the name of the SNI; an address is only one of the places it is at.
    let host = sni.unwrap_or(host);
    let mut url = Url::parse(&format!("{scheme}://{host}")).ok()?;
    url.set_port(port).ok()?;
    if let Some(path) = path {
        url.set_path(&base_path(path)?);
    }
    Some(url)
}

/// `http-path` holds a whole path percent-encoded, its slashes too.
fn base_path(encoded: &str) -> Option<String> {
    let decoded = percent_decode_str(encoded).decode_utf8().ok()?;
    let mut path = String::new();
    for segment in decoded.split('/').filter(|segment| !segment.is_empty()) {
        if matches!(segment, "." | "..") || segment.contains(char::is_control) {
            return None;
        }
        path.push('/');
        path.extend(utf8_percent_encode(segment, SEGMENT));
    }
    Some(path)
}

struct Parts<'a, I: Iterator<Item = &'a str>> {
    rest: std::iter::Peekable<I>,
}

impl<'a, I: Iterator<Item = &'a str>> Parts<'a, I> {
    /// Takes `name` and its value, if they come next.
    fn value_of(&mut self, name: &str) -> Option<&'a str> {
        self.rest.next_if_eq(&name)?;
        self.rest.next().filter(|value| !value.is_empty())
    }

    fn host(&mut self) -> Option<Host> {
        let protocol = self.rest.next()?;
        let value = self.rest.next()?;
        match protocol {
            "ip4" => Some(Host::Ipv4(value.parse::<Ipv4Addr>().ok()?)),
            "ip6" => Some(Host::Ipv6(value.parse::<Ipv6Addr>().ok()?)),
            "dns" | "dns4" | "dns6" => name(value),
            _ => None,
        }
    }

    /// The scheme of the URL, and the name that TLS is for if it says so.
    fn scheme(&mut self) -> Option<(&'static str, Option<Host>)> {
        match self.rest.next()? {
            "https" => Some(("https", None)),
            "http" => Some(("http", None)),
            "tls" => {
                let sni = match self.value_of("sni") {
                    Some(value) => Some(name(value)?),
                    None => None,
                };
                let next = self.rest.next()?;
                matches!(next, "http" | "https").then_some(("https", sni))
            }
            _ => None,
        }
    }
}

/// A host name, and not an address in the disguise of one.
fn name(text: &str) -> Option<Host> {
    match Host::parse(text).ok()? {
        name @ Host::Domain(_) => Some(name),
        Host::Ipv4(_) | Host::Ipv6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_of_the_internet() {
        let table = [
            ("/dns4/gw.example/tcp/443/https", "https://gw.example"),
            ("/dns/gw.example/https", "https://gw.example"),
            ("/dns6/gw.example/tcp/8443/https", "https://gw.example:8443"),
            ("/dns4/gw.example/tcp/443/tls/http", "https://gw.example"),
            ("/dns/GW.example/tcp/443/tls/http", "https://gw.example"),
            (
                "/dns4/gw.example/tcp/443/tls/http/p2p/12D3KooWPeer",
                "https://gw.example",
            ),
            ("/ip4/1.1.1.1/tcp/443/tls/http", "https://1.1.1.1"),
            (
                "/ip6/2606:4700::1111/tcp/444/https",
                "https://[2606:4700::1111]:444",
            ),
            (
                "/ip4/1.1.1.1/tcp/443/tls/sni/gw.example/http",
                "https://gw.example",
            ),
            (
                "/dns/gw.example/tcp/443/https/http-path/api%2Fv1",
                "https://gw.example/api/v1",
            ),
            (
                "/dns/gw.example/tcp/443/tls/http/http-path/a%20b%3Fc",
                "https://gw.example/a%20b%3Fc",
            ),
            (
                "/dns/gw.example/tcp/443/https/http-path/%2F",
                "https://gw.example",
            ),
            ("https://gw.example/base/", "https://gw.example/base"),
            ("https://gw.example:443", "https://gw.example"),
        ];
        for (address, url) in table {
            assert_eq!(
                base_url(address, Reach::Public).as_deref(),
                Some(url),
                "{address}"
            );
        }
    }

    #[test]
    fn what_is_no_http_server_is_no_provider() {
        for address in [
            "",
            "/",
            "//",
            "/dns4/gw.example",
            "/dns4/gw.example/tcp/443",
            "/dns4//tcp/443/https",
            "/dns4/gw.example/tcp/443/wss",
            "/dns4/gw.example/tcp/443/tls/ws",
            "/dns4/gw.example/tcp/443/https/ws",
            "/dns4/gw.example/tcp/0/https",
            "/dns4/gw.example/tcp/65536/https",
            "/dns4/gw.example/tcp/+1/https/",
            "/dns4/gw.example/udp/443/quic-v1/http",
            "/dns4/gw.example/tcp/443/tls",
            "/dns4/gw.example/tcp/443/tls/sni/http",
            "/dnsaddr/gw.example/tcp/443/https",
            "/ip6zone/eth0/ip6/fe80::1/tcp/443/https",
            "/ip4/1.1.1/tcp/443/https",
            "/ip4/1.1.1.1/tcp/4001/p2p/12D3KooWPeer/p2p-circuit",
            "/dns/1.1.1.1/tcp/443/https",
            "/dns/0x7f000001/tcp/443/https",
            "/dns/a@b.example/tcp/443/https",
            "/dns/gw.example/tcp/443/https/http-path/..%2F..",
            "/dns/gw.example/tcp/443/https/http-path/%FF",
            "/dns/gw.example/tcp/443/https/http-path/a%0Ab",
            "gw.example",
            "ftp://gw.example",
            "https://user:secret@gw.example",
            "https://gw.example/?q",
            "https://gw.example/#f",
        ] {
            assert_eq!(base_url(address, Reach::Any), None, "{address}");
        }
        let long = format!(
            "/dns/gw.example/https/http-path/{}",
            "a".repeat(MAX_ADDRESS)
        );
        assert_eq!(base_url(&long, Reach::Any), None);
    }

    #[test]
    fn private_networks_only_where_they_are_allowed() {
        let table = [
            ("/ip4/127.0.0.1/tcp/8080/http", "http://127.0.0.1:8080"),
            ("/ip4/10.0.0.1/tcp/80/http", "http://10.0.0.1"),
            ("/ip6/::1/tcp/8080/http", "http://[::1]:8080"),
            (
                "/ip6/::ffff:127.0.0.1/tcp/443/https",
                "https://[::ffff:7f00:1]",
            ),
            ("/dns/localhost/tcp/8443/tls/http", "https://localhost:8443"),
            (
                "http://169.254.169.254/latest",
                "http://169.254.169.254/latest",
            ),
            ("https://192.168.0.1", "https://192.168.0.1"),
            ("https://0x7f.1/", "https://127.0.0.1"),
        ];
        for (address, url) in table {
            assert_eq!(base_url(address, Reach::Public), None, "{address}");
            assert_eq!(
                base_url(address, Reach::Any).as_deref(),
                Some(url),
                "{address}"
            );
        }
        // Across the internet only with TLS.
        for address in ["/dns4/gw.example/tcp/80/http", "http://gw.example"] {
            assert_eq!(base_url(address, Reach::Public), None, "{address}");
            assert_eq!(base_url(address, Reach::Any), None, "{address}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_a_url_or_nothing(address in "(/(dns4?|ip[46]|tcp|tls|http|https|http-path|sni|p2p|443|a\\.b|[ -~]{0,9})){0,9}|\\PC{0,40}") {
            if let Some(url) = base_url(&address, Reach::Public) {
                let parsed = Url::parse(&url).unwrap();
                prop_assert_eq!(parsed.scheme(), "https");
                prop_assert!(Reach::Public.allows_host(&parsed.host().unwrap()));
                prop_assert!(parsed.query().is_none() && parsed.fragment().is_none());
            }
        }
    }
}
