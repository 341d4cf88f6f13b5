//! What becomes of records: one for each wish, none for a mistake of typing, and how they go.

use serde_json::Value;

use crate::support::dag::{Dag, Recipe};
use crate::support::gateway::{Fault, Gateway, On};
use crate::support::sandbox::Sandbox;
use crate::support::scenario::{get_args, get_json, sha256};

fn downloads(sandbox: &Sandbox) -> Vec<Value> {
    let listed = sandbox.run(["--json", "list", "--all"]).exits(0);
    let downloads = listed.document()["downloads"].clone();
    downloads.as_array().expect("a list").clone()
}

#[test]
fn a_checksum_is_asked_of_what_is_in_place_too() {
    let dag = Recipe::default().build(20_000);
    let gateway = Gateway::of(&dag).start();
    for config in ["", "file_sha256 = false"] {
        let sandbox = Sandbox::new();
        sandbox.config(config);
        let get = |more: &[&str]| {
            let source = dag.source();
            let args = get_json(&source, gateway.url());
            sandbox.run(args.iter().chain(more))
        };
        get(&[]).exits(0);
        let (requests, before) = (gateway.requests().len(), downloads(&sandbox));
        let output = get(&["--sha256", &sha256(b"something else")]).exits(65);
        let failed = &output.events_of("failed")[0];
        assert_eq!(
            (&failed["kind"], &failed["resumable"]),
            (&"verification".into(), &false.into())
        );
        assert_eq!(downloads(&sandbox), before, "nothing is changed");
        get(&["--sha256", &sha256(&dag.data)]).exits(0);
        assert_eq!(gateway.requests().len(), requests, "nobody is asked");
        assert_eq!(sandbox.read("file"), dag.data);
    }
}

#[test]
fn a_new_wish_reopens_what_failed() {
    let dag = Recipe::default().build(20_000);
    let sandbox = Sandbox::new();
    let get = |gateway: &Gateway, more: &[&str]| {
        let source = dag.source();
        let args = get_json(&source, gateway.url());
        sandbox.run(args.iter().chain(more))
    };
    get(&Gateway::empty().start(), &[]).exits(69);
    assert_eq!(downloads(&sandbox)[0]["status"], "failed");
    let gateway = Gateway::of(&dag).start();
    get(&gateway, &["--sha256", &sha256(b"something else")]).exits(65);
    let output = get(&gateway, &[]).exits(0);
    assert_eq!(output.events_of("finished")[0]["id"], 1);
    let records = downloads(&sandbox);
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(
        (&records[0]["status"], &records[0]["attempts"]),
        (&"success".into(), &0.into())
    );
    assert_eq!(sandbox.read("file"), dag.data);
    assert!(sandbox.partials().is_empty());
}

/// A checksum that was demanded of what is under way is compared, also if it goes on without it.
#[test]
fn what_is_gone_on_with_keeps_its_checksum() {
    let dag = Recipe::default().build(2 << 20);
    for queues in [false, true] {
        let gateway = Gateway::of(&dag)
            .on(On::any(), Fault::HoldAtTotal(1 << 20))
            .start();
        let sandbox = Sandbox::new();
        let (source, wrong) = (dag.source(), format!("sha512:{}", "00".repeat(64)));
        let args = get_args(&source, gateway.url());
        let demanding = [&args[..], &["--checksum", &wrong]].concat();
        let owner = sandbox.fetchd(demanding).spawn();
        gateway.held();
        owner.kill9();
        gateway.heal();
        let output = match queues {
            false => sandbox.run(args),
            true => {
                let queue = [&args[..], &["--queue"]].concat();
                sandbox.run(queue).exits(0);
                sandbox.run(["run"])
            }
        };
        let output = output.exits(65);
        assert!(
            output.stderr.contains("contradict"),
            "{}",
            output.transcript()
        );
        assert!(!sandbox.target("file").exists());
    }
}

#[test]
fn providers_that_cannot_be_used_leave_no_record() {
    let dag = Dag::single(b"x");
    let sandbox = Sandbox::new();
    let no_car = sandbox.target("no.car");
    std::fs::write(&no_car, b"this is no CAR at all").expect("a writable sandbox");
    let no_car = no_car.to_str().expect("an ASCII path");
    for (gateway, code) in [
        ("/missing.car", 2),
        ("ftp://gateway.example", 2),
        ("http://user:secret@gateway.example", 2),
        (no_car, 65),
    ] {
        let output = sandbox.run(["--json", "get", &dag.source(), "--gateway", gateway]);
        assert_eq!(
            output.code,
            Some(code),
            "{gateway}: {}",
            output.transcript()
        );
        let failed = &output.events_of("failed")[0];
        assert_eq!(
            (&failed["id"], &failed["resumable"]),
            (&Value::Null, &false.into())
        );
    }
    assert!(downloads(&sandbox).is_empty());
}

/// Recorded in the place of those that were right, a mistake of typing would last.
#[test]
fn providers_that_cannot_be_used_leave_the_record_as_it_is() {
    let dag = Dag::single(b"x");
    let gateway = Gateway::of(&dag).on(On::any(), Fault::status(503)).start();
    let sandbox = Sandbox::new();
    sandbox.config("max_retries = 0");
    let source = dag.source();
    sandbox.run(get_args(&source, gateway.url())).exits(75);
    let before = downloads(&sandbox);
    let no_car = sandbox.target("no.car");
    std::fs::write(&no_car, b"this is no CAR at all").expect("a writable sandbox");
    let no_car = no_car.to_str().expect("an ASCII path");
    for (flag, provider, code) in [
        ("--gateway", "/missing.car", 2),
        ("--gateway", "ftp://gateway.example", 2),
        ("--gateway", no_car, 65),
        ("--mirror", "/missing", 2),
        ("--mirror", "ftp://mirror.example/x", 2),
    ] {
        let output = sandbox.run(["--json", "resume", "1", flag, provider]);
        let output = output.exits(code);
        assert_eq!(output.events_of("failed").len(), 1, "{provider}");
        assert_eq!(downloads(&sandbox), before, "{provider}");
    }
    gateway.heal();
    sandbox.run(["resume", "1"]).exits(0);
    assert_eq!(sandbox.read("file"), dag.data);
}

/// Only the one that is wrong is told what is wrong with it.
#[test]
fn one_bad_id_keeps_all_from_being_begun() {
    let sandbox = Sandbox::new();
    let nobody = "http://127.0.0.1:1";
    for name in ["one", "two"] {
        let source = Dag::single(name.as_bytes()).source();
        let args = ["get", &source, "-o", name, "--gateway", nobody];
        sandbox.run(args).exits(75);
    }
    sandbox.run(["cancel", "2"]).exits(0);
    for (wrong, what) in [("99", "99"), ("2", "cancelled")] {
        let output = sandbox.run(["--json", "resume", "1", wrong]).exits(2);
        let told: Vec<_> = output.events_of("failed");
        assert_eq!(told.len(), 2, "{}", output.transcript());
        assert_eq!(
            (&told[0]["source"], &told[0]["message"]),
            (&"1".into(), &"not begun".into())
        );
        let message = told[1]["message"].as_str().unwrap_or_default();
        assert!(message.contains(what), "{}", output.transcript());
    }
}

/// It is one piece of work, and both words are answered.
#[test]
fn a_download_that_is_named_twice_is_gone_on_with_once() {
    let dag = Dag::single(b"x");
    let sandbox = Sandbox::new();
    let source = dag.source();
    sandbox
        .run(get_args(&source, "http://127.0.0.1:1"))
        .exits(75);
    let gateway = Gateway::of(&dag).start();
    let names = ["resume", "1", "file", "1", "--gateway", gateway.url()];
    let output = sandbox.run(names).exits(0);
    let path = sandbox.target("file");
    let line = format!("{}\n", path.display());
    assert_eq!(output.text(), line.repeat(3));
    assert_eq!(sandbox.read("file"), dag.data);
    let output = sandbox.run(["resume", "file", "1"]).exits(0);
    assert_eq!(output.text(), line.repeat(2), "in place already");
}

#[test]
fn what_another_process_works_on_can_be_gone_on_with() {
    let dag = Recipe::default().build(2 << 20);
    let gateway = Gateway::of(&dag)
        .on(
            crate::support::gateway::On::any(),
            crate::support::gateway::Fault::HoldAtTotal(1 << 20),
        )
        .start();
    let sandbox = Sandbox::new();
    let source = dag.source();
    let args = get_json(&source, gateway.url());
    let owner = sandbox.fetchd(args).spawn();
    gateway.held();
    let mut waits = Vec::new();
    for again in [&args[..], &["--json", "resume", "1"]] {
        let output = sandbox.fetchd(again).run().exits(75);
        let failed = &output.events_of("failed")[0];
        assert_eq!(
            (&failed["id"], &failed["resumable"]),
            (&1.into(), &true.into()),
            "{again:?}"
        );
        // What is advised can be typed.
        let hint = failed["hint"].as_str().unwrap_or_default();
        let (_, command) = hint.split_once("wait for it with: fetchd ").expect(hint);
        let path = sandbox.target("file");
        let (path, url) = (path.display(), gateway.url());
        let waiting = format!("get --wait {source} -o {path} --gateway {url}");
        assert_eq!(command, waiting);
        waits.push(sandbox.shell(&format!("exec {} {command}", env!("CARGO_BIN_EXE_fetchd"))));
    }
    let mut waits: Vec<_> = waits.into_iter().map(|command| command.spawn()).collect();
    waits.iter_mut().for_each(|one| one.wait_stderr("waiting"));
    gateway.heal();
    owner.wait().exits(0);
    for one in waits {
        one.wait().exits(0);
    }
}

/// Standard output is not resumed in passing, and never shared.
#[test]
fn bytes_for_standard_output_are_asked_for_alone() {
    let dag = Dag::single(b"hello");
    let sandbox = Sandbox::new();
    let nobody = "http://127.0.0.1:1";
    let args = ["get", &dag.source(), "-o", "-", "--gateway", nobody];
    let output = sandbox.run(args).exits(75);
    assert!(
        !output.stderr.contains("proved and kept"),
        "{}",
        output.stderr
    );
    sandbox.run(get_args(&dag.source(), nobody)).exits(75);
    let resumed = sandbox.run(["--json", "resume", "--all"]).exits(75);
    assert_eq!(resumed.events_of("failed").len(), 1);
    sandbox.run(["--json", "resume", "1"]).exits(2);
    sandbox.run(["resume", "1", "2"]).exits(2);
    let gateway = Gateway::of(&dag).start();
    let output = sandbox
        .run(["resume", "1", "--gateway", gateway.url()])
        .exits(0);
    assert_eq!(output.stdout, b"hello");
}

#[test]
fn a_limit_of_the_rate_is_kept_with_the_record() {
    let dag = Dag::single(b"hello");
    let sandbox = Sandbox::new();
    let nobody = "http://127.0.0.1:1";
    sandbox
        .run([
            "get",
            &dag.source(),
            "--limit-rate",
            "2M",
            "--gateway",
            nobody,
        ])
        .exits(75);
    let rate = || -> Value {
        let options: String = sandbox
            .database()
            .query_row("SELECT options FROM downloads", [], |row| row.get(0))
            .expect("the tables of the design");
        let options: Value = serde_json::from_str(&options).expect("JSON");
        options["limit_rate"].clone()
    };
    assert_eq!(rate(), 2 << 20);
    sandbox.run(["resume", "1"]).exits(75);
    assert_eq!(rate(), 2 << 20);
    sandbox
        .run(["resume", "1", "--limit-rate", "off"])
        .exits(75);
    assert_eq!(rate(), 0);
}

#[test]
fn one_name_is_for_one_source() {
    let sandbox = Sandbox::new();
    let list = format!(
        "{}\n{}\n",
        Dag::single(b"a").source(),
        Dag::single(b"b").source()
    );
    let args = ["get", "-i", "-", "-o", "file"];
    sandbox.fetchd(args).stdin(list).run().exits(2);
    let long = "x".repeat(100_000);
    let output = sandbox
        .fetchd(["get", "-i", "-"])
        .stdin(long)
        .run()
        .exits(2);
    assert!(output.stderr.contains("line 1"), "{}", output.stderr);
}

#[test]
fn something_else_at_the_name_of_the_part_stays() {
    let dag = Recipe::default().build(20_000);
    let sandbox = Sandbox::new();
    let source = dag.source();
    sandbox
        .run([
            "get",
            &source,
            "-o",
            "file",
            "--gateway",
            "http://127.0.0.1:1",
        ])
        .exits(75);
    let part: String = sandbox
        .database()
        .query_row(
            "SELECT path || '.' || nonce || '.partial' FROM downloads",
            [],
            |row| row.get(0),
        )
        .expect("the tables of the design");
    std::fs::create_dir(&part).expect("a writable sandbox");
    let gateway = Gateway::of(&dag).start();
    let resume = ["--json", "resume", "1", "--gateway", gateway.url()];
    let output = sandbox.run(resume).exits(73);
    let hint = output.events_of("failed")[0]["hint"].clone();
    assert!(hint.as_str().unwrap_or_default().contains(&part), "{hint}");
    std::fs::remove_dir(&part).expect("it is still there, and empty");
    sandbox.run(resume).exits(0);
}

#[test]
fn the_history_says_what_was_asked_of_whom() {
    let dag = Recipe::default().build(20_000);
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    sandbox
        .run(["get", &dag.source(), "--gateway", gateway.url()])
        .exits(0);
    for args in [&["--json", "history"][..], &["--json", "history", "1"]] {
        let history = sandbox.run(args).exits(0).document();
        assert_eq!(history["v"], 1);
        let attempt = &history["attempts"][0];
        assert_eq!(
            (&attempt["download"], &attempt["provider"]),
            (&1.into(), &gateway.url().into())
        );
    }
    let few = sandbox.run(["--json", "history", "-n", "1"]).exits(0);
    assert_eq!(few.document()["attempts"].as_array().map(Vec::len), Some(1));
    let words = sandbox.run(["history", "1"]).exits(0).text();
    assert!(words.contains(gateway.url()), "{words}");
    sandbox.run(["history", "99"]).exits(2);
}

#[test]
fn what_has_ended_can_be_forgotten() {
    let dag = Recipe::default().build(20_000);
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let source = dag.source();
    sandbox.run(get_args(&source, gateway.url())).exits(0);
    let other = Dag::single(b"nobody has this").source();
    sandbox
        .run([
            "get",
            &other,
            "-o",
            "open",
            "--gateway",
            "http://127.0.0.1:1",
        ])
        .exits(75);
    sandbox.run(["prune", "2"]).exits(2);
    let young = sandbox.run(["--json", "prune"]).exits(0).document();
    assert_eq!(young["forgotten"], Value::Array(Vec::new()));
    let dry = sandbox
        .run(["--json", "prune", "--older-than", "0", "--dry-run"])
        .exits(0)
        .document();
    assert_eq!(
        (&dry["forgotten"][0], &dry["dry_run"], &dry["history"]),
        (&1.into(), &true.into(), &Value::Null)
    );
    assert_eq!(downloads(&sandbox).len(), 2);
    sandbox.run(["prune", "1"]).exits(0);
    let left = downloads(&sandbox);
    assert_eq!((left.len(), &left[0]["id"]), (1, &2.into()));
    assert_eq!(sandbox.read("file"), dag.data, "what is installed stays");
    sandbox.run(get_args(&source, gateway.url())).exits(0);
}

/// What a cancelled download was told to leave behind goes with its record, unless in use.
#[test]
fn a_part_goes_with_the_record_that_names_it() {
    let sandbox = Sandbox::new();
    let source = Dag::single(b"nobody has this").source();
    let get = [
        "get",
        &source,
        "-o",
        "file",
        "--gateway",
        "http://127.0.0.1:1",
    ];
    sandbox.run(get).exits(75);
    sandbox.run(["cancel", "--keep-partial", "1"]).exits(0);
    let part: String = sandbox
        .database()
        .query_row(
            "SELECT path || '.' || nonce || '.partial' FROM downloads",
            [],
            |row| row.get(0),
        )
        .expect("the tables of the design");
    std::fs::write(&part, b"proved").expect("a writable sandbox");
    let foreign = sandbox.target("file.0123abcd.partial");
    std::fs::write(&foreign, b"of another database").expect("a writable sandbox");
    let used = fetchd::disk::part::PartFile::open(part.as_ref())
        .expect("readable")
        .expect("there");
    assert!(used.try_lock().expect("locks"));
    let kept = sandbox.fetchd(["--json", "prune", "1"]).run().exits(0);
    assert_eq!(kept.document()["forgotten"], Value::Array(Vec::new()));
    drop(used);
    let gone = sandbox.fetchd(["--json", "prune", "1"]).run().exits(0);
    assert_eq!(gone.document()["parts"][0], part.as_str());
    assert!(!std::path::Path::new(&part).exists() && foreign.exists());
}

#[test]
fn lists_are_sorted_as_asked() {
    let sandbox = Sandbox::new();
    for name in ["b", "a", "c"] {
        let source = Dag::single(name.as_bytes()).source();
        let args = [
            "get",
            &source,
            "-o",
            name,
            "--gateway",
            "http://127.0.0.1:1",
        ];
        sandbox.run(args).exits(75);
    }
    let ids = |more: &[&str]| -> Vec<i64> {
        let args = ["--json", "list"];
        let listed = sandbox.run(args.iter().chain(more)).exits(0).document();
        let downloads = listed["downloads"].as_array().expect("a list").clone();
        downloads
            .iter()
            .filter_map(|row| row["id"].as_i64())
            .collect()
    };
    assert_eq!(ids(&[]), [1, 2, 3]);
    assert_eq!(ids(&["--sort", "created"]), [3, 2, 1]);
    assert_eq!(ids(&["--sort", "path", "--limit", "2"]), [2, 1]);
    sandbox.run(["cancel", "2"]).exits(0);
    assert_eq!(ids(&[]), [1, 3]);
    assert_eq!(ids(&["--status", "cancelled"]), [2]);
}

/// Where nothing can be written, what is recorded can still be read. (Who may write everywhere
/// cannot see it.)
#[cfg(unix)]
#[test]
fn records_can_be_read_where_nothing_can_be_written() {
    use std::os::unix::fs::PermissionsExt as _;
    let sandbox = Sandbox::new();
    let dag = Dag::single(b"hello");
    let get = ["get", &dag.source(), "--gateway", "http://127.0.0.1:1"];
    sandbox.run(get).exits(75);
    let mode = |mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(sandbox.state(), permissions).expect("a directory of ours");
    };
    let database = sandbox.database_file();
    std::fs::set_permissions(&database, std::fs::Permissions::from_mode(0o400))
        .expect("a file of ours");
    mode(0o500);
    let may_write_everywhere = std::fs::write(sandbox.state().join("probe"), b"").is_ok();
    if !may_write_everywhere {
        for args in [&["list"][..], &["show", "1"], &["history"]] {
            sandbox.fetchd(args).run().exits(0);
        }
        let refused = sandbox.fetchd(get).run().exits(74);
        assert!(refused.stderr.contains("--state-dir"), "{}", refused.stderr);
    }
    mode(0o700);
}

#[test]
fn a_download_is_named_in_many_ways_and_a_slip_is_recognised() {
    let dag = Recipe::default().build(20_000);
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let cid = dag.source();
    let get = ["get", &cid, "-o", "my file.bin", "--gateway", gateway.url()];
    sandbox.run(get).exits(0);
    let path = sandbox.target("my file.bin");
    let upper = format!("B{}", cid[1..].to_uppercase());
    let names = ["1", &cid, &cid[..8], &upper, "my file.bin", "./my file.bin"];
    for name in names.into_iter().chain(path.to_str()) {
        let shown = sandbox.run(["--json", "show", name]).exits(0);
        assert_eq!(shown.document()["download"]["id"], 1, "{name}");
    }
    let mut slip = cid[..20].to_owned();
    slip.replace_range(12..14, "00");
    for name in [&*slip, "my fiel.bin", "my_file.bin"] {
        let refused = sandbox.run(["show", name]).exits(2);
        let hint = "hint: did you mean 1 (my file.bin)? see them all with: fetchd list --all";
        assert!(refused.stderr.contains(hint), "{name}: {}", refused.stderr);
    }
    let refused = sandbox.run(["show", &cid[..7]]).exits(2);
    assert!(
        refused.stderr.contains("did you mean 1"),
        "{}",
        refused.stderr
    );
    let refused = sandbox.run(["show", "something-else"]).exits(2);
    assert!(
        refused.stderr.contains("hint: see them all"),
        "{}",
        refused.stderr
    );
    let refused = sandbox.run(["lsit"]).exits(2);
    assert!(
        refused.stderr.contains("similar subcommand"),
        "{}",
        refused.stderr
    );
}

#[test]
fn tries_without_a_new_byte_are_counted_and_come_to_an_end() {
    let dag = Recipe::default().build(20_000);
    let gateway = Gateway::of(&dag).on(On::any(), Fault::status(500)).start();
    let sandbox = Sandbox::new();
    sandbox.config("max_retries = 0\nmax_resume_attempts = 3");
    let source = dag.source();
    let get = get_args(&source, gateway.url());
    sandbox.run(get).exits(75);
    sandbox.run(["resume", "1"]).exits(75);
    assert_eq!(downloads(&sandbox)[0]["attempts"], 2);
    let last = sandbox.run(["resume", "1"]).exits(75);
    let said = "tried 3 times without a new byte, as max_resume_attempts allows";
    assert!(last.stderr.contains(said), "{}", last.stderr);
    assert!(
        last.stderr.contains("fetchd resume 1 --reset"),
        "{}",
        last.stderr
    );
    assert_eq!(downloads(&sandbox)[0]["status"], "failed");
    sandbox.run(["resume", "1"]).exits(2);
    gateway.heal();
    sandbox.run(["resume", "1", "--reset"]).exits(0);
    assert_eq!(sandbox.read("file"), dag.data);
}

/// Whatever was at a path before, it belongs to one download now.
#[test]
fn a_path_means_what_is_under_way_to_it_or_what_made_what_is_there() {
    let dag = Dag::single(b"hello");
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let source = dag.source();
    let get = get_args(&source, gateway.url());
    let shown = |code| {
        let output = sandbox.run(["--json", "show", "file"]).exits(code);
        (code == 0).then(|| output.document()["download"]["id"].as_u64().expect("an id"))
    };
    sandbox.fetchd(get).run().exits(0);
    std::fs::remove_file(sandbox.target("file")).expect("it was there");
    sandbox.fetchd(get).run().exits(0);
    assert_eq!(shown(0), Some(2));
    sandbox.run(["verify", "file"]).exits(0);
    std::fs::remove_file(sandbox.target("file")).expect("it was there");
    let queued = ["get", &source, "-o", "file", "--queue"];
    sandbox.fetchd(queued).run().exits(0);
    assert_eq!(shown(0), Some(3));
    sandbox.run(["cancel", "file"]).exits(0);
    assert_eq!(shown(0), Some(2));
    // Nothing tells any more which of them it means.
    let database = rusqlite::Connection::open(sandbox.database_file()).expect("a database");
    database
        .execute("DELETE FROM installs", [])
        .expect("a loss");
    assert_eq!(shown(2), None);
}
