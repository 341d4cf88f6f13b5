//! Plain files: at URLs, from mirrors, and from gateways that serve nothing else.

mod breaks;
mod content;
mod secrets;
mod sums;

use serde_json::Value;

use crate::support::dag::{Recipe, seeded};
use crate::support::gateway::{Builder, Fault, Features, Gateway, On};
use crate::support::sandbox::{Output, Sandbox};
use crate::support::scenario::sha256;

const SIZE: usize = 3 << 20;

fn data() -> Vec<u8> {
    seeded(7, SIZE)
}

/// A web server with one file, at `/file`.
fn server(bytes: &[u8], etag: Option<&str>) -> Builder {
    Gateway::empty()
        .features(Features::PLAIN)
        .file("/file", bytes.to_vec(), etag)
}

fn url(server: &Gateway) -> String {
    format!("{}/file", server.url())
}

/// `get` of the file as `file`, with JSON events.
#[track_caller]
fn get(sandbox: &Sandbox, server: &Gateway, more: &[&str]) -> Output {
    let url = url(server);
    let mut args = vec!["--json", "get", &url, "-o", "file"];
    args.extend(more);
    sandbox.run(args)
}

#[track_caller]
fn finished(sandbox: &Sandbox, output: Output, data: &[u8]) -> Value {
    let output = output.exits(0);
    assert!(sandbox.read("file") == data, "{}", output.transcript());
    let mut events = output.events_of("finished");
    let finished = events.pop().expect("a finished event");
    assert_eq!(finished["size"], data.len());
    assert_eq!(finished["sha256"], sha256(data));
    finished
}

/// It failed, and nothing has the final name.
#[track_caller]
fn failed(sandbox: &Sandbox, output: Output, code: i32) -> Output {
    let output = output.exits(code);
    assert!(!sandbox.target("file").exists(), "{}", output.transcript());
    output
}

fn records(sandbox: &Sandbox) -> Vec<Value> {
    let list = sandbox.run(["--json", "list", "--all"]).exits(0).document();
    list["downloads"].as_array().cloned().unwrap_or_default()
}

fn receipt(finished: &Value, url: &str) -> Value {
    let providers = finished["providers"].as_array();
    let mut providers = providers.into_iter().flatten();
    let found = providers.find(|provider| provider["url"] == url);
    found.cloned().unwrap_or_default()
}

#[test]
fn the_right_sum_proves_it() {
    let (data, sandbox) = (data(), Sandbox::new());
    let server = server(&data, Some("\"a\"")).start();
    let sum = sha256(&data);
    let done = finished(&sandbox, get(&sandbox, &server, &["--sha256", &sum]), &data);
    assert_eq!(
        (&done["proof"], &done["cid"]),
        (&"sha256".into(), &Value::Null)
    );
    assert_eq!(done["bytes_fetched"], SIZE);
    assert_eq!(receipt(&done, &url(&server))["bytes"], SIZE);
    assert_eq!(records(&sandbox)[0]["proof"], "sha256");
    let asked = server.requests().len();
    get(&sandbox, &server, &["--sha256", &sum]).exits(0);
    assert_eq!(server.requests().len(), asked, "{}", server.story());
}

#[test]
fn other_functions_prove_it_too() {
    let data = data();
    let server = server(&data, None).start();
    let blake3 = format!("blake3:{}", blake3::hash(&data).to_hex());
    let digest = <sha2::Sha512 as sha2::Digest>::digest(&data);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    for checksum in [
        blake3,
        format!("sha512:{hex}"),
        format!("sha256:{}", sha256(&data)),
    ] {
        let sandbox = Sandbox::new();
        let output = get(&sandbox, &server, &["--checksum", &checksum]);
        let done = finished(&sandbox, output, &data);
        assert_eq!(done["proof"], "sha256", "the rung of all checksums");
    }
    let sandbox = Sandbox::new();
    let checksum = format!("sha512:{}", "00".repeat(64));
    failed(
        &sandbox,
        get(&sandbox, &server, &["--checksum", &checksum]),
        65,
    );
}

#[test]
fn a_wrong_source_is_named_and_left() {
    let (data, sandbox) = (data(), Sandbox::new());
    let liar = server(&seeded(8, SIZE), None).start();
    let mirror = server(&data, None).start();
    let args = ["--sha256", &sha256(&data), "--mirror", &url(&mirror)];
    let output = get(&sandbox, &liar, &args);
    let rejected = output.events_of("rejected");
    let done = finished(&sandbox, output, &data);
    assert_eq!(rejected.len(), 1);
    assert!(rejected[0].to_string().contains(liar.url()), "{rejected:?}");
    assert_eq!(receipt(&done, &url(&liar))["rejected"], 1);
    assert_eq!(receipt(&done, &url(&liar))["wasted"], SIZE);
    assert_eq!(receipt(&done, &url(&mirror))["bytes"], SIZE);
    assert_eq!(done["bytes_wasted"], SIZE);
}

#[test]
fn wrong_everywhere_is_nothing() {
    let (data, sandbox) = (data(), Sandbox::new());
    let [one, other] = [8, 9].map(|seed| server(&seeded(seed, SIZE), None).start());
    let args = ["--sha256", &sha256(&data), "--mirror", &url(&other)];
    let output = failed(&sandbox, get(&sandbox, &one, &args), 65);
    let failed = &output.events_of("failed")[0];
    assert_eq!(failed["kind"], "verification");
    let message = failed["message"].as_str().unwrap_or_default();
    for server in [&one, &other] {
        assert!(message.contains(server.url()), "{message}");
    }
    for part in sandbox.partials() {
        let len = part.metadata().expect("a part").len();
        assert_eq!(len, 0, "wrong bytes are kept");
    }
    assert!(!output.stderr.contains("kept"), "{}", output.transcript());
    let record = &records(&sandbox)[0];
    assert_eq!(
        (&record["status"], &record["bytes_verified"]),
        (&"failed".into(), &0.into())
    );
}

#[test]
fn without_a_proof_only_with_consent() {
    let (data, sandbox) = (data(), Sandbox::new());
    let server = server(&data, None).start();
    failed(&sandbox, get(&sandbox, &server, &[]), 77);
    assert_eq!(
        (records(&sandbox), server.requests().len()),
        (Vec::new(), 0)
    );
    let done = finished(
        &sandbox,
        get(&sandbox, &server, &["--allow-unverified"]),
        &data,
    );
    assert_eq!(done["proof"], "unverified");
    let shown = sandbox.run(["--json", "show", "1"]).document();
    assert_eq!(shown["download"]["files"][0]["bytes_verified"], data.len());
    assert_eq!(records(&sandbox)[0]["proof"], "unverified");
}

#[test]
fn limits_and_places() {
    let (data, sandbox) = (data(), Sandbox::new());
    let server = server(&data, None).start();
    let sum = sha256(&data);
    let output = get(&sandbox, &server, &["--sha256", &sum, "--max-size", "1M"]);
    assert_eq!(
        failed(&sandbox, output, 77).events_of("failed")[0]["kind"],
        "refused"
    );
    std::fs::write(sandbox.target("file"), "mine").expect("a writable sandbox");
    get(&sandbox, &server, &["--sha256", &sum]).exits(73);
    assert_eq!(sandbox.read("file"), b"mine");
}

/// What proves itself only at its end is kept on disk until it does; nothing else is written out.
#[test]
fn standard_output_gets_what_is_proved() {
    let (data, sandbox) = (data(), Sandbox::new());
    let server = server(&data, None).start();
    let (url, sum) = (url(&server), sha256(&data));
    let get = ["get", &url, "-o", "-", "--sha256"];
    let output = sandbox.run(get.iter().chain(&[&sum[..]])).exits(0);
    assert!(output.stdout == data, "{}", output.stderr);
    let output = sandbox.run(get.iter().chain(&[&sha256(b"other")[..]]));
    assert_eq!(output.exits(65).stdout, b"");
    let statuses: Vec<Value> = records(&sandbox)
        .iter()
        .map(|record| record["status"].clone())
        .collect();
    assert_eq!(statuses, ["success", "failed"]);
    assert_eq!(records(&sandbox)[0]["path"], Value::Null);
    let shown = sandbox.run(["--json", "show", "1"]).document();
    assert_eq!(shown["download"]["receipt"]["path"], Value::Null);

    let dag = Recipe::default().chunk(256 << 10).width(174).build(SIZE);
    let gateway = Gateway::of(&dag).features(Features::PLAIN_WHOLE).start();
    let get = ["get", &dag.source(), "-o", "-", "--gateway", gateway.url()];
    assert!(sandbox.run(get).exits(0).stdout == dag.data);
    assert_eq!(records(&sandbox)[2]["proof"], "profile");
    let spool = std::fs::read_dir(sandbox.state().join("spool")).expect("a directory");
    assert_eq!(spool.count(), 0);
}

#[test]
fn another_url_does_not_take_the_place() {
    let (data, sandbox) = (data(), Sandbox::new());
    let [one, other] = [7, 8].map(|seed| server(&seeded(seed, SIZE), None).start());
    finished(
        &sandbox,
        get(&sandbox, &one, &["--sha256", &sha256(&data)]),
        &data,
    );
    let sum = sha256(&seeded(8, SIZE));
    get(&sandbox, &other, &["--sha256", &sum]).exits(73);
    assert!(sandbox.read("file") == data);
}

#[test]
fn statuses_have_their_codes() {
    let data = data();
    for (status, code) in [(404, 69), (410, 69), (503, 75), (401, 77)] {
        let sandbox = Sandbox::new();
        let rules = server(&data, None).on(On::any(), Fault::status(status));
        let server = rules.start();
        let output = get(&sandbox, &server, &["--sha256", &sha256(&data)]);
        failed(&sandbox, output, code);
    }
    let (sandbox, busy) = (Sandbox::new(), Fault::status(503));
    let server = server(&data, None).on(On::any().first(2), busy).start();
    let output = get(&sandbox, &server, &["--sha256", &sha256(&data)]);
    finished(&sandbox, output, &data);
}
