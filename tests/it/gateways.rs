//! `gateways`: what is said there counts over what the configuration says, until it is reset.

use serde_json::Value;

use crate::support::dag::Dag;
use crate::support::gateway::{Fault, Gateway, Kind, On};
use crate::support::sandbox::Sandbox;
use crate::support::scenario::sha256;

fn known(sandbox: &Sandbox) -> Vec<Value> {
    let listed = sandbox.run(["--json", "gateways", "list"]).exits(0);
    let gateways = listed.document()["gateways"].clone();
    gateways.as_array().expect("a list").clone()
}

fn state(sandbox: &Sandbox, url: &str) -> Option<(bool, String, String)> {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let gateways = known(sandbox);
    let gateway = gateways.iter().find(|gateway| gateway["url"] == url)?;
    let enabled = gateway["enabled"].as_bool()?;
    Some((enabled, word(&gateway["origin"]), word(&gateway["state"])))
}

#[test]
fn the_word_of_the_user_counts_over_the_configuration() {
    let dag = Dag::single(b"hello");
    let gateway = Gateway::of(&dag).start();
    let url = gateway.url();
    let sandbox = Sandbox::new();
    sandbox.config(&format!(
        "gateways = [{{ url = \"{url}\", enabled = false }}]"
    ));
    let get = |code| {
        sandbox
            .run(["get", &dag.source(), "-o", "file"])
            .exits(code);
    };
    let is = |enabled: bool, word: &str| Some((enabled, "config".to_owned(), word.to_owned()));
    assert_eq!(state(&sandbox, url), is(false, "disabled"));
    get(75);
    assert!(gateway.requests().is_empty());

    sandbox.run(["gateways", "enable", url]).exits(0);
    assert_eq!(state(&sandbox, url), is(true, "unknown"));
    get(0);
    assert_eq!(state(&sandbox, url), is(true, "ok"));
    assert!(gateway.count(Kind::Raw) > 0);

    // Of what is configured, `add` and `remove` are words for the same.
    sandbox.run(["gateways", "remove", url]).exits(0);
    assert_eq!(state(&sandbox, url), is(false, "disabled"));
    sandbox.run(["gateways", "add", url]).exits(0);
    assert_eq!(state(&sandbox, url), is(true, "unknown"));
    sandbox.run(["gateways", "reset", url]).exits(0);
    assert_eq!(state(&sandbox, url), is(false, "disabled"));

    sandbox.run(["gateways", "enable", url]).exits(0);
    get(0);
    sandbox.config("gateways = []");
    let listed = known(&sandbox);
    let of_url = |gateway: &&Value| gateway["url"] == url;
    let reason = &listed.iter().find(of_url).expect("it is listed")["reason"];
    assert_eq!(reason, "not configured any more, and not asked");
}

#[test]
fn what_is_added_stays_until_it_is_removed() {
    let sandbox = Sandbox::new();
    let url = "http://127.0.0.1:1";
    for command in ["enable", "disable", "remove", "reset"] {
        sandbox.run(["gateways", command, url]).exits(2);
    }
    sandbox.run(["gateways", "add", url]).exits(0);
    sandbox.run(["gateways", "disable", url]).exits(0);
    let is = |enabled: bool, word: &str| Some((enabled, "user".to_owned(), word.to_owned()));
    assert_eq!(state(&sandbox, url), is(false, "disabled"));
    sandbox.run(["gateways", "reset"]).exits(0);
    assert_eq!(state(&sandbox, url), is(true, "unknown"));
    let listed = sandbox.run(["--json", "gateways", "remove", url]).exits(0);
    assert_eq!(listed.document()["gateways"], Value::Array(Vec::new()));
    sandbox.run(["gateways", "remove", url]).exits(2);
}

#[test]
fn files_and_mirrors_are_not_taken_for_gateways() {
    let dag = Dag::single(b"hello");
    let gateway = Gateway::of(&dag)
        .file("/hello", dag.data.clone(), None)
        .start();
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.target("all.car"), dag.car()).expect("a file");
    let (source, mirror) = (dag.source(), format!("{}/hello", gateway.url()));
    let sum = sha256(&dag.data);
    sandbox
        .run(["get", &source, "-o", "one", "--gateway", "all.car"])
        .exits(0);
    sandbox
        .run(["get", &mirror, "-o", "two", "--sha256", &sum])
        .exits(0);
    let listed = known(&sandbox);
    let urls = listed.iter().map(|row| row["url"].as_str().expect("a URL"));
    let urls: Vec<&str> = urls.collect();
    let strange = |url: &&str| url.contains("all.car") || url.starts_with(gateway.url());
    assert!(!urls.iter().any(strange), "{urls:?}");
}

#[test]
fn a_state_says_how_it_is() {
    let dag = Dag::single(b"hello");
    let sandbox = Sandbox::new();
    let get = |gateway: &str, name: &str, code: i32| {
        let source = dag.source();
        let args = ["get", &source, "-o", name, "--gateway", gateway];
        sandbox.run(args).exits(code);
    };
    let is = |url: &str| state(&sandbox, url).expect("a row").2;
    let silent = Gateway::refusing();
    sandbox.config("max_retries = 0");
    get(&silent, "one", 75);
    assert_eq!(is(&silent), "unknown");
    let liar = Gateway::of(&dag).on(On::any(), Fault::FlipBit(1)).start();
    get(liar.url(), "two", 65);
    assert_eq!(is(liar.url()), "unknown");
    let sound = Gateway::of(&dag).start();
    get(sound.url(), "three", 0);
    assert_eq!(is(sound.url()), "ok");
}
