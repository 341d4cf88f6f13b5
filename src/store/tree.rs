//! The tree of a download, as going on with it and completing it need it.

use rusqlite::{Connection, Row};

use crate::disk::Fingerprint;
use crate::download::{DownloadId, RunId};
use crate::store::files::{self, FileKind, FileRow};
use crate::store::sql::{self, int};
use crate::store::thread::Durability;
use crate::store::{Reply, Store, StoreError, lease};

/// Rows that are read at once.
const PAGE: u32 = 4096;

/// The next rows by number, at least one; or why they cannot be read.
pub type Page = Result<Vec<FileRow>, StoreError>;

/// What an earlier run recorded of a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeRows {
    /// What the root is, where that is known.
    pub root_kind: Option<FileKind>,
    /// The root, if it is a file that is finished.
    pub finished_root: Option<FileRow>,
    /// All directories, by number.
    pub directories: Vec<DirectoryRow>,
    /// The next number for an entry.
    pub next_index: u32,
    /// Finished files.
    pub files_done: u64,
    /// Their bytes.
    pub done_bytes: u64,
    /// Whether anything of them was proved as leaves around plain bytes.
    pub used_leaves: bool,
}

/// A directory, with sums over what is right below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryRow {
    /// Its number.
    pub index: u32,
    /// The directory that it is in.
    pub parent: Option<u32>,
    /// Canonical text.
    pub cid: String,
    /// Bytes of all blocks below, as the directory above claims.
    pub tsize: Option<u64>,
    /// Bytes of finished files.
    pub done_bytes: u64,
    /// The largest claim of an entry.
    pub largest_child: u64,
    /// The claims of all entries together.
    pub claimed: u64,
}

impl Store {
    /// What the root of a download is, where that is known.
    pub fn root_kind(&self, id: DownloadId) -> Reply<Option<FileKind>> {
        self.read(move |tx| Ok(root_kind(tx, id)?))
    }

    /// What an earlier run recorded of a tree.
    pub fn tree(&self, id: DownloadId) -> Reply<TreeRows> {
        self.read(move |tx| {
            let mut rows = totals(tx, id)?;
            rows.root_kind = root_kind(tx, id)?;
            rows.directories = directories(tx, id)?;
            let root = "SELECT * FROM files WHERE download_id = ?1 AND idx = 0 AND kind = 'file' AND done = 1";
            rows.finished_root = sql::first(tx, root, [id.get()], files::read)?;
            Ok(rows)
        })
    }

    /// Finished files behind number `after`, at most `limit`.
    pub fn finished_files(
        &self,
        id: DownloadId,
        after: Option<u32>,
        limit: u32,
    ) -> Reply<Vec<FileRow>> {
        self.page(id, "AND kind = 'file' AND done = 1", after, limit)
    }

    /// Entries of which something is missing, behind number `after`, at most `limit`.
    pub fn unfinished(
        &self,
        id: DownloadId,
        after: Option<u32>,
        limit: u32,
    ) -> Reply<Vec<FileRow>> {
        self.page(id, "AND done = 0", after, limit)
    }

    /// All entries behind number `after`, at most `limit`.
    pub fn entries(&self, id: DownloadId, after: Option<u32>, limit: u32) -> Reply<Vec<FileRow>> {
        self.page(id, "", after, limit)
    }

    /// All finished files, page by page: each is a transaction of its own.
    pub fn finished_pages(&self, id: DownloadId) -> impl Iterator<Item = Page> {
        pages(move |after| self.finished_files(id, after, PAGE))
    }

    /// The same of the entries of which something is missing.
    pub fn unfinished_pages(&self, id: DownloadId) -> impl Iterator<Item = Page> {
        pages(move |after| self.unfinished(id, after, PAGE))
    }

    /// The same of all entries.
    pub fn entry_pages(&self, id: DownloadId) -> impl Iterator<Item = Page> {
        pages(move |after| self.entries(id, after, PAGE))
    }

    /// The next rows by number; `which` is constant text.
    fn page(
        &self,
        id: DownloadId,
        which: &'static str,
        after: Option<u32>,
        limit: u32,
    ) -> Reply<Vec<FileRow>> {
        let after = after.map_or(-1, i64::from);
        self.read(move |tx| {
            let statement = format!(
                "SELECT * FROM files WHERE download_id = ?1 AND idx > ?2 {which}
                 ORDER BY idx LIMIT ?3"
            );
            let bounds = (id.get(), after, limit);
            Ok(sql::all(tx, &statement, bounds, files::read)?)
        })
    }

    /// Files that are not as they were left: nothing of them counts as proved any more.
    ///
    /// # Errors
    /// [`crate::store::StoreError::LeaseLost`].
    pub fn reopen_files(&self, id: DownloadId, run: RunId, indexes: Vec<u32>) -> Reply<()> {
        self.write(Durability::Process, move |tx| {
            lease::owned(tx, id, run)?;
            let statement =
                "UPDATE files SET done = 0, verified = x'', rungs = x'', sha_state = NULL,
                                    sha256 = NULL, part_len = NULL, part_mtime = NULL
                             WHERE download_id = ?1 AND idx = ?2";
            for index in indexes {
                sql::execute(tx, statement, (id.get(), index))?;
            }
            // No checkpoint describes the state any more: the next one is made even if it is the same.
            let forget = "UPDATE checkpoints SET state_hash = zeroblob(32) WHERE download_id = ?1";
            sql::execute(tx, forget, [id.get()])?;
            Ok(())
        })
    }

    /// Directories that turned out not to be wanted: they are no part of the tree any more.
    ///
    /// # Errors
    /// [`crate::store::StoreError::LeaseLost`].
    pub fn leave_out(&self, id: DownloadId, run: RunId, indexes: Vec<u32>) -> Reply<()> {
        self.write(Durability::Process, move |tx| {
            lease::owned(tx, id, run)?;
            let statement = "UPDATE files SET kind = 'unknown', done = 1
                             WHERE download_id = ?1 AND idx = ?2";
            for index in indexes {
                sql::execute(tx, statement, (id.get(), index))?;
            }
            Ok(())
        })
    }

    /// How files stand now; none of one that somebody else has touched.
    ///
    /// # Errors
    /// [`crate::store::StoreError::LeaseLost`].
    pub fn set_fingerprints(
        &self,
        id: DownloadId,
        run: RunId,
        fingerprints: Vec<(u32, Option<Fingerprint>)>,
    ) -> Reply<()> {
        self.write(Durability::Process, move |tx| {
            lease::owned(tx, id, run)?;
            Ok(set_fingerprints(tx, id, fingerprints, "")?)
        })
    }

    /// As [`Store::note_proved`], for files of a tree that is finished, by number.
    pub fn note_files_proved(
        &self,
        id: DownloadId,
        files: Vec<(u32, Option<Fingerprint>)>,
    ) -> Reply<()> {
        self.write(Durability::Process, move |tx| {
            Ok(set_fingerprints(tx, id, files, "AND done = 1")?)
        })
    }
}

/// `which` is constant text.
fn set_fingerprints(
    tx: &Connection,
    id: DownloadId,
    files: Vec<(u32, Option<Fingerprint>)>,
    which: &'static str,
) -> rusqlite::Result<()> {
    let statement = format!(
        "UPDATE files SET part_len = ?3, part_mtime = ?4
         WHERE download_id = ?1 AND idx = ?2 {which}"
    );
    for (index, now) in files {
        let (len, mtime) = (now.map(|now| int(now.len)), now.map(|now| now.mtime_ns));
        sql::execute(tx, &statement, (id.get(), index, len, mtime))?;
    }
    Ok(())
}

/// Pages until one is empty or cannot be read; `read` gives the one behind a number.
fn pages(read: impl Fn(Option<u32>) -> Reply<Vec<FileRow>>) -> impl Iterator<Item = Page> {
    let (mut after, mut is_over) = (None, false);
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let page = read(after).wait();
        let last = page.as_ref().ok().and_then(|rows| rows.last());
        after = last.map(|row| row.file.index);
        is_over = after.is_none();
        page.map(|rows| (!rows.is_empty()).then_some(rows))
            .transpose()
    })
}

fn root_kind(tx: &Connection, id: DownloadId) -> rusqlite::Result<Option<FileKind>> {
    let statement = "SELECT kind FROM files WHERE download_id = ?1 AND idx = 0";
    let kind = sql::first(tx, statement, [id.get()], |row| {
        sql::parsed(row, "kind", FileKind::from_name)
    })?;
    Ok(kind.flatten().filter(|kind| *kind != FileKind::Unknown))
}

fn totals(tx: &Connection, id: DownloadId) -> rusqlite::Result<TreeRows> {
    let statement = "SELECT coalesce(max(idx) + 1, 0) AS next_index,
                coalesce(sum(kind = 'file' AND done), 0) AS files_done,
                coalesce(sum(iif(kind = 'file' AND done, size, 0)), 0) AS done_bytes,
                coalesce(max(length(rungs) > 0), 0) AS used_leaves
         FROM files WHERE download_id = ?1";
    let found = sql::first(tx, statement, [id.get()], |row| {
        Ok(TreeRows {
            next_index: row.get("next_index")?,
            files_done: sql::size(row, "files_done")?,
            done_bytes: sql::size(row, "done_bytes")?,
            used_leaves: row.get("used_leaves")?,
            ..TreeRows::default()
        })
    })?;
    Ok(found.unwrap_or_default())
}

fn directories(tx: &Connection, id: DownloadId) -> rusqlite::Result<Vec<DirectoryRow>> {
    let statement = "SELECT directory.idx AS idx, directory.parent AS parent, directory.cid AS cid,
                directory.tsize AS tsize,
                coalesce(sum(iif(child.kind = 'file' AND child.done, child.size, 0)), 0) AS done_bytes,
                coalesce(max(child.tsize), 0) AS largest_child,
                coalesce(sum(child.tsize), 0) AS claimed
         FROM files AS directory
         LEFT JOIN files AS child
             ON child.download_id = directory.download_id AND child.parent = directory.idx
         WHERE directory.download_id = ?1 AND directory.kind = 'directory'
         GROUP BY directory.idx ORDER BY directory.idx";
    sql::all(tx, statement, [id.get()], read_directory)
}

fn read_directory(row: &Row<'_>) -> rusqlite::Result<DirectoryRow> {
    Ok(DirectoryRow {
        index: row.get("idx")?,
        parent: row.get("parent")?,
        cid: row.get::<_, Option<String>>("cid")?.unwrap_or_default(),
        tsize: sql::optional_size(row, "tsize")?,
        done_bytes: sql::size(row, "done_bytes")?,
        largest_child: sql::size(row, "largest_child")?,
        claimed: sql::size(row, "claimed")?,
    })
}
