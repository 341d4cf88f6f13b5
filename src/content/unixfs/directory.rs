//! Directories in one block: their entries, and which names are none.
//!
//! Names are bytes and stay what they are in the block. Invariant: a [`DirNode`] has no name
//! twice; one that came from [`node`](crate::content::unixfs::node) has no name that could lead
//! out of a directory either.

use std::collections::HashSet;
use std::fmt;

use bytes::Bytes;

use crate::content::cid::Cid;
use crate::content::dagpb::PbLink;
use crate::content::unixfs::UnixFsError;
use crate::content::unixfs::message::{Mtime, UnixFs};

/// Most entries that one block may hold: 64 bytes for each in a block of 8 MiB. Larger directories
/// are sharded; more entries than that only cost memory.
pub const MAX_ENTRIES: usize = 1 << 17;

/// Most bytes of a name that an error repeats.
const SHOWN: usize = 100;

/// One name of a directory and what it names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name, as it stands in the block; need not be UTF-8.
    pub name: Bytes,
    /// What it names.
    pub cid: Cid,
    /// The bytes of all blocks below, as the writer claims: an estimate, never a proof.
    pub tsize: Option<u64>,
}

impl Entry {
    /// The name as text.
    ///
    /// # Errors
    /// [`UnixFsError::UnsafeName`] if it is not UTF-8: no two systems agree on what such a name
    /// is on disk.
    pub fn text(&self) -> Result<&str, UnixFsError> {
        std::str::from_utf8(&self.name).map_err(|_| unsafe_name(&self.name, NameFlaw::NotUtf8))
    }

    /// Refuses a name that is not one name in one directory. Entries of a
    /// [`node`](crate::content::unixfs::node) have passed it.
    ///
    /// # Errors
    /// [`UnixFsError::UnsafeName`].
    pub fn check_name(&self) -> Result<(), UnixFsError> {
        match flaw(&self.name) {
            Some(flaw) => Err(unsafe_name(&self.name, flaw)),
            None => Ok(()),
        }
    }
}

/// Why a name must not reach a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameFlaw {
    /// No bytes at all.
    Empty,
    /// `.` or `..`.
    Dots,
    /// A `/` or a NUL inside.
    Separator,
    /// Bytes that are not UTF-8.
    NotUtf8,
}

impl fmt::Display for NameFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NameFlaw::Empty => "is empty",
            NameFlaw::Dots => "means another directory",
            NameFlaw::Separator => "contains \"/\" or NUL",
            NameFlaw::NotUtf8 => "is not UTF-8",
        })
    }
}

/// A directory in one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirNode {
    /// In the order of the block, at most [`MAX_ENTRIES`].
    pub entries: Vec<Entry>,
    /// Permission bits (at most `0o7777`).
    pub mode: Option<u32>,
    /// Time of last modification.
    pub mtime: Option<Mtime>,
}

impl DirNode {
    /// The entry of this name; that there is none is proved with the block.
    pub fn lookup(&self, name: &[u8]) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    pub(super) fn check_names(&self) -> Result<(), UnixFsError> {
        self.entries.iter().try_for_each(Entry::check_name)
    }
}

/// Reads the links of a directory; names are held against each other, not judged.
pub(super) fn read(unixfs: &UnixFs, links: Vec<PbLink>) -> Result<DirNode, UnixFsError> {
    if links.len() > MAX_ENTRIES {
        return Err(UnixFsError::TooManyEntries { count: links.len() });
    }
    let entries: Vec<Entry> = links
        .into_iter()
        .enumerate()
        .map(|(index, link)| {
            Ok(Entry {
                name: link.name.ok_or(UnixFsError::NoName { index })?,
                cid: link.cid,
                tsize: link.tsize,
            })
        })
        .collect::<Result<_, UnixFsError>>()?;
    let mut seen = HashSet::with_capacity(entries.len());
    if let Some(again) = entries.iter().find(|entry| !seen.insert(&entry.name[..])) {
        return Err(UnixFsError::DuplicateName {
            name: shown(&again.name),
        });
    }
    Ok(DirNode {
        entries,
        mode: unixfs.permissions(),
        mtime: unixfs.mtime,
    })
}

fn flaw(name: &[u8]) -> Option<NameFlaw> {
    match name {
        b"" => Some(NameFlaw::Empty),
        b"." | b".." => Some(NameFlaw::Dots),
        _ if name.contains(&b'/') || name.contains(&0) => Some(NameFlaw::Separator),
        _ => None,
    }
}

fn unsafe_name(name: &[u8], flaw: NameFlaw) -> UnixFsError {
    UnixFsError::UnsafeName {
        name: shown(name),
        flaw,
    }
}

/// A name for an error: text, and not longer than a line.
pub(super) fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(&name[..name.len().min(SHOWN)]);
    if name.len() > SHOWN {
        format!("{text}…")
    } else {
        text.into_owned()
    }
}
