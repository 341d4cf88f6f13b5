//! Beginning: what is wanted, what is there already (`restore`), and where the bytes go (`place`).

mod place;
mod restore;

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::content::cid::Cid;
use crate::content::hash::VerifiedBlock;
use crate::content::links;
use crate::download::Status;
use crate::engine::coordinator::{Coordinator, Stop};
use crate::engine::failure::path_failure;
use crate::engine::output::{Output, Writer};
use crate::engine::plan::Plan;
use crate::engine::prove::{self, FileSum, Sink, Stream, Streamed};
use crate::engine::stored;
use crate::engine::{Checksum, Destination};
use crate::event::What;
use crate::exit::ExitKind;
use crate::store::Resolved;

/// What the operating system asks of the process.
pub(super) type Signals = UnboundedReceiver<ExitKind>;

impl Coordinator<'_> {
    /// Takes up the work: the way to what is wanted, what is there already, the root if it needs
    /// no network.
    pub(super) async fn begin(&mut self, signals: &mut Signals) -> Result<(), Stop> {
        let (fetched, wasted) = (self.tally.fetched, self.tally.wasted);
        self.checkpointing.begin_traffic(fetched, wasted);
        if self.way.is_some() {
            self.follow_stored_way().await?;
            if self.wanted_step().is_none() {
                self.restore(signals).await?;
            }
            self.tally.resumed_from = self.plan.proved_bytes();
        } else {
            self.begin_file(signals).await?;
        }
        self.count_what_is_here();
        self.announce(What::Started {
            source: self.job.source.clone(),
            resumed_from: self.tally.resumed_from,
        });
        self.go_on().await?;
        if self.saved_car().is_some() {
            return Ok(());
        }
        if self.plan.root_kind().is_some() {
            self.announce_resolved();
            self.check_place();
            self.take_up_files();
        } else {
            self.arrive();
        }
        Ok(())
    }

    /// What an earlier run fetched and had no time to record is counted by what it left: at least
    /// those bytes came. Not what somebody laid there to begin with.
    fn count_what_is_here(&mut self) {
        if !self.job.is_resuming || self.is_in_place || self.tally.is_laid {
            return;
        }
        let here = self.tally.resumed_from;
        let unrecorded = here.saturating_sub(self.job.saved.bytes_verified);
        let least = here.saturating_add(self.tally.wasted);
        let fetched = self.tally.fetched;
        self.tally.fetched = fetched.max(least.min(fetched.saturating_add(unrecorded)));
    }

    async fn go_on(&mut self) -> Result<(), Stop> {
        if !self.job.is_resuming {
            return Ok(());
        }
        let (id, run) = (self.job.id, self.job.run);
        let moved = self
            .store
            .set_status(id, run, Status::InProgress, Timestamp::now())
            .await;
        moved.map_err(|error| Stop::of_store(&error, id))
    }

    /// Goes along the way as far as the store, or the CIDs themselves, hold its blocks.
    async fn follow_stored_way(&mut self) -> Result<(), Stop> {
        while let Some(cid) = self.wanted_step() {
            let Some(block) = self.stored_node(&cid).await? else {
                break;
            };
            let fed = self
                .way
                .as_mut()
                .map_or(Ok(()), |way| way.feed(block.data()));
            fed.map_err(|error| Stop::Failed(path_failure(&error)))?;
        }
        Ok(())
    }

    /// The end of the way is reached: what is wanted there is the root of the plan.
    pub(super) fn arrive(&mut self) {
        if self.wanted_step().is_some() || self.stop.is_some() {
            return;
        }
        let Some(root) = self.root() else { return };
        let (limits, filter) = (self.options.limits.clone(), self.options.filter.clone());
        match Plan::new(root, limits, filter) {
            Ok(plan) => self.plan = self.with_links(plan, &root),
            Err(error) => return self.refuse(&error),
        }
        // A root whose bytes sit in the CID itself needs no provider.
        if let Some(block) = VerifiedBlock::inlined(&root) {
            self.take_node(0, &block, None);
        }
    }

    /// The plan of what is below `root`: where data with links is saved as a CAR, all of it.
    fn with_links(&self, mut plan: Plan, root: &Cid) -> Plan {
        if self.job.car_part.is_some() && links::is_data(root.codec()) {
            plan.follow_links();
        }
        plan
    }

    /// A block that is in the store, or in the CID itself.
    pub(super) async fn stored_node(&self, cid: &Cid) -> Result<Option<VerifiedBlock>, Stop> {
        let block = stored::block(&self.store, cid).await;
        block.map_err(|error| Stop::of_store(&error, self.job.id))
    }

    /// What the root is, is known now: its record, its place on disk, the threads that write.
    pub(super) fn on_resolved(&mut self) {
        self.record_resolved();
        self.announce_resolved();
        self.check_place();
        if self.stop.is_some() {
            return;
        }
        match self.make_output() {
            Ok(output) => self.output = output,
            Err(stop) => return self.halt(stop),
        }
        self.start_threads(FileSum::default());
    }

    fn record_resolved(&self) {
        let (id, run) = (self.job.id, self.job.run);
        let resolved = Resolved {
            root_cid: None,
            kind: match self.job.car_part {
                Some(_) => "car".to_owned(),
                None => self.plan.root_kind().unwrap_or_default().to_owned(),
            },
            bytes_total: self.known_size(),
            now: Timestamp::now(),
        };
        self.in_background(self.store.record_resolved(id, run, resolved));
    }

    /// The size of everything, where it is exact.
    pub(super) fn known_size(&self) -> Option<u64> {
        if let Some(whole) = &self.whole {
            return whole.size();
        }
        let is_exact = !self.plan.is_directory() || self.plan.is_fully_known();
        self.plan.size().filter(|_| is_exact)
    }

    pub(super) fn announce_resolved(&mut self) {
        let path = match &self.job.destination {
            Destination::Disk { target, .. } => Some(target.clone()),
            Destination::Stdout { .. } => None,
        };
        self.announce(What::Resolved {
            cid: self.root_text(),
            path,
            size: self.known_size(),
        });
    }

    /// Starts the threads that prove and write, and the one that keeps the sums of whole files.
    /// `sum` is that of the file whose bytes are likely to come first.
    fn start_threads(&mut self, sum: FileSum) {
        let sink = match &self.output {
            Output::Stdout => {
                let other = self.job.checksum.as_ref().and_then(Checksum::function);
                self.hashing.streamed = other.and_then(Streamed::new);
                Sink::Stream(Stream::new(match &self.hashing.streamed {
                    Some(sum) => Box::new(sum.before(std::io::stdout())),
                    None => Box::new(std::io::stdout()),
                }))
            }
            output => Sink::Disk(Writer::new(output.clone())),
        };
        let wants_sums = self.options.file_sha256 || self.job.expected_sha256.is_some();
        self.prover = Some(prove::spawn_prover(
            sink,
            wants_sums.then_some(sum),
            self.inputs.clone(),
            &mut self.threads,
        ));
        if wants_sums {
            self.hashing.sender = Some(prove::spawn_sha(
                self.output.clone(),
                self.inputs.clone(),
                &mut self.threads,
            ));
        }
    }
}
