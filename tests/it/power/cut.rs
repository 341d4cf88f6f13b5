//! A recorded run, the cuts of it, and what must hold after each.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::disk::Disk;
use super::recording::{Recording, recorder};
use crate::support::dice::Dice;
use crate::support::sandbox::Sandbox;
use crate::torture::place::Place;
use crate::torture::scenario::Scenario;
use crate::torture::sweep;
use crate::trees::sample::listing;

/// Runs that a user is willing to start until it is done.
const PATIENCE: usize = 6;
/// What may be asked for again although a checkpoint vouches for it: leaves that a request began
/// in, and the blocks above them.
const SLACK: u64 = 192 << 10;
/// A boot of the machine other than this one.
const OTHER_BOOT: &str = "00000000-0000-4000-8000-000000000000";
/// After so many of a hundred cuts files have the times that the record knows, if they have its
/// length: what was written later may have arrived, and the new time not.
const KEEPS_TIMES: usize = 70;
/// In so many of a hundred trials there is a second cut, of what went on from the first.
const TWICE: usize = 25;

/// What became of a trial: of one cut, or of two.
pub struct Cut {
    pub name: String,
    pub result: std::thread::Result<Cost>,
}

/// What it cost.
#[derive(Default)]
pub struct Cost {
    pub cuts: usize,
    /// Bytes that were sent again.
    pub again: u64,
    /// Of those, the ones that a checkpoint had told of.
    pub beyond: u64,
}

/// Records a scenario once and cuts its power in so many trials.
pub fn torment(scenario: &Arc<Scenario>, seed: u64, trials: usize) -> Vec<Cut> {
    let place = Place::new(scenario);
    let before = Disk::of(place.sandbox.root());
    let recording = record(&place, |wrapper| sweep::without_fault(&place, wrapper));
    let whole = Whole {
        content: place.content_len(),
        sent: scenario.half_way.is_none().then(|| place.sent()),
    };
    let mut results = Vec::new();
    for number in 0..trials {
        let mut dice = Dice::new(seed, number as u64);
        let mut story = String::new();
        let result = catch_unwind(AssertUnwindSafe(|| {
            let trial = Trial {
                place: &place,
                dice: &mut dice,
                story: &mut story,
                told: Told::default(),
                cuts: 0,
            };
            trial.run(&before, &recording, &whole)
        }));
        if result.is_err() {
            crate::support::say(&story);
            keep(&place, &format!("{}-{seed}-{number}", scenario.name));
        }
        let name = format!("{}, seed {seed}, trial {number}", scenario.name);
        results.push(Cut { name, result });
    }
    results
}

/// Keeps what failed, for whoever looks into it.
fn keep(place: &Place, name: &str) {
    let Some(dir) = std::env::var_os("FETCHD_POWER_KEEP") else {
        return;
    };
    let to = Path::new(&dir).join(name.replace(' ', "-"));
    let copied = std::process::Command::new("cp")
        .args([
            "-a".as_ref(),
            place.sandbox.root().as_os_str(),
            to.as_os_str(),
        ])
        .status();
    assert!(copied.is_ok_and(|status| status.success()), "no copy kept");
}

fn record(place: &Place, run: impl FnOnce(&[String])) -> Recording {
    let sandbox = &place.sandbox;
    let log = sandbox.root().join("calls");
    run(&recorder(&log));
    Recording::read(&log, sandbox.root(), &sandbox.out())
}

/// One cut, or two in a row, and on until it is done.
struct Trial<'a> {
    place: &'a Place,
    dice: &'a mut Dice,
    story: &'a mut String,
    told: Told,
    cuts: usize,
}

/// What a run without any cut takes.
struct Whole {
    /// Bytes of all files.
    content: u64,
    /// Bytes that were sent, since part of the content may be there before; unknown of what is
    /// stopped half-way.
    sent: Option<u64>,
}

impl Trial<'_> {
    fn run(mut self, before: &Disk, recording: &Recording, whole: &Whole) -> Cost {
        let place = self.place;
        let cut = self.cut(before.clone(), recording);
        let mut written = Some(recording.written(cut));
        if self.dice.is_so(TWICE) {
            let again = Disk::of(place.sandbox.root());
            let args = resume_all();
            let recording = record(place, |wrapper| {
                let output = place.sandbox.fetchd_under(wrapper, &args).run();
                *self.story += &format!("$ fetchd {}\n{}", args.join(" "), output.transcript());
            });
            place.check_disk(self.story);
            self.cut(again, &recording);
            written = None;
        }
        let before = place.sent();
        self.go_on();
        let sent = place.sent() - before;
        // Of a run that told of nothing, what was sent for nothing is no concern of a cut, nor what
        // comes again since the gateways send the whole or nothing.
        let beyond = match self.told.saved {
            told if told > 0 && place.scenario().goes_on => {
                sent.saturating_sub(whole.content - told)
            }
            _ => 0,
        };
        assert!(
            beyond <= SLACK,
            "AGAIN: {beyond} bytes that were told to be safe\n{sent} sent of {}",
            whole.content
        );
        let again = whole.sent.zip(written).map(|(whole, written)| {
            let missing = whole.saturating_sub(written);
            sent.saturating_sub(missing)
        });
        Cost {
            cuts: self.cuts,
            again: again.unwrap_or(0),
            beyond,
        }
    }

    /// Cuts the power in the middle of a recorded run, which began with this disk.
    fn cut(&mut self, mut disk: Disk, recording: &Recording) -> usize {
        let turns = recording.turns();
        let cut = match self.dice.is_so(50) && !turns.is_empty() {
            true => *self.dice.one_of(&turns),
            false => self.dice.below(recording.len + 1),
        };
        self.told.hear(&recording.told(cut));
        *self.story += &format!("cut at line {cut} of {}: {:?}\n", recording.len, self.told);
        disk.replay(recording, cut);
        disk.write(self.place.sandbox.root(), self.dice);
        for (path, stands) in listing(self.place.sandbox.root()) {
            *self.story += &format!("  {path}: {stands:?}\n");
        }
        self.cuts += 1;
        self.judge();
        self.another_boot();
        cut
    }

    /// What must hold of the disk as it was left.
    fn judge(&mut self) {
        let is_kept = !self.told.is_finished || self.place.is_done();
        assert!(is_kept, "LOST: what was told to be finished is not there");
        // Looking at a database changes it, so a copy is looked at.
        let (state, aside) = (
            self.place.sandbox.state(),
            self.place.sandbox.root().join("aside"),
        );
        if aside.exists() {
            std::fs::remove_dir_all(&aside).expect("what an earlier failure left");
        }
        copy(&state, &aside);
        self.place.check_disk(self.story);
        if self.place.sandbox.has_tables() && self.dice.is_so(KEEPS_TIMES) {
            restore_times(&self.place.sandbox);
        }
        std::fs::remove_dir_all(&state).expect("a directory of ours");
        std::fs::rename(aside, state).expect("the copy");
    }

    /// Runs it again until it is done.
    fn go_on(&mut self) {
        let place = self.place;
        for turn in 0..PATIENCE {
            let args = match turn {
                0 => resume_all(),
                _ => place.again(turn - 1),
            };
            *self.story += &format!("$ fetchd {}\n", args.join(" "));
            let output = place.sandbox.fetchd(args).run();
            *self.story += &output.transcript();
            place.check_disk(self.story);
            if output.code == Some(0) && place.is_done() {
                place.check_end(&output, self.story);
                return;
            }
        }
        panic!("DEAD END");
    }

    /// After a power cut the machine has booted anew.
    fn another_boot(&mut self) {
        if !self.place.sandbox.has_tables() {
            return;
        }
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let boot = boot.expect("the id of this boot");
        let database = rusqlite::Connection::open(self.place.sandbox.database_file());
        let database = database.expect("a database");
        let updates = [
            "UPDATE runs SET boot_id = ?2 WHERE boot_id = ?1",
            "UPDATE files SET source = replace(source, ?1, ?2) WHERE source IS NOT NULL",
        ];
        for update in updates {
            let updated = database.execute(update, [boot.trim(), OTHER_BOOT]);
            updated.expect("the tables of the design");
        }
    }
}

/// What the user had been told when the power went.
#[derive(Debug, Default)]
struct Told {
    /// Bytes that a checkpoint vouches for.
    saved: u64,
    is_finished: bool,
}

impl Told {
    fn hear(&mut self, text: &str) {
        let events = text
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        for event in events {
            match event["type"].as_str() {
                // What goes on after a cut does not take back what was told before it.
                Some("checkpoint") => {
                    let bytes = event["bytes"].as_u64().expect("a number");
                    self.saved = self.saved.max(bytes);
                }
                Some("finished") => self.is_finished = true,
                _ => {}
            }
        }
    }
}

fn restore_times(sandbox: &Sandbox) {
    let database = sandbox.database();
    let query = "SELECT downloads.path, nonce, files.path, part_len, part_mtime FROM files
                 JOIN downloads ON downloads.id = download_id WHERE part_mtime IS NOT NULL";
    let mut statement = database.prepare(query).expect("the tables of the design");
    let rows = statement.query_map([], |row| {
        let text = |at| row.get::<_, String>(at);
        let part = format!("{}.{}.partial", text(0)?, text(1)?);
        let places = [text(0)?, part].map(|top| match text(2) {
            Ok(below) if !below.is_empty() => format!("{top}/{below}"),
            _ => top,
        });
        Ok((places, row.get::<_, i64>(3)?, row.get::<_, i64>(4)?))
    });
    for row in rows.expect("a readable table") {
        let (places, len, nanoseconds) = row.expect("a readable row");
        let [len, nanoseconds] = [len, nanoseconds].map(i64::unsigned_abs);
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds);
        for place in places {
            let file = File::options().write(true).open(place);
            if let Ok(file) = file
                && file.metadata().is_ok_and(|metadata| metadata.len() == len)
            {
                file.set_modified(time).expect("a file of ours");
            }
        }
    }
}

fn resume_all() -> Vec<String> {
    ["--json", "resume", "--all"].map(str::to_owned).into()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).expect("a new directory");
    for entry in std::fs::read_dir(from).expect("the state").flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("a copy");
        }
    }
}
