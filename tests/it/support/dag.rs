//! Builds UnixFS DAGs from seeded bytes, in every shape that importers write, and hostile ones.
//!
//! ```ignore
//! let dag = Recipe::default().chunk(1000).width(4).leaf(Leaf::File).build(10_500);
//! ```

use std::collections::{BTreeMap, HashSet};

use bytes::Bytes;
use sha2::Digest as _;

use super::pb::{self, Cid, Link, Multihash, Node, UnixFs, kind};

/// How file bytes sit in a leaf.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaf {
    /// A raw block.
    Raw,
    /// A dag-pb node of UnixFS type File.
    File,
    /// A dag-pb node of UnixFS type Raw.
    OldRaw,
}

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

/// How leaves become a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    Balanced,
    Trickle,
}

/// What an importer would be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    seed: u64,
    chunk: usize,
    width: usize,
    leaf: Leaf,
    version: Version,
    hash: Hash,
    layout: Layout,
    /// Leaves of at most this many bytes become identity CIDs.
    inline: Option<usize>,
}

impl Default for Recipe {
    /// Small chunks, so that small files have deep trees.
    fn default() -> Self {
        Self {
            seed: 1,
            chunk: 4096,
            width: 4,
            leaf: Leaf::Raw,
            version: Version::V1,
            hash: Hash::Sha256,
            layout: Layout::Balanced,
            inline: None,
        }
    }
}

impl Recipe {
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    pub fn chunk(self, chunk: usize) -> Self {
        Self { chunk, ..self }
    }

    pub fn width(self, width: usize) -> Self {
        Self { width, ..self }
    }

    pub fn leaf(self, leaf: Leaf) -> Self {
        Self { leaf, ..self }
    }

    pub fn version(self, version: Version) -> Self {
        Self { version, ..self }
    }

    pub fn hash(self, hash: Hash) -> Self {
        Self { hash, ..self }
    }

    pub fn layout(self, layout: Layout) -> Self {
        Self { layout, ..self }
    }

    pub fn inline(self, inline: usize) -> Self {
        Self {
            inline: Some(inline),
            ..self
        }
    }

    /// A file of seeded bytes.
    pub fn build(self, size: usize) -> Dag {
        self.build_bytes(&seeded(self.seed, size))
    }

    /// A file of these bytes.
    pub fn build_bytes(self, data: &[u8]) -> Dag {
        let mut builder = Builder {
            recipe: self,
            blocks: BTreeMap::new(),
        };
        let mut leaves: Vec<Sub> = data
            .chunks(self.chunk)
            .map(|chunk| builder.leaf(chunk))
            .collect();
        if leaves.is_empty() {
            leaves.push(builder.leaf(&[]));
        }
        let root = match self.layout {
            Layout::Balanced => builder.balanced(leaves),
            Layout::Trickle => builder.trickle(&mut leaves.into_iter().peekable(), None),
        };
        Dag::assemble(root.cid, builder.blocks, data.to_vec())
    }
}

/// A finished sub-tree: what its parent must say of it.
struct Sub {
    cid: Cid,
    size: u64,
    tsize: u64,
}

/// Blocks by multihash, with the CID that names them.
type Store = BTreeMap<Vec<u8>, (Cid, Bytes)>;

struct Builder {
    recipe: Recipe,
    blocks: Store,
}

impl Builder {
    fn leaf(&mut self, data: &[u8]) -> Sub {
        let size = data.len() as u64;
        if self.recipe.inline.is_some_and(|most| data.len() <= most) {
            return Sub {
                cid: pb::identity_cid(data),
                size,
                tsize: size,
            };
        }
        let (codec, block) = match self.recipe.leaf {
            Leaf::Raw => (pb::RAW, data.to_vec()),
            Leaf::File => (pb::DAG_PB, pb::leaf(kind::FILE, data)),
            Leaf::OldRaw => (pb::DAG_PB, pb::leaf(kind::RAW, data)),
        };
        let tsize = block.len() as u64;
        Sub {
            cid: self.put(codec, block),
            size,
            tsize,
        }
    }

    fn balanced(&mut self, mut level: Vec<Sub>) -> Sub {
        while level.len() > 1 {
            let mut rest = level.into_iter().peekable();
            level = Vec::new();
            while rest.peek().is_some() {
                let children = rest.by_ref().take(self.recipe.width).collect();
                level.push(self.parent(children));
            }
        }
        level.pop().expect("a file has at least one leaf")
    }

    /// A layer of leaves, then sub-trees of growing depth, each depth four times; `depth` bounds
    /// the depth of the sub-trees, the root has no bound.
    fn trickle(
        &mut self,
        leaves: &mut std::iter::Peekable<std::vec::IntoIter<Sub>>,
        depth: Option<u32>,
    ) -> Sub {
        const REPEAT: u32 = 4;
        let mut children: Vec<Sub> = leaves.by_ref().take(self.recipe.width).collect();
        let mut below = 1;
        while leaves.peek().is_some() && depth.is_none_or(|depth| below < depth) {
            for _ in 0..REPEAT {
                if leaves.peek().is_some() {
                    children.push(self.trickle(leaves, Some(below)));
                }
            }
            below += 1;
        }
        self.parent(children)
    }

    fn parent(&mut self, children: Vec<Sub>) -> Sub {
        let size = children.iter().map(|child| child.size).sum();
        let message = UnixFs {
            kind: kind::FILE,
            filesize: Some(size),
            blocksizes: children.iter().map(|child| child.size).collect(),
            ..UnixFs::default()
        };
        let links = children
            .iter()
            .map(|child| Link {
                cid: child.cid,
                name: Some(String::new()),
                tsize: Some(child.tsize),
            })
            .collect();
        let block = Node {
            links,
            data: Some(message.encode()),
        }
        .encode();
        let tsize = block.len() as u64 + children.iter().map(|child| child.tsize).sum::<u64>();
        Sub {
            cid: self.put(pb::DAG_PB, block),
            size,
            tsize,
        }
    }

    fn put(&mut self, codec: u64, block: Vec<u8>) -> Cid {
        let cid = cid_of(self.recipe.version, self.recipe.hash, codec, &block);
        self.blocks
            .entry(cid.hash().to_bytes())
            .or_insert((cid, block.into()));
        cid
    }
}

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
        let block = node.encode();
        let root = cid_of(Version::V1, Hash::Sha256, pb::DAG_PB, &block);
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
        let mut entries = entries.to_vec();
        entries.sort_by_key(|(name, _)| *name);
        let message = UnixFs {
            kind: kind::DIRECTORY,
            ..UnixFs::default()
        };
        let links = entries
            .iter()
            .map(|(name, dag)| Link {
                cid: dag.root,
                name: Some((*name).into()),
                tsize: Some(dag.tsize()),
            })
            .collect();
        let parts: Vec<&Dag> = entries.iter().map(|(_, dag)| *dag).collect();
        Self::of_node(
            &Node {
                links,
                data: Some(message.encode()),
            },
            &parts,
        )
    }

    /// A symbolic link.
    pub fn symlink(target: &str) -> Self {
        let message = UnixFs {
            kind: kind::SYMLINK,
            data: Some(target.into()),
            ..UnixFs::default()
        };
        Self::of_node(
            &Node {
                links: Vec::new(),
                data: Some(message.encode()),
            },
            &[],
        )
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

    /// Bytes of all blocks.
    pub fn tsize(&self) -> u64 {
        self.blocks
            .iter()
            .map(|(_, block)| block.len() as u64)
            .sum()
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

/// The header of a CAR, with its length.
pub fn car_header(roots: &[Cid]) -> Vec<u8> {
    // {"roots": [42(h'00' + cid)…], "version": 1} in dag-cbor, by hand: all that a CAR needs.
    let mut header = vec![0xa2, 0x65];
    header.extend_from_slice(b"roots");
    header.push(0x80 | u8::try_from(roots.len()).expect("few roots"));
    assert!(roots.len() < 24, "one-byte array head");
    for root in roots {
        let bytes = root.to_bytes();
        let len = u8::try_from(bytes.len() + 1).expect("short CID");
        header.extend_from_slice(&[0xd8, 0x2a]);
        // The shortest form of the length is the only valid one.
        match len {
            0..24 => header.push(0x40 | len),
            _ => header.extend_from_slice(&[0x58, len]),
        }
        header.push(0x00);
        header.extend_from_slice(&bytes);
    }
    header.push(0x67);
    header.extend_from_slice(b"version");
    header.push(0x01);
    let mut out = Vec::new();
    pb::put_varint(&mut out, header.len() as u64);
    out.extend_from_slice(&header);
    out
}

/// One section of a CAR, with its length.
pub fn car_section(cid: &Cid, block: &[u8]) -> Vec<u8> {
    let name = cid.to_bytes();
    let mut out = Vec::with_capacity(block.len() + name.len() + 10);
    pb::put_varint(&mut out, (name.len() + block.len()) as u64);
    out.extend_from_slice(&name);
    out.extend_from_slice(block);
    out
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
