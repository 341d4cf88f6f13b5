//! Trees that would escape, explode or lie: refused quickly, in bounded memory, with nothing left.

use std::path::Path;

use super::arguments;
use super::sample::{Sample, listing};
use crate::support::dag::hostile::{self, Slot};
use crate::support::dag::{Dag, Dir, Leaf, Recipe, car_header, car_section};
use crate::support::gateway::{Features, Gateway};
use crate::support::pb::{self, Cid, Link, Node, UnixFs, kind};
use crate::support::sandbox::Sandbox;

/// Address space of a refusing process, in KiB: what is refused must not be paid for first.
const MEMORY: u64 = 1 << 20;

/// `get` under a limit of memory must end like this, and leave nothing in the file system.
#[track_caller]
fn refused(name: &str, source: &str, gateway: &str, codes: &[i32], words: &str) {
    let sandbox = Sandbox::new();
    let script = format!(
        "ulimit -v {MEMORY}; exec '{}' --json get '{source}' -o tree --gateway '{gateway}'",
        env!("CARGO_BIN_EXE_fetchd"),
    );
    let output = sandbox.shell(&script).run();
    let context = format!("{name}: {}", output.transcript());
    assert!(
        output.code.is_some_and(|code| codes.contains(&code)),
        "{context}"
    );
    let failed = output.events_of("failed").pop().expect("a failed event");
    let message = failed["message"].as_str().expect("words");
    assert!(message.contains(words), "{context}");
    assert!(failed["hint"].is_string(), "{context}");
    assert!(listing(&sandbox.out()).is_empty(), "left behind: {context}");
    let root: Vec<_> = std::fs::read_dir(sandbox.root())
        .expect("a sandbox")
        .collect();
    assert_eq!(root.len(), 4, "{context}");
}

#[track_caller]
fn is_refused(name: &str, dag: &Dag, code: i32, words: &str) {
    for features in [Features::RAW, Features::TRUSTLESS] {
        let gateway = Gateway::of(dag).features(features).start();
        refused(name, &dag.source(), gateway.url(), &[code], words);
    }
}

#[test]
fn names_that_lead_out() {
    for name in [
        "..",
        ".",
        "a/b",
        "/etc/passwd",
        "../up",
        "",
        "a\0b",
        "tab\there",
        "new\nline",
    ] {
        is_refused(name, &hostile::names(&[name.as_bytes()]), 77, "");
    }
    is_refused("no text", &hostile::names(&[b"\xff\xfe"]), 77, "");
    is_refused(
        "too long",
        &hostile::names(&[&[b'a'; 256]]),
        77,
        "255 bytes",
    );
    is_refused("twice", &hostile::names(&[b"a", b"a"]), 65, "twice");
    let below = Dir::new().entry("fine", &hostile::names(&[b".."])).build();
    is_refused("below", &below, 77, "");
}

#[test]
fn links_that_lead_out() {
    let file = Dag::single(b"x");
    for target in ["/etc/passwd", "..", "../x", "a/../../x", "./../..", "/", ""] {
        let dag = Sample::new().link("link", target).file("file", &file).dag();
        is_refused(target, &dag, 77, "");
    }
    let through = Sample::new()
        .dir("a", &Sample::new().dir("b", &Sample::new()))
        .link("l", "a/b")
        .link("out", "l/../../..")
        .dag();
    is_refused("through another link", &through, 77, "");
    let chain = Sample::new()
        .dir("d", &Sample::new().link("up", ".."))
        .link("out", "d/up/..")
        .dag();
    is_refused("through a chain", &chain, 77, "");
}

#[test]
fn lies_about_sizes_and_kinds() {
    let file = Recipe::default().build(30_000);
    let larger = file.with_root(|_, message| message.filesize = Some(1 << 40));
    is_refused(
        "a larger file",
        &Dir::new().entry("f", &larger).build(),
        65,
        "",
    );
    let other = file.with_root(|_, message| message.blocksizes[0] += 1);
    is_refused(
        "other pieces",
        &Dir::new().entry("f", &other).build(),
        65,
        "",
    );
    let directory = Dir::new().entry("x", &file).build();
    let child = Dag::of_node(
        &{
            let root = file.block(&file.root).expect("the root");
            let mut node = crate::support::pb::Node::decode(root).expect("dag-pb");
            node.links[0].cid = directory.root;
            node
        },
        &[&file, &directory],
    );
    is_refused(
        "a directory in a file",
        &Dir::new().entry("f", &child).build(),
        65,
        "",
    );
}

#[test]
fn shards_that_lie() {
    let file = Dag::single(b"x");
    let shard = |slots: &[(u64, Slot<'_>)]| hostile::shard(slots);
    is_refused(
        "a wrong bucket",
        &shard(&[(0, Slot::Entry("x", &file)), (1, Slot::Entry("y", &file))]),
        65,
        "",
    );
    is_refused(
        "a file as a shard",
        &shard(&[(0, Slot::Shard(&file))]),
        65,
        "",
    );
    is_refused(
        "a directory as a shard",
        &shard(&[(0, Slot::Shard(&Dir::new().build()))]),
        65,
        "",
    );
    is_refused("too deep for the hash", &hostile::deep_shards(12), 65, "");
    let inner = hostile::shard_of(8, &[]);
    is_refused(
        "another fanout",
        &shard(&[(0, Slot::Shard(&inner))]),
        65,
        "",
    );
}

#[test]
fn bombs() {
    is_refused(
        "files by repetition",
        &hostile::repeating(6, 100),
        77,
        "max_entries",
    );
    is_refused(
        "directories by repetition",
        &hostile::hollow(6, 100),
        77,
        "max_entries",
    );
    is_refused("depth", &hostile::deep(400), 77, "max_depth");
}

/// More shards than anybody could count, and no name in any of them.
#[test]
fn shards_of_nothing() {
    for levels in [3, 7] {
        is_refused(
            "hollow shards",
            &hostile::hollow_shards(levels),
            77,
            "max_entries",
        );
    }
}

/// Many names in one block are no crime: all of them arrive.
#[test]
fn a_wide_directory_arrives() {
    let dag = hostile::wide(10_000);
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    sandbox
        .run(arguments(&dag.source(), &[&gateway], &[]))
        .exits(0);
    assert_eq!(listing(&sandbox.target("tree")).len(), 10_000);
}

#[test]
fn all_hostile_fixtures() {
    let Some(folder) = crate::support::fixtures("derived/hostile") else {
        return;
    };
    for entry in std::fs::read_dir(folder).expect("a directory") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("a CAR");
        let root = root_of(&bytes);
        let name = path.display().to_string();
        if name.ends_with("file-no-filesize.car") {
            // Written so by old importers, and read so by others: the bytes are all there.
            continue;
        }
        refused(
            &name,
            &root,
            path.to_str().expect("an ASCII path"),
            &[65, 77],
            "",
        );
    }
}

/// The only root of a CAR, as the header has it.
fn root_of(car: &[u8]) -> String {
    use fetchd::content::car::{CarParser, Limits};
    let mut parser = CarParser::new(Limits {
        header: 1 << 20,
        block: 4 << 20,
    });
    parser.push(car.to_vec().into());
    let _ = parser.next();
    let roots = &parser.header().expect("a header").roots;
    fetchd::content::cid::text(&roots[0])
}

/// Limits of the user have words of their own, and another limit lets the download go on.
#[test]
fn limits_of_the_user() {
    let files: Vec<Dag> = (0..20)
        .map(|n| Recipe::default().seed(n).build(3_000))
        .collect();
    let inner = Sample::new().files((0..20).map(|n| n.to_string()).zip(&files));
    let sample = Sample::new().dir("a", &Sample::new().dir("b", &inner));
    let dag = sample.dag();
    let limits = [
        ("max_size = 20000", "max_size"),
        ("max_entries = 10", "max_entries"),
        ("max_depth = 2", "max_depth"),
        ("max_block_size = 1000", "max_block_size"),
    ];
    for (line, words) in limits {
        for features in [Features::RAW, Features::TRUSTLESS] {
            let gateway = Gateway::of(&dag).features(features).start();
            let sandbox = Sandbox::new();
            sandbox.config(line);
            let output = sandbox
                .run(arguments(&dag.source(), &[&gateway], &[]))
                .exits(77);
            let failed = &output.events_of("failed")[0];
            let told = format!("{} {}", failed["message"], failed["hint"]);
            assert!(
                told.contains(words) || told.contains("max-size"),
                "{line}: {told}"
            );
            sandbox.config("");
            let output = sandbox.run(["--json", "resume", "1", "--reset"]);
            super::arrived(&sandbox, &sample, output);
        }
    }
}

/// One block, linked as the bytes that it is and as a node that it is not.
#[test]
fn a_leaf_is_read_as_its_own_link_says() {
    const LEN: usize = 1000;
    let leaf = Recipe::default().chunk(LEN).build(LEN);
    let wrapped = Recipe::default().chunk(LEN).leaf(Leaf::File).build(LEN);
    let node = Cid::new_v1(pb::DAG_PB, *leaf.root.hash());
    let link = |cid, tsize| Link {
        cid,
        name: Some(Vec::new()),
        tsize: Some(tsize),
    };
    let raw = link(leaf.root, LEN as u64);
    let lie = link(node, wrapped.tsize());
    let message = |count: usize| UnixFs {
        kind: kind::FILE,
        filesize: Some((count * LEN) as u64),
        blocksizes: vec![LEN as u64; count],
        ..UnixFs::default()
    };
    for links in [vec![raw.clone(), lie.clone()], vec![lie.clone(), raw]] {
        let node = Node {
            data: Some(message(links.len()).encode()),
            links,
        };
        is_refused("read both ways", &Dag::of_node(&node, &[&leaf]), 65, "");
    }
    // Alone, and with the label that would make it right.
    let node = Node {
        data: Some(message(1).encode()),
        links: vec![lie],
    };
    let dag = Dag::of_node(&node, &[&leaf]);
    let car = [
        car_header(&[dag.root]),
        car_section(&dag.root, dag.block(&dag.root).expect("the root")),
        car_section(&leaf.root, leaf.block(&leaf.root).expect("the root")),
    ];
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.target("x.car"), car.concat()).expect("a CAR");
    let gateway = sandbox.target("x.car");
    let gateway = gateway.to_str().expect("text");
    let args = ["get", &dag.source(), "-o", "file", "--gateway", gateway];
    sandbox.run(args).exits(65);
}

/// Nothing is written through a link that stands where the tree is to be.
#[test]
fn a_target_that_is_a_link() {
    let sample = Sample::new().file("a", &Dag::single(b"x"));
    let dag = sample.dag();
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let outside = sandbox.root().join("outside");
    std::fs::create_dir(&outside).expect("a directory");
    std::os::unix::fs::symlink(&outside, sandbox.target("tree")).expect("a link");
    sandbox
        .run(arguments(&dag.source(), &[&gateway], &[]))
        .exits(73);
    assert!(
        std::fs::read_dir(Path::new(&outside))
            .expect("a directory")
            .next()
            .is_none()
    );
}
