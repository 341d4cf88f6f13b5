//! Everything that can happen to the coordinator: the inputs of its one loop.

use std::time::Duration;

use bytes::Bytes;

use crate::content::car::CarError;
use crate::content::cid::Cid;
use crate::disk::{DiskError, Fingerprint};
use crate::download::Action;
use crate::engine::local::LocalEnd;
use crate::engine::plan::EntryId;
use crate::engine::prove::{Outcome, Permit, Place, ShaReport, Shape};
use crate::engine::whole::Report;
use crate::exit::ExitKind;
use crate::gateway::address::Reach;
use crate::gateway::car_file::CarFileError;
use crate::gateway::error::GatewayError;
use crate::gateway::validator::Validator;
use crate::store::{CheckpointId, FileRow, StoreError};

/// Number of a network task within one run of the engine.
pub type TaskId = u64;

/// One thing that happened.
pub enum Input {
    /// A task received a block: proved by nobody yet.
    Block {
        /// The task.
        task: TaskId,
        /// What the sender says it is.
        cid: Cid,
        /// Its bytes.
        data: Vec<Bytes>,
        /// Their share of the byte budget.
        permit: Permit,
    },
    /// A task received the file bytes of a leaf: proved by nobody yet.
    Leaf(Leaf),
    /// A stream of a whole file begins.
    Opened(Opened),
    /// The next bytes of a whole file.
    Chunk {
        /// The task.
        task: TaskId,
        /// The bytes.
        data: Bytes,
        /// Their share of the byte budget.
        permit: Permit,
    },
    /// Routers named further providers: base URLs, and where those may lie.
    Discovered(Vec<(String, Reach)>),
    /// The thread that writes a whole file reports.
    Whole(Report),
    /// The first byte of an answer arrived.
    FirstByte {
        /// The task.
        task: TaskId,
        /// Time since the request.
        after: Duration,
    },
    /// A task is over; nothing more comes from it.
    Ended {
        /// The task.
        task: TaskId,
        /// How.
        end: TaskEnd,
    },
    /// The proving thread is done with a job.
    Done(Done),
    /// A file of the tree was copied to another place in it, or was not.
    Copied {
        /// The new file.
        entry: EntryId,
        /// Whether it is there now.
        result: Result<(), DiskError>,
    },
    /// A new file shares the blocks of a local one, or does not.
    Shared {
        /// Whose local file it is.
        provider: usize,
        /// The new file.
        entry: EntryId,
        /// Whether it does.
        result: Result<bool, DiskError>,
    },
    /// What the record says of a finished file that another one is the same as: one row.
    Recalled {
        /// The finished file.
        first: EntryId,
        /// Its row, if it has one.
        result: Result<Vec<FileRow>, StoreError>,
    },
    /// The whole-file hashes report.
    Sha(ShaReport),
    /// A checkpoint is begun; `None` if nothing has changed since the last one.
    Begun(Result<Option<CheckpointId>, StoreError>),
    /// What is written is synced, or is not; with length and modification time of the files that
    /// the checkpoint is about.
    Synced(Result<Vec<Option<Fingerprint>>, DiskError>),
    /// A checkpoint is committed; `false` if nothing had changed.
    Committed(Result<bool, StoreError>),
    /// What another terminal asks for.
    Requested(Result<Option<Action>, StoreError>),
    /// A background write to the store failed.
    StoreFailed(StoreError),
    /// The process was asked to stop.
    Signal(ExitKind),
}

/// What a source says when it begins to send a file.
pub struct Opened {
    /// The task.
    pub task: TaskId,
    /// Where in the file its bytes begin: where they were asked for, or 0.
    pub offset: u64,
    /// Bytes of the whole file.
    pub total: Option<u64>,
    /// Which version of the file it is.
    pub validator: Option<Validator>,
}

/// The file bytes of a leaf, as they came.
pub struct Leaf {
    /// The task.
    pub task: TaskId,
    /// The link that they should satisfy.
    pub cid: Cid,
    /// The file.
    pub entry: EntryId,
    /// Where they belong in it.
    pub offset: u64,
    /// How many they are.
    pub len: u64,
    /// The bytes.
    pub data: Vec<Bytes>,
    /// Whether they were read there: then they need no writing.
    pub is_there: bool,
    /// Their share of the byte budget.
    pub permit: Permit,
}

/// What became of a job of the proving thread.
pub struct Done {
    /// Who fetched the bytes.
    pub task: TaskId,
    /// Their link.
    pub cid: Cid,
    /// Where they belong.
    pub places: Vec<Place>,
    /// How many file bytes they are.
    pub len: u64,
    /// What they were.
    pub shape: Shape,
    /// What became of them.
    pub outcome: Outcome,
}

/// How a network task ended.
pub enum TaskEnd {
    /// As it should: everything that was asked for was received.
    Complete,
    /// A CAR ended at a section boundary; whether it was complete, the plan knows.
    CarEnded {
        /// Whether it held no block at all.
        was_empty: bool,
    },
    /// A file ends before the offset that was asked for, or at it.
    Past {
        /// Bytes of the file, if the source says it.
        total: Option<u64>,
    },
    /// It is not the file any more that was begun.
    Changed,
    /// A CAR that is none, or that broke off.
    BadCar(CarError),
    /// The exchange failed.
    Failed(GatewayError),
    /// A CAR file on this machine does not hold the block.
    NotInCar,
    /// A CAR file on this machine cannot be read.
    CarFile(CarFileError),
    /// A plain file on this machine was read, or was not.
    Local(LocalEnd),
}
