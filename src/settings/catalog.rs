//! The catalogue of a user: names for sources, with what is known of them.
//!
//! Reads and edits text. Invariant: an edit changes the entry that it is about; comments, order and
//! everything else stay.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table};

use crate::cli::values;
use crate::content::hash::hex;
use crate::content::source::{self, Source};
use crate::download::chain;
use crate::settings::document::{Document, DocumentError};
use crate::settings::format::{InFile, Size};

/// Largest catalogue that is read: tens of thousands of entries.
pub const MAX_BYTES: u64 = 16 << 20;

/// Longest name, in characters.
const MAX_NAME: usize = 100;

/// What the array of tables is called.
const TABLE: &str = "entry";

/// What is known under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogEntry {
    /// What is typed behind the `@`.
    pub name: String,
    /// As `get` takes it; no name of the catalogue.
    pub source: String,
    /// In bytes.
    pub size: Option<u64>,
    /// Of the file.
    pub sha256: Option<[u8; 32]>,
    /// What it is, in the user's own words.
    pub kind: Option<String>,
    /// The least memory that using it takes, in bytes.
    pub memory: Option<u64>,
    /// Its licence.
    pub licence: Option<String>,
    /// Whatever else is worth knowing.
    pub note: Option<String>,
}

impl CatalogEntry {
    /// What it takes at least: the memory that is stated, else its size.
    pub fn least_memory(&self) -> Option<u64> {
        self.memory.or(self.size)
    }
}

/// The entries of a file, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// No two have the same name.
    pub entries: Vec<CatalogEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    entry: Vec<EntryTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryTable {
    name: Spanned<String>,
    source: Spanned<String>,
    size: Option<InFile<Size>>,
    sha256: Option<Spanned<String>>,
    r#type: Option<String>,
    memory: Option<InFile<Size>>,
    licence: Option<String>,
    note: Option<String>,
}

impl Catalog {
    /// Reads a catalogue.
    ///
    /// # Errors
    /// The first thing that is wrong with it, with line and column.
    pub fn parse(document: &Document<'_>) -> Result<Self, DocumentError> {
        let file: File = document.parse()?;
        let mut taken: HashMap<String, usize> = HashMap::new();
        let mut entries = Vec::with_capacity(file.entry.len());
        for table in file.entry {
            let span = table.name.span();
            let entry = read(document, table)?;
            if let Some(first) = taken.insert(entry.name.clone(), span.start) {
                let (line, _) = document.place(first);
                let message = format!("the name {:?} is that of line {line} too", entry.name);
                return Err(document.wrong_at(&span, message));
            }
            entries.push(entry);
        }
        Ok(Self { entries })
    }

    /// The entry with this name.
    pub fn find(&self, name: &str) -> Option<&CatalogEntry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// The largest of a type that fits into so much memory; of those that are equally large, the
    /// one that takes the most of it, then the first.
    pub fn largest<'a>(&'a self, kind: Option<&'a str>, memory: u64) -> Option<&'a CatalogEntry> {
        let of_kind = self.of_kind(kind);
        let fitting = of_kind.filter(|entry| {
            let least = entry.least_memory();
            least.is_some_and(|least| least <= memory)
        });
        // Of equals the last is the maximum: turned around, it is the first.
        let rank = |entry: &&CatalogEntry| (entry.size, entry.least_memory());
        let mut fitting: Vec<&CatalogEntry> = fitting.collect();
        fitting.reverse();
        fitting.into_iter().max_by_key(rank)
    }

    /// The entries of a type; all, if none is asked for.
    pub fn of_kind<'a>(&'a self, kind: Option<&'a str>) -> impl Iterator<Item = &'a CatalogEntry> {
        let is_wanted = move |entry: &&CatalogEntry| {
            kind.is_none_or(|kind| {
                let found = entry.kind.as_deref();
                found.is_some_and(|found| found.eq_ignore_ascii_case(kind))
            })
        };
        self.entries.iter().filter(is_wanted)
    }
}

/// Whether this can be the name of an entry.
///
/// # Errors
/// What is wrong with it.
pub fn check_name(name: &str) -> Result<(), String> {
    let is_good = |c: char| c.is_alphanumeric() || "._-+:".contains(c);
    if name.is_empty() || name.chars().count() > MAX_NAME || !name.chars().all(is_good) {
        return Err(format!(
            "{name:?} is no name for an entry: letters, digits and any of . _ - + : are, {MAX_NAME} at most"
        ));
    }
    Ok(())
}

/// Whether this can be the source of an entry.
///
/// # Errors
/// What is wrong with it.
pub fn check_source(text: &str) -> Result<(), String> {
    match source::parse(text) {
        Ok(Source::Catalog(_)) => Err("the source of an entry is no other entry".to_owned()),
        Ok(_) => Ok(()),
        Err(error) => Err(chain(&error)),
    }
}

fn read(document: &Document<'_>, table: EntryTable) -> Result<CatalogEntry, DocumentError> {
    let (name, source) = (&table.name, &table.source);
    check_name(name.get_ref()).map_err(|reason| document.wrong_at(&name.span(), reason))?;
    check_source(source.get_ref()).map_err(|reason| document.wrong_at(&source.span(), reason))?;
    let sha256 = table.sha256.map(|text| {
        let sum = values::sha256(text.get_ref());
        sum.map_err(|error| document.wrong_at(&text.span(), error.to_string()))
    });
    Ok(CatalogEntry {
        name: table.name.into_inner(),
        source: table.source.into_inner(),
        size: table.size.map(|size| size.0),
        sha256: sha256.transpose()?,
        kind: table.r#type,
        memory: table.memory.map(|size| size.0),
        licence: table.licence,
        note: table.note,
    })
}

/// The text with an entry more, at its end. It was read as a [`Catalog`] before.
///
/// # Errors
/// It is written in a form that cannot be added to.
pub fn add(path: &Path, text: &str, entry: &CatalogEntry) -> Result<String, DocumentError> {
    let mut document = editable(path, text)?;
    let item = document
        .entry(TABLE)
        .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()));
    let Item::ArrayOfTables(tables) = item else {
        return Err(inline(path));
    };
    let mut table = Table::new();
    let mut set = |key: &str, value: Option<toml_edit::Value>| {
        if let Some(value) = value {
            table.insert(key, toml_edit::value(value));
        }
    };
    let text_of = |text: &Option<String>| text.as_deref().map(toml_edit::Value::from);
    let size_of = |size: Option<u64>| size.map(|size| values::size_text(size).into());
    set("name", Some(entry.name.as_str().into()));
    set("source", Some(entry.source.as_str().into()));
    set("size", size_of(entry.size));
    set("sha256", entry.sha256.map(|sum| hex(&sum).into()));
    set("type", text_of(&entry.kind));
    set("memory", size_of(entry.memory));
    set("licence", text_of(&entry.licence));
    set("note", text_of(&entry.note));
    if !tables.is_empty() {
        table.decor_mut().set_prefix("\n");
    }
    tables.push(table);
    Ok(document.to_string())
}

/// The text without this entry.
///
/// # Errors
/// It is written in a form that nothing can be taken from.
pub fn remove(path: &Path, text: &str, name: &str) -> Result<String, DocumentError> {
    let mut document = editable(path, text)?;
    match document.get_mut(TABLE) {
        Some(Item::ArrayOfTables(tables)) => tables.retain(|table| {
            let found = table.get("name").and_then(Item::as_str);
            found != Some(name)
        }),
        _ => return Err(inline(path)),
    }
    Ok(document.to_string())
}

fn editable(path: &Path, text: &str) -> Result<DocumentMut, DocumentError> {
    text.parse::<DocumentMut>().map_err(|error| {
        let bytes = text.as_bytes();
        let start = error.span().map_or(0, |span| span.start);
        Document { path, bytes }.wrong(start, error.message().trim_end())
    })
}

fn inline(path: &Path) -> DocumentError {
    let message = "only entries that are written as [[entry]] tables can be changed here";
    Document { path, bytes: b"" }.wrong(0, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CID: &str = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";

    fn document(text: &str) -> Document<'_> {
        Document {
            path: Path::new("catalog.toml"),
            bytes: text.as_bytes(),
        }
    }

    fn entry(name: &str) -> CatalogEntry {
        CatalogEntry {
            name: name.to_owned(),
            source: CID.to_owned(),
            size: Some(4 << 30),
            sha256: Some([0xab; 32]),
            kind: Some("text".to_owned()),
            memory: Some(6 << 30),
            licence: None,
            note: Some("of \"quotes\"".to_owned()),
        }
    }

    #[test]
    fn what_is_added_is_read() {
        let path = Path::new("catalog.toml");
        let text = add(path, "", &entry("a")).expect("an addition");
        let text = add(path, &text, &entry("b")).expect("an addition");
        let catalog = Catalog::parse(&document(&text)).expect("a catalogue");
        assert_eq!(catalog.entries, [entry("a"), entry("b")]);
        assert!(text.contains("size = \"4GiB\""), "{text}");
    }

    #[test]
    fn an_edit_keeps_what_it_is_not_about() {
        let path = Path::new("catalog.toml");
        let before = format!(
            "# mine\n\n[[entry]]\nsource = '{CID}' # here\nname   = \"x\"\n\n# the other\n[[entry]]\nname = 'y'\nsource = '{CID}'\n# the end\n"
        );
        let with = add(path, &before, &entry("z")).expect("an addition");
        assert!(
            with.starts_with(before.trim_end_matches("# the end\n")),
            "{with}"
        );
        assert_eq!(remove(path, &with, "z").expect("a removal"), before);
        let without = remove(path, &before, "y").expect("a removal");
        let kept = &before[..before.find("\n# the other").expect("there")];
        assert!(without.starts_with(kept), "{without}");
        assert!(without.ends_with("# the end\n"), "{without}");
    }

    #[test]
    fn mistakes_have_a_place() {
        let table = |name: &str, more: &str| {
            format!("[[entry]]\nname = '{name}'\nsource = '{CID}'\n{more}\n")
        };
        for (text, expected) in [
            (table("a b", ""), "2:8: \"a b\" is no name"),
            (table("", ""), "2:8: \"\" is no name"),
            (table("a", "size = 'x'"), "4:8: not a size"),
            (table("a", "sha256 = 'x'"), "4:10: not a SHA-256"),
            (table("a", "colour = 1"), "4:1: unknown key `colour`"),
            (
                table("a", "") + &table("a", ""),
                "6:8: the name \"a\" is that of line 2 too",
            ),
            (
                "[[entry]]\nname = 'a'\nsource = '@b'\n".to_owned(),
                "3:10: the source of an entry is no other entry",
            ),
        ] {
            let error = Catalog::parse(&document(&text)).expect_err("a mistake");
            let error = error.to_string();
            let rest = error.strip_prefix("catalog.toml:").unwrap_or_default();
            assert!(rest.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn the_largest_that_fits() {
        let sized = |name: &str, size: Option<u64>, memory: Option<u64>, kind: &str| CatalogEntry {
            size,
            memory,
            kind: Some(kind.to_owned()),
            ..entry(name)
        };
        let catalog = Catalog {
            entries: vec![
                sized("small", Some(1), Some(2), "text"),
                sized("large", Some(8), Some(10), "text"),
                sized("middle", Some(4), Some(6), "Text"),
                sized("twin", Some(4), Some(6), "text"),
                sized("picture", Some(5), None, "image"),
                sized("unknown", None, None, "text"),
            ],
        };
        let name = |kind, memory| catalog.largest(kind, memory).map(|entry| &*entry.name);
        assert_eq!(name(None, 100), Some("large"));
        assert_eq!(name(Some("text"), 9), Some("middle"));
        assert_eq!(name(None, 9), Some("picture"), "without a word, its size");
        assert_eq!(name(Some("text"), 2), Some("small"));
        assert_eq!(name(None, 1), None);
    }
}
