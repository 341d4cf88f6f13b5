//! What no proof of its files shows of a tree that stands at its target already.

use crate::disk::tree::{EntryKind, TreePath};
use crate::engine::filter::Filter;
use crate::engine::output::Output;
use crate::engine::plan::{FilePlan, Plan};
use crate::engine::recover::{Recovery, RecoveryError};
use crate::store::FileKind;

impl Recovery<'_> {
    /// Whether all of a tree stands at the target, of which the bytes of the files are proved: no file
    /// goes on behind its end, and its links and directories are there too. What was added to it is
    /// passed over.
    ///
    /// # Errors
    /// See [`RecoveryError`].
    pub fn stands_whole(&self, plan: &Plan, filter: &Filter) -> Result<bool, RecoveryError> {
        let Output::View(view) = &self.output else {
            return Ok(true);
        };
        let mut is_whole = true;
        self.each_row(self.store.entry_pages(self.id), |row| {
            if row.file.path.is_empty() {
                return Ok(());
            }
            let path = TreePath::parse(&row.file.path)?;
            let there = view.inspect(&path)?;
            let is = |kind| there.as_ref().is_some_and(|there| there.kind == kind);
            is_whole &= match row.file.kind {
                // What a filter leaves out.
                FileKind::Unknown if row.state.done => true,
                FileKind::File | FileKind::Unknown => {
                    let file = plan.file(row.file.index);
                    let size = file.map(FilePlan::size).or(row.file.size);
                    let len = there.as_ref().map(|there| there.len);
                    is(EntryKind::File) && size == len
                }
                // One that only may have held something that is wanted need not be there.
                FileKind::Directory => {
                    is(EntryKind::Directory) || !filter.takes_file(&row.file.path)
                }
                FileKind::Symlink => {
                    is(EntryKind::Link) && view.read_link(&path).ok() == row.file.target
                }
                FileKind::Shard => true,
            };
            Ok(())
        })?;
        Ok(is_whole)
    }
}
