//! `catalog` and `get @NAME`.

use crate::support::dag::{Dag, Recipe, seeded};
use crate::support::gateway::Gateway;
use crate::support::sandbox::Sandbox;
use crate::support::scenario::sha256;

fn model() -> Dag {
    Recipe::default().seed(3).build(70_000)
}

fn write(sandbox: &Sandbox, text: &str) {
    std::fs::write(sandbox.root().join("catalog.toml"), text).expect("a writable sandbox");
}

fn read(sandbox: &Sandbox) -> String {
    std::fs::read_to_string(sandbox.root().join("catalog.toml")).expect("a catalogue")
}

fn entry(name: &str, more: &str) -> String {
    format!(
        "[[entry]]\nname = {name:?}\nsource = \"{}\"\n{more}\n",
        model().source()
    )
}

#[test]
fn an_entry_from_its_addition_to_its_removal() {
    let sandbox = Sandbox::new();
    write(
        &sandbox,
        &("# mine\n\n".to_owned() + &entry("first", "size = '1K' # small")),
    );
    let before = read(&sandbox);
    let sum = sha256(&model().data);
    let source = model().source();
    let args = [
        "catalog",
        "add",
        "second",
        &source,
        "--size",
        "70000",
        "--sha256",
        &sum,
        "--type",
        "text",
        "--memory",
        "2MiB",
        "--licence",
        "MIT",
        "--note",
        "try it",
    ];
    for _ in 0..2 {
        sandbox.run(args).exits(0);
    }
    assert!(read(&sandbox).starts_with(&before), "{}", read(&sandbox));
    let mut other = args;
    other[5] = "70001";
    sandbox.run(other).exits(2);

    let list = sandbox
        .run(["--json", "catalog", "list"])
        .exits(0)
        .document();
    assert_eq!(list["v"], 1);
    let found = &list["entries"][1];
    assert_eq!(list["entries"][0]["size"], 1024);
    assert_eq!(
        (
            &found["name"],
            &found["size"],
            &found["memory"],
            &found["type"]
        ),
        (
            &"second".into(),
            &70_000.into(),
            &(2 << 20).into(),
            &"text".into()
        )
    );
    assert_eq!(
        (&found["sha256"], &found["licence"]),
        (&sum.into(), &"MIT".into())
    );
    let shown = sandbox
        .run(["--json", "catalog", "show", "@second"])
        .exits(0)
        .document();
    assert_eq!(&shown["entry"], found);
    let table = sandbox.run(["catalog", "list"]).exits(0).text();
    assert!(
        table.contains("first") && table.contains("try it"),
        "{table}"
    );

    sandbox.run(["catalog", "remove", "second"]).exits(0);
    assert_eq!(read(&sandbox), before);
    for args in [
        ["catalog", "remove", "second"],
        ["catalog", "show", "second"],
    ] {
        sandbox.run(args).exits(2);
    }
    assert!(!sandbox.database_file().exists(), "no state is needed");
}

#[test]
fn an_empty_catalogue_is_no_error() {
    let sandbox = Sandbox::new();
    let list = sandbox
        .run(["--json", "catalog", "list"])
        .exits(0)
        .document();
    assert_eq!(list["entries"].as_array().map(Vec::len), Some(0));
    let none = sandbox
        .run(["--json", "catalog", "recommend", "--memory", "1G"])
        .exits(0)
        .document();
    assert!(none["recommended"].is_null(), "{none}");
    assert_eq!(none["memory"], 1 << 30);
}

#[test]
fn the_largest_that_fits_is_recommended() {
    let sandbox = Sandbox::new();
    write(
        &sandbox,
        &(entry("small", "size = '1MiB'\nmemory = '2MiB'\ntype = 'text'")
            + &entry("large", "size = '8GiB'\nmemory = '10GiB'\ntype = 'text'")
            + &entry("image", "size = '2GiB'\ntype = 'image'")
            + &entry("huge", "memory = '1000TiB'")),
    );
    let recommend = |more: &[&str]| {
        let args = [&["--json", "catalog", "recommend"], more].concat();
        let document = sandbox.run(args).exits(0).document();
        assert!(document["reason"].is_string() && document["memory"].is_u64());
        document["recommended"]["name"].clone()
    };
    assert_eq!(recommend(&["--memory", "16GiB"]), "large");
    assert_eq!(recommend(&["--memory", "9GiB"]), "image");
    assert_eq!(recommend(&["--memory", "9GiB", "--type", "text"]), "small");
    assert!(recommend(&["--memory", "1"]).is_null());
    assert!(recommend(&["--type", "sound"]).is_null());
    if cfg!(target_os = "linux") {
        assert!(
            recommend(&["--type", "text"]).is_string(),
            "of this machine"
        );
    }
    let words = sandbox
        .run(["catalog", "recommend", "--memory", "9GiB"])
        .exits(0);
    assert_eq!(words.text(), "image\n");
    assert!(
        words.stderr.contains("2 others need more"),
        "{}",
        words.stderr
    );
}

#[test]
fn a_name_is_fetched_by_what_it_stands_for() {
    let plain = seeded(5, 40_000);
    let gateway = Gateway::of(&model())
        .file("/plain", plain.clone(), None)
        .start();
    let sandbox = Sandbox::new();
    sandbox.config(&format!("gateways = [{{ url = \"{}\" }}]", gateway.url()));
    let url = format!("{}/plain", gateway.url());
    let of_url =
        |sum: &str| format!("[[entry]]\nname = 'plain'\nsource = \"{url}\"\nsha256 = \"{sum}\"\n");
    let good = entry("model", "") + &of_url(&sha256(&plain));
    write(&sandbox, &good);
    sandbox.run(["get", "@model", "@plain", "-d", "."]).exits(0);
    assert!(sandbox.read(&model().source()) == model().data);
    assert!(sandbox.read("plain") == plain);
    let asked = gateway.requests().len();
    sandbox.run(["get", "@model", "@plain", "-d", "."]).exits(0);
    assert_eq!(gateway.requests().len(), asked);
    let plan = sandbox
        .run(["--json", "get", "@model", "--dry-run", "-o", "x"])
        .exits(0);
    assert!(plan.text().contains("\"fetch\""), "{}", plan.transcript());
    let unknown = sandbox.run(["get", "@none"]).exits(2);
    assert!(
        unknown.stderr.contains("catalog list"),
        "{}",
        unknown.stderr
    );

    write(&sandbox, &of_url(&"0".repeat(64)));
    sandbox.run(["get", "@plain", "-o", "wrong"]).exits(65);
    assert!(!sandbox.target("wrong").exists());
}

#[test]
fn mistakes_have_a_place() {
    let sandbox = Sandbox::new();
    for (text, expected) in [
        (entry("a", "size = 'much'"), "catalog.toml:4:8: not a size"),
        (
            entry("a", "") + &entry("a", ""),
            "catalog.toml:6:8: the name \"a\"",
        ),
        (entry("a/b", ""), "catalog.toml:2:8: \"a/b\" is no name"),
        (
            entry("a", "colour = 1"),
            "catalog.toml:4:1: unknown key `colour`",
        ),
        ("[[entry]\n".to_owned(), "catalog.toml:1:"),
    ] {
        write(&sandbox, &text);
        for args in [
            &["catalog", "list"][..],
            &["get", "@a"],
            &["catalog", "add", "b", "bafkqaaa"],
        ] {
            let output = sandbox.run(args).exits(78);
            assert!(
                output.stderr.contains(expected),
                "{expected}\n{}",
                output.stderr
            );
        }
        assert_eq!(read(&sandbox), text, "nothing is changed");
    }
    write(&sandbox, "");
    for (name, source) in [("a b", "bafkqaaa"), ("a", "nonsense"), ("a", "@b")] {
        sandbox.run(["catalog", "add", name, source]).exits(2);
    }
}

#[test]
fn many_additions_at_once_are_all_kept() {
    let sandbox = Sandbox::new();
    let names: Vec<String> = (0..16).map(|n| format!("entry-{n}")).collect();
    let add = |name: &String| sandbox.fetchd(["catalog", "add", name, "bafkqaaa"]).spawn();
    let running: Vec<_> = names.iter().map(add).collect();
    for running in running {
        running.wait().exits(0);
    }
    let remove = |name: &String| sandbox.fetchd(["catalog", "remove", name]).spawn();
    let (odd, even): (Vec<_>, Vec<_>) = names.iter().partition(|name| name.ends_with(['1', '3']));
    let running: Vec<_> = odd.iter().map(|name| remove(name)).collect();
    for running in running {
        running.wait().exits(0);
    }
    let list = sandbox.run(["--json", "catalog", "list"]).exits(0);
    let document = list.document();
    let entries = document["entries"].as_array().expect("entries").iter();
    let mut left: Vec<&str> = entries.filter_map(|entry| entry["name"].as_str()).collect();
    left.sort_unstable();
    let mut even: Vec<&str> = even.iter().map(|name| name.as_str()).collect();
    even.sort_unstable();
    assert_eq!(left, even);
    assert!(!sandbox.root().join("catalog.toml.lock").exists());
}

/// Whatever is wrong with the state.
#[test]
fn an_entry_of_ones_own_is_removed_without_the_records() {
    let sandbox = Sandbox::new();
    let remote = format!(
        "[[catalog]]\nname = 'team'\nsource = '{}'\n",
        model().source()
    );
    write(&sandbox, &(entry("a", "") + &entry("b", "") + &remote));
    let broken = sandbox.root().join("broken");
    std::fs::create_dir(&broken).expect("a directory");
    std::fs::write(broken.join("fetchd.db"), "no database").expect("written");
    let state: &[&str] = &["--json", "--state-dir", "../broken"];
    let remove = |names: &[&str]| {
        let args = [state, &["catalog", "remove"], names].concat();
        sandbox.run(args)
    };
    let removed = remove(&["user/a", "@b", "@user/b"]).exits(0);
    assert_eq!(removed.document()["removed"], serde_json::json!(["a", "b"]));
    assert_eq!(read(&sandbox).trim(), remote.trim());
    remove(&["unknown"]).exits(78);
    // What is kept of a catalogue has to go with it.
    remove(&["team"]).exits(78);
    assert_eq!(read(&sandbox).trim(), remote.trim());
}

#[cfg(unix)]
#[test]
fn what_cannot_be_read_is_left_alone() {
    let sandbox = Sandbox::new();
    let file = sandbox.root().join("catalog.toml");
    std::fs::create_dir(&file).expect("a directory");
    for args in [
        &["catalog", "list"][..],
        &["catalog", "add", "a", "bafkqaaa"],
        &["get", "@a"],
    ] {
        let output = sandbox.run(args).exits(78);
        assert!(output.stderr.contains("hint:"), "{}", output.stderr);
    }
    std::fs::remove_dir(&file).expect("still empty");
    std::fs::write(&file, vec![b'#'; (16 << 20) + 1]).expect("a large file");
    sandbox.run(["catalog", "list"]).exits(78);
    std::fs::remove_file(&file).expect("a file");
    std::os::unix::fs::symlink("kept-elsewhere.toml", &file).expect("a link");
    std::fs::write(sandbox.root().join("kept-elsewhere.toml"), "# mine\n").expect("written");
    sandbox.run(["catalog", "add", "a", "bafkqaaa"]).exits(0);
    assert!(file.is_symlink() && read(&sandbox).starts_with("# mine\n\n[[entry]]\n"));
}
