//! Directories and symlinks: entries into blocks, sharded when the importer would.
//!
//! Knows nothing of what the entries are. The block depends on the set of entries, never on their
//! order.
//!
//! Source: `ipld/unixfs/io/directory.go` and `ipld/unixfs/hamt` of boxo 0.40.

use bytes::Bytes;

use crate::content::importer::encode::{self, Naming};
use crate::content::importer::profile::{Profile, Sharding};
use crate::content::importer::{Block, Root, Sink};
use crate::content::unixfs::hamt::{self, Fanout};
use crate::content::unixfs::{Entry, UnixFsError};

/// Multicodec code of murmur3-x64-64.
const MURMUR3_X64_64: u64 = 0x22;

/// Bytes of the data of a directory without mode and time.
const EMPTY_LEN: usize = 4;

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its name.
    pub name: Bytes,
    /// What it names.
    pub root: Root,
}

/// Why entries make no directory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    /// A name that is not one name in one directory.
    #[error("an entry cannot be written")]
    Name(#[from] UnixFsError),
    /// Two entries of one name.
    #[error("the name {0:?} occurs twice")]
    DuplicateName(String),
    /// Two names that no shard can tell apart.
    #[error("the hashes of the names {0:?} and {1:?} are too much alike to be sharded")]
    Alike(String, String),
}

/// The blocks of a directory, shards before their parents, and its root.
///
/// # Errors
/// [`DirectoryError`].
pub fn directory(
    profile: &Profile,
    mut entries: Vec<Named>,
    emit: &mut dyn FnMut(Block),
) -> Result<Root, DirectoryError> {
    entries.iter().try_for_each(check_name)?;
    entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    let twice = entries.windows(2).find(|pair| pair[0].name == pair[1].name);
    if let Some(pair) = twice {
        return Err(DirectoryError::DuplicateName(shown(&pair[0].name)));
    }
    let mut sink = Sink(Some(emit));
    if is_sharded(profile.sharding(), &entries) {
        let fanout = Fanout::new(profile.fanout()).expect("profiles have a fanout that is one");
        return sharded(&profile.naming(), fanout, entries, &mut sink);
    }
    let mut writer = Writer::default();
    for entry in &entries {
        writer.link(&entry.name, &entry.root);
    }
    Ok(writer.finish(&[0x08, 0x01], &profile.naming(), &mut sink))
}

/// The block of a symlink to `target`.
pub fn symlink(profile: &Profile, target: &[u8], emit: &mut dyn FnMut(Block)) -> Root {
    let mut message = vec![0x08, 0x04, 0x12];
    encode::varint(&mut message, target.len() as u64);
    message.extend_from_slice(target);
    Writer::default().finish(&message, &profile.naming(), &mut Sink(Some(emit)))
}

/// An empty name would even pass for a link to a shard.
fn check_name(entry: &Named) -> Result<(), UnixFsError> {
    let entry = Entry {
        name: entry.name.clone(),
        cid: entry.root.cid,
        tsize: Some(entry.root.tsize),
    };
    entry.check_name()
}

fn is_sharded(sharding: Sharding, entries: &[Named]) -> bool {
    let link = |entry: &Named| entry.name.len() + entry.root.cid.encoded_len();
    let written = |entry: &Named| encode::link_len(entry.name.len(), &entry.root);
    match sharding {
        Sharding::Links(limit) => entries.iter().map(link).sum::<usize>() > limit,
        Sharding::Block(limit) => EMPTY_LEN + entries.iter().map(written).sum::<usize>() > limit,
        Sharding::Entries(limit) => entries.len() > limit,
    }
}

fn sharded(
    naming: &Naming,
    fanout: Fanout,
    entries: Vec<Named>,
    sink: &mut Sink<'_>,
) -> Result<Root, DirectoryError> {
    let hashed = entries.into_iter();
    let mut hashed: Vec<_> = hashed
        .map(|entry| (hamt::hash(&entry.name), entry))
        .collect();
    hashed.sort_unstable_by_key(|(hash, _)| *hash);
    shard(naming, fanout, 0, &hashed, sink)
}

/// The shard of entries whose hashes have all bits above `depth` in common, in the order of their
/// hashes.
fn shard(
    naming: &Naming,
    fanout: Fanout,
    depth: u32,
    entries: &[(u64, Named)],
    sink: &mut Sink<'_>,
) -> Result<Root, DirectoryError> {
    let bits = fanout.buckets().trailing_zeros();
    let Some(below) = u64::BITS.checked_sub((depth + 1) * bits) else {
        let name = |index: usize| {
            entries
                .get(index)
                .map_or_else(String::new, |e| shown(&e.1.name))
        };
        return Err(DirectoryError::Alike(name(0), name(1)));
    };
    let bucket = |hash: u64| (hash >> below) as u32 & (fanout.buckets() - 1);
    let mut writer = Writer::default();
    let mut field = vec![0u8; fanout.buckets() as usize / 8];
    for group in entries.chunk_by(|one, other| bucket(one.0) == bucket(other.0)) {
        let bucket = bucket(group[0].0);
        let last = field.len() - 1;
        field[last - bucket as usize / 8] |= 1 << (bucket % 8);
        let mut name = fanout.prefix(bucket).into_bytes();
        if let [(_, entry)] = group {
            name.extend_from_slice(&entry.name);
            writer.link(&name, &entry.root);
        } else {
            let root = shard(naming, fanout, depth + 1, group, sink)?;
            writer.link(&name, &root);
        }
    }
    Ok(writer.finish(&shard_message(&field, fanout), naming, sink))
}

/// The field is a number without leading zeros.
fn shard_message(field: &[u8], fanout: Fanout) -> Vec<u8> {
    let zeros = field.iter().take_while(|byte| **byte == 0).count();
    let field = &field[zeros..];
    let mut message = vec![0x08, 0x05, 0x12];
    encode::varint(&mut message, field.len() as u64);
    message.extend_from_slice(field);
    message.push(0x28);
    encode::varint(&mut message, MURMUR3_X64_64);
    message.push(0x30);
    encode::varint(&mut message, fanout.buckets().into());
    message
}

/// A block whose links are written as they come.
#[derive(Default)]
struct Writer {
    block: Vec<u8>,
    tsize: u64,
}

impl Writer {
    fn link(&mut self, name: &[u8], target: &Root) {
        encode::link(&mut self.block, name, target);
        // Those of entries come from outside.
        self.tsize = self.tsize.saturating_add(target.tsize);
    }

    fn finish(mut self, message: &[u8], naming: &Naming, sink: &mut Sink<'_>) -> Root {
        encode::data(&mut self.block, message);
        let tsize = self.tsize.saturating_add(self.block.len() as u64);
        let cid = naming.put(self.block, sink);
        Root { cid, tsize }
    }
}

fn shown(name: &[u8]) -> String {
    String::from_utf8_lossy(name).into_owned()
}
