//! What a DAG may not be.

use crate::content::hash::{HashError, HashPolicy};
use crate::content::links::LinksError;
use crate::content::unixfs::UnixFsError;
use crate::disk::DiskError;

/// Limits on what a DAG may be, from the configuration.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Hash functions that are accepted, at every link.
    pub hashes: HashPolicy,
    /// Most bytes of all files together.
    pub max_size: Option<u64>,
    /// Largest block, in bytes.
    pub max_block: u64,
    /// Deepest tree, of directories or of the blocks of one file.
    pub max_depth: u32,
    /// Most entries of all directories together.
    pub max_entries: u64,
}

/// A DAG that cannot be what it says, or may not be saved here.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A block that is what its CID says and still not sound.
    #[error("block {cid} is malformed")]
    Malformed {
        /// The block.
        cid: String,
        /// Why.
        source: UnixFsError,
    },
    /// The same of a block whose links are followed.
    #[error("block {cid} is malformed")]
    Links {
        /// The block.
        cid: String,
        /// Why.
        source: LinksError,
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
    /// More bytes than the limit.
    #[error("the content is {size} bytes long and max_size allows {limit}")]
    TooLarge {
        /// Bytes known so far.
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
    /// More entries than the limit.
    #[error("the tree has more entries than max_entries allows ({limit})")]
    TooManyEntries {
        /// The limit.
        limit: u64,
    },
    /// A name that must not, or cannot, be written to this disk.
    #[error("the name {name:?} in the directory {dir:?} cannot be saved here")]
    Name {
        /// The name, escaped where it is not text.
        name: String,
        /// Path of its directory under the root.
        dir: String,
        /// Why.
        source: DiskError,
    },
}

impl PlanError {
    /// Whether the user may want to go on under another limit, with what is proved by then.
    pub fn may_be_allowed(&self) -> bool {
        matches!(
            self,
            Self::Hash { .. } | Self::TooLarge { .. } | Self::BlockTooLarge { .. }
        )
    }
}
