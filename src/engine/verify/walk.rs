//! The walk: what is looked at next, and what it comes to.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use bytes::Bytes;

use crate::content::cid::{self, Cid, codec};
use crate::content::hash::VerifiedBlock;
use crate::content::unixfs::hamt::SubShard;
use crate::content::unixfs::{self, Node, UnixFsError};
use crate::disk::tree::EntryKind;
use crate::download::Proof;
use crate::engine::blocks::{Blocks, facts};
use crate::engine::failure::content_failure;
use crate::engine::plan::{self, PlanError};
use crate::engine::verify::directory::Directory;
use crate::engine::verify::file::{Open, Part};
use crate::engine::verify::hashing::{Done, FileId, Hashers, Job};
use crate::engine::verify::nodes::{AHEAD, Nodes};
use crate::engine::verify::place::Place;
use crate::engine::verify::{Finding, Flaw, Report, Verification, VerifyError};

/// What is to be looked at.
pub enum Task {
    /// The root.
    Root,
    /// A name of the directory that is open.
    Entry {
        /// The name.
        name: Bytes,
        /// What it names.
        cid: Cid,
        /// Bytes of its blocks, as claimed.
        tsize: Option<u64>,
    },
    /// A shard of the directory that is open.
    Shard(SubShard),
    /// All names of the directory that is open are looked at.
    Close,
    /// A part of a file.
    Part(Part),
    /// All parts of a file are handed out.
    End(FileId),
    /// All that was handed out of a file has come back.
    Settle(FileId),
}

/// A walk over one DAG, and what stands for it on the disk.
pub struct Walk<'a> {
    pub(super) job: &'a Verification,
    pub(super) place: Place,
    pub(super) nodes: Nodes,
    pub(super) hashers: Hashers,
    /// What to look at, the next at the end.
    pub(super) tasks: Vec<Task>,
    /// The directories on the way down.
    pub(super) directories: Vec<Directory>,
    /// Files of which bytes are being hashed.
    pub(super) files: HashMap<FileId, Open>,
    pub(super) next_file: FileId,
    /// Bytes that are gathered for the next job.
    pub(super) gathered: Option<Job>,
    /// Entries and shards so far.
    pub(super) entries: u64,
    /// Keys of names.
    pub(super) keys: RandomState,
    pub(super) report: Report,
    on_progress: &'a dyn Fn(u64),
}

impl Verification {
    /// Proves it. Tells `on_progress` of the bytes that are hashed. Dropped, it stops.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn run(
        &self,
        blocks: Option<Blocks>,
        on_progress: &dyn Fn(u64),
    ) -> Result<Report, VerifyError> {
        let walk = Walk {
            job: self,
            place: Place::open(&self.path)?,
            nodes: Nodes::new(self.store.clone(), blocks, self.keeps_for),
            hashers: Hashers::start(&self.store),
            tasks: vec![Task::Root],
            directories: Vec::new(),
            files: HashMap::new(),
            next_file: 0,
            gathered: None,
            entries: 0,
            keys: RandomState::new(),
            report: Report::new(Proof::Leaves),
            on_progress,
        };
        walk.run().await
    }
}

impl Walk<'_> {
    async fn run(mut self) -> Result<Report, VerifyError> {
        loop {
            while let Some(done) = self.hashers.look() {
                self.take(done?);
            }
            if let Some(task) = self.tasks.pop() {
                self.step(task).await?;
                continue;
            }
            self.flush().await;
            match self.hashers.wait().await {
                Some(done) => self.take(done?),
                None => break,
            }
        }
        self.report.nobody = self.nodes.nobody.take();
        Ok(self.report)
    }

    async fn step(&mut self, task: Task) -> Result<(), VerifyError> {
        match task {
            Task::Root => {
                let found = self.place.look("")?;
                self.look("".into(), self.job.root, None, found).await
            }
            Task::Entry { name, cid, tsize } => self.entry(&name, cid, tsize).await,
            Task::Shard(sub) => self.shard(sub).await,
            Task::Close => self.close(),
            Task::Part(part) => self.part(part).await,
            Task::End(file) => {
                self.flush().await;
                self.end(file);
                Ok(())
            }
            Task::Settle(file) => self.settle(file).await,
        }
    }

    /// Looks at what was found at a path for a CID.
    pub(super) async fn look(
        &mut self,
        path: Arc<str>,
        cid: Cid,
        tsize: Option<u64>,
        found: Option<EntryKind>,
    ) -> Result<(), VerifyError> {
        self.check_hash(&cid)?;
        match found {
            None => self.absent(path, cid).await,
            Some(EntryKind::File) => self.file(path, cid, tsize).await,
            Some(found) => self.no_file(path, cid, found).await,
        }
    }

    /// Something that is no file stands there.
    async fn no_file(
        &mut self,
        path: Arc<str>,
        cid: Cid,
        found: EntryKind,
    ) -> Result<(), VerifyError> {
        let Some((node, block)) = self.node(&cid).await? else {
            // Of what is known every node is here: without one it is a file of one leaf.
            return match self.job.known {
                Some(known) => {
                    self.another_kind(&path, cid, "file", found, known.size);
                    Ok(())
                }
                None => self.without_node(&path, cid, found).await,
            };
        };
        match (node, found) {
            (Node::Directory(directory), EntryKind::Directory) => {
                self.open_directory(path, &cid, true)?;
                self.push_entries(directory.entries);
                Ok(())
            }
            (Node::HamtShard(shard), EntryKind::Directory) => {
                self.open_directory(path, &cid, true)?;
                self.push_slots(shard, &cid)
            }
            (Node::Symlink(_), EntryKind::Link) if !self.is_wanted(&path, true) => Ok(()),
            (Node::Symlink(link), found) if found != EntryKind::Directory => {
                self.link(&path, cid, link.target, found)
            }
            (node, found) => {
                let (expected, len) = facts(&node, &block);
                self.another_kind(&path, cid, expected.name(), found, len);
                Ok(())
            }
        }
    }

    /// The block of a node, and what it is; `None` if nobody has it.
    pub(super) async fn node(&mut self, cid: &Cid) -> Result<Option<(Node, Bytes)>, VerifyError> {
        let Some(block) = self.block(cid).await? else {
            return Ok(None);
        };
        let node = unixfs::node(cid.codec(), block.data());
        let node = node.map_err(|source| malformed(cid, source))?;
        Ok(Some((node, block.data().clone())))
    }

    /// A block that is no raw leaf; `None` if nobody has it.
    pub(super) async fn block(&mut self, cid: &Cid) -> Result<Option<VerifiedBlock>, VerifyError> {
        if cid.codec() != codec::DAG_PB {
            return Ok(None);
        }
        let largest = self.job.limits.max_block;
        let upcoming = self.tasks.iter().rev().take(4 * AHEAD);
        let upcoming = upcoming.filter_map(|task| task.node(largest));
        Ok(self.nodes.take(cid, upcoming).await?)
    }

    pub(super) fn another_kind(
        &mut self,
        path: &str,
        cid: Cid,
        expected: &'static str,
        found: EntryKind,
        len: Option<u64>,
    ) {
        let flaw = Flaw::Kind {
            expected,
            found,
            len: len.unwrap_or(0),
        };
        self.find(path, cid, flaw);
    }

    /// Compares what should be a link with what was found there.
    pub(super) fn link(
        &mut self,
        path: &str,
        cid: Cid,
        expected: Bytes,
        found: EntryKind,
    ) -> Result<(), VerifyError> {
        let may_be_link = found == EntryKind::Link || path.is_empty();
        if may_be_link && self.place.link(path)? == expected {
            self.report.files += 1;
            return Ok(());
        }
        let found = Some(found);
        self.find(path, cid, Flaw::Target { expected, found });
        Ok(())
    }

    pub(super) fn find(&mut self, path: &str, cid: Cid, flaw: Flaw) {
        self.report.findings.push(Finding {
            path: path.to_owned(),
            cid: Some(cid),
            flaw,
        });
    }

    /// Whether the hash function of a link is accepted.
    pub(super) fn check_hash(&self, cid: &Cid) -> Result<(), VerifyError> {
        let checked = plan::check_hash(&self.job.limits, cid);
        checked.map_err(|error| unsound(&error, &cid::text(cid)))
    }

    /// One entry or shard more.
    pub(super) fn count_entry(&mut self) -> Result<(), VerifyError> {
        self.entries += 1;
        let limit = self.job.limits.max_entries;
        match self.entries > limit {
            true => Err(self.refusal(&PlanError::TooManyEntries { limit })),
            false => Ok(()),
        }
    }

    pub(super) fn refusal(&self, error: &PlanError) -> VerifyError {
        unsound(error, &cid::text(&self.job.root))
    }

    /// Whether the filter takes a file at this path, or leads on to what is below.
    pub(super) fn is_wanted(&self, path: &str, is_file: bool) -> bool {
        self.job.filter.takes_all()
            || match (self.job.below.as_str(), path) {
                ("", "") => true,
                ("", path) => self.job.filter.may_hold(path, is_file),
                (below, "") => self.job.filter.may_hold(below, is_file),
                (below, path) => self
                    .job
                    .filter
                    .may_hold(&format!("{below}/{path}"), is_file),
            }
    }

    pub(super) fn key(&self, name: &[u8]) -> u64 {
        self.keys.hash_one(name)
    }

    fn take(&mut self, done: Done) {
        self.report.checked_bytes += done.bytes;
        (self.on_progress)(self.report.checked_bytes);
        self.take_done(done);
    }
}

impl Task {
    /// The node that this comes to, if that is sure to be one.
    fn node(&self, largest_leaf: u64) -> Option<Cid> {
        match self {
            Task::Entry { cid, tsize, .. } => {
                let is_leaf = tsize.is_some_and(|tsize| tsize <= largest_leaf);
                (cid.codec() == codec::DAG_PB && !is_leaf).then_some(*cid)
            }
            Task::Shard(sub) => Some(sub.cid),
            Task::Part(part) => part.is_node().then_some(part.cid),
            Task::Root | Task::Close | Task::End(_) | Task::Settle(_) => None,
        }
    }
}

pub(super) fn malformed(cid: &Cid, source: UnixFsError) -> VerifyError {
    let cid = cid::text(cid);
    let error = PlanError::Malformed {
        cid: cid.clone(),
        source,
    };
    unsound(&error, &cid)
}

pub(super) fn unsound(error: &PlanError, root: &str) -> VerifyError {
    VerifyError::Content(content_failure(error, root))
}
