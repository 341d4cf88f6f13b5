//! Chunks into leaves: each hashed once for all trees that have it.
//!
//! Invariant: holds no more than one chunk, as slices of what was pushed; only pieces too small to
//! be worth an entry are copied together.

use std::iter;

use bytes::{Bytes, BytesMut};

use crate::content::cid::{Cid, Multihash, codec};
use crate::content::hash::{self, SHA2_256};
use crate::content::importer::chunker::{Chunker, Cutter};
use crate::content::importer::encode::{Naming, Part};
use crate::content::importer::profile::Profile;
use crate::content::importer::tree::Tree;
use crate::content::importer::{Root, Sink};
use crate::content::leaf::LeafForm;

/// Pieces smaller than this are joined, so that a source that drips costs no entry per byte.
const SMALL: usize = 4096;

/// All that has its chunks cut alike.
pub(super) struct Lanes {
    chunker: Chunker,
    cutter: Cutter,
    chunk: Chunk,
    is_empty: bool,
    lanes: Vec<Lane>,
}

/// The trees whose leaves have the same hashes.
struct Lane {
    form: LeafForm,
    /// With the place of its profile among those that were asked for.
    trees: Vec<(usize, Tree)>,
}

/// The chunk so far.
#[derive(Default)]
struct Chunk {
    pieces: Vec<Bytes>,
    small: BytesMut,
}

impl Lanes {
    pub(super) fn new(index: usize, profile: &Profile) -> Self {
        let mut lanes = Self {
            chunker: profile.chunker(),
            cutter: Cutter::new(profile.chunker()),
            chunk: Chunk::default(),
            is_empty: true,
            lanes: Vec::new(),
        };
        lanes.add(index, profile);
        lanes
    }

    /// Whether the profile has the same chunks.
    pub(super) fn cut_as(&self, profile: &Profile) -> bool {
        self.chunker == profile.chunker()
    }

    /// Adds a profile that has the same chunks.
    pub(super) fn add(&mut self, index: usize, profile: &Profile) {
        let tree = Tree::new(profile.layout(), profile.naming());
        let form = profile.leaf_form();
        match self.lanes.iter_mut().find(|lane| lane.fits(form, &tree)) {
            Some(lane) => lane.trees.push((index, tree)),
            None => self.lanes.push(Lane {
                form,
                trees: vec![(index, tree)],
            }),
        }
    }

    pub(super) fn push(&mut self, mut bytes: Bytes, sink: &mut Sink<'_>) {
        if !self.lanes.iter().any(Lane::is_open) {
            return;
        }
        while !bytes.is_empty() {
            self.is_empty = false;
            match self.cutter.cut(&bytes) {
                None => return self.chunk.push(bytes),
                Some(len) => {
                    self.chunk.push(bytes.split_to(len));
                    self.leaf(sink);
                }
            }
        }
    }

    /// The roots with the places of their profiles.
    pub(super) fn finish(mut self, sink: &mut Sink<'_>) -> Vec<(usize, Option<Root>)> {
        if self.is_empty || !self.chunk.is_empty() {
            self.leaf(sink);
        }
        let trees = self.lanes.into_iter().flat_map(|lane| lane.trees);
        trees
            .map(|(index, tree)| (index, tree.finish(sink)))
            .collect()
    }

    fn leaf(&mut self, sink: &mut Sink<'_>) {
        let pieces = self.chunk.take();
        let size = pieces.iter().map(Bytes::len).sum();
        let lanes = self.lanes.iter_mut();
        let leaves: Vec<Leaf<'_>> = lanes
            .filter_map(|lane| lane.next_leaf(size, sink))
            .collect();
        let hashes = hashes(&leaves, &pieces);
        for (leaf, hash) in leaves.into_iter().zip(hashes) {
            leaf.add(hash, &pieces, sink);
        }
    }
}

/// The next leaf of a lane, and those of its trees that take it.
struct Leaf<'a> {
    form: LeafForm,
    naming: Naming,
    prefix: Vec<u8>,
    suffix: Vec<u8>,
    /// File bytes in it.
    size: usize,
    trees: Vec<&'a mut Tree>,
}

impl Leaf<'_> {
    /// Bytes of the block.
    fn len(&self) -> usize {
        self.prefix.len() + self.size + self.suffix.len()
    }

    fn wrapping(&self) -> [&[u8]; 2] {
        [&self.prefix, &self.suffix]
    }

    fn is_sha256(&self) -> bool {
        self.naming.hash == SHA2_256 && !self.naming.inlines(self.len())
    }

    fn hash(&self, pieces: &[Bytes]) -> Multihash {
        let pieces = pieces.iter().map(|piece| &piece[..]);
        let parts = iter::once(&self.prefix[..]).chain(pieces);
        self.naming
            .hash(self.len(), parts.chain([&self.suffix[..]]))
    }

    fn add(self, hash: Multihash, pieces: &[Bytes], sink: &mut Sink<'_>) {
        let tsize = self.len() as u64;
        // One in each version that the trees have.
        let mut named: Vec<Cid> = Vec::with_capacity(1);
        for tree in self.trees {
            let cid = tree.naming().cid(codec_of(self.form), hash);
            if !named.contains(&cid) {
                sink.put(cid, || block(&self.prefix, pieces, &self.suffix));
                named.push(cid);
            }
            tree.add(Part {
                root: Root { cid, tsize },
                size: self.size as u64,
            });
        }
    }
}

/// The hashes of leaves that hold the same bytes. Equal blocks are hashed once, and others two at
/// a time, where they have the function that matters.
fn hashes(leaves: &[Leaf<'_>], pieces: &[Bytes]) -> Vec<Multihash> {
    let mut forms: Vec<&Leaf<'_>> = Vec::new();
    for leaf in leaves.iter().filter(|leaf| leaf.is_sha256()) {
        if forms.iter().all(|known| known.form != leaf.form) {
            forms.push(leaf);
        }
    }
    let mut known: Vec<(LeafForm, Multihash)> = Vec::with_capacity(forms.len());
    for pair in forms.chunks(2) {
        match pair {
            [one, other] => {
                let parts = pieces.iter().map(|piece| &piece[..]);
                let found = hash::sha256_of_both([one.wrapping(), other.wrapping()], parts);
                let forms = [one.form, other.form].into_iter();
                known.extend(forms.zip(found));
            }
            alone => known.extend(alone.iter().map(|leaf| (leaf.form, leaf.hash(pieces)))),
        }
    }
    let hash = |leaf: &Leaf<'_>| {
        let same = known.iter().find(|(form, _)| *form == leaf.form);
        let same = same.filter(|_| leaf.is_sha256());
        same.map_or_else(|| leaf.hash(pieces), |(_, hash)| *hash)
    };
    leaves.iter().map(hash).collect()
}

impl Lane {
    /// The version is left out: it does not change the hash.
    fn fits(&self, form: LeafForm, tree: &Tree) -> bool {
        let same = |known: &Tree| {
            let (known, new) = (known.naming(), tree.naming());
            (known.hash, known.inline) == (new.hash, new.inline)
        };
        self.form == form && self.trees.iter().all(|(_, known)| same(known))
    }

    fn is_open(&self) -> bool {
        self.trees.iter().any(|(_, tree)| tree.is_open())
    }

    /// The leaf of so many bytes that its trees take next; `None` if no tree takes one.
    fn next_leaf(&mut self, size: usize, sink: &mut Sink<'_>) -> Option<Leaf<'_>> {
        let trees = self.trees.iter_mut().map(|(_, tree)| tree);
        let trees = trees.filter(|tree| size > 0 || tree.has_empty_leaf());
        let mut open = Vec::with_capacity(1);
        for tree in trees {
            tree.make_room(sink);
            if tree.is_open() {
                open.push(tree);
            }
        }
        let naming = open.first().map(|tree| *tree.naming())?;
        let (prefix, suffix) = self.form.wrapping(size as u64);
        Some(Leaf {
            form: self.form,
            naming,
            prefix,
            suffix,
            size,
            trees: open,
        })
    }
}

fn codec_of(form: LeafForm) -> u64 {
    match form {
        LeafForm::Raw => codec::RAW,
        LeafForm::DagPbFile | LeafForm::DagPbRaw => codec::DAG_PB,
    }
}

/// The block of a leaf, without the parts that have no bytes.
fn block(prefix: &[u8], pieces: &[Bytes], suffix: &[u8]) -> Vec<Bytes> {
    let parts = iter::once(Bytes::copy_from_slice(prefix))
        .chain(pieces.iter().cloned())
        .chain([Bytes::copy_from_slice(suffix)]);
    parts.filter(|part| !part.is_empty()).collect()
}

impl Chunk {
    fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.small.is_empty()
    }

    fn push(&mut self, piece: Bytes) {
        if piece.len() < SMALL {
            self.small.extend_from_slice(&piece);
        }
        if piece.len() >= SMALL || self.small.len() >= SMALL {
            self.flush();
        }
        if piece.len() >= SMALL {
            self.pieces.push(piece);
        }
    }

    /// Everything, leaving nothing.
    fn take(&mut self) -> Vec<Bytes> {
        self.flush();
        std::mem::take(&mut self.pieces)
    }

    fn flush(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push(self.small.split().freeze());
        }
    }
}
