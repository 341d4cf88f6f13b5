//! Manifests and locks: what is read, and what is said of mistakes.

use std::path::Path;

use super::*;
use crate::content::cid;

const CID: &str = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
const HERE: Platform = Platform {
    os: "linux",
    arch: "x86_64",
};

fn document(text: &str) -> Document<'_> {
    Document {
        path: Path::new("fetchd.toml"),
        bytes: text.as_bytes(),
    }
}

fn parse(text: &str) -> Result<Manifest, DocumentError> {
    let environment = Environment::from_variables([("TOKEN", "secret")]);
    Manifest::parse(&document(text), HERE, &environment)
}

#[track_caller]
fn read(text: &str) -> Vec<Entry> {
    parse(text).expect("a manifest").entries
}

#[track_caller]
fn mistake(text: &str) -> String {
    let error = parse(text).expect_err("a mistake").to_string();
    error
        .strip_prefix("fetchd.toml:")
        .expect("the file's name")
        .to_owned()
}

fn file(target: &str, more: &str) -> String {
    format!("[[file]]\nsource = \"{CID}\"\ntarget = {target:?}\n{more}\n")
}

#[test]
fn an_entry_is_read_whole() {
    let text = format!(
        "[[file]]\nsource = 'https://x.example/a'\ntarget = './bin/a/'\nsha256 = '{}'\n\
         mirrors = ['m']\ngateways = ['g.car']\nheaders = {{ Authorization = 'Bearer ${{TOKEN}}' }}\n\
         preserve = true\nwhen = {{ os = ['darwin', 'linux'], arch = 'amd64' }}\n",
        "ab".repeat(32)
    );
    let [entry] = &read(&text)[..] else {
        panic!("one entry")
    };
    assert_eq!(entry.target.as_str(), "bin/a");
    assert_eq!(entry.sha256, Some([0xab; 32]));
    assert_eq!(
        (&entry.mirrors, &entry.gateways),
        (&vec!["m".to_owned()], &vec!["g.car".to_owned()])
    );
    let header = ("authorization".to_owned(), "Bearer secret".to_owned());
    assert_eq!(entry.headers, [header]);
    assert!(entry.preserve && entry.holds);
    assert_eq!(document(&text).place(entry.offset), (3, 10));
    assert!(!format!("{entry:?}").contains("secret"));
    assert!(read("").is_empty());
}

#[test]
fn an_entry_of_another_platform_needs_no_secrets() {
    let more = "headers = { A = '${UNSET}' }\nwhen = { os = 'windows' }";
    assert!(!read(&file("a", more))[0].holds);
}

#[test]
fn mistakes_have_a_place() {
    for (text, expected) in [
        (
            file("a", "sha256 = 'ab'"),
            "4:10: not a SHA-256: 64 hexadecimal digits are needed",
        ),
        (file("a", "colour = 1"), "4:1: unknown key `colour`"),
        (
            "[[file]]\ntarget = 'a'\n".to_owned(),
            "1:1: missing key `source`",
        ),
        (
            "[[file]]\nsource = ''\ntarget = 'a'\n".to_owned(),
            "2:10: the source is empty",
        ),
        (
            "[[file]]\nsource = '@model'\ntarget = 'a'\n".to_owned(),
            "2:10: @model is an entry of one user's catalogue; write its source here",
        ),
        (
            file("a", "headers = { A = '${UNSET}' }"),
            "4:17: header \"A\": environment variable UNSET is not set",
        ),
        (
            file("a", "headers = { Range = 'x' }"),
            "4:21: header \"Range\": `range` is set by fetchd itself",
        ),
        (
            file("a", "when = { os = [] }"),
            "4:15: an empty list holds nowhere",
        ),
        (
            file("a", "when = { os = 1 }"),
            "4:15: expected a string or an array of strings",
        ),
    ] {
        assert_eq!(mistake(&text), expected, "{text}");
    }
    let unknown = mistake(&file("a", "when = { os = 'linx' }"));
    assert!(unknown.starts_with("4:15: \"linx\" is none of linux, macos"));
    assert!(mistake("[[file]\n").starts_with("1:"));
}

#[test]
fn targets_stay_below_the_manifest() {
    for bad in ["/etc/passwd", "../a", "a/../../b", "a/.."] {
        let error = mistake(&file(bad, ""));
        assert!(error.starts_with("3:10: the target"), "{error}");
        assert!(error.contains("leaves"), "{error}");
    }
    for bad in ["", ".", "a//b", "a\\u0000b", "./"] {
        let text = format!("[[file]]\nsource = \"{CID}\"\ntarget = \"{bad}\"\n");
        let error = mistake(&text);
        assert!(error.contains("names no file"), "{error}");
    }
}

#[test]
fn targets_do_not_meet() {
    let two =
        |one: &str, first: &str, two: &str, second: &str| file(one, first) + &file(two, second);
    let (linux, mac) = ("when = { os = 'linux' }", "when = { os = 'macos' }");
    assert_eq!(
        mistake(&two("a", "", "./a", linux)),
        "7:10: the target \"a\" is that of line 3 too"
    );
    assert_eq!(
        mistake(&two("a/b/c", "", "a", "")),
        "3:10: the target \"a/b/c\" lies in \"a\", the target of line 7"
    );
    assert_eq!(read(&two("a", linux, "a", mac)).len(), 2);
    assert_eq!(read(&two("a", linux, "a/b", mac)).len(), 2);
    assert_eq!(read(&two("a", "", "ab", "")).len(), 2);
}

fn pin() -> Pin {
    Pin {
        cid: cid::parse(CID).ok(),
        size: 7,
        sha256: Some([0xcd; 32]),
    }
}

#[test]
fn a_lock_is_read_as_it_was_written() {
    let path = |text| TreePath::parse(text).expect("a path");
    let mut lock = Lock::default();
    let plain = Pin { cid: None, ..pin() };
    lock.set(&path("b"), "https://x.example/\"q\"", plain);
    lock.set(&path("a/ü"), CID, pin());
    let text = lock.text();
    assert_eq!(Lock::parse(&document(&text)), Ok(lock.clone()));
    assert!(text.find("a/ü") < text.find("https"), "sorted by target");
    assert_eq!(lock.pin(&path("a/ü"), CID), Some(&pin()));
    assert_eq!(lock.pin(&path("a/ü"), "other"), None);
    lock.retain(|target, _| target == "b");
    assert_eq!(lock.pin(&path("a/ü"), CID), None);
}

#[test]
fn locks_that_cannot_be_used() {
    let entry = |more: &str| {
        format!("version = 1\n\n[[file]]\ntarget = 'a'\nsource = 's'\nsize = 1\n{more}\n")
    };
    for (text, expected) in [
        (entry("cid = 'x'"), "7:7: \"x\" is no CID"),
        (entry("sha256 = 'x'"), "7:10: not a SHA-256"),
        (entry(""), "4:10: neither a cid nor a sha256"),
        (entry("size = 2"), "7:1: duplicate key"),
        ("".to_owned(), "1:1: missing key `version`"),
        (
            "new = 1\nversion = 2\n".to_owned(),
            "2:11: the lock is of version 2, and this fetchd knows 1",
        ),
        ("version = 0\n".to_owned(), "1:1: there is no version 0"),
        ("<<<<<<< HEAD\n".to_owned(), "1:"),
    ] {
        let error = Lock::parse(&document(&text)).expect_err("a mistake");
        let error = error.to_string();
        let rest = error.strip_prefix("fetchd.toml:").unwrap_or_default();
        assert!(rest.starts_with(expected), "{error}");
    }
    let twice = entry(&format!("cid = '{CID}'"));
    let twice = format!("{twice}{}", twice.replace("version = 1", ""));
    let error = Lock::parse(&document(&twice)).expect_err("twice");
    assert!(error.message.contains("twice"), "{error}");
}
