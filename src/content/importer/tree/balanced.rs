//! The balanced layout: all leaves at one depth, every node full but the last of each level.

use crate::content::importer::Sink;
use crate::content::importer::encode::{FileNode, Naming, Part};

/// One unfinished node a level, that above the leaves first.
#[derive(Debug)]
pub(super) struct Balanced {
    width: usize,
    levels: Vec<FileNode>,
}

impl Balanced {
    pub(super) fn new(width: usize) -> Self {
        Self {
            width,
            levels: vec![FileNode::default()],
        }
    }

    /// Finishes each level that is full. As another leaf comes, none of them is the root.
    pub(super) fn make_room(&mut self, naming: &Naming, sink: &mut Sink<'_>) {
        let mut level = 0;
        while self.levels[level].len() == self.width {
            self.finish_level(level, naming, sink);
            level += 1;
        }
    }

    pub(super) fn add(&mut self, leaf: Part) {
        self.levels[0].add(leaf);
    }

    /// The root: what stands alone on the highest level. Called with at least one leaf.
    pub(super) fn finish(mut self, naming: &Naming, sink: &mut Sink<'_>) -> Part {
        let mut level = 0;
        loop {
            let is_highest = level + 1 == self.levels.len();
            match self.levels[level].only() {
                Some(root) if is_highest => return root,
                _ => self.finish_level(level, naming, sink),
            }
            level += 1;
        }
    }

    /// Writes the node of a level, which becomes a part of the next one.
    fn finish_level(&mut self, level: usize, naming: &Naming, sink: &mut Sink<'_>) {
        let part = self.levels[level].finish(naming, sink);
        if level + 1 == self.levels.len() {
            self.levels.push(FileNode::default());
        }
        self.levels[level + 1].add(part);
    }
}
