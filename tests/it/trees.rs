//! Whole directories: every kind of tree from every kind of provider, killed anywhere, and hostile.
#![cfg(unix)]

mod again;
mod arrive;
mod hostile;
mod killed;
mod paths;
pub mod sample;
mod touched;

use crate::support::dag::Dag;
use crate::support::gateway::Gateway;
use crate::support::sandbox::{Output, Sandbox};
use sample::{Sample, stands_as};

/// `get` of a DAG as `tree`, with JSON events, and with more arguments.
fn get(sandbox: &Sandbox, dag: &Dag, gateways: &[&Gateway], more: &[&str]) -> Output {
    sandbox.run(arguments(&dag.source(), gateways, more))
}

fn arguments(source: &str, gateways: &[&Gateway], more: &[&str]) -> Vec<String> {
    let mut args: Vec<String> = ["--json", "get", source, "-o", "tree"]
        .map(str::to_owned)
        .into();
    for gateway in gateways {
        args.extend(["--gateway".into(), gateway.url().into()]);
    }
    args.extend(more.iter().map(|&arg| arg.to_owned()));
    args
}

/// Everything that a finished tree must be true to.
#[track_caller]
fn arrived(sandbox: &Sandbox, sample: &Sample, output: Output) {
    let output = output.exits(0);
    stands_as(
        &sandbox.target("tree"),
        &sample.expected,
        &output.transcript(),
    );
    let finished = output
        .events_of("finished")
        .pop()
        .expect("a finished event");
    assert_eq!(finished["cid"], sample.dag().root.to_string());
    assert_eq!(finished["size"], sample.size(), "{}", output.transcript());
    assert_eq!(finished["sha256"], serde_json::Value::Null);
}
