//! The orderly stop: what is proved is made safe, why it ended is recorded, and said.

use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::disk::inspect;
use crate::download::queue::Again;
use crate::download::{Action, Failure, Status, Trigger};
use crate::engine::coordinator::{Coordinator, Stop, TICK, random};
use crate::engine::failure::{how_to_go_on, store_failure};
use crate::engine::finish::litter::is_replaced;
use crate::engine::input::Input;
use crate::engine::output::Output;
use crate::engine::whole::Whole;
use crate::engine::{Destination, Ending};
use crate::event::What;
use crate::exit::ExitKind;
use crate::store::{self, StoreError};

impl Coordinator<'_> {
    /// Records how the run ended, and says so.
    pub(in crate::engine) async fn end(
        mut self,
        receiver: &mut UnboundedReceiver<Input>,
        signals: &mut UnboundedReceiver<ExitKind>,
    ) -> Ending {
        self.net.set.abort_all();
        self.remember_providers();
        self.tell_supplied();
        if !matches!(self.stop, None | Some(Stop::LeaseLost)) {
            self.wind_down(receiver, signals).await;
        }
        match self.stop.take() {
            None => self.finished().await,
            Some(Stop::LeaseLost) => self.lease_lost(),
            Some(Stop::Failed(failure)) => self.failed(failure, false).await,
            Some(Stop::Unsound(failure)) => self.failed(failure, true).await,
            Some(Stop::Asked(Action::Cancel { keep_partial })) => {
                self.cancelled(keep_partial).await
            }
            Some(Stop::Asked(_)) => self.paused().await,
            Some(Stop::Signal(kind)) => self.signalled(kind).await,
        }
    }

    /// Lets the proving thread finish what it has and makes a last checkpoint, if any of it is to
    /// be kept. The disk may take long to sync it: other terminals are heard meanwhile.
    async fn wind_down(
        &mut self,
        receiver: &mut UnboundedReceiver<Input>,
        signals: &mut UnboundedReceiver<ExitKind>,
    ) {
        for task in self.net.tasks.values_mut() {
            task.abort.abort();
            task.ended = true;
        }
        self.write_journal();
        if !self.output.is_on_disk() || (self.prover.is_none() && self.whole.is_none()) {
            // What waits for its turn on a stream is lost with it, and nothing else is kept.
            return;
        }
        let mut tick = tokio::time::interval(TICK);
        while self.is_writing() || self.is_checkpointing() {
            if !self.hear(receiver, signals, &mut tick).await {
                return;
            }
        }
        if self.keeps_what_is_proved() {
            self.checkpoint(Trigger::Stop);
        }
        while self.is_checkpointing() {
            if !self.hear(receiver, signals, &mut tick).await {
                return;
            }
        }
    }

    /// Waits for the next that happens while the download ends; `false` if nothing more of it is
    /// to be waited for.
    async fn hear(
        &mut self,
        receiver: &mut UnboundedReceiver<Input>,
        signals: &mut UnboundedReceiver<ExitKind>,
        tick: &mut tokio::time::Interval,
    ) -> bool {
        let was_signalled = matches!(self.stop, Some(Stop::Signal(_)));
        tokio::select! {
            Some(input) = receiver.recv() => self.accept(input),
            _ = tick.tick() => self.poll_requests(),
            // A second signal is impatience: what is not recorded by now is found by hashing the
            // part.
            Some(_) = signals.recv(), if was_signalled => return false,
        }
        !matches!(self.stop, Some(Stop::LeaseLost))
    }

    /// Whether a thread still writes to the part. What it only reads may be broken off.
    fn is_writing(&self) -> bool {
        self.net.jobs > 0
            || self.hashing.is_copying()
            || self.whole.as_ref().is_some_and(Whole::is_writing)
    }

    /// Whether a checkpoint is under way that anybody wants.
    fn is_checkpointing(&self) -> bool {
        self.keeps_what_is_proved() && !self.checkpointing.is_idle()
    }

    fn keeps_what_is_proved(&self) -> bool {
        !matches!(self.stop, Some(Stop::Asked(action)) if action.removes_part())
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
            return self.say_recorded(recorded, failure, false, false).await;
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
            .await
    }

    /// Of an entry of the queue that failed for now: when it is tried again.
    fn try_again(&self, failure: &Failure) -> Option<Again> {
        let tries = self.job.queue_tries?;
        let made_progress = self.tally.new_bytes > 0;
        matches!(failure.kind, ExitKind::Retry | ExitKind::Disk)
            .then(|| Again::after(tries, made_progress, random()))
    }

    async fn say_recorded(
        mut self,
        recorded: Result<(), StoreError>,
        mut failure: Failure,
        is_unsound: bool,
        is_final: bool,
    ) -> Ending {
        match recorded {
            Ok(()) => {
                match is_unsound {
                    true => self.drop_part().await,
                    false => self.drop_empty_part().await,
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

    pub(super) fn say_failed(mut self, failure: Failure, resumable: bool) -> Ending {
        if self.is_resolved || self.plan.root_kind().is_some() {
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
                self.drop_empty_part().await;
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
        let is_foreign = is_replaced(&self.output);
        self.output = Output::Undecided;
        if is_foreign && !keep_partial {
            let part = self.job.destination.part().display();
            let message = format!("{part} stays: somebody else has put it there");
            self.announce(What::Notice { message });
        } else if !keep_partial {
            self.remove_own_parts().await;
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
                self.drop_empty_part().await;
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
