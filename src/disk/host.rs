//! Which machine, boot and process this is: shown to people, and a second opinion where locks
//! are missing.
//!
//! Nothing here is proof of anything, and every answer may be absent.

use std::path::Path;

use crate::disk::platform;

/// An id that changes with every boot. Linux only.
pub fn boot_id() -> Option<String> {
    line("/proc/sys/kernel/random/boot_id")
}

/// When a process started, in clock ticks since boot: together with the boot id and the pid this
/// names a process for ever. `None` if there is no such process. Linux only.
pub fn pid_start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    start_time(&stat)
}

/// The name of this host.
pub fn hostname() -> Option<String> {
    platform::hostname().filter(|name| !name.is_empty())
}

/// The effective user id; there is none on Windows.
pub fn uid() -> Option<u32> {
    platform::uid()
}

/// Field 22 of `/proc/<pid>/stat` (proc(5)). Field 2 is the name of the program in parentheses and
/// may itself hold parentheses, blanks and any bytes, so counting starts after the last one.
fn start_time(stat: &[u8]) -> Option<u64> {
    let name_end = stat.iter().rposition(|&byte| byte == b')')?;
    let fields = str::from_utf8(&stat[name_end + 1..]).ok()?;
    fields.split_ascii_whitespace().nth(22 - 3)?.parse().ok()
}

fn line(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let line = text.trim();
    (!line.is_empty()).then(|| line.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_is_found_behind_any_name() {
        let rest = " S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20\n";
        for name in ["sh", "a b", "x) R 1 (y", "\u{fffd})"] {
            assert_eq!(
                start_time(format!("17 ({name}){rest}").as_bytes()),
                Some(4242),
                "{name}"
            );
        }
        assert_eq!(
            start_time(&[&b"17 (\xff\xfe)"[..], rest.as_bytes()].concat()),
            Some(4242)
        );
        for bad in [
            "",
            "17",
            "17 (sh)",
            "17 (sh) S 1 2",
            "17 (sh) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 x",
        ] {
            assert_eq!(start_time(bad.as_bytes()), None, "{bad}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_is_known() {
        let pid = std::process::id();
        assert!(pid_start_time(pid).is_some());
        assert_eq!(pid_start_time(pid), pid_start_time(pid));
        assert_eq!(pid_start_time(u32::MAX), None);
        assert_eq!(boot_id().map(|id| id.len()), Some(36));
        assert!(hostname().is_some());
        assert!(uid().is_some());
    }
}
