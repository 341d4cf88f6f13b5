//! Asking one provider for one thing: the window, tree or block that was chosen for it.

use std::time::Instant;

use crate::content::cid::Cid;
use crate::content::ranges::ByteRange;
use crate::engine::coordinator::Coordinator;
use crate::engine::fetch::{self, Line, Wanted};
use crate::engine::plan::{EntryId, Piece, PieceKind};
use crate::engine::provider::{Place, Transport};
use crate::engine::schedule::{Load, piece_range};
use crate::engine::task::{Aim, Task};
use crate::event::What;
use crate::gateway::capability::Known;
use crate::gateway::request::{CarRequest, Scope};

/// Single blocks that are told of in the story of a download.
const BLOCKS_TOLD: u64 = 8;

impl Coordinator<'_> {
    pub(super) fn fetch_tree(&mut self, index: usize, load: Load, id: EntryId, root: Cid) -> bool {
        if !load.has_room_for_bulk() {
            return false;
        }
        let Place::Http(gateway) = self.providers[index].place.clone() else {
            return false;
        };
        let line = self.new_line(index);
        let request = CarRequest {
            cid: root,
            scope: Scope::All,
        };
        let entry = self.plan.entry(id).and_then(|entry| entry.tsize);
        let directory = self.plan.directory(id).map(|directory| directory.claimed);
        let claimed = entry.or(directory).unwrap_or(0);
        self.plan.claim_tree(id, line.task);
        let max_block = self.options.limits.max_block;
        let task = line.task;
        let work = fetch::car(gateway, request, max_block, line.clone());
        self.start(index, Transport::Car, Aim::Tree(id, root), line, work);
        if let Some(task) = self.net.tasks.get_mut(&task) {
            task.claimed = claimed;
        }
        true
    }

    /// Plain bytes: as many leaves as are known.
    pub(super) fn fetch_leaves(
        &mut self,
        index: usize,
        load: Load,
        id: EntryId,
        window: u64,
    ) -> bool {
        if !load.has_room_for_bulk() || !self.may_read_ahead(id) {
            return false;
        }
        let Some(file) = self.plan.file(id) else {
            return false;
        };
        let mut run = file.leaf_run(window);
        if let Some(first) = run.first() {
            let free = self.free_until(id, first.offset);
            run.retain(|piece| piece.offset < free);
        }
        let len: u64 = run.iter().map(|piece| piece.len).sum();
        let nodes_under_way = self
            .net
            .tasks
            .values()
            .any(|task| matches!(task.aim, Aim::Node(..)));
        if run.is_empty() || (len < window / 2 && nodes_under_way && load.bulk > 0) {
            return false;
        }
        self.fetch_run(index, id, run)
    }

    pub(in crate::engine) fn fetch_run(
        &mut self,
        index: usize,
        id: EntryId,
        leaves: Vec<Piece>,
    ) -> bool {
        let place = self.providers[index].place.clone();
        // A mirror holds the file that was asked for, and no other.
        if matches!(place, Place::Plain(_)) && id != 0 {
            return false;
        }
        let ends = leaves.first().zip(leaves.last());
        let bounds =
            ends.and_then(|(first, last)| ByteRange::new(first.offset, last.offset + last.len));
        let (Some(bounds), Some(file)) = (bounds, self.plan.file(id)) else {
            return false;
        };
        let (root, size) = (*file.root(), file.size());
        let line = self.new_line(index);
        let wanted = Wanted {
            entry: id,
            root,
            size,
            leaves,
        };
        let work = fetch::range(place, wanted, line.clone());
        self.start(index, Transport::Range, Aim::Window(id, bounds), line, work);
        true
    }

    /// A window as a CAR.
    pub(super) fn fetch_window(
        &mut self,
        index: usize,
        load: Load,
        id: EntryId,
        window: u64,
    ) -> bool {
        if !load.has_room_for_bulk() || !self.may_read_ahead(id) {
            return false;
        }
        // Where windows are not honoured, a small one would only be asked for twice.
        let honours_windows = self.providers[index].capabilities.entity_bytes != Known::No;
        let target = if honours_windows { window } else { u64::MAX };
        let span = self.plan.file(id).and_then(|file| file.open_span(target));
        let span = span.and_then(|span| {
            let free = self.free_until(id, span.start());
            ByteRange::new(span.start(), span.end().min(free))
        });
        span.is_some_and(|span| self.fetch_span(index, id, span))
    }

    pub(in crate::engine) fn fetch_span(
        &mut self,
        index: usize,
        id: EntryId,
        span: ByteRange,
    ) -> bool {
        let (Place::Http(gateway), Some(file)) =
            (self.providers[index].place.clone(), self.plan.file(id))
        else {
            return false;
        };
        // The whole file needs no window, and a server that knows none can serve it.
        let range = (span.len() < file.size()).then(|| (span.start(), Some(span.end() - 1)));
        let request = CarRequest {
            cid: *file.root(),
            scope: Scope::Entity { range },
        };
        let line = self.new_line(index);
        let max_block = self.options.limits.max_block;
        let work = fetch::car(gateway, request, max_block, line.clone());
        self.start(index, Transport::Car, Aim::Window(id, span), line, work);
        true
    }

    /// A piece as a block.
    pub(super) fn fetch_piece(&mut self, index: usize, load: Load, id: EntryId) -> bool {
        if load.blocks >= self.blocks_each() || !self.may_read_ahead(id) {
            return false;
        }
        let Some(file) = self.plan.file(id) else {
            return false;
        };
        let under_way = self.net.blocks_under_way();
        let mut pieces = self.providers[index].pieces_at_hand(id, file);
        let provider = &self.providers[index];
        let piece = pieces.find(|piece| {
            let is_free = self.free_until(id, piece.offset) > piece.offset;
            let has_form = provider.node_transport(&piece.cid).is_some();
            let is_same = |cid: &Cid| cid.hash() == piece.cid.hash();
            is_free && has_form && !under_way.iter().any(is_same)
        });
        let aim = piece.and_then(|piece| {
            let range = piece_range(piece)?;
            Some(match piece.kind {
                PieceKind::Node => Aim::Node(id, piece.cid, Some(range)),
                PieceKind::Leaf => Aim::Leaf(id, piece.cid, range),
            })
        });
        drop(pieces);
        aim.is_some_and(|aim| self.fetch_block(index, load, aim))
    }

    /// A single block, in the form in which this provider serves single blocks.
    pub(super) fn fetch_block(&mut self, index: usize, load: Load, aim: Aim) -> bool {
        let Some(cid) = aim.block() else { return false };
        let form = self.providers[index].node_transport(&cid);
        if form.is_none() || load.blocks >= self.blocks_each() || self.is_block_under_way(&cid) {
            return false;
        }
        self.send_for_block(index, aim, cid);
        true
    }

    pub(in crate::engine) fn send_for_block(&mut self, index: usize, aim: Aim, cid: Cid) {
        let line = self.new_line(index);
        let max_block = self.options.limits.max_block;
        if let Aim::Entry(id, _) = aim {
            self.plan.claim(id, line.task);
        }
        match (
            self.providers[index].node_transport(&cid),
            self.providers[index].place.clone(),
        ) {
            (Some(Transport::Car), Place::Http(gateway)) => {
                let request = CarRequest {
                    cid,
                    scope: Scope::Block,
                };
                let work = fetch::car(gateway, request, max_block, line.clone());
                self.start(index, Transport::Car, aim, line, work);
            }
            (_, place) => {
                let work = fetch::block(place, cid, max_block, line.clone());
                self.start(index, Transport::Raw, aim, line, work);
            }
        }
    }

    pub(in crate::engine) fn start(
        &mut self,
        index: usize,
        transport: Transport,
        aim: Aim,
        line: Line,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        if let Some((id, range)) = aim.bytes() {
            self.plan.with_file(id, |file| file.take(range));
        }
        let provider = &mut self.providers[index];
        provider.receipt.requests += 1;
        provider.tempo.asked(Instant::now());
        tracing::debug!(
            task = line.task,
            url = provider.url(),
            ?transport,
            ?aim,
            "request"
        );
        let is_first = provider.receipt.requests == 1;
        let url = provider.url().to_owned();
        let abort = self.net.set.spawn(work);
        let task = Task::new(index, transport, aim, abort);
        self.net.tasks.insert(line.task, task);
        if is_first {
            self.announce(What::Provider { url: url.clone() });
        }
        self.tell_request(url, transport, &aim);
    }

    /// Tells of a request, unless it is one of very many single blocks.
    fn tell_request(&mut self, url: String, form: Transport, aim: &Aim) {
        if aim.block().is_some() && self.tally.good_blocks > BLOCKS_TOLD {
            return;
        }
        let range = aim.bytes().map(|(_, range)| range);
        self.announce(What::Request {
            url,
            form: form.name(),
            rung: form.rung(),
            offset: range.map(|range| range.start()),
            bytes: range.map(|range| range.len()),
        });
    }
}
