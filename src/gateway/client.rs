//! The HTTP clients, built once and only when a first request needs them.
//!
//! Two of them: *blocks* may use HTTP/2, where hundreds of small answers share one connection;
//! *bulk* speaks HTTP/1.1 only, one connection a stream, which is faster for long bodies and lets
//! a slow consumer push back without a window's worth of memory. Each of the two comes once more
//! without the environment's proxy, for hosts on this machine, which a proxy cannot reach.
//!
//! For hosts that nobody named, but a router, there are clients of their own
//! ([`Client::discovered`]): they follow no redirect, and connect to private addresses only where
//! that is allowed.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue};

use url::Url;

use crate::gateway::address::Reach;
use crate::gateway::error::{Fault, GatewayError};
use crate::gateway::redirect::is_loopback;
use crate::gateway::resolver::PublicResolver;

/// HTTP/2 window of one stream. The library's default (2 MiB) caps a stream at 23 MB/s over a
/// round trip of 80 ms.
const STREAM_WINDOW: u32 = 16 << 20;
/// HTTP/2 window of a connection: the most that a hostile server can make us buffer on it.
const CONNECTION_WINDOW: u32 = 64 << 20;
/// Header list of an HTTP/2 answer.
const MAX_HEADER_LIST: u32 = 64 << 10;

/// How long to wait for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// From sending a request to its headers, a new connection included.
    pub first_byte: Duration,
    /// Between two pieces of a body.
    pub stall: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(30),
            stall: Duration::from_secs(30),
        }
    }
}

/// What a client needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientOptions {
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// Sent with every request; says who to complain to.
    pub user_agent: String,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            timeouts: Timeouts::default(),
            user_agent: concat!(
                "fetchd/",
                env!("CARGO_PKG_VERSION"),
                " (+",
                env!("CARGO_PKG_REPOSITORY"),
                ")"
            )
            .to_owned(),
        }
    }
}

/// The HTTP clients; a clone is the same clients and the same connections.
#[derive(Debug, Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    timeouts: Timeouts,
    user_agent: HeaderValue,
    /// Where hosts may be that nobody named; `None` for hosts that somebody did.
    discovered: Option<Reach>,
    /// By [`Kind::index`].
    clients: [OnceLock<reqwest::Client>; 4],
}

/// What a request is about to bring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Traffic {
    /// One block.
    Block,
    /// A long body.
    Bulk,
}

/// Which of the clients.
#[derive(Debug, Clone, Copy)]
struct Kind {
    traffic: Traffic,
    loopback: bool,
}

impl Kind {
    fn index(self) -> usize {
        usize::from(self.traffic == Traffic::Bulk) * 2 + usize::from(self.loopback)
    }
}

impl Client {
    /// Clients with these options; builds nothing yet.
    ///
    /// # Errors
    /// [`Fault::BadHeader`] if the user agent is no legal header value.
    pub fn new(options: ClientOptions) -> Result<Self, GatewayError> {
        let user_agent = HeaderValue::from_str(&options.user_agent)
            .map_err(|_| GatewayError::new("", Fault::BadHeader("User-Agent".into())))?;
        Ok(Self {
            inner: Arc::new(Inner {
                timeouts: options.timeouts,
                user_agent,
                discovered: None,
                clients: Default::default(),
            }),
        })
    }

    /// The same clients for providers that a router named: with connections of their own, without
    /// redirects, and with no way to addresses outside `reach`, whatever a name resolves to.
    #[must_use]
    pub fn discovered(&self, reach: Reach) -> Self {
        Self {
            inner: Arc::new(Inner {
                timeouts: self.inner.timeouts,
                user_agent: self.inner.user_agent.clone(),
                discovered: Some(reach),
                clients: Default::default(),
            }),
        }
    }

    /// Whether redirects may be followed.
    pub(super) fn follows_redirects(&self) -> bool {
        self.inner.discovered.is_none()
    }

    /// How long these clients wait.
    pub fn timeouts(&self) -> Timeouts {
        self.inner.timeouts
    }

    /// The client for `traffic` with the host of `url`. Building one reads the system's
    /// certificates: 4–5 ms.
    ///
    /// # Errors
    /// [`Fault::Private`] for a host that this client must not ask.
    pub(super) fn http(&self, traffic: Traffic, url: &Url) -> Result<&reqwest::Client, Fault> {
        self.refuse_private(url)?;
        let kind = Kind {
            traffic,
            loopback: is_loopback(url),
        };
        let cell = &self.inner.clients[kind.index()];
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let client = self.build(kind)?;
        Ok(cell.get_or_init(|| client))
    }

    /// Addresses never reach the resolver, so they are judged here.
    fn refuse_private(&self, url: &Url) -> Result<(), Fault> {
        match (self.inner.discovered, url.host()) {
            (Some(reach), Some(host)) if !reach.allows_host(&host) => {
                Err(Fault::Private(host.to_string()))
            }
            _ => Ok(()),
        }
    }

    fn build(&self, kind: Kind) -> Result<reqwest::Client, Fault> {
        // Without any certificate on the system the builder fails, even for http.
        self.builder(kind)
            .build()
            .or_else(|_| self.builder(kind).tls_certs_only(bundled_roots()).build())
            .map_err(Fault::Client)
    }

    fn builder(&self, kind: Kind) -> reqwest::ClientBuilder {
        let identity = (ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut builder = reqwest::Client::builder()
            .default_headers(HeaderMap::from_iter([identity]))
            .user_agent(self.inner.user_agent.clone())
            .referer(false)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(self.inner.timeouts.connect)
            .tcp_nodelay(true);
        if kind.loopback {
            builder = builder.no_proxy();
        }
        if self.inner.discovered == Some(Reach::Public) {
            builder = builder.dns_resolver(Arc::new(PublicResolver::new()));
        }
        match kind.traffic {
            Traffic::Bulk => builder.http1_only(),
            Traffic::Block => builder
                .http2_initial_stream_window_size(STREAM_WINDOW)
                .http2_initial_connection_window_size(CONNECTION_WINDOW)
                .http2_max_header_list_size(MAX_HEADER_LIST),
        }
    }
}

/// Mozilla's roots, for systems that have none.
fn bundled_roots() -> impl Iterator<Item = reqwest::Certificate> {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .filter_map(|root| reqwest::Certificate::from_der(root).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_roots_make_a_client() {
        let client = Client::new(ClientOptions::default()).unwrap();
        assert!(
            client
                .builder(Kind {
                    traffic: Traffic::Block,
                    loopback: false
                })
                .tls_certs_only(bundled_roots())
                .build()
                .is_ok()
        );
        assert!(bundled_roots().count() > 100);
    }

    #[test]
    fn discovered_hosts_must_be_public() {
        let client = Client::new(ClientOptions::default()).unwrap();
        let ask = |client: &Client, url: &str| {
            client
                .http(Traffic::Block, &Url::parse(url).unwrap())
                .map(|_| ())
        };
        let public = client.discovered(Reach::Public);
        for url in [
            "http://127.0.0.1/",
            "https://[::ffff:10.0.0.1]/",
            "https://localhost/",
        ] {
            assert!(matches!(ask(&public, url), Err(Fault::Private(_))), "{url}");
            assert!(ask(&client, url).is_ok(), "{url}");
            assert!(ask(&client.discovered(Reach::Any), url).is_ok(), "{url}");
        }
        assert!(ask(&public, "https://gateway.example/").is_ok());
        assert!(client.follows_redirects() && !public.follows_redirects());
    }

    #[test]
    fn a_user_agent_must_be_a_header_value() {
        let options = ClientOptions {
            user_agent: "a\nb".into(),
            ..ClientOptions::default()
        };
        assert!(matches!(
            Client::new(options).unwrap_err().fault,
            Fault::BadHeader(_)
        ));
    }
}
