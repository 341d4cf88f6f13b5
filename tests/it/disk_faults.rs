//! Disks that fill up or refuse, and others who touch what is being written: said with 73 or 74,
//! nothing wrong under a final name, and it goes on when the cause is gone.
//!
//! What needs a file system of its own is skipped where none may be mounted.
#![cfg(target_os = "linux")]

use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::support::dag::{Dag, Recipe, seeded};
use crate::support::gateway::{Fault, Features, Gateway, On};
use crate::support::oracle;
use crate::support::sandbox::{Output, Running, Sandbox};
use crate::support::scenario::{get_json, sha256};
use crate::support::skipped;
use crate::torture::disk;

const LEAF: u64 = 256 << 10;
const SIZE: u64 = 6 << 20;
/// Where the gateway stops sending: inside a leaf.
const HELD: u64 = 3 << 20 | 1000;
/// Whole leaves before that, less what framing takes.
const PROVED: u64 = HELD / LEAF * LEAF - LEAF;

/// The clock of a file system may be behind by one step.
const CLOCK_STEP: Duration = Duration::from_secs(2);

/// A small file system of its own, unmounted when dropped.
struct Mounted(PathBuf);

impl Mounted {
    fn at(path: &Path, options: &str) -> Option<Self> {
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(path)
            .output();
        if mount.is_ok_and(|mount| mount.status.success()) {
            return Some(Self(path.to_owned()));
        }
        skipped("no file system may be mounted here");
        None
    }

    fn remount(&self, options: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(&self.0)
            .status();
        assert!(status.expect("mount").success());
    }

    /// Takes all the room that there is, until it is dropped.
    fn fill(&self) -> Filler {
        let path = self.0.join("filler");
        // Ends with an error, when it is full.
        let _ = std::fs::write(&path, vec![1; 64 << 20]);
        Filler(path)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

struct Filler(PathBuf);

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A download of `out/dir/file` that a gateway holds half-way.
struct Stuck {
    sandbox: Sandbox,
    dag: Dag,
    gateway: Gateway,
}

impl Stuck {
    fn new() -> Self {
        let dag = Recipe::default()
            .chunk(256 << 10)
            .width(16)
            .build(usize::try_from(SIZE).expect("small"));
        let gateway = Gateway::of(&dag)
            .features(Features::TRUSTLESS)
            .on(On::any(), Fault::HoldAtTotal(HELD))
            .start();
        let sandbox = Sandbox::new();
        sandbox.config("checkpoint_bytes = \"1M\"\nstall_timeout = \"30s\"");
        std::fs::create_dir(sandbox.target("dir")).expect("a fresh directory");
        Self {
            sandbox,
            dag,
            gateway,
        }
    }

    /// Starts it; it has proved what came.
    fn start(&self) -> Running {
        let source = self.dag.source();
        let url = self.gateway.url();
        let args = ["--json", "get", &source, "-o", "dir/file", "--gateway", url];
        let mut running = self.sandbox.fetchd(args).spawn();
        self.gateway.held();
        running.wait_bytes(PROVED);
        running
    }

    /// Lets the gateway go on and waits for the end.
    fn let_go(&self, running: Running) -> Output {
        self.gateway.let_go();
        running.wait()
    }

    fn target(&self) -> PathBuf {
        self.sandbox.target("dir/file")
    }

    /// Whether what has the final name was written since.
    fn is_new(&self, began: SystemTime) -> bool {
        let facts = std::fs::metadata(self.target()).expect("a file");
        facts.modified().expect("a time") >= began
    }

    /// It failed like this, resumable, with no final name and a way on.
    #[track_caller]
    fn failed(&self, output: Output, code: i32) -> Output {
        let output = output.exits(code);
        assert!(!self.target().exists(), "{}", output.transcript());
        let failed = output.events_of("failed").pop().expect("a failed event");
        assert_eq!(failed["resumable"], true, "{failed}");
        assert!(failed["hint"].is_string(), "{failed}");
        output
    }

    /// Goes on to the end; returns what had to be sent.
    #[track_caller]
    fn resumes(&self) -> u64 {
        self.gateway.heal();
        let before = self.gateway.sent();
        let output = self.sandbox.run(["--json", "resume", "1"]).exits(0);
        self.arrived(&output);
        self.gateway.sent() - before
    }

    #[track_caller]
    fn arrived(&self, output: &Output) {
        let is_right = self.sandbox.read("dir/file") == self.dag.data;
        assert!(is_right, "wrong bytes\n{}", output.transcript());
        oracle::check(&self.sandbox, output);
        oracle::claims_are_true(&self.sandbox, &self.dag);
    }
}

/// Whether the record knows when the one file was left, and that anything of it is proved.
fn recorded(sandbox: &Sandbox) -> (bool, bool) {
    let query = "SELECT part_mtime IS NOT NULL, length(verified) > 0 FROM files WHERE idx = 0";
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?));
    sandbox.database().query_row(query, [], row).expect("a row")
}

/// Nothing that was proved is fetched again.
#[track_caller]
fn assert_kept(sent: u64) {
    let allowed = SIZE - PROVED + 3 * LEAF;
    assert!(sent <= allowed, "{sent} bytes were sent, {allowed} allowed");
}

#[test]
fn the_disk_fills_up_while_it_is_written() {
    let stuck = Stuck::new();
    let Some(disk) = Mounted::at(&stuck.sandbox.target("dir"), "size=8m") else {
        return;
    };
    let running = stuck.start();
    let filler = disk.fill();
    let output = stuck.let_go(running);
    let output = stuck.failed(output, 74);
    assert_eq!(output.events_of("failed")[0]["kind"], "disk");
    oracle::claims_are_true(&stuck.sandbox, &stuck.dag);
    let output = stuck.sandbox.run(["--json", "resume", "1"]);
    stuck.failed(output, 74);
    drop(filler);
    assert_kept(stuck.resumes());
}

#[test]
fn there_is_too_little_room_from_the_start() {
    let stuck = Stuck::new();
    let Some(disk) = Mounted::at(&stuck.sandbox.target("dir"), "size=4m") else {
        return;
    };
    stuck.gateway.heal();
    let (source, url) = (stuck.dag.source(), stuck.gateway.url());
    let args = ["--json", "get", &source, "-o", "dir/file", "--gateway", url];
    let output = stuck.sandbox.run(args);
    stuck.failed(output, 74);
    assert!(stuck.gateway.sent() < SIZE / 2, "it began all the same");
    disk.remount("size=16m");
    stuck.resumes();
}

#[test]
fn the_disk_of_the_state_fills_up() {
    let stuck = Stuck::new();
    let Some(disk) = Mounted::at(&stuck.sandbox.state(), "size=2m") else {
        return;
    };
    let running = stuck.start();
    let filler = disk.fill();
    let output = stuck.let_go(running);
    let output = stuck.failed(output, 74);
    let failed = output.events_of("failed").pop().expect("a failed event");
    let message = failed["message"].as_str().expect("a message");
    assert_eq!(message.matches("state file").count(), 1, "{message}");
    let hint = failed["hint"].as_str();
    let expected = "make room there, then go on with: fetchd resume 1";
    assert_eq!(hint, Some(expected), "{failed}");
    shown_as_interrupted(&stuck.sandbox);
    drop(filler);
    oracle::claims_are_true(&stuck.sandbox, &stuck.dag);
    assert_kept(stuck.resumes());
}

/// Nothing can be recorded, and nobody works on download 1 any more.
#[track_caller]
fn shown_as_interrupted(sandbox: &Sandbox) {
    for args in [vec!["list"], vec!["list", "--status", "paused"]] {
        let listed = sandbox.fetchd([&["--json"], args.as_slice()].concat());
        let listed = listed.run().exits(0).document();
        assert_eq!(listed["downloads"][0]["status"], "paused", "{listed}");
        let error = &listed["downloads"][0]["error"];
        assert_eq!(error["message"], "interrupted", "{listed}");
        assert_eq!(error["hint"], "go on with: fetchd resume 1", "{listed}");
    }
    let shown = sandbox.fetchd(["--json", "show", "1"]).run();
    let shown = shown.exits(0).document();
    assert_eq!(shown["download"]["status"], "paused", "{shown}");
    assert_eq!(shown["download"]["owner"], serde_json::Value::Null);
}

/// Every command says the same of a state directory without room.
#[test]
fn the_disk_of_the_state_is_full_already() {
    let stuck = Stuck::new();
    let Some(disk) = Mounted::at(&stuck.sandbox.state(), "size=2m") else {
        return;
    };
    let sandbox = &stuck.sandbox;
    for is_new in [true, false] {
        let filler = disk.fill();
        let (source, url) = (stuck.dag.source(), stuck.gateway.url());
        let get = ["get", &source, "-o", "dir/file", "--gateway", url];
        let queue = [&get[..], &["--queue"]].concat();
        let commands: [&[&str]; 6] = [
            &get,
            &queue,
            &["run"],
            &["cancel", "1"],
            &["verify", "--all"],
            &["prune"],
        ];
        for args in commands {
            let output = sandbox.fetchd(args).run().exits(74);
            let said = output.stderr.contains("no room left for the state file")
                && output.stderr.contains("hint: make room there");
            assert!(said, "{is_new} {args:?}: {}", output.transcript());
        }
        assert!(sandbox.partials().is_empty() && !stuck.target().exists());
        drop(filler);
        sandbox.fetchd(["list"]).run().exits(0);
    }
}

#[test]
fn there_is_no_room_for_the_state() {
    let stuck = Stuck::new();
    let Some(disk) = Mounted::at(&stuck.sandbox.state(), "size=16k") else {
        return;
    };
    stuck.gateway.heal();
    let (source, url) = (stuck.dag.source(), stuck.gateway.url());
    let args = ["get", &source, "-o", "dir/file", "--gateway", url];
    let output = stuck.sandbox.fetchd(args).run().exits(74);
    assert!(output.stderr.contains("hint: "), "{}", output.transcript());
    assert!(!stuck.target().exists() && stuck.sandbox.partials().is_empty());
    disk.remount("size=4m");
    let output = stuck.sandbox.run(args).exits(0);
    stuck.arrived(&output);
}

#[test]
fn a_disk_becomes_read_only() {
    for of_state in [false, true] {
        let stuck = Stuck::new();
        let place = match of_state {
            true => stuck.sandbox.state(),
            false => stuck.sandbox.target("dir"),
        };
        let Some(disk) = Mounted::at(&place, "size=16m") else {
            return;
        };
        stuck.start().kill9();
        stuck.gateway.heal();
        disk.remount("ro");
        let output = stuck.sandbox.fetchd(["resume", "1"]).run().exits(74);
        assert!(output.stderr.contains("hint: "), "{}", output.transcript());
        if of_state {
            shown_as_interrupted(&stuck.sandbox);
        }
        disk.remount("rw");
        assert_kept(stuck.resumes());
    }
}

/// Files of at most so much: too little for the database, then too little for the part.
#[test]
fn files_may_not_grow() {
    for blocks in [20, 200, 1000, 6000] {
        let stuck = Stuck::new();
        stuck.gateway.heal();
        let script = format!(
            "trap '' XFSZ; ulimit -f {blocks}; exec '{}' get {} -o dir/file --gateway {}",
            env!("CARGO_BIN_EXE_fetchd"),
            stuck.dag.source(),
            stuck.gateway.url(),
        );
        let output = stuck.sandbox.shell(&script).run().exits(74);
        assert!(output.stderr.contains("hint: "), "{}", output.transcript());
        assert!(!stuck.target().exists());
        let (source, url) = (stuck.dag.source(), stuck.gateway.url());
        let again = ["get", &source, "-o", "dir/file", "--gateway", url];
        let output = stuck.sandbox.run(again).exits(0);
        stuck.arrived(&output);
    }
}

/// A plain file is written from front to back: where a write fails, nothing is put behind it.
#[test]
fn what_is_there_of_a_plain_file_is_its_beginning() {
    let data = seeded(7, 6 << 20);
    let server = Gateway::empty()
        .features(Features::PLAIN)
        .file("/file", data.clone(), Some("\"a\""))
        .start();
    let sandbox = Sandbox::new();
    let sum = sha256(&data);
    for blocks in [3000, 5001, 7333] {
        let script = format!(
            "trap '' XFSZ; ulimit -f {blocks}; exec '{}' get {}/file -o file{blocks} --sha256 {sum}",
            env!("CARGO_BIN_EXE_fetchd"),
            server.url(),
        );
        let output = sandbox.shell(&script).run().exits(74);
        let part = sandbox.partials().pop().expect("a part");
        let here = std::fs::read(part).expect("readable");
        assert!(data.starts_with(&here), "{}", output.transcript());
        let output = sandbox.run(["resume", &format!("file{blocks}")]).exits(0);
        assert!(
            !output.stderr.contains("changed"),
            "{}",
            output.transcript()
        );
    }
}

/// A disk that takes its time to sync: what a power cut would take stays one interval and what is
/// in flight, however fast the network is.
#[test]
fn a_slow_sync_holds_the_network_back() {
    const INTERVAL: u64 = 1 << 20;
    if !disk::is_possible() {
        return skipped("strace is not here or may not trace");
    }
    let dag = Recipe::default().build(16 << 20);
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    sandbox.config("checkpoint_bytes = \"1M\"\n");
    let log = sandbox.root().join("calls");
    let slow = disk::slow("fdatasync,fsync", "60ms", &log);
    let source = dag.source();
    let get = get_json(&source, gateway.url());
    let output = sandbox.fetchd_under(&slow, get).run().exits(0);
    let saved = output.events_of("checkpoint").into_iter();
    let mut saved: Vec<u64> = saved.filter_map(|event| event["bytes"].as_u64()).collect();
    // The first and the last interval count too, and all of it if there is no checkpoint at all.
    saved.insert(0, 0);
    saved.push(dag.data.len() as u64);
    let gaps = saved.windows(2).map(|pair| pair[1] - pair[0]);
    // The budget of what is in flight, once being received and once being proved.
    let most = INTERVAL + 2 * (4 << 20);
    assert!(gaps.max() <= Some(most), "{}", output.transcript());
    assert!(sandbox.read("file") == dag.data);
    // No checkpoint took what was written meanwhile for somebody else's.
    assert_eq!(recorded(&sandbox), (true, true));
}

/// While one is being synced the wish stands, and more arrives: it is fulfilled once.
#[test]
fn a_checkpoint_on_a_slow_disk_is_made_once() {
    if !disk::is_possible() {
        return skipped("strace is not here or may not trace");
    }
    let sandbox = Sandbox::new();
    let dag = Recipe::default().build(64 << 20);
    let gateway = Gateway::of(&dag).start();
    let (source, log) = (dag.source(), sandbox.root().join("calls"));
    let get = get_json(&source, gateway.url()).into_iter();
    let get = get.chain(["--limit-rate", "2M"]);
    let slow = disk::slow("fdatasync", "400ms", &log);
    let mut owner = sandbox.fetchd_under(&slow, get).spawn();
    owner.wait_bytes(1 << 20);
    sandbox.fetchd(["checkpoint", "1"]).run().exits(0);
    sandbox.fetchd(["cancel", "1"]).run().exits(0);
    let output = owner.wait().exits(81);
    let made = output.events_of("checkpoint").into_iter();
    let made = made.filter(|event| event["trigger"] == "manual").count();
    // None, if the one under way had it all.
    assert!(made <= 2, "{}", output.transcript());
    assert_eq!(sandbox.partials(), Vec::<PathBuf>::new());
}

#[test]
fn the_directory_is_removed_meanwhile() {
    let stuck = Stuck::new();
    let running = stuck.start();
    std::fs::remove_dir_all(stuck.sandbox.target("dir")).expect("a directory");
    let output = stuck.let_go(running);
    assert!(
        matches!(output.code, Some(73 | 74)),
        "{}",
        output.transcript()
    );
    stuck.failed(output, 73);
    let output = stuck.sandbox.run(["--json", "resume", "1"]);
    stuck.failed(output, 73);
    std::fs::create_dir(stuck.sandbox.target("dir")).expect("a directory");
    stuck.resumes();
}

#[test]
fn the_directory_is_moved_meanwhile() {
    let stuck = Stuck::new();
    let running = stuck.start();
    let here = stuck.sandbox.target("dir");
    let there = stuck.sandbox.out().with_file_name("moved");
    std::fs::rename(&here, &there).expect("a directory");
    let output = stuck.let_go(running);
    stuck.failed(output, 73);
    std::fs::rename(&there, &here).expect("a directory");
    assert_kept(stuck.resumes());
}

/// What others do to the part while it is written: nothing wrong gets the final name.
#[test]
fn the_part_is_touched_meanwhile() {
    use std::os::unix::fs::symlink;
    type Touch = fn(&Path);
    let touches: [(&str, Touch); 9] = [
        ("deleted", |part| {
            std::fs::remove_file(part).expect("a part");
        }),
        ("cut", |part| resize(part, 1 << 20)),
        ("emptied", |part| resize(part, 0)),
        ("overwritten", |part| {
            let file = std::fs::File::options().write(true).open(part);
            let mut file = file.expect("a part");
            file.write_all(b"somebody else's").expect("written");
        }),
        ("overwritten, and its time set back", |part| {
            let file = std::fs::File::options().write(true).open(part);
            let mut file = file.expect("a part");
            let before = file.metadata().and_then(|metadata| metadata.modified());
            file.write_all(b"somebody else's").expect("written");
            let set = before.and_then(|before| file.set_modified(before));
            set.expect("ours");
        }),
        ("another file, as long as the whole", |part| {
            let len = usize::try_from(SIZE).expect("small");
            std::fs::rename(part, part.with_extension("old")).expect("a part");
            std::fs::write(part, vec![7; len]).expect("a file");
        }),
        ("another file", |part| {
            std::fs::rename(part, part.with_extension("old")).expect("a part");
            std::fs::write(part, vec![7; 1 << 20]).expect("a file");
        }),
        ("a link", |part| {
            let victim = part.with_file_name("victim");
            std::fs::write(&victim, b"precious").expect("a file");
            std::fs::remove_file(part).expect("a part");
            symlink(victim, part).expect("a link");
        }),
        ("a directory", |part| {
            std::fs::remove_file(part).expect("a part");
            std::fs::create_dir(part).expect("a directory");
        }),
    ];
    for (name, touch) in touches {
        let began = SystemTime::now() - CLOCK_STEP;
        let stuck = Stuck::new();
        let running = stuck.start();
        let part = stuck.sandbox.part();
        touch(&part);
        let output = stuck.let_go(running);
        if stuck.target().exists() {
            stuck.arrived(&output.exits(0));
            assert!(stuck.is_new(began), "{name}");
            assert!(recorded(&stuck.sandbox).1, "{name}");
            continue;
        }
        let is_said = matches!(output.code, Some(65 | 73 | 74));
        assert!(is_said, "{name}: {}", output.transcript());
        let victim = std::fs::read(part.with_file_name("victim"));
        assert!(victim.is_err() || victim.is_ok_and(|bytes| bytes == b"precious"));
        if part.is_symlink() {
            std::fs::remove_file(&part).expect("a link");
        } else if part.is_dir() {
            std::fs::remove_dir(&part).expect("a directory");
        }
        let _ = std::fs::remove_file(part.with_file_name("victim"));
        let _ = std::fs::remove_file(part.with_extension("old"));
        let output = stuck.sandbox.fetchd(["--json", "resume", "1"]).run();
        let output = match output.code {
            Some(0) => output,
            _ => stuck
                .sandbox
                .run(["--json", "resume", "1", "--reset"])
                .exits(0),
        };
        stuck.arrived(&output);
        assert!(stuck.is_new(began), "{name}");
    }
}

/// Touched, and right all the same: it is read once more, and gets the time of that.
#[test]
fn what_is_proved_once_more_is_new_and_recorded() {
    let began = SystemTime::now() - CLOCK_STEP;
    let stuck = Stuck::new();
    let running = stuck.start();
    let part = std::fs::File::options()
        .write(true)
        .open(stuck.sandbox.part());
    let touched = part.and_then(|part| part.set_modified(SystemTime::UNIX_EPOCH));
    touched.expect("a part");
    stuck.arrived(&stuck.let_go(running).exits(0));
    assert!(stuck.is_new(began));
    assert!(recorded(&stuck.sandbox).1);
}

/// Found wrong by one run, and put right before the next: nothing is left to write.
#[test]
fn what_was_distrusted_and_is_right_again_is_new() {
    let began = SystemTime::now() - CLOCK_STEP;
    let stuck = Stuck::new();
    let running = stuck.start();
    let write = |byte: u8| {
        let part = std::fs::File::options()
            .write(true)
            .open(stuck.sandbox.part());
        part.and_then(|part| part.write_all_at(&[byte], 0))
            .expect("a part");
    };
    let right = stuck.dag.data[0];
    write(!right);
    stuck.failed(stuck.let_go(running), 74);
    let marked = std::fs::metadata(stuck.sandbox.part()).and_then(|facts| facts.modified());
    write(right);
    let part = std::fs::File::options()
        .write(true)
        .open(stuck.sandbox.part());
    part.and_then(|part| part.set_modified(marked.expect("a time")))
        .expect("a part");
    assert_eq!(stuck.resumes(), 0);
    assert!(stuck.is_new(began));
}

/// The hint of the failure, which names what has to be done and how to go on.
#[track_caller]
fn hint(output: &Output) -> String {
    let failed = output.events_of("failed").pop().expect("a failed event");
    let hint = failed["hint"].as_str().expect("a hint").to_owned();
    assert!(hint.contains("fetchd resume 1"), "{hint}");
    hint
}

/// It is cancelled all the same, and somebody knows of the part.
#[test]
fn a_part_that_stays_is_said() {
    let stuck = Stuck::new();
    let Some(disk) = Mounted::at(&stuck.sandbox.target("dir"), "size=16m") else {
        return;
    };
    stuck.start().kill9();
    disk.remount("ro");
    let output = stuck.sandbox.run(["cancel", "1"]).exits(0);
    let is_said = output.stderr.contains("fetchd prune 1");
    assert!(is_said, "{}", output.transcript());
    disk.remount("rw");
    stuck.sandbox.run(["prune", "1"]).exits(0);
    assert!(stuck.sandbox.partials().is_empty());
}

/// Removed as needless beside "the same content" at the target, the part would take that with it.
#[test]
fn the_target_becomes_a_link_to_the_part() {
    let stuck = Stuck::new();
    let running = stuck.start();
    std::os::unix::fs::symlink(stuck.sandbox.part(), stuck.target()).expect("a link");
    stuck.let_go(running).exits(73);
    std::fs::remove_file(stuck.target()).expect("a link");
    assert_kept(stuck.resumes());
}

/// What has the name of a part and is none stays, with the record that knows of it, and is named.
#[test]
fn nothing_is_pruned_that_is_no_part() {
    type Obstruct = fn(&Path);
    let obstacles: [(&str, Obstruct); 2] = [
        ("a link", |part| {
            std::os::unix::fs::symlink("/nowhere", part).expect("a link");
        }),
        ("a directory", |part| {
            std::fs::create_dir_all(part.join("mine")).expect("a directory");
        }),
    ];
    for (name, obstruct) in obstacles {
        let stuck = Stuck::new();
        stuck.start().kill9();
        let part = stuck.sandbox.part();
        stuck
            .sandbox
            .run(["cancel", "--keep-partial", "1"])
            .exits(0);
        std::fs::remove_file(&part).expect("a part");
        obstruct(&part);
        let output = stuck.sandbox.fetchd(["prune", "1"]).run().exits(73);
        let expected = format!("move {} away, then: fetchd prune 1", part.display());
        let is_said = output.stderr.contains(&expected);
        assert!(is_said, "{name}: {}", output.transcript());
        assert!(part.symlink_metadata().is_ok(), "{name}");
        std::fs::rename(&part, stuck.sandbox.root().join("aside")).expect("in the way");
        stuck.sandbox.run(["prune", "1"]).exits(0);
        stuck.sandbox.run(["show", "1"]).exits(2);
    }
}

/// What is written to the part would be written to somebody's file.
#[test]
fn the_part_is_a_file_with_another_name() {
    let stuck = Stuck::new();
    stuck.start().kill9();
    let part = stuck.sandbox.part();
    let victim = part.with_file_name("victim");
    std::fs::write(&victim, b"precious").expect("a file");
    std::fs::remove_file(&part).expect("a part");
    std::fs::hard_link(&victim, &part).expect("a link");
    stuck.gateway.heal();
    let output = stuck.sandbox.run(["--json", "resume", "1"]);
    let output = stuck.failed(output, 73);
    let expected = format!("move {} away", part.display());
    assert!(hint(&output).contains(&expected), "{}", output.transcript());
    assert_eq!(std::fs::read(&victim).expect("a file"), b"precious");
    std::fs::remove_file(&part).expect("a link");
    stuck.resumes();
}

/// Killed between the two steps of an install where nothing better is possible.
#[test]
fn the_part_has_the_name_of_the_target_too() {
    let stuck = Stuck::new();
    stuck.start().kill9();
    let part = stuck.sandbox.part();
    std::fs::write(&part, &stuck.dag.data).expect("a part");
    std::fs::hard_link(&part, stuck.target()).expect("a link");
    stuck.resumes();
}

#[test]
fn the_directory_became_a_file() {
    let stuck = Stuck::new();
    stuck.start().kill9();
    let here = stuck.sandbox.target("dir");
    let there = stuck.sandbox.out().with_file_name("moved");
    std::fs::rename(&here, &there).expect("a directory");
    std::fs::write(&here, b"a file").expect("a file");
    let output = stuck.sandbox.run(["--json", "resume", "1"]);
    let output = stuck.failed(output, 73);
    let expected = format!("move {} away", here.display());
    assert!(hint(&output).contains(&expected), "{}", output.transcript());
    std::fs::remove_file(&here).expect("a file");
    std::fs::rename(&there, &here).expect("a directory");
    assert_kept(stuck.resumes());
}

/// Nothing is said to be kept that is not there.
#[test]
fn the_part_is_gone_and_nobody_says_that_it_is_kept() {
    let stuck = Stuck::new();
    let (source, url) = (stuck.dag.source(), stuck.gateway.url());
    let args = ["get", &source, "-o", "dir/file", "--gateway", url];
    let running = stuck.sandbox.fetchd(args).spawn();
    stuck.gateway.held();
    let dir = stuck.sandbox.target("dir");
    std::fs::remove_dir_all(&dir).expect("a directory");
    let output = stuck.let_go(running).exits(73);
    assert!(!output.stderr.contains("kept"), "{}", output.transcript());
    let expected = format!(
        "mkdir -p {}, then go on with: fetchd resume 1",
        dir.display()
    );
    let is_said = output.stderr.contains(&expected);
    assert!(is_said, "{}", output.transcript());
}

/// What was not written is not said to be.
#[test]
fn standard_output_is_full() {
    let stuck = Stuck::new();
    stuck.gateway.heal();
    let script = format!(
        "exec '{}' get {} -o - --gateway {} > /dev/full",
        env!("CARGO_BIN_EXE_fetchd"),
        stuck.dag.source(),
        stuck.gateway.url(),
    );
    let output = stuck.sandbox.shell(&script).run().exits(74);
    let is_said = output.stderr.contains("fetchd resume 1");
    assert!(is_said, "{}", output.transcript());
    assert!(
        !output.stderr.contains("written to"),
        "{}",
        output.transcript()
    );
}

/// What proves itself only at its end waits on disk, and is poured out again.
#[test]
fn standard_output_is_full_for_a_whole_file() {
    let sandbox = Sandbox::new();
    let data = vec![7; 300_000];
    let gateway = Gateway::empty()
        .features(Features::PLAIN)
        .file("/file", data.clone(), None)
        .start();
    let script = format!(
        "exec '{}' get {}/file --sha256 {} -o - > /dev/full",
        env!("CARGO_BIN_EXE_fetchd"),
        gateway.url(),
        crate::support::scenario::sha256(&data),
    );
    let output = sandbox.shell(&script).run().exits(74);
    let is_said = output.stderr.contains("KiB kept") && output.stderr.contains("fetchd resume 1");
    assert!(is_said, "{}", output.transcript());
    let before = gateway.sent();
    let output = sandbox.run(["resume", "1"]).exits(0);
    assert!(output.stdout == data, "{}", output.stderr);
    assert_eq!(gateway.sent(), before);
}

fn resize(path: &Path, len: u64) {
    let file = std::fs::File::options().write(true).open(path);
    file.and_then(|file| file.set_len(len)).expect("a part");
}

/// Others make the target meanwhile: other content is kept, the same content is as good as ours.
#[test]
fn the_target_is_made_by_others_meanwhile() {
    let stuck = Stuck::new();
    let running = stuck.start();
    std::fs::write(stuck.target(), b"somebody else's").expect("a file");
    let output = stuck.let_go(running).exits(73);
    assert_eq!(stuck.sandbox.read("dir/file"), b"somebody else's");
    let failed = output.events_of("failed").pop().expect("a failed event");
    assert_eq!(failed["resumable"], true, "{failed}");
    std::fs::remove_file(stuck.target()).expect("a file");
    assert!(stuck.resumes() < LEAF, "it was all there");

    let stuck = Stuck::new();
    let running = stuck.start();
    std::fs::write(stuck.target(), &stuck.dag.data).expect("a file");
    let output = stuck.let_go(running).exits(0);
    stuck.arrived(&output);
}

/// Somebody else keeps the database locked, longer than a statement waits.
#[test]
fn the_database_is_locked_for_long() {
    let stuck = Stuck::new();
    let running = stuck.start();
    let database = rusqlite::Connection::open(stuck.sandbox.database_file()).expect("a database");
    database.execute_batch("BEGIN IMMEDIATE").expect("a lock");
    let output = stuck.let_go(running);
    drop(database);
    assert!(
        matches!(output.code, Some(0 | 75)),
        "{}",
        output.transcript()
    );
    if output.code == Some(75) {
        assert_kept(stuck.resumes());
    } else {
        stuck.arrived(&output);
    }
}
