//! Where the bytes below a block belong: said by the blocks above it.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use crate::content::cid::Cid;
use crate::content::links;
use crate::content::unixfs::hamt::{self, Shard, Slot, SubShard};
use crate::content::unixfs::{self, Entry, FileNode, Node};
use crate::engine::plan;

/// Places that are remembered of one block: the same bytes in more of them are the same.
const MAX_PLACES: usize = 4;

/// Where a block belongs.
#[derive(Debug, Clone)]
pub enum Place {
    /// The root of what is at this path: empty for the root of all.
    Entry(Arc<str>),
    /// A part of the directory at this path.
    Shard(Arc<str>, SubShard),
    /// Bytes of the file at this path.
    Bytes {
        /// The file.
        path: Arc<str>,
        /// Where they begin.
        offset: u64,
        /// How many they are.
        len: u64,
    },
}

/// The places of the blocks that are expected.
#[derive(Debug)]
pub struct Places {
    known: HashMap<Cid, Vec<Place>>,
    /// Whether all links were followed, as the plan does it.
    is_data: bool,
}

impl Places {
    pub fn new(root: &Cid) -> Self {
        let known = HashMap::from([(*root, vec![Place::Entry("".into())])]);
        let is_data = links::is_data(root.codec());
        Self { known, is_data }
    }

    /// The places of a block, which comes once only.
    pub fn take(&mut self, cid: &Cid) -> Vec<Place> {
        self.known.remove(cid).unwrap_or_default()
    }

    /// Notes the places of what a proved block links to. A block that makes no sense there leads
    /// nowhere.
    pub fn expect_below(&mut self, cid: &Cid, place: &Place, block: &Bytes) {
        match place {
            Place::Shard(path, sub) => {
                if let Ok(shard) = sub.read(block) {
                    self.expect_slots(path, &shard);
                }
            }
            Place::Bytes { path, offset, .. } => {
                if let Ok(Node::File(file)) = unixfs::node(cid.codec(), block) {
                    self.expect_bytes(path, *offset, &file);
                }
            }
            Place::Entry(_) if self.is_data => self.expect_links(cid, block),
            Place::Entry(path) => match unixfs::node(cid.codec(), block) {
                Ok(Node::File(file)) => self.expect_bytes(path, 0, &file),
                Ok(Node::Directory(directory)) => {
                    let entries = directory.entries.iter();
                    entries.for_each(|entry| self.expect_entry(path, entry));
                }
                Ok(Node::HamtShard(shard)) => {
                    if let Ok(shard) = shard.place(hamt::Place::ROOT) {
                        self.expect_slots(path, &shard);
                    }
                }
                _ => {}
            },
        }
    }

    fn expect_links(&mut self, cid: &Cid, block: &Bytes) {
        match (plan::followed(cid, block), unixfs::node(cid.codec(), block)) {
            (Ok(Some(links)), _) => {
                for link in links {
                    self.expect(link, Place::Entry(plan::name_of(&link).into()));
                }
            }
            (_, Ok(Node::File(file))) => {
                self.expect_bytes(&plan::name_of(cid).into(), 0, &file);
            }
            _ => {}
        }
    }

    fn expect_bytes(&mut self, path: &Arc<str>, start: u64, file: &FileNode) {
        for child in &file.children {
            let place = Place::Bytes {
                path: path.clone(),
                offset: start.saturating_add(child.offset),
                len: child.size,
            };
            self.expect(child.cid, place);
        }
    }

    fn expect_slots(&mut self, path: &Arc<str>, shard: &Shard) {
        for slot in shard.slots() {
            match slot {
                Slot::Entry(entry) => self.expect_entry(path, entry),
                Slot::Shard(sub) => self.expect(sub.cid, Place::Shard(path.clone(), sub)),
            }
        }
    }

    fn expect_entry(&mut self, path: &Arc<str>, entry: &Entry) {
        if let Ok(name) = entry.text() {
            let path = match &**path {
                "" => name.into(),
                directory => format!("{directory}/{name}").into(),
            };
            self.expect(entry.cid, Place::Entry(path));
        }
    }

    fn expect(&mut self, cid: Cid, place: Place) {
        let places = self.known.entry(cid).or_default();
        if places.len() < MAX_PLACES {
            places.push(place);
        }
    }
}
