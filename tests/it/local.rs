//! Plain files on this machine as places to take bytes from: mirrors, what the ledger knows, and
//! parts that nobody remembers.

mod around;

use std::path::Path;

use serde_json::Value;

use crate::support::dag::{Dag, Dir, Leaf, Recipe, Version};
use crate::support::gateway::{Features, Gateway, Kind};
use crate::support::sandbox::{Output, Sandbox};
use crate::support::scenario::{arrived, get_args, get_json, sha256};

const SIZE: usize = 3 << 20;
const LEAF: usize = 256 << 10;

fn dags() -> [Dag; 2] {
    let recipe = || Recipe::default().chunk(LEAF).width(4);
    let v0 = recipe().leaf(Leaf::File).version(Version::V0);
    [v0.build(SIZE), recipe().build(SIZE)]
}

/// `get` as `file`, with JSON events, from a gateway and a mirror on disk.
#[track_caller]
fn get(sandbox: &Sandbox, dag: &Dag, gateway: &str, mirror: &Path) -> Output {
    let (source, mirror) = (dag.source(), mirror.to_str().expect("a text path"));
    let args = get_json(&source, gateway);
    sandbox.run(args.into_iter().chain(["--mirror", mirror]))
}

fn finished(output: &Output) -> Value {
    output.events_of("finished").pop().unwrap_or_default()
}

fn line(finished: &Value, url: &str) -> Value {
    let lines = finished["providers"].as_array();
    let mut lines = lines.into_iter().flatten();
    lines
        .find(|line| line["url"] == url)
        .cloned()
        .unwrap_or_default()
}

/// File bytes that came over the network.
fn fetched(finished: &Value) -> u64 {
    finished["bytes_fetched"].as_u64().unwrap_or(u64::MAX)
}

#[test]
fn of_a_copy_only_the_nodes_are_fetched() {
    for features in [Features::ALL, Features::RAW, Features::TRUSTLESS] {
        for dag in dags() {
            let sandbox = Sandbox::new();
            let mirror = sandbox.root().join("copy");
            std::fs::write(&mirror, &dag.data).expect("a writable sandbox");
            let gateway = Gateway::of(&dag).features(features).start();
            let output = get(&sandbox, &dag, gateway.url(), &mirror);
            let done = finished(&output);
            arrived(&sandbox, &dag, output);
            assert!(fetched(&done) < 8 << 10, "{}\n{done}", gateway.story());
            let line = line(&done, mirror.to_str().expect("text"));
            assert_eq!((&line["bytes"], &line["wasted"]), (&SIZE.into(), &0.into()));
            assert_eq!(line["rungs"], serde_json::json!(["leaves"]));
            assert_eq!(done["proof"], "leaves");
        }
    }
}

/// An older version, a broken partial, a longer file, one wrong bit, another file, an empty one:
/// what is right is copied, the rest is fetched, and nobody is blamed.
#[test]
fn of_an_imperfect_copy_the_rest_is_fetched() {
    for dag in dags() {
        let flipped = |at: usize| {
            let mut data = dag.data.clone();
            data[at] ^= 1;
            data
        };
        let mut older = dag.data.clone();
        older[SIZE / 2..].iter_mut().for_each(|byte| *byte ^= 0x55);
        let shifted = [b"x", &dag.data[..]].concat();
        let longer = [&dag.data[..], b"more"].concat();
        let copies: [(&str, Vec<u8>, usize); 8] = [
            ("flipped", flipped(5 * LEAF + 17), 1),
            ("last bit", flipped(SIZE - 1), 1),
            ("older", older, 6),
            ("shorter", dag.data[..5 * LEAF + 3].to_vec(), 7),
            ("longer", longer, 0),
            ("shifted", shifted, 12),
            ("other", vec![7; SIZE], 12),
            ("empty", Vec::new(), 12),
        ];
        for (name, bytes, missing) in copies {
            let sandbox = Sandbox::new();
            let mirror = sandbox.root().join("copy");
            std::fs::write(&mirror, bytes).expect("a writable sandbox");
            let gateway = Gateway::of(&dag).start();
            let output = get(&sandbox, &dag, gateway.url(), &mirror);
            let done = finished(&output);
            let rejected = output.events_of("rejected").len();
            arrived(&sandbox, &dag, output);
            let leaves = (missing * LEAF) as u64;
            let range = leaves..leaves + (16 << 10);
            assert!(range.contains(&fetched(&done)), "{name}: {done}");
            let line = line(&done, mirror.to_str().expect("text"));
            assert_eq!(line["bytes"], SIZE - missing * LEAF, "{name}: {done}");
            assert!(rejected <= 1, "{name}: said once");
            assert_eq!(done["bytes_wasted"], 0, "{name}: nothing of the network's");
        }
    }
}

#[test]
fn a_small_file_needs_no_network() {
    for recipe in [Recipe::default(), Recipe::default().leaf(Leaf::File)] {
        let dag = recipe.chunk(LEAF).build(9_000);
        let sandbox = Sandbox::new();
        let mirror = sandbox.root().join("copy");
        std::fs::write(&mirror, &dag.data).expect("a writable sandbox");
        let gateway = Gateway::of(&dag).start();
        let output = get(&sandbox, &dag, gateway.url(), &mirror);
        arrived(&sandbox, &dag, output);
        assert_eq!(gateway.requests().len(), 0, "{}", gateway.story());
    }
}

/// Without anybody who has nodes, the importer profiles prove a copy.
#[test]
fn a_copy_is_proved_by_its_profile() {
    let dag = Recipe::default().chunk(LEAF).width(174).build(SIZE);
    let sandbox = Sandbox::new();
    let mirror = sandbox.root().join("copy");
    std::fs::write(&mirror, &dag.data).expect("a writable sandbox");
    let gateway = Gateway::empty().start();
    let output = get(&sandbox, &dag, gateway.url(), &mirror);
    let done = finished(&output);
    arrived(&sandbox, &dag, output);
    assert_eq!((&done["proof"], fetched(&done)), (&"profile".into(), 0));

    let sandbox = Sandbox::new();
    let mirror = sandbox.root().join("copy");
    std::fs::write(&mirror, &dag.data[1..]).expect("a writable sandbox");
    let output = get(&sandbox, &dag, gateway.url(), &mirror);
    output.exits(69);
    assert_eq!(sandbox.partials(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_directory_is_matched_path_by_path() {
    let recipe = || Recipe::default().chunk(LEAF).width(4);
    let [large, small, other] = [
        recipe().build(SIZE),
        recipe().leaf(Leaf::File).build(9_000),
        recipe().seed(3).build(600_000),
    ];
    let docs = Dir::new().entry("large", &large).entry("small", &small);
    let tree = Dir::new()
        .entry("docs", &docs.build())
        .entry("other", &other)
        .build();
    let sandbox = Sandbox::new();
    let mirror = sandbox.root().join("copy");
    std::fs::create_dir_all(mirror.join("docs")).expect("a writable sandbox");
    std::fs::write(mirror.join("docs/large"), &large.data).expect("a writable sandbox");
    std::fs::write(mirror.join("docs/small"), &small.data).expect("a writable sandbox");
    let gateway = Gateway::of(&tree).start();
    let output = get(&sandbox, &tree, gateway.url(), &mirror).exits(0);
    let done = finished(&output);
    for (path, dag) in [
        ("docs/large", &large),
        ("docs/small", &small),
        ("other", &other),
    ] {
        assert!(sandbox.read(&format!("file/{path}")) == dag.data, "{path}");
    }
    let line = line(&done, mirror.to_str().expect("text"));
    assert_eq!(line["bytes"], large.data.len() + small.data.len());
    assert!(fetched(&done) < 600_000 + (16 << 10), "{}", gateway.story());
}

/// A pipe or a device is no mirror, and nothing waits for one; nor is what is not there.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused_at_once() {
    let [dag, _] = dags();
    let sandbox = Sandbox::new();
    let pipe = sandbox.root().join("pipe");
    sandbox
        .shell(&format!("mkfifo '{}'", pipe.display()))
        .run()
        .exits(0);
    let gateway = Gateway::of(&dag).start();
    for mirror in [&pipe, Path::new("/dev/zero"), Path::new("nowhere")] {
        let output = get(&sandbox, &dag, gateway.url(), mirror).exits(2);
        let transcript = output.transcript();
        assert!(
            transcript.contains(mirror.to_str().expect("text")),
            "{transcript}"
        );
    }
    assert_eq!(gateway.requests().len(), 0);
}

#[test]
fn resume_takes_a_mirror_that_later_goes_away() {
    let [dag, _] = dags();
    let sandbox = Sandbox::new();
    let refusing = Gateway::refusing();
    let source = dag.source();
    let args = get_args(&source, &refusing);
    sandbox.run(args).exits(75);
    let mirror = sandbox.root().join("copy");
    std::fs::write(&mirror, &dag.data[..SIZE / 2]).expect("a writable sandbox");
    let path = mirror.to_str().expect("text");
    sandbox.run(["resume", "1", "--mirror", path]).exits(75);
    std::fs::remove_file(&mirror).expect("it was there");
    let gateway = Gateway::of(&dag).start();
    let output = sandbox.run(["--json", "resume", "1", "--gateway", gateway.url()]);
    arrived(&sandbox, &dag, output);
}

/// A plain file with a checksum: a file on disk that has it is copied, any other costs nothing.
#[test]
fn a_file_with_the_right_sum_is_copied() {
    let data = dags()[0].data.clone();
    let server = Gateway::empty()
        .features(Features::PLAIN)
        .file("/file", data.clone(), None)
        .start();
    let url = format!("{}/file", server.url());
    let run = |copy: &[u8]| {
        let sandbox = Sandbox::new();
        let mirror = sandbox.root().join("copy");
        std::fs::write(&mirror, copy).expect("a writable sandbox");
        let path = mirror.to_str().expect("text");
        let sum = sha256(&data);
        let args = ["--json", "get", &url, "-o", "file", "--sha256", &sum];
        let output = sandbox
            .run(args.into_iter().chain(["--mirror", path]))
            .exits(0);
        assert!(sandbox.read("file") == data);
        let done = finished(&output);
        let line = line(&done, path);
        (done, line)
    };
    let (done, line) = run(&data);
    assert_eq!(server.requests().len(), 0, "{}", server.story());
    assert_eq!((&done["proof"], fetched(&done)), (&"sha256".into(), 0));
    assert_eq!(line["bytes"], SIZE);
    for other in [&data[1..], &[], &[&data[..], b"x"].concat()] {
        let (done, line) = run(other);
        assert_eq!((fetched(&done), &line["bytes"]), (SIZE as u64, &0.into()));
        assert_eq!(done["bytes_wasted"], 0);
    }
    assert_eq!(server.count(Kind::Plain), 3, "{}", server.story());
}
