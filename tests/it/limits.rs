//! What providers ask for is honoured, and remembered: waits, a pace, an end.

use std::time::Duration;

use serde_json::Value;

use crate::support::dag::{Dag, Recipe};
use crate::support::gateway::{Fault, Features, Gateway, Kind, On};
use crate::support::sandbox::{Output, Sandbox};
use crate::support::scenario;

const MIB: usize = 1 << 20;

/// Leaves of 16 KiB in two levels.
fn many_leaves(leaves: usize) -> Dag {
    Recipe::default()
        .chunk(16 << 10)
        .width(174)
        .build(leaves * (16 << 10))
}

fn refusals(gateway: &Gateway) -> usize {
    let requests = gateway.requests();
    let refused = requests.iter().filter(|request| request.status == 429);
    refused.count()
}

/// What one provider's line of the receipt says.
#[track_caller]
fn line(output: &Output, url: &str) -> Value {
    let finished = &output.events_of("finished")[0];
    let lines = finished["providers"].as_array().expect("a list");
    let line = lines.iter().find(|line| line["url"] == url);
    line.cloned().unwrap_or(Value::Null)
}

/// The pace that one gateway allows is learnt, and known to the next invocation; the others take
/// the rest.
#[test]
fn a_limit_on_requests_is_learnt_and_kept() {
    let (first, second) = (many_leaves(300), Dag::single(&vec![7; MIB]));
    let limit = On::any().sooner_than(Duration::from_millis(200));
    let limited = Gateway::of(&first)
        .dag(&second)
        .features(Features::RAW)
        .on(limit, Fault::status(429))
        .start();
    let pause = Duration::from_millis(40);
    let slow = Fault::Drip {
        piece: 64 << 10,
        pause,
    };
    let other = Gateway::of(&first)
        .features(Features::RAW)
        .on(On::any(), slow)
        .start();
    let sandbox = Sandbox::new();
    sandbox.config("backoff_initial = \"50ms\"");
    let output = scenario::get(&sandbox, &first, &[&limited, &other]);
    scenario::arrived(&sandbox, &first, output);
    let (asked, refused) = (limited.requests().len(), refusals(&limited));
    let story = limited.story();
    assert!(asked - refused >= 3, "it is still used\n{story}");
    assert!(refused <= 12, "{refused} of {asked} were refused\n{story}");

    let listed: Option<i64> = sandbox
        .database()
        .query_row(
            "SELECT pace FROM gateways WHERE url = ?1",
            [limited.url()],
            |row| row.get(0),
        )
        .expect("a row");
    let micros = listed.expect("a pace");
    assert!((100_000..3_000_000).contains(&micros), "{micros}");
}

/// Who refuses every other request whatever the pace is used all the same.
#[test]
fn who_refuses_every_other_request_is_used() {
    let dag = Recipe::default()
        .chunk(256 << 10)
        .width(174)
        .build(16 * MIB);
    let sandbox = Sandbox::new();
    sandbox.config("backoff_initial = \"10ms\"");
    let moody = Gateway::of(&dag)
        .on(On::any().every(2), Fault::status(429))
        .start();
    let output = scenario::get(&sandbox, &dag, &[&moody]);
    let receipt = line(&output, moody.url());
    assert_eq!(receipt["errors"], refusals(&moody), "{receipt}");
    scenario::arrived(&sandbox, &dag, output);
}

/// A wait that is longer than `max_wait` ends at once, says until when, and is known later without
/// a request; of plain files too.
#[test]
fn a_long_wait_is_known_to_the_next_invocation() {
    let dag = many_leaves(4);
    let busy = Gateway::of(&dag)
        .file("/file", dag.data.clone(), None)
        .on(On::any(), Fault::retry_after(429, "86400"))
        .start();
    let mirror = format!("{}/file", busy.url());
    let sum = scenario::sha256(&dag.data);
    let sources: [&[&str]; 2] = [
        &[&dag.source(), "--gateway", busy.url()],
        &[&mirror, "--sha256", &sum],
    ];
    for source in sources {
        let sandbox = Sandbox::new();
        let before = busy.requests().len();
        let get = |name| {
            let output = sandbox
                .run([&["get", "-o", name], source].concat())
                .exits(75);
            assert!(
                output.stderr.contains("asks not to be asked before 20"),
                "{}",
                output.stderr
            );
        };
        get("one");
        let asked = busy.requests().len();
        assert!(asked > before);
        get("two");
        assert_eq!(busy.requests().len(), asked, "{}", busy.story());
        // As if the clock had been set back by an hour since.
        let database = rusqlite::Connection::open(sandbox.database_file()).expect("a database");
        let hour = 3_600_000_000_i64;
        let later = "UPDATE gateways SET cool_until = cool_until + ?1, cooled_at = cooled_at + ?1";
        database
            .execute(later, [hour])
            .expect("a writable database");
        get("three");
        assert!(busy.requests().len() > asked, "{}", busy.story());
    }
}

/// What is closed for good is told once and never asked again.
#[test]
fn a_reached_sunset_retires_for_good() {
    let dag = many_leaves(4);
    let closed = Gateway::of(&dag)
        .on(On::any(), Fault::sunset("Mon, 21 Sep 2020 00:00:00 GMT"))
        .start();
    let open = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let list = [closed.url(), open.url()].map(|url| format!("{{ url = \"{url}\" }}"));
    sandbox.config(&format!(
        "gateways = [{}]\ndiscovery = \"off\"",
        list.join(", ")
    ));
    sandbox.run(["get", &dag.source(), "-o", "one"]).exits(0);
    let asked = closed.requests().len();
    assert!((1..=2).contains(&asked), "{}", closed.story());
    let output = sandbox.run(["get", &dag.source(), "-o", "two"]).exits(0);
    assert!(output.stderr.contains("no more"), "{}", output.stderr);
    assert_eq!(closed.requests().len(), asked);
    let listed = sandbox
        .run(["--json", "gateways", "list"])
        .exits(0)
        .document();
    let rows = listed["gateways"].as_array().expect("a list");
    let row = rows.iter().find(|row| row["url"] == closed.url());
    assert_eq!(row.expect("a row")["state"], "retired");
}

/// A window costs one request: few are needed, and the rate holds over all connections.
#[test]
fn a_limit_of_the_rate_holds_over_all_providers() {
    let dag = Recipe::default().chunk(256 << 10).width(174).build(3 * MIB);
    let gateways = [Gateway::of(&dag).start(), Gateway::of(&dag).start()];
    let sandbox = Sandbox::new();
    let args = [
        "--json",
        "get",
        &dag.source(),
        "-o",
        "file",
        "--limit-rate",
        "1M",
    ];
    let named = gateways
        .iter()
        .flat_map(|gateway| ["--gateway", gateway.url()]);
    let output = sandbox.run(args.into_iter().chain(named)).exits(0);
    let elapsed = output.events_of("finished")[0]["elapsed"]
        .as_f64()
        .expect("a time");
    // A burst is free, and a slow machine may take longer.
    assert!(elapsed > 2.0, "{elapsed}");
    let blocks: usize = gateways
        .iter()
        .map(|gateway| gateway.count(Kind::Raw))
        .sum();
    assert!(
        blocks <= 4,
        "{}{}",
        gateways[0].story(),
        gateways[1].story()
    );
}

/// A header is a secret: no message, event, record or state file holds its value, be it right or
/// wrong.
#[test]
fn the_value_of_a_header_is_nowhere_to_be_seen() {
    let dag = many_leaves(1);
    let closed = Gateway::empty()
        .file("/file", dag.data.clone(), None)
        .on(On::any().first(1), Fault::status(403))
        .start();
    let (source, sum) = (
        format!("{}/file", closed.url()),
        scenario::sha256(&dag.data),
    );
    let sandbox = Sandbox::new();
    sandbox.config(&format!(
        "gateways = [{{ url = \"{}\", headers = {{ Authorization = \"${{TOKEN}}\" }} }}]",
        closed.url()
    ));
    let get = |header: &str, more: &[&str]| {
        let args = [
            "get", &source, "-o", "file", "--sha256", &sum, "--header", header,
        ];
        let args = more.iter().chain(&args);
        sandbox.fetchd(args).env("TOKEN", "hunter2").run()
    };
    let outputs = [
        get("Authorization Bearer hunter2", &["-vv"]).exits(2),
        get("Authorization: hun\u{1}hunter2", &["-vv"]).exits(2),
        get("Range: hunter2", &["--json"]).exits(2),
        get("Authorization: Bearer hunter2", &["-vv"]).exits(77),
        get("Authorization: Bearer hunter2", &["-vv", "--json"]).exits(0),
        sandbox
            .fetchd(["--json", "show", "1"])
            .env("TOKEN", "hunter2")
            .run()
            .exits(0),
        sandbox
            .fetchd(["config", "show"])
            .env("TOKEN", "hunter2")
            .run()
            .exits(0),
        sandbox
            .fetchd(["--json", "gateways", "list"])
            .env("TOKEN", "hunter2")
            .run()
            .exits(0),
    ];
    for output in outputs {
        let told = output.transcript();
        assert!(!told.contains("hunter2"), "{told}");
    }
    let sent = closed.requests();
    let authorization = |request: &crate::support::gateway::Request| {
        let mut headers = request.headers.iter();
        headers.any(|(name, value)| name == "authorization" && value == "Bearer hunter2")
    };
    assert!(!sent.is_empty() && sent.iter().all(authorization));
    for entry in std::fs::read_dir(sandbox.state()).expect("a directory") {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).unwrap_or_default();
        let holds = bytes.windows(7).any(|window| window == b"hunter2");
        assert!(!holds, "{}", path.display());
    }
}

/// One lies, one has plain bytes only, one refuses every other request, one is slow: together they
/// bring it, and each is known for what it is.
#[test]
fn four_that_are_each_half_good_are_good_together() {
    let build = |seed| {
        let recipe = Recipe::default().chunk(64 << 10).width(174).seed(seed);
        recipe.build(12 * MIB)
    };
    let (dag, next) = (build(1), build(2));
    let both = || Gateway::of(&dag).dag(&next);
    let pause = Duration::from_millis(60);
    let slowly = Fault::Drip {
        piece: 64 << 10,
        pause,
    };
    let liar = both().on(On::any(), Fault::FlipBit(3)).start();
    let plain = both()
        .features(Features::PLAIN)
        .on(On::any(), slowly.clone())
        .start();
    let moody = both().on(On::any().every(2), Fault::status(429)).start();
    let slow = both().on(On::any(), slowly).start();
    let gateways = [&liar, &plain, &moody, &slow];
    let sandbox = Sandbox::new();
    let output = scenario::get(&sandbox, &dag, &gateways);
    let story = || gateways.map(Gateway::story).join("---\n");
    assert_eq!(output.code, Some(0), "{}{}", output.transcript(), story());
    let finished = &output.events_of("finished")[0];
    let wasted = finished["bytes_wasted"].as_u64().expect("a number");
    assert!(
        wasted <= (dag.data.len() / 20) as u64,
        "{finished}\n{}",
        story()
    );
    assert!(line(&output, liar.url())["rejected"].as_u64() >= Some(1));
    assert_eq!(
        line(&output, plain.url())["rungs"],
        serde_json::json!(["leaves"])
    );
    scenario::arrived(&sandbox, &dag, output);

    // Another one, later: who serves no blocks is not asked for any again.
    let before = plain.count(Kind::Raw) + plain.count(Kind::Car);
    let source = next.source();
    let args = ["get", &source, "-o", "next"].into_iter();
    let named = gateways
        .into_iter()
        .flat_map(|gateway| ["--gateway", gateway.url()]);
    sandbox.run(args.chain(named)).exits(0);
    assert!(sandbox.read("next") == next.data);
    // Of an answer that somebody overtook nothing was learnt.
    let after = plain.count(Kind::Raw) + plain.count(Kind::Car);
    assert!(after <= before + 1, "{}", plain.story());
}
