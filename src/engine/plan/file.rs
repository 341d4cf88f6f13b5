//! What is known of one file's tree and what is still missing of it.
//!
//! The tree is expanded lazily, in file order, as verified nodes arrive, so memory holds the
//! frontier between what is proved and what is unknown, never the whole DAG. Pure: blocks come in
//! verified, decisions go out as values.
//!
//! Invariant: `proved` and the pieces do not overlap, and every byte of the file is either in
//! `proved` or in exactly one piece.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use crate::content::cid::{self, Cid, codec};
use crate::content::leaf;
use crate::content::ranges::{ByteRange, RangeSet};
use crate::content::unixfs::{self, Child, FileNode, Node};
use crate::engine::plan::index::{Index, Spot};
use crate::engine::plan::piece::{Inline, Piece, PieceKind, adjoining};
use crate::engine::plan::{EntryId, Limits, PlanError, check_hash};

/// Pieces that may wait at once before repeated sub-trees are no longer expanded ahead of their
/// turn: a DAG of a few blocks can unfold to billions of pieces.
const MAX_PIECES_AHEAD: usize = 65_536;

/// The plan of one file.
#[derive(Debug)]
pub struct FilePlan {
    id: EntryId,
    root: Cid,
    size: u64,
    /// What is proved and written.
    proved: RangeSet,
    /// Those of the proved bytes that were proved as leaves around plain bytes.
    by_leaves: RangeSet,
    /// What somebody fetches.
    taken: RangeSet,
    /// What is received and waits for its proof.
    proving: RangeSet,
    pieces: BTreeMap<u64, Piece>,
    /// How often pieces have become open.
    openings: u64,
    /// Children that claim to hold no bytes and are not one of the well-known empty blocks: they
    /// must be seen to be believed.
    empties: Vec<Cid>,
}

/// What an expansion needs besides the block.
pub struct Growth<'a> {
    /// Limits on the DAG.
    pub limits: &'a Limits,
    /// Who waits for which block.
    pub index: &'a mut Index,
    /// The file bytes found in blocks: to be written, then to be reported as proved.
    pub inline: &'a mut Vec<Inline>,
}

impl FilePlan {
    /// The plan of the file whose verified root block is `node`, in `block`.
    ///
    /// `proved` and `by_leaves` are what an earlier run left; bytes beyond the end are forgotten.
    ///
    /// # Errors
    /// Whatever makes the tree unsound or unwanted.
    pub fn new(
        id: EntryId,
        root: Cid,
        node: &FileNode,
        block: &Bytes,
        saved: (RangeSet, RangeSet),
        growth: &mut Growth<'_>,
    ) -> Result<Self, PlanError> {
        let (mut proved, mut by_leaves) = saved;
        proved.remove(node.size, u64::MAX);
        by_leaves.remove(node.size, u64::MAX);
        let mut plan = Self {
            id,
            root,
            size: node.size,
            proved,
            by_leaves,
            taken: RangeSet::new(),
            proving: RangeSet::new(),
            pieces: BTreeMap::new(),
            openings: 0,
            empties: Vec::new(),
        };
        plan.add_node(0, 0, node, block, growth)?;
        Ok(plan)
    }

    /// The plan of a file of which only the size is known, and that it may be a single leaf: the
    /// bytes alone can prove it.
    pub fn of_leaf(id: EntryId, root: Cid, size: u64, index: &mut Index) -> Self {
        let mut plan = Self {
            id,
            root,
            size,
            proved: RangeSet::new(),
            by_leaves: RangeSet::new(),
            taken: RangeSet::new(),
            proving: RangeSet::new(),
            pieces: BTreeMap::new(),
            openings: 0,
            empties: Vec::new(),
        };
        if size > 0 {
            plan.insert(
                Piece {
                    cid: root,
                    offset: 0,
                    len: size,
                    kind: PieceKind::Leaf,
                    depth: 0,
                },
                index,
            );
        }
        plan
    }

    /// The file's root.
    pub fn root(&self) -> &Cid {
        &self.root
    }

    /// The file's size.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The proved bytes.
    pub fn proved(&self) -> &RangeSet {
        &self.proved
    }

    /// Those of them that were proved as leaves around plain bytes.
    pub fn by_leaves(&self) -> &RangeSet {
        &self.by_leaves
    }

    /// Whether every byte is proved and every claim checked.
    pub fn is_complete(&self) -> bool {
        self.empties.is_empty() && self.proved.contains(0, self.size)
    }

    /// Whether nothing of it is here or on its way.
    pub fn is_untouched(&self) -> bool {
        self.proved.is_empty() && self.taken.is_empty() && self.proving.is_empty()
    }

    /// Whether this byte is received and waits for its proof.
    pub fn is_proving(&self, offset: u64) -> bool {
        self.proving.contains(offset, offset + 1)
    }

    /// The piece that begins here.
    pub fn piece_at(&self, offset: u64) -> Option<&Piece> {
        self.pieces.get(&offset)
    }

    /// Whether a block that is wanted in another place already is to be expanded here too.
    pub fn has_room(&self) -> bool {
        self.pieces.len() < MAX_PIECES_AHEAD
    }

    /// Takes the verified block of the piece at `offset`; whether it is a node with children.
    ///
    /// # Errors
    /// Whatever makes the tree unsound or unwanted; the download cannot go on.
    pub fn expand(
        &mut self,
        offset: u64,
        block: &Bytes,
        growth: &mut Growth<'_>,
    ) -> Result<bool, PlanError> {
        match self.forget(offset, growth.index) {
            Some(piece) => self.expand_piece(piece, block, growth),
            None => Ok(false),
        }
    }

    /// Takes the verified block of a child that claims to hold no bytes.
    ///
    /// # Errors
    /// It is no file, or not an empty one.
    pub fn see_empty(
        &mut self,
        cid: &Cid,
        block: &Bytes,
        index: &mut Index,
    ) -> Result<(), PlanError> {
        let same = |empty: &Cid| empty.hash() == cid.hash();
        while let Some(at) = self.empties.iter().position(same) {
            let empty = self.empties.swap_remove(at);
            index.remove(empty.hash(), Spot::Empty(self.id));
            let node = file_node(&empty, block)?;
            check_size(&empty, 0, node.size)?;
        }
        Ok(())
    }

    /// Records that the bytes of `offset..offset + len` are proved and written; `by_leaf` if they
    /// were proved as a leaf around plain bytes.
    pub fn prove(&mut self, offset: u64, len: u64, by_leaf: bool, index: &mut Index) {
        self.proved.insert(offset, offset + len);
        if by_leaf {
            self.by_leaves.insert(offset, offset + len);
        }
        self.forget(offset, index);
    }

    /// Marks bytes as received, to be proved.
    pub fn begin_proof(&mut self, offset: u64, len: u64) {
        self.proving.insert(offset, offset + len);
    }

    /// Their proof is over, whatever came of it.
    pub fn end_proof(&mut self, offset: u64, len: u64) {
        self.proving.remove(offset, offset + len);
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
        self.note_openings(range.start(), range.end());
    }

    /// Counts the times that pieces became open: as long as it stays the same, what was found out
    /// about those that are open is true of all of them.
    pub fn openings(&self) -> u64 {
        self.openings
    }

    /// Notes that what is left in a range may be open again.
    pub fn note_openings(&mut self, start: u64, end: u64) {
        let proving = &self.proving;
        let is_open = |(&offset, _): (&u64, &Piece)| !proving.contains(offset, offset + 1);
        if self.pieces.range(start..end).any(is_open) {
            self.openings += 1;
        }
    }

    /// Pieces that nobody is fetching or proving, in file order.
    pub fn open_pieces(&self) -> impl Iterator<Item = &Piece> + '_ {
        let mut at = 0;
        std::iter::from_fn(move || {
            loop {
                let piece = self.first_piece_from(at)?;
                let taken = self.taken.covered_until(piece.offset);
                let behind = taken.max(self.proving.covered_until(piece.offset));
                if behind == piece.offset {
                    at = piece.offset + 1;
                    return Some(piece);
                }
                // All that begin in between are somebody's.
                at = behind;
            }
        })
    }

    /// Children that claim to be empty and have not been seen.
    pub fn unseen_empties(&self) -> &[Cid] {
        &self.empties
    }

    /// All pieces in file order, for recovery.
    pub fn first_piece_from(&self, from: u64) -> Option<&Piece> {
        self.pieces.range(from..).next().map(|(_, piece)| piece)
    }

    /// The piece that this byte is in.
    pub fn piece_over(&self, offset: u64) -> Option<&Piece> {
        let (_, piece) = self.pieces.range(..=offset).next_back()?;
        (offset < piece.offset + piece.len).then_some(piece)
    }

    /// Leaves in this range that are not proved and not about to be, in file order.
    pub fn missing_leaves(&self, range: ByteRange) -> impl Iterator<Item = &Piece> + '_ {
        let pieces = self.pieces.range(range.start()..range.end());
        pieces
            .map(|(_, piece)| piece)
            .filter(|piece| piece.kind == PieceKind::Leaf && !self.is_proving(piece.offset))
    }

    /// Consecutive open leaves from the first open piece on, up to about `target` bytes.
    pub fn leaf_run(&self, target: u64) -> Vec<Piece> {
        let mut len = 0;
        let run = adjoining(self.open_pieces()).take_while(|piece| {
            let has_room = len < target;
            len += piece.len;
            has_room
        });
        run.cloned().collect()
    }

    /// The open range from the first open piece on, up to about `target` bytes, whatever its
    /// pieces are.
    pub fn open_span(&self, target: u64) -> Option<ByteRange> {
        let mut pieces = self.open_pieces();
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
        self.open_pieces()
            .take_while(move |piece| piece.offset < horizon)
            .filter(|piece| piece.kind == PieceKind::Node)
    }

    fn expand_piece(
        &mut self,
        piece: Piece,
        block: &Bytes,
        growth: &mut Growth<'_>,
    ) -> Result<bool, PlanError> {
        let node = file_node(&piece.cid, block)?;
        check_size(&piece.cid, piece.len, node.size)?;
        self.add_node(piece.offset, piece.depth, &node, block, growth)?;
        Ok(!node.children.is_empty())
    }

    /// Adds what a node holds, its inline bytes and its children, at `start` of the file.
    fn add_node(
        &mut self,
        start: u64,
        depth: u32,
        node: &FileNode,
        block: &Bytes,
        growth: &mut Growth<'_>,
    ) -> Result<(), PlanError> {
        let limit = growth.limits.max_depth;
        if depth > limit {
            return Err(PlanError::TooDeep { limit });
        }
        self.add_inline(start, block, &node.inline, growth.inline);
        for child in &node.children {
            self.add_child(start, depth + 1, child, growth)?;
        }
        Ok(())
    }

    fn add_inline(
        &mut self,
        start: u64,
        block: &Bytes,
        range: &Range<usize>,
        inline: &mut Vec<Inline>,
    ) {
        let data = block.slice(range.clone());
        let end = start + data.len() as u64;
        if !self.proved.contains(start, end) {
            inline.push(Inline {
                entry: self.id,
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
        growth: &mut Growth<'_>,
    ) -> Result<(), PlanError> {
        check_hash(growth.limits, &child.cid)?;
        let offset = start + child.offset;
        if let Some(data) = cid::identity(&child.cid) {
            let piece = Piece {
                cid: child.cid,
                offset,
                len: child.size,
                kind: PieceKind::Node,
                depth,
            };
            let block = Bytes::copy_from_slice(data);
            return self.expand_piece(piece, &block, growth).map(drop);
        }
        if child.size == 0 {
            self.add_empty(&child.cid, growth.index);
            return Ok(());
        }
        if self.proved.contains(offset, offset + child.size) {
            return Ok(());
        }
        let piece = Piece {
            cid: child.cid,
            offset,
            len: child.size,
            kind: expected_kind(child, growth.limits)?,
            depth,
        };
        self.insert(piece, growth.index);
        Ok(())
    }

    fn add_empty(&mut self, cid: &Cid, index: &mut Index) {
        if !leaf::is_known_empty(cid) && !self.empties.contains(cid) {
            index.insert(cid.hash(), Spot::Empty(self.id));
            self.empties.push(*cid);
        }
    }

    fn insert(&mut self, piece: Piece, index: &mut Index) {
        index.insert(piece.cid.hash(), Spot::Bytes(self.id, piece.offset));
        self.pieces.insert(piece.offset, piece);
        self.openings += 1;
    }

    fn forget(&mut self, offset: u64, index: &mut Index) -> Option<Piece> {
        let piece = self.pieces.remove(&offset)?;
        index.remove(piece.cid.hash(), Spot::Bytes(self.id, offset));
        Some(piece)
    }

    /// Takes everything that waits out of the index: the plan is given up.
    pub fn withdraw(&mut self, index: &mut Index) {
        let offsets: Vec<u64> = self.pieces.keys().copied().collect();
        for offset in offsets {
            self.forget(offset, index);
        }
        for empty in self.empties.drain(..) {
            index.remove(empty.hash(), Spot::Empty(self.id));
        }
    }
}

/// The block as a node of a file.
fn file_node(cid: &Cid, block: &Bytes) -> Result<FileNode, PlanError> {
    let node = unixfs::node(cid.codec(), block).map_err(|source| PlanError::Malformed {
        cid: cid::text(cid),
        source,
    })?;
    let what = match node {
        Node::File(file) => return Ok(file),
        Node::Directory(_) | Node::HamtShard(_) => "directory",
        Node::Symlink(_) => "symbolic link",
        Node::Opaque { codec } => codec::name(codec).unwrap_or("block of an unknown codec"),
    };
    Err(PlanError::ChildKind {
        cid: cid::text(cid),
        what,
    })
}

fn check_size(cid: &Cid, expected: u64, actual: u64) -> Result<(), PlanError> {
    if actual == expected {
        return Ok(());
    }
    Err(PlanError::SizeLie {
        cid: cid::text(cid),
        expected,
        actual,
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
    let is_leaf = child.size <= limits.max_block && leaf::is_canonical(child.size, child.tsize);
    Ok(if is_leaf {
        PieceKind::Leaf
    } else {
        PieceKind::Node
    })
}
