//! Whether what earlier downloads put in place is still as they left it, without reading a file:
//! by sizes and times.

use std::path::Path;

use crate::commands::error::CommandError;
use crate::content::cid;
use crate::disk::tree::{EntryKind, TreePath, TreeView};
use crate::disk::{Fingerprint, inspect};
use crate::download::{DownloadId, Receipt};
use crate::store::{DownloadRow, FileKind, FileRow, Install, LedgerEntry, Store};

/// A file of a tree that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongFile {
    /// Below the tree.
    pub path: TreePath,
    /// What it should be: canonical text.
    pub cid: String,
    /// Whether nothing stands there that could be replaced.
    pub is_gone: bool,
}

/// What of a tree is not as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wrong {
    /// Directories that are gone, each before what it held.
    pub directories: Vec<TreePath>,
    /// Files that are gone, or others.
    pub files: Vec<WrongFile>,
}

/// What is left of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeFound {
    /// All of it is as it was.
    Unchanged,
    /// This of it is not.
    Wrong(Wrong),
    /// Something else stands where a directory or a symlink was.
    Changed,
    /// Nothing is recorded of what was in it.
    Unknown,
}

/// Whether a file is as the download `row` left it.
pub fn is_file_unchanged(
    store: &Store,
    row: &DownloadRow,
    path: &Path,
) -> Result<bool, CommandError> {
    let entry = store.ledger_at(path).wait()?;
    let known = entry.filter(|entry| is_its(entry, row));
    let known = known.map(|entry| entry.install.fingerprint());
    Ok(known.is_some() && inspect::fingerprint(path) == known)
}

/// Whether the ledger speaks of what the download `row` made: another one may have put other content
/// there since, or the same.
fn is_its(entry: &LedgerEntry, row: &DownloadRow) -> bool {
    let receipt = row.receipt_json.as_deref().and_then(Receipt::from_json);
    let is_same = match (&entry.install.cid, receipt.and_then(|receipt| receipt.cid)) {
        (Some(there), Some(made)) => *there == made,
        (None, None) => entry.install.sha256.is_some() && entry.install.sha256 == row.sha256,
        _ => false,
    };
    entry.download == row.id || is_same
}

/// Whether a symlink is as the download `id` made it.
pub fn is_link_unchanged(store: &Store, id: DownloadId, path: &Path) -> Result<bool, CommandError> {
    let rows = store.entries(id, None, 1).wait()?;
    let known = rows.into_iter().next().and_then(|row| row.file.target);
    Ok(known.is_some() && inspect::link_text(path) == known)
}

/// Whether a whole directory is as the download `row` left it.
pub fn is_tree_unchanged(
    store: &Store,
    row: &DownloadRow,
    path: &Path,
) -> Result<bool, CommandError> {
    let entry = store.ledger_at(path).wait()?;
    if entry.is_some_and(|entry| !is_its(&entry, row)) {
        return Ok(false);
    }
    let alone = |path: &Path| store.install_at(path).wait().ok().flatten();
    Ok(tree(store, row.id, path, &alone)? == TreeFound::Unchanged)
}

/// Whether everything in a directory is as the download `id` left it, or as a download of that file
/// alone did later: of such a one `alone` knows what it is, and how it was left. What was added is
/// passed over.
pub fn tree(
    store: &Store,
    id: DownloadId,
    path: &Path,
    alone: &dyn Fn(&Path) -> Option<Install>,
) -> Result<TreeFound, CommandError> {
    let Ok(Some(view)) = TreeView::open(path) else {
        return Ok(TreeFound::Changed);
    };
    let (mut wrong, mut is_known) = (Wrong::default(), false);
    for page in store.entry_pages(id) {
        is_known = true;
        for row in &page? {
            match look(&view, path, row, alone) {
                Found::Right => {}
                Found::Gone(directory) => wrong.directories.push(directory),
                Found::Wrong(file) => wrong.files.push(file),
                Found::Changed => return Ok(TreeFound::Changed),
            }
        }
    }
    let is_as_proved = || {
        let found = inspect::tree_fingerprint(path);
        found.is_some() && found == alone(path).map(|known| known.mtime_ns)
    };
    Ok(match is_known {
        true if wrong == Wrong::default() => TreeFound::Unchanged,
        true => TreeFound::Wrong(wrong),
        false if is_as_proved() => TreeFound::Unchanged,
        false => TreeFound::Unknown,
    })
}

enum Found {
    Right,
    Gone(TreePath),
    Wrong(WrongFile),
    Changed,
}

fn look(
    view: &TreeView,
    root: &Path,
    row: &FileRow,
    alone: &dyn Fn(&Path) -> Option<Install>,
) -> Found {
    if row.file.path.is_empty() || matches!(row.file.kind, FileKind::Unknown | FileKind::Shard) {
        return Found::Right;
    }
    let Ok(path) = TreePath::parse(&row.file.path) else {
        return Found::Changed;
    };
    let facts = view.inspect(&path).ok().flatten();
    let is_right = match row.file.kind {
        FileKind::Directory => match facts {
            None => return Found::Gone(path),
            Some(facts) => facts.kind == EntryKind::Directory,
        },
        FileKind::Symlink => view.read_link(&path).ok() == row.file.target,
        _ => {
            let found = facts.as_ref().and_then(|facts| facts.fingerprint());
            let is_alone = || {
                let install = alone(&path.below(root));
                install.is_some_and(|install| is_this_file(&install, row, found))
            };
            let is_known = || found == row.state.fingerprint || is_alone();
            let is_file = facts.is_none_or(|facts| facts.kind == EntryKind::File);
            match (&row.file.cid, is_file) {
                _ if found.is_some() && is_known() => true,
                (Some(cid), true) => {
                    return Found::Wrong(WrongFile {
                        path,
                        cid: cid.clone(),
                        is_gone: facts.is_none(),
                    });
                }
                _ => false,
            }
        }
    };
    match is_right {
        true => Found::Right,
        false => Found::Changed,
    }
}

/// Whether a download of its own left a file of a tree as it is `found`. It may have put other
/// content there: then it is not the tree's any more.
fn is_this_file(install: &Install, row: &FileRow, found: Option<Fingerprint>) -> bool {
    let parsed = |text: &Option<String>| cid::parse(text.as_deref()?).ok();
    let both = parsed(&row.file.cid).zip(parsed(&install.cid));
    let is_same = both.is_some_and(|(wanted, put)| cid::is_same(&wanted, &put));
    is_same && found == Some(install.fingerprint())
}
