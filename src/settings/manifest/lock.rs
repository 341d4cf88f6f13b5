//! `fetchd.lock`: what each target of a manifest was resolved to.
//!
//! Invariant: written in the order of targets, so that the same pins are the same bytes, and each
//! pin proves its content by a CID or by a checksum.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Deserialize;
use toml::Spanned;

use crate::cli::values;
use crate::content::cid::{self, Cid};
use crate::content::hash::hex;
use crate::disk::tree::TreePath;
use crate::settings::document::{Document, DocumentError};
use crate::settings::format::quoted;

/// The version that is written, and the newest that is read.
const VERSION: i64 = 1;

/// The pins of a manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    /// By target and source: on different platforms one target may have different sources.
    pins: BTreeMap<(String, String), Pin>,
}

/// What one source was resolved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The content itself, not the way to it; `None` for a plain file.
    pub cid: Option<Cid>,
    /// Bytes of the file, or of all files of the tree.
    pub size: u64,
    /// Of a file, unless switched off.
    pub sha256: Option<[u8; 32]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: i64,
    #[serde(default)]
    file: Vec<Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    target: Spanned<String>,
    source: String,
    cid: Option<Spanned<String>>,
    size: u64,
    sha256: Option<Spanned<String>>,
}

/// As much as a lock of any version has.
#[derive(Deserialize)]
struct AnyVersion {
    version: Spanned<i64>,
}

impl Lock {
    /// Reads a lock.
    ///
    /// # Errors
    /// What is wrong with it, or that it is of a newer version.
    pub fn parse(document: &Document<'_>) -> Result<Self, DocumentError> {
        let file = document.parse::<File>();
        let is_newer = !matches!(&file, Ok(file) if file.version <= VERSION);
        if is_newer
            && let Ok(AnyVersion { version }) = document.parse()
            && *version.get_ref() > VERSION
        {
            let message = format!(
                "the lock is of version {}, and this fetchd knows {VERSION}",
                version.get_ref()
            );
            return Err(document.wrong_at(&version.span(), message));
        }
        let file = file?;
        if file.version < 1 {
            return Err(document.wrong(0, format!("there is no version {}", file.version)));
        }
        let mut lock = Self::default();
        for table in file.file {
            let span = table.target.span();
            let (target, source, pin) = read(document, table)?;
            if lock.pins.insert((target, source), pin).is_some() {
                return Err(document.wrong_at(&span, "target and source are pinned twice"));
            }
        }
        Ok(lock)
    }

    /// What this source at this target is pinned to.
    pub fn pin(&self, target: &TreePath, source: &str) -> Option<&Pin> {
        self.pins.get(&key(target, source))
    }

    /// Pins a source.
    pub fn set(&mut self, target: &TreePath, source: &str, pin: Pin) {
        self.pins.insert(key(target, source), pin);
    }

    /// Keeps the pins that somebody wants, by target and source.
    pub fn retain(&mut self, mut is_wanted: impl FnMut(&str, &str) -> bool) {
        self.pins
            .retain(|(target, source), _| is_wanted(target, source));
    }

    /// The file: the same for the same pins.
    pub fn text(&self) -> String {
        let mut text = String::from(
            "# What each target of the manifest was resolved to. Written by `fetchd sync`; keep it with\n\
             # the manifest. To resolve a source anew, delete its table.\n",
        );
        // Writing to a string cannot fail.
        let _ = writeln!(text, "version = {VERSION}");
        for ((target, source), pin) in &self.pins {
            let _ = write!(
                text,
                "\n[[file]]\ntarget = {}\nsource = {}\n",
                quoted(target),
                quoted(source)
            );
            if let Some(cid) = &pin.cid {
                let _ = writeln!(text, "cid = {}", quoted(&cid::text(cid)));
            }
            let _ = writeln!(text, "size = {}", pin.size);
            if let Some(sha256) = &pin.sha256 {
                let _ = writeln!(text, "sha256 = {}", quoted(&hex(sha256)));
            }
        }
        text
    }
}

fn key(target: &TreePath, source: &str) -> (String, String) {
    (target.as_str().to_owned(), source.to_owned())
}

fn read(document: &Document<'_>, table: Table) -> Result<(String, String, Pin), DocumentError> {
    let cid = table.cid.map(|text| {
        let parsed = cid::parse(text.get_ref());
        parsed.map_err(|error| {
            let message = format!("{:?} is no CID: {error}", text.get_ref());
            document.wrong_at(&text.span(), message)
        })
    });
    let sha256 = table.sha256.map(|text| {
        let parsed = values::sha256(text.get_ref());
        parsed.map_err(|error| document.wrong_at(&text.span(), error.to_string()))
    });
    let pin = Pin {
        cid: cid.transpose()?,
        size: table.size,
        sha256: sha256.transpose()?,
    };
    if pin.cid.is_none() && pin.sha256.is_none() {
        let message = "neither a cid nor a sha256 says what this is";
        return Err(document.wrong_at(&table.target.span(), message));
    }
    let target = table.target;
    TreePath::parse(target.get_ref())
        .map_err(|error| document.wrong_at(&target.span(), crate::download::chain(&error)))?;
    Ok((target.into_inner(), table.source, pin))
}
