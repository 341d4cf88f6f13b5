//! `get --queue` and `run`: what waits, who takes it, and what becomes of it.

use crate::support::dag::{Dag, Recipe};
use crate::support::gateway::{Fault, Gateway, On};
use crate::support::ipns::Owner;
use crate::support::oracle;
use crate::support::sandbox::{Output, Sandbox};
use crate::support::scenario::sha256;
use serde_json::Value;

/// Puts a source into the queue as `name` and gives back its id.
#[track_caller]
fn enqueue(sandbox: &Sandbox, source: &str, name: &str, gateway: &str, more: &[&str]) -> String {
    let mut args = vec!["get", "--queue", source, "-o", name, "--gateway", gateway];
    args.extend(more);
    // A run may be at work meanwhile, so no oracle.
    let output = sandbox.fetchd(args).run().exits(0);
    output.text().trim().to_owned()
}

fn record(sandbox: &Sandbox, id: &str) -> Value {
    let shown = sandbox.fetchd(["--json", "show", id]).run().exits(0);
    shown.document()["download"].clone()
}

#[track_caller]
fn stands(sandbox: &Sandbox, id: &str, status: &str) {
    assert_eq!(record(sandbox, id)["status"], status, "{id}");
}

fn ids(output: &Output, kind: &str) -> Vec<i64> {
    let events = output.events_of(kind);
    let ids = events.iter().map(|event| event["id"].as_i64());
    ids.map(|id| id.expect("an id")).collect()
}

/// Makes every entry due now.
fn pass_time(sandbox: &Sandbox) {
    let database = rusqlite::Connection::open(sandbox.database_file()).expect("a database");
    database
        .execute(
            "UPDATE downloads SET next_attempt_at = 1 WHERE next_attempt_at > 0",
            [],
        )
        .expect("a writable database");
}

/// Whoever runs the queue hours later could only say so then.
#[test]
fn a_gateway_that_is_a_file_and_no_car_is_not_recorded() {
    let (sandbox, dag) = (Sandbox::new(), Dag::single(b"content"));
    std::fs::write(sandbox.target("no.car"), b"no CAR at all").expect("a file");
    std::fs::write(sandbox.target("a.car"), dag.car()).expect("a CAR");
    let source = dag.source();
    for car in ["no.car", "missing.car", "."] {
        let args = ["get", "--queue", &source, "-o", "x", "--gateway", car];
        let refused = sandbox.run(args).exits(2);
        let says_why = refused.stderr.contains("cannot use") && refused.stderr.contains(car);
        assert!(says_why, "{}", refused.transcript());
    }
    let none = sandbox.run(["--json", "list", "--all"]).exits(0);
    assert_eq!(none.document()["downloads"], serde_json::json!([]));
    enqueue(&sandbox, &source, "x", "a.car", &[]);
    sandbox.run(["run"]).exits(0);
    assert_eq!(sandbox.read("x"), dag.data);
}

#[test]
fn what_is_queued_is_fetched_by_run_without_its_asking_anybody_before() {
    let (one, two) = (Dag::single(b"the one"), Dag::single(b"the other"));
    let gateway = Gateway::of(&one).dag(&two).start();
    let sandbox = Sandbox::new();
    let first = enqueue(&sandbox, &one.source(), "one", gateway.url(), &[]);
    let second = enqueue(
        &sandbox,
        &two.source(),
        "two",
        gateway.url(),
        &["--priority", "5"],
    );
    let again = enqueue(&sandbox, &one.source(), "one", gateway.url(), &[]);
    assert_eq!([&*first, &*second, &*again], ["1", "2", "1"]);
    assert_eq!(gateway.requests().len(), 0);
    stands(&sandbox, "1", "pending");
    assert_eq!(record(&sandbox, "2")["priority"], 5);

    let output = sandbox.run(["--json", "run", "--jobs", "1"]).exits(0);
    assert_eq!(ids(&output, "started"), [2, 1], "by priority");
    assert_eq!(ids(&output, "finished"), [2, 1]);
    assert_eq!(sandbox.read("one"), one.data);
    assert_eq!(sandbox.read("two"), two.data);
    let asked = gateway.requests().len();
    let idle = sandbox.run(["run"]).exits(0);
    assert_eq!(
        (idle.text().as_str(), gateway.requests().len()),
        ("", asked)
    );
    let there = enqueue(&sandbox, &one.source(), "one", gateway.url(), &[]);
    assert_eq!(there, "1", "in place already");
    stands(&sandbox, "1", "success");
}

/// The configuration of whoever runs the queue does not take back what was allowed.
#[test]
fn a_limit_that_was_switched_off_for_an_entry_stays_off() {
    let dag = Dag::single(b"longer than the configuration allows");
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    sandbox.config("max_size = \"8B\"");
    let (source, url) = (dag.source(), gateway.url());
    enqueue(&sandbox, &source, "limited", url, &[]);
    enqueue(&sandbox, &source, "free", url, &["--max-size", "off"]);
    sandbox.run(["run"]).exits(77);
    stands(&sandbox, "1", "failed");
    stands(&sandbox, "2", "success");
    assert_eq!(sandbox.read("free"), dag.data);
}

/// To look up a name is part of the time that the download may take.
#[test]
fn a_name_is_looked_up_no_longer_than_the_download_may_take() {
    let gateway = Gateway::empty()
        .on(On::any(), Fault::StallBeforeHeaders)
        .start();
    let sandbox = Sandbox::new();
    sandbox.config("first_byte_timeout = \"10m\"");
    let name = format!("ipns://{}", Owner::new().name());
    let limit = ["--max-time", "200ms"];
    enqueue(&sandbox, &name, "queued", gateway.url(), &limit);
    sandbox.run(["run"]).exits(75);
    let failure = &record(&sandbox, "1")["error"]["message"];
    let says_why = |text: &str| text.contains("--max-time allows");
    assert!(failure.as_str().is_some_and(says_why), "{failure}");
    stands(&sandbox, "1", "pending");

    for more in ["-q", "--dry-run"] {
        let args = ["get", &name, "-o", "file", "--gateway", gateway.url(), more];
        let output = sandbox.run(args.iter().chain(&limit)).exits(75);
        assert!(says_why(&output.stderr), "{}", output.transcript());
    }
}

#[test]
fn events_tell_of_queueing() {
    let dag = Dag::single(b"later");
    let sandbox = Sandbox::new();
    let source = dag.source();
    let output = sandbox.run(["--json", "get", "--queue", &source, "no source"]);
    let output = output.exits(2);
    let queued = &output.events_of("queued")[0];
    assert_eq!(
        (&queued["id"], &queued["source"]),
        (&1.into(), &source.into())
    );
    assert_eq!(output.events_of("failed").len(), 1);
    let done = output.events().pop().expect("a last event");
    assert_eq!(
        (&done["type"], &done["exit_code"], &done["failed"]),
        (&"done".into(), &2.into(), &1.into())
    );
}

#[test]
fn what_cannot_wait_in_the_queue_is_refused() {
    let sandbox = Sandbox::new();
    let source = Dag::single(b"secret").source();
    for more in [
        &["--header", "Authorization: Bearer s3cret"][..],
        &["-o", "-"],
        &["--dry-run"],
        &["--wait"],
        &["--gateway", "ftp://nowhere"],
    ] {
        let mut args = vec!["get", "--queue", &source];
        args.extend(more);
        let output = sandbox.fetchd(args).run().exits(2);
        assert!(!output.stderr.contains("s3cret"), "{}", output.stderr);
    }
    let list = sandbox.run(["--json", "list", "--all"]).exits(0);
    assert_eq!(list.document()["downloads"], Value::Array(Vec::new()));
}

/// It says nothing of the gateway, which others have more patience with.
#[test]
fn an_entry_whose_own_time_is_over_holds_nobody_up() {
    let (slow, there) = (Dag::single(b"comes late"), Dag::single(b"is there"));
    let silence = On::any().with(slow.root.to_string());
    let gateway = Gateway::of(&there)
        .dag(&slow)
        .on(silence, Fault::StallBeforeHeaders)
        .start();
    let sandbox = Sandbox::new();
    sandbox.config("first_byte_timeout = \"1m\"");
    let limit = ["--max-time", "300ms", "--priority", "5"];
    enqueue(&sandbox, &slow.source(), "slow", gateway.url(), &limit);
    enqueue(&sandbox, &there.source(), "there", gateway.url(), &[]);
    let output = sandbox.run(["--json", "run", "--jobs", "1"]);
    assert_eq!(ids(&output, "finished"), [2], "{}", output.transcript());
    assert!(sandbox.read("there") == b"is there");
}

#[test]
fn one_failure_never_stops_the_others_and_says_when_it_is_tried_again() {
    let (gone, there) = (Dag::single(b"gone for good"), Dag::single(b"is there"));
    let late = Dag::single(b"comes late");
    let gateway = Gateway::of(&there)
        .dag(&late)
        .on(On::any().with(late.root.to_string()), Fault::status(503))
        .start();
    let sandbox = Sandbox::new();
    sandbox.config("max_retries = 0");
    for (dag, name) in [(&gone, "gone"), (&late, "late"), (&there, "there")] {
        enqueue(&sandbox, &dag.source(), name, gateway.url(), &[]);
    }
    let output = sandbox.run(["--json", "run"]).exits(80);
    assert_eq!(ids(&output, "finished"), [3]);
    let failed = output.events_of("failed");
    let kinds: Vec<&str> = failed
        .iter()
        .filter_map(|event| event["kind"].as_str())
        .collect();
    assert_eq!(failed.len(), 2, "{}", output.transcript());
    assert!(
        kinds.contains(&"retry") && kinds.contains(&"not_found"),
        "{kinds:?}"
    );
    stands(&sandbox, "1", "failed");
    // A wait that is over by now is not shown.
    let database = rusqlite::Connection::open(sandbox.database_file()).expect("a database");
    let longer = "UPDATE downloads SET next_attempt_at = next_attempt_at + ?1";
    let changed = database.execute(longer, [3_600_000_000_i64]);
    changed.expect("a writable database");
    let waiting = record(&sandbox, "2");
    assert_eq!(
        (
            &waiting["status"],
            &waiting["attempts"],
            &waiting["error"]["kind"]
        ),
        (&"pending".into(), &0.into(), &"retry".into())
    );
    assert!(waiting["next_attempt_at"].is_string(), "{waiting}");

    gateway.heal();
    pass_time(&sandbox);
    let output = sandbox.run(["--json", "run"]).exits(0);
    assert_eq!(ids(&output, "finished"), [2]);
}

/// What a clock told to wait that has been set back since would wait until that time comes round
/// again.
#[cfg(unix)]
#[test]
fn a_clock_that_is_set_back_holds_nothing_up() {
    let dag = Dag::single(b"fails at first");
    for command in [&["--json", "run"][..], &["--json", "run", "--watch"]] {
        let gateway = Gateway::of(&dag).on(On::any(), Fault::status(503)).start();
        let sandbox = Sandbox::new();
        sandbox.config("max_retries = 0");
        enqueue(&sandbox, &dag.source(), "x", gateway.url(), &[]);
        sandbox.run(["run"]).exits(75);
        let database = rusqlite::Connection::open(sandbox.database_file()).expect("a database");
        let later = "UPDATE downloads SET next_attempt_at = next_attempt_at + ?1,
                                          updated_at = updated_at + ?1";
        database
            .execute(later, [3_600_000_000_i64])
            .expect("a writable database");
        gateway.heal();
        let mut run = sandbox.fetchd(command).spawn();
        run.wait_event(|event| event["type"] == "finished");
        if command.contains(&"--watch") {
            run.signal("TERM");
        }
        run.wait().exits(0);
        assert_eq!(sandbox.read("x"), dag.data);
    }
}

#[test]
fn the_waits_grow_with_each_try_that_fails() {
    let gateway = Gateway::empty().on(On::any(), Fault::status(500)).start();
    let sandbox = Sandbox::new();
    sandbox.config("max_retries = 0");
    enqueue(
        &sandbox,
        &Dag::single(b"x").source(),
        "x",
        gateway.url(),
        &[],
    );
    for least in [1, 5, 15, 60, 300, 300] {
        sandbox.run(["run"]).exits(75);
        let wait: i64 = sandbox
            .database()
            .query_row(
                "SELECT next_attempt_at - updated_at FROM downloads",
                [],
                |row| row.get(0),
            )
            .expect("the tables of the design");
        let range = least * 1_000_000..=least * 1_100_000;
        assert!(range.contains(&wait), "{wait} µs, not {least} s");
        let idle = sandbox.run(["run"]).exits(0);
        assert!(idle.stderr.contains("--watch"), "{}", idle.stderr);
        pass_time(&sandbox);
    }
}

#[test]
fn being_offline_is_found_out_once() {
    let sandbox = Sandbox::new();
    let nowhere = Gateway::refusing();
    for n in 0..5 {
        let dag = Dag::single(format!("offline {n}").as_bytes());
        enqueue(&sandbox, &dag.source(), &n.to_string(), &nowhere, &[]);
    }
    let here = Dag::single(b"somebody else has it");
    let gateway = Gateway::of(&here).start();
    enqueue(&sandbox, &here.source(), "here", gateway.url(), &[]);
    let output = sandbox.run(["--json", "run", "--jobs", "1"]).exits(75);
    assert_eq!(ids(&output, "failed"), [1], "{}", output.transcript());
    assert_eq!(ids(&output, "finished"), [6]);
    assert_eq!(
        output.stderr.matches("offline").count(),
        1,
        "{}",
        output.stderr
    );
    assert!(output.stderr.contains("4 entries"), "{}", output.stderr);
    for id in 2..=5 {
        let record = record(&sandbox, &id.to_string());
        assert_eq!(
            (&record["status"], &record["next_attempt_at"]),
            (&"pending".into(), &Value::Null)
        );
    }
}

/// Whatever ends a run, the next one goes on with what it had.
#[cfg(unix)]
#[test]
fn an_entry_outlives_its_run() {
    let dag = Recipe::default().chunk(256 << 10).width(16).build(4 << 20);
    let gateway = Gateway::of(&dag)
        .on(On::any(), Fault::HoldAtTotal(2 << 20))
        .start();
    let sandbox = Sandbox::new();
    sandbox.config("stall_timeout = \"1h\"");
    enqueue(&sandbox, &dag.source(), "file", gateway.url(), &[]);
    let first = sandbox.fetchd(["--json", "run"]).spawn();
    gateway.held();
    first.kill9();
    stands(&sandbox, "1", "pending");
    let mut second = sandbox.fetchd(["--json", "run", "--watch"]).spawn();
    second.wait_event(|event| event["type"] == "started");
    second.signal("TERM");
    let output = second.wait().exits(0);
    oracle::check(&sandbox, &output);
    stands(&sandbox, "1", "pending");
    gateway.heal();
    sandbox.run(["run"]).exits(0);
    assert!(sandbox.read("file") == dag.data);
}

#[test]
fn two_runs_share_a_queue_and_do_nothing_twice() {
    let sandbox = Sandbox::new();
    let dags: Vec<Dag> = (0..40)
        .map(|n| Dag::single(format!("shared {n}").as_bytes()))
        .collect();
    let gateway = dags
        .iter()
        .fold(Gateway::empty(), |all, dag| all.dag(dag))
        .start();
    let list: String = dags.iter().map(|dag| dag.source() + "\n").collect();
    let args = ["get", "--queue", "-i", "-", "--gateway", gateway.url()];
    let queued = sandbox.fetchd(args).stdin(list).run().exits(0);
    assert_eq!(queued.text().lines().count(), 40);
    let runs = [0, 1].map(|_| sandbox.fetchd(["--json", "run"]).spawn());
    let outputs = runs.map(|run| run.wait().exits(0));
    let mut finished: Vec<i64> = outputs.iter().flat_map(|it| ids(it, "finished")).collect();
    finished.sort_unstable();
    assert_eq!(finished, (1..=40).collect::<Vec<i64>>());
    oracle::check(&sandbox, &outputs[0]);
}

#[cfg(unix)]
#[test]
fn a_run_that_stays_wakes_for_new_entries_and_for_those_that_are_due_again() {
    let (one, two) = (Dag::single(b"queued later"), Dag::single(b"fails at first"));
    let gateway = Gateway::of(&one)
        .dag(&two)
        .on(
            On::any().with(two.root.to_string()).nth(1),
            Fault::status(503),
        )
        .start();
    let sandbox = Sandbox::new();
    sandbox.config("max_retries = 0");
    let mut run = sandbox.fetchd(["--json", "run", "--watch"]).spawn();
    enqueue(&sandbox, &one.source(), "one", gateway.url(), &[]);
    run.wait_event(|event| event["type"] == "finished" && event["id"] == 1);
    enqueue(&sandbox, &two.source(), "two", gateway.url(), &[]);
    run.wait_event(|event| event["type"] == "failed" && event["id"] == 2);
    run.wait_event(|event| event["type"] == "finished" && event["id"] == 2);
    run.signal("TERM");
    let output = run.wait().exits(0);
    let done = output.events().pop().expect("a last event");
    assert_eq!(
        (&done["type"], &done["exit_code"]),
        (&"done".into(), &0.into())
    );
    oracle::check(&sandbox, &output);
}

#[test]
fn an_entry_can_be_paused_resumed_and_cancelled_while_it_waits() {
    let dags = [&b"one"[..], b"two", b"three"].map(Dag::single);
    let gateway = dags
        .iter()
        .fold(Gateway::empty(), |all, dag| all.dag(dag))
        .start();
    let sandbox = Sandbox::new();
    for (dag, name) in dags.iter().zip(["one", "two", "three"]) {
        enqueue(&sandbox, &dag.source(), name, gateway.url(), &[]);
    }
    sandbox.run(["pause", "1"]).exits(0);
    sandbox.run(["cancel", "2"]).exits(0);
    let output = sandbox.run(["--json", "run"]).exits(0);
    assert_eq!(ids(&output, "finished"), [3]);
    stands(&sandbox, "1", "paused");
    sandbox.run(["resume", "1"]).exits(0);
    assert_eq!(sandbox.read("one"), dags[0].data);
    let revived = enqueue(&sandbox, &dags[1].source(), "two", gateway.url(), &[]);
    assert_eq!(revived, "4", "a cancelled one is gone");
    sandbox.run(["resume", "4"]).exits(0);
    assert_eq!(sandbox.read("two"), dags[1].data);
}

#[test]
fn what_rests_goes_into_the_queue_with_what_it_has() {
    let dag = Recipe::default().build(1 << 20);
    let gateway = Gateway::of(&dag).on(On::any(), Fault::status(404)).start();
    let sandbox = Sandbox::new();
    let args = ["get", &dag.source(), "-o", "x", "--gateway", gateway.url()];
    sandbox.run(args).exits(69);
    stands(&sandbox, "1", "failed");
    gateway.heal();
    let id = enqueue(
        &sandbox,
        &dag.source(),
        "x",
        gateway.url(),
        &["--priority", "-3"],
    );
    assert_eq!(id, "1");
    stands(&sandbox, "1", "pending");
    let list = sandbox.run(["list"]).exits(0);
    assert!(list.text().contains("priority -3"), "{}", list.text());
    sandbox.run(["run"]).exits(0);
    assert!(sandbox.read("x") == dag.data);
}

/// Whoever works on it already does not learn of a checksum any more.
#[test]
fn what_a_process_works_on_is_not_queued_with_another_checksum() {
    let dag = Recipe::default().build(2 << 20);
    let gateway = Gateway::of(&dag)
        .on(On::any(), Fault::HoldAtTotal(1 << 20))
        .start();
    let sandbox = Sandbox::new();
    sandbox.config("stall_timeout = \"1h\"");
    let (source, url) = (dag.source(), gateway.url());
    let right = ["--sha256", &sha256(&dag.data)];
    let get = ["get", &source, "-o", "x", "--gateway", url];
    let owner = sandbox.fetchd(get.iter().chain(&right)).spawn();
    gateway.held();
    let sums = [
        ["--sha256", &"0".repeat(64)],
        ["--checksum", &format!("blake3:{}", "0".repeat(64))],
    ];
    for wrong in sums {
        let queue = get.iter().chain(&["--queue", "--priority", "5"]);
        let refused = sandbox.fetchd(queue.chain(&wrong)).run().exits(75);
        let says_why = refused.stderr.contains("is working on download 1");
        assert!(says_why, "{}", refused.transcript());
        assert_eq!(record(&sandbox, "1")["priority"], 0);
    }
    for known in [&right[..], &[]] {
        assert_eq!(enqueue(&sandbox, &source, "x", url, known), "1");
    }
    gateway.let_go();
    owner.wait().exits(0);
    assert!(sandbox.read("x") == dag.data);
}

/// The unit that the README shows is one that systemd takes; where there is no systemd, nothing is
/// tested.
#[cfg(target_os = "linux")]
#[test]
fn the_example_of_a_service_is_valid() {
    let readme = include_str!("../../README.md");
    let (_, after) = readme.split_once("```ini\n").expect("a unit");
    let (unit, _) = after.split_once("```").expect("its end");
    let unit = unit.replace("%h/.cargo/bin/fetchd", env!("CARGO_BIN_EXE_fetchd"));
    let sandbox = Sandbox::new();
    let path = sandbox.root().join("fetchd.service");
    std::fs::write(&path, unit).expect("a writable sandbox");
    let verified = std::process::Command::new("systemd-analyze")
        .args(["verify", "--user", "--man=no", "--recursive-errors=no"])
        .arg(&path)
        .env("XDG_RUNTIME_DIR", sandbox.root())
        .output();
    let Ok(verified) = verified else { return };
    let said = String::from_utf8_lossy(&verified.stderr);
    assert!(!said.contains("fetchd.service"), "{said}");
}
