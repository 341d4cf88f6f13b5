//! All durable state, in one SQLite file: the only SQL of the program.
//!
//! Responsible for what is remembered between invocations and for who may change it. Not for
//! deciding anything: it knows no clock (times come in as arguments), no network and, but for
//! its own database, no files.
//!
//! Invariants: every public method of [`Store`] is exactly one transaction; a write on behalf of
//! a run changes nothing unless that run owns the download ([`StoreError::LeaseLost`]); a status
//! moves only where [`crate::download::Status::can_become`] allows it; no two unfinished
//! downloads have the same path on disk; a database that this program does not understand is
//! never written to, and none is ever deleted.
//!
//! One file a table, or an idea: `schema` (the tables), `open` (what may be opened), `thread`
//! (the connection's thread), `sql` (values and columns), then the tables.

mod attempts;
mod catalogs;
mod change;
mod checkpoints;
mod cids;
mod control;
mod downloads;
mod error;
mod files;
mod gateways;
mod installs;
mod ipns;
mod lease;
mod listing;
mod nodes;
mod open;
mod prune;
mod queue;
mod runs;
mod schema;
mod sql;
mod thread;
mod traffic;
mod tree;

pub use attempts::{Attempt, AttemptRow};
pub use catalogs::CatalogRow;
pub use change::Change;
pub use checkpoints::{Checkpoint, CheckpointId, CheckpointRow};
pub use cids::{CidRow, Touch};
pub use control::Requested;
pub use downloads::{DownloadRow, NewDownload};
pub use error::StoreError;
pub use files::{FileKind, FileRow, FileState, NewFile, Resolved};
pub use gateways::{GatewayRow, Learnt, NO_LASTS, Observation, Origin};
pub use installs::{Install, LedgerEntry, Looked};
pub use ipns::IpnsRow;
pub use lease::{Claim, Ending, Finish};
pub use listing::{Filter, Sort, Which};
pub use nodes::{Kept, Wrapping};
pub use queue::{Clock, QueueWish, Queued};
pub use runs::{Interrupted, RunInfo, RunRow};
pub use thread::{Reply, Store};
pub use traffic::Traffic;
pub use tree::{DirectoryRow, Page, TreeRows};

#[cfg(test)]
mod tests;
