//! The state directory in the hands of others: damaged, locked, shared, of another user.
#![cfg(unix)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rusqlite::Connection;

use crate::support::dag::{Dag, Recipe, seeded};
use crate::support::gateway::{Fault, Gateway, On};
use crate::support::sandbox::{Running, Sandbox};
use crate::support::scenario::{get_args, get_json};

/// One of each command that looks at the state.
const COMMANDS: &[&[&str]] = &[
    &["list"],
    &["show", "1"],
    &["history"],
    &["get", CID, "--gateway", "http://127.0.0.1:1"],
    &["get", "--dry-run", CID, "--gateway", "http://127.0.0.1:1"],
    &["ls", CID, "--gateway", "http://127.0.0.1:1"],
    &["resume", "--all"],
    &["pause", "1"],
    &["cancel", "1"],
    &["checkpoint", "1"],
    &["prune"],
    &["gateways", "list"],
    &["export", "1", "-o", "x.car"],
    &["import", "x.car"],
];
const CID: &str = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy";

/// A sandbox with a database of ours, closed.
fn with_database() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.fetchd(["list"]).run().exits(0);
    sandbox
}

fn change(sandbox: &Sandbox, sql: &str) {
    let database = Connection::open(sandbox.database_file()).expect("a database");
    database.execute_batch(sql).expect("a change");
}

/// Writes over the database from this byte on, and cuts it to this length.
fn damage(sandbox: &Sandbox, from: usize, len: usize) {
    let mut bytes = std::fs::read(sandbox.database_file()).expect("a database");
    let noise = seeded(7, bytes.len());
    bytes[from..].copy_from_slice(&noise[from..]);
    bytes.truncate(len);
    std::fs::write(sandbox.database_file(), bytes).expect("a file of ours");
}

#[test]
fn a_database_that_cannot_be_used_is_said_by_every_command_and_kept() {
    let spoil: [fn(&Sandbox); 6] = [
        |sandbox| std::fs::write(sandbox.database_file(), seeded(3, 9000)).expect("a file"),
        |sandbox| change(sandbox, "CREATE TABLE notes (text)"),
        |sandbox| {
            drop(std::fs::remove_dir_all(sandbox.state()));
            sandbox.fetchd(["list"]).run().exits(0);
            change(sandbox, "PRAGMA user_version = 99");
        },
        |sandbox| {
            sandbox.fetchd(["list"]).run().exits(0);
            damage(sandbox, 0, 4096);
        },
        |sandbox| {
            sandbox.fetchd(["list"]).run().exits(0);
            damage(sandbox, 4096, usize::MAX);
        },
        |sandbox| {
            sandbox.fetchd(["list"]).run().exits(0);
            change(sandbox, "PRAGMA user_version = -1");
        },
    ];
    for spoil in spoil {
        let sandbox = Sandbox::new();
        spoil(&sandbox);
        let before = std::fs::read(sandbox.database_file()).expect("a file");
        std::fs::write(sandbox.target("x.car"), Dag::single(b"x").car()).expect("a file");
        for command in COMMANDS {
            let output = sandbox.fetchd(*command).run().exits(78);
            assert!(output.stderr.contains("--state-dir"), "{}", output.stderr);
        }
        let after = std::fs::read(sandbox.database_file()).expect("it is still there");
        assert!(before == after, "it was changed");
    }
}

/// What has the name of a file of the state, and cannot be one.
#[test]
fn what_stands_in_the_way_of_the_state_is_said_at_once() {
    let in_the_way: [(&str, &[i32]); 3] = [
        ("rm state/fetchd.db; mkfifo state/fetchd.db", &[74]),
        ("rm -r state/runs; touch state/runs", &[0, 74]),
        // Nothing but looking needs no run, and reads the records all the same.
        ("mkdir -p state/runs/1.lock", &[0, 74]),
    ];
    for (script, codes) in in_the_way {
        let sandbox = Sandbox::new();
        sandbox.fetchd(["list"]).run().exits(0);
        sandbox.shell(&format!("cd .. && {script}")).run().exits(0);
        for command in [&["list"][..], &["history"], &["gateways", "list"]] {
            let output = sandbox.fetchd(command).run();
            let code = output.code.unwrap_or(-1);
            assert!(codes.contains(&code), "{script}: {}", output.transcript());
        }
        let get = ["get", CID, "--gateway", "http://127.0.0.1:1"];
        let output = sandbox.fetchd(get).run().exits(74);
        assert!(output.stderr.contains("--state-dir"), "{}", output.stderr);
    }
}

#[test]
fn a_schema_that_cannot_be_brought_up_to_date_is_said_in_one_line() {
    let sandbox = with_database();
    change(&sandbox, "PRAGMA user_version = 4");
    let output = sandbox.fetchd(["list"]).run().exits(78);
    let said = &output.stderr;
    assert!(said.contains("already exists"), "{said}");
    assert!(said.contains("--state-dir"), "{said}");
    assert!(!said.contains("CREATE"), "{said}");
    assert_eq!(said.lines().count(), 2, "{said}");
}

/// A table that is gone is found only by who needs it.
#[test]
fn a_schema_that_is_not_ours_is_damage() {
    let sandbox = with_database();
    change(&sandbox, "DROP TABLE files");
    let get = ["get", CID, "--gateway", "http://127.0.0.1:1"];
    let output = sandbox.fetchd(get).run().exits(78);
    assert!(output.stderr.contains("damaged"), "{}", output.stderr);
}

#[test]
fn a_lock_that_stays_is_said() {
    let sandbox = with_database();
    let database = Connection::open(sandbox.database_file()).expect("a database");
    database.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let commands = [&["list"][..], &["get", CID], &["resume", "--all"]];
    let waiting: Vec<Running> = commands
        .iter()
        .map(|args| sandbox.fetchd(*args).spawn())
        .collect();
    for running in waiting {
        let output = running.wait().exits(78);
        assert!(output.stderr.contains("locked"), "{}", output.stderr);
    }
}

#[test]
fn what_fetchd_makes_is_for_its_user_alone() {
    let sandbox = Sandbox::new();
    let state = sandbox.root().join("fresh/state");
    let dag = Dag::single(b"hello");
    let gateway = Gateway::of(&dag)
        .on(On::any(), Fault::HoldAtTotal(0))
        .start();
    let mut running = sandbox
        .fetchd(["--json", "get", &dag.source(), "--gateway", gateway.url()])
        .env("FETCHD_STATE_DIR", &state)
        .spawn();
    running.wait_event(|event| event["type"] == "started");
    let mode = |path: &Path| {
        let facts = std::fs::metadata(path).expect("it is there");
        facts.permissions().mode() & 0o777
    };
    assert_eq!(mode(&state), 0o700);
    assert_eq!(mode(&state.join("runs")), 0o700);
    for file in ["fetchd.db", "fetchd.db-wal", "fetchd.db-shm", "runs/1.lock"] {
        assert_eq!(mode(&state.join(file)), 0o600, "{file}");
    }
}

#[test]
fn records_of_other_users_are_neither_read_nor_steered() {
    let dag = Dag::single(b"hello");
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let source = dag.source();
    let get = [
        "get",
        &source,
        "-o",
        "file",
        "--gateway",
        "http://127.0.0.1:1",
    ];
    sandbox.fetchd(get).run().exits(75);
    change(&sandbox, "UPDATE downloads SET owner_uid = 4000000");
    let records = |args: &[&str]| {
        let output = sandbox.fetchd(args).run().exits(0);
        output.document()["downloads"].as_array().map(Vec::len)
    };
    assert_eq!(records(&["--json", "list", "--all"]), Some(0));
    for command in ["show", "resume", "pause", "cancel", "checkpoint", "prune"] {
        for name in ["1", &source] {
            sandbox.fetchd([command, name]).run().exits(2);
        }
    }
    sandbox.fetchd(["resume", "--all"]).run().exits(0);
    sandbox
        .fetchd(["prune", "--older-than", "0s"])
        .run()
        .exits(0);
    // The name is taken, and nothing of it is said but that.
    let output = sandbox.fetchd(get).run().exits(73);
    assert!(output.stderr.contains("another user"), "{}", output.stderr);
    let elsewhere = ["get", &source, "-o", "other", "--gateway", gateway.url()];
    sandbox.fetchd(elsewhere).run().exits(0);
    let row = "SELECT status, source FROM downloads WHERE id = 1 AND owner_uid = 4000000";
    let row: (String, String) = sandbox
        .database()
        .query_row(row, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("the record of the other one");
    assert_eq!(row, ("paused".to_owned(), source));
}

#[test]
fn files_of_other_users_are_not_told_of() {
    let dag = Dag::single(b"hello");
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let source = dag.source();
    for name in ["mine", "theirs"] {
        let get = ["get", &source, "-o", name, "--gateway", gateway.url()];
        sandbox.fetchd(get).run().exits(0);
    }
    let theirs = "owner_uid = 4000000 WHERE path LIKE '%/theirs'";
    change(&sandbox, &format!("UPDATE downloads SET {theirs}"));
    change(&sandbox, &format!("UPDATE installs SET {theirs}"));
    let output = sandbox.run(["--json", "verify", "--all"]).exits(0);
    let document = output.document();
    let verified = document["verified"].as_array().expect("a list");
    assert_eq!(verified.len(), 1, "{document}");
    assert_eq!(
        verified[0]["path"],
        sandbox.target("mine").to_str().expect("text")
    );
    sandbox.run(["verify", "theirs"]).exits(2);
}

/// The row of a run that some process of this or another machine is said to be, owner of 1.
fn give_to(sandbox: &Sandbox, pid: u32, host: &str, boot: &str, heartbeat: &str) {
    change(
        sandbox,
        &format!(
            "INSERT INTO runs (id, pid, start_time, boot_id, host, started_at, heartbeat_at)
             VALUES (500, {pid}, 1, '{boot}', '{host}', {heartbeat}, {heartbeat});
             UPDATE downloads SET owner_run = 500, status = 'in_progress'"
        ),
    );
}

const NOW: &str = "unixepoch() * 1000000";

fn interrupted(dag: &Dag) -> Sandbox {
    let sandbox = Sandbox::new();
    let get = [
        "get",
        &dag.source(),
        "-o",
        "file",
        "--gateway",
        "http://127.0.0.1:1",
    ];
    sandbox.fetchd(get).run().exits(75);
    sandbox
}

#[test]
fn a_state_directory_of_another_live_host_is_refused() {
    let dag = Dag::single(b"hello");
    let gateway = Gateway::of(&dag).start();
    let sandbox = interrupted(&dag);
    give_to(&sandbox, 7, "elsewhere", "another boot", NOW);
    for command in COMMANDS.iter().filter(|command| command[0] != "import") {
        let output = sandbox.fetchd(*command).run().exits(78);
        assert!(output.stderr.contains("elsewhere"), "{}", output.stderr);
    }
    // Silent for long, or by a clock that runs ahead: it is gone.
    for heartbeat in ["- 3600000000", "+ 3600000000"] {
        let sandbox = interrupted(&dag);
        give_to(
            &sandbox,
            7,
            "elsewhere",
            "another boot",
            &format!("{NOW} {heartbeat}"),
        );
        sandbox
            .run(["resume", "1", "--gateway", gateway.url()])
            .exits(0);
    }
}

/// The lock of a run is what says that it lives, not the pid, nor the name of its container.
#[test]
fn a_pid_used_again_is_not_the_owner() {
    let dag = Dag::single(b"hello");
    let gateway = Gateway::of(&dag).start();
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    for host in ["a container", "another one"] {
        let sandbox = interrupted(&dag);
        give_to(&sandbox, std::process::id(), host, boot.trim(), NOW);
        if !boot.is_empty() {
            sandbox
                .run(["resume", "1", "--gateway", gateway.url()])
                .exits(0);
        }
    }
}

/// Runs of a database that was lost live on, and their locks keep their numbers.
#[test]
fn a_new_database_gets_along_with_runs_of_the_old_one() {
    let dag = Dag::single(b"hello");
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    std::fs::create_dir(sandbox.state().join("runs")).expect("a fresh directory");
    let held: Vec<std::fs::File> = (1..=3)
        .map(|run| {
            let path = sandbox.state().join(format!("runs/{run}.lock"));
            let lock = std::fs::File::create(path).expect("a fresh file");
            lock.lock().expect("a lock");
            lock
        })
        .collect();
    let source = dag.source();
    let get = get_args(&source, gateway.url());
    sandbox.fetchd(get).run().exits(0);
    drop(held);
}

const CROWD: usize = 100;

#[test]
fn a_crowd_on_one_state_directory_gets_what_it_asked_for() {
    let files: Vec<Dag> = (0..CROWD as u64)
        .map(|seed| Recipe::default().seed(seed).build(5_000))
        .collect();
    let builder = files
        .iter()
        .fold(Gateway::empty(), |builder, dag| builder.dag(dag));
    let gateway = builder.start();
    let sandbox = Sandbox::new();
    // So many take their time, and none is given up for it.
    sandbox.config("connect_timeout = \"1m\"\nfirst_byte_timeout = \"1m\"\nstall_timeout = \"1m\"");
    let get = |dag: &Dag, name: &str| {
        let args = ["get", &dag.source(), "-o", name, "--gateway", gateway.url()];
        sandbox.fetchd(args).spawn()
    };
    let mut crowd: Vec<Running> = (files.iter().enumerate())
        .map(|(nth, dag)| get(dag, &format!("f{nth}")))
        .collect();
    for _ in 0..5 {
        sandbox.fetchd(["list", "--all"]).run().exits(0);
        crowd.push(sandbox.fetchd(["--json", "list"]).spawn());
    }
    for running in crowd {
        running.wait().exits(0);
    }
    for (nth, dag) in files.iter().enumerate() {
        assert!(sandbox.read(&format!("f{nth}")) == dag.data);
    }
    let output = sandbox.run(["--json", "list", "--all"]).exits(0);
    let document = output.document();
    let records = document["downloads"].as_array().expect("a list");
    assert_eq!(records.len(), CROWD);
    assert!(records.iter().all(|record| record["status"] == "success"));
}

/// One of them does it; the others say that it is done, or who is at it.
#[test]
fn many_who_want_the_same_get_it_once() {
    let dag = Recipe::default().build(300_000);
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let source = dag.source();
    let get = get_args(&source, gateway.url());
    let crowd: Vec<Running> = (0..20).map(|_| sandbox.fetchd(get).spawn()).collect();
    let codes: Vec<Option<i32>> = crowd.into_iter().map(|one| one.wait().code).collect();
    assert!(codes.contains(&Some(0)), "{codes:?}");
    let is_known = |code: &Option<i32>| matches!(code, Some(0 | 75));
    assert!(codes.iter().all(is_known), "{codes:?}");
    let output = sandbox.run(["--json", "list", "--all"]).exits(0);
    let document = output.document();
    let records = document["downloads"].as_array().expect("a list");
    let done = records
        .iter()
        .filter(|record| record["status"] == "success");
    assert_eq!((records.len(), done.count()), (1, 1), "{document}");
    assert!(sandbox.read("file") == dag.data);
}

/// Two databases that know nothing of each other, and one target: both end, nothing is mixed up.
#[test]
fn two_state_directories_may_want_one_target() {
    let dag = Recipe::default().build(3_000_000);
    let gateway = Gateway::of(&dag)
        .on(On::any(), Fault::HoldAtTotal(1_000_000))
        .start();
    let sandbox = Sandbox::new();
    let source = dag.source();
    let get = get_json(&source, gateway.url());
    let mut one = sandbox.fetchd(get).spawn();
    one.wait_event(|event| event["type"] == "progress" && event["bytes"].as_u64() > Some(500_000));
    let mut two = sandbox
        .fetchd(get)
        .env("FETCHD_STATE_DIR", sandbox.root().join("second"))
        .spawn();
    two.wait_event(|event| event["type"] == "started");
    gateway.heal();
    one.wait().exits(0);
    two.wait().exits(0);
    assert!(sandbox.read("file") == dag.data);
    assert_eq!(sandbox.partials(), Vec::<std::path::PathBuf>::new());
}
