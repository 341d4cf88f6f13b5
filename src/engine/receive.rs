//! What arrives: blocks and leaves to be proved; `done` has the proofs that came out right or wrong.

mod done;

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::content::cid::Cid;
use crate::content::hash::VerifiedBlock;
use crate::engine::coordinator::{Coordinator, Stop};
use crate::engine::failure::path_failure;
use crate::engine::fetch::BLOCK_OVERHEAD;
use crate::engine::input::{Leaf, TaskId};
use crate::engine::plan::{Expected, Inline};
use crate::engine::prove::{self, Permit, Place, Shape};
use crate::engine::task::Aim;

/// Blocks that came before their parents may wait up to this many bytes in each answer.
pub const EARLY_LIMIT: u64 = 4 << 20;

/// Reading blocks back from the store takes turns with everything else, signals among it.
const RECALLING: Duration = Duration::from_millis(50);

impl Coordinator<'_> {
    pub(super) fn on_block(&mut self, id: TaskId, cid: Cid, data: Vec<Bytes>, permit: Permit) {
        let len: u64 = data.iter().map(|piece| piece.len() as u64).sum();
        self.count_received(id, len);
        if let Some(task) = self.net.tasks.get_mut(&id) {
            task.overhead += BLOCK_OVERHEAD;
        }
        if self.is_on_the_way(&cid) {
            return self.on_step(id, cid, &prove::concat(&data));
        }
        let expected = self.plan.expects(cid.hash());
        let is_useless = expected == Expected::No;
        match expected {
            Expected::No => self.keep_early(id, cid, &data, len),
            Expected::Node => self.on_node(id, cid, &prove::concat(&data), permit),
            Expected::Leaf { len, places } => {
                let places = self.places(&places);
                self.widen(id, &places);
                let first = places.first().map(|place| (place.entry, place.offset));
                let (task, shape, cid) = (id, Shape::Block, self.wanted_link(cid));
                self.send_job(prove::Job {
                    task,
                    cid,
                    shape,
                    len,
                    places,
                    data,
                    read_at: None,
                    permit,
                });
                if let Some((entry, offset)) = first {
                    self.stop_behind_window(id, entry, offset);
                }
            }
        }
        self.cut_if_done(id, is_useless);
    }

    /// The link that asked for a block: its codec says how the block is read, and not what its sender
    /// calls it.
    fn wanted_link(&self, cid: Cid) -> Cid {
        self.plan.link_to(cid.hash()).unwrap_or(cid)
    }

    fn is_on_the_way(&self, cid: &Cid) -> bool {
        self.wanted_step()
            .is_some_and(|wanted| wanted.hash() == cid.hash())
    }

    /// A block on the way from the root to what is wanted below it.
    fn on_step(&mut self, id: TaskId, cid: Cid, block: &Bytes) {
        let wanted = self.wanted_step().unwrap_or(cid);
        let Ok(verified) = VerifiedBlock::check(wanted, block.clone()) else {
            return self.rejected(id, &cid, None, block.len() as u64);
        };
        self.is_proved(id, block.len() as u64, 0);
        self.take_step(&verified);
    }

    /// Goes on along the way with a verified block.
    pub(super) fn take_step(&mut self, block: &VerifiedBlock) {
        self.journal
            .keep_block(block.cid().hash().to_bytes(), block.data());
        let fed = self
            .way
            .as_mut()
            .map_or(Ok(()), |way| way.feed(block.data()));
        if let Err(error) = fed {
            return self.fail(path_failure(&error));
        }
        self.arrive();
    }

    pub(super) fn on_leaf(&mut self, leaf: Leaf) {
        let Leaf {
            task: id,
            cid,
            entry,
            offset,
            len,
            data,
            is_there,
            permit,
        } = leaf;
        self.count_received(id, len);
        // Another answer may have brought it meanwhile, and the same bytes may be wanted elsewhere.
        let mut places = match self.plan.expects(cid.hash()) {
            Expected::Leaf {
                len: expected,
                places,
            } if expected == len => places,
            _ => Vec::new(),
        };
        if !self.output.is_on_disk() {
            // A stream takes each place by itself, and this answer brings each.
            places.retain(|place| *place == (entry, offset));
        }
        if places.is_empty() && self.is_open(entry, offset) {
            places.push((entry, offset));
        }
        if places.is_empty() {
            self.waste(id, len);
            self.stop_behind_window(id, entry, offset);
            return self.cut_if_done(id, true);
        }
        let places = self.places(&places);
        let (task, shape) = (id, Shape::Leaf);
        self.send_job(prove::Job {
            task,
            cid,
            shape,
            len,
            places,
            data,
            read_at: is_there.then_some((entry, offset)),
            permit,
        });
        self.stop_behind_window(id, entry, offset);
    }

    /// Ends an answer that has come to the part of its window that somebody else took over.
    fn stop_behind_window(&mut self, id: TaskId, entry: u32, offset: u64) {
        let task = self.net.tasks.get(&id).filter(|task| task.helped);
        let is_behind = task.is_some_and(|task| {
            matches!(task.aim, Aim::Window(of, range) if of == entry && offset >= range.end())
        });
        if is_behind {
            self.abort(id);
        }
    }

    fn is_open(&self, entry: u32, offset: u64) -> bool {
        let file = self.plan.file(entry);
        file.is_some_and(|file| file.piece_at(offset).is_some())
    }

    fn places(&self, places: &[(u32, u64)]) -> Vec<Place> {
        let place = |&(entry, offset): &(u32, u64)| {
            let path = self.plan.entry(entry)?.path.clone();
            Some(Place {
                entry,
                path,
                offset,
            })
        };
        places.iter().filter_map(place).collect()
    }

    pub(super) fn on_first_byte(&mut self, id: TaskId, after: Duration) {
        self.tally.reached_provider = true;
        if let Some(task) = self.net.tasks.get_mut(&id) {
            task.first_byte = Some(after);
            task.reading_since = Instant::now();
            task.mark = (task.reading_since, task.received);
            self.providers[task.provider].tempo.answered();
        }
    }

    /// A block that the plan needs in order to go on: small, and proved on the spot.
    fn on_node(&mut self, id: TaskId, cid: Cid, block: &Bytes, permit: Permit) {
        let Some(link) = self.plan.link_to(cid.hash()) else {
            // Another answer has brought it meanwhile.
            return self.waste(id, block.len() as u64);
        };
        let Ok(verified) = VerifiedBlock::check(link, block.clone()) else {
            return self.rejected(id, &cid, None, block.len() as u64);
        };
        self.is_proved(id, block.len() as u64, 0);
        if self.take_node(id, &verified, permit) {
            self.retry_early(id);
        }
    }

    /// A provider sent something that proved right.
    fn is_proved(&mut self, id: TaskId, useful: u64, new_bytes: u64) {
        if let Some(task) = self.net.tasks.get_mut(&id) {
            task.useful += useful;
            self.providers[task.provider].proved(task.transport, new_bytes);
        }
    }

    /// Expands the plan by a verified block; `false` if that ended the download. File bytes in it
    /// keep its share of the budget until they are written.
    pub(super) fn take_node(&mut self, id: TaskId, block: &VerifiedBlock, permit: Permit) -> bool {
        let hash = block.cid().hash();
        if self.plan.is_crowded()
            && self.plan.is_directory()
            && self.plan.would_grow(hash, block.data())
        {
            self.journal.keep_block(hash.to_bytes(), block.data());
            self.plan.put_aside(hash);
            return true;
        }
        self.grow_by(id, block, permit)
    }

    /// The same, however crowded the plan is.
    fn grow_by(&mut self, id: TaskId, block: &VerifiedBlock, mut permit: Permit) -> bool {
        let hash = block.cid().hash();
        let was_known = self.plan.root_kind().is_some();
        let mut expansion = match self.plan.expand(hash, block.data()) {
            Ok(expansion) => expansion,
            Err(error) => {
                self.refuse(&error);
                return false;
            }
        };
        let twins: Vec<(u32, u32)> = expansion
            .found
            .iter()
            .filter_map(|found| Some((found.id, found.twin_of?)))
            .collect();
        if let Err(failure) = self.judge_links(&expansion) {
            self.halt(Stop::Unsound(failure));
            return false;
        }
        self.journal.note(block, &mut expansion);
        if !was_known {
            self.on_resolved();
        }
        if self.stop.is_some() {
            return false;
        }
        for inline in expansion.inline {
            self.write_inline(id, block, inline, permit.take());
        }
        for (twin, first) in twins {
            self.on_twin(twin, first);
        }
        self.write_full_journal();
        self.stop.is_none()
    }

    /// File bytes out of a block that is proved already.
    fn write_inline(&mut self, id: TaskId, block: &VerifiedBlock, inline: Inline, permit: Permit) {
        let Inline {
            entry,
            offset,
            data,
        } = inline;
        self.send_job(prove::Job {
            task: id,
            cid: *block.cid(),
            shape: Shape::Proved,
            len: data.len() as u64,
            places: self.places(&[(entry, offset)]),
            data: vec![data],
            read_at: None,
            permit,
        });
    }

    fn keep_early(&mut self, id: TaskId, cid: Cid, data: &[Bytes], len: u64) {
        let Some(task) = self.net.tasks.get_mut(&id) else {
            return;
        };
        let cost = len + BLOCK_OVERHEAD;
        if task.early_bytes + cost > EARLY_LIMIT {
            return self.waste(id, len);
        }
        task.early_bytes += cost;
        // Copied, so that a small block does not keep the large buffer that it came in.
        task.early.push((cid, Bytes::from(data.concat())));
    }

    /// Looks again at blocks that came before their parents, until none of them is of use.
    fn retry_early(&mut self, id: TaskId) {
        while self.stop.is_none() {
            let Some(task) = self.net.tasks.get_mut(&id) else {
                return;
            };
            let plan = &self.plan;
            let is_wanted = |(cid, _): &(Cid, Bytes)| plan.expects(cid.hash()) != Expected::No;
            let Some(at) = task.early.iter().position(is_wanted) else {
                return;
            };
            let (cid, block) = task.early.swap_remove(at);
            task.early_bytes -= block.len() as u64 + BLOCK_OVERHEAD;
            self.take_early(id, cid, block);
        }
    }

    fn take_early(&mut self, id: TaskId, cid: Cid, block: Bytes) {
        match self.plan.expects(cid.hash()) {
            Expected::No => {}
            Expected::Leaf { len, places } => {
                let places = self.places(&places);
                let (task, shape, data, permit) = (id, Shape::Block, vec![block], None);
                let cid = self.wanted_link(cid);
                self.send_job(prove::Job {
                    task,
                    cid,
                    shape,
                    len,
                    places,
                    data,
                    read_at: None,
                    permit,
                });
            }
            Expected::Node => match VerifiedBlock::check(self.wanted_link(cid), block.clone()) {
                Ok(verified) => {
                    self.is_proved(id, block.len() as u64, 0);
                    self.take_node(id, &verified, None);
                }
                Err(_) => self.rejected(id, &cid, None, block.len() as u64),
            },
        }
    }

    /// Reads blocks that an earlier run, or this one, has put into the store, as far as there is
    /// room for what is in them. Whether its turn was over before it was done.
    pub(super) async fn recall(&mut self) -> bool {
        let until = Instant::now() + RECALLING;
        while self.stop.is_none() {
            let is_fetching = self.net.tasks.values().any(|task| !task.ended);
            let is_idle = !is_fetching && self.plan.next_open(None).is_none();
            let Some(cid) = self.plan.next_recall(is_idle) else {
                return false;
            };
            self.write_journal();
            match self.stored_node(&cid).await {
                Ok(Some(block)) => {
                    self.grow_by(0, &block, None);
                }
                Ok(None) => self.plan.not_recalled(cid.hash()),
                Err(stop) => self.halt(stop),
            }
            if Instant::now() > until {
                return true;
            }
        }
        false
    }

    pub(super) fn count_received(&mut self, id: TaskId, bytes: u64) {
        let Some(task) = self.net.tasks.get_mut(&id) else {
            self.tally.fetched += bytes;
            return;
        };
        task.received += bytes;
        // What is read from a plain file on this machine was not fetched.
        if !self.providers[task.provider].is_local() {
            self.tally.fetched += bytes;
        }
    }

    pub(super) fn waste(&mut self, id: TaskId, bytes: u64) {
        let sender = self.net.tasks.get(&id);
        let sender = sender.map(|task| &mut self.providers[task.provider]);
        if sender.as_ref().is_none_or(|sender| !sender.is_local()) {
            self.tally.wasted += bytes;
        }
        if let Some(sender) = sender {
            sender.receipt.wasted += bytes;
        }
    }
}
