//! Handing out work: what is missing next, whom to ask for it, and in which form (`send` asks).
//!
//! All providers work at once, each on a window of its own. Whoever is idle takes the next open
//! piece of work; where nothing is open any more, the slowest are helped (`help`).

mod send;

use std::time::{Duration, Instant};

use crate::content::cid::{Cid, codec};
use crate::content::ranges::ByteRange;
use crate::engine::coordinator::Coordinator;
use crate::engine::discover::Search;
use crate::engine::plan::{EntryId, FilePlan, Piece, State};
use crate::engine::provider::{Place, Provider, Transport, next_cooled, ranking};
use crate::engine::task::{Aim, Task};

/// The first window of a provider, before its speed is known, if it is alone.
const FIRST_WINDOW: u64 = 16 << 20;
/// The same where others share the work: a slow one must not hold much of it.
const FIRST_SHARE: u64 = 4 << 20;
/// The largest window: what a broken answer can cost at the most is a part of it.
const MAX_WINDOW: u64 = 64 << 20;
/// A window lasts about this long at the provider's measured speed.
const WINDOW_TIME: Duration = Duration::from_secs(2);
/// The next window is asked for when at most this much of the last one is missing, less of a slow
/// provider: enough to hide a round trip at 100 MB/s, little enough that a kill costs little.
const EARLY: u64 = 2 << 20;
/// Nodes that are fetched at once, ahead of the leaves that need them.
const NODES_AHEAD: usize = 4;
/// Open entries that are looked at for one that a provider can serve.
const SCAN: usize = 256;
/// The largest sub-tree that is asked for as one CAR before it is known to be of small files.
const SUBTREE: u64 = 64 << 20;
/// Directories whose largest entry claims at most this many bytes are asked for as one CAR.
const SMALL: u64 = 4 << 20;

/// What a provider does at the moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Load {
    /// Answers of many bytes.
    bulk: usize,
    /// Bytes of windows that have not arrived.
    missing: u64,
    /// Of those, what will have come by the time that another answer begins.
    imminent: u64,
    /// Single blocks.
    blocks: usize,
}

impl Load {
    /// Whether it does anything.
    pub(super) fn is_busy(self) -> bool {
        self.bulk > 0 || self.blocks > 0
    }

    /// Whether an answer of many bytes is under way.
    fn has_bulk(self) -> bool {
        self.bulk > 0
    }

    /// Whether another answer of many bytes may begin.
    fn has_room_for_bulk(self) -> bool {
        self.bulk == 0 || (self.bulk == 1 && self.missing > 0 && self.missing <= self.imminent)
    }
}

impl Coordinator<'_> {
    /// Hands out work until nothing more can be, or nobody is left to ask.
    pub(super) fn schedule(&mut self) {
        while self.stop.is_none() && !self.is_complete() {
            let now = Instant::now();
            if !self.hand_out_next(now) && !self.may_go_on(now) {
                return;
            }
        }
    }

    /// Hands out one piece of work; whether there was any that somebody can do.
    fn hand_out_next(&mut self, now: Instant) -> bool {
        let running = self.net.tasks.values().filter(|task| !task.ended).count();
        if running >= self.connections() {
            return false;
        }
        let ranking = ranking(&self.providers, now);
        if ranking.iter().any(|&index| self.hand_out(index)) {
            return true;
        }
        // Who waits for our disk needs no help.
        !self.checkpointing.is_holding_back()
            && ranking.iter().any(|&index| self.help_slowest(index, now))
    }

    /// Nothing can be handed out now: waits for what is under way or for a provider that rests,
    /// or gives up; whether something can be handed out after all.
    fn may_go_on(&mut self, now: Instant) -> bool {
        self.net.wake = next_cooled(&self.providers, now);
        let is_stuck = self.net.wake.is_none() && !self.is_under_way();
        if !is_stuck {
            return false;
        }
        if self.plan.awaits_recall() && self.plan.next_open(None).is_none() {
            // What was put aside in the store is all that is left: there is room for it now.
            self.net.wake = Some(now);
            return false;
        }
        if self.stop_waiting_for_local() {
            return true;
        }
        self.give_up();
        false
    }

    /// Whether something under way may still bring what is missing. Bytes that wait for their turn
    /// on a stream do not count: what they wait for, nobody brings.
    fn is_under_way(&self) -> bool {
        let is_searching = self.search == Search::UnderWay;
        let is_fetching = self.net.tasks.values().any(|task| !task.ended);
        let is_sharing = self.around.is_sharing();
        if is_searching || is_fetching || is_sharing || self.hashing.is_busy() {
            return true;
        }
        let is_proving = |(_, file): (EntryId, &FilePlan)| {
            file.is_complete() || file.is_proving(file.proved().covered_until(0))
        };
        match self.output.is_on_disk() {
            true => self.net.jobs > 0,
            false => self.plan.files().any(is_proving),
        }
    }

    pub(super) fn load(&self, index: usize) -> Load {
        let running = self.net.tasks.values();
        let running = running.filter(|task| !task.ended && task.provider == index);
        let (latency, now) = (self.providers[index].latency, Instant::now());
        running.fold(Load::default(), |load, task| match task.aim.block() {
            Some(_) => Load {
                blocks: load.blocks + 1,
                ..load
            },
            None => Load {
                bulk: load.bulk + 1,
                missing: load.missing + task.missing(),
                imminent: load.imminent + imminent(task, latency, now),
                ..load
            },
        })
    }

    /// Hands out one piece of work to this provider; whether there was any.
    fn hand_out(&mut self, index: usize) -> bool {
        let load = self.load(index);
        if let Some(cid) = self.wanted_step() {
            return self.fetch_block(index, load, Aim::Step(cid));
        }
        let mut after = None;
        for _ in 0..SCAN {
            let Some(id) = self.plan.next_open(after) else {
                return false;
            };
            after = Some(id);
            let Some(entry) = self.plan.entry(id) else {
                continue;
            };
            let handed = match &entry.state {
                _ if entry.claim.is_some() => None,
                State::Twin(_) => None,
                State::Unknown | State::Shard(_) => Some(self.hand_out_entry(index, load, id)),
                State::File(file) if !has_open_work(file) => None,
                State::File(_) => Some(self.hand_out_file(index, load, id)),
            };
            match handed {
                Some(true) => return true,
                // Where nobody else is asked, what all lack must not hide what is behind it.
                Some(false) if self.options.asks_others_later && self.is_lacked(id) => {
                    self.plan.set_idle(id);
                }
                Some(false) => {}
                None => self.plan.set_idle(id),
            }
        }
        false
    }

    /// Whether no provider has the next of an entry.
    fn is_lacked(&self, id: EntryId) -> bool {
        let Some(entry) = self.plan.entry(id) else {
            return false;
        };
        let lacks = |cid: &Cid| {
            let mut providers = self.providers.iter();
            providers.all(|provider| provider.node_transport(cid).is_none())
        };
        match &entry.state {
            State::File(file) => {
                let mut pieces = file.open_pieces();
                pieces.all(|piece| lacks(&piece.cid)) && file.unseen_empties().iter().all(lacks)
            }
            _ => lacks(&entry.cid),
        }
    }

    /// An entry of which only the root is known: with everything below it if that is little,
    /// together with its neighbours if they are small, else its root block alone.
    fn hand_out_entry(&mut self, index: usize, load: Load, id: EntryId) -> bool {
        let Some(entry) = self.plan.entry(id) else {
            return false;
        };
        let (cid, tsize) = (entry.cid, entry.tsize);
        if let Place::Local(files) = self.providers[index].place.clone() {
            return self.try_root(index, files, id);
        }
        if self.awaits_local_root(id) {
            return false;
        }
        let serves_trees = self.providers[index].serves(Transport::Car);
        if serves_trees && self.options.filter.takes_all() && !self.has_local_tree() {
            if let Some((directory, root)) = self.tree_around(id) {
                return self.fetch_tree(index, load, directory, root);
            }
            // A shard has more below it for sure; anything else, if it claims more than a block.
            let least = match entry.state {
                State::Shard(_) => 0,
                _ => self.options.limits.max_block,
            };
            let is_tree = cid.codec() == codec::DAG_PB
                && tsize.is_some_and(|size| size > least && size <= SUBTREE);
            if is_tree && !self.plan.was_tried(id) {
                return self.fetch_tree(index, load, id, cid);
            }
        }
        self.fetch_block(index, load, Aim::Entry(id, cid))
    }

    /// The largest directory around an entry that is worth a CAR of all of it: one of small
    /// entries, hardly anything of which is there.
    fn tree_around(&self, id: EntryId) -> Option<(EntryId, Cid)> {
        let mut best = None;
        let mut next = self.plan.entry(id)?.parent;
        while let Some(id) = next {
            let Some(directory) = self.plan.directory(id) else {
                break;
            };
            let is_untouched = directory.done_bytes <= directory.claimed / 16;
            if directory.largest_child > SMALL || !is_untouched {
                break;
            }
            if directory.unfinished > 1 && !self.plan.was_tried(id) {
                best = Some((id, directory.cid));
            }
            next = directory.parent;
        }
        best
    }

    /// A file: the nodes that lead to its bytes first, then as many of its bytes as fit a window.
    fn hand_out_file(&mut self, index: usize, load: Load, id: EntryId) -> bool {
        if let Place::Local(files) = self.providers[index].place.clone() {
            return !load.has_bulk() && self.try_leaves(index, files, id);
        }
        if self.is_on_this_machine(index, id) {
            return false;
        }
        let Some(file) = self.plan.file(id) else {
            return false;
        };
        let window = self.window(index);
        if let Some(empty) = file.unseen_empties().first() {
            let aim = Aim::Node(id, *empty, None);
            if self.fetch_block(index, load, aim) {
                return true;
            }
        }
        if let Some(aim) = self.next_node(id, window)
            && self.fetch_block(index, load, aim)
        {
            return true;
        }
        match self.providers[index].bulk_transport(self.plan.entry(id).map(|entry| &entry.cid)) {
            Some(Transport::Range) => self.fetch_leaves(index, load, id, window),
            Some(Transport::Car) => self.fetch_window(index, load, id, window),
            Some(Transport::Raw) => self.fetch_piece(index, load, id),
            Some(Transport::Whole) | None => false,
        }
    }

    /// Whether another provider, a file on this machine, has some of what is open of a file: it is
    /// read first, so that no network brings what is here already. (What a stream needs next may
    /// not be what such a file has.)
    fn is_on_this_machine(&mut self, index: usize, id: EntryId) -> bool {
        let Some(file) = self.plan.file(id) else {
            return false;
        };
        if !self.output.is_on_disk() || matches!(self.providers[index].place, Place::Car(_)) {
            return false;
        }
        let is_here = |it: &&mut Provider| matches!(it.place, Place::Car(_)) && it.is_of_use();
        let mut here = self.providers.iter_mut().filter(is_here);
        here.any(|provider| provider.pieces_at_hand(id, file).next().is_some())
    }

    /// A node that leads to leaves which will be wanted soon. Only those who fetch leaves as plain
    /// bytes need it; to others it comes with its leaves.
    pub(super) fn next_node(&self, id: EntryId, window: u64) -> Option<Aim> {
        let is_needed = self
            .providers
            .iter()
            .any(|provider| provider.out().is_none() && provider.serves(Transport::Range));
        let under_way = self
            .net
            .tasks
            .values()
            .filter(|task| matches!(task.aim, Aim::Node(..)));
        if !is_needed || under_way.count() >= NODES_AHEAD {
            return None;
        }
        let file = self.plan.file(id)?;
        let first = file.open_pieces().next()?.offset;
        let node = file.open_nodes(first.saturating_add(2 * window)).next()?;
        Some(Aim::Node(id, node.cid, piece_range(node)))
    }

    /// Whether more may be asked for: a stream needs its bytes in order, and what comes too early
    /// has to wait in memory.
    pub(super) fn may_read_ahead(&self, id: EntryId) -> bool {
        let Some(file) = self.plan.file(id) else {
            return false;
        };
        let next = file.proved().covered_until(0);
        let first = file.open_pieces().next().map_or(next, |piece| piece.offset);
        self.output.is_on_disk() || first < next + self.options.stream_ahead
    }

    /// Single blocks that one provider may be asked for at once. Several share the connections, so
    /// that those who keep silent cannot hold all of them.
    fn blocks_each(&self) -> usize {
        let share = self.connections() / self.providers_of_use().max(1);
        self.options.per_gateway.min(share.max(1))
    }

    fn providers_of_use(&self) -> usize {
        let of_use = self.providers.iter().filter(|other| other.is_of_use());
        of_use.count()
    }

    /// Requests that may be under way at once.
    fn connections(&self) -> usize {
        self.options.connections.among(self.providers_of_use())
    }

    /// Whether somebody fetches this block, for whatever place: it will fill all that wait for it.
    pub(super) fn is_block_under_way(&self, cid: &Cid) -> bool {
        let under_way = self.net.blocks_under_way();
        under_way.iter().any(|block| block.hash() == cid.hash())
    }

    /// About two seconds of the provider's speed.
    fn window(&self, index: usize) -> u64 {
        let provider = &self.providers[index];
        let is_alone = self.providers_of_use() < 2;
        let least = if is_alone { FIRST_WINDOW } else { FIRST_SHARE };
        // Who may be asked rarely is asked for more at a time.
        let time = WINDOW_TIME.max(2 * provider.tempo.pace().interval());
        let measured = provider.throughput * time.as_secs_f64();
        let most = match self.output.is_on_disk() {
            true => MAX_WINDOW,
            // What comes early waits in memory.
            false => self.options.stream_ahead / 2,
        };
        (measured as u64).max(least).min(most)
    }
}

/// How much of a window may be missing when the next one is asked for: what comes in the time that
/// a first byte takes, and no more, since it comes in vain if somebody helps meanwhile.
fn imminent(task: &Task, latency: f64, now: Instant) -> u64 {
    let seconds = 2.0 * latency + 0.1;
    ((task.rate(now) * seconds) as u64).min(EARLY)
}

/// Whether anything of a file is wanted that nobody fetches.
fn has_open_work(file: &FilePlan) -> bool {
    file.open_pieces().next().is_some() || !file.unseen_empties().is_empty()
}

pub(super) fn piece_range(piece: &Piece) -> Option<ByteRange> {
    ByteRange::new(piece.offset, piece.offset + piece.len)
}
