//! Whether a run lives, where its lock alone does not say so.
//!
//! On one machine the lock decides, in whatever container its holder is: containers have names of
//! their own, and the boot in common. Locks do not reach other machines, so there the heartbeat
//! decides. Pure: the time comes in, and clocks may have been set back meanwhile.

use jiff::{SignedDuration, Timestamp};

use crate::disk::host;
use crate::store::{RunInfo, RunRow};

/// A run of another machine that said nothing for so long is dead. Nothing is known of a clock
/// that is further ahead than this either.
const SILENT_FOR: SignedDuration = SignedDuration::from_secs(30);
/// A run that began so long ago holds its lock.
const BEGINNING: SignedDuration = SignedDuration::from_secs(2);

/// The machine that this process runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Here {
    /// Its name.
    pub host: Option<String>,
    /// Id of its boot.
    pub boot_id: Option<String>,
}

impl Here {
    /// As the system tells it.
    pub fn now() -> Self {
        Self {
            host: host::hostname(),
            boot_id: host::boot_id(),
        }
    }

    /// Whether a run belongs to another machine. An earlier boot of this one counts as this one:
    /// no lock outlives a boot.
    pub fn is_other_machine(&self, run: &RunInfo) -> bool {
        let is_same_boot = self.boot_id.is_some() && self.boot_id == run.boot_id;
        !is_same_boot && self.host != run.host
    }
}

/// Whether a run of another machine said a moment ago that it lives.
pub fn has_pulse(run: &RunRow, now: Timestamp) -> bool {
    now.duration_since(run.heartbeat).abs() < SILENT_FOR
}

/// Whether a run may have begun so lately that it does not hold its lock yet. `start_time` is
/// that of the process that has its pid now, which may be another one.
pub fn is_new(run: &RunRow, now: Timestamp, start_time: Option<u64>) -> bool {
    let is_there = start_time.is_some() && start_time == run.info.start_time;
    is_there && now.duration_since(run.info.started).abs() < BEGINNING
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::download::RunId;

    fn info(host: &str, boot_id: Option<&str>) -> RunInfo {
        RunInfo {
            pid: 7,
            start_time: Some(70),
            boot_id: boot_id.map(str::to_owned),
            host: Some(host.to_owned()),
            uid: None,
            started: Timestamp::UNIX_EPOCH,
        }
    }

    fn run() -> RunRow {
        RunRow {
            id: RunId(1),
            info: info("a", Some("1")),
            heartbeat: Timestamp::UNIX_EPOCH,
        }
    }

    fn after(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).expect("a time in range")
    }

    #[test]
    fn containers_of_one_boot_are_one_machine() {
        let here = |boot: Option<&str>| Here {
            host: Some("a".to_owned()),
            boot_id: boot.map(str::to_owned),
        };
        let known = here(Some("1"));
        assert!(!known.is_other_machine(&info("b", Some("1"))));
        assert!(!known.is_other_machine(&info("a", Some("2"))));
        assert!(known.is_other_machine(&info("b", Some("2"))));
        assert!(known.is_other_machine(&info("b", None)));
        assert!(!here(None).is_other_machine(&info("a", None)));
        assert!(here(None).is_other_machine(&info("b", None)));
    }

    #[test]
    fn a_clock_set_back_brings_nobody_to_life() {
        assert!(has_pulse(&run(), after(29)));
        assert!(has_pulse(&run(), after(-29)));
        assert!(!has_pulse(&run(), after(30)));
        assert!(!has_pulse(&run(), after(-3600)));
        assert!(is_new(&run(), after(1), Some(70)));
        assert!(!is_new(&run(), after(2), Some(70)));
        assert!(!is_new(&run(), after(-3600), Some(70)));
    }

    #[test]
    fn a_pid_used_again_is_another_process() {
        assert!(!is_new(&run(), after(1), Some(71)));
        assert!(!is_new(&run(), after(1), None));
    }
}
