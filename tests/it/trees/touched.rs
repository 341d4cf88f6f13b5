//! Trees whose part somebody else touches while they are written: nothing foreign and nothing wrong
//! gets the final name, nothing of somebody else's is harmed, and the way on leads to the end.

use std::path::Path;

use super::sample::Sample;
use super::{arguments, arrived};
use crate::support::dag::{Dag, Recipe};
use crate::support::gateway::{Fault, Features, Gateway, On};
use crate::support::pb::Cid;
use crate::support::sandbox::{Output, Running, Sandbox};

const LEAF: u64 = 256 << 10;
/// What is proved while the gateway holds the last leaf of the large file back.
const PROVED: u64 = 500_000 + 300_000 + (6 << 20) - LEAF;

fn file(seed: u64, len: usize) -> Dag {
    Recipe::default()
        .seed(seed)
        .chunk(LEAF as usize)
        .width(16)
        .build(len)
}

/// A download that a gateway holds half-way.
struct Stuck {
    sandbox: Sandbox,
    sample: Sample,
    gateway: Gateway,
}

impl Stuck {
    fn new() -> Self {
        let large = file(4, 6 << 20);
        let last = *large.leaves().last().expect("a leaf");
        let deep = Sample::new().file("c", &file(3, 300_000));
        let sample = Sample::new()
            .file("a", &file(1, 500_000))
            .dir("b", &deep)
            .file("d", &large)
            .link("z", "b/c");
        let gateway = Gateway::of(&sample.dag())
            .features(Features::RAW)
            .on(On::raw().with(last.to_string()), Fault::HoldAfter(0))
            .start();
        Self {
            sandbox: Sandbox::new(),
            sample,
            gateway,
        }
    }

    fn start(&self, more: &[&str]) -> Running {
        let source = self.sample.dag().source();
        let arguments = arguments(&source, &[&self.gateway], more);
        let mut running = self.sandbox.fetchd(arguments).spawn();
        self.gateway.held();
        running.wait_bytes(PROVED);
        running
    }

    fn let_go(&self, running: Running) -> Output {
        self.gateway.let_go();
        running.wait()
    }

    /// It failed like this, resumable, with no final name and these words in the hint.
    #[track_caller]
    fn failed(&self, output: Output, code: i32, words: &str) {
        let output = output.exits(code);
        let context = output.transcript();
        assert!(!self.sandbox.target("tree").exists(), "{context}");
        let failed = output.events_of("failed").pop().expect("a failed event");
        assert_eq!(failed["resumable"], true, "{context}");
        let hint = failed["hint"].as_str().expect("a way on");
        assert!(hint.contains(words), "{context}");
        assert!(hint.contains("fetchd resume 1"), "{context}");
    }

    /// Goes on to the end; what had to be sent.
    #[track_caller]
    fn resumes(&self) -> u64 {
        self.gateway.heal();
        let before = self.gateway.sent();
        let output = self.sandbox.run(["--json", "resume", "1"]);
        arrived(&self.sandbox, &self.sample, output);
        self.gateway.sent() - before
    }
}

fn write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("a writable place");
}

/// Another directory, a copy of the part with another byte, a link: none gets the final name, and
/// all of them stay.
#[test]
fn the_part_itself_is_replaced() {
    type Replace = fn(&Path, &Path);
    let replaces: [(&str, Replace); 3] = [
        ("another directory", |part, _| {
            std::fs::create_dir(part).expect("a free name");
            write(&part.join("evil"), b"evil");
        }),
        ("a copy", |part, moved| {
            let copied = std::process::Command::new("cp")
                .arg("-a")
                .args([moved, part])
                .status();
            assert!(copied.expect("cp").success());
            write(&part.join("evil"), b"evil");
        }),
        ("a link", |part, moved| {
            std::os::unix::fs::symlink(moved, part).expect("a free name");
        }),
    ];
    for (name, replace) in replaces {
        for more in [&[][..], &["--force"]] {
            let stuck = Stuck::new();
            let running = stuck.start(more);
            let (part, moved) = (stuck.sandbox.part(), stuck.sandbox.target("moved"));
            std::fs::rename(&part, &moved).expect("a part");
            replace(&part, &moved);
            let output = stuck.let_go(running);
            let context = format!("{name}, {more:?}: {}", output.transcript());
            stuck.failed(output, 74, "move ");
            if name == "a link" {
                assert!(part.is_symlink(), "{context}");
                std::fs::remove_file(&part).expect("a link");
            } else {
                let evil = std::fs::read(part.join("evil"));
                assert!(evil.is_ok_and(|evil| evil == b"evil"), "{context}");
                std::fs::remove_dir_all(&part).expect("a directory");
            }
            std::fs::rename(&moved, &part).expect("the part");
            let sent = stuck.resumes();
            assert!(sent < 300_000, "{sent} bytes: {context}");
        }
    }
}

/// Puts something at the place of what is in a part, given the victim that it may lead to.
type Obstruct = fn(&Path, &Path);

/// Each with the entry that it is about.
fn obstacles() -> Vec<(&'static str, &'static str, Obstruct)> {
    use std::os::unix::fs::symlink;
    vec![
        ("a link for a file", "a", |path, victim| {
            std::fs::remove_file(path).expect("a file");
            symlink(victim, path).expect("a free name");
        }),
        ("a pipe for a file", "a", |path, _| {
            std::fs::remove_file(path).expect("a file");
            let made = std::process::Command::new("mkfifo").arg(path).status();
            assert!(made.expect("mkfifo").success());
        }),
        ("another's file", "d", |path, victim| {
            std::fs::remove_file(path).expect("a file");
            std::fs::hard_link(victim, path).expect("a free name");
        }),
        ("a link for a directory", "b", |path, victim| {
            std::fs::remove_dir_all(path).expect("a directory");
            symlink(victim.parent().expect("a directory"), path).expect("a free name");
        }),
        ("a file for a directory", "b", |path, _| {
            std::fs::remove_dir_all(path).expect("a directory");
            write(path, b"mine");
        }),
        ("a directory for a file", "a", |path, _| {
            std::fs::remove_file(path).expect("a file");
            std::fs::create_dir(path).expect("a free name");
            write(&path.join("mine"), b"mine");
        }),
    ]
}

/// A mere name goes, and its victim is not touched; what holds something is named and stays.
#[test]
fn something_stands_in_the_way() {
    for (name, entry, obstruct) in obstacles() {
        let stuck = Stuck::new();
        let running = stuck.start(&[]);
        let outside = stuck.sandbox.target("outside");
        std::fs::create_dir(&outside).expect("a free name");
        let (path, victim) = (stuck.sandbox.part().join(entry), outside.join("c"));
        write(&victim, b"precious");
        running.kill9();
        obstruct(&path, &victim);
        let is_mere_name = !path.join("mine").exists() && name != "a file for a directory";
        if !is_mere_name {
            stuck.gateway.heal();
            let output = stuck.sandbox.run(["--json", "resume", "1"]);
            let words = format!("move {} away", path.display());
            stuck.failed(output, 73, &words);
            let aside = stuck.sandbox.target("aside");
            std::fs::rename(&path, aside).expect("in the way");
        }
        stuck.resumes();
        let precious = std::fs::read(&victim);
        assert!(precious.is_ok_and(|read| read == b"precious"), "{name}");
        let there = std::fs::read_dir(&outside).expect("a directory").count();
        assert_eq!(there, 1, "{name}");
    }
}

/// What somebody does to a file while others are fetched, and whether its bytes are right then.
type Touch = (&'static str, bool, fn(&Path));

fn touches() -> Vec<Touch> {
    vec![
        ("overwritten", false, |path| {
            write(path, &vec![7; length(path)])
        }),
        ("a byte changed", false, |path| {
            use std::os::unix::fs::FileExt as _;
            let file = std::fs::File::options().write(true).open(path);
            let written = file.and_then(|file| file.write_all_at(b"evil", 1000));
            written.expect("a writable file");
        }),
        ("emptied", false, |path| {
            let len = length(path) as u64;
            let file = std::fs::File::options().write(true).open(path);
            let file = file.expect("a writable file");
            file.set_len(0).expect("shorter");
            file.set_len(len).expect("as long as before");
        }),
        ("replaced", false, |path| {
            let len = length(path);
            std::fs::remove_file(path).expect("a file");
            write(path, &vec![7; len]);
        }),
        ("given another time", true, |path| {
            let file = std::fs::File::options().write(true).open(path);
            let set = file.and_then(|file| file.set_modified(std::time::UNIX_EPOCH));
            set.expect("a file of ours");
        }),
        ("made longer", true, |path| {
            let mut bytes = std::fs::read(path).expect("a file");
            bytes.extend(b"more");
            write(path, &bytes);
        }),
    ]
}

fn length(path: &Path) -> usize {
    std::fs::read(path).expect("a file").len()
}

/// Whether it was recorded before or not, finished or not: what is wrong gets no final name, and
/// what is right goes on.
#[test]
fn a_file_is_touched_meanwhile() {
    for (entry, is_recorded, more) in [
        ("a", false, &[][..]),
        ("b/c", true, &[]),
        ("a", false, &["--preserve"]),
        ("d", false, &[]),
    ] {
        for (name, is_right, touch) in touches() {
            let stuck = Stuck::new();
            let running = stuck.start(more);
            if is_recorded {
                stuck.sandbox.fetchd(["checkpoint", "1"]).run().exits(0);
            }
            touch(&stuck.sandbox.part().join(entry));
            let output = stuck.let_go(running);
            let context = format!("{entry} {name}: {}", output.transcript());
            if is_right {
                arrived(&stuck.sandbox, &stuck.sample, output);
                continue;
            }
            stuck.failed(output, 74, "prove it again");
            let sent = stuck.resumes();
            assert!(sent < 7 << 20, "{sent} bytes: {context}");
        }
    }
}

/// What was copied from a file that somebody had changed is as wrong, by whatever name of the
/// content it was linked; and it must not come back from there.
#[test]
fn a_file_is_touched_before_it_is_copied() {
    let large = file(4, 2 << 20);
    let twin = Dag {
        root: Cid::new_v0(*large.root.hash()).expect("a SHA-256"),
        ..large.clone()
    };
    let later = Sample::new().file("twin", &twin);
    let sample = Sample::new().file("a", &large).dir("z", &later);
    let gateway = Gateway::of(&sample.dag())
        .features(Features::RAW)
        .on(
            On::raw().with(later.dag().root.to_string()),
            Fault::HoldAfter(0),
        )
        .start();
    let stuck = Stuck {
        sandbox: Sandbox::new(),
        sample,
        gateway,
    };
    let source = stuck.sample.dag().source();
    let arguments = arguments(&source, &[&stuck.gateway], &[]);
    let mut running = stuck.sandbox.fetchd(arguments).spawn();
    stuck.gateway.held();
    running.wait_bytes(2 << 20);
    write(&stuck.sandbox.part().join("a"), &vec![7; 2 << 20]);
    let output = stuck.let_go(running);
    stuck.failed(output, 74, "fetchd resume 1");
    stuck.resumes();
}
