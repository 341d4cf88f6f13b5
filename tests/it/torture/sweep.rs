//! The sweep: records scenarios, runs them once for each point, and counts.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use super::network::Act;
use super::place::Place;
use super::scenario::{self, Scenario, stop_rule};
use super::{disk, network};
use crate::support::dice::Dice;
use crate::support::sandbox::Output;
use crate::support::{each, say, skipped};

/// Runs that a user is willing to start until it is done.
const PATIENCE: usize = 5;
/// What the page of exit codes allows of a run that met a fault; `None` is a kill. 78 is not among
/// them, since no fault here makes a state file unusable for good.
const ALLOWED: &[Option<i32>] = &[
    None,
    Some(0),
    Some(65),
    Some(69),
    Some(73),
    Some(74),
    Some(75),
    Some(77),
    Some(81),
    Some(130),
    Some(143),
];
/// Bytes that a SIGKILL may cost: what was in flight.
const AGAIN_AFTER_KILL: u64 = 8 << 20;
/// Points of which some faults must take place: one alone may have had another number in its thread.
const ENOUGH: usize = 50;

/// One fault at one point of one scenario.
enum Point {
    Disk(disk::Fault),
    Network(network::Fault),
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Point::Disk(fault) => fault.fmt(f),
            Point::Network(fault) => fault.fmt(f),
        }
    }
}

/// A scenario with its points, and the bytes that it takes without any fault.
struct Recording {
    scenario: Arc<Scenario>,
    points: Vec<Point>,
    sent: u64,
}

/// All scenarios, recorded.
pub struct Sweep {
    recordings: Vec<Recording>,
}

impl Sweep {
    /// Runs each scenario without faults and counts its points.
    pub fn record() -> Self {
        let traces = disk::is_possible();
        if !traces {
            skipped("faults of the disk, since strace is not here or may not trace");
        }
        let scenarios = scenario::all().into_iter().map(Arc::new);
        Self {
            recordings: scenarios.map(|scenario| record(scenario, traces)).collect(),
        }
    }

    /// Some points of all, drawn by a seed.
    pub fn sample(&self, seed: u64, size: usize) -> Tally {
        let mut dice = Dice::new(seed, 0);
        let mut all = self.all();
        let mut chosen = Vec::new();
        while chosen.len() < size && !all.is_empty() {
            let at = dice.below(all.len());
            chosen.push(all.swap_remove(at));
        }
        let mut tally = self.torture(&chosen);
        tally.seed = Some(seed);
        tally
    }

    /// All points whose name is wanted.
    pub fn run(&self, wanted: impl Fn(&str) -> bool) -> Tally {
        let mut all = self.all();
        all.retain(|(recording, point)| wanted(&name(recording, point)));
        self.torture(&all)
    }

    fn all(&self) -> Vec<(&Recording, &Point)> {
        self.recordings
            .iter()
            .flat_map(|recording| recording.points.iter().map(move |point| (recording, point)))
            .collect()
    }

    fn torture(&self, points: &[(&Recording, &Point)]) -> Tally {
        let tally = Mutex::new(Tally::default());
        each(points, 4, |(recording, point)| {
            let result = catch_unwind(AssertUnwindSafe(|| torture(recording, point)));
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.add(&name(recording, point), result);
            if tally.points.is_multiple_of(500) {
                say(&format!("{} of {} points", tally.points, points.len()));
            }
        });
        tally.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(recording: &Recording, point: &Point) -> String {
    format!("{}: {point}", recording.scenario.name)
}

fn record(scenario: Arc<Scenario>, traces: bool) -> Recording {
    let place = Place::new(&scenario);
    let before = place.gateways[0].requests().len();
    let log = place.sandbox.root().join("calls");
    let wrapper = if traces {
        disk::recorder(&log)
    } else {
        Vec::new()
    };
    without_fault(&place, &wrapper);
    let calls = std::fs::read_to_string(&log).unwrap_or_default();
    let disk = disk::faults(&calls, place.sandbox.root());
    // What is stopped half-way meets faults of the disk only: those of requests are in the others.
    let requests = match scenario.half_way {
        None => &place.gateways[0].requests()[before..],
        Some(_) => &[],
    };
    let network = network::faults(requests);
    let points = disk
        .into_iter()
        .map(Point::Disk)
        .chain(network.into_iter().map(Point::Network));
    let (points, sent) = (points.collect(), place.sent());
    Recording {
        scenario,
        points,
        sent,
    }
}

/// Runs the scenario's command with nothing in its way: what is not stopped half-way goes well.
pub fn without_fault(place: &Place, wrapper: &[String]) {
    let output = run(place, wrapper);
    place.check(&output);
    if place.scenario().half_way.is_none() {
        let output = output.exits(0);
        place.check_end(&output, &output.transcript());
    }
}

/// Runs the scenario's command, stopped half-way if that is what it is about.
fn run(place: &Place, wrapper: &[String]) -> Output {
    let running = place.sandbox.fetchd_under(wrapper, place.command());
    let Some((at, act)) = place.scenario().half_way else {
        return running.run();
    };
    let (on, fault) = stop_rule(at);
    place.gateways[0].add(on, fault);
    let output = place.disturb(running.spawn(), act);
    place.gateways[0].heal();
    output
}

/// What one point cost.
struct Cost {
    took_place: bool,
    killed: bool,
    /// Bytes that were sent beyond those that the scenario takes anyway.
    again: u64,
}

/// One scenario with one fault, and on until it is done.
fn torture(recording: &Recording, point: &Point) -> Cost {
    let place = Place::new(&recording.scenario);
    let (output, took_place) = match point {
        Point::Disk(fault) => {
            let log = place.sandbox.root().join("calls");
            let wrapper = fault.wrapper(&log);
            let output = run(&place, &wrapper);
            let took_place = fault.took_place(&log, output.code);
            (output, took_place)
        }
        Point::Network(fault) => {
            let (on, wrong) = fault.rule();
            place.gateways[0].add(on, wrong);
            let running = place.sandbox.fetchd(place.command());
            let output = match fault.act() {
                Some(act) => place.disturb(running.spawn(), act),
                None => running.run(),
            };
            (output, place.gateways[0].has_applied_a_rule())
        }
    };
    place.gateways[0].heal();
    let is_allowed = ALLOWED.contains(&output.code)
        || output.code == Some(2) && was_cancelled_before(point)
        || matches!(point, Point::Disk(fault) if fault.allows(output.code));
    assert!(is_allowed, "CODE: {}", output.transcript());
    if matches!(point, Point::Disk(fault) if fault.is_harmless())
        && recording.scenario.half_way.is_none()
    {
        // Or the system's loader was, which gives up.
        let is_fine = matches!(output.code, Some(0 | 127));
        assert!(is_fine, "INTERRUPTED: {}", output.transcript());
    }
    place.check(&output);
    let killed = output.code.is_none();
    let transcript = output.transcript();
    finish(&place, output);
    let again = place.sent().saturating_sub(recording.sent);
    let is_cheap = !killed || again <= AGAIN_AFTER_KILL;
    assert!(is_cheap, "AGAIN: {again} bytes after a kill\n{transcript}");
    Cost {
        took_place,
        killed,
        again,
    }
}

/// Whether the command may have found its download cancelled already.
fn was_cancelled_before(point: &Point) -> bool {
    matches!(point, Point::Network(fault) if matches!(fault.act(), Some(Act::Command("cancel"))))
}

/// Runs it again until it is done.
fn finish(place: &Place, mut output: Output) {
    let mut story = output.transcript();
    for turn in 0..PATIENCE {
        if output.code == Some(0) && place.is_done() {
            break;
        }
        let args = place.again(turn);
        story += &format!("$ fetchd {}\n", args.join(" "));
        output = place.sandbox.fetchd(args).run();
        story += &output.transcript();
        place.check(&output);
    }
    assert_eq!(output.code, Some(0), "DEAD END: {story}");
    // A part that could not be removed is not hushed up.
    if let (true, Some((id, _))) = (story.contains("fetchd prune"), place.record()) {
        place.run(&["prune".to_owned(), id.to_string()]);
    }
    place.check_end(&output, &story);
}

/// What a panic said.
pub fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or(panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without words")
}

/// The figures of a sweep.
#[derive(Default)]
pub struct Tally {
    seed: Option<u64>,
    pub points: usize,
    took_place: usize,
    kills: usize,
    wrong_bytes: usize,
    dead_ends: usize,
    again: u64,
    most_again: u64,
    failures: Vec<String>,
}

impl Tally {
    fn add(&mut self, name: &str, result: std::thread::Result<Cost>) {
        self.points += 1;
        match result {
            Ok(cost) => {
                self.took_place += usize::from(cost.took_place);
                self.kills += usize::from(cost.killed);
                self.again += cost.again;
                self.most_again = self.most_again.max(cost.again);
            }
            Err(panic) => {
                let text = text_of(&*panic);
                self.wrong_bytes += usize::from(text.starts_with("WRONG BYTES"));
                self.dead_ends += usize::from(text.contains("DEAD END"));
                say(&format!("=== {name}\n{text}"));
                self.failures.push(name.to_owned());
            }
        }
    }

    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.failures.is_empty()
    }

    /// Whether the faults took place at all: where nothing is injected, all goes well.
    pub fn is_meaningful(&self) -> bool {
        self.points < ENOUGH || self.took_place * 2 >= self.points
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for failure in &self.failures {
            writeln!(f, "=== {failure}")?;
        }
        if let Some(seed) = self.seed {
            writeln!(f, "FETCHD_TORTURE_SEED={seed} draws the same points")?;
        }
        write!(
            f,
            "{} points, {} faults took place, {} kills: {} wrong bytes, {} dead ends, {} failures; fetched again: {} KiB, at most {} KiB after one fault",
            self.points,
            self.took_place,
            self.kills,
            self.wrong_bytes,
            self.dead_ends,
            self.failures.len(),
            self.again >> 10,
            self.most_again >> 10,
        )
    }
}
