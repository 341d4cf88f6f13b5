//! Whole trees: the part that a directory is built in, and what compares, installs and removes it.
//!
//! Not responsible for what belongs into a tree, nor for its proof. Invariants: every operation
//! names its place by a [`TreePath`] and walks there from the open root, one name at a time,
//! without following a symlink, so that no link, whether the DAG made it or somebody else, leads
//! out of the tree; and a tree gets its final name by one rename of the whole.
//!
//! The order of a build: [`Tree::create`], then directories, files and last symlinks (judged by
//! [`Links`] first), with a [`Tree::full_sync`] at each checkpoint; at the end
//! [`Tree::preserve`] from the leaves up, the last [`Tree::full_sync`], [`Tree::install`].

pub(in crate::disk) mod entry;
mod install;
mod links;
mod part;
mod path;
mod put_link;
mod remove;
mod root;
mod same;
mod spelling;
mod sync;
mod view;

pub use entry::{EntryFacts, EntryKind, Preserved};
pub use install::settle;
pub use links::{Links, UnsafeLink};
pub use part::Tree;
pub use path::{MAX_DEPTH, TreePath};
pub use put_link::put_link;
pub use remove::remove_tree;
pub use same::same_tree;
pub use sync::TreeSync;
pub use view::{TreeView, Walk, WalkEntry};

#[cfg(test)]
mod tests;
