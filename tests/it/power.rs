//! Power cuts at any moment, over recorded runs.
//!
//! A scenario runs once under strace, which writes down every call that changes the disk, with its
//! bytes, and every sync. From that, disks are made as a power cut may have left them: whatever a
//! sync had made safe is there; of the rest, any page, length or name has arrived or not. Each is
//! gone on from with `resume --all`, and with what a user would type then, until all is done.
//!
//! ```sh
//! cargo test --test it power                                    # a sample, with its seed
//! FETCHD_POWER=2000 cargo test --test it power -- --nocapture   # so many trials
//! FETCHD_POWER='tree' cargo test --test it power                # scenarios whose name holds this
//! ```
//!
//! A trial is one cut, a quarter of them two. `FETCHD_POWER_SEED` draws the same choices again, for
//! runs whose calls come in the same order; `FETCHD_POWER_KEEP` names a directory in which failures
//! are kept. `TMPDIR=/dev/shm` spares the disk. `tests/power` cuts the power of real file systems.
#![cfg(target_os = "linux")]

mod cut;
mod disk;
mod recording;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use cut::Cut;

use crate::support::dice::{Dice, seed};
use crate::support::{each, say, skipped};
use crate::torture::scenario::{self, Scenario};
use crate::torture::sweep::text_of;

/// Trials of the sample that every test run takes.
const SAMPLE: usize = 40;
/// Trials of one recording in a sample, and in a large one.
const FEW: usize = 4;
const MANY: usize = 25;
/// Trials of each scenario that is asked for by name.
const BY_NAME: usize = 100;

#[test]
fn power_cuts() {
    if !crate::torture::disk::is_possible() {
        return skipped("strace is not here or may not trace");
    }
    let seed = seed("FETCHD_POWER_SEED");
    let mut all: Vec<Arc<Scenario>> = scenario::all().into_iter().map(Arc::new).collect();
    // What a second process writes into the database is not in the recording.
    all.retain(|scenario| scenario.is_alone());
    let tally = match std::env::var("FETCHD_POWER").as_deref() {
        Err(_) => run(&drawn(&all, seed, SAMPLE / FEW), FEW),
        Ok(wanted) => match wanted.parse::<usize>() {
            Ok(trials) => run(&drawn(&all, seed, trials.div_ceil(MANY)), MANY),
            Err(_) => {
                let named = all.into_iter().filter(|one| one.name.contains(wanted));
                let named: Vec<_> = named.map(|one| (one, seed)).collect();
                run(&named, BY_NAME)
            }
        },
    };
    say(&format!(
        "FETCHD_POWER_SEED={seed} draws the same choices\n{tally}"
    ));
    assert!(tally.failures.is_empty(), "{tally}");
    assert!(tally.cuts > 0, "FETCHD_POWER names no scenario");
}

/// So many scenarios, all of them before any comes again, each with a seed of its own.
fn drawn(all: &[Arc<Scenario>], seed: u64, count: usize) -> Vec<(Arc<Scenario>, u64)> {
    let mut dice = Dice::new(seed, 0);
    let mut left = Vec::new();
    let draw = |number| {
        if left.is_empty() {
            left = all.to_vec();
        }
        let at = dice.below(left.len());
        (left.swap_remove(at), seed + number)
    };
    (0..count as u64).map(draw).collect()
}

fn run(recordings: &[(Arc<Scenario>, u64)], trials: usize) -> Tally {
    let tally = Mutex::new(Tally::default());
    each(recordings, 2, |(scenario, seed)| {
        let results = cut::torment(scenario, *seed, trials);
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        results.into_iter().for_each(|result| tally.add(result));
    });
    tally.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// The figures.
#[derive(Default)]
struct Tally {
    cuts: usize,
    wrong_bytes: usize,
    dead_ends: usize,
    again: u64,
    most_again: u64,
    most_beyond: u64,
    failures: Vec<String>,
}

impl Tally {
    fn add(&mut self, Cut { name, result }: Cut) {
        match result {
            Ok(cost) => {
                self.cuts += cost.cuts;
                self.again += cost.again;
                self.most_again = self.most_again.max(cost.again);
                self.most_beyond = self.most_beyond.max(cost.beyond);
            }
            Err(panic) => {
                self.cuts += 1;
                let text = text_of(&*panic);
                self.wrong_bytes += usize::from(text.starts_with("WRONG BYTES"));
                self.dead_ends += usize::from(text.contains("DEAD END"));
                say(&format!("=== {name}\n{text}"));
                self.failures.push(name);
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failures {
            writeln!(f, "=== {failure}")?;
        }
        write!(
            f,
            "{} power cuts: {} wrong bytes, {} dead ends, {} failures; fetched again: {} KiB, at most {} KiB after one cut, {} KiB of them that a checkpoint had told of",
            self.cuts,
            self.wrong_bytes,
            self.dead_ends,
            self.failures.len(),
            self.again >> 10,
            self.most_again >> 10,
            self.most_beyond >> 10,
        )
    }
}
