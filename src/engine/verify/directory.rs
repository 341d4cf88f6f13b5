//! Directories: every name that belongs there is, and what is there besides.

use std::collections::HashSet;
use std::sync::Arc;

use crate::content::cid::{Cid, codec};
use crate::content::unixfs::hamt::{Place, Shard, Slot, SubShard};
use crate::content::unixfs::{Entry, Node, ShardNode, UnixFsError};
use crate::disk::tree::{EntryKind, TreePath};
use crate::download::Proof;
use crate::engine::plan::PlanError;
use crate::engine::verify::walk::{Task, Walk, malformed};
use crate::engine::verify::{Flaw, VerifyError, whole};

/// A directory on the way down.
pub struct Directory {
    path: Arc<str>,
    cid: Cid,
    /// Keys of its names: all that is needed to know what is too much.
    names: HashSet<u64>,
    /// How many of them stand on the disk.
    found: usize,
    /// Whether it stands there itself.
    is_there: bool,
    /// Whether names of it are unknown.
    is_partial: bool,
}

impl Walk<'_> {
    /// Goes down into a directory.
    pub(super) fn open_directory(
        &mut self,
        path: Arc<str>,
        cid: &Cid,
        is_there: bool,
    ) -> Result<(), VerifyError> {
        let limit = self.job.limits.max_depth;
        if self.directories.len() as u64 > u64::from(limit) {
            return Err(self.refusal(&PlanError::TooDeep { limit }));
        }
        self.directories.push(Directory {
            path,
            cid: *cid,
            names: HashSet::new(),
            found: 0,
            is_there,
            is_partial: false,
        });
        self.tasks.push(Task::Close);
        Ok(())
    }

    pub(super) fn push_entries(&mut self, entries: Vec<Entry>) {
        let task = |entry: Entry| Task::Entry {
            name: entry.name,
            cid: entry.cid,
            tsize: entry.tsize,
        };
        self.tasks.extend(entries.into_iter().rev().map(task));
    }

    /// The names and shards of the topmost shard.
    pub(super) fn push_slots(&mut self, shard: ShardNode, cid: &Cid) -> Result<(), VerifyError> {
        let shard = shard.place(Place::ROOT);
        self.push_shard(&shard.map_err(|source| malformed(cid, source))?);
        Ok(())
    }

    fn push_shard(&mut self, shard: &Shard) {
        let tasks = shard.slots().map(|slot| match slot {
            Slot::Entry(entry) => Task::Entry {
                name: entry.name.clone(),
                cid: entry.cid,
                tsize: entry.tsize,
            },
            Slot::Shard(sub) => Task::Shard(sub),
        });
        let tasks: Vec<Task> = tasks.collect();
        self.tasks.extend(tasks.into_iter().rev());
    }

    pub(super) async fn shard(&mut self, sub: SubShard) -> Result<(), VerifyError> {
        self.count_entry()?;
        self.check_hash(&sub.cid)?;
        match self.block(&sub.cid).await? {
            Some(block) => {
                let shard = sub.read(block.data());
                self.push_shard(&shard.map_err(|source| malformed(&sub.cid, source))?);
            }
            None => {
                if let Some(directory) = self.directories.last_mut() {
                    directory.is_partial = true;
                }
            }
        }
        Ok(())
    }

    /// Looks at one name.
    pub(super) async fn entry(
        &mut self,
        name: &[u8],
        cid: Cid,
        tsize: Option<u64>,
    ) -> Result<(), VerifyError> {
        self.count_entry()?;
        let key = self.key(name);
        let Some(directory) = self.directories.last_mut() else {
            return Ok(());
        };
        directory.names.insert(key);
        let (dir, is_there) = (directory.path.clone(), directory.is_there);
        let text = str::from_utf8(name).map_err(|_| {
            let entry = Entry {
                name: name.to_vec().into(),
                cid,
                tsize,
            };
            let source = entry.text().err().unwrap_or(UnixFsError::NoData);
            malformed(&directory.cid, source)
        })?;
        let path: Arc<str> = match &*dir {
            "" => text.into(),
            dir => format!("{dir}/{text}").into(),
        };
        TreePath::parse(&path).map_err(|source| {
            self.refusal(&PlanError::Name {
                name: text.to_owned(),
                dir: dir.to_string(),
                source,
            })
        })?;
        let found = match is_there {
            true => self.place.look(&path)?,
            false => None,
        };
        if found.is_some()
            && let Some(directory) = self.directories.last_mut()
        {
            directory.found += 1;
        }
        if !self.is_wanted(&path, cid.codec() == codec::RAW) {
            return Ok(());
        }
        self.look(path, cid, tsize, found).await
    }

    /// Nothing stands for this CID. Of a directory of which only a part is wanted, only that part
    /// is missing.
    pub(super) async fn absent(&mut self, path: Arc<str>, cid: Cid) -> Result<(), VerifyError> {
        let node = match cid.codec() {
            codec::DAG_PB => self.node(&cid).await?,
            _ => None,
        };
        let is_part = !self.job.filter.takes_all();
        match node {
            Some((Node::Directory(directory), _)) if is_part => {
                self.open_directory(path, &cid, false)?;
                self.push_entries(directory.entries);
            }
            Some((Node::HamtShard(shard), _)) if is_part => {
                self.open_directory(path, &cid, false)?;
                self.push_slots(shard, &cid)?;
            }
            Some((Node::Symlink(link), _)) if self.is_wanted(&path, true) => {
                let (expected, found) = (link.target, None);
                self.find(&path, cid, Flaw::Target { expected, found });
            }
            _ if self.is_wanted(&path, true) => self.find(&path, cid, Flaw::Missing),
            _ => {}
        }
        Ok(())
    }

    /// All names of the directory are looked at: what else is there?
    pub(super) fn close(&mut self) -> Result<(), VerifyError> {
        let Some(directory) = self.directories.pop() else {
            return Ok(());
        };
        if directory.is_partial {
            self.find(&directory.path, directory.cid, Flaw::Unproved);
            return Ok(());
        }
        let Some(view) = self.place.tree().filter(|_| directory.is_there) else {
            return Ok(());
        };
        let on_disk = match &*directory.path {
            "" => None,
            path => Some(TreePath::parse(path)?),
        };
        let names = view.names(on_disk.as_ref())?;
        // A disk that folds names may have them in other bytes: as many as belong there do.
        if names.len() <= directory.found {
            return Ok(());
        }
        for name in names {
            let key = self.key(name.as_encoded_bytes());
            if !directory.names.contains(&key) {
                let path = std::path::Path::new(&*directory.path).join(name);
                self.report.extra.push(path);
            }
        }
        Ok(())
    }

    /// No node says what it is. The root may be what an importer would make of the tree.
    pub(super) async fn without_node(
        &mut self,
        path: &str,
        cid: Cid,
        found: EntryKind,
    ) -> Result<(), VerifyError> {
        let is_file = cid.codec() != codec::DAG_PB;
        if is_file {
            self.another_kind(path, cid, "file", found, None);
            return Ok(());
        }
        let has_root = path.is_empty()
            && found == EntryKind::Directory
            && whole::is_tree(&self.job.path, cid).await?;
        match has_root {
            true => self.report.proof = Proof::Profile,
            false => self.find(path, cid, Flaw::Unproved),
        }
        Ok(())
    }
}
