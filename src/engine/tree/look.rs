//! The last look at the files of a tree before its final name: is each as our own last write left
//! it, whoever may have touched it meanwhile?
//!
//! Costs one look a file as long as nobody has. What somebody has touched is proved once more from
//! the disk; what then proves wrong ends the run, and nothing believes in it any more.

use std::collections::HashSet;

use crate::disk::tree::{EntryFacts, EntryKind, TreePath};
use crate::download::Failure;
use crate::engine::coordinator::Stop;
use crate::engine::output::{self, Output};
use crate::engine::plan::Reading;
use crate::engine::recover::{Access, Recovery, RecoveryError};
use crate::engine::tree::Builder;
use crate::exit::ExitKind;
use crate::store::{FileKind, FileRow};

/// Files that proved wrong. Of all that are touched little is kept: there may be many.
#[derive(Default)]
struct Wrong {
    /// The path of the first one.
    first: Option<String>,
    /// What they should be.
    contents: HashSet<Reading>,
}

impl Wrong {
    fn add(&mut self, row: &FileRow) {
        self.first.get_or_insert_with(|| row.file.path.clone());
        self.contents.extend(Reading::of_row(row));
    }
}

impl Builder<'_> {
    /// The last look before the final name: every file is as our own last write left it, or it is
    /// proved once more.
    pub(super) fn look_again(&self) -> Result<(), Stop> {
        let (mut touched, mut wrong) = (Vec::new(), Wrong::default());
        self.each_row(|row| {
            if row.file.kind == FileKind::File && !self.is_as_left(row)? {
                match self.still_holds(row)? {
                    true => touched.push(row.file.index),
                    // What was read in part only has proved nothing.
                    _ if self.is_stopped() => {}
                    false => wrong.add(row),
                }
            }
            Ok(())
        })?;
        if self.is_stopped() {
            return Ok(());
        }
        if let Some(first) = &wrong.first {
            self.reopen(&wrong.contents)?;
            return Err(self.changed(first));
        }
        match touched.is_empty() {
            true => Ok(()),
            false => self.take_over(&touched),
        }
    }

    fn is_as_left(&self, row: &FileRow) -> Result<bool, Stop> {
        let there = self.look(row)?;
        // Our own last write may have left a file longer that somebody had made so.
        let is_whole =
            |facts: &EntryFacts| facts.kind == EntryKind::File && Some(facts.len) == row.file.size;
        let found = there.filter(is_whole).and_then(|facts| facts.fingerprint());
        Ok(found.is_some() && found == row.state.fingerprint)
    }

    pub(super) fn look(&self, row: &FileRow) -> Result<Option<EntryFacts>, Stop> {
        let Some(path) = self.path_of(row)? else {
            return Ok(None);
        };
        let there = output::lock(&self.tree).inspect(&path);
        there.map_err(|error| self.part_failed(&error))
    }

    /// Whether a file that somebody has touched is right all the same.
    fn still_holds(&self, row: &FileRow) -> Result<bool, Stop> {
        let (path, size) = (self.path_of(row)?, row.file.size.unwrap_or(0));
        let is_longer = |facts: EntryFacts| facts.kind == EntryKind::File && facts.len > size;
        if let (Some(path), true) = (path, self.look(row)?.is_some_and(is_longer)) {
            self.cut(&path, size)?;
        }
        let recovery = Recovery {
            id: self.id,
            run: self.run,
            root: self.root,
            store: self.store.clone(),
            output: Output::Tree(self.tree.clone()),
            access: Access::Read,
            max_block: self.limits.max_block,
            is_stopped: self.is_stopped,
        };
        match recovery.still_holds(row, self.limits.clone()) {
            Ok(holds) => Ok(holds),
            Err(RecoveryError::Disk(error)) => Err(self.part_failed(&error)),
            Err(RecoveryError::Store(error)) => Err(self.store_failed(&error)),
            Err(RecoveryError::Stopped | RecoveryError::Plan(_)) => Ok(false),
        }
    }

    /// What is wrong is believed no more, nor what may have been copied from it.
    fn reopen(&self, contents: &HashSet<Reading>) -> Result<(), Stop> {
        let is_wrong = |row: &FileRow| {
            let reading = Reading::of_row(row);
            reading.is_none_or(|reading| contents.contains(&reading))
        };
        let mut indexes = Vec::new();
        self.each_row(|row| {
            if row.file.kind == FileKind::File && is_wrong(row) {
                indexes.push(row.file.index);
            }
            Ok(())
        })?;
        let reopened = self.store.reopen_files(self.id, self.run, indexes);
        reopened.wait().map_err(|error| self.store_failed(&error))
    }

    /// What somebody touched proved right: it is made ours again, and durable. The numbers ascend.
    fn take_over(&self, touched: &[u32]) -> Result<(), Stop> {
        if self.preserves {
            self.preserve()?;
        }
        let sync = output::lock(&self.tree).full_sync();
        sync.run().map_err(|error| self.part_failed(&error))?;
        let mut fingerprints = Vec::new();
        self.each_row(|row| {
            if touched.binary_search(&row.file.index).is_ok() {
                let now = self.look(row)?.and_then(|facts| facts.fingerprint());
                fingerprints.push((row.file.index, now));
            }
            Ok(())
        })?;
        self.record_fingerprints(fingerprints)
    }

    fn changed(&self, path: &str) -> Stop {
        Stop::Failed(Failure {
            kind: ExitKind::Disk,
            message: format!(
                "the file {path} in the part is not as it was written: somebody else has changed it"
            ),
            hint: Some(format!("prove it again with: fetchd resume {}", self.id)),
        })
    }

    /// Cuts off what somebody else put behind the end of a file.
    fn cut(&self, path: &TreePath, size: u64) -> Result<(), Stop> {
        let opened = output::lock(&self.tree).open_file(path);
        let cut = opened.and_then(|part| part.map_or(Ok(()), |part| part.set_len(size)));
        cut.map_err(|error| self.part_failed(&error))
    }
}
