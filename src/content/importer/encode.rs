//! Writing blocks: dag-pb links and nodes, byte for byte as the other implementations do, and the
//! CIDs of blocks.
//!
//! The counterpart of `content::dagpb` and `content::unixfs`, which read. Invariant: what is
//! written here reads back there.

use bytes::Bytes;
use unsigned_varint::encode;

use crate::content::cid::{Cid, MAX_DIGEST, Multihash, Version, codec};
use crate::content::hash::{Hasher, IDENTITY, SHA2_256};
use crate::content::importer::{Root, Sink};

/// How blocks are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Naming {
    /// Version 0 where it can name a block at all.
    pub(super) version: Version,
    /// Multihash code of a function that [`Hasher`] knows.
    pub(super) hash: u64,
    /// Blocks of at most this many bytes go into their own CID.
    pub(super) inline: Option<usize>,
}

impl Naming {
    /// The hash of the block of these parts.
    pub(super) fn hash<'a>(
        &self,
        len: usize,
        parts: impl IntoIterator<Item = &'a [u8]>,
    ) -> Multihash {
        let (code, digest) = if self.inlines(len) {
            (IDENTITY, parts.into_iter().flatten().copied().collect())
        } else {
            let mut hasher = Hasher::new(self.hash).expect("profiles name known functions only");
            parts.into_iter().for_each(|part| hasher.update(part));
            (self.hash, hasher.finish())
        };
        Multihash::wrap(code, &digest).expect("no function gives more than MAX_DIGEST bytes")
    }

    /// Whether a block of so many bytes goes into its own CID.
    pub(super) fn inlines(&self, len: usize) -> bool {
        self.inline
            .is_some_and(|limit| len <= limit.min(MAX_DIGEST))
    }

    /// The CID of the block with this hash.
    pub(super) fn cid(&self, codec: u64, hash: Multihash) -> Cid {
        let v0 = self.version == Version::V0 && codec == codec::DAG_PB && hash.code() == SHA2_256;
        if v0 && let Ok(cid) = Cid::new_v0(hash) {
            return cid;
        }
        Cid::new_v1(codec, hash)
    }

    /// Names a dag-pb block and hands it on.
    pub(super) fn put(&self, block: Vec<u8>, sink: &mut Sink<'_>) -> Cid {
        let hash = self.hash(block.len(), [&block[..]]);
        let cid = self.cid(codec::DAG_PB, hash);
        sink.put(cid, || vec![Bytes::from(block)]);
        cid
    }
}

/// Appends a varint.
pub(super) fn varint(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(encode::u64(value, &mut encode::u64_buffer()));
}

/// Bytes of a varint.
pub(super) fn varint_len(value: u64) -> usize {
    encode::u64(value, &mut encode::u64_buffer()).len()
}

/// Appends a link of a dag-pb block. A name is always there, be it empty.
pub(super) fn link(out: &mut Vec<u8>, name: &[u8], target: &Root) {
    out.push(0x12);
    varint(out, link_body_len(name.len(), target) as u64);
    out.push(0x0a);
    varint(out, target.cid.encoded_len() as u64);
    target
        .cid
        .write_bytes(&mut *out)
        .expect("writing to memory never fails");
    out.push(0x12);
    varint(out, name.len() as u64);
    out.extend_from_slice(name);
    out.push(0x18);
    varint(out, target.tsize);
}

/// Bytes that [`link`] appends.
pub(super) fn link_len(name_len: usize, target: &Root) -> usize {
    let body = link_body_len(name_len, target);
    1 + varint_len(body as u64) + body
}

fn link_body_len(name_len: usize, target: &Root) -> usize {
    let cid_len = target.cid.encoded_len();
    let delimited = |len: usize| 1 + varint_len(len as u64) + len;
    delimited(cid_len) + delimited(name_len) + 1 + varint_len(target.tsize)
}

/// Appends the data of a dag-pb block, which follows its links.
pub(super) fn data(out: &mut Vec<u8>, message: &[u8]) {
    out.push(0x0a);
    varint(out, message.len() as u64);
    out.extend_from_slice(message);
}

/// A part of a file: a leaf, or a node and all below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) root: Root,
    /// Bytes of the file at and below it.
    pub(super) size: u64,
}

/// An unfinished node of a file, written as far as its parts are known.
#[derive(Debug, Default)]
pub(super) struct FileNode {
    links: Vec<u8>,
    sizes: Vec<u8>,
    first: Option<Part>,
    count: usize,
    size: u64,
    tsize: u64,
}

impl FileNode {
    /// Number of parts.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The part, if there is one and no other.
    pub(super) fn only(&self) -> Option<Part> {
        self.first.filter(|_| self.count == 1)
    }

    /// Appends a part.
    pub(super) fn add(&mut self, part: Part) {
        link(&mut self.links, b"", &part.root);
        self.sizes.push(0x20);
        varint(&mut self.sizes, part.size);
        self.first.get_or_insert(part);
        self.count += 1;
        self.size += part.size;
        self.tsize += part.root.tsize;
    }

    /// Writes the node, leaving an empty one.
    pub(super) fn finish(&mut self, naming: &Naming, sink: &mut Sink<'_>) -> Part {
        let node = std::mem::take(self);
        let mut message = vec![0x08, 0x02, 0x18];
        varint(&mut message, node.size);
        message.extend_from_slice(&node.sizes);
        let mut block = node.links;
        data(&mut block, &message);
        let tsize = node.tsize + block.len() as u64;
        let cid = naming.put(block, sink);
        Part {
            root: Root { cid, tsize },
            size: node.size,
        }
    }
}
