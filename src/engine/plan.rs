//! What is known of a file's tree and what is still missing: the plan.
//!
//! The tree is expanded lazily, in file order, as verified nodes arrive, so memory holds the
//! frontier between what is proved and what is unknown, never the whole DAG. Pure: blocks come in
//! verified, decisions go out as values.
//!
//! Invariant: `proved` and the pieces do not overlap, and once the root is known every byte of
//! the file is either in `proved` or in exactly one piece.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use bytes::Bytes;

use crate::content::cid::{self, Cid, codec};
use crate::content::hash::{HashError, HashPolicy};
use crate::content::leaf;
use crate::content::ranges::{ByteRange, RangeSet};
use crate::content::unixfs::{self, Child, FileNode, Node, UnixFsError};

/// Pieces that may wait at once before repeated sub-trees are no longer expanded ahead of their
/// turn: a DAG of a few blocks can unfold to billions of pieces.
const MAX_PIECES_AHEAD: usize = 65_536;

/// Limits on what a DAG may be, from the configuration.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Hash functions that are accepted, at every link.
    pub hashes: HashPolicy,
    /// Largest file, in bytes.
    pub max_size: Option<u64>,
    /// Largest block, in bytes.
    pub max_block: u64,
    /// Deepest tree.
    pub max_depth: u32,
}

/// A DAG that cannot be a file, or may not be one here.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A block that is what its CID says and still not part of a sound file.
    #[error("block {cid} is malformed")]
    Malformed {
        /// The block.
        cid: String,
        /// Why.
        source: UnixFsError,
    },
    /// A child holds more or fewer bytes than its parent says.
    #[error("block {cid} holds {actual} bytes of the file where its parent says {expected}")]
    SizeLie {
        /// The child.
        cid: String,
        /// What the parent says.
        expected: u64,
        /// What it holds.
        actual: u64,
    },
    /// The root is something else than a file.
    #[error("{cid} is a {what}, and this version of fetchd fetches single files only")]
    NotAFile {
        /// The root.
        cid: String,
        /// What it is.
        what: &'static str,
    },
    /// A child of a file is a directory, a link or of a foreign codec.
    #[error("block {cid} inside the file is a {what}")]
    ChildKind {
        /// The child.
        cid: String,
        /// What it is.
        what: &'static str,
    },
    /// The hash function of a link is not accepted.
    #[error("block {cid} cannot be trusted")]
    Hash {
        /// The block.
        cid: String,
        /// Why.
        source: HashError,
    },
    /// The file is larger than the limit.
    #[error("the file is {size} bytes long and max_size allows {limit}")]
    TooLarge {
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A leaf is larger than a block may be.
    #[error("block {cid} is {size} bytes long and max_block_size allows {limit}")]
    BlockTooLarge {
        /// The block.
        cid: String,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// The tree is deeper than the limit.
    #[error("the tree is deeper than max_depth allows ({limit})")]
    TooDeep {
        /// The limit.
        limit: u32,
    },
}

/// A consecutive part of the file that one link stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The link.
    pub cid: Cid,
    /// Offset in the file.
    pub offset: u64,
    /// File bytes below the link.
    pub len: u64,
    /// What it is expected to be.
    pub kind: PieceKind,
    depth: u32,
}

/// What a piece is expected to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceKind {
    /// File bytes, raw or in the usual dag-pb wrapping: provable from the bytes alone.
    Leaf,
    /// A node with children, or a leaf in an unusual wrapping: must come as a block.
    Node,
}

/// File bytes that a verified block holds in itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inline {
    /// Where they belong in the file.
    pub offset: u64,
    /// The bytes.
    pub data: Bytes,
}

/// What a block that was just received means to the plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expected {
    /// Nothing that is missing.
    No,
    /// The root, or a node: to be verified and given to [`FilePlan::expand`].
    Node,
    /// A leaf of this many file bytes, wanted at these offsets.
    Leaf {
        /// File bytes in the leaf.
        len: u64,
        /// Offsets, ascending.
        offsets: Vec<u64>,
    },
}

/// The plan of one file.
#[derive(Debug)]
pub struct FilePlan {
    root: Cid,
    limits: Limits,
    size: Option<u64>,
    proved: RangeSet,
    taken: RangeSet,
    pieces: BTreeMap<u64, Piece>,
    offsets_by_hash: HashMap<Box<[u8]>, BTreeSet<u64>>,
    /// Children that claim to hold no bytes and are not one of the well-known empty blocks: they
    /// must be seen to be believed.
    empties: Vec<Cid>,
}

impl FilePlan {
    /// A plan of which nothing is known but the root and, after a crash, which bytes are proved.
    ///
    /// # Errors
    /// [`PlanError::Hash`] if the root's hash function is not accepted.
    pub fn new(root: Cid, limits: Limits, proved: RangeSet) -> Result<Self, PlanError> {
        check_hash(&limits, &root)?;
        Ok(Self {
            root,
            limits,
            size: None,
            proved,
            taken: RangeSet::new(),
            pieces: BTreeMap::new(),
            offsets_by_hash: HashMap::new(),
            empties: Vec::new(),
        })
    }

    /// The root.
    pub fn root(&self) -> &Cid {
        &self.root
    }

    /// The file's size, once the root block is known.
    pub fn size(&self) -> Option<u64> {
        self.size
    }

    /// The proved bytes.
    pub fn proved(&self) -> &RangeSet {
        &self.proved
    }

    /// Whether every byte is proved and every claim checked.
    pub fn is_complete(&self) -> bool {
        self.empties.is_empty() && self.size.is_some_and(|size| self.proved.contains(0, size))
    }

    /// What a block with this multihash would be good for.
    pub fn expects(&self, hash: &cid::Multihash) -> Expected {
        if self.size.is_none() && hash == self.root.hash() {
            return Expected::Node;
        }
        if self.empties.iter().any(|empty| empty.hash() == hash) {
            return Expected::Node;
        }
        let Some(offsets) = self.offsets_by_hash.get(key(hash).as_ref()) else {
            return Expected::No;
        };
        let mut pieces = offsets.iter().filter_map(|offset| self.pieces.get(offset));
        match pieces.next() {
            None => Expected::No,
            Some(piece) if piece.kind == PieceKind::Node => Expected::Node,
            Some(first) => Expected::Leaf {
                len: first.len,
                offsets: std::iter::once(first)
                    .chain(pieces)
                    .filter(|piece| piece.len == first.len && piece.kind == PieceKind::Leaf)
                    .map(|piece| piece.offset)
                    .collect(),
            },
        }
    }

    /// The link that the plan holds for a multihash: its codec decides how the block is read, not
    /// the codec that a sender names.
    pub fn link_to(&self, hash: &cid::Multihash) -> Option<Cid> {
        if self.size.is_none() && hash == self.root.hash() {
            return Some(self.root);
        }
        let empty = self.empties.iter().find(|empty| empty.hash() == hash);
        let piece = || {
            let offsets = self.offsets_by_hash.get(key(hash).as_ref())?;
            self.pieces.get(offsets.first()?).map(|piece| &piece.cid)
        };
        empty.or_else(piece).copied()
    }

    /// Takes a block that was proved to be `cid`, where the plan expects a node.
    ///
    /// Returns the file bytes that the block holds in itself; they are the caller's to write and
    /// then to report as [`FilePlan::prove`]d.
    ///
    /// # Errors
    /// Whatever makes the tree unsound or unwanted; the download cannot go on.
    pub fn expand(&mut self, cid: &Cid, block: &Bytes) -> Result<Vec<Inline>, PlanError> {
        let mut inline = Vec::new();
        if self.size.is_none() && cid.hash() == self.root.hash() {
            self.expand_root(block, &mut inline)?;
            return Ok(inline);
        }
        self.check_empties(cid, block)?;
        let offsets: Vec<u64> = self
            .offsets_by_hash
            .get(key(cid.hash()).as_ref())
            .map(|offsets| offsets.iter().copied().collect())
            .unwrap_or_default();
        for (index, offset) in offsets.into_iter().enumerate() {
            if index > 0 && self.pieces.len() >= MAX_PIECES_AHEAD {
                break;
            }
            let Some(piece) = self.forget(offset) else {
                continue;
            };
            self.expand_piece(piece, block, &mut inline)?;
        }
        Ok(inline)
    }

    /// Records that the bytes of `offset..offset + len` are proved and written.
    pub fn prove(&mut self, offset: u64, len: u64) {
        self.proved.insert(offset, offset + len);
        self.forget(offset);
    }

    /// The leaf at `offset` did not prove right as plain bytes under any known wrapping: it must
    /// come as a block.
    pub fn demand_block(&mut self, offset: u64) {
        if let Some(piece) = self.pieces.get_mut(&offset) {
            piece.kind = PieceKind::Node;
        }
    }

    /// Marks a range as being fetched.
    pub fn take(&mut self, range: ByteRange) {
        self.taken.insert(range.start(), range.end());
    }

    /// Gives a range back, whatever came of it.
    pub fn give_back(&mut self, range: ByteRange) {
        self.taken.remove(range.start(), range.end());
    }

    /// Pieces that nobody is fetching, in file order from `from`.
    pub fn open_pieces(&self, from: u64) -> impl Iterator<Item = &Piece> + '_ {
        self.pieces
            .range(from..)
            .map(|(_, piece)| piece)
            .filter(|piece| {
                self.taken
                    .next_gap(piece.offset, piece.offset + 1)
                    .is_some()
            })
    }

    /// A child that claims to be empty and has not been seen.
    pub fn unseen_empty(&self) -> Option<&Cid> {
        self.empties.first()
    }

    /// All pieces in file order, for recovery.
    pub fn first_piece_from(&self, from: u64) -> Option<&Piece> {
        self.pieces.range(from..).next().map(|(_, piece)| piece)
    }

    /// Consecutive open leaves from the first open piece on, up to about `target` bytes.
    pub fn leaf_run(&self, target: u64) -> Vec<Piece> {
        let mut run: Vec<Piece> = Vec::new();
        let mut len = 0;
        for piece in self.open_pieces(0) {
            let adjoins = run
                .last()
                .is_none_or(|last| last.offset + last.len == piece.offset);
            if piece.kind == PieceKind::Node || !adjoins || len >= target {
                break;
            }
            len += piece.len;
            run.push(piece.clone());
        }
        run
    }

    /// The open range from the first open piece on, up to about `target` bytes, whatever its
    /// pieces are.
    pub fn open_span(&self, target: u64) -> Option<ByteRange> {
        let mut pieces = self.open_pieces(0);
        let first = pieces.next()?;
        let mut end = first.offset + first.len.min(target);
        for piece in pieces {
            if piece.offset != end || end - first.offset >= target {
                break;
            }
            end += piece.len.min(target);
        }
        let limit = self
            .taken
            .iter()
            .find(|t| t.start() >= first.offset)
            .map_or(end, |t| t.start().min(end));
        ByteRange::new(first.offset, limit)
    }

    /// Open nodes that begin before `horizon`, in file order.
    pub fn open_nodes(&self, horizon: u64) -> impl Iterator<Item = &Piece> + '_ {
        self.open_pieces(0)
            .take_while(move |piece| piece.offset < horizon)
            .filter(|piece| piece.kind == PieceKind::Node)
    }

    fn expand_root(&mut self, block: &Bytes, inline: &mut Vec<Inline>) -> Result<(), PlanError> {
        let node = self
            .file_node(&self.root, block)?
            .map_err(|what| PlanError::NotAFile {
                cid: cid::text(&self.root),
                what,
            })?;
        if let Some(limit) = self.limits.max_size.filter(|&limit| node.size > limit) {
            return Err(PlanError::TooLarge {
                size: node.size,
                limit,
            });
        }
        self.size = Some(node.size);
        self.proved.remove(node.size, u64::MAX);
        self.add_node(0, 0, &node, block, inline)
    }

    fn expand_piece(
        &mut self,
        piece: Piece,
        block: &Bytes,
        inline: &mut Vec<Inline>,
    ) -> Result<(), PlanError> {
        let node = self
            .file_node(&piece.cid, block)?
            .map_err(|what| PlanError::ChildKind {
                cid: cid::text(&piece.cid),
                what,
            })?;
        if node.size != piece.len {
            return Err(PlanError::SizeLie {
                cid: cid::text(&piece.cid),
                expected: piece.len,
                actual: node.size,
            });
        }
        self.add_node(piece.offset, piece.depth, &node, block, inline)
    }

    /// Adds what a node holds, its inline bytes and its children, at `start` of the file.
    fn add_node(
        &mut self,
        start: u64,
        depth: u32,
        node: &FileNode,
        block: &Bytes,
        inline: &mut Vec<Inline>,
    ) -> Result<(), PlanError> {
        if depth > self.limits.max_depth {
            return Err(PlanError::TooDeep {
                limit: self.limits.max_depth,
            });
        }
        self.add_inline(start, block, &node.inline, inline);
        for child in &node.children {
            self.add_child(start, depth + 1, child, inline)?;
        }
        Ok(())
    }

    fn add_inline(
        &self,
        start: u64,
        block: &Bytes,
        range: &Range<usize>,
        inline: &mut Vec<Inline>,
    ) {
        let data = block.slice(range.clone());
        if !self.proved.contains(start, start + data.len() as u64) {
            inline.push(Inline {
                offset: start,
                data,
            });
        }
    }

    fn add_child(
        &mut self,
        start: u64,
        depth: u32,
        child: &Child,
        inline: &mut Vec<Inline>,
    ) -> Result<(), PlanError> {
        check_hash(&self.limits, &child.cid)?;
        let offset = start + child.offset;
        if let Some(data) = cid::identity(&child.cid) {
            let block = Bytes::copy_from_slice(data);
            let piece = Piece {
                cid: child.cid,
                offset,
                len: child.size,
                kind: PieceKind::Node,
                depth,
            };
            return self.expand_piece(piece, &block, inline);
        }
        if child.size == 0 {
            if !is_known_empty(&child.cid) && !self.empties.contains(&child.cid) {
                self.empties.push(child.cid);
            }
            return Ok(());
        }
        if self.proved.contains(offset, offset + child.size) {
            return Ok(());
        }
        let kind = expected_kind(child, &self.limits)?;
        self.offsets_by_hash
            .entry(key(child.cid.hash()))
            .or_default()
            .insert(offset);
        self.pieces.insert(
            offset,
            Piece {
                cid: child.cid,
                offset,
                len: child.size,
                kind,
                depth,
            },
        );
        Ok(())
    }

    fn check_empties(&mut self, cid: &Cid, block: &Bytes) -> Result<(), PlanError> {
        let Some(index) = self
            .empties
            .iter()
            .position(|empty| empty.hash() == cid.hash())
        else {
            return Ok(());
        };
        let empty = self.empties.swap_remove(index);
        let node = self
            .file_node(&empty, block)?
            .map_err(|what| PlanError::ChildKind {
                cid: cid::text(&empty),
                what,
            })?;
        if node.size != 0 {
            return Err(PlanError::SizeLie {
                cid: cid::text(&empty),
                expected: 0,
                actual: node.size,
            });
        }
        Ok(())
    }

    /// The block as a node of a file; what else it is, where it is none.
    fn file_node(
        &self,
        cid: &Cid,
        block: &Bytes,
    ) -> Result<Result<FileNode, &'static str>, PlanError> {
        let node = unixfs::node(cid.codec(), block).map_err(|source| PlanError::Malformed {
            cid: cid::text(cid),
            source,
        })?;
        Ok(match node {
            Node::File(file) => Ok(file),
            Node::Directory(_) | Node::HamtShard(_) => Err("directory"),
            Node::Symlink(_) => Err("symbolic link"),
            Node::Opaque { codec } => {
                Err(codec::name(codec).unwrap_or("block of an unknown codec"))
            }
        })
    }

    fn forget(&mut self, offset: u64) -> Option<Piece> {
        let piece = self.pieces.remove(&offset)?;
        let key = key(piece.cid.hash());
        if let Some(offsets) = self.offsets_by_hash.get_mut(key.as_ref()) {
            offsets.remove(&offset);
            if offsets.is_empty() {
                self.offsets_by_hash.remove(key.as_ref());
            }
        }
        Some(piece)
    }
}

fn check_hash(limits: &Limits, cid: &Cid) -> Result<(), PlanError> {
    limits.hashes.check(cid).map_err(|source| PlanError::Hash {
        cid: cid::text(cid),
        source,
    })
}

/// What a child is expected to be, by its codec and by the size that its link claims.
fn expected_kind(child: &Child, limits: &Limits) -> Result<PieceKind, PlanError> {
    if child.cid.codec() == codec::RAW {
        if child.size > limits.max_block {
            return Err(PlanError::BlockTooLarge {
                cid: cid::text(&child.cid),
                size: child.size,
                limit: limits.max_block,
            });
        }
        return Ok(PieceKind::Leaf);
    }
    let canonical = child.size.checked_add(leaf::canonical_overhead(child.size));
    let is_leaf =
        child.size <= limits.max_block && child.tsize.is_some() && child.tsize == canonical;
    Ok(if is_leaf {
        PieceKind::Leaf
    } else {
        PieceKind::Node
    })
}

/// The empty raw block, the empty dag-pb file and its old form, whatever their CID version.
fn is_known_empty(cid: &Cid) -> bool {
    let blocks: [&[u8]; 3] = [b"", &[0x0a, 4, 8, 2, 0x18, 0], &[0x0a, 2, 8, 2]];
    blocks
        .iter()
        .any(|block| crate::content::hash::matches(cid.hash(), [*block]))
}

fn key(hash: &cid::Multihash) -> Box<[u8]> {
    hash.to_bytes().into_boxed_slice()
}
