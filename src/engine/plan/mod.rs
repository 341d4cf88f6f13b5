//! What is known and what is missing: the plan of a tree, and of each file in it.
//!
//! Pure: no I/O, no clock. `tree` knows entries and directories, `file` the pieces of one file,
//! `index` who waits for a block.

mod error;
mod file;
mod index;
mod tree;

pub use error::{Limits, PlanError};
pub use file::{FilePlan, Inline, Piece, PieceKind};
pub use tree::{Expansion, Expected, Found, FoundKind, Plan, State};

use crate::content::cid::{self, Cid};

/// Number of an entry within its download; 0 is the root.
pub type EntryId = u32;

fn check_hash(limits: &Limits, cid: &Cid) -> Result<(), PlanError> {
    limits.hashes.check(cid).map_err(|source| PlanError::Hash {
        cid: cid::text(cid),
        source,
    })
}
