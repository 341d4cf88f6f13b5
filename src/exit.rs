//! The exit codes: one table, used by the program, its documentation and its tests.
//!
//! Codes never change their meaning; new ones are only added. Where `sysexits.h` has a fitting
//! code, that one is used.

use std::fmt;

/// How an invocation ended, as scripts see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExitKind {
    /// Every byte proved, synced and renamed; also "already there" and "queued".
    Success,
    /// A bug, or anything that the other kinds do not cover.
    Internal,
    /// Bad arguments, source or id (the code that clap uses too).
    Usage,
    /// Bytes that cannot be proved, malformed structure, wrong sizes, a contradicting checksum.
    Verification,
    /// Every provider gave a definite no, or the path is proved absent.
    NotFound,
    /// The target exists with other content, or it cannot be created.
    Exists,
    /// No room, read-only file system, I/O error.
    Disk,
    /// Unreachable, rate-limited, stalled or failing providers, or another live process owns it.
    Retry,
    /// Refused by policy: limits, unsafe names, weak hashes, rejected credentials.
    Refused,
    /// Configuration, manifest, lock or state file cannot be used.
    Config,
    /// Several sources whose failures are of different kinds.
    Partial,
    /// Paused or cancelled from another terminal.
    Stopped,
    /// Ended by SIGINT after a checkpoint.
    Interrupted,
    /// Ended by SIGTERM after a checkpoint.
    Terminated,
    /// The reader of `-o -` went away.
    Closed,
}

/// Every kind, in the order of the documentation.
pub const ALL: [ExitKind; 15] = [
    ExitKind::Success,
    ExitKind::Internal,
    ExitKind::Usage,
    ExitKind::Verification,
    ExitKind::NotFound,
    ExitKind::Exists,
    ExitKind::Disk,
    ExitKind::Retry,
    ExitKind::Refused,
    ExitKind::Config,
    ExitKind::Partial,
    ExitKind::Stopped,
    ExitKind::Interrupted,
    ExitKind::Terminated,
    ExitKind::Closed,
];

impl ExitKind {
    /// The process exit code.
    pub const fn code(self) -> u8 {
        match self {
            ExitKind::Success => 0,
            ExitKind::Internal => 1,
            ExitKind::Usage => 2,
            ExitKind::Verification => 65,
            ExitKind::NotFound => 69,
            ExitKind::Exists => 73,
            ExitKind::Disk => 74,
            ExitKind::Retry => 75,
            ExitKind::Refused => 77,
            ExitKind::Config => 78,
            ExitKind::Partial => 80,
            ExitKind::Stopped => 81,
            ExitKind::Interrupted => 130,
            ExitKind::Terminated => 143,
            ExitKind::Closed => 141,
        }
    }

    /// The stable name of the kind in JSON output.
    pub const fn name(self) -> &'static str {
        match self {
            ExitKind::Success => "success",
            ExitKind::Internal => "internal",
            ExitKind::Usage => "usage",
            ExitKind::Verification => "verification",
            ExitKind::NotFound => "not_found",
            ExitKind::Exists => "exists",
            ExitKind::Disk => "disk",
            ExitKind::Retry => "retry",
            ExitKind::Refused => "refused",
            ExitKind::Config => "config",
            ExitKind::Partial => "partial",
            ExitKind::Stopped => "stopped",
            ExitKind::Interrupted | ExitKind::Terminated => "signal",
            ExitKind::Closed => "closed",
        }
    }

    /// What the kind means, in one line of the manual.
    pub const fn meaning(self) -> &'static str {
        match self {
            ExitKind::Success => "every byte proved and in place (or already there, or queued)",
            ExitKind::Internal => "a bug in fetchd, or an error that no other code covers",
            ExitKind::Usage => "bad arguments, source or id",
            ExitKind::Verification => "bytes that cannot be proved, or a contradicting checksum",
            ExitKind::NotFound => "no provider has it, or the path is proved absent",
            ExitKind::Exists => "the target exists with other content, or cannot be created",
            ExitKind::Disk => "no room, a read-only file system, or an I/O error",
            ExitKind::Retry => "providers unreachable, rate-limited or failing; try again later",
            ExitKind::Refused => "refused: a limit, an unsafe name, a weak hash, credentials",
            ExitKind::Config => "configuration or state file malformed, corrupt or too new",
            ExitKind::Partial => "several sources failed, for different reasons",
            ExitKind::Stopped => "paused or cancelled from another terminal",
            ExitKind::Interrupted => "interrupted by SIGINT after a checkpoint",
            ExitKind::Terminated => "ended by SIGTERM after a checkpoint",
            ExitKind::Closed => "the reader of the standard output went away",
        }
    }

    /// The name of the kind in the record, which tells the two signals apart.
    pub const fn record_name(self) -> &'static str {
        match self {
            ExitKind::Terminated => "terminated",
            kind => kind.name(),
        }
    }

    /// The kind with this name in the record.
    pub fn from_record_name(name: &str) -> Option<Self> {
        ALL.into_iter().find(|kind| kind.record_name() == name)
    }
}

impl fmt::Display for ExitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_documented() {
        let mut codes: Vec<u8> = ALL.iter().map(|kind| kind.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), ALL.len());
        assert!(ALL.iter().all(|kind| !kind.meaning().is_empty()));
    }

    #[test]
    fn the_record_keeps_each_kind_apart() {
        for kind in ALL {
            let read = ExitKind::from_record_name(kind.record_name());
            assert_eq!(read, Some(kind));
        }
        let signal = ExitKind::from_record_name("signal");
        assert_eq!(signal, Some(ExitKind::Interrupted));
    }
}
