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
    let output = sandbox.run(["cid", "tree"]).exits(2);
    assert!(
        output.stderr.contains("not a regular file"),
        "{}",
        output.stderr
    );
}

/// Runs Kubo with a repository of its own, in the downloads directory.
fn kubo(sandbox: &Sandbox, binary: &std::path::Path, command: &str) -> String {
    let (home, binary) = (sandbox.root().join("home"), binary.display());
    let script = format!(
        "export IPFS_PATH={}; [ -e $IPFS_PATH/config ] || {binary} init -e >&2; \
         ipfs() {{ {binary} --offline \"$@\"; }}; {command}",
        home.display()
    );
    let output = sandbox.shell(&script).run().exits(0);
    output.text().trim().to_owned()
}

/// Everything that a CAR holds proves itself and hangs together: fetchd gets the content out of it.
#[cfg(unix)]
#[test]
fn the_car_of_a_tree_is_all_of_it() {
    use crate::support::dag::seeded;
    let sandbox = Sandbox::new();
    let tree = sandbox.target("tree");
    std::fs::create_dir_all(tree.join("many")).expect("a folder");
    std::fs::write(tree.join("large"), seeded(1, 3 << 20)).expect("written");
    std::fs::write(tree.join("zeros"), vec![0; 3 << 20]).expect("written");
    std::fs::write(tree.join("empty"), "").expect("written");
    std::os::unix::fs::symlink("large", tree.join("link")).expect("a link");
    for n in 0..4000 {
        let name = format!("{n:04}-{}", "x".repeat(60));
        std::fs::write(tree.join("many").join(name), n.to_string()).expect("written");
    }
    for profile in ["unixfs-v0-2015", "unixfs-v1-2025"] {
        let car = format!("{profile}.car");
        let args = ["--json", "cid", "tree", "--profile", profile, "--car", &car];
        let named = sandbox.run(args).exits(0).document();
        let cid = named["cids"][0]["cid"].as_str().expect("a CID").to_owned();
        let get = ["get", &cid, "--gateway", &car, "-o", profile];
        sandbox.run(get).exits(0);
        let same = format!("diff -r --no-dereference tree {profile}");
        sandbox.shell(&same).run().exits(0);
        // Zeros repeat, and are there once.
        let len = std::fs::metadata(sandbox.target(&car))
            .expect("a CAR")
            .len();
        assert!(len < 6 << 20, "{len}");
        if let Some(binary) = support::kubo() {
            let imported = kubo(&sandbox, &binary, &format!("ipfs dag import --stats {car}"));
            assert!(imported.contains(&cid), "{imported}");
            let set = |command: &str| kubo(&sandbox, &binary, command);
            let blocks = set(&format!("ipfs refs -r -u {cid} | sort | wc -l"));
            let blocks: u64 = blocks.parse().expect("a number");
            assert!(
                imported.contains(&format!("Imported {} blocks", blocks + 1)),
                "{imported}, {blocks} below the root"
            );
        }
    }
}

#[test]
fn the_car_of_a_stream_has_its_root_in_the_header() {
    let sandbox = Sandbox::new();
    let cid = |profile: &str, bytes: &[u8]| {
        let args = [
            "--json",
            "cid",
            "-",
            "--profile",
            profile,
            "--car",
            "x.car",
            "--force",
        ];
        let output = sandbox.fetchd(args).stdin(bytes).run().exits(0);
        let cid = output.document()["cids"][0]["cid"].clone();
        cid.as_str().expect("a CID").to_owned()
    };
    for bytes in [&b""[..], b"hello world", &[7; 700_000]] {
        for profile in [
            "unixfs-v0-2015",
            "unixfs-v1-2025",
            "kubo-raw-leaves",
            "kubo-trickle",
        ] {
            let cid = cid(profile, bytes);
            let get = ["get", &cid, "--gateway", "x.car", "-o", "back", "--force"];
            sandbox.run(get).exits(0);
            assert!(sandbox.read("back") == bytes, "{profile}");
        }
    }
}

#[test]
fn a_car_goes_to_standard_output() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.target("file"), [7; 700_000]).expect("written");
    sandbox.run(["cid", "file", "--car", "x.car"]).exits(0);
    let temporary = sandbox.root().join("temporary");
    std::fs::create_dir(&temporary).expect("a folder");
    let output = sandbox
        .fetchd(["cid", "file", "--car", "-"])
        .env("TMPDIR", &temporary)
        .run()
        .exits(0);
    assert!(output.stdout == sandbox.read("x.car"));
    assert!(output.stderr.contains("unixfs-v0-2015"));
    let left = std::fs::read_dir(&temporary).expect("a folder");
    assert_eq!(left.count(), 0);
    // What there is to export, so that the name alone is refused.
    sandbox.run(["import", "x.car", "-o", "back"]).exits(0);
    let refused = [
        (&["--json", "cid", "file", "--car", "-"][..], "with --car -"),
        (&["export", "1", "-o", "-"], "exported to a file"),
        (&["import", "x.car", "-o", "-"], "imported to a file"),
    ];
    for (args, why) in refused {
        let output = sandbox.run(args).exits(2);
        assert!(output.stderr.contains(why), "{}", output.transcript());
    }
    assert!(!sandbox.target("-").exists());
}

#[cfg(unix)]
#[test]
fn nobody_else_can_read_what_is_on_its_way_to_standard_output() {
    use std::io::Read;
    use std::os::unix::fs::PermissionsExt;
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.target("file"), [7; 700_000]).expect("written");
    let temporary = sandbox.root().join("temporary");
    std::fs::create_dir(&temporary).expect("a folder");
    let entries = || std::fs::read_dir(&temporary).expect("a folder");
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let running = sandbox
        .fetchd(["cid", "file", "--car", "-"])
        .env("TMPDIR", &temporary)
        .spawn_with(writer.into());
    // More than a pipe holds is on its way.
    reader.read_exact(&mut [0]).expect("the beginning of a CAR");
    let modes: Vec<u32> = entries()
        .map(|entry| entry.and_then(|entry| entry.metadata()))
        .map(|facts| facts.expect("an entry").permissions().mode() & 0o077)
        .collect();
    assert_eq!(modes, [0]);
    drop(reader);
    running.wait();
    assert_eq!(entries().count(), 0);
}

#[test]
fn a_car_takes_no_name_that_is_taken_and_leaves_nothing_behind() {
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.target("tree")).expect("a folder");
    std::fs::write(sandbox.target("tree/file"), "hello").expect("written");
    std::fs::write(sandbox.target("mine.car"), "mine").expect("written");
    let refused = [
        (&["cid", "tree", "--car", "mine.car"][..], 73),
        (&["cid", "tree", "--car", "tree/x.car"], 2),
        (&["cid", "tree", "--car", "nowhere/x.car"], 73),
        (&["cid", "gone", "--car", "x.car"], 2),
        (
            &[
                "cid",
                "tree",
                "--car",
                "x.car",
                "--profile",
                "kubo",
                "--profile",
                "helia",
            ],
            2,
        ),
    ];
    for (args, code) in refused {
        sandbox.run(args).exits(code);
    }
    assert_eq!(sandbox.read("mine.car"), b"mine");
    assert_eq!(
        std::fs::read_dir(sandbox.out()).expect("a folder").count(),
        2
    );
    let forced = ["cid", "tree", "--car", "mine.car", "--force"];
    sandbox.run(forced).exits(0);
    assert_ne!(sandbox.read("mine.car"), b"mine");
}
