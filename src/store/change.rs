//! How a download is wanted from now on, recorded in the transaction that claims it.
//!
//! Invariant: a run owns the download with all of the change, or neither is recorded: an error in
//! between would leave a download that a live run owns and nobody works on.

use jiff::Timestamp;
use rusqlite::Connection;

use crate::download::DownloadId;
use crate::store::DownloadRow;
use crate::store::queue::pin;
use crate::store::sql::{self, micros};

/// What is changed of a download by the run that claims it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Another part of the tree is wanted: all its entries are forgotten.
    pub other_part: bool,
    /// The canonical root CID, and the path under it, that its name led to.
    pub pinned: Option<(String, String)>,
    /// The barren tries and the last error are forgotten.
    pub begins_anew: bool,
    /// What `resume` needs to go on alike, as [`crate::store::NewDownload::options_json`], and the
    /// checksum that is demanded.
    pub asked: Option<(String, Option<[u8; 32]>)>,
}

impl Change {
    /// All stays as it is recorded.
    pub fn none(_: &DownloadRow) -> Self {
        Self::default()
    }

    pub(super) fn write(
        self,
        tx: &Connection,
        id: DownloadId,
        now: Timestamp,
    ) -> rusqlite::Result<()> {
        if self.other_part {
            sql::execute(tx, "DELETE FROM files WHERE download_id = ?1", [id.get()])?;
        }
        if let Some((root_cid, content_path)) = self.pinned {
            pin(tx, id, &root_cid, &content_path)?;
        }
        if self.begins_anew {
            let statement =
                "UPDATE downloads SET attempts = 0, error_kind = NULL, error_message = NULL,
                                    error_hint = NULL, updated_at = ?2 WHERE id = ?1";
            sql::execute(tx, statement, (id.get(), micros(now)))?;
        }
        if let Some((options_json, expected_sha256)) = self.asked {
            let statement = "UPDATE downloads SET options = ?2, expected_sha256 = ?3 WHERE id = ?1";
            sql::execute(tx, statement, (id.get(), options_json, expected_sha256))?;
        }
        Ok(())
    }
}
