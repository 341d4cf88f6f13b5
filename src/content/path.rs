//! From a root along names to what a path means, each step proved by the block that it reads.
//!
//! Pure: says which block is due and reads it when it comes, from wherever. The blocks must be
//! proved already; so is then, with every answer, an absence too. Symbolic links are not followed.
//! Names are compared byte for byte; other, unsafe names in a directory on the way do no harm and
//! are no error here.

use std::fmt;

use bytes::Bytes;

use crate::content::cid::{self, Cid, codec};
use crate::content::unixfs::hamt::{HamtError, Lookup, Place};
use crate::content::unixfs::{self, Entry, Node, UnixFsError};

/// A block on the way, and what it has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// The block.
    pub cid: Cid,
    /// Where this shard stands below the root of its directory; `None` where no directory has
    /// been entered yet.
    shard: Option<Place>,
}

/// What one block says of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The directory has it.
    Found(Entry),
    /// The same name has to be looked up in this shard.
    Descend(At),
    /// Proved: the directory does not have it.
    Absent,
    /// Proved: here are no names.
    NotADirectory(Obstacle),
}

/// Something that a path cannot lead through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// A file.
    File,
    /// A symbolic link; what it points to may be anything, also outside.
    Symlink {
        /// The target, any bytes.
        target: Bytes,
    },
    /// A block of a codec that is not read: saved as it is, never looked into.
    Opaque {
        /// The codec.
        codec: u64,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::File => f.write_str("a file"),
            Obstacle::Symlink { target } => {
                let target = String::from_utf8_lossy(target);
                write!(f, "a symbolic link to {target:?}, which is not followed")
            }
            Obstacle::Opaque { codec } => match codec::name(*codec) {
                Some(name) => write!(f, "a {name} block, which is saved whole or not at all"),
                None => write!(
                    f,
                    "a block of codec {codec:#x}, which is saved whole or not at all"
                ),
            },
        }
    }
}

impl At {
    /// The beginning of a directory, or whatever else `cid` names.
    pub fn new(cid: Cid) -> Self {
        Self { cid, shard: None }
    }

    /// Looks `name` up in `block`, which must be proved to be that of [`At::cid`].
    ///
    /// # Errors
    /// [`UnixFsError`] if the block is malformed, or no shard where one is due.
    pub fn step(&self, block: &Bytes, name: &str) -> Result<Step, UnixFsError> {
        let name = name.as_bytes();
        Ok(match unixfs::read(self.cid.codec(), block)? {
            Node::HamtShard(shard) => {
                let shard = shard.place(self.shard.unwrap_or(Place::ROOT))?;
                match shard.lookup(name) {
                    Lookup::Found(entry) => Step::Found(entry.clone()),
                    Lookup::Descend(below) => Step::Descend(At {
                        cid: below.cid,
                        shard: Some(below.place),
                    }),
                    Lookup::Absent => Step::Absent,
                }
            }
            _ if self.shard.is_some() => return Err(HamtError::NotAShard.into()),
            Node::Directory(directory) => match directory.lookup(name) {
                Some(entry) => Step::Found(entry.clone()),
                None => Step::Absent,
            },
            Node::File(_) => Step::NotADirectory(Obstacle::File),
            Node::Symlink(link) => Step::NotADirectory(Obstacle::Symlink {
                target: link.target,
            }),
            Node::Opaque { codec } => Step::NotADirectory(Obstacle::Opaque { codec }),
        })
    }
}

/// Why a path leads nowhere. All but [`PathError::Malformed`] are proved facts about the content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// A directory on the way does not have the next name.
    #[error("{directory} has no entry {name:?}")]
    Absent {
        /// CID and path of the directory.
        directory: String,
        /// The name that it does not have.
        name: String,
    },
    /// Something on the way has no names.
    #[error("{at} is {what}, so there is no {name:?} in it")]
    NotADirectory {
        /// CID and path of what is in the way.
        at: String,
        /// What it is.
        what: Obstacle,
        /// The name that was to be looked up.
        name: String,
    },
    /// A block that cannot be read.
    #[error("malformed block {cid} on the way to {name:?}")]
    Malformed {
        /// The block.
        cid: String,
        /// The name that was to be looked up.
        name: String,
        /// What is wrong with it.
        source: UnixFsError,
    },
}

/// The way from a root along some names.
///
/// ```
/// # use bytes::Bytes;
/// # use fetchd::content::{cid, path::Resolution};
/// # let root = cid::parse("bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354").unwrap();
/// # let fetch_and_prove = |_| Bytes::from_static(&[0x0a, 2, 8, 1]);
/// let mut way = Resolution::new(root, vec!["docs".into()]);
/// while let Some(cid) = way.wanted() {
///     if let Err(error) = way.feed(&fetch_and_prove(cid)) {
///         assert!(error.to_string().ends_with("has no entry \"docs\""));
///         break;
///     }
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    root: Cid,
    names: Vec<String>,
    /// How many names are found.
    found: usize,
    at: At,
    entry: Option<Entry>,
}

impl Resolution {
    /// Starts at `root`; without names it has arrived.
    pub fn new(root: Cid, names: Vec<String>) -> Self {
        Self {
            root,
            names,
            found: 0,
            at: At::new(root),
            entry: None,
        }
    }

    /// The block that is due, which may be an identity CID; `None` on arrival.
    pub fn wanted(&self) -> Option<Cid> {
        (self.found < self.names.len()).then_some(self.at.cid)
    }

    /// Where the way has got to; on arrival what the path means.
    pub fn here(&self) -> Cid {
        self.at.cid
    }

    /// The entry that led here; `None` at the root.
    pub fn entry(&self) -> Option<&Entry> {
        self.entry.as_ref()
    }

    /// Takes one step with the proved block of [`Resolution::wanted`].
    ///
    /// # Errors
    /// [`PathError`]: the way ends here.
    pub fn feed(&mut self, block: &Bytes) -> Result<(), PathError> {
        let Some(name) = self.names.get(self.found) else {
            return Ok(());
        };
        let step = self.at.step(block, name);
        let step = step.map_err(|source| PathError::Malformed {
            cid: cid::text(&self.at.cid),
            name: name.clone(),
            source,
        })?;
        match step {
            Step::Found(entry) => {
                self.found += 1;
                self.at = At::new(entry.cid);
                self.entry = Some(entry);
            }
            Step::Descend(at) => self.at = at,
            Step::Absent => {
                return Err(PathError::Absent {
                    directory: self.text(),
                    name: name.clone(),
                });
            }
            Step::NotADirectory(what) => {
                return Err(PathError::NotADirectory {
                    at: self.text(),
                    what,
                    name: name.clone(),
                });
            }
        }
        Ok(())
    }

    /// The root and the names that are found.
    fn text(&self) -> String {
        let mut text = cid::text(&self.root);
        for name in &self.names[..self.found] {
            text.push('/');
            text.push_str(name);
        }
        text
    }
}

#[cfg(test)]
mod tests;
