//! `watch`, `get --wait` and `resume` of several: more than one process at the same downloads.
#![cfg(unix)]

use crate::support::dag::{Dag, Recipe};
use crate::support::gateway::{Fault, Gateway, On};
use crate::support::oracle;
use crate::support::sandbox::{Running, Sandbox};
use crate::support::scenario::get_args;

/// Where the gateways stop sending: inside a leaf.
const HELD: u64 = 1 << 20 | 1000;

fn dag(seed: usize) -> Dag {
    Recipe::default()
        .chunk(256 << 10)
        .width(16)
        .build((3 << 20) + seed)
}

/// Where nobody is given up for keeping still.
fn patient() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.config("stall_timeout = \"1h\"");
    sandbox
}

fn holding(dag: &Dag) -> Gateway {
    Gateway::of(dag)
        .on(On::any(), Fault::HoldAtTotal(HELD))
        .start()
}

/// A process that fetches this as `name` and gets no further than the gateway lets it.
fn fetching(sandbox: &Sandbox, dag: &Dag, gateway: &Gateway, name: &str) -> Running {
    let source = dag.source();
    let args = [
        "--json",
        "get",
        &source,
        "-o",
        name,
        "--gateway",
        gateway.url(),
    ];
    let owner = sandbox.fetchd(args).spawn();
    gateway.held();
    owner
}

#[test]
fn a_download_of_another_process_is_followed_to_its_end() {
    let (sandbox, dag) = (patient(), dag(0));
    let gateway = holding(&dag);
    let owner = fetching(&sandbox, &dag, &gateway, "file");
    let mut watch = sandbox.fetchd(["--json", "watch", "1"]).spawn();
    let started = watch.wait_event(|event| event["type"] == "started");
    assert_eq!(
        (&started["id"], &started["source"]),
        (&1.into(), &dag.source().into())
    );
    sandbox.fetchd(["checkpoint", "1"]).run().exits(0);
    watch.wait_event(|event| event["type"] == "progress" && event["bytes"].as_u64() > Some(0));
    gateway.let_go();
    let finished = owner.wait().exits(0).events_of("finished").remove(0);
    let output = watch.wait().exits(0);
    assert_eq!(output.events_of("finished"), [finished]);
    assert_eq!(output.events_of("provider")[0]["url"], gateway.url());
    let saved = output.events_of("checkpoint");
    assert!(
        saved.iter().any(|event| event["trigger"] == "manual"),
        "{saved:?}"
    );
    let done = output.events().pop().expect("a last event");
    assert_eq!(
        (&done["type"], &done["exit_code"]),
        (&"done".into(), &0.into())
    );
    oracle::check(&sandbox, &output);
}

#[test]
fn without_ids_everything_under_way_is_shown_until_a_signal() {
    let (sandbox, dag) = (patient(), dag(0));
    let gateway = holding(&dag);
    let mut watch = sandbox.fetchd(["--json", "watch"]).spawn();
    let owner = fetching(&sandbox, &dag, &gateway, "file");
    watch.wait_event(|event| event["type"] == "started" && event["id"] == 1);
    sandbox.fetchd(["pause", "1"]).run().exits(0);
    watch.wait_event(|event| event["type"] == "paused" && event["id"] == 1);
    owner.wait().exits(81);
    watch.signal("INT");
    watch.wait().exits(130);
}

#[test]
fn the_outcome_of_what_was_named_is_the_exit_code() {
    let sandbox = Sandbox::new();
    let nobody = Gateway::refusing();
    let args = ["get", &dag(0).source(), "-o", "x", "--gateway", &nobody];
    sandbox.run(args).exits(75);
    let output = sandbox.run(["watch", "1"]).exits(75);
    assert!(
        output.stderr.contains("fetchd resume 1"),
        "{}",
        output.stderr
    );
    sandbox.run(["cancel", "1"]).exits(0);
    sandbox.run(["watch", "1"]).exits(81);
    sandbox.run(["watch", "7"]).exits(2);
}

#[test]
fn an_entry_that_goes_back_to_the_queue_counts_as_failed() {
    let sandbox = patient();
    let gateway = holding(&dag(0));
    let args = ["get", "--queue", &dag(0).source(), "-o", "x"];
    sandbox
        .fetchd(args.into_iter().chain(["--gateway", gateway.url()]))
        .run()
        .exits(0);
    let run = sandbox.fetchd(["run"]).spawn();
    gateway.held();
    let mut watch = sandbox.fetchd(["--json", "watch"]).spawn();
    watch.wait_event(|event| event["type"] == "started");
    drop(gateway);
    run.wait().exits(75);
    let failed = watch.wait_event(|event| event["type"] == "failed");
    assert_eq!(
        (&failed["id"], &failed["exit_code"]),
        (&1.into(), &75.into())
    );
    watch.signal("INT");
    let done = watch.wait().exits(130).events().pop().expect("an event");
    assert_eq!((&done["finished"], &done["failed"]), (&0.into(), &1.into()));
}

/// Both signals have one name, and each its own code.
#[test]
fn the_signal_that_ended_it_is_known_elsewhere() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let (sandbox, dag) = (patient(), dag(0));
        let gateway = holding(&dag);
        let owner = fetching(&sandbox, &dag, &gateway, "file");
        let mut watch = sandbox.fetchd(["--json", "watch", "1"]).spawn();
        watch.wait_event(|event| event["type"] == "started");
        owner.signal(signal);
        owner.wait().exits(code);
        let failed = watch.wait_event(|event| event["type"] == "failed");
        let told = (&failed["kind"], &failed["exit_code"]);
        assert_eq!(told, (&"signal".into(), &code.into()));
        watch.wait().exits(code);
    }
}

#[test]
fn who_has_it_already_is_named() {
    let (sandbox, dag) = (patient(), dag(0));
    let gateway = holding(&dag);
    let owner = fetching(&sandbox, &dag, &gateway, "file");
    let source = dag.source();
    let args = get_args(&source, gateway.url());
    let output = sandbox.fetchd(args).run().exits(75);
    let pid = format!("process {}", owner.id());
    assert!(output.stderr.contains(&pid), "{}", output.stderr);
    assert!(output.stderr.contains("--wait"), "{}", output.stderr);
}

/// A `get` of what another process fetches, which waits for that.
#[track_caller]
fn waiting(sandbox: &Sandbox, dag: &Dag, gateway: &Gateway, wishes: &[&str]) -> Running {
    let source = dag.source();
    let args = get_args(&source, gateway.url());
    let args = args.iter().chain(&["--wait"]).chain(wishes);
    let mut second = sandbox.fetchd(args).spawn();
    second.wait_stderr("waiting for process");
    second
}

#[test]
fn a_second_get_waits_for_the_first() {
    let (sandbox, dag) = (patient(), dag(0));
    let gateway = holding(&dag);
    let owner = fetching(&sandbox, &dag, &gateway, "file");
    let second = waiting(&sandbox, &dag, &gateway, &[]);
    gateway.let_go();
    owner.wait().exits(0);
    let output = second.wait().exits(0);
    let path = sandbox.target("file");
    assert_eq!(output.text().trim(), path.to_str().expect("ASCII"));
    assert!(sandbox.read("file") == dag.data);
}

#[test]
fn a_second_get_waits_no_longer_than_it_may() {
    let (sandbox, dag) = (patient(), dag(0));
    let gateway = holding(&dag);
    let mut owner = fetching(&sandbox, &dag, &gateway, "file");
    let source = dag.source();
    let args = get_args(&source, gateway.url());
    let args = args.iter().chain(&["--wait", "--max-time", "300ms"]);
    let output = sandbox.fetchd(args).run().exits(75);
    let says_why = output.stderr.contains("--max-time allows");
    assert!(says_why, "{}", output.transcript());
    assert!(owner.is_running());
}

/// What the first one did not ask is asked of what it put there.
#[test]
fn a_second_get_that_waits_has_wishes_of_its_own() {
    let (sandbox, dag) = (patient(), dag(0));
    let gateway = holding(&dag);
    let owner = fetching(&sandbox, &dag, &gateway, "file");
    let wrong = format!("blake3:{}", "0".repeat(64));
    let second = waiting(&sandbox, &dag, &gateway, &["--checksum", &wrong]);
    gateway.let_go();
    owner.wait().exits(0);
    let output = second.wait().exits(65);
    assert!(output.stderr.contains("blake3"), "{}", output.transcript());
    assert!(sandbox.read("file") == dag.data);
}

#[test]
fn a_second_get_takes_over_from_one_that_dies_or_stops() {
    for end in ["KILL", "TERM"] {
        let (sandbox, dag) = (patient(), dag(0));
        let gateway = holding(&dag);
        let owner = fetching(&sandbox, &dag, &gateway, "file");
        let second = waiting(&sandbox, &dag, &gateway, &[]);
        owner.signal(end);
        owner.wait();
        gateway.let_go();
        second.wait().exits(0);
        assert!(sandbox.read("file") == dag.data, "{end}");
    }
}

/// A process that began a moment ago may not have its lock yet, so that nobody takes its work.
#[test]
fn one_that_dies_as_soon_as_it_has_begun_is_waited_for_once() {
    let (sandbox, dag) = (patient(), dag(0));
    let gateway = holding(&dag);
    let owner = fetching(&sandbox, &dag, &gateway, "file");
    let second = waiting(&sandbox, &dag, &gateway, &[]);
    let database = rusqlite::Connection::open(sandbox.database_file()).expect("a database");
    let begin = "UPDATE runs SET started_at = (unixepoch() + 1) * 1000000";
    database.execute(begin, []).expect("a writable database");
    // Nobody has asked how it ended, so it keeps its id.
    owner.signal("KILL");
    gateway.let_go();
    let output = second.wait().exits(0);
    assert_eq!(
        output.stderr.matches("waiting").count(),
        1,
        "{}",
        output.stderr
    );
    assert!(sandbox.read("file") == dag.data);
}

#[test]
fn what_a_person_stops_is_not_taken_over_by_a_second_get() {
    for command in ["pause", "cancel"] {
        let (sandbox, dag) = (patient(), dag(0));
        let gateway = holding(&dag);
        let target = sandbox.target("file");
        let (source, target, url) = (dag.source(), target.display(), gateway.url());
        let hint = match command {
            "pause" => "fetchd resume 1".to_owned(),
            _ => format!("fetchd get {source} -o {target} --gateway {url}\n"),
        };
        let owner = fetching(&sandbox, &dag, &gateway, "file");
        let second = waiting(&sandbox, &dag, &gateway, &[]);
        sandbox.fetchd([command, "1"]).run().exits(0);
        owner.wait().exits(81);
        let output = second.wait().exits(81);
        assert!(output.stderr.contains(&hint), "{}", output.stderr);
        let shown = sandbox.run(["--json", "show", "1"]).exits(0).document();
        let status = if command == "pause" {
            "paused"
        } else {
            "cancelled"
        };
        assert_eq!(shown["download"]["status"], status);
    }
}

/// After a reboot nothing runs any more, and everything is paused.
#[test]
fn all_that_was_interrupted_goes_on_several_at_a_time() {
    let sandbox = patient();
    let dags = [0, 1, 2].map(dag);
    let gateways: Vec<Gateway> = dags.iter().map(holding).collect();
    let owners: Vec<Running> = (0..3)
        .map(|n| fetching(&sandbox, &dags[n], &gateways[n], &n.to_string()))
        .collect();
    owners.into_iter().for_each(|owner| drop(owner.kill9()));
    let mut resumed = sandbox
        .fetchd(["--json", "resume", "--all", "--jobs", "2"])
        .spawn();
    for _ in 0..2 {
        resumed.wait_event(|event| event["type"] == "started");
    }
    // The third one begins when one of the two is done.
    gateways[0].let_go();
    resumed.wait_event(|event| event["type"] == "finished" && event["id"] == 1);
    resumed.wait_event(|event| event["type"] == "started" && event["id"] == 3);
    gateways.iter().for_each(Gateway::let_go);
    let output = resumed.wait().exits(0);
    assert_eq!(output.events_of("finished").len(), 3);
    oracle::check(&sandbox, &output);
    for (n, dag) in dags.iter().enumerate() {
        assert!(sandbox.read(&n.to_string()) == dag.data, "{n}");
    }
}

#[test]
fn paths_come_in_the_order_asked_for_whoever_is_done_first() {
    let sandbox = patient();
    let dags = [0, 1].map(dag);
    let gateways: Vec<Gateway> = dags.iter().map(holding).collect();
    for n in 0..2 {
        drop(fetching(&sandbox, &dags[n], &gateways[n], &n.to_string()).kill9());
    }
    gateways[1].let_go();
    let resumed = sandbox.fetchd(["resume", "1", "2"]).spawn();
    // The second one is in place while the first one is held.
    while !sandbox.target("1").exists() {
        std::thread::yield_now();
    }
    gateways[0].held();
    gateways[0].let_go();
    let output = resumed.wait().exits(0);
    let paths = ["0", "1"].map(|name| sandbox.target(name));
    let expected: String = paths
        .iter()
        .map(|path| format!("{}\n", path.display()))
        .collect();
    assert_eq!(output.text(), expected);
}
