//! By what a later look at a file finds that nobody has touched it since.

/// Length and time of modification.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint {
    /// Length in bytes.
    pub len: u64,
    /// When it was last modified, in nanoseconds since 1970 UTC.
    pub mtime_ns: i64,
}
