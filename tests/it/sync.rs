//! `sync`: manifests, locks, and what becomes of files that somebody else touched.

use serde_json::Value;

use crate::support::dag::{Dag, Recipe, seeded};
use crate::support::dns::{Act, DnsServer, txt};
use crate::support::gateway::{Fault, Features, Gateway, On};
use crate::support::sandbox::{Output, Sandbox};
use crate::support::scenario::sha256;

/// A sandbox whose configuration names one gateway.
pub fn project(gateway: &Gateway, manifest: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.config(&format!("gateways = [{{ url = \"{}\" }}]", gateway.url()));
    write(&sandbox, manifest);
    sandbox
}

pub fn write(sandbox: &Sandbox, manifest: &str) {
    std::fs::write(sandbox.target("fetchd.toml"), manifest).expect("a writable sandbox");
}

pub fn file(source: &str, target: &str, more: &str) -> String {
    format!("[[file]]\nsource = {source:?}\ntarget = {target:?}\n{more}\n")
}

pub fn lock(sandbox: &Sandbox) -> String {
    String::from_utf8(sandbox.read("fetchd.lock")).expect("text")
}

#[track_caller]
pub fn sync(sandbox: &Sandbox) -> Output {
    sandbox.run(["sync"]).exits(0)
}

/// Whether the table has a row that begins with these words.
#[track_caller]
fn says(output: &Output, fate: &str, target: &str) {
    let has = |line: &str| line.starts_with(fate) && line.contains(target);
    assert!(
        output.stderr.lines().any(has),
        "no {fate} {target}:\n{}",
        output.transcript()
    );
}

pub fn one() -> Dag {
    Recipe::default().seed(1).build(100_000)
}

pub fn two() -> Dag {
    Recipe::default().seed(2).build(80_000)
}

pub fn tree() -> Dag {
    let inner = Dag::directory(&[("deep", &two())]);
    Dag::directory(&[("a", &one()), ("inner", &inner), ("b", &two())])
}

/// Files, a tree and a plain file, on a gateway that has all of them.
fn many() -> (Gateway, Sandbox) {
    let plain = seeded(9, 50_000);
    let gateway = Gateway::of(&one())
        .dag(&two())
        .dag(&tree())
        .file("/plain", plain.clone(), None)
        .start();
    let url = format!("{}/plain", gateway.url());
    let manifest = [
        "# what we need\n".to_owned(),
        file(&one().source(), "z/one", ""),
        file(&format!("{}/inner/deep", tree().source()), "deep", ""),
        file(&tree().source(), "tree/", ""),
        file(&url, "plain", &format!("sha256 = \"{}\"", sha256(&plain))),
        file(&two().source(), "other", "when = { os = \"windows\" }"),
    ];
    let sandbox = project(&gateway, &manifest.concat());
    (gateway, sandbox)
}

#[test]
fn everything_comes_in_place_and_is_locked() {
    let (gateway, sandbox) = many();
    let output = sync(&sandbox);
    let paths = ["z/one", "deep", "tree", "plain"].map(|name| {
        let path = sandbox.target(name);
        path.to_str().expect("text").to_owned()
    });
    assert_eq!(output.text().lines().collect::<Vec<_>>(), paths);
    says(&output, "fetched", "z/one");
    assert!(
        output.stderr.contains("4 fetched"),
        "{}",
        output.transcript()
    );
    assert!(sandbox.read("z/one") == one().data && sandbox.read("deep") == two().data);
    assert!(sandbox.read("tree/inner/deep") == two().data);
    assert!(!sandbox.target("other").exists());

    let lock = lock(&sandbox);
    let targets: Vec<&str> = lock
        .lines()
        .filter_map(|line| line.strip_prefix("target = "))
        .collect();
    let sorted = ["\"deep\"", "\"plain\"", "\"tree\"", "\"z/one\""];
    assert_eq!(targets, sorted);
    for wanted in [
        format!("cid = \"{}\"", two().root),
        format!("cid = \"{}\"", tree().root),
        "size = 100000".to_owned(),
        format!("sha256 = \"{}\"", sha256(&one().data)),
    ] {
        assert!(lock.contains(&wanted), "no {wanted}:\n{lock}");
    }

    let asked = gateway.requests().len();
    for args in [
        &["sync"][..],
        &["sync", "--locked"],
        &["sync", "fetchd.toml"],
    ] {
        let again = sandbox.run(args).exits(0);
        assert_eq!(again.text(), output.text());
        assert!(again.stderr.contains("4 kept"), "{}", again.transcript());
    }
    assert_eq!(gateway.requests().len(), asked, "{}", gateway.story());
    assert_eq!(self::lock(&sandbox), lock);
}

#[test]
fn scripts_are_told_of_each_source() {
    let (_gateway, sandbox) = many();
    for _ in 0..2 {
        let output = sandbox.run(["--json", "sync"]).exits(0);
        let finished = output.events_of("finished");
        assert_eq!(finished.len(), 4, "{}", output.transcript());
        assert!(finished.iter().all(|event| event["id"].is_i64()));
        let done = output.events().pop().expect("an event");
        assert_eq!(
            (&done["type"], &done["finished"], &done["failed"]),
            (&"done".into(), &4.into(), &0.into())
        );
    }
    sandbox.run(["prune", "--older-than", "0s"]).exits(0);
    let output = sandbox.run(["--json", "sync"]).exits(0);
    let kept = output.events_of("finished");
    let one = kept.iter().find(|event| event["size"] == 100_000);
    let one = one.expect("of a record that is forgotten");
    assert_eq!(one["sha256"], sha256(&self::one().data));
}

#[test]
fn what_was_changed_or_deleted_comes_back() {
    let (_gateway, sandbox) = many();
    sync(&sandbox);
    let write = |name: &str| std::fs::write(sandbox.target(name), "mine").expect("write");
    write("z/one");
    write("tree/a");
    std::fs::remove_file(sandbox.target("deep")).expect("remove");
    std::fs::remove_dir_all(sandbox.target("tree/inner")).expect("remove");
    write("tree/added");
    let output = sandbox.run(["sync", "--locked"]).exits(0);
    says(&output, "repaired", "z/one");
    says(&output, "repaired", "deep");
    says(&output, "repaired", "tree");
    says(&output, "kept", "plain");
    assert!(sandbox.read("z/one") == one().data && sandbox.read("deep") == two().data);
    assert!(sandbox.read("tree/a") == one().data);
    assert!(sandbox.read("tree/inner/deep") == two().data);
    assert_eq!(sandbox.read("tree/added"), b"mine", "ours to leave alone");
    assert!(sync(&sandbox).stderr.contains("4 kept"));
}

#[test]
fn what_was_only_touched_is_kept() {
    let (gateway, sandbox) = many();
    sync(&sandbox);
    let asked = gateway.requests().len();
    let path = sandbox.target("z/one");
    let file = std::fs::File::options()
        .write(true)
        .open(&path)
        .expect("open");
    file.set_modified(std::time::UNIX_EPOCH).expect("touch");
    let output = sync(&sandbox);
    says(&output, "kept", "z/one");
    assert_eq!(gateway.requests().len(), asked);
    // And the ledger knows it now.
    let output = sandbox.run(["--json", "sync"]).exits(0);
    assert_eq!(output.events_of("finished").len(), 4);
}

#[test]
fn what_somebody_else_put_there_stays() {
    let (_gateway, sandbox) = many();
    for name in ["deep", "plain"] {
        std::fs::write(sandbox.target(name), "mine").expect("write");
    }
    std::fs::create_dir(sandbox.target("tree")).expect("a directory");
    std::fs::write(sandbox.target("tree/mine"), "mine").expect("write");
    let output = sandbox.run(["sync"]).exits(73);
    for name in ["deep", "plain", "tree/mine"] {
        assert_eq!(sandbox.read(name), b"mine");
    }
    says(&output, "failed", "deep");
    says(&output, "fetched", "z/one");
    assert_eq!(output.text().lines().count(), 1, "{}", output.transcript());
    assert!(lock(&sandbox).contains("z/one") && !lock(&sandbox).contains("plain"));
}

#[test]
fn a_lost_ledger_costs_no_download() {
    let small = |text: &str| Dag::single(text.as_bytes());
    let inner = Dag::directory(&[("deep", &small("deep"))]);
    let tree = Dag::directory(&[("a", &small("a")), ("inner", &inner)]);
    let gateway = Gateway::of(&tree).dag(&one()).start();
    let manifest = file(&one().source(), "z/one", "")
        + &file(&tree.source(), "tree", "")
        + &file(&format!("{}/inner", tree.source()), "inner", "");
    let sandbox = project(&gateway, &manifest);
    sync(&sandbox);
    let asked = gateway.requests().len();
    for round in 0..2 {
        if round == 0 {
            std::fs::remove_dir_all(sandbox.state()).expect("remove");
        }
        let output = sandbox.run(["sync", "--locked"]).exits(0);
        assert!(output.stderr.contains("3 kept"), "{}", output.transcript());
    }
    assert_eq!(gateway.requests().len(), asked, "{}", gateway.story());
    // It is the ledger's again: what changes is brought back.
    std::fs::write(sandbox.target("z/one"), "mine").expect("write");
    sync(&sandbox);
    assert!(sandbox.read("z/one") == one().data);
}

#[test]
fn a_lost_lock_is_written_again() {
    let (gateway, sandbox) = many();
    sync(&sandbox);
    let before = lock(&sandbox);
    let asked = gateway.requests().len();
    std::fs::remove_file(sandbox.target("fetchd.lock")).expect("remove");
    sandbox.run(["sync", "--locked"]).exits(78);
    assert!(sync(&sandbox).stderr.contains("4 kept"));
    assert_eq!(lock(&sandbox), before);
    assert_eq!(gateway.requests().len(), asked, "{}", gateway.story());
}

#[test]
fn a_manifest_that_asks_for_something_else_gets_it() {
    let gateway = Gateway::of(&one()).dag(&two()).start();
    let sandbox = project(&gateway, &file(&one().source(), "x", ""));
    sync(&sandbox);
    let both = file(&two().source(), "x", "") + &file(&one().source(), "y", "");
    write(&sandbox, &both);
    let output = sandbox.run(["sync", "--locked"]).exits(78);
    assert!(
        output.stderr.contains("fetchd.toml:3:10: "),
        "{}",
        output.stderr
    );
    assert!(sandbox.read("x") == one().data);
    let output = sync(&sandbox);
    says(&output, "replaced", "x");
    assert!(sandbox.read("x") == two().data && sandbox.read("y") == one().data);
    write(&sandbox, &file(&one().source(), "y", ""));
    sync(&sandbox);
    assert!(sandbox.read("x") == two().data, "nothing is removed");
    assert!(!lock(&sandbox).contains("\"x\""));
}

#[test]
fn names_are_pinned() {
    let gateway = Gateway::of(&one()).dag(&two()).start();
    let sandbox = Sandbox::new();
    let points_to = |dag: &Dag| {
        let link = txt(&format!("dnslink=/ipfs/{}", dag.root));
        let server = DnsServer::start(&[("_dnslink.model.example", Act::Answer(vec![link]))]);
        sandbox.config(&format!(
            "gateways = [{{ url = \"{}\" }}]\ndns = \"{}\"",
            gateway.url(),
            server.url
        ));
        server
    };
    write(&sandbox, &file("ipns://model.example", "model", ""));
    let _first = points_to(&one());
    sandbox.run(["sync", "--locked"]).exits(78);
    sync(&sandbox);
    let _second = points_to(&two());
    std::fs::remove_file(sandbox.target("model")).expect("remove");
    for args in [&["sync"][..], &["sync", "--locked"]] {
        sandbox.run(args).exits(0);
        assert!(sandbox.read("model") == one().data, "it is pinned");
    }
    std::fs::remove_file(sandbox.target("fetchd.lock")).expect("remove");
    says(&sync(&sandbox), "replaced", "model");
    assert!(sandbox.read("model") == two().data);
    assert!(lock(&sandbox).contains(&two().root.to_string()));
}

#[test]
fn a_platform_keeps_the_pins_of_others() {
    let gateway = Gateway::of(&one()).dag(&two()).start();
    let here = format!("when = {{ os = {:?} }}", std::env::consts::OS);
    let there = "when = { os = \"solaris\" }";
    let sandbox = project(
        &gateway,
        &(file(&one().source(), "bin", &here) + &file(&two().source(), "bin", there)),
    );
    sync(&sandbox);
    assert!(sandbox.read("bin") == one().data);
    let other = format!(
        "\n[[file]]\ntarget = \"bin\"\nsource = \"{0}\"\ncid = \"{0}\"\nsize = 80000\n",
        two().source()
    );
    std::fs::write(sandbox.target("fetchd.lock"), lock(&sandbox) + &other).expect("write");
    std::fs::remove_file(sandbox.target("bin")).expect("remove");
    sync(&sandbox);
    let lock = lock(&sandbox);
    assert!(lock.contains(&one().source()) && lock.contains(&two().source()));
}

#[cfg(unix)]
#[test]
fn targets_do_not_go_through_symlinks() {
    let gateway = Gateway::of(&one()).start();
    // The second one comes the same way.
    let both = ["link/x/y", "link/x/z"].map(|target| file(&one().source(), target, ""));
    let sandbox = project(&gateway, &both.concat());
    let outside = sandbox.root().join("outside");
    std::fs::create_dir(&outside).expect("a directory");
    std::os::unix::fs::symlink(&outside, sandbox.target("link")).expect("a link");
    let output = sandbox.run(["sync"]).exits(77);
    assert!(
        output.stderr.contains("is a symlink"),
        "{}",
        output.transcript()
    );
    assert_eq!(std::fs::read_dir(&outside).expect("readable").count(), 0);
}

#[test]
fn mistakes_are_found_before_anything_is_done() {
    let gateway = Gateway::of(&one()).start();
    let sandbox = project(&gateway, "");
    let good = file(&one().source(), "x", "");
    for (manifest, expected) in [
        (
            file(&one().source(), "../x", ""),
            "3:10: the target \"../x\" leaves",
        ),
        (
            good.clone() + &good,
            "7:10: the target \"x\" is that of line 3 too",
        ),
        (
            good.clone() + &file("nonsense", "y", ""),
            "6:10: \"nonsense\" is neither",
        ),
        (good.clone() + "[[files]]\n", "5:3: unknown key `files`"),
        (
            file(&one().source(), "fetchd.lock", ""),
            "3:10: the target \"fetchd.lock\" is fetchd's own",
        ),
        (good.clone() + "sha256 = 1", "5:10: "),
    ] {
        write(&sandbox, &manifest);
        let output = sandbox.run(["sync"]).exits(78);
        let expected = format!("fetchd.toml:{expected}");
        assert!(
            output.stderr.contains(&expected),
            "{expected}\n{}",
            output.stderr
        );
    }
    write(&sandbox, &good);
    sync(&sandbox);
    let sound = lock(&sandbox);
    for (lock, expected) in [
        (sound.replace("version = 1", "version = 2"), "of version 2"),
        (sound.replace("size = ", "size = x"), "fetchd.lock:"),
        (sound.replace("cid = \"ba", "cid = \"zz"), "is no CID"),
        (
            sound.replace(
                &format!("cid = \"{}", one().root),
                &format!("cid = \"{}", two().root),
            ),
            "is not the CID of its source",
        ),
        ("<<<<<<< ours\n".to_owned() + &sound, "fetchd.lock:1:"),
    ] {
        std::fs::write(sandbox.target("fetchd.lock"), lock).expect("write");
        let output = sandbox.run(["sync"]).exits(78);
        assert!(
            output.stderr.contains(expected),
            "{expected}\n{}",
            output.stderr
        );
        assert!(output.stderr.contains("hint: "), "{}", output.stderr);
    }
    let wrong = sound.replace(&sha256(&one().data), &"0".repeat(64));
    std::fs::write(sandbox.target("fetchd.lock"), wrong).expect("write");
    sandbox.run(["sync"]).exits(65);
    std::fs::remove_file(sandbox.target("fetchd.toml")).expect("remove");
    sandbox.run(["sync"]).exits(78);
    sandbox.run(["sync", "fetchd.lock"]).exits(2);
}

#[test]
fn one_failure_does_not_stop_the_others() {
    let gateway = Gateway::of(&one()).start();
    let manifest = file(&two().source(), "gone", "")
        + &file(&one().source(), "here", "")
        + &file("https://example.invalid/x", "unproved", "");
    let sandbox = project(&gateway, &manifest);
    let output = sandbox.run(["--json", "sync"]).exits(80);
    let kinds: Vec<Value> = output
        .events_of("failed")
        .iter()
        .map(|event| event["kind"].clone())
        .collect();
    assert_eq!(kinds.len(), 2, "{}", output.transcript());
    assert!(kinds.contains(&"not_found".into()) && kinds.contains(&"refused".into()));
    assert!(sandbox.read("here") == one().data);
    assert!(lock(&sandbox).contains("\"here\""));
}

#[test]
fn several_are_fetched_at_once() {
    let hold = Fault::HoldAfter(1);
    let gateway = Gateway::of(&one())
        .dag(&two())
        .features(Features::RAW)
        .on(On::any().first(1), hold)
        .start();
    let manifest = file(&one().source(), "one", "") + &file(&two().source(), "two", "");
    let sandbox = project(&gateway, &manifest);
    let mut running = sandbox.fetchd(["--json", "sync"]).spawn();
    gateway.held();
    // The first is held, and the second ends.
    running.wait_event(|event| event["type"] == "finished");
    gateway.release();
    let output = running.wait().exits(0);
    let paths: Vec<Value> = output
        .events_of("finished")
        .iter()
        .map(|event| event["size"].clone())
        .collect();
    assert_eq!(paths.len(), 2);
}

#[test]
fn a_signal_ends_it_and_the_next_goes_on() {
    let gateway = Gateway::of(&one())
        .dag(&two())
        .features(Features::RAW)
        .on(On::any().nth(6), Fault::HoldAfter(1))
        .start();
    let manifest = file(&one().source(), "one", "") + &file(&two().source(), "two", "");
    let sandbox = project(&gateway, &manifest);
    let running = sandbox.fetchd(["sync"]).spawn();
    gateway.held();
    running.signal("TERM");
    let output = running.wait().exits(143);
    assert!(
        !output.stderr.contains("internal"),
        "{}",
        output.transcript()
    );
    gateway.let_go();
    sync(&sandbox);
    assert!(sandbox.read("one") == one().data && sandbox.read("two") == two().data);
}

#[test]
fn a_manifest_that_changes_meanwhile_is_said() {
    let gateway = Gateway::of(&one())
        .features(Features::RAW)
        .on(On::any().first(1), Fault::HoldAfter(1))
        .start();
    let sandbox = project(&gateway, &file(&one().source(), "x", ""));
    let running = sandbox.fetchd(["sync"]).spawn();
    gateway.held();
    write(&sandbox, &file(&one().source(), "y", ""));
    gateway.release();
    let output = running.wait().exits(75);
    assert!(
        output.stderr.contains("changed meanwhile"),
        "{}",
        output.transcript()
    );
    assert!(sandbox.read("x") == one().data);
    sync(&sandbox);
    assert!(sandbox.read("y") == one().data);
}

#[cfg(unix)]
#[test]
fn a_lock_that_cannot_be_written_costs_nothing_but_the_lock() {
    let gateway = Gateway::of(&one()).start();
    // Pins of another platform that make the lock large.
    let there = "when = { os = \"solaris\" }";
    let long = |first: &str| format!("{first}/{}", vec!["n".repeat(250); 1000].join("/"));
    let targets = ["a", "b", "c", "d", "e"].map(long);
    let manifest = targets
        .iter()
        .map(|target| file(&one().source(), target, there));
    let manifest = file(&one().source(), "x", "") + &manifest.collect::<String>();
    let sandbox = project(&gateway, &manifest);
    let source = one().source();
    let pin = |target: &String| {
        format!(
            "\n[[file]]\ntarget = {target:?}\nsource = \"{source}\"\ncid = \"{source}\"\nsize = 1\n"
        )
    };
    let before = "version = 1\n".to_owned() + &targets.iter().map(pin).collect::<String>();
    std::fs::write(sandbox.target("fetchd.lock"), &before).expect("write");
    // Files of at most 1 MiB (the unit is 512 bytes): room enough for the database.
    let script = format!(
        "trap '' XFSZ; ulimit -f 2048; exec '{}' sync",
        env!("CARGO_BIN_EXE_fetchd")
    );
    let output = sandbox.shell(&script).run().exits(74);
    assert!(
        output.stderr.contains("the lock could not be written"),
        "{}",
        output.transcript()
    );
    assert!(sandbox.read("x") == one().data);
    assert_eq!(lock(&sandbox), before);
    assert!(sync(&sandbox).stderr.contains("1 kept"));
    assert!(lock(&sandbox).contains("\"x\""));
}

#[test]
fn places_are_relative_to_the_manifest() {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.target("sub/cars")).expect("a directory");
    std::fs::write(sandbox.target("sub/cars/one.car"), one().car()).expect("write");
    let manifest = file(&one().source(), "x", "gateways = [\"cars/one.car\"]");
    std::fs::write(sandbox.target("sub/fetchd.toml"), manifest).expect("write");
    for named in ["sub", "sub/fetchd.toml"] {
        let output = sandbox.run(["sync", named]).exits(0);
        assert_eq!(
            output.text().trim_end(),
            sandbox.target("sub/x").to_str().expect("text")
        );
    }
    assert!(sandbox.read("sub/x") == one().data);
    assert!(sandbox.target("sub/fetchd.lock").exists());
}
