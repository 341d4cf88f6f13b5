//! Content by its CID, from servers that know nothing of blocks.

use super::{SIZE, server, url};
use crate::support::dag::{Dag, Layout, Leaf, Recipe, Version};
use crate::support::gateway::{Fault, Features, Gateway, On};
use crate::support::sandbox::{Output, Sandbox};
use crate::support::scenario::{arrived, get, get_json};

fn profiles() -> [Dag; 2] {
    let recipe = || Recipe::default().chunk(256 << 10).width(174);
    let v0 = recipe().leaf(Leaf::File).version(Version::V0);
    [v0.build(SIZE), recipe().build(SIZE)]
}

#[test]
fn a_whole_file_is_proved_by_its_profile() {
    // The last is a profile that is tried only when the usual ones do not fit.
    let [v0, v1] = profiles();
    let rare = Recipe::default()
        .chunk(256 << 10)
        .width(174)
        .layout(Layout::Trickle);
    for dag in [v0, v1, rare.build(5 << 20)] {
        let sandbox = Sandbox::new();
        let rules = Gateway::of(&dag).features(Features::PLAIN_WHOLE);
        let gateway = rules.start();
        let output = get(&sandbox, &dag, &[&gateway]);
        let done = output.events_of("finished").pop().unwrap_or_default();
        arrived(&sandbox, &dag, output);
        assert_eq!(done["proof"], "profile");
    }
}

#[cfg(unix)]
#[test]
fn killed_it_goes_on_with_the_whole_file() {
    let [_, dag] = profiles();
    let sandbox = Sandbox::new();
    let held = 2 << 20;
    let gateway = Gateway::of(&dag)
        .features(Features::PLAIN)
        .on(On::plain(), Fault::HoldAfter(held))
        .start();
    let source = dag.source();
    let args = ["--json", "get", &source, "-o", "file"];
    let args = args.iter().copied().chain(["--gateway", gateway.url()]);
    let mut running = sandbox.fetchd(args).spawn();
    running.wait_bytes(held - (64 << 10));
    // What has come is written behind it; a checkpoint waits for that.
    sandbox.fetchd(["checkpoint", "1"]).run().exits(0);
    running.kill9();
    gateway.heal();
    let output = sandbox.run(["--json", "resume", "1"]);
    let done = output.events_of("finished").pop().unwrap_or_default();
    arrived(&sandbox, &dag, output);
    assert_eq!(done["proof"], "profile");
    assert!(done["resumed_from"].as_u64() >= Some(held / 2), "{done}");
}

#[test]
fn a_wrong_whole_file_is_refused() {
    for dag in profiles() {
        let sandbox = Sandbox::new();
        let gateway = Gateway::of(&dag)
            .features(Features::PLAIN_WHOLE)
            .on(On::any(), Fault::FlipBit(1 << 20))
            .start();
        get(&sandbox, &dag, &[&gateway]).exits(65);
        assert!(!sandbox.target("file").exists());
    }
}

/// A download from these mirrors, beside a gateway that has every node and no leaf.
fn from_mirrors(dag: &Dag, mirrors: &[&Gateway]) -> (Sandbox, Output) {
    let sandbox = Sandbox::new();
    let mut gateway = Gateway::of(dag).features(Features::RAW);
    for leaf in dag.leaves() {
        gateway = gateway.on(On::raw().with(leaf.to_string()), Fault::status(404));
    }
    let gateway = gateway.start();
    let mut args: Vec<String> = ["--json", "get", &dag.source(), "-o", "file", "--gateway"]
        .map(str::to_owned)
        .into();
    args.push(gateway.url().to_owned());
    for mirror in mirrors {
        args.extend(["--mirror".to_owned(), url(mirror)]);
    }
    let output = sandbox.run(args);
    (sandbox, output)
}

#[test]
fn a_mirror_serves_leaves() {
    for dag in profiles() {
        let mirror = server(&dag.data, None).start();
        let (sandbox, output) = from_mirrors(&dag, &[&mirror]);
        let done = output.events_of("finished").pop().unwrap_or_default();
        arrived(&sandbox, &dag, output);
        assert_eq!(done["proof"], "leaves", "{}", mirror.story());
    }
}

#[test]
fn a_wrong_bit_of_a_mirror_is_named() {
    for dag in profiles() {
        let mut wrong = dag.data.clone();
        wrong[100] ^= 1;
        let [wrong, right] = [&wrong, &dag.data].map(|data| server(data, None).start());
        let (sandbox, output) = from_mirrors(&dag, &[&wrong, &right]);
        let rejected = output.events_of("rejected");
        arrived(&sandbox, &dag, output);
        let named = |event: &serde_json::Value| event["url"] == url(&wrong);
        assert!(rejected.iter().all(named), "{rejected:?}");
        // Only who was asked for the bytes with the wrong bit can be found out.
        let asked = wrong.requests().iter().any(|request| {
            let range = request.range.as_deref().unwrap_or_default();
            range.starts_with("bytes=0-") && request.sent > 256 << 10
        });
        assert!(!asked || !rejected.is_empty(), "{}", wrong.story());
    }
}

/// Whatever a mirror serves instead, an honest gateway has the rest, and no wrong byte arrives.
#[test]
fn a_bad_mirror_does_no_harm() {
    let dag = Recipe::default().chunk(16 << 10).width(174).build(400_000);
    let longer = [dag.data.as_slice(), b"and more"].concat();
    let shorter = dag.data[..300_000].to_vec();
    let older = vec![7; dag.data.len()];
    let faults = [
        (dag.data.clone(), Some(Fault::Html200)),
        (dag.data.clone(), Some(Fault::GzipHeader)),
        (dag.data.clone(), Some(Fault::FlipBit(123_456))),
        (dag.data.clone(), Some(Fault::RangeIgnored)),
        (longer, None),
        (shorter, None),
        (older, None),
        (Vec::new(), None),
    ];
    for (bytes, fault) in faults {
        let what = format!("{} bytes, {fault:?}", bytes.len());
        let mut mirror = Gateway::empty().file("/file", bytes, Some("\"v1\""));
        if let Some(fault) = fault {
            mirror = mirror.on(On::any(), fault);
        }
        let mirror = mirror.start();
        let honest = Gateway::of(&dag).features(Features::TRUSTLESS).start();
        let sandbox = Sandbox::new();
        let (source, url) = (dag.source(), format!("{}/file", mirror.url()));
        let args = ["--json", "get", &source, "-o", "file", "--mirror", &url];
        let from = ["--gateway", honest.url()];
        let output = sandbox.run(args.iter().chain(&from));
        assert_eq!(output.code, Some(0), "{what}\n{}", output.transcript());
        arrived(&sandbox, &dag, output);
    }
}

/// A web server that holds files by their CIDs knows no `format`, and may say 404 to the query.
#[test]
fn a_store_of_files_may_not_know_its_formats() {
    let [_, dag] = profiles();
    let gateway = Gateway::of(&dag)
        .features(Features::PLAIN)
        .on(On::raw(), Fault::status(404))
        .on(On::car(), Fault::status(404))
        .start();
    let (sandbox, source) = (Sandbox::new(), dag.source());
    let args = get_json(&source, gateway.url());
    let output = sandbox.run(args);
    arrived(&sandbox, &dag, output);
}
