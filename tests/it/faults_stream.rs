//! `-o -` and CAR files among gateways that fail: bytes in order, bounded, and honest endings.

use std::time::Duration;

use crate::support::dag::{Dag, Recipe, seeded};
use crate::support::gateway::{Fault, Features, Gateway, On};
use crate::support::sandbox::{Output, Sandbox};

const MIB: usize = 1 << 20;

fn recipe() -> Recipe {
    Recipe::default().chunk(256 << 10).width(174)
}

fn args<'a>(source: &'a str, gateways: &[&'a str]) -> Vec<&'a str> {
    let mut args = vec!["-q", "get", source, "-o", "-"];
    for gateway in gateways {
        args.extend(["--gateway", gateway]);
    }
    args
}

#[track_caller]
fn streams(dag: &Dag, gateways: &[&Gateway]) -> Output {
    let urls: Vec<&str> = gateways.iter().map(|gateway| gateway.url()).collect();
    let output = Sandbox::new().run(args(&dag.source(), &urls)).exits(0);
    let is_right = output.stdout == dag.data;
    assert!(is_right, "{} bytes: {}", output.stdout.len(), output.stderr);
    output
}

/// The same leaf many times, and a file that is nothing but one leaf repeated.
#[test]
fn repeated_leaves_come_as_often_as_they_should() {
    let (one, two) = (seeded(1, 4096), seeded(2, 4096));
    let mixed: Vec<u8> = (0..300)
        .flat_map(|n| if n % 3 == 0 { &one } else { &two })
        .copied()
        .collect();
    for data in [mixed, one.repeat(500), two.repeat(3)] {
        let dag = Recipe::default().build_bytes(&data);
        for features in [Features::ALL, Features::TRUSTLESS, Features::RAW] {
            let gateways = [(); 2].map(|()| Gateway::of(&dag).features(features).start());
            streams(&dag, &[&gateways[0]]);
            streams(&dag, &[&gateways[0], &gateways[1]]);
        }
    }
}

/// One that drips the bytes which are next in turn, or lies about them, and one that is ahead.
#[test]
fn bytes_come_in_order_whoever_is_ahead() {
    let dag = recipe().build(24 * MIB);
    let drip = Fault::Drip {
        piece: 1,
        pause: Duration::from_millis(100),
    };
    let faults = [drip, Fault::FlipBit(9), Fault::ResetAfter(300_000)];
    for features in [Features::ALL, Features::TRUSTLESS, Features::RAW] {
        for fault in &faults {
            let faulty = Gateway::of(&dag)
                .features(features)
                .on(On::any().from(3), fault.clone())
                .start();
            let honest = Gateway::of(&dag).features(features).start();
            streams(&dag, &[&faulty, &honest]);
        }
    }
}

/// Memory does not grow with what comes too early.
#[cfg(target_os = "linux")]
#[test]
fn what_comes_too_early_does_not_fill_the_memory() {
    let dag = recipe().build(200 * MIB);
    let slow = Fault::Drip {
        piece: 16 << 10,
        pause: Duration::from_millis(3),
    };
    let slow = Gateway::of(&dag).on(On::any(), slow).start();
    let fast = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let source = dag.source();
    let mut running = sandbox
        .fetchd(args(&source, &[slow.url(), fast.url()]))
        .spawn();
    let status = format!("/proc/{}/status", running.id());
    let mut peak = 0;
    while running.is_running() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        peak = peak.max(kib.unwrap_or(0));
        std::thread::yield_now();
    }
    let output = running.wait().exits(0);
    assert!(output.stdout == dag.data, "{}", output.stderr);
    assert!(peak < 64 << 10, "{peak} KiB");
}

/// Nothing is kept of a stream, and nobody is told that it is.
#[test]
fn an_interrupted_stream_promises_nothing() {
    let dag = recipe().build(MIB);
    let gateway = Gateway::of(&dag)
        .on(On::any().from(2), Fault::StallBeforeHeaders)
        .start();
    let sandbox = Sandbox::new();
    let mut args = args(&dag.source(), &[gateway.url()])
        .into_iter()
        .map(str::to_owned)
        .collect::<Vec<_>>();
    args.extend(["--max-time", "500ms"].map(str::to_owned));
    let output = sandbox.run(args).exits(75);
    assert!(!output.stderr.contains("is kept;"), "{}", output.stderr);
    assert!(
        output.stderr.contains("nothing is kept"),
        "{}",
        output.stderr
    );
}

/// A CAR file that is cut is a failed proof where it lacks a block; one that is whole and lacks it
/// does not have it; with a gateway beside it both serve.
#[test]
fn a_cut_car_file_is_a_failed_proof() {
    let dag = Recipe::default().build(100_000);
    let car = dag.car();
    let honest = Gateway::of(&dag).start();
    let mut without = Dag::single(b"something else").car();
    let get = |car: &[u8], more: &[&str]| {
        let sandbox = Sandbox::new();
        std::fs::write(sandbox.target("x.car"), car).expect("a writable sandbox");
        let source = dag.source();
        let get = ["--json", "get", &source, "-o", "file", "--gateway", "x.car"];
        let output = sandbox.run(get.into_iter().chain(more.iter().copied()));
        assert_eq!(sandbox.target("file").exists(), output.code == Some(0));
        output
    };
    get(&car, &[]).exits(0);
    for cut in [car.len() - 1, car.len() / 2, 100] {
        get(&car[..cut], &[]).exits(65);
        get(&car[..cut], &["--gateway", honest.url()]).exits(0);
    }
    get(&without, &[]).exits(69);
    without.push(7);
    get(&without, &[]).exits(65);
}
