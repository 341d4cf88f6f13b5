//! Who waits for a block: from the multihash to every place that a block with it would fill.

use std::collections::{BTreeSet, HashMap};

use crate::content::cid::{self, Cid, Multihash, codec};
use crate::engine::plan::EntryId;
use crate::store::FileRow;

/// A place that one block fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Spot {
    /// The entry itself: what it is, nobody knows before.
    Entry(EntryId),
    /// A child of the file that claims to hold no bytes, and must be seen to be believed.
    Empty(EntryId),
    /// Bytes of a file from this offset on.
    Bytes(EntryId, u64),
}

impl Spot {
    /// The entry that it belongs to.
    pub fn entry(self) -> EntryId {
        match self {
            Spot::Entry(id) | Spot::Empty(id) | Spot::Bytes(id, _) => id,
        }
    }
}

/// All places that wait, by multihash.
#[derive(Debug, Default)]
pub struct Index {
    spots: HashMap<Box<[u8]>, BTreeSet<Spot>>,
}

impl Index {
    /// This place waits for a block with this multihash.
    pub fn insert(&mut self, hash: &Multihash, spot: Spot) {
        self.spots.entry(key(hash)).or_default().insert(spot);
    }

    /// This place waits no longer.
    pub fn remove(&mut self, hash: &Multihash, spot: Spot) {
        let key = key(hash);
        if let Some(spots) = self.spots.get_mut(&key) {
            spots.remove(&spot);
            if spots.is_empty() {
                self.spots.remove(&key);
            }
        }
    }

    /// The places that wait for a block with this multihash, in order.
    pub fn spots(&self, hash: &Multihash) -> impl Iterator<Item = Spot> + Clone + '_ {
        self.spots.get(&key(hash)).into_iter().flatten().copied()
    }
}

/// What is the same content: blocks with one hash that are read alike. Every codec but dag-pb
/// stands for the bytes of the block themselves.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reading {
    is_dag_pb: bool,
    hash: Box<[u8]>,
}

impl Reading {
    /// That of what an entry of the record is.
    pub fn of_row(row: &FileRow) -> Option<Self> {
        let link = cid::parse(row.file.cid.as_deref()?).ok()?;
        Some(Self::of(&link))
    }

    /// That of the block behind a link.
    pub fn of(cid: &Cid) -> Self {
        Self {
            is_dag_pb: cid.codec() == codec::DAG_PB,
            hash: key(cid.hash()),
        }
    }
}

/// A multihash as a key.
pub fn key(hash: &Multihash) -> Box<[u8]> {
    hash.to_bytes().into_boxed_slice()
}
