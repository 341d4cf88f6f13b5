//! Where bytes may come from, how each place has behaved in this download, and whom to ask next.
//!
//! The choice is pure: it takes the providers and the time, and gives an answer; it sends nothing.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;

use crate::content::cid::Cid;
use crate::download::{Proof, ProviderReceipt};
use crate::engine::local::{LocalFiles, Tried};
use crate::engine::plan::{EntryId, FilePlan, Piece};
use crate::engine::tempo::Tempo;
use crate::gateway::backoff::Backoff;
use crate::gateway::capability::{Capabilities, Known};
use crate::gateway::car_file::CarFile;
use crate::gateway::error::Advice;
use crate::gateway::plain::Plain;
use crate::gateway::request::Gateway;

/// Things that a gateway may lack before it is not asked any more.
const MAX_LACKING: usize = 4096;
/// The same for one that has brought nothing yet: enough to find out that it has some blocks and
/// not the root.
const MAX_LACKING_AT_FIRST: usize = 16;
/// Blocks that a file on this machine is known to have or not, before they are forgotten again.
const MAX_LOOKED: usize = 16 << 10;
/// Assumed before anything is measured, in seconds and in bytes per second: optimistic enough that
/// everybody gets a try.
const UNKNOWN_LATENCY: f64 = 0.5;
const UNKNOWN_THROUGHPUT: f64 = 1e6;

/// A place that may hold the content.
#[derive(Clone)]
pub enum Place {
    /// An HTTP gateway, trustless or plain.
    Http(Gateway),
    /// A CAR file on this machine.
    Car(Arc<CarFile>),
    /// A plain file at a URL.
    Plain(Plain),
    /// Plain files on this machine.
    Local(Arc<LocalFiles>),
}

/// The forms in which bytes can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// One block, `?format=raw`.
    Raw,
    /// A window of blocks, `?format=car`.
    Car,
    /// Plain file bytes by `Range`.
    Range,
    /// A plain file, from some byte on to its end.
    Whole,
}

impl Transport {
    /// The stable name in the history.
    pub const fn name(self) -> &'static str {
        match self {
            Transport::Raw => "raw",
            Transport::Car => "car",
            Transport::Range => "range",
            Transport::Whole => "whole",
        }
    }

    /// The rung on which its bytes are proved.
    pub const fn rung(self) -> Proof {
        match self {
            Transport::Raw | Transport::Car => Proof::Blocks,
            Transport::Range => Proof::Leaves,
            // Until its end says more.
            Transport::Whole => Proof::Unverified,
        }
    }
}

/// Why a provider is not asked any more in this download.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Out {
    /// It said that it does not have the content, or not any more.
    Absent,
    /// It may not serve this content, for legal reasons.
    Withheld,
    /// It sent bytes that are not what was asked for.
    Lied,
    /// It wants credentials, or rejects those that it got.
    Credentials,
    /// It sent a block that is larger than a block may be.
    TooLarge,
    /// It can serve nothing that can be proved.
    Unprovable,
    /// It has been shut down for good.
    Retired,
    /// It was unreachable or failing until the retries were used up.
    Exhausted,
    /// It asked for a longer wait than is allowed: until then.
    WaitTooLong(Timestamp),
    /// A file on this machine that is cut or damaged, and lacks what is needed.
    Damaged,
    /// A file on this machine that cannot be read.
    Unreadable,
}

/// A wait before a provider is asked again.
#[derive(Debug, Clone, Copy)]
struct Rest {
    until: Instant,
    /// Whether the provider asked for it: then nothing that it sends meanwhile ends it.
    was_asked: bool,
}

/// One provider, as this download knows it.
pub struct Provider {
    /// How to reach it.
    pub place: Place,
    /// What it can do, remembered and learnt.
    pub capabilities: Capabilities,
    /// What it sent.
    pub receipt: ProviderReceipt,
    /// Bytes per second of its last good answers, smoothed; 0 before the first.
    pub throughput: f64,
    /// Time to the first byte of its last good answers, smoothed, in seconds.
    pub latency: f64,
    /// How fast it may be asked.
    pub tempo: Tempo,
    /// What it said last, where that was an error.
    pub last_error: Option<String>,
    /// One permit: which of its long answers is read.
    pub turn: Arc<Semaphore>,
    /// What was looked for in files on this machine.
    pub tried: Tried,
    banned: Vec<(Transport, Out)>,
    /// What it does not have, in which form, by multihash.
    lacking: HashSet<(Transport, Box<[u8]>)>,
    /// What a file on this machine was looked through for.
    looked: Looked,
    failures: u32,
    /// When the last of them was counted.
    failed_at: Option<Instant>,
    rest: Option<Rest>,
    out: Option<Out>,
    /// Whether a block of a file on this machine did not prove right.
    lied_once: bool,
}

/// What a file on this machine was looked through for: a memory that may be lost.
#[derive(Default)]
struct Looked {
    /// By multihash, whether it may have a block: each round asks the same of many.
    known: RefCell<HashMap<Box<[u8]>, bool>>,
    /// Of a file, with so many openings, it has no open piece before this offset.
    until: Option<(EntryId, u64, u64)>,
}

impl Looked {
    fn may_have(&self, car: &CarFile, cid: &Cid) -> bool {
        let mut known = self.known.borrow_mut();
        if known.len() >= MAX_LOOKED {
            known.clear();
        }
        *known.entry(key(cid)).or_insert_with(|| car.may_have(cid))
    }
}

/// What an answer of a provider led to.
#[derive(Debug, Clone, PartialEq)]
pub enum Consequence {
    /// It will be asked again after this wait.
    Wait(Duration),
    /// It will be asked again, in another form.
    OtherForm,
    /// It is not asked any more.
    Gone,
}

impl Consequence {
    /// The same with a wait until `ready` at least.
    fn at_least(self, ready: Option<Instant>, now: Instant) -> Self {
        match (self, ready) {
            (Consequence::Wait(wait), Some(ready)) => Consequence::Wait(wait.max(ready - now)),
            (other, _) => other,
        }
    }
}

impl Provider {
    /// A provider of which nothing is known but what the store remembered.
    /// `url` is its base URL or path as the user gave it.
    pub fn new(place: Place, url: String, capabilities: Capabilities) -> Self {
        Self {
            place,
            capabilities,
            receipt: ProviderReceipt {
                url,
                ..ProviderReceipt::default()
            },
            throughput: 0.0,
            latency: 0.0,
            tempo: Tempo::default(),
            last_error: None,
            turn: Arc::new(Semaphore::new(1)),
            tried: Tried::default(),
            banned: Vec::new(),
            lacking: HashSet::new(),
            looked: Looked::default(),
            failures: 0,
            failed_at: None,
            rest: None,
            out: None,
            lied_once: false,
        }
    }

    /// Honours what it said to an earlier download: not to be asked before `until`.
    #[must_use]
    pub fn resting_until(mut self, until: Timestamp, max_wait: Duration) -> Self {
        let wait = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
        if !wait.is_zero() {
            self.rest_as_asked(wait, max_wait, Instant::now());
        }
        self
    }

    /// Base URL or path, as given.
    pub fn url(&self) -> &str {
        &self.receipt.url
    }

    /// Under which name its limits are remembered: a gateway's is its URL, a plain file's that of
    /// its server. Files on this machine have none.
    pub fn limited_as(&self) -> Option<String> {
        match &self.place {
            Place::Http(_) => Some(self.receipt.url.clone()),
            Place::Plain(plain) => Some(plain.server().to_owned()),
            Place::Car(_) | Place::Local(_) => None,
        }
    }

    /// Whether it has failed since it last brought something.
    pub fn has_just_failed(&self) -> bool {
        self.failures > 0
    }

    /// Why it is not asked any more, if so.
    pub fn out(&self) -> Option<&Out> {
        self.out.as_ref()
    }

    /// Why it is of no use to this download any more: not asked at all, or not in the form that
    /// is still needed.
    pub fn ending(&self) -> &Out {
        if self.is_local() {
            // An older version of the file is no liar.
            return self.out.as_ref().unwrap_or(&Out::Absent);
        }
        let lacking = match &self.place {
            _ if self.lied_once => Some(&Out::Lied),
            Place::Car(car) if !car.is_whole() => Some(&Out::Damaged),
            Place::Car(_) => Some(&Out::Absent),
            _ => (!self.lacking.is_empty()).then_some(&Out::Absent),
        };
        let banned = self.banned.last().map(|(_, why)| why);
        // What it cannot do is no reason where it said that it does not have it.
        let banned = banned.filter(|why| **why != Out::Unprovable || lacking.is_none());
        let out = self.out.as_ref().or(banned).or(lacking);
        out.unwrap_or(&Out::Unprovable)
    }

    /// Whether it is plain files on this machine: no network, and no trust lost by bytes that are
    /// not the same.
    pub fn is_local(&self) -> bool {
        matches!(self.place, Place::Local(_))
    }

    /// When it may be asked, if not now: not before it has rested, and at its own pace.
    fn ready_at(&self, now: Instant) -> Option<Instant> {
        let rested = self
            .rest
            .map(|rest| rest.until)
            .filter(|&until| until > now);
        rested.max(self.tempo.next(now))
    }

    /// Whether it may still bring something.
    pub fn is_of_use(&self) -> bool {
        self.out.is_none()
    }

    /// How to get this single block from it. Into a file on this machine it is looked: that is
    /// cheap, and no request.
    pub fn node_transport(&self, cid: &Cid) -> Option<Transport> {
        [Transport::Raw, Transport::Car]
            .into_iter()
            .find(|&form| self.serves(form) && !self.lacks(form, cid))
            .filter(|_| match &self.place {
                Place::Car(car) => self.looked.may_have(car, cid),
                Place::Http(_) | Place::Plain(_) | Place::Local(_) => true,
            })
    }

    /// The first of the open pieces of a file that it has, or may have, and those behind it.
    pub fn pieces_at_hand<'a>(
        &mut self,
        id: EntryId,
        file: &'a FilePlan,
    ) -> impl Iterator<Item = &'a Piece> + use<'a> {
        let is_here = matches!(self.place, Place::Car(_));
        let known = self.looked.until.filter(|known| is_here && known.0 == id);
        let known = known.filter(|known| known.1 == file.openings());
        let from = known.map_or(0, |(_, _, offset)| offset);
        let mut pieces = file
            .open_pieces()
            .skip_while(move |piece| piece.offset < from);
        let first = pieces.find(|piece| self.node_transport(&piece.cid).is_some());
        let offset = first.map_or(u64::MAX, |piece| piece.offset);
        self.looked.until = Some((id, file.openings(), offset));
        first.into_iter().chain(pieces)
    }

    /// How to get many bytes of a file, or of anything, from it most cheaply.
    pub fn bulk_transport(&self, root: Option<&Cid>) -> Option<Transport> {
        let lacks =
            |form| form != Transport::Raw && root.is_some_and(|root| self.lacks(form, root));
        [Transport::Range, Transport::Car, Transport::Raw]
            .into_iter()
            .find(|&form| self.serves(form) && !lacks(form))
    }

    fn lacks(&self, form: Transport, cid: &Cid) -> bool {
        !self.lacking.is_empty() && self.lacking.contains(&(form, key(cid)))
    }

    /// Whether it may be asked in this form.
    pub fn serves(&self, form: Transport) -> bool {
        let can = match self.place {
            Place::Http(_) => true,
            Place::Car(_) => form == Transport::Raw,
            Place::Plain(_) | Place::Local(_) => {
                matches!(form, Transport::Range | Transport::Whole)
            }
        };
        let known = match form {
            Transport::Raw => self.capabilities.raw,
            Transport::Car => self.capabilities.car,
            Transport::Range => self.capabilities.range,
            Transport::Whole => Known::Unknown,
        };
        can && known != Known::No && !self.is_banned(form)
    }

    /// Bytes per second that it is expected to send.
    pub fn assumed_throughput(&self) -> f64 {
        match self.throughput > 0.0 {
            true => self.throughput,
            false => UNKNOWN_THROUGHPUT,
        }
    }

    /// Seconds that a mebibyte from it is expected to take.
    fn cost(&self) -> f64 {
        let latency = match self.latency > 0.0 {
            true => self.latency,
            false => UNKNOWN_LATENCY,
        };
        latency + (1 << 20) as f64 / self.assumed_throughput()
    }

    fn is_banned(&self, form: Transport) -> bool {
        self.banned.iter().any(|(banned, _)| *banned == form)
    }

    /// It sent bytes that proved right: its budget of failures is full again.
    pub fn proved(&mut self, form: Transport, bytes: u64) {
        self.failures = 0;
        self.rest = self.rest.filter(|rest| rest.was_asked);
        self.receipt.bytes += bytes;
        if !self.receipt.rungs.contains(&form.rung()) {
            self.receipt.rungs.push(form.rung());
        }
        match form {
            Transport::Raw => self.capabilities.raw = Known::Yes,
            Transport::Car => self.capabilities.car = Known::Yes,
            Transport::Range => self.capabilities.range = Known::Yes,
            Transport::Whole => {}
        }
    }

    /// It sent bytes of a file that proves itself only at its end: its budget of failures is full
    /// again.
    pub fn made_progress(&mut self) {
        self.failures = 0;
        self.rest = self.rest.filter(|rest| rest.was_asked);
    }

    /// Bytes of a file that has come out right, on this rung.
    pub fn kept(&mut self, bytes: u64, rung: Proof) {
        self.receipt.bytes += bytes;
        if bytes > 0 && !self.receipt.rungs.contains(&rung) {
            self.receipt.rungs.push(rung);
        }
    }

    /// It sent a file that came out wrong: it is not asked any more.
    pub fn sent_another_file(&mut self) -> Consequence {
        self.receipt.rejected += 1;
        self.leave(Out::Lied)
    }

    /// A file of it cannot be read, which may be all that there is.
    pub fn could_not_be_read(&mut self, is_all: bool) {
        self.receipt.errors += 1;
        if is_all {
            self.leave(Out::Unreadable);
        }
    }

    /// It is of no use to this download.
    pub fn rule_out(&mut self) {
        let why = match self.place {
            Place::Local(_) => Out::Absent,
            Place::Http(_) | Place::Car(_) | Place::Plain(_) => Out::Unprovable,
        };
        self.out.get_or_insert(why);
    }

    /// Whether it might send the plain file, although it serves it in no form that proves itself.
    /// A store of files may know no `format` and call absent what it has.
    pub fn may_send_whole(&self) -> bool {
        let serves_blocks = [self.capabilities.raw, self.capabilities.car].contains(&Known::Yes);
        match (&self.place, self.ending()) {
            (Place::Http(_), Out::Absent) => !serves_blocks,
            _ => self.sends_no_blocks(),
        }
    }

    /// Whether it has it, or may have it, in a form that does not prove itself.
    pub fn sends_no_blocks(&self) -> bool {
        match (&self.place, self.ending()) {
            (Place::Local(_), _) => self.out.is_none(),
            (Place::Http(_) | Place::Plain(_), Out::Unprovable) => true,
            // A path gateway answers the wish for a block with the whole file.
            (Place::Http(_), Out::TooLarge) => self.capabilities.car == Known::No,
            _ => false,
        }
    }

    /// It gets another chance, in another form.
    pub fn revive(&mut self) {
        self.out = None;
        self.failures = 0;
        self.rest = self.rest.filter(|rest| rest.was_asked);
    }

    /// It sent bytes that did not prove right: it is not asked in this form any more. Of a file on
    /// this machine only the one block is bad.
    pub fn lied(&mut self, form: Transport, block: &Cid) -> Consequence {
        self.receipt.rejected += 1;
        match self.place {
            Place::Http(_) | Place::Plain(_) => self.ban(form, Out::Lied),
            Place::Car(_) => {
                self.lied_once = true;
                self.lack(form, Some(block))
            }
            Place::Local(_) => Consequence::OtherForm,
        }
    }

    /// It answered with an error when it was asked for `subject`: a block, or the root of more.
    pub fn failed(
        &mut self,
        form: Transport,
        subject: Option<&Cid>,
        advice: Advice,
        budget: &Budget,
        sent: Instant,
    ) -> Consequence {
        self.receipt.errors += 1;
        match advice {
            Advice::Retry { after } => self.wait(form, after, budget, sent),
            Advice::SlowDown { after } => {
                // Who says "at once" means no limit.
                if after != Some(Duration::ZERO) {
                    self.tempo.refused(sent, budget.now);
                }
                self.wait(form, after, budget, sent)
                    .at_least(self.ready_at(budget.now), budget.now)
            }
            Advice::Elsewhere => self.ban(form, Out::Exhausted),
            Advice::Absent | Advice::Never => self.lack(form, subject),
            Advice::Unsupported => {
                self.forget_capability(form);
                self.ban(form, Out::Unprovable)
            }
            Advice::Unprovable => self.ban(form, Out::Unprovable),
            Advice::Withheld => self.ban(form, Out::Withheld),
            Advice::Retired => self.leave(Out::Retired),
            // Many serve blocks to everybody, and plain files to their own users only.
            Advice::Credentials => self.ban(form, Out::Credentials),
            Advice::Stop => self.leave(match self.place {
                Place::Http(_) | Place::Plain(_) => Out::Exhausted,
                Place::Car(_) | Place::Local(_) => Out::Unreadable,
            }),
        }
    }

    /// Whether it has brought anything that proved right, or is at hand anyway.
    fn has_served(&self) -> bool {
        !self.receipt.rungs.is_empty() || matches!(self.place, Place::Car(_) | Place::Local(_))
    }

    /// It sent a block that is larger than the limit.
    pub fn sent_too_much(&mut self, form: Transport) -> Consequence {
        self.receipt.errors += 1;
        self.ban(form, Out::TooLarge)
    }

    /// An answer that ended well but brought nothing of use.
    pub fn useless(
        &mut self,
        form: Transport,
        subject: Option<&Cid>,
        was_empty: bool,
    ) -> Consequence {
        self.receipt.errors += 1;
        match was_empty {
            true => self.lack(form, subject),
            false => self.ban(form, Out::Unprovable),
        }
    }

    /// It does not have this; it may have other things.
    fn lack(&mut self, form: Transport, subject: Option<&Cid>) -> Consequence {
        let limit = match self.place {
            Place::Car(_) | Place::Local(_) => usize::MAX,
            _ if self.has_served() => MAX_LACKING,
            Place::Http(_) | Place::Plain(_) => MAX_LACKING_AT_FIRST,
        };
        let Some(cid) = subject else {
            return self.ban(form, Out::Absent);
        };
        self.lacking.insert((form, key(cid)));
        if self.lacking.len() >= limit {
            return self.leave(Out::Absent);
        }
        Consequence::OtherForm
    }

    fn wait(
        &mut self,
        form: Transport,
        after: Option<Duration>,
        budget: &Budget,
        sent: Instant,
    ) -> Consequence {
        // Requests that were under way together fail together: that is one failure.
        if self.failed_at.is_none_or(|at| sent > at) {
            self.failures += 1;
            self.failed_at = Some(budget.now);
        }
        if self.failures > budget.backoff.max_retries {
            // What fails in one form may work in another, unless nothing ever came.
            self.failures = 0;
            return if self.receipt.rungs.is_empty() {
                self.leave(Out::Exhausted)
            } else {
                self.ban(form, Out::Exhausted)
            };
        }
        if let Some(after) = after {
            return self.rest_as_asked(after, budget.max_wait, budget.now);
        }
        let tries = self.failures.saturating_sub(1);
        let delay = budget.backoff.delay(tries, budget.jitter);
        self.rest_for(delay, false, budget.now);
        Consequence::Wait(delay)
    }

    fn rest_as_asked(&mut self, wait: Duration, max_wait: Duration, now: Instant) -> Consequence {
        if wait > max_wait {
            let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
            let until = Timestamp::now().checked_add(wait);
            return self.leave(Out::WaitTooLong(until.unwrap_or(Timestamp::MAX)));
        }
        self.rest_for(wait, true, now);
        Consequence::Wait(wait)
    }

    fn rest_for(&mut self, wait: Duration, was_asked: bool, now: Instant) {
        let until = now + wait;
        if self.rest.is_none_or(|rest| rest.until < until) {
            self.rest = Some(Rest { until, was_asked });
        }
    }

    fn ban(&mut self, form: Transport, why: Out) -> Consequence {
        if !self.is_banned(form) {
            self.banned.push((form, why.clone()));
        }
        // A whole file has no other form.
        if form != Transport::Whole && self.bulk_transport(None).is_some() {
            return Consequence::OtherForm;
        }
        self.leave(why)
    }

    fn leave(&mut self, why: Out) -> Consequence {
        self.out = Some(why);
        Consequence::Gone
    }

    fn forget_capability(&mut self, form: Transport) {
        match form {
            Transport::Raw => self.capabilities.raw = Known::No,
            Transport::Car => self.capabilities.car = Known::No,
            Transport::Range => self.capabilities.range = Known::No,
            Transport::Whole => {}
        }
    }
}

/// What failures cost, from the configuration, and the time and randomness of the moment.
#[derive(Debug, Clone)]
pub struct Budget {
    /// How often and how long to wait.
    pub backoff: Backoff,
    /// A longer `Retry-After` ends with "retry later".
    pub max_wait: Duration,
    /// A number in 0..1.
    pub jitter: f64,
    /// The time.
    pub now: Instant,
}

/// The providers that may be asked now, the best first: files on this machine, then those that
/// have not failed lately, of these the quickest, then in the order given.
pub fn ranking(providers: &[Provider], now: Instant) -> Vec<usize> {
    let is_ready = |provider: &Provider| provider.is_of_use() && provider.ready_at(now).is_none();
    let mut ready: Vec<usize> = (0..providers.len())
        .filter(|&index| is_ready(&providers[index]))
        .collect();
    ready.sort_by(|&one, &other| {
        let (one, other) = (&providers[one], &providers[other]);
        let distance = |it: &Provider| match it.place {
            Place::Local(_) => 0,
            Place::Car(_) => 1,
            Place::Http(_) | Place::Plain(_) => 2,
        };
        let rank = |it: &Provider| (distance(it), it.failures);
        let by_rank = rank(one).cmp(&rank(other));
        by_rank.then(one.cost().total_cmp(&other.cost()))
    });
    ready
}

/// When the first provider that rests, or has a pace to keep, may be asked again.
pub fn next_cooled(providers: &[Provider], now: Instant) -> Option<Instant> {
    let resting = providers.iter().filter(|provider| provider.is_of_use());
    resting.filter_map(|provider| provider.ready_at(now)).min()
}

fn key(cid: &Cid) -> Box<[u8]> {
    cid.hash().to_bytes().into_boxed_slice()
}
