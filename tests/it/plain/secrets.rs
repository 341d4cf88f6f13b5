//! Headers and logins: sent to the source and its mirrors, and to be found nowhere.

use std::path::Path;

use super::{SIZE, data, finished, server, url};
use crate::support::dag::{Dag, Recipe};
use crate::support::gateway::{Fault, Features, Gateway, On};
use crate::support::sandbox::{Output, Sandbox};
use crate::support::scenario::sha256;

const SECRET: &str = "s3cr3t-t0ken";
/// `user:s3cr3t-t0ken`, as Basic authentication has it.
const LOGIN: &str = "Basic dXNlcjpzM2NyM3QtdDBrZW4=";

/// How many requests carried the header.
fn carried(server: &Gateway) -> usize {
    let carries = |header: &(String, String)| {
        header.0 == "authorization" && (header.1.contains(SECRET) || header.1 == LOGIN)
    };
    let requests = server.requests();
    let with = requests
        .iter()
        .filter(|request| request.headers.iter().any(carries));
    with.count()
}

#[track_caller]
fn appears_nowhere(sandbox: &Sandbox, output: &Output) {
    let encoded = LOGIN.trim_start_matches("Basic ");
    for secret in [SECRET, encoded] {
        assert!(!output.text().contains(secret), "{}", output.transcript());
        assert!(!output.stderr.contains(secret), "{}", output.transcript());
        is_in_no_file(&sandbox.state(), secret);
    }
}

#[track_caller]
fn is_in_no_file(dir: &Path, secret: &str) {
    for entry in std::fs::read_dir(dir).expect("the state").flatten() {
        let path = entry.path();
        if path.is_dir() {
            is_in_no_file(&path, secret);
            continue;
        }
        let bytes = std::fs::read(&path).expect("a file of ours");
        let found = bytes
            .windows(secret.len())
            .any(|window| window == secret.as_bytes());
        assert!(!found, "{} holds it", path.display());
    }
}

fn args<'a>(url: &'a str, sum: &'a str, header: &'a str) -> Vec<&'a str> {
    let head = ["-vv", "--json", "get", url, "-o", "file", "--sha256", sum];
    head.into_iter().chain(["--header", header]).collect()
}

#[test]
fn a_header_reaches_the_source_and_its_mirror_only() {
    let (data, sandbox) = (data(), Sandbox::new());
    let header = format!("Authorization: Bearer {SECRET}");
    let source = server(&data, None)
        .on(On::any(), Fault::status(404))
        .start();
    let elsewhere = server(&data, None).start();
    let moved = Fault::redirect(url(&elsewhere));
    let mirror = server(&data, None).on(On::any(), moved).start();
    let (from, sum, at) = (url(&source), sha256(&data), url(&mirror));
    let mut args = args(&from, &sum, &header);
    args.extend(["--mirror", &at]);
    let output = sandbox.run(args);
    appears_nowhere(&sandbox, &output);
    finished(&sandbox, output, &data);
    assert_eq!([&source, &mirror].map(carried), [1, 1]);
    assert_eq!((elsewhere.requests().len(), carried(&elsewhere)), (1, 0));
}

#[test]
fn gateways_do_not_get_it() {
    let sandbox = Sandbox::new();
    let dag = Recipe::default().chunk(256 << 10).build(SIZE);
    let gateway = Gateway::of(&dag).features(Features::RAW).start();
    let mirror = server(&dag.data, None).start();
    let header = format!("Authorization: Bearer {SECRET}");
    let (source, sum, at) = (dag.source(), sha256(&dag.data), url(&mirror));
    let mut args = args(&source, &sum, &header);
    args.extend(["--mirror", &at, "--gateway", gateway.url()]);
    let output = sandbox.run(args);
    appears_nowhere(&sandbox, &output);
    finished(&sandbox, output, &dag.data);
    assert_eq!(carried(&gateway), 0);
    assert_eq!(carried(&mirror), mirror.requests().len());
}

/// A gateway behind a login is named by the URL of the content, as any other file would be.
#[test]
fn a_gateway_whose_url_is_the_source_gets_it_and_no_other_does() {
    let dag = Recipe::default().chunk(256 << 10).build(SIZE);
    let header = format!("Authorization: Bearer {SECRET}");
    for more in [["--header", header.as_str()], ["--netrc", "--force"]] {
        let sandbox = Sandbox::new();
        has_login(&sandbox);
        let source = Gateway::of(&dag).features(Features::RAW).start();
        let other = Gateway::empty().start();
        sandbox.config(&format!("gateways = [{{ url = \"{}\" }}]", other.url()));
        let url = format!("{}/ipfs/{}", source.url(), dag.source());
        let args = ["-vv", "--json", "get", &url, "-o", "file"];
        let output = sandbox.run(args.iter().chain(&more));
        appears_nowhere(&sandbox, &output);
        assert!(carried(&source) > 0, "{}", output.transcript());
        finished(&sandbox, output, &dag.data);
        assert_eq!(carried(&source), source.requests().len());
        assert!(!other.requests().is_empty());
        assert_eq!(carried(&other), 0);
    }
}

#[test]
fn a_header_that_nobody_gets_is_said_not_to_be_sent() {
    let (sandbox, dag) = (Sandbox::new(), Dag::single(b"content"));
    let (asked, other) = (Gateway::of(&dag).start(), Gateway::of(&dag).start());
    let cid = dag.source();
    let url = format!("{}/ipfs/{cid}", other.url());
    let header = format!("Authorization: Bearer {SECRET}");
    for (source, name) in [(cid, "one"), (url, "two")] {
        let args = ["get", &source, "--header", &header, "-o", name];
        let gateway = ["--gateway", asked.url()];
        let output = sandbox.run(args.iter().chain(&gateway)).exits(0);
        let is_said = output.stderr.contains("--header is not sent");
        assert!(is_said, "{}", output.transcript());
    }
    assert_eq!((carried(&asked), carried(&other)), (0, 0));
}

fn has_login(sandbox: &Sandbox) {
    let netrc = format!("machine 127.0.0.1 login user password {SECRET}\n");
    std::fs::write(sandbox.root().join("home/.netrc"), netrc).expect("a writable sandbox");
}

#[test]
fn a_login_from_netrc() {
    let (data, sandbox) = (data(), Sandbox::new());
    let elsewhere = server(&data, None).start();
    let moved = Fault::redirect(url(&elsewhere));
    let source = server(&data, None).on(On::any(), moved).start();
    has_login(&sandbox);
    let (from, sum) = (url(&source), sha256(&data));
    let mut args = args(&from, &sum, "X-Harmless: 1");
    args.push("--netrc");
    let output = sandbox.run(args);
    appears_nowhere(&sandbox, &output);
    finished(&sandbox, output, &data);
    assert_eq!((carried(&source), carried(&elsewhere)), (1, 0));
}
