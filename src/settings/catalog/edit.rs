//! Changes of the text of a user's catalogue. It was read as one before.
//!
//! Invariant: an edit changes the table that it is about; comments, order and everything else stay.

use std::path::Path;

use toml_edit::{Document, Item, Table, Value};

use crate::cli::values;
use crate::content::hash::hex;
use crate::settings::catalog::{CatalogEntry, RemoteCatalog};
use crate::settings::document::{self, DocumentError};

/// What the array of entries is called.
const ENTRIES: &str = "entry";
/// What the array of catalogues from elsewhere is called.
const REMOTES: &str = "catalog";

/// The text with an entry more, behind the others.
///
/// # Errors
/// It is written in a form that cannot be added to.
pub fn add(path: &Path, text: &str, entry: &CatalogEntry) -> Result<String, DocumentError> {
    let words = |text: &Option<String>| text.as_deref().map(Value::from);
    let size = |size: Option<u64>| size.map(|size| values::size_text(size).into());
    let pairs = [
        ("name", Some(entry.name.as_str().into())),
        ("source", Some(entry.source.as_str().into())),
        ("size", size(entry.size)),
        ("sha256", entry.sha256.map(|sum| hex(&sum).into())),
        ("type", words(&entry.kind)),
        ("memory", size(entry.memory)),
        ("licence", words(&entry.licence)),
        ("note", words(&entry.note)),
    ];
    push(path, text, ENTRIES, pairs)
}

/// The text with a catalogue from elsewhere more, behind the others.
///
/// # Errors
/// It is written in a form that cannot be added to.
pub fn add_remote(
    path: &Path,
    text: &str,
    remote: &RemoteCatalog,
) -> Result<String, DocumentError> {
    let pairs = [
        ("name", Some(remote.name.as_str().into())),
        ("source", Some(remote.source.as_str().into())),
        ("sha256", remote.sha256.map(|sum| hex(&sum).into())),
        ("note", remote.note.as_deref().map(Value::from)),
    ];
    push(path, text, REMOTES, pairs)
}

/// The text without the entry, or the catalogue, of this name, and without the comment that stands
/// directly above it.
///
/// # Errors
/// It is written in a form that nothing can be taken from.
pub fn remove(path: &Path, text: &str, name: &str) -> Result<String, DocumentError> {
    let document = parsed(path, text)?;
    let has_name = |table: &&Table| table.get("name").and_then(Item::as_str) == Some(name);
    let found = tables(&document).find(has_name).and_then(extent);
    let (start, end) = found.ok_or_else(|| inline(path))?;
    // What looks like a comment can be the end of a text of several lines.
    let extents = tables(&document).filter_map(extent);
    let ends = extents.map(|(_, end)| end).filter(|end| *end <= start);
    let start = beginning(text, start, ends.max().unwrap_or(0));
    let end = text[end..]
        .find('\n')
        .map_or(text.len(), |line| end + line + 1);
    Ok([&text[..start], &text[end..]].concat())
}

fn tables<'a>(document: &'a Document<&str>) -> impl Iterator<Item = &'a Table> {
    let arrays = [ENTRIES, REMOTES].into_iter();
    arrays
        .filter_map(|array| document.get(array)?.as_array_of_tables())
        .flatten()
}

/// From the header of a table to the end of its last value.
fn extent(table: &Table) -> Option<(usize, usize)> {
    let header = table.span()?;
    let values = table.iter().filter_map(|(_, value)| value.span());
    let end = values.map(|value| value.end).max();
    Some((header.start, end.unwrap_or(0).max(header.end)))
}

/// Where what belongs to the table at `start` begins, but not before `least`: with the comment
/// directly above it, and one of the empty lines that set it off.
fn beginning(text: &str, start: usize, least: usize) -> usize {
    let mut from = text[..start].rfind('\n').map_or(0, |line| line + 1);
    let above = |from: usize| {
        let line = text[..from].strip_suffix('\n')?;
        let start = line.rfind('\n').map_or(0, |line| line + 1);
        (start >= least).then_some(start)
    };
    while let Some(line) = above(from)
        && text[line..from].trim_start().starts_with('#')
    {
        from = line;
    }
    match above(from) {
        Some(line) if text[line..from].trim().is_empty() => line,
        _ => from,
    }
}

fn push<const N: usize>(
    path: &Path,
    text: &str,
    array: &str,
    pairs: [(&str, Option<Value>); N],
) -> Result<String, DocumentError> {
    let document = parsed(path, text)?;
    if document
        .get(array)
        .is_some_and(|item| !item.is_array_of_tables())
    {
        return Err(inline(path));
    }
    let mut table = Table::new();
    for (key, value) in pairs {
        if let Some(value) = value {
            table.insert(key, toml_edit::value(value));
        }
    }
    let gap = match text {
        "" => "",
        text if text.ends_with('\n') => "\n",
        _ => "\n\n",
    };
    Ok(format!("{text}{gap}[[{array}]]\n{table}"))
}

fn parsed<'a>(path: &Path, text: &'a str) -> Result<Document<&'a str>, DocumentError> {
    Document::parse(text).map_err(|error| {
        let bytes = text.as_bytes();
        let start = error.span().map_or(0, |span| span.start);
        document::Document { path, bytes }.wrong(start, error.message().trim_end())
    })
}

fn inline(path: &Path) -> DocumentError {
    let message = "only entries that are written as [[entry]] tables can be changed here, and \
                   catalogues as [[catalog]] tables";
    document::Document { path, bytes: b"" }.wrong(0, message)
}
