//! What scripts read: every stream of events ends with `done`, everything else is one document.

use serde_json::{Value, json};

use crate::support::dag::{Dag, Recipe};
use crate::support::gateway::{Fault, Gateway, On};
use crate::support::sandbox::{Output, Sandbox};
use crate::support::scenario;

/// The last event, which is to be `done`, without what every object has.
#[track_caller]
fn done(output: &Output) -> (Value, Value, Value) {
    let done = output.events().pop().expect("an event");
    assert_eq!(done["type"], "done", "{}", output.transcript());
    let of = |name: &str| done[name].clone();
    (of("exit_code"), of("finished"), of("failed"))
}

#[test]
fn a_command_that_cannot_begin_says_done() {
    let sandbox = Sandbox::new();
    let source = Dag::single(b"bytes").source();
    let cases: [(&[&str], i32, u64); 11] = [
        (&["resume", "999"], 2, 1),
        (&["watch", "999", "bafybeigd"], 2, 2),
        (&["sync"], 78, 0),
        (&["sync", "no/fetchd.toml"], 78, 0),
        (&["get", "--mirror", "NOFILE", &source], 2, 1),
        (&["get", "-i", "NOFILE"], 2, 0),
        (&["get", "--sha256sums", "NOFILE", &source], 2, 1),
        (&["get", "--gateway", "NOFILE", "nonsense", &source], 2, 2),
        (&["get", "--queue", "--header", "A: b", &source], 2, 1),
        (&["--config", "NOFILE", "run"], 78, 0),
        (&["--config", "NOFILE", "get", &source], 78, 1),
    ];
    for (args, code, failed) in cases {
        let output = sandbox.run(["--json"].iter().chain(args)).exits(code);
        let told = output.events_of("failed");
        assert_eq!(told.len() as u64, failed, "{}", output.transcript());
        assert!(told.iter().all(|event| event["exit_code"] == code));
        assert_eq!(done(&output), (code.into(), 0.into(), failed.into()));
        assert!(output.stderr.contains("hint: "), "{}", output.transcript());
    }
    assert_eq!(
        sandbox.run(["list", "--all", "--json"]).document()["downloads"],
        json!([])
    );
}

#[test]
fn a_plan_finishes_nothing() {
    let (sandbox, dag) = (Sandbox::new(), Dag::single(b"bytes"));
    let gateway = Gateway::of(&dag).start();
    let source = dag.source();
    let args = scenario::get_json(&source, gateway.url());
    let output = sandbox.run(args.iter().chain(&["--dry-run"])).exits(0);
    assert_eq!(output.events_of("planned").len(), 1);
    assert_eq!(done(&output), (0.into(), 0.into(), 0.into()));
}

#[test]
fn an_import_is_one_document() {
    let sandbox = Sandbox::new();
    let dag = Recipe::default().chunk(1000).build(9_000);
    std::fs::write(sandbox.target("in.car"), dag.car()).expect("a CAR");
    let import = ["--json", "import", "in.car", "-o", "file"];
    for _ in 0..2 {
        let document = sandbox.run(import).exits(0).document();
        assert_eq!(document["v"], 1);
        let car = document["car"].as_str().expect("a path");
        assert_eq!(car, sandbox.target("in.car").to_str().expect("ASCII"));
        let [imported] = &document["imported"].as_array().expect("a list")[..] else {
            panic!("one root: {document}");
        };
        assert_eq!(imported["cid"], dag.root.to_string());
        assert_eq!(imported["error"], json!(null));
        let listed = sandbox.run(["--json", "list", "--all"]).document();
        assert_eq!(imported["download"], listed["downloads"][0]);
        assert_eq!(imported["download"]["status"], "success");
    }
    std::fs::write(sandbox.target("other"), b"other").expect("a file");
    let document = sandbox
        .run(["--json", "import", "in.car", "-o", "in.car/x"])
        .exits(73)
        .document();
    let imported = &document["imported"][0];
    assert_eq!(imported["download"], json!(null));
    assert_eq!(imported["error"]["kind"], "exists");
}

/// Bytes, seconds and providers of a receipt are those of all runs.
#[test]
fn a_receipt_counts_every_run() {
    let dag = Recipe::default().build(2 << 20);
    let gateway = Gateway::of(&dag)
        .on(On::any(), Fault::HoldAtTotal(1 << 20))
        .start();
    let sandbox = Sandbox::new();
    let source = dag.source();
    let running = sandbox
        .fetchd(scenario::get_json(&source, gateway.url()))
        .spawn();
    gateway.held();
    sandbox.run(["pause", "1"]).exits(0);
    running.wait().exits(81);
    let database = sandbox.database();
    let recorded = "SELECT bytes_fetched, elapsed_us FROM downloads";
    let (bytes, micros): (i64, i64) = database
        .query_row(recorded, [], |row| Ok((row.get(0)?, row.get(1)?)))
        .expect("a row");
    assert!(bytes > 0 && micros > 0);
    gateway.heal();
    let finished = sandbox
        .run(["--json", "resume", "1"])
        .exits(0)
        .events_of("finished")
        .remove(0);
    assert!(finished["bytes_fetched"].as_i64() > Some(bytes));
    assert!(finished["elapsed"].as_f64() > Some(micros as f64 / 1e6));
    assert!(finished["resumed_from"].as_u64() > Some(0));
}
