//! `pause`, `cancel`, `checkpoint` and signals, against owners that live, stop or die.
#![cfg(unix)]

use crate::support::dag::{Dag, Recipe};
use crate::support::gateway::{Fault, Features, Gateway, On};
use crate::support::oracle;
use crate::support::sandbox::{Output, Running, Sandbox};
use crate::support::scenario::get_json;
#[cfg(target_os = "linux")]
use crate::{support::skipped, torture::disk};

const SIZE: u64 = 6 << 20;
/// Where the gateway stops sending: inside a leaf.
const HELD: u64 = 4 << 20 | 1000;
/// Whole leaves before that, less what framing takes.
const PROVED: u64 = 3 << 20;

/// A download that has proved what it got from a gateway that holds the rest back.
struct Stuck {
    sandbox: Sandbox,
    dag: Dag,
    gateway: Gateway,
    owner: Running,
}

fn stuck() -> Stuck {
    let dag = Recipe::default()
        .chunk(256 << 10)
        .width(16)
        .build(usize::try_from(SIZE).expect("small"));
    let gateway = Gateway::of(&dag)
        .features(Features::TRUSTLESS)
        .on(On::any(), Fault::HoldAtTotal(HELD))
        .start();
    let sandbox = Sandbox::new();
    sandbox.config("checkpoint_interval = \"1h\"\nstall_timeout = \"1h\"");
    let source = dag.source();
    let args = get_json(&source, gateway.url());
    let mut owner = sandbox.fetchd(args).spawn();
    gateway.held();
    owner.wait_bytes(PROVED);
    Stuck {
        sandbox,
        dag,
        gateway,
        owner,
    }
}

/// A record that is paused since nobody could be reached.
fn unreachable(sandbox: &Sandbox) -> Dag {
    let dag = Dag::single(b"nobody is asked");
    let args = ["get", &dag.source(), "--gateway", "http://127.0.0.1:1"];
    sandbox.run(args).exits(75);
    dag
}

fn record(sandbox: &Sandbox, id: &str) -> serde_json::Value {
    let shown = sandbox.fetchd(["--json", "show", id]).run().exits(0);
    shown.document()["download"].clone()
}

#[track_caller]
fn paused_by_person(sandbox: &Sandbox, id: &str) {
    let record = record(sandbox, id);
    assert_eq!(
        (&record["status"], &record["error"]["kind"]),
        (&"paused".into(), &"stopped".into())
    );
}

#[test]
fn a_pause_of_what_rests_is_a_wish_of_a_person() {
    let sandbox = Sandbox::new();
    unreachable(&sandbox);
    sandbox.run(["pause", "1"]).exits(0);
    sandbox.run(["pause", "1"]).exits(0);
    paused_by_person(&sandbox, "1");
    let resumed = sandbox.run(["--json", "resume", "--all"]).exits(0);
    assert_eq!(resumed.events().len(), 1, "{}", resumed.transcript());
}

#[test]
fn one_bad_id_does_not_spare_the_others() {
    let sandbox = Sandbox::new();
    unreachable(&sandbox);
    let output = sandbox.run(["pause", "99", "1", "no-such-id"]).exits(2);
    assert_eq!(
        output.stderr.matches("error:").count(),
        2,
        "{}",
        output.stderr
    );
    paused_by_person(&sandbox, "1");
    let output = sandbox.run(["--json", "pause", "1"]).exits(0);
    assert_eq!(output.document()["downloads"][0]["status"], "paused");
}

#[test]
fn what_has_ended_is_neither_paused_nor_cancelled() {
    let sandbox = Sandbox::new();
    unreachable(&sandbox);
    sandbox.run(["checkpoint", "1"]).exits(0);
    sandbox.run(["cancel", "1"]).exits(0);
    sandbox.run(["cancel", "1"]).exits(0);
    for command in ["pause", "checkpoint", "resume"] {
        sandbox.run([command, "1"]).exits(2);
    }
}

#[test]
fn what_is_kept_of_a_paused_download_is_said_to_who_looks_on_too() {
    let it = stuck();
    it.sandbox.fetchd(["pause", "1"]).run().exits(0);
    it.owner.wait().exits(81);
    let output = it.sandbox.run(["watch", "1"]).exits(81);
    let said = &output.stderr;
    assert!(said.contains("of 6 MiB proved and kept"), "{said}");
}

#[test]
fn a_checkpoint_is_made_on_demand() {
    let mut it = stuck();
    it.sandbox.fetchd(["checkpoint", "1"]).run().exits(0);
    it.owner
        .wait_event(|event| event["type"] == "checkpoint" && event["trigger"] == "manual");
    it.gateway.heal();
    it.owner.kill9();
    assert!(record(&it.sandbox, "1")["bytes_verified"].as_u64() >= Some(PROVED));
    oracle::claims_are_true(&it.sandbox, &it.dag);
}

#[test]
fn a_signal_asks_for_a_checkpoint_too() {
    let mut it = stuck();
    it.owner.signal("USR1");
    it.owner
        .wait_event(|event| event["type"] == "checkpoint" && event["trigger"] == "manual");
    it.owner.signal("HUP");
    let output = it.owner.wait().exits(143);
    let failed = &output.events_of("failed")[0];
    assert_eq!(
        (&failed["exit_code"], &failed["resumable"]),
        (&143.into(), &true.into())
    );
    oracle::check(&it.sandbox, &output);
    oracle::claims_are_true(&it.sandbox, &it.dag);
}

/// An owner under strace that has proved what it got, when its disk does this at each sync of the
/// part; `None` where nobody may trace.
#[cfg(target_os = "linux")]
fn stuck_on(harm: &str) -> Option<Stuck> {
    if !disk::is_possible() {
        skipped("a disk at fault, since strace is not here or may not trace");
        return None;
    }
    let dag = Recipe::default().chunk(256 << 10).build(6 << 20);
    let gateway = Gateway::of(&dag)
        .on(On::any(), Fault::HoldAtTotal(HELD))
        .start();
    let sandbox = Sandbox::new();
    sandbox.config("checkpoint_interval = \"1h\"\nstall_timeout = \"1h\"");
    let wrapper = disk::harmed("fdatasync", harm, &sandbox.root().join("calls"));
    let source = dag.source();
    let args = get_json(&source, gateway.url());
    let mut owner = sandbox.fetchd_under(&wrapper, args).spawn();
    gateway.held();
    owner.wait_bytes(PROVED);
    Some(Stuck {
        sandbox,
        dag,
        gateway,
        owner,
    })
}

/// A disk that takes its time to sync delays neither the answer nor what is kept.
#[test]
#[cfg(target_os = "linux")]
fn who_asks_does_not_wait_for_a_slow_disk() {
    let Some(it) = stuck_on("delay_exit=5s") else {
        return;
    };
    let output = it.sandbox.fetchd(["pause", "1"]).run().exits(0);
    let expected = "obeys; it ends when the disk has synced";
    assert!(output.stderr.contains(expected), "{}", output.transcript());
    let other = it.sandbox.fetchd(["resume", "1"]).run().exits(75);
    assert!(other.stderr.contains("process"), "{}", other.transcript());
    // It has begun to end already: that is no reason to end without what is to be kept.
    it.owner.signal("TERM");
    it.owner.wait().exits(81);
    paused_by_person(&it.sandbox, "1");
    assert!(record(&it.sandbox, "1")["bytes_verified"].as_u64() >= Some(PROVED));
}

/// Who was told that it is obeyed is not made a liar by a crash.
#[test]
#[cfg(target_os = "linux")]
fn what_was_promised_outlives_the_owner() {
    for (command, status) in [("pause", "paused"), ("cancel", "cancelled")] {
        let Some(it) = stuck_on("delay_exit=5s") else {
            return;
        };
        it.sandbox.fetchd(["pause", "1"]).run().exits(0);
        if command == "cancel" {
            // The sync that is under way is not waited for.
            it.sandbox.fetchd([command, "1"]).run().exits(0);
        }
        it.owner.kill9();
        it.sandbox.fetchd(["resume", "--all"]).run().exits(0);
        assert_eq!(record(&it.sandbox, "1")["status"], status);
        if command == "pause" {
            paused_by_person(&it.sandbox, "1");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_is_to_be_paused_can_be_given_up_meanwhile() {
    let Some(it) = stuck_on("delay_exit=5s") else {
        return;
    };
    it.sandbox.fetchd(["pause", "1"]).run().exits(0);
    it.sandbox.fetchd(["cancel", "1"]).run().exits(0);
    let output = it.owner.wait().exits(81);
    oracle::check(&it.sandbox, &output);
    assert_eq!(record(&it.sandbox, "1")["status"], "cancelled");
    assert!(it.sandbox.partials().is_empty(), "{}", output.transcript());
}

#[test]
#[cfg(target_os = "linux")]
fn what_fails_while_it_ends_is_said() {
    let Some(it) = stuck_on("error=EIO") else {
        return;
    };
    it.owner.signal("INT");
    let output = it.owner.wait().exits(130);
    let is_said = output.stderr.contains("Input/output error");
    assert!(is_said, "{}", output.transcript());
    assert_eq!(record(&it.sandbox, "1")["bytes_verified"], 0);
}

/// Waits until the wish stands in the record of an owner that cannot see it.
fn wait_for_wish(sandbox: &Sandbox, wish: &str) {
    let database = sandbox.database();
    let stands = || -> Option<String> {
        database
            .query_row("SELECT requested_action FROM downloads", [], |row| {
                row.get(0)
            })
            .expect("the tables of the design")
    };
    while stands().as_deref() != Some(wish) {
        std::thread::yield_now();
    }
}

#[test]
fn the_wish_outlives_the_owner() {
    let it = stuck();
    it.owner.signal("STOP");
    let pause = it.sandbox.fetchd(["pause", "1"]).spawn();
    wait_for_wish(&it.sandbox, "pause");
    it.owner.kill9();
    pause.wait().exits(0);
    paused_by_person(&it.sandbox, "1");
}

/// A checkpoint that nobody lived to make is not reported as made.
#[test]
fn a_checkpoint_of_an_owner_that_dies_is_not_made() {
    let it = stuck();
    it.owner.signal("STOP");
    let asking = it.sandbox.fetchd(["checkpoint", "1"]).spawn();
    wait_for_wish(&it.sandbox, "checkpoint");
    it.owner.kill9();
    let output = asking.wait().exits(75);
    let is_said = output.stderr.contains("fetchd resume 1");
    assert!(is_said, "{}", output.transcript());
    // Who asks now, asks nobody.
    it.sandbox.run(["checkpoint", "1"]).exits(0);
}

/// The owner ends for a reason of its own before it sees the wish.
fn ended_meanwhile(command: &str, status: &str) -> (Output, Stuck) {
    ended_for(command, status, ["retry", "no answer"])
}

/// The same, with the kind of the reason and what is said of it.
fn ended_for(command: &str, status: &str, why: [&str; 2]) -> (Output, Stuck) {
    let it = stuck();
    it.owner.signal("STOP");
    let asking = it.sandbox.fetchd([command, "1"]).spawn();
    wait_for_wish(&it.sandbox, command);
    let database = rusqlite::Connection::open(it.sandbox.database_file()).expect("a database");
    let end = "UPDATE downloads SET status = ?1, owner_run = NULL, requested_action = NULL,
                      error_kind = ?2, error_message = ?3";
    database
        .execute(end, [status, why[0], why[1]])
        .expect("a writable database");
    let output = asking.wait();
    (output, it)
}

#[test]
fn an_owner_that_ends_by_itself_is_an_answer() {
    let (output, it) = ended_meanwhile("pause", "paused");
    output.exits(0);
    paused_by_person(&it.sandbox, "1");
    for status in ["failed", "success"] {
        ended_meanwhile("pause", status).0.exits(2);
    }
    ended_meanwhile("checkpoint", "success").0.exits(0);
    // Who is interrupted keeps what he has; whose disk fails does not.
    let of_signal = ["signal", "interrupted"];
    ended_for("checkpoint", "paused", of_signal).0.exits(0);
    let of_disk = ["disk", "cannot sync it"];
    ended_for("checkpoint", "paused", of_disk).0.exits(74);
    let (output, it) = ended_meanwhile("cancel", "failed");
    output.exits(0);
    assert_eq!(record(&it.sandbox, "1")["status"], "cancelled");
}

/// What stands at the target is compared with the checksum, which would take minutes.
#[test]
fn what_is_hashed_for_minutes_is_left_at_once() {
    for (command, code, status) in [("pause", 81, "paused"), ("cancel", 81, "cancelled")] {
        let sandbox = Sandbox::new();
        let there = std::fs::File::create(sandbox.target("file")).expect("a writable sandbox");
        there.set_len(1 << 38).expect("a sparse file");
        let sum = "0".repeat(64);
        let args = [
            "get",
            "http://127.0.0.1:1/file",
            "--sha256",
            &sum,
            "-o",
            "file",
        ];
        let mut owner = sandbox.fetchd(["--json"].iter().chain(&args)).spawn();
        while sandbox.fetchd(["show", "1"]).run().code != Some(0) {
            assert!(owner.is_running(), "{}", owner.wait().transcript());
        }
        sandbox.fetchd([command, "1"]).run().exits(0);
        owner.wait().exits(code);
        assert_eq!(record(&sandbox, "1")["status"], status);
        assert_eq!(there.metadata().expect("the file").len(), 1 << 38);
    }
}

/// The first interrupt cannot be obeyed, since somebody keeps the database locked.
#[test]
fn a_second_interrupt_leaves_at_once() {
    let it = stuck();
    let database = rusqlite::Connection::open(it.sandbox.database_file()).expect("a database");
    database
        .execute_batch("BEGIN IMMEDIATE")
        .expect("a lock on the database");
    let mut owner = it.owner;
    owner.signal("INT");
    while owner.is_running() {
        owner.signal("INT");
    }
    owner.wait().exits(130);
    drop(database);
    assert_eq!(record(&it.sandbox, "1")["status"], "paused", "reaped");
    it.gateway.heal();
    it.sandbox.run(["resume", "1"]).exits(0);
    assert!(it.sandbox.read("file") == it.dag.data);
}

#[test]
fn sources_after_a_signal_are_not_begun() {
    let dag = Recipe::default().build(2 << 20);
    let gateway = Gateway::of(&dag)
        .on(On::any(), Fault::HoldAtTotal(1 << 20))
        .start();
    let sandbox = Sandbox::new();
    let other = Dag::single(b"never asked for").source();
    let args = [
        "--json",
        "get",
        &dag.source(),
        &other,
        "--gateway",
        gateway.url(),
    ];
    let owner = sandbox.fetchd(args).spawn();
    gateway.held();
    owner.signal("TERM");
    let output = owner.wait().exits(143);
    let failed = output.events_of("failed");
    assert_eq!(failed.len(), 2, "{}", output.transcript());
    assert_eq!(
        (
            &failed[1]["id"],
            &failed[1]["source"],
            &failed[1]["message"]
        ),
        (&serde_json::Value::Null, &other.into(), &"not begun".into())
    );
    let done = output.events().pop().expect("a last event");
    assert_eq!(
        (&done["exit_code"], &done["failed"]),
        (&143.into(), &2.into())
    );
}

#[test]
fn a_hangup_that_the_parent_ignores_is_ignored() {
    let dag = Recipe::default().build(2 << 20);
    let gateway = Gateway::of(&dag)
        .on(On::any(), Fault::HoldAtTotal(1 << 20))
        .start();
    let sandbox = Sandbox::new();
    let script = format!(
        "trap '' HUP; exec {} get {} -o file --gateway {}",
        env!("CARGO_BIN_EXE_fetchd"),
        dag.source(),
        gateway.url()
    );
    let owner = sandbox.shell(&script).spawn();
    gateway.held();
    owner.signal("HUP");
    gateway.heal();
    owner.wait().exits(0);
    assert!(sandbox.read("file") == dag.data);
}

#[test]
fn a_limit_of_the_file_size_is_an_error_of_the_disk() {
    let dag = Recipe::default().build(12 << 20);
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let script = format!(
        "ulimit -f 4096; exec {} get {} -o file --gateway {}",
        env!("CARGO_BIN_EXE_fetchd"),
        dag.source(),
        gateway.url()
    );
    let output = sandbox.shell(&script).run().exits(74);
    oracle::check(&sandbox, &output);
    sandbox.run(["resume", "1"]).exits(0);
    assert!(sandbox.read("file") == dag.data);
}

/// Closed streams must not be taken for the files that are opened next.
#[test]
fn closed_streams_are_no_files() {
    let dag = Recipe::default().build(2 << 20);
    let gateway = Gateway::of(&dag).start();
    for streams in [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"] {
        let sandbox = Sandbox::new();
        let script = format!(
            "exec {} -v get {} -o file --gateway {} {streams}",
            env!("CARGO_BIN_EXE_fetchd"),
            dag.source(),
            gateway.url()
        );
        let output = sandbox.shell(&script).run().exits(0);
        oracle::check(&sandbox, &output);
        assert!(sandbox.read("file") == dag.data, "{streams}");
    }
}

#[test]
fn a_reader_that_goes_away_hears_no_complaint() {
    let sandbox = Sandbox::new();
    unreachable(&sandbox);
    for command in [
        "list --all",
        "--json list --all",
        "show 1",
        "config show",
        "--help",
    ] {
        let script = format!("{} {command} | true; exit 0", env!("CARGO_BIN_EXE_fetchd"));
        let output = sandbox.shell(&script).run().exits(0);
        assert_eq!(output.stderr, "", "{command}");
    }
}
