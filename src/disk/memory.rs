//! How much memory this process may use: the machine's, less where a control group limits it.
//!
//! Linux only; elsewhere the answer is that nobody knows.

use std::path::{Path, PathBuf};

/// Where control groups are mounted.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Bytes of memory that this process may use, all in all; `None` where the system does not say.
pub fn usable() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limits = limit_files(&groups).into_iter().filter_map(|path| {
        let text = std::fs::read_to_string(Path::new(CGROUPS).join(path)).ok()?;
        limit(&text)
    });
    Some(limits.fold(total(&info)?, u64::min))
}

/// The line `MemTotal` of `/proc/meminfo` (proc_meminfo(5)), in bytes.
fn total(info: &str) -> Option<u64> {
    let line = info
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The files below the mount of control groups that may limit this process: those of its groups,
/// and of every group above (cgroups(7)). In a container the path of the group may be that of the
/// host, which is not there; its own group is the mount itself then.
fn limit_files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else {
            continue;
        };
        let (mounts, file): (&[&str], _) = if controllers.is_empty() {
            (&["", "unified"], "memory.max")
        } else if controllers.split(',').any(|name| name == "memory") {
            (&["memory"], "memory.limit_in_bytes")
        } else {
            continue;
        };
        let path = Path::new(path.trim_start_matches('/'));
        for above in path.ancestors() {
            files.extend(
                mounts
                    .iter()
                    .map(|mount| Path::new(mount).join(above).join(file)),
            );
        }
    }
    files
}

/// A limit in bytes; `None` for none, which version 1 writes as the largest number of pages.
fn limit(text: &str) -> Option<u64> {
    const NONE: u64 = 1 << 62;
    text.trim().parse().ok().filter(|limit| *limit < NONE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_is_read() {
        let info = "MemTotal:       16302844 kB\nMemFree:         1234 kB\n";
        assert_eq!(total(info), Some(16_302_844 * 1024));
        assert_eq!(total("MemFree: 1 kB\n"), None);
        assert_eq!(total("MemTotal: much\n"), None);
    }

    #[test]
    fn groups_of_both_versions_are_looked_at() {
        let paths = |groups: &str| {
            let paths = limit_files(groups).into_iter();
            paths
                .map(|path| path.to_string_lossy().into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            paths("0::/user.slice/x.scope\n"),
            [
                "user.slice/x.scope/memory.max",
                "unified/user.slice/x.scope/memory.max",
                "user.slice/memory.max",
                "unified/user.slice/memory.max",
                "memory.max",
                "unified/memory.max"
            ]
        );
        assert_eq!(
            paths("5:cpu,cpuacct:/x\n4:memory:/docker/ab\nnonsense\n"),
            [
                "memory/docker/ab/memory.limit_in_bytes",
                "memory/docker/memory.limit_in_bytes",
                "memory/memory.limit_in_bytes"
            ]
        );
    }

    #[test]
    fn no_limit_is_none() {
        assert_eq!(limit("max\n"), None);
        assert_eq!(limit("9223372036854771712\n"), None);
        assert_eq!(limit("1073741824\n"), Some(1 << 30));
    }
}
