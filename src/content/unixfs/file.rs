//! Files: inline bytes, then children, and sizes that add up.

use std::ops::Range;

use bytes::Bytes;

use crate::content::cid::{Cid, codec};
use crate::content::dagpb::PbLink;
use crate::content::unixfs::message::{Mtime, UnixFs};
use crate::content::unixfs::{Node, UnixFsError, node};

/// A link from a file to more of its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Child {
    /// The block; its codec is raw or dag-pb.
    pub cid: Cid,
    /// Where its bytes start, counted from the start of the node that links to it.
    pub offset: u64,
    /// Bytes of the file at and below it.
    pub size: u64,
    /// Bytes of the blocks at and below it, as the writer claims.
    pub tsize: Option<u64>,
}

/// A file, or an inner node or a leaf of one: first the inline bytes, then the children in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileNode {
    /// Bytes of the file at and below this node.
    pub size: u64,
    /// Where this block holds file bytes itself.
    pub inline: Range<usize>,
    /// The rest of the bytes.
    pub children: Vec<Child>,
    /// Permission bits (at most `0o7777`).
    pub mode: Option<u32>,
    /// Time of last modification.
    pub mtime: Option<Mtime>,
}

/// Reads the block of a child and holds it against what its parent says.
///
/// # Errors
/// [`UnixFsError`] if it is malformed, not a file, or of another size.
pub fn child(expected: &Child, block: &Bytes) -> Result<FileNode, UnixFsError> {
    let Node::File(file) = node(expected.cid.codec(), block)? else {
        return Err(UnixFsError::PartKind);
    };
    if file.size != expected.size {
        return Err(UnixFsError::PartSize {
            expected: expected.size,
            actual: file.size,
        });
    }
    Ok(file)
}

pub(super) fn raw_leaf(block: &Bytes) -> FileNode {
    FileNode {
        size: block.len() as u64,
        inline: 0..block.len(),
        children: Vec::new(),
        mode: None,
        mtime: None,
    }
}

pub(super) fn read(
    unixfs: UnixFs,
    inline: Range<usize>,
    links: Vec<PbLink>,
) -> Result<FileNode, UnixFsError> {
    if links.len() != unixfs.blocksizes.len() {
        return Err(UnixFsError::SizeCount {
            links: links.len(),
            sizes: unixfs.blocksizes.len(),
        });
    }
    let mode = unixfs.permissions();
    let mut children = Vec::with_capacity(links.len());
    let mut sum = inline.len() as u64;
    for (link, size) in links.into_iter().zip(unixfs.blocksizes) {
        check_part(&link, children.len())?;
        children.push(Child {
            cid: link.cid,
            offset: sum,
            size,
            tsize: link.tsize,
        });
        sum = sum.checked_add(size).ok_or(UnixFsError::SizeOverflow)?;
    }
    // Writers must give the size. Where one did not, the parts say it, and every reader that
    // ignores the field gets the same bytes.
    if let Some(claimed) = unixfs.filesize
        && claimed != sum
    {
        return Err(UnixFsError::FileSize { claimed, sum });
    }
    Ok(FileNode {
        size: sum,
        inline,
        children,
        mode,
        mtime: unixfs.mtime,
    })
}

fn check_part(link: &PbLink, index: usize) -> Result<(), UnixFsError> {
    if link.name.as_ref().is_some_and(|name| !name.is_empty()) {
        return Err(UnixFsError::NamedPart { index });
    }
    match link.cid.codec() {
        codec::RAW | codec::DAG_PB => Ok(()),
        codec => Err(UnixFsError::PartCodec { index, codec }),
    }
}
