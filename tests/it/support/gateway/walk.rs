//! Which blocks belong to an answer: paths, scopes and ranges of a trustless gateway.
//!
//! Source: the Trustless Gateway specification of ipfs/specs.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use crate::support::dag::{Dag, bucket, prefix};
use crate::support::pb::{self, Cid, Entity};

/// All blocks of a gateway, by multihash.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    by_hash: HashMap<Vec<u8>, Bytes>,
}

/// Where a path leads.
pub(super) struct Way {
    /// The blocks that prove it, without that at its end.
    pub(super) blocks: Vec<Cid>,
    /// `None` if it leads nowhere.
    pub(super) terminal: Option<Cid>,
}

/// A link of a shard that is a bucket and no name.
fn is_shard(link: &pb::Link, bits: u32) -> bool {
    let name = link.name.as_deref().unwrap_or_default();
    name.len() == prefix(0, 1 << bits).len()
}

impl Blocks {
    pub(super) fn add(&mut self, dag: &Dag) {
        for (cid, block) in &dag.blocks {
            self.by_hash.insert(cid.hash().to_bytes(), block.clone());
        }
    }

    pub(super) fn walk_all(&self, root: &Cid, found: &mut Vec<Cid>) {
        let mut seen = HashSet::new();
        let mut stack = vec![*root];
        while let Some(cid) = stack.pop() {
            if seen.insert(cid.hash().to_bytes()) {
                found.push(cid);
                if let Some(block) = self.block(&cid) {
                    stack.extend(
                        pb::links(&cid, &block)
                            .into_iter()
                            .rev()
                            .map(|link| link.cid),
                    );
                }
            }
        }
    }

    /// The blocks of one entity: of a file those that overlap the range, of a directory its own.
    pub(super) fn walk_entity(&self, root: &Cid, asked: Option<&str>, found: &mut Vec<Cid>) {
        if !matches!(self.entity(root), Some(Entity::File { .. })) {
            return self.walk_directory(root, found);
        }
        let size = self.size(root);
        let (from, to) = asked
            .and_then(|text| parse_entity_bytes(text, size))
            .unwrap_or((0, i128::from(u64::MAX)));
        let mut stack = vec![(*root, 0_i128, i128::from(size))];
        while let Some((cid, start, len)) = stack.pop() {
            let overlaps = start <= to && start + len > from && len > 0;
            if !overlaps && cid != *root {
                continue;
            }
            found.push(cid);
            if let Some(Entity::File { inline, children }) = self.entity(&cid) {
                let mut at = start + inline.len() as i128;
                let mut below = Vec::new();
                for (child, size) in children {
                    below.push((child, at, i128::from(size)));
                    at += i128::from(size);
                }
                stack.extend(below.into_iter().rev());
            }
        }
    }

    /// The block of a directory, or all its shards; each once, for hostile ones unfold to more.
    fn walk_directory(&self, root: &Cid, found: &mut Vec<Cid>) {
        let mut seen = HashSet::new();
        let mut stack = vec![*root];
        while let Some(cid) = stack.pop() {
            if !seen.insert(cid.hash().to_bytes()) {
                continue;
            }
            found.push(cid);
            if let Some(Entity::Shard { bits }) = self.entity(&cid) {
                let below = self.links(&cid).into_iter().rev();
                stack.extend(
                    below
                        .filter(|link| is_shard(link, bits))
                        .map(|link| link.cid),
                );
            }
        }
    }

    /// Follows a path as far as it leads.
    pub(super) fn resolve(&self, root: Cid, segments: &[Vec<u8>]) -> Way {
        let mut way = Way {
            blocks: Vec::new(),
            terminal: Some(root),
        };
        for segment in segments {
            let Some(here) = way.terminal else { break };
            way.terminal = self.entry(here, segment, &mut way.blocks);
        }
        way
    }

    /// Looks a name up; in a sharded directory where its hash leads. The blocks that this takes
    /// join the way, whatever they turn out to be.
    fn entry(&self, directory: Cid, name: &[u8], way: &mut Vec<Cid>) -> Option<Cid> {
        let mut here = directory;
        for depth in 0.. {
            way.push(here);
            let links = self.links(&here);
            let (bits, wanted) = match self.entity(&here)? {
                Entity::Directory => {
                    let mut links = links.iter();
                    let link = links.find(|link| link.name.as_deref() == Some(name))?;
                    return Some(link.cid);
                }
                Entity::Shard { bits } if (depth + 1) * bits <= 64 => {
                    (bits, bucket(name, 1 << bits, depth))
                }
                _ => return None,
            };
            let prefix = prefix(wanted, 1 << bits);
            let link = links.into_iter().find(|link| {
                let name = link.name.as_deref();
                name.is_some_and(|name| name.starts_with(&prefix))
            })?;
            if !is_shard(&link, bits) {
                let rest = link.name.as_deref().map(|link| &link[prefix.len()..]);
                return (rest == Some(name)).then_some(link.cid);
            }
            here = link.cid;
        }
        None
    }

    pub(super) fn block(&self, cid: &Cid) -> Option<Bytes> {
        pb::identity(cid).or_else(|| self.by_hash.get(&cid.hash().to_bytes()).cloned())
    }

    pub(super) fn entity(&self, cid: &Cid) -> Option<Entity> {
        pb::entity(cid, &self.block(cid)?)
    }

    fn links(&self, cid: &Cid) -> Vec<pb::Link> {
        self.block(cid)
            .map(|block| pb::links(cid, &block))
            .unwrap_or_default()
    }

    /// What the root claims.
    fn size(&self, cid: &Cid) -> u64 {
        match self.entity(cid) {
            Some(Entity::File { inline, children }) => {
                children.iter().fold(inline.len() as u64, |sum, (_, size)| {
                    sum.saturating_add(*size)
                })
            }
            _ => 0,
        }
    }

    /// The bytes of a file; `None` if a block is missing or the tree holds more than it claims.
    pub(super) fn read(&self, root: &Cid) -> Option<Bytes> {
        let limit = self.size(root);
        let mut out = Vec::new();
        let mut stack = vec![*root];
        while let Some(cid) = stack.pop() {
            let Entity::File { inline, children } = self.entity(&cid)? else {
                return None;
            };
            out.extend_from_slice(&inline);
            if out.len() as u64 > limit {
                return None;
            }
            stack.extend(children.into_iter().rev().map(|(child, _)| child));
        }
        Some(out.into())
    }
}

/// `entity-bytes=from:to`, both ends inclusive, negative from the end, `*` for the end.
fn parse_entity_bytes(text: &str, size: u64) -> Option<(i128, i128)> {
    let size = i128::from(size);
    let place = |text: &str| -> Option<i128> {
        let at: i128 = text.parse().ok()?;
        Some(if at < 0 { size + at } else { at })
    };
    let (from, to) = text.split_once(':')?;
    let to = if to == "*" { size - 1 } else { place(to)? };
    Some((place(from)?.max(0), to))
}
