//! A network task: what it is after, and what it has brought.

use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::AbortHandle;

use crate::content::cid::Cid;
use crate::content::ranges::ByteRange;
use crate::engine::plan::EntryId;
use crate::engine::provider::Transport;

/// What a task is sent for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// A block on the way from the root of the source to what is wanted below it.
    Step(Cid),
    /// The root block of an entry.
    Entry(EntryId, Cid),
    /// A block inside a file; with the bytes that it stands for, unless it claims to hold none.
    Node(EntryId, Cid, Option<ByteRange>),
    /// A leaf as a block.
    Leaf(EntryId, Cid, ByteRange),
    /// Consecutive bytes of a file.
    Window(EntryId, ByteRange),
    /// Everything below an entry, or below a directory.
    Tree(EntryId, Cid),
    /// The rest of a file that proves itself only at its end.
    Whole,
}

impl Aim {
    /// The one block that it is after, if it is only one.
    pub fn block(&self) -> Option<Cid> {
        match *self {
            Aim::Step(cid) | Aim::Entry(_, cid) | Aim::Node(_, cid, _) | Aim::Leaf(_, cid, _) => {
                Some(cid)
            }
            Aim::Window(..) | Aim::Tree(..) | Aim::Whole => None,
        }
    }

    /// The bytes of a file that it stands for.
    pub fn bytes(&self) -> Option<(EntryId, ByteRange)> {
        match *self {
            Aim::Window(id, range) | Aim::Node(id, _, Some(range)) | Aim::Leaf(id, _, range) => {
                Some((id, range))
            }
            _ => None,
        }
    }
}

/// A network task under way, or with bytes that are not proved yet.
pub struct Task {
    /// Whom it asks.
    pub provider: usize,
    /// In which form.
    pub transport: Transport,
    /// What it is after.
    pub aim: Aim,
    /// Bytes of a tree, as a directory claims; 0 where nobody does.
    pub claimed: u64,
    /// Bytes received that the plan had a use for.
    pub useful: u64,
    /// Received bytes of any kind.
    pub received: u64,
    /// What the received blocks cost beside their bytes.
    pub overhead: u64,
    /// Jobs at the proving thread.
    pub pending: usize,
    /// Whether the network part is over.
    pub ended: bool,
    /// Whether everything that it handed on was looked at.
    pub is_drained: bool,
    /// Whether another provider was asked for the same already.
    pub helped: bool,
    /// Blocks that nothing was waiting for when they came: their parents may follow.
    pub early: Vec<(Cid, Bytes)>,
    /// What is in `early` costs so many bytes.
    pub early_bytes: u64,
    /// When it was sent.
    pub started: Instant,
    /// Time to the first byte.
    pub first_byte: Option<Duration>,
    /// Since when its bytes come; when it was sent, as long as none has come.
    pub reading_since: Instant,
    /// When its pace was last measured, and what it had received by then.
    pub mark: (Instant, u64),
    /// How it ended, for the history.
    pub outcome: Option<String>,
    /// Ends it.
    pub abort: AbortHandle,
}

impl Task {
    /// A task that was just sent.
    pub fn new(provider: usize, transport: Transport, aim: Aim, abort: AbortHandle) -> Self {
        Self {
            provider,
            transport,
            aim,
            claimed: 0,
            useful: 0,
            received: 0,
            overhead: 0,
            pending: 0,
            ended: false,
            is_drained: false,
            helped: false,
            early: Vec::new(),
            early_bytes: 0,
            started: Instant::now(),
            mark: (Instant::now(), 0),
            first_byte: None,
            reading_since: Instant::now(),
            outcome: None,
            abort,
        }
    }

    /// Bytes of its window that have not arrived, or of a tree, as far as its size is known.
    pub fn missing(&self) -> u64 {
        match self.aim {
            Aim::Window(_, range) => range.len().saturating_sub(self.useful),
            Aim::Tree(..) => self.claimed.saturating_sub(self.received),
            _ => 0,
        }
    }

    /// Bytes per second so far.
    pub fn rate(&self, now: Instant) -> f64 {
        let seconds = now.duration_since(self.reading_since).as_secs_f64();
        self.received as f64 / seconds.max(0.001)
    }
}
