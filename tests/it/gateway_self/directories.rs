//! What the gateway serves of directories: scopes, paths through shards, proofs of absence.

use super::read_car;
use crate::support::client::ask;
use crate::support::dag::{Dag, Dir, Recipe, bucket, hostile};
use crate::support::gateway::Gateway;
use crate::support::pb::Cid;

/// CIDs of the CAR that a gateway sends, in order.
fn sections(gateway: &Gateway, target: &str) -> Vec<Cid> {
    let reply = ask(gateway, target, "");
    assert_eq!(reply.status(), 200, "{target}");
    let body = reply.unchunked().expect("a clean end");
    read_car(&body).into_iter().map(|(cid, _)| cid).collect()
}

/// Three files, one of them twice, in a directory in a sharded one, under a plain root.
struct Tree {
    files: Vec<Dag>,
    inner: Dag,
    sharded: Dag,
    root: Dag,
}

fn tree() -> Tree {
    let files: Vec<Dag> = (1..=3)
        .map(|seed| Recipe::default().seed(seed).build(10_000))
        .collect();
    let inner = Dir::new()
        .entry("a.txt", &files[0])
        .entry("b", &files[1])
        .entry("same", &files[0])
        .build();
    let small = Dag::single(b"small");
    let sharded = Dir::new()
        .entries((0..60).map(|n| (format!("file {n}"), &small)))
        .entry("inner", &inner)
        .sharded(16)
        .build();
    let root = Dir::new()
        .entry("deep", &sharded)
        .entry("z", &files[2])
        .entry([0xff, b'?'], &small)
        .build();
    Tree {
        files,
        inner,
        sharded,
        root,
    }
}

#[test]
fn directories_honour_scopes() {
    let tree = tree();
    let gateway = Gateway::of(&tree.root).start();
    let ask_car = |path: &str, scope: &str| {
        let target = format!("/ipfs/{}{path}?format=car{scope}", tree.root.root);
        sections(&gateway, &target)
    };
    let cids = |dag: &Dag| -> Vec<Cid> { dag.blocks.iter().map(|(cid, _)| *cid).collect() };
    assert_eq!(ask_car("", "&dag-scope=block"), [tree.root.root]);
    assert_eq!(ask_car("", "&dag-scope=entity"), [tree.root.root]);
    let all = ask_car("", "&dag-scope=all");
    assert_eq!(all, cids(&tree.root), "depth first, each block once");
    assert_eq!(ask_car("", ""), all);
    // All shards of the sharded one and no more, behind the root.
    let shards = ask_car("/deep", "&dag-scope=entity");
    assert_eq!(shards[..2], [tree.root.root, tree.sharded.root]);
    assert!(shards.len() > 10, "{}", shards.len());
    let interior = |cid: &&Cid| cid.codec() == 0x70;
    let below: Vec<Cid> = cids(&tree.inner);
    let expected = cids(&tree.sharded).into_iter();
    let expected: Vec<Cid> = expected
        .filter(|cid| interior(&cid) && !below.contains(cid))
        .collect();
    assert_eq!(shards[1..], expected);
    assert_eq!(
        ask_car("/deep", "&dag-scope=block"),
        [tree.root.root, tree.sharded.root]
    );
}

/// The shards on the way and no others, then the entity.
#[test]
fn paths_lead_through_shards() {
    let tree = tree();
    let gateway = Gateway::of(&tree.root).start();
    let base = format!("/ipfs/{}/deep/inner", tree.root.root);
    let way = sections(&gateway, &format!("{base}?format=car&dag-scope=block"));
    assert_eq!(way[..2], [tree.root.root, tree.sharded.root]);
    assert_eq!(way.last(), Some(&tree.inner.root));
    assert!((3..8).contains(&way.len()), "{way:?}");
    let entity = sections(&gateway, &format!("{base}/b?format=car&dag-scope=entity"));
    let file: Vec<Cid> = tree.files[1].blocks.iter().map(|(cid, _)| *cid).collect();
    assert_eq!(entity[..way.len()], way);
    assert_eq!(entity[way.len()..], file);
    let part = sections(
        &gateway,
        &format!("{base}/b?format=car&dag-scope=entity&entity-bytes=0:0"),
    );
    assert_eq!(part[way.len()..], file[..2]);
    let odd = format!("/ipfs/{}/%FF%3F", tree.root.root);
    assert_eq!(ask(&gateway, &odd, "").body, b"small", "names are bytes");
}

#[test]
fn absent_paths_come_with_their_proof() {
    let tree = tree();
    let gateway = Gateway::of(&tree.root).start();
    let base = format!("/ipfs/{}", tree.root.root);
    let car = |path: &str| sections(&gateway, &format!("{base}/{path}?format=car"));
    assert_eq!(car("absent"), [tree.root.root]);
    assert_eq!(car("z/below-a-file"), [tree.root.root, tree.files[2].root]);
    let shards = car("deep/absent");
    assert_eq!(shards[..2], [tree.root.root, tree.sharded.root]);
    assert!(shards.len() < 5, "{shards:?}");
    assert_eq!(
        ask(&gateway, &format!("{base}/deep/absent"), "").status(),
        404
    );
    let nothing = format!("/ipfs/{}/a?format=car", Dag::single(b"absent").root);
    assert_eq!(sections(&gateway, &nothing), []);
}

#[test]
fn files_below_directories_have_ranges() {
    let tree = tree();
    let gateway = Gateway::of(&tree.root).start();
    let target = format!("/ipfs/{}/deep/inner/a.txt", tree.root.root);
    let reply = ask(&gateway, &target, "Range: bytes=5000-5099\r\n");
    assert_eq!(
        (reply.status(), reply.header("content-range")),
        (206, Some("bytes 5000-5099/10000"))
    );
    assert_eq!(reply.body, &tree.files[0].data[5000..5100]);
    let raw = ask(&gateway, &format!("{target}?format=raw"), "");
    assert_eq!(raw.status(), 404, "raw blocks have no paths");
}

#[test]
fn other_codecs_are_blocks_whose_links_belong_to_the_dag() {
    let file = Recipe::default().build(9000);
    let cbor = Dag::dag_cbor(&[&file]);
    let root = Dag::directory(&[("data", &cbor)]);
    let gateway = Gateway::of(&root).start();
    let target = format!("/ipfs/{}/data", root.root);
    let block = cbor.block(&cbor.root).expect("the root");
    assert_eq!(ask(&gateway, &target, "").body, block[..]);
    let car = |scope: &str| sections(&gateway, &format!("{target}?format=car&dag-scope={scope}"));
    assert_eq!(car("entity"), [root.root, cbor.root]);
    assert_eq!(car("all").len(), 2 + file.blocks.len());
}

/// Bombs and lies are served too, and the gateway survives it.
#[test]
fn hostile_directories_are_served() {
    let file = Dag::single(b"x");
    let wrong = bucket(b"x", 256, 0) ^ 1;
    let misplaced = hostile::shard(&[(wrong, hostile::Slot::Entry("x", &file))]);
    let dags = [
        hostile::hollow_shards(5),
        hostile::deep_shards(100),
        hostile::repeating(9, 16),
        hostile::deep(1500),
        hostile::names(&[b"..", b"a/b", b"x", b"x"]),
        misplaced,
    ];
    for dag in &dags {
        let gateway = Gateway::of(dag).start();
        for scope in ["entity", "all"] {
            let target = format!("/ipfs/{}?format=car&dag-scope={scope}", dag.root);
            let found = sections(&gateway, &target);
            assert_eq!(found[0], dag.root);
            assert!(scope == "entity" || found.len() == dag.blocks.len());
        }
    }
    let gateway = Gateway::of(&dags[5]).start();
    let target = format!("/ipfs/{}/x", dags[5].root);
    assert_eq!(ask(&gateway, &target, "").status(), 404, "nothing there");
}
