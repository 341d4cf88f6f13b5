//! The parsers that are fed with bytes or text.

use bytes::Bytes;
use fetchd::content::car::{CarParser, Limits};
use fetchd::content::cid::{self, codec};
use fetchd::content::ipns::Record;
use fetchd::content::names::Target as NameTarget;
use fetchd::content::ranges::RangeSet;
use fetchd::content::unixfs::Node;
use fetchd::content::{dagpb, links, source, unixfs};
use fetchd::gateway::address::Reach;
use fetchd::gateway::netrc::Netrc;
use fetchd::gateway::validator::Validator;
use fetchd::gateway::{multiaddr, retry_after};
use fetchd::settings::{Environment, Settings};

use super::Target;
use crate::support;
use crate::support::dag::{Dag, Dir, Layout, Leaf, Recipe, Version};

const CIDS: &[&str] = &[
    "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKZqmN",
    "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi",
    "zb2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93bA",
    "bafkqablimvwgy3y",
    "f01701220c3c4733ec8affd06cf9e9ff50ffc6bcd2ec85a6170004bb709669c31de94391a",
];

const DATA: &[&str] = &[
    r#"{"a":{"/":"bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"},"b":[1,-2.5,null]}"#,
    r#"[{"/":{"bytes":"AAAA"}},{"/":"QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKZqmN"},"\u0000"]"#,
];

/// All of them.
pub fn all() -> Vec<Target> {
    let texts = |texts: &[&str]| texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    let target = |name, seeds, eat| Target { name, seeds, eat };
    vec![
        target("cid text", texts(CIDS), eat_cid),
        target("cid bytes", cid_bytes(), eat_cid_bytes),
        target("source", texts(SOURCES), eat_source),
        target("dag-pb", nodes(), eat_dag_pb),
        target("unixfs", nodes(), eat_unixfs),
        target("dag-cbor", data(), eat_dag_cbor),
        target("dag-json", texts(DATA), eat_dag_json),
        target("car", cars(), eat_car),
        target("ipns record", records(), eat_record),
        target("name target", texts(SOURCES), eat_name),
        target("multiaddr", texts(ADDRESSES), eat_address),
        target("retry-after", texts(DATES), eat_date),
        target("validator", texts(VALIDATORS), eat_validator),
        target("netrc", texts(NETRCS), eat_netrc),
        target("ranges", vec![vec![0, 10, 5, 20, 255, 1]], eat_ranges),
        target("configuration", texts(CONFIGURATIONS), eat_configuration),
    ]
}

fn data() -> Vec<Vec<u8>> {
    let raw = Dag::single(b"raw");
    let list = Dag::dag_cbor(&[&raw, &Dag::dag_cbor(&[&raw])]);
    // {"a": 1.5, "b": [h'0102', null, -1]}
    let map = b"\xa2\x61a\xfb\x3f\xf8\0\0\0\0\0\0\x61b\x83\x42\x01\x02\xf6\x20";
    let blocks = list.blocks.iter().map(|(_, block)| block.to_vec());
    blocks.chain([map.to_vec()]).collect()
}

fn eat_dag_cbor(input: &[u8]) -> String {
    eat_links(codec::DAG_CBOR, input)
}

fn eat_dag_json(input: &[u8]) -> String {
    eat_links(codec::DAG_JSON, input)
}

fn eat_links(codec: u64, input: &[u8]) -> String {
    match links::of(codec, &Bytes::copy_from_slice(input)) {
        Ok(found) => {
            assert!(found.len() <= input.len());
            format!("{} links", found.len())
        }
        // What the parser says of it quotes the input.
        Err(_) => "malformed".to_owned(),
    }
}

fn text(input: &[u8]) -> std::borrow::Cow<'_, str> {
    String::from_utf8_lossy(input)
}

fn eat_cid(input: &[u8]) -> String {
    match cid::parse(&text(input)) {
        Ok(cid) => {
            let again = cid::parse(&cid::text(&cid)).expect("its own text");
            assert_eq!(again, cid);
            "read".to_owned()
        }
        Err(error) => error.to_string(),
    }
}

fn cid_bytes() -> Vec<Vec<u8>> {
    let parsed = CIDS.iter().map(|text| cid::parse(text).expect("a CID"));
    parsed.map(|cid| cid.to_bytes()).collect()
}

fn eat_cid_bytes(input: &[u8]) -> String {
    if let Ok((_, len)) = cid::read(input) {
        assert!(len <= input.len());
    }
    match cid::parse_bytes(input) {
        Ok(cid) => {
            assert_eq!(
                cid::parse_bytes(&cid.to_bytes()).expect("its own bytes"),
                cid
            );
            "read".to_owned()
        }
        Err(error) => error.to_string(),
    }
}

const SOURCES: &[&str] = &[
    "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKZqmN/readme",
    "/ipfs/bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi/a%20b/c",
    "ipfs://bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi/x?filename=y.bin#z",
    "ipns://k51qzi5uqu5digpyxv2xuxllx3tjkc2eh2vk41jlxj7wzj04fxjo7il5xpzzi9/2024",
    "/ipns/docs.ipfs.tech/how-to",
    "https://bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi.ipfs.example.org/a",
    "http://127.0.0.1:8080/ipfs/QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKZqmN?format=car",
    "https://user@files.example.org:8443/model.bin?x=1",
    "@name",
    "dnslink=/ipfs/QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKZqmN",
];

fn eat_source(input: &[u8]) -> String {
    match source::parse(&text(input)) {
        Ok(source) => format!("{source:?}").split(['(', '{']).take(2).collect(),
        Err(error) => error.to_string(),
    }
}

fn eat_name(input: &[u8]) -> String {
    let target = NameTarget::parse(&text(input));
    target.map_or_else(|error| error.to_string(), |_| "read".to_owned())
}

/// Blocks of every kind.
fn nodes() -> Vec<Vec<u8>> {
    let file = || Recipe::default().chunk(100).width(3);
    let small = file().build(50);
    let names = (0..20).map(|n| (format!("{n}.bin"), &small));
    let dags = [
        file().build(1_000),
        file().leaf(Leaf::File).build(1_000),
        file().leaf(Leaf::Raw).version(Version::V0).build(500),
        file().layout(Layout::Trickle).build(1_500),
        Dag::symlink("../x"),
        Dag::directory(&[("a", &small), ("b", &small)]),
        Dir::new().entries(names).sharded(8).build(),
    ];
    let blocks = dags.iter().flat_map(|dag| dag.blocks.iter());
    blocks.map(|(_, block)| block.to_vec()).collect()
}

fn eat_dag_pb(input: &[u8]) -> String {
    let node = dagpb::decode(&Bytes::copy_from_slice(input));
    node.map_or_else(|error| error.to_string(), |_| "read".to_owned())
}

fn eat_unixfs(input: &[u8]) -> String {
    match unixfs::node(codec::DAG_PB, &Bytes::copy_from_slice(input)) {
        Ok(Node::File(_)) => "file".to_owned(),
        Ok(Node::Directory(directory)) => {
            let _ = directory.lookup(b"a");
            "directory".to_owned()
        }
        Ok(Node::HamtShard(shard)) => format!("shard {}", shard.is_empty()),
        Ok(node) => format!("{node:?}").chars().take(8).collect(),
        Err(error) => error.to_string(),
    }
}

fn cars() -> Vec<Vec<u8>> {
    let file = Recipe::default().chunk(200).width(3);
    vec![file.build(1_000).car(), Dag::single(b"").car()]
}

fn eat_car(input: &[u8]) -> String {
    let limits = Limits {
        header: 4096,
        block: 1 << 20,
    };
    let (mut whole, mut cut) = (CarParser::new(limits), CarParser::new(limits));
    whole.push(Bytes::copy_from_slice(input));
    let one = drain(&mut whole);
    // In pieces it says the same.
    let mut other = (0, None);
    for piece in input.chunks(7) {
        cut.push(Bytes::copy_from_slice(piece));
        let (sections, error) = drain(&mut cut);
        other = (other.0 + sections, error);
        if other.1.is_some() {
            break;
        }
    }
    if one.1.is_none() {
        assert_eq!(one, other);
        assert_eq!(whole.finish().is_ok(), cut.finish().is_ok());
    }
    one.1
        .unwrap_or_else(|| format!("read {:?}", whole.finish().is_ok()))
}

fn drain(car: &mut CarParser) -> (usize, Option<String>) {
    let mut sections = 0;
    loop {
        match car.next() {
            Ok(Some(_)) => sections += 1,
            Ok(None) => return (sections, None),
            Err(error) => return (sections, Some(error.to_string())),
        }
    }
}

/// Those of the shared fixtures, where they are; otherwise the changes begin with nothing.
fn records() -> Vec<Vec<u8>> {
    let mut records = vec![Vec::new()];
    if let Some(index) = support::fixtures("ipns-expected.json") {
        let text = std::fs::read_to_string(index).expect("readable");
        let rows: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&text).expect("JSON");
        let files = rows.keys().filter_map(|file| support::fixtures(file));
        records.extend(files.map(|file| std::fs::read(file).expect("readable")));
    }
    records
}

fn eat_record(input: &[u8]) -> String {
    let name = "k51qzi5uqu5digpyxv2xuxllx3tjkc2eh2vk41jlxj7wzj04fxjo7il5xpzzi9";
    let name = source::ipns_key(name).expect("a key");
    let now = "2026-11-21T00:00:00Z".parse().expect("a time");
    let record = Record::verify(&name, input, now);
    record.map_or_else(|error| error.to_string(), |_| "read".to_owned())
}

const ADDRESSES: &[&str] = &[
    "/dns4/gateway.example.org/tcp/443/https",
    "/ip4/192.0.2.1/tcp/8080/http",
    "/ip6/2001:db8::1/tcp/443/tls/http/p2p/QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWKZqmN",
    "/dns/example.org/tcp/443/tls/sni/example.org/http/http-path/a%2Fb",
    "/ip6zone/eth0/ip6/fe80::1/tcp/80/http",
];

fn eat_address(input: &[u8]) -> String {
    let address = text(input);
    let (public, any) = (
        multiaddr::base_url(&address, Reach::Public),
        multiaddr::base_url(&address, Reach::Any),
    );
    assert!(public.is_none() || any.is_some(), "{address}");
    if let Some(url) = &any {
        assert!(url.starts_with("http"), "{url}");
    }
    format!("{} {}", public.is_some(), any.is_some())
}

const DATES: &[&str] = &[
    "120",
    "Fri, 06 Nov 2026 08:49:37 GMT",
    "Friday, 06-Nov-26 08:49:37 GMT",
    "Fri Nov  6 08:49:37 2026",
];

fn eat_date(input: &[u8]) -> String {
    let now = "2026-11-21T00:00:00Z".parse().expect("a time");
    let wait = retry_after::parse(&text(input), now);
    format!(
        "{} {}",
        wait.is_some(),
        retry_after::http_date(&text(input)).is_some()
    )
}

const VALIDATORS: &[&str] = &["etag \"abc\"", "\"abc\"", "Fri, 06 Nov 2026 08:49:37 GMT"];

fn eat_validator(input: &[u8]) -> String {
    let Some(validator) = Validator::decode(&text(input)) else {
        return "none".to_owned();
    };
    let again = Validator::decode(&validator.encode());
    assert_eq!(again, Some(validator));
    "read".to_owned()
}

const NETRCS: &[&str] =
    &["machine example.org login me password \"a b\"\nmacdef x\n y\n\ndefault login z"];

fn eat_netrc(input: &[u8]) -> String {
    let logins = Netrc::parse(&text(input));
    logins.map_or_else(|error| error.to_string(), |_| "read".to_owned())
}

fn eat_ranges(input: &[u8]) -> String {
    match RangeSet::decode(input) {
        Ok(ranges) => {
            assert_eq!(RangeSet::decode(&ranges.encode()).expect("its own"), ranges);
            "read".to_owned()
        }
        Err(error) => error.to_string(),
    }
}

const CONFIGURATIONS: &[&str] = &[
    "connections = 3\nlimit_rate = \"20M\"\nstall_timeout = \"90s\"\ndiscovery = \"off\"\n",
    "[[gateways]]\nurl = \"https://example.org\"\npriority = 1\nheaders = { A = \"${B}\" }\n",
    "allow_hash = [\"sha1\"]\ndns = \"https://dns.example/dns-query\"\nresume_threshold = 0.5\n",
];

fn eat_configuration(input: &[u8]) -> String {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), input).expect("a writable file");
    let cli = [
        "fetchd".as_ref(),
        "--config".as_ref(),
        file.path().as_os_str(),
        "list".as_ref(),
    ];
    let cli = fetchd::cli::parse(cli).expect("a command line");
    let environment = Environment::from_variables([("B", "secret")]);
    match Settings::resolve(&cli, &environment) {
        Ok(_) => "read".to_owned(),
        Err(error) => {
            let text = error.to_string();
            text.rsplit(':').next().unwrap_or_default().to_owned()
        }
    }
}
