//! House rules that the compiler does not know: layers, who may touch files, SQL, the terminal and
//! the exit code, and that no source file is forgotten.
//!
//! Reads the sources as text. `#[cfg(test)]` items are exempt: tests may do as they please.

mod source;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use source::Source;

/// The table of the design: modules of one layer do not import each other.
const LAYERS: &[(&str, u8)] = &[
    ("content", 0),
    ("disk", 0),
    ("exit", 0),
    ("download", 1),
    ("gateway", 1),
    ("store", 2),
    ("event", 2),
    ("engine", 3),
    ("ui", 3),
    ("cli", 4),
    ("settings", 5),
    ("commands", 6),
];

/// `main.rs` and `lib.rs` stand above all layers.
const TOP: &[&str] = &["main", "lib"];

#[test]
fn imports_point_down_only() {
    report(product().iter().flat_map(layer_violations));
}

#[test]
fn only_disk_touches_the_file_system() {
    let handles: &[&[&str]] = &[&["std", "fs"], &["tokio", "fs"], &["fs4"], &["rustix"]];
    report(
        product()
            .iter()
            .filter(|source| source.top() != "disk")
            .flat_map(|source| {
                source
                    .paths_that_start(handles)
                    .map(|(line, path)| source.at(line, &format!("`{path}` belongs into disk/")))
            }),
    );
}

#[test]
fn only_the_store_speaks_sql() {
    let words = [
        "SELECT ",
        "INSERT INTO ",
        "INSERT OR ",
        "DELETE FROM ",
        "CREATE TABLE ",
        "PRAGMA ",
        "BEGIN IMMEDIATE",
    ];
    let is_sql = |text: &str| words.iter().any(|word| text.trim_start().starts_with(word));
    report(
        product()
            .iter()
            .filter(|source| source.top() != "store")
            .flat_map(|source| {
                let texts = source
                    .texts()
                    .filter(|(_, text)| is_sql(text))
                    .map(|(line, _)| source.at(line, "SQL outside store/"));
                let crates = source
                    .paths_that_start(&[&["rusqlite"], &["rusqlite_migration"]])
                    .map(|(line, path)| source.at(line, &format!("`{path}` belongs into store/")));
                texts.chain(crates).collect::<Vec<_>>()
            }),
    );
}

#[test]
fn only_ui_and_commands_print_and_only_main_exits() {
    let printing = ["print", "println", "eprint", "eprintln"];
    report(product().iter().flat_map(|source| {
        let may_print = TOP.contains(&source.top()) || ["ui", "commands"].contains(&source.top());
        let prints = source
            .macros()
            .filter(move |(_, name)| !may_print && printing.contains(name))
            .map(|(line, name)| source.at(line, &format!("`{name}!` outside ui/ and commands/")));
        let exits = source
            .paths_that_start(&[
                &["std", "process", "exit"],
                &["process", "exit"],
                &["std", "process", "abort"],
            ])
            .filter(|_| source.top() != "main")
            .map(|(line, path)| source.at(line, &format!("`{path}` outside main.rs")));
        prints.chain(exits).collect::<Vec<_>>()
    }));
}

#[test]
fn nothing_is_left_to_do() {
    let placeholders = ["todo", "unimplemented", "dbg"];
    report(product().iter().flat_map(|source| {
        source
            .macros()
            .filter(|(_, name)| placeholders.contains(name))
            .map(|(line, name)| source.at(line, &format!("`{name}!`")))
            .collect::<Vec<_>>()
    }));
}

#[test]
fn every_file_of_the_product_is_a_module() {
    let roots = ["main.rs", "lib.rs"].map(|name| folder("src").join(name));
    report(forgotten(&folder("src"), &roots));
}

/// A test file that nobody declares would never run.
#[test]
fn every_test_file_is_a_module() {
    report(forgotten(
        &folder("tests/it"),
        &[folder("tests/it/main.rs")],
    ));
}

#[test]
fn every_module_opens_with_its_purpose() {
    report(
        product()
            .iter()
            .filter(|source| !source.opens_with_doc())
            .map(|source| source.at(1, "no `//!` that says what it is responsible for")),
    );
}

/// The reader of sources is tested on sources that break each rule.
#[test]
fn the_rules_bite() {
    let broken = |path: &str, text: &str| {
        let source = Source::new(Path::new(path), text);
        layer_violations(&source).len()
    };
    assert_eq!(
        broken("content/cid.rs", "use crate::disk::part;"),
        1,
        "one layer"
    );
    assert_eq!(
        broken("content/cid.rs", "use crate::{content::hash, engine};"),
        1,
        "upwards, in a group"
    );
    assert_eq!(
        broken("engine/plan.rs", "fn f() { crate::commands::get::run() }"),
        1,
        "inline"
    );
    assert_eq!(
        broken("engine/plan.rs", "use crate::Thing;"),
        1,
        "a root re-export"
    );
    assert_eq!(
        broken("engine/plan.rs", "use super::super::store::Store;"),
        1,
        "around the rule"
    );
    assert_eq!(broken("unheard_of.rs", ""), 1, "no layer");
    assert_eq!(
        broken(
            "engine/plan.rs",
            "use crate::store::Store; use super::pick; use crate::engine::x;"
        ),
        0
    );
    assert_eq!(
        broken("content/cid.rs", "mod inner { use super::super::hash; }"),
        0
    );
    assert_eq!(
        broken(
            "content/cid.rs",
            "#[cfg(test)] mod tests { use crate::engine; } // crate::ui"
        ),
        0
    );
    assert_eq!(
        broken(
            "content/cid.rs",
            "/// [`crate::engine`]\nconst A: &str = \"crate::ui\";"
        ),
        0
    );
    assert_eq!(
        broken("main.rs", "fn main() { fetchd::commands::run() }"),
        0
    );
}

fn layer_violations(source: &Source) -> Vec<String> {
    let own = source.top();
    if TOP.contains(&own) {
        return Vec::new();
    }
    let Some(own_layer) = layer(own) else {
        return vec![source.at(
            1,
            &format!("module `{own}` has no layer: give it one in the design and here"),
        )];
    };
    let mut found = Vec::new();
    for (line, target) in source.crate_paths() {
        match layer(target) {
            Some(_) if target == own => {}
            Some(below) if below < own_layer => {}
            Some(above) => found.push(source.at(
                line,
                &format!("`{own}` (layer {own_layer}) imports `{target}` (layer {above})"),
            )),
            None => found.push(source.at(
                line,
                &format!("`crate::{target}` is no module: import from where it is defined"),
            )),
        }
    }
    let escapes = source
        .escapes()
        .map(|line| source.at(line, "`super` leaves the module: write `crate::…`"));
    found.extend(escapes);
    found
}

fn layer(module: &str) -> Option<u8> {
    LAYERS
        .iter()
        .find(|(name, _)| *name == module)
        .map(|(_, layer)| *layer)
}

/// Files below a folder that no `mod` line reaches from the roots.
fn forgotten(folder: &Path, roots: &[PathBuf]) -> Vec<String> {
    let mut reached = BTreeSet::new();
    let mut todo: Vec<PathBuf> = roots.iter().filter(|root| root.exists()).cloned().collect();
    while let Some(file) = todo.pop() {
        let text = std::fs::read_to_string(&file).expect("a readable source");
        let is_root = roots.contains(&file) || file.ends_with("mod.rs");
        let home = if is_root {
            file.with_file_name("")
        } else {
            file.with_extension("")
        };
        for name in Source::whole(&file, &text).declared_modules() {
            let places = [
                home.join(format!("{name}.rs")),
                home.join(&name).join("mod.rs"),
            ];
            todo.extend(places.into_iter().filter(|place| place.exists()));
        }
        reached.insert(file);
    }
    let lost = rust_files(folder)
        .into_iter()
        .filter(|file| !reached.contains(file));
    lost.map(|file| format!("{}: no `mod` declares it", file.display()))
        .collect()
}

fn product() -> Vec<Source> {
    let src = folder("src");
    let relative = |path: &Path| path.strip_prefix(&src).expect("below src").to_owned();
    let is_test = |path: &Path| {
        path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests")
    };
    rust_files(&src)
        .into_iter()
        .filter(|path| !is_test(&relative(path)))
        .map(|path| {
            Source::new(
                &relative(&path),
                &std::fs::read_to_string(&path).expect("a readable source"),
            )
        })
        .collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[track_caller]
fn report(violations: impl IntoIterator<Item = String>) {
    let violations: Vec<String> = violations.into_iter().collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}
