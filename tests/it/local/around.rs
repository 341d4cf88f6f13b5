//! What is on this disk already: what the ledger knows, and parts that nobody remembers.

use std::path::Path;

use super::{LEAF, SIZE, dags, fetched, finished, line};
use crate::support::dag::{Dag, Dir, Leaf, Recipe};
use crate::support::gateway::{Features, Gateway};
use crate::support::sandbox::{Output, Sandbox};
use crate::support::scenario::sha256;

#[track_caller]
fn get(sandbox: &Sandbox, source: &str, gateway: &str, output: &str) -> Output {
    let args = ["--json", "get", source, "-o", output, "--gateway", gateway];
    sandbox.run(args)
}

fn url(sandbox: &Sandbox, name: &str) -> String {
    sandbox.target(name).to_str().expect("text").to_owned()
}

#[test]
fn what_is_here_under_another_name_is_not_fetched_again() {
    for dag in dags() {
        let sandbox = Sandbox::new();
        let gateway = Gateway::of(&dag).start();
        get(&sandbox, &dag.source(), gateway.url(), "one").exits(0);
        let asked = gateway.requests().len();
        let output = get(&sandbox, &dag.source(), gateway.url(), "two").exits(0);
        let done = finished(&output);
        assert!(sandbox.read("two") == dag.data);
        assert_eq!(gateway.requests().len(), asked, "{}", gateway.story());
        assert_eq!(fetched(&done), 0, "{done}");
        assert_eq!(line(&done, &url(&sandbox, "one"))["bytes"], SIZE);
    }
}

/// The ledger is believed in nothing.
#[test]
fn a_copy_that_was_changed_helps_as_far_as_it_is_right() {
    for dag in dags() {
        let sandbox = Sandbox::new();
        let gateway = Gateway::of(&dag).start();
        get(&sandbox, &dag.source(), gateway.url(), "one").exits(0);
        let mut bytes = dag.data.clone();
        bytes[LEAF + 5] ^= 1;
        bytes.truncate(SIZE - 3 * LEAF);
        std::fs::write(sandbox.target("one"), &bytes).expect("ours");
        let output = get(&sandbox, &dag.source(), gateway.url(), "two").exits(0);
        assert!(sandbox.read("two") == dag.data);
        let done = finished(&output);
        let missing = 4 * LEAF as u64;
        assert!(
            (missing..missing + (4 << 10)).contains(&fetched(&done)),
            "{done}"
        );
        std::fs::remove_file(sandbox.target("one")).expect("ours");
        std::fs::remove_file(sandbox.target("two")).expect("ours");
        get(&sandbox, &dag.source(), gateway.url(), "three").exits(0);
        assert!(sandbox.read("three") == dag.data);
    }
}

fn tree() -> (Dag, [Dag; 3]) {
    let recipe = || Recipe::default().chunk(LEAF).width(4);
    let files = [
        recipe().build(SIZE),
        recipe().leaf(Leaf::File).build(9_000),
        recipe().seed(3).build(600_000),
    ];
    let [large, small, other] = &files;
    let docs = Dir::new().entry("large", large).entry("small", small);
    let tree = Dir::new()
        .entry("docs", &docs.build())
        .entry("other", other);
    (tree.build(), files)
}

#[track_caller]
fn stands(sandbox: &Sandbox, name: &str, files: &[Dag; 3]) {
    for (path, dag) in ["docs/large", "docs/small", "other"].iter().zip(files) {
        assert!(
            sandbox.read(&format!("{name}/{path}")) == dag.data,
            "{path}"
        );
    }
}

#[test]
fn trees_and_what_is_in_them() {
    let (tree, files) = tree();
    let sandbox = Sandbox::new();
    let gateway = Gateway::of(&tree).start();
    get(&sandbox, &tree.source(), gateway.url(), "one").exits(0);
    let asked = gateway.requests().len();
    let output = get(&sandbox, &tree.source(), gateway.url(), "two").exits(0);
    stands(&sandbox, "two", &files);
    assert_eq!(gateway.requests().len(), asked, "{}", gateway.story());
    let done = finished(&output);
    assert_eq!(fetched(&done), 0);
    assert!(
        line(&done, &url(&sandbox, "one"))["bytes"].as_u64() > Some(0),
        "{done}"
    );

    get(&sandbox, &files[0].source(), gateway.url(), "file").exits(0);
    assert!(sandbox.read("file") == files[0].data);
    let below = format!("{}/docs", tree.source());
    get(&sandbox, &below, gateway.url(), "docs").exits(0);
    assert!(sandbox.read("docs/small") == files[1].data);
    assert_eq!(gateway.requests().len(), asked, "{}", gateway.story());
}

#[test]
fn a_file_without_a_cid_is_known_by_its_sum() {
    let data = dags()[0].data.clone();
    let server = Gateway::empty()
        .features(Features::PLAIN)
        .file("/one", data.clone(), None)
        .file("/two", data.clone(), None)
        .start();
    let sandbox = Sandbox::new();
    let sum = sha256(&data);
    let get = |name: &str| {
        let url = format!("{}/{name}", server.url());
        sandbox
            .run(["--json", "get", &url, "--sha256", &sum])
            .exits(0)
    };
    get("one");
    let asked = server.requests().len();
    let done = finished(&get("two"));
    assert!(sandbox.read("two") == data);
    assert_eq!((server.requests().len(), fetched(&done)), (asked, 0));
    assert_eq!(line(&done, &url(&sandbox, "one"))["bytes"], SIZE);
}

/// A part whose database is lost: what is right in it is taken, and then it has served.
#[cfg(unix)]
#[test]
fn a_forgotten_part_is_taken_from() {
    let (tree, _) = tree();
    let [file, _] = dags();
    for (dag, held) in [(file, 2 << 20), (tree, 2 << 20)] {
        let sandbox = Sandbox::new();
        let source = dag.source();
        let gateway = Gateway::of(&dag)
            .on(
                crate::support::gateway::On::any(),
                crate::support::gateway::Fault::HoldAfter(held),
            )
            .start();
        let args = [
            "--json",
            "get",
            &source,
            "-o",
            "it",
            "--gateway",
            gateway.url(),
        ];
        let mut running = sandbox.fetchd(args).spawn();
        running.wait_bytes(held / 2);
        running.kill9();
        gateway.heal();
        let part = sandbox.partials().pop().expect("a part");
        lose(&sandbox.state());
        let output = get(&sandbox, &source, gateway.url(), "it").exits(0);
        let done = finished(&output);
        let line = line(&done, part.to_str().expect("text"));
        assert!(line["bytes"].as_u64() >= Some(held / 2), "{done}");
        assert_eq!(sandbox.partials(), Vec::<std::path::PathBuf>::new());
        assert!(fetched(&done) < SIZE as u64, "{done}");
    }
}

fn lose(state: &Path) {
    std::fs::remove_dir_all(state).expect("a state directory");
    std::fs::create_dir(state).expect("a writable sandbox");
}

/// A part that has nothing to do with it stays, and one that is in use is left alone.
#[test]
fn a_part_of_something_else_stays() {
    let [dag, _] = dags();
    let sandbox = Sandbox::new();
    let gateway = Gateway::of(&dag).start();
    let strangers = ["it.00c0ffee.partial", "it.00c0ffed.partial"];
    std::fs::write(sandbox.target(strangers[0]), "something else").expect("ours");
    std::fs::write(sandbox.target(strangers[1]), &dag.data).expect("ours");
    let locked = std::fs::File::open(sandbox.target(strangers[1])).expect("ours");
    locked.lock().expect("a lock");
    let source = dag.source();
    // Without the oracle that finds parts left behind: these are somebody else's.
    let args = ["get", &source, "-o", "it", "--gateway", gateway.url()];
    sandbox.fetchd(args).run().exits(0);
    assert!(sandbox.read("it") == dag.data);
    for stranger in strangers {
        assert!(sandbox.target(stranger).exists(), "{stranger}");
    }
}
