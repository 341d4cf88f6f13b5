//! Paths into trees: followed with proof, through shards and odd names; absence is proved, too.

use super::sample::{Sample, stands_as};
use crate::support::dag::{Dag, Dir, Recipe};
use crate::support::gateway::{Features, Gateway};
use crate::support::sandbox::{Output, Sandbox};

fn inner() -> Sample {
    Sample::new()
        .file("c.bin", &Recipe::default().build(30_000))
        .file("100% ü?#", &Dag::single(b"odd"))
        .link("link", "c.bin")
        .dir("empty", &Sample::new())
}

fn tree() -> Sample {
    let others: Vec<Dag> = (0..120)
        .map(|n| Recipe::default().seed(n).build(100))
        .collect();
    let sharded = Sample::new()
        .files((0..120).map(|n| n.to_string()).zip(&others))
        .dir("b b", &inner())
        .sharded(8);
    Sample::new()
        .dir("a", &sharded)
        .file("file", &Dag::single(b"x"))
        .link("link", "a")
}

fn providers() -> [Features; 4] {
    [
        Features::ALL,
        Features::RAW,
        Features::TRUSTLESS,
        Features::WHOLE_CAR,
    ]
}

fn get(sandbox: &Sandbox, source: &str, gateway: &Gateway, more: &[&str]) -> Output {
    let args = ["--json", "get", source, "--gateway", gateway.url()];
    sandbox.run(args.into_iter().chain(more.iter().copied()))
}

#[test]
fn files_and_directories_below() {
    let dag = tree().dag();
    for features in providers() {
        let gateway = Gateway::of(&dag).features(features).start();
        let sandbox = Sandbox::new();
        let below = |path: &str| format!("{}/{path}", dag.root);
        // Only URLs are percent-encoded.
        let url = |path: &str| format!("ipfs://{}/{path}", dag.root);
        get(&sandbox, &url("a/b%20b/c.bin"), &gateway, &[]).exits(0);
        assert_eq!(sandbox.read("c.bin"), Recipe::default().build(30_000).data);
        get(
            &sandbox,
            &format!("/ipfs/{}", below("a/b b/c.bin")),
            &gateway,
            &["-o", "other"],
        )
        .exits(0);
        assert_eq!(sandbox.read("other"), sandbox.read("c.bin"));
        get(
            &sandbox,
            &url("a/b%20b/100%25%20%C3%BC%3F%23"),
            &gateway,
            &[],
        )
        .exits(0);
        assert_eq!(sandbox.read("100% ü?#"), b"odd");
        let output = get(&sandbox, &below("a/b b"), &gateway, &[]).exits(0);
        stands_as(
            &sandbox.target("b b"),
            &inner().expected,
            &output.transcript(),
        );
        let finished = &output.events_of("finished")[0];
        assert_eq!(
            finished["path"],
            sandbox.target("b b").to_str().expect("text")
        );
        get(&sandbox, &below("a/b b/empty"), &gateway, &[]).exits(0);
        assert!(sandbox.target("empty").is_dir());
        assert!(gateway.requests().len() < 60, "{}", gateway.story());
    }
}

/// Nothing but the way is fetched.
#[test]
fn only_the_way_is_asked_for() {
    let dag = tree().dag();
    let gateway = Gateway::of(&dag).features(Features::RAW).start();
    let sandbox = Sandbox::new();
    get(
        &sandbox,
        &format!("{}/a/b b/100% ü?#", dag.root),
        &gateway,
        &[],
    )
    .exits(0);
    assert!(gateway.requests().len() <= 8, "{}", gateway.story());
}

#[test]
fn what_is_not_there_is_proved() {
    let dag = tree().dag();
    let cases = [
        ("nothing", "nothing"),
        ("a/nothing", "nothing"),
        ("a/b b/c.bin/d", "c.bin"),
        ("file/x", "file"),
        ("link/b b", "link"),
        ("a/b b/link/x", "link"),
    ];
    for features in providers() {
        for (path, words) in cases {
            let gateway = Gateway::of(&dag).features(features).start();
            let sandbox = Sandbox::new();
            let source = format!("{}/{path}", dag.root);
            let output = get(&sandbox, &source, &gateway, &["-o", "x"]).exits(69);
            let failed = &output.events_of("failed")[0];
            assert!(
                failed["message"]
                    .as_str()
                    .is_some_and(|text| text.contains(words)),
                "{failed}"
            );
            assert_eq!(
                (&failed["kind"], &failed["resumable"]),
                (&"not_found".into(), &false.into())
            );
            assert!(sandbox.partials().is_empty() && !sandbox.target("x").exists());
        }
    }
}

/// As `ipfs get` does; judged as a link in the directory where it is to stand.
#[test]
fn a_link_by_itself_is_made() {
    let dag = Dir::new()
        .entry("link", &Dag::symlink("a/b c"))
        .entry("out", &Dag::symlink("../secret"))
        .entry("absolute", &Dag::symlink("/etc/passwd"))
        .build();
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let source = |name: &str| format!("{}/{name}", dag.root);
    for more in [&[][..], &["--force"]] {
        get(&sandbox, &source("link"), &gateway, more).exits(0);
        let text = std::fs::read_link(sandbox.target("link")).expect("a link");
        assert_eq!(text, std::path::Path::new("a/b c"));
    }
    let before = gateway.requests().len();
    get(&sandbox, &source("link"), &gateway, &[]).exits(0);
    assert_eq!(gateway.requests().len(), before);
    // It is what it should be whether it leads to something or not.
    sandbox.run(["verify", "link"]).exits(0);
    std::fs::create_dir(sandbox.target("a")).expect("a writable sandbox");
    std::fs::write(sandbox.target("a/b c"), b"bytes").expect("a writable sandbox");
    sandbox.run(["verify", "link"]).exits(0);
    for name in ["out", "absolute"] {
        let output = get(&sandbox, &source(name), &gateway, &[]).exits(77);
        let failed = &output.events_of("failed")[0];
        let message = failed["message"].as_str().unwrap_or_default();
        assert!(message.contains("link"), "{failed}");
        assert!(!sandbox.target(name).is_symlink());
    }
    let sum = ["--sha256", &"0".repeat(64), "-o", "summed"];
    get(&sandbox, &source("link"), &gateway, &sum).exits(77);
    get(&sandbox, &dag.root.to_string(), &gateway, &sum).exits(77);
    assert!(!sandbox.target("summed").exists() && sandbox.partials().is_empty());
    std::fs::write(sandbox.target("mine"), b"mine").expect("a writable sandbox");
    get(&sandbox, &source("link"), &gateway, &["-o", "mine"]).exits(73);
    assert_eq!(sandbox.read("mine"), b"mine");
    get(
        &sandbox,
        &source("link"),
        &gateway,
        &["-o", "mine", "--force"],
    )
    .exits(0);
    assert!(sandbox.target("mine").is_symlink());
    assert!(sandbox.partials().is_empty());
    get(
        &sandbox,
        &source("link"),
        &gateway,
        &["--car", "-o", "link.car"],
    )
    .exits(0);
}

/// A file of a tree goes to standard output, the tree does not.
#[test]
fn standard_output() {
    let dag = tree().dag();
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let run = |path: &str| {
        let source = format!("{}{path}", dag.root);
        sandbox.run(["get", &source, "-o", "-", "--gateway", gateway.url()])
    };
    assert_eq!(
        run("/a/b b/c.bin").exits(0).stdout,
        Recipe::default().build(30_000).data
    );
    assert!(run("").exits(2).stdout.is_empty());
    assert!(run("/a").exits(2).stdout.is_empty());
}
