//! The table of requirements, `tests/REQUIREMENTS.md`: every test that it names exists, and no row
//! is without a word.

use std::path::Path;

/// Rows that the table has to have.
const ROWS: [(char, usize); 4] = [('P', 8), ('S', 24), ('A', 9), ('N', 10)];

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).ok()
}

/// The rows of the tables, without what stands under their heads.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let cells = |line| -> Option<Vec<&str>> {
        let line: &str = line;
        let inner = line.strip_prefix('|')?.strip_suffix('|')?;
        Some(inner.split('|').map(str::trim).collect())
    };
    let is_line = |row: &Vec<&str>| row.iter().all(|cell| cell.starts_with("---"));
    text.lines()
        .filter_map(cells)
        .filter(|row| !is_line(row))
        .collect()
}

/// Whether the file has this function, marked as a test.
fn has_test(text: &str, name: &str) -> bool {
    let start = format!("fn {name}(");
    let mut is_marked = false;
    for line in text.lines().map(str::trim) {
        if line.starts_with("#[test]") {
            is_marked = true;
        } else if line.starts_with("fn ") || line.starts_with("async fn ") {
            if is_marked && line.contains(&start) {
                return true;
            }
            is_marked = false;
        }
    }
    false
}

/// Whether there is a test of this name: `module::name` in `tests/it` or `src`, in a file of its
/// own or in the `tests` of a file.
fn exists(test: &str) -> bool {
    let Some((module, name)) = test.rsplit_once("::") else {
        return false;
    };
    let modules = [module, module.strip_suffix("::tests").unwrap_or(module)];
    let files = modules.iter().flat_map(|module| {
        let module = module.replace("::", "/");
        ["tests/it", "src"].map(|root| format!("{root}/{module}"))
    });
    files
        .flat_map(|file| [format!("{file}.rs"), format!("{file}/mod.rs")])
        .filter_map(|file| read(&file))
        .any(|text| has_test(&text, name))
}

#[test]
fn every_row_names_tests_that_exist() {
    let text = read("tests/REQUIREMENTS.md").expect("the table");
    let mut wrong = Vec::new();
    let mut found = Vec::new();
    for row in rows(&text) {
        let [name, _, tests, open] = row.as_slice() else {
            panic!("a row has four columns: {row:?}");
        };
        if *name == "row" {
            continue;
        }
        found.push((*name).to_owned());
        let named: Vec<&str> = tests.split('`').skip(1).step_by(2).collect();
        if named.is_empty() && open.is_empty() {
            wrong.push(format!("{name}: no test, and nothing is said to be open"));
        }
        let missing = named.iter().filter(|test| !exists(test));
        wrong.extend(missing.map(|test| format!("{name}: there is no test {test}")));
    }
    let wanted =
        ROWS.map(|(letter, last)| (1..=last).map(move |number| format!("{letter}{number}")));
    let wanted: Vec<String> = wanted.into_iter().flatten().collect();
    assert_eq!(found, wanted);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_test_is_told_from_what_only_looks_like_one() {
    let text = "#[test]\nfn one() {}\nfn two() {}\n#[test]\n#[cfg(unix)]\nfn three() {}\n";
    assert!(has_test(text, "one") && has_test(text, "three"));
    assert!(!has_test(text, "two") && !has_test(text, "on"));
}
