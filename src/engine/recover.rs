//! Beginning and going on: opening the part, and finding out what it holds that can be proved.
//!
//! The newest checkpoint is believed where samples of it prove right; what the part holds beyond
//! it is hashed against the leaves that the stored nodes name. After a SIGKILL the page cache is
//! still there, so only bytes in flight are lost. Where a sample does not prove right, nothing is
//! believed and the whole part is proved again the same way.

use std::collections::BTreeSet;

use bytes::Bytes;
use jiff::Timestamp;

use crate::content::cid::{self, Cid};
use crate::content::hash::{FileSha256, VerifiedBlock};
use crate::content::leaf;
use crate::content::ranges::RangeSet;
use crate::disk::part::PartFile;
use crate::disk::{DiskError, inspect, room};
use crate::download::{Failure, Status};
use crate::engine::Destination;
use crate::engine::coordinator::Coordinator;
use crate::engine::finish::{disk_failure, plan_failure, store_failure};
use crate::engine::plan::{FilePlan, Piece, PieceKind, PlanError};
use crate::engine::prove::{self, Sink, Stream};
use crate::event::What;
use crate::exit::ExitKind;
use crate::store::{FileKind, NewFile, Resolved};

/// Ranges of a checkpoint whose last leaf is hashed before the checkpoint is believed.
const SAMPLES: usize = 8;

impl Coordinator<'_> {
    /// Takes up the work: what is there already, the threads, the root if it needs no network.
    pub(super) async fn begin(&mut self) -> Result<(), Failure> {
        self.checkpointing
            .begin_traffic(self.bytes_fetched, self.bytes_wasted);
        let known_before = match self.adopt_target().await? {
            Some(bytes) => bytes,
            None => {
                self.open_part()?;
                self.recover().await?
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
            moved.map_err(|error| store_failure(&error, self.job.id))?;
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
    async fn adopt_target(&mut self) -> Result<Option<u64>, Failure> {
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
        let len = file
            .len()
            .map_err(|error| disk_failure(&error, self.job.id))?;
        let plan = self
            .rebuild(&file, len, &RangeSet::new(), Access::Read)
            .await?;
        let Some(plan) = plan.filter(|plan| plan.is_complete() && plan.size() == Some(len)) else {
            return Ok(None);
        };
        self.plan = Some(plan);
        self.part = Some(file);
        self.is_in_place = true;
        Ok(Some(len))
    }

    fn open_part(&mut self) -> Result<(), Failure> {
        let Destination::File { part: path, .. } = &self.job.destination else {
            return Ok(());
        };
        let fail = |error: DiskError| disk_failure(&error, self.job.id);
        let part = match PartFile::open(path).map_err(fail)? {
            Some(part) => part,
            None => PartFile::create(path)
                .map_err(|error| crate::engine::finish::target_failure(&error, self.job.id))?,
        };
        if !part.try_lock().map_err(fail)? {
            return Err(Failure {
                kind: ExitKind::Retry,
                message: format!("another process is writing {}", path.display()),
                hint: Some(format!(
                    "wait for it, then go on with: fetchd resume {}",
                    self.job.id
                )),
            });
        }
        self.part = Some(part);
        Ok(())
    }

    /// Builds the plan from stored nodes and from what the part proves; the proved bytes.
    async fn recover(&mut self) -> Result<u64, Failure> {
        let Some(part) = self.part.clone() else {
            let plan = FilePlan::new(self.job.root, self.options.limits.clone(), RangeSet::new());
            self.plan = Some(plan.map_err(|error| plan_failure(&error))?);
            return Ok(0);
        };
        let len = part
            .len()
            .map_err(|error| disk_failure(&error, self.job.id))?;
        let mut trusted = self.job.saved.proved.clone();
        trusted.remove(len, u64::MAX);
        let mut plan = self
            .rebuild(&part, len, &trusted, Access::ReadWrite)
            .await?;
        if plan.is_none() {
            tracing::warn!(
                "the part does not hold what the checkpoint says: proving all of it again"
            );
            self.announce(What::Notice { message: "the part file does not hold what the last checkpoint says; all of it is proved again".to_owned() });
            self.job.saved.sha_state = None;
            plan = self
                .rebuild(&part, len, &RangeSet::new(), Access::ReadWrite)
                .await?;
        }
        let proved = plan.as_ref().map_or(0, |plan| plan.proved().total());
        self.plan = plan;
        Ok(proved)
    }

    /// A plan with everything proved that the part holds; `None` if a trusted leaf does not prove
    /// right.
    async fn rebuild(
        &self,
        part: &PartFile,
        len: u64,
        trusted: &RangeSet,
        access: Access,
    ) -> Result<Option<FilePlan>, Failure> {
        let plan = FilePlan::new(self.job.root, self.options.limits.clone(), RangeSet::new());
        let mut plan = plan.map_err(|error| plan_failure(&error))?;
        let Some(root) = self.stored_root(part, len).await? else {
            return Ok(Some(plan));
        };
        let samples = samples(trusted);
        let mut scan = Scan {
            plan: &mut plan,
            part,
            access,
            len,
            trusted,
            samples: &samples,
        };
        scan.expand(&root).map_err(|error| plan_failure(&error))?;
        let mut at = 0;
        while let Some(piece) = scan.plan.first_piece_from(at).cloned() {
            at = piece.offset + piece.len;
            match scan.look(&piece) {
                Look::Fine => {}
                Look::Broken => return Ok(None),
                Look::NeedsNode => {
                    if let Some(node) = self.stored_node(&piece.cid).await? {
                        scan.expand(&node).map_err(|error| plan_failure(&error))?;
                        at = piece.offset;
                    }
                }
            }
            tokio::task::yield_now().await;
        }
        Ok(Some(plan))
    }

    /// The root block: out of the store, or, for a file that is a single block, out of the part.
    async fn stored_root(
        &self,
        part: &PartFile,
        len: u64,
    ) -> Result<Option<VerifiedBlock>, Failure> {
        let root = self.job.root;
        if let Some(node) = self.stored_node(&root).await? {
            return Ok(Some(node));
        }
        if len == 0 || len > self.options.limits.max_block || root.codec() != cid::codec::RAW {
            return Ok(None);
        }
        let block = read(part, 0, len).map_err(|error| disk_failure(&error, self.job.id))?;
        Ok(VerifiedBlock::check(root, block.into()).ok())
    }

    async fn stored_node(&self, cid: &Cid) -> Result<Option<VerifiedBlock>, Failure> {
        let block = self
            .store
            .node(&cid.hash().to_bytes())
            .await
            .map_err(|error| store_failure(&error, self.job.id))?;
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
        if let Err(failure) = self.check_place(size) {
            self.fail(failure);
        }
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
            return Err(crate::engine::finish::exists_failure(target, self.job.id));
        }
        let directory = target.parent().unwrap_or(target);
        room::require(directory, size.saturating_sub(self.proved_bytes())).map_err(fail)
    }
}

/// One pass over the part.
struct Scan<'a> {
    plan: &'a mut FilePlan,
    part: &'a PartFile,
    access: Access,
    len: u64,
    trusted: &'a RangeSet,
    /// Last offsets of trusted ranges whose leaves are hashed all the same.
    samples: &'a BTreeSet<u64>,
}

/// Whether the file is ours to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    ReadWrite,
}

enum Look {
    /// Proved, trusted, or not there.
    Fine,
    /// Trusted, but wrong.
    Broken,
    /// Its node must be expanded first.
    NeedsNode,
}

impl Scan<'_> {
    fn expand(&mut self, block: &VerifiedBlock) -> Result<(), PlanError> {
        for inline in self.plan.expand(block.cid(), block.data())? {
            let len = inline.data.len() as u64;
            // The bytes are proved already: where the part lacks them they are simply written.
            let is_there =
                read(self.part, inline.offset, len).is_ok_and(|found| found == inline.data);
            let may_write = self.access == Access::ReadWrite;
            if is_there || (may_write && self.part.write_at(inline.offset, &inline.data).is_ok()) {
                self.plan.prove(inline.offset, len);
            }
        }
        Ok(())
    }

    fn look(&mut self, piece: &Piece) -> Look {
        let end = piece.offset + piece.len;
        let is_trusted = self.trusted.contains(piece.offset, end);
        let is_sample = self.samples.range(piece.offset..end).next().is_some();
        if is_trusted && !is_sample {
            self.plan.prove(piece.offset, piece.len);
            return Look::Fine;
        }
        if piece.kind == PieceKind::Node {
            return if piece.offset < self.len {
                Look::NeedsNode
            } else {
                Look::Fine
            };
        }
        if end > self.len {
            return Look::Fine;
        }
        let proves = read(self.part, piece.offset, piece.len)
            .is_ok_and(|bytes| leaf::rebuild(&piece.cid, piece.len, [bytes.as_slice()]).is_some());
        if proves {
            self.plan.prove(piece.offset, piece.len);
        } else if is_trusted {
            return Look::Broken;
        }
        Look::Fine
    }
}

fn read(part: &PartFile, offset: u64, len: u64) -> Result<Vec<u8>, DiskError> {
    let mut buffer = vec![0; usize::try_from(len).unwrap_or(usize::MAX)];
    part.read_at(offset, &mut buffer)?;
    Ok(buffer)
}

/// The last bytes of the newest ranges, and the first byte: what a crash or a meddling hand is
/// most likely to have changed.
fn samples(trusted: &RangeSet) -> BTreeSet<u64> {
    let mut samples: BTreeSet<u64> = trusted
        .iter()
        .rev()
        .take(SAMPLES)
        .map(|range| range.end() - 1)
        .collect();
    samples.extend(trusted.iter().next().map(|range| range.start()));
    samples
}
