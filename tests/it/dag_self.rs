//! The DAG builder is tested too: one that is wrong proves nothing.

use crate::support::client::ask;
use crate::support::dag::{Dag, Hash, Layout, Leaf, Recipe, Version, car_header, seeded};
use crate::support::gateway::Gateway;
use crate::support::{fixtures, kubo, pb};

#[test]
fn the_builder_writes_what_kubo_writes() {
    let classic = Recipe::default().leaf(Leaf::File).version(Version::V0);
    assert_eq!(
        classic.build_bytes(b"hello world").root.to_string(),
        "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD"
    );
    assert_eq!(
        classic.build_bytes(b"").root.to_string(),
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"
    );
    assert_eq!(
        Dag::single(b"").root.to_string(),
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
    );
    assert_eq!(
        Dag::directory(&[]).root.to_string(),
        "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"
    );
}

#[test]
fn leaves_agree_with_the_vectors() {
    let Some(path) = fixtures("derived/leaf-rebuild-vectors.json") else {
        return;
    };
    let text = std::fs::read_to_string(path).expect("a readable fixture");
    let vectors: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for vector in vectors["vectors"].as_array().expect("a list") {
        let len = usize::try_from(vector["len"].as_u64().expect("a length")).expect("a small one");
        let data: Vec<u8> = (0..len)
            .map(|i| u8::try_from(i % 251).expect("below 251"))
            .collect();
        let root = |leaf, version| {
            let recipe = Recipe::default()
                .chunk(len.max(1))
                .leaf(leaf)
                .version(version);
            recipe.build_bytes(&data).root.to_string()
        };
        assert_eq!(
            root(Leaf::Raw, Version::V1),
            vector["raw_leaf_cid"],
            "{len}"
        );
        assert_eq!(
            root(Leaf::File, Version::V0),
            vector["type_file"]["cid_v0"],
            "{len}"
        );
        assert_eq!(
            root(Leaf::File, Version::V1),
            vector["type_file"]["cid_v1"],
            "{len}"
        );
        assert_eq!(
            root(Leaf::OldRaw, Version::V0),
            vector["type_raw"]["cid_v0"],
            "{len}"
        );
    }
}

/// `ipfs add --only-hash` of the same bytes under the same settings.
#[test]
fn trees_agree_with_kubo() {
    let Some(kubo) = kubo() else { return };
    let home = tempfile::tempdir().expect("a temporary directory");
    let file = home.path().join("file");
    std::fs::write(&file, seeded(7, 100_000)).expect("a writable directory");
    let run = |args: &[&str]| {
        let output = std::process::Command::new(&kubo)
            .args(args)
            .env("IPFS_PATH", home.path().join("repo"))
            .output()
            .expect("Kubo runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    run(&["init", "--profile=test"]);
    let base = Recipe::default().seed(7).chunk(1000);
    let cases = [
        (
            base.width(174).leaf(Leaf::File).version(Version::V0),
            "--cid-version=0",
        ),
        (base.width(174), "--cid-version=1"),
        (base.width(174).version(Version::V0), "--raw-leaves"),
        (base.width(3), "--cid-version=1 --max-file-links=3"),
        (
            base.width(4).layout(Layout::Trickle),
            "--cid-version=1 --trickle --max-file-links=4",
        ),
        (
            base.width(174).hash(Hash::Blake3),
            "--cid-version=1 --hash=blake3",
        ),
        (
            base.width(174).inline(32).chunk(30),
            "--cid-version=1 --inline --inline-limit=32",
        ),
    ];
    for (recipe, flags) in cases {
        let chunker = if flags.contains("--inline") {
            "size-30"
        } else {
            "size-1000"
        };
        let mut args = vec!["add", "-Q", "--only-hash", "--chunker", chunker];
        args.extend(flags.split(' '));
        args.push(file.to_str().expect("an ASCII path"));
        assert_eq!(
            recipe.build(100_000).root.to_string(),
            run(&args),
            "{flags}"
        );
    }
}

#[test]
fn every_tree_reads_back() {
    for layout in [Layout::Balanced, Layout::Trickle] {
        for (leaf, version, hash) in [
            (Leaf::Raw, Version::V1, Hash::Sha256),
            (Leaf::File, Version::V0, Hash::Sha256),
            (Leaf::OldRaw, Version::V1, Hash::Blake3),
        ] {
            for size in [0, 1, 99, 100, 101, 5000, 12_345] {
                let dag = Recipe::default()
                    .chunk(100)
                    .leaf(leaf)
                    .version(version)
                    .hash(hash)
                    .layout(layout)
                    .build(size);
                let gateway = Gateway::of(&dag).start();
                let reply = ask(&gateway, &format!("/ipfs/{}", dag.root), "");
                assert_eq!(
                    (reply.status(), reply.body == dag.data),
                    (200, true),
                    "{layout:?} {leaf:?} {size}"
                );
            }
        }
    }
}

#[test]
fn a_lying_root_has_a_right_hash() {
    let dag = Recipe::default().build(50_000);
    let liar = dag.with_root(|_, unixfs| unixfs.filesize = Some(1));
    assert_ne!(liar.root, dag.root);
    assert_eq!(liar.blocks.len(), dag.blocks.len());
    let same = dag.with_root(|_, _| {});
    assert_eq!(
        same.root, dag.root,
        "decoding and encoding again changes nothing"
    );
}

#[test]
fn car_headers_are_those_of_the_specification() {
    let dag = Recipe::default().build(10);
    let header = car_header(&[dag.root]);
    assert_eq!(
        &header[1..12],
        [
            0xa2, 0x65, b'r', b'o', b'o', b't', b's', 0x81, 0xd8, 0x2a, 0x58
        ]
    );
    assert_eq!(usize::from(header[0]), header.len() - 1);
    assert_eq!(
        pb::identity(&pb::identity_cid(b"hi")).as_deref(),
        Some(b"hi".as_slice())
    );
}
