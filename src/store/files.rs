//! The table `files`: the tree that a download consists of, and what is proved of each file.

use jiff::Timestamp;
use rusqlite::{Connection, Row, named_params};

use crate::content::ranges::RangeSet;
use crate::disk::Fingerprint;
use crate::download::{DownloadId, RunId};
use crate::store::lease;
use crate::store::sql::{self, int, micros};
use crate::store::thread::Durability;
use crate::store::{Kept, Reply, Store, nodes};

/// What the root block said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// Pinned root, canonical text; `None` keeps what the record has.
    pub root_cid: Option<String>,
    /// `file`, `directory`, …
    pub kind: String,
    /// Size in bytes, where known.
    pub bytes_total: Option<u64>,
    /// The time.
    pub now: Timestamp,
}

/// What an entry of a tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// Not known yet.
    Unknown,
    /// A part of its parent directory, without a name of its own.
    Shard,
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
}

impl FileKind {
    /// The stable name in the store.
    pub const fn name(self) -> &'static str {
        match self {
            FileKind::Unknown => "unknown",
            FileKind::Shard => "shard",
            FileKind::File => "file",
            FileKind::Directory => "directory",
            FileKind::Symlink => "symlink",
        }
    }

    /// The kind with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            FileKind::Unknown,
            FileKind::Shard,
            FileKind::File,
            FileKind::Directory,
            FileKind::Symlink,
        ]
        .into_iter()
        .find(|kind| kind.name() == name)
    }
}

/// An entry of a download's tree, as the DAG describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// Its number in the download, from 0, which is the root; never changes.
    pub index: u32,
    /// The directory that it is in; `None` for the root.
    pub parent: Option<u32>,
    /// Path under the download's own, with `/`; empty for the root.
    pub path: String,
    /// What it is.
    pub kind: FileKind,
    /// Canonical text.
    pub cid: Option<String>,
    /// Size in bytes, where known.
    pub size: Option<u64>,
    /// Bytes of all blocks below, as the directory claims.
    pub tsize: Option<u64>,
    /// Unix permissions, where the DAG has them.
    pub mode: Option<u32>,
    /// Seconds and nanoseconds since 1970 UTC, where the DAG has them.
    pub mtime: Option<(i64, u32)>,
    /// Where a symbolic link leads.
    pub target: Option<Vec<u8>>,
    /// Where a shard stands: opaque to the store.
    pub place: Option<Vec<u8>>,
    /// The file that it is the same as; mode and time are that one's.
    pub twin_of: Option<u32>,
    /// Whether nothing more is to be found or fetched for it.
    pub is_done: bool,
}

/// What is proved of one file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FileState {
    /// The file's number in the download.
    pub index: u32,
    /// Proved and synced bytes.
    pub verified: RangeSet,
    /// Which ranges on which rung: opaque to the store.
    pub rungs: Vec<u8>,
    /// Mid-state of the file's SHA-256: opaque to the store.
    pub sha_state: Option<Vec<u8>>,
    /// The file's SHA-256, once whole.
    pub sha256: Option<[u8; 32]>,
    /// That of the part on disk when this was recorded: while it is the same, nobody has touched
    /// the part since.
    pub fingerprint: Option<Fingerprint>,
    /// How far a file has come that proves itself only at its end: opaque to the store.
    pub source: Option<String>,
    /// Whether every byte is proved.
    pub done: bool,
}

impl FileState {
    /// What of it was proved as leaves around plain bytes.
    pub fn by_leaves(&self) -> RangeSet {
        RangeSet::decode(&self.rungs).unwrap_or_default()
    }
}

/// An entry of a download's tree, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// What the DAG says.
    pub file: NewFile,
    /// What is proved.
    pub state: FileState,
}

impl FileRow {
    /// A root of which nothing is recorded.
    pub fn unknown_root(cid: &str) -> Self {
        let file = NewFile {
            index: 0,
            parent: None,
            path: String::new(),
            kind: FileKind::Unknown,
            cid: Some(cid.to_owned()),
            size: None,
            tsize: None,
            mode: None,
            mtime: None,
            target: None,
            place: None,
            twin_of: None,
            is_done: false,
        };
        Self {
            file,
            state: FileState::default(),
        }
    }
}

impl Store {
    /// Records what the root block said.
    ///
    /// # Errors
    /// [`crate::store::StoreError::LeaseLost`].
    pub fn record_resolved(&self, id: DownloadId, run: RunId, resolved: Resolved) -> Reply<()> {
        self.write_next((id, run), Durability::Process, move |tx| {
            lease::owned(tx, id, run)?;
            sql::execute(
                tx,
                "UPDATE downloads SET root_cid = coalesce(:root, root_cid), kind = :kind,
                        bytes_total = :total, updated_at = :now WHERE id = :id",
                named_params! {
                    ":id": id.get(),
                    ":root": resolved.root_cid,
                    ":kind": resolved.kind,
                    ":total": resolved.bytes_total.map(int),
                    ":now": micros(resolved.now),
                },
            )?;
            Ok(())
        })
    }

    /// Records what became known of a tree, and keeps the blocks that said so, in one step. May be
    /// repeated: an entry that has the same CID as before keeps what is proved of it.
    ///
    /// # Errors
    /// [`crate::store::StoreError::LeaseLost`].
    pub fn record_found(
        &self,
        id: DownloadId,
        run: RunId,
        files: Vec<NewFile>,
        kept: Vec<(Vec<u8>, Kept)>,
    ) -> Reply<()> {
        self.write_next((id, run), Durability::Process, move |tx| {
            lease::owned(tx, id, run)?;
            nodes::keep(tx, id, &kept)?;
            for file in &files {
                describe(tx, id, file)?;
            }
            Ok(())
        })
    }

    /// The entries of a download with what the newest checkpoint proved of them, by number; not
    /// the shards of directories, nor what was found to be unwanted.
    pub fn files(&self, id: DownloadId) -> Reply<Vec<FileRow>> {
        self.read(move |tx| {
            let statement = "SELECT * FROM files WHERE download_id = ?1 AND kind <> 'shard'
                             AND NOT (kind = 'unknown' AND done) ORDER BY idx";
            Ok(sql::all(tx, statement, [id.get()], read)?)
        })
    }
}

fn describe(tx: &Connection, id: DownloadId, file: &NewFile) -> rusqlite::Result<()> {
    let forget_another = "DELETE FROM files WHERE download_id = ?1 AND idx = ?2 AND cid IS NOT ?3";
    sql::execute(
        tx,
        forget_another,
        (id.get(), file.index, file.cid.as_deref()),
    )?;
    sql::execute(
        tx,
        "INSERT INTO files (download_id, idx, parent, path, kind, cid, size, tsize, mode, mtime_s,
                            mtime_ns, target, place, done)
         VALUES (:id, :idx, :parent, :path, :kind, :cid, :size, :tsize, :mode, :mtime_s, :mtime_ns,
                 :target, :place, :done)
         ON CONFLICT (download_id, idx) DO UPDATE SET kind = excluded.kind,
             size = coalesce(excluded.size, size), mode = excluded.mode,
             mtime_s = excluded.mtime_s, mtime_ns = excluded.mtime_ns, target = excluded.target,
             done = max(done, excluded.done)",
        named_params! {
            ":id": id.get(),
            ":idx": file.index,
            ":parent": file.parent,
            ":path": file.path,
            ":kind": file.kind.name(),
            ":cid": file.cid,
            ":size": file.size.map(int),
            ":tsize": file.tsize.map(int),
            ":mode": file.mode,
            ":mtime_s": file.mtime.map(|(seconds, _)| seconds),
            ":mtime_ns": file.mtime.map(|(_, nanos)| nanos),
            ":target": file.target,
            ":place": file.place,
            ":done": file.is_done,
        },
    )?;
    let Some(twin) = file.twin_of else {
        return Ok(());
    };
    let as_its_twin = "UPDATE files SET (mode, mtime_s, mtime_ns) =
             (SELECT mode, mtime_s, mtime_ns FROM files WHERE download_id = ?1 AND idx = ?3)
         WHERE download_id = ?1 AND idx = ?2 AND mode IS NULL AND mtime_s IS NULL";
    sql::execute(tx, as_its_twin, (id.get(), file.index, twin))?;
    Ok(())
}

/// Records what is proved of a file; whether the download has that file.
pub(super) fn record_state(
    tx: &Connection,
    id: DownloadId,
    state: &FileState,
) -> rusqlite::Result<bool> {
    let touched = sql::execute(
        tx,
        "UPDATE files SET verified = :verified, rungs = :rungs, sha_state = :sha_state,
                sha256 = :sha256, done = :done, part_len = :part_len, part_mtime = :part_mtime, source = :source
         WHERE download_id = :id AND idx = :idx",
        named_params! {
            ":id": id.get(),
            ":idx": state.index,
            ":verified": state.verified.encode(),
            ":rungs": state.rungs,
            ":sha_state": state.sha_state,
            ":sha256": state.sha256,
            ":done": state.done,
            ":source": state.source,
            ":part_len": state.fingerprint.map(|part| int(part.len)),
            ":part_mtime": state.fingerprint.map(|part| part.mtime_ns),
        },
    )?;
    Ok(touched == 1)
}

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<FileRow> {
    let index: u32 = row.get("idx")?;
    let mtime_s: Option<i64> = row.get("mtime_s")?;
    let mtime_ns: Option<u32> = row.get("mtime_ns")?;
    let done: bool = row.get("done")?;
    let file = NewFile {
        index,
        parent: row.get("parent")?,
        path: row.get("path")?,
        kind: sql::required(sql::parsed(row, "kind", FileKind::from_name)?, "kind")?,
        cid: row.get("cid")?,
        size: sql::optional_size(row, "size")?,
        tsize: sql::optional_size(row, "tsize")?,
        mode: row.get("mode")?,
        mtime: mtime_s.zip(mtime_ns),
        target: row.get("target")?,
        place: row.get("place")?,
        twin_of: None,
        is_done: done,
    };
    let part_len = sql::optional_size(row, "part_len")?;
    let part_mtime: Option<i64> = row.get("part_mtime")?;
    let state = FileState {
        index,
        verified: sql::ranges(row, "verified")?,
        rungs: row.get("rungs")?,
        sha_state: row.get("sha_state")?,
        sha256: sql::digest(row, "sha256")?,
        fingerprint: part_len
            .zip(part_mtime)
            .map(|(len, mtime_ns)| Fingerprint { len, mtime_ns }),
        source: row.get("source")?,
        done,
    };
    Ok(FileRow { file, state })
}
