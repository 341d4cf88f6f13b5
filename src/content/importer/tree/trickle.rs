//! The trickle layout: each node has leaves first, then trees of growing depth, four of each.
//!
//! Source: `ipld/unixfs/importer/trickle` of boxo.

use crate::content::importer::Sink;
use crate::content::importer::encode::{FileNode, Naming, Part};

/// How many trees of one depth a node has before it gets deeper ones.
const REPEAT: usize = 4;

/// The nodes from the root to that which takes the next leaf.
#[derive(Debug)]
pub(super) struct Trickle {
    width: usize,
    root: Open,
    below: Vec<Open>,
}

/// An unfinished node.
#[derive(Debug)]
struct Open {
    node: FileNode,
    /// Trees below it have less than this depth; the root has no limit.
    limit: Option<usize>,
    /// Trees below it so far.
    trees: usize,
}

impl Open {
    fn new(limit: Option<usize>) -> Self {
        Self {
            node: FileNode::default(),
            limit,
            trees: 0,
        }
    }

    /// Depth of the next tree below it, `None` if it is complete.
    fn next_depth(&self) -> Option<usize> {
        let depth = 1 + self.trees / REPEAT;
        self.limit
            .is_none_or(|limit| depth < limit)
            .then_some(depth)
    }
}

impl Trickle {
    pub(super) fn new(width: usize) -> Self {
        Self {
            width,
            root: Open::new(None),
            below: Vec::new(),
        }
    }

    /// Finds, or opens, the node that takes another leaf, and finishes those that are complete.
    pub(super) fn make_room(&mut self, naming: &Naming, sink: &mut Sink<'_>) {
        loop {
            let width = self.width;
            let open = self.innermost();
            if open.node.len() < width {
                return;
            }
            match open.next_depth() {
                Some(depth) => return self.below.push(Open::new(Some(depth))),
                None => self.close(naming, sink),
            }
        }
    }

    pub(super) fn add(&mut self, leaf: Part) {
        self.innermost().node.add(leaf);
    }

    pub(super) fn finish(mut self, naming: &Naming, sink: &mut Sink<'_>) -> Part {
        while !self.below.is_empty() {
            self.close(naming, sink);
        }
        self.root.node.finish(naming, sink)
    }

    fn innermost(&mut self) -> &mut Open {
        self.below.last_mut().unwrap_or(&mut self.root)
    }

    /// Finishes the innermost node, which becomes a part of that above.
    fn close(&mut self, naming: &Naming, sink: &mut Sink<'_>) {
        if let Some(mut done) = self.below.pop() {
            let part = done.node.finish(naming, sink);
            let above = self.innermost();
            above.node.add(part);
            above.trees += 1;
        }
    }
}
