//! Parts of a file, as its links cut it.

use bytes::Bytes;

use crate::content::cid::Cid;
use crate::engine::plan::EntryId;

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
    pub(super) depth: u32,
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
    /// The file.
    pub entry: EntryId,
    /// Where they belong in it.
    pub offset: u64,
    /// The bytes.
    pub data: Bytes,
}

/// The leaves from the first piece on that follow each other without a gap.
pub fn adjoining<'a>(pieces: impl Iterator<Item = &'a Piece>) -> impl Iterator<Item = &'a Piece> {
    let mut end = None;
    pieces.take_while(move |piece| {
        let adjoins = end.is_none_or(|end| end == piece.offset);
        end = Some(piece.offset + piece.len);
        adjoins && piece.kind == PieceKind::Leaf
    })
}
