//! Blocks that are here already: in the store, or in the CID itself.
//!
//! Invariant: what comes from here is proved; what was kept and does not prove right any more is
//! as if it were not there, and is fetched again.

use crate::content::cid::{self, Cid};
use crate::content::hash::VerifiedBlock;
use crate::store::{Store, StoreError};

/// The block of a CID, if it is here.
pub async fn block(store: &Store, cid: &Cid) -> Result<Option<VerifiedBlock>, StoreError> {
    if cid::identity(cid).is_some() {
        return Ok(VerifiedBlock::inlined(cid));
    }
    let kept = store.node(&cid.hash().to_bytes()).await?;
    Ok(VerifiedBlock::kept(cid, kept))
}

/// The same for threads that may wait.
pub fn block_now(store: &Store, cid: &Cid) -> Result<Option<VerifiedBlock>, StoreError> {
    if cid::identity(cid).is_some() {
        return Ok(VerifiedBlock::inlined(cid));
    }
    let kept = store.node(&cid.hash().to_bytes()).wait()?;
    Ok(VerifiedBlock::kept(cid, kept))
}
