//! Builds UnixFS DAGs from seeded bytes, in every shape that importers write, and hostile ones.
//!
//! ```ignore
//! let file = Recipe::default().chunk(1000).width(4).leaf(Leaf::File).build(10_500);
//! let tree = Dir::new().entry("a.bin", &file).entry("link", &Dag::symlink("a.bin")).build();
//! let large = Dir::new().entries((0..5000).map(|n| (format!("{n}"), &file))).sharded(256).build();
//! ```

mod car;
mod directory;
mod file;
pub mod hostile;

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use sha2::Digest as _;

use super::pb::{self, Cid, Multihash, Node, UnixFs, kind};

pub use car::{car_header, car_section};
pub use directory::{Dir, bucket, prefix};
pub use file::{Layout, Leaf, Recipe};

/// CID version of dag-pb nodes; raw leaves are always v1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V0,
    V1,
}

/// Hash function of every block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hash {
    Sha256,
    Blake3,
}

/// Blocks by multihash, with the CID that names them.
type Store = BTreeMap<Vec<u8>, (Cid, Bytes)>;

/// A DAG with all its blocks, in depth-first order, and the bytes of the file that it is.
#[derive(Debug, Clone)]
pub struct Dag {
    pub root: Cid,
    pub blocks: Vec<(Cid, Bytes)>,
    pub data: Vec<u8>,
}

impl Dag {
    fn assemble(root: Cid, store: Store, data: Vec<u8>) -> Self {
        let mut blocks = Vec::new();
        let mut seen = HashSet::new();
        let mut stack = vec![root];
        while let Some(cid) = stack.pop() {
            let key = cid.hash().to_bytes();
            let Some((_, block)) = store.get(&key) else {
                continue;
            };
            if seen.insert(key) {
                blocks.push((cid, block.clone()));
                stack.extend(
                    pb::links(&cid, block)
                        .into_iter()
                        .rev()
                        .map(|link| link.cid),
                );
            }
        }
        Self { root, blocks, data }
    }

    /// One raw block that is the whole file.
    pub fn single(data: &[u8]) -> Self {
        Recipe::default().chunk(data.len().max(1)).build_bytes(data)
    }

    /// A node over given blocks, for DAGs that no importer would write.
    pub fn of_node(node: &Node, parts: &[&Dag]) -> Self {
        Self::of_block(pb::DAG_PB, node.encode(), parts)
    }

    fn of_block(codec: u64, block: Vec<u8>, parts: &[&Dag]) -> Self {
        let root = cid_of(Version::V1, Hash::Sha256, codec, &block);
        let mut store: Store = parts
            .iter()
            .flat_map(|part| part.blocks.iter())
            .map(|(cid, block)| (cid.hash().to_bytes(), (*cid, block.clone())))
            .collect();
        store.insert(root.hash().to_bytes(), (root, block.into()));
        Self::assemble(root, store, Vec::new())
    }

    /// A plain directory, entries sorted by name.
    pub fn directory(entries: &[(&str, &Dag)]) -> Self {
        Dir::new().entries(entries.iter().copied()).build()
    }

    /// A symbolic link.
    pub fn symlink(target: &str) -> Self {
        Self::of_message(&UnixFs {
            kind: kind::SYMLINK,
            data: Some(target.into()),
            ..UnixFs::default()
        })
    }

    /// A node of nothing but a message.
    pub fn of_message(message: &UnixFs) -> Self {
        let node = Node {
            links: Vec::new(),
            data: Some(message.encode()),
        };
        Self::of_node(&node, &[])
    }

    /// A dag-cbor block: a list of links to these.
    pub fn dag_cbor(parts: &[&Dag]) -> Self {
        let links: Vec<Cid> = parts.iter().map(|part| part.root).collect();
        Self::of_block(pb::DAG_CBOR, pb::cbor_list(&links), parts)
    }

    /// The same file under a root that lies: `change` edits the root node and its UnixFS message,
    /// which are then hashed again, so that every hash is right and the structure is not.
    pub fn with_root(&self, change: impl FnOnce(&mut Node, &mut UnixFs)) -> Self {
        let mut node =
            Node::decode(self.block(&self.root).expect("root block")).expect("dag-pb root");
        let mut message =
            UnixFs::decode(node.data.as_deref().expect("UnixFS data")).expect("UnixFS");
        change(&mut node, &mut message);
        node.data = Some(message.encode());
        Self {
            data: self.data.clone(),
            ..Self::of_node(&node, &[self])
        }
    }

    pub fn block(&self, cid: &Cid) -> Option<&Bytes> {
        self.blocks
            .iter()
            .find(|(known, _)| known.hash() == cid.hash())
            .map(|(_, block)| block)
    }

    /// CIDs of the blocks without links, in file order, each once.
    pub fn leaves(&self) -> Vec<Cid> {
        self.blocks
            .iter()
            .filter(|(cid, block)| pb::links(cid, block).is_empty())
            .map(|(cid, _)| *cid)
            .collect()
    }

    /// Bytes of all blocks, each as often as it is linked to, as Kubo counts them.
    pub fn tsize(&self) -> u64 {
        let Some(block) = self.block(&self.root) else {
            return pb::identity(&self.root).map_or(0, |bytes| bytes.len() as u64);
        };
        let links = pb::links(&self.root, block).into_iter();
        // Hostile ones unfold to more than 64 bits.
        links
            .filter_map(|link| link.tsize)
            .fold(block.len() as u64, u64::saturating_add)
    }

    /// The DAG as a CAR, version 1, depth first.
    pub fn car(&self) -> Vec<u8> {
        let mut out = car_header(&[self.root]);
        for (cid, block) in &self.blocks {
            out.extend_from_slice(&car_section(cid, block));
        }
        out
    }

    /// `/ipfs/<root>`, as a user would type it.
    pub fn source(&self) -> String {
        self.root.to_string()
    }
}

/// The CID of a block.
pub fn cid_of(version: Version, hash: Hash, codec: u64, block: &[u8]) -> Cid {
    let multihash = match hash {
        Hash::Sha256 => Multihash::wrap(0x12, &sha2::Sha256::digest(block)),
        Hash::Blake3 => Multihash::wrap(0x1e, blake3::hash(block).as_bytes()),
    }
    .expect("32 bytes fit");
    if version == Version::V0 && codec == pb::DAG_PB && hash == Hash::Sha256 {
        return Cid::new_v0(multihash).expect("sha2-256 of 32 bytes");
    }
    Cid::new_v1(codec, multihash)
}

/// Reproducible bytes without structure (splitmix64).
pub fn seeded(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        out.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
    }
    out.truncate(len);
    out
}
