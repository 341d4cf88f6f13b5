//! Names resolved over real sockets, by servers that say what a test tells them to.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use jiff::SignedDuration;
use simple_dns::rdata::RData;
use simple_dns::{CLASS, Packet, ResourceRecord};

use super::*;
use crate::content::cid::Base;
use crate::content::ipns::tests::{Draft, Owner};
use crate::gateway::client::ClientOptions;

const CONTENT: &str = "/ipfs/bafkqaddwgevxmmraojswg33smq";
const RECORD: &str = "application/vnd.ipfs.ipns-record";

type Answer = (u16, &'static str, Vec<u8>);

/// Answers one request a connection.
struct Server {
    base: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(answer: impl Fn(&str) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A client may have gone away.
                let _ = serve(stream.unwrap(), &seen, &answer);
            }
        });
        Self { base, requests }
    }

    fn sending(record: Vec<u8>) -> Self {
        Self::new(move |_| (200, RECORD, record.clone()))
    }

    fn saying(status: u16, media_type: &'static str, body: &'static str) -> Self {
        Self::new(move |_| (status, media_type, body.into()))
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(
    mut stream: TcpStream,
    seen: &Mutex<Vec<String>>,
    answer: &impl Fn(&str) -> Answer,
) -> std::io::Result<()> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let request = String::from_utf8(request).unwrap();
    let (status, media_type, body) = answer(request.split(' ').nth(1).unwrap());
    seen.lock().unwrap().push(request);
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)
}

/// A resolver that gives every domain these TXT records.
fn dns(texts: &'static [&'static str]) -> Server {
    Server::new(move |path| {
        let query = path.split_once("?dns=").unwrap().1;
        let query = Base::Base64Url.decode(query).unwrap();
        let query = Packet::parse(&query).unwrap();
        let mut reply = Packet::new_reply(query.id());
        reply.questions.clone_from(&query.questions);
        let records = texts.iter().map(|text| {
            let data = RData::TXT((*text).try_into().unwrap());
            ResourceRecord::new(query.questions[0].qname.clone(), CLASS::IN, 60, data)
        });
        reply.answers.extend(records);
        let body = reply.build_bytes_vec().unwrap();
        (200, "application/dns-message", body)
    })
}

/// Everything that a look-up needs.
struct World {
    store: Store,
    client: Client,
    gateways: Vec<String>,
    routers: Vec<String>,
    discovery: Discovery,
    dns: String,
    _dir: tempfile::TempDir,
}

impl World {
    fn new(gateways: &[&Server]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self {
            store: Store::open(dir.path()).unwrap(),
            client: Client::new(ClientOptions::default()).unwrap(),
            gateways: gateways.iter().map(|server| server.base.clone()).collect(),
            routers: Vec::new(),
            discovery: Discovery::Fallback,
            dns: "http://127.0.0.1:9".into(),
            _dir: dir,
        }
    }

    fn resolve(&self, root: &str, path: &[&str]) -> Result<Named, CommandError> {
        let client = || self.client.clone();
        let gateway = |url: &String| Gateway::new(client(), url, vec![], None).unwrap();
        let router = |url: &String| Router::new(client(), url).unwrap();
        let lookup = Lookup {
            store: &self.store,
            gateways: self.gateways.iter().map(gateway).collect(),
            routers: self.routers.iter().map(router).collect(),
            discovery: self.discovery,
            resolver: Resolver::https(client(), &self.dns).unwrap(),
        };
        let path = path.iter().map(|segment| (*segment).to_owned()).collect();
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(resolve(&lookup, Root::Ipns(root.to_owned()), path))
    }

    fn kind(&self, root: &str) -> ExitKind {
        self.resolve(root, &[]).unwrap_err().kind
    }

    fn remember(&self, name: &str, sequence: u64, record: Vec<u8>, ago: SignedDuration) {
        let row = IpnsRow {
            sequence,
            record,
            seen: Timestamp::now() - ago,
        };
        self.store.see_ipns(name, row).wait().unwrap();
    }
}

fn shown(named: &Named) -> String {
    let target = Target {
        root: Root::Ipfs(named.resolved.cid),
        path: named.resolved.path.clone(),
    };
    target.to_string()
}

fn numbered(owner: &Owner, sequence: u64) -> Vec<u8> {
    owner.record(&Draft {
        value: format!("{CONTENT}/{sequence}").into(),
        sequence,
        ..Draft::default()
    })
}

fn expired(owner: &Owner, sequence: u64) -> Vec<u8> {
    owner.record(&Draft {
        sequence,
        eol: "2020-01-01T00:00:00Z".into(),
        ..Draft::default()
    })
}

#[test]
fn the_best_record_wins_and_is_remembered() {
    let owner = Owner::ed25519();
    let name = cid::text(&owner.name());
    let servers = [3, 5, 4].map(|n| Server::sending(numbered(&owner, n)));
    let world = World::new(&servers.each_ref());
    let named = world.resolve(&name, &["x"]).unwrap();
    assert_eq!(shown(&named), format!("{CONTENT}/5/x"));
    assert_eq!(
        named.notices,
        [format!(
            "{name} resolved by its signed record (sequence 5) to {CONTENT}/5"
        )]
    );
    let row = world.store.ipns(&name).wait().unwrap().unwrap();
    assert_eq!((row.sequence, row.record), (5, numbered(&owner, 5)));
    let request = servers[0].requests()[0].to_ascii_lowercase();
    assert!(
        request.starts_with(&format!("get /ipns/{name}?format=ipns-record http/1.1\r\n")),
        "{request}"
    );
    assert!(
        request.contains(&format!("\r\naccept: {RECORD}\r\n")),
        "{request}"
    );
}

#[test]
fn an_older_record_than_one_seen_before_is_not_believed() {
    let owner = Owner::ed25519();
    let name = cid::text(&owner.name());
    let server = Server::sending(numbered(&owner, 4));
    let world = World::new(&[&server]);
    world.remember(
        &name,
        5,
        numbered(&owner, 5),
        SignedDuration::from_hours(100),
    );
    let named = world.resolve(&name, &[]).unwrap();
    assert_eq!(shown(&named), format!("{CONTENT}/5"));
    assert!(named.notices[0].contains("only older records"), "{named:?}");

    // Once that one has expired there is nothing better, and the user is told.
    let world = World::new(&[&server]);
    world.remember(&name, 5, expired(&owner, 5), SignedDuration::ZERO);
    let named = world.resolve(&name, &[]).unwrap();
    assert_eq!(shown(&named), format!("{CONTENT}/4"));
    assert!(named.notices[0].contains("which has expired"), "{named:?}");
    let row = world.store.ipns(&name).wait().unwrap().unwrap();
    assert_eq!(row.sequence, 5, "the highest stays known");
}

#[test]
fn without_an_answer_a_fresh_record_will_do() {
    let owner = Owner::ed25519();
    let name = cid::text(&owner.name());
    let server = Server::saying(503, "text/plain", "later");
    for (minutes, is_used) in [(1, true), (6, false)] {
        let world = World::new(&[&server]);
        let ago = SignedDuration::from_mins(minutes);
        world.remember(&name, 5, numbered(&owner, 5), ago);
        match world.resolve(&name, &[]) {
            Ok(named) => assert!(is_used && named.notices[0].contains("nobody sends")),
            Err(error) => assert!(!is_used && error.kind == ExitKind::Retry),
        }
    }
}

#[test]
fn failures_of_records() {
    let owner = Owner::ed25519();
    let name = cid::text(&owner.name());
    let broken = Server::sending(numbered(&Owner::ed25519(), 1));
    let late = Server::sending(expired(&owner, 1));
    let endless = Server::sending(vec![0; 10 * 1024 + 1]);
    let unknown = Server::saying(500, "text/plain", "ipns: could not resolve name\n");
    let absent = Server::saying(404, "text/plain", "routing: not found");
    let page = Server::saying(200, "text/html", "<p>Welcome");
    let plain = Server::saying(200, "application/octet-stream", "the content");
    let other_form = Server::saying(406, "text/plain", "");
    let busy = Server::saying(503, "text/plain", "");
    let closed = Server::saying(403, "text/plain", "");
    let gone = Server::saying(410, "text/plain", "");
    let table: [(&[&Server], ExitKind); 12] = [
        (&[], ExitKind::Retry),
        (&[&absent], ExitKind::NotFound),
        (&[&unknown, &gone, &plain, &other_form], ExitKind::NotFound),
        (&[&plain, &other_form], ExitKind::Refused),
        (&[&page, &absent], ExitKind::Retry),
        (&[&endless], ExitKind::Verification),
        (&[&broken], ExitKind::Verification),
        (&[&late, &absent], ExitKind::Verification),
        (&[&closed], ExitKind::Refused),
        (&[&closed, &absent], ExitKind::Refused),
        (&[&busy, &absent], ExitKind::Retry),
        (&[&busy, &broken], ExitKind::Retry),
    ];
    for (servers, kind) in table {
        let error = World::new(servers).resolve(&name, &[]).unwrap_err();
        assert_eq!(error.kind, kind, "{}", error.message);
        assert!(error.message.contains(&name) && error.hint.is_some());
    }
    let mut world = World::new(&[&absent]);
    world.gateways.push("http://127.0.0.1:9".into());
    assert_eq!(world.kind(&name), ExitKind::Retry);
}

#[test]
fn routers_are_asked_as_discovery_says() {
    let owner = Owner::ed25519();
    let name = cid::text(&owner.name());
    let router = Server::sending(numbered(&owner, 2));
    let old = Server::sending(numbered(&owner, 1));
    let absent = Server::saying(404, "text/plain", "");
    let table = [
        (&absent, Discovery::Off, Err(ExitKind::NotFound)),
        (&absent, Discovery::Fallback, Ok(2)),
        (&old, Discovery::Fallback, Ok(1)),
        (&old, Discovery::Always, Ok(2)),
    ];
    for (gateway, discovery, expected) in table {
        let mut world = World::new(&[gateway]);
        world.routers = vec![format!("{}/routing/v1/", router.base)];
        world.discovery = discovery;
        let got = world.resolve(&name, &[]).map(|named| shown(&named));
        let got = got.map_err(|error| error.kind);
        assert_eq!(got, expected.map(|n: u64| format!("{CONTENT}/{n}")));
    }
    // Routers have a way of their own to say no.
    let in_words = Server::saying(200, "text/plain", "routing: not found");
    let mut world = World::new(&[]);
    world.routers = vec![in_words.base.clone()];
    assert_eq!(world.kind(&name), ExitKind::NotFound);

    let mut world = World::new(&[]);
    world.routers = vec![router.base.clone()];
    assert!(world.resolve(&name, &[]).is_ok());
    let path = format!("GET /routing/v1/ipns/{name} HTTP/1.1\r\n");
    assert!(
        router
            .requests()
            .iter()
            .all(|request| request.starts_with(&path))
    );
}

#[test]
fn from_a_domain_over_a_key_to_content() {
    const NAME: &str = "dnslink=/ipns/docs.example/b";
    let resolver = dns(&[NAME]);
    let mut world = World::new(&[]);
    world.dns = format!("{}/dns-query", resolver.base);
    // The domain leads to itself.
    let error = world.resolve("Docs.Example", &[]).unwrap_err();
    assert_eq!(error.kind, ExitKind::Verification);
    assert_eq!(error.message, "the name docs.example leads back to itself");

    let owner = Owner::ed25519();
    let name = cid::text(&owner.name());
    let value = "/ipns/docs.example/a";
    let server = Server::sending(owner.record(&Draft {
        value: value.into(),
        ..Draft::default()
    }));
    let resolver = dns(&[
        "v=spf1",
        "dnslink=/ipfs/bafkqaddwgevxmmraojswg33smq/\u{202e}",
    ]);
    let mut world = World::new(&[&server]);
    world.dns = format!("{}/dns-query", resolver.base);
    let named = world.resolve(&name, &["c"]).unwrap();
    assert_eq!(named.resolved.path, ["\u{202e}", "a", "c"]);
    assert_eq!(named.resolved.steps.len(), 2);
    assert_eq!(
        named.notices,
        [
            format!("{name} resolved by its signed record (sequence 7) to {value}"),
            format!(
                "docs.example resolved by DNSLink (the DNS is trusted, not proved) to {CONTENT}/\\u{{202e}}"
            )
        ]
    );
}

#[test]
fn failures_of_domains() {
    let kind = |server: &Server, domain: &str| {
        let mut world = World::new(&[]);
        world.dns = format!("{}/dns-query", server.base);
        let error = world.resolve(domain, &[]).unwrap_err();
        (error.kind, error.hint.unwrap_or_default())
    };
    let (absent, hint) = kind(&dns(&[]), "docs.example");
    assert_eq!(absent, ExitKind::NotFound);
    assert!(!hint.contains("ENS"));
    let (absent, hint) = kind(&dns(&["hello"]), "name.eth");
    assert_eq!(absent, ExitKind::NotFound);
    assert!(hint.contains("ENS"));
    let two = dns(&["dnslink=/ipfs/bafkqaaa", "dnslink=/ipfs/bafkqaaa/x"]);
    assert_eq!(kind(&two, "docs.example").0, ExitKind::Verification);
    let busy = Server::saying(502, "text/html", "bad gateway");
    assert_eq!(kind(&busy, "docs.example").0, ExitKind::Retry);
}

#[test]
fn signed_values_that_lead_nowhere() {
    let owner = Owner::ed25519();
    let name = cid::text(&owner.name());
    for (value, kind) in [
        ("", ExitKind::NotFound),
        ("/ipfs/x", ExitKind::Verification),
        (&format!("/ipns/{name}"), ExitKind::Verification),
    ] {
        let server = Server::sending(owner.record(&Draft {
            value: value.into(),
            ..Draft::default()
        }));
        assert_eq!(World::new(&[&server]).kind(&name), kind, "{value}");
    }
}
