//! What is looked for in local files, and what the network may be asked for meanwhile.

use std::sync::Arc;

use crate::content::cid::codec;
use crate::content::ranges::ByteRange;
use crate::disk::DiskError;
use crate::engine::Destination;
use crate::engine::coordinator::Coordinator;
use crate::engine::failure::chain;
use crate::engine::input::TaskId;
use crate::engine::local::{LocalEnd, LocalFiles, MAX_MISSES, read};
use crate::engine::plan::{EntryId, FilePlan, Piece, PieceKind, State};
use crate::engine::prove::{Share, Work};
use crate::engine::provider::{Consequence, Place, Transport};
use crate::engine::task::Aim;
use crate::engine::tree::part_stop;

/// Bytes of leaves that are read at once.
pub(super) const WINDOW: u64 = 16 << 20;

impl Coordinator<'_> {
    /// Looks for an entry of which only the root is known: a small file may be just that block.
    pub(in crate::engine) fn try_root(
        &mut self,
        index: usize,
        files: Arc<LocalFiles>,
        id: EntryId,
    ) -> bool {
        let provider = &self.providers[index];
        let is_new = files.may_hold(id) && !provider.tried.roots.contains(&id);
        let Some(cid) = self.plan.entry(id).map(|entry| entry.cid) else {
            return false;
        };
        if !is_new || !self.may_be_leaf(id) || self.is_block_under_way(&cid) {
            return false;
        }
        self.providers[index].tried.roots.insert(id);
        let line = self.new_line(index);
        self.plan.claim(id, line.task);
        let (path, max_block) = (self.local_path(id), self.options.limits.max_block);
        let work = read::root(files, path, cid, max_block, line.clone());
        self.start(index, Transport::Range, Aim::Entry(id, cid), line, work);
        true
    }

    /// Looks for the next leaves of a file that were not looked for.
    pub(in crate::engine) fn try_leaves(
        &mut self,
        index: usize,
        files: Arc<LocalFiles>,
        id: EntryId,
    ) -> bool {
        if !files.may_hold(id) || !self.may_read_ahead(id) {
            return false;
        }
        let run = self.untried_run(index, id);
        let (Some(first), Some(last)) = (run.first(), run.last()) else {
            return false;
        };
        let Some(bounds) = ByteRange::new(first.offset, last.offset + last.len) else {
            return false;
        };
        if self.share_first(index, &files, id) {
            return false;
        }
        let plan = &self.plan;
        let tried = &mut self.providers[index].tried;
        tried.note(id, bounds.start(), bounds.end());
        tried.forget(|entry| plan.entry(entry).is_none());
        let from = match tried.shared.contains(&id) {
            true => read::From::Part(self.output.clone(), self.file_path(id)),
            false => read::From::Files(files, self.local_path(id)),
        };
        let line = self.new_line(index);
        let work = read::leaves(from, id, run, line.clone());
        self.start(index, Transport::Range, Aim::Window(id, bounds), line, work);
        true
    }

    /// Lets a file of which nothing is here share the blocks of the local one, before any of them
    /// is proved; whether that is under way. A snapshot is all the same to a later change of the
    /// local file.
    fn share_first(&mut self, index: usize, files: &Arc<LocalFiles>, id: EntryId) -> bool {
        if self.around.is_sharing() {
            return true;
        }
        let tried = &self.providers[index].tried;
        let file = self.plan.file(id).filter(|file| file.is_untouched());
        let Some(size) = file.map(FilePlan::size) else {
            return false;
        };
        if tried.cannot_share || tried.shared.contains(&id) || !self.output.is_on_disk() {
            return false;
        }
        self.around.sharing = Some(id);
        self.send_work(Work::Share(Share {
            provider: index,
            from: files.clone(),
            from_path: self.local_path(id),
            entry: id,
            path: self.file_path(id),
            size,
        }));
        true
    }

    pub(in crate::engine) fn on_shared(
        &mut self,
        index: usize,
        id: EntryId,
        result: Result<bool, DiskError>,
    ) {
        self.around.sharing = None;
        let tried = &mut self.providers[index].tried;
        match result {
            Ok(true) => _ = tried.shared.insert(id),
            Ok(false) => tried.cannot_share = true,
            Err(error) => self.halt(part_stop(&error, &self.job)),
        }
    }

    fn file_path(&self, id: EntryId) -> Arc<str> {
        let entry = self.plan.entry(id);
        entry.map_or_else(|| "".into(), |entry| entry.path.clone())
    }

    fn untried_run(&self, index: usize, id: EntryId) -> Vec<Piece> {
        let tried = &self.providers[index].tried;
        let is_new = |piece: &&Piece| {
            piece.kind == PieceKind::Leaf && tried.until(id, piece.offset) == piece.offset
        };
        let mut run: Vec<Piece> = Vec::new();
        let pieces = self.plan.file(id).into_iter();
        for piece in pieces.flat_map(|file| file.open_pieces().filter(is_new)) {
            let start = run.first().map_or(piece.offset, |first| first.offset);
            let end = run
                .last()
                .map_or(piece.offset, |last| last.offset + last.len);
            if end != piece.offset || end - start >= WINDOW {
                break;
            }
            run.push(piece.clone());
        }
        run
    }

    /// Where an entry lies in a directory that holds the same tree.
    pub(in crate::engine) fn local_path(&self, id: EntryId) -> String {
        let path = self.plan.entry(id).map(|entry| entry.path.to_string());
        if let Some(path) = path.filter(|path| !path.is_empty()) {
            return path;
        }
        let names = match &self.job.subject {
            crate::engine::Subject::Content { names, .. } => names.join("/"),
            crate::engine::Subject::File => String::new(),
        };
        let target = match &self.job.destination {
            Destination::Disk { target, .. } => target.file_name(),
            Destination::Stdout { .. } => None,
        };
        match (names.is_empty(), target) {
            (true, Some(name)) => name.to_string_lossy().into_owned(),
            _ => names,
        }
    }

    /// Whether an entry that nobody knows can be a single leaf.
    fn may_be_leaf(&self, id: EntryId) -> bool {
        let Some(entry) = self.plan.entry(id) else {
            return false;
        };
        let is_file = matches!(entry.cid.codec(), codec::RAW | codec::DAG_PB);
        let most = self.options.limits.max_block;
        let is_small = entry.tsize.is_none_or(|size| size <= most);
        matches!(entry.state, State::Unknown) && is_file && is_small
    }

    /// Whether a local file is still to be looked at for what this entry is.
    pub(in crate::engine) fn awaits_local_root(&self, id: EntryId) -> bool {
        let mut locals = self.locals(id);
        self.may_be_leaf(id) && locals.any(|provider| !provider.tried.roots.contains(&id))
    }

    /// Up to where the network may be asked for bytes of a file from `offset` on.
    pub(in crate::engine) fn free_until(&self, id: EntryId, offset: u64) -> u64 {
        let tried = self.locals(id).map(|local| local.tried.until(id, offset));
        tried.min().unwrap_or(u64::MAX)
    }

    /// Whether files of a tree are looked for on this machine, one by one.
    pub(in crate::engine) fn has_local_tree(&self) -> bool {
        let is_tree = |place: &Place| matches!(place, Place::Local(files) if files.is_directory());
        self.locals(0).any(|provider| is_tree(&provider.place))
    }

    /// Whoever is to be asked before the network for this entry.
    fn locals(&self, id: EntryId) -> impl Iterator<Item = &crate::engine::Provider> {
        let holds = move |provider: &&crate::engine::Provider| {
            let may_hold = matches!(&provider.place, Place::Local(files) if files.may_hold(id));
            may_hold && provider.is_of_use()
        };
        let waits = self.is_local_first;
        self.providers.iter().filter(move |_| waits).filter(holds)
    }

    /// Nothing moves any more as long as local files come first: nobody hands out the nodes that
    /// lead to the leaves in them. Whether others have a way of their own, which they may go now.
    pub(in crate::engine) fn stop_waiting_for_local(&mut self) -> bool {
        let root = self.root();
        let may_go_on = |provider: &crate::engine::Provider| {
            let form = provider.bulk_transport(root.as_ref());
            !provider.is_local() && provider.is_of_use() && form.is_some()
        };
        let is_held_back = self.locals(0).next().is_some();
        if !is_held_back || !self.providers.iter().any(may_go_on) {
            return false;
        }
        self.is_local_first = false;
        true
    }

    pub(in crate::engine) fn local_ended(&mut self, id: TaskId, end: LocalEnd) {
        let Some(task) = self.net.tasks.get(&id) else {
            return;
        };
        let (index, aim) = (task.provider, task.aim);
        let entry = match aim {
            Aim::Entry(entry, _) | Aim::Window(entry, _) => entry,
            _ => 0,
        };
        let is_read = matches!(end, LocalEnd::Read | LocalEnd::EndsAt(_));
        let provider = &mut self.providers[index];
        match end {
            LocalEnd::Read | LocalEnd::Summed(..) => {}
            LocalEnd::EndsAt(len) => provider.tried.note(entry, len, u64::MAX),
            LocalEnd::NotThere => provider.tried.note(entry, 0, u64::MAX),
            LocalEnd::Failed(error) => {
                provider.tried.note(entry, 0, u64::MAX);
                let message = chain(&error);
                provider.last_error = Some(message.clone());
                let is_all =
                    !matches!(&provider.place, Place::Local(files) if files.is_directory());
                provider.could_not_be_read(is_all);
                if let Some(task) = self.net.tasks.get_mut(&id) {
                    task.outcome = Some(message.clone());
                }
                self.tell(index, &message, Consequence::OtherForm);
            }
        }
        self.count_miss(index, is_read);
    }

    /// A directory that holds none of many files is another tree.
    fn count_miss(&mut self, index: usize, is_there: bool) {
        let provider = &mut self.providers[index];
        let tried = &mut provider.tried;
        tried.misses = if is_there { 0 } else { tried.misses + 1 };
        if tried.misses > MAX_MISSES && provider.receipt.bytes == 0 {
            provider.rule_out();
        }
    }
}
