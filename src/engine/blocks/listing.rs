//! What a directory holds: its own blocks, and of each entry the one block that says what it is.
//!
//! No byte of a file is fetched, except where a file is one block and nothing else says how large
//! it is.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use bytes::Bytes;

use crate::content::car::Section;
use crate::content::cid::{self, Cid, codec};
use crate::content::hash::VerifiedBlock;
use crate::content::unixfs::hamt::{Place, Shard, Slot, SubShard};
use crate::content::unixfs::{self, Entry, Node, UnixFsError};
use crate::download::Failure;
use crate::engine::blocks::Blocks;
use crate::engine::blocks::ask;
use crate::engine::failure::content_failure;
use crate::engine::plan::PlanError;
use crate::engine::provider::{self, Transport};
use crate::gateway::request::{CarRequest, Scope};

/// Something that has been looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// What it is.
    pub kind: ListedKind,
    /// Size in bytes, of a file or a link.
    pub size: Option<u64>,
    /// Of a directory, what it holds, by name.
    pub entries: Vec<Listed>,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name; any characters.
    pub name: String,
    /// What it names.
    pub cid: Cid,
    /// Bytes of all blocks below, as the directory claims.
    pub tsize: Option<u64>,
    /// What it is.
    pub kind: ListedKind,
    /// Size in bytes, of a file or a link.
    pub size: Option<u64>,
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListedKind {
    /// Nobody has the block that would say it.
    Unknown,
    /// A file, or a block that is saved as one.
    File,
    /// A directory, sharded or not.
    Directory,
    /// A symbolic link.
    Symlink,
}

impl ListedKind {
    /// The stable name in the output.
    pub const fn name(self) -> &'static str {
        match self {
            ListedKind::Unknown => "unknown",
            ListedKind::File => "file",
            ListedKind::Directory => "directory",
            ListedKind::Symlink => "symlink",
        }
    }
}

impl Blocks {
    /// Looks at what a CID names; at the names in it, if it is a directory.
    ///
    /// # Errors
    /// As a download of it would fail.
    pub async fn look(&mut self, cid: &Cid) -> Result<Listing, Failure> {
        let block = self.one(cid).await?;
        let malformed = |source| malformed(cid, source);
        let node = unixfs::node(cid.codec(), block.data()).map_err(malformed)?;
        let (kind, size) = facts(&node, block.data());
        let mut names = Names::new(self.options.limits.max_entries);
        match node {
            Node::Directory(directory) => names.add(cid, directory.entries.iter())?,
            Node::HamtShard(shard) => {
                let shard = shard.place(Place::ROOT).map_err(malformed)?;
                names.add_shard(cid, &shard)?;
                self.read_shards(cid, &mut names).await?;
            }
            _ => {}
        }
        Ok(Listing {
            kind,
            size,
            entries: names.sorted(),
        })
    }

    /// Finds out what each entry is. A raw block is a file; how large it is, its directory says.
    ///
    /// # Errors
    /// A hash function that is not accepted.
    pub async fn look_into(&mut self, entries: &mut [Listed]) -> Result<(), Failure> {
        let mut wanted: BTreeMap<Vec<u8>, Cid> = BTreeMap::new();
        for entry in entries.iter_mut() {
            self.check(&entry.cid)?;
            if let (codec::RAW, Some(size)) = (entry.cid.codec(), entry.tsize) {
                (entry.kind, entry.size) = (ListedKind::File, Some(size));
            } else {
                wanted.insert(entry.cid.to_bytes(), entry.cid);
            }
        }
        let mut known = HashMap::new();
        let mut take = |cid: Cid, block: Option<VerifiedBlock>| {
            known.insert(cid, block.map(|block| what_is(&cid, block.data())));
        };
        self.each(wanted.into_values().collect(), &mut take).await;
        for entry in entries {
            match known.get(&entry.cid) {
                Some(Some(facts)) => (entry.kind, entry.size) = *facts,
                // Still a file, whoever has it.
                Some(None) if entry.cid.codec() == codec::RAW => entry.kind = ListedKind::File,
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads all shards of a directory: as one CAR where that is honoured, the rest one by one.
    async fn read_shards(&mut self, root: &Cid, names: &mut Names) -> Result<(), Failure> {
        if !names.shards.is_empty() {
            self.read_car(root, names).await?;
        }
        while !names.shards.is_empty() {
            let cids: Vec<Cid> = names.shards.keys().copied().collect();
            for cid in &cids {
                self.check(cid)?;
            }
            let (mut outcome, mut is_missing) = (Ok(()), false);
            let mut take = |_, block: Option<VerifiedBlock>| match block {
                Some(block) if outcome.is_ok() => outcome = names.take_shard(&block),
                Some(_) => {}
                None => is_missing = true,
            };
            self.each(cids, &mut take).await;
            outcome?;
            if is_missing {
                return Err(self.nobody());
            }
        }
        Ok(())
    }

    /// Asks the best provider that serves CARs for all blocks of a directory. What it does not
    /// bring is asked for again.
    async fn read_car(&mut self, root: &Cid, names: &mut Names) -> Result<(), Failure> {
        let ready = provider::ranking(&self.providers, Instant::now());
        let mut ready = ready.into_iter().filter_map(|index| {
            let provider = &self.providers[index];
            match &provider.place {
                provider::Place::Http(gateway) if provider.serves(Transport::Car) => {
                    Some((index, gateway.clone()))
                }
                _ => None,
            }
        });
        let Some((index, gateway)) = ready.next() else {
            return Ok(());
        };
        drop(ready);
        let request = CarRequest {
            cid: *root,
            scope: Scope::Entity { range: None },
        };
        let max = self.options.limits.max_block;
        let (mut outcome, mut bytes) = (Ok(()), 0);
        let names = std::cell::RefCell::new(names);
        let mut take = |section: Section| {
            let mut names = names.borrow_mut();
            if !names.shards.contains_key(&section.cid) {
                return false;
            }
            let (cid, len) = (section.cid, section.len);
            match VerifiedBlock::check(cid, section.contiguous()) {
                Ok(block) => {
                    bytes += len;
                    outcome = names.take_shard(&block);
                    true
                }
                Err(_) => false,
            }
        };
        let mut is_done = |_| names.borrow().shards.is_empty();
        let sent = Instant::now();
        let end = ask::stream(&gateway, &request, max, &mut take, &mut is_done).await;
        match end.err().unwrap_or(ask::Fault::Empty) {
            _ if bytes > 0 => self.providers[index].proved(Transport::Car, bytes),
            fault => self.failed(index, Transport::Car, root, &fault, sent),
        }
        outcome
    }
}

/// The names of one directory, and its shards that are not read yet.
struct Names {
    entries: Vec<Listed>,
    shards: HashMap<Cid, Vec<SubShard>>,
    /// Entries and shards so far.
    count: u64,
    limit: u64,
}

impl Names {
    fn new(limit: u64) -> Self {
        Self {
            entries: Vec::new(),
            shards: HashMap::new(),
            count: 0,
            limit,
        }
    }

    /// The names, in the order of their bytes: that of a sharded directory helps nobody.
    fn sorted(mut self) -> Vec<Listed> {
        self.entries.sort_by(|one, other| one.name.cmp(&other.name));
        self.entries
    }

    fn add<'a>(
        &mut self,
        directory: &Cid,
        entries: impl Iterator<Item = &'a Entry>,
    ) -> Result<(), Failure> {
        for entry in entries {
            self.count_one(directory)?;
            let name = entry
                .text()
                .map_err(|source| malformed(directory, source))?;
            self.entries.push(Listed {
                name: name.to_owned(),
                cid: entry.cid,
                tsize: entry.tsize,
                kind: ListedKind::Unknown,
                size: None,
            });
        }
        Ok(())
    }

    fn add_shard(&mut self, directory: &Cid, shard: &Shard) -> Result<(), Failure> {
        for slot in shard.slots() {
            match slot {
                Slot::Entry(entry) => self.add(directory, std::iter::once(entry))?,
                Slot::Shard(below) => {
                    self.count_one(directory)?;
                    self.shards.entry(below.cid).or_default().push(below);
                }
            }
        }
        Ok(())
    }

    /// Reads a shard that was waited for.
    fn take_shard(&mut self, block: &VerifiedBlock) -> Result<(), Failure> {
        let cid = block.cid();
        for waiting in self.shards.remove(cid).unwrap_or_default() {
            let shard = waiting.read(block.data());
            let shard = shard.map_err(|source| malformed(cid, source))?;
            self.add_shard(cid, &shard)?;
        }
        Ok(())
    }

    fn count_one(&mut self, directory: &Cid) -> Result<(), Failure> {
        self.count += 1;
        let limit = self.limit;
        match self.count > limit {
            true => Err(content_failure(
                &PlanError::TooManyEntries { limit },
                &cid::text(directory),
            )),
            false => Ok(()),
        }
    }
}

fn malformed(cid: &Cid, source: UnixFsError) -> Failure {
    let error = PlanError::Malformed {
        cid: cid::text(cid),
        source,
    };
    content_failure(&error, &cid::text(cid))
}

/// What a block says of itself; a malformed one says nothing.
fn what_is(cid: &Cid, block: &Bytes) -> (ListedKind, Option<u64>) {
    let node = unixfs::node(cid.codec(), block);
    node.map_or((ListedKind::Unknown, None), |node| facts(&node, block))
}

/// What a node is, and the bytes that it has if it is no directory.
pub fn facts(node: &Node, block: &Bytes) -> (ListedKind, Option<u64>) {
    match node {
        Node::File(file) => (ListedKind::File, Some(file.size)),
        Node::Directory(_) | Node::HamtShard(_) => (ListedKind::Directory, None),
        Node::Symlink(link) => (ListedKind::Symlink, Some(link.target.len() as u64)),
        Node::Opaque { .. } => (ListedKind::File, Some(block.len() as u64)),
    }
}
