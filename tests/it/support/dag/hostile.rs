//! Directories whose hashes are right and whose structure is not, or is too much.

use super::directory::{bit_field, prefix};
use super::{Dag, Dir};
use crate::support::pb::{Link, Node, UnixFs, kind};

/// A directory of entries that no importer would write: names that escape, or the same one twice.
pub fn names(names: &[&[u8]]) -> Dag {
    let file = Dag::single(b"x");
    Dir::new()
        .entries(names.iter().map(|name| (name, &file)))
        .build()
}

/// `levels` directories in each other, a file at the bottom.
pub fn deep(levels: usize) -> Dag {
    let file = Dag::single(b"bottom");
    // By hand: each level would copy all blocks below.
    let mut blocks = file.blocks.clone();
    let mut here = file;
    for _ in 0..levels {
        here = Dir::new().entry("d", &bare(&here)).build();
        blocks.push((here.root, here.block(&here.root).expect("the root").clone()));
    }
    blocks.reverse();
    Dag { blocks, ..here }
}

/// `levels` directories of `width` names each, all for the same directory below: `levels + 1`
/// blocks that unfold to `width` to the power of `levels` files.
pub fn repeating(levels: usize, width: usize) -> Dag {
    (0..levels).fold(Dag::single(b"x"), |below, _| {
        Dir::new()
            .entries((0..width).map(|n| (format!("{n:04}"), &below)))
            .build()
    })
}

/// The same, but with nothing at the bottom: no file is ever reached.
pub fn hollow(levels: usize, width: usize) -> Dag {
    (0..levels).fold(Dir::new().build(), |below, _| {
        Dir::new()
            .entries((0..width).map(|n| (format!("{n:04}"), &below)))
            .build()
    })
}

/// One directory in one block of `count` names for one small file.
pub fn wide(count: usize) -> Dag {
    let file = Dag::single(b"x");
    Dir::new()
        .entries((0..count).map(|n| (format!("{n:08}"), &file)))
        .build()
}

/// What a bucket of a hostile shard holds.
pub enum Slot<'a> {
    /// A name, wherever it belongs.
    Entry(&'a str, &'a Dag),
    /// A shard, or what is passed off as one.
    Shard(&'a Dag),
}

/// A shard of 256 buckets with whatever is put into them.
pub fn shard(slots: &[(u64, Slot<'_>)]) -> Dag {
    shard_of(256, slots)
}

/// A shard with whatever is put into its buckets, which must ascend.
pub fn shard_of(fanout: u64, slots: &[(u64, Slot<'_>)]) -> Dag {
    let message = UnixFs {
        kind: kind::HAMT_SHARD,
        data: Some(bit_field(slots.iter().map(|(bucket, _)| *bucket), fanout)),
        hash_type: Some(0x22),
        fanout: Some(fanout),
        ..UnixFs::default()
    };
    let link = |(bucket, slot): &(u64, Slot<'_>)| {
        let (rest, dag) = match slot {
            Slot::Entry(name, dag) => (*name, dag),
            Slot::Shard(dag) => ("", dag),
        };
        Link {
            cid: dag.root,
            name: Some([&prefix(*bucket, fanout), rest.as_bytes()].concat()),
            tsize: Some(dag.tsize()),
        }
    };
    let node = Node {
        links: slots.iter().map(link).collect(),
        data: Some(message.encode()),
    };
    let parts: Vec<&Dag> = slots
        .iter()
        .map(|(_, slot)| match slot {
            Slot::Entry(_, dag) | Slot::Shard(dag) => *dag,
        })
        .collect();
    Dag::of_node(&node, &parts)
}

/// `levels` shards in each other below the root, at the bottom an entry: more than eight are more
/// than the hash has bits for.
pub fn deep_shards(levels: usize) -> Dag {
    let file = Dag::single(b"x");
    let bottom = shard(&[(0, Slot::Entry("x", &file))]);
    (0..levels).fold(bottom, |below, _| shard(&[(0, Slot::Shard(&below))]))
}

/// `levels` shards all of whose buckets lead to the same shard below, the last ones empty: no
/// entry is ever reached, but 256 to the power of `levels` shards are.
pub fn hollow_shards(levels: usize) -> Dag {
    (0..levels).fold(shard(&[]), |below, _| {
        let slots: Vec<_> = (0..256).map(|n| (n, Slot::Shard(&below))).collect();
        shard(&slots)
    })
}

/// A DAG without its blocks but the root, for links.
fn bare(dag: &Dag) -> Dag {
    let root = dag.block(&dag.root).expect("the root").clone();
    Dag {
        root: dag.root,
        blocks: vec![(dag.root, root)],
        data: Vec::new(),
    }
}
