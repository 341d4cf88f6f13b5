//! `repair`: only what is wrong is fetched, and the damaged file stands until the right one does.
#![cfg(unix)]

use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::{Value, json};

use crate::support::dag::{Dag, Dir, Recipe};
use crate::support::gateway::{Fault, Gateway, On};
use crate::support::sandbox::{Output, Running, Sandbox};
use crate::support::scenario;

/// Fetches a DAG as `file` from a gateway that is gone afterwards.
fn fetched(dag: &Dag, name: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let gateway = Gateway::of(dag).start();
    let source = dag.source();
    let args = ["get", &source, "-o", name, "--gateway", gateway.url()];
    sandbox.run(args).exits(0);
    sandbox
}

fn repair(sandbox: &Sandbox, what: &[&str], gateway: &str) -> Output {
    let args = [&["--json", "repair"], what, &["--gateway", gateway]].concat();
    sandbox.run(args)
}

fn flip(sandbox: &Sandbox, name: &str, places: &[usize]) {
    let mut bytes = sandbox.read(name);
    for &at in places {
        bytes[at] ^= 1;
    }
    std::fs::write(sandbox.target(name), bytes).expect("written");
}

fn sent(gateway: &Gateway) -> u64 {
    gateway.requests().iter().map(|request| request.sent).sum()
}

#[test]
fn only_wrong_leaves_are_fetched() {
    let dag = Recipe::default().chunk(10_000).width(50).build(2_000_000);
    let sandbox = fetched(&dag, "file");
    flip(&sandbox, "file", &[5, 1_000_000, 1_999_999]);
    let executable = std::fs::Permissions::from_mode(0o750);
    std::fs::set_permissions(sandbox.target("file"), executable).expect("a mode");
    let gateway = Gateway::of(&dag).start();
    let document = repair(&sandbox, &["file"], gateway.url())
        .exits(0)
        .document();
    assert!(sandbox.read("file") == dag.data);
    assert_eq!(document["ok"], true);
    assert_eq!(document["repaired"], json!([sandbox.target("file")]));
    assert!(sent(&gateway) < 200_000, "{}", gateway.story());
    assert_eq!(sandbox.partials(), Vec::<std::path::PathBuf>::new());
    let mode = std::fs::metadata(sandbox.target("file"))
        .expect("a file")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o750);
    // The ledger has it again, with its nodes.
    sandbox.run(["verify", "file"]).exits(0);
    scenario::get(&sandbox, &dag, &[]).exits(0);
}

#[test]
fn nothing_is_asked_for_what_is_right() {
    let dag = Recipe::default().build(100_000);
    let sandbox = fetched(&dag, "file");
    let output = sandbox.run(["repair", "file", "--gateway", &Gateway::refusing()]);
    let text = output.exits(0).text();
    assert!(text.ends_with("nothing is wrong\n"), "{text}");
    let list = sandbox.run(["--json", "list", "--all"]).document();
    assert_eq!(list["downloads"].as_array().map(Vec::len), Some(1));
}

#[test]
fn too_short_too_long_and_gone() {
    let dag = Recipe::default().chunk(10_000).build(500_000);
    let sandbox = fetched(&dag, "file");
    let gateway = Gateway::of(&dag).start();
    let path = sandbox.target("file");
    std::fs::write(&path, [&dag.data[..], b"and more"].concat()).expect("written");
    repair(&sandbox, &["file"], gateway.url()).exits(0);
    assert!(sandbox.read("file") == dag.data);
    assert_eq!(gateway.requests().len(), 0, "{}", gateway.story());
    std::fs::write(&path, &dag.data[..333_333]).expect("written");
    repair(&sandbox, &["file"], gateway.url()).exits(0);
    assert!(sandbox.read("file") == dag.data);
    assert!(sent(&gateway) < 250_000, "{}", gateway.story());
    std::fs::remove_file(&path).expect("removed");
    repair(&sandbox, &["1"], gateway.url()).exits(0);
    assert!(sandbox.read("file") == dag.data);
    sandbox.run(["verify", "--all"]).exits(0);
}

#[test]
fn a_file_of_somebody_elses_is_mended_with_its_own_good_leaves() {
    let dag = Recipe::default().chunk(10_000).width(50).build(2_000_000);
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.target("mine"), &dag.data).expect("written");
    flip(&sandbox, "mine", &[1_234_567]);
    let gateway = Gateway::of(&dag).start();
    repair(&sandbox, &["mine", &dag.source()], gateway.url()).exits(0);
    assert!(sandbox.read("mine") == dag.data);
    assert!(sent(&gateway) < 200_000, "{}", gateway.story());
    sandbox.run(["verify", "mine"]).exits(0);
}

#[test]
fn without_anybody_the_damaged_file_stays_and_a_repeat_goes_on() {
    let dag = Recipe::default().chunk(10_000).build(500_000);
    let sandbox = fetched(&dag, "file");
    flip(&sandbox, "file", &[250_000]);
    let damaged = sandbox.read("file");
    let output = repair(&sandbox, &["file"], &Gateway::refusing()).exits(75);
    assert!(sandbox.read("file") == damaged, "{}", output.transcript());
    assert_eq!(output.document()["failed"], json!([sandbox.target("file")]));
    let gateway = Gateway::of(&dag).start();
    let output = repair(&sandbox, &["file"], gateway.url()).exits(0);
    assert!(sandbox.read("file") == dag.data);
    assert!(sent(&gateway) < 100_000, "{}", gateway.story());
    assert_eq!(sandbox.partials(), Vec::<std::path::PathBuf>::new());
    let fetched = output.document()["bytes_fetched"].as_u64();
    assert!(fetched <= Some(sent(&gateway)), "{}", output.transcript());
}

/// Nobody has allowed a repair to replace what was put in place of a missing file meanwhile.
#[test]
fn what_comes_to_the_place_of_a_missing_file_stays() {
    let dag = Recipe::default().chunk(10_000).build(50_000);
    let tree = Dag::directory(&[("a", &dag), ("b", &Dag::single(b"b"))]);
    let gateway = Gateway::of(&tree).start();
    for (dag, name, path) in [(&dag, "file", "file"), (&tree, "tree", "tree/a")] {
        let sandbox = fetched(dag, name);
        std::fs::remove_file(sandbox.target(path)).expect("a file");
        repair(&sandbox, &[name], &Gateway::refusing()).exits(75);
        std::fs::write(sandbox.target(path), "mine").expect("written");
        let args = ["resume", "2", "--gateway", gateway.url()];
        sandbox.run(args).exits(73);
        assert_eq!(sandbox.read(path), b"mine");
        std::fs::remove_file(sandbox.target(path)).expect("a file");
        repair(&sandbox, &[name], gateway.url()).exits(0);
        sandbox.run(["verify", name]).exits(0);
    }
}

#[test]
fn one_that_cannot_be_begun_says_why() {
    let dag = Recipe::default().chunk(10_000).build(50_000);
    let sandbox = fetched(&dag, "file");
    std::fs::remove_file(sandbox.target("file")).expect("a file");
    repair(&sandbox, &["file"], &Gateway::refusing()).exits(75);
    let part = scenario::spoil_part(&sandbox);
    let gateway = Gateway::of(&dag).start();
    let output = repair(&sandbox, &["file"], gateway.url()).exits(73);
    assert!(
        output.stderr.contains("move away"),
        "{}",
        output.transcript()
    );
    std::fs::remove_file(part).expect("a link");
    repair(&sandbox, &["file"], gateway.url()).exits(0);
    assert!(sandbox.read("file") == dag.data);
}

/// A file with two wrong bytes, far from each other.
fn damaged() -> (Dag, Sandbox) {
    let dag = Recipe::default().chunk(10_000).build(500_000);
    let sandbox = fetched(&dag, "file");
    flip(&sandbox, "file", &[5, 250_000]);
    (dag, sandbox)
}

/// A repair of it that a gateway holds back.
fn held(sandbox: &Sandbox, dag: &Dag) -> (Gateway, Running) {
    let gateway = Gateway::of(dag)
        .on(On::any(), Fault::HoldAfter(100))
        .start();
    let args = ["repair", "file", "--gateway", gateway.url()];
    let running = sandbox.fetchd(args).spawn();
    gateway.held();
    (gateway, running)
}

#[test]
fn a_kill_leaves_the_damaged_file_and_a_repeat_goes_on() {
    let (dag, sandbox) = damaged();
    let damaged = sandbox.read("file");
    let (gateway, running) = held(&sandbox, &dag);
    running.kill9();
    assert!(sandbox.read("file") == damaged);
    assert_eq!(sandbox.partials().len(), 1);
    gateway.let_go();
    repair(&sandbox, &["file"], gateway.url()).exits(0);
    assert!(sandbox.read("file") == dag.data);
    assert_eq!(sandbox.partials(), Vec::<std::path::PathBuf>::new());
}

/// With the part goes what was proved: a repair that is cancelled has nothing to go on with.
#[test]
fn a_repair_that_is_cancelled_can_be_started_anew() {
    let (dag, sandbox) = damaged();
    let (gateway, running) = held(&sandbox, &dag);
    sandbox.run(["cancel", "2"]).exits(0);
    let output = running.wait().exits(81);
    let hint = format!("fetchd repair {}\n", sandbox.target("file").display());
    assert!(output.stderr.contains(&hint), "{}", output.transcript());
    gateway.let_go();
    repair(&sandbox, &["file"], gateway.url()).exits(0);
    assert!(sandbox.read("file") == dag.data);
}

#[test]
fn files_links_and_directories_of_a_tree() {
    let file = Recipe::default().chunk(10_000);
    let sub = Dir::new()
        .entry("deep", &file.seed(3).build(45_000))
        .entry("flat", &Dag::single(b"flat"))
        .build();
    let dag = Dir::new()
        .entry("large", &file.build(500_000))
        .entry("link", &Dag::symlink("sub/deep"))
        .entry("gone", &Dag::symlink("large"))
        .entry("raw", &Dag::single(b"raw"))
        .entry("sub", &sub)
        .build();
    let sandbox = fetched(&dag, "tree");
    let at = |name: &str| sandbox.target("tree").join(name);
    flip(&sandbox, "tree/large", &[123_456]);
    std::fs::write(at("extra"), "mine").expect("written");
    std::fs::remove_file(at("raw")).expect("removed");
    std::fs::remove_dir_all(at("sub")).expect("removed");
    std::fs::remove_file(at("link")).expect("removed");
    symlink("elsewhere", at("link")).expect("a link");
    std::fs::remove_file(at("gone")).expect("removed");
    let gateway = Gateway::of(&dag).start();
    let document = repair(&sandbox, &["tree"], gateway.url())
        .exits(0)
        .document();
    let repaired = document["repaired"].as_array().map(Vec::len);
    assert_eq!(repaired, Some(5), "{document}");
    assert_eq!(document["extra"], json!([at("extra")]));
    assert!(sent(&gateway) < 150_000, "{}", gateway.story());
    assert_eq!(sandbox.read("tree/extra"), b"mine");
    assert_eq!(sandbox.read("tree/raw"), b"raw");
    let link = |name: &str| std::fs::read_link(at(name)).expect("a link");
    assert_eq!(link("link").to_str(), Some("sub/deep"));
    assert_eq!(link("gone").to_str(), Some("large"));
    let all = sandbox
        .run(["--json", "verify", "--all"])
        .exits(0)
        .document();
    assert_eq!(all["verified"].as_array().map(Vec::len), Some(1), "{all}");
    // Without the extra file it is what was fetched: done without a request.
    std::fs::remove_file(at("extra")).expect("removed");
    let refusing = Gateway::refusing();
    let source = dag.source();
    let again = ["get", &source, "-o", "tree", "--gateway", &refusing];
    sandbox.run(again).exits(0);
}

#[test]
fn what_is_no_file_is_not_thrown_away() {
    let dag = Dir::new().entry("a", &Dag::single(b"a")).build();
    let sandbox = fetched(&dag, "tree");
    let path = sandbox.target("tree/a");
    std::fs::remove_file(&path).expect("removed");
    std::fs::create_dir(&path).expect("a folder");
    std::fs::write(path.join("precious"), "mine").expect("written");
    let gateway = Gateway::of(&dag).start();
    let output = repair(&sandbox, &["tree"], gateway.url()).exits(73);
    assert!(output.stderr.contains("move away"), "{}", output.stderr);
    assert_eq!(sandbox.read("tree/a/precious"), b"mine");
}

#[test]
fn a_plain_file_is_fetched_whole() {
    let data = scenario_bytes();
    let server = Gateway::empty().file("/a.bin", data.clone(), None).start();
    let url = format!("{}/a.bin", server.url());
    let sandbox = Sandbox::new();
    let sum = scenario::sha256(&data);
    sandbox.run(["get", &url, "--sha256", &sum]).exits(0);
    flip(&sandbox, "a.bin", &[7]);
    let document = sandbox
        .run(["--json", "repair", "a.bin"])
        .exits(0)
        .document();
    assert_eq!(document["cid"], Value::Null);
    assert_eq!(document["bytes_fetched"], data.len());
    assert!(sandbox.read("a.bin") == data);
    sandbox.run(["verify", "a.bin"]).exits(0);
}

fn scenario_bytes() -> Vec<u8> {
    crate::support::dag::seeded(9, 100_000)
}

/// The sum that it had would make a proof of what nothing ever proved.
#[test]
fn what_was_taken_unverified_is_not_repaired() {
    let data = vec![7; 10_000];
    let server = Gateway::empty().file("/file", data.clone(), None).start();
    let url = format!("{}/file", server.url());
    let sandbox = Sandbox::new();
    let get = ["get", &url, "-o", "file", "--allow-unverified"];
    sandbox.run(get).exits(0);
    flip(&sandbox, "file", &[5]);
    let output = sandbox.run(["repair", "file"]).exits(65);
    let target = sandbox.target("file");
    let anew = format!(
        "fetchd get {url} -o {} --allow-unverified --force",
        target.display()
    );
    assert!(output.stderr.contains(&anew), "{}", output.transcript());
    sandbox.run(get.iter().chain(&["--force"])).exits(0);
    assert!(sandbox.read("file") == data);
}
