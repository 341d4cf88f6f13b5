//! Directories: in one block, or sharded as Kubo shards them. Names may be any bytes, and twice.

use std::collections::BTreeMap;

use super::{Dag, Hash, Store, Version, cid_of};
use crate::support::pb::{self, Cid, Link, Mtime, Node, UnixFs, kind};

/// Multicodec code of murmur3-x64-64.
const MURMUR3: u64 = 0x22;

/// A directory that is to be built.
#[derive(Debug, Clone)]
pub struct Dir {
    links: Vec<Link>,
    parts: Store,
    version: Version,
    /// `None` for one block.
    fanout: Option<u64>,
    mode: Option<u64>,
    mtime: Option<Mtime>,
}

impl Dir {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            links: Vec::new(),
            parts: Store::new(),
            version: Version::V1,
            fanout: None,
            mode: None,
            mtime: None,
        }
    }

    pub fn entry(mut self, name: impl AsRef<[u8]>, dag: &Dag) -> Self {
        self.links.push(Link {
            cid: dag.root,
            name: Some(name.as_ref().to_vec()),
            tsize: Some(dag.tsize()),
        });
        for (cid, block) in &dag.blocks {
            self.parts
                .insert(cid.hash().to_bytes(), (*cid, block.clone()));
        }
        self
    }

    pub fn entries<'a>(
        self,
        entries: impl IntoIterator<Item = (impl AsRef<[u8]>, &'a Dag)>,
    ) -> Self {
        let entries = entries.into_iter();
        entries.fold(self, |dir, (name, dag)| dir.entry(name, dag))
    }

    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    pub fn version(self, version: Version) -> Self {
        Self { version, ..self }
    }

    /// Shards of so many buckets, whatever the number of entries.
    pub fn sharded(self, fanout: u64) -> Self {
        Self {
            fanout: Some(fanout),
            ..self
        }
    }

    pub fn mode(self, mode: u64) -> Self {
        Self {
            mode: Some(mode),
            ..self
        }
    }

    pub fn mtime(self, seconds: i64, nanos: Option<u32>) -> Self {
        Self {
            mtime: Some(Mtime { seconds, nanos }),
            ..self
        }
    }

    pub fn build(self) -> Dag {
        let mut message = UnixFs {
            kind: kind::DIRECTORY,
            mode: self.mode,
            mtime: self.mtime,
            ..UnixFs::default()
        };
        let mut builder = Builder {
            version: self.version,
            store: self.parts,
        };
        let mut links = self.links;
        let root = match self.fanout {
            None => {
                links.sort_by(|a, b| a.name.cmp(&b.name));
                builder.put(links, &message)
            }
            Some(fanout) => {
                message.kind = kind::HAMT_SHARD;
                message.hash_type = Some(MURMUR3);
                message.fanout = Some(fanout);
                let links = builder.buckets(links, fanout, 0, &mut message);
                builder.put(links, &message)
            }
        };
        Dag::assemble(root.cid, builder.store, Vec::new())
    }
}

struct Builder {
    version: Version,
    store: Store,
}

impl Builder {
    /// Puts links into their buckets, those that share one into a shard of their own, and says in
    /// the message which buckets are in use.
    fn buckets(
        &mut self,
        links: Vec<Link>,
        fanout: u64,
        depth: u32,
        message: &mut UnixFs,
    ) -> Vec<Link> {
        let mut buckets: BTreeMap<u64, Vec<Link>> = BTreeMap::new();
        for link in links {
            let name = link.name.as_deref().expect("entries have names");
            let bucket = bucket(name, fanout, depth);
            buckets.entry(bucket).or_default().push(link);
        }
        message.data = Some(bit_field(buckets.keys().copied(), fanout));
        buckets
            .into_iter()
            .map(|(bucket, mut links)| {
                let mut name = prefix(bucket, fanout);
                if links.len() > 1 {
                    let link = self.shard(links, fanout, depth + 1);
                    return Link {
                        name: Some(name),
                        ..link
                    };
                }
                let link = links.pop().expect("a bucket in use");
                name.extend(link.name.expect("entries have names"));
                Link {
                    name: Some(name),
                    ..link
                }
            })
            .collect()
    }

    fn shard(&mut self, links: Vec<Link>, fanout: u64, depth: u32) -> Link {
        let mut message = UnixFs {
            kind: kind::HAMT_SHARD,
            hash_type: Some(MURMUR3),
            fanout: Some(fanout),
            ..UnixFs::default()
        };
        let links = self.buckets(links, fanout, depth, &mut message);
        self.put(links, &message)
    }

    /// Keeps a node and gives a link to it.
    fn put(&mut self, links: Vec<Link>, message: &UnixFs) -> Link {
        let below: Vec<u64> = links.iter().filter_map(|link| link.tsize).collect();
        let node = Node {
            links,
            data: Some(message.encode()),
        };
        let block = node.encode();
        let tsize = below
            .into_iter()
            .fold(block.len() as u64, u64::saturating_add);
        let cid: Cid = cid_of(self.version, Hash::Sha256, pb::DAG_PB, &block);
        self.store
            .insert(cid.hash().to_bytes(), (cid, block.into()));
        Link {
            cid,
            name: None,
            tsize: Some(tsize),
        }
    }
}

/// The bucket of a name in a shard at some depth: the next bits of its hash, from the top.
///
/// # Panics
/// When the hash has no bits left: two names share all that there are.
pub fn bucket(name: &[u8], fanout: u64, depth: u32) -> u64 {
    let mut bytes = name;
    let both = murmur3::murmur3_x64_128(&mut bytes, 0).expect("a slice");
    let hash = both as u64;
    let bits = fanout.ilog2();
    let below = 64_u32
        .checked_sub((depth + 1) * bits)
        .expect("bits of the hash are left");
    (hash >> below) & (fanout - 1)
}

/// Upper-case hexadecimal, as wide as the last bucket.
pub fn prefix(bucket: u64, fanout: u64) -> Vec<u8> {
    let width = format!("{:X}", fanout - 1).len();
    format!("{bucket:0width$X}").into_bytes()
}

/// A big-endian number with a bit for each bucket in use, without leading zeros.
pub fn bit_field(buckets: impl Iterator<Item = u64>, fanout: u64) -> Vec<u8> {
    let mut field = vec![0u8; usize::try_from(fanout / 8).expect("a sane fanout")];
    let last = field.len() - 1;
    for bucket in buckets {
        field[last - usize::try_from(bucket / 8).expect("small")] |= 1 << (bucket % 8);
    }
    field.into_iter().skip_while(|byte| *byte == 0).collect()
}
