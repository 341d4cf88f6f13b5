//! `get --dry-run`: what would be done, and nothing done.

use serde_json::json;

use crate::support::dag::{Dag, Dir, Recipe};
use crate::support::gateway::{Fault, Gateway, On};
use crate::support::sandbox::{Output, Sandbox};

fn dry_run(sandbox: &Sandbox, source: &str, gateway: &Gateway) -> Output {
    let args = ["--json", "get", "--dry-run", source, "-d", "deep/er"];
    let gateway = ["--gateway", gateway.url()];
    sandbox.run(args.into_iter().chain(gateway))
}

#[test]
fn the_plan_is_told_and_nothing_is_left() {
    let sandbox = Sandbox::new();
    let large = Recipe::default().chunk(1000).build(20_000);
    let dag = Dir::new()
        .entry("large", &large)
        .entry("raw", &Dag::single(b"raw"))
        .build();
    let gateway = Gateway::of(&dag).start();
    let output = dry_run(&sandbox, &dag.source(), &gateway).exits(0);
    let plan = output.events_of("planned").pop().expect("a plan");
    assert_eq!(
        (&plan["kind"], &plan["entries"]),
        (&"directory".into(), &2.into())
    );
    assert_eq!(
        (&plan["size"], &plan["action"]),
        (&json!(null), &"fetch".into())
    );
    assert_eq!(plan["providers"][0]["url"], gateway.url());
    assert_eq!(gateway.requests().len(), 1, "the root block");
    let file = format!("{}/large", dag.source());
    let output = dry_run(&sandbox, &file, &gateway).exits(0);
    let plan = output.events_of("planned").pop().expect("a plan");
    assert_eq!(
        (&plan["kind"], &plan["size"]),
        (&"file".into(), &20_000.into())
    );
    let path = plan["path"].as_str().expect("a path");
    assert!(path.ends_with("/out/deep/er/large"), "{path}");
    let list = sandbox.run(["--json", "list", "--all"]).document();
    assert_eq!(list["downloads"], json!([]));
    assert_eq!(
        std::fs::read_dir(sandbox.out())
            .expect("a directory")
            .count(),
        0
    );
}

#[test]
fn it_ends_as_the_resolution_would() {
    let (sandbox, dag) = (Sandbox::new(), Dag::single(b"bytes"));
    dry_run(&sandbox, &dag.source(), &Gateway::empty().start()).exits(69);
    dry_run(&sandbox, "nonsense", &Gateway::empty().start()).exits(2);
}

#[test]
fn people_read_it_on_stderr() {
    let (sandbox, dag) = (Sandbox::new(), Dag::single(b"bytes"));
    let gateway = Gateway::of(&dag).start();
    let args = [
        "get",
        "--dry-run",
        &dag.source(),
        "-o",
        "x",
        "--gateway",
        gateway.url(),
    ];
    let output = sandbox.run(args).exits(0);
    assert_eq!(output.text(), "");
    assert!(
        output.stderr.contains("a file of 5 bytes, would go to "),
        "{}",
        output.transcript()
    );
    assert!(
        output
            .stderr
            .contains(&format!("would ask {}", gateway.url()))
    );
}

#[test]
fn a_plain_file_that_cannot_be_had_ends_as_get_would() {
    let faults = [
        (Fault::status(400), 77),
        (Fault::status(401), 77),
        (Fault::status(405), 77),
        (Fault::status(410), 69),
        (Fault::status(416), 77),
        (Fault::status(451), 77),
        (Fault::sunset("Sat, 01 Feb 2020 00:00:00 GMT"), 75),
    ];
    for (fault, code) in faults {
        let server = Gateway::empty().on(On::any(), fault).start();
        let url = format!("{}/file", server.url());
        let sandbox = Sandbox::new();
        let get = ["get", &url, "--allow-unverified"];
        let dry = sandbox.run(get.iter().chain(&["--dry-run"])).exits(code);
        assert!(dry.stderr.contains("--mirror"), "{}", dry.transcript());
        sandbox.run(get).exits(code);
    }
}

#[test]
fn a_plain_file_that_is_not_there_is_not_found() {
    let (sandbox, server) = (Sandbox::new(), Gateway::empty().start());
    let url = format!("{}/none", server.url());
    let get = ["get", &url, "--allow-unverified"];
    sandbox.run(get).exits(69);
    let output = sandbox.run(get.iter().chain(&["--dry-run"])).exits(69);
    assert!(output.stderr.contains("hint: "), "{}", output.stderr);
}
