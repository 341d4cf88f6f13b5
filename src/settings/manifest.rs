//! `fetchd.toml`: the files and trees that are to be in place below its directory.
//!
//! Reads text; what is on disk it does not know. Invariant: the targets of entries that hold on one
//! machine are below the manifest's directory, differ, and none lies in another.

mod lock;
mod when;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;

pub use lock::{Lock, Pin};
pub use when::{Platform, When};

use crate::cli::values;
use crate::content::cid::Cid;
use crate::content::source::{self, Root, Source};
use crate::disk::tree::TreePath;
use crate::settings::document::{Document, DocumentError};
use crate::settings::environment::Environment;
use crate::settings::gateways;
use crate::settings::words::BaseUrl;
use when::WhenTable;

/// Largest manifest or lock that is read: hundreds of thousands of entries.
pub const MAX_BYTES: u64 = 128 << 20;

/// What is to be in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The entries in their order, those of other platforms too.
    pub entries: Vec<Entry>,
}

/// A `[[file]]` table.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// As written.
    pub source: String,
    /// As understood; no name of the catalogue.
    pub parsed: Source,
    /// Where it goes, below the manifest's directory.
    pub target: TreePath,
    /// What the file's SHA-256 is to be.
    pub sha256: Option<[u8; 32]>,
    /// Places with the same bytes: URLs, or files relative to the manifest.
    pub mirrors: Vec<String>,
    /// The only gateways to ask: URLs, or CAR files relative to the manifest; none: as configured.
    pub gateways: Vec<String>,
    /// Secrets for the source and its mirrors, variables replaced. Empty where the entry does not
    /// hold.
    pub headers: Vec<(String, String)>,
    /// Whether modes and times of the DAG are kept.
    pub preserve: bool,
    /// Where it holds.
    pub when: When,
    /// Whether that is here.
    pub holds: bool,
    /// Where its target is written, in bytes from the beginning of the manifest.
    pub offset: usize,
}

impl Entry {
    /// The CID of the content, where the source is nothing but that.
    pub fn named_cid(&self) -> Option<Cid> {
        match &self.parsed {
            Source::Content(content) if content.path.is_empty() => match content.root {
                Root::Ipfs(cid) => Some(cid),
                Root::Ipns(_) => None,
            },
            _ => None,
        }
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("source", &self.source)
            .field("target", &self.target.as_str())
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    file: Vec<Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    source: Spanned<String>,
    target: Spanned<String>,
    sha256: Option<Spanned<String>>,
    #[serde(default)]
    mirrors: Vec<String>,
    #[serde(default)]
    gateways: Vec<Spanned<String>>,
    #[serde(default)]
    headers: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    preserve: bool,
    when: Option<WhenTable>,
}

impl Manifest {
    /// Reads a manifest for this platform. Variables in headers come from the environment.
    ///
    /// # Errors
    /// The first thing that is wrong with it, with line and column.
    pub fn parse(
        document: &Document<'_>,
        platform: Platform,
        environment: &Environment,
    ) -> Result<Self, DocumentError> {
        let file: File = document.parse()?;
        let entries = file.file.into_iter();
        let entries = entries.map(|table| entry(document, table, platform, environment));
        let entries: Vec<Entry> = entries.collect::<Result<_, _>>()?;
        check_targets(document, &entries)?;
        Ok(Self { entries })
    }
}

fn entry(
    document: &Document<'_>,
    table: Table,
    platform: Platform,
    environment: &Environment,
) -> Result<Entry, DocumentError> {
    let wrong = |span: Range<usize>, reason: String| document.wrong_at(&span, reason);
    let span = table.source.span();
    let source = match source::parse(table.source.get_ref()) {
        Ok(Source::Catalog(name)) => Err(format!(
            "@{name} is an entry of one user's catalogue; write its source here"
        )),
        Ok(parsed) => Ok(parsed),
        Err(error) => Err(crate::download::chain(&error)),
    };
    let parsed = source.map_err(|reason| wrong(span, reason))?;
    let offset = table.target.span().start;
    let target = target(document, &table.target)?;
    let sha256 = table.sha256.map(|text| {
        values::sha256(text.get_ref()).map_err(|error| wrong(text.span(), error.to_string()))
    });
    let when = match table.when {
        Some(when) => when.read(document)?,
        None => When::default(),
    };
    let holds = when.holds(platform);
    let mut headers = Vec::new();
    for (name, value) in table.headers.into_iter().filter(|_| holds) {
        let sent = gateways::header(environment, &name, value.get_ref())
            .and_then(|value| {
                values::header(&format!("{name}: {value}")).map_err(|error| error.to_string())
            })
            .map_err(|reason| wrong(value.span(), format!("header {name:?}: {reason}")))?;
        headers.push(sent.0);
    }
    for gateway in &table.gateways {
        if gateway.get_ref().contains("://") {
            BaseUrl::new(gateway.get_ref()).map_err(|reason| wrong(gateway.span(), reason))?;
        }
    }
    let gateways = table.gateways.into_iter().map(Spanned::into_inner);
    Ok(Entry {
        source: table.source.into_inner(),
        parsed,
        target,
        sha256: sha256.transpose()?,
        mirrors: table.mirrors,
        gateways: gateways.collect(),
        headers,
        preserve: table.preserve,
        when,
        holds,
        offset,
    })
}

fn target(document: &Document<'_>, text: &Spanned<String>) -> Result<TreePath, DocumentError> {
    let wrong = |reason: String| document.wrong_at(&text.span(), reason);
    let path = text.get_ref();
    let is_absolute = path.starts_with('/') || std::path::Path::new(path).is_absolute();
    if is_absolute || path.split('/').any(|name| name == "..") {
        return Err(wrong(format!(
            "the target {path:?} leaves the manifest's directory: targets are relative, and below it"
        )));
    }
    // `./models/` is a usual way to write `models`.
    let trimmed = path.strip_suffix('/').unwrap_or(path);
    let names: Vec<&str> = trimmed.split('/').filter(|name| *name != ".").collect();
    TreePath::parse(&names.join("/")).map_err(|error| {
        let reason = crate::download::chain(&error);
        wrong(format!("the target {path:?} names no file: {reason}"))
    })
}

/// How targets are compared: as the disk will, where it folds names.
fn folded(target: &str) -> String {
    if cfg!(any(windows, target_os = "macos")) {
        target.to_lowercase()
    } else {
        target.to_owned()
    }
}

/// Refuses targets that are the same, or in one another, where both entries can hold.
fn check_targets(document: &Document<'_>, entries: &[Entry]) -> Result<(), DocumentError> {
    let mut taken: HashMap<String, Vec<usize>> = HashMap::with_capacity(entries.len());
    let clash = |indexes: &[usize], entry: &Entry| {
        let is_clash = |index: &&usize| entries[**index].when.meets(&entry.when);
        indexes.iter().find(is_clash).copied()
    };
    for (index, entry) in entries.iter().enumerate() {
        let same = taken.entry(folded(entry.target.as_str())).or_default();
        if let Some(other) = clash(same, entry) {
            let (line, _) = document.place(entries[other].offset);
            let target = entry.target.as_str();
            let message = format!("the target {target:?} is that of line {line} too");
            return Err(document.wrong(entry.offset, message));
        }
        same.push(index);
    }
    for entry in entries {
        let mut above = entry.target.parent();
        while let Some(dir) = above {
            let there = taken.get(&folded(dir.as_str()));
            if let Some(other) = there.and_then(|indexes| clash(indexes, entry)) {
                let (line, _) = document.place(entries[other].offset);
                let (inner, outer) = (entry.target.as_str(), dir.as_str());
                let message =
                    format!("the target {inner:?} lies in {outer:?}, the target of line {line}");
                return Err(document.wrong(entry.offset, message));
            }
            above = dir.parent();
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
