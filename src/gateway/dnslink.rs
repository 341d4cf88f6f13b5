//! DNSLink: where a domain points, by the TXT records at `_dnslink.<domain>`.
//!
//! Asks the name servers of the system, or a DNS-over-HTTPS resolver (RFC 8484). Names are always
//! looked up as they are, never in a search domain. The DNS signs nothing here: whoever answers is
//! believed, and the caller must say so.

mod message;
mod resolv_conf;
mod server;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::content::cid::Base;
use crate::content::names::Target;
use crate::disk::DiskError;
use crate::gateway::client::Client;
use crate::gateway::dnslink::message::Answer;
use crate::gateway::dnslink::server::Servers;
use crate::gateway::error::{Advice, GatewayError};
use crate::gateway::request::Gateway;

/// Most further names that a chain of aliases may bring us to ask for, beside those that the
/// resolver followed itself.
const MAX_ALIASES: usize = 8;

/// Media type of a message (RFC 8484).
const MESSAGE: &str = "application/dns-message";

/// Who is asked.
#[derive(Debug, Clone)]
pub struct Resolver(Kind);

#[derive(Debug, Clone)]
enum Kind {
    System,
    Servers(Servers),
    Https(Gateway),
}

/// Why a domain points nowhere, or why nobody says where.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The list of name servers cannot be read.
    #[error("cannot tell which name servers this system uses")]
    Config(#[source] DiskError),
    /// This system keeps its name servers where we do not look.
    #[error("the name servers of this system are not known")]
    NoServers,
    /// The domain, or its DNSLink record, does not exist.
    #[error("{name} has no usable TXT record")]
    Absent {
        /// The name that was looked up.
        name: String,
    },
    /// More than one record, and no rule that prefers one.
    #[error("{name} has {count} DNSLink records, and only one is allowed")]
    Ambiguous {
        /// The name that was looked up.
        name: String,
        /// How many usable ones.
        count: usize,
    },
    /// Aliases without end.
    #[error("{name} is an alias of too many others")]
    Aliases {
        /// The name that was looked up first.
        name: String,
    },
    /// A name server did not answer in time.
    #[error("the name server {server} does not answer")]
    Silent {
        /// Its address.
        server: SocketAddr,
    },
    /// A name server cannot be reached.
    #[error("the name server {server} cannot be asked")]
    Io {
        /// Its address.
        server: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A resolver answered that it cannot tell.
    #[error("{server} answered {code} for {name}")]
    Failed {
        /// Address or URL.
        server: String,
        /// The name that was looked up.
        name: String,
        /// The response code (RFC 1035, RFC 2136) in words.
        code: String,
    },
    /// What a resolver sent is no answer to the question.
    #[error("the answer of {server} is malformed")]
    Malformed {
        /// Address or URL.
        server: String,
    },
    /// The exchange with the DNS-over-HTTPS resolver failed.
    #[error("the resolver {} does not answer as it should", without_query(.0))]
    Https(#[from] GatewayError),
}

impl DnsError {
    /// What to do about it.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Config(_) | Self::NoServers => Advice::Stop,
            Self::Absent { .. } => Advice::Absent,
            Self::Ambiguous { .. } | Self::Aliases { .. } => Advice::Never,
            Self::Silent { .. }
            | Self::Io { .. }
            | Self::Failed { .. }
            | Self::Malformed { .. } => Advice::Retry { after: None },
            Self::Https(error) => match error.advice() {
                Advice::Stop => Advice::Stop,
                _ => Advice::Retry {
                    after: error.retry_after(),
                },
            },
        }
    }
}

impl Resolver {
    /// The name servers of this system, as `/etc/resolv.conf` lists them when they are asked.
    pub fn system() -> Self {
        Self(Kind::System)
    }

    /// These name servers, asked in turn, each for so long, `attempts` times.
    pub fn servers(addresses: Vec<SocketAddr>, patience: Duration, attempts: u32) -> Self {
        Self(Kind::Servers(Servers {
            addresses,
            patience,
            attempts,
        }))
    }

    /// A DNS-over-HTTPS resolver, such as `https://resolver.example/dns-query`.
    ///
    /// # Errors
    /// [`crate::gateway::error::Fault::BadUrl`].
    pub fn https(client: Client, url: &str) -> Result<Self, GatewayError> {
        let gateway = Gateway::new(client, url, Vec::new(), None)?;
        Ok(Self(Kind::Https(gateway)))
    }

    /// Where `domain` points, by its one usable record: `dnslink=/ipfs/…` or `dnslink=/ipns/…`.
    /// Other TXT records do not count.
    ///
    /// # Errors
    /// Any [`DnsError`].
    pub async fn dnslink(&self, domain: &str) -> Result<Target, DnsError> {
        let name = format!("_dnslink.{domain}");
        let texts = self.texts(&name).await?;
        let mut targets: Vec<Target> = texts.iter().filter_map(|text| link(text)).collect();
        match (targets.len(), targets.pop()) {
            (1, Some(target)) => Ok(target),
            (_, None) => Err(DnsError::Absent { name }),
            (count, _) => Err(DnsError::Ambiguous { name, count }),
        }
    }

    /// The TXT records of `name`, or of what it is an alias of.
    async fn texts(&self, name: &str) -> Result<Vec<String>, DnsError> {
        let mut asked = name.to_owned();
        for _ in 0..=MAX_ALIASES {
            match self.exchange(&asked).await? {
                Answer::Texts(texts) => return Ok(texts),
                Answer::Alias(target) => asked = target,
                Answer::Nothing => return Err(DnsError::Absent { name: name.into() }),
            }
        }
        Err(DnsError::Aliases { name: name.into() })
    }

    async fn exchange(&self, name: &str) -> Result<Answer, DnsError> {
        match &self.0 {
            Kind::System => resolv_conf::servers()?.exchange(name).await,
            Kind::Servers(servers) => servers.exchange(name).await,
            Kind::Https(gateway) => over_https(gateway, name).await,
        }
    }
}

/// The question is in the query, and stands in no message.
fn without_query(error: &GatewayError) -> &str {
    error.url.split('?').next().unwrap_or_default()
}

/// The target of a TXT record, if it is a DNSLink. Nothing is decoded: a content path is no URL.
fn link(text: &str) -> Option<Target> {
    Target::parse(text.strip_prefix("dnslink=")?).ok()
}

/// GET with the question in the URL, identified by 0, so that caches can answer (RFC 8484 §4.1).
async fn over_https(gateway: &Gateway, name: &str) -> Result<Answer, DnsError> {
    let Some(query) = message::query(0, name) else {
        return Ok(Answer::Nothing);
    };
    let url = format!("{}?dns={}", gateway.url(), Base::Base64Url.encode(query));
    let reply = gateway
        .small(&url, MESSAGE, message::MAX_MESSAGE as u64)
        .await?;
    let malformed = || DnsError::Malformed {
        server: gateway.url().to_owned(),
    };
    let reply = message::read(&reply, 0, name).ok_or_else(malformed)?;
    if reply.is_truncated {
        return Err(malformed());
    }
    reply.answer.map_err(|code| DnsError::Failed {
        server: gateway.url().to_owned(),
        name: name.to_owned(),
        code,
    })
}
