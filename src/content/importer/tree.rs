//! Leaves into the root above them, in the layout of a profile.
//!
//! Knows no bytes of the file. A leaf is taken in two steps, so that a node which no further leaf
//! belongs to is finished before that leaf.

mod balanced;
mod trickle;

use crate::content::importer::encode::{Naming, Part};
use crate::content::importer::profile::Layout;
use crate::content::importer::tree::balanced::Balanced;
use crate::content::importer::tree::trickle::Trickle;
use crate::content::importer::{Root, Sink};

/// The unfinished tree of one profile.
#[derive(Debug)]
pub(super) struct Tree {
    naming: Naming,
    shape: Shape,
}

#[derive(Debug)]
enum Shape {
    Balanced(Balanced),
    Trickle(Trickle),
    /// The one leaf so far.
    Single(Option<Part>),
    /// More than one leaf where only one may be.
    Overflown,
}

impl Tree {
    pub(super) fn new(layout: Layout, naming: Naming) -> Self {
        let shape = match layout {
            Layout::Balanced { width } => Shape::Balanced(Balanced::new(width)),
            Layout::Trickle { width } => Shape::Trickle(Trickle::new(width)),
            Layout::Single => Shape::Single(None),
        };
        Self { naming, shape }
    }

    pub(super) fn naming(&self) -> &Naming {
        &self.naming
    }

    /// Whether further leaves could make a difference.
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.shape, Shape::Overflown)
    }

    /// Whether a file without bytes has a leaf without bytes.
    pub(super) fn has_empty_leaf(&self) -> bool {
        !matches!(self.shape, Shape::Trickle(_))
    }

    /// Finishes the nodes that are full, as another leaf comes.
    pub(super) fn make_room(&mut self, sink: &mut Sink<'_>) {
        match &mut self.shape {
            Shape::Balanced(tree) => tree.make_room(&self.naming, sink),
            Shape::Trickle(tree) => tree.make_room(&self.naming, sink),
            Shape::Single(None) => {}
            Shape::Single(Some(_)) | Shape::Overflown => self.shape = Shape::Overflown,
        }
    }

    /// Takes the leaf that there is room for.
    pub(super) fn add(&mut self, leaf: Part) {
        match &mut self.shape {
            Shape::Balanced(tree) => tree.add(leaf),
            Shape::Trickle(tree) => tree.add(leaf),
            Shape::Single(place) => *place = Some(leaf),
            Shape::Overflown => {}
        }
    }

    /// The root above all leaves; `None` if they are too many.
    pub(super) fn finish(self, sink: &mut Sink<'_>) -> Option<Root> {
        let whole = match self.shape {
            Shape::Balanced(tree) => Some(tree.finish(&self.naming, sink)),
            Shape::Trickle(tree) => Some(tree.finish(&self.naming, sink)),
            Shape::Single(leaf) => leaf,
            Shape::Overflown => None,
        };
        whole.map(|part| part.root)
    }
}
