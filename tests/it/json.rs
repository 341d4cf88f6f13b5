//! What scripts read: every stream of events ends with `done`, everything else is one document.

use serde_json::{Value, json};

use crate::support::dag::{Dag, Recipe};
use crate::support::gateway::Gateway;
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
