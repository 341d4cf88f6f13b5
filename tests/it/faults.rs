//! `get` from gateways that fail and lie: no wrong byte arrives, and every ending is documented.

use std::time::Duration;

use crate::support::dag::{Dag, Recipe};
use crate::support::gateway::{Fault, Features, Gateway, On};
use crate::support::oracle;
use crate::support::sandbox::{Output, Sandbox};
use crate::support::scenario::status;

/// A file of 25 leaves in three levels, small enough to fetch dozens of times.
fn file() -> Dag {
    Recipe::default().build(100_000)
}

#[track_caller]
fn get(dag: &Dag, gateways: &[&str]) -> (Sandbox, Output) {
    let sandbox = Sandbox::new();
    let mut args = vec![
        "--json".to_owned(),
        "get".into(),
        dag.source(),
        "-o".into(),
        "file".into(),
    ];
    args.extend(
        gateways
            .iter()
            .flat_map(|url| ["--gateway".to_owned(), (*url).to_owned()]),
    );
    let output = sandbox.run(args);
    let there = sandbox.target("file").exists();
    assert_eq!(
        there,
        output.code == Some(0),
        "a final name means success\n{}",
        output.transcript()
    );
    if there {
        assert!(
            sandbox.read("file") == dag.data,
            "wrong bytes got a final name\n{}",
            output.transcript()
        );
    }
    oracle::claims_are_true(&sandbox, dag);
    (sandbox, output)
}

/// Everything that a gateway can do wrong, to whatever it is asked.
fn every_fault(dag: &Dag) -> Vec<Fault> {
    let leaf = dag.leaves()[3];
    vec![
        Fault::CloseBeforeHeaders,
        Fault::ResetBeforeHeaders,
        Fault::ResetAfter(0),
        Fault::ResetAfter(10),
        Fault::ResetAfter(50_000),
        Fault::ShortBody(10),
        Fault::ShortBody(50_000),
        Fault::ShortAnswer(0),
        Fault::ShortAnswer(5000),
        Fault::LongBody(1),
        Fault::LongBody(70_000),
        Fault::Endless,
        Fault::EndlessBlocks,
        Fault::status(400),
        Fault::status(401),
        Fault::status(403),
        Fault::status(404),
        Fault::status(406),
        Fault::status(410),
        Fault::status(416),
        Fault::status(418),
        Fault::status(429),
        Fault::status(451),
        Fault::status(500),
        Fault::status(501),
        Fault::status(502),
        Fault::status(503),
        Fault::status(504),
        Fault::status(204),
        Fault::retry_after(429, "3600"),
        Fault::retry_after(503, "Fri, 31 Dec 2100 23:59:59 GMT"),
        Fault::retry_after(503, "soon"),
        Fault::sunset("Mon, 21 Sep 2020 00:00:00 GMT"),
        Fault::redirect("/ipfs/loop"),
        Fault::redirect("http://127.0.0.1:1/"),
        Fault::redirect("ftp://example.com/"),
        Fault::Html200,
        Fault::RangeIgnored,
        Fault::WrongRange(1),
        Fault::FlipBit(0),
        Fault::FlipBit(3),
        Fault::FlipBit(60_000),
        Fault::OtherBlock,
        Fault::TruncatedCarCleanEnd(0),
        Fault::TruncatedCarCleanEnd(4),
        Fault::Reorder,
        Fault::Duplicates,
        Fault::Missing(leaf),
        Fault::Missing(dag.root),
        Fault::ExtraBlocks(5),
        Fault::WrongRoot,
        Fault::GzipHeader,
        Fault::ContentType("text/html"),
        Fault::ErrorTextAfter(0),
        Fault::ErrorTextAfter(20_000),
    ]
}

/// Whatever one gateway does, an honest second one makes it good.
#[test]
fn an_honest_gateway_makes_any_fault_good() {
    let dag = file();
    for features in [
        Features::ALL,
        Features::TRUSTLESS,
        Features::WHOLE_CAR,
        Features::RAW,
    ] {
        let honest = Gateway::of(&dag).features(features).start();
        for fault in every_fault(&dag) {
            let faulty = Gateway::of(&dag)
                .features(features)
                .on(On::any(), fault.clone())
                .start();
            let (_, output) = get(&dag, &[faulty.url(), honest.url()]);
            assert_eq!(
                output.code,
                Some(0),
                "{fault:?} of {features:?}\n{}",
                output.transcript()
            );
        }
    }
}

/// A gateway that fails now and then is enough.
#[test]
fn a_passing_fault_costs_time_only() {
    let dag = file();
    let faults = [
        Fault::CloseBeforeHeaders,
        Fault::ResetBeforeHeaders,
        Fault::ResetAfter(10),
        Fault::ResetAfter(50_000),
        Fault::ShortBody(50_000),
        Fault::StallAfter(5000),
        Fault::status(500),
        Fault::status(503),
        Fault::status(504),
        Fault::retry_after(429, "0"),
        Fault::TruncatedCarCleanEnd(4),
    ];
    for features in [Features::ALL, Features::TRUSTLESS, Features::RAW] {
        for fault in &faults {
            let gateway = Gateway::of(&dag)
                .features(features)
                .on(On::any().nth(2), fault.clone())
                .start();
            let (_, output) = get(&dag, &[gateway.url()]);
            assert_eq!(
                output.code,
                Some(0),
                "{fault:?} of {features:?}\n{}",
                output.transcript()
            );
        }
    }
}

/// One lie ends one form of asking; another form is left.
#[test]
fn a_passing_lie_costs_one_form() {
    let dag = file();
    for fault in [
        Fault::FlipBit(3),
        Fault::OtherBlock,
        Fault::ErrorTextAfter(0),
        Fault::ErrorTextAfter(20_000),
    ] {
        for features in [Features::ALL, Features::TRUSTLESS] {
            let rule = On::any().nth(2);
            let gateway = Gateway::of(&dag)
                .features(features)
                .on(rule, fault.clone())
                .start();
            let (_, output) = get(&dag, &[gateway.url()]);
            assert_eq!(
                output.code,
                Some(0),
                "{fault:?} of {features:?}\n{}",
                output.transcript()
            );
        }
    }
}

/// What is legal, if unusual, is no fault: nothing is blamed for it.
#[test]
fn odd_but_legal_answers() {
    let dag = file();
    let legal = [
        Fault::Duplicates,
        Fault::Reorder,
        Fault::ExtraBlocks(3),
        Fault::Drip {
            piece: 1000,
            pause: Duration::ZERO,
        },
        Fault::RangeIgnored,
    ];
    for fault in legal {
        let gateway = Gateway::of(&dag)
            .features(Features::TRUSTLESS)
            .on(On::any(), fault.clone())
            .start();
        let (_, output) = get(&dag, &[gateway.url()]);
        assert_eq!(output.code, Some(0), "{fault:?}\n{}", output.transcript());
        assert!(
            output.events_of("rejected").is_empty(),
            "{fault:?}\n{}",
            output.transcript()
        );
    }
}

#[track_caller]
fn alone(fault: Fault, code: i32, status_after: &str) -> usize {
    let dag = file();
    let gateway = Gateway::of(&dag).on(On::any(), fault.clone()).start();
    let (sandbox, output) = get(&dag, &[gateway.url()]);
    assert_eq!(
        output.code,
        Some(code),
        "{fault:?}\n{}",
        output.transcript()
    );
    assert_eq!(
        status(&sandbox),
        status_after,
        "{fault:?}\n{}",
        output.transcript()
    );
    let failed = output.events_of("failed");
    assert_eq!(failed.len(), 1, "{fault:?}\n{}", output.transcript());
    assert_eq!(
        (&failed[0]["exit_code"], &failed[0]["resumable"]),
        (&code.into(), &(status_after == "paused").into())
    );
    gateway.requests().len()
}

#[test]
fn nobody_there_can_be_tried_again() {
    for fault in [
        Fault::CloseBeforeHeaders,
        Fault::ResetBeforeHeaders,
        Fault::ResetAfter(0),
        Fault::status(429),
        Fault::status(500),
        Fault::status(502),
        Fault::status(503),
        Fault::status(504),
    ] {
        let requests = alone(fault.clone(), 75, "paused");
        assert!(
            (2..=12).contains(&requests),
            "{fault:?}: {requests} requests"
        );
    }
    let (sandbox, output) = get(&file(), &[&Gateway::refusing()]);
    output.exits(75);
    assert_eq!(status(&sandbox), "paused");
}

#[test]
fn silence_is_a_retry() {
    alone(Fault::StallBeforeHeaders, 75, "paused");
    alone(Fault::StallAfter(20), 75, "paused");
}

#[test]
fn a_long_wait_is_left_to_the_caller() {
    let started = std::time::Instant::now();
    alone(Fault::retry_after(429, "3600"), 75, "paused");
    assert!(started.elapsed() < Duration::from_secs(20), "it waited");
}

#[test]
fn a_short_wait_is_kept() {
    let dag = file();
    let gateway = Gateway::of(&dag)
        .on(On::any().first(1), Fault::retry_after(429, "1"))
        .start();
    let started = std::time::Instant::now();
    get(&dag, &[gateway.url()]).1.exits(0);
    assert!(
        started.elapsed() >= Duration::from_secs(1),
        "it came too early"
    );
}

#[test]
fn a_definite_no_is_final() {
    for code in [404, 410] {
        let requests = alone(Fault::status(code), 69, "failed");
        assert!(requests <= 6, "{code}: {requests} requests");
    }
}

#[test]
fn rejected_credentials_are_refused() {
    for code in [401, 403, 451] {
        alone(Fault::status(code), 77, "failed");
    }
}

#[test]
fn a_retired_gateway_is_asked_no_more() {
    let requests = alone(Fault::sunset("Mon, 21 Sep 2020 00:00:00 GMT"), 75, "paused");
    assert!(requests <= 2, "{requests} requests");
}

#[test]
fn only_lies_are_a_failed_proof() {
    for fault in [Fault::FlipBit(3), Fault::OtherBlock] {
        alone(fault, 65, "failed");
    }
}

#[test]
fn an_endless_body_is_cut() {
    let dag = file();
    for fault in [Fault::Endless, Fault::EndlessBlocks] {
        for features in [Features::TRUSTLESS, Features::WHOLE_CAR, Features::RAW] {
            let gateway = Gateway::of(&dag)
                .features(features)
                .on(On::any(), fault.clone())
                .start();
            get(&dag, &[gateway.url()]);
            // Socket buffers take some megabytes that nobody reads.
            assert!(
                gateway.sent() < 200 << 20,
                "{fault:?} {features:?}: {} bytes",
                gateway.sent()
            );
        }
    }
}

/// Two liars and one honest gateway: the file is right, and the record names the liars.
#[test]
fn liars_are_named() {
    let dag = file();
    for features in [Features::ALL, Features::TRUSTLESS, Features::RAW] {
        let honest = Gateway::of(&dag).features(features).start();
        let liars: Vec<Gateway> = [Fault::FlipBit(60_001), Fault::OtherBlock]
            .map(|lie| {
                Gateway::of(&dag)
                    .features(features)
                    .on(On::any(), lie)
                    .start()
            })
            .into();
        let (sandbox, output) = get(&dag, &[liars[0].url(), liars[1].url(), honest.url()]);
        let output = output.exits(0);
        let rejected = output.events_of("rejected");
        assert!(
            !rejected.is_empty(),
            "{features:?}\n{}",
            output.transcript()
        );
        for event in &rejected {
            assert!(
                liars.iter().any(|liar| event["url"] == liar.url()),
                "blamed an honest one: {event}"
            );
        }
        let shown = sandbox.run(["--json", "show", "1"]).exits(0).document();
        let receipt = &shown["download"]["receipt"];
        let providers = receipt["providers"].as_array().expect("a list");
        for provider in providers {
            let lied = provider["rejected"].as_u64().expect("a count") > 0;
            assert_eq!(
                lied,
                rejected.iter().any(|event| event["url"] == provider["url"]),
                "{provider}"
            );
        }
        let kept: u64 = providers
            .iter()
            .filter_map(|provider| provider["bytes"].as_u64())
            .sum();
        assert!(kept >= dag.data.len() as u64, "{receipt}");
    }
}

/// Hashes are right and the structure is not: no gateway can mend that.
#[test]
fn lying_structure_is_a_failed_proof() {
    let dag = file();
    let lies = [
        (
            "filesize too small",
            dag.with_root(|_, unixfs| unixfs.filesize = Some(99_999)),
        ),
        (
            "filesize too large",
            dag.with_root(|_, unixfs| unixfs.filesize = Some(u64::MAX)),
        ),
        (
            "a blocksize too small",
            dag.with_root(|_, unixfs| {
                unixfs.blocksizes[0] -= 1;
                unixfs.filesize = Some(99_999);
            }),
        ),
        (
            "a blocksize too large",
            dag.with_root(|_, unixfs| {
                unixfs.blocksizes[1] += 1;
                unixfs.filesize = Some(100_001);
            }),
        ),
        (
            "blocksizes that overflow",
            dag.with_root(|_, unixfs| unixfs.blocksizes = vec![u64::MAX; 2]),
        ),
        (
            "a blocksize too few",
            dag.with_root(|_, unixfs| {
                unixfs.blocksizes.pop();
            }),
        ),
        (
            "a link with a name",
            dag.with_root(|node, _| node.links[0].name = Some("x".into())),
        ),
    ];
    for (name, liar) in lies {
        for features in [Features::TRUSTLESS, Features::RAW] {
            let gateway = Gateway::of(&liar).features(features).start();
            let (_, output) = get(&liar, &[gateway.url()]);
            assert_eq!(output.code, Some(65), "{name}\n{}", output.transcript());
        }
    }
}
