//! Where a redirect may lead. Pure.
//!
//! fetchd follows redirects itself instead of leaving it to the HTTP library, which would carry
//! the headers of a gateway (API keys among them) on to whatever host it is sent to: it strips
//! only the few headers that it knows as sensitive.

use std::net::IpAddr;

use url::{Host, Url};

/// Redirects followed in one exchange; enough for slash, scheme, subdomain and a moved host.
pub(super) const MAX_HOPS: usize = 5;

/// A redirect that must not be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedirectFault {
    /// More than five in a row, or a loop.
    #[error("more than {MAX_HOPS} redirects")]
    TooMany,
    /// No usable `Location`.
    #[error("no usable Location")]
    BadLocation,
    /// From https to http.
    #[error("from https to http")]
    Downgrade,
    /// Any, of a provider that a router named.
    #[error("to another place than the router named")]
    Discovered,
    /// From the public network into this machine or a private network.
    #[error("into a private network ({0})")]
    Private(String),
}

/// The URL that `location` names, seen from `current`.
pub(super) fn next_hop(current: &Url, location: Option<&str>) -> Result<Url, RedirectFault> {
    let mut next = location
        .and_then(|location| current.join(location).ok())
        .filter(|next| matches!(next.scheme(), "http" | "https") && next.has_host())
        .ok_or(RedirectFault::BadLocation)?;
    if current.scheme() == "https" && next.scheme() == "http" {
        return Err(RedirectFault::Downgrade);
    }
    if is_private(&next) && !is_private(current) {
        return Err(RedirectFault::Private(
            next.host_str().unwrap_or_default().to_owned(),
        ));
    }
    // Credentials in a Location are the server's idea; those of the user stay with his server.
    let (user, password) = match next.origin() == current.origin() {
        true => (current.username(), current.password()),
        false => ("", None),
    };
    // Cannot fail: it has a host.
    let _ = next.set_username(user);
    let _ = next.set_password(password);
    next.set_fragment(None);
    Ok(next)
}

/// Whether the URL names this machine, as far as its text tells.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        _ => ip(url).is_some_and(|ip| ip.is_loopback()),
    }
}

/// Whether the URL names this machine or a private network, as far as its text tells.
fn is_private(url: &Url) -> bool {
    is_loopback(url)
        || match ip(url) {
            Some(IpAddr::V4(ip)) => ip.is_private() || ip.is_link_local() || ip.is_unspecified(),
            Some(IpAddr::V6(ip)) => {
                ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified()
            }
            None => false,
        }
}

fn ip(url: &Url) -> Option<IpAddr> {
    match url.host()? {
        Host::Domain(_) => None,
        Host::Ipv4(ip) => Some(ip.into()),
        Host::Ipv6(ip) => Some(ip.to_canonical()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(from: &str, location: &str) -> Result<String, RedirectFault> {
        next_hop(&Url::parse(from).unwrap(), Some(location)).map(String::from)
    }

    #[test]
    fn follows_what_is_harmless() {
        assert_eq!(
            hop("https://a.example/ipfs/x", "/ipfs/x/").unwrap(),
            "https://a.example/ipfs/x/"
        );
        assert_eq!(
            hop("http://a.example/", "https://u:p@b.example/#f").unwrap(),
            "https://b.example/"
        );
        assert_eq!(
            hop("http://127.0.0.1:8080/", "http://x.ipfs.localhost:8080/").unwrap(),
            "http://x.ipfs.localhost:8080/"
        );
        assert_eq!(
            hop("http://u:p@a.example/1", "/2").unwrap(),
            "http://u:p@a.example/2"
        );
        for location in ["http://a.example/2", "http://other@a.example/2"] {
            let next = hop("http://u%40x:p%3A@a.example/1", location);
            assert_eq!(next.unwrap(), "http://u%40x:p%3A@a.example/2");
        }
    }

    #[test]
    fn refuses_what_is_not() {
        assert_eq!(
            hop("https://a.example/", "http://a.example/"),
            Err(RedirectFault::Downgrade)
        );
        for bad in [
            "ftp://a.example/",
            "javascript:1",
            "http://",
            "file:///etc/passwd",
        ] {
            assert_eq!(
                hop("http://a.example/", bad),
                Err(RedirectFault::BadLocation),
                "{bad}"
            );
        }
        for private in [
            "http://localhost/",
            "http://x.localhost./",
            "http://127.1/",
            "http://0x7f000001/",
            "http://10.0.0.1/",
            "http://169.254.169.254/",
            "http://0.0.0.0/",
            "http://[::1]/",
            "http://[::ffff:192.168.0.1]/",
            "http://[fd00::1]/",
            "http://[fe80::1]/",
        ] {
            assert!(
                matches!(
                    hop("http://a.example/", private),
                    Err(RedirectFault::Private(_))
                ),
                "{private}"
            );
        }
        let base = Url::parse("http://a.example/").unwrap();
        assert_eq!(next_hop(&base, None), Err(RedirectFault::BadLocation));
    }
}
