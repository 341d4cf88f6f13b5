//! What is on this disk already: files that the ledger knows, and parts that nobody goes on with.
//!
//! Found once, when the content is known, and then asked like any other local files: the ledger
//! may be wrong, and a part may hold anything.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::content::cid::{self, Cid, Version, codec};
use crate::disk::inspect;
use crate::disk::part::PartFile;
use crate::disk::place::Target;
use crate::disk::tree::Tree;
use crate::engine::coordinator::{Coordinator, Stop};
use crate::engine::local::LocalFiles;
use crate::engine::plan::{EntryId, State};
use crate::engine::provider::{Place, Provider};
use crate::engine::{Checksum, Destination};
use crate::gateway::capability::Capabilities;
use crate::store::StoreError;

/// Places of one kind that are looked at, at the most.
const MAX_PLACES: usize = 8;
/// Entries that are looked at for one whose block is in the store.
const SCAN: usize = 64;

/// What was found around a download.
#[derive(Default)]
pub struct Surroundings {
    has_looked: bool,
    /// Whether the store may hold nodes that an earlier download of the same content left.
    may_recall: bool,
    /// The file that is being made to share blocks.
    pub(super) sharing: Option<EntryId>,
    /// Parts of the same target that are taken from; nobody else does meanwhile.
    parts: Vec<OldPart>,
}

impl Surroundings {
    /// Whether a file is being made to share blocks.
    pub fn is_sharing(&self) -> bool {
        self.sharing.is_some()
    }
}

/// A part that nobody goes on with.
struct OldPart {
    path: PathBuf,
    provider: usize,
    /// Whether no record names it: then nobody else will ever remove it.
    is_forgotten: bool,
    /// Keeps the lock.
    _lock: Lock,
}

#[expect(dead_code, reason = "held, not read")]
enum Lock {
    File(PartFile),
    Tree(Box<Tree>),
}

impl Coordinator<'_> {
    /// Looks around once, when it is known what is wanted.
    pub(in crate::engine) async fn look_around(&mut self) {
        if self.wanted_step().is_some() || std::mem::replace(&mut self.around.has_looked, true) {
            return;
        }
        let Some(root) = self.root() else { return };
        let mut places = Vec::new();
        for text in spellings(&root) {
            match self.store.copies_of(&text, self.job.id).await {
                Ok(found) => places.extend(found),
                Err(error) => return self.look_failed(&error),
            }
        }
        self.around.may_recall = !places.is_empty();
        // What stands at the target may be the very content: the database that knew it may be lost.
        if let Destination::Disk {
            target,
            overwrite: false,
            ..
        } = &self.job.destination
        {
            places.insert(0, target.clone());
        }
        self.add_places(places);
        if let Err(error) = self.take_old_parts().await {
            self.look_failed(&error);
        }
    }

    /// The same for a file without a CID.
    pub(in crate::engine) async fn look_for_sum(&mut self, checksum: &Checksum) {
        let Ok(sha256) = <[u8; 32]>::try_from(&checksum.digest[..]) else {
            return;
        };
        if checksum.function().is_some() {
            return;
        }
        match self.store.copies_with_sum(sha256).await {
            Ok(places) => self.add_places(places),
            Err(error) => self.look_failed(&error),
        }
    }

    fn look_failed(&mut self, error: &StoreError) {
        self.halt(Stop::of_store(error, self.job.id));
    }

    fn add_places(&mut self, places: Vec<PathBuf>) {
        for path in places.into_iter().take(MAX_PLACES) {
            self.add_place(&path);
        }
    }

    /// The new provider's number; `None` where nothing useful is.
    fn add_place(&mut self, path: &Path) -> Option<usize> {
        let url = path.to_str()?.to_owned();
        if self.providers.iter().any(|provider| provider.url() == url) {
            return None;
        }
        // What is gone, or is something else by now, is no reason to say anything.
        let files = LocalFiles::open(path).ok()?;
        let place = Place::Local(Arc::new(files));
        self.providers
            .push(Provider::new(place, url, Capabilities::default()));
        Some(self.providers.len() - 1)
    }

    /// Parts of the same target that somebody began and nobody goes on with: those of another
    /// database, perhaps one that is lost.
    async fn take_old_parts(&mut self) -> Result<(), StoreError> {
        let Destination::Disk { target, part, .. } = &self.job.destination else {
            return Ok(());
        };
        let Ok(target) = Target::at(target) else {
            return Ok(());
        };
        let own = part.clone();
        let nonces = target.parts().unwrap_or_default();
        let mut known = Vec::new();
        if !nonces.is_empty() {
            for id in self.store.find_by_path(target.path()).await? {
                let row = self.store.download(id).await?;
                known.extend(row.map(|row| row.nonce));
            }
        }
        for nonce in nonces.into_iter().take(MAX_PLACES) {
            let path = target.part_path(&nonce);
            if path == own {
                continue;
            }
            if let Some(lock) = lock(&path)
                && let Some(provider) = self.add_place(&path)
            {
                self.around.parts.push(OldPart {
                    path,
                    provider,
                    is_forgotten: !known.contains(&nonce.to_string()),
                    _lock: lock,
                });
            }
        }
        Ok(())
    }

    /// The content has its final name: a part that it was taken from, and that nobody remembers,
    /// has served.
    pub(in crate::engine) async fn drop_old_parts(&mut self) {
        for part in std::mem::take(&mut self.around.parts) {
            let has_served = self.providers[part.provider].receipt.bytes > 0;
            if part.is_forgotten && has_served {
                self.remove_part(&part.path).await;
            }
        }
    }

    /// Reads nodes that an earlier download of the same content has put into the store.
    pub(in crate::engine) async fn recall_nodes(&mut self) {
        while self.around.may_recall && self.stop.is_none() {
            let Some(cid) = self.next_unread_node() else {
                return;
            };
            match self.stored_node(&cid).await {
                Ok(Some(block)) => {
                    self.take_node(0, &block, None);
                }
                // The rest is not there either.
                Ok(None) => self.around.may_recall = false,
                Err(stop) => self.halt(stop),
            }
        }
    }

    /// The next node that leads on, as far as there is a use for it by now.
    fn next_unread_node(&self) -> Option<Cid> {
        let mut after = None;
        for _ in 0..SCAN {
            let id = self.plan.next_open(after)?;
            after = Some(id);
            let entry = self.plan.entry(id)?;
            match &entry.state {
                _ if entry.claim.is_some() => {}
                State::Unknown if self.awaits_local_root(id) => {}
                // A raw block is no node: its bytes are in a file.
                State::Unknown if entry.cid.codec() == codec::RAW => {}
                State::Unknown | State::Shard(_) => return Some(entry.cid),
                State::File(_) => {
                    if let Some(aim) = self.next_node(id, super::hand_out::WINDOW) {
                        return aim.block();
                    }
                }
                State::Twin(_) => {}
            }
        }
        None
    }
}

/// A CID as records may have it.
fn spellings(root: &Cid) -> Vec<String> {
    let other = match root.version() {
        Version::V0 => root.into_v1().ok(),
        Version::V1 => Cid::new_v0(*root.hash()).ok(),
    };
    let other = other.filter(|_| root.codec() == codec::DAG_PB);
    let texts = std::iter::once(*root).chain(other);
    texts.map(|cid| cid::text(&cid)).collect()
}

/// Locks a part; `None` if somebody else has it, or it is something else.
fn lock(path: &Path) -> Option<Lock> {
    if inspect::is_directory(path) {
        return Some(Lock::Tree(Box::new(Tree::open(path).ok()??)));
    }
    let part = PartFile::open(path).ok()??;
    part.try_lock().ok()?.then_some(Lock::File(part))
}
