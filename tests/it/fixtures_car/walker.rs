//! The simplest reader of a CAR that can be right: all verified blocks in a map, then depth first
//! from a root.

use std::collections::HashMap;

use bytes::Bytes;
use fetchd::content::car::{CarError, CarHeader, CarParser, Limits, Section};
use fetchd::content::cid::{self, Cid, Multihash};
use fetchd::content::hash::VerifiedBlock;
use fetchd::content::unixfs::{self, FileNode, Node, UnixFsError};

use crate::support::dag::Dag;

const LIMITS: Limits = Limits {
    header: 1 << 20,
    block: 2 << 20,
};

/// More bytes than any honest fixture has.
const MAX_FILE: u64 = 64 << 20;

/// What a CAR gave before it ended, well or not.
pub struct Read {
    pub header: Option<CarHeader>,
    pub sections: Vec<Section>,
    pub end: Result<(), CarError>,
}

pub fn read_car(bytes: &[u8], chunk: usize) -> Read {
    let mut parser = CarParser::new(LIMITS);
    let mut sections = Vec::new();
    let mut end = Ok(());
    'bytes: for piece in bytes.chunks(chunk) {
        parser.push(Bytes::copy_from_slice(piece));
        loop {
            match parser.next() {
                Ok(Some(section)) => sections.push(section),
                Ok(None) => break,
                Err(error) => {
                    end = Err(error);
                    break 'bytes;
                }
            }
        }
    }
    Read {
        header: parser.header().cloned(),
        sections,
        end: end.and_then(|()| parser.finish()),
    }
}

/// The blocks that are what their CIDs name, by the identity of blocks: the multihash.
#[derive(Default)]
pub struct Blocks {
    verified: HashMap<Multihash, Bytes>,
    pub rejected: Vec<Cid>,
}

impl Blocks {
    pub fn of(sections: &[Section]) -> Self {
        let mut blocks = Self::default();
        for section in sections {
            match VerifiedBlock::check(section.cid, section.contiguous()) {
                Ok(block) => {
                    blocks
                        .verified
                        .insert(*block.cid().hash(), block.data().clone());
                }
                Err(_) => blocks.rejected.push(section.cid),
            }
        }
        blocks
    }

    pub fn of_dag(dag: &Dag) -> Self {
        Self::of(&read_car(&dag.car(), usize::MAX).sections)
    }

    pub fn block(&self, cid: &Cid) -> Result<Bytes, WalkError> {
        if let Some(bytes) = cid::identity(cid) {
            return Ok(Bytes::copy_from_slice(bytes));
        }
        let block = self.verified.get(cid.hash()).cloned();
        block.ok_or_else(|| WalkError::Missing(cid::text(cid)))
    }

    /// The bytes of the file at `root`.
    pub fn file(&self, root: &Cid) -> Result<Vec<u8>, WalkError> {
        let block = self.block(root)?;
        let Node::File(file) = unixfs::node(root.codec(), &block)? else {
            return Err(WalkError::NotFile);
        };
        if file.size > MAX_FILE {
            return Err(WalkError::TooLarge(file.size));
        }
        let mut out = Vec::new();
        let mut stack = vec![(block, file, 0)];
        while let Some((block, file, start)) = stack.pop() {
            assert_eq!(out.len() as u64, start, "parts follow each other");
            out.extend_from_slice(&block[file.inline.clone()]);
            self.push_children(&file, start, &mut stack)?;
        }
        Ok(out)
    }

    fn push_children(
        &self,
        file: &FileNode,
        start: u64,
        stack: &mut Vec<(Bytes, FileNode, u64)>,
    ) -> Result<(), WalkError> {
        for child in file.children.iter().rev() {
            let block = self.block(&child.cid)?;
            let part = unixfs::child(child, &block)?;
            stack.push((block, part, start + child.offset));
        }
        Ok(())
    }
}

#[derive(Debug, PartialEq)]
pub enum WalkError {
    Missing(String),
    NotFile,
    TooLarge(u64),
    Structure(UnixFsError),
}

impl From<UnixFsError> for WalkError {
    fn from(error: UnixFsError) -> Self {
        WalkError::Structure(error)
    }
}
