//! The ledger of files with a final name, so that "already there" needs no hashing.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use rusqlite::{Connection, Row, named_params};

use crate::disk::Fingerprint;
use crate::download::{DownloadId, Proof};
use crate::store::sql::{self, int, micros, path_value};
use crate::store::thread::Durability;
use crate::store::{Reply, Store, nodes};

/// Places of the same content that are named at the most.
const MAX_COPIES: u32 = 16;

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
    /// Modification time in nanoseconds since 1970 UTC, as the file system says; of a directory a
    /// number that changes when anything in it does.
    pub mtime_ns: i64,
    /// SHA-256, unless switched off.
    pub sha256: Option<[u8; 32]>,
}

impl Install {
    /// How it stood there when it was noted.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint {
            len: self.size,
            mtime_ns: self.mtime_ns,
        }
    }
}

/// A line of the ledger: a file or tree, and what is known of the download that made it, be that
/// forgotten by now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerEntry {
    /// What it made.
    pub install: Install,
    /// The download.
    pub download: DownloadId,
    /// How it was proved.
    pub proof: Option<Proof>,
    /// What it was asked for with: JSON, opaque here.
    pub options_json: Option<String>,
}

/// Which download made what is at a path, as somebody saw it who looked. Each finishes once only,
/// so that this is another one as soon as a download to that path has finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Looked(Option<DownloadId>);

/// The modification time of what is known to be damaged: no file system says so, so that the
/// ledger never takes it for unchanged.
const DAMAGED: i64 = i64::MIN;

impl Store {
    /// The line of the ledger for this path.
    pub fn ledger_at(&self, path: &Path) -> Reply<Option<LedgerEntry>> {
        let path = path_value(path);
        self.read(move |tx| {
            let statement = "SELECT * FROM own_installs WHERE path = ?1";
            Ok(sql::first(tx, statement, [path], read_entry)?)
        })
    }

    /// Which download made what is at this path: for who is about to look whether it is what is
    /// wanted. Nothing has made what goes to standard output.
    pub fn look_at(&self, path: Option<&Path>) -> Reply<Looked> {
        let path = path.map(Path::to_owned);
        self.read(move |tx| Ok(look(tx, path.as_deref())?))
    }

    /// The lines of the ledger behind that for `after`, in the order of their paths, at most
    /// `limit`.
    pub fn ledger(&self, after: Option<&Path>, limit: u32) -> Reply<Vec<LedgerEntry>> {
        // Every path is greater than none.
        let after = path_value(after.unwrap_or(Path::new("")));
        self.read(move |tx| {
            let statement = "SELECT * FROM own_installs WHERE path > ?1 ORDER BY path LIMIT ?2";
            Ok(sql::all(tx, statement, (after, limit), read_entry)?)
        })
    }

    /// Notes how the file that `id` put at `path` stands there now that it was proved again:
    /// length and modification time, or `None` if it is damaged. Does nothing if the ledger has
    /// another file by now.
    pub fn note_proved(
        &self,
        path: &Path,
        id: DownloadId,
        fingerprint: Option<Fingerprint>,
    ) -> Reply<()> {
        let path = path_value(path);
        self.write(Durability::Process, move |tx| {
            let statement = "UPDATE installs SET size = coalesce(?3, size), mtime = ?4
                             WHERE path = ?1 AND download_id = ?2";
            let size = fingerprint.map(|now| int(now.len));
            let mtime = fingerprint.map_or(DAMAGED, |now| now.mtime_ns);
            sql::execute(tx, statement, (path, id.get(), size, mtime))?;
            Ok(())
        })
    }

    /// What the ledger knows of this path.
    pub fn install_at(&self, path: &Path) -> Reply<Option<Install>> {
        let path = path_value(path);
        self.read(move |tx| {
            Ok(sql::first(
                tx,
                "SELECT * FROM own_installs WHERE path = ?1",
                [path],
                read,
            )?)
        })
    }

    /// Where content with this CID may lie: what the ledger knows, and what finished directories
    /// hold, but for the download that asks; the newest first.
    pub fn copies_of(&self, cid: &str, asking: DownloadId) -> Reply<Vec<PathBuf>> {
        let cid = cid.to_owned();
        self.read(move |tx| {
            let alone = "SELECT path, '' AS below FROM own_installs
                         WHERE cid = ?1 ORDER BY installed_at DESC LIMIT ?2";
            let mut places = sql::all(tx, alone, (&cid, MAX_COPIES), place)?;
            let in_trees = "SELECT d.path AS path, f.path AS below
                            FROM files f JOIN mine d ON d.id = f.download_id
                            WHERE f.cid = ?1 AND f.done = 1 AND f.path <> '' AND d.id <> ?2
                              AND d.status = 'success' AND d.kind = 'directory'
                            ORDER BY d.id DESC LIMIT ?3";
            places.extend(sql::all(
                tx,
                in_trees,
                (&cid, asking.get(), MAX_COPIES),
                place,
            )?);
            Ok(places.into_iter().flatten().collect())
        })
    }

    /// Where files with this SHA-256 may lie, the newest first.
    pub fn copies_with_sum(&self, sha256: [u8; 32]) -> Reply<Vec<PathBuf>> {
        self.read(move |tx| {
            let statement = "SELECT path, '' AS below FROM own_installs
                             WHERE sha256 = ?1 ORDER BY installed_at DESC LIMIT ?2";
            let places = sql::all(tx, statement, (sha256, MAX_COPIES), place)?;
            Ok(places.into_iter().flatten().collect())
        })
    }

    /// Every file of this user that the ledger knows below this directory.
    pub fn installs_below(&self, dir: &Path) -> Reply<Vec<Install>> {
        let range = sql::below(dir);
        self.read(move |tx| {
            let statement = "SELECT * FROM own_installs WHERE path >= ?1 AND path < ?2";
            Ok(sql::all(tx, statement, range, read)?)
        })
    }

    /// Forgets a file, for one that is gone or has changed; whether it was known.
    pub fn forget_install(&self, path: &Path) -> Reply<bool> {
        let path = path_value(path);
        self.write(Durability::Process, move |tx| {
            let statement = "DELETE FROM installs WHERE path = ?1
                             AND EXISTS (SELECT 1 FROM own_installs WHERE path = ?1)
                             RETURNING download_id";
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

/// As [`Store::look_at`].
pub(super) fn look(tx: &Connection, path: Option<&Path>) -> rusqlite::Result<Looked> {
    let Some(path) = path else {
        return Ok(Looked(None));
    };
    let statement = "SELECT download_id FROM own_installs WHERE path = ?1";
    let made_by = sql::first(tx, statement, [path_value(path)], |row| {
        sql::download_id(row, "download_id")
    })?;
    Ok(Looked(made_by))
}

/// Writes a file that `id` made into the ledger, in place of what was there.
pub(super) fn record(
    tx: &Connection,
    id: DownloadId,
    install: &Install,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let path = path_value(&install.path);
    let statement = "SELECT * FROM installs WHERE path = ?1";
    let before = sql::first(tx, statement, [&path], read_entry)?;
    sql::execute(
        tx,
        "INSERT INTO installs (path, cid, size, mtime, sha256, download_id, installed_at, proof,
                               options, owner_uid)
         SELECT :path, :cid, :size, :mtime, :sha256, :id, :now, proof, options, owner_uid
             FROM downloads WHERE id = :id
         ON CONFLICT (path) DO UPDATE SET cid = excluded.cid, size = excluded.size,
             mtime = excluded.mtime, sha256 = excluded.sha256, download_id = excluded.download_id,
             installed_at = excluded.installed_at, proof = excluded.proof,
             options = excluded.options, owner_uid = excluded.owner_uid",
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
    let Some(before) = before else {
        return Ok(());
    };
    // What was found in the store was not received again: its nodes are still the earlier one's.
    if before.install.cid == install.cid {
        nodes::inherit(tx, before.download, id)?;
    }
    nodes::sweep(tx, before.download)
}

fn read_entry(row: &Row<'_>) -> rusqlite::Result<LedgerEntry> {
    Ok(LedgerEntry {
        install: read(row)?,
        download: sql::download_id(row, "download_id")?,
        proof: sql::parsed(row, "proof", Proof::from_name)?,
        options_json: row.get("options")?,
    })
}

/// A path, and what is meant below it; nothing for what goes to standard output.
fn place(row: &Row<'_>) -> rusqlite::Result<Option<PathBuf>> {
    let below: String = row.get("below")?;
    let path = sql::optional_path(row, "path")?;
    Ok(path.map(|path| match below.is_empty() {
        true => path,
        false => path.join(below),
    }))
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
