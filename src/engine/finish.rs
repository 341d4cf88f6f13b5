//! The endings: whole-file checks, install, record; and the orderly stop.

mod compare;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::disk::{DiskError, inspect, install, tree};
use crate::download::queue::Again;
use crate::download::{Action, Failure, Proof, Receipt, Status, Trigger};
use crate::engine::aside::on_a_thread;
use crate::engine::coordinator::{Coordinator, Stop, TICK, random};
use crate::engine::failure::{chain, exists_failure, how_to_go_on, store_failure, target_failure};
use crate::engine::input::Input;
use crate::engine::output::{self, Output};
use crate::engine::provider::{Out, Place, Provider};
use crate::engine::whole::Whole;
use crate::engine::{Destination, Ending};
use crate::event::What;
use crate::exit::ExitKind;
use crate::store::{self, Finish, Install, Observation, StoreError};

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
                    _ => Err(exists_failure(&target, id)),
                }
            }
            Err(error) => Err(target_failure(&error, id)),
        };
        self.installing(signals, work).await
    }

    /// Records how the run ended, and says so.
    pub(super) async fn end(
        mut self,
        receiver: &mut UnboundedReceiver<Input>,
        signals: &mut UnboundedReceiver<ExitKind>,
    ) -> Ending {
        self.net.set.abort_all();
        self.remember_providers();
        self.tell_supplied();
        let Some(stop) = self.stop.take() else {
            return self.finished().await;
        };
        if matches!(stop, Stop::LeaseLost) {
            return self.lease_lost();
        }
        // A second signal is impatience: what is not recorded by now is found by hashing the part.
        let keeps = !matches!(
            stop,
            Stop::Asked(Action::Cancel {
                keep_partial: false
            })
        );
        tokio::select! {
            () = self.wind_down(receiver, keeps) => {}
            Some(_) = signals.recv() => {}
        }
        match stop {
            Stop::LeaseLost => self.lease_lost(),
            Stop::Failed(failure) => self.failed(failure, false).await,
            Stop::Unsound(failure) => self.failed(failure, true).await,
            Stop::Asked(Action::Cancel { keep_partial }) => self.cancelled(keep_partial).await,
            Stop::Asked(_) => self.paused().await,
            Stop::Signal(kind) => self.signalled(kind).await,
        }
    }

    /// Tells what each provider did.
    fn tell_supplied(&mut self) {
        let asked = self.providers.iter();
        let asked = asked.filter(|provider| provider.receipt.requests > 0);
        let told: Vec<What> = asked
            .map(|provider| What::Supplied {
                sent: Box::new(provider.receipt.clone()),
                rate: Some(provider.throughput).filter(|&rate| rate > 0.0),
            })
            .collect();
        told.into_iter().for_each(|what| self.announce(what));
    }

    /// What was learnt of the providers, for the next download.
    fn remember_providers(&self) {
        let was_asked = |provider: &Provider| provider.receipt.requests > 0;
        let asked = self.providers.iter().enumerate();
        for (index, provider) in asked.filter(|(_, provider)| was_asked(provider)) {
            self.remember_pace(index);
            // Of a single file, and of one on this machine, there is nothing more to learn.
            if !matches!(provider.place, Place::Http(_)) {
                continue;
            }
            let receipt = &provider.receipt;
            let seen = Observation {
                requests: receipt.requests,
                errors: receipt.errors,
                rejected: receipt.rejected,
                bytes: receipt.bytes + receipt.wasted,
                latency: (provider.latency > 0.0)
                    .then(|| Duration::from_secs_f64(provider.latency)),
                throughput: (provider.throughput > 0.0).then_some(provider.throughput),
                error: provider.last_error.clone(),
                capabilities: Some(provider.capabilities.encode()),
            };
            self.in_background(self.store.observe(provider.url(), seen, Timestamp::now()));
            if provider.out() == Some(&Out::Retired) {
                let reason = provider
                    .last_error
                    .as_deref()
                    .unwrap_or("it says that it is closed");
                self.in_background(self.store.retire(provider.url(), Timestamp::now(), reason));
            }
        }
    }

    /// Lets the proving thread finish what it has and makes a last checkpoint, if any of it is to
    /// be kept. The disk may take long to sync it.
    async fn wind_down(&mut self, receiver: &mut UnboundedReceiver<Input>, keeps: bool) {
        for task in self.net.tasks.values_mut() {
            task.abort.abort();
            task.ended = true;
        }
        self.write_journal();
        if !self.output.is_on_disk() || (self.prover.is_none() && self.whole.is_none()) {
            // What waits for its turn on a stream is lost with it, and nothing else is kept.
            return;
        }
        let is_busy = |this: &Self| {
            this.net.jobs > 0
                || this.hashing.is_busy()
                || this.whole.as_ref().is_some_and(Whole::is_writing)
                || keeps && !this.checkpointing.is_idle()
        };
        while is_busy(self) {
            self.accept_next(receiver).await;
        }
        if !keeps {
            return;
        }
        self.checkpoint(Trigger::Stop);
        while !self.checkpointing.is_idle() {
            self.accept_next(receiver).await;
        }
    }

    async fn finished(mut self) -> Ending {
        let receipt = self.receipt().await;
        let install = match &self.job.destination {
            Destination::Disk { target, .. } => Some(Install {
                path: target.clone(),
                // A CAR is not what the CID names, only all of its blocks.
                cid: receipt.cid.clone().filter(|_| self.job.car_part.is_none()),
                size: receipt.size,
                mtime_ns: match inspect::fingerprint(target) {
                    Some((_, mtime)) => mtime,
                    None => inspect::tree_fingerprint(target).unwrap_or(0),
                },
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
        self.drop_old_parts();
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

    async fn receipt(&mut self) -> Receipt {
        let path = match &self.job.destination {
            Destination::Disk { target, .. } => target.clone(),
            Destination::Stdout { .. } => "-".into(),
        };
        let mut providers = self.job.saved.providers.clone();
        for provider in self
            .providers
            .iter()
            .filter(|provider| provider.receipt.requests > 0)
        {
            add_receipt(&mut providers, &provider.receipt);
        }
        let (size, sha256) = match self.saved_car() {
            Some((len, sha256)) => (len, Some(sha256)),
            None => (self.known_size().unwrap_or(0), self.hashing.digest(0)),
        };
        Receipt {
            path,
            cid: self.root_text(),
            size,
            sha256,
            checksum: self.name_of_checksum(),
            proof: match (self.tally.proof, self.tally.used_leaves) {
                (Some(proof), _) => proof,
                (None, true) => Proof::Leaves,
                (None, false) => Proof::Blocks,
            },
            bytes_fetched: self.tally.fetched,
            bytes_wasted: self.tally.wasted,
            resumed_from: self.tally.resumed_from,
            elapsed: (self.job.saved.elapsed + self.started.elapsed()).as_secs_f64(),
            providers,
        }
    }

    /// The function of the checksum that proved it, where the proof was not a SHA-256.
    fn name_of_checksum(&self) -> Option<String> {
        let is_by_sum = self.tally.proof == Some(Proof::Sha256);
        let name = self.job.checksum.as_ref().filter(|_| is_by_sum)?.name()?;
        Some(name.to_owned())
    }

    async fn failed(mut self, mut failure: Failure, is_unsound: bool) -> Ending {
        if let Some(again) = self.try_again(&failure) {
            if failure.kind == ExitKind::Retry {
                let (id, seconds) = (self.job.id, again.wait.as_secs());
                failure.hint = Some(format!(
                    "fetchd run tries it again after {seconds} s; or now: fetchd resume {id}"
                ));
            }
            let recorded = self.record_again(failure.clone(), again).await;
            return self.say_recorded(recorded, failure, false, false);
        }
        let is_barren = self.tally.new_bytes == 0
            && self.tally.reached_provider
            && failure.kind == ExitKind::Retry;
        let tries = u32::from(is_barren);
        let limit = self.options.max_resume_attempts;
        let is_used_up = is_barren && self.job.attempts + tries >= limit;
        if is_used_up {
            failure.message = format!(
                "{} (tried {limit} times without a new byte, as max_resume_attempts allows)",
                failure.message
            );
            failure.hint = Some(format!(
                "try again with: fetchd resume {} --reset",
                self.job.id
            ));
        }
        let is_final = is_used_up
            || matches!(
                failure.kind,
                ExitKind::Usage | ExitKind::Verification | ExitKind::NotFound | ExitKind::Refused
            );
        let status = if is_final {
            Status::Failed
        } else {
            Status::Paused
        };
        let recorded = self.record_end(status, Some(failure.clone()), tries).await;
        self.say_recorded(recorded, failure, is_unsound, is_final)
    }

    /// Of an entry of the queue that failed for now: when it is tried again.
    fn try_again(&self, failure: &Failure) -> Option<Again> {
        let tries = self.job.queue_tries?;
        let made_progress = self.tally.new_bytes > 0;
        matches!(failure.kind, ExitKind::Retry | ExitKind::Disk)
            .then(|| Again::after(tries, made_progress, random()))
    }

    fn say_recorded(
        mut self,
        recorded: Result<(), StoreError>,
        mut failure: Failure,
        is_unsound: bool,
        is_final: bool,
    ) -> Ending {
        match recorded {
            Ok(()) => {
                match is_unsound {
                    true => self.drop_part(),
                    false => self.drop_empty_part(),
                }
                self.say_failed(failure, !is_final)
            }
            Err(error) => {
                let also = store_failure(&error, self.job.id);
                // Mostly it is what ended the run.
                if also.message != failure.message {
                    failure.message = format!(
                        "{}; and the state could not be recorded: {}",
                        failure.message, also.message
                    );
                }
                failure.hint = also.hint;
                self.say_failed(failure, true)
            }
        }
    }

    /// A part that holds nothing is litter: the next run makes a new one.
    fn drop_empty_part(&mut self) {
        let is_empty = match &self.output {
            output if self.is_in_place || is_replaced(output) => false,
            // Only a part whose lock is ours, and which the disk says is empty.
            // Of a whole file that was thrown away, the thread that writes may not have heard yet.
            Output::File(file) => match &self.whole {
                Some(whole) => whole.position() == 0,
                None => file.len().is_ok_and(|len| len == 0),
            },
            Output::Tree(tree) => output::lock(tree).walk().next().is_none(),
            _ => false,
        };
        if is_empty {
            let part = self.job.destination.part().to_path_buf();
            self.remove_part(&part);
        }
    }

    /// Nothing of what is proved is worth keeping, now that the record is over.
    fn drop_part(&mut self) {
        let is_ours = matches!(self.output, Output::File(_) | Output::Tree(_));
        if is_ours && !self.is_in_place && !is_replaced(&self.output) {
            self.remove_own_parts();
        }
    }

    /// Removes what this download leaves beside its target, now that its record is over.
    pub(super) fn remove_own_parts(&mut self) {
        let part = Some(self.job.destination.part().to_path_buf());
        let or_else = format!(", or with: fetchd prune {}", self.job.id);
        for part in part.into_iter().chain(self.job.car_part.clone()) {
            self.remove(&part, &or_else);
        }
    }

    /// Removes a part that serves nothing any more.
    pub(super) fn remove_part(&mut self, part: &Path) {
        self.remove(part, "");
    }

    /// That it stays harms nothing, but somebody has to know of it.
    fn remove(&mut self, part: &Path, or_else: &str) {
        if let Err(error) = tree::remove_tree(part) {
            let error = chain(&error);
            let message = format!("{error}; it may be removed by hand{or_else}");
            self.announce(What::Notice { message });
        }
    }

    /// The last word on what is here: it may be less than what was proved, where somebody took the
    /// part away, or more than the last tick said.
    fn announce_what_is_here(&mut self) {
        let is_gone = match (&self.job.destination, &self.output) {
            _ if self.is_in_place => false,
            (_, Output::File(part)) => {
                !inspect::exists(part.path()) || part.is_replaced().unwrap_or(true)
            }
            (Destination::Stdout { .. }, _) if self.whole.is_none() => false,
            (destination, _) => !inspect::exists(destination.part()),
        };
        match is_gone {
            true => self.announce(What::Progress {
                bytes: 0,
                total: self.known_size(),
                files: None,
                is_proved: true,
            }),
            false => self.announce_progress(),
        }
    }

    fn say_failed(mut self, failure: Failure, resumable: bool) -> Ending {
        if self.is_resolved {
            self.announce_what_is_here();
        }
        let source = self.job.source.clone();
        self.announce(What::Failed {
            source,
            failure: failure.clone(),
            resumable,
        });
        Ending::Failed {
            failure,
            resumable,
            reached: self.tally.reached_provider,
        }
    }

    fn lease_lost(self) -> Ending {
        let failure = Failure {
            kind: ExitKind::Retry,
            message: "another run has taken this download over".to_owned(),
            hint: Some(format!("look at it with: fetchd show {}", self.job.id)),
        };
        self.say_failed(failure, true)
    }

    async fn paused(mut self) -> Ending {
        let stopped = Failure {
            kind: ExitKind::Stopped,
            message: "paused".to_owned(),
            hint: Some(how_to_go_on(&self.job)),
        };
        match self.record_end(Status::Paused, Some(stopped), 0).await {
            Ok(()) => {
                self.drop_empty_part();
                let source = self.job.source.clone();
                self.announce(What::Paused { source });
                Ending::Paused
            }
            Err(error) => self.not_recorded(&error),
        }
    }

    async fn cancelled(mut self, keep_partial: bool) -> Ending {
        let recorded = self.record_end(Status::Cancelled, None, 0).await;
        if let Err(error) = recorded {
            return self.not_recorded(&error);
        }
        self.output = Output::Undecided;
        if !keep_partial {
            self.remove_own_parts();
        }
        let source = self.job.source.clone();
        self.announce(What::Cancelled { source });
        Ending::Cancelled
    }

    async fn signalled(mut self, kind: ExitKind) -> Ending {
        let failure = Failure {
            kind,
            message: "interrupted".to_owned(),
            hint: Some(how_to_go_on(&self.job)),
        };
        // An entry of the queue stays one: the next `run` goes on with it.
        let status = match self.job.queue_tries {
            Some(_) => Status::Pending,
            None => Status::Paused,
        };
        match self.record_end(status, Some(failure.clone()), 0).await {
            Ok(()) => {
                self.drop_empty_part();
                let source = self.job.source.clone();
                self.announce(What::Failed {
                    source,
                    failure,
                    resumable: true,
                });
                Ending::Signalled(kind)
            }
            Err(error) => self.not_recorded(&error),
        }
    }

    fn not_recorded(self, error: &StoreError) -> Ending {
        let failure = store_failure(error, self.job.id);
        self.say_failed(failure, true)
    }

    async fn record_end(
        &mut self,
        status: Status,
        failure: Option<Failure>,
        tries: u32,
    ) -> Result<(), StoreError> {
        let ending = store::Ending {
            status,
            failure,
            tries,
            next_attempt: None,
            queue_tries: self.job.queue_tries.unwrap_or(0),
            traffic: self.take_traffic(),
            now: Timestamp::now(),
        };
        self.store.end(self.job.id, self.job.run, ending).await
    }

    async fn record_again(&mut self, failure: Failure, again: Again) -> Result<(), StoreError> {
        let now = Timestamp::now();
        let ending = store::Ending {
            status: Status::Pending,
            failure: Some(failure),
            tries: 0,
            next_attempt: Some(now + again.wait),
            queue_tries: again.tries,
            traffic: self.take_traffic(),
            now,
        };
        self.store.end(self.job.id, self.job.run, ending).await
    }
}

/// Whether the name of what is written stands for something else by now.
fn is_replaced(output: &Output) -> bool {
    let is_replaced = match output {
        Output::File(part) => part.is_replaced(),
        Output::Tree(tree) => output::lock(tree).is_replaced(),
        Output::Undecided | Output::View(_) | Output::Stdout => Ok(false),
    };
    // What cannot be looked at cannot be removed either.
    is_replaced.unwrap_or(false)
}

/// Adds one provider's line to a receipt that may have it already.
fn add_receipt(
    lines: &mut Vec<crate::download::ProviderReceipt>,
    new: &crate::download::ProviderReceipt,
) {
    let Some(line) = lines.iter_mut().find(|line| line.url == new.url) else {
        return lines.push(new.clone());
    };
    line.bytes += new.bytes;
    line.wasted += new.wasted;
    line.requests += new.requests;
    line.errors += new.errors;
    line.rejected += new.rejected;
    line.rungs.extend(&new.rungs);
    line.rungs.sort_unstable();
    line.rungs.dedup();
}
