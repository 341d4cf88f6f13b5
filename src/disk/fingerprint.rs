//! By what a later look at a file finds that nobody has touched it since.

use std::fs::Metadata;

use crate::disk::random_file::unix_time;

/// Length and time of modification.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint {
    /// Length in bytes.
    pub len: u64,
    /// When it was last modified, in nanoseconds since 1970 UTC.
    pub mtime_ns: i64,
}

impl Fingerprint {
    /// Of `len` bytes that were last modified so many seconds and nanoseconds after 1970 began;
    /// `None` for a time beyond the year 2262.
    pub(super) fn new(len: u64, (seconds, nanos): (i64, u32)) -> Option<Self> {
        let mtime_ns = seconds
            .checked_mul(1_000_000_000)?
            .checked_add(i64::from(nanos))?;
        Some(Self { len, mtime_ns })
    }

    /// Of a file as the system tells; `None` too where that knows no such time.
    pub(super) fn of(file: &Metadata) -> Option<Self> {
        Self::new(file.len(), unix_time(file.modified().ok()?))
    }
}
