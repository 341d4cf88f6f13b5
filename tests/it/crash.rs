//! Killed, interrupted, paused and cancelled at held points: what was proved is kept.
#![cfg(unix)]

use crate::support::dag::{Dag, Recipe};
use crate::support::gateway::{Fault, Features, Gateway, On};
use crate::support::oracle;
use crate::support::sandbox::{Output, Running, Sandbox};
use crate::support::scenario::{get_args, get_json, status};

const LEAF: u64 = 256 << 10;
const SIZE: u64 = 12 << 20;
/// Where the gateway stops sending: inside a leaf.
const HELD: u64 = 8 << 20 | 1000;
/// Whole leaves before that, less what framing takes.
const PROVED: u64 = HELD / LEAF * LEAF - LEAF;

fn file() -> Dag {
    Recipe::default().chunk(256 << 10).width(16).build(12 << 20)
}

fn held(dag: &Dag, features: Features) -> Gateway {
    Gateway::of(dag)
        .features(features)
        .on(On::any(), Fault::HoldAtTotal(HELD))
        .start()
}

/// A `get` that has proved what it got from a gateway that holds the rest back.
fn stuck(sandbox: &Sandbox, dag: &Dag, gateway: &Gateway) -> Running {
    let mut running = sandbox
        .fetchd(get_json(&dag.source(), gateway.url()))
        .spawn();
    gateway.held();
    running.wait_bytes(PROVED);
    running
}

/// Resumes from a healed gateway; the bytes that it had to send again are bounded.
#[track_caller]
fn resumes(sandbox: &Sandbox, dag: &Dag, gateway: &Gateway) -> Output {
    oracle::claims_are_true(sandbox, dag);
    gateway.heal();
    let before = gateway.sent();
    let output = sandbox.run(["--json", "resume", "1"]).exits(0);
    assert!(sandbox.read("file") == dag.data, "{}", output.transcript());
    let sent = gateway.sent() - before;
    assert!(
        sent <= SIZE - PROVED + 2 * LEAF,
        "{sent} bytes were fetched again and anew\n{}",
        output.transcript()
    );
    let finished = output
        .events_of("finished")
        .pop()
        .expect("a finished event");
    assert!(
        finished["resumed_from"].as_u64() >= Some(PROVED),
        "{finished}"
    );
    oracle::claims_are_true(sandbox, dag);
    output
}

#[test]
fn a_kill_costs_what_was_in_flight() {
    let dag = file();
    let plain = Features {
        plain: true,
        range: true,
        ..Features::RAW
    };
    for features in [Features::TRUSTLESS, Features::ALL, plain] {
        let gateway = held(&dag, features);
        let sandbox = Sandbox::new();
        let output = stuck(&sandbox, &dag, &gateway).kill9();
        assert_eq!(output.code, None);
        assert!(!sandbox.target("file").exists());
        assert_eq!(sandbox.partials().len(), 1);
        assert_eq!(status(&sandbox), "paused", "reaped");
        resumes(&sandbox, &dag, &gateway);
    }
}

/// Killed again and again, each time a little further on.
#[test]
fn killed_often_it_still_arrives() {
    let dag = file();
    let gateway = Gateway::of(&dag).features(Features::TRUSTLESS).start();
    let sandbox = Sandbox::new();
    let source = dag.source();
    for step in 1..=4 {
        gateway.add(On::any(), Fault::HoldAfter(2 << 20));
        let args: &[&str] = if step == 1 {
            &get_json(&source, gateway.url())
        } else {
            &["--json", "resume", "1"]
        };
        let mut running = sandbox.fetchd(args).spawn();
        gateway.held();
        running.wait_bytes(step * (3 << 19));
        running.kill9();
        oracle::claims_are_true(&sandbox, &dag);
        gateway.heal();
    }
    sandbox.run(["resume", "--all"]).exits(0);
    assert!(sandbox.read("file") == dag.data);
    assert!(gateway.sent() < 2 * SIZE, "{} bytes", gateway.sent());
}

/// The same source and path again is a resume too.
#[test]
fn get_again_goes_on() {
    let dag = file();
    let gateway = held(&dag, Features::TRUSTLESS);
    let sandbox = Sandbox::new();
    stuck(&sandbox, &dag, &gateway).kill9();
    gateway.heal();
    let before = gateway.sent();
    sandbox.run(get_args(&dag.source(), gateway.url())).exits(0);
    assert!(sandbox.read("file") == dag.data);
    assert!(gateway.sent() - before <= SIZE - PROVED + 2 * LEAF);
    let list = sandbox.run(["--json", "list", "--all"]).exits(0).document();
    assert_eq!(
        list["downloads"].as_array().map(Vec::len),
        Some(1),
        "{list}"
    );
}

#[test]
fn signals_checkpoint() {
    let dag = file();
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let gateway = held(&dag, Features::TRUSTLESS);
        let sandbox = Sandbox::new();
        let running = stuck(&sandbox, &dag, &gateway);
        running.signal(signal);
        let output = running.wait().exits(code);
        oracle::check(&sandbox, &output);
        assert!(
            !output.events_of("checkpoint").is_empty(),
            "{}",
            output.transcript()
        );
        assert_eq!(output.events_of("failed")[0]["kind"], "signal");
        assert_eq!(status(&sandbox), "paused");
        resumes(&sandbox, &dag, &gateway);
    }
}

#[test]
fn paused_from_another_terminal() {
    let dag = file();
    let gateway = held(&dag, Features::TRUSTLESS);
    let sandbox = Sandbox::new();
    let running = stuck(&sandbox, &dag, &gateway);
    sandbox.fetchd(["pause", "1"]).run().exits(0);
    let output = running.wait().exits(81);
    assert_eq!(
        output.events_of("paused").len(),
        1,
        "{}",
        output.transcript()
    );
    assert_eq!(status(&sandbox), "paused");
    sandbox.run(["pause", "1"]).exits(0);
    sandbox.run(["resume", "--all"]).exits(0);
    assert!(
        !sandbox.target("file").exists(),
        "--all leaves what a person paused"
    );
    resumes(&sandbox, &dag, &gateway);
    sandbox.run(["pause", "1"]).exits(2);
}

#[test]
fn cancelled_from_another_terminal() {
    let dag = file();
    for keep in [false, true] {
        let gateway = held(&dag, Features::TRUSTLESS);
        let sandbox = Sandbox::new();
        let running = stuck(&sandbox, &dag, &gateway);
        let args: &[&str] = if keep {
            &["cancel", "--keep-partial", "1"]
        } else {
            &["cancel", "1"]
        };
        sandbox.fetchd(args).run().exits(0);
        let output = running.wait().exits(81);
        assert_eq!(
            output.events_of("cancelled").len(),
            1,
            "{}",
            output.transcript()
        );
        assert_eq!(status(&sandbox), "cancelled");
        assert_eq!(sandbox.partials().len(), usize::from(keep));
        sandbox.fetchd(["resume", "1"]).run().exits(2);
        // Given up is not for ever: a new `get` begins a new record.
        gateway.heal();
        let source = dag.source();
        let again = get_args(&source, gateway.url());
        sandbox.fetchd(again).run().exits(0);
        assert!(sandbox.read("file") == dag.data);
    }
}

/// A dead owner cannot acknowledge: the command acts itself.
#[test]
fn cancelled_after_a_kill() {
    let dag = file();
    let gateway = held(&dag, Features::TRUSTLESS);
    let sandbox = Sandbox::new();
    stuck(&sandbox, &dag, &gateway).kill9();
    sandbox.run(["cancel", "1"]).exits(0);
    assert_eq!(
        (status(&sandbox).as_str(), sandbox.partials().len()),
        ("cancelled", 0)
    );
}

#[test]
fn two_never_write_one_file() {
    let dag = file();
    let gateway = held(&dag, Features::TRUSTLESS);
    let sandbox = Sandbox::new();
    let running = stuck(&sandbox, &dag, &gateway);
    let source = dag.source();
    let same = get_args(&source, gateway.url());
    sandbox.fetchd(same).run().exits(75);
    sandbox.fetchd(["resume", "1"]).run().exits(75);
    gateway.let_go();
    let output = running.wait().exits(0);
    oracle::check(&sandbox, &output);
    assert!(sandbox.read("file") == dag.data);
}

/// Somebody changed the part file: what does not prove right any more is fetched again.
#[test]
fn a_spoilt_part_is_proved_again() {
    let dag = file();
    let gateway = held(&dag, Features::TRUSTLESS);
    let sandbox = Sandbox::new();
    let running = stuck(&sandbox, &dag, &gateway);
    running.signal("TERM");
    running.wait().exits(143);
    let part = &sandbox.part();
    let mut bytes = std::fs::read(part).expect("the part");
    bytes[100] ^= 1;
    std::fs::write(part, bytes).expect("a writable part");
    gateway.heal();
    sandbox.run(["resume", "1"]).exits(0);
    assert!(sandbox.read("file") == dag.data);
}

/// A part file that vanished costs its bytes, not the download.
#[test]
fn a_lost_part_is_fetched_again() {
    let dag = file();
    let gateway = held(&dag, Features::TRUSTLESS);
    let sandbox = Sandbox::new();
    stuck(&sandbox, &dag, &gateway).kill9();
    std::fs::remove_file(sandbox.part()).expect("the part");
    gateway.heal();
    sandbox.run(["resume", "1"]).exits(0);
    assert!(sandbox.read("file") == dag.data);
}

/// Writes that fail: nothing gets a final name, and with room again it goes on.
#[test]
fn a_full_disk_is_74_and_can_be_resumed() {
    let dag = file();
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let url = gateway.url();
    // Files of at most 4 MiB (the unit is 512 bytes): room enough for the database.
    let script = format!(
        "trap '' XFSZ; ulimit -f 8192; exec '{}' --json get {} -o file --gateway {url}",
        env!("CARGO_BIN_EXE_fetchd"),
        dag.root,
    );
    let output = sandbox.shell(&script).run().exits(74);
    assert_eq!(output.events_of("failed")[0]["kind"], "disk");
    assert!(!sandbox.target("file").exists());
    assert_eq!(status(&sandbox), "paused");
    sandbox.run(["resume", "1"]).exits(0);
    assert!(sandbox.read("file") == dag.data);
}

#[test]
fn a_directory_that_cannot_be_written_is_73() {
    use std::os::unix::fs::PermissionsExt as _;
    let dag = Recipe::default().build(10_000);
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.target("plain"), b"a file is no directory").expect("a writable sandbox");
    sandbox
        .run([
            "get",
            &dag.source(),
            "-o",
            "plain/file",
            "--gateway",
            gateway.url(),
        ])
        .exits(73);
    std::fs::set_permissions(sandbox.out(), std::fs::Permissions::from_mode(0o555))
        .expect("an owner");
    // The superuser may write everywhere.
    if std::fs::write(sandbox.target("probe"), b"").is_err() {
        sandbox
            .run(get_args(&dag.source(), gateway.url()))
            .exits(73);
    }
    std::fs::set_permissions(sandbox.out(), std::fs::Permissions::from_mode(0o755))
        .expect("an owner");
}
