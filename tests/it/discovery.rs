//! Providers found by delegated routing, when those that are named cannot serve.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::support::dag::{Dag, Recipe};
use crate::support::gateway::{Fault, Gateway, On};
use crate::support::sandbox::Sandbox;

/// A router that always gives the same answer.
struct Router {
    url: String,
    asked: Arc<AtomicUsize>,
}

impl Router {
    /// Names an HTTP provider for each of these `host:port`.
    fn naming(providers: &[String]) -> Self {
        let records = providers.iter().map(|provider| {
            let (host, port) = provider.split_once(':').expect("host and port");
            format!(
                r#"{{"Schema":"peer","ID":"12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5","Addrs":["/ip4/{host}/tcp/{port}/http"],"Protocols":["transport-ipfs-gateway-http"]}}"#
            )
        });
        let records: Vec<String> = records.collect();
        let body = format!(r#"{{"Providers":[{}]}}"#, records.join(","));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = asked.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::SeqCst);
                answer(stream, &body);
            }
        });
        Self { url, asked }
    }

    fn times_asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn answer(mut stream: TcpStream, body: &str) {
    let mut lines = BufReader::new(stream.try_clone().expect("a clone")).lines();
    while lines
        .next()
        .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
    {}
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n";
    // A client that went away needs no answer.
    let _ = write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len());
}

fn configured(gateway: &Gateway, router: &Router, discovery: &str) -> Sandbox {
    configured_with(gateway, &[&router.url], discovery)
}

fn configured_with(gateway: &Gateway, routers: &[&str], discovery: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.config(&format!(
        "gateways = [{{ url = {:?} }}]\nrouters = {routers:?}\ndiscovery = {discovery:?}",
        gateway.url()
    ));
    sandbox
}

fn host(gateway: &Gateway) -> String {
    gateway.url().trim_start_matches("http://").to_owned()
}

fn dag() -> Dag {
    Recipe::default().build(300_000)
}

#[test]
fn whoever_is_found_serves_what_the_named_lack() {
    let dag = dag();
    let other = Recipe::default().build(1000);
    let (named, found) = (Gateway::of(&other).start(), Gateway::of(&dag).start());
    let router = Router::naming(&[host(&found)]);
    let sandbox = configured(&named, &router, "fallback");
    let output = sandbox
        .run(["get", &dag.source(), "-o", "file", "--json"])
        .exits(0);
    assert_eq!(sandbox.read("file"), dag.data);
    let receipt = &output.events_of("finished")[0];
    let urls = receipt["providers"].as_array().expect("an array");
    assert!(
        urls.iter().any(|line| line["url"] == found.url()),
        "{receipt}"
    );
}

/// Those that accept and say nothing take nobody's turn, however many they are.
#[test]
fn routers_that_hang_do_not_keep_others_from_being_asked() {
    let dag = dag();
    let (named, found) = (Gateway::empty().start(), Gateway::of(&dag).start());
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("http://{}", silent.local_addr().expect("an address"));
    let router = Router::naming(&[host(&found)]);
    let mut routers = [silent.as_str(); 6];
    routers[5] = &router.url;
    let sandbox = configured_with(&named, &routers, "fallback");
    sandbox.run(["get", &dag.source(), "-o", "file"]).exits(0);
    assert!(sandbox.read("file") == dag.data);
    assert_eq!(router.times_asked(), 1);
}

#[test]
fn routers_are_asked_only_when_nobody_else_can() {
    let dag = dag();
    let named = Gateway::of(&dag).start();
    let router = Router::naming(&[]);
    let sandbox = configured(&named, &router, "fallback");
    sandbox.run(["get", &dag.source(), "-o", "file"]).exits(0);
    assert_eq!(router.times_asked(), 0);

    let missing = Recipe::default().build(77).source();
    sandbox.run(["get", &missing, "-o", "missing"]).exits(69);
    assert_eq!(router.times_asked(), 1);

    // Neither if it is switched off, nor if the user named whom to ask.
    let off = configured(&named, &router, "off");
    off.run(["get", &missing, "-o", "missing"]).exits(69);
    off.run(["get", &missing, "-o", "other", "--gateway", named.url()])
        .exits(69);
    assert_eq!(router.times_asked(), 1);
}

#[test]
fn a_router_that_names_a_liar_does_no_harm() {
    let dag = dag();
    let other = Recipe::default().build(1000);
    let named = Gateway::of(&other).start();
    let liar = Gateway::of(&dag).on(On::any(), Fault::FlipBit(3)).start();
    let honest = Gateway::of(&dag).start();
    let router = Router::naming(&[host(&liar), host(&honest), "127.0.0.1:1".to_owned()]);
    let sandbox = configured(&named, &router, "always");
    sandbox.run(["get", &dag.source(), "-o", "file"]).exits(0);
    assert_eq!(sandbox.read("file"), dag.data);
}

/// A router can name as many as it likes: few are asked.
#[test]
fn ten_thousand_providers_are_not_all_asked() {
    let dag = dag();
    let other = Recipe::default().build(1000);
    let (named, found) = (Gateway::of(&other).start(), Gateway::of(&dag).start());
    let closed = |n: usize| format!("127.0.{}.{}:1", 1 + n / 250, 1 + n % 250);
    let mut names = vec![host(&found)];
    names.extend((0..10_000).map(closed));
    let router = Router::naming(&names);
    let sandbox = configured(&named, &router, "fallback");
    let output = sandbox
        .run(["--json", "get", &dag.source(), "-o", "file"])
        .exits(0);
    assert_eq!(sandbox.read("file"), dag.data);
    let receipt = &output.events_of("finished")[0];
    let asked = receipt["providers"].as_array().expect("an array").len();
    assert!(asked <= 20, "{asked}");
}

/// `ls` and `--dry-run` find what `get` finds.
#[test]
fn looking_finds_whom_fetching_finds() {
    let dag = dag();
    let other = Recipe::default().build(1000);
    let (named, found) = (Gateway::of(&other).start(), Gateway::of(&dag).start());
    let router = Router::naming(&[host(&found)]);
    let sandbox = configured(&named, &router, "fallback");
    let listed = sandbox.run(["--json", "ls", &dag.source()]).exits(0);
    assert_eq!(listed.document()["entries"][0]["size"], dag.data.len());
    let planned = sandbox
        .run(["--json", "get", "--dry-run", &dag.source()])
        .exits(0);
    assert!(planned.text().contains(&dag.data.len().to_string()));
    assert_eq!(router.times_asked(), 2);
}
