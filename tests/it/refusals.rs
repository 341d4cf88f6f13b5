//! `get` of what cannot or must not be had: each refusal has its exit code and leaves no wrong file.

use crate::support::dag::{Dag, Dir, Recipe};
use crate::support::gateway::Gateway;
use crate::support::pb::{Cid, Multihash, RAW};
use crate::support::sandbox::Sandbox;
use crate::support::scenario::{arrived, get, sha256};

#[test]
fn failures_of_different_kinds_are_partial() {
    let dag = Recipe::default().build(20_000);
    let absent = Dag::single(b"nobody has this");
    let weak = Cid::new_v1(RAW, Multihash::wrap(0x11, &[7; 20]).expect("a digest")).to_string();
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let args = [
        "--json",
        "get",
        "--gateway",
        gateway.url(),
        &dag.source(),
        &absent.source(),
        &weak,
    ];
    let output = sandbox.run(args).exits(80);
    let done = output.events().pop().expect("a last event");
    assert_eq!((&done["finished"], &done["failed"]), (&1.into(), &2.into()));
    assert_eq!(sandbox.read(&dag.source()), dag.data);
}

#[test]
fn what_is_at_the_target_stays() {
    let dag = Recipe::default().build(20_000);
    let gateway = Gateway::of(&dag).start();
    // Of another size, and of the same size.
    for other in [b"mine".to_vec(), vec![0; 20_000]] {
        let sandbox = Sandbox::new();
        std::fs::write(sandbox.target("file"), &other).expect("a writable sandbox");
        let output = get(&sandbox, &dag, &[&gateway]).exits(73);
        assert_eq!(output.events_of("failed")[0]["kind"], "exists");
        assert_eq!(sandbox.read("file"), other);
        let force = [
            "get",
            &dag.source(),
            "-o",
            "file",
            "--force",
            "--gateway",
            gateway.url(),
        ];
        sandbox.run(force).exits(0);
        assert_eq!(sandbox.read("file"), dag.data);
    }
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.target("file"), &dag.data).expect("a writable sandbox");
    get(&sandbox, &dag, &[&gateway]).exits(0);
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.target("file")).expect("a writable sandbox");
    get(&sandbox, &dag, &[&gateway]).exits(73);
}

#[test]
fn checksums_agree_or_end_it() {
    let dag = Recipe::default().build(20_000);
    let gateway = Gateway::of(&dag).start();
    let get = |sandbox: &Sandbox, sum: &str| {
        sandbox.run([
            "--json",
            "get",
            &dag.source(),
            "-o",
            "file",
            "--sha256",
            sum,
            "--gateway",
            gateway.url(),
        ])
    };
    let sandbox = Sandbox::new();
    arrived(&sandbox, &dag, get(&sandbox, &sha256(&dag.data)));
    let sandbox = Sandbox::new();
    let before = gateway.sent();
    let output = get(&sandbox, &sha256(b"something else")).exits(65);
    assert!(gateway.sent() - before < 2 * dag.tsize(), "no second fetch");
    assert_eq!(output.events_of("failed")[0]["kind"], "verification");
    assert!(!sandbox.target("file").exists());
    get(&Sandbox::new(), "abc").exits(2);
}

#[test]
fn what_policy_refuses_is_77() {
    let dag = Recipe::default().build(20_000);
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let args = [
        "--json",
        "get",
        &dag.source(),
        "-o",
        "file",
        "--max-size",
        "10K",
        "--gateway",
        gateway.url(),
    ];
    let output = sandbox.run(args).exits(77);
    assert_eq!(output.events_of("failed")[0]["kind"], "refused");
    assert!(
        gateway.sent() < 10_000,
        "judged by the root alone: {}",
        gateway.story()
    );
    let weak = Cid::new_v1(RAW, Multihash::wrap(0x11, &[7; 20]).expect("a digest"));
    let before = gateway.requests().len();
    Sandbox::new()
        .run(["get", &weak.to_string(), "--gateway", gateway.url()])
        .exits(77);
    assert_eq!(gateway.requests().len(), before, "nobody is asked");
}

#[test]
fn what_nobody_has_is_69() {
    let gateway = Gateway::empty().start();
    let sandbox = Sandbox::new();
    let output = get(&sandbox, &Dag::single(b"nobody has this"), &[&gateway]).exits(69);
    let failed = &output.events_of("failed")[0];
    assert_eq!(
        (&failed["kind"], &failed["exit_code"]),
        (&"not_found".into(), &69.into())
    );
    assert!(failed["hint"].is_string(), "what to do next: {failed}");
}

#[test]
fn bad_arguments_are_2() {
    let sandbox = Sandbox::new();
    let whole = Dag::single(b"x").source();
    let cases: &[&[&str]] = &[
        &["get"],
        &["get", "not-a-cid"],
        &["get", "qmf412jqziuvutdgnb36fxfx7xg5v6kebsj4dpquhklyfd"],
        &["get", &whole[..40]],
        &["get", &whole, "--no-such-flag"],
        &["get", &whole, &whole, "-o", "file"],
        &["--json", "get", &whole, "-o", "-"],
        &["resume", "99"],
        &["pause", "99"],
        &["show", "99"],
        &["no-such-command"],
    ];
    for args in cases {
        let output = sandbox.run(*args);
        assert_eq!(output.code, Some(2), "{args:?}: {}", output.transcript());
        assert!(!output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn files_that_cannot_be_read_are_78() {
    let dag = Dag::single(b"x");
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    sandbox.config("no_such_key = 1");
    let output = sandbox
        .run(["get", &dag.source(), "--gateway", gateway.url()])
        .exits(78);
    assert!(output.stderr.contains("no_such_key"), "{}", output.stderr);
    let sandbox = Sandbox::new();
    std::fs::write(
        sandbox.database_file(),
        b"this is no database, and long enough to see it".repeat(100),
    )
    .expect("a writable sandbox");
    sandbox.fetchd(["list"]).run().exits(78);
    let sandbox = Sandbox::new();
    sandbox
        .run(["get", &dag.source(), "--gateway", gateway.url()])
        .exits(0);
    let database = rusqlite::Connection::open(sandbox.database_file()).expect("a database");
    database
        .pragma_update(None, "user_version", 999)
        .expect("a writable database");
    drop(database);
    sandbox.fetchd(["list"]).run().exits(78);
}

/// Who names a proxy does not want requests to go without it.
#[test]
fn a_proxy_that_cannot_be_used_is_not_passed_by() {
    let dag = Dag::single(b"not without the proxy");
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    for proxy in [
        "sock5://me:secret@127.0.0.1:9",
        "http://me:secret word@127.0.0.1:9",
    ] {
        let args = ["get", &dag.source(), "--gateway", gateway.url()];
        let output = sandbox.fetchd(args).env("ALL_PROXY", proxy).run().exits(78);
        assert!(output.stderr.contains("ALL_PROXY"), "{}", output.stderr);
        assert!(!output.stderr.contains("secret"), "{}", output.stderr);
    }
    assert!(gateway.requests().is_empty());
}

/// Code 2 leaves nothing behind, also where only the root says that it was a mistake.
#[test]
fn a_directory_for_standard_output_leaves_no_record() {
    let dag = Dir::new().entry("file", &Dag::single(b"hello")).build();
    let (sandbox, gateway) = (Sandbox::new(), Gateway::of(&dag).start());
    let args = ["get", &dag.source(), "-o", "-", "--gateway", gateway.url()];
    let output = sandbox.run(args).exits(2);
    assert!(output.stdout.is_empty() && output.stderr.contains("-o PATH"));
    let listed = sandbox.run(["--json", "list", "--all"]).document();
    assert_eq!(listed["downloads"], serde_json::json!([]));
}
