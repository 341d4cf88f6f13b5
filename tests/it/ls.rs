//! `ls`: what a directory holds, proved, and nothing of its files.

use serde_json::{Value, json};

use crate::support::dag::{Dag, Dir, Recipe};
use crate::support::gateway::{Fault, Features, Gateway, On};
use crate::support::sandbox::{Output, Sandbox};

fn tree() -> Dag {
    let large = Recipe::default().chunk(1000).build(20_000);
    let raw = Dag::single(b"raw bytes");
    let below = Dir::new().entry("deep", &raw).build();
    Dir::new()
        .entry("large", &large)
        .entry("link", &Dag::symlink("raw"))
        .entry("odd \u{1b}[2J name", &raw)
        .entry("raw", &raw)
        .entry("sub", &below)
        .build()
}

fn ls(sandbox: &Sandbox, source: &str, gateways: &[&Gateway]) -> Output {
    let mut args = vec!["--json".to_owned(), "ls".into(), source.into()];
    for gateway in gateways {
        args.extend(["--gateway".into(), gateway.url().into()]);
    }
    sandbox.fetchd(args).run()
}

fn names(document: &Value) -> Vec<(String, String, Option<u64>)> {
    let entries = document["entries"].as_array().expect("entries").iter();
    let text = |entry: &Value, key: &str| entry[key].as_str().expect("text").to_owned();
    let entry = |entry: &Value| {
        (
            text(entry, "name"),
            text(entry, "kind"),
            entry["size"].as_u64(),
        )
    };
    entries.map(entry).collect()
}

#[test]
fn entries_have_kinds_and_exact_sizes_and_no_file_is_fetched() {
    let (sandbox, dag) = (Sandbox::new(), tree());
    let gateway = Gateway::of(&dag).start();
    let output = ls(&sandbox, &dag.source(), &[&gateway]).exits(0);
    let document = output.document();
    assert_eq!(document["v"], 1);
    assert_eq!(document["cid"], dag.root.to_string());
    let expected = [
        ("large", "file", Some(20_000)),
        ("link", "symlink", Some(3)),
        ("odd \u{1b}[2J name", "file", Some(9)),
        ("raw", "file", Some(9)),
        ("sub", "directory", None),
    ];
    let expected = expected.map(|(name, kind, size)| (name.to_owned(), kind.to_owned(), size));
    assert_eq!(names(&document), expected);
    // The directory and the roots of its dag-pb children: no leaf.
    assert_eq!(gateway.requests().len(), 4);
    let list = sandbox.run(["--json", "list", "--all"]).document();
    assert_eq!(list["downloads"], json!([]), "no record is left");
}

#[test]
fn people_read_lines_that_do_nothing_to_their_terminal() {
    let (sandbox, dag) = (Sandbox::new(), tree());
    let gateway = Gateway::of(&dag).start();
    let output = sandbox
        .fetchd(["ls", &dag.source(), "--gateway", gateway.url()])
        .run()
        .exits(0);
    let expected = "file       20000  large\n\
                    symlink        3  link\n\
                    file           9  odd \\u{1b}[2J name\n\
                    file           9  raw\n\
                    directory      -  sub/\n";
    assert_eq!(output.text(), expected, "{}", output.transcript());
}

#[test]
fn a_path_leads_to_what_is_listed_and_a_file_is_its_own_entry() {
    let (sandbox, dag) = (Sandbox::new(), tree());
    let gateway = Gateway::of(&dag).start();
    let sub = ls(&sandbox, &format!("{}/sub", dag.source()), &[&gateway]).exits(0);
    let deep = ("deep".to_owned(), "file".to_owned(), Some(9));
    assert_eq!(names(&sub.document()), std::slice::from_ref(&deep));
    let file = ls(&sandbox, &format!("{}/sub/deep", dag.source()), &[&gateway]).exits(0);
    assert_eq!(names(&file.document()), [deep]);
    let none = ls(&sandbox, &format!("{}/nothing", dag.source()), &[&gateway]).exits(69);
    assert!(
        none.stderr.contains("has no entry \"nothing\""),
        "{}",
        none.transcript()
    );
}

#[test]
fn a_sharded_directory_is_listed_whole_by_one_car_or_block_by_block() {
    let small = Dag::single(b"small");
    let dag = Dir::new()
        .entries((0..700).map(|n| (format!("file {n:03}"), &small)))
        .sharded(16)
        .build();
    for raw_only in [false, true] {
        let sandbox = Sandbox::new();
        let mut gateway = Gateway::of(&dag);
        if raw_only {
            gateway = gateway.features(Features {
                car: false,
                ..Features::default()
            });
        }
        let gateway = gateway.start();
        let output = ls(&sandbox, &dag.source(), &[&gateway]).exits(0);
        let names = names(&output.document());
        assert_eq!(names.len(), 700);
        assert_eq!(names[699].0, "file 699");
        let requests = gateway.requests().len();
        assert_eq!(requests == 2, !raw_only, "{requests} requests");
    }
}

#[test]
fn what_nobody_has_is_unknown() {
    let (sandbox, dag) = (Sandbox::new(), tree());
    let mut cut = dag.clone();
    let sub = Dir::new().entry("deep", &Dag::single(b"raw bytes")).build();
    cut.blocks.retain(|(cid, _)| *cid != sub.root);
    let gateway = Gateway::of(&cut).start();
    let output = ls(&sandbox, &dag.source(), &[&gateway]).exits(0);
    let names = names(&output.document());
    assert_eq!(names[4], ("sub".to_owned(), "unknown".to_owned(), None));
    assert_eq!(names[0].1, "file");
}

#[test]
fn a_gateway_that_lies_is_not_believed() {
    let (sandbox, dag) = (Sandbox::new(), tree());
    let mut bad = dag.clone();
    for (_, block) in &mut bad.blocks {
        *block = b"something else".to_vec().into();
    }
    let liar = Gateway::of(&bad).start();
    ls(&sandbox, &dag.source(), &[&liar]).exits(65);
    let honest = Gateway::of(&dag).start();
    let output = ls(&sandbox, &dag.source(), &[&liar, &honest]).exits(0);
    assert_eq!(names(&output.document()).len(), 5);
}

#[test]
fn requests_that_fail_together_are_one_failure() {
    let (sandbox, dag) = (Sandbox::new(), tree());
    sandbox.config("max_retries = 1\nbackoff_initial = \"1ms\"");
    let mut gateway = Gateway::of(&dag).features(Features {
        car: false,
        ..Features::default()
    });
    // The root comes; the three entries that need a block are then asked for at once.
    for nth in 2..=4 {
        gateway = gateway.on(On::raw().nth(nth), Fault::status(503));
    }
    let gateway = gateway.start();
    let output = ls(&sandbox, &dag.source(), &[&gateway]).exits(0);
    let names = names(&output.document());
    assert!(
        names.iter().all(|(_, kind, _)| kind != "unknown"),
        "{names:?}"
    );
}
