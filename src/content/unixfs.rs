//! UnixFS: what a block means as a file, a directory, a shard of one, or a symlink.
//!
//! A [`Node`] has been held against every rule that one block can show. What takes two blocks is
//! asked for by name: that a child is as large as its parent says is [`child`]'s business, that a
//! shard holds the names that belong where it stands is [`ShardNode::place`]'s.
//!
//! Source: the UnixFS specification of ipfs/specs.

mod directory;
mod error;
mod file;
pub mod hamt;
mod message;

use bytes::Bytes;

use crate::content::cid::codec;
use crate::content::dagpb::{self, PbNode};

pub use crate::content::unixfs::directory::{DirNode, Entry, MAX_ENTRIES, NameFlaw};
pub use crate::content::unixfs::error::{Fault, UnixFsError};
pub use crate::content::unixfs::file::{Child, FileNode, child};
pub use crate::content::unixfs::hamt::ShardNode;
pub use crate::content::unixfs::message::{Kind, Mtime, UnixFs, decode};

/// What a block is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A file or a part of one.
    File(FileNode),
    /// A directory in one block.
    Directory(DirNode),
    /// A sharded directory, or a shard of one.
    HamtShard(ShardNode),
    /// A symbolic link.
    Symlink(SymlinkNode),
    /// A block of another codec: a file of one block, saved as it is.
    Opaque {
        /// The codec.
        codec: u64,
    },
}

/// A symbolic link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SymlinkNode {
    /// The target, any bytes.
    pub target: Bytes,
    /// Permission bits (at most `0o7777`).
    pub mode: Option<u32>,
    /// Time of last modification.
    pub mtime: Option<Mtime>,
}

/// Says what a block is, reading it as `codec`: that of the link that led to it.
///
/// # Errors
/// [`UnixFsError`] if it is dag-pb but not well-formed UnixFS; [`UnixFsError::fault`] tells names
/// that must not reach a disk and blocks that are too large from blocks that are malformed.
pub fn node(codec: u64, block: &Bytes) -> Result<Node, UnixFsError> {
    let node = read(codec, block)?;
    match &node {
        Node::Directory(directory) => directory.check_names()?,
        Node::HamtShard(shard) => shard.check_names()?,
        _ => {}
    }
    Ok(node)
}

/// As [`node`], but the names of directories may be any bytes: enough for looking one up, never
/// for writing them anywhere.
pub(super) fn read(codec: u64, block: &Bytes) -> Result<Node, UnixFsError> {
    match codec {
        codec::RAW => Ok(Node::File(file::raw_leaf(block))),
        codec::DAG_PB => dag_pb_node(block),
        codec => Ok(Node::Opaque { codec }),
    }
}

fn dag_pb_node(block: &Bytes) -> Result<Node, UnixFsError> {
    let PbNode { links, data } = dagpb::decode(block)?;
    let message = data.ok_or(UnixFsError::NoData)?;
    let unixfs = decode(&block[message.clone()])?;
    // Places in the message become places in the block.
    let inline = match &unixfs.data {
        Some(data) => message.start + data.start..message.start + data.end,
        None => 0..0,
    };
    match unixfs.kind {
        Kind::File | Kind::Raw => file::read(unixfs, inline, links).map(Node::File),
        Kind::Directory => directory::read(&unixfs, links).map(Node::Directory),
        Kind::HamtShard => hamt::read(&unixfs, &block[inline], links).map(Node::HamtShard),
        Kind::Symlink if !links.is_empty() => Err(UnixFsError::SymlinkWithLinks),
        Kind::Symlink => Ok(Node::Symlink(SymlinkNode {
            target: block.slice(inline),
            mode: unixfs.permissions(),
            mtime: unixfs.mtime,
        })),
        Kind::Metadata => Err(UnixFsError::Metadata),
    }
}

#[cfg(test)]
pub(super) mod sample;
#[cfg(test)]
mod tests;
