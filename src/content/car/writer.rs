//! Writing CARs of version 1, and the order in which the blocks of a DAG go into them.
//!
//! Writes what stands around blocks, never copies one: the caller puts the bytes of a block behind
//! what [`section`] gives. Opens nothing and finds nothing: [`Dfs`] says which block is wanted
//! next. One root and one order give the same bytes, those that `ipfs dag export` gives.
//!
//! Source: the CARv1 specification of ipld; go-car v2, `TraverseV1` without duplicates.

use std::collections::HashSet;

use bytes::Bytes;
use serde::Serialize;
use unsigned_varint::encode;

use crate::content::cid::{self, Cid, Version, codec};
use crate::content::hash::SHA2_256;
use crate::content::links::{self, LinksError};

/// Deepest DAG that is walked: what boxo allows, and more than any file or path has.
const MAX_DEPTH: usize = 1024;

/// The header of a CAR with this root, with the length before it.
pub fn header(root: &Cid) -> Vec<u8> {
    #[derive(Serialize)]
    struct Fields<'a> {
        roots: [&'a Cid; 1],
        version: u64,
    }
    let fields = Fields {
        roots: [root],
        version: 1,
    };
    let header = serde_ipld_dagcbor::to_vec(&fields).expect("a CID and a number are DAG-CBOR");
    let mut out = varint(header.len() as u64);
    out.extend_from_slice(&header);
    out
}

/// What stands before a block of `len` bytes: the length of the section and the CID.
pub fn section(cid: &Cid, len: u64) -> Vec<u8> {
    let cid = cid.to_bytes();
    let mut out = varint(len + cid.len() as u64);
    out.extend_from_slice(&cid);
    out
}

fn varint(value: u64) -> Vec<u8> {
    encode::u64(value, &mut encode::u64_buffer()).to_vec()
}

/// Why a DAG cannot be walked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DfsError {
    /// A block that is not of the codec that its CID names.
    #[error("malformed block {cid}")]
    Block {
        /// Its CID in canonical text.
        cid: String,
        /// What is wrong with it.
        source: LinksError,
    },
    /// Links lead further down than any file or path does.
    #[error("block {cid} lies deeper than {MAX_DEPTH} links")]
    TooDeep {
        /// Its CID in canonical text.
        cid: String,
    },
}

/// A walk over a DAG, depth first, links in the order of their block, each CID once.
///
/// Ask for [`next_wanted`](Self::next_wanted), then [`feed`](Self::feed) that block or
/// [`skip`](Self::skip) it. Below a root of dag-pb only dag-pb has links: what is neither that nor
/// raw is a file of one block to everything that reads UnixFS. Below dag-cbor and dag-json all
/// three have.
///
/// Holds the links that are left on each level, and a digest for each block that was wanted.
#[derive(Debug)]
pub struct Dfs {
    levels: Vec<Links>,
    seen: Seen,
    /// What was asked for and has not come yet.
    wanted: Option<Cid>,
    /// Whether dag-cbor and dag-json have links.
    is_data: bool,
}

impl Dfs {
    /// A walk that begins with `root`.
    pub fn new(root: &Cid) -> Self {
        let mut level = Links::default();
        level.push(root);
        Self {
            levels: vec![level],
            seen: Seen::default(),
            wanted: None,
            is_data: links::is_data(root.codec()),
        }
    }

    /// A walk that ends with `root` if that is no dag-pb: it was saved as a file of one block.
    pub fn of_file(root: &Cid) -> Self {
        Self {
            is_data: false,
            ..Self::new(root)
        }
    }

    /// The block that comes next in the CAR; `None` at the end. The same until it is fed or
    /// skipped.
    pub fn next_wanted(&mut self) -> Option<Cid> {
        while self.wanted.is_none() {
            match self.levels.last_mut()?.next() {
                Some(cid) if self.seen.insert(&cid) => self.wanted = Some(cid),
                Some(_) => {}
                None => {
                    self.levels.pop();
                }
            }
        }
        self.wanted
    }

    /// Takes the links of the block that is wanted. Its bytes must have been proved.
    ///
    /// # Errors
    /// [`DfsError`], after which the walk goes on as if the block had been skipped.
    ///
    /// # Panics
    /// If none is wanted.
    pub fn feed(&mut self, block: &Bytes) -> Result<(), DfsError> {
        let cid = self
            .wanted
            .take()
            .expect("a block is fed when one is wanted");
        if cid.codec() != codec::DAG_PB && !self.is_data {
            return Ok(());
        }
        let links = links::of(cid.codec(), block).map_err(|source| DfsError::Block {
            cid: cid::text(&cid),
            source,
        })?;
        let mut level = Links::default();
        links.iter().for_each(|link| level.push(link));
        // A level of which nothing is left need not stay below this one.
        if self.levels.last().is_some_and(Links::is_empty) {
            self.levels.pop();
        }
        if self.levels.len() >= MAX_DEPTH && !level.is_empty() {
            let cid = cid::text(&cid);
            return Err(DfsError::TooDeep { cid });
        }
        self.levels.push(level);
        Ok(())
    }

    /// Leaves out the block that is wanted, and all that only it leads to.
    pub fn skip(&mut self) {
        self.wanted = None;
    }
}

/// The links of a block that are left, in bytes: a [`Cid`] has room for the longest digest.
#[derive(Debug, Default)]
struct Links {
    bytes: Vec<u8>,
    at: usize,
}

impl Links {
    fn push(&mut self, cid: &Cid) {
        cid.write_bytes(&mut self.bytes)
            .expect("writing to memory never fails");
    }

    fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }
}

impl Iterator for Links {
    type Item = Cid;

    fn next(&mut self) -> Option<Cid> {
        if self.is_empty() {
            return None;
        }
        let (cid, len) = cid::read(&self.bytes[self.at..]).expect("what `push` wrote");
        self.at += len;
        Some(cid)
    }
}

/// CIDs that were met. Two CIDs of one hash are two blocks, as they are to go-car.
#[derive(Debug, Default)]
struct Seen {
    /// Of SHA-256, which nearly all are: version and codec in one byte, then the digest.
    sha256: HashSet<[u8; 33]>,
    others: HashSet<Box<[u8]>>,
}

impl Seen {
    /// Whether it is new.
    fn insert(&mut self, cid: &Cid) -> bool {
        match Self::short(cid) {
            Some(key) => self.sha256.insert(key),
            None => self.others.insert(cid.to_bytes().into()),
        }
    }

    fn short(cid: &Cid) -> Option<[u8; 33]> {
        let kind = match (cid.version(), cid.codec()) {
            (Version::V0, _) => 0,
            (Version::V1, codec::DAG_PB) => 1,
            (Version::V1, codec::RAW) => 2,
            (Version::V1, _) => return None,
        };
        if cid.hash().code() != SHA2_256 || cid.hash().digest().len() != 32 {
            return None;
        }
        let mut key = [kind; 33];
        key[1..].copy_from_slice(cid.hash().digest());
        Some(key)
    }
}

#[cfg(test)]
mod tests;
