//! One file from gateways that fail in part, alone and together with sound ones: what is sound is
//! used, who is not is named, and nothing is fetched twice without need.
//!
//! Numbers in brackets are those of the field hazards that a test stands for.

use std::time::Duration;

use serde_json::Value;

use crate::support::dag::{Dag, Recipe};
use crate::support::gateway::{Builder, Fault, Features, Gateway, Kind, On};
use crate::support::oracle;
use crate::support::sandbox::{Output, Sandbox};
use crate::support::scenario;

const MIB: usize = 1 << 20;
/// Slow enough that nobody waits for it: one byte at a time.
const DRIP: Fault = Fault::Drip {
    piece: 1,
    pause: Duration::from_millis(100),
};

/// 25 leaves in three levels.
fn small() -> Dag {
    Recipe::default().build(100_000)
}

/// Leaves of 256 KiB in two levels, so many mebibytes.
fn large(mebibytes: usize) -> Dag {
    Recipe::default()
        .chunk(256 << 10)
        .width(174)
        .build(mebibytes * MIB)
}

fn plain_and_raw() -> Features {
    Features {
        range: true,
        plain: true,
        ..Features::RAW
    }
}

/// `get`, and what must hold however it ends.
#[track_caller]
fn get(sandbox: &Sandbox, dag: &Dag, gateways: &[&Gateway]) -> Output {
    let output = scenario::get(sandbox, dag, gateways);
    let there = sandbox.target("file").exists();
    assert_eq!(there, output.code == Some(0), "{}", output.transcript());
    if there {
        let is_right = sandbox.read("file") == dag.data;
        assert!(is_right, "wrong bytes\n{}", output.transcript());
        receipt_adds_up(dag, &output);
    }
    oracle::claims_are_true(sandbox, dag);
    output
}

#[track_caller]
fn arrives(dag: &Dag, gateways: &[&Gateway]) -> Output {
    let output = get(&Sandbox::new(), dag, gateways);
    let stories: String = gateways.iter().map(|gateway| gateway.story()).collect();
    assert_eq!(output.code, Some(0), "{}{stories}", output.transcript());
    output
}

#[track_caller]
fn ends_alone(dag: &Dag, gateway: Builder, code: i32) -> Output {
    let gateway = gateway.start();
    let output = get(&Sandbox::new(), dag, &[&gateway]);
    let story = gateway.story();
    assert_eq!(output.code, Some(code), "{}{story}", output.transcript());
    output
}

fn count(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_default()
}

/// The receipt of a finished download: every byte of the file came from one of the providers, and
/// what was received is what was useful and what was not.
#[track_caller]
fn receipt_adds_up(dag: &Dag, output: &Output) {
    let finished = &output.events_of("finished")[0];
    let providers = finished["providers"].as_array().expect("a list");
    let sum = |key: &str| providers.iter().map(|line| count(line, key)).sum::<u64>();
    let size = dag.data.len() as u64;
    assert_eq!(sum("bytes"), size, "{finished}");
    assert!(count(finished, "bytes_fetched") >= size, "{finished}");
    assert!(
        sum("wasted") <= count(finished, "bytes_wasted"),
        "{finished}"
    );
    let most = count(finished, "bytes_fetched") - size;
    assert!(count(finished, "bytes_wasted") <= most, "{finished}");
}

/// What one provider's line of the receipt says.
#[track_caller]
fn line(output: &Output, gateway: &Gateway) -> Value {
    let finished = &output.events_of("finished")[0];
    let lines = finished["providers"].as_array().expect("a list");
    let line = lines.iter().find(|line| line["url"] == gateway.url());
    line.cloned().unwrap_or(Value::Null)
}

/// A form that does not work is left for one that does [3, 4, 5, 6, 7, 8, 10, 11, 16].
#[test]
fn one_bad_form_of_a_lone_gateway_is_no_obstacle() {
    let dag = small();
    let ranges = [
        Fault::status(503),
        Fault::status(403),
        Fault::status(451),
        Fault::status(404),
        Fault::status(410),
        Fault::status(416),
        Fault::Html200,
        Fault::RangeIgnored,
        Fault::WrongRange(7),
        Fault::ShortBody(10),
        Fault::ShortAnswer(10),
        Fault::LongBody(10),
        Fault::Endless,
        Fault::GzipHeader,
        Fault::FlipBit(0),
        Fault::OtherBlock,
        Fault::ErrorTextAfter(100),
        Fault::redirect("/ipfs/loop"),
    ];
    for fault in ranges {
        for features in [Features::ALL, plain_and_raw()] {
            let gateway = Gateway::of(&dag).features(features);
            ends_alone(&dag, gateway.on(On::range(), fault.clone()), 0);
        }
    }
    let cars = [
        Fault::status(403),
        Fault::status(406),
        Fault::Html200,
        Fault::WrongRoot,
        Fault::Reorder,
        Fault::Duplicates,
        Fault::ExtraBlocks(50),
        Fault::EndlessBlocks,
        Fault::Endless,
        Fault::TruncatedCarCleanEnd(0),
        Fault::TruncatedCarCleanEnd(1),
        Fault::TruncatedCarCleanEnd(4),
        Fault::ShortAnswer(1000),
        Fault::ErrorTextAfter(9000),
        Fault::FlipBit(20_000),
        Fault::GzipHeader,
    ];
    for fault in cars {
        let gateway = Gateway::of(&dag).features(Features::TRUSTLESS);
        ends_alone(&dag, gateway.on(On::car(), fault), 0);
    }
    let raws = [
        Fault::status(403),
        Fault::status(406),
        Fault::status(404),
        Fault::Html200,
        Fault::LongBody(3 * MIB),
        Fault::Endless,
        Fault::OtherBlock,
        Fault::GzipHeader,
    ];
    for fault in raws {
        let gateway = Gateway::of(&dag).features(Features::TRUSTLESS);
        ends_alone(&dag, gateway.on(On::raw(), fault), 0);
    }
}

/// What can never prove anything is refused or a failed proof, not "try again".
#[test]
fn a_body_that_is_no_block_is_not_worth_a_retry() {
    let dag = small();
    for fault in [Fault::LongBody(3 * MIB), Fault::Endless] {
        let gateway = Gateway::of(&dag).features(Features::RAW);
        ends_alone(&dag, gateway.on(On::any(), fault), 77);
    }
    let bytes = Recipe::default().chunk(3 * MIB).build(3 * MIB);
    ends_alone(&bytes, Gateway::of(&bytes), 77);
}

/// Requests that are under way together and fail together are one failure, not four.
#[test]
fn one_blip_under_many_requests_is_one_failure() {
    let dag = large(12);
    for fault in [
        Fault::CloseBeforeHeaders,
        Fault::status(503),
        Fault::retry_after(429, "0"),
    ] {
        let sandbox = Sandbox::new();
        sandbox.config("max_retries = 2");
        let mut gateway = Gateway::of(&dag).features(Features::RAW);
        for n in 20..24 {
            gateway = gateway.on(On::any().nth(n), fault.clone());
        }
        let gateway = gateway.start();
        get(&sandbox, &dag, &[&gateway]).exits(0);
    }
}

/// A server that sends whole CARs only is not taken for one that knows windows because a small
/// file gave no reason to think otherwise [10].
#[test]
fn windows_are_learnt_from_windows_only() {
    let (little, big) = (small(), large(44));
    let sandbox = Sandbox::new();
    let whole = Gateway::of(&little)
        .dag(&big)
        .features(Features::WHOLE_CAR)
        .start();
    get(&sandbox, &little, &[&whole]).exits(0);
    std::fs::remove_file(sandbox.target("file")).expect("a file");
    let source = big.source();
    let first = Gateway::of(&big)
        .features(Features::TRUSTLESS)
        .on(On::any(), Fault::HoldAtTotal(40 * MIB as u64))
        .start();
    let args = ["--json", "get", &source, "-o", "big", "--gateway"];
    let mut running = sandbox
        .fetchd(args.into_iter().chain([first.url()]))
        .spawn();
    first.held();
    running.wait_event(|event| {
        event["type"] == "progress" && count(event, "bytes") >= 38 * MIB as u64
    });
    running.signal("TERM");
    running.wait().exits(143);
    let resume = ["--json", "resume", "2", "--gateway", whole.url()];
    let output = sandbox.run(resume).exits(0);
    assert!(sandbox.read("big") == big.data, "{}", output.transcript());
}

/// Who drips, stalls or keeps silent is overtaken by who does not [14, 26].
#[test]
fn an_honest_one_need_not_wait_for_a_slow_one() {
    let dag = large(12);
    for features in [Features::ALL, Features::TRUSTLESS, Features::RAW] {
        for fault in [DRIP, Fault::StallBeforeHeaders, Fault::StallAfter(100)] {
            for on in [On::any(), On::any().from(2), On::any().from(4)] {
                let slow = Gateway::of(&dag).features(features).on(on, fault.clone());
                let slow = slow.start();
                let honest = Gateway::of(&dag).features(features).start();
                let sandbox = Sandbox::new();
                sandbox.config("stall_timeout = \"100s\"\nfirst_byte_timeout = \"100s\"");
                get(&sandbox, &dag, &[&slow, &honest]).exits(0);
            }
        }
    }
}

/// Several that keep silent do not hold all connections.
#[test]
fn the_silent_leave_room_for_the_honest() {
    let dag = large(3);
    let silent: Vec<Gateway> = (0..3)
        .map(|_| {
            let gateway = Gateway::of(&dag).features(Features::RAW);
            gateway
                .on(On::any().from(2), Fault::StallBeforeHeaders)
                .start()
        })
        .collect();
    let honest = Gateway::of(&dag).features(Features::RAW).start();
    let sandbox = Sandbox::new();
    sandbox.config("stall_timeout = \"100s\"\nfirst_byte_timeout = \"100s\"");
    let gateways: Vec<&Gateway> = silent.iter().chain([&honest]).collect();
    get(&sandbox, &dag, &gateways).exits(0);
}

/// Slower than `min_speed` is given up, alone with "try again".
#[test]
fn slower_than_min_speed_is_given_up() {
    let dag = large(4);
    let slow = Fault::Drip {
        piece: 1000,
        pause: Duration::from_millis(10),
    };
    let sandbox = Sandbox::new();
    sandbox.config("min_speed = \"1M\"");
    let gateway = Gateway::of(&dag)
        .features(plain_and_raw())
        .on(On::range(), slow)
        .start();
    let output = get(&sandbox, &dag, &[&gateway]).exits(0);
    let blamed = output.transcript().contains("min_speed");
    assert!(
        blamed && gateway.count(Kind::Raw) > 5,
        "{}",
        gateway.story()
    );
}

/// Liars among honest ones, fast or slow: named, counted, and all else is used [7, 8].
#[test]
fn liars_are_told_from_the_honest() {
    let dag = large(12);
    for features in [Features::ALL, Features::TRUSTLESS, Features::RAW] {
        let slow = Fault::Drip {
            piece: 64 << 10,
            pause: Duration::from_millis(2),
        };
        let honest = Gateway::of(&dag)
            .features(features)
            .on(On::any(), slow)
            .start();
        let liars = [Fault::FlipBit(300_000), Fault::OtherBlock].map(|lie| {
            let liar = Gateway::of(&dag).features(features);
            liar.on(On::any().from(2), lie).start()
        });
        let output = arrives(&dag, &[&liars[0], &liars[1], &honest]);
        assert_eq!(line(&output, &honest)["rejected"], 0);
        for event in output.events_of("rejected") {
            assert_ne!(event["url"], honest.url());
        }
        let named = liars
            .iter()
            .map(|liar| count(&line(&output, liar), "rejected"));
        let events = output.events_of("rejected").len() as u64;
        assert_eq!(named.sum::<u64>(), events, "{}", output.transcript());
    }
}

/// One that dies in the middle of its window costs what it had not sent.
#[test]
fn who_dies_is_replaced() {
    let dag = large(24);
    for features in [Features::ALL, Features::TRUSTLESS] {
        for n in [1, 2, 3] {
            let dying = Gateway::of(&dag)
                .features(features)
                .on(On::any().nth(n), Fault::ResetAfter(1_500_000))
                .on(On::any().from(n + 1), Fault::CloseBeforeHeaders)
                .start();
            let honest = Gateway::of(&dag).features(features).start();
            let output = arrives(&dag, &[&dying, &honest]);
            let finished = &output.events_of("finished")[0];
            let wasted = count(finished, "bytes_wasted");
            assert!(wasted <= 4 * MIB as u64, "{}", output.transcript());
        }
    }
}

/// Each has a part of the blocks only, one not even the root [13, 18, 19, 20].
#[test]
fn halves_make_a_whole() {
    let dag = small();
    let leaves = dag.leaves();
    let (front, back) = leaves.split_at(leaves.len() / 2);
    let has_all_but = |features: Features, missing: &[_], code: u16| {
        let mut gateway = Gateway::of(&dag).features(features);
        for &cid in missing {
            let rule = On::raw().with(format!("{cid}"));
            gateway = gateway
                .on(rule, Fault::status(code))
                .on(On::car().with(format!("{cid}")), Fault::Missing(cid));
        }
        gateway
    };
    for code in [404, 410, 500] {
        let one = has_all_but(Features::RAW, back, code).start();
        let other = has_all_but(Features::RAW, front, code).start();
        if code != 500 {
            arrives(&dag, &[&one, &other]);
        }
    }
    let mut rootless = front.to_vec();
    rootless.push(dag.root);
    let one = has_all_but(Features::RAW, back, 404).start();
    let other = has_all_but(Features::RAW, &rootless, 404).start();
    arrives(&dag, &[&other, &one]);
}

/// How it ends when nobody has it, or nobody may, or some only fail.
#[test]
fn the_verdict_of_many() {
    let dag = small();
    let code_of = |codes: &[u16]| {
        let gateways: Vec<Gateway> = codes
            .iter()
            .map(|&code| Gateway::of(&dag).on(On::any(), Fault::status(code)).start())
            .collect();
        let all: Vec<&Gateway> = gateways.iter().collect();
        get(&Sandbox::new(), &dag, &all).code
    };
    assert_eq!(code_of(&[404, 404, 410]), Some(69));
    assert_eq!(code_of(&[404, 500]), Some(75));
    assert_eq!(code_of(&[401, 403, 451]), Some(77));
    assert_eq!(code_of(&[403, 503]), Some(75));
    let empty = || Gateway::empty().start();
    let (one, two) = (empty(), empty());
    get(&Sandbox::new(), &dag, &[&one, &two]).exits(69);
}

/// Fifteen doors are closed and one is open; ten are narrow [17].
#[test]
fn closed_doors_and_narrow_ones() {
    let dag = small();
    let honest = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let source = dag.source();
    let mut args: Vec<String> = ["--json", "get", &source, "-o", "file"]
        .map(str::to_owned)
        .into();
    for _ in 0..15 {
        args.extend(["--gateway".to_owned(), Gateway::refusing()]);
    }
    args.extend(["--gateway".to_owned(), honest.url().to_owned()]);
    sandbox.run(args).exits(0);
    assert!(sandbox.read("file") == dag.data);

    let narrow: Vec<Gateway> = (0..10)
        .map(|n| {
            let mut gateway = Gateway::of(&dag).features(Features::RAW);
            for m in (2..40).filter(|m| (m + n) % 3 != 0) {
                gateway = gateway.on(On::any().nth(m), Fault::retry_after(429, "0"));
            }
            gateway.start()
        })
        .collect();
    arrives(&dag, &narrow.iter().collect::<Vec<_>>());
}

/// Waits of a day are not waited for: alone "try again", and when; with an honest one no matter. The
/// next invocation remembers [1, 17].
#[test]
fn a_day_is_too_long_and_is_remembered() {
    let dag = small();
    let busy = Gateway::of(&dag)
        .on(On::any(), Fault::retry_after(429, "86400"))
        .start();
    let sandbox = Sandbox::new();
    let output = get(&sandbox, &dag, &[&busy]).exits(75);
    let message = output.events_of("failed")[0]["message"].to_string();
    assert!(message.contains("before 20"), "{message}");
    let asked = busy.requests().len();
    let output = sandbox.run(["--json", "resume", "1"]).exits(75);
    let message = output.events_of("failed")[0]["message"].to_string();
    assert!(message.contains("before 20"), "{message}");
    assert_eq!(busy.requests().len(), asked, "it was asked again");
    let list = sandbox
        .run(["--json", "gateways", "list"])
        .exits(0)
        .document();
    assert_eq!(list["gateways"][0]["state"], "cooling", "{list}");

    let honest = Gateway::of(&dag).start();
    let resume = [
        "--json",
        "resume",
        "1",
        "--gateway",
        busy.url(),
        "--gateway",
        honest.url(),
    ];
    sandbox.run(resume).exits(0);
    assert!(sandbox.read("file") == dag.data);
    assert_eq!(busy.requests().len(), asked, "it was asked again");
}

/// A wait that a provider asks for is kept, whatever its other answers bring meanwhile.
#[test]
fn a_wait_is_kept_while_others_work() {
    let dag = large(12);
    let busy = Gateway::of(&dag)
        .on(On::any().first(1), Fault::retry_after(429, "1"))
        .start();
    let honest = Gateway::of(&dag).start();
    arrives(&dag, &[&busy, &honest]);
    assert!(busy.requests().len() <= 12, "{}", busy.story());
}

/// A retired one is named and left; a coming end is no end [1].
#[test]
fn the_retired_are_left() {
    let dag = small();
    let gone = Gateway::of(&dag)
        .on(On::any(), Fault::sunset("Mon, 21 Sep 2020 00:00:00 GMT"))
        .start();
    let honest = Gateway::of(&dag).start();
    arrives(&dag, &[&gone, &honest]);
    assert!(gone.requests().len() <= 2, "{}", gone.story());
}

/// Redirects that lead nowhere [15].
#[test]
fn redirects_that_lead_nowhere_are_left() {
    let dag = small();
    for location in ["/ipfs/loop", "ftp://example.com/", "http://127.0.0.1:1/"] {
        let looping = Gateway::of(&dag)
            .on(On::any(), Fault::redirect(location))
            .start();
        let honest = Gateway::of(&dag).start();
        arrives(&dag, &[&looping, &honest]);
        get(&Sandbox::new(), &dag, &[&looping]).exits(75);
        assert!(looping.requests().len() < 60, "{}", looping.story());
    }
}

/// Gateways of very different speed: hardly anything is fetched twice, and it all adds up.
#[test]
fn unequal_gateways_share_the_work() {
    let dag = large(96);
    for features in [Features::ALL, Features::TRUSTLESS] {
        let gateways: Vec<Gateway> = [8, 4, 2, 1]
            .map(|speed| {
                let slow = Fault::Drip {
                    piece: speed * (16 << 10),
                    pause: Duration::from_millis(5),
                };
                Gateway::of(&dag)
                    .features(features)
                    .on(On::any(), slow)
                    .start()
            })
            .into();
        let output = arrives(&dag, &gateways.iter().collect::<Vec<_>>());
        let finished = &output.events_of("finished")[0];
        let wasted = count(finished, "bytes_wasted");
        assert!(wasted * 20 <= dag.data.len() as u64, "{finished}");
    }
}

/// Only what failed its proof is fetched again.
#[test]
fn one_bad_leaf_costs_one_leaf() {
    let dag = large(12);
    let gateway = Gateway::of(&dag)
        .features(plain_and_raw())
        .on(On::range().nth(1), Fault::FlipBit(5 * MIB as u64))
        .start();
    let output = arrives(&dag, &[&gateway]);
    assert_eq!(line(&output, &gateway)["rejected"], 1);
    let finished = &output.events_of("finished")[0];
    let again = count(finished, "bytes_fetched") - dag.data.len() as u64;
    assert!(again < 6 * MIB as u64, "{finished}");
}
