//! Files in every shape that importers write.

use std::collections::BTreeMap;

use super::{Dag, Hash, Store, Version, cid_of, seeded};
use crate::support::pb::{self, Cid, Link, Node, UnixFs, kind};

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
                name: Some(Vec::new()),
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
