//! `--preserve` of a download that is one file: the mode and the time that its root has.
#![cfg(unix)]

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use crate::support::dag::{Dag, Recipe};
use crate::support::gateway::{Fault, Features, Gateway, On};
use crate::support::pb::Mtime;
use crate::support::sandbox::Sandbox;
use crate::support::scenario::{before_the_record, get_args, get_json};
use crate::sync::{file, project, sync};

const LEAF: usize = 64 << 10;
const SIZE: usize = 40 * LEAF;
/// Where a gateway stops sending: inside a leaf.
const HELD: u64 = 20 * LEAF as u64 + 1000;

/// An executable that nobody is to write to.
fn dated() -> Dag {
    let file = Recipe::default().chunk(LEAF).width(16).build(SIZE);
    let data = file.data.clone();
    let changed = file.with_root(|_, message| {
        message.mode = Some(0o4555);
        message.mtime = Some(Mtime {
            seconds: 1_600_000_000,
            nanos: Some(123_456_789),
        });
    });
    Dag { data, ..changed }
}

fn facts(path: &Path) -> (u32, i64, i64) {
    let facts = path.metadata().expect("it is there");
    let mode = facts.permissions().mode() & 0o7777;
    (mode, facts.mtime(), facts.mtime_nsec())
}

#[track_caller]
fn is_preserved(sandbox: &Sandbox, dag: &Dag, name: &str) {
    assert!(sandbox.read(name) == dag.data, "{name}");
    let found = facts(&sandbox.target(name));
    assert_eq!(found, (0o555, 1_600_000_000, 123_456_789), "{name}");
}

#[test]
fn a_file_by_its_cid_and_by_its_path() {
    let dag = dated();
    let tree = Dag::directory(&[("bin", &Dag::directory(&[("run", &dag)]))]);
    let gateway = Gateway::of(&tree).start();
    for source in [dag.source(), format!("{}/bin/run", tree.source())] {
        let sandbox = Sandbox::new();
        let args = get_args(&source, gateway.url());
        let get = || sandbox.run(args.iter().chain(&["--preserve"])).exits(0);
        get();
        is_preserved(&sandbox, &dag, "file");
        let before = gateway.requests().len();
        get();
        sandbox.run(["verify", "file"]).exits(0);
        assert_eq!(gateway.requests().len(), before, "it is in place");

        let sandbox = Sandbox::new();
        sandbox.run(args).exits(0);
        let (mode, seconds, _) = facts(&sandbox.target("file"));
        assert_ne!((mode, seconds), (0o555, 1_600_000_000), "not asked for");
    }
}

#[test]
fn out_of_the_queue_and_by_a_manifest() {
    let dag = dated();
    let gateway = Gateway::of(&dag).start();
    let manifest = file(&dag.source(), "tool", "preserve = true");
    let sandbox = project(&gateway, &manifest);
    sync(&sandbox);
    is_preserved(&sandbox, &dag, "tool");

    let source = dag.source();
    let args = get_args(&source, gateway.url());
    let queue = args.iter().chain(&["--queue", "--preserve"]);
    sandbox.run(queue).exits(0);
    sandbox.run(["run"]).exits(0);
    is_preserved(&sandbox, &dag, "file");
}

/// Killed when the part had the mode already that it was to have in the end: it is read only then.
#[test]
fn a_part_that_was_closed_already_goes_on() {
    let dag = dated();
    let gateway = Gateway::of(&dag)
        .features(Features::RAW)
        .on(On::any(), Fault::HoldAtTotal(HELD))
        .start();
    let sandbox = Sandbox::new();
    sandbox.config("stall_timeout = \"1h\"");
    let source = dag.source();
    let args = get_json(&source, gateway.url());
    let mut running = sandbox.fetchd(args.iter().chain(&["--preserve"])).spawn();
    gateway.held();
    running.wait_bytes(10 * LEAF as u64);
    sandbox.fetchd(["checkpoint", "1"]).run().exits(0);
    running.kill9();
    let closed = Permissions::from_mode(0o444);
    std::fs::set_permissions(sandbox.part(), closed).expect("a file of ours");
    gateway.heal();
    let before = gateway.sent();
    sandbox.run(["resume", "1"]).exits(0);
    is_preserved(&sandbox, &dag, "file");
    let sent = gateway.sent() - before;
    assert!(
        sent < (SIZE - 5 * LEAF) as u64,
        "{sent} bytes\n{}",
        gateway.story()
    );
}

/// Killed between the rename and its record: what is in place is not fetched again, though it is
/// read only.
#[test]
fn what_was_renamed_and_not_recorded_is_in_place() {
    let dag = dated();
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let source = dag.source();
    let args = get_args(&source, gateway.url());
    sandbox.run(args.iter().chain(&["--preserve"])).exits(0);
    before_the_record(&sandbox);
    let before = gateway.requests().len();
    sandbox.run(["resume", "1"]).exits(0);
    is_preserved(&sandbox, &dag, "file");
    assert_eq!(gateway.requests().len(), before, "{}", gateway.story());
}
