//! `sync` where manifest, lock and disk contradict each other, and how often it counts that.

use serde_json::Value;

use crate::support::dag::{Dag, Leaf, Recipe, Version};
use crate::support::gateway::{Fault, Gateway, On};
use crate::support::sandbox::{Output, Sandbox};
use crate::support::scenario::sha256;
use crate::sync::{file, lock, one, project, sync, tree, two, write};

fn records(sandbox: &Sandbox) -> usize {
    let listed = sandbox.run(["--json", "list", "--all"]).exits(0);
    let document = listed.document();
    document["downloads"].as_array().expect("a list").len()
}

fn done(output: &Output) -> Value {
    output.events_of("done")[0].clone()
}

/// Each source ends once, and in one record, however often it is tried.
#[test]
fn a_checksum_of_a_directory_fails_once() {
    let gateway = Gateway::of(&tree()).start();
    let sum = format!("sha256 = '{}'", sha256(b"whatever"));
    let sandbox = project(&gateway, &file(&tree().source(), "tree", &sum));
    for _ in 0..2 {
        let output = sandbox.run(["--json", "sync"]).exits(77);
        assert_eq!(
            output.events_of("failed").len(),
            1,
            "{}",
            output.transcript()
        );
        assert_eq!(output.events_of("finished").len(), 0);
        assert_eq!(done(&output)["failed"], 1);
        assert_eq!(records(&sandbox), 1);
        assert!(!sandbox.target("tree").exists());
    }
}

#[test]
fn a_url_that_fails_again_and_again_is_one_record() {
    let gateway = Gateway::of(&one()).start();
    let url = format!("{}/nothing", gateway.url());
    let sum = format!("sha256 = '{}'", sha256(b"whatever"));
    let sandbox = project(&gateway, &file(&url, "x", &sum));
    for _ in 0..2 {
        sandbox.run(["sync"]).exits(69);
        assert_eq!(records(&sandbox), 1);
    }
}

#[test]
fn a_size_that_the_lock_has_wrong_is_a_contradiction() {
    let gateway = Gateway::of(&one()).start();
    let sandbox = project(&gateway, &file(&one().source(), "x", ""));
    sync(&sandbox);
    let right = lock(&sandbox);
    let wrong = right.replace("100000", "100001");
    let spoil = || std::fs::write(sandbox.target("fetchd.lock"), &wrong).expect("a lock");
    // In place, to be fetched, and to be fetched once more.
    for is_there in [true, false, false] {
        spoil();
        if !is_there {
            drop(std::fs::remove_file(sandbox.target("x")));
        }
        for args in [&["--json", "sync"][..], &["--json", "sync", "--locked"]] {
            let output = sandbox.run(args).exits(65);
            assert_eq!(
                output.events_of("failed").len(),
                1,
                "{}",
                output.transcript()
            );
            assert_eq!(output.events_of("finished").len(), 0);
        }
        assert_eq!(sandbox.target("x").exists(), is_there);
        assert_eq!(lock(&sandbox), wrong, "what could not be had keeps its pin");
    }
    std::fs::write(sandbox.target("fetchd.lock"), right).expect("a lock");
    sync(&sandbox);
    assert!(sandbox.read("x") == one().data);
}

/// A disk that takes `A.bin` and `a.bin` for one name has one file for both.
#[cfg(unix)]
#[test]
fn two_names_that_are_one_on_this_disk_are_a_mistake() {
    let gateway = Gateway::of(&one()).dag(&two()).start();
    let both = file(&one().source(), "in/A.bin", "") + &file(&two().source(), "in/a.bin", "");
    let sandbox = project(&gateway, &both);
    sync(&sandbox);
    let (upper, lower) = (sandbox.target("in/A.bin"), sandbox.target("in/a.bin"));
    std::fs::remove_file(&lower).expect("it is there");
    std::fs::hard_link(&upper, &lower).expect("one file of two names");
    let output = sandbox.run(["sync"]).exits(78);
    assert!(
        output.stderr.contains("fetchd.toml:7:"),
        "{}",
        output.transcript()
    );
    let own = sandbox.target("FETCHD.toml");
    std::fs::hard_link(sandbox.target("fetchd.toml"), own).expect("one file of two names");
    write(&sandbox, &file(&one().source(), "FETCHD.toml", ""));
    sandbox.run(["sync"]).exits(78);
}

/// A tree of which several files cannot be had is one failure, of one kind.
#[test]
fn a_tree_that_cannot_be_mended_fails_once() {
    let gateway = Gateway::of(&tree()).start();
    let sandbox = project(&gateway, &file(&tree().source(), "tree", ""));
    sync(&sandbox);
    for (name, other) in [("tree/a", two()), ("tree/b", one())] {
        std::fs::remove_file(sandbox.target(name)).expect("it was there");
        // The place is taken.
        let queued = ["get", "--queue", &other.source(), "-o", name];
        sandbox.run(queued).exits(0);
    }
    let output = sandbox.run(["--json", "sync"]).exits(73);
    assert_eq!(done(&output)["failed"], 1, "{}", output.transcript());
    assert_eq!(done(&output)["finished"], 0);
    let failed = output.events_of("failed");
    let of_tree = failed
        .iter()
        .filter(|event| event["source"] == tree().source());
    assert_eq!(of_tree.count(), 1, "{}", output.transcript());
}

/// Far more than can be hashed while a test lasts; not a byte of it is on the disk.
#[cfg(target_os = "linux")]
#[test]
fn a_signal_is_heard_while_a_large_file_is_proved() {
    let gateway = Gateway::of(&one())
        .on(On::any(), Fault::HoldAtTotal(0))
        .start();
    let sum = format!("sha256 = '{}'", sha256(b"whatever"));
    let both = file(&one().source(), "x", &sum) + &file(&two().source(), "y", &sum);
    let sandbox = project(&gateway, &both);
    for name in ["x", "y"] {
        let large = std::fs::File::create(sandbox.target(name)).expect("a file");
        large.set_len(4 << 40).expect("a sparse file");
    }
    let mut running = sandbox.fetchd(["--json", "sync"]).spawn();
    running.wait_event(|event| event["type"] == "progress");
    running.signal("INT");
    let output = running.wait().exits(130);
    assert_eq!(done(&output)["failed"], 2);
}

#[cfg(target_os = "linux")]
#[test]
fn it_tells_how_far_a_checksum_is() {
    let gateway = Gateway::empty()
        .on(On::any(), Fault::HoldAtTotal(0))
        .start();
    let sum = format!("sha256 = '{}'", sha256(b"whatever"));
    let url = format!("{}/file", gateway.url());
    let sandbox = project(&gateway, &file(&url, "x", &sum));
    let large = std::fs::File::create(sandbox.target("x")).expect("a file");
    large.set_len(4 << 40).expect("a sparse file");
    let mut running = sandbox.fetchd(["--json", "sync"]).spawn();
    let told = running
        .wait_event(|event| event["type"] == "progress" && event["bytes"].as_u64() > Some(0));
    assert_eq!(told["total"], 4_u64 << 40);
    running.signal("INT");
    running.wait().exits(130);
}

/// The right checksum is no proof of a CID that somebody wrote beside it.
#[test]
fn a_cid_is_not_believed_for_a_checksum() {
    let gateway = Gateway::of(&one()).dag(&two()).start();
    let sum = format!("sha256 = '{}'", sha256(&one().data));
    let sandbox = project(&gateway, &file(&two().source(), "x", &sum));
    std::fs::write(sandbox.target("x"), &one().data).expect("a file");
    sandbox.run(["sync"]).exits(73);
    assert!(sandbox.read("x") == one().data);
    // What was begun is in the way of another source: the way out is to give it up.
    write(&sandbox, &file(&one().source(), "x", &sum));
    let taken = sandbox.run(["sync"]).exits(73);
    assert!(taken.stderr.contains("fetchd cancel 1"), "{}", taken.stderr);
    sandbox.run(["cancel", "x"]).exits(0);
    write(&sandbox, &file(&one().source(), "x", &sum));
    sync(&sandbox);
    sandbox.run(["verify", "x"]).exits(0);
}

/// The same bytes have a CID for each way to import them.
#[test]
fn the_same_bytes_may_get_another_name() {
    let classic = Recipe::default()
        .seed(1)
        .leaf(Leaf::File)
        .version(Version::V0);
    let classic = classic.build(100_000);
    assert!(classic.data == one().data);
    let gateway = Gateway::of(&one()).dag(&classic).start();
    let sum = format!("sha256 = '{}'", sha256(&classic.data));
    let sandbox = project(&gateway, "");
    for source in [classic.source(), one().source(), classic.source()] {
        write(&sandbox, &file(&source, "x", &sum));
        for _ in 0..2 {
            sync(&sandbox);
            sandbox.run(["sync", "--locked"]).exits(0);
        }
        sandbox.run(["verify", "x"]).exits(0);
    }
}

/// A file of a tree may be fetched alone later. Other content that is fetched to its place is a
/// file of fetchd's too, and not the tree's.
#[test]
fn a_tree_with_another_file_in_it_is_not_in_place() {
    let gateway = Gateway::of(&tree()).start();
    let sandbox = project(&gateway, &file(&tree().source(), "tree", ""));
    sync(&sandbox);
    let put = |dag: &Dag| {
        let args = ["get", &dag.source(), "-o", "tree/a", "--force"];
        sandbox.run(args).exits(0);
        assert!(sandbox.read("tree/a") == dag.data);
    };
    let get = || sandbox.run(["get", &tree().source(), "-o", "tree"]);
    put(&two());
    get().exits(73);
    assert!(sync(&sandbox).stderr.contains("1 repaired"));
    assert!(sandbox.read("tree/a") == one().data);

    put(&two());
    put(&one());
    let asked = gateway.requests().len();
    get().exits(0);
    assert!(sync(&sandbox).stderr.contains("1 kept"));
    assert_eq!(gateway.requests().len(), asked, "{}", gateway.story());
}

/// What somebody puts in place of a file that is gone is theirs, also while it is to be mended.
#[test]
fn what_comes_to_the_place_of_a_missing_file_stays() {
    let gateway = Gateway::of(&tree()).start();
    let sandbox = project(&gateway, &file(&tree().source(), "tree", ""));
    sync(&sandbox);
    std::fs::remove_file(sandbox.target("tree/a")).expect("a file");
    sandbox.config(&format!(
        "gateways = [{{ url = \"{}\" }}]",
        Gateway::refusing()
    ));
    sandbox.run(["sync"]).exits(75);
    std::fs::write(sandbox.target("tree/a"), "mine").expect("a file");
    let args = ["resume", "2", "--gateway", gateway.url()];
    sandbox.run(args).exits(73);
    assert_eq!(sandbox.read("tree/a"), b"mine");
}

/// Bytes that a process has read.
#[cfg(target_os = "linux")]
fn has_read(process: u32) -> u64 {
    let counts = std::fs::read_to_string(format!("/proc/{process}/io")).unwrap_or_default();
    let read = counts.lines().find_map(|line| line.strip_prefix("rchar: "));
    read.and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// What is written where it has been read already does not show in the root.
#[cfg(target_os = "linux")]
#[test]
fn a_tree_that_changes_while_it_is_proved_is_not_believed() {
    use std::os::unix::fs::FileExt;

    let gateway = Gateway::empty().start();
    let sandbox = project(&gateway, "");
    std::fs::create_dir(sandbox.target("tree")).expect("a directory");
    // Not a byte of it is on the disk, and to hash it takes a while.
    let large = std::fs::File::create(sandbox.target("tree/large")).expect("a file");
    large.set_len(256 << 20).expect("a sparse file");
    let named = sandbox.run(["--json", "cid", "tree"]).exits(0).document();
    let root = named["cids"][0]["cid"].as_str().expect("a CID");
    write(&sandbox, &file(root, "tree", ""));
    let mut running = sandbox.fetchd(["sync"]).spawn();
    while has_read(running.id()) < 32 << 20 {
        assert!(running.is_running());
    }
    large.write_all_at(b"mine", 0).expect("written");
    running.wait().exits(69);
}
