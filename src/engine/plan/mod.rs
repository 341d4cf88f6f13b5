//! What is known and what is missing: the plan of a tree, and of each file in it.
//!
//! Pure: no I/O, no clock. `tree` knows what there is, `grow` and `names` what a block adds, `claims` who takes
//! care of what, `links` where all links are followed, `restore` what an earlier run left; `file` knows the pieces of one file, `index`
//! who waits for a block.

mod claims;
mod entry;
mod error;
mod file;
mod grow;
mod index;
mod links;
mod names;
mod piece;
mod restore;
mod tree;

#[cfg(test)]
mod tests;

pub use entry::{Expansion, Expected, Found, FoundKind, State};
pub use error::{Limits, PlanError};
pub use file::FilePlan;
pub use index::Reading;
pub use links::{followed, name_of};
pub use piece::{Inline, Piece, PieceKind, adjoining};
pub use tree::Plan;

use crate::content::cid::{self, Cid};

/// Number of an entry within its download; 0 is the root.
pub type EntryId = u32;

/// Whether the hash function of a link is accepted.
pub fn check_hash(limits: &Limits, cid: &Cid) -> Result<(), PlanError> {
    limits.hashes.check(cid).map_err(|source| PlanError::Hash {
        cid: cid::text(cid),
        source,
    })
}
