//! A DAG that is saved as a CAR and is no UnixFS at its root: all of it, whatever its blocks mean.
//!
//! What a block links to is an entry of the root, named by its CID, however deep it lies; so a
//! block that many link to is one entry. Blocks with links are kept in the store, files of UnixFS
//! and blocks without links lie on the disk like any other file.

use std::collections::HashSet;

use bytes::Bytes;

use crate::content::cid::{self, Base, Cid, codec};
use crate::content::links;
use crate::content::unixfs::{self, Node};
use crate::engine::plan::entry::{Entry, Expansion, State};
use crate::engine::plan::tree::Plan;
use crate::engine::plan::{EntryId, PlanError};

/// What is known of such a DAG.
#[derive(Debug, Default)]
pub struct Linked {
    /// The names of the entries.
    names: HashSet<Box<str>>,
    /// Bytes of blocks with links.
    node_bytes: u64,
}

/// What the file of a block is called.
pub fn name_of(cid: &Cid) -> String {
    let cid = Cid::new_v1(cid.codec(), *cid.hash());
    cid.to_string_of_base(Base::Base32Lower)
        .unwrap_or_else(|_| cid::text(&cid))
}

/// What a block leads to where every link is followed; `None` if it is a file, and told as such.
///
/// # Errors
/// A block that is not of the codec that its CID names.
pub fn followed(cid: &Cid, block: &Bytes) -> Result<Option<Vec<Cid>>, links::LinksError> {
    let is_file = match cid.codec() {
        codec::RAW => true,
        codec::DAG_PB => matches!(unixfs::node(cid.codec(), block), Ok(Node::File(_))),
        _ => false,
    };
    if is_file {
        return Ok(None);
    }
    let found = links::of(cid.codec(), block)?;
    let has_links = cid.codec() == codec::DAG_PB || !found.is_empty();
    Ok(has_links.then_some(found))
}

impl Plan {
    /// Follows all links from now on.
    pub fn follow_links(&mut self) {
        self.linked = Some(Linked::default());
    }

    /// Whether its block must be read, even if its bytes are known: it may have links to follow.
    pub fn must_be_read(&self, cid: &Cid) -> bool {
        self.linked.is_some() && links::is_data(cid.codec())
    }

    /// An entry that an earlier run found.
    pub(super) fn know_name(&mut self, path: &str) {
        if let Some(linked) = &mut self.linked {
            linked.names.insert(path.into());
        }
    }

    /// What a block leads to, if links are followed and it is no file.
    pub(super) fn links_of(&self, cid: &Cid, block: &Bytes) -> Result<Option<Vec<Cid>>, PlanError> {
        if self.linked.is_none() {
            return Ok(None);
        }
        followed(cid, block).map_err(|source| PlanError::Links {
            cid: cid::text(cid),
            source,
        })
    }

    /// The entry is a block with these links.
    pub(super) fn found_links(
        &mut self,
        id: EntryId,
        links: &[Cid],
        len: usize,
        expansion: &mut Expansion,
    ) -> Result<(), PlanError> {
        self.count_node(len)?;
        self.open_directory(id, None, None, expansion)?;
        for link in links {
            let name = name_of(link);
            let Some(linked) = &mut self.linked else {
                break;
            };
            let Some(above) = self.entries.get(&id) else {
                break;
            };
            if !linked.names.insert(name.as_str().into()) {
                continue;
            }
            let entry = Entry {
                cid: *link,
                path: name.into(),
                parent: Some(0),
                depth: above.depth + 1,
                tsize: None,
                claim: above.claim,
                state: State::Unknown,
            };
            self.add(entry, expansion)?;
        }
        self.close_directory(id);
        Ok(())
    }

    /// Counts a block that is kept, with all files that are known, against the limit.
    fn count_node(&mut self, len: usize) -> Result<(), PlanError> {
        let files = self.totals.known_bytes;
        let Some(linked) = &mut self.linked else {
            return Ok(());
        };
        linked.node_bytes = linked.node_bytes.saturating_add(len as u64);
        let size = linked.node_bytes.saturating_add(files);
        match self.limits.max_size {
            Some(limit) if size > limit => Err(PlanError::TooLarge { size, limit }),
            _ => Ok(()),
        }
    }
}
