//! The ledger of files with a final name, so that "already there" needs no hashing.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, Row, named_params};

use crate::download::DownloadId;
use crate::store::sql::{self, int, micros, path_value};
use crate::store::thread::Durability;
use crate::store::{Reply, Store, nodes};

/// A proved file with its final name. While size and time on disk are these, its content is
/// taken for unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Install {
    /// Absolute path.
    pub path: PathBuf,
    /// Canonical text; `None` for a plain URL.
    pub cid: Option<String>,
    /// Size in bytes.
    pub size: u64,
    /// Modification time in nanoseconds since 1970 UTC, as the file system says.
    pub mtime_ns: i64,
    /// SHA-256, unless switched off.
    pub sha256: Option<[u8; 32]>,
}

impl Store {
    /// What the ledger knows of this path.
    pub fn install_at(&self, path: &Path) -> Reply<Option<Install>> {
        let path = path_value(path);
        self.read(move |tx| {
            Ok(sql::first(
                tx,
                "SELECT * FROM installs WHERE path = ?1",
                [path],
                read,
            )?)
        })
    }

    /// Every file that the ledger knows with this CID, newest first: places to copy from.
    pub fn installs_of(&self, cid: &str) -> Reply<Vec<Install>> {
        let cid = cid.to_owned();
        self.read(move |tx| {
            let statement = "SELECT * FROM installs WHERE cid = ?1 ORDER BY installed_at DESC";
            Ok(sql::all(tx, statement, [cid], read)?)
        })
    }

    /// Every file that the ledger knows, by path.
    pub fn installs(&self) -> Reply<Vec<Install>> {
        self.read(move |tx| {
            Ok(sql::all(
                tx,
                "SELECT * FROM installs ORDER BY path",
                [],
                read,
            )?)
        })
    }

    /// Forgets a file, for one that is gone or has changed; whether it was known.
    pub fn forget_install(&self, path: &Path) -> Reply<bool> {
        let path = path_value(path);
        self.write(Durability::Process, move |tx| {
            let statement = "DELETE FROM installs WHERE path = ?1 RETURNING download_id";
            let made_by = sql::first(tx, statement, [path], |row| {
                sql::download_id(row, "download_id")
            })?;
            if let Some(id) = made_by {
                nodes::sweep(tx, id)?;
            }
            Ok(made_by.is_some())
        })
    }
}

/// Writes a file that `id` made into the ledger, in place of what was there.
pub(super) fn record(
    tx: &Connection,
    id: DownloadId,
    install: &Install,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let path = path_value(&install.path);
    let statement = "SELECT download_id FROM installs WHERE path = ?1";
    let before = sql::first(tx, statement, [&path], |row| {
        sql::download_id(row, "download_id")
    })?;
    sql::execute(
        tx,
        "INSERT INTO installs (path, cid, size, mtime, sha256, download_id, installed_at)
         VALUES (:path, :cid, :size, :mtime, :sha256, :id, :now)
         ON CONFLICT (path) DO UPDATE SET cid = excluded.cid, size = excluded.size,
             mtime = excluded.mtime, sha256 = excluded.sha256, download_id = excluded.download_id,
             installed_at = excluded.installed_at",
        named_params! {
            ":path": path,
            ":cid": install.cid,
            ":size": int(install.size),
            ":mtime": install.mtime_ns,
            ":sha256": install.sha256,
            ":id": id.get(),
            ":now": micros(now),
        },
    )?;
    before.map_or(Ok(()), |before| nodes::sweep(tx, before))
}

fn read(row: &Row<'_>) -> rusqlite::Result<Install> {
    Ok(Install {
        path: sql::required(sql::optional_path(row, "path")?, "path")?,
        cid: row.get("cid")?,
        size: sql::size(row, "size")?,
        mtime_ns: row.get("mtime")?,
        sha256: sql::digest(row, "sha256")?,
    })
}
