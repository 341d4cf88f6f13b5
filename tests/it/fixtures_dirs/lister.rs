//! The simplest lister of directories that can be right, and the simplest way along a path.

use bytes::Bytes;
use fetchd::content::cid::{self, Cid};
use fetchd::content::path::{PathError, Resolution};
use fetchd::content::unixfs::hamt::{Place, Shard, Slot, SubShard};
use fetchd::content::unixfs::{self, Node, UnixFsError};

use crate::fixtures_car::walker::Blocks;

/// What a directory holds, as far as the blocks are there.
#[derive(Debug, Default, PartialEq)]
pub struct Listing {
    /// Names and what they name, in the order of a walk.
    pub entries: Vec<(String, Cid)>,
    /// Shards that are not there.
    pub missing: Vec<SubShard>,
    /// Shards that are, the root among them.
    pub shards: usize,
    pub deepest: u32,
}

/// Lists the directory that `root` names; `None` if it is something else.
pub fn list(blocks: &Blocks, root: &Cid) -> Result<Option<Listing>, UnixFsError> {
    let block = blocks.block(root).expect("the root is there");
    let mut listing = Listing::default();
    match unixfs::node(root.codec(), &block)? {
        Node::Directory(directory) => {
            for entry in directory.entries {
                listing.entries.push((text(&entry.name), entry.cid));
            }
        }
        Node::HamtShard(shard) => listing.walk(blocks, shard.place(Place::ROOT)?)?,
        _ => return Ok(None),
    }
    Ok(Some(listing))
}

impl Listing {
    fn walk(&mut self, blocks: &Blocks, root: Shard) -> Result<(), UnixFsError> {
        let mut stack = vec![root];
        while let Some(shard) = stack.pop() {
            self.shards += 1;
            self.deepest = self.deepest.max(shard.place().depth());
            let mut below = Vec::new();
            for slot in shard.slots() {
                match slot {
                    Slot::Entry(entry) => self.entries.push((text(&entry.name), entry.cid)),
                    Slot::Shard(link) => match blocks.block(&link.cid) {
                        Ok(block) => below.push(link.read(&block)?),
                        Err(_) => self.missing.push(link),
                    },
                }
            }
            stack.extend(below.into_iter().rev());
        }
        Ok(())
    }
}

fn text(name: &Bytes) -> String {
    String::from_utf8(name.to_vec()).expect("names of honest fixtures are text")
}

/// How following a path ended.
#[derive(Debug, PartialEq)]
pub enum End {
    At(Cid),
    Missing(Cid),
    Nowhere(PathError),
}

pub fn follow(blocks: &Blocks, root: Cid, names: &[&str]) -> End {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    let mut way = Resolution::new(root, names);
    while let Some(cid) = way.wanted() {
        let Ok(block) = blocks.block(&cid) else {
            return End::Missing(cid);
        };
        if let Err(error) = way.feed(&block) {
            return End::Nowhere(error);
        }
    }
    End::At(way.here())
}

/// The root and the names of a path as the trees of the fixtures have it.
pub fn split(path: &str) -> (Cid, Vec<&str>) {
    let mut names = path.split('/').filter(|name| !name.is_empty());
    let root = cid::parse(names.next().expect("a root")).expect("a CID");
    (root, names.collect())
}
