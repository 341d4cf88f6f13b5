//! What a directory needs once all its files are there: its empty directories and its links, what
//! is to be preserved, and its final name.
//!
//! Links are made last, and only when all of them are judged: nothing is ever written through one.

mod look;

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::content::cid::Cid;
use crate::disk::tree::{
    self, EntryFacts, EntryKind, Links, Preserved, TreePath, UnsafeLink, WalkEntry,
};
use crate::disk::{DiskError, inspect, install};
use crate::download::{DownloadId, Failure, RunId, Status, quoted_path};
use crate::engine::aside::on_a_thread;
use crate::engine::begin::Signals;
use crate::engine::coordinator::{Coordinator, Stop};
use crate::engine::failure::{
    chain, disk_failure, exists_failure, no_checksum, one_by_one, store_failure, target_failure,
};
use crate::engine::filter::Filter;
use crate::engine::output::{self, Output, SharedTree};
use crate::engine::plan::{Expansion, FoundKind, Limits};
use crate::engine::{Destination, Job};
use crate::exit::ExitKind;
use crate::store::{FileKind, FileRow, Store, StoreError};

/// Rows that are read from the store at once.
const PAGE: u32 = 4096;

/// How an entry was left, by its number: length and modification time; none if somebody else has
/// touched it.
type Left = (u32, Option<(u64, i64)>);

/// What completes a tree.
struct Builder<'a> {
    id: DownloadId,
    run: RunId,
    root: Cid,
    store: Store,
    tree: SharedTree,
    preserves: bool,
    limits: Limits,
    filter: Filter,
    is_stopped: &'a AtomicBool,
    hint: String,
}

impl Coordinator<'_> {
    /// Makes what is no file.
    pub(super) async fn build_tree(&mut self, signals: &mut Signals) {
        self.write_journal();
        self.with_builder(signals, |builder| builder.build()).await;
    }

    /// Looks at every file a last time.
    pub(super) async fn look_at_tree(&mut self, signals: &mut Signals) {
        self.with_builder(signals, |builder| builder.look_again())
            .await;
    }

    async fn with_builder(
        &mut self,
        signals: &mut Signals,
        work: fn(&Builder<'_>) -> Result<(), Stop>,
    ) {
        let (Output::Tree(tree), Some(root)) = (&self.output, self.root()) else {
            return;
        };
        let (id, run, store) = (self.job.id, self.job.run, self.store.clone());
        let (tree, preserves) = (tree.clone(), self.options.preserve);
        let (filter, hint) = (self.options.filter.clone(), one_by_one(&self.job));
        let limits = self.options.limits.clone();
        let work = move |is_stopped: &AtomicBool| {
            work(&Builder {
                id,
                run,
                root,
                store,
                tree,
                preserves,
                limits,
                filter,
                is_stopped,
                hint,
            })
        };
        if let Err(stop) = self.watched(signals, work).await.flatten() {
            self.halt(stop);
        }
    }

    /// Judges links as they are found, each by itself: a bad one must not wait for the end.
    pub(super) fn judge_links(&self, expansion: &Expansion) -> Result<(), Failure> {
        for found in &expansion.found {
            if let FoundKind::Symlink { target } = &found.kind
                && !found.path.is_empty()
            {
                let path = TreePath::parse(&found.path)
                    .map_err(|error| part_failure(&error, self.job.id, one_by_one(&self.job)))?;
                let judged = Links::new(false).add(&path, target);
                judged.map_err(|bad| unsafe_link(&bad, one_by_one(&self.job)))?;
            }
        }
        Ok(())
    }

    /// A link that is wanted by itself is judged as one that stands in the directory of its target,
    /// and that directory is what it must not lead out of.
    pub(super) fn judge_root_link(&self) -> Result<(), Stop> {
        let Destination::Disk { target, .. } = &self.job.destination else {
            return Ok(());
        };
        let Some(text) = self
            .plan
            .root_link()
            .filter(|_| self.job.car_part.is_none())
        else {
            return Ok(());
        };
        self.refuse_checksum("symbolic link")?;
        let name = target.file_name().and_then(|name| name.to_str());
        let path = TreePath::parse(name.unwrap_or("link"))
            .map_err(|error| Stop::Failed(disk_failure(&error, self.job.id)))?;
        let judged = Links::new(false).add(&path, text);
        judged.map_err(|bad| {
            let hint = "fetch what it leads to by its own CID or path".to_owned();
            Stop::Failed(unsafe_link(&bad, hint))
        })
    }

    /// A checksum is demanded of bytes, and only a file is bytes.
    ///
    /// # Errors
    /// One is demanded.
    pub(super) fn refuse_checksum(&self, what: &str) -> Result<(), Stop> {
        let is_demanded = self.job.expected_sha256.is_some() || self.job.checksum.is_some();
        match is_demanded && self.job.car_part.is_none() {
            true => Err(Stop::Failed(no_checksum(self.root_text(), what))),
            false => Ok(()),
        }
    }

    /// Makes the link with its final name.
    pub(super) async fn install_link(
        &self,
        text: Bytes,
        part: PathBuf,
        target: PathBuf,
        overwrite: bool,
    ) -> Result<(), Failure> {
        let id = self.job.id;
        on_a_thread(move || {
            match install::install_link(&text, &part, &target, overwrite) {
                // Somebody else made the very same link: installs may race.
                Err(DiskError::Exists { .. })
                    if inspect::link_text(&target).as_deref() == Some(&text[..]) =>
                {
                    Ok(())
                }
                Err(DiskError::Exists { .. }) => Err(exists_failure(&target, id)),
                done => done.map_err(|error| target_failure(&error, id)),
            }
        })
        .await
    }

    /// Gives the tree its final name.
    pub(super) async fn install_tree(
        &mut self,
        tree: SharedTree,
        target: PathBuf,
        overwrite: bool,
        signals: &mut Signals,
    ) -> Result<(), Stop> {
        let (id, run, store) = (self.job.id, self.job.run, self.store.clone());
        let part = self.job.destination.part().to_path_buf();
        let work = move |is_stopped: &AtomicBool| {
            let tree = Arc::try_unwrap(tree).map(Mutex::into_inner);
            let Ok(Ok(tree)) = tree else {
                return Err(Failure {
                    kind: ExitKind::Internal,
                    message: "a thread still writes to the directory".to_owned(),
                    hint: Some(format!("go on with: fetchd resume {id}")),
                });
            };
            let installed = match overwrite {
                true => {
                    let ledger =
                        Ledger::of(&store, &target).map_err(|error| store_failure(&error, id))?;
                    tree.replace(&target, &mut |entry| ledger.knows(entry))
                }
                false => tree.install(&target),
            };
            let error = match installed {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            // Somebody else put the very same tree there: installs may race, and databases are lost.
            let is_taken = matches!(error, DiskError::Exists { .. } | DiskError::Unknown { .. });
            if is_taken && matches!(tree::same_tree(&part, &target, is_stopped), Ok(true)) {
                return take_over(&store, (id, run), &part, &target)
                    .map_err(|error| store_failure(&error, id));
            }
            Err(not_installed(&error, &target, id))
        };
        self.installing(signals, work).await
    }
}

fn not_installed(error: &DiskError, target: &Path, id: DownloadId) -> Failure {
    match error {
        DiskError::Exists { path } if path == target => exists_failure(target, id),
        DiskError::Replaced { path } => replaced(path, id),
        DiskError::Unknown { .. } => Failure {
            kind: ExitKind::Exists,
            message: chain(error),
            hint: Some(format!(
                "--force replaces only directories that fetchd made; move it away and go on with: fetchd resume {id}"
            )),
        },
        error => target_failure(error, id),
    }
}

/// Takes the tree at the target for the one in the part, which holds the same and is needed no more.
fn take_over(
    store: &Store,
    (id, run): (DownloadId, RunId),
    part: &Path,
    target: &Path,
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = store.finished_files(id, after, PAGE).wait()?;
        let Some(last) = page.last() else { break };
        after = Some(last.file.index);
        let there = |row: &FileRow| inspect::fingerprint(&target.join(&row.file.path));
        let known = page.iter();
        let known = known.filter_map(|row| Some((row.file.index, Some(there(row)?))));
        let known = known.collect();
        store.set_fingerprints(id, run, known).wait()?;
    }
    if let Err(error) = tree::remove_tree(part) {
        tracing::warn!(error = %chain(&error), "cannot remove the part");
    }
    Ok(())
}

/// What is known to come from downloads in a directory that stands at the target.
struct Ledger<'a> {
    store: &'a Store,
    target: &'a Path,
    /// Length and modification time, by path below the target, of the files that the newest
    /// download of a whole directory left there.
    files: HashMap<PathBuf, (u64, i64)>,
}

impl<'a> Ledger<'a> {
    fn of(store: &'a Store, target: &'a Path) -> Result<Self, StoreError> {
        let mut ledger = Self {
            store,
            target,
            files: HashMap::new(),
        };
        for id in store.find_by_path(target).wait()? {
            let row = store.download(id).wait()?;
            if row.is_some_and(|row| row.status == Status::Success) {
                ledger.take_files(id)?;
                break;
            }
        }
        Ok(ledger)
    }

    fn take_files(&mut self, id: DownloadId) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = self.store.finished_files(id, after, PAGE).wait()?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.file.index);
            let files = page.into_iter();
            let known =
                files.filter_map(|row| Some((row.file.path.into(), row.state.fingerprint?)));
            self.files.extend(known);
        }
    }

    /// Whether this is as a download left it. A link has no bytes of its own to lose.
    fn knows(&self, entry: &WalkEntry) -> bool {
        if entry.facts.kind == EntryKind::Link {
            return true;
        }
        let alone = || {
            let install = self.store.install_at(&self.target.join(&entry.path)).wait();
            install
                .ok()
                .flatten()
                .map(|known| (known.size, known.mtime_ns))
        };
        let known = self.files.get(&entry.path).copied().or_else(alone);
        known.is_some() && entry.facts.fingerprint() == known
    }
}

/// Whether a row stands for a name on the disk.
fn is_on_disk(row: &FileRow) -> bool {
    let is_known = !matches!(row.file.kind, FileKind::Unknown | FileKind::Shard);
    is_known && !row.file.path.is_empty()
}

/// What has the name of the part is not what was written: it gets no final name, and stays.
fn replaced(path: &Path, id: DownloadId) -> Failure {
    Failure {
        kind: ExitKind::Disk,
        message: "the part directory is not the one that was written: somebody else has put something else there".to_owned(),
        hint: Some(format!(
            "move {} away and go on with: fetchd resume {id}",
            quoted_path(path)
        )),
    }
}

/// What goes wrong in a part directory: a name that cannot be on this disk is refused, with what
/// can be done `instead`; what only its owner may take away is named; all else is the disk's.
fn part_failure(error: &DiskError, id: DownloadId, instead: impl Into<String>) -> Failure {
    if error.is_unsafe_name() {
        return Failure {
            kind: ExitKind::Refused,
            message: chain(error),
            hint: Some(instead.into()),
        };
    }
    match error.is_in_the_way() {
        true => target_failure(error, id),
        false => disk_failure(error, id),
    }
}

/// The same as a reason to stop.
pub(super) fn part_stop(error: &DiskError, job: &Job) -> Stop {
    // What is proved of the others is kept, also where the disk cannot hold one of the names.
    Stop::Failed(part_failure(error, job.id, one_by_one(job)))
}

fn unsafe_link(error: &UnsafeLink, hint: String) -> Failure {
    Failure {
        kind: ExitKind::Refused,
        message: chain(error),
        hint: Some(hint),
    }
}

impl Builder<'_> {
    fn build(&self) -> Result<(), Stop> {
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
    fn preserve(&self) -> Result<(), Stop> {
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
    fn left(&self, row: &FileRow, before: Option<&EntryFacts>) -> Result<Option<Left>, Stop> {
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

    fn record_fingerprints(&self, fingerprints: Vec<Left>) -> Result<(), Stop> {
        let reply = self.store.set_fingerprints(self.id, self.run, fingerprints);
        reply.wait().map_err(|error| self.store_failed(&error))
    }

    fn path_of(&self, row: &FileRow) -> Result<Option<TreePath>, Stop> {
        if row.file.path.is_empty() {
            return Ok(None);
        }
        let path = TreePath::parse(&row.file.path);
        path.map(Some).map_err(|error| self.part_failed(&error))
    }

    fn each_row(&self, mut visit: impl FnMut(&FileRow) -> Result<(), Stop>) -> Result<(), Stop> {
        let mut after = None;
        loop {
            let page = self.store.entries(self.id, after, PAGE).wait();
            let page = page.map_err(|error| self.store_failed(&error))?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(last.file.index);
            for row in &page {
                if self.is_stopped() {
                    return Ok(());
                }
                visit(row)?;
            }
        }
    }

    fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// The links are wrong wherever they are made.
    fn bad_link(&self, bad: &UnsafeLink) -> Stop {
        Stop::Unsound(unsafe_link(bad, self.hint.clone()))
    }

    fn part_failed(&self, error: &DiskError) -> Stop {
        Stop::Failed(part_failure(error, self.id, self.hint.as_str()))
    }

    fn store_failed(&self, error: &StoreError) -> Stop {
        Stop::of_store(error, self.id)
    }
}
