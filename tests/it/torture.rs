//! Every fault at every point, one at a time.
//!
//! A scenario runs once and is recorded: its requests, the bytes of each answer, and its system calls
//! on files by kind. Each of these is a fault point. Then it runs once for each point with one fault
//! there, is run again until it ends well, and the oracles are applied in between and at the end.
//!
//! ```sh
//! cargo test --test it torture                                          # a sample, with its seed
//! FETCHD_TORTURE=10000 cargo test --test it torture -- --nocapture      # a large one
//! FETCHD_TORTURE=full cargo test --test it torture -- --nocapture       # every point, some 120,000
//! FETCHD_TORTURE='range: pwrite64' cargo test --test it torture         # points whose name holds this
//! ```
//!
//! Faults of the disk are injected from outside by strace. Where that is not installed, or may not
//! trace, they are skipped and the test says so. `FETCHD_TORTURE_SEED` draws a sample again, and
//! `TMPDIR=/dev/shm` spares the disk.
#![cfg(target_os = "linux")]

pub mod disk;
mod network;
pub mod place;
pub mod scenario;
pub mod sweep;

use sweep::Sweep;

use crate::support::dice::seed;
use crate::support::say;

/// Points of the sample that every test run takes.
const SAMPLE: usize = 150;

#[test]
fn every_fault_at_every_point() {
    let sweep = Sweep::record();
    let tally = match std::env::var("FETCHD_TORTURE").as_deref() {
        Err(_) => sweep.sample(seed("FETCHD_TORTURE_SEED"), SAMPLE),
        Ok("full") => sweep.run(|_| true),
        Ok(wanted) => match wanted.parse() {
            Ok(size) => sweep.sample(seed("FETCHD_TORTURE_SEED"), size),
            Err(_) => sweep.run(|name| name.contains(wanted)),
        },
    };
    say(&tally.to_string());
    assert!(tally.is_clean(), "{tally}");
    assert!(tally.points > 0, "FETCHD_TORTURE names no point");
    assert!(tally.is_meaningful(), "{tally}");
}
