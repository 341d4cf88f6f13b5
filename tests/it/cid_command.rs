//! `cid`: local files and trees have the CIDs that Kubo gives them.

use serde_json::json;

use crate::support;
use crate::support::sandbox::Sandbox;

#[test]
fn a_file_and_a_stream_have_their_recorded_cids() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.target("hello"), "hello world").expect("written");
    let args = [
        "--json",
        "cid",
        "--profile",
        "kubo",
        "--profile",
        "kubo-cid-v1",
    ];
    let cids = json!([
        {"profile": "unixfs-v0-2015", "cid": "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD"},
        {"profile": "kubo-cid-v1", "cid": "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"},
    ]);
    let file = sandbox.run([&args[..], &["hello"]].concat()).exits(0);
    let stream = sandbox.fetchd([&args[..], &["-"]].concat());
    let stream = stream.stdin("hello world").run().exits(0);
    for (output, path) in [
        (file, json!(sandbox.target("hello"))),
        (stream, json!(null)),
    ] {
        let document = output.document();
        assert_eq!(document["path"], path);
        assert_eq!(document["size"], 11);
        let sha256 = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
        assert_eq!(document["sha256"], sha256);
        assert_eq!(document["cids"], cids);
    }
}

#[test]
fn an_unknown_profile_is_answered_with_the_names() {
    let sandbox = Sandbox::new();
    let output = sandbox.run(["cid", "--profile", "none", "x"]).exits(2);
    assert!(
        output.stderr.contains("unixfs-v1-2025"),
        "{}",
        output.stderr
    );
}

#[cfg(unix)]
#[test]
fn trees_are_those_of_kubo_and_pipes_are_refused() {
    let sandbox = Sandbox::new();
    let tree = sandbox.target("tree");
    std::fs::create_dir_all(tree.join("empty/below")).expect("a folder");
    std::fs::write(tree.join(".hidden\n"), vec![7; 3 << 20]).expect("written");
    std::fs::write(tree.join("empty.txt"), "").expect("written");
    std::os::unix::fs::symlink("nowhere", tree.join("link")).expect("a link");
    let ours = sandbox.run(["--json", "cid", "tree"]).exits(0).document();
    assert_eq!(
        (&ours["size"], &ours["sha256"]),
        (&json!(3 << 20), &json!(null))
    );
    if let Some(binary) = support::kubo() {
        let add = |options: &str| {
            let (home, binary) = (sandbox.root().join("home"), binary.display());
            let script = format!(
                "export IPFS_PATH={}; [ -e $IPFS_PATH/config ] || {binary} init -e >&2; \
                 {binary} --offline add -rnHQ {options} tree",
                home.display()
            );
            sandbox
                .shell(&script)
                .run()
                .exits(0)
                .text()
                .trim()
                .to_owned()
        };
        assert_eq!(ours["cids"][0]["cid"], add(""));
        assert_eq!(ours["cids"][1]["cid"], add("--cid-version=1"));
    }
    sandbox.shell("mkfifo tree/pipe").run().exits(0);
    let output = sandbox.run(["cid", "tree"]).exits(73);
    assert!(
        output.stderr.contains("not a regular file"),
        "{}",
        output.stderr
    );
}
