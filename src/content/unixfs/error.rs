//! What can be wrong with a block that should be UnixFS, and what that says about the content.

use crate::content::dagpb::DagPbError;
use crate::content::unixfs::directory::{MAX_ENTRIES, NameFlaw};
use crate::content::unixfs::hamt::HamtError;
use crate::content::wire::WireError;

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
    /// A link of a directory without a name.
    #[error("entry {index} of the directory has no name")]
    NoName {
        /// Index of the link.
        index: usize,
    },
    /// A name that occurs again.
    #[error("the directory has the name {name:?} twice")]
    DuplicateName {
        /// The name, as text and cut short.
        name: String,
    },
    /// A name that could lead elsewhere than into its directory.
    #[error("the name {name:?} {flaw}")]
    UnsafeName {
        /// The name, as text and cut short.
        name: String,
        /// What is wrong with it.
        flaw: NameFlaw,
    },
    /// More links than a directory in one block may have.
    #[error("a directory of {count} entries in one block (at most {MAX_ENTRIES})")]
    TooManyEntries {
        /// Number of links.
        count: usize,
    },
    /// A shard that is none, or that stands in the wrong place.
    #[error("malformed shard of a directory")]
    Hamt(#[from] HamtError),
}

/// What an error says about the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No reader could make sense of it.
    Malformed,
    /// Well-formed, but it must not reach a disk.
    Unsafe,
    /// Well-formed, but beyond a limit of ours.
    TooLarge,
}

impl UnixFsError {
    /// What it says about the content.
    pub fn fault(&self) -> Fault {
        match self {
            UnixFsError::UnsafeName { .. } => Fault::Unsafe,
            UnixFsError::TooManyEntries { .. } => Fault::TooLarge,
            _ => Fault::Malformed,
        }
    }
}
