//! What every command that touches the store starts with: the store itself, its housekeeping, and
//! the ways to print.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::cli::{ColorWhen, Global};
use crate::commands::error::CommandError;
use crate::commands::liveness::{self, Here};
use crate::commands::looks::{self, Terminal};
use crate::commands::transfer;
use crate::disk::lock::{self, LockFile};
use crate::disk::{host, private};
use crate::download::{Action, RunId, chain};
use crate::exit::ExitKind;
use crate::settings::Settings;
use crate::store::{RunInfo, RunRow, Store, StoreError};
use crate::ui::out::Out;
use crate::ui::{Reporter, ReporterOptions, Results, Verbosity, json};

/// So often a new run may be taken for dead before it has its lock, or find its number in use.
const MAX_BEGINNINGS: u32 = 1_000;
/// Dead runs that are ended at once: each costs an open file.
const MAX_REAPED: usize = 256;
/// How often a run says that it lives.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// The state directory, opened; clones share it.
#[derive(Clone)]
pub struct Context {
    /// The resolved configuration.
    pub settings: Settings,
    /// All durable state.
    pub store: Store,
    global: Global,
    here: Here,
}

/// This invocation as an owner of work: its row, and the lock that says it lives.
pub struct Run {
    /// Its number.
    pub id: RunId,
    lock: LockFile,
    store: Store,
}

impl Context {
    /// Opens the store and takes the work of dead runs from them.
    pub fn open(global: &Global, settings: Settings) -> Result<Self, CommandError> {
        let context = Self {
            store: Store::open(&settings.state_dir)?,
            settings,
            global: global.clone(),
            here: Here::now(),
        };
        context.reap()?;
        Ok(context)
    }

    /// As [`Context::open`], for commands that only show what is recorded: they work where
    /// nothing can be written too. That the work of dead runs rests is then shown, not recorded.
    pub fn open_to_look(global: &Global, settings: Settings) -> Result<Self, CommandError> {
        let error = match Self::open(global, settings.clone()) {
            Err(error) if error.kind == ExitKind::Disk => error,
            done => return done,
        };
        let Ok(store) = Store::open_read_only(&settings.state_dir) else {
            return Err(error);
        };
        let context = Self {
            settings,
            store,
            global: global.clone(),
            here: Here::now(),
        };
        let mut runs = context.store.live_runs().wait()?;
        runs.retain(|run| !context.is_alive(run));
        let dead: Vec<RunId> = runs.iter().map(|run| run.id).collect();
        let now = Timestamp::now();
        context.store.reap_in_memory(&dead, now).wait()?;
        Ok(context)
    }

    /// Begins a run: its lock is held as long as the value lives.
    ///
    /// The lock is named after the row, so the row is there a moment before its lock. A run that
    /// was taken for dead in that moment, or whose number a run of an earlier database still
    /// holds, begins once more.
    pub fn begin_run(&self) -> Result<Run, CommandError> {
        for _ in 0..MAX_BEGINNINGS {
            let id = self.store.begin_run(this_run()).wait()?;
            let Some(lock) =
                LockFile::try_acquire(&self.lock_path(id)).map_err(StoreError::Prepare)?
            else {
                self.store.end_run(id, Timestamp::now()).wait()?;
                continue;
            };
            if self.store.heartbeat(id, Timestamp::now()).wait()? {
                let store = self.store.clone();
                return Ok(Run { id, lock, store });
            }
        }
        let message = "other processes hold the locks of all runs that are new";
        Err(CommandError::new(ExitKind::Internal, message))
    }

    /// Whether the run that owns a download lives.
    pub fn is_alive(&self, run: &RunRow) -> bool {
        if self.here.is_other_machine(&run.info) {
            return liveness::has_pulse(run, Timestamp::now());
        }
        // What cannot be looked at may live: nobody takes its work then.
        lock::is_held(&self.lock_path(run.id)).unwrap_or(true)
    }

    fn lock_path(&self, run: RunId) -> PathBuf {
        self.settings
            .state_dir
            .join("runs")
            .join(format!("{}.lock", run.0))
    }

    /// Pauses what dead runs were working on. (If one died after the rename and before the record,
    /// the next `resume` finds the target complete and records it.)
    ///
    /// # Errors
    /// Code 78 where a run of another machine lives: locks and shared memory do not reach there.
    pub fn reap(&self) -> Result<(), CommandError> {
        private::create_private_dir(&self.settings.state_dir.join("runs"))
            .map_err(StoreError::Prepare)?;
        let now = Timestamp::now();
        let (mut dead, mut locks) = (Vec::new(), Vec::new());
        for run in self.store.live_runs().wait()? {
            if self.here.is_other_machine(&run.info) {
                match liveness::has_pulse(&run, now) {
                    true => return Err(self.used_elsewhere(&run)),
                    false => dead.push(run.id),
                }
            } else if locks.len() < MAX_REAPED
                && !liveness::is_new(&run, now, host::pid_start_time(run.info.pid))
            {
                let path = self.lock_path(run.id);
                match LockFile::try_acquire(&path) {
                    // Held until the work is taken, so that nobody begins under this number.
                    Ok(Some(lock)) => locks.push(lock),
                    // Where no lock can be written, nobody begins.
                    Err(_) if !lock::is_held(&path).unwrap_or(true) => {}
                    Ok(None) | Err(_) => continue,
                }
                dead.push(run.id);
            }
        }
        for interrupted in self.store.reap(&dead, now).wait()? {
            let (row, was) = (&interrupted.download, interrupted.was);
            tracing::debug!(id = %row.id, %was, "interrupted");
            if interrupted.asked.is_some_and(Action::removes_part)
                && let Err(error) = transfer::remove_parts(self, row)
            {
                // `prune` removes it with the record, or says why not.
                tracing::warn!(id = %row.id, error = %chain(&error), "cannot remove the part");
            }
        }
        for lock in locks {
            let _ = lock.release();
        }
        Ok(())
    }

    /// The same beside other work.
    pub async fn reap_meanwhile(&self) -> Result<(), CommandError> {
        let context = self.clone();
        match tokio::task::spawn_blocking(move || context.reap()).await {
            Ok(reaped) => reaped,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }

    fn used_elsewhere(&self, run: &RunRow) -> CommandError {
        let host = run.info.host.as_deref().unwrap_or("another host");
        let message = format!(
            "the state directory {} is in use by process {} on {host}",
            self.settings.state_dir.display(),
            run.info.pid
        );
        CommandError::new(ExitKind::Config, message)
            .hint("wait until that one has ended, or name another place with --state-dir")
    }

    /// Whether results are wanted as JSON.
    pub fn wants_json(&self) -> bool {
        self.global.json
    }

    /// Tells of an error that does not end the command.
    pub fn complain(&self, error: &CommandError) {
        let color = wants_color(self.global.color);
        crate::ui::out::error(&error.message, error.next_step().as_deref(), color);
    }

    /// Prints one document with `--json`, else what `text` makes of it.
    pub fn show<T: Serialize>(
        &self,
        document: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), CommandError> {
        show(&self.global, document, text)
    }

    /// A reporter as flags and terminal want it.
    pub fn reporter(&self) -> Reporter {
        self.reporter_with(match self.global.json {
            true => Results::Events,
            false => Results::Paths,
        })
    }

    /// The same for commands that print a document: nothing else goes to stdout with `--json`.
    pub fn reporter_of_document(&self) -> Reporter {
        self.reporter_with(match self.global.json {
            true => Results::Document,
            false => Results::Paths,
        })
    }

    fn reporter_with(&self, results: Results) -> Reporter {
        let verbosity = match self.global {
            Global { quiet: true, .. } => Verbosity::Quiet,
            Global { verbose: 0, .. } => Verbosity::Normal,
            _ => Verbosity::Story,
        };
        let progress = looks::progress(self.settings.keys.progress, &Terminal::of_process());
        Reporter::new(ReporterOptions {
            progress,
            results,
            verbosity,
            color: wants_color(self.global.color),
            width: None,
        })
    }

    /// The width of the terminal for tables; `None` where there is none.
    pub fn width(&self) -> Option<u16> {
        width()
    }
}

impl Run {
    /// Ends the run. Where that cannot be recorded, its lock is free all the same, by which the next
    /// invocation sees that it is over: no reason to call failed what was done and said to be done.
    pub fn end(self) {
        if let Err(error) = self.store.end_run(self.id, Timestamp::now()).wait() {
            tracing::warn!(%error, "cannot record the end of the run");
        }
        if let Err(error) = self.lock.release() {
            tracing::warn!(%error, "cannot remove the lock of the run");
        }
    }
}

/// This process, for the record.
fn this_run() -> RunInfo {
    let pid = std::process::id();
    RunInfo {
        pid,
        start_time: host::pid_start_time(pid),
        boot_id: host::boot_id(),
        host: host::hostname(),
        uid: host::uid(),
        started: Timestamp::now(),
    }
}

/// Whether words to people may be coloured.
pub fn wants_color(when: ColorWhen) -> bool {
    looks::wants_color(when, &Terminal::of_process())
}

/// The width of the terminal for tables; `None` where there is none.
pub fn width() -> Option<u16> {
    let stdout = console::Term::stdout();
    stdout.is_term().then(|| stdout.size().1)
}

/// Prints one document with `--json`, else what `text` makes of it, if that is anything.
pub fn show<T: Serialize>(
    global: &Global,
    document: &T,
    text: impl FnOnce() -> String,
) -> Result<(), CommandError> {
    let text = match global.json {
        true => json::document(document)
            .map_err(|error| CommandError::new(ExitKind::Internal, error.to_string()))?,
        false => text(),
    };
    match text.is_empty() {
        true => Ok(()),
        false => print(&text),
    }
}

/// Prints data.
pub fn print(text: &str) -> Result<(), CommandError> {
    Ok(Out::stdout().line(text.trim_end_matches('\n'))?)
}

/// Prints bytes as they are.
pub fn print_raw(bytes: &[u8]) -> Result<(), CommandError> {
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| match error.kind() {
            std::io::ErrorKind::BrokenPipe => CommandError::new(ExitKind::Closed, "closed"),
            _ => CommandError::new(
                ExitKind::Disk,
                format!("cannot write to standard output: {error}"),
            ),
        })
}
