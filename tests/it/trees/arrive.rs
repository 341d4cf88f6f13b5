//! Trees of every kind arrive whole from every kind of provider.

use std::collections::BTreeMap;

use super::sample::Sample;
use super::{arguments, arrived, get};
use crate::support::dag::{Dag, Hash, Layout, Leaf, Recipe, Version};
use crate::support::gateway::{Builder, Fault, Features, Gateway, Kind, On};
use crate::support::pb::{self, UnixFs, kind};
use crate::support::sandbox::Sandbox;

/// A leaf that says its size twice over: sound, and not as importers write it.
fn odd_leaf(data: &[u8]) -> Dag {
    let message = UnixFs {
        kind: kind::FILE,
        data: Some(data.to_vec()),
        filesize: Some(data.len() as u64),
        mode: Some(0o644),
        ..UnixFs::default()
    };
    Dag {
        data: data.to_vec(),
        ..Dag::of_message(&message)
    }
}

fn small(seed: u64, size: usize) -> Dag {
    Recipe::default().seed(seed).build(size)
}

fn nested() -> Sample {
    let empty = Sample::new();
    let inner = Sample::new()
        .file("deep.bin", &small(3, 9_000))
        .dir("nothing", &empty)
        .link("up", "../plain.txt");
    Sample::new()
        .file("plain.txt", &small(1, 100))
        .file("empty", &Dag::single(b""))
        .file("big.bin", &small(2, 50_000))
        .dir("inner", &inner)
        .dir("hollow", &Sample::new().dir("a", &empty).dir("b", &empty))
        .link("here", "inner/deep.bin")
        .link("dangling", "not/there")
}

fn odd_names() -> Sample {
    let names = [
        "a b",
        "ümläut",
        "模型",
        "100%",
        "q?x=1",
        "#hash",
        "a%20b",
        "-rf",
        "--",
        "semi;colon",
        "quote\"s",
        "back\\slash",
        "...",
        ".hidden",
        "A",
        "\u{202e}rtl",
        "trailing.",
        "trailing ",
    ];
    let files: Vec<Dag> = (0..names.len()).map(|n| small(n as u64, 20 + n)).collect();
    let inner = Sample::new().files(names.iter().map(|&name| name.to_owned()).zip(&files));
    Sample::new()
        .dir("odd dir %41", &inner)
        .dir("sharded", &inner.clone().sharded(8))
}

fn sharded(fanout: u64, count: usize) -> Sample {
    let files: Vec<Dag> = (0..count).map(|n| small(n as u64, n * 7 % 300)).collect();
    let names = (0..count).map(|n| format!("file-{n}.bin"));
    Sample::new().files(names.zip(&files)).sharded(fanout)
}

fn duplicates() -> Sample {
    let big = small(5, 60_000);
    let zeros = Recipe::default().build_bytes(&[0; 40_000]);
    let more_zeros = Recipe::default().build_bytes(&[0; 30_000]);
    let inner = Sample::new()
        .file("big", &big)
        .file("x", &Dag::single(b"x"));
    Sample::new()
        .file("1", &big)
        .file("2", &big)
        .file("x", &Dag::single(b"x"))
        .file("zeros", &zeros)
        .file("more zeros", &more_zeros)
        .dir("dir", &inner)
        .dir("same dir", &inner)
        .dir(
            "up",
            &Sample::new().dir("same dir", &inner).file("big", &big),
        )
}

fn leaves() -> Sample {
    let base = Recipe::default();
    let classic = base.leaf(Leaf::File).version(Version::V0);
    let odd = [odd_leaf(b"one odd leaf"), odd_leaf(b"another, longer")];
    Sample::new()
        .file("classic", &classic.build(30_000))
        .file("classic small", &classic.build(300))
        .file("classic empty", &classic.build_bytes(b""))
        .file("raw", &base.build(30_000))
        .file(
            "old",
            &base
                .leaf(Leaf::OldRaw)
                .layout(Layout::Trickle)
                .build(30_000),
        )
        .file("blake3", &base.hash(Hash::Blake3).build(20_000))
        .file("inline", &base.inline(32).build_bytes(b"in the name"))
        .file("inline leaves", &base.chunk(30).inline(32).build(500))
        .file("odd", &odd[0])
        .file("odd twin", &odd[0])
        .file("other odd", &odd[1])
        .file("filled", &base.build_bytes(&[7; 20_000]))
        .block("cbor", &Dag::dag_cbor(&[]))
        .dir(
            "old dir",
            &Sample::new()
                .file("f", &classic.build(50))
                .with(|dir| dir.version(Version::V0)),
        )
}

/// Blocks that are linked both as what they are and as raw, which stands for their own bytes.
fn readings() -> Sample {
    let raw = |dag: &Dag| Dag::single(dag.block(&dag.root).expect("the root"));
    let classic = Recipe::default().leaf(Leaf::File);
    let (one, two) = (classic.seed(1).build(500), classic.seed(2).build(500));
    let below = Sample::new().file("x", &one);
    Sample::new()
        .file("a raw", &raw(&one))
        .file("b", &one)
        .file("c raw", &raw(&one))
        .file("d", &two)
        .file("e raw", &raw(&two))
        .dir("f", &below)
        .file("g raw", &raw(&below.dag()))
        .dir("h", &below)
        .dir(
            "later",
            &Sample::new()
                .file("a raw", &raw(&two))
                .file("b", &two)
                .dir("f", &below)
                .file("g raw", &raw(&below.dag())),
        )
}

/// Every kind of tree, by name.
fn trees() -> BTreeMap<&'static str, Sample> {
    let mixed = Sample::new()
        .dir("shards", &sharded(16, 60))
        .dir("plain", &nested())
        .file("readme", &small(9, 2_000));
    BTreeMap::from([
        ("an empty one", Sample::new()),
        ("an empty shard", Sample::new().sharded(256)),
        ("nested", nested()),
        ("odd names", odd_names()),
        ("8 buckets", sharded(8, 150)),
        ("256 buckets", sharded(256, 600)),
        ("1024 buckets", sharded(1024, 100)),
        ("duplicates", duplicates()),
        ("leaves", leaves()),
        ("mixed", mixed),
        ("readings", readings()),
    ])
}

#[track_caller]
fn every_tree_arrives(gateways: impl Fn(&Dag) -> Vec<Builder>) {
    for (name, sample) in trees() {
        let (sandbox, dag) = (Sandbox::new(), sample.dag());
        let gateways: Vec<Gateway> = gateways(&dag).into_iter().map(Builder::start).collect();
        let output = get(&sandbox, &dag, &gateways.iter().collect::<Vec<_>>(), &[]);
        let story: String = gateways.iter().map(Gateway::story).collect();
        assert_eq!(
            output.code,
            Some(0),
            "{name}: {}\n{story}",
            output.transcript()
        );
        arrived(&sandbox, &sample, output);
    }
}

#[track_caller]
fn every_tree_arrives_from(features: Features) {
    every_tree_arrives(|dag| vec![Gateway::of(dag).features(features)]);
}

#[test]
fn from_a_full_gateway() {
    every_tree_arrives_from(Features::ALL);
}

#[test]
fn from_raw_blocks_only() {
    every_tree_arrives_from(Features::RAW);
}

#[test]
fn from_whole_cars_only() {
    every_tree_arrives_from(Features::WHOLE_CAR);
}

#[test]
fn from_a_trustless_gateway() {
    every_tree_arrives_from(Features::TRUSTLESS);
}

#[test]
fn from_plain_ranges_and_blocks() {
    every_tree_arrives_from(Features {
        plain: true,
        range: true,
        ..Features::RAW
    });
}

/// Interior nodes from one gateway, everything else in plain bytes from another.
#[test]
fn from_blocks_here_and_plain_files_there() {
    every_tree_arrives(|dag| {
        let nodes = Gateway::of(dag).features(Features::RAW);
        vec![nodes, Gateway::of(dag).features(Features::PLAIN)]
    });
}

/// Every second block each.
#[test]
fn from_two_halves() {
    for features in [Features::RAW, Features::TRUSTLESS] {
        every_tree_arrives(|dag| {
            let half = |odd: usize| {
                let blocks = dag.blocks.iter().enumerate();
                let blocks = blocks.filter(|(n, _)| n % 2 == odd);
                Dag {
                    blocks: blocks.map(|(_, block)| block.clone()).collect(),
                    ..dag.clone()
                }
            };
            [0, 1]
                .map(|odd| Gateway::of(&half(odd)).features(features))
                .into()
        });
    }
}

#[test]
fn from_a_car_file() {
    for (name, sample) in trees() {
        let (sandbox, dag) = (Sandbox::new(), sample.dag());
        let car = sandbox.root().join("tree.car");
        std::fs::write(&car, dag.car()).expect("a writable sandbox");
        let car = car.to_str().expect("an ASCII path");
        let output = sandbox.run(arguments(&dag.source(), &[], &["--gateway", car]));
        assert_eq!(output.code, Some(0), "{name}: {}", output.transcript());
        arrived(&sandbox, &sample, output);
    }
}

/// A file of several windows between small ones.
#[test]
fn large_files_in_a_tree() {
    let large = Recipe::default().chunk(256 << 10).width(16).build(40 << 20);
    let classic = Recipe::default()
        .chunk(256 << 10)
        .width(16)
        .leaf(Leaf::File);
    let sample = Sample::new()
        .file("a", &small(1, 10))
        .dir(
            "models",
            &Sample::new()
                .file("large", &large)
                .file("b", &classic.seed(2).build(9 << 20)),
        )
        .file("z", &small(3, 5_000));
    let dag = sample.dag();
    for features in [Features::ALL, Features::RAW, Features::WHOLE_CAR] {
        let sandbox = Sandbox::new();
        let gateway = Gateway::of(&dag).features(features).start();
        let output = get(&sandbox, &dag, &[&gateway], &[]);
        arrived(&sandbox, &sample, output);
        assert!(gateway.sent() < 2 * sample.size(), "{}", gateway.story());
    }
}

/// Many small files come in few requests where CARs are honoured, and each block once.
#[test]
fn many_small_files_in_few_requests() {
    let dirs: Vec<Sample> = (0..20)
        .map(|dir| {
            let files: Vec<Dag> = (0..50).map(|n| small(dir * 100 + n, 500)).collect();
            Sample::new().files((0..50).map(|n| format!("{n}.txt")).zip(&files))
        })
        .collect();
    let numbered = dirs.iter().enumerate();
    let sample = numbered.fold(Sample::new(), |sample, (n, dir)| {
        sample.dir(&format!("d{n}"), dir)
    });
    let dag = sample.dag();
    let gateway = Gateway::of(&dag).features(Features::TRUSTLESS).start();
    let sandbox = Sandbox::new();
    let output = get(&sandbox, &dag, &[&gateway], &[]);
    arrived(&sandbox, &sample, output);
    assert!(gateway.requests().len() <= 10, "{}", gateway.story());
    assert!(
        gateway.sent() < sample.size() * 2,
        "{} bytes",
        gateway.sent()
    );
}

/// What is in a tree twice is asked for once.
#[test]
fn duplicates_are_fetched_once() {
    let big = small(5, 60_000);
    let inner = Sample::new()
        .file("big", &big)
        .file("x", &Dag::single(b"x"));
    let sample = Sample::new()
        .file("1", &big)
        .file("2", &big)
        .file("x", &Dag::single(b"x"))
        .dir("dir", &inner)
        .dir("same dir", &inner)
        .dir(
            "up",
            &Sample::new().dir("same dir", &inner).file("big", &big),
        );
    let dag = sample.dag();
    let gateway = Gateway::of(&dag).features(Features::RAW).start();
    let sandbox = Sandbox::new();
    let output = get(&sandbox, &dag, &[&gateway], &[]);
    arrived(&sandbox, &sample, output);
    let requests = gateway.requests();
    let raw = requests.iter().filter(|request| request.kind == Kind::Raw);
    let mut asked: Vec<String> = raw.map(|request| request.path.clone()).collect();
    let all = asked.len();
    asked.sort();
    asked.dedup();
    assert_eq!(asked.len(), all, "{}", gateway.story());
    assert_eq!(all, dag.blocks.len());
}

/// A file that is recorded as finished, and forgotten, is copied to where it turns up again.
#[test]
fn what_turns_up_again_late_is_copied() {
    let again = small(5, 60_000);
    let inner = Sample::new().file("again", &again);
    let sample = Sample::new().file("first", &again).dir("late", &inner);
    let dag = sample.dag();
    let late = On::raw().with(inner.dag().root.to_string());
    let gateway = Gateway::of(&dag)
        .features(Features::RAW)
        .on(late, Fault::HoldAfter(0))
        .start();
    let sandbox = Sandbox::new();
    sandbox.config("checkpoint_interval = \"1ms\"");
    let source = dag.source();
    let mut running = sandbox.fetchd(arguments(&source, &[&gateway], &[])).spawn();
    running.wait_event(|event| event["type"] == "checkpoint" && event["bytes"] == 60_000);
    gateway.held();
    gateway.release();
    arrived(&sandbox, &sample, running.wait());
}

/// Roots that are neither file nor directory are saved as the block that they are.
#[test]
fn opaque_roots_are_files() {
    let cbor = Dag::dag_cbor(&[&Dag::single(b"x")]);
    let json = br#"{"a":[1,2]}"#;
    let cid = crate::support::dag::cid_of(Version::V1, Hash::Sha256, 0x0129, json);
    let json = Dag {
        root: cid,
        blocks: vec![(cid, json.to_vec().into())],
        data: json.to_vec(),
    };
    for dag in [cbor, json] {
        let gateway = Gateway::of(&dag).start();
        let sandbox = Sandbox::new();
        get(&sandbox, &dag, &[&gateway], &[]).exits(0);
        assert_eq!(
            sandbox.read("tree"),
            dag.block(&dag.root).expect("the root").to_vec()
        );
        assert!(pb::identity(&dag.root).is_none());
    }
}
