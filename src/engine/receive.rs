//! What arrives: blocks and leaves to be proved, proofs that came out right or wrong, exchanges
//! that ended.

use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use crate::content::car::CarError;
use crate::content::cid::{self, Cid};
use crate::content::hash::VerifiedBlock;
use crate::content::ranges::ByteRange;
use crate::download::Failure;
use crate::engine::coordinator::{Coordinator, Stop, Task};
use crate::engine::fetch::BLOCK_OVERHEAD;
use crate::engine::finish::{chain, disk_failure, plan_failure};
use crate::engine::input::{TaskEnd, TaskId};
use crate::engine::plan::{Expected, Inline};
use crate::engine::prove::{self, Outcome, Permit, ShaJob, Shape, SinkError};
use crate::engine::provider::{Consequence, Provider, Transport};
use crate::event::What;
use crate::exit::ExitKind;
use crate::gateway::capability::Known;
use crate::gateway::error::Advice;
use crate::store::Attempt;

/// Blocks that came before their parents may wait up to this many bytes in each answer.
const EARLY_LIMIT: u64 = 4 << 20;
/// An answer may bring this much that nothing asks for, beyond its useful bytes, before it is cut.
const USELESS_LIMIT: u64 = 32 << 20;
/// Weight of the newest measurement in a provider's averages.
const WEIGHT: f64 = 0.3;

impl Coordinator<'_> {
    pub(super) fn on_block(&mut self, id: TaskId, cid: Cid, data: Vec<Bytes>, permit: Permit) {
        let len: u64 = data.iter().map(|piece| piece.len() as u64).sum();
        self.count_received(id, len);
        self.count_overhead(id);
        let Some(plan) = &self.plan else { return };
        let expected = plan.expects(cid.hash());
        let is_useless = expected == Expected::No;
        match expected {
            Expected::No => self.keep_early(id, cid, &data, len),
            Expected::Node => self.on_node(id, cid, &prove::concat(&data)),
            Expected::Leaf { len, offsets } => {
                self.widen(id, &offsets);
                self.send_job(prove::Job {
                    task: id,
                    cid,
                    shape: Shape::Block,
                    len,
                    offsets,
                    data,
                    permit,
                });
            }
        }
        self.cut_if_done(id, is_useless);
    }

    pub(super) fn on_leaf(
        &mut self,
        id: TaskId,
        cid: Cid,
        offset: u64,
        len: u64,
        data: Vec<Bytes>,
        permit: Permit,
    ) {
        self.count_received(id, len);
        // Another answer may have brought it meanwhile, and the same bytes may be wanted elsewhere.
        let offsets = match self.plan.as_ref().map(|plan| plan.expects(cid.hash())) {
            Some(Expected::Leaf {
                len: expected,
                offsets,
            }) if expected == len => offsets,
            _ if self.is_open(offset) => vec![offset],
            _ => return self.waste(id, len),
        };
        self.send_job(prove::Job {
            task: id,
            cid,
            shape: Shape::Leaf,
            len,
            offsets,
            data,
            permit,
        });
    }

    fn is_open(&self, offset: u64) -> bool {
        self.plan.as_ref().is_some_and(|plan| {
            plan.first_piece_from(offset)
                .is_some_and(|piece| piece.offset == offset)
        })
    }

    pub(super) fn on_first_byte(&mut self, id: TaskId, after: Duration) {
        self.reached_provider = true;
        if let Some(task) = self.tasks.get_mut(&id) {
            task.first_byte = Some(after);
        }
    }

    /// A block that the plan needs in order to go on: small, and proved on the spot.
    fn on_node(&mut self, id: TaskId, cid: Cid, block: &Bytes) {
        if self.plan_cid(&cid).is_none() {
            // Another answer has brought it meanwhile.
            return self.waste(id, block.len() as u64);
        }
        let Some(verified) = self
            .plan_cid(&cid)
            .and_then(|cid| VerifiedBlock::check(cid, block.clone()).ok())
        else {
            return self.rejected(id, &cid, None, block.len() as u64);
        };
        if let Some(task) = self.tasks.get(&id) {
            self.providers[task.provider].proved(task.transport, 0);
        }
        if self.take_node(id, &verified) {
            self.retry_early(id);
        }
    }

    /// The link that the plan holds for a block: its codec decides how the block is read, not the
    /// codec that the sender names.
    fn plan_cid(&self, cid: &Cid) -> Option<Cid> {
        self.plan.as_ref()?.link_to(cid.hash())
    }

    /// Expands the plan by a verified block; `false` if that ended the download.
    pub(super) fn take_node(&mut self, id: TaskId, block: &VerifiedBlock) -> bool {
        let Some(plan) = &mut self.plan else {
            return false;
        };
        let was_resolved = plan.size().is_some();
        let inline = match plan.expand(block.cid(), block.data()) {
            Ok(inline) => inline,
            Err(error) => {
                self.fail(plan_failure(&error));
                return false;
            }
        };
        self.keep_node(block);
        if !was_resolved {
            self.on_resolved();
        }
        for Inline { offset, data } in inline {
            let len = data.len() as u64;
            let job = prove::Job {
                task: id,
                cid: *block.cid(),
                shape: Shape::Proved,
                len,
                offsets: vec![offset],
                data: vec![data],
                permit: None,
            };
            self.send_job(job);
        }
        self.stop.is_none()
    }

    fn keep_node(&mut self, block: &VerifiedBlock) {
        let node = (block.cid().hash().to_bytes(), block.data().to_vec());
        self.in_background(self.store.put_nodes(self.job.id, vec![node]));
    }

    fn keep_early(&mut self, id: TaskId, cid: Cid, data: &[Bytes], len: u64) {
        let Some(task) = self.tasks.get_mut(&id) else {
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

    /// Looks again at blocks that came before their parents.
    fn retry_early(&mut self, id: TaskId) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        let early = std::mem::take(&mut task.early);
        task.early_bytes = 0;
        for (cid, block) in early {
            let len = block.len() as u64;
            let Some(plan) = &self.plan else { return };
            match plan.expects(cid.hash()) {
                Expected::No => self.keep_early(id, cid, &[block], len),
                Expected::Node => self.on_node(id, cid, &block),
                Expected::Leaf { len, offsets } => {
                    self.send_job(prove::Job {
                        task: id,
                        cid,
                        shape: Shape::Block,
                        len,
                        offsets,
                        data: vec![block],
                        permit: None,
                    });
                }
            }
        }
    }

    /// Hands bytes to the proving thread. A stream puts each of their places in order by itself.
    fn send_job(&mut self, mut job: prove::Job) {
        if self.part.is_none() {
            for offset in job.offsets.split_off(1.min(job.offsets.len())) {
                let again = prove::Job {
                    offsets: vec![offset],
                    data: job.data.clone(),
                    permit: None,
                    ..job
                };
                self.send_one(again);
            }
        }
        self.send_one(job);
    }

    fn send_one(&mut self, job: prove::Job) {
        if let Some(task) = self.tasks.get_mut(&job.task) {
            task.pending += 1;
            task.useful += job.len;
            for &offset in &job.offsets {
                task.pending_ranges.insert(offset, offset + job.len);
            }
        }
        let sent = self
            .prover
            .as_ref()
            .is_some_and(|prover| prover.send(job).is_ok());
        assert!(
            sent,
            "the proving thread lives as long as the coordinator sends to it"
        );
    }

    pub(super) fn on_done(
        &mut self,
        id: TaskId,
        cid: Cid,
        offsets: &[u64],
        len: u64,
        shape: Shape,
        outcome: Outcome,
    ) {
        self.settle_job(id, offsets, len);
        match outcome {
            Outcome::Written { data, permit } => {
                self.on_written(id, offsets, len, shape, data, permit)
            }
            Outcome::Disproved => self.rejected(id, &cid, offsets.first().copied(), len),
            Outcome::Node(block) => self.on_node_instead(id, &cid, offsets, &block),
            Outcome::Dropped => self.waste(id, len),
            Outcome::SinkFailed(error) => self.sink_failed(&error),
        }
        self.retire(id);
    }

    fn on_written(
        &mut self,
        id: TaskId,
        offsets: &[u64],
        len: u64,
        shape: Shape,
        data: Vec<Bytes>,
        permit: Permit,
    ) {
        let Some(plan) = &mut self.plan else { return };
        let before = plan.proved().total();
        for &offset in offsets {
            plan.prove(offset, len);
            if shape == Shape::Leaf {
                self.by_leaves.insert(offset, offset + len);
            }
        }
        let new_bytes = plan.proved().total() - before;
        self.new_bytes += new_bytes;
        if let Some(task) = self.tasks.get(&id) {
            self.providers[task.provider].proved(task.transport, new_bytes);
        }
        self.feed_sha(offsets, len, data, permit);
    }

    /// Hands bytes to the whole-file hash: as they are when it is their turn, else by a word that
    /// they can be read from the part.
    fn feed_sha(&mut self, offsets: &[u64], len: u64, data: Vec<Bytes>, permit: Permit) {
        let (Some(sha), Some(plan)) = (&self.sha, &self.plan) else {
            return;
        };
        if offsets.contains(&self.sha_position) {
            self.sha_position += len;
            // The thread lives as long as its sender; its failures come back as inputs.
            let _ = sha.send(ShaJob::Feed(data, permit));
        }
        let end = plan.proved().covered_until(self.sha_position);
        if end > self.sha_position && self.part.is_some() {
            self.sha_position = end;
            let _ = sha.send(ShaJob::ReadTo(end));
        }
    }

    /// A sound block that is not the plain leaf it was taken for.
    fn on_node_instead(&mut self, id: TaskId, cid: &Cid, offsets: &[u64], block: &Bytes) {
        if let Some(plan) = &mut self.plan {
            offsets.iter().for_each(|&offset| plan.demand_block(offset));
        }
        self.on_node(id, *cid, block);
    }

    /// Bytes whose proof failed: their sender is named and asked in this form no more.
    fn rejected(&mut self, id: TaskId, cid: &Cid, offset: Option<u64>, len: u64) {
        self.waste(id, len);
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        task.abort.abort();
        task.ended = true;
        task.outcome = Some("rejected".to_owned());
        let (index, transport) = (task.provider, task.transport);
        let url = self.providers[index].url().to_owned();
        self.providers[index].last_error = Some(format!(
            "bytes of block {} did not prove right",
            cid::text(cid)
        ));
        self.announce(What::Rejected {
            url,
            cid: cid::text(cid),
            offset,
        });
        let consequence = self.providers[index].lied(transport);
        self.tell(index, "its bytes did not prove right", consequence);
        self.retire(id);
    }

    fn sink_failed(&mut self, error: &SinkError) {
        let failure = match error {
            SinkError::Disk(error) => disk_failure(error, self.job.id),
            SinkError::Closed => Failure {
                kind: ExitKind::Closed,
                message: chain(error),
                hint: None,
            },
            SinkError::Stream(_) => Failure {
                kind: ExitKind::Disk,
                message: chain(error),
                hint: None,
            },
        };
        self.halt(Stop::Failed(failure));
    }

    pub(super) fn on_ended(&mut self, id: TaskId, end: TaskEnd) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        if std::mem::replace(&mut task.ended, true) {
            return;
        }
        measure(&mut self.providers[task.provider], task);
        match end {
            TaskEnd::Complete => {}
            TaskEnd::CarEnded { was_empty } => self.car_ended(id, was_empty),
            TaskEnd::BadCar(error) => self.car_broke(id, &error),
            TaskEnd::Failed(error) => {
                self.reached_provider |= !error.is_unreachable();
                self.exchange_failed(id, error.advice(), chain(&error));
            }
            TaskEnd::NotInCar => {
                self.exchange_failed(id, Advice::Absent, "does not hold the block".to_owned())
            }
            TaskEnd::CarFile(error) => self.exchange_failed(id, Advice::Stop, chain(&error)),
        }
        self.retire(id);
    }

    /// A CAR that ended well: the plan alone knows whether it was complete.
    fn car_ended(&mut self, id: TaskId, was_empty: bool) {
        let Some(task) = self.tasks.get(&id) else {
            return;
        };
        let (index, transport, got_something) = (
            task.provider,
            task.transport,
            task.useful > 0 || self.is_settled(task),
        );
        if got_something {
            let honours_window = task.block.is_none()
                && task
                    .range
                    .is_some_and(|range| task.received < range.len() + EARLY_LIMIT);
            if honours_window && self.providers[index].capabilities.entity_bytes == Known::Unknown {
                self.providers[index].capabilities.entity_bytes = Known::Yes;
            }
            return;
        }
        let message = if was_empty {
            "answered with an empty CAR"
        } else {
            "answered with a CAR that holds nothing of what was asked for"
        };
        self.reached_provider = true;
        self.providers[index].last_error = Some(message.to_owned());
        let consequence = self.providers[index].useless(transport, was_empty);
        self.tell(index, message, consequence);
    }

    /// Whether nothing of what the task was sent for is still missing.
    fn is_settled(&self, task: &Task) -> bool {
        let Some(plan) = &self.plan else { return false };
        match (task.block, task.range) {
            (Some(cid), _) => plan.expects(cid.hash()) == Expected::No,
            (None, Some(range)) => plan.proved().contains(range.start(), range.end()),
            (None, None) => true,
        }
    }

    /// A CAR that broke off, or is none: blocks that came before are good; nothing came is a fault
    /// of the form.
    fn car_broke(&mut self, id: TaskId, error: &CarError) {
        let brought = self.tasks.get(&id).map_or(0, |task| task.useful);
        self.reached_provider = true;
        let advice = match error {
            _ if brought > 0 => Advice::Retry { after: None },
            // Not even a header came: whatever that was, it was no CAR.
            CarError::Truncated { offset: 0, .. } => Advice::Elsewhere,
            CarError::Truncated { .. } => Advice::Retry { after: None },
            _ => Advice::Unsupported,
        };
        self.exchange_failed(id, advice, chain(error));
    }

    fn exchange_failed(&mut self, id: TaskId, advice: Advice, message: String) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        task.outcome = Some(message.clone());
        let (index, transport) = (task.provider, task.transport);
        let budget = self.failure_budget();
        self.providers[index].last_error = Some(message.clone());
        let consequence = self.providers[index].failed(transport, advice, &budget, Instant::now());
        self.tell(index, &message, consequence);
    }

    fn tell(&mut self, index: usize, message: &str, consequence: Consequence) {
        let wait = match consequence {
            Consequence::Wait(delay) => {
                // Others may be better off meanwhile.
                self.current = (index + 1) % self.providers.len();
                Some(delay)
            }
            Consequence::OtherForm => None,
            Consequence::Gone => {
                self.current = (index + 1) % self.providers.len();
                None
            }
        };
        let url = self.providers[index].url().to_owned();
        self.announce(What::Trouble {
            url,
            message: message.to_owned(),
            wait,
        });
    }

    fn count_received(&mut self, id: TaskId, bytes: u64) {
        self.bytes_fetched += bytes;
        if let Some(task) = self.tasks.get_mut(&id) {
            task.received += bytes;
        }
    }

    /// Blocks count by number too, where an answer is judged by how much it brings.
    fn count_overhead(&mut self, id: TaskId) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.overhead += BLOCK_OVERHEAD;
        }
    }

    fn waste(&mut self, id: TaskId, bytes: u64) {
        self.bytes_wasted += bytes;
        if let Some(task) = self.tasks.get(&id) {
            self.providers[task.provider].receipt.wasted += bytes;
        }
    }

    /// A CAR that goes on behind the window that was asked for: the server knows no windows, and
    /// everything to the end of the file will come from it.
    fn widen(&mut self, id: TaskId, offsets: &[u64]) {
        let (Some(task), Some(plan)) = (self.tasks.get_mut(&id), &mut self.plan) else {
            return;
        };
        let (Some(range), Some(size)) = (task.range, plan.size()) else {
            return;
        };
        let is_behind = offsets.iter().any(|&offset| offset >= range.end());
        if task.transport != Transport::Car || task.block.is_some() || !is_behind {
            return;
        }
        self.providers[task.provider].capabilities.entity_bytes = Known::No;
        plan.give_back(range);
        task.range = ByteRange::new(range.start(), size);
        task.range.into_iter().for_each(|range| plan.take(range));
    }

    /// Cuts an answer off that has nothing more to give: all that it was asked for is here and it
    /// still goes on, or it sends far too much that nobody needs.
    fn cut_if_done(&mut self, id: TaskId, is_useless: bool) {
        let Some(task) = self.tasks.get(&id) else {
            return;
        };
        if task.ended || !is_useless || task.transport != Transport::Car {
            return;
        }
        // A server that knows no windows sends what comes before the window first.
        let knows_windows = self.providers[task.provider].capabilities.entity_bytes == Known::Yes;
        let before = match task.range {
            Some(range) if task.block.is_none() && !knows_windows => range.start(),
            _ => 0,
        };
        let is_flooding = task.received + task.overhead > task.useful + before + USELESS_LIMIT;
        let is_settled = task.pending == 0 && self.is_settled(task);
        if is_flooding && !is_settled {
            let message = "sent far more than was asked for, and little of it".to_owned();
            self.exchange_failed(id, Advice::Unsupported, message);
        }
        if is_flooding || is_settled {
            self.abort(id);
        }
    }

    fn abort(&mut self, id: TaskId) {
        if let Some(task) = self.tasks.get_mut(&id) {
            task.abort.abort();
            task.ended = true;
        }
        self.retire(id);
    }

    /// A job is back from the proving thread; what became of it, the caller looks at next.
    fn settle_job(&mut self, id: TaskId, offsets: &[u64], len: u64) {
        let Some(task) = self.tasks.get_mut(&id) else {
            return;
        };
        task.pending -= 1;
        for range in offsets
            .iter()
            .filter_map(|&offset| ByteRange::new(offset, offset + len))
        {
            task.pending_ranges.remove(range.start(), range.end());
            if let (true, Some(plan)) = (task.is_released, &mut self.plan) {
                plan.give_back(range);
            }
        }
    }

    /// Opens what a task that is over did not bring to others: all of its range but the bytes that
    /// are still at the proving thread, where they may wait for exactly what is missing.
    fn release(&mut self, id: TaskId) {
        let (Some(task), Some(plan)) = (self.tasks.get_mut(&id), &mut self.plan) else {
            return;
        };
        if !task.ended || std::mem::replace(&mut task.is_released, true) {
            return;
        }
        task.range
            .into_iter()
            .for_each(|range| plan.give_back(range));
        task.pending_ranges
            .iter()
            .for_each(|range| plan.take(range));
    }

    /// Forgets a task that is over and whose bytes are all proved or thrown away.
    fn retire(&mut self, id: TaskId) {
        self.release(id);
        if !self
            .tasks
            .get(&id)
            .is_some_and(|task| task.ended && task.pending == 0)
        {
            return;
        }
        let Some(task) = self.tasks.remove(&id) else {
            return;
        };
        let early: u64 = task.early.iter().map(|(_, block)| block.len() as u64).sum();
        self.providers[task.provider].receipt.wasted += early;
        self.bytes_wasted += early;
        self.remember_attempt(task);
    }

    fn remember_attempt(&self, task: Task) {
        let ended = Timestamp::now();
        let took = SignedDuration::try_from(task.started.elapsed()).unwrap_or_default();
        let attempt = Attempt {
            download: self.job.id,
            run: self.job.run,
            provider: self.providers[task.provider].url().to_owned(),
            request: task.transport.name().to_owned(),
            offset: task.range.map(ByteRange::start),
            bytes: task.received,
            outcome: task.outcome.unwrap_or_else(|| "ok".to_owned()),
            started: ended.checked_sub(took).unwrap_or(ended),
            ended,
        };
        self.in_background(
            self.store
                .record_attempt(attempt, self.options.history_limit),
        );
    }
}

/// Learns the provider's speed from an exchange.
fn measure(provider: &mut Provider, task: &Task) {
    let Some(latency) = task.first_byte else {
        return;
    };
    let body = task.started.elapsed().saturating_sub(latency).as_secs_f64();
    provider.latency = average(provider.latency, latency.as_secs_f64());
    if task.received >= 1 << 20 && body > 0.0 {
        provider.throughput = average(provider.throughput, task.received as f64 / body);
    }
}

fn average(old: f64, new: f64) -> f64 {
    if old == 0.0 {
        new
    } else {
        old + WEIGHT * (new - old)
    }
}
