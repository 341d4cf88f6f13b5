//! What a router sends about providers, as JSON or NDJSON (HTTP routing V1, IPIP-0337, IPIP-0410).
//! Pure.
//!
//! A record that cannot be read is skipped, since one bad record must not hide the good ones; what
//! passes is limited in every number.

use std::collections::HashSet;
use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::gateway::address::Reach;
use crate::gateway::defaults;
use crate::gateway::error::Fault;
use crate::gateway::multiaddr;
use crate::gateway::response::excerpt;
use crate::gateway::routing::providers::Provider;

/// The protocol of providers that serve HTTP.
pub(super) const PROTOCOL: &str = "transport-ipfs-gateway-http";

/// Records of one answer that are looked at; a router sends at most 100, or as many as it finds.
const MAX_RECORDS: usize = 1000;
/// Addresses of one record that are looked at (boxo's number).
const MAX_ADDRESSES: usize = 10;
/// Providers taken from one answer: more could not be asked in a useful time.
const MAX_PROVIDERS: usize = 50;

/// A peer, in the schema `peer` or the older `bitswap`.
#[derive(Deserialize)]
struct Record {
    #[serde(rename = "Schema")]
    schema: String,
    #[serde(rename = "ID", default)]
    id: Option<String>,
    #[serde(rename = "Addrs", default)]
    addrs: Option<Vec<String>>,
    #[serde(rename = "Protocols", default)]
    protocols: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Record(Record),
    Other(IgnoredAny),
}

/// The whole answer as JSON. No list is an empty one.
#[derive(Deserialize, Default)]
struct Document {
    #[serde(rename = "Providers", default)]
    providers: Option<Few>,
}

/// The first records of a list. What follows is read and not kept: a byte or two of a record can
/// take a hundred in memory.
#[derive(Default)]
struct Few(Vec<Entry>);

impl<'de> Deserialize<'de> for Few {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(FewVisitor)
    }
}

struct FewVisitor;

impl<'de> Visitor<'de> for FewVisitor {
    type Value = Few;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Few, A::Error> {
        let mut few = Vec::new();
        while few.len() < MAX_RECORDS {
            match list.next_element()? {
                Some(entry) => few.push(entry),
                None => return Ok(Few(few)),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Few(few))
    }
}

/// Takes the usable providers out of records, each base URL once.
#[derive(Debug)]
pub(super) struct Sieve {
    reach: Reach,
    records: usize,
    seen: HashSet<String>,
}

impl Sieve {
    pub(super) fn new(reach: Reach) -> Self {
        Self {
            reach,
            records: 0,
            seen: HashSet::new(),
        }
    }

    /// Whether enough came: nothing that follows is taken.
    pub(super) fn is_full(&self) -> bool {
        self.records >= MAX_RECORDS || self.seen.len() >= MAX_PROVIDERS
    }

    /// The providers of one line of NDJSON.
    pub(super) fn line(&mut self, line: &[u8]) -> Vec<Provider> {
        if line.trim_ascii().is_empty() {
            return Vec::new();
        }
        let entry = serde_json::from_slice(line).unwrap_or(Entry::Other(IgnoredAny));
        self.entry(entry)
    }

    /// The providers of a document.
    pub(super) fn document(&mut self, body: &[u8]) -> Result<Vec<Provider>, Fault> {
        let document: Option<Document> =
            serde_json::from_slice(body).map_err(|_| Fault::Malformed("list of providers"))?;
        let Few(entries) = document.unwrap_or_default().providers.unwrap_or_default();
        Ok(entries
            .into_iter()
            .flat_map(|entry| self.entry(entry))
            .collect())
    }

    fn entry(&mut self, entry: Entry) -> Vec<Provider> {
        if self.is_full() {
            return Vec::new();
        }
        self.records += 1;
        match entry {
            Entry::Record(record) if is_http(&record) => self.addresses(&record),
            Entry::Record(_) | Entry::Other(_) => Vec::new(),
        }
    }

    fn addresses(&mut self, record: &Record) -> Vec<Provider> {
        let peer = record.id.as_deref().map(|id| excerpt(id.as_bytes()));
        let addresses = record.addrs.iter().flatten().take(MAX_ADDRESSES);
        let mut found = Vec::new();
        for url in addresses.filter_map(|address| multiaddr::base_url(address, self.reach)) {
            if self.seen.len() < MAX_PROVIDERS && !is_retired(&url) && self.seen.insert(url.clone())
            {
                let peer = peer.clone();
                found.push(Provider { url, peer });
            }
        }
        found
    }
}

/// Routers may ignore the filter. Where a record names no protocol, its addresses decide.
fn is_http(record: &Record) -> bool {
    let protocols = record.protocols.as_deref().unwrap_or_default();
    let is_known = matches!(record.schema.as_str(), "peer" | "bitswap");
    let is_ours = |protocol: &String| protocol.eq_ignore_ascii_case(PROTOCOL);
    is_known && (protocols.is_empty() || protocols.iter().any(is_ours))
}

fn is_retired(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|url| url.host_str().and_then(defaults::retired).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn urls(found: &[Provider]) -> Vec<&str> {
        found.iter().map(|provider| provider.url.as_str()).collect()
    }

    fn line(text: &str) -> Vec<Provider> {
        Sieve::new(Reach::Public).line(text.as_bytes())
    }

    fn document(text: &str) -> Result<Vec<Provider>, Fault> {
        Sieve::new(Reach::Public).document(text.as_bytes())
    }

    #[test]
    fn peers_that_serve_http_are_providers() {
        let found = line(
            r#"{"Schema":"peer","ID":"12D3","Addrs":["/ip4/1.2.3.4/udp/4001/quic-v1","/dns4/a.example/tcp/443/https","https://b.example/","/dns4/a.example/tcp/443/tls/http"],"Protocols":["transport-bitswap","Transport-IPFS-gateway-HTTP"],"more":{}}"#,
        );
        assert_eq!(urls(&found), ["https://a.example", "https://b.example"]);
        assert_eq!(found[0].peer.as_deref(), Some("12D3"));
        let silent = r#"{"Schema":"peer","Addrs":["/dns/a.example/https"]}"#;
        assert_eq!(urls(&line(silent)), ["https://a.example"]);
        let older = r#"{"Schema":"bitswap","Protocol":"transport-bitswap","ID":"x","Addrs":["/dns/a.example/https"]}"#;
        assert_eq!(urls(&line(older)), ["https://a.example"]);
    }

    #[test]
    fn everything_else_is_skipped() {
        for text in [
            "",
            "  \r",
            "null",
            "7",
            "{}",
            "{\"Schema\"",
            r#"{"Schema":"other","Addrs":["/dns/a.example/https"]}"#,
            r#"{"Schema":"peer","Addrs":["/dns/a.example/https"],"Protocols":["transport-bitswap"]}"#,
            r#"{"Schema":"peer","Addrs":null,"Protocols":null}"#,
            r#"{"Schema":"peer","Addrs":[7,"/dns/a.example/https"]}"#,
            r#"{"Schema":"peer","Addrs":["/ip4/127.0.0.1/tcp/443/https","/ip4/169.254.169.254/tcp/80/http","/dns/localhost/https"]}"#,
            r#"{"Schema":"peer","Addrs":["/dns/ipfs.io/https","https://x.ipfs.dweb.link"]}"#,
        ] {
            assert_eq!(line(text), [], "{text}");
        }
    }

    #[test]
    fn a_document_may_say_in_many_ways_that_there_are_none() {
        for text in ["null", "{}", r#"{"Providers":null}"#, r#"{"Providers":[]}"#] {
            assert_eq!(document(text).unwrap(), [], "{text}");
        }
        let some = r#"{"Providers":[7,{"Schema":"peer","Addrs":["/dns/a.example/https"]},null]}"#;
        assert_eq!(urls(&document(some).unwrap()), ["https://a.example"]);
        for text in ["", "<html>", "[]x", r#"{"Providers":7}"#] {
            assert!(matches!(document(text), Err(Fault::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn floods_are_cut() {
        let mut sieve = Sieve::new(Reach::Public);
        let peer = |n: usize, m: usize| {
            let addrs: Vec<String> = (0..m)
                .map(|m| format!("\"https://h{m}.n{n}.example\""))
                .collect();
            format!(r#"{{"Schema":"peer","Addrs":[{}]}}"#, addrs.join(","))
        };
        assert_eq!(sieve.line(peer(0, 99).as_bytes()).len(), MAX_ADDRESSES);
        let more: usize = (1..99)
            .map(|n| sieve.line(peer(n, 1).as_bytes()).len())
            .sum();
        assert_eq!(more, MAX_PROVIDERS - MAX_ADDRESSES);
        assert!(sieve.is_full());
        let mut sieve = Sieve::new(Reach::Public);
        (0..MAX_RECORDS).for_each(|_| drop(sieve.line(b"{}")));
        assert!(sieve.is_full() && sieve.line(peer(0, 1).as_bytes()).is_empty());
    }
}
