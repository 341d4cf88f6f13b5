//! Files of one tree that have the same bytes, where nothing may be copied: they are compared.

use crate::disk::part::PartFile;
use crate::engine::plan::{EntryId, FilePlan, Plan};
use crate::engine::recover::{Recovery, RecoveryError, read};

/// Bytes compared at once.
const PIECE: u64 = 256 << 10;

impl Recovery<'_> {
    /// Finishes every file that holds what another one holds that is proved.
    pub(super) fn compare_twins(&self, plan: &mut Plan) -> Result<(), RecoveryError> {
        for (twin, first) in plan.twins() {
            let path = plan.entry(twin).map(|entry| entry.path.clone());
            let (Some(path), Some(proved)) = (path, self.proved_path(plan, first)?) else {
                continue;
            };
            if let (Some(twin_file), Some(first_file)) = (self.open(&path)?, self.open(&proved)?)
                && self.are_same(&twin_file, &first_file)?
            {
                plan.finish_twin(twin, first_file.len()?);
            }
        }
        Ok(())
    }

    /// Where a file is whose every byte is proved.
    fn proved_path(&self, plan: &Plan, id: EntryId) -> Result<Option<String>, RecoveryError> {
        if let Some(entry) = plan.entry(id) {
            let is_complete = plan.file(id).is_some_and(FilePlan::is_complete);
            return Ok(is_complete.then(|| entry.path.to_string()));
        }
        let rows = self
            .store
            .finished_files(self.id, id.checked_sub(1), 1)
            .wait()?;
        let row = rows.into_iter().find(|row| row.file.index == id);
        Ok(row.map(|row| row.file.path))
    }

    fn are_same(&self, one: &PartFile, other: &PartFile) -> Result<bool, RecoveryError> {
        let len = one.len()?;
        let mut at = 0;
        while at < len && other.len()? == len {
            self.check_stop()?;
            let piece = PIECE.min(len - at);
            if read(one, at, piece)? != read(other, at, piece)? {
                return Ok(false);
            }
            at += piece;
        }
        Ok(at == len && other.len()? == len)
    }
}
