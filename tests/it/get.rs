//! `get` from honest gateways: every form of file from every kind of gateway.

use std::path::Path;
use std::process::Stdio;

use crate::support::dag::{Dag, Dir, Hash, Layout, Leaf, Recipe, Version};
use crate::support::gateway::{Features, Gateway};
use crate::support::oracle;
use crate::support::sandbox::Sandbox;
use crate::support::scenario::{arrived, get, sha256};

/// Every shape of file that importers write, by name.
fn shapes() -> Vec<(&'static str, Dag)> {
    let base = Recipe::default();
    let classic = base.leaf(Leaf::File).version(Version::V0);
    vec![
        ("raw leaves", base.build(100_000)),
        (
            "raw leaves under v0 nodes",
            base.version(Version::V0).build(50_000),
        ),
        ("classic", classic.build(100_000)),
        (
            "trickle of old leaves",
            base.leaf(Leaf::OldRaw)
                .layout(Layout::Trickle)
                .build(60_000),
        ),
        (
            "blake3",
            base.leaf(Leaf::File).hash(Hash::Blake3).build(50_000),
        ),
        ("identity leaves", base.chunk(30).inline(32).build(500)),
        ("repeated leaves", base.build_bytes(&[7; 50_000])),
        ("one raw block", Dag::single(b"hello world")),
        ("one classic block", classic.build_bytes(b"hello world")),
        ("an empty raw block", Dag::single(b"")),
        ("an empty classic file", classic.build_bytes(b"")),
        (
            "all in the CID",
            base.inline(32).build_bytes(b"inside the name"),
        ),
    ]
}

#[track_caller]
fn every_shape_arrives_from(features: Features) {
    for (name, dag) in shapes() {
        let sandbox = Sandbox::new();
        let gateway = Gateway::of(&dag).features(features).start();
        let output = get(&sandbox, &dag, &[&gateway]);
        assert_eq!(
            output.code,
            Some(0),
            "{name}: {}\n{}",
            output.transcript(),
            gateway.story()
        );
        arrived(&sandbox, &dag, output);
    }
}

#[test]
fn every_shape_from_a_full_gateway() {
    every_shape_arrives_from(Features::ALL);
}

#[test]
fn every_shape_from_raw_blocks_only() {
    every_shape_arrives_from(Features::RAW);
}

#[test]
fn every_shape_from_a_trustless_gateway() {
    every_shape_arrives_from(Features::TRUSTLESS);
}

#[test]
fn every_shape_from_whole_cars_only() {
    every_shape_arrives_from(Features::WHOLE_CAR);
}

#[test]
fn every_shape_from_blocks_and_ranges() {
    every_shape_arrives_from(Features {
        plain: true,
        range: true,
        ..Features::RAW
    });
}

#[test]
fn every_shape_where_ranges_are_ignored() {
    every_shape_arrives_from(Features {
        range: false,
        ..Features::ALL
    });
}

/// One gateway has the blocks, the other, which proves nothing, the bytes.
#[test]
fn nodes_from_one_and_bytes_from_another() {
    let dag = Recipe::default()
        .leaf(Leaf::File)
        .version(Version::V0)
        .build(200_000);
    let blocks = Gateway::of(&dag).features(Features::RAW).start();
    let plain = Gateway::of(&dag).features(Features::PLAIN).start();
    let sandbox = Sandbox::new();
    let output = get(&sandbox, &dag, &[&plain, &blocks]);
    arrived(&sandbox, &dag, output);
}

#[test]

fn a_path_below_a_directory() {
    let file = Recipe::default().build(30_000);
    let dag = Dag::directory(&[("sub", &Dag::directory(&[("my file.bin", &file)]))]);
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let source = format!("{}/sub/my file.bin", dag.root);
    let output = sandbox.run(["get", &source, "--gateway", gateway.url()]);
    output.exits(0);
    assert_eq!(sandbox.read("my file.bin"), file.data);
}

/// Offline: a CAR on disk is a provider like any other, cut off or not.
#[test]
fn a_car_file_is_a_gateway_too() {
    for (name, dag) in shapes() {
        let sandbox = Sandbox::new();
        std::fs::write(sandbox.root().join("x.car"), dag.car()).expect("a writable sandbox");
        let args = ["get", &dag.source(), "-o", "file", "--gateway", "../x.car"];
        let output = sandbox.run(args);
        assert_eq!(output.code, Some(0), "{name}: {}", output.transcript());
        assert!(sandbox.read("file") == dag.data, "{name}");
    }
    let dag = Recipe::default().build(100_000);
    let car = dag.car();
    let sandbox = Sandbox::new();
    let cut = sandbox.root().join("cut.car");
    std::fs::write(&cut, &car[..car.len() / 2]).expect("a writable sandbox");
    let gateway = Gateway::of(&dag).start();
    let cut = cut.to_str().expect("an ASCII path");
    let args = [
        "get",
        &dag.source(),
        "-o",
        "file",
        "--gateway",
        cut,
        "--gateway",
        gateway.url(),
    ];
    sandbox.run(args).exits(0);
    assert!(sandbox.read("file") == dag.data);
}

#[test]
fn every_request_is_polite() {
    let dag = Recipe::default().build(100_000);
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    get(&sandbox, &dag, &[&gateway]).exits(0);
    for request in gateway.requests() {
        assert!(
            request
                .user_agent
                .as_deref()
                .is_some_and(|agent| agent.starts_with("fetchd/")),
            "{request:?}"
        );
        assert!(
            matches!(request.accept_encoding.as_deref(), None | Some("identity")),
            "{request:?}"
        );
        assert!(
            !request.headers.iter().any(|(name, _)| name == "cookie"),
            "{request:?}"
        );
    }
    assert!(
        gateway.sent() < 2 * dag.tsize(),
        "fetched more than twice: {}",
        gateway.story()
    );
}

#[test]
fn paths_go_to_stdout_and_words_to_stderr() {
    let dag = Recipe::default().build(10_000);
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let output = sandbox
        .run(["get", &dag.source(), "--gateway", gateway.url()])
        .exits(0);
    let path = sandbox.target(&dag.root.to_string());
    assert_eq!(output.text(), format!("{}\n", path.display()));
    assert_eq!(std::fs::read(path).expect("the file"), dag.data);
    let quiet = Sandbox::new();
    let output = quiet.run([
        "-q",
        "get",
        &dag.source(),
        "-d",
        "made/here",
        "-o",
        "x",
        "--gateway",
        gateway.url(),
    ]);
    assert_eq!(output.exits(0).stderr, "");
    assert_eq!(quiet.read("made/here/x"), dag.data);
}

#[test]
fn the_second_get_asks_nobody() {
    let dag = Recipe::default().build(50_000);
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    get(&sandbox, &dag, &[&gateway]).exits(0);
    let before = gateway.requests().len();
    let again = get(&sandbox, &dag, &[&gateway]).exits(0);
    assert_eq!(gateway.requests().len(), before);
    assert_eq!(
        again.events_of("finished").len(),
        1,
        "{}",
        again.transcript()
    );
}

#[test]
fn several_sources_in_the_order_asked() {
    let dags: Vec<Dag> = (0..3)
        .map(|seed| Recipe::default().seed(seed).build(20_000))
        .collect();
    let gateway = dags
        .iter()
        .fold(Gateway::empty(), |gateway, dag| gateway.dag(dag))
        .start();
    let sandbox = Sandbox::new();
    let mut args = vec!["get".to_owned(), "--gateway".into(), gateway.url().into()];
    args.extend(dags.iter().map(Dag::source));
    let paths: String = dags
        .iter()
        .map(|dag| format!("{}\n", sandbox.target(&dag.source()).display()))
        .collect();
    assert_eq!(sandbox.run(args).exits(0).text(), paths);
    let list = dags
        .iter()
        .map(|dag| format!("# a comment\n{}\n\n", dag.source()))
        .collect::<String>();
    let from_stdin = Sandbox::new();
    from_stdin
        .fetchd(["get", "-i", "-", "--gateway", gateway.url()])
        .stdin(list)
        .run()
        .exits(0);
    assert!(
        dags.iter()
            .all(|dag| from_stdin.read(&dag.source()) == dag.data)
    );
}

#[test]
fn standard_output_gets_proven_bytes() {
    for (name, dag) in shapes() {
        let gateway = Gateway::of(&dag).start();
        let sandbox = Sandbox::new();
        let output = sandbox
            .run(["get", &dag.source(), "-o", "-", "--gateway", gateway.url()])
            .exits(0);
        assert!(output.stdout == dag.data, "{name}");
        assert_eq!(
            std::fs::read_dir(sandbox.out())
                .expect("a directory")
                .count(),
            0,
            "{name}"
        );
    }
}

#[test]
fn a_reader_that_goes_away_is_141_and_quiet() {
    let dag = Recipe::default().build(300_000);
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let args = ["get", &dag.source(), "-o", "-", "--gateway", gateway.url()];
    let output = sandbox.fetchd(args).spawn_with(Stdio::from(writer)).wait();
    assert_eq!(output.code, Some(141), "{}", output.transcript());
    assert!(!output.stderr.contains("panick"), "{}", output.stderr);
    oracle::check(&sandbox, &output);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_74() {
    let dag = Recipe::default().build(300_000);
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let full = std::fs::File::options()
        .write(true)
        .open("/dev/full")
        .expect("the device");
    let args = ["get", &dag.source(), "-o", "-", "--gateway", gateway.url()];
    sandbox
        .fetchd(args)
        .spawn_with(full.into())
        .wait()
        .exits(74);
}

#[test]
fn records_can_be_listed_and_shown() {
    let (there, absent) = (
        Recipe::default().build(20_000),
        Dag::single(b"nobody has this"),
    );
    let gateway = Gateway::of(&there).start();
    let sandbox = Sandbox::new();
    let empty = sandbox.run(["--json", "list"]).exits(0).document();
    assert_eq!(empty, serde_json::json!({ "v": 1, "downloads": [] }));
    get(&sandbox, &there, &[&gateway]).exits(0);
    sandbox
        .run(["get", &absent.source(), "--gateway", gateway.url()])
        .exits(69);
    let open = sandbox.run(["--json", "list"]).exits(0).document();
    assert_eq!(
        open["downloads"].as_array().map(Vec::len),
        Some(1),
        "what failed: {open}"
    );
    assert_eq!(open["downloads"][0]["status"], "failed");
    assert_eq!(open["downloads"][0]["error"]["kind"], "not_found");
    let all = sandbox.run(["--json", "list", "--all"]).exits(0).document();
    assert_eq!(all["downloads"].as_array().map(Vec::len), Some(2), "{all}");
    let prefix = &there.source()[..20];
    for id in ["1", &there.source(), prefix, "file"] {
        let shown = sandbox.run(["--json", "show", id]).exits(0).document();
        let download = &shown["download"];
        assert_eq!(
            (&download["id"], &download["status"]),
            (&1.into(), &"success".into()),
            "{id}"
        );
        assert_eq!(download["receipt"]["sha256"], sha256(&there.data));
        assert_eq!(download["bytes_verified"], 20_000);
        for field in [
            "source",
            "cid",
            "path",
            "kind",
            "proof",
            "attempts",
            "files",
            "providers",
            "checkpoints",
        ] {
            assert!(!download[field].is_null(), "{field} in {download}");
        }
    }
    let path = sandbox.run(["resume", "1"]).exits(0).text();
    assert_eq!(
        path.trim_end(),
        sandbox.target("file").to_str().expect("an ASCII path")
    );
}

/// The last name of the path, else the one that the link offers, else the CID.
#[test]
fn a_link_names_its_file() {
    let dag = Dir::new().entry("inner", &Dag::single(b"hello")).build();
    let (sandbox, gateway) = (Sandbox::new(), Gateway::of(&dag).start());
    let root = dag.source();
    let cases = [
        (format!("ipfs://{root}/inner?filename=other"), "inner"),
        (format!("ipfs://{root}?filename=other"), "other"),
        (format!("ipfs://{root}"), &root[..]),
    ];
    for (source, name) in &cases {
        let args = ["get", source, "--gateway", gateway.url()];
        let path = sandbox.run(args).exits(0).text();
        assert_eq!(Path::new(path.trim()), sandbox.target(name), "{source}");
    }
    let include = ["--include", "nothing", "-o", "alone"];
    let inner = format!("{root}/inner");
    let get = ["get", &inner, "--gateway", gateway.url()];
    sandbox.run(get.iter().chain(&include)).exits(0);
    assert_eq!(sandbox.read("alone"), b"hello");
}

/// The record of what was there before says nothing of what is there now.
#[test]
fn what_was_replaced_is_not_taken_for_there() {
    let (one, two) = (
        Recipe::default().seed(1).build(5_000),
        Recipe::default().seed(2).build(5_000),
    );
    let trees = [
        Dag::directory(&[("a", &one)]),
        Dag::directory(&[("a", &two)]),
    ];
    for [first, second] in [[&one, &two], [&trees[0], &trees[1]]] {
        let gateway = Gateway::of(first).dag(second).start();
        let sandbox = Sandbox::new();
        for dag in [first, second, first, first, second] {
            let source = dag.source();
            let get = [
                "get",
                &source,
                "-o",
                "x",
                "--force",
                "--gateway",
                gateway.url(),
            ];
            sandbox.fetchd(get).run().exits(0);
            sandbox.run(["verify", "x", &source]).exits(0);
        }
        let listed = sandbox.run(["--json", "list", "--all"]).exits(0);
        let records = listed.document()["downloads"].as_array().map(Vec::len);
        assert_eq!(records, Some(4), "the third was there for the fourth");
    }
}
