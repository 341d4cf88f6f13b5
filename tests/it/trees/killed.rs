//! Trees whose download is killed, stopped or tampered with half-way, and gone on with.

use std::path::{Path, PathBuf};

use super::sample::{Sample, stands_as};
use super::{arguments, arrived};
use crate::support::dag::{Dag, Recipe};
use crate::support::gateway::{Fault, Features, Gateway, On};
use crate::support::oracle;
use crate::support::sandbox::{Output, Running, Sandbox};
use crate::support::scenario::{before_the_record, status};

const LEAF: u64 = 256 << 10;

/// Forty directories of ten files of a few kilobytes.
fn many_small() -> Sample {
    let dir = |dir: u64| {
        let files: Vec<Dag> = (0..10)
            .map(|n| Recipe::default().seed(dir * 100 + n).build(4_000))
            .collect();
        Sample::new().files((0..10).map(|n| format!("{n}.bin")).zip(&files))
    };
    (0..40).fold(Sample::new(), |sample, n| {
        sample.dir(&format!("dir-{n:02}"), &dir(n))
    })
}

/// Two large files among small ones, and what else a tree holds.
fn some_large() -> Sample {
    let large = |seed| {
        Recipe::default()
            .seed(seed)
            .chunk(256 << 10)
            .width(16)
            .build(6 << 20)
    };
    Sample::new()
        .file("a.bin", &large(1))
        .dir(
            "b",
            &Sample::new()
                .file("c.bin", &large(2))
                .file("small", &large_twin()),
        )
        .dir("empty", &Sample::new())
        .file("small", &large_twin())
        .link("z", "b/c.bin")
}

fn large_twin() -> Dag {
    Recipe::default().seed(3).build(20_000)
}

/// A `get` that has proved this many bytes from a gateway that holds the rest back.
fn stuck(sandbox: &Sandbox, dag: &Dag, gateway: &Gateway, proved: u64) -> Running {
    let mut running = sandbox
        .fetchd(arguments(&dag.source(), &[gateway], &[]))
        .spawn();
    gateway.held();
    running.wait_bytes(proved);
    running
}

/// Resumes from a healed gateway; returns the bytes that it sent.
#[track_caller]
fn resumes(sandbox: &Sandbox, sample: &Sample, gateway: &Gateway) -> u64 {
    gateway.heal();
    let before = gateway.sent();
    let output = sandbox.run(["--json", "resume", "1"]);
    assert_eq!(
        output.code,
        Some(0),
        "{}\n{}",
        output.transcript(),
        gateway.story()
    );
    arrived(sandbox, sample, output);
    assert!(sandbox.partials().is_empty());
    gateway.sent() - before
}

/// The one part directory.
fn part(sandbox: &Sandbox) -> PathBuf {
    let parts = sandbox.partials();
    assert_eq!(parts.len(), 1, "{parts:?}");
    parts[0].clone()
}

#[test]
fn many_small_files_are_hardly_fetched_again() {
    let sample = many_small();
    let dag = sample.dag();
    for features in [
        Features::RAW,
        Features::TRUSTLESS,
        Features::WHOLE_CAR,
        Features::ALL,
    ] {
        for eighths in [1, 4, 7] {
            let held = sample.size() * eighths / 8;
            let gateway = Gateway::of(&dag)
                .features(features)
                .on(On::any(), Fault::HoldAtTotal(held))
                .start();
            let sandbox = Sandbox::new();
            let proved = held.saturating_sub(sample.size() / 16 + 40_000);
            stuck(&sandbox, &dag, &gateway, proved).kill9();
            assert!(!sandbox.target("tree").exists());
            assert_eq!(status(&sandbox), "paused", "reaped");
            let sent = resumes(&sandbox, &sample, &gateway);
            let missing = sample.size() - proved;
            assert!(
                sent <= missing + sample.size() / 10 + 60_000,
                "{features:?} {eighths}/8: {sent} bytes where {missing} of {} were missing\n{}",
                sample.size(),
                gateway.story()
            );
        }
    }
}

#[test]
fn large_files_go_on_at_the_leaf() {
    let sample = some_large();
    let dag = sample.dag();
    let plain = Features {
        plain: true,
        range: true,
        ..Features::RAW
    };
    for features in [Features::TRUSTLESS, Features::RAW, plain] {
        for held in [3 << 20 | 1000, 8 << 20 | 1000] {
            let gateway = Gateway::of(&dag)
                .features(features)
                .on(On::any(), Fault::HoldAtTotal(held))
                .start();
            let sandbox = Sandbox::new();
            let proved = held - 6 * LEAF;
            stuck(&sandbox, &dag, &gateway, proved).kill9();
            let sent = resumes(&sandbox, &sample, &gateway);
            let missing = sample.size() - proved;
            assert!(
                sent <= missing + 4 * LEAF,
                "{features:?} {held}: {sent} bytes where {missing} were missing\n{}",
                gateway.story()
            );
        }
    }
}

#[test]
fn killed_again_and_again() {
    let sample = some_large();
    let dag = sample.dag();
    let gateway = Gateway::of(&dag).features(Features::TRUSTLESS).start();
    let sandbox = Sandbox::new();
    for step in 1..=4u64 {
        gateway.add(On::car(), Fault::HoldAfter(2 << 20));
        let args = match step {
            1 => arguments(&dag.source(), &[&gateway], &[]),
            _ => ["--json", "resume", "1"].map(str::to_owned).into(),
        };
        let mut running = sandbox.fetchd(args).spawn();
        gateway.held();
        running.wait_bytes(step * (3 << 19));
        running.kill9();
        gateway.heal();
    }
    resumes(&sandbox, &sample, &gateway);
    assert!(
        gateway.sent() < 2 * sample.size(),
        "{} bytes",
        gateway.sent()
    );
}

#[test]
fn stopped_by_a_signal_or_from_elsewhere() {
    let sample = many_small();
    let dag = sample.dag();
    let held = sample.size() / 2;
    for how in ["INT", "TERM", "pause"] {
        let gateway = Gateway::of(&dag)
            .features(Features::TRUSTLESS)
            .on(On::any(), Fault::HoldAtTotal(held))
            .start();
        let sandbox = Sandbox::new();
        let proved = held - sample.size() / 8;
        let running = stuck(&sandbox, &dag, &gateway, proved);
        let code = match how {
            "INT" => 130,
            "TERM" => 143,
            _ => 81,
        };
        if how == "pause" {
            sandbox.fetchd(["pause", "1"]).run().exits(0);
        } else {
            running.signal(how);
        }
        let output = running.wait().exits(code);
        oracle::check(&sandbox, &output);
        assert!(
            !output.events_of("checkpoint").is_empty(),
            "{}",
            output.transcript()
        );
        assert_eq!(status(&sandbox), "paused");
        let sent = resumes(&sandbox, &sample, &gateway);
        let missing = sample.size() - proved;
        assert!(
            sent <= missing + sample.size() / 10 + 60_000,
            "{how}: {sent} of {missing}"
        );
    }
}

#[test]
fn cancelled_the_part_goes_unless_it_is_to_be_kept() {
    let sample = many_small();
    let dag = sample.dag();
    for (alive, keep) in [(true, false), (true, true), (false, false), (false, true)] {
        let gateway = Gateway::of(&dag)
            .on(On::any(), Fault::HoldAtTotal(sample.size() / 2))
            .start();
        let sandbox = Sandbox::new();
        let running = stuck(&sandbox, &dag, &gateway, sample.size() / 4);
        let mut args = vec!["cancel", "1"];
        args.extend(keep.then_some("--keep-partial"));
        if alive {
            sandbox.fetchd(args).run().exits(0);
            running.wait().exits(81);
        } else {
            running.kill9();
            sandbox.run(args).exits(0);
        }
        assert_eq!(status(&sandbox), "cancelled");
        assert_eq!(
            sandbox.partials().len(),
            usize::from(keep),
            "alive: {alive}"
        );
        gateway.heal();
        let output = sandbox
            .fetchd(arguments(&dag.source(), &[&gateway], &[]))
            .run();
        arrived(&sandbox, &sample, output);
    }
}

/// What somebody does to a part while nobody works on it.
type Harm = (&'static str, fn(&Path));

fn write(path: PathBuf, bytes: &[u8]) {
    std::fs::write(path, bytes).expect("a writable part");
}

fn harms() -> Vec<Harm> {
    vec![
        ("a bit changed", |part| {
            let path = part.join("a.bin");
            let mut bytes = std::fs::read(&path).expect("the file");
            bytes[100] ^= 1;
            write(path, &bytes);
        }),
        ("cut off", |part| write(part.join("a.bin"), b"short")),
        ("made longer", |part| {
            let path = part.join("a.bin");
            let mut bytes = std::fs::read(&path).expect("the file");
            bytes.resize(9 << 20, 7);
            write(path, &bytes);
        }),
        ("a finished file changed", |part| {
            write(part.join("small"), &[9; 20_000])
        }),
        ("a file deleted", |part| {
            std::fs::remove_file(part.join("a.bin")).expect("the file");
        }),
        ("a directory deleted", |part| {
            std::fs::remove_dir_all(part.join("b")).expect("the directory");
        }),
        ("everything in it deleted", |part| {
            for name in ["a.bin", "small"] {
                std::fs::remove_file(part.join(name)).expect("the file");
            }
            std::fs::remove_dir_all(part.join("b")).expect("the directory");
        }),
        ("all of it deleted", |part| {
            std::fs::remove_dir_all(part).expect("the part");
        }),
        ("a file became a link", |part| {
            let outside = part.with_file_name("outside");
            write(outside.clone(), b"not ours");
            std::fs::remove_file(part.join("a.bin")).expect("the file");
            std::os::unix::fs::symlink(outside, part.join("a.bin")).expect("a link");
        }),
        ("a file became a directory", |part| {
            std::fs::remove_file(part.join("a.bin")).expect("the file");
            std::fs::create_dir(part.join("a.bin")).expect("a directory");
        }),
        ("a directory became a link", |part| {
            let outside = part.with_file_name("elsewhere");
            std::fs::create_dir(&outside).expect("a directory");
            std::fs::remove_dir_all(part.join("b")).expect("the directory");
            std::os::unix::fs::symlink(outside, part.join("b")).expect("a link");
        }),
        ("something added", |part| {
            write(part.join("b").join("evil"), b"not in the DAG")
        }),
        ("the part became a file", |part| {
            std::fs::remove_dir_all(part).expect("the part");
            write(part.to_path_buf(), b"a file");
        }),
        ("the part became a link", |part| {
            let outside = part.with_file_name("elsewhere");
            std::fs::create_dir(&outside).expect("a directory");
            std::fs::remove_dir_all(part).expect("the part");
            std::os::unix::fs::symlink(outside, part).expect("a link");
        }),
    ]
}

/// The right bytes in the end, or a documented failure; never anything else under the final name,
/// and nothing written elsewhere.
#[test]
fn a_part_that_somebody_touched() {
    let sample = some_large();
    let dag = sample.dag();
    for checkpointed in [true, false] {
        for (name, harm) in harms() {
            let gateway = Gateway::of(&dag)
                .features(Features::RAW)
                .on(On::any(), Fault::HoldAtTotal(10 << 20 | 1000))
                .start();
            let sandbox = Sandbox::new();
            let running = stuck(&sandbox, &dag, &gateway, 8 << 20);
            if checkpointed {
                running.signal("TERM");
                running.wait().exits(143);
            } else {
                running.kill9();
            }
            harm(&part(&sandbox));
            gateway.heal();
            let output = sandbox.fetchd(["--json", "resume", "1"]).run();
            let context = format!(
                "{name}, checkpointed: {checkpointed}: {}",
                output.transcript()
            );
            match output.code {
                Some(0) => stands_as(&sandbox.target("tree"), &sample.expected, &context),
                Some(73 | 74) => assert!(!sandbox.target("tree").exists(), "{context}"),
                _ => panic!("{context}"),
            }
            if let Ok(outside) = std::fs::read(sandbox.target("outside")) {
                assert_eq!(outside, b"not ours", "{context}");
            }
            if let Ok(mut entries) = std::fs::read_dir(sandbox.target("elsewhere")) {
                assert!(entries.next().is_none(), "{context}");
            }
        }
    }
}

/// Killed between the rename and its record: what is in place is found out without a request. After
/// a power cut files may have older times than the record says; they are proved once more.
#[test]
fn renamed_and_not_recorded() {
    let sample = some_large();
    let dag = sample.dag();
    for is_touched in [false, true] {
        let gateway = Gateway::of(&dag).start();
        let sandbox = Sandbox::new();
        let output = sandbox.run(arguments(&dag.source(), &[&gateway], &[]));
        arrived(&sandbox, &sample, output);
        before_the_record(&sandbox);
        for name in sample.expected.keys().filter(|_| is_touched) {
            touch(&sandbox.target("tree").join(name));
        }
        let before = gateway.requests().len();
        let output = sandbox.run(["--json", "resume", "1"]);
        arrived(&sandbox, &sample, output);
        assert_eq!(gateway.requests().len(), before, "{}", gateway.story());
    }
}

/// Killed there, and then somebody did something to it that no proof of its bytes shows.
#[test]
fn what_is_in_place_and_is_not_all_of_it_is_not_taken() {
    type Harm = fn(&std::path::Path);
    let harms: [(&str, Harm); 4] = [
        ("longer", |tree| {
            let mut bytes = std::fs::read(tree.join("large")).expect("a file");
            bytes.extend(b"more");
            write(tree.join("large"), &bytes);
        }),
        ("another link", |tree| {
            std::fs::remove_file(tree.join("link")).expect("a link");
            std::os::unix::fs::symlink("elsewhere", tree.join("link")).expect("a free name");
        }),
        ("no link", |tree| {
            std::fs::remove_file(tree.join("link")).expect("a link");
        }),
        ("no directory", |tree| {
            std::fs::remove_dir(tree.join("empty")).expect("a directory");
        }),
    ];
    let large = Recipe::default().chunk(64 << 10).width(16).build(1 << 20);
    let sample = Sample::new()
        .dir("empty", &Sample::new())
        .file("large", &large)
        .link("link", "large");
    let dag = sample.dag();
    for (name, harm) in harms {
        let gateway = Gateway::of(&dag).start();
        let sandbox = Sandbox::new();
        let output = sandbox.run(arguments(&dag.source(), &[&gateway], &[]));
        arrived(&sandbox, &sample, output);
        before_the_record(&sandbox);
        harm(&sandbox.target("tree"));
        let output = sandbox.run(["--json", "resume", "1"]).exits(73);
        assert!(output.events_of("finished").is_empty(), "{name}");
        std::fs::rename(sandbox.target("tree"), sandbox.target("aside")).expect("moved");
        let output = sandbox.run(["--json", "resume", "1"]);
        arrived(&sandbox, &sample, output);
    }
}

/// Gives a file another time.
fn touch(path: &std::path::Path) {
    let file = std::fs::File::options().write(true).open(path);
    if let Ok(file) = file {
        file.set_modified(std::time::UNIX_EPOCH)
            .expect("a file of ours");
    }
}

#[test]
fn somebody_elses_target_is_left_alone() {
    let sample = many_small();
    let dag = sample.dag();
    let gateway = Gateway::of(&dag)
        .on(On::any(), Fault::HoldAtTotal(sample.size() / 2))
        .start();
    let sandbox = Sandbox::new();
    let running = stuck(&sandbox, &dag, &gateway, sample.size() / 4);
    std::fs::create_dir(sandbox.target("tree")).expect("a writable sandbox");
    write(sandbox.target("tree/mine"), b"mine");
    gateway.let_go();
    let output = running.wait().exits(73);
    oracle::check(&sandbox, &output);
    assert_eq!(sandbox.read("tree/mine"), b"mine");
    assert_eq!(status(&sandbox), "paused");
    let before = gateway.requests().len();
    let output: Output = sandbox.run(["--json", "resume", "1"]).exits(73);
    assert!(output.events_of("failed")[0]["hint"].is_string());
    std::fs::remove_dir_all(sandbox.target("tree")).expect("ours to remove");
    resumes(&sandbox, &sample, &gateway);
    assert_eq!(gateway.requests().len(), before, "{}", gateway.story());
}

/// What an earlier run finished is copied from there, also where its twin is found only later.
#[test]
fn a_twin_of_what_is_finished_is_not_fetched_again() {
    let file = Recipe::default().seed(9).chunk(64 << 10).build(2 << 20);
    let later = Sample::new().file("twin.bin", &file);
    let sample = Sample::new()
        .dir("a", &Sample::new().file("file.bin", &file))
        .dir("z", &later);
    let dag = sample.dag();
    for signal in ["TERM", "KILL"] {
        let hidden = On::raw().with(later.dag().root.to_string());
        let gateway = Gateway::of(&dag)
            .features(Features::RAW)
            .on(hidden, Fault::HoldAfter(0))
            .start();
        let sandbox = Sandbox::new();
        let running = stuck(&sandbox, &dag, &gateway, 2 << 20);
        if signal == "TERM" {
            sandbox.fetchd(["checkpoint", "1"]).run().exits(0);
        }
        running.signal(signal);
        running.wait();
        let sent = resumes(&sandbox, &sample, &gateway);
        assert!(sent < 100_000, "{sent} {signal}\n{}", gateway.story());
    }
}
