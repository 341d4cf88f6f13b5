//! `verify`: what is right, wrong, missing and too much on a disk, without a network where the
//! nodes are known.

#[cfg(unix)]
mod trees;

use std::path::Path;

use serde_json::{Value, json};

use crate::support::dag::{Dag, Hash, Layout, Leaf, Recipe, Version};
use crate::support::gateway::{Fault, Features, Gateway, On};
use crate::support::sandbox::{Output, Sandbox};
use crate::support::scenario;

/// Fetches a DAG as `file` from a gateway that is gone afterwards.
fn fetched(dag: &Dag) -> Sandbox {
    let sandbox = Sandbox::new();
    let gateway = Gateway::of(dag).start();
    scenario::get(&sandbox, dag, &[&gateway]).exits(0);
    sandbox
}

fn verify(sandbox: &Sandbox, args: &[&str]) -> Output {
    sandbox.run([&["--json", "verify"], args].concat())
}

/// Offset and length of each bad range.
fn ranges(document: &Value) -> Vec<(u64, u64)> {
    let bad = document["bad"].as_array().expect("bad").iter();
    bad.map(|bad| {
        let number = |key: &str| bad[key].as_u64().expect("a number");
        (number("offset"), number("length"))
    })
    .collect()
}

/// Turns one bit of a file over, and leaves its time as it was: only reading can tell.
fn flip(path: &Path, at: usize) {
    let before = std::fs::metadata(path).expect("a file");
    let mut bytes = std::fs::read(path).expect("a file");
    bytes[at] ^= 1;
    std::fs::write(path, bytes).expect("written");
    let file = std::fs::File::options().write(true).open(path);
    let modified = before.modified().expect("a time");
    file.and_then(|file| file.set_modified(modified))
        .expect("a time that can be set");
}

/// Files in every shape that importers write.
fn shapes() -> Vec<(&'static str, Dag)> {
    let small = Recipe::default().chunk(1000);
    vec![
        ("raw leaves", small.build(20_500)),
        (
            "dag-pb leaves",
            small.leaf(Leaf::File).version(Version::V0).build(20_500),
        ),
        (
            "old leaves",
            small
                .leaf(Leaf::OldRaw)
                .layout(Layout::Trickle)
                .build(20_500),
        ),
        ("inlined leaves", small.chunk(30).inline(30).build(500)),
        ("blake3", small.hash(Hash::Blake3).build(20_500)),
        (
            "one dag-pb leaf",
            small.leaf(Leaf::File).version(Version::V0).build(900),
        ),
        ("one raw block", Dag::single(b"hello, world")),
        (
            "large chunks",
            Recipe::default().chunk(1 << 20).build(3 << 20),
        ),
    ]
}

#[test]
fn every_shape_is_proved_without_a_gateway() {
    for (shape, dag) in shapes() {
        let sandbox = fetched(&dag);
        let document = verify(&sandbox, &["file"]).exits(0).document();
        let path = sandbox.target("file");
        assert_eq!(document["v"], 1, "{shape}");
        assert_eq!(document["path"], path.to_str().expect("text"), "{shape}");
        assert_eq!(document["cid"], dag.root.to_string(), "{shape}");
        assert_eq!(document["ok"], true, "{shape}");
        assert_eq!(document["checked_bytes"], dag.data.len(), "{shape}");
        for list in ["bad", "missing", "extra", "unproved"] {
            assert_eq!(document[list], json!([]), "{shape}");
        }
        // By its id, by its absolute path, and with its own CID.
        verify(&sandbox, &["1"]).exits(0);
        verify(&sandbox, &[path.to_str().expect("text")]).exits(0);
        verify(
            &sandbox,
            &["file", &dag.source(), "--gateway", &Gateway::refusing()],
        )
        .exits(0);
    }
}

#[test]
fn every_shape_shows_every_flipped_bit() {
    for (shape, dag) in shapes() {
        let sandbox = fetched(&dag);
        let path = sandbox.target("file");
        let len = dag.data.len();
        for at in [0, len / 2, len - 1] {
            flip(&path, at);
            let output = verify(&sandbox, &["file"]).exits(65);
            let document = output.document();
            assert_eq!(document["ok"], false, "{shape}");
            assert_eq!(document["checked_bytes"], len, "{shape}");
            let [(offset, length)] = ranges(&document)[..] else {
                panic!("{shape}: {document}");
            };
            let at = at as u64;
            assert!(
                (offset..offset + length).contains(&at),
                "{shape}: {document}"
            );
            assert!(
                length <= 1 << 20 && offset + length <= len as u64,
                "{shape}: {document}"
            );
            assert!(output.stderr.contains("fetchd repair"), "{}", output.stderr);
            // The ledger believes size and time no longer.
            let again = scenario::get(&sandbox, &dag, &[]);
            assert_ne!(again.code, Some(0), "{shape}: {}", again.transcript());
            sandbox.run(["cancel", "2"]);
            flip(&path, at as usize);
            verify(&sandbox, &["file"]).exits(0);
        }
        // What is right again is known again: done without a request.
        scenario::get(&sandbox, &dag, &[]).exits(0);
    }
}

#[test]
fn adjoining_leaves_are_one_range() {
    let dag = Recipe::default().chunk(1000).build(10_000);
    let sandbox = fetched(&dag);
    for at in [1500, 2500, 3999, 7000] {
        flip(&sandbox.target("file"), at);
    }
    let document = verify(&sandbox, &["file"]).exits(65).document();
    assert_eq!(ranges(&document), [(1000, 3000), (7000, 1000)]);
}

#[test]
fn a_file_that_is_too_short_or_too_long() {
    for (shape, dag) in shapes() {
        let sandbox = fetched(&dag);
        let (path, len) = (sandbox.target("file"), dag.data.len());
        std::fs::write(&path, [&dag.data[..], b"more"].concat()).expect("written");
        let document = verify(&sandbox, &["file"]).exits(65).document();
        assert_eq!(ranges(&document), [(len as u64, 4)], "{shape}");
        std::fs::write(&path, &dag.data[..len / 2]).expect("written");
        let document = verify(&sandbox, &["file"]).exits(65).document();
        let [(offset, length)] = ranges(&document)[..] else {
            panic!("{shape}: {document}");
        };
        assert_eq!(offset + length, len as u64, "{shape}");
        assert!(offset <= len as u64 / 2, "{shape}");
        std::fs::write(&path, b"").expect("written");
        let document = verify(&sandbox, &["file"]).exits(65).document();
        assert_eq!(ranges(&document), [(0, len as u64)], "{shape}");
    }
}

#[test]
fn a_file_that_is_gone_or_another_thing() {
    let dag = Recipe::default().chunk(1000).build(5000);
    let sandbox = fetched(&dag);
    let path = sandbox.target("file");
    std::fs::remove_file(&path).expect("removed");
    let document = verify(&sandbox, &["file"]).exits(65).document();
    assert_eq!(document["missing"], json!([path]));
    std::fs::create_dir(&path).expect("a folder");
    let document = verify(&sandbox, &["file"]).exits(65).document();
    assert_eq!(ranges(&document), [(0, 5000)]);
    assert_eq!(
        document["bad"][0]["what"],
        "a directory where a file belongs"
    );
}

#[test]
fn an_empty_file_is_right_when_it_is_empty() {
    for leaf in [Leaf::Raw, Leaf::File] {
        let dag = Recipe::default().leaf(leaf).build_bytes(b"");
        let sandbox = fetched(&dag);
        verify(&sandbox, &["file"]).exits(0);
        std::fs::write(sandbox.target("file"), "x").expect("written");
        let document = verify(&sandbox, &["file"]).exits(65).document();
        assert_eq!(ranges(&document), [(0, 1)]);
    }
}

#[test]
fn a_file_of_somebody_elses_is_proved_with_nodes_of_a_gateway_or_a_car() {
    let dag = Recipe::default().chunk(1000).leaf(Leaf::File).build(30_000);
    let sandbox = Sandbox::new();
    let path = sandbox.target("mine");
    std::fs::write(&path, &dag.data).expect("written");
    let root = dag.source();
    let unknown = verify(&sandbox, &["mine"]).exits(2);
    assert!(unknown.stderr.contains("CID"), "{}", unknown.stderr);
    let gateway = Gateway::of(&dag).features(Features::RAW).start();
    let online = ["mine", &root, "--gateway", gateway.url()];
    verify(&sandbox, &online).exits(0);
    assert!(gateway.sent() < dag.data.len() as u64 / 2, "nodes only");
    flip(&path, 12_345);
    let document = verify(&sandbox, &online).exits(65).document();
    assert_eq!(ranges(&document), [(12_000, 1000)]);
    std::fs::write(sandbox.target("x.car"), dag.car()).expect("written");
    let document = verify(&sandbox, &["mine", &root, "--gateway", "x.car"])
        .exits(65)
        .document();
    assert_eq!(ranges(&document), [(12_000, 1000)]);
    let list = sandbox.run(["--json", "list", "--all"]).document();
    assert_eq!(list["downloads"], json!([]), "no record is left");
}

#[test]
fn without_nodes_an_importer_proves_the_whole_file() {
    let dag = Recipe::default().chunk(256 << 10).width(174).build(600_000);
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.target("mine"), &dag.data).expect("written");
    let refusing = Gateway::refusing();
    let args = ["mine", &dag.source(), "--gateway", &refusing];
    let document = verify(&sandbox, &args).exits(0).document();
    assert_eq!(document["proof"], "profile");
    // A wrong one may be of an importer that nobody knows: there is no telling.
    flip(&sandbox.target("mine"), 1000);
    let output = verify(&sandbox, &args).exits(75);
    let document = output.document();
    assert_eq!(document["ok"], false);
    assert_eq!(document["unproved"], json!([sandbox.target("mine")]));
    assert!(output.stderr.contains("--gateway"), "{}", output.stderr);
    let empty = Gateway::empty().start();
    verify(&sandbox, &["mine", &dag.source(), "--gateway", empty.url()]).exits(69);
}

#[test]
fn plain_files_are_compared_with_the_sum_that_they_had() {
    let data = b"plain bytes".to_vec();
    let server = Gateway::empty().file("/a.bin", data.clone(), None).start();
    let url = format!("{}/a.bin", server.url());
    let sandbox = Sandbox::new();
    let sum = scenario::sha256(&data);
    sandbox.run(["get", &url, "--sha256", &sum]).exits(0);
    sandbox
        .run(["get", &url, "--allow-unverified", "-o", "b.bin"])
        .exits(0);
    for (name, proof) in [("a.bin", "sha256"), ("b.bin", "unverified")] {
        let document = verify(&sandbox, &[name]).exits(0).document();
        assert_eq!(document["proof"], proof);
        assert_eq!(document["cid"], Value::Null);
    }
    let all = verify(&sandbox, &["--all"]).exits(0).document();
    assert_eq!(all["ok"], true);
    assert_eq!(all["verified"].as_array().map(Vec::len), Some(2));
    flip(&sandbox.target("a.bin"), 3);
    std::fs::remove_file(sandbox.target("b.bin")).expect("removed");
    let all = verify(&sandbox, &["--all"]).exits(65).document();
    assert_eq!(all["ok"], false);
    assert_eq!(ranges(&all["verified"][0]), [(0, 11)]);
    assert_eq!(
        all["verified"][1]["missing"],
        json!([sandbox.target("b.bin")])
    );
}

/// What the user took as it came is not what the CID names, and its sum proves nothing of it.
#[test]
fn what_was_taken_unverified_is_not_believed_later() {
    let dag = Recipe::default().chunk(256 << 10).width(174).build(600_000);
    let plain = Features {
        plain: true,
        ..Features::NONE
    };
    let gateway = Gateway::of(&dag)
        .features(plain)
        .on(On::any(), Fault::FlipBit(1000))
        .start();
    let (sandbox, source) = (Sandbox::new(), dag.source());
    let get = ["get", &source, "-o", "file", "--gateway", gateway.url()];
    let taken = get.iter().chain(&["--allow-unverified"]);
    sandbox.run(taken.clone()).exits(0);
    assert!(sandbox.read("file") != dag.data);
    let document = verify(&sandbox, &["file"]).exits(0).document();
    assert_eq!(document["proof"], "unverified");
    let document = verify(&sandbox, &["file", &source]).exits(75).document();
    assert_eq!(document["ok"], false);
    sandbox.run(get).exits(73);
    let again = sandbox.run(taken).exits(0);
    assert!(again.stderr.contains("already there"), "{}", again.stderr);
}

#[test]
fn a_file_that_an_importer_proved_is_known_by_its_sum() {
    let dag = Recipe::default().chunk(256 << 10).width(174).build(600_000);
    let gateway = Gateway::of(&dag)
        .features(Features {
            plain: true,
            ..Features::NONE
        })
        .start();
    let sandbox = Sandbox::new();
    scenario::get(&sandbox, &dag, &[&gateway]).exits(0);
    let document = verify(&sandbox, &["file"]).exits(0).document();
    assert_eq!(document["proof"], "sha256");
    flip(&sandbox.target("file"), 3);
    let document = verify(&sandbox, &["file"]).exits(65).document();
    assert_eq!(ranges(&document), [(0, 600_000)]);
}

#[test]
fn a_moved_time_is_noted_again_and_nodes_stay_for_another_download_of_the_same() {
    let dag = Recipe::default().chunk(1000).build(20_000);
    let sandbox = fetched(&dag);
    std::fs::write(sandbox.target("file"), &dag.data).expect("written anew");
    verify(&sandbox, &["file"]).exits(0);
    scenario::get(&sandbox, &dag, &[]).exits(0);
    let list = sandbox.run(["--json", "list", "--all"]).document();
    assert_eq!(list["downloads"].as_array().map(Vec::len), Some(1));
    // Touched, it is another download, which finds everything in place.
    std::fs::write(sandbox.target("file"), &dag.data).expect("written anew");
    let gateway = Gateway::of(&dag).start();
    scenario::get(&sandbox, &dag, &[&gateway]).exits(0);
    assert_eq!(gateway.requests().len(), 0);
    sandbox.run(["prune", "1", "2"]).exits(0);
    verify(&sandbox, &["file"]).exits(0);
}

#[test]
fn people_read_a_line_for_each_thing_that_is_wrong() {
    let dag = Recipe::default().chunk(1000).build(3000);
    let sandbox = fetched(&dag);
    let output = sandbox.run(["verify", "file"]).exits(0);
    let root = &dag.root;
    let path = sandbox.target("file");
    let path = path.display();
    assert_eq!(output.text(), format!("ok: {path} ({root}, 2.9 KiB)\n"));
    flip(&sandbox.target("file"), 1000);
    let output = sandbox.run(["verify", "file"]).exits(65);
    let expected =
        format!("damaged: {path} ({root}, 2.9 KiB)\n  wrong: {path}: other bytes, 1000 to 2000\n");
    assert_eq!(output.text(), expected);
    assert!(
        output.stderr.contains("nothing was changed"),
        "{}",
        output.stderr
    );
}

#[test]
fn what_is_not_finished_or_not_known_is_said() {
    let sandbox = Sandbox::new();
    let dag = Recipe::default().build(5000);
    scenario::get(&sandbox, &dag, &[]).exits(75);
    let output = verify(&sandbox, &["1"]).exits(2);
    assert!(
        output.stderr.contains("fetchd resume 1"),
        "{}",
        output.stderr
    );
    verify(&sandbox, &["7"]).exits(2);
    verify(&sandbox, &["nowhere"]).exits(2);
    verify(&sandbox, &[]).exits(2);
    verify(&sandbox, &["--all", "x"]).exits(2);
    std::fs::write(sandbox.target("x"), "x").expect("written");
    verify(&sandbox, &["x", "no-cid"]).exits(2);
}
