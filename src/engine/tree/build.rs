//! What is no file of a tree, and what all of its entries get once everything is there.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use crate::disk::DiskError;
use crate::disk::tree::{EntryFacts, Links, Preserved, TreePath, UnsafeLink};
use crate::engine::coordinator::Stop;
use crate::engine::output;
use crate::engine::tree::{Builder, Left, part_failure, unsafe_link};
use crate::store::{FileKind, FileRow, StoreError};

impl Builder<'_> {
    pub(super) fn build(&self) -> Result<(), Stop> {
        let mut links = Links::new(output::lock(&self.tree).folds_names());
        let mut count = 0;
        self.each_row(|row| {
            count += usize::from(is_on_disk(row));
            self.make_directory(&mut links, row)
        })?;
        if self.is_stopped() {
            return Ok(());
        }
        links.check().map_err(|bad| self.bad_link(&bad))?;
        for (path, target) in links.iter() {
            let mut tree = output::lock(&self.tree);
            let made = output::make_dirs(&mut tree, path).and_then(|()| tree.symlink(path, target));
            made.map_err(|error| self.part_failed(&error))?;
        }
        count -= self.leave_out_empty()?;
        self.remove_strangers(count)?;
        if self.preserves {
            self.preserve()?;
        }
        Ok(())
    }

    /// Directories that only may have held something that is wanted, and did not, are no part of
    /// what is wanted; how many they are.
    fn leave_out_empty(&self) -> Result<usize, Stop> {
        if self.filter.takes_all() {
            return Ok(0);
        }
        let mut empty = Vec::new();
        self.each_row(|row| {
            let may_be_empty = row.file.kind == FileKind::Directory;
            if let (true, Some(path)) = (may_be_empty, self.path_of(row)?)
                && !self.filter.takes_file(&row.file.path)
            {
                let there = output::lock(&self.tree).inspect(&path);
                let there = there.map_err(|error| self.part_failed(&error))?;
                empty.extend(there.is_none().then_some(row.file.index));
            }
            Ok(())
        })?;
        let count = empty.len();
        if count > 0 {
            let left_out = self.store.leave_out(self.id, self.run, empty);
            left_out.wait().map_err(|error| self.store_failed(&error))?;
        }
        Ok(count)
    }

    /// Removes what is in the part and not in the tree: it would get a final name with the rest.
    /// All `count` entries were there, so mostly there is nothing else. Where somebody took one away
    /// and put another one there, the count says nothing; then the last look finds what is missing.
    fn remove_strangers(&self, count: usize) -> Result<(), Stop> {
        let tree = output::lock(&self.tree);
        let found = tree.walk().take_while(|_| !self.is_stopped()).count();
        drop(tree);
        if found == count || self.is_stopped() {
            return Ok(());
        }
        let mut known = HashSet::new();
        self.each_row(|row| {
            if is_on_disk(row) {
                known.insert(PathBuf::from(&row.file.path));
            }
            Ok(())
        })?;
        let retained = output::lock(&self.tree).retain(&mut |path| known.contains(path));
        retained.map_err(|error| self.part_failed(&error))
    }

    /// Directories are made, links are gathered.
    fn make_directory(&self, links: &mut Links, row: &FileRow) -> Result<(), Stop> {
        let Some(path) = self.path_of(row)? else {
            return Ok(());
        };
        match row.file.kind {
            // One that only may have held something that is wanted comes with what it holds.
            FileKind::Directory if !self.filter.takes_file(&row.file.path) => Ok(()),
            FileKind::Directory => {
                let mut tree = output::lock(&self.tree);
                let made = output::make_dirs(&mut tree, &path).and_then(|()| tree.make_dir(&path));
                made.map(|_| ()).map_err(|error| self.part_failed(&error))
            }
            FileKind::Symlink => {
                let target = row.file.target.as_deref().unwrap_or_default();
                links.add(&path, target).map_err(|bad| self.bad_link(&bad))
            }
            FileKind::File | FileKind::Unknown | FileKind::Shard => Ok(()),
        }
    }

    /// Sets modes and times: links, then files, then directories from the deepest up.
    pub(super) fn preserve(&self) -> Result<(), Stop> {
        let mut directories = Vec::new();
        let mut touched = Vec::new();
        self.each_row(|row| {
            let preserved = Preserved {
                mode: row.file.mode,
                modified: row.file.mtime,
            };
            let path = self.path_of(row)?;
            match row.file.kind {
                FileKind::Directory => directories.push((path, preserved)),
                FileKind::File | FileKind::Symlink => {
                    let before = self.set(path.as_ref(), &preserved)?;
                    touched.extend(self.left(row, before.as_ref())?);
                }
                FileKind::Unknown | FileKind::Shard => {}
            }
            Ok(())
        })?;
        self.record_fingerprints(touched)?;
        directories.sort_by_key(|(path, _)| {
            std::cmp::Reverse(path.as_ref().map_or(0, |path| path.names().count()))
        });
        directories
            .iter()
            .try_for_each(|(path, preserved)| self.set(path.as_ref(), preserved).map(|_| ()))
    }

    fn set(
        &self,
        path: Option<&TreePath>,
        preserved: &Preserved,
    ) -> Result<Option<EntryFacts>, Stop> {
        let set = output::lock(&self.tree).preserve(path, preserved);
        set.map_err(|error| self.part_failed(&error))
    }

    /// How a file or link stands there now that its times are set. New times are ours, and no
    /// reason to prove it again, unless somebody else had touched it before.
    pub(super) fn left(
        &self,
        row: &FileRow,
        before: Option<&EntryFacts>,
    ) -> Result<Option<Left>, Stop> {
        let Some(now) = self.look(row)? else {
            return Ok(None);
        };
        let path = &row.file.path;
        let mut tree = output::lock(&self.tree);
        let noted = tree.left(path);
        let known = noted.unwrap_or(row.state.fingerprint);
        let is_ours = row.file.kind == FileKind::Symlink
            || known.is_some() && before.and_then(EntryFacts::fingerprint) == known;
        let left = now.fingerprint().filter(|_| is_ours);
        if noted.is_some() {
            tree.forget_left(path);
            tree.note_left(path, left);
        }
        Ok(Some((row.file.index, left)))
    }

    pub(super) fn record_fingerprints(&self, fingerprints: Vec<Left>) -> Result<(), Stop> {
        let reply = self.store.set_fingerprints(self.id, self.run, fingerprints);
        reply.wait().map_err(|error| self.store_failed(&error))
    }

    pub(super) fn path_of(&self, row: &FileRow) -> Result<Option<TreePath>, Stop> {
        if row.file.path.is_empty() {
            return Ok(None);
        }
        let path = TreePath::parse(&row.file.path);
        path.map(Some).map_err(|error| self.part_failed(&error))
    }

    pub(super) fn each_row(
        &self,
        mut visit: impl FnMut(&FileRow) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        for page in self.store.entry_pages(self.id) {
            for row in &page.map_err(|error| self.store_failed(&error))? {
                if self.is_stopped() {
                    return Ok(());
                }
                visit(row)?;
            }
        }
        Ok(())
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// The links are wrong wherever they are made.
    fn bad_link(&self, bad: &UnsafeLink) -> Stop {
        Stop::Unsound(unsafe_link(bad, self.hint.clone()))
    }

    pub(super) fn part_failed(&self, error: &DiskError) -> Stop {
        Stop::Failed(part_failure(error, self.id, self.hint.as_str()))
    }

    pub(super) fn store_failed(&self, error: &StoreError) -> Stop {
        Stop::of_store(error, self.id)
    }
}

/// Whether a row stands for a name on the disk.
fn is_on_disk(row: &FileRow) -> bool {
    let is_known = !matches!(row.file.kind, FileKind::Unknown | FileKind::Shard);
    is_known && !row.file.path.is_empty()
}
