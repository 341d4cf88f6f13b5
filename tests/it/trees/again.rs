//! Trees that are there already, changed, in the way, or wanted in part; and what records say.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use super::sample::{Listing, Sample, Stands, stands_as};
use super::{arguments, arrived, get};
use crate::support::dag::{Dag, Leaf, Recipe};
use crate::support::gateway::{Fault, Features, Gateway, Kind, On};
use crate::support::sandbox::Sandbox;

fn small(seed: u64) -> Dag {
    Recipe::default().seed(seed).build(3_000)
}

fn tree() -> Sample {
    let docs = Sample::new()
        .file("a.md", &small(1))
        .file("b.txt", &small(2))
        .dir("drafts", &Sample::new().file("c.md", &small(3)));
    Sample::new()
        .dir("docs", &docs)
        .dir("empty", &Sample::new())
        .file("data.bin", &Recipe::default().seed(4).build(60_000))
        .file("read.md", &small(5))
        .link("link", "docs/a.md")
}

#[test]
fn again_is_done_without_a_request() {
    let sample = tree();
    let dag = sample.dag();
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let output = get(&sandbox, &dag, &[&gateway], &[]);
    arrived(&sandbox, &sample, output);
    let before = gateway.requests().len();
    let output = get(&sandbox, &dag, &[&gateway], &[]);
    arrived(&sandbox, &sample, output);
    let output = sandbox.run(["resume", "1"]).exits(0);
    assert_eq!(
        output.text().trim(),
        sandbox.target("tree").to_str().expect("text")
    );
    assert_eq!(gateway.requests().len(), before, "{}", gateway.story());
    let list = sandbox.run(["--json", "list", "--all"]).exits(0).document();
    assert_eq!(
        list["downloads"].as_array().map(Vec::len),
        Some(1),
        "{list}"
    );
}

/// What somebody did to the tree is theirs: it stays, unless they force it.
#[test]
fn a_changed_tree_stays_until_forced() {
    let sample = tree();
    let dag = sample.dag();
    type Change = fn(&std::path::Path);
    let changes: [(&str, Change, bool); 5] = [
        (
            "a file changed",
            |tree| std::fs::write(tree.join("read.md"), b"mine").expect("ours"),
            false,
        ),
        (
            "a file deleted",
            |tree| std::fs::remove_file(tree.join("docs/a.md")).expect("ours"),
            true,
        ),
        (
            "a link deleted",
            |tree| std::fs::remove_file(tree.join("link")).expect("ours"),
            true,
        ),
        (
            "a directory deleted",
            |tree| std::fs::remove_dir(tree.join("empty")).expect("ours"),
            true,
        ),
        (
            "a file added",
            |tree| std::fs::write(tree.join("docs/new"), b"mine").expect("ours"),
            false,
        ),
    ];
    for (name, change, may_replace) in changes {
        let gateway = Gateway::of(&dag).start();
        let sandbox = Sandbox::new();
        get(&sandbox, &dag, &[&gateway], &[]).exits(0);
        change(&sandbox.target("tree"));
        if name != "a file added" {
            let output = get(&sandbox, &dag, &[&gateway], &[]);
            assert_eq!(output.code, Some(73), "{name}: {}", output.transcript());
            let failed = &output.events_of("failed")[0];
            assert!(
                failed["hint"]
                    .as_str()
                    .is_some_and(|hint| hint.contains("--force")),
                "{failed}"
            );
        }
        let output = get(&sandbox, &dag, &[&gateway], &["--force"]);
        match (may_replace, name) {
            (true, _) => arrived(&sandbox, &sample, output),
            // Nothing of what was fetched is touched: what is added does no harm.
            (false, "a file added") => drop(output.exits(0)),
            (false, _) => {
                let output = output.exits(73);
                let failed = &output.events_of("failed")[0];
                assert!(failed["hint"].is_string(), "{failed}");
            }
        }
    }
}

#[test]
fn foreign_directories_are_never_replaced() {
    let sample = tree();
    let dag = sample.dag();
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.target("tree")).expect("a writable sandbox");
    std::fs::write(sandbox.target("tree/mine"), b"mine").expect("a writable sandbox");
    get(&sandbox, &dag, &[&gateway], &[]).exits(73);
    get(&sandbox, &dag, &[&gateway], &["--force"]).exits(73);
    assert_eq!(sandbox.read("tree/mine"), b"mine");
}

/// Whoever put it there: another database, or one that is lost. Its bytes are not fetched again,
/// and afterwards it is known.
#[test]
fn the_same_tree_that_nobody_remembers_is_done() {
    let sample = tree();
    let dag = sample.dag();
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    get(&sandbox, &dag, &[&gateway], &[]).exits(0);
    for more in [&[][..], &["--force"]] {
        std::fs::remove_dir_all(sandbox.state()).expect("a state directory");
        let before = gateway.sent();
        let output = get(&sandbox, &dag, &[&gateway], more);
        arrived(&sandbox, &sample, output);
        let sent = gateway.sent() - before;
        assert!(
            !more.is_empty() || sent < 60_000,
            "{sent} bytes\n{}",
            gateway.story()
        );
        let before = gateway.requests().len();
        let output = get(&sandbox, &dag, &[&gateway], more);
        arrived(&sandbox, &sample, output);
        assert_eq!(gateway.requests().len(), before, "{}", gateway.story());
    }
    assert_eq!(sandbox.partials(), Vec::<std::path::PathBuf>::new());
}

fn only(sample: &Sample, wanted: &[&str]) -> Listing {
    let is_wanted = |path: &str, stands: &Stands| match stands {
        Stands::Directory => wanted
            .iter()
            .any(|file| file.starts_with(&format!("{path}/"))),
        _ => wanted.contains(&path),
    };
    let entries = sample.expected.clone().into_iter();
    entries
        .filter(|(path, stands)| is_wanted(path, stands))
        .collect()
}

#[test]
fn only_what_is_wanted_is_asked_for() {
    let sample = tree();
    let dag = sample.dag();
    let cases: [(&[&str], &[&str], usize); 3] = [
        (
            &["--include", "*.md"],
            &["docs/a.md", "docs/drafts/c.md", "read.md"],
            9,
        ),
        (&["--include", "docs/*.txt"], &["docs/b.txt"], 4),
        (
            &["--include", "docs", "--exclude", "drafts"],
            &["docs/a.md", "docs/b.txt"],
            7,
        ),
    ];
    for features in [Features::RAW, Features::TRUSTLESS, Features::ALL] {
        for (flags, files, most) in cases {
            let gateway = Gateway::of(&dag).features(features).start();
            let sandbox = Sandbox::new();
            let output = get(&sandbox, &dag, &[&gateway], flags).exits(0);
            let found = super::sample::listing(&sandbox.target("tree"));
            assert_eq!(
                found,
                only(&sample, files),
                "{flags:?} {}",
                output.transcript()
            );
            let blocks = gateway
                .requests()
                .iter()
                .filter(|r| r.status == 200)
                .count();
            assert!(blocks <= most, "{flags:?}: {blocks}\n{}", gateway.story());
            let before = gateway.requests().len();
            get(&sandbox, &dag, &[&gateway], flags).exits(0);
            assert_eq!(gateway.requests().len(), before);
            // All of it is something else.
            get(&sandbox, &dag, &[&gateway], &[]).exits(73);
            let output = get(&sandbox, &dag, &[&gateway], &["--force"]);
            arrived(&sandbox, &sample, output);
        }
    }
}

/// What was seen to be unwanted is not asked for again.
#[test]
fn what_is_left_out_is_seen_once() {
    let data = |n: u64| Recipe::default().seed(n).leaf(Leaf::File).build(3_000);
    let files: Vec<Dag> = (0..20).map(data).collect();
    let kept = Recipe::default().seed(99).build(500_000);
    let sample = Sample::new()
        .files((0..20).map(|n| format!("{n}.txt")).zip(&files))
        .file("kept.bin", &kept);
    let dag = sample.dag();
    let last = kept.leaves().last().expect("a leaf").to_string();
    let gateway = Gateway::of(&dag)
        .features(Features::RAW)
        .on(On::raw().with(last), Fault::HoldAfter(0))
        .start();
    let sandbox = Sandbox::new();
    let flags = ["--exclude", "*.txt", "--connections", "1"];
    let mut running = sandbox
        .fetchd(arguments(&dag.source(), &[&gateway], &flags))
        .spawn();
    gateway.held();
    running
        .wait_event(|event| event["type"] == "progress" && event["bytes"].as_u64() > Some(200_000));
    running.signal("TERM");
    running.wait().exits(143);
    gateway.heal();
    let before = gateway.requests().len();
    sandbox.run(["resume", "1"]).exits(0);
    let again = gateway.requests().len() - before;
    assert!(again <= 3, "{again}\n{}", gateway.story());
    assert!(sandbox.read("tree/kept.bin") == kept.data);
}

#[test]
fn modes_and_times_are_kept_on_demand() {
    let dated = |mode: u64, seconds: i64, nanos: u32| {
        let data = format!("{mode} {seconds}").into_bytes();
        let file = Recipe::default().leaf(Leaf::File).build_bytes(&data);
        let changed = file.with_root(|_, message| {
            message.mode = Some(mode);
            message.mtime = Some(crate::support::pb::Mtime {
                seconds,
                nanos: (nanos > 0).then_some(nanos),
            });
        });
        Dag { data, ..changed }
    };
    let inner = Sample::new()
        .file("old", &dated(0o600, -86_400, 5))
        .with(|dir| dir.mode(0o750).mtime(1_000_000_000, Some(7)));
    let sample = Sample::new()
        .file("tool", &dated(0o4755, 1_600_000_000, 123_456_789))
        .file("closed", &dated(0o444, 0, 0))
        .dir("inner", &inner)
        .with(|dir| dir.mode(0o711).mtime(1_500_000_000, None));
    let dag = sample.dag();
    let gateway = Gateway::of(&dag).start();
    for preserve in [true, false] {
        let sandbox = Sandbox::new();
        let flags: &[&str] = if preserve { &["--preserve"] } else { &[] };
        let output = get(&sandbox, &dag, &[&gateway], flags);
        arrived(&sandbox, &sample, output);
        let facts = |path: &str| {
            let facts = sandbox.target(path).metadata().expect("it is there");
            (
                facts.permissions().mode() & 0o7777,
                facts.mtime(),
                facts.mtime_nsec(),
            )
        };
        let tool = facts("tree/tool");
        if preserve {
            assert_eq!(tool, (0o755, 1_600_000_000, 123_456_789));
            assert_eq!(facts("tree/closed"), (0o444, 0, 0));
            assert_eq!(facts("tree/inner/old"), (0o600, -86_400, 5));
            assert_eq!(facts("tree/inner"), (0o750, 1_000_000_000, 7));
            assert_eq!(facts("tree"), (0o711, 1_500_000_000, 0));
        } else {
            assert_ne!(tool.1, 1_600_000_000);
            assert_eq!(tool.0 & 0o7000, 0);
        }
        let before = gateway.requests().len();
        get(&sandbox, &dag, &[&gateway], flags).exits(0);
        assert_eq!(gateway.requests().len(), before, "already there");
    }
}

#[test]
fn events_and_records_tell_of_files() {
    let files: Vec<Dag> = (0..30).map(small).collect();
    let sample = Sample::new()
        .files((0..30).map(|n| format!("{n:02}")).zip(&files))
        .dir("below", &tree());
    let dag = sample.dag();
    let gateway = Gateway::of(&dag)
        .features(Features::RAW)
        .on(On::kind(Kind::Raw), Fault::HoldAtTotal(60_000))
        .start();
    let sandbox = Sandbox::new();
    let mut running = sandbox
        .fetchd(arguments(&dag.source(), &[&gateway], &[]))
        .spawn();
    gateway.held();
    let some = running
        .wait_event(|event| event["type"] == "progress" && event["files_done"].as_u64() > Some(3));
    assert!(
        some["files_total"].as_u64() >= some["files_done"].as_u64(),
        "{some}"
    );
    running.signal("INT");
    let output = running.wait().exits(130);
    assert_eq!(
        output.events_of("resolved")[0]["size"],
        serde_json::Value::Null
    );
    assert!(
        output.stderr.contains(" files proved and kept"),
        "{}",
        output.stderr
    );
    let text = sandbox.run(["show", "1"]).exits(0).text();
    assert!(text.contains("\nkind: directory\n"), "{text}");
    assert!(text.contains(" done\nfile: "), "{text}");
    assert!(
        text.contains("\nfile: and ") && text.contains(" more\n"),
        "{text}"
    );
    gateway.heal();
    let output = sandbox.run(["--json", "resume", "1"]);
    let last = output.events_of("progress").pop().expect("progress");
    let count = sample.count();
    assert_eq!(
        (&last["files_done"], &last["files_total"]),
        (&count.into(), &count.into())
    );
    arrived(&sandbox, &sample, output);
    let shown = sandbox.run(["--json", "show", "1"]).exits(0).document();
    let entries = shown["download"]["files"].as_array().expect("files");
    let listed = entries
        .iter()
        .filter(|entry| entry["kind"] == "file")
        .count();
    assert_eq!(listed, count, "{shown}");
    assert_eq!(shown["download"]["bytes_total"], sample.size());
    assert_eq!(shown["download"]["kind"], "directory");
    stands_as(&sandbox.target("tree"), &sample.expected, "");
}

/// A file of the tree that was mended by a download of it alone is fetchd's like the others.
#[test]
fn a_tree_with_a_mended_file_can_be_replaced() {
    let (old, new) = (tree(), tree().file("more", &small(6)));
    let gateway = Gateway::of(&old.dag()).dag(&new.dag()).start();
    let sandbox = Sandbox::new();
    let output = get(&sandbox, &old.dag(), &[&gateway], &[]);
    arrived(&sandbox, &old, output);
    std::fs::remove_file(sandbox.target("tree/data.bin")).expect("a file");
    let file = format!("{}/data.bin", old.dag().source());
    let mend = [
        "get",
        &file,
        "-o",
        "tree/data.bin",
        "--gateway",
        gateway.url(),
    ];
    sandbox.run(mend).exits(0);
    let output = get(&sandbox, &new.dag(), &[&gateway], &["--force"]);
    arrived(&sandbox, &new, output);
}
