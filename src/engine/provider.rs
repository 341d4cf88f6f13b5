//! Where bytes may come from, how each place has behaved in this download, and whom to ask next.
//!
//! The choice is pure: it takes the providers and the time, and gives an answer; it sends nothing.

mod outcome;
mod ranking;

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::content::cid::Cid;
use crate::download::{Proof, ProviderReceipt};
use crate::engine::local::{LocalFiles, Tried};
use crate::engine::plan::{EntryId, FilePlan, Piece};
use crate::engine::tempo::Tempo;
use crate::gateway::capability::{Capabilities, Known};
use crate::gateway::car_file::CarFile;
use crate::gateway::plain::Plain;
use crate::gateway::request::Gateway;

pub use outcome::{Budget, Consequence};
pub use ranking::{next_cooled, ranking};

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
    /// The forms that have brought something in this download.
    worked: Vec<Transport>,
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
            worked: Vec::new(),
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
}

fn key(cid: &Cid) -> Box<[u8]> {
    cid.hash().to_bytes().into_boxed_slice()
}
