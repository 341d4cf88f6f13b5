//! UnixFS: what a block means as a file, a directory or a symlink.
//!
//! A [`Node`] of kind file has been held against every rule that one block can show; the last
//! one, that a child is as large as its parent says, is [`child`]'s. Directories are recognised
//! here and read elsewhere. Invariant: the sizes of a [`FileNode`] add up without overflow.
//!
//! Source: the UnixFS specification of ipfs/specs.

use std::ops::Range;

use bytes::Bytes;

use crate::content::cid::{Cid, codec};
use crate::content::dagpb::{self, DagPbError, PbLink, PbNode};
use crate::content::wire::{Field, Reader, Value, WireError};

/// The permission bits of a mode; the rest is not for us.
const MODE_BITS: u32 = 0o7777;

/// The type field of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Bytes of a file, as old and trickle importers mark their leaves; read like `File`.
    Raw,
    /// A directory in one block.
    Directory,
    /// A file, or an inner node or a leaf of one.
    File,
    /// A wrapper that nothing writes any more.
    Metadata,
    /// A symbolic link.
    Symlink,
    /// A directory, or a part of one, that is sharded by the hashes of its names.
    HamtShard,
}

impl Kind {
    fn from_code(code: u64) -> Option<Self> {
        Some(match code {
            0 => Kind::Raw,
            1 => Kind::Directory,
            2 => Kind::File,
            3 => Kind::Metadata,
            4 => Kind::Symlink,
            5 => Kind::HamtShard,
            _ => return None,
        })
    }
}

/// A time of last modification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mtime {
    /// Seconds since 1970-01-01 UTC, negative before.
    pub seconds: i64,
    /// Nanoseconds after that, below 1,000,000,000.
    pub nanos: u32,
}

/// A message, as it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixFs {
    /// What the block is.
    pub kind: Kind,
    /// Where the data is in the message: file bytes, the target of a symlink, the bit field of a
    /// shard.
    pub data: Option<Range<usize>>,
    /// Bytes of the file at and below this node, as the writer claims.
    pub filesize: Option<u64>,
    /// Bytes of the file below each link.
    pub blocksizes: Vec<u64>,
    /// Multihash code of the function that shards names.
    pub hash_type: Option<u64>,
    /// Width of a shard.
    pub fanout: Option<u64>,
    /// Mode bits as written.
    pub mode: Option<u32>,
    /// Time of last modification.
    pub mtime: Option<Mtime>,
}

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

/// What a block is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node {
    /// A file or a part of one.
    File(FileNode),
    /// A directory in one block.
    Directory,
    /// A sharded directory, or a shard of one.
    HamtShard,
    /// A symbolic link.
    Symlink {
        /// The target, any bytes.
        target: Bytes,
    },
    /// A block of another codec: a file of one block.
    Opaque {
        /// The codec.
        codec: u64,
    },
}

/// Why a block is not UnixFS, or not a file that can be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnixFsError {
    /// Not dag-pb.
    #[error("malformed dag-pb block")]
    DagPb(#[from] DagPbError),
    /// Not protobuf.
    #[error("malformed UnixFS message")]
    Wire(#[from] WireError),
    /// dag-pb without data.
    #[error("a dag-pb block without UnixFS data")]
    NoData,
    /// A message without type.
    #[error("a UnixFS message without type")]
    NoType,
    /// A type that does not exist.
    #[error("{0} is not a UnixFS type")]
    UnknownType(u64),
    /// A field that may occur once occurs again.
    #[error("UnixFS field {0} occurs twice")]
    Repeated(u64),
    /// A number that does not fit its field.
    #[error("UnixFS field {0} is out of range")]
    OutOfRange(u64),
    /// An mtime without seconds, or whose nanoseconds are not in 1..=999,999,999.
    #[error("malformed mtime")]
    Mtime,
    /// The deprecated type.
    #[error("the UnixFS type Metadata is not supported")]
    Metadata,
    /// A symlink with links.
    #[error("a symlink with links")]
    SymlinkWithLinks,
    /// Not one size for each link.
    #[error("{links} links but {sizes} block sizes")]
    SizeCount {
        /// Number of links.
        links: usize,
        /// Number of block sizes.
        sizes: usize,
    },
    /// Sizes beyond 64 bits.
    #[error("the block sizes add up to more than 64 bits")]
    SizeOverflow,
    /// The claimed size is not the sum of the parts.
    #[error("the file size is given as {claimed} but its parts add up to {sum}")]
    FileSize {
        /// The filesize field.
        claimed: u64,
        /// Inline bytes and block sizes.
        sum: u64,
    },
    /// A part of a file has a name.
    #[error("part {index} of the file has a name")]
    NamedPart {
        /// Index of the link.
        index: usize,
    },
    /// A part of a file of a codec that holds no file bytes.
    #[error("part {index} of the file has codec {codec:#x}")]
    PartCodec {
        /// Index of the link.
        index: usize,
        /// Its codec.
        codec: u64,
    },
    /// A part of a file that is a directory or a symlink.
    #[error("part of a file is not a file")]
    PartKind,
    /// A part of a file that is not as large as its parent says.
    #[error("part of a file has {actual} bytes, its parent says {expected}")]
    PartSize {
        /// The parent's block size.
        expected: u64,
        /// What the part holds.
        actual: u64,
    },
}

/// Says what a block is, reading it as `codec`: that of the link that led to it.
///
/// # Errors
/// [`UnixFsError`] if it is dag-pb but not well-formed UnixFS.
pub fn node(codec: u64, block: &Bytes) -> Result<Node, UnixFsError> {
    match codec {
        codec::RAW => Ok(Node::File(raw_leaf(block))),
        codec::DAG_PB => dag_pb_node(block),
        codec => Ok(Node::Opaque { codec }),
    }
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

fn raw_leaf(block: &Bytes) -> FileNode {
    FileNode {
        size: block.len() as u64,
        inline: 0..block.len(),
        children: Vec::new(),
        mode: None,
        mtime: None,
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
        Kind::File | Kind::Raw => file_node(unixfs, inline, links).map(Node::File),
        Kind::Directory => Ok(Node::Directory),
        Kind::HamtShard => Ok(Node::HamtShard),
        Kind::Symlink if !links.is_empty() => Err(UnixFsError::SymlinkWithLinks),
        Kind::Symlink => Ok(Node::Symlink {
            target: block.slice(inline),
        }),
        Kind::Metadata => Err(UnixFsError::Metadata),
    }
}

fn file_node(
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
        mode: unixfs.mode.map(|mode| mode & MODE_BITS),
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

/// Decodes a UnixFS message: the data of a dag-pb block.
///
/// Unknown fields are skipped, as protobuf has it.
///
/// # Errors
/// [`UnixFsError`] if a field is malformed or the type is missing.
pub fn decode(message: &[u8]) -> Result<UnixFs, UnixFsError> {
    let mut fields = Fields::default();
    let mut reader = Reader::new(message);
    while let Some(field) = reader.field()? {
        fields.take(message, field)?;
    }
    let kind = fields.kind.ok_or(UnixFsError::NoType)?;
    Ok(UnixFs {
        kind: Kind::from_code(kind).ok_or(UnixFsError::UnknownType(kind))?,
        data: fields.data,
        filesize: fields.filesize,
        blocksizes: fields.blocksizes,
        hash_type: fields.hash_type,
        fanout: fields.fanout,
        mode: fields.mode,
        mtime: fields.mtime,
    })
}

/// A message while it is read: in protobuf the type may come last.
#[derive(Default)]
struct Fields {
    kind: Option<u64>,
    data: Option<Range<usize>>,
    filesize: Option<u64>,
    blocksizes: Vec<u64>,
    hash_type: Option<u64>,
    fanout: Option<u64>,
    mode: Option<u32>,
    mtime: Option<Mtime>,
}

impl Fields {
    fn take(&mut self, message: &[u8], field: Field) -> Result<(), UnixFsError> {
        let number = field.number;
        match number {
            1 => once(number, &mut self.kind, field.varint()?),
            2 => once(number, &mut self.data, field.bytes()?),
            3 => once(number, &mut self.filesize, field.varint()?),
            4 => self.take_blocksizes(message, field),
            5 => once(number, &mut self.hash_type, field.varint()?),
            6 => once(number, &mut self.fanout, field.varint()?),
            7 => {
                let mode = u32::try_from(field.varint()?);
                let mode = mode.map_err(|_| UnixFsError::OutOfRange(number))?;
                once(number, &mut self.mode, mode)
            }
            8 => {
                let mtime = decode_mtime(message, field.bytes()?)?;
                once(number, &mut self.mtime, mtime)
            }
            _ => Ok(()),
        }
    }

    /// One size, or many in the packed form.
    fn take_blocksizes(&mut self, message: &[u8], field: Field) -> Result<(), UnixFsError> {
        if let Value::Bytes(range) = field.value {
            let mut packed = Reader::within(message, range);
            while !packed.is_empty() {
                self.blocksizes.push(packed.varint()?);
            }
        } else {
            self.blocksizes.push(field.varint()?);
        }
        Ok(())
    }
}

fn once<T>(number: u64, slot: &mut Option<T>, value: T) -> Result<(), UnixFsError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(UnixFsError::Repeated(number)),
    }
}

fn decode_mtime(message: &[u8], range: Range<usize>) -> Result<Mtime, UnixFsError> {
    let (mut seconds, mut nanos) = (None, None);
    let mut reader = Reader::within(message, range);
    while let Some(field) = reader.field()? {
        match field.number {
            // An int64 is written as the varint of its two's complement.
            1 => once(1, &mut seconds, field.varint()?.cast_signed())?,
            2 => once(2, &mut nanos, field.fixed32()?)?,
            _ => {}
        }
    }
    if nanos.is_some_and(|nanos| !(1..=999_999_999).contains(&nanos)) {
        return Err(UnixFsError::Mtime);
    }
    Ok(Mtime {
        seconds: seconds.ok_or(UnixFsError::Mtime)?,
        nanos: nanos.unwrap_or(0),
    })
}

#[cfg(test)]
mod tests;
