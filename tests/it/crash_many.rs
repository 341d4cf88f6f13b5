//! Killed with several gateways at work, and what others did to part and database meanwhile.
#![cfg(unix)]

use crate::support::dag::{Dag, Recipe};
use crate::support::gateway::{Fault, Features, Gateway, On};
use crate::support::oracle;
use crate::support::sandbox::{Running, Sandbox};
use crate::support::scenario::{get_args, get_json};

const LEAF: u64 = 256 << 10;
const SIZE: u64 = 24 << 20;
/// Where each of two gateways stops sending.
const HELD: u64 = 6 << 20 | 1000;
/// Proved by then: whole leaves, less what framing and doubles take.
const PROVED: u64 = 9 << 20;

fn file() -> Dag {
    Recipe::default()
        .chunk(256 << 10)
        .width(174)
        .build(24 << 20)
}

fn held(dag: &Dag, features: Features) -> Gateway {
    Gateway::of(dag)
        .features(features)
        .on(On::any(), Fault::HoldAtTotal(HELD))
        .start()
}

/// A `get` that has proved what it got from gateways that hold the rest back.
fn stuck(sandbox: &Sandbox, dag: &Dag, gateways: &[&Gateway]) -> Running {
    let source = dag.source();
    let mut args = vec!["--json", "get", &source, "-o", "file"];
    for gateway in gateways {
        args.extend(["--gateway", gateway.url()]);
    }
    let mut running = sandbox.fetchd(args).spawn();
    let enough = if gateways.len() > 1 {
        PROVED
    } else {
        HELD - 2 * LEAF
    };
    running.wait_bytes(enough);
    running
}

#[test]
fn a_kill_with_two_at_work_costs_what_was_in_flight() {
    let dag = file();
    for features in [Features::ALL, Features::TRUSTLESS] {
        let (one, two) = (held(&dag, features), held(&dag, features));
        let sandbox = Sandbox::new();
        stuck(&sandbox, &dag, &[&one, &two]).kill9();
        oracle::claims_are_true(&sandbox, &dag);
        one.heal();
        two.heal();
        let before = one.sent() + two.sent();
        let output = sandbox.run(["--json", "resume", "1"]).exits(0);
        assert!(sandbox.read("file") == dag.data, "{}", output.transcript());
        let sent = one.sent() + two.sent() - before;
        let allowed = SIZE - PROVED + 8 * LEAF + SIZE / 20;
        assert!(sent <= allowed, "{sent}\n{}", output.transcript());
    }
}

/// Whatever somebody does to the part between two runs: no wrong byte gets the final name.
#[test]
fn a_part_that_others_touched_is_believed_in_nothing() {
    use std::os::unix::fs::symlink;
    let dag = file();
    type Touch = fn(&std::path::Path);
    let touches: [(&str, Touch); 8] = [
        ("cut", |part| resize(part, 3 << 20)),
        ("emptied", |part| resize(part, 0)),
        ("extended", |part| resize(part, SIZE + 4096)),
        ("zeroed", |part| {
            let len = std::fs::metadata(part).expect("a part").len();
            resize(part, 0);
            resize(part, len);
        }),
        ("zeroed, with its time set back", |part| {
            let facts = std::fs::metadata(part).expect("a part");
            let modified = facts.modified().expect("a time");
            std::fs::write(part, vec![0; usize::try_from(facts.len()).expect("small")])
                .and_then(|()| std::fs::File::options().write(true).open(part))
                .and_then(|file| file.set_modified(modified))
                .expect("a part");
        }),
        ("replaced", |part| {
            let len = std::fs::metadata(part).expect("a part").len();
            std::fs::remove_file(part).expect("a part");
            std::fs::write(part, vec![7; usize::try_from(len).expect("small")]).expect("a part");
        }),
        ("a directory", |part| {
            std::fs::remove_file(part).expect("a part");
            std::fs::create_dir(part).expect("a directory");
        }),
        ("a link", |part| {
            let other = part.with_extension("other");
            std::fs::rename(part, &other).expect("a part");
            symlink(other, part).expect("a link");
        }),
    ];
    for (name, touch) in touches {
        for clean in [true, false] {
            let gateway = held(&dag, Features::TRUSTLESS);
            let sandbox = Sandbox::new();
            let running = stuck(&sandbox, &dag, &[&gateway]);
            if clean {
                running.signal("TERM");
                running.wait().exits(143);
            } else {
                running.kill9();
            }
            touch(&sandbox.part());
            gateway.heal();
            let output = sandbox.fetchd(["--json", "resume", "1"]).run();
            let is_file = !matches!(name, "a directory" | "a link");
            let expected = if is_file { 0 } else { 73 };
            assert_eq!(
                output.code,
                Some(expected),
                "{name}\n{}",
                output.transcript()
            );
            if is_file {
                assert!(sandbox.read("file") == dag.data, "{name}");
            } else {
                assert!(
                    output.transcript().contains("move away"),
                    "{}",
                    output.transcript()
                );
                assert!(!sandbox.target("file").exists());
            }
        }
    }
}

fn resize(path: &std::path::Path, len: u64) {
    let file = std::fs::File::options().write(true).open(path);
    file.and_then(|file| file.set_len(len)).expect("a part");
}

/// A database that is gone costs the bytes at the most.
#[test]
fn without_its_database_it_begins_again() {
    let dag = file();
    let gateway = held(&dag, Features::TRUSTLESS);
    let sandbox = Sandbox::new();
    stuck(&sandbox, &dag, &[&gateway]).kill9();
    std::fs::remove_dir_all(sandbox.state()).expect("a state directory");
    gateway.heal();
    let source = dag.source();
    let get = get_args(&source, gateway.url());
    sandbox.fetchd(get).run().exits(0);
    assert!(sandbox.read("file") == dag.data);
}

/// Killed between the last byte and the record, wherever exactly: the next command completes it.
#[test]
fn a_crash_at_the_end_is_completed() {
    let dag = file();
    let gateway = Gateway::of(&dag).start();
    let source = dag.source();
    let get = get_json(&source, gateway.url());
    for status in ["verifying", "installing"] {
        for command in [&get[..], &["--json", "resume", "1"]] {
            let sandbox = Sandbox::new();
            sandbox.run(get).exits(0);
            let before = gateway.requests().len();
            let database = rusqlite::Connection::open(sandbox.database_file()).expect("a database");
            let statement = "UPDATE downloads SET status = ?1, completed_at = NULL,
                             receipt = NULL, owner_run = 1 WHERE id = 1";
            database.execute(statement, [status]).expect("a record");
            drop(database);
            // A power cut may take the time of a file back, but not its bytes.
            let mut options = std::fs::File::options();
            let file = options.write(true).open(sandbox.target("file"));
            let file = file.expect("the file");
            file.set_modified(std::time::UNIX_EPOCH).expect("our file");
            let output = sandbox.run(command).exits(0);
            assert!(sandbox.read("file") == dag.data, "{}", output.transcript());
            assert_eq!(gateway.requests().len(), before, "{status}");
        }
    }
}

/// A wait that was recorded by a clock which ran years ahead is not kept.
#[test]
fn a_clock_set_back_does_no_harm() {
    let dag = Recipe::default().build(10_000);
    let busy = On::any().first(1);
    let gateway = Gateway::of(&dag)
        .on(busy, Fault::retry_after(429, "86400"))
        .start();
    let source = dag.source();
    let get = get_json(&source, gateway.url());
    let sandbox = Sandbox::new();
    sandbox.run(get).exits(75);
    let database = rusqlite::Connection::open(sandbox.database_file()).expect("a database");
    let year = 365 * 24 * 3600 * 1_000_000_i64;
    for statement in [
        "UPDATE gateways SET cool_until = cool_until + ?1, cooled_at = cooled_at + ?1",
        "UPDATE downloads SET created_at = created_at + ?1, updated_at = updated_at + ?1",
        "UPDATE runs SET heartbeat_at = heartbeat_at + ?1",
    ] {
        database.execute(statement, [year]).expect("a column");
    }
    drop(database);
    sandbox.run(["--json", "resume", "1"]).exits(0);
    assert!(sandbox.read("file") == dag.data);
}

/// Waiting for a gateway that asked for it, it still hears what other terminals want.
#[test]
fn who_waits_still_listens() {
    let dag = Recipe::default().build(100_000);
    for (command, code, status) in [
        ("pause", 81, "paused"),
        ("cancel", 81, "cancelled"),
        ("checkpoint", 143, "paused"),
    ] {
        let gateway = Gateway::of(&dag)
            .on(On::any().from(3), Fault::retry_after(429, "600"))
            .start();
        let sandbox = Sandbox::new();
        let source = dag.source();
        let get = get_json(&source, gateway.url());
        let mut running = sandbox.fetchd(get).spawn();
        running.wait_event(|event| event["wait"].as_f64() >= Some(500.0));
        sandbox.fetchd([command, "1"]).run().exits(0);
        if command == "checkpoint" {
            running.signal("TERM");
        }
        let output = running.wait().exits(code);
        oracle::check(&sandbox, &output);
        let list = sandbox.run(["--json", "list", "--all"]).exits(0).document();
        assert_eq!(list["downloads"][0]["status"], status, "{list}");
    }
}
