//! Single blocks from whoever has them, proved: for work that needs a few blocks and no download.
//!
//! Asks the providers as a download does (the best first, several at once, in the form that each
//! serves), and knows their failures by the same rules. Keeps nothing, records nothing.
//! Invariant: what it hands out is what the CID names.

mod ask;
mod listing;

use std::collections::VecDeque;
use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use crate::content::cid::{self, Cid};
use crate::content::hash::VerifiedBlock;
use crate::content::path::Resolution;
use crate::download::Failure;
use crate::engine::Options;
use crate::engine::blocks::ask::{Answer, Fault, Question, ask};
use crate::engine::failure::{content_failure, path_failure};
use crate::engine::give_up;
use crate::engine::plan;
use crate::engine::provider::{self, Budget, Provider, Transport};
use crate::exit::ExitKind;

pub use listing::{Listed, ListedKind, Listing, facts};

/// Providers that can be asked for blocks.
pub struct Blocks {
    providers: Vec<Provider>,
    options: Options,
    /// Whether the routers were asked.
    has_searched: bool,
}

/// Whom to ask for a block now.
enum Choice {
    /// This provider, in this form.
    Ask(usize, Transport),
    /// Whoever could have it is busy, or rests.
    Later,
    /// Nobody is left who could have it.
    Nobody,
}

impl Blocks {
    /// Blocks from these providers, within these limits, and from those that can be found where
    /// the options allow that.
    pub fn new(providers: Vec<Provider>, options: Options) -> Self {
        Self {
            providers,
            options,
            has_searched: false,
        }
    }

    /// Follows names from a root to what they mean.
    ///
    /// # Errors
    /// As a download would fail; 69 where a name is proved to be absent.
    pub async fn resolve(&mut self, root: Cid, names: Vec<String>) -> Result<Cid, Failure> {
        let mut way = Resolution::new(root, names);
        while let Some(wanted) = way.wanted() {
            let block = self.one(&wanted).await?;
            way.feed(block.data())
                .map_err(|error| path_failure(&error))?;
        }
        Ok(way.here())
    }

    /// One block.
    ///
    /// # Errors
    /// As a download of it would fail.
    pub async fn one(&mut self, cid: &Cid) -> Result<VerifiedBlock, Failure> {
        self.check(cid)?;
        let mut found = None;
        self.each(vec![*cid], &mut |_, block| found = block).await;
        if found.is_none() && self.search(cid).await {
            self.each(vec![*cid], &mut |_, block| found = block).await;
        }
        found.ok_or_else(|| self.nobody())
    }

    /// Looks once for further providers of what nobody has; whether there are any.
    async fn search(&mut self, cid: &Cid) -> bool {
        let Some(discovery) = self.options.discovery.clone() else {
            return false;
        };
        if std::mem::replace(&mut self.has_searched, true) {
            return false;
        }
        let found = discovery.find(cid).await;
        discovery.take_up(found, &mut self.providers) > 0
    }

    /// Many blocks, in any order; `None` to `take` for what nobody has.
    pub async fn each(&mut self, cids: Vec<Cid>, take: &mut dyn FnMut(Cid, Option<VerifiedBlock>)) {
        let mut waiting = VecDeque::from(cids);
        let mut running = FuturesUnordered::new();
        let mut load = vec![0; self.providers.len()];
        let connections = self.options.connections.among(self.providers.len());
        loop {
            while running.len() < connections
                && let Some(cid) = waiting.pop_front()
            {
                if cid::identity(&cid).is_some() {
                    take(cid, VerifiedBlock::inlined(&cid));
                    continue;
                }
                match self.choose(&cid, &load) {
                    Choice::Ask(index, form) => {
                        load[index] += 1;
                        running.push(ask(self.question(index, form, cid)));
                    }
                    Choice::Nobody => take(cid, None),
                    Choice::Later => {
                        waiting.push_front(cid);
                        break;
                    }
                }
            }
            if let Some(answer) = running.next().await {
                load[answer.index] -= 1;
                let cid = answer.cid;
                match self.judge(answer) {
                    Some(block) => take(cid, Some(block)),
                    None => waiting.push_front(cid),
                }
            } else if waiting.is_empty() {
                return;
            } else {
                self.rest().await;
            }
        }
    }

    fn question(&mut self, index: usize, form: Transport, cid: Cid) -> Question {
        let (provider, sent) = (&mut self.providers[index], Instant::now());
        provider.tempo.asked(sent);
        Question {
            place: provider.place.clone(),
            index,
            form,
            cid,
            sent,
            max: self.options.limits.max_block,
        }
    }

    fn choose(&self, cid: &Cid, load: &[usize]) -> Choice {
        let form = |index: usize| self.providers[index].node_transport(cid);
        let ready = provider::ranking(&self.providers, Instant::now());
        let free = ready.iter().copied().find_map(|index| {
            let has_room = load[index] < self.options.per_gateway;
            form(index).filter(|_| has_room).map(|form| (index, form))
        });
        let is_hopeful = |index: usize| self.providers[index].is_of_use() && form(index).is_some();
        match free {
            Some((index, form)) => Choice::Ask(index, form),
            None if (0..self.providers.len()).any(is_hopeful) => Choice::Later,
            None => Choice::Nobody,
        }
    }

    /// Waits until the first provider that rests may be asked again.
    async fn rest(&self) {
        if let Some(until) = provider::next_cooled(&self.providers, Instant::now()) {
            tokio::time::sleep_until(until.into()).await;
        }
    }

    /// The block, if the answer proves right; else what became of its sender.
    fn judge(&mut self, answer: Answer) -> Option<VerifiedBlock> {
        let Answer {
            index,
            form,
            cid,
            sent,
            result,
        } = answer;
        let bytes = match result {
            Ok(bytes) => bytes,
            Err(fault) => {
                self.failed(index, form, &cid, &fault, sent);
                return None;
            }
        };
        let len = bytes.len() as u64;
        let provider = &mut self.providers[index];
        provider.tempo.answered();
        match VerifiedBlock::check(cid, bytes) {
            Ok(block) => {
                provider.proved(form, len);
                Some(block)
            }
            Err(error) => {
                provider.last_error = Some(error.to_string());
                provider.lied(form, &cid);
                None
            }
        }
    }

    /// Whoever was asked for `cid` at the time `sent` did not bring it.
    fn failed(&mut self, index: usize, form: Transport, cid: &Cid, fault: &Fault, sent: Instant) {
        let budget = Budget {
            backoff: self.options.backoff,
            max_wait: self.options.max_wait,
            jitter: 0.5,
            now: Instant::now(),
        };
        let provider = &mut self.providers[index];
        provider.last_error = Some(fault.message());
        match fault {
            Fault::Empty => drop(provider.useless(form, Some(cid), true)),
            fault if fault.is_too_large() => drop(provider.sent_too_much(form)),
            fault => {
                let advice = fault.advice();
                provider.failed(form, Some(cid), advice, &budget, sent);
            }
        }
    }

    /// Whether the hash function of a link is accepted.
    fn check(&self, cid: &Cid) -> Result<(), Failure> {
        let checked = plan::check_hash(&self.options.limits, cid);
        checked.map_err(|error| content_failure(&error, &cid::text(cid)))
    }

    /// Nobody is left to ask.
    pub(in crate::engine) fn nobody(&self) -> Failure {
        let kind = give_up::verdict(&self.providers);
        let hint = match kind {
            ExitKind::Retry => "try again later, or name a gateway with --gateway URL",
            _ => "name another gateway with --gateway URL",
        };
        Failure {
            kind,
            message: give_up::why_nobody(&self.providers, kind),
            hint: Some(hint.to_owned()),
        }
    }
}
