//! Catalogues: names for sources, with what is known of them. The user's own one may name others
//! from elsewhere.
//!
//! Reads and edits text; fetches nothing. Invariant: a catalogue from elsewhere is named together
//! with what proves it.

mod edit;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use serde::Deserialize;
use toml::Spanned;

use crate::cli::values;
use crate::content::source::{self, Root, Source};
use crate::download::chain;
use crate::settings::document::{Document, DocumentError};
use crate::settings::format::{InFile, Size};

pub use edit::{add, add_remote, remove};

/// Largest catalogue of a user that is read: tens of thousands of entries.
pub const MAX_BYTES: u64 = 16 << 20;

/// Largest catalogue from elsewhere that is taken.
pub const MAX_REMOTE_BYTES: u64 = 4 << 20;

/// Most catalogues from elsewhere: each is a row of the store that is read whenever a name is looked
/// for.
const MAX_REMOTES: usize = 100;

/// Longest name, in characters.
const MAX_NAME: usize = 100;

/// What stands for the user's own catalogue where others go by their names.
pub const USER: &str = "user";

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

    /// Whether it is of this type; any is, if none is asked for.
    pub fn is_of(&self, kind: Option<&str>) -> bool {
        kind.is_none_or(|kind| {
            let own = self.kind.as_deref();
            own.is_some_and(|own| own.eq_ignore_ascii_case(kind))
        })
    }
}

/// A catalogue from elsewhere, as the user's own names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteCatalog {
    /// By which it is told from others.
    pub name: String,
    /// As `get` takes it. Its CID, its key or [`RemoteCatalog::sha256`] proves it.
    pub source: String,
    /// Of the file.
    pub sha256: Option<[u8; 32]>,
    /// Whatever is worth knowing of it.
    pub note: Option<String>,
}

/// What a file holds, in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Names for sources.
    pub entries: Vec<CatalogEntry>,
    /// Catalogues from elsewhere. None has the name of another, nor of an entry.
    pub remotes: Vec<RemoteCatalog>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    entry: Vec<EntryTable>,
    #[serde(default)]
    catalog: Vec<RemoteTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoteTable {
    name: Spanned<String>,
    source: Spanned<String>,
    sha256: Option<Spanned<String>>,
    note: Option<String>,
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
    /// Reads the catalogue of a user.
    ///
    /// # Errors
    /// The first thing that is wrong with it, with line and column.
    pub fn parse(document: &Document<'_>) -> Result<Self, DocumentError> {
        let file: File = document.parse()?;
        let mut names = Names::default();
        let mut catalog = Self::default();
        for table in file.entry {
            names.take(document, &table.name)?;
            catalog.entries.push(entry(document, table)?);
        }
        for table in file.catalog {
            names.take(document, &table.name)?;
            if catalog.remotes.len() >= MAX_REMOTES {
                let message = format!("more than {MAX_REMOTES} catalogues are named");
                return Err(document.wrong_at(&table.name.span(), message));
            }
            catalog.remotes.push(remote(document, table)?);
        }
        Ok(catalog)
    }

    /// Reads a catalogue from elsewhere: entries, and nothing else.
    ///
    /// # Errors
    /// The first thing that is wrong with it, with line and column.
    pub fn parse_remote(document: &Document<'_>) -> Result<Vec<CatalogEntry>, DocumentError> {
        let file: File = document.parse()?;
        if let Some(table) = file.catalog.first() {
            let message = "a catalogue from elsewhere cannot name further ones";
            return Err(document.wrong_at(&table.name.span(), message));
        }
        let mut names = Names::default();
        let read = |table: EntryTable| {
            names.take(document, &table.name)?;
            entry(document, table)
        };
        file.entry.into_iter().map(read).collect()
    }

    /// The entry with this name.
    pub fn find(&self, name: &str) -> Option<&CatalogEntry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// The catalogue from elsewhere with this name.
    pub fn find_remote(&self, name: &str) -> Option<&RemoteCatalog> {
        self.remotes.iter().find(|remote| remote.name == name)
    }
}

/// The one whose `entry` is the largest that fits into so much memory; of those that are equally
/// large, the one that takes the most of it, then the first.
pub fn largest<T>(
    items: impl IntoIterator<Item = T>,
    entry: impl Fn(&T) -> &CatalogEntry,
    memory: u64,
) -> Option<T> {
    let is_fitting = |item: &T| {
        let least = entry(item).least_memory();
        least.is_some_and(|least| least <= memory)
    };
    let fitting: Vec<T> = items.into_iter().filter(is_fitting).collect();
    // Of equals the last is the maximum: turned around, it is the first.
    let turned = fitting.into_iter().rev();
    turned.max_by_key(|item| (entry(item).size, entry(item).least_memory()))
}

/// The names of a file, each with the place where it stands.
#[derive(Default)]
struct Names(HashMap<String, usize>);

impl Names {
    fn take(
        &mut self,
        document: &Document<'_>,
        name: &Spanned<String>,
    ) -> Result<(), DocumentError> {
        let (text, start) = (name.get_ref(), name.span().start);
        let Some(first) = self.0.insert(text.clone(), start) else {
            return Ok(());
        };
        let (line, _) = document.place(first);
        let message = format!("the name {text:?} is that of line {line} too");
        Err(document.wrong_at(&name.span(), message))
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

/// Whether this can be the source of a catalogue from elsewhere: something has to prove it. A DNS
/// name alone, or a URL alone, does not.
///
/// # Errors
/// What is wrong with it.
pub fn check_remote_source(text: &str, has_sha256: bool) -> Result<(), String> {
    let unproved = |what: &str| {
        Err(format!(
            "{what} proves nothing: a catalogue needs a CID, an IPNS key, or its sha256"
        ))
    };
    match source::parse(text) {
        Ok(Source::Catalog(_)) => Err("the source of a catalogue is no entry of one".to_owned()),
        Ok(Source::Url(_)) if !has_sha256 => unproved("a URL alone"),
        Ok(Source::Content(content)) if !has_sha256 && is_domain(&content.root) => {
            unproved("a DNSLink name alone")
        }
        Ok(_) => Ok(()),
        Err(error) => Err(chain(&error)),
    }
}

fn is_domain(root: &Root) -> bool {
    match root {
        Root::Ipfs(_) => false,
        Root::Ipns(name) => source::ipns_key(name).is_none(),
    }
}

/// Whether this can be the name of a catalogue from elsewhere.
///
/// # Errors
/// What is wrong with it.
pub fn check_remote_name(name: &str) -> Result<(), String> {
    match name {
        USER => Err(format!("{USER:?} stands for the entries of this file")),
        name => check_name(name),
    }
}

fn entry(document: &Document<'_>, table: EntryTable) -> Result<CatalogEntry, DocumentError> {
    check_value(document, &table.name, check_name)?;
    check_value(document, &table.source, check_source)?;
    Ok(CatalogEntry {
        name: table.name.into_inner(),
        source: table.source.into_inner(),
        size: table.size.map(|size| size.0),
        sha256: sum(document, table.sha256)?,
        kind: table.r#type,
        memory: table.memory.map(|size| size.0),
        licence: table.licence,
        note: table.note,
    })
}

fn remote(document: &Document<'_>, table: RemoteTable) -> Result<RemoteCatalog, DocumentError> {
    check_value(document, &table.name, check_remote_name)?;
    let sha256 = sum(document, table.sha256)?;
    check_value(document, &table.source, |source| {
        check_remote_source(source, sha256.is_some())
    })?;
    Ok(RemoteCatalog {
        name: table.name.into_inner(),
        source: table.source.into_inner(),
        sha256,
        note: table.note,
    })
}

fn check_value(
    document: &Document<'_>,
    value: &Spanned<String>,
    check: impl FnOnce(&str) -> Result<(), String>,
) -> Result<(), DocumentError> {
    check(value.get_ref()).map_err(|reason| document.wrong_at(&value.span(), reason))
}

fn sum(
    document: &Document<'_>,
    text: Option<Spanned<String>>,
) -> Result<Option<[u8; 32]>, DocumentError> {
    let read = |text: Spanned<String>| {
        let sum = values::sha256(text.get_ref());
        sum.map_err(|error| document.wrong_at(&text.span(), error.to_string()))
    };
    text.map(read).transpose()
}
