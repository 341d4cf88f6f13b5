//! Handing out work: what is missing next, whom to ask for it, and in which form.

use std::time::{Duration, Instant};

use crate::content::cid::{self, Cid};
use crate::content::ranges::{ByteRange, RangeSet};
use crate::download::Failure;
use crate::engine::coordinator::{Coordinator, Task};
use crate::engine::fetch::{self, Line};
use crate::engine::plan::{Piece, PieceKind};
use crate::engine::provider::{Need, Out, Pick, Place, Provider, Transport, pick, verdict};
use crate::event::What;
use crate::exit::ExitKind;
use crate::gateway::capability::Known;
use crate::gateway::request::{CarRequest, Scope};

/// The first window of a provider, before its speed is known.
const FIRST_WINDOW: u64 = 16 << 20;
/// The largest window: what a broken answer can cost at the most is a part of it.
const MAX_WINDOW: u64 = 64 << 20;
/// A window lasts about this long at the provider's measured speed.
const WINDOW_TIME: Duration = Duration::from_secs(2);
/// The next window is asked for when at most this much of the last one is missing: enough to hide
/// a round trip at 100 MB/s, little enough that a kill costs little.
const EARLY: u64 = 2 << 20;
/// Nodes that are fetched at once, ahead of the leaves that need them.
const NODES_AHEAD: usize = 4;

impl Coordinator<'_> {
    /// Hands out work until nothing more can be, or nobody is left to ask.
    pub(super) fn schedule(&mut self) {
        while self.stop.is_none() && !self.is_complete() {
            let now = Instant::now();
            match pick(&self.providers, self.current, Need::Bulk, now) {
                Pick::Now(index) => {
                    self.use_provider(index);
                    if !self.hand_out(index, now) {
                        return;
                    }
                }
                Pick::Later(at) => {
                    self.wake = Some(at);
                    return;
                }
                Pick::Nobody => {
                    self.give_up_if_stuck();
                    return;
                }
            }
        }
    }

    /// Hands out one piece of work to this provider; whether there was any.
    fn hand_out(&mut self, index: usize, now: Instant) -> bool {
        let Some(plan) = &self.plan else { return false };
        if plan.size().is_none() {
            return self.fetch_unplaced(*plan.root(), now);
        }
        if let Some(empty) = plan.unseen_empty() {
            return self.fetch_unplaced(*empty, now);
        }
        match self.providers[index].bulk_transport() {
            Some(Transport::Range) => self.hand_out_range(index, now),
            Some(Transport::Car) => self.hand_out_car(index),
            Some(Transport::Raw) => self.hand_out_raw(index),
            None => false,
        }
    }

    /// Fetches a block that has no place in the file yet: the root, or an empty child.
    fn fetch_unplaced(&mut self, cid: Cid, now: Instant) -> bool {
        if self.tasks.values().any(|task| task.block == Some(cid)) {
            return false;
        }
        self.fetch_node(cid, None, now)
    }

    /// Plain bytes: the nodes that lead to them first, then as many leaves as are known.
    fn hand_out_range(&mut self, index: usize, now: Instant) -> bool {
        let window = window(&self.providers[index]);
        if self.prefetch_node(window, now) {
            return true;
        }
        let (in_flight, missing) = self.bulk_in_flight();
        if in_flight > 0 && missing > EARLY {
            return false;
        }
        let Some(plan) = &self.plan else { return false };
        let run = plan.leaf_run(window);
        let len: u64 = run.iter().map(|piece| piece.len).sum();
        let nodes_under_way = self.tasks.values().any(|task| task.block.is_some());
        if run.is_empty() || (len < window / 2 && nodes_under_way && in_flight > 0) {
            return false;
        }
        self.fetch_leaves(index, run, plan.size().unwrap_or(0))
    }

    /// Fetches a node within the horizon, if one is open and not too many are under way.
    fn prefetch_node(&mut self, window: u64, now: Instant) -> bool {
        let under_way = self
            .tasks
            .values()
            .filter(|task| task.block.is_some())
            .count();
        if under_way >= NODES_AHEAD {
            return false;
        }
        let Some(plan) = &self.plan else { return false };
        let horizon = plan
            .open_pieces(0)
            .next()
            .map_or(0, |piece| piece.offset)
            .saturating_add(2 * window);
        let Some(node) = plan.open_nodes(horizon).next().cloned() else {
            return false;
        };
        self.fetch_node(node.cid, piece_range(&node), now)
    }

    fn hand_out_car(&mut self, index: usize) -> bool {
        let (in_flight, missing) = self.bulk_in_flight();
        if in_flight > 0 && missing > EARLY {
            return false;
        }
        let Some(plan) = &self.plan else { return false };
        let (root, size) = (*plan.root(), plan.size().unwrap_or(0));
        // Where windows are not honoured, a small one would only be asked for twice.
        let honours_windows = self.providers[index].capabilities.entity_bytes != Known::No;
        let target = if honours_windows {
            window(&self.providers[index])
        } else {
            u64::MAX
        };
        let Some(span) = plan.open_span(target) else {
            return false;
        };
        let Place::Http(gateway) = self.providers[index].place.clone() else {
            return false;
        };
        let line = self.new_line();
        // The whole file needs no window, and a server that knows none can serve it.
        let range = (span.len() < size).then(|| (span.start(), Some(span.end() - 1)));
        let request = CarRequest {
            cid: root,
            scope: Scope::Entity { range },
        };
        let max_block = self.options.limits.max_block;
        self.start(
            index,
            Transport::Car,
            Some(span),
            None,
            line.clone(),
            fetch::car(gateway, request, max_block, line),
        );
        true
    }

    fn hand_out_raw(&mut self, index: usize) -> bool {
        let under_way = self
            .tasks
            .values()
            .filter(|task| !task.ended && task.provider == index)
            .count();
        if under_way >= self.options.per_gateway {
            return false;
        }
        let Some(plan) = &self.plan else { return false };
        let Some(piece) = plan.open_pieces(0).next().cloned() else {
            return false;
        };
        self.fetch_block(index, piece.cid, piece_range(&piece), Some(&piece));
        true
    }

    /// Fetches a block from whoever serves blocks.
    fn fetch_node(&mut self, cid: Cid, range: Option<ByteRange>, now: Instant) -> bool {
        match pick(&self.providers, self.current, Need::Node, now) {
            Pick::Now(index) => {
                self.fetch_block(index, cid, range, None);
                true
            }
            Pick::Later(at) => {
                self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
                false
            }
            Pick::Nobody => {
                self.give_up_if_stuck();
                false
            }
        }
    }

    fn fetch_block(
        &mut self,
        index: usize,
        cid: Cid,
        range: Option<ByteRange>,
        piece: Option<&Piece>,
    ) {
        let line = self.new_line();
        let max_block = self.options.limits.max_block;
        let place = self.providers[index].place.clone();
        let is_node = piece.is_none_or(|piece| piece.kind == PieceKind::Node);
        let block = is_node.then_some(cid);
        match (self.providers[index].node_transport(), place) {
            (Some(Transport::Car), Place::Http(gateway)) => {
                let request = CarRequest {
                    cid,
                    scope: Scope::Block,
                };
                self.start(
                    index,
                    Transport::Car,
                    range,
                    block,
                    line.clone(),
                    fetch::car(gateway, request, max_block, line),
                );
            }
            (_, place) => {
                self.start(
                    index,
                    Transport::Raw,
                    range,
                    block,
                    line.clone(),
                    fetch::block(place, cid, max_block, line),
                );
            }
        }
    }

    fn fetch_leaves(&mut self, index: usize, run: Vec<Piece>, size: u64) -> bool {
        let Place::Http(gateway) = self.providers[index].place.clone() else {
            return false;
        };
        let bounds = run
            .first()
            .zip(run.last())
            .and_then(|(first, last)| ByteRange::new(first.offset, last.offset + last.len));
        let line = self.new_line();
        self.start(
            index,
            Transport::Range,
            bounds,
            None,
            line.clone(),
            fetch::range(gateway, self.job.root, run, size, line),
        );
        true
    }

    fn start(
        &mut self,
        provider: usize,
        transport: Transport,
        range: Option<ByteRange>,
        block: Option<Cid>,
        line: Line,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        if let (Some(plan), Some(range)) = (&mut self.plan, range) {
            plan.take(range);
        }
        self.providers[provider].receipt.requests += 1;
        tracing::debug!(
            task = line.task,
            url = self.providers[provider].url(),
            ?transport,
            ?range,
            block = block.map(|cid| cid::text(&cid)),
            "request"
        );
        let task = Task {
            provider,
            transport,
            range,
            block,
            useful: 0,
            received: 0,
            overhead: 0,
            pending: 0,
            pending_ranges: RangeSet::new(),
            is_released: false,
            ended: false,
            early: Vec::new(),
            early_bytes: 0,
            started: Instant::now(),
            first_byte: None,
            outcome: None,
            abort: self.network.spawn(work),
        };
        self.tasks.insert(line.task, task);
    }

    /// Windows under way, and how many of their bytes have not arrived.
    fn bulk_in_flight(&self) -> (usize, u64) {
        let bulk = self
            .tasks
            .values()
            .filter(|task| !task.ended && task.block.is_none());
        bulk.fold((0, 0), |(count, missing), task| {
            let len = task.range.map_or(0, ByteRange::len);
            (count + 1, missing + len.saturating_sub(task.useful))
        })
    }

    fn use_provider(&mut self, index: usize) {
        let is_new = self.current != index || self.providers[index].receipt.requests == 0;
        self.current = index;
        if is_new {
            let url = self.providers[index].url().to_owned();
            self.announce(What::Provider { url });
        }
    }

    /// Gives up, unless bytes under way may still complete the file. Bytes that wait for their
    /// turn on a stream do not count: what they wait for, nobody brings.
    fn give_up_if_stuck(&mut self) {
        let next = self
            .plan
            .as_ref()
            .map_or(0, |plan| plan.proved().covered_until(0));
        let is_under_way = |task: &Task| match &self.part {
            Some(_) => true,
            None => !task.ended || task.pending_ranges.contains(next, next + 1),
        };
        if !self.tasks.values().any(is_under_way) {
            self.give_up();
        }
    }

    /// Nobody is left to ask: the providers' own endings decide how this one is called.
    fn give_up(&mut self) {
        let kind = verdict(&self.providers);
        let failure = Failure {
            kind,
            message: self.why_nobody(kind),
            hint: Some(self.hint_for(kind)),
        };
        self.fail(failure);
    }

    fn why_nobody(&self, kind: ExitKind) -> String {
        if self.providers.is_empty() {
            return "no provider is known that could have it".to_owned();
        }
        let head = match kind {
            ExitKind::NotFound => "no provider has it",
            ExitKind::Verification => "no provider sent bytes that prove right",
            ExitKind::Refused => {
                "no provider serves it in a form that can be proved, or may serve it to us"
            }
            _ => "no provider could be reached, or all of them failed",
        };
        let each = self
            .providers
            .iter()
            .map(|provider| format!("{} {}", provider.url(), why_out(provider)));
        format!("{head}: {}", each.collect::<Vec<_>>().join("; "))
    }

    fn hint_for(&self, kind: ExitKind) -> String {
        let id = self.job.id;
        match kind {
            ExitKind::NotFound => {
                format!("name a gateway that has it: fetchd resume {id} --reset --gateway URL")
            }
            ExitKind::Verification => {
                format!("name another gateway: fetchd resume {id} --reset --gateway URL")
            }
            ExitKind::Refused => format!(
                "name a trustless gateway, or a node of your own: fetchd resume {id} --reset --gateway http://127.0.0.1:8080"
            ),
            _ => format!(
                "try again later with: fetchd resume {id}, or name a gateway: fetchd resume {id} --gateway URL"
            ),
        }
    }
}

fn why_out(provider: &Provider) -> String {
    let why = match provider.ending() {
        Out::Absent => "does not have it",
        Out::Withheld => "withholds it",
        Out::Lied => "sent bytes that are not what was asked for",
        Out::Credentials => "wants credentials",
        Out::Unprovable => "serves it in no form that can be proved",
        Out::Retired => "has been shut down",
        Out::Exhausted => "failed",
        Out::WaitTooLong(seconds) => {
            return format!("asks to wait {seconds} s, longer than max_wait allows");
        }
    };
    let said = provider.last_error.as_deref();
    said.map_or_else(|| why.to_owned(), |said| format!("{why} ({said})"))
}

fn piece_range(piece: &Piece) -> Option<ByteRange> {
    ByteRange::new(piece.offset, piece.offset + piece.len)
}

/// About two seconds of the provider's speed.
fn window(provider: &Provider) -> u64 {
    let measured = provider.throughput * WINDOW_TIME.as_secs_f64();
    (measured as u64).clamp(FIRST_WINDOW, MAX_WINDOW)
}
