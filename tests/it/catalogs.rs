//! Catalogues from elsewhere: pinned, signed, kept for offline use, and refused.

use serde_json::Value;

use crate::support::dag::{Dag, Recipe};
use crate::support::gateway::{Features, Gateway};
use crate::support::ipns::Owner;
use crate::support::sandbox::{Output, Sandbox};
use crate::support::scenario::sha256;

fn model() -> Dag {
    Recipe::default().seed(3).build(70_000)
}

fn entry(name: &str, more: &str) -> String {
    let source = model().source();
    format!("[[entry]]\nname = {name:?}\nsource = \"{source}\"\n{more}\n")
}

/// A catalogue as content.
fn published(text: &str) -> Dag {
    Dag::single(text.as_bytes())
}

fn asking(gateway: &Gateway) -> Sandbox {
    let sandbox = Sandbox::new();
    ask(&sandbox, gateway.url());
    sandbox
}

fn ask(sandbox: &Sandbox, url: &str) {
    sandbox.config(&format!("gateways = [{{ url = \"{url}\" }}]"));
}

/// Nobody can be reached any more.
fn cut_off(sandbox: &Sandbox) {
    ask(sandbox, &Gateway::refusing());
}

fn write(sandbox: &Sandbox, text: &str) {
    std::fs::write(sandbox.root().join("catalog.toml"), text).expect("a writable sandbox");
}

fn read(sandbox: &Sandbox) -> String {
    std::fs::read_to_string(sandbox.root().join("catalog.toml")).unwrap_or_default()
}

fn named(name: &str, source: &str) -> String {
    format!("[[catalog]]\nname = {name:?}\nsource = {source:?}\n")
}

fn list(sandbox: &Sandbox) -> Value {
    sandbox
        .run(["--json", "catalog", "list"])
        .exits(0)
        .document()
}

/// Name, origin, and who hides it, of each entry.
fn entries(sandbox: &Sandbox) -> Vec<[String; 3]> {
    let document = list(sandbox);
    let entries = document["entries"].as_array().expect("entries").iter();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    entries
        .map(|entry| ["name", "origin", "hidden_by"].map(|key| text(&entry[key])))
        .collect()
}

fn update(sandbox: &Sandbox) -> Output {
    sandbox.run(["--json", "catalog", "update"])
}

/// Nothing of a download is left, in the records or beside what is kept.
fn is_tidy(sandbox: &Sandbox) {
    let downloads = sandbox.run(["--json", "list", "--all"]).exits(0).document();
    assert_eq!(downloads["downloads"].as_array().map(Vec::len), Some(0));
    let arrived = std::fs::read_dir(sandbox.state().join("catalogs")).expect("a directory");
    assert_eq!(arrived.count(), 0);
}

#[test]
fn a_pinned_one_from_its_addition_to_its_removal() {
    let catalog = published(&entry("theirs", "size = '70000'\ntype = 'text'"));
    let gateway = Gateway::of(&catalog).dag(&model()).start();
    let sandbox = asking(&gateway);
    write(&sandbox, "# mine\n");
    let source = format!("ipfs://{}", catalog.source());
    let add = ["catalog", "add", "team", &source, "--catalog"];
    let table = sandbox.run(add).exits(0).text();
    assert!(
        table.contains("team") && table.contains("fetched"),
        "{table}"
    );
    let file = read(&sandbox);
    assert!(
        file.starts_with("# mine\n") && file.contains("[[catalog]]"),
        "{file}"
    );
    is_tidy(&sandbox);

    // All of it works without a network from here on, but for the content itself.
    let asked = gateway.requests().len();
    sandbox.run(add).exits(0);
    assert_eq!(read(&sandbox), file, "twice is harmless");
    assert_eq!(
        entries(&sandbox),
        [["theirs", "team", "-"].map(String::from)]
    );
    let document = list(&sandbox);
    let team = &document["catalogs"][0];
    assert_eq!(
        (&team["name"], &team["state"], &team["entries"]),
        (&"team".into(), &"ok".into(), &1.into())
    );
    assert_eq!(team["cid"], catalog.source());
    let shown = sandbox
        .run(["--json", "catalog", "show", "team"])
        .exits(0)
        .document();
    assert_eq!(&shown["catalog"], team);
    let shown = sandbox
        .run(["catalog", "show", "@team/theirs"])
        .exits(0)
        .text();
    assert!(shown.contains("origin: team\n"), "{shown}");
    let best = sandbox
        .run(["catalog", "recommend", "--memory", "1M"])
        .exits(0)
        .text();
    assert_eq!(best, "theirs\n");
    let unchanged = update(&sandbox).exits(0).document();
    assert_eq!(unchanged["catalogs"][0]["changed"], false);
    assert_eq!(gateway.requests().len(), asked, "{}", gateway.story());

    sandbox.run(["get", "@theirs", "-o", "model"]).exits(0);
    assert!(sandbox.read("model") == model().data);
    sandbox.run(["catalog", "remove", "theirs"]).exits(2);
    sandbox.run(["catalog", "remove", "team"]).exits(0);
    assert_eq!(read(&sandbox), "# mine\n");
    let kept = "SELECT count(*) FROM catalogs";
    let kept = sandbox
        .database()
        .query_row(kept, [], |row| row.get::<_, i64>(0));
    assert_eq!(kept, Ok(0));
    sandbox.run(["get", "@theirs", "-o", "again"]).exits(2);
}

#[test]
fn one_at_a_url_is_pinned_by_its_checksum() {
    let text = entry("theirs", "");
    let gateway = Gateway::of(&model())
        .file("/team.toml", text.clone(), None)
        .start();
    let sandbox = asking(&gateway);
    let url = format!("{}/team.toml", gateway.url());
    let bare = ["catalog", "add", "team", &url, "--catalog"];
    let refused = sandbox.run(bare).exits(2);
    assert!(
        refused.stderr.contains("proves nothing"),
        "{}",
        refused.stderr
    );
    let add = |sum: &str| sandbox.run([&bare[..], &["--sha256", sum]].concat());
    add(&"0".repeat(64)).exits(65);
    assert_eq!(read(&sandbox), "", "what cannot be had is not added");
    add(&sha256(text.as_bytes())).exits(0);
    assert_eq!(
        entries(&sandbox),
        [["theirs", "team", "-"].map(String::from)]
    );
    assert!(list(&sandbox)["catalogs"][0]["cid"].is_null());
    // Whatever stands at that URL later.
    gateway.put("/team.toml", entry("other", ""), None);
    update(&sandbox).exits(0);
    assert_eq!(entries(&sandbox)[0][0], "theirs");
    // Another pin is another catalogue.
    let other = sha256(entry("other", "").as_bytes());
    write(
        &sandbox,
        &read(&sandbox).replace(&sha256(text.as_bytes()), &other),
    );
    assert_eq!(entries(&sandbox).len(), 0);
    assert_eq!(list(&sandbox)["catalogs"][0]["state"], "missing");
    update(&sandbox).exits(0);
    assert_eq!(entries(&sandbox)[0][0], "other");
}

#[test]
fn of_one_name_the_first_meaning_counts() {
    let one = published(&(entry("both", "note = 'of one'") + &entry("mine", "")));
    let two = published(&(entry("both", "note = 'of two'") + &entry("only", "")));
    let gateway = Gateway::of(&one).dag(&two).dag(&model()).start();
    let sandbox = asking(&gateway);
    let names = named("one", &one.source()) + &named("two", &two.source());
    write(&sandbox, &(names + &entry("mine", "size = '1K'")));
    let table = sandbox.run(["catalog", "list"]).exits(0);
    assert!(
        table.stderr.contains("fetchd catalog update one"),
        "{}",
        table.stderr
    );
    let unknown = sandbox.run(["get", "@only"]).exits(2);
    assert!(
        unknown.stderr.contains("fetchd catalog update"),
        "{}",
        unknown.stderr
    );
    update(&sandbox).exits(0);
    let expected = [
        ["mine", "user", "-"],
        ["both", "one", "-"],
        ["mine", "one", "user"],
        ["both", "two", "one"],
        ["only", "two", "-"],
    ];
    assert_eq!(
        entries(&sandbox),
        expected.map(|entry| entry.map(String::from))
    );
    let table = sandbox.run(["catalog", "list"]).exits(0).text();
    assert!(
        table.contains("hidden by that of one; get it with @two/both"),
        "{table}"
    );
    let note = |name: &str| {
        let shown = sandbox
            .run(["--json", "catalog", "show", name])
            .exits(0)
            .document();
        shown["entry"]["note"].clone()
    };
    assert_eq!(note("both"), "of one");
    assert_eq!(note("@two/both"), "of two");
    assert!(note("mine").is_null());
    sandbox.run(["catalog", "show", "two/mine"]).exits(2);
    for theirs in ["only", "two/only"] {
        let output = sandbox.run(["catalog", "remove", theirs]).exits(2);
        let hint = "fetchd catalog add only SOURCE";
        assert!(output.stderr.contains(hint), "{}", output.stderr);
    }
    // An entry of one's own goes before.
    sandbox
        .run(["catalog", "add", "both", "bafkqaaa", "--note", "my own"])
        .exits(0);
    assert_eq!(note("both"), "my own");
}

#[test]
fn a_signed_one_follows_its_owner_and_never_back() {
    let first = published(&entry("first", ""));
    let second = published(&entry("second", ""));
    let owner = Owner::new();
    let path = format!("/ipns/{}", owner.name());
    let points_to = |dag: &Dag| format!("/ipfs/{}", dag.source());
    let gateway = Gateway::of(&first).dag(&second).start();
    let sandbox = asking(&gateway);
    gateway.put(&path, owner.record(&points_to(&first), 5), None);
    let source = format!("ipns://{}", owner.name());
    sandbox
        .run(["catalog", "add", "team", &source, "--catalog"])
        .exits(0);
    assert_eq!(entries(&sandbox)[0][0], "first");
    assert_eq!(list(&sandbox)["catalogs"][0]["sequence"], 5);

    gateway.put(&path, owner.record(&points_to(&second), 6), None);
    let changed = update(&sandbox).exits(0).document();
    assert_eq!(changed["catalogs"][0]["changed"], true);
    assert_eq!(entries(&sandbox)[0][0], "second");

    // An older record is a replay: what was seen before is used, and nothing goes back.
    gateway.put(&path, owner.record(&points_to(&first), 5), None);
    let unchanged = update(&sandbox).exits(0).document();
    assert_eq!(unchanged["catalogs"][0]["changed"], false);
    // Nor when the one that was seen has expired.
    let database = rusqlite::Connection::open(sandbox.database_file()).expect("a database");
    let changed = database.execute("UPDATE ipns SET record = x''", []);
    assert_eq!(changed, Ok(1));
    drop(database);
    let refused = update(&sandbox).exits(65);
    let document = refused.document();
    assert_eq!(document["catalogs"][0]["error"]["kind"], "verification");
    assert!(
        refused.stderr.contains("older (sequence 5)"),
        "{}",
        refused.stderr
    );
    assert_eq!(entries(&sandbox)[0][0], "second");
    // Somebody else's signature is none.
    gateway.put(&path, Owner::new().record(&points_to(&first), 9), None);
    update(&sandbox).exits(65);
    // Where nobody answers, what was fetched stays in use.
    cut_off(&sandbox);
    update(&sandbox).exits(75);
    assert_eq!(entries(&sandbox)[0][0], "second");
    is_tidy(&sandbox);
}

#[test]
fn a_key_that_leads_to_a_domain_proves_nothing() {
    let owner = Owner::new();
    let path = format!("/ipns/{}", owner.name());
    let gateway = Gateway::empty().start();
    gateway.put(&path, owner.record("/ipns/team.example", 1), None);
    let first = published(&entry("first", ""));
    let answers = [crate::support::dns::txt(&format!(
        "dnslink=/ipfs/{}",
        first.source()
    ))];
    let dns = crate::support::dns::DnsServer::start(&[(
        "_dnslink.team.example",
        crate::support::dns::Act::Answer(answers.to_vec()),
    )]);
    let sandbox = Sandbox::new();
    sandbox.config(&format!(
        "dns = \"{}\"\ngateways = [{{ url = \"{}\" }}]",
        dns.url,
        gateway.url()
    ));
    let source = format!("ipns://{}", owner.name());
    let refused = sandbox
        .run(["catalog", "add", "team", &source, "--catalog"])
        .exits(65);
    assert!(refused.stderr.contains("DNSLink"), "{}", refused.stderr);
    assert_eq!(read(&sandbox), "");
}

#[test]
fn mistakes_in_one_have_a_place_and_change_nothing() {
    let good = published(&entry("good", ""));
    let owner = Owner::new();
    let path = format!("/ipns/{}", owner.name());
    let bad = [
        (entry("a", "size = 'much'"), "4:8: not a size"),
        (entry("a", "") + &entry("a", ""), "6:8: the name \"a\""),
        (entry("a/b", ""), "2:8: \"a/b\" is no name"),
        (entry("a", "run = 'sh'"), "4:1: unknown key `run`"),
        (
            named("more", "bafkqaaa"),
            "2:8: a catalogue from elsewhere cannot name",
        ),
        ("[[entry]\n".to_owned(), "1:"),
        ("<!DOCTYPE html>\n".to_owned(), "1:1"),
    ];
    let dags = bad.each_ref().map(|(text, _)| published(text));
    let builder = dags
        .iter()
        .fold(Gateway::of(&good), |builder, dag| builder.dag(dag));
    let gateway = builder.start();
    let points_to =
        |dag: &Dag, sequence| owner.record(&format!("/ipfs/{}", dag.source()), sequence);
    gateway.put(&path, points_to(&good, 0), None);
    let sandbox = asking(&gateway);
    write(
        &sandbox,
        &named("team", &format!("ipns://{}", owner.name())),
    );
    update(&sandbox).exits(0);
    for (sequence, (dag, (_, expected))) in (1..).zip(dags.iter().zip(&bad)) {
        gateway.put(&path, points_to(dag, sequence), None);
        let output = update(&sandbox).exits(78);
        let place = format!("ipns://{}:{expected}", owner.name());
        assert!(
            output.stderr.contains(&place),
            "{expected}\n{}",
            output.stderr
        );
        assert_eq!(output.document()["catalogs"][0]["error"]["kind"], "config");
        assert_eq!(entries(&sandbox)[0][0], "good", "it stays in use");
        let source = dag.source();
        sandbox
            .run(["catalog", "add", "other", &source, "--catalog"])
            .exits(78);
        is_tidy(&sandbox);
    }
    assert!(!read(&sandbox).contains("other"));
}

#[test]
fn what_is_no_small_file_is_refused() {
    let large = Recipe::default().build(5 << 20);
    let tree = Dag::directory(&[("catalog.toml", &published(&entry("a", "")))]);
    let link = Dag::symlink("catalog.toml");
    let gateway = Gateway::of(&large).dag(&tree).dag(&link).start();
    let sandbox = asking(&gateway);
    let add = |source: &str| sandbox.run(["catalog", "add", "team", source, "--catalog"]);
    add(&large.source()).exits(77);
    for dag in [&tree, &link] {
        let output = add(&dag.source()).exits(78);
        assert!(output.stderr.contains("no catalogue"), "{}", output.stderr);
    }
    assert!(gateway.sent() < 1 << 20, "{}", gateway.story());
    for (source, code) in [("nonsense", 2), ("@a", 2), ("ipns://x.example", 2)] {
        add(source).exits(code);
    }
    for flags in [["--size", "1"], ["--type", "text"]] {
        let args = ["catalog", "add", "team", "bafkqaaa", "--catalog"];
        sandbox.run([&args[..], &flags].concat()).exits(2);
    }
    let in_tree = format!("{}/catalog.toml", tree.source());
    add(&in_tree).exits(0);
    assert_eq!(
        list(&sandbox)["catalogs"][0]["content_path"],
        "catalog.toml"
    );
}

#[test]
fn one_that_cannot_be_had_does_not_stop_the_others() {
    let good = published(&entry("good", ""));
    let gone = published(&entry("gone", ""));
    let gateway = Gateway::of(&good).start();
    let sandbox = asking(&gateway);
    write(
        &sandbox,
        &(named("gone", &gone.source()) + &named("good", &good.source())),
    );
    let output = update(&sandbox).exits(69);
    let document = output.document();
    assert_eq!(document["catalogs"][0]["error"]["kind"], "not_found");
    assert_eq!(document["catalogs"][1]["changed"], true);
    assert_eq!(entries(&sandbox), [["good", "good", "-"].map(String::from)]);
    sandbox.run(["catalog", "update", "nobody"]).exits(2);
    sandbox.run(["catalog", "update", "good"]).exits(0);
    write(&sandbox, "");
    sandbox.run(["catalog", "update"]).exits(0);
}

#[cfg(unix)]
#[test]
fn one_that_cannot_be_begun_says_why() {
    use crate::support::scenario;
    let catalog = published(&entry("theirs", ""));
    let sandbox = asking(&Gateway::of(&catalog).start());
    cut_off(&sandbox);
    write(&sandbox, &named("team", &catalog.source()));
    update(&sandbox).exits(75);
    let part = scenario::spoil_part(&sandbox);
    let output = update(&sandbox).exits(73);
    let document = output.document();
    let error = &document["catalogs"][0]["error"];
    assert_eq!(error["kind"], "exists", "{}", output.transcript());
    let hint = error["hint"].as_str().unwrap_or_default();
    assert!(hint.contains("move away"), "{hint}");
    let told = output.stderr.matches("move away").count();
    assert_eq!(told, 1, "{}", output.transcript());
    assert!(part.is_symlink(), "it is somebody else's");
}

#[test]
fn the_state_directory_may_be_relative() {
    let catalog = published(&entry("theirs", ""));
    let gateway = Gateway::of(&catalog).start();
    let sandbox = asking(&gateway);
    write(&sandbox, &named("team", &catalog.source()));
    let update = ["--state-dir", "../state", "catalog", "update"];
    sandbox.run(update).exits(0);
    assert_eq!(entries(&sandbox)[0][0], "theirs");
    is_tidy(&sandbox);
}

#[test]
fn what_was_kept_and_is_not_understood_is_fetched_again() {
    let catalog = published(&entry("theirs", ""));
    let gateway = Gateway::of(&catalog).features(Features::default()).start();
    let sandbox = asking(&gateway);
    write(&sandbox, &named("team", &catalog.source()));
    update(&sandbox).exits(0);
    let database = rusqlite::Connection::open(sandbox.database_file()).expect("a database");
    let changed = database.execute("UPDATE catalogs SET text = 'no catalogue'", []);
    assert_eq!(changed, Ok(1));
    drop(database);
    assert_eq!(list(&sandbox)["catalogs"][0]["state"], "damaged");
    let output = sandbox.run(["get", "@theirs"]).exits(2);
    assert!(
        output.stderr.contains("fetchd catalog update team"),
        "{}",
        output.stderr
    );
    update(&sandbox).exits(0);
    assert_eq!(entries(&sandbox)[0][0], "theirs");
}
