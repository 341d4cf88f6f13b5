//! Everything that can happen to the coordinator: the inputs of its one loop.

use std::time::Duration;

use bytes::Bytes;

use crate::content::car::CarError;
use crate::content::cid::Cid;
use crate::disk::DiskError;
use crate::download::Action;
use crate::engine::prove::{Outcome, Permit, ShaReport, Shape};
use crate::exit::ExitKind;
use crate::gateway::car_file::CarFileError;
use crate::gateway::error::GatewayError;
use crate::store::StoreError;

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
    Leaf {
        /// The task.
        task: TaskId,
        /// The link that they should satisfy.
        cid: Cid,
        /// Where they belong.
        offset: u64,
        /// How many they are.
        len: u64,
        /// The bytes.
        data: Vec<Bytes>,
        /// Their share of the byte budget.
        permit: Permit,
    },
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
    Done {
        /// Who fetched the bytes.
        task: TaskId,
        /// Their link.
        cid: Cid,
        /// Where they belong.
        offsets: Vec<u64>,
        /// How many file bytes they are.
        len: u64,
        /// What they were.
        shape: Shape,
        /// What became of them.
        outcome: Outcome,
    },
    /// The whole-file hash reports.
    Sha(ShaReport),
    /// The part is synced, or is not.
    Synced(Result<(), DiskError>),
    /// A checkpoint is committed; `false` if nothing had changed.
    Committed(Result<bool, StoreError>),
    /// What another terminal asks for.
    Requested(Result<Option<Action>, StoreError>),
    /// A background write to the store failed.
    StoreFailed(StoreError),
    /// The process was asked to stop.
    Signal(ExitKind),
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
    /// A CAR that is none, or that broke off.
    BadCar(CarError),
    /// The exchange failed.
    Failed(GatewayError),
    /// A CAR file on this machine does not hold the block.
    NotInCar,
    /// A CAR file on this machine cannot be read.
    CarFile(CarFileError),
}
