//! Trees whose part somebody else touches while they are written: nothing foreign and nothing wrong
//! gets the final name, nothing of somebody else's is harmed, and the way on leads to the end.

use std::path::{Path, PathBuf};

use super::sample::Sample;
use super::{arguments, arrived};
use crate::support::dag::{Dag, Recipe};
use crate::support::gateway::{Fault, Features, Gateway, On};
use crate::support::sandbox::{Output, Running, Sandbox};

/// Where the gateway stops sending: in the large file, when the small ones are finished.
const HELD: u64 = 3 << 20;
/// What is proved by then for sure.
const PROVED: u64 = 2 << 20;

fn file(seed: u64, len: usize) -> Dag {
    Recipe::default()
        .seed(seed)
        .chunk(256 << 10)
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
        let deep = Sample::new().file("c", &file(3, 300_000));
        let sample = Sample::new()
            .file("a", &file(1, 500_000))
            .dir("b", &deep)
            .file("d", &file(4, 6 << 20))
            .link("z", "b/c");
        let gateway = Gateway::of(&sample.dag())
            .features(Features::TRUSTLESS)
            .on(On::any(), Fault::HoldAtTotal(HELD))
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
        self.gateway.heal();
        self.gateway.release();
        running.wait()
    }

    fn part(&self) -> PathBuf {
        let parts = self.sandbox.partials();
        assert_eq!(parts.len(), 1, "{parts:?}");
        parts[0].clone()
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
            let (part, moved) = (stuck.part(), stuck.sandbox.target("moved"));
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
    for is_killed in [true, false] {
        for (name, entry, obstruct) in obstacles() {
            let stuck = Stuck::new();
            let running = stuck.start(&[]);
            let outside = stuck.sandbox.target("outside");
            std::fs::create_dir(&outside).expect("a free name");
            let (path, victim) = (stuck.part().join(entry), outside.join("c"));
            write(&victim, b"precious");
            // The answers come side by side: it may have had no turn yet.
            if !path.exists() {
                continue;
            }
            let first = if is_killed {
                running.kill9();
                obstruct(&path, &victim);
                stuck.gateway.heal();
                stuck.sandbox.run(["--json", "resume", "1"])
            } else {
                obstruct(&path, &victim);
                stuck.let_go(running)
            };
            let context = format!("{name}, killed: {is_killed}: {}", first.transcript());
            let holds = path.join("mine").exists() || path.is_file() && path != victim;
            match first.code {
                Some(0) => arrived(&stuck.sandbox, &stuck.sample, first),
                code => {
                    assert!(matches!(code, Some(73 | 74)), "{context}");
                    assert!(!stuck.sandbox.target("tree").exists(), "{context}");
                    let again = stuck.sandbox.run(["--json", "resume", "1"]);
                    let context = format!("{context}\n{}", again.transcript());
                    match again.code {
                        Some(0) => arrived(&stuck.sandbox, &stuck.sample, again),
                        _ => {
                            assert!(holds, "{context}");
                            let words = format!("move {} away", path.display());
                            stuck.failed(again, 73, &words);
                            let aside = stuck.sandbox.target("aside");
                            std::fs::rename(&path, aside).expect("in the way");
                            stuck.resumes();
                        }
                    }
                }
            }
            let precious = std::fs::read(&victim);
            assert!(precious.is_ok_and(|read| read == b"precious"), "{context}");
            let there = std::fs::read_dir(&outside).expect("a directory").count();
            assert_eq!(there, 1, "{context}");
        }
    }
}
