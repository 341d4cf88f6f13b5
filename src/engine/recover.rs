//! Beginning and going on: opening the part, and finding out what it holds that can be proved.
//!
//! Where the part is exactly as the last checkpoint left it, that checkpoint is believed. After a
//! SIGKILL, or when anybody else has touched it, every leaf in it is hashed again against the
//! nodes that the store keeps: the page cache is still there, so only bytes in flight are lost, and
//! no change to the part goes unnoticed.

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::content::cid::{self, Cid};
use crate::content::hash::{FileSha256, VerifiedBlock};
use crate::content::leaf;
use crate::content::ranges::{ByteRange, RangeSet};
use crate::disk::part::PartFile;
use crate::disk::{DiskError, inspect, room};
use crate::download::{Action, Failure, Status};
use crate::engine::coordinator::{Coordinator, Stop};
use crate::engine::finish::{
    disk_failure, exists_failure, plan_failure, store_failure, target_failure,
};
use crate::engine::plan::{FilePlan, Inline, Piece, PieceKind, PlanError};
use crate::engine::prove::{self, Sink, Stream};
use crate::engine::{Destination, Saved};
use crate::event::What;
use crate::exit::ExitKind;
use crate::store::{FileKind, NewFile, Resolved, StoreError};

/// What the operating system asks of the process.
pub(super) type Signals = UnboundedReceiver<ExitKind>;

/// After so many hashed bytes, recovery looks whether it is to stop.
const LOOK_EVERY: u64 = 16 << 20;

impl Coordinator<'_> {
    /// Takes up the work: what is there already, the threads, the root if it needs no network.
    pub(super) async fn begin(&mut self, signals: &mut Signals) -> Result<(), Stop> {
        self.checkpointing
            .begin_traffic(self.bytes_fetched, self.bytes_wasted);
        let known_before = match self.adopt_target(signals).await? {
            Some(bytes) => bytes,
            None => {
                self.open_part()?;
                self.recover(signals).await?
            }
        };
        self.resumed_from = known_before;
        self.announce(What::Started {
            source: self.job.source.clone(),
            resumed_from: known_before,
        });
        self.start_threads();
        if self.job.is_resuming {
            let moved = self
                .store
                .set_status(
                    self.job.id,
                    self.job.run,
                    Status::InProgress,
                    Timestamp::now(),
                )
                .await;
            moved.map_err(|error| Stop::Failed(store_failure(&error, self.job.id)))?;
        }
        if self.plan.as_ref().is_some_and(|plan| plan.size().is_some()) {
            self.on_resolved();
        } else {
            self.take_identity_root();
        }
        Ok(())
    }

    /// A target that exists may hold this very content: renamed by this download before a crash
    /// could be recorded, or put there by somebody else. Proved in full, it is done; the bytes.
    async fn adopt_target(&mut self, signals: &mut Signals) -> Result<Option<u64>, Stop> {
        let Destination::File { target, part, .. } = &self.job.destination else {
            return Ok(None);
        };
        if inspect::file_len(part).is_ok_and(|len| len.is_some()) {
            return Ok(None);
        }
        // What cannot be opened is no such content; the install will say what it is.
        let Ok(Some(file)) = PartFile::open(target) else {
            return Ok(None);
        };
        let Ok(len) = file.len() else {
            return Ok(None);
        };
        let plan = self
            .rebuild(&file, len, &RangeSet::new(), Access::Read, signals)
            .await?;
        if !plan.is_complete() || plan.size() != Some(len) {
            return Ok(None);
        }
        self.plan = Some(plan);
        self.part = Some(file);
        self.is_in_place = true;
        Ok(Some(len))
    }

    fn open_part(&mut self) -> Result<(), Stop> {
        let Destination::File { part: path, .. } = &self.job.destination else {
            return Ok(());
        };
        let fail = |error: DiskError| Stop::Failed(disk_failure(&error, self.job.id));
        let part = match PartFile::open(path).map_err(fail)? {
            Some(part) => part,
            None => PartFile::create(path)
                .map_err(|error| Stop::Failed(target_failure(&error, self.job.id)))?,
        };
        if !part.try_lock().map_err(fail)? {
            return Err(Stop::Failed(Failure {
                kind: ExitKind::Retry,
                message: format!("another process is writing {}", path.display()),
                hint: Some(format!(
                    "wait for it, then go on with: fetchd resume {}",
                    self.job.id
                )),
            }));
        }
        self.part = Some(part);
        Ok(())
    }

    /// Builds the plan from stored nodes and from what the part proves; the proved bytes.
    async fn recover(&mut self, signals: &mut Signals) -> Result<u64, Stop> {
        let Some(part) = self.part.clone() else {
            self.plan = Some(self.fresh_plan()?);
            return Ok(0);
        };
        let now = inspect::fingerprint(part.path());
        let is_untouched = now.is_some() && now == self.job.saved.fingerprint;
        let len = now.map_or(0, |(len, _)| len);
        let mut claimed = self.job.saved.proved.clone();
        claimed.remove(len, u64::MAX);
        let trusted = if is_untouched {
            claimed.clone()
        } else {
            RangeSet::new()
        };
        let plan = self
            .rebuild(&part, len, &trusted, Access::ReadWrite, signals)
            .await?;
        let keeps = |range: ByteRange| plan.proved().contains(range.start(), range.end());
        if !self.job.saved.proved.iter().all(keeps) {
            let message = "the part file does not hold all that the last checkpoint says; what is \
                           missing is fetched again";
            self.announce(What::Notice {
                message: message.to_owned(),
            });
            self.job.saved.sha_state = None;
        }
        self.by_leaves = leaves_of(plan.proved(), &self.job.saved);
        let proved = plan.proved().total();
        self.plan = Some(plan);
        Ok(proved)
    }

    fn fresh_plan(&self) -> Result<FilePlan, Stop> {
        let limits = self.options.limits.clone();
        FilePlan::new(self.job.root, limits, RangeSet::new())
            .map_err(|error| Stop::Failed(plan_failure(&error)))
    }

    /// A plan with everything proved that the file holds; `trusted` is taken without a look.
    async fn rebuild(
        &self,
        part: &PartFile,
        len: u64,
        trusted: &RangeSet,
        access: Access,
        signals: &mut Signals,
    ) -> Result<FilePlan, Stop> {
        let mut plan = self.fresh_plan()?;
        let Some(root) = self.stored_root(part, len).await? else {
            return Ok(plan);
        };
        let mut scan = Scan {
            plan: &mut plan,
            part,
            access,
            len,
            trusted,
            hashed: 0,
        };
        self.grow(&mut scan, &root)?;
        let (mut at, mut next_look) = (0, LOOK_EVERY);
        while let Some(piece) = scan.plan.first_piece_from(at).cloned() {
            at = piece.offset + piece.len;
            if scan.needs_node(&piece)
                && let Some(node) = self.stored_node(&piece.cid).await?
            {
                self.grow(&mut scan, &node)?;
                at = piece.offset;
            }
            if scan.hashed >= next_look {
                next_look = scan.hashed + LOOK_EVERY;
                self.look_for_stop(signals).await?;
            }
        }
        Ok(plan)
    }

    fn grow(&self, scan: &mut Scan<'_>, block: &VerifiedBlock) -> Result<(), Stop> {
        scan.expand(block).map_err(|error| match error {
            ScanError::Plan(error) => Stop::Failed(plan_failure(&error)),
            ScanError::Disk(error) => Stop::Failed(disk_failure(&error, self.job.id)),
        })
    }

    /// Whether a signal or another terminal ends the download while the part is being read.
    async fn look_for_stop(&self, signals: &mut Signals) -> Result<(), Stop> {
        tokio::task::yield_now().await;
        if let Ok(kind) = signals.try_recv() {
            return Err(Stop::Signal(kind));
        }
        match self.store.requested_action(self.job.id, self.job.run).await {
            Ok(None | Some(Action::Checkpoint)) => Ok(()),
            Ok(Some(action)) => Err(Stop::Asked(action)),
            Err(StoreError::LeaseLost { .. }) => Err(Stop::LeaseLost),
            Err(error) => Err(Stop::Failed(store_failure(&error, self.job.id))),
        }
    }

    /// The root block: out of the store, or, for a file that is a single block, out of the part.
    async fn stored_root(&self, part: &PartFile, len: u64) -> Result<Option<VerifiedBlock>, Stop> {
        let root = self.job.root;
        if let Some(node) = self.stored_node(&root).await? {
            return Ok(Some(node));
        }
        if len == 0 || len > self.options.limits.max_block || root.codec() != cid::codec::RAW {
            return Ok(None);
        }
        let block =
            read(part, 0, len).map_err(|error| Stop::Failed(disk_failure(&error, self.job.id)))?;
        Ok(VerifiedBlock::check(root, block.into()).ok())
    }

    async fn stored_node(&self, cid: &Cid) -> Result<Option<VerifiedBlock>, Stop> {
        let block = self
            .store
            .node(&cid.hash().to_bytes())
            .await
            .map_err(|error| Stop::Failed(store_failure(&error, self.job.id)))?;
        // A node that does not prove right any more is fetched again.
        Ok(block.and_then(|block| VerifiedBlock::check(*cid, Bytes::from(block)).ok()))
    }

    fn start_threads(&mut self) {
        let sink = match &self.part {
            Some(part) => Sink::Part(part.clone()),
            None => Sink::Stream(Stream::new(Box::new(std::io::stdout()))),
        };
        self.prover = Some(prove::spawn_prover(sink, self.inputs.clone()));
        if !self.options.file_sha256 && self.job.expected_sha256.is_none() {
            return;
        }
        let prefix = self
            .plan
            .as_ref()
            .map_or(0, |plan| plan.proved().covered_until(0));
        let saved = self
            .job
            .saved
            .sha_state
            .as_deref()
            .and_then(FileSha256::restore);
        let sha = saved
            .filter(|sha| sha.position() <= prefix && self.part.is_some())
            .unwrap_or_default();
        self.sha_position = sha.position();
        let sha = prove::spawn_sha(sha, self.part.clone(), self.inputs.clone());
        if prefix > self.sha_position {
            self.sha_position = prefix;
            // The thread lives as long as its sender.
            let _ = sha.send(prove::ShaJob::ReadTo(prefix));
        }
        self.sha = Some(sha);
    }

    /// A root whose bytes sit in the CID itself needs no provider.
    fn take_identity_root(&mut self) {
        let root = self.job.root;
        let Some(data) = cid::identity(&root).map(Bytes::copy_from_slice) else {
            return;
        };
        if let Ok(block) = VerifiedBlock::check(root, data) {
            self.take_node(0, &block);
        }
    }

    /// The root is known: whether the file fits is judged before any of its bytes is asked for.
    pub(super) fn on_resolved(&mut self) {
        let Some(size) = self.plan.as_ref().and_then(FilePlan::size) else {
            return;
        };
        let path = match &self.job.destination {
            Destination::File { target, .. } => Some(target.clone()),
            Destination::Stdout => None,
        };
        let cid = cid::text(&self.job.root);
        let file = NewFile {
            index: 0,
            path: String::new(),
            kind: FileKind::File,
            cid: Some(cid.clone()),
            size: Some(size),
            mode: None,
            mtime: None,
        };
        let resolved = Resolved {
            root_cid: None,
            kind: "file".to_owned(),
            bytes_total: Some(size),
            files: vec![file],
            now: Timestamp::now(),
        };
        self.in_background(
            self.store
                .record_resolved(self.job.id, self.job.run, resolved),
        );
        self.announce(What::Resolved { cid, path, size });
        let checked = self.check_place(size).and_then(|()| self.cut_part(size));
        if let Err(failure) = checked {
            self.fail(failure);
        }
    }

    /// A part that somebody made longer than the file must not give the file its length.
    fn cut_part(&self, size: u64) -> Result<(), Failure> {
        let Some(part) = self.part.as_ref().filter(|_| !self.is_in_place) else {
            return Ok(());
        };
        let cut = part.len().and_then(|len| {
            if len > size {
                part.set_len(size)
            } else {
                Ok(())
            }
        });
        cut.map_err(|error| disk_failure(&error, self.job.id))
    }

    /// Whether the target can take a file of this size: nothing else there, and room.
    fn check_place(&self, size: u64) -> Result<(), Failure> {
        let Destination::File {
            target, overwrite, ..
        } = &self.job.destination
        else {
            return Ok(());
        };
        let fail = |error: DiskError| disk_failure(&error, self.job.id);
        let there = inspect::file_len(target).map_err(fail)?;
        if there.is_some_and(|there| there != size) && !overwrite {
            return Err(exists_failure(target, self.job.id));
        }
        let directory = target.parent().unwrap_or(target);
        room::require(directory, size.saturating_sub(self.proved_bytes())).map_err(fail)
    }
}

/// What was proved by leaves: what the checkpoint says, and what was just hashed as leaves in the
/// part without the checkpoint knowing of it.
fn leaves_of(proved: &RangeSet, saved: &Saved) -> RangeSet {
    let mut leaves = proved.clone();
    for range in saved.proved.iter() {
        leaves.remove(range.start(), range.end());
    }
    for range in saved.by_leaves.iter() {
        leaves.insert(range.start(), range.end());
    }
    leaves
}

/// One pass over the part.
struct Scan<'a> {
    plan: &'a mut FilePlan,
    part: &'a PartFile,
    access: Access,
    len: u64,
    trusted: &'a RangeSet,
    hashed: u64,
}

/// Whether the file is ours to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    ReadWrite,
}

enum ScanError {
    Plan(PlanError),
    Disk(DiskError),
}

impl Scan<'_> {
    fn expand(&mut self, block: &VerifiedBlock) -> Result<(), ScanError> {
        let inline = self
            .plan
            .expand(block.cid(), block.data())
            .map_err(ScanError::Plan)?;
        for Inline { offset, data } in inline {
            let len = data.len() as u64;
            // The bytes are proved already: where the part lacks them they are simply written.
            let is_there = read(self.part, offset, len).is_ok_and(|found| found == data);
            if !is_there && self.access == Access::ReadWrite {
                self.part.write_at(offset, &data).map_err(ScanError::Disk)?;
            }
            if is_there || self.access == Access::ReadWrite {
                self.plan.prove(offset, len);
            }
        }
        Ok(())
    }

    /// Proves a piece, if its bytes are there; whether its node must be expanded first.
    fn needs_node(&mut self, piece: &Piece) -> bool {
        let end = piece.offset + piece.len;
        if self.trusted.contains(piece.offset, end) {
            self.plan.prove(piece.offset, piece.len);
            return false;
        }
        if piece.kind == PieceKind::Node {
            return piece.offset < self.len;
        }
        if end > self.len {
            return false;
        }
        self.hashed += piece.len;
        let is_right =
            |bytes: Vec<u8>| leaf::rebuild(&piece.cid, piece.len, [bytes.as_slice()]).is_some();
        if read(self.part, piece.offset, piece.len).is_ok_and(is_right) {
            self.plan.prove(piece.offset, piece.len);
        }
        false
    }
}

fn read(part: &PartFile, offset: u64, len: u64) -> Result<Vec<u8>, DiskError> {
    let mut buffer = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    part.read_at(offset, &mut buffer)?;
    Ok(buffer)
}
