//! CARs out of downloads and downloads out of CARs.

use std::path::Path;

use serde_json::Value;

use crate::support::dag::{Dag, Dir, Leaf, Recipe};
use crate::support::gateway::{Fault, Features, Gateway, On};
use crate::support::sandbox::{Output, Sandbox};
use crate::support::scenario;

/// Everything that a tree may hold, some of it twice.
fn tree() -> Dag {
    let large = Recipe::default().chunk(1000).width(4).build(20_500);
    let wrapped = Recipe::default()
        .seed(2)
        .chunk(700)
        .leaf(Leaf::File)
        .build(5_000);
    let one_leaf = Recipe::default().seed(3).leaf(Leaf::File).build(300);
    let raw = Dag::single(b"raw bytes");
    let sharded = Dir::new()
        .entries((0..60).map(|n| (format!("file {n}"), &raw)))
        .entry("large again", &large)
        .sharded(16)
        .build();
    Dir::new()
        .entry("empty", &Dag::single(b""))
        .entry("large", &large)
        .entry("link", &Dag::symlink("raw"))
        .entry("nothing", &Dir::new().build())
        .entry("one leaf", &one_leaf)
        .entry("raw", &raw)
        .entry("sharded", &sharded)
        .entry("wrapped", &wrapped)
        .build()
}

fn files() -> Vec<Dag> {
    let recipe = || Recipe::default().chunk(1000).width(4);
    vec![
        recipe().build(20_500),
        recipe().leaf(Leaf::File).build(20_500),
        recipe().leaf(Leaf::Raw).inline(100).build(9_000),
        Recipe::default().leaf(Leaf::File).build(10),
        Dag::single(b"one block"),
        Dag::single(b""),
    ]
}

#[track_caller]
fn fetch(sandbox: &Sandbox, dag: &Dag) {
    let gateway = Gateway::of(dag).start();
    sandbox
        .run(scenario::get_args(&dag.source(), gateway.url()))
        .exits(0);
}

fn import(sandbox: &Sandbox, car: &[u8]) -> Output {
    std::fs::write(sandbox.target("in.car"), car).expect("a CAR");
    sandbox.run(["--json", "import", "in.car", "-o", "file"])
}

fn same_tree(one: &Path, other: &Path) {
    let status = std::process::Command::new("diff")
        .args(["-r", "--no-dereference"])
        .args([one, other])
        .status();
    assert!(status.expect("diff").success());
}

#[test]
fn a_finished_download_leaves_as_the_car_that_it_came_from() {
    for dag in files().into_iter().chain([tree()]) {
        let sandbox = Sandbox::new();
        fetch(&sandbox, &dag);
        let output = sandbox
            .run(["--json", "export", "1", "-o", "out.car"])
            .exits(0);
        assert!(
            sandbox.read("out.car") == dag.car(),
            "{}",
            output.transcript()
        );
        let document = output.document();
        assert_eq!(document["cid"], dag.root.to_string());
        assert_eq!(document["complete"], true);
        assert_eq!(document["blocks"], dag.blocks.len());
        assert_eq!(document["sha256"], scenario::sha256(&dag.car()));
        assert_eq!(sandbox.partials(), Vec::<std::path::PathBuf>::new());
        let again = sandbox.run(["export", "1", "-o", "out.car"]).exits(73);
        assert!(again.stderr.contains("--force"), "{}", again.transcript());
        sandbox
            .run(["export", "1", "-o", "out.car", "--force"])
            .exits(0);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn what_the_disk_cannot_read_is_not_called_missing() {
    use crate::torture::disk;
    if !disk::is_possible() {
        return crate::support::skipped("strace is not here or may not trace");
    }
    let dag = Recipe::default().chunk(1000).build(9_500);
    let (file, car) = (Sandbox::new(), Sandbox::new());
    fetch(&file, &dag);
    get_car(&car, &dag, Gateway::of(&dag).start().url()).exits(0);
    for (sandbox, name) in [(&file, "file"), (&car, "x.car")] {
        let path = sandbox.target(name);
        for nth in 1..=2 {
            let fault = disk::Fault::new("pread64", nth, disk::Harm::Error("EIO"));
            let mut wrapper = fault.wrapper(&sandbox.root().join("calls"));
            wrapper.extend(["-P".into(), path.to_str().expect("Unicode").into()]);
            let output = sandbox
                .fetchd_under(&wrapper, ["--json", "export", "1", "-o", "out.car"])
                .run()
                .exits(74);
            let told = output.stderr.contains("cannot read");
            assert!(
                told && !path.with_file_name("out.car").exists(),
                "{}",
                output.transcript()
            );
        }
    }
}

#[test]
fn what_somebody_changed_on_disk_does_not_leave() {
    let (sandbox, dag) = (Sandbox::new(), Recipe::default().chunk(1000).build(9_500));
    fetch(&sandbox, &dag);
    let mut bytes = dag.data.clone();
    bytes[4_321] ^= 1;
    std::fs::write(sandbox.target("file"), bytes).expect("a file");
    let output = sandbox
        .run(["--json", "export", "1", "-o", "out.car"])
        .exits(0);
    let document = output.document();
    assert_eq!(
        (&document["missing"], &document["complete"]),
        (&1.into(), &false.into())
    );
    // To go on with it would be in vain: it is finished.
    let told = output.stderr.contains("1 blocks") && output.stderr.contains("-o NAME");
    assert!(told, "{}", output.transcript());
}

#[test]
fn a_car_becomes_what_it_holds_without_a_request() {
    for dag in files() {
        let sandbox = Sandbox::new();
        import(&sandbox, &dag.car()).exits(0);
        let again = scenario::get(&sandbox, &dag, &[]);
        assert_eq!(again.events_of("finished")[0]["id"], 1, "nothing new");
        scenario::arrived(&sandbox, &dag, again);
        let again = import(&sandbox, &dag.car()).exits(0).document();
        assert_eq!(again["imported"][0]["download"]["id"], 1, "nothing new");
    }
    let (one, other, dag) = (Sandbox::new(), Sandbox::new(), tree());
    import(&one, &dag.car()).exits(0);
    fetch(&other, &dag);
    same_tree(&one.target("file"), &other.target("file"));
}

#[test]
fn the_download_that_an_import_names_is_the_one_that_it_found() {
    let dag = Dag::single(b"one block");
    let sandbox = Sandbox::new();
    import(&sandbox, &dag.car()).exits(0);
    let (file, aside) = (sandbox.target("file"), sandbox.target("aside"));
    std::fs::rename(&file, &aside).expect("a file");
    // A newer record of the same to the same place, which came to nothing.
    let queue = ["get", "--queue", &dag.source(), "-o", "file"];
    assert_eq!(sandbox.run(queue).exits(0).text().trim(), "2");
    sandbox.run(["cancel", "2"]).exits(0);
    std::fs::rename(&aside, &file).expect("a file");
    let document = import(&sandbox, &dag.car()).exits(0).document();
    let download = &document["imported"][0]["download"];
    assert_eq!(
        (&download["id"], &download["status"]),
        (&1.into(), &"success".into())
    );
}

#[test]
fn half_of_a_car_is_taken_and_the_rest_fetched_once() {
    let dag = Recipe::default().chunk(1000).width(174).build(400_000);
    let sandbox = Sandbox::new();
    let car = dag.car();
    let output = import(&sandbox, &car[..car.len() / 2]).exits(75);
    let document = output.document();
    let error = &document["imported"][0]["download"]["error"];
    assert_eq!(error["kind"], "retry");
    let hint = error["hint"].as_str().expect("a hint");
    assert!(hint.ends_with("fetchd resume 1"), "{hint}");
    let record = shown(&sandbox);
    assert_eq!(record["status"], "paused");
    let here = record["bytes_verified"].as_u64().expect("a size");
    assert!((150_000..250_000).contains(&here), "{here}");
    import(&sandbox, &car[..car.len() / 2]).exits(75);
    assert_eq!(shown(&sandbox)["bytes_verified"], here, "twice is harmless");
    let gateway = Gateway::of(&dag).start();
    sandbox.config(&format!("gateways = [{{ url = \"{}\" }}]", gateway.url()));
    std::fs::remove_file(sandbox.target("in.car")).expect("it was there");
    let output = sandbox.run(["--json", "resume", "1"]);
    scenario::arrived(&sandbox, &dag, output);
    let margin = 30_000;
    assert!(
        gateway.sent() < 400_000 - here + margin,
        "{}",
        gateway.story()
    );
}

/// What a CAR on this machine does not hold is no error, no request and no event.
#[test]
fn an_incomplete_car_helps_in_silence() {
    let dag = Recipe::default().chunk(1000).width(174).build(400_000);
    let (sandbox, gateway) = (Sandbox::new(), Gateway::of(&dag).start());
    let car = dag.car();
    std::fs::write(sandbox.target("half.car"), &car[..car.len() / 2]).expect("a file");
    let source = dag.source();
    let args = ["--json", "get", &source, "-o", "file"];
    let from = ["--gateway", "half.car", "--gateway", gateway.url()];
    let output = sandbox.run(args.iter().chain(&from));
    let told = output.events_of("provider");
    assert!(told.len() <= 4, "{}", output.transcript());
    let finished = &output.events_of("finished")[0];
    let lines = finished["providers"].as_array().expect("a list");
    let is_car = |line: &&Value| line["url"].as_str().expect("a URL").ends_with("half.car");
    let line = lines.iter().find(is_car).expect("a line");
    assert_eq!(line["errors"], 0, "{line}");
    assert!(line["requests"].as_u64() <= Some(210), "{line}");
    assert!(line["bytes"].as_u64() >= Some(150_000), "{line}");
    scenario::arrived(&sandbox, &dag, output);
}

#[test]
fn a_damaged_car_gives_up_only_what_is_damaged() {
    let dag = Dir::new()
        .entries((0..700).map(|n| {
            let dag = Recipe::default().seed(n).build(500);
            (format!("{n:03}"), Box::leak(Box::new(dag)) as &Dag)
        }))
        .build();
    let mut car = dag.car();
    // The bytes of each of the first 400 files lose one bit.
    let leaves: Vec<_> = dag.blocks.iter().skip(1).take(400).collect();
    for (_, block) in leaves {
        let at = car
            .windows(block.len())
            .position(|window| window == &block[..]);
        car[at.expect("it is there")] ^= 1;
    }
    let sandbox = Sandbox::new();
    import(&sandbox, &car).exits(75);
    assert_eq!(shown(&sandbox)["bytes_verified"], 300 * 500);
    import(&sandbox, &dag.car()).exits(0);
    assert_eq!(shown(&sandbox)["status"], "success");
}

#[test]
fn half_finished_work_goes_on_elsewhere() {
    let (here, there) = (Sandbox::new(), Sandbox::new());
    let dag = Recipe::default().chunk(10_000).width(174).build(3_000_000);
    let gateway = Gateway::of(&dag)
        .on(On::any(), Fault::HoldAtTotal(1_500_000))
        .start();
    let source = dag.source();
    let args = scenario::get_args(&source, gateway.url());
    let running = here.fetchd(args).spawn();
    gateway.held();
    here.fetchd(["pause", "1"]).run().exits(0);
    running.wait().exits(81);
    let output = here
        .run(["--json", "export", "1", "-o", "half.car"])
        .exits(0);
    let told = output.stderr.contains("go on with: fetchd resume 1");
    assert!(told, "{}", output.transcript());
    let document = output.document();
    assert_eq!(document["complete"], false);
    let car = here.read("half.car");
    import(&there, &car).exits(75);
    let record = shown(&there);
    let verified = record["bytes_verified"].as_u64().expect("a size");
    assert!(verified > 500_000, "{verified}");
    let healthy = Gateway::of(&dag).start();
    let output = there.run(["--json", "resume", "1", "--gateway", healthy.url()]);
    scenario::arrived(&there, &dag, output);
    assert!(
        healthy.sent() < 3_000_000 - verified + 200_000,
        "{}",
        healthy.story()
    );
}

#[test]
fn what_is_no_car_or_names_nothing_is_refused() {
    let sandbox = Sandbox::new();
    std::fs::write(sandbox.target("no.car"), b"not at all").expect("a file");
    sandbox.run(["import", "no.car"]).exits(65);
    sandbox.run(["import", "missing.car"]).exits(2);
    sandbox.run(["export", "1", "-o", "x.car"]).exits(2);
}

fn shown(sandbox: &Sandbox) -> Value {
    sandbox.run(["--json", "show", "1"]).document()["download"].clone()
}

fn get_car(sandbox: &Sandbox, dag: &Dag, gateway: &str) -> Output {
    let source = dag.source();
    sandbox.run([
        "--json",
        "get",
        "--car",
        &source,
        "-o",
        "x.car",
        "--gateway",
        gateway,
    ])
}

#[test]
fn all_blocks_are_saved_as_one_car_whoever_serves_them() {
    for dag in files().into_iter().chain([tree()]) {
        for features in Features::WHOEVER {
            let sandbox = Sandbox::new();
            let gateway = Gateway::of(&dag).features(features).start();
            let output = get_car(&sandbox, &dag, gateway.url()).exits(0);
            assert!(
                sandbox.read("x.car") == dag.car(),
                "{}",
                output.transcript()
            );
            let finished = output
                .events_of("finished")
                .pop()
                .expect("a finished event");
            assert_eq!(finished["size"], dag.car().len());
            assert_eq!(finished["sha256"], scenario::sha256(&dag.car()));
            let record = shown(&sandbox);
            assert_eq!(
                (&record["kind"], &record["status"]),
                (&"car".into(), &"success".into())
            );
            let nobody = Gateway::empty().start();
            get_car(&sandbox, &dag, nobody.url()).exits(0);
            assert_eq!(nobody.requests().len(), 0, "in place already");
            sandbox.run(["export", "1", "-o", "again.car"]).exits(0);
            assert!(sandbox.read("again.car") == dag.car());
        }
    }
}

#[test]
fn the_name_of_a_car_says_what_it_is() {
    let (sandbox, dag) = (Sandbox::new(), tree());
    let gateway = Gateway::of(&dag).start();
    let source = format!("{}/large", dag.source());
    let args = ["get", "--car", &source, "--gateway", gateway.url()];
    let output = sandbox.run(args).exits(0);
    assert!(
        output.text().ends_with("/out/large.car\n"),
        "{}",
        output.transcript()
    );
    for wrong in [["--include", "x"], ["--preserve", "-q"], ["-o", "-"]] {
        let args = args.into_iter().chain(wrong);
        sandbox.run(args).exits(2);
    }
}

#[test]
fn a_car_that_is_there_already_is_recognised_and_no_other_file_is_replaced() {
    let (sandbox, dag) = (Sandbox::new(), tree());
    std::fs::write(sandbox.target("x.car"), dag.car()).expect("a CAR");
    let nobody = Gateway::empty().start();
    get_car(&sandbox, &dag, nobody.url()).exits(0);
    assert_eq!(nobody.requests().len(), 0);

    let sandbox = Sandbox::new();
    let mut other = dag.car();
    let last = other.len() - 1;
    other[last] ^= 1;
    std::fs::write(sandbox.target("x.car"), &other).expect("a CAR");
    let gateway = Gateway::of(&dag).start();
    get_car(&sandbox, &dag, gateway.url()).exits(73);
    assert!(sandbox.read("x.car") == other);
    let args = ["get", "--car", &dag.source(), "-o", "x.car", "--force"];
    sandbox
        .run(args.into_iter().chain(["--gateway", gateway.url()]))
        .exits(0);
    assert!(sandbox.read("x.car") == dag.car());
}

/// A link to where the CAR is written would lose its bytes with the part.
#[cfg(unix)]
#[test]
fn a_link_to_the_part_of_a_car_is_not_the_car() {
    let (sandbox, dag) = (Sandbox::new(), files().remove(0));
    let gateway = Gateway::of(&dag).on(On::any(), Fault::HoldAfter(0)).start();
    let source = dag.source();
    let get = ["get", "--car", &source, "-o", "x.car"];
    let running = sandbox.fetchd(get.iter().chain(&["--gateway", gateway.url()]));
    let running = running.spawn();
    gateway.held();
    let query = "SELECT nonce FROM downloads";
    let nonce = sandbox.database().query_row(query, [], |row| row.get(0));
    let nonce: String = nonce.expect("a record");
    let target = sandbox.target("x.car");
    std::os::unix::fs::symlink(format!("x.car.{nonce}.car.partial"), &target).expect("a link");
    gateway.let_go();
    running.wait().exits(73);
    std::fs::remove_file(&target).expect("a link");
    sandbox.run(["resume", "1"]).exits(0);
    assert!(sandbox.read("x.car") == dag.car());
}

#[test]
fn a_car_that_was_killed_is_resumed_and_one_that_is_cancelled_leaves_nothing() {
    let dag = Recipe::default().chunk(10_000).width(174).build(3_000_000);
    let slow = || {
        Gateway::of(&dag)
            .on(On::any(), Fault::HoldAtTotal(1_500_000))
            .start()
    };
    let source = dag.source();
    let (sandbox, gateway) = (Sandbox::new(), slow());
    let args = [
        "get",
        "--car",
        &source,
        "-o",
        "x.car",
        "--gateway",
        gateway.url(),
    ];
    let running = sandbox.fetchd(args).spawn();
    gateway.held();
    running.kill9();
    gateway.let_go();
    sandbox.run(["resume", "1"]).exits(0);
    assert!(sandbox.read("x.car") == dag.car());

    let (sandbox, gateway) = (Sandbox::new(), slow());
    let args = [
        "get",
        "--car",
        &source,
        "-o",
        "x.car",
        "--gateway",
        gateway.url(),
    ];
    let running = sandbox.fetchd(args).spawn();
    gateway.held();
    running.kill9();
    sandbox.run(["cancel", "1"]).exits(0);
    assert_eq!(
        std::fs::read_dir(sandbox.out())
            .expect("a directory")
            .count(),
        0
    );
}
