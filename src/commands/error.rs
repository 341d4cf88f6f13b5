//! The one error of the commands: what a user reads, and the exit code.

use std::error::Error;

use crate::commands::config::InitError;
use crate::content::source::SourceError;
use crate::disk::DiskError;
use crate::download::{DownloadId, Failure, chain, remedy};
use crate::exit::ExitKind;
use crate::settings::{DocumentError, SettingsError};
use crate::store::StoreError;
use crate::ui::out::Closed;

/// A command that failed.
#[derive(Debug)]
pub struct CommandError {
    /// Decides the exit code.
    pub kind: ExitKind,
    /// What happened, with its causes.
    pub message: String,
    /// What to do next; [`next_step`](Self::next_step) has a word where nothing better is known.
    pub hint: Option<String>,
    /// The download that it is about, where `resume` may go on with it.
    pub download: Option<DownloadId>,
    /// The word of the command line that it is about, where the others may be right.
    pub argument: Option<String>,
}

impl CommandError {
    /// An error of this kind without a hint.
    pub fn new(kind: ExitKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
            download: None,
            argument: None,
        }
    }

    /// The same about this download.
    #[must_use]
    pub fn about(mut self, id: DownloadId) -> Self {
        self.download = Some(id);
        self
    }

    /// Whether `resume` can go on with the download that it is about.
    pub fn is_resumable(&self) -> bool {
        self.download.is_some() && leaves_paused(self.kind)
    }

    /// As the record of a download keeps it.
    pub fn failure(&self) -> Failure {
        Failure {
            kind: self.kind,
            message: self.message.clone(),
            hint: self.next_step(),
        }
    }

    /// What to do next.
    pub fn next_step(&self) -> Option<String> {
        let resume = || Some(format!("go on with: fetchd resume {}", self.download?));
        let hint = self.hint.clone();
        let hint = hint.or_else(|| self.is_resumable().then(resume).flatten());
        hint.or_else(|| usual_step(self.kind).map(str::to_owned))
    }

    /// The same with what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Bad arguments, source or id.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitKind::Usage, message)
    }

    fn of(kind: ExitKind, error: &dyn Error) -> Self {
        Self::new(kind, chain(error))
    }
}

/// What helps in most cases of a kind.
fn usual_step(kind: ExitKind) -> Option<&'static str> {
    Some(match kind {
        ExitKind::Internal => "what was proved is kept; see what there is with: fetchd list --all",
        ExitKind::Usage => "see what a command takes with: fetchd COMMAND --help",
        ExitKind::Exists => "name another place, or another name, with -o, and run it again",
        ExitKind::Disk => "make room, or mend what is wrong with the disk, and run it again",
        ExitKind::Retry => "run it again in a while",
        ExitKind::Config => {
            "mend it, and run it again; the configuration is at: fetchd config path"
        }
        ExitKind::Stopped | ExitKind::Interrupted | ExitKind::Terminated => "run it again",
        ExitKind::Success
        | ExitKind::Verification
        | ExitKind::NotFound
        | ExitKind::Refused
        | ExitKind::Partial
        | ExitKind::Closed => return None,
    })
}

/// Whether a download that ended so is paused, and `resume` goes on with it: the last column of
/// the table of exit codes.
fn leaves_paused(kind: ExitKind) -> bool {
    matches!(
        kind,
        ExitKind::Internal
            | ExitKind::Exists
            | ExitKind::Disk
            | ExitKind::Retry
            | ExitKind::Stopped
            | ExitKind::Interrupted
            | ExitKind::Terminated
            | ExitKind::Closed
    )
}

impl From<SettingsError> for CommandError {
    fn from(error: SettingsError) -> Self {
        Self {
            hint: Some(error.hint()),
            ..Self::of(error.kind(), &error)
        }
    }
}

impl From<DocumentError> for CommandError {
    fn from(error: DocumentError) -> Self {
        Self::of(ExitKind::Config, &error).hint("mend that line, and run it again")
    }
}

impl From<InitError> for CommandError {
    fn from(error: InitError) -> Self {
        Self {
            hint: error.hint(),
            ..Self::of(error.kind(), &error)
        }
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        // Whoever locks it for so long is no fetchd: waiting helps a download, and no command.
        let kind = match error {
            StoreError::Busy { .. } => ExitKind::Config,
            _ => error.exit_kind(),
        };
        Self {
            hint: error.hint().map(str::to_owned),
            ..Self::of(kind, &error)
        }
    }
}

impl From<DiskError> for CommandError {
    fn from(error: DiskError) -> Self {
        let kind = match &error {
            DiskError::Locked { .. } => ExitKind::Retry,
            error if error.is_uncreatable() => ExitKind::Exists,
            _ => ExitKind::Disk,
        };
        Self {
            hint: remedy(&error).map(|first| format!("{first}, and run it again")),
            ..Self::of(kind, &error)
        }
    }
}

impl From<SourceError> for CommandError {
    fn from(error: SourceError) -> Self {
        Self::of(ExitKind::Usage, &error)
            .hint("give a CID, /ipfs/CID, ipfs://CID or a gateway URL of a file")
    }
}

impl From<Closed> for CommandError {
    fn from(error: Closed) -> Self {
        Self::of(error.kind(), &error)
    }
}

impl From<CommandError> for Failure {
    fn from(error: CommandError) -> Self {
        error.failure()
    }
}

impl From<Failure> for CommandError {
    fn from(failure: Failure) -> Self {
        Self {
            kind: failure.kind,
            message: failure.message,
            hint: failure.hint,
            download: None,
            argument: None,
        }
    }
}
