//! Files: which of their bytes are what the DAG says.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::content::cid::{self, Cid, codec};
use crate::content::leaf;
use crate::content::ranges::RangeSet;
use crate::content::unixfs::{self, Child, FileNode, Node};
use crate::disk::random_file::RandomFile;
use crate::disk::tree::EntryKind;
use crate::download::Proof;
use crate::engine::blocks::facts;
use crate::engine::plan::PlanError;
use crate::engine::verify::hashing::{Done, Expected, FileId, JOB_BYTES, JOB_LEAVES, Job, What};
use crate::engine::verify::walk::{Task, Walk, malformed};
use crate::engine::verify::{Flaw, VerifyError, whole};

/// A file that is being proved.
pub struct Open {
    path: Arc<str>,
    cid: Cid,
    source: RandomFile,
    /// Bytes that it should have.
    size: u64,
    form: Form,
    bad: RangeSet,
    /// Whether bytes do not match that may be no leaf at all.
    is_doubtful: bool,
    /// Bytes of it that were hashed.
    hashed: u64,
    /// Jobs of which nothing has come back.
    under_way: u32,
    is_given: bool,
    /// Children without bytes that were looked at.
    empties: HashSet<Cid>,
}

/// As what a file is being proved.
enum Form {
    /// Part by part, as its nodes say.
    Nodes,
    /// As one leaf.
    Leaf {
        /// Bytes that it should have, as far as others say so.
        expected: Option<u64>,
        /// Whether its node is known to be nowhere.
        has_no_node: bool,
    },
}

/// A part of a file that one link stands for.
pub struct Part {
    file: FileId,
    /// The link.
    pub cid: Cid,
    tsize: Option<u64>,
    offset: u64,
    len: u64,
    depth: u32,
}

impl Part {
    /// Whether it must come as a block: that is what a link says that does not fit the usual leaf.
    pub fn is_node(&self) -> bool {
        self.cid.codec() == codec::DAG_PB && !leaf::is_canonical(self.len, self.tsize)
    }
}

impl Walk<'_> {
    /// Proves the file at this path.
    pub(super) async fn file(
        &mut self,
        path: Arc<str>,
        cid: Cid,
        tsize: Option<u64>,
    ) -> Result<(), VerifyError> {
        if !self.is_wanted(&path, true) {
            return Ok(());
        }
        let Some(source) = self.place.file(&path)? else {
            return self.absent(path, cid).await;
        };
        let known = self.job.known.filter(|_| path.is_empty());
        let claimed = tsize.and_then(|tsize| match cid.codec() {
            codec::DAG_PB => leaf::len_of_canonical(tsize),
            _ => Some(tsize),
        });
        let expected = known.and_then(|known| known.size).or(claimed);
        // What the bytes alone may prove nobody need be asked for.
        let may_be_leaf = claimed.is_none_or(|claimed| claimed == source.len())
            && source.len() <= self.job.limits.max_block;
        let mut has_no_node = false;
        if cid.codec() == codec::DAG_PB && !may_be_leaf {
            if let Some((node, block)) = self.node(&cid).await? {
                return self.by_nodes(path, cid, source, node, &block).await;
            }
            has_no_node = true;
        }
        let form = Form::Leaf {
            expected,
            has_no_node,
        };
        let size = source.len();
        self.one_leaf(path, cid, source, size, form).await;
        Ok(())
    }

    /// Tries whether the first `size` bytes of the file are one leaf.
    async fn one_leaf(
        &mut self,
        path: Arc<str>,
        cid: Cid,
        source: RandomFile,
        size: u64,
        form: Form,
    ) {
        let fits = size <= self.job.limits.max_block;
        let file = self.begin(path, cid, source, size, form);
        self.tasks.push(Task::End(file));
        match fits {
            true => self.give(file, What::Leaf(cid), (0, size), false).await,
            false => self.blame(file, 0, size),
        }
    }

    /// Proves the file as its nodes say.
    async fn by_nodes(
        &mut self,
        path: Arc<str>,
        cid: Cid,
        source: RandomFile,
        node: Node,
        block: &Bytes,
    ) -> Result<(), VerifyError> {
        let node = match node {
            Node::File(node) => node,
            Node::Symlink(link) => return self.link(&path, cid, link.target, EntryKind::File),
            node => {
                let (expected, len) = facts(&node, block);
                self.another_kind(&path, cid, expected.name(), EntryKind::File, len);
                return Ok(());
            }
        };
        let file = self.begin(path, cid, source, node.size, Form::Nodes);
        self.tasks.push(Task::End(file));
        self.expand(file, 0, 0, &node, block).await
    }

    fn begin(
        &mut self,
        path: Arc<str>,
        cid: Cid,
        source: RandomFile,
        size: u64,
        form: Form,
    ) -> FileId {
        let id = self.next_file;
        self.next_file += 1;
        let open = Open {
            path,
            cid,
            source,
            size,
            form,
            bad: RangeSet::new(),
            is_doubtful: false,
            hashed: 0,
            under_way: 0,
            is_given: false,
            empties: HashSet::new(),
        };
        self.files.insert(id, open);
        id
    }

    /// What a node of a file holds itself, and what it links to.
    async fn expand(
        &mut self,
        file: FileId,
        start: u64,
        depth: u32,
        node: &FileNode,
        block: &Bytes,
    ) -> Result<(), VerifyError> {
        let limit = self.job.limits.max_depth;
        if depth > limit {
            return Err(self.refusal(&PlanError::TooDeep { limit }));
        }
        let children = node.children.iter().rev().map(|child| {
            Task::Part(Part {
                file,
                cid: child.cid,
                tsize: child.tsize,
                offset: start.saturating_add(child.offset),
                len: child.size,
                depth: depth + 1,
            })
        });
        self.tasks.extend(children);
        let inline = block.slice(node.inline.clone());
        if !inline.is_empty() {
            let range = (start, inline.len() as u64);
            self.give(file, What::Inline(inline), range, false).await;
        }
        Ok(())
    }

    /// One part of a file: a leaf that is hashed, or a node that leads on.
    pub(super) async fn part(&mut self, part: Part) -> Result<(), VerifyError> {
        self.check_hash(&part.cid)?;
        let Some(open) = self.files.get_mut(&part.file) else {
            return Ok(());
        };
        let here = open.source.len();
        if part.len == 0 {
            if leaf::is_known_empty(&part.cid) || !open.empties.insert(part.cid) {
                return Ok(());
            }
            // No size bounds how many of these there are.
            self.count_entry()?;
        }
        let range = (part.offset, part.len);
        // Where nothing is there is no need to know what should be.
        if part.len > 0 && part.offset >= here {
            self.blame(part.file, part.offset, part.len);
            return Ok(());
        }
        let limit = self.job.limits.max_block;
        if part.cid.codec() == codec::RAW && part.len > limit {
            return Err(self.refusal(&PlanError::BlockTooLarge {
                cid: cid::text(&part.cid),
                size: part.len,
                limit,
            }));
        }
        if !part.is_node() && part.len <= limit {
            self.give(part.file, What::Leaf(part.cid), range, false)
                .await;
            return Ok(());
        }
        match self.block(&part.cid).await? {
            Some(block) => {
                let child = Child {
                    cid: part.cid,
                    offset: 0,
                    size: part.len,
                    tsize: part.tsize,
                };
                let node = unixfs::child(&child, block.data());
                let node = node.map_err(|source| malformed(&part.cid, source))?;
                self.expand(part.file, part.offset, part.depth, &node, block.data())
                    .await
            }
            None => {
                // Of what is known every node is here, so that this can only be an odd leaf.
                let is_doubtful = self.job.known.is_none() || part.len > limit;
                match part.len <= limit {
                    true => {
                        self.give(part.file, What::Leaf(part.cid), range, is_doubtful)
                            .await
                    }
                    false => self.doubt(part.file),
                }
                Ok(())
            }
        }
    }

    /// Hands bytes of a file out to be hashed.
    async fn give(
        &mut self,
        file: FileId,
        what: What,
        (offset, len): (u64, u64),
        is_doubtful: bool,
    ) {
        let Some(open) = self.files.get(&file) else {
            return;
        };
        if offset.saturating_add(len) > open.source.len() {
            return match is_doubtful {
                true => self.doubt(file),
                false => self.blame(file, offset, len),
            };
        }
        let source = open.source.clone();
        if self.gathered.as_ref().is_some_and(|job| job.file != file) {
            self.flush().await;
        }
        let job = self.gathered.get_or_insert_with(|| Job {
            file,
            source,
            expected: Vec::new(),
        });
        job.expected.push(Expected {
            what,
            offset,
            len,
            is_doubtful,
        });
        let bytes: u64 = job.expected.iter().map(|piece| piece.len).sum();
        if bytes >= JOB_BYTES || job.expected.len() >= JOB_LEAVES {
            self.flush().await;
        }
    }

    /// Hands out what is gathered.
    pub(super) async fn flush(&mut self) {
        if let Some(job) = self.gathered.take() {
            if let Some(open) = self.files.get_mut(&job.file) {
                open.under_way += 1;
            }
            self.hashers.give(job).await;
        }
    }

    fn blame(&mut self, file: FileId, offset: u64, len: u64) {
        if let Some(open) = self.files.get_mut(&file) {
            open.bad.insert(offset, offset.saturating_add(len));
        }
    }

    fn doubt(&mut self, file: FileId) {
        if let Some(open) = self.files.get_mut(&file) {
            open.is_doubtful = true;
        }
    }

    /// Takes what a job came to.
    pub(super) fn take_done(&mut self, done: Done) {
        let Some(open) = self.files.get_mut(&done.file) else {
            return;
        };
        open.under_way -= 1;
        open.hashed += done.bytes;
        for Expected {
            offset,
            len,
            is_doubtful,
            ..
        } in done.wrong
        {
            match (is_doubtful, &open.form) {
                (true, _) => open.is_doubtful = true,
                // Even a file without bytes can be another than it should be.
                (false, Form::Leaf { .. }) => open.bad.insert(offset, offset + len.max(1)),
                (false, Form::Nodes) => open.bad.insert(offset, offset + len),
            }
        }
        if open.is_given && open.under_way == 0 {
            self.tasks.push(Task::Settle(done.file));
        }
    }

    /// All parts of a file are handed out.
    pub(super) fn end(&mut self, file: FileId) {
        if let Some(open) = self.files.get_mut(&file) {
            open.is_given = true;
            if open.under_way == 0 {
                self.tasks.push(Task::Settle(file));
            }
        }
    }

    /// All bytes of a file are hashed.
    pub(super) async fn settle(&mut self, file: FileId) -> Result<(), VerifyError> {
        let Some(open) = self.files.remove(&file) else {
            return Ok(());
        };
        match open.form {
            Form::Leaf {
                expected,
                has_no_node,
            } if !open.bad.is_empty() => self.no_leaf(open, expected, has_no_node).await,
            _ if open.is_doubtful => self.as_a_whole(open).await,
            _ => {
                self.judge(open);
                Ok(())
            }
        }
    }

    /// The file is not the one leaf that it might be.
    async fn no_leaf(
        &mut self,
        mut open: Open,
        expected: Option<u64>,
        has_no_node: bool,
    ) -> Result<(), VerifyError> {
        let len = open.source.len();
        // What is tried next hashes it anew.
        self.report.checked_bytes -= std::mem::take(&mut open.hashed);
        if !has_no_node && let Some((node, block)) = self.node(&open.cid).await? {
            return self
                .by_nodes(open.path, open.cid, open.source, node, &block)
                .await;
        }
        if let Some(size) = expected.filter(|&size| size < len) {
            // It may only have grown.
            let form = Form::Leaf {
                expected: None,
                has_no_node: true,
            };
            self.one_leaf(open.path, open.cid, open.source, size, form)
                .await;
            return Ok(());
        }
        open.size = expected.unwrap_or(open.size);
        open.bad = RangeSet::new();
        open.bad.insert(0, open.size.max(len));
        // Of a tree that is known every node is here, so that this is a leaf, and a wrong one.
        let is_leaf = self.job.known.is_some()
            && !open.path.is_empty()
            && open.size <= self.job.limits.max_block;
        if open.cid.codec() != codec::DAG_PB || is_leaf {
            self.report.checked_bytes += len;
            self.judge_bad(open);
            return Ok(());
        }
        self.as_a_whole(open).await
    }

    /// Nodes are lacking: all of the file at once may prove right.
    async fn as_a_whole(&mut self, mut open: Open) -> Result<(), VerifyError> {
        self.report.checked_bytes -= std::mem::take(&mut open.hashed);
        self.report.checked_bytes += open.source.len();
        let known = self.job.known.filter(|_| open.path.is_empty());
        if let Some(sha256) = known.and_then(|known| known.sha256) {
            let is_right = whole::is_sum(&open.source, sha256).await?;
            if is_right {
                self.report.proof = self.report.proof.max(Proof::Sha256);
                self.right(&open);
            } else {
                let size = known.and_then(|known| known.size).unwrap_or(open.size);
                if open.bad.is_empty() {
                    open.bad.insert(0, size.max(open.source.len()));
                }
                open.size = size;
                self.judge_bad(open);
            }
            return Ok(());
        }
        let is_right = whole::has_root(&open.source, open.cid).await?;
        match is_right {
            true => {
                self.report.proof = self.report.proof.max(Proof::Profile);
                self.right(&open);
            }
            false => self.find(&open.path, open.cid, Flaw::Unproved),
        }
        Ok(())
    }

    fn judge(&mut self, mut open: Open) {
        open.bad.insert(open.size, open.source.len());
        match open.bad.is_empty() {
            true => self.right(&open),
            false => self.judge_bad(open),
        }
    }

    fn judge_bad(&mut self, open: Open) {
        self.find(&open.path, open.cid, Flaw::Bytes(open.bad));
    }

    fn right(&mut self, open: &Open) {
        self.report.files += 1;
        if self.job.known.is_some()
            && let Some(fingerprint) = open.source.fingerprint()
        {
            let path = open.path.to_string();
            self.report.fingerprints.push((path, fingerprint));
        }
    }
}
