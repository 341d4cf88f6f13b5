//! Bytes into the CIDs that importers would give them: the UnixFS DAG of a file under any number
//! of profiles in one pass, and the blocks of directories and symlinks.
//!
//! Proves nothing about bytes and keeps none of them: whoever wants the blocks takes them as they
//! come. Mode and time of last modification are never written, as importers leave them out too
//! unless told otherwise.
//!
//! Invariant: what is held is one chunk for each chunker and one unfinished node for each level of
//! each tree, however large the file is. Blocks come in post-order: below a node, then the node.
//!
//! Source: the UnixFS specification of ipfs/specs and IPIP-0499; Kubo 0.42 with boxo 0.40, whose
//! CIDs these are.

mod chunker;
mod directory;
mod encode;
mod lane;
mod profile;
mod tree;

use bytes::Bytes;

use crate::content::cid::{self, Cid};
use crate::content::importer::lane::Lanes;

pub use crate::content::importer::chunker::Chunker;
pub use crate::content::importer::directory::{DirectoryError, Named, directory, symlink};
pub use crate::content::importer::profile::{Layout, Profile, Sharding};

/// A finished block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// What it is called.
    pub cid: Cid,
    /// Its bytes, in pieces: those of a file are slices of what was pushed.
    pub parts: Vec<Bytes>,
}

/// The topmost block of what was imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Root {
    /// What it is called.
    pub cid: Cid,
    /// The bytes of it and of all blocks below, one that is linked to twice counted twice: what a
    /// directory says of it (Tsize).
    pub tsize: u64,
}

impl Root {
    /// Whether `cid` names the same block, be it in the other version of the same hash.
    pub fn is(&self, cid: &Cid) -> bool {
        cid::is_same(&self.cid, cid)
    }
}

/// What a file came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Bytes of the file.
    pub size: u64,
    /// For each profile its root, in the order in which the profiles were given; `None` where the
    /// file does not fit into the one block of [`Layout::Single`].
    pub roots: Vec<Option<Root>>,
}

/// Where finished blocks go, if anywhere.
struct Sink<'a>(Option<&'a mut dyn FnMut(Block)>);

impl Sink<'_> {
    fn put(&mut self, cid: Cid, parts: impl FnOnce() -> Vec<Bytes>) {
        if let Some(emit) = &mut self.0 {
            let parts = parts();
            emit(Block { cid, parts });
        }
    }
}

/// Takes the bytes of one file and finds its root under each profile. Profiles that cut alike
/// share the chunks, those whose leaves are the same blocks hash each leaf once.
pub struct Importer {
    size: u64,
    profiles: usize,
    lanes: Vec<Lanes>,
}

impl Importer {
    /// An importer before the first byte.
    pub fn new(profiles: &[Profile]) -> Self {
        let mut lanes: Vec<Lanes> = Vec::new();
        for (index, profile) in profiles.iter().enumerate() {
            match lanes.iter_mut().find(|known| known.cut_as(profile)) {
                Some(known) => known.add(index, profile),
                None => lanes.push(Lanes::new(index, profile)),
            }
        }
        Self {
            size: 0,
            profiles: profiles.len(),
            lanes,
        }
    }

    /// Takes the next bytes, of any length.
    pub fn push(&mut self, bytes: &Bytes) {
        self.feed(bytes, &mut Sink(None));
    }

    /// As [`push`](Self::push), and gives each block that is finished to `emit`. A leaf that
    /// several profiles share comes once.
    pub fn push_with(&mut self, bytes: &Bytes, emit: &mut dyn FnMut(Block)) {
        self.feed(bytes, &mut Sink(Some(emit)));
    }

    /// The roots of what was pushed.
    pub fn finish(self) -> Import {
        self.end(&mut Sink(None))
    }

    /// As [`finish`](Self::finish), and gives the last blocks to `emit`.
    pub fn finish_with(self, emit: &mut dyn FnMut(Block)) -> Import {
        self.end(&mut Sink(Some(emit)))
    }

    fn feed(&mut self, bytes: &Bytes, sink: &mut Sink<'_>) {
        self.size += bytes.len() as u64;
        for lanes in &mut self.lanes {
            lanes.push(bytes.clone(), sink);
        }
    }

    fn end(self, sink: &mut Sink<'_>) -> Import {
        let mut roots = vec![None; self.profiles];
        for lanes in self.lanes {
            for (index, root) in lanes.finish(sink) {
                roots[index] = root;
            }
        }
        Import {
            size: self.size,
            roots,
        }
    }
}

#[cfg(test)]
mod tests;
