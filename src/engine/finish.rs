//! The good ending: whole-file checks, install, record.

mod compare;
mod ending;
mod litter;
mod preserve;
mod receipt;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::disk::{DiskError, inspect, install};
use crate::download::{Proof, Receipt, Status, Trigger};
use crate::engine::aside::on_a_thread;
use crate::engine::coordinator::{Coordinator, Stop, TICK};
use crate::engine::failure::{chain, exists_failure, store_failure, target_failure};
use crate::engine::input::Input;
use crate::engine::output::Output;
use crate::engine::whole::Whole;
use crate::engine::{Destination, Ending};
use crate::event::What;
use crate::exit::ExitKind;
use crate::store::{Finish, Install};

impl Coordinator<'_> {
    /// Everything is proved: the file's own checksum, a last checkpoint, the final name.
    pub(super) async fn complete(
        &mut self,
        receiver: &mut UnboundedReceiver<Input>,
        signals: &mut UnboundedReceiver<ExitKind>,
    ) {
        self.net.set.abort_all();
        self.announce_progress();
        self.announce(What::Verifying);
        self.write_journal();
        if !self.move_to(Status::Verifying).await {
            return;
        }
        self.compare_size();
        self.compare_checksum();
        self.compare_other_checksum(signals).await;
        if self.stop.is_none() && self.job.car_part.is_none() {
            self.build_tree(signals).await;
        }
        if self.stop.is_none() {
            self.checkpoint(Trigger::Completion);
        }
        let mut tick = tokio::time::interval(TICK);
        while !self.checkpointing.is_idle() && self.stop.is_none() {
            self.step(receiver, signals, &mut tick).await;
        }
        if self.stop.is_none() {
            self.look_again(signals).await;
        }
        if self.stop.is_none() {
            self.preserve_file(signals).await;
        }
        if self.stop.is_none() {
            self.write_car(signals).await;
        }
        if self.stop.is_none() && self.move_to(Status::Installing).await {
            self.install(signals).await;
        }
    }

    async fn move_to(&mut self, status: Status) -> bool {
        let moved = self
            .store
            .set_status(self.job.id, self.job.run, status, Timestamp::now())
            .await;
        if let Err(error) = moved {
            self.store_failed(error);
        }
        self.stop.is_none()
    }

    /// Gives the part its final name, on a thread of its own.
    async fn install(&mut self, signals: &mut UnboundedReceiver<ExitKind>) {
        let destination = self.job.destination.clone();
        let is_streamed = matches!(destination, Destination::Stdout { .. }) && self.whole.is_none();
        if self.is_in_place || is_streamed {
            return;
        }
        // The threads that write are done: what they hold of the output goes with them.
        self.prover = None;
        self.hashing.sender = None;
        self.whole.iter_mut().for_each(Whole::close);
        let threads = std::mem::take(&mut self.threads);
        on_a_thread(move || threads.join()).await;
        let output = std::mem::replace(&mut self.output, Output::Undecided);
        let (target, part, overwrite) = match destination {
            Destination::Disk {
                target,
                part,
                overwrite,
            } => (target, part, overwrite),
            Destination::Stdout { spool } => {
                drop(output);
                if let Err(failure) = self.pour(spool).await {
                    self.fail(failure);
                }
                return;
            }
        };
        let installed = match output {
            _ if self.job.car_part.is_some() => self.install_car(target, overwrite, signals).await,
            Output::Tree(tree) => self.install_tree(tree, target, overwrite, signals).await,
            _ if let Some(text) = self.plan.root_link() => {
                let text = text.clone();
                let installed = self.install_link(text, part, target, overwrite).await;
                installed.map_err(Stop::Failed)
            }
            _ => self.install_file(part, target, overwrite, signals).await,
        };
        if let Err(stop) = installed {
            self.halt(stop);
        }
    }

    async fn install_file(
        &mut self,
        part: PathBuf,
        target: PathBuf,
        overwrite: bool,
        signals: &mut UnboundedReceiver<ExitKind>,
    ) -> Result<(), Stop> {
        let id = self.job.id;
        let work = move |is_stopped: &AtomicBool| match install::install(&part, &target, overwrite)
        {
            Ok(()) => Ok(()),
            Err(DiskError::Exists { .. }) => {
                match inspect::same_content(&part, &target, is_stopped) {
                    // Somebody else put the very same bytes there: installs may race.
                    Ok(true) => {
                        if let Err(error) = install::remove(&part) {
                            tracing::warn!(error = %chain(&error), "cannot remove the part file");
                        }
                        Ok(())
                    }
                    Ok(false) => Err(exists_failure(&target, id)),
                    Err(error) => Err(target_failure(&error, id)),
                }
            }
            Err(error) => Err(target_failure(&error, id)),
        };
        self.installing(signals, work).await
    }

    /// Whether what is installed is what the CID names. A CAR is not, only all of its blocks; nor is
    /// what the user took as it came.
    fn is_as_named(&self, receipt: &Receipt) -> bool {
        self.job.car_part.is_none() && receipt.proof != Proof::Unverified
    }

    async fn finished(mut self) -> Ending {
        let receipt = self.receipt();
        let install = match &self.job.destination {
            Destination::Disk { target, .. } => Some(Install {
                path: target.clone(),
                cid: receipt.cid.clone().filter(|_| self.is_as_named(&receipt)),
                size: receipt.size,
                mtime_ns: modified(target.clone()).await,
                sha256: receipt.sha256,
            }),
            Destination::Stdout { .. } => None,
        };
        let finish = Finish {
            receipt_json: receipt.to_json(),
            proof: receipt.proof,
            size: receipt.size,
            sha256: receipt.sha256,
            install,
            traffic: self.take_traffic(),
            now: Timestamp::now(),
        };
        if let Err(error) = self.store.finish(self.job.id, self.job.run, finish).await {
            // It is in place; `resume` finds that out and completes the record.
            self.is_in_place = true;
            let failure = store_failure(&error, self.job.id);
            return self.say_failed(failure, true);
        }
        self.drop_old_parts().await;
        if let Destination::Disk { target, .. } = &self.job.destination {
            let path = target.clone();
            self.announce(What::Installed { path });
        }
        let source = self.job.source.clone();
        self.announce(What::Finished {
            source,
            receipt: Box::new(receipt.clone()),
            was_there: false,
        });
        Ending::Finished(Box::new(receipt))
    }
}

/// When what has its final name was modified; 0 where the disk does not say.
async fn modified(target: PathBuf) -> i64 {
    on_a_thread(move || match inspect::fingerprint(&target) {
        Some(found) => found.mtime_ns,
        None => inspect::tree_fingerprint(&target).unwrap_or(0),
    })
    .await
}
