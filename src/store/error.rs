//! What can go wrong with the state file, and which exit code that is.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rusqlite::ffi::SQLITE_IOERR_SHMSIZE;

use crate::disk::DiskError;
use crate::download::{DownloadId, RunId, Status};
use crate::exit::ExitKind;

/// What helps where the disk is full.
const MAKE_ROOM: &str = "make room there";

/// Why the store did not do as asked. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The schema is of a later version of this program.
    #[error(
        "the state file {} has schema {found}, of a newer fetchd than this one (schema {known}): use that one",
        path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema version.
        found: i64,
        /// The latest schema version that this program knows.
        known: i64,
    },
    /// The schema is of an earlier version, and may not be brought up to date.
    #[error(
        "the state file {} is of an older fetchd, and cannot be brought up to date without writing to it",
        path.display()
    )]
    Older {
        /// The database.
        path: PathBuf,
    },
    /// Not a database any more, or a row that this program could not have written.
    #[error("the state file {} is damaged", path.display())]
    Corrupt {
        /// The database.
        path: PathBuf,
        /// What SQLite, or the reading of a row, found.
        source: rusqlite::Error,
    },
    /// A database of some other program.
    #[error("{} is a database, but not one of fetchd", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// Another process kept the database locked for longer than the busy timeout.
    #[error("the state file {} is locked by another process", path.display())]
    Busy {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// No room on the device.
    #[error("no room left for the state file {}", path.display())]
    Full {
        /// The database.
        path: PathBuf,
    },
    /// The file or its directory may not be written.
    #[error("the state file {} cannot be written", path.display())]
    ReadOnly {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// Reading or writing failed.
    #[error("cannot read or write the state file {}", path.display())]
    Io {
        /// The database.
        path: PathBuf,
        /// What SQLite says.
        source: rusqlite::Error,
    },
    /// The state directory or the empty file could not be made.
    #[error("cannot prepare the state directory")]
    Prepare(#[from] DiskError),
    /// The system gives no thread for the connection.
    #[error("cannot start the thread of the state file")]
    Thread(#[source] std::io::Error),
    /// The schema could not be brought up to date.
    #[error("cannot bring the state file {} up to date", path.display())]
    Migration {
        /// The database.
        path: PathBuf,
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The run does not own the download (any more): it must stop and write nothing.
    #[error("another invocation has taken download {id} over")]
    LeaseLost {
        /// The download.
        id: DownloadId,
        /// The run that wanted to write.
        run: RunId,
    },
    /// An earlier write of the same run failed, and this one relies on it.
    #[error("{why}")]
    BrokenOff {
        /// What the earlier one failed with.
        kind: ExitKind,
        /// The same in words.
        why: String,
        /// What has to be done about it.
        remedy: Option<&'static str>,
    },
    /// A run that has not ended owns the download.
    #[error("another invocation is working on download {id}")]
    Owned {
        /// The download.
        id: DownloadId,
        /// Its owner.
        run: RunId,
    },
    /// A download to the same path has finished since somebody looked.
    #[error("it was finished by another invocation a moment ago")]
    DoneMeanwhile,
    /// Another unfinished download has the same path on disk.
    #[error("download {id} is already under way to the same path")]
    ActiveExists {
        /// That other download.
        id: DownloadId,
    },
    /// There is no such download, or nothing of it is kept any more.
    #[error("there is no download {id}")]
    NotFound {
        /// The id asked for.
        id: DownloadId,
    },
    /// The table of [`Status`] does not know this step.
    #[error("download {id} is {from} and cannot become {to}")]
    Transition {
        /// The download.
        id: DownloadId,
        /// Where it stands.
        from: Status,
        /// Where it was to go.
        to: Status,
    },
    /// The store's thread has ended; it does so only by a bug.
    #[error("the state file's thread has ended")]
    Gone,
    /// An SQL statement failed as only a bug makes it fail.
    #[error("the state file refused a statement")]
    Statement(#[from] rusqlite::Error),
}

impl StoreError {
    /// The exit code that fits.
    pub fn exit_kind(&self) -> ExitKind {
        match self {
            StoreError::Newer { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Foreign { .. }
            | StoreError::Migration { .. } => ExitKind::Config,
            StoreError::Full { .. }
            | StoreError::ReadOnly { .. }
            | StoreError::Older { .. }
            | StoreError::Io { .. }
            | StoreError::Prepare(_) => ExitKind::Disk,
            StoreError::Busy { .. }
            | StoreError::LeaseLost { .. }
            | StoreError::Owned { .. }
            | StoreError::DoneMeanwhile
            | StoreError::ActiveExists { .. } => ExitKind::Retry,
            StoreError::BrokenOff { kind, .. } => *kind,
            StoreError::NotFound { .. } | StoreError::Transition { .. } => ExitKind::Usage,
            StoreError::Gone | StoreError::Thread(_) | StoreError::Statement(_) => {
                ExitKind::Internal
            }
        }
    }

    /// What has to be done before the same can be tried again.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            StoreError::Full { .. } => Some(MAKE_ROOM),
            StoreError::Prepare(error) if error.is_no_room() => Some(MAKE_ROOM),
            StoreError::ReadOnly { .. } => Some("make it writable"),
            // SQLite does not say whether a limit, a quota or the disk itself is at fault.
            StoreError::Io { .. } => Some("make room there, or mend what is wrong with the disk"),
            StoreError::Busy { .. } => Some("end the process that keeps it locked"),
            StoreError::BrokenOff { remedy, .. } => *remedy,
            _ => None,
        }
    }

    /// What to do about the state file, where something is to be done about that.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            error if error.remedy() == Some(MAKE_ROOM) => {
                Some("make room there, and run it again; or name another place with --state-dir")
            }
            StoreError::Newer { .. } => {
                Some("use the fetchd that wrote it, or another --state-dir")
            }
            StoreError::Corrupt { .. }
            | StoreError::Foreign { .. }
            | StoreError::Migration { .. } => Some(
                "fetchd never deletes it: move it away, or name another place with --state-dir",
            ),
            StoreError::ReadOnly { .. } | StoreError::Io { .. } | StoreError::Prepare(_) => {
                Some("name another place for the state with --state-dir or FETCHD_STATE_DIR")
            }
            StoreError::DoneMeanwhile => {
                Some("repeat the command: what is in place is not fetched again")
            }
            StoreError::Busy { .. } => {
                Some("end the process that keeps it locked, or name another place with --state-dir")
            }
            _ => None,
        }
    }

    /// Says of an error that came out of an SQL statement what it means for the file at `path`.
    pub(super) fn at(self, path: &Path) -> Self {
        match self {
            StoreError::Statement(source) => classify(source, path.to_owned()),
            other => other,
        }
    }

    /// As [`StoreError::at`], for the migrations.
    pub(super) fn migration(error: rusqlite_migration::Error, path: &Path) -> Self {
        let path = path.to_owned();
        let source: Box<dyn std::error::Error + Send + Sync> = match error {
            rusqlite_migration::Error::RusqliteError { err, .. } => {
                match classify(err, path.clone()) {
                    StoreError::Statement(err) => Box::new(without_sql(err)),
                    other => return other,
                }
            }
            other => Box::new(other),
        };
        StoreError::Migration { path, source }
    }
}

/// The text of a statement, which may be pages long, says nothing to a user.
fn without_sql(error: rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqlInputError { error, msg, .. } => {
            rusqlite::Error::SqliteFailure(error, Some(msg))
        }
        other => other,
    }
}

fn classify(source: rusqlite::Error, path: PathBuf) -> StoreError {
    use rusqlite::Error as Sql;
    let code = match &source {
        Sql::FromSqlConversionFailure(..)
        | Sql::IntegralValueOutOfRange(..)
        | Sql::InvalidColumnType(..)
        | Sql::Utf8Error(..) => return StoreError::Corrupt { path, source },
        // Every statement is a constant: what it names is missing only where the schema is not
        // the one that the version promises.
        Sql::SqliteFailure(_, Some(text)) | Sql::SqlInputError { msg: text, .. }
            if text.starts_with("no such ") =>
        {
            let source = without_sql(source);
            return StoreError::Corrupt { path, source };
        }
        // The memory that processes share is a file too, and its first bytes need room.
        Sql::SqliteFailure(failure, _) if failure.extended_code == SQLITE_IOERR_SHMSIZE => {
            ErrorCode::DiskFull
        }
        Sql::SqliteFailure(failure, _) => failure.code,
        _ => return StoreError::Statement(source),
    };
    match code {
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => {
            StoreError::Corrupt { path, source }
        }
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StoreError::Busy { path, source },
        ErrorCode::DiskFull => StoreError::Full { path },
        ErrorCode::ReadOnly
        | ErrorCode::PermissionDenied
        | ErrorCode::AuthorizationForStatementDenied => StoreError::ReadOnly { path, source },
        ErrorCode::SystemIoFailure
        | ErrorCode::CannotOpen
        | ErrorCode::FileLockingProtocolFailed
        | ErrorCode::NoLargeFileSupport => StoreError::Io { path, source },
        _ => StoreError::Statement(source),
    }
}
