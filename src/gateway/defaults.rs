//! The gateways that fetchd knows of, and those that have closed. As of 2026-11.
//!
//! None of these owes anybody an answer: the list is where to begin when nothing is configured,
//! and it ages. Change an entry together with its note, and the date above.

/// A gateway to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DefaultGateway {
    /// Base URL, without a trailing slash.
    pub url: &'static str,
    /// Whether it runs on this machine, and is skipped in silence when nothing listens.
    pub local: bool,
    /// What is known of it.
    pub note: &'static str,
}

/// In the order to try.
pub const GATEWAYS: [DefaultGateway; 5] = [
    DefaultGateway {
        url: "http://127.0.0.1:8080",
        local: true,
        note: "a node of your own (Kubo's default port): no limits, every form of request",
    },
    DefaultGateway {
        url: "https://trustless-gateway.link",
        local: false,
        note: "raw blocks seen 2026-10; operator unclear since 2026-09-30",
    },
    DefaultGateway {
        url: "https://ipfs.filebase.io",
        local: false,
        note: "plain bytes; states 200 requests a minute; up to 30 s when cold",
    },
    DefaultGateway {
        url: "https://gateway.pinata.cloud",
        local: false,
        note: "plain bytes; 200 requests a minute, 15 a minute for one CID; slow when cold",
    },
    DefaultGateway {
        url: "https://ipfs.4everland.io",
        local: false,
        note: "plain bytes; states 300 requests a minute",
    },
];

/// A host that no longer serves programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retired {
    /// The host; its subdomains are retired with it.
    pub host: &'static str,
    /// Since when: `YYYY-MM-DD`, or the month of the last check where the day is unknown.
    pub since: &'static str,
    /// What to do instead.
    pub advice: &'static str,
}

const CLOSED: &str =
    "it answers browsers only; run a node of your own, or name another gateway with --gateway";
const REDIRECTS: &str = "it only redirects to dweb.link, which has closed; run a node of your own, or name another gateway with --gateway";
const GONE: &str =
    "the service no longer exists; run a node of your own, or name another gateway with --gateway";

const RETIRED: [Retired; 17] = [
    retired_host("ipfs.io", "2026-09-21", CLOSED),
    retired_host("dweb.link", "2026-09-21", CLOSED),
    retired_host("gateway.ipfs.io", "2026-09-21", GONE),
    retired_host("w3s.link", "2026-09-21", REDIRECTS),
    retired_host("nftstorage.link", "2026-09-21", REDIRECTS),
    retired_host("storacha.link", "2026-09-21", REDIRECTS),
    retired_host("cloudflare-ipfs.com", "2024-08-14", GONE),
    retired_host("cf-ipfs.com", "2024-08-14", GONE),
    retired_host("ipfs.infura.io", "2026-11", GONE),
    retired_host("infura-ipfs.io", "2026-11", GONE),
    retired_host("ipfs.fleek.co", "2026-11", GONE),
    retired_host("flk-ipfs.xyz", "2026-11", GONE),
    retired_host("dlunar.net", "2026-11", GONE),
    retired_host("hardbin.com", "2026-11", GONE),
    retired_host("ipfs.runfission.com", "2026-11", GONE),
    retired_host("ipfs.eth.aragon.network", "2026-11", GONE),
    retired_host(
        "trustless-gateway.net",
        "2026-09-30",
        "it serves one web site only; name another gateway with --gateway",
    ),
];

const fn retired_host(host: &'static str, since: &'static str, advice: &'static str) -> Retired {
    Retired {
        host,
        since,
        advice,
    }
}

/// Whether `host` (of a URL, without its port) is closed to programs, by itself or as a subdomain
/// of one that is.
pub fn retired(host: &str) -> Option<Retired> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    RETIRED.into_iter().find(|retired| {
        host.strip_suffix(retired.host)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retired_hosts_and_their_subdomains() {
        for host in [
            "ipfs.io",
            "IPFS.io.",
            "gateway.ipfs.io",
            "bafkqaaa.ipfs.dweb.link",
            "x.ipfs.w3s.link",
        ] {
            assert!(retired(host).is_some(), "{host}");
        }
        for host in [
            "notipfs.io",
            "ipfs.io.example",
            "ipfs.filebase.io",
            "io",
            "",
            "127.0.0.1",
        ] {
            assert!(retired(host).is_none(), "{host}");
        }
    }

    #[test]
    fn no_default_is_retired_and_a_local_node_comes_first() {
        assert!(GATEWAYS[0].local && GATEWAYS[1..].iter().all(|gateway| !gateway.local));
        for gateway in GATEWAYS {
            let url = url::Url::parse(gateway.url).unwrap();
            assert!(
                retired(url.host_str().unwrap()).is_none(),
                "{}",
                gateway.url
            );
            assert!(!gateway.url.ends_with('/') && (gateway.local || url.scheme() == "https"));
        }
    }
}
