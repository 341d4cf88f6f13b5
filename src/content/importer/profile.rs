//! Importer profiles: the settings that a CID depends on beside the bytes, under the names that
//! the ecosystem has for them.
//!
//! Invariant: a [`Profile`] can be imported with: chunks are neither empty nor too large, nodes
//! have room for at least two links, and the hash function is known.
//!
//! Source: IPIP-0499 with its table of what implementations do; `config/profile.go` of Kubo 0.42.

use crate::content::cid::{Cid, Version, codec};
use crate::content::hash::{BLAKE3, Hasher, IDENTITY, SHA2_256};
use crate::content::importer::chunker::Chunker;
use crate::content::importer::encode::Naming;
use crate::content::leaf::LeafForm;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Links of a node where importers have the old default: 8 KiB of them, roughly.
const OLD_WIDTH: usize = 174;
/// Links of a node of newer importers.
const NEW_WIDTH: usize = 1024;

/// What Kubo calls `rabin`: an average of 256 KiB.
const RABIN: Chunker = Chunker::Rabin {
    min: 256 * KIB / 3,
    avg: 256 * KIB,
    max: 384 * KIB,
};

const BLAKE2B_256: u64 = 0xb220;

/// How nodes are put above leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// All leaves at one depth; the root of one leaf is that leaf.
    Balanced {
        /// Most links of a node.
        width: usize,
    },
    /// Leaves of a node first, then trees of growing depth; never without a node.
    Trickle {
        /// Most leaves of a node.
        width: usize,
    },
    /// No nodes: one leaf, or no root.
    Single,
}

/// When a directory is sharded, and into how many buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharding {
    /// When names and CIDs together have more bytes than this.
    Links(usize),
    /// When the block would have more bytes than this.
    Block(usize),
    /// When there are more entries than this.
    Entries(usize),
}

/// The settings of an importer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile {
    name: &'static str,
    chunker: Chunker,
    layout: Layout,
    raw_leaves: bool,
    naming: Naming,
    sharding: Sharding,
    fanout: u64,
}

/// `ipfs add` of Kubo, without options and since 2015; js-ipfs.
pub const UNIXFS_V0_2015: Profile = Profile {
    name: "unixfs-v0-2015",
    chunker: Chunker::Size(256 * KIB),
    layout: Layout::Balanced { width: OLD_WIDTH },
    raw_leaves: false,
    naming: Naming {
        version: Version::V0,
        hash: SHA2_256,
        inline: None,
    },
    sharding: Sharding::Links(256 * KIB),
    fanout: 256,
};

/// What IPIP-0499 recommends.
pub const UNIXFS_V1_2025: Profile = Profile {
    name: "unixfs-v1-2025",
    chunker: Chunker::Size(MIB),
    layout: Layout::Balanced { width: NEW_WIDTH },
    raw_leaves: true,
    naming: Naming {
        version: Version::V1,
        ..UNIXFS_V0_2015.naming
    },
    sharding: Sharding::Block(256 * KIB),
    fanout: 256,
};

/// `ipfs add --cid-version=1`.
pub const KUBO_CID_V1: Profile = Profile {
    name: "kubo-cid-v1",
    raw_leaves: true,
    naming: UNIXFS_V1_2025.naming,
    ..UNIXFS_V0_2015
};

/// `ipfs add --cid-version=1 --raw-leaves=false`.
pub const KUBO_CID_V1_DAG_PB: Profile = Profile {
    name: "kubo-cid-v1-dag-pb",
    raw_leaves: false,
    ..KUBO_CID_V1
};

/// `ipfs add --raw-leaves`.
pub const KUBO_RAW_LEAVES: Profile = Profile {
    name: "kubo-raw-leaves",
    raw_leaves: true,
    ..UNIXFS_V0_2015
};

/// The profile `test-cid-v1` of Kubo 0.32 to 0.39.
pub const TEST_CID_V1: Profile = Profile {
    name: "test-cid-v1",
    chunker: Chunker::Size(MIB),
    ..KUBO_CID_V1
};

/// The profile `test-cid-v1-wide` of Kubo 0.32 to 0.39.
pub const TEST_CID_V1_WIDE: Profile = Profile {
    name: "test-cid-v1-wide",
    sharding: Sharding::Links(MIB),
    fanout: 1024,
    ..UNIXFS_V1_2025
};

/// Helia, the successor of js-ipfs.
pub const HELIA: Profile = Profile {
    name: "helia",
    sharding: Sharding::Links(256 * KIB),
    ..UNIXFS_V1_2025
};

/// Storacha, once web3.storage: w3up and ipfs-car.
pub const STORACHA: Profile = Profile {
    name: "storacha",
    sharding: Sharding::Entries(1000),
    ..UNIXFS_V1_2025
};

/// Lotus, the Filecoin node: BLAKE2b, small blocks inside of their CIDs.
pub const LOTUS: Profile = Profile {
    name: "lotus",
    naming: Naming {
        version: Version::V1,
        hash: BLAKE2B_256,
        inline: Some(126),
    },
    sharding: Sharding::Links(256 * KIB),
    ..UNIXFS_V1_2025
};

/// `ipfs add --trickle`.
pub const KUBO_TRICKLE: Profile = Profile {
    name: "kubo-trickle",
    layout: Layout::Trickle { width: OLD_WIDTH },
    ..UNIXFS_V0_2015
};

/// `ipfs add --trickle --cid-version=1`.
pub const KUBO_TRICKLE_CID_V1: Profile = Profile {
    name: "kubo-trickle-cid-v1",
    layout: Layout::Trickle { width: OLD_WIDTH },
    ..KUBO_CID_V1
};

/// [`UNIXFS_V1_2025`] with `--trickle`.
pub const UNIXFS_V1_2025_TRICKLE: Profile = Profile {
    name: "unixfs-v1-2025-trickle",
    layout: Layout::Trickle { width: NEW_WIDTH },
    ..UNIXFS_V1_2025
};

/// `ipfs add --chunker=rabin`.
pub const KUBO_RABIN: Profile = Profile {
    name: "kubo-rabin",
    chunker: RABIN,
    ..UNIXFS_V0_2015
};

/// `ipfs add --chunker=rabin --cid-version=1`.
pub const KUBO_RABIN_CID_V1: Profile = Profile {
    name: "kubo-rabin-cid-v1",
    chunker: RABIN,
    ..KUBO_CID_V1
};

/// `ipfs add --chunker=buzhash`.
pub const KUBO_BUZHASH: Profile = Profile {
    name: "kubo-buzhash",
    chunker: Chunker::Buzhash,
    ..UNIXFS_V0_2015
};

/// `ipfs add --chunker=buzhash --cid-version=1`.
pub const KUBO_BUZHASH_CID_V1: Profile = Profile {
    name: "kubo-buzhash-cid-v1",
    chunker: Chunker::Buzhash,
    ..KUBO_CID_V1
};

/// `ipfs add --hash=blake3`.
pub const KUBO_BLAKE3: Profile = Profile {
    name: "kubo-blake3",
    naming: Naming {
        hash: BLAKE3,
        ..KUBO_CID_V1.naming
    },
    ..KUBO_CID_V1
};

/// [`UNIXFS_V1_2025`] with `--hash=blake3`.
pub const UNIXFS_V1_2025_BLAKE3: Profile = Profile {
    name: "unixfs-v1-2025-blake3",
    naming: KUBO_BLAKE3.naming,
    ..UNIXFS_V1_2025
};

/// `ipfs block put`: the whole file is one raw block, of at most 2 MiB.
pub const RAW_BLOCK: Profile = Profile {
    name: "raw-block",
    chunker: Chunker::Size(Chunker::MAX),
    layout: Layout::Single,
    ..UNIXFS_V1_2025
};

/// Other names of profiles that are here: those that Kubo has, and what the old js-ipfs did.
const ALIASES: [(&str, Profile); 3] = [
    ("legacy-cid-v0", UNIXFS_V0_2015),
    ("kubo", UNIXFS_V0_2015),
    ("js-ipfs", UNIXFS_V0_2015),
];

/// So many of [`Profile::ALL`] are tried before all others.
const USUAL: usize = 5;

impl Profile {
    /// Every named profile, the commonest first.
    pub const ALL: &'static [Profile] = &[
        UNIXFS_V0_2015,
        KUBO_CID_V1,
        UNIXFS_V1_2025,
        TEST_CID_V1,
        RAW_BLOCK,
        KUBO_RAW_LEAVES,
        KUBO_CID_V1_DAG_PB,
        TEST_CID_V1_WIDE,
        HELIA,
        STORACHA,
        LOTUS,
        KUBO_BLAKE3,
        UNIXFS_V1_2025_BLAKE3,
        KUBO_TRICKLE,
        KUBO_TRICKLE_CID_V1,
        UNIXFS_V1_2025_TRICKLE,
        KUBO_RABIN,
        KUBO_RABIN_CID_V1,
        KUBO_BUZHASH,
        KUBO_BUZHASH_CID_V1,
    ];

    /// The profile of this name.
    pub fn named(name: &str) -> Option<Profile> {
        let alias = || ALIASES.into_iter().find(|(alias, _)| *alias == name);
        let exact = Self::ALL.iter().find(|profile| profile.name == name);
        exact.copied().or_else(|| alias().map(|(_, found)| found))
    }

    /// The profiles under which a file can have this CID, whatever hash function it has: each
    /// makes another DAG. None if the CID is not that of a file.
    pub fn candidates(cid: &Cid) -> Vec<Profile> {
        let mut found: Vec<Profile> = Vec::new();
        for profile in Self::ALL {
            let Some(profile) = profile.with_hash_of(cid) else {
                continue;
            };
            let known = found.iter().any(|known| known.makes_files_as(&profile));
            if !known && profile.can_name(cid) {
                found.push(profile);
            }
        }
        found
    }

    /// The [`candidates`](Self::candidates): those by which most content was made, and the
    /// others, which cost many times as much to try.
    pub fn tiers(cid: &Cid) -> [Vec<Profile>; 2] {
        let fits = |profile: &&Profile| {
            cid.codec() == codec::RAW || profile.naming.version == cid.version()
        };
        let is_usual = |profile: &Profile| {
            let mut usual = Self::ALL[..USUAL].iter().filter(fits);
            fits(&profile) && usual.any(|usual| usual.shape() == profile.shape())
        };
        let (usual, rest) = Self::candidates(cid).into_iter().partition(is_usual);
        [usual, rest]
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Where it cuts files.
    pub fn chunker(&self) -> Chunker {
        self.chunker
    }

    /// How it puts nodes above leaves.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// When it shards directories.
    pub fn sharding(&self) -> Sharding {
        self.sharding
    }

    /// The same but for the chunks; `None` if they could be empty or larger than any block.
    pub fn with_chunker(self, chunker: Chunker) -> Option<Self> {
        chunker.is_sound().then_some(Self { chunker, ..self })
    }

    /// The same but for the layout; `None` if its nodes have room for less than two links.
    pub fn with_layout(self, layout: Layout) -> Option<Self> {
        let sound = match layout {
            Layout::Balanced { width } | Layout::Trickle { width } => width >= 2,
            Layout::Single => true,
        };
        sound.then_some(Self { layout, ..self })
    }

    /// The same but for when directories are sharded.
    pub fn with_sharding(self, sharding: Sharding) -> Self {
        Self { sharding, ..self }
    }

    /// The same but for the hash function; `None` if fetchd does not compute it.
    pub fn with_hash(self, code: u64) -> Option<Self> {
        Hasher::new(code)?;
        let naming = Naming {
            hash: code,
            ..self.naming
        };
        Some(Self { naming, ..self })
    }

    pub(super) fn naming(&self) -> Naming {
        self.naming
    }

    pub(super) fn fanout(&self) -> u64 {
        self.fanout
    }

    pub(super) fn leaf_form(&self) -> LeafForm {
        match (self.raw_leaves, self.layout) {
            (true, _) | (_, Layout::Single) => LeafForm::Raw,
            (false, Layout::Balanced { .. }) => LeafForm::DagPbFile,
            (false, Layout::Trickle { .. }) => LeafForm::DagPbRaw,
        }
    }

    /// Identity is left alone: which profiles inline blocks they know themselves.
    fn with_hash_of(&self, cid: &Cid) -> Option<Self> {
        match cid.hash().code() {
            IDENTITY => Some(*self),
            code => self.with_hash(code),
        }
    }

    fn can_name(&self, cid: &Cid) -> bool {
        let is_leaf = self.leaf_form() == LeafForm::Raw;
        let has_nodes = self.layout != Layout::Single;
        let is_lone_leaf = !matches!(self.layout, Layout::Trickle { .. });
        let inlines = self.naming.inline.is_some();
        let hash = cid.hash().code() != IDENTITY || inlines;
        match cid.codec() {
            codec::RAW => hash && is_leaf && is_lone_leaf,
            codec::DAG_PB => hash && has_nodes,
            _ => false,
        }
    }

    fn makes_files_as(&self, other: &Self) -> bool {
        self.shape() == other.shape() && self.naming == other.naming
    }

    /// All that shapes the DAG of a file, but for its hash function.
    fn shape(&self) -> (Chunker, Layout, LeafForm, Option<usize>) {
        let inline = self.naming.inline;
        (self.chunker, self.layout, self.leaf_form(), inline)
    }
}
