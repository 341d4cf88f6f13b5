//! HTTP/2 over TLS: many blocks on one connection, with windows that a long round trip does not
//! empty.

use std::process::Command;

use fetchd::gateway::client::{Client, ClientOptions};
use fetchd::gateway::request::Gateway;
use futures_util::future::join_all;
use hyper::Version;

use crate::support::dag::{Dag, Recipe, seeded};
use crate::support::sandbox::Sandbox;
use crate::support::tls::{TlsGateway, certificate};

/// Blocks asked for at the same time.
const TOGETHER: usize = 10;
/// How the helper below learns what to ask for.
const URL: &str = "FETCHD_TEST_TLS_URL";
const CIDS: &str = "FETCHD_TEST_TLS_CIDS";

/// What a connection of HTTP/2 opens with (RFC 9113 §3.4, §6.5, §6.9).
#[derive(Debug, Default)]
struct Opening {
    /// `SETTINGS_INITIAL_WINDOW_SIZE`
    stream_window: Option<u32>,
    /// What `WINDOW_UPDATE` adds to the 65,535 bytes that a connection begins with.
    connection_window: u32,
}

impl Opening {
    fn read(bytes: &[u8]) -> Self {
        let mut opening = Self::default();
        let mut rest = bytes.get(24..).unwrap_or_default();
        while let [a, b, c, kind, _, s0, s1, s2, s3, after @ ..] = rest {
            let len = u32::from_be_bytes([0, *a, *b, *c]) as usize;
            let Some((payload, next)) = after.split_at_checked(len) else {
                break;
            };
            let stream = u32::from_be_bytes([*s0, *s1, *s2, *s3]);
            match (kind, stream) {
                (4, 0) => opening.settings(payload),
                (8, 0) => opening.connection_window = number(payload),
                _ => {}
            }
            rest = next;
        }
        opening
    }

    fn settings(&mut self, payload: &[u8]) {
        for entry in payload.chunks_exact(6) {
            if entry[..2] == [0, 4] {
                self.stream_window = Some(number(&entry[2..]));
            }
        }
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |n, &byte| n << 8 | u32::from(byte))
}

#[test]
fn a_file_comes_over_tls_and_its_blocks_share_a_connection() {
    let dag = Recipe::default().build(300_000);
    let gateway = TlsGateway::start(&[&dag], None);
    let sandbox = Sandbox::new();
    let output = sandbox
        .fetchd(["get", &dag.source(), "-o", "f", "--gateway", gateway.url()])
        .env("SSL_CERT_FILE", certificate())
        .run();
    output.exits(0);
    assert_eq!(sandbox.read("f"), dag.data);
    let requests = gateway.requests();
    let blocks = requests
        .iter()
        .filter(|seen| seen.target.contains("format=raw"));
    let blocks: Vec<_> = blocks.collect();
    assert!(!blocks.is_empty());
    assert!(blocks.iter().all(|seen| seen.version == Version::HTTP_2));
    // Long bodies have a connection each, where a slow disk can hold them back.
    let mut ranges = requests.iter().filter(|seen| seen.range.is_some());
    assert!(ranges.all(|seen| seen.version == Version::HTTP_11));
}

#[test]
fn without_the_certificate_nothing_is_asked() {
    let dag = Dag::single(b"hello");
    let gateway = TlsGateway::start(&[&dag], None);
    let sandbox = Sandbox::new();
    let output = sandbox.run([
        "get",
        &dag.source(),
        "--gateway",
        gateway.url(),
        "--max-time",
        "1s",
    ]);
    output.exits(75);
    assert!(gateway.requests().is_empty());
}

#[test]
fn ten_blocks_share_one_connection_with_wide_windows() {
    let dags: Vec<Dag> = (0..=TOGETHER as u64)
        .map(|seed| Dag::single(&seeded(seed, 1000)))
        .collect();
    let gateway = TlsGateway::start(&dags.iter().collect::<Vec<_>>(), Some(TOGETHER));
    let cids: Vec<String> = dags.iter().map(|dag| dag.root.to_string()).collect();
    // A process trusts the certificate that its environment names, so that takes one of its own.
    let helper = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "http2::helper", "--ignored"])
        .env("SSL_CERT_FILE", certificate())
        .env(URL, gateway.url())
        .env(CIDS, cids.join(" "))
        .output()
        .expect("this program again");
    assert!(helper.status.success(), "{helper:?}");

    let requests = gateway.requests();
    assert_eq!(requests.len(), TOGETHER + 1, "{requests:?}");
    assert!(
        requests.iter().all(|seen| seen.connection == 0),
        "{requests:?}"
    );
    let openings = gateway.http2_openings();
    let opening = Opening::read(&openings[0]);
    assert_eq!(openings.len(), 1);
    // A stream at 200 MB/s over 80 ms needs 16 MB under way.
    assert!(opening.stream_window >= Some(16 << 20), "{opening:?}");
    assert!(
        opening.connection_window >= (64 << 20) - 65_535,
        "{opening:?}"
    );
}

/// No test of its own: what the one above runs in another process.
#[test]
#[ignore = "a helper of ten_blocks_share_one_connection_with_wide_windows"]
fn helper() {
    let (Ok(url), Ok(cids)) = (std::env::var(URL), std::env::var(CIDS)) else {
        return;
    };
    let client = Client::new(ClientOptions::default()).expect("a client");
    let gateway = Gateway::new(client, &url, Vec::new(), None).expect("a gateway");
    let cids: Vec<_> = cids
        .split(' ')
        .map(|cid| fetchd::content::cid::parse(cid).expect("a CID"))
        .collect();
    let (first, others) = cids.split_first().expect("CIDs");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        // The first request finds out that the server speaks HTTP/2.
        gateway.block(first, 1000).await.expect("a block");
        let blocks = others.iter().map(|cid| gateway.block(cid, 1000));
        for block in join_all(blocks).await {
            assert_eq!(block.expect("a block").bytes.len(), 1000);
        }
    });
}
