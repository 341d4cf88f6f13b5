//! What goes wrong, in words for people: what happened, what was kept, what to type next.

use std::path::Path;

use crate::content::path::PathError;
use crate::content::unixfs::Fault;
use crate::content::{cid, hash};
use crate::disk::{DiskError, inspect};
pub use crate::download::chain;
use crate::download::{DownloadId, Failure, quoted, quoted_path, remedy};
use crate::engine::plan::PlanError;
use crate::engine::prove::SinkError;
use crate::engine::{Destination, Job, Subject};
use crate::exit::ExitKind;
use crate::store::StoreError;

/// What to type to go on, and what is there by then.
pub fn how_to_go_on(job: &Job) -> String {
    let id = job.id;
    match job.destination {
        // It proves itself only at its end, and is kept on disk until then.
        _ if job.subject == Subject::File => {
            format!("what has come is kept; go on with: fetchd resume {id}")
        }
        Destination::Disk { .. } => {
            format!("what is proved is kept; go on with: fetchd resume {id}")
        }
        Destination::Stdout { .. } => format!(
            "nothing is kept of what went to standard output; begin again with: fetchd resume {id}"
        ),
    }
}

pub fn disk_failure(error: &DiskError, id: DownloadId) -> Failure {
    let first = remedy(error).map_or_else(String::new, |first| format!("{first}, then "));
    Failure {
        kind: ExitKind::Disk,
        message: chain(error),
        hint: Some(format!("{first}go on with: fetchd resume {id}")),
    }
}

/// Where proved bytes go took no more of them.
pub fn sink_failure(error: &SinkError, id: DownloadId) -> Failure {
    let next = format!("see that standard output takes all of it, then: fetchd resume {id}");
    let (kind, hint) = match error {
        SinkError::Disk(error) => return disk_failure(error, id),
        SinkError::Closed => (ExitKind::Closed, None),
        SinkError::Stream(_) => (ExitKind::Disk, Some(next)),
    };
    Failure {
        kind,
        message: chain(error),
        hint,
    }
}

/// A failure to create the part or the target: the place is at fault, not the disk.
pub fn target_failure(error: &DiskError, id: DownloadId) -> Failure {
    if !error.is_uncreatable() {
        return disk_failure(error, id);
    }
    let next = format!("go on with: fetchd resume {id}");
    Failure {
        kind: ExitKind::Exists,
        message: chain(error),
        hint: Some(match remedy(error) {
            Some(first) => format!("{first}, then {next}"),
            // The record keeps the name that it was made with.
            None if error.is_bad_name() => format!(
                "give it up with: fetchd cancel {id}, and get it under a shorter name with -o"
            ),
            None => next,
        }),
    }
}

pub fn exists_failure(target: &Path, id: DownloadId) -> Failure {
    let next = format!(
        "move {} away, then go on with: fetchd resume {id}",
        quoted_path(target)
    );
    Failure {
        kind: ExitKind::Exists,
        message: format!("{} exists and holds something else", target.display()),
        hint: Some(match inspect::is_directory(target) {
            true => format!(
                "{next}; a get with --force replaces a directory only if all that is in it is as fetchd left it"
            ),
            false => format!("{next}; or repeat the get with --force to replace it"),
        }),
    }
}

pub fn store_failure(error: &StoreError, id: DownloadId) -> Failure {
    let next = format!("go on with: fetchd resume {id}");
    Failure {
        kind: error.exit_kind(),
        message: chain(error),
        hint: Some(match (error.remedy(), error.hint()) {
            (Some(first), _) => format!("{first}, then {next}"),
            (None, Some(first)) => format!("{first}; then {next}"),
            (None, None) => next,
        }),
    }
}

/// Another process holds the lock of the part.
pub fn busy_failure(path: &Path, id: DownloadId) -> Failure {
    Failure {
        kind: ExitKind::Retry,
        message: format!("another process is writing {}", path.display()),
        hint: Some(format!("wait for it, then go on with: fetchd resume {id}")),
    }
}

/// The time is over.
pub fn timed_out(job: &Job) -> Failure {
    Failure {
        kind: ExitKind::Retry,
        message: "the time that --max-time allows is over".to_owned(),
        hint: Some(how_to_go_on(job)),
    }
}

/// Something else than a file is to go to standard output.
pub fn not_a_file(root: Option<String>, what: &str) -> Failure {
    Failure {
        kind: ExitKind::Usage,
        message: format!(
            "{} is a {what}, and standard output takes single files only",
            root.unwrap_or_default()
        ),
        hint: Some("save it with: fetchd get … -o PATH, or name a file in it".to_owned()),
    }
}

/// A checksum was given, and what the CID names is no file.
pub fn no_checksum(root: Option<String>, what: &str) -> Failure {
    Failure {
        kind: ExitKind::Refused,
        message: format!(
            "{} is a {what}, which has no checksum",
            root.unwrap_or_default()
        ),
        hint: Some("fetch it without a checksum: its CID proves every byte".to_owned()),
    }
}

/// The way to what is wanted ends before it.
pub fn path_failure(error: &PathError) -> Failure {
    let (kind, hint) = match error {
        PathError::Malformed { .. } => (
            ExitKind::Verification,
            "the content itself is broken: no gateway can mend it; ask its publisher".to_owned(),
        ),
        PathError::Absent { directory, .. } => (
            ExitKind::NotFound,
            format!(
                "this is proved: no gateway has it; see what there is with: fetchd ls {}",
                quoted(directory)
            ),
        ),
        PathError::NotADirectory { at, .. } => (
            ExitKind::NotFound,
            format!(
                "this is proved: no gateway has it; fetch what is there with: fetchd get {}",
                quoted(at)
            ),
        ),
    };
    Failure {
        kind,
        message: chain(error),
        hint: Some(hint),
    }
}

/// The content is not sound, or not wanted.
pub fn plan_failure(error: &PlanError, job: &Job) -> Failure {
    content_failure(error, &subject_text(job))
}

/// The same below any root.
pub fn content_failure(error: &PlanError, root: &str) -> Failure {
    let (kind, hint) = match error {
        PlanError::Malformed { source, .. } if source.fault() == Fault::Unsafe => {
            (ExitKind::Refused, one_by_one_below(root))
        }
        PlanError::Malformed { source, .. } if source.fault() == Fault::TooLarge => (
            ExitKind::Refused,
            "the directory is too large in one block".to_owned(),
        ),
        PlanError::Malformed { .. }
        | PlanError::Links { .. }
        | PlanError::SizeLie { .. }
        | PlanError::ChildKind { .. } => (
            ExitKind::Verification,
            "the content itself is broken: no gateway can mend it; ask its publisher".to_owned(),
        ),
        PlanError::Hash { .. } => (
            ExitKind::Refused,
            "if you trust it nevertheless, name the hash function in allow_hash".to_owned(),
        ),
        PlanError::TooLarge { .. } => (ExitKind::Refused, "allow more with --max-size".to_owned()),
        PlanError::BlockTooLarge { .. } => (
            ExitKind::Refused,
            "allow more with max_block_size in the configuration".to_owned(),
        ),
        PlanError::TooDeep { .. } => (
            ExitKind::Refused,
            "allow more with max_depth in the configuration".to_owned(),
        ),
        PlanError::TooManyEntries { .. } => (
            ExitKind::Refused,
            "allow more with max_entries in the configuration, or take a part with --include"
                .to_owned(),
        ),
        PlanError::Name { .. } => (ExitKind::Refused, one_by_one_below(root)),
    };
    Failure {
        kind,
        message: chain(error),
        hint: Some(hint),
    }
}

/// What can be done where one name of a tree cannot be saved.
pub fn one_by_one(job: &Job) -> String {
    one_by_one_below(&subject_text(job))
}

fn subject_text(job: &Job) -> String {
    match &job.subject {
        Subject::Content { root, .. } => cid::text(root),
        Subject::File => job.source.clone(),
    }
}

fn one_by_one_below(root: &str) -> String {
    let one = quoted(&format!("{root}/PATH")).into_owned();
    format!("take the rest with --exclude NAME, or one file with: fetchd get {one} -o NAME")
}

/// The file is longer than it may be.
pub fn too_large(size: u64, limit: u64) -> Failure {
    Failure {
        kind: ExitKind::Refused,
        message: format!("the file is {size} bytes long and max_size allows {limit}"),
        hint: Some("allow more with --max-size".to_owned()),
    }
}

/// The file has another length than was written down of it.
pub fn wrong_size(size: u64, expected: u64) -> Failure {
    Failure {
        kind: ExitKind::Verification,
        message: format!("the file is {size} bytes long, not {expected}"),
        hint: Some(
            "its content and the size that is written down contradict each other: ask where they come from"
                .to_owned(),
        ),
    }
}

/// The file that a CID names has another checksum than the user was told.
pub fn wrong_checksum(name: &str, found: &[u8], expected: &[u8]) -> Failure {
    Failure {
        kind: ExitKind::Verification,
        message: format!(
            "the file that the CID names has the {name} {}, not {}",
            hash::hex(found),
            hash::hex(expected)
        ),
        hint: Some(
            "the CID and the checksum contradict each other: ask where they come from".to_owned(),
        ),
    }
}

/// Nothing would prove the file.
pub fn unverifiable(source: &str) -> Failure {
    Failure {
        kind: ExitKind::Refused,
        message: format!("nothing proves what {source} is"),
        hint: Some(
            "give its checksum with --sha256 HEX, or take it as it comes with --allow-unverified"
                .to_owned(),
        ),
    }
}
