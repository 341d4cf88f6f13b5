//! Trees: every file, name and link of them.

use std::os::unix::fs::symlink;

use serde_json::json;

use super::{flip, ranges, verify};
use crate::support::dag::{Dag, Dir, Leaf, Recipe, Version};
use crate::support::gateway::Gateway;
use crate::support::sandbox::{Output, Sandbox};

fn tree() -> Dag {
    let file = Recipe::default().chunk(1000);
    let sub = Dir::new()
        .entry("deep.bin", &file.seed(3).build(4500))
        .entry("empty", &Dag::single(b""))
        .build();
    Dir::new()
        .entry("large.bin", &file.build(20_000))
        .entry("link", &Dag::symlink("sub/deep.bin"))
        .entry(
            "small.txt",
            &file.leaf(Leaf::File).version(Version::V0).build(700),
        )
        .entry("raw.txt", &Dag::single(b"raw"))
        .entry("sub", &sub)
        .entry("void", &Dir::new().build())
        .build()
}

fn fetched(dag: &Dag, more: &[&str]) -> Sandbox {
    let sandbox = Sandbox::new();
    let gateway = Gateway::of(dag).start();
    get(&sandbox, dag, gateway.url(), more).exits(0);
    sandbox
}

fn get(sandbox: &Sandbox, dag: &Dag, gateway: &str, more: &[&str]) -> Output {
    let source = dag.source();
    let args = ["get", &source, "-o", "tree", "--gateway", gateway];
    sandbox.run([&args[..], more].concat())
}

#[test]
fn a_tree_is_proved_without_a_gateway() {
    let dag = tree();
    let sandbox = fetched(&dag, &["--preserve"]);
    for name in ["tree", "tree/", "1", "./tree/."] {
        let document = verify(&sandbox, &[name]).exits(0).document();
        assert_eq!(document["ok"], true);
        assert_eq!(document["checked_bytes"], 20_000 + 4500 + 700 + 3);
        assert_eq!(document["files"], 6);
        assert_eq!(document["path"], json!(sandbox.target("tree")));
    }
    // A part of it, and its own CID where the ledger is elsewhere.
    let part = verify(&sandbox, &["tree/sub"]).exits(0).document();
    assert_eq!(part["checked_bytes"], 4500);
    verify(&sandbox, &["tree/large.bin"]).exits(0);
    std::fs::rename(sandbox.target("tree"), sandbox.target("moved")).expect("moved");
    verify(&sandbox, &["moved", &dag.source()]).exits(0);
}

#[test]
fn what_is_wrong_missing_and_extra() {
    let dag = tree();
    let sandbox = fetched(&dag, &[]);
    let at = |name: &str| sandbox.target("tree").join(name);
    std::fs::write(at("new.txt"), "new").expect("written");
    std::fs::create_dir_all(at("more/below")).expect("folders");
    std::fs::write(at("sub/new"), "new").expect("written");
    let document = verify(&sandbox, &["tree"]).exits(0).document();
    let mut extra: Vec<_> = document["extra"].as_array().expect("extra").to_vec();
    extra.sort_by_key(ToString::to_string);
    assert_eq!(
        json!(extra),
        json!([at("more"), at("new.txt"), at("sub/new")])
    );

    flip(&at("large.bin"), 4321);
    flip(&at("small.txt"), 699);
    flip(&at("raw.txt"), 0);
    flip(&at("sub/deep.bin"), 4400);
    std::fs::remove_file(at("sub/empty")).expect("removed");
    std::fs::remove_dir(at("void")).expect("removed");
    std::fs::remove_file(at("link")).expect("removed");
    symlink("elsewhere", at("link")).expect("a link");
    let document = verify(&sandbox, &["tree"]).exits(65).document();
    let bad = document["bad"].as_array().expect("bad").iter();
    let mut bad: Vec<_> = bad
        .map(|bad| {
            (
                bad["path"].clone(),
                bad["offset"].clone(),
                bad["length"].clone(),
            )
        })
        .collect();
    bad.sort_by_key(|bad| bad.0.to_string());
    let expected = [
        ("large.bin", 4000, 1000),
        ("link", 0, 12),
        ("raw.txt", 0, 3),
        ("small.txt", 0, 700),
        ("sub/deep.bin", 4000, 500),
    ];
    let expected = expected.map(|(name, offset, len)| (json!(at(name)), json!(offset), json!(len)));
    assert_eq!(bad, expected);
    let mut missing: Vec<_> = document["missing"].as_array().expect("missing").to_vec();
    missing.sort_by_key(ToString::to_string);
    assert_eq!(json!(missing), json!([at("sub/empty"), at("void")]));

    // Damaged files with their old time do not pass for unchanged.
    let again = get(&sandbox, &dag, &Gateway::refusing(), &[]);
    assert_ne!(again.code, Some(0), "{}", again.transcript());
}

#[test]
fn another_kind_of_thing_is_wrong() {
    let dag = tree();
    let sandbox = fetched(&dag, &[]);
    let at = |name: &str| sandbox.target("tree").join(name);
    std::fs::remove_file(at("large.bin")).expect("removed");
    std::fs::create_dir(at("large.bin")).expect("a folder");
    std::fs::remove_file(at("small.txt")).expect("removed");
    std::fs::create_dir(at("small.txt")).expect("a folder");
    std::fs::remove_dir(at("void")).expect("removed");
    std::fs::write(at("void"), "a file").expect("written");
    std::fs::remove_file(at("raw.txt")).expect("removed");
    symlink("link", at("raw.txt")).expect("a link");
    let document = verify(&sandbox, &["tree"]).exits(65).document();
    let bad = document["bad"].as_array().expect("bad").iter();
    let mut whats: Vec<_> = bad.filter_map(|bad| bad["what"].as_str()).collect();
    whats.sort_unstable();
    let expected = [
        "a directory where a file belongs",
        "a directory where a file belongs",
        "a file where a directory belongs",
        "a symlink where a file belongs",
    ];
    assert_eq!(whats, expected, "{document}");
}

#[test]
fn only_what_was_wanted_is_missed() {
    let dag = tree();
    let sandbox = fetched(&dag, &["--include", "*.bin"]);
    verify(&sandbox, &["tree"]).exits(0);
    sandbox.run(["prune", "1"]).exits(0);
    verify(&sandbox, &["tree"]).exits(0);
    std::fs::remove_dir_all(sandbox.target("tree/sub")).expect("removed");
    let document = verify(&sandbox, &["tree"]).exits(65).document();
    assert_eq!(
        document["missing"],
        json!([sandbox.target("tree/sub/deep.bin")])
    );
}

#[test]
fn a_sharded_directory_of_many() {
    let files: Vec<(String, Dag)> = (0..300)
        .map(|number| {
            let data = format!("file {number}");
            (format!("name {number}.txt"), Dag::single(data.as_bytes()))
        })
        .collect();
    let entries = files.iter().map(|(name, dag)| (name.as_str(), dag));
    let dag = Dir::new().entries(entries).sharded(8).build();
    let sandbox = fetched(&dag, &[]);
    verify(&sandbox, &["tree"]).exits(0);
    let at = |name: &str| sandbox.target("tree").join(name);
    std::fs::remove_file(at("name 17.txt")).expect("removed");
    flip(&at("name 200.txt"), 2);
    std::fs::write(at("name 300.txt"), "file 300").expect("written");
    let document = verify(&sandbox, &["tree"]).exits(65).document();
    assert_eq!(document["missing"], json!([at("name 17.txt")]));
    assert_eq!(document["extra"], json!([at("name 300.txt")]));
    assert_eq!(document["bad"][0]["path"], json!(at("name 200.txt")));
    assert_eq!(ranges(&document), [(0, 8)]);
    // The same from a CAR file, as nothing is known of it.
    std::fs::rename(sandbox.target("tree"), sandbox.target("moved")).expect("moved");
    let other = Sandbox::new();
    std::fs::write(other.target("x.car"), dag.car()).expect("written");
    let moved = sandbox.target("moved");
    let moved = moved.to_str().expect("text");
    let output = verify(&other, &[moved, &dag.source(), "--gateway", "x.car"]);
    assert_eq!(ranges(&output.exits(65).document()), [(0, 8)]);
}

#[test]
fn a_tree_that_nobody_knows_is_what_an_importer_makes_of_it() {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.target("mine/sub")).expect("folders");
    std::fs::write(sandbox.target("mine/a"), "a").expect("written");
    std::fs::write(sandbox.target("mine/sub/b"), vec![7; 300_000]).expect("written");
    let named = sandbox.run(["--json", "cid", "mine"]).exits(0).document();
    let root = named["cids"][1]["cid"].as_str().expect("a CID");
    let args = ["mine", root, "--gateway", &Gateway::refusing()];
    let document = verify(&sandbox, &args).exits(0).document();
    assert_eq!(document["proof"], "profile");
    std::fs::write(sandbox.target("mine/a"), "b").expect("written");
    verify(&sandbox, &args).exits(75);
}
