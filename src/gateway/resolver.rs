//! The resolver for hosts that nobody named: it gives out only addresses that may be connected to.
//!
//! Checking a name before the request would not do: it may resolve to something else a moment
//! later. So the check sits where the connection gets its addresses from.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::Url;

use crate::gateway::address::is_public;

/// Every address of the name is one that must not be connected to.
#[derive(Debug, thiserror::Error)]
#[error("{host} is in a private network")]
pub(super) struct PrivateHost {
    host: String,
}

/// Whether a request failed because of [`PrivateHost`]: the library hands the error of a resolver
/// on among the causes of its own.
pub(super) fn is_private(error: &reqwest::Error) -> bool {
    let first = std::error::Error::source(error);
    std::iter::successors(first, |error| error.source()).any(|error| error.is::<PrivateHost>())
}

/// The system's resolver, without the addresses of private networks.
#[derive(Debug)]
pub(super) struct PublicResolver {
    /// Hosts of the proxies that the environment names; a proxy is where the user wants it.
    proxies: Vec<String>,
}

impl PublicResolver {
    pub(super) fn new() -> Self {
        Self { proxies: proxies() }
    }
}

impl Resolve for PublicResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let is_proxy = self.proxies.contains(&host);
        Box::pin(async move {
            // Port 0 stands for the port of the URL.
            let found = tokio::net::lookup_host((host.as_str(), 0)).await?;
            let usable: Vec<SocketAddr> = found
                .filter(|address| is_proxy || is_public(address.ip()))
                .collect();
            if usable.is_empty() {
                return Err(PrivateHost { host }.into());
            }
            Ok(Box::new(usable.into_iter()) as Addrs)
        })
    }
}

/// The hosts of `HTTPS_PROXY` and its like.
fn proxies() -> Vec<String> {
    ["http_proxy", "https_proxy", "all_proxy"]
        .into_iter()
        .flat_map(|name| [name.to_owned(), name.to_ascii_uppercase()])
        .filter_map(|name| std::env::var(name).ok())
        .filter_map(|value| proxy_host(&value))
        .collect()
}

/// The host of a proxy, with or without a scheme before it.
fn proxy_host(value: &str) -> Option<String> {
    let with_scheme = if value.contains("://") {
        value.to_owned()
    } else {
        format!("http://{value}")
    };
    let host = Url::parse(&with_scheme).ok()?.host_str()?.to_owned();
    host.parse::<IpAddr>().is_err().then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_of_this_machine_has_no_address() {
        let resolver = PublicResolver { proxies: vec![] };
        let resolved = resolver.resolve("localhost".parse().unwrap()).await;
        let error = resolved.err().expect("refused");
        assert!(error.downcast_ref::<PrivateHost>().is_some(), "{error}");
        let resolver = PublicResolver {
            proxies: vec!["localhost".into()],
        };
        assert!(resolver.resolve("localhost".parse().unwrap()).await.is_ok());
    }

    #[test]
    fn proxies_are_found_with_and_without_a_scheme() {
        assert_eq!(proxy_host("proxy.lan:3128").as_deref(), Some("proxy.lan"));
        assert_eq!(
            proxy_host("socks5h://me:pw@proxy.lan:1080").as_deref(),
            Some("proxy.lan")
        );
        assert_eq!(proxy_host("http://10.0.0.1:3128"), None);
        assert_eq!(proxy_host(""), None);
    }
}
