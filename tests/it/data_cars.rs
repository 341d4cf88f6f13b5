//! `get --car` below roots of dag-cbor and dag-json: all that they link to, each block proved.

use bytes::Bytes;

use crate::support::dag::{Dag, Dir, Hash, Recipe, Version, cid_of};
use crate::support::gateway::{Fault, Features, Gateway, On};
use crate::support::pb::{self, Cid};
use crate::support::sandbox::{Output, Sandbox};

const DAG_JSON: u64 = 0x0129;

/// Data over a file, a directory and further data, some of which many link to.
fn data() -> Dag {
    let file = Recipe::default().chunk(1000).build(20_000);
    let raw = Dag::single(b"raw bytes");
    let lone = Dag::dag_cbor(&[]);
    let directory = Dir::new()
        .entry("large", &file)
        .entry("raw", &raw)
        .entry("link", &Dag::symlink("raw"))
        .build();
    let below = Dag::dag_cbor(&[&raw, &file, &lone]);
    Dag::dag_cbor(&[&below, &directory, &raw, &below, &lone])
}

/// A chain of blocks, each linking to the next.
fn chain(len: usize) -> Dag {
    let end = Dag::single(b"the end");
    (0..len).fold(end, |below, _| Dag::dag_cbor(&[&below]))
}

fn get_car(sandbox: &Sandbox, root: &Cid, gateway: &str) -> Output {
    let source = format!("ipfs://{root}");
    let args = ["--json", "get", "--car", &source, "-o", "x.car"];
    sandbox.run(args.into_iter().chain(["--gateway", gateway]))
}

#[test]
fn everything_below_data_is_saved_whoever_serves_it() {
    let dag = data();
    for features in Features::WHOEVER {
        let sandbox = Sandbox::new();
        let gateway = Gateway::of(&dag).features(features).start();
        let output = get_car(&sandbox, &dag.root, gateway.url()).exits(0);
        assert!(
            sandbox.read("x.car") == dag.car(),
            "{}",
            output.transcript()
        );
        let nobody = Gateway::empty().start();
        get_car(&sandbox, &dag.root, nobody.url()).exits(0);
        assert_eq!(nobody.requests().len(), 0, "in place already");
        sandbox.run(["export", "1", "-o", "again.car"]).exits(0);
        assert!(sandbox.read("again.car") == dag.car());
        let offline = Sandbox::new();
        let car = sandbox.target("x.car");
        get_car(&offline, &dag.root, &car.display().to_string()).exits(0);
        assert!(offline.read("x.car") == dag.car());
        let left = std::fs::read_dir(sandbox.out()).expect("a directory");
        assert_eq!(left.count(), 2, "the two CARs");
    }
}

#[test]
fn dag_json_has_links_too() {
    let file = Recipe::default().chunk(1000).build(5000);
    let json = format!(
        r#"{{"b":{{"/":"{}"}},"a":[{{"/":{{"bytes":"AAAA"}}}},1]}}"#,
        file.root
    );
    let root = cid_of(Version::V1, Hash::Sha256, DAG_JSON, json.as_bytes());
    let mut dag = file.clone();
    dag.root = root;
    dag.blocks.insert(0, (root, Bytes::from(json)));
    let (sandbox, gateway) = (Sandbox::new(), Gateway::of(&dag).start());
    get_car(&sandbox, &root, gateway.url()).exits(0);
    assert!(sandbox.read("x.car") == dag.car());
}

#[test]
fn killed_it_goes_on() {
    let dag = data();
    for held in [2, 4, 6] {
        let sandbox = Sandbox::new();
        let gateway = Gateway::of(&dag)
            .features(Features {
                car: false,
                ..Features::ALL
            })
            .on(On::any().from(held), Fault::HoldAfter(0))
            .start();
        let source = format!("ipfs://{}", dag.root);
        let args = ["get", "--car", &source, "-o", "x.car"];
        let args = args.into_iter().chain(["--gateway", gateway.url()]);
        let running = sandbox.fetchd(args).spawn();
        gateway.held();
        running.kill9();
        gateway.let_go();
        sandbox.run(["resume", "1"]).exits(0);
        assert!(sandbox.read("x.car") == dag.car());
    }
}

#[test]
fn limits_hold_and_lies_are_found() {
    let refuse = |dag: &Dag, config: &str, code| {
        let (sandbox, gateway) = (Sandbox::new(), Gateway::of(dag).start());
        sandbox.config(config);
        get_car(&sandbox, &dag.root, gateway.url()).exits(code);
        assert!(!sandbox.target("x.car").exists());
    };
    refuse(&chain(20), "max_depth = 10", 77);
    refuse(&data(), "max_entries = 3", 77);
    refuse(&chain(50), "max_size = 500", 77);
    let cut = pb::cbor_list(&[Dag::single(b"x").root]);
    let cut = &cut[..cut.len() - 1];
    let root = cid_of(Version::V1, Hash::Sha256, pb::DAG_CBOR, cut);
    let malformed = Dag {
        root,
        blocks: vec![(root, cut.to_vec().into())],
        data: Vec::new(),
    };
    refuse(&malformed, "", 65);
    let mut lie = data();
    for (cid, block) in lie.blocks.iter_mut().skip(1) {
        if cid.codec() == pb::RAW {
            *block = b"something else".to_vec().into();
        }
    }
    refuse(&lie, "", 65);
}
