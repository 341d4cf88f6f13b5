//! Directories sharded by the hashes of their names (HAMT): one shard, and where it stands.
//!
//! A [`ShardNode`] is what one block shows. Placed where the way from the root led to it, it
//! becomes a [`Shard`]: only that can be looked into or walked. Invariant: every entry of a
//! [`Shard`] stands where its hash leads, so that a walk and a lookup see the same names, and no
//! name can occur twice in one directory. As no shard below the root is empty and every name
//! belongs to one place, a walk that goes down before it goes on meets a shard that is linked to
//! from two places at once, however often a hostile DAG repeats it.
//!
//! Source: the UnixFS specification of ipfs/specs, §HAMT; byte order and limits as boxo has them.

mod place;

use bytes::Bytes;

use crate::content::cid::{Cid, codec};
use crate::content::dagpb::PbLink;
use crate::content::unixfs::directory::{Entry, shown};
use crate::content::unixfs::message::{Mtime, UnixFs};
use crate::content::unixfs::{Node, UnixFsError, node};

pub use crate::content::unixfs::hamt::place::{Fanout, Place, hash};

/// Multicodec code of murmur3-x64-64, the one function that is in use.
const MURMUR3_X64_64: u64 = 0x22;

/// Why a shard is malformed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HamtError {
    /// Another hash function, or none.
    #[error("its hash function is {0:?}, not murmur3-x64-64 (0x22)")]
    HashType(Option<u64>),
    /// Not a power of two from 8 to 1024.
    #[error("a fanout of {0} (a power of two from 8 to 1024 is needed)")]
    Fanout(u64),
    /// Not the fanout of the root.
    #[error("a fanout of {actual} below a root of {expected}")]
    OtherFanout {
        /// That of the root.
        expected: u32,
        /// That of the shard.
        actual: u32,
    },
    /// More bits than buckets.
    #[error("a bit field of {len} bytes for {fanout} buckets")]
    BitFieldLength {
        /// Bytes of the bit field.
        len: usize,
        /// Number of buckets.
        fanout: u32,
    },
    /// Not one bit for each link.
    #[error("{links} links but {bits} buckets in use")]
    LinkCount {
        /// Number of links.
        links: usize,
        /// Number of bits that are set.
        bits: usize,
    },
    /// A link whose name does not begin with the bucket that the bit field has for it.
    #[error("link {index} does not begin with its bucket, {bucket:X}")]
    Prefix {
        /// Index of the link.
        index: usize,
        /// Its bucket.
        bucket: u32,
    },
    /// A link to a shard that cannot be dag-pb.
    #[error("the shard in bucket {bucket:X} has codec {codec:#x}")]
    ShardCodec {
        /// Its bucket.
        bucket: u32,
        /// Its codec.
        codec: u64,
    },
    /// Further down than hashes have bits.
    #[error("a shard at depth {0}, where no bits of a hash are left")]
    TooDeep(u32),
    /// An entry that a lookup would never find.
    #[error("the name {name:?} does not belong into bucket {bucket:X} at depth {depth}")]
    WrongBucket {
        /// The name, as text and cut short.
        name: String,
        /// Where it stands.
        bucket: u32,
        /// In which shard.
        depth: u32,
    },
    /// A shard below the root without a link: nothing needs it, and a DAG of few such blocks could
    /// be walked for ever without reaching a name.
    #[error("a shard below the root that is empty")]
    Empty,
    /// A shard was due and something else came.
    #[error("it is not a shard")]
    NotAShard,
}

/// A sharded directory or a shard of one, as its block has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardNode {
    fanout: Fanout,
    /// By bucket, ascending.
    links: Vec<(u32, Link)>,
    /// Permission bits (at most `0o7777`); only those of the root mean anything.
    pub mode: Option<u32>,
    /// Time of last modification; only that of the root means anything.
    pub mtime: Option<Mtime>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Link {
    Entry(Entry),
    Shard { cid: Cid, tsize: Option<u64> },
}

/// A shard whose names are held against the place where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    node: ShardNode,
    place: Place,
}

/// A link to a shard further down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubShard {
    /// Its block.
    pub cid: Cid,
    /// The bytes of all blocks below, as the writer claims: an estimate, never a proof.
    pub tsize: Option<u64>,
    /// Where it stands.
    pub place: Place,
}

/// What a bucket holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Slot<'a> {
    /// One name.
    Entry(&'a Entry),
    /// The names whose hashes begin alike.
    Shard(SubShard),
}

/// What a shard says of one name; either way it is proved with the block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup<'a> {
    /// Here it is.
    Found(&'a Entry),
    /// If it is anywhere, then below this.
    Descend(SubShard),
    /// The directory does not have it.
    Absent,
}

impl ShardNode {
    /// Number of links, entries and shards together.
    pub fn len(&self) -> usize {
        self.links.len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Proves that its names belong to `place`: [`Place::ROOT`], or where a [`SubShard`] says.
    ///
    /// # Errors
    /// [`UnixFsError::Hamt`] if the fanout is not that of the root, the place is too deep, or a
    /// name stands where no lookup would find it, or nothing is in a shard below the root.
    pub fn place(self, place: Place) -> Result<Shard, UnixFsError> {
        let place = place.with_fanout(self.fanout)?;
        if self.is_empty() && place.depth() > 0 {
            return Err(UnixFsError::Hamt(HamtError::Empty));
        }
        for (bucket, link) in &self.links {
            if let Link::Entry(entry) = link
                && place.bucket_of(&entry.name) != Some(*bucket)
            {
                return Err(UnixFsError::Hamt(HamtError::WrongBucket {
                    name: shown(&entry.name),
                    bucket: *bucket,
                    depth: place.depth(),
                }));
            }
        }
        Ok(Shard { node: self, place })
    }

    pub(super) fn check_names(&self) -> Result<(), UnixFsError> {
        self.links.iter().try_for_each(|(_, link)| match link {
            Link::Entry(entry) => entry.check_name(),
            Link::Shard { .. } => Ok(()),
        })
    }
}

impl Shard {
    /// Looks `name` up.
    pub fn lookup(&self, name: &[u8]) -> Lookup<'_> {
        let found = self.place.bucket_of(name).and_then(|bucket| {
            let at = self.node.links.binary_search_by_key(&bucket, |link| link.0);
            at.ok().map(|at| self.slot(&self.node.links[at]))
        });
        match found {
            Some(Slot::Entry(entry)) if entry.name == name => Lookup::Found(entry),
            Some(Slot::Shard(shard)) => Lookup::Descend(shard),
            Some(Slot::Entry(_)) | None => Lookup::Absent,
        }
    }

    /// Everything in it, in the order of the buckets, which is that of the block.
    pub fn slots(&self) -> impl Iterator<Item = Slot<'_>> {
        self.node.links.iter().map(|link| self.slot(link))
    }

    /// Where it stands.
    pub fn place(&self) -> Place {
        self.place
    }

    /// What its block shows.
    pub fn node(&self) -> &ShardNode {
        &self.node
    }

    fn slot<'a>(&self, (bucket, link): &'a (u32, Link)) -> Slot<'a> {
        match link {
            Link::Entry(entry) => Slot::Entry(entry),
            Link::Shard { cid, tsize } => Slot::Shard(SubShard {
                cid: *cid,
                tsize: *tsize,
                place: self.place.below(*bucket),
            }),
        }
    }
}

impl SubShard {
    /// Reads the block of this shard and holds it against what led to it.
    ///
    /// # Errors
    /// [`UnixFsError`] if it is malformed, no shard, of another fanout, too deep, or holds a name
    /// that belongs elsewhere or must not reach a disk.
    pub fn read(&self, block: &Bytes) -> Result<Shard, UnixFsError> {
        match node(self.cid.codec(), block)? {
            Node::HamtShard(shard) => shard.place(self.place),
            _ => Err(UnixFsError::Hamt(HamtError::NotAShard)),
        }
    }
}

/// Reads a shard; `bit_field` is the data of the message.
pub(super) fn read(
    unixfs: &UnixFs,
    bit_field: &[u8],
    links: Vec<PbLink>,
) -> Result<ShardNode, UnixFsError> {
    if unixfs.hash_type != Some(MURMUR3_X64_64) {
        return Err(HamtError::HashType(unixfs.hash_type).into());
    }
    let fanout = Fanout::new(unixfs.fanout.unwrap_or(0))?;
    let buckets = buckets(bit_field, fanout)?;
    if buckets.len() != links.len() {
        return Err(UnixFsError::Hamt(HamtError::LinkCount {
            links: links.len(),
            bits: buckets.len(),
        }));
    }
    let links = buckets.into_iter().zip(links).enumerate();
    let links =
        links.map(|(index, (bucket, link))| Ok((bucket, read_link(index, bucket, fanout, link)?)));
    Ok(ShardNode {
        fanout,
        links: links.collect::<Result<_, HamtError>>()?,
        mode: unixfs.permissions(),
        mtime: unixfs.mtime,
    })
}

/// The buckets in use: a big-endian number without leading zeros, bit `b` for bucket `b`.
fn buckets(bit_field: &[u8], fanout: Fanout) -> Result<Vec<u32>, HamtError> {
    if bit_field.len() > fanout.buckets() as usize / 8 {
        return Err(HamtError::BitFieldLength {
            len: bit_field.len(),
            fanout: fanout.buckets(),
        });
    }
    let bytes = bit_field.iter().rev();
    Ok((0..fanout.buckets())
        .step_by(8)
        .zip(bytes)
        .flat_map(|(first, byte)| {
            (0..8)
                .filter(move |bit| byte >> bit & 1 == 1)
                .map(move |bit| first + bit)
        })
        .collect())
}

/// The name of a link begins with its bucket; what follows is the name of an entry, and nothing
/// follows where the link leads to a shard.
fn read_link(index: usize, bucket: u32, fanout: Fanout, link: PbLink) -> Result<Link, HamtError> {
    let PbLink { cid, name, tsize } = link;
    let prefix = fanout.prefix(bucket);
    let name = name
        .filter(|name| name.starts_with(prefix.as_bytes()))
        .ok_or(HamtError::Prefix { index, bucket })?
        .slice(prefix.len()..);
    if !name.is_empty() {
        return Ok(Link::Entry(Entry { name, cid, tsize }));
    }
    match cid.codec() {
        codec::DAG_PB => Ok(Link::Shard { cid, tsize }),
        codec => Err(HamtError::ShardCodec { bucket, codec }),
    }
}

#[cfg(test)]
mod tests;
