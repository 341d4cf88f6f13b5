//! Whether two trees hold the same.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::disk::error::DiskError;
use crate::disk::inspect;
use crate::disk::tree::entry::EntryKind;
use crate::disk::tree::path::TreePath;
use crate::disk::tree::view::{TreeView, WalkEntry};

/// Whether the trees at two places have the same names with the same bytes and links, whatever
/// their modes and times; `false` if `other` is only a link to `one`, or if it is told to stop before
/// that is known.
///
/// # Errors
/// When one of them cannot be read.
pub fn same_tree(one: &Path, other: &Path, is_stopped: &AtomicBool) -> Result<bool, DiskError> {
    if inspect::is_link_to(other, one) {
        return Ok(false);
    }
    let (Some(ours), Some(theirs)) = (TreeView::open(one)?, TreeView::open(other)?) else {
        return Ok(false);
    };
    let mut count = 0;
    for entry in ours.walk() {
        let entry = entry?;
        if is_stopped.load(Ordering::Relaxed) || !is_in(&theirs, &ours, &entry, is_stopped)? {
            return Ok(false);
        }
        count += 1;
    }
    // One more than ours is enough to know.
    Ok(theirs.walk().take(count + 1).count() == count)
}

/// Whether `tree` has this entry of `from` too.
fn is_in(
    tree: &TreeView,
    from: &TreeView,
    entry: &WalkEntry,
    is_stopped: &AtomicBool,
) -> Result<bool, DiskError> {
    let path = entry.path.to_str().map(|path| path.replace('\\', "/"));
    let Some(Ok(path)) = path.as_deref().map(TreePath::parse) else {
        return Ok(false);
    };
    let there = tree.inspect(&path)?;
    if there.is_none_or(|there| there.kind != entry.facts.kind) {
        return Ok(false);
    }
    match entry.facts.kind {
        EntryKind::Directory => Ok(true),
        EntryKind::Link => Ok(tree.read_link(&path)? == from.read_link(&path)?),
        EntryKind::File => match (tree.read_file(&path)?, from.read_file(&path)?) {
            (Some(one), Some(other)) => inspect::same_bytes(&one, &other, is_stopped),
            _ => Ok(false),
        },
        _ => Ok(false),
    }
}
