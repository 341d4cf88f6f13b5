//! From a name to content: asks gateways, routers and the DNS where it points.
//!
//! [`resolve`] is what commands call. What is pure about it is decided in [`crate::content::names`]
//! and [`crate::content::ipns`]; here is who is asked, which record is believed, and what a user
//! is told of it. Invariant: a record is used only if it was proved to be the owner's and is valid
//! now, and never instead of a newer one that was seen before and is still valid.

mod choice;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use tokio::time::Instant;

use crate::commands::context::Context;
use crate::commands::error::CommandError;
use crate::commands::options::Recorded;
use crate::commands::providers::{self, Network};
use crate::commands::resolve::choice::{Choice, Known, Meaning, Refusal, choose};
use crate::content::cid::{self, Cid};
use crate::content::ipns::Record;
use crate::content::names::{Chain, ChainError, Name, Next, Resolved, Step, Target, TargetError};
use crate::content::source::{ContentSource, Root};
use crate::engine::{Place, Provider};
use crate::exit::ExitKind;
use crate::gateway::client::Client;
use crate::gateway::dnslink::{DnsError, Resolver};
use crate::gateway::error::{Advice, GatewayError};
use crate::gateway::ipns;
use crate::gateway::request::Gateway;
use crate::gateway::routing::{self, Router};
use crate::settings::{Discovery, Dns};
use crate::store::{IpnsRow, Store};
use crate::ui::escape;
use crate::ui::messages::chain;

/// Most gateways, and most routers, that are asked for one record.
const MAX_ASKED: usize = 8;
/// How many are asked at the same time.
const ASKED_AT_ONCE: usize = 4;
/// How long the others may still take once one has sent a record that is valid: one of them may
/// have a newer one.
const GRACE: Duration = Duration::from_secs(2);

/// Who can be asked where a name points.
#[derive(Debug)]
pub struct Lookup<'a> {
    /// Remembers the newest record of each name.
    pub store: &'a Store,
    /// Asked for records first, in this order.
    pub gateways: Vec<Gateway>,
    /// Asked for records too, when [`Lookup::discovery`] says so.
    pub routers: Vec<Router>,
    /// When the routers are asked.
    pub discovery: Discovery,
    /// Asked for DNSLink.
    pub resolver: Resolver,
}

/// Where a name led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The CID to pin, the path, and the names on the way.
    pub resolved: Resolved,
    /// What a user should know, one sentence each: which names were believed, and on what ground.
    pub notices: Vec<String>,
}

impl<'a> Lookup<'a> {
    /// Who is asked in a command: those of `providers` that are gateways, and the routers and the
    /// resolver of the configuration. Where the user named the providers (`are_named`), no router
    /// is asked beside them.
    ///
    /// # Errors
    /// Code 78 for a router or a resolver that cannot be used.
    pub fn new(
        context: &'a Context,
        client: &Client,
        providers: &[Provider],
        are_named: bool,
    ) -> Result<Self, CommandError> {
        let keys = &context.settings.keys;
        let config = |error: GatewayError| {
            CommandError::new(
                ExitKind::Config,
                format!("cannot use {}: {}", error.url, chain(&error)),
            )
        };
        let routers = keys
            .routers
            .iter()
            .map(|url| Router::new(client.clone(), url.as_str()).map_err(config));
        let gateways = providers
            .iter()
            .filter_map(|provider| match &provider.place {
                Place::Http(gateway) => Some(gateway.clone()),
                Place::Car(_) | Place::Plain(_) | Place::Local(_) => None,
            });
        Ok(Self {
            store: &context.store,
            gateways: gateways.collect(),
            routers: routers.collect::<Result<_, _>>()?,
            discovery: if are_named {
                Discovery::Off
            } else {
                keys.discovery
            },
            resolver: match &keys.dns {
                Dns::System => Resolver::system(),
                Dns::Https(url) => Resolver::https(client.clone(), url.as_str()).map_err(config)?,
            },
        })
    }

    /// Who is asked for records: first the first list, then, only if nobody there has a valid one,
    /// the second.
    fn rounds(&self) -> [Vec<Asked>; 2] {
        let mut gateways: Vec<Asked> = self.gateways.iter().map(Asked::gateway).collect();
        gateways.truncate(MAX_ASKED);
        let routers = self.routers.iter().take(MAX_ASKED).map(Asked::router);
        match self.discovery {
            Discovery::Off => [gateways, Vec::new()],
            Discovery::Fallback => [gateways, routers.collect()],
            Discovery::Always => [gateways.into_iter().chain(routers).collect(), Vec::new()],
        }
    }
}

/// Follows the name of a source, if it is one, to content. Where the user named the gateways, only
/// they are asked.
///
/// # Errors
/// As [`resolve`]; or nobody can be asked.
pub async fn follow(
    context: &Context,
    network: &Network,
    content: &ContentSource,
    gateways: &[String],
) -> Result<Named, CommandError> {
    if let Root::Ipfs(cid) = content.root {
        let resolved = Resolved {
            cid,
            path: content.path.clone(),
            steps: Vec::new(),
        };
        let notices = Vec::new();
        return Ok(Named { resolved, notices });
    }
    let recorded = Recorded {
        gateways: providers::recordable(gateways),
        // Whoever's URL it is may know the name as well as the content.
        hints: content.hint.iter().cloned().collect(),
        ..Recorded::default()
    };
    let list = network.ready(&recorded).await?.list;
    let lookup = Lookup::new(context, network.client(), &list, !gateways.is_empty())?;
    resolve(&lookup, content.root.clone(), content.path.clone()).await
}

/// Follows names from `root` until there is content. Call it once for a download and pin
/// [`Resolved::cid`]: names move.
///
/// # Errors
/// 69 if a name is proved or definitely said to point nowhere, 75 if somebody could not be asked,
/// 65 if what was sent is no proof or leads nowhere, 77 if nobody lets us ask, 78 if the
/// configuration is at fault.
pub async fn resolve(
    lookup: &Lookup<'_>,
    root: Root,
    path: Vec<String>,
) -> Result<Named, CommandError> {
    let mut chain = Chain::new(root, path);
    let mut notices = Vec::new();
    loop {
        match chain.next()? {
            Next::Done(resolved) => return Ok(Named { resolved, notices }),
            Next::LookUp(name) => {
                let (target, sequence) = match &name {
                    Name::Key(key) => by_record(lookup, key, &mut notices).await?,
                    Name::Domain(domain) => (by_dns(lookup, domain, &mut notices).await?, None),
                };
                chain.answer(Step {
                    name,
                    target,
                    sequence,
                });
            }
        }
    }
}

async fn by_dns(
    lookup: &Lookup<'_>,
    domain: &str,
    notices: &mut Vec<String>,
) -> Result<Target, CommandError> {
    let target = lookup
        .resolver
        .dnslink(domain)
        .await
        .map_err(|error| dns_failure(domain, &error))?;
    notices.push(format!(
        "{domain} resolved by DNSLink (the DNS is trusted, not proved) to {}",
        escape::text(&target.to_string())
    ));
    Ok(target)
}

fn dns_failure(domain: &str, error: &DnsError) -> CommandError {
    let message = format!("cannot resolve {domain} by DNSLink: {}", chain(error));
    let ask_another = "try again later, or name a DNS-over-HTTPS resolver with the key `dns`";
    let (kind, hint) = match error.advice() {
        Advice::Absent if domain.ends_with(".eth") => (
            ExitKind::NotFound,
            "names of ENS are not in the DNS; name a DNS-over-HTTPS resolver that has them with the key `dns`",
        ),
        Advice::Absent => (
            ExitKind::NotFound,
            "check the name, or give the CID that it should point to",
        ),
        Advice::Retry { .. } | Advice::SlowDown { .. } => (ExitKind::Retry, ask_another),
        Advice::Stop => (
            ExitKind::Config,
            "name a DNS-over-HTTPS resolver with the key `dns`",
        ),
        _ => (
            ExitKind::Verification,
            "the owner of the domain must repair it; give the CID that it should point to",
        ),
    };
    CommandError::new(kind, message).hint(hint)
}

/// Where a key points, and the sequence number of the record that says so.
async fn by_record(
    lookup: &Lookup<'_>,
    key: &Cid,
    notices: &mut Vec<String>,
) -> Result<(Target, Option<u64>), CommandError> {
    let name = cid::text(key);
    let now = Timestamp::now();
    let row = lookup.store.ipns(&name).await?;
    let known = row.map(|row| Known::new(key, row, now));
    let (found, refusals) = ask_for_records(lookup, key, now).await;
    let Choice { record, notice } = choose(&name, found, known, &refusals, now)?;
    let seen = IpnsRow {
        sequence: record.sequence(),
        record: record.bytes().to_vec(),
        seen: now,
    };
    lookup.store.see_ipns(&name, seen).await?;
    let target = record.target().map_err(|error| {
        let kind = match error {
            TargetError::Empty => ExitKind::NotFound,
            _ => ExitKind::Verification,
        };
        CommandError::new(
            kind,
            format!(
                "the signed record of {name} is of no use: {}",
                chain(&error)
            ),
        )
        .hint("the owner of the name must publish another one")
    })?;
    notices.extend(notice);
    notices.push(format!(
        "{name} resolved by its signed record (sequence {}) to {}",
        record.sequence(),
        escape::text(&target.to_string())
    ));
    Ok((target, Some(record.sequence())))
}

/// One place that may have a record.
#[derive(Debug, Clone)]
enum Asked {
    Gateway(Gateway),
    Router(Router),
}

impl Asked {
    fn gateway(gateway: &Gateway) -> Self {
        Self::Gateway(gateway.clone())
    }

    fn router(router: &Router) -> Self {
        Self::Router(router.clone())
    }

    fn url(&self) -> &str {
        match self {
            Self::Gateway(gateway) => gateway.url(),
            Self::Router(router) => router.url(),
        }
    }

    fn advice(&self, error: &GatewayError) -> Advice {
        match self {
            Self::Gateway(_) => ipns::record_advice(error),
            Self::Router(_) => routing::record_advice(error),
        }
    }

    async fn ipns_record(&self, key: &Cid) -> Result<Bytes, GatewayError> {
        match self {
            Self::Gateway(gateway) => gateway.ipns_record(key).await,
            Self::Router(router) => router.ipns_record(key).await,
        }
    }
}

/// The best record that is valid, and what came of those who sent none.
async fn ask_for_records(
    lookup: &Lookup<'_>,
    key: &Cid,
    now: Timestamp,
) -> (Option<Record>, Vec<Refusal>) {
    let mut refusals = Vec::new();
    for round in lookup.rounds() {
        let best = ask_round(round, key, now, &mut refusals).await;
        if best.is_some() {
            return (best, refusals);
        }
    }
    (None, refusals)
}

async fn ask_round(
    round: Vec<Asked>,
    key: &Cid,
    now: Timestamp,
    refusals: &mut Vec<Refusal>,
) -> Option<Record> {
    let mut best: Option<Record> = None;
    let mut until: Option<Instant> = None;
    let answers = round.into_iter().map(|asked| async move {
        let answer = asked.ipns_record(key).await;
        (asked, answer)
    });
    let mut answers = stream::iter(answers).buffer_unordered(ASKED_AT_ONCE);
    loop {
        let next = match until {
            None => answers.next().await,
            Some(until) => tokio::time::timeout_at(until, answers.next())
                .await
                .unwrap_or(None),
        };
        let Some((asked, answer)) = next else {
            return best;
        };
        match judge(&asked, answer, key, now) {
            Ok(record) => {
                until.get_or_insert_with(|| Instant::now() + GRACE);
                let is_better = |best: &Record| record.rank(best).is_gt();
                if best.as_ref().is_none_or(is_better) {
                    best = Some(record);
                }
            }
            Err(refusal) => {
                tracing::debug!(?refusal, "no record");
                refusals.push(refusal);
            }
        }
    }
}

fn judge(
    asked: &Asked,
    answer: Result<Bytes, GatewayError>,
    key: &Cid,
    now: Timestamp,
) -> Result<Record, Refusal> {
    let url = asked.url().to_owned();
    let bytes = answer.map_err(|error| Refusal {
        meaning: Meaning::of(&error, asked.advice(&error)),
        text: format!("{url}: {}", chain(&error)),
    })?;
    Record::verify(key, &bytes, now).map_err(|error| Refusal {
        meaning: Meaning::Invalid,
        text: format!("{url}: {}", chain(&error)),
    })
}

impl From<ChainError> for CommandError {
    fn from(error: ChainError) -> Self {
        CommandError::new(ExitKind::Verification, chain(&error))
            .hint("give the CID that the name should point to")
    }
}
