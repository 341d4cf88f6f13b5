//! The nodes of a walk: out of the store, else from whoever has them.

use std::collections::HashMap;

use crate::content::cid::Cid;
use crate::content::hash::VerifiedBlock;
use crate::download::{DownloadId, Failure, RunId};
use crate::engine::blocks::Blocks;
use crate::engine::stored;
use crate::store::{Kept, Store, StoreError};

/// Nodes that are asked for at once where the network has them: enough to hide its latency, few
/// enough that blocks of the largest size stay within some tens of megabytes.
pub const AHEAD: usize = 16;

/// Where nodes come from.
pub struct Nodes {
    store: Store,
    blocks: Option<Blocks>,
    keeps_for: Option<(DownloadId, RunId)>,
    /// What came with others and waits for its turn.
    ahead: HashMap<Cid, VerifiedBlock>,
    /// Why the last one that is lacking is.
    pub nobody: Option<Failure>,
}

impl Nodes {
    /// Nodes of this store, and of these providers; those are kept for a download, if any.
    pub fn new(
        store: Store,
        blocks: Option<Blocks>,
        keeps_for: Option<(DownloadId, RunId)>,
    ) -> Self {
        Self {
            store,
            blocks,
            keeps_for,
            ahead: HashMap::new(),
            nobody: None,
        }
    }

    /// The block, proved; `None` if nobody has it. Of what the walk comes to soon, `upcoming`, some
    /// is asked for in one go with it.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn take(
        &mut self,
        cid: &Cid,
        upcoming: impl Iterator<Item = Cid>,
    ) -> Result<Option<VerifiedBlock>, StoreError> {
        if let Some(block) = self.ahead.remove(cid) {
            return Ok(Some(block));
        }
        if let Some(block) = stored::block(&self.store, cid).await? {
            return Ok(Some(block));
        }
        if self.blocks.is_none() {
            return Ok(None);
        }
        let mut wanted = vec![*cid];
        for other in upcoming {
            let is_new = !wanted.contains(&other) && !self.ahead.contains_key(&other);
            if is_new && stored::block(&self.store, &other).await?.is_none() {
                wanted.push(other);
            }
            if wanted.len() + self.ahead.len() >= AHEAD {
                break;
            }
        }
        self.ask(cid, wanted).await
    }

    async fn ask(
        &mut self,
        cid: &Cid,
        wanted: Vec<Cid>,
    ) -> Result<Option<VerifiedBlock>, StoreError> {
        let Some(blocks) = self.blocks.as_mut() else {
            return Ok(None);
        };
        let (ahead, mut kept) = (&mut self.ahead, Vec::new());
        let mut take = |cid: Cid, block: Option<VerifiedBlock>| {
            if let Some(block) = block {
                kept.push((cid.hash().to_bytes(), Kept::Block(block.data().to_vec())));
                ahead.insert(cid, block);
            }
        };
        blocks.each(wanted, &mut take).await;
        if let Some((id, run)) = self.keeps_for {
            self.store.record_found(id, run, Vec::new(), kept).await?;
        }
        let found = self.ahead.remove(cid);
        if found.is_none() {
            self.nobody = Some(blocks.nobody());
        }
        Ok(found)
    }
}
