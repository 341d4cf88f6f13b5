//! `gateways check`: what gateways can do, what is wrong with them, and what is remembered of it.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::support::dag::{Dag, Recipe};
use crate::support::gateway::{Fault, Features, Gateway, On};
use crate::support::sandbox::Sandbox;
use crate::support::tls::{TlsGateway, certificate};

/// The check of one gateway, and the exit code.
fn check(sandbox: &Sandbox, url: &str, more: &[&str], code: i32) -> Value {
    let arguments = [&["--json", "gateways", "check", url], more].concat();
    let document = sandbox.run(arguments).exits(code).document();
    document["gateways"][0].clone()
}

/// What every gateway has: the empty block that is its own CID.
fn empty() -> Dag {
    let root = "bafkqaaa".parse().expect("a CID");
    Dag {
        root,
        blocks: vec![(root, Bytes::new())],
        data: Vec::new(),
    }
}

#[test]
fn a_good_gateway_is_known_afterwards() {
    let dag = Dag::single(b"a small block");
    let gateway = Gateway::of(&dag).start();
    let sandbox = Sandbox::new();
    let cid = dag.root.to_string();
    let checked = check(&sandbox, gateway.url(), &["--cid", &cid], 0);
    let can = json!({"raw": true, "car": true, "entity_bytes": null, "range": true});
    assert_eq!(checked["capabilities"], can);
    assert_eq!(
        (&checked["error"], &checked["state"]),
        (&Value::Null, &json!("ok"))
    );
    assert_eq!(
        (&checked["requests"], &checked["notes"]),
        (&json!(3), &json!([]))
    );
    assert!(checked["latency"].is_f64());
    assert!(
        gateway
            .requests()
            .iter()
            .all(|request| request.method == "GET")
    );

    let listed = sandbox.run(["--json", "gateways", "list"]).exits(0);
    let gateways = listed.document()["gateways"].clone();
    let known = gateways.as_array().expect("a list").iter();
    let known = known.filter(|row| row["url"] == gateway.url());
    assert_eq!(
        known
            .map(|row| row["capabilities"].clone())
            .collect::<Vec<_>>(),
        [can]
    );
}

#[test]
fn the_usual_probe_needs_no_content() {
    let gateway = Gateway::of(&empty()).start();
    let sandbox = Sandbox::new();
    sandbox.config(&format!("gateways = [{{ url = \"{}\" }}]", gateway.url()));
    let output = sandbox.run(["gateways", "check"]).exits(0);
    let text = output.text();
    assert!(text.contains("yes") && text.contains("raw,car"), "{text}");
    assert_eq!(gateway.requests().len(), 3);
}

#[test]
fn failures_have_their_codes() {
    let sandbox = Sandbox::new();
    let refusing = Gateway::refusing();
    let checked = check(&sandbox, &refusing, &[], 75);
    assert!(
        checked["error"]
            .as_str()
            .expect("why")
            .starts_with("no connection")
    );
    let closed = Gateway::empty().on(On::any(), Fault::status(403)).start();
    let checked = check(&sandbox, closed.url(), &[], 77);
    assert!(
        checked["error"]
            .as_str()
            .expect("why")
            .starts_with("answered 403")
    );
    sandbox
        .run(["gateways", "check", &refusing, closed.url()])
        .exits(80);
    let silent = Gateway::empty().on(On::any(), Fault::status(404)).start();
    let checked = check(&sandbox, silent.url(), &[], 75);
    assert!(
        checked["notes"][0]
            .as_str()
            .expect("a note")
            .contains("--cid")
    );
    for wrong in [
        &["no url"][..],
        &["file:///x.car"],
        &[&refusing, "--cid", "x"],
    ] {
        sandbox
            .run([&["gateways", "check"], wrong].concat())
            .exits(2);
    }
}

#[test]
fn one_that_has_closed_is_not_asked() {
    let sandbox = Sandbox::new();
    let checked = check(&sandbox, "https://ipfs.io", &[], 75);
    let error = checked["error"].as_str().expect("why");
    assert!(error.starts_with("closed since 2026-09-21"), "{error}");
    assert_eq!(checked["requests"], 0);
}

#[test]
fn who_says_not_now_is_left_alone() {
    let busy = Fault::retry_after(429, "600");
    let gateway = Gateway::of(&empty()).on(On::any().first(1), busy).start();
    let sandbox = Sandbox::new();
    sandbox.config(&format!("gateways = [{{ url = \"{}\" }}]", gateway.url()));
    let checked = check(&sandbox, gateway.url(), &[], 75);
    assert_eq!(checked["state"], "cooling");
    let all = sandbox.run(["--json", "gateways", "check"]).exits(0);
    assert_eq!(all.document()["gateways"], json!([]));
    assert_eq!(gateway.requests().len(), 1);
    // Whoever names it wants it asked.
    let checked = check(&sandbox, gateway.url(), &[], 0);
    assert_eq!(checked["state"], "ok");
}

#[test]
fn a_certificate_that_is_not_trusted_is_named() {
    let dag = Dag::single(b"a small block");
    let gateway = TlsGateway::start(&[&dag], None);
    let sandbox = Sandbox::new();
    let checked = check(&sandbox, gateway.url(), &[], 75);
    let error = checked["error"].as_str().expect("why");
    assert!(error.contains("certificate"), "{error}");
    let cid = dag.root.to_string();
    sandbox
        .fetchd(["gateways", "check", gateway.url(), "--cid", &cid])
        .env("SSL_CERT_FILE", certificate())
        .run()
        .exits(0);
}

/// A store of plain files is told by the ranges that it serves.
#[test]
fn a_path_gateway_of_plain_files_works() {
    let dag = Recipe::default().build(100_000);
    let (cid, sandbox) = (dag.root.to_string(), Sandbox::new());
    let gateway = Gateway::of(&dag).features(Features::PLAIN).start();
    let checked = check(&sandbox, gateway.url(), &["--cid", &cid], 0);
    assert_eq!(checked["capabilities"]["range"], true, "{checked}");
    assert_eq!(checked["error"], Value::Null, "{checked}");
}
